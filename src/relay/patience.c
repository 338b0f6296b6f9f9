/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/patience.h"

#include "base/banned.h"

#define SLOW_FOR_MS	(INT64_C(24) * 3600000)		/* so long a slow reply is remembered */

bool
patience_ends(enum client_state at)
{
	switch (at) {
	case CL_AUTH:
	case CL_AUTH_NEXT:
	case CL_MAIL:
	case CL_RCPT:
	case CL_DATA:
		return true;
	default:
		return false;
	}
}

static bool
is_slow(const struct patience *p, int64_t now_ms)
{
	return p->slow_ms != 0 && now_ms - p->slow_at_ms < SLOW_FOR_MS;
}

void
patience_heard(struct patience *p, int64_t took_ms, int64_t now_ms)
{
	if (2 * took_ms <= PATIENCE_MS || (is_slow(p, now_ms) && took_ms < p->slow_ms))
		return;
	p->slow_ms = took_ms;
	p->slow_at_ms = now_ms;
}

int64_t
patience_ms(const struct patience *p, int64_t now_ms)
{
	return is_slow(p, now_ms) ? 2 * p->slow_ms : PATIENCE_MS;
}

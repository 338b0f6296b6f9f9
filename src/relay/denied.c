/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/denied.h"

#include "base/banned.h"

#define RECENT_MS	300000	/* so long, a delivery speaks for the account */
#define AGAIN_FIRST	8	/* so many are tried after the pause, twice as many after each further one */
#define AGAIN_MAX	64

static bool
has(const uint32_t *list, unsigned n, uint32_t sender)
{
	for (unsigned i = 0; i < n; i++)
		if (list[i] == sender)
			return true;
	return false;
}

/* It was the account's before the pause. Of many wrong senders that wait none is to cost a pause. */
static bool
is_it_still(struct denied *d, bool served)
{
	if (!served && ++d->again < d->want)
		return false;
	d->again = 0;
	d->want = d->want < AGAIN_MAX ? 2 * d->want : AGAIN_MAX;
	return true;
}

bool
denied_failed(struct denied *d, const struct denied_message *m, int64_t now_ms)
{
	bool served = has(d->served, d->nserved, m->sender);

	/* What is tried again shows only what was known. */
	if (!m->fresh && !served)
		return false;
	if (d->account)
		return is_it_still(d, served);
	if (served && d->id != 0 && d->id != m->id)
		d->account = true;
	if (served && d->id == 0)
		d->id = m->id;
	if (d->nsender < DENIED_SENDERS && !has(d->sender, d->nsender, m->sender))
		d->sender[d->nsender++] = m->sender;
	if (d->nsender == DENIED_SENDERS && (d->nserved == 0 || now_ms - d->passed_ms >= RECENT_MS))
		d->account = true;
	d->want = AGAIN_FIRST;
	return d->account;
}

void
denied_passed(struct denied *d, uint32_t sender, int64_t now_ms)
{
	d->nsender = 0;
	d->id = 0;
	d->account = false;
	d->again = 0;
	d->passed_ms = now_ms;
	if (has(d->served, d->nserved, sender))
		return;
	d->served[d->next] = sender;
	d->next = (d->next + 1) % DENIED_SERVED;
	if (d->nserved < DENIED_SERVED)
		d->nserved++;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "unit/patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/num.h"

#include "base/banned.h"

#define PATIENCE_S 20		/* or POSTHOUSE_TEST_PATIENCE */

static void
on_end(void *arg)
{
	struct patience *p = arg;

	p->ended = true;
	loop_stop(p->loop);
}

void
patience_init(struct patience *p, struct loop *loop)
{
	const char *wish = getenv("POSTHOUSE_TEST_PATIENCE");
	uint64_t seconds = PATIENCE_S;

	if (wish != NULL)
		ignore_result(num_parse_u64(view_str(wish), 1, 100000, &seconds));	/* else as it is */
	*p = (struct patience){ .loop = loop };
	timer_init(&p->timer, on_end, p);
	timer_set(loop, &p->timer, (int64_t)seconds * 1000);
}

void
patience_run(struct patience *p)
{
	loop_run(p->loop);
	assert_false(p->ended);
}

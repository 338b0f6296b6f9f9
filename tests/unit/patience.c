/* SPDX-License-Identifier: BSD-2-Clause */
#include "unit/patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/banned.h"

#define PATIENCE_MS 20000

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
	*p = (struct patience){ .loop = loop };
	timer_init(&p->timer, on_end, p);
	timer_set(loop, &p->timer, PATIENCE_MS);
}

void
patience_run(struct patience *p)
{
	loop_run(p->loop);
	assert_false(p->ended);
}

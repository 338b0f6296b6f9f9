/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * uncertain - a message whose final dot got no reply, by queue.uncertain_then.
 *
 * "resend" is the schedule's: after the rest it goes out again. "hold" and "bounce" are
 * decided at once, because no time makes anything certain.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "relay/relay_impl.h"

#include "base/banned.h"

void
uncertain_fail(struct spool_result *out, uint32_t rcpt)
{
	*out = (struct spool_result){ .rcpt = rcpt, .state = SPOOL_FAILED, .text = VIEW("The connection "
	    "ended after the whole message was sent and before the reply came. It may have arrived or not, "
	    "and is not sent again.") };
	snprintf(out->status, sizeof(out->status), "4.4.2");
}

static void
hold(struct relay *r, struct spool_message *m)
{
	struct spool_update u = { .attempts = m->attempts, .endpoint = "",
		.flags = (uint8_t)(m->flags | SPOOL_HELD | SPOOL_UNCERTAIN) };

	schedule_remove(&r->schedule, m);
	spool_update(r->spool, m, &u, NULL, NULL);
	life_held_uncertain(r, m);
	relay_status_changed(r);
}

/* Which of them were in the transaction that the reply is missing of is not known after a crash. */
static void
fail_all(struct relay *r, struct spool_message *m)
{
	struct spool_update u = { .attempts = m->attempts, .endpoint = "" };
	struct spool_result *result = xcalloc(m->nrcpt, sizeof(*result));
	const struct spool_rcpt *rc = spool_rcpts(m);

	for (uint32_t i = 0; i < m->nrcpt; i++)
		if (rc[i].state == SPOOL_QUEUED)
			uncertain_fail(&result[u.nresult++], i);
	u.result = result;
	report_result(r, m, &u, NULL, NULL);
	free(result);
}

bool
uncertain_settle(struct relay *r, struct spool_message *m)
{
	switch (r->conf->queue.uncertain_then) {
	case CONF_UNCERTAIN_HOLD:
		hold(r, m);
		return true;
	case CONF_UNCERTAIN_BOUNCE:
		fail_all(r, m);
		return true;
	case CONF_UNCERTAIN_RESEND:
		break;
	}
	return false;
}

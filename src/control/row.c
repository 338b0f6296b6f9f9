/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/row.h"

#include <stdio.h>

#include "base/banned.h"

#define RECIPIENTS_MAX 100	/* named for one message */

const char *
row_state(const struct spool_message *m, int64_t now_ms)
{
	if (m->flags & SPOOL_DAMAGED)
		return "damaged";
	if (m->flags & SPOOL_HELD)
		return "held";
	if (m->flags & SPOOL_UNCERTAIN)
		return "uncertain";
	if (m->attempts > 0 && m->next_ms > now_ms)
		return "deferred";
	return "queued";
}

static void
put_recipients(struct report *r, const struct envelope *env)
{
	char to[300];

	if (!r->json) {
		(void)snprintf(to, sizeof(to), env->nrcpt > 1 ? "%.*s +%u" : "%.*s",
		    VIEW_ARG(view_first(env->rcpt[0], 200)), env->nrcpt - 1);
		report_word(r, "to", to);
		return;
	}
	report_list(r, "recipients");
	for (uint32_t i = 0; i < env->nrcpt && i < RECIPIENTS_MAX; i++)
		report_text(r, NULL, env->rcpt[i]);
	report_end(r);
	report_num(r, "recipient_count", env->nrcpt);
}

static const char *
name_of(const char *text)
{
	return text != NULL && text[0] != '\0' ? text : NULL;
}

void
row_put(struct report *r, const struct spool_message *m, const struct envelope *env,
    const struct row_said *said)
{
	char id[17];

	report_row(r);
	report_word(r, "id", spool_id_text(id, m->id));
	report_time(r, "received", m->received_ms);
	report_size(r, "size", m->size);
	report_word(r, "state", said->state);
	report_num(r, "attempts", m->attempts);
	report_time(r, "next", m->next_ms);
	report_text(r, "from", env->from.n != 0 ? env->from : VIEW("<>"));
	put_recipients(r, env);
	if (env->uid >= 0)
		report_num(r, "uid", env->uid);
	else
		report_word(r, "uid", NULL);
	if (!said->several)
		report_hide(r);
	report_word(r, "route", name_of(said->route));
	report_word(r, "relay", name_of(said->relay));
	report_show(r);
	report_text(r, "reason", view_str(said->why));
	report_end(r);
}

void
row_put_total(struct report *r, const struct row_total *t)
{
	/* The sentence that scripts look for in the output of mailq. */
	if (!r->json && t->shown == 0 && !t->recovering && !t->cut) {
		report_sentence(r, "Mail queue is empty");
		return;
	}
	report_num(r, "shown", (int64_t)t->shown);
	if (t->total >= 0)
		report_num(r, "total", t->total);
	if (r->json || t->recovering)
		report_bool(r, "recovering", t->recovering);
	if (r->json || t->cut)
		report_bool(r, "cut", t->cut);
}

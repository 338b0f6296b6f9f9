/* SPDX-License-Identifier: BSD-2-Clause */
/* What the log says of sessions. */
#include "intake/session_impl.h"

#include "base/banned.h"

void
session_peer_log(const struct session_peer *p, struct log_line *line)
{
	if (p->no_uid == NULL)
		log_num(line, "uid", p->uid);
	else
		log_word(line, "no_uid", p->no_uid);
}

void
session_log_who(struct session *s, struct log_line *line)
{
	log_word(line, "peer", s->peer_text);
	session_peer_log(&s->peer, line);
	log_num(line, "s", (int64_t)s->number);
}

void
session_log_accepted(struct session *s, uint64_t id)
{
	const struct server_envelope *env = server_envelope(s->server);
	struct log_line line;

	log_begin(&line, s->host->log, LEVEL_INFO, "accepted");
	log_id(&line, id);
	log_text(&line, "from", env->from);
	log_num(&line, "rcpts", (int64_t)env->nrcpt);
	log_num(&line, "size", (int64_t)s->message.txn.size);
	session_log_who(s, &line);
	if (s->tls[0] != '\0')
		log_text(&line, "tls", view_str(s->tls));
	if (s->process[0] != '\0')
		log_text(&line, "process", view_str(s->process));
	if (s->message.script[0] != '\0')
		log_text(&line, "script", view_str(s->message.script));
	if (s->stream == NULL)
		log_word(&line, "client", "gone");
	log_end(&line);
}

/* code is "452", reason is what stands behind it. */
static void
log_refused(struct session *s, struct view code, struct view reason)
{
	struct log_line line;
	uint64_t n = 0;

	s->host->refused++;
	s->host->on_change(s->host);
	if (!refusals_count(&s->host->refusals))
		return;
	for (size_t i = 0; i < code.n; i++)
		n = n * 10 + (uint64_t)(code.p[i] - '0');
	log_begin(&line, s->host->log, LEVEL_INFO, "refused");
	log_num(&line, "code", (int64_t)n);
	log_text(&line, "reason", reason);
	if (s->state != STATE_COMMAND)
		log_text(&line, "from", server_envelope(s->server)->from);
	session_log_who(s, &line);
	log_end(&line);
}

void
session_note_replies(struct session *s, struct view out)
{
	struct view rest = view_from(out, s->seen);
	struct view line;

	while (view_find(rest, '\n') < rest.n && view_split(&rest, '\n', &line)) {
		s->seen = out.n - rest.n;
		if (view_ends(line, VIEW("\r")))
			line.n--;
		if (line.n > 4 && (line.p[0] == '4' || line.p[0] == '5') && line.p[3] == ' ' &&
		    is_digit(line.p[1]) && is_digit(line.p[2]))
			log_refused(s, view_first(line, 3), view_from(line, 4));
	}
}

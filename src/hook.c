/* SPDX-License-Identifier: BSD-2-Clause */
#include "hook.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/date.h"
#include "base/num.h"
#include "base/quote.h"
#include "base/require.h"
#include "command.h"
#include "secrets.h"

#include "base/banned.h"

#define HOUR_MS 3600000

static void hook_kick(struct hook *);

/* --- what relay says -------------------------------------------------------------- */

void
hook_words(char words[HOOK_WORDS_MAX], const struct relay_alarm *a, bool raised)
{
	(void)snprintf(words, HOOK_WORDS_MAX, "%d %zu %s %s", (int)a->kind, a->index, raised ? "on" : "off",
	    raised ? a->text : alarm_info(a->kind)->over_text);
}

static struct hook_alarm *
find(struct hook *h, enum alarm_kind kind, const char *relay)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->alarm[i].kind == kind && strcmp(h->alarm[i].relay, relay) == 0)
			return &h->alarm[i];
	return NULL;
}

/* One that nobody has to be told of, or a new one; NULL: there are too many. */
static struct hook_alarm *
make(struct hook *h, enum alarm_kind kind, const char *relay)
{
	struct hook_alarm *a = NULL;

	for (size_t i = 0; i < h->n && a == NULL; i++)
		if (!h->alarm[i].raised && !h->alarm[i].told)
			a = &h->alarm[i];
	if (a == NULL && h->n < HOOK_ALARMS_MAX)
		a = &h->alarm[h->n++];
	if (a == NULL)
		return NULL;
	*a = (struct hook_alarm){ .kind = kind };
	(void)snprintf(a->relay, sizeof(a->relay), "%s", relay);
	return a;
}

static void
wish(struct hook *h, struct hook_alarm *a, bool raised, struct view text)
{
	text = view_first(text, sizeof(a->text) - 1);
	a->raised = raised;
	a->since = ++h->wishes;
	a->wall_ms = loop_wall(h->loop);
	memcpy(a->text, text.p, text.n);
	a->text[text.n] = '\0';
	quote_flatten((uint8_t *)a->text, text.n);
	hook_kick(h);
}

void
hook_hear(struct hook *h, struct view words)
{
	struct view kind_word, index_word, state;
	const char *relay = "";
	struct hook_alarm *a;
	uint64_t kind, index;
	bool raised;

	if (!view_split(&words, ' ', &kind_word) || !view_split(&words, ' ', &index_word) ||
	    !view_split(&words, ' ', &state) ||
	    !num_parse_u64(kind_word, 0, ALARM_KIND_COUNT - 1, &kind) ||
	    !num_parse_u64(index_word, 0, h->conf->nrelay - 1, &index))
		return;
	raised = view_eq(state, VIEW("on"));
	if (!raised && !view_eq(state, VIEW("off")))
		return;
	if (kind < ALARM_OF_RELAY_COUNT)
		relay = h->conf->relay[index].name;
	a = find(h, (enum alarm_kind)kind, relay);
	if (a == NULL && raised)
		a = make(h, (enum alarm_kind)kind, relay);
	if (a != NULL && a->raised != raised)
		wish(h, a, raised, words);
}

/* --- a run ------------------------------------------------------------------------- */

static struct hook_alarm *
oldest_wish(struct hook *h)
{
	struct hook_alarm *best = NULL;

	for (size_t i = 0; i < h->n; i++)
		if (h->alarm[i].raised != h->alarm[i].told && (best == NULL || h->alarm[i].since < best->since))
			best = &h->alarm[i];
	return best;
}

static const char *
event_of(const struct hook_alarm *a)
{
	return a->raised ? alarm_info(a->kind)->word : alarm_info(a->kind)->over;
}

static bool
add_member(struct buf *b, const char *key, struct view value)
{
	return buf_addf(b, "%s\"%s\":", buf_len(b) > 0 ? "," : "{", key) && quote_json(b, value);
}

/* One line of JSON in a memory file, to be read from its begin. */
static int
make_input(const struct hook *h, const struct hook_alarm *a, int *fd, struct err *e)
{
	char date[DATE_MAX];
	struct buf b;
	bool fits;
	int rc;

	buf_init(&b, 8 * ALARM_TEXT_MAX);
	fits = add_member(&b, "event", view_str(event_of(a))) &&
	    add_member(&b, "alarm", view_str(alarm_info(a->kind)->word)) &&
	    add_member(&b, "state", a->raised ? VIEW("raised") : VIEW("over")) &&
	    add_member(&b, "relay", view_str(a->relay)) &&
	    add_member(&b, "host", view_str(h->conf->hostname)) &&
	    add_member(&b, "time", view_str(date_rfc3339(date, a->wall_ms))) &&
	    add_member(&b, "text", view_str(a->text)) && buf_add_str(&b, "}\n");
	require(fits);		/* each is bounded; JSON makes six bytes of one at the most */
	rc = sealed_file(fd, "posthouse-alarm", buf_view(&b), e);
	buf_done(&b);
	if (rc == 0)
		(void)lseek(*fd, 0, SEEK_SET);
	return rc;
}

/* Fixed words and the relay's name of the configuration; what peers said is not in it. */
static int
start_command(struct hook *h, const struct hook_alarm *a, int in, int out, struct err *e)
{
	char event[64], alarm[64], state[64], relay[100];
	char *env[] = { event, alarm, state, relay, NULL };

	(void)snprintf(event, sizeof(event), "POSTHOUSE_EVENT=%s", event_of(a));
	(void)snprintf(alarm, sizeof(alarm), "POSTHOUSE_ALARM=%s", alarm_info(a->kind)->word);
	(void)snprintf(state, sizeof(state), "POSTHOUSE_STATE=%s", a->raised ? "raised" : "over");
	(void)snprintf(relay, sizeof(relay), "POSTHOUSE_RELAY=%s", a->relay);
	return command_start(&h->pid, &(struct command){ .argv = h->conf->hook, .env = env, .in = in,
		.out = out, .err = out }, e);
}

static void
hear_output(struct hook *h)
{
	uint8_t bytes[4096];
	ssize_t n;

	while ((n = read(h->out, bytes, sizeof(bytes))) > 0) {
		if (buf_add(&h->said, view_of(bytes, (size_t)n)))
			continue;
		h->loud = true;
		command_kill(h->pid);	/* hook_reaped() follows */
		break;
	}
	if (n >= 0 || (errno != EAGAIN && errno != EINTR))
		io_want(h->watch, 0);
}

static void
on_output(void *arg, unsigned ready)
{
	hear_output(arg);
}

static void
on_deadline(void *arg)
{
	struct hook *h = arg;

	h->late = true;
	command_kill(h->pid);	/* hook_reaped() follows */
}

static int
start_run(struct hook *h, const struct hook_alarm *a, struct err *e)
{
	int fd[2] = { -1, -1 }, in = -1, rc;

	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0)
		return err_sys(e, errno, "can't make a pipe");
	rc = make_input(h, a, &in, e);
	/* Its own end waits as programs expect it to. */
	if (rc == 0 && fcntl(fd[1], F_SETFL, 0) != 0)
		rc = err_sys(e, errno, "can't set up a pipe");
	if (rc == 0)
		rc = start_command(h, a, in, fd[1], e);
	if (in >= 0)
		(void)close(in);
	(void)close(fd[1]);
	if (rc != 0) {
		(void)close(fd[0]);
		return -1;
	}
	h->out = fd[0];
	h->watch = io_watch_new(h->loop, h->out, on_output, h);
	io_want(h->watch, IO_READ);
	h->late = h->loud = false;
	h->started_ms = loop_now(h->loop);
	(void)snprintf(h->event, sizeof(h->event), "%s", event_of(a));
	timer_set(h->loop, &h->deadline, HOOK_RUN_MS);
	return 0;
}

/* The first line that it said, if any, tells most. */
static void
log_end_of(struct hook *h, int status)
{
	struct view first = view_first(buf_view(&h->said), view_find(buf_view(&h->said), '\n'));
	struct log_line l;
	struct err e;
	bool well = !h->late && !h->loud && command_check(status, "hook", h->conf->hook != NULL ? h->conf->hook[0] : "", &e) == 0;

	if (h->late)
		err_set(&e, ERR_BUSY, "hook took longer than %d s and was killed", HOOK_RUN_MS / 1000);
	if (h->loud)
		err_set(&e, ERR_FULL, "hook said more than %d bytes and was killed", HOOK_OUTPUT_MAX);
	log_begin(&l, h->log, well ? LEVEL_INFO : LEVEL_WARNING, well ? "hook" : "hook-failed");
	log_word(&l, "event", h->event);
	log_num(&l, "took_ms", loop_now(h->loop) - h->started_ms);
	if (!well)
		log_err(&l, &e);
	if (first.n > 0)
		log_text(&l, "said", view_first(first, 200));
	log_end(&l);
}

static void
end_run(struct hook *h)
{
	timer_cancel(h->loop, &h->deadline);
	io_watch_free(h->watch);
	h->watch = NULL;
	if (h->out >= 0)
		(void)close(h->out);
	h->out = -1;
	buf_clear(&h->said);
	buf_shrink(&h->said, 0);
	h->pid = 0;
}

void
hook_reaped(struct hook *h, pid_t pid, int status)
{
	if (h->pid == 0 || pid != h->pid)
		return;
	if (!h->loud && !h->late)
		hear_output(h);
	log_end_of(h, status);
	end_run(h);
	timer_set(h->loop, &h->next, h->gap_ms);
}

/* --- when --------------------------------------------------------------------------- */

/* When the limit allows the next run. */
static int64_t
allowed_at(const struct hook *h)
{
	int64_t oldest = h->run_ms[h->run_at];

	return oldest < 0 ? INT64_MIN : oldest + HOUR_MS;
}

static void
hook_kick(struct hook *h)
{
	struct hook_alarm *a = oldest_wish(h);
	int64_t now = loop_now(h->loop);
	struct err e;

	if (h->pid != 0 || h->conf->hook == NULL || a == NULL || timer_is_set(&h->next))
		return;
	if (allowed_at(h) > now) {
		if (!h->limited)
			log_simple(h->log, LEVEL_WARNING, "hook-limited", "the hook ran %d times within an "
			    "hour: it waits", HOOK_AN_HOUR);
		h->limited = true;
		timer_set(h->loop, &h->next, allowed_at(h) - now);
		return;
	}
	h->limited = false;
	h->run_ms[h->run_at] = now;
	h->run_at = (h->run_at + 1) % HOOK_AN_HOUR;
	a->told = a->raised;	/* also if it fails: it is not tried again */
	if (start_run(h, a, &e) == 0)
		return;
	log_simple(h->log, LEVEL_WARNING, "hook-failed", "%s", e.text);
	timer_set(h->loop, &h->next, h->gap_ms);
}

static void
on_next(void *arg)
{
	hook_kick(arg);
}

void
hook_reconfigure(struct hook *h, const struct conf *conf)
{
	h->conf = conf;
	for (size_t i = 0; i < h->n; i++) {
		struct hook_alarm *a = &h->alarm[i];
		bool there = a->relay[0] == '\0';

		for (size_t k = 0; k < conf->nrelay && !there; k++)
			there = strcmp(conf->relay[k].name, a->relay) == 0;
		if (!there && a->raised)
			wish(h, a, false, VIEW("the relay is not in the configuration any more"));
	}
	hook_kick(h);
}

void
hook_init(struct hook *h, struct loop *loop, struct log *log, const struct conf *conf)
{
	*h = (struct hook){ .loop = loop, .log = log, .conf = conf, .out = -1, .gap_ms = HOOK_GAP_MS };
	buf_init(&h->said, HOOK_OUTPUT_MAX);
	timer_init(&h->deadline, on_deadline, h);
	timer_init(&h->next, on_next, h);
	for (size_t i = 0; i < HOOK_AN_HOUR; i++)
		h->run_ms[i] = -1;
}

void
hook_done(struct hook *h)
{
	if (h->loop == NULL)
		return;
	if (h->pid != 0) {
		command_kill(h->pid);
		(void)waitpid(h->pid, NULL, 0);
	}
	end_run(h);
	timer_cancel(h->loop, &h->next);
	buf_done(&h->said);
}

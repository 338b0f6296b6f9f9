/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/quote.h"

#include "base/banned.h"

#define TEXT_MAX 256		/* bytes of one quoted value; four times that when all are escaped */
#define CUT " ..."

_Static_assert((int)LEVEL_CRIT == LOG_CRIT && (int)LEVEL_DEBUG == LOG_DEBUG,
    "our levels are syslog's");

/* One writev, so that lines of several threads and processes do not mix. */
static void
emit_stderr(struct log *log, enum log_level level, const char *line, bool prefix)
{
	char front[4] = { '<', (char)('0' + (int)level), '>', '\0' };
	struct iovec v[3] = {
		{ front, prefix ? 3 : 0 },
		{ (void *)(uintptr_t)line, strlen(line) },
		{ (void *)(uintptr_t)"\n", 1 },
	};

	/* Nobody is left to tell when the log itself can't be written. */
	if (writev(STDERR_FILENO, v, 3) < 0)
		return;
}

static void
emit_prefixed(struct log *log, enum log_level level, const char *line)
{
	emit_stderr(log, level, line, true);
}

static void
emit_plain(struct log *log, enum log_level level, const char *line)
{
	emit_stderr(log, level, line, false);
}

static void
emit_syslog(struct log *log, enum log_level level, const char *line)
{
	syslog((int)level, "%s", line);
}

static struct log *
make(const char *role, enum log_level level,
    void (*emit)(struct log *, enum log_level, const char *))
{
	struct log *log = xzalloc(sizeof(*log));

	log->emit = emit;
	log->level = level;
	log->role = role;
	return log;
}

struct log *
log_new_stderr(const char *role, enum log_level level)
{
	return make(role, level, isatty(STDERR_FILENO) ? emit_plain : emit_prefixed);
}

struct log *
log_new_syslog(const char *role, enum log_level level)
{
	/* LOG_NDELAY: the sandbox forbids intake to make a socket later. */
	openlog("posthouse", LOG_PID | LOG_NDELAY, LOG_MAIL);
	return make(role, level, emit_syslog);
}

void
log_free(struct log *log)
{
	if (log == NULL)
		return;
	if (log->emit == emit_syslog)
		closelog();
	free(log);
}

static void
copy(struct log_line *l, struct view v)
{
	if (v.n != 0)
		memcpy(l->text + l->n, v.p, v.n);
	l->n += v.n;
}

/* For the whole of it, or there is the mark that the line was cut: what follows is dropped. */
static bool
has_room(struct log_line *l, size_t n)
{
	if (l->cut)
		return false;
	if (n > sizeof(l->text) - sizeof(CUT) - l->n) {
		copy(l, VIEW(CUT));
		l->cut = true;
	}
	return !l->cut;
}

static void
put(struct log_line *l, struct view v)
{
	if (has_room(l, v.n))
		copy(l, v);
}

void
log_begin(struct log_line *l, struct log *log, enum log_level level, const char *event)
{
	l->log = log;
	l->level = level;
	l->off = log == NULL || level > log->level;
	l->cut = false;
	l->n = 0;
	if (l->off)
		return;
	if (log->role != NULL) {
		put(l, view_str(log->role));
		put(l, VIEW(": "));
	}
	put(l, view_str(event));
}

/* Both or none: a cut line never ends in half a pair. */
static void
put_pair(struct log_line *l, const char *key, struct view value)
{
	struct view name = view_str(key);

	if (!has_room(l, name.n + value.n + 2))
		return;
	copy(l, VIEW(" "));
	copy(l, name);
	copy(l, VIEW("="));
	copy(l, value);
}

void
log_word(struct log_line *l, const char *key, const char *word)
{
	if (!l->off)
		put_pair(l, key, view_str(word));
}

void
log_text(struct log_line *l, const char *key, struct view text)
{
	struct buf quoted;

	if (l->off)
		return;
	buf_init(&quoted, LOG_LINE_MAX);
	if (quote_log(&quoted, text, TEXT_MAX))
		put_pair(l, key, buf_view(&quoted));
	buf_done(&quoted);
}

void
log_num(struct log_line *l, const char *key, int64_t n)
{
	uint8_t digits[NUM_TEXT_MAX];

	if (!l->off)
		put_pair(l, key, num_text(digits, n));
}

void
log_id(struct log_line *l, uint64_t id)
{
	uint8_t hex[16];

	if (l->off)
		return;
	num_hex(hex, 16, id);
	put_pair(l, "id", view_of(hex, sizeof(hex)));
}

void
log_err(struct log_line *l, const struct err *e)
{
	log_text(l, "reason", view_str(e->text));
}

void
log_end(struct log_line *l)
{
	if (l->off)
		return;
	l->text[l->n] = '\0';
	l->log->emit(l->log, l->level, l->text);
	l->off = true;
}

void
log_simple(struct log *log, enum log_level level, const char *event, const char *fmt, ...)
{
	struct log_line l;
	char text[512];
	va_list ap;

	log_begin(&l, log, level, event);
	if (l.off)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);		/* cut is fine */
	va_end(ap);
	log_text(&l, "reason", view_str(text));
	log_end(&l);
}

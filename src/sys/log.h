/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log - one event, one line: "event key=value ...", from a fixed vocabulary
 * (doc/log.md).
 *
 * A line is built key by key, so that text from outside can only get in
 * quoted. Lines are cut at LOG_LINE_MAX. Engines do not log; glue does.
 * Thread: any (one write per line).
 */
#ifndef SYS_LOG_H
#define SYS_LOG_H

#include "base/buf.h"
#include "base/err.h"

#define LOG_LINE_MAX 2048

enum log_level { LEVEL_CRIT = 2, LEVEL_ERROR, LEVEL_WARNING, LEVEL_NOTICE, LEVEL_INFO, LEVEL_DEBUG };

struct log;
struct log {
	void		(*emit)(struct log *, enum log_level, const char *line);
	enum log_level	 level;		/* lines above it are dropped unbuilt */
	const char	*role;		/* "intake": put in front of every line; or NULL */
};

/* stderr with the "<N>" prefixes that journald reads, or without them on a terminal. */
struct log *log_new_stderr(const char *role, enum log_level);
/* syslog(3), facility mail. */
struct log *log_new_syslog(const char *role, enum log_level);
void log_free(struct log *);

struct log_line {
	struct log	*log;
	enum log_level	 level;
	bool		 off;		/* dropped: the adders do nothing */
	bool		 cut;		/* full: later pairs are left out, " ..." says so */
	size_t		 n;
	char		 text[LOG_LINE_MAX];
};

void log_begin(struct log_line *, struct log *, enum log_level, const char *event);
void log_word(struct log_line *, const char *key, const char *word);	/* ours: not quoted */
void log_text(struct log_line *, const char *key, struct view text);	/* from outside: quoted */
void log_num(struct log_line *, const char *key, int64_t n);
void log_id(struct log_line *, uint64_t id);				/* id=16 hex */
void log_err(struct log_line *, const struct err *);			/* reason="..." */
void log_end(struct log_line *);

/* An event that is only its reason. */
void log_simple(struct log *, enum log_level, const char *event, const char *fmt, ...) printf_like(4, 5);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report - an answer said once, written as JSON or as text for people.
 *
 * An answer is an object of members, nested objects and lists of rows. As text
 * a member is a line "key: value", and a list is a table with one column for
 * each key of its first row. Text from outside is escaped in both forms.
 *
 * A report that passes the maximum of its buffer is cut: report_finish() says so.
 */
#ifndef CONTROL_REPORT_H
#define CONTROL_REPORT_H

#include "base/buf.h"

#define REPORT_COLUMNS_MAX 24
#define REPORT_DEPTH_MAX 6

struct report {
	struct buf	*out;
	bool		 json;
	bool		 failed;	/* a maximum was reached */
	bool		 hidden;	/* members until report_show() are for JSON alone */
	unsigned	 depth;
	bool		 first[REPORT_DEPTH_MAX];
	char		 closer[REPORT_DEPTH_MAX];	/* } or ] */
	/* table under way (text only) */
	bool		 table;
	const char	*column[REPORT_COLUMNS_MAX];
	size_t		 width[REPORT_COLUMNS_MAX];
	size_t		 ncolumn, cell, nrow;
	struct buf	 cells;		/* NUL-terminated, row by row */
};

void report_begin(struct report *, struct buf *out, bool json);
/* Closes what is open. False if something did not fit. */
bool report_finish(struct report *) must_use;

void report_object(struct report *, const char *key);	/* until report_end() */
void report_list(struct report *, const char *key);	/* of rows, until report_end() */
void report_row(struct report *);			/* until report_end() */
void report_end(struct report *);

/* Keys are literals that live as long as the report. */
void report_text(struct report *, const char *key, struct view value);
void report_word(struct report *, const char *key, const char *value);	/* NULL: null, "-" */
void report_num(struct report *, const char *key, int64_t value);
void report_bool(struct report *, const char *key, bool value);		/* text: yes, no */
void report_time(struct report *, const char *key, int64_t wall_ms);	/* <= 0: null, "-" */
/* key ends in _ms; text shows "2h 5m" under the key without it. < 0: null, "-" */
void report_duration(struct report *, const char *key, int64_t ms);
void report_size(struct report *, const char *key, uint64_t bytes);	/* text: "12.3 MiB" */

/* A list of words; in JSON only. */
void report_words(struct report *, const char *key, const char *const *words, size_t n);
/* A line for people. */
void report_sentence(struct report *, const char *);
/* An empty line, in text only. */
void report_blank(struct report *);

/* What follows is in JSON only, until report_show(). */
void report_hide(struct report *);
void report_show(struct report *);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table - the tables of tests/conform in memory. The format is in the README.
 *
 * Columns are views of the files' text, still with their escapes; table_expand()
 * makes bytes of them. Whatever is wrong with a table ends the program with a message.
 */
#ifndef CONFORM_TABLE_H
#define CONFORM_TABLE_H

#include "base/buf.h"

#define TABLE_FILES	20
#define TABLE_ROWS	2000
#define TABLE_STATES	20

struct row {
	const char	*file;
	unsigned	 line;
	struct view	 clause, when;		/* when: "" for no condition */
	struct view	 states, says, replies, after, stored, note;
};

/* How a state is reached, or what is said in it. */
struct step {
	struct view	 name, base, says, replies, shown;
};

struct table {
	char		*file[TABLE_FILES];
	struct buf	 text[TABLE_FILES];
	size_t		 nfiles;
	struct row	 row[TABLE_ROWS];
	size_t		 nrows;
	struct step	 state[TABLE_STATES], shown[TABLE_STATES], finish[TABLE_STATES];
	size_t		 nstates, nshown, nfinish;
};

void table_load(struct table *, const char *folder);
void table_done(struct table *);
/* A name that is not there is an error in the table. */
const struct step *table_state(const struct table *, struct view name);
const struct step *table_shown(const struct table *, struct view name);
const struct step *table_finish(const struct table *, struct view name);
/* The bytes of a column. True: it ended with \c, so nothing is added to it. */
bool table_expand(struct buf *out, struct view column);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "table.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"

#include "base/banned.h"

#define FILE_MAX	(1u << 20)

static _Noreturn void
bad(const char *file, unsigned line, const char *what)
{
	(void)fprintf(stderr, "%s:%u: %s\n", file, line, what);
	exit(1);
}

/* --- escapes ----------------------------------------------------------------------- */

static int
hex(uint8_t c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = memchr(digits, to_lower(c), 16);

	return at != NULL ? (int)(at - digits) : 0;
}

static void
put(struct buf *out, uint8_t c)
{
	if (!buf_add_byte(out, c))
		bad("table", 0, "a column is too long");
}

/* Behind the backslash; bytes taken. */
static size_t
escape(struct buf *out, struct view v)
{
	static const char from[] = "rn0t", to[] = "\r\n\0\t";
	const char *at = v.n > 0 ? memchr(from, v.p[0], 4) : NULL;

	if (v.n >= 3 && v.p[0] == 'x') {
		put(out, (uint8_t)(hex(v.p[1]) << 4 | hex(v.p[2])));
		return 3;
	}
	if (v.n > 0)
		put(out, at != NULL ? (uint8_t)to[at - from] : v.p[0]);
	return v.n > 0;
}

/* Where the bracket that was opened before v is closed. */
static size_t
closing(struct view v)
{
	unsigned depth = 1;

	for (size_t i = 0; i < v.n; i++) {
		bool opens = i + 1 < v.n && v.p[i] == '%' && v.p[i + 1] == '{';

		if (v.p[i] == '}' && --depth == 0)
			return i;
		depth += opens;
		i += opens;
	}
	bad("table", 0, "%{ is not closed");
}

/* number is what %n stands for; 0: itself. */
static void
expand(struct buf *out, struct view v, uint64_t number)
{
	for (size_t i = 0; i < v.n; i++) {
		struct view rest = view_from(v, i + 1), times, body;
		uint64_t n;

		if (v.p[i] == '\\') {
			i += escape(out, rest);
		} else if (number != 0 && v.p[i] == '%' && view_starts(rest, VIEW("n"))) {
			if (!buf_addf(out, "%u", (unsigned)number))
				bad("table", 0, "a column is too long");
			i++;
		} else if (v.p[i] == '%' && view_starts(rest, VIEW("{"))) {
			body = view_first(view_from(rest, 1), closing(view_from(rest, 1)));
			i += 2 + body.n;
			(void)view_split(&body, ' ', &times);
			if (!num_parse_u64(times, 1, 100000, &n))
				bad("table", 0, "%{ wants a number");
			for (uint64_t k = 1; k <= n; k++)
				expand(out, body, k);
		} else {
			put(out, v.p[i]);
		}
	}
}

bool
table_expand(struct buf *out, struct view column)
{
	bool open = view_ends(column, VIEW("\\c"));

	expand(out, open ? view_first(column, column.n - 2) : column, 0);
	return open;
}

/* --- files --------------------------------------------------------------------------- */

static struct view
column(struct view *rest)
{
	size_t at = view_search(*rest, VIEW(" |"));
	struct view v = view_trim(view_first(*rest, at));

	*rest = view_from(*rest, at + 2);
	return v;
}

static void
add_step(struct step *steps, size_t *n, struct view line, bool has_base)
{
	struct step *s = &steps[(*n)++];

	if (*n > TABLE_STATES)
		bad("states.txt", 0, "too many states");
	s->name = column(&line);
	s->base = has_base ? column(&line) : VIEW("");
	s->says = column(&line);
	s->replies = column(&line);
	s->shown = column(&line);
}

static bool
take_word(struct view *line, struct view word)
{
	if (!view_starts(*line, word))
		return false;
	*line = view_trim(view_from(*line, word.n));
	return true;
}

static void
take_line(struct table *t, struct row *now, struct view line)
{
	if (line.n == 0 || line.p[0] == '#')
		return;
	if (take_word(&line, VIEW("clause "))) {
		now->clause = line;
		now->when = VIEW("");
	} else if (take_word(&line, VIEW("when "))) {
		now->when = line;
	} else if (take_word(&line, VIEW("state "))) {
		add_step(t->state, &t->nstates, line, true);
	} else if (take_word(&line, VIEW("shown "))) {
		add_step(t->shown, &t->nshown, line, false);
	} else if (take_word(&line, VIEW("finish "))) {
		add_step(t->finish, &t->nfinish, line, false);
	} else {
		now->states = column(&line);
		now->says = column(&line);
		now->replies = column(&line);
		now->after = column(&line);
		now->stored = column(&line);
		now->note = column(&line);
		if (now->clause.n == 0 || now->after.n == 0 || line.n > 0)
			bad(now->file, now->line, "a row wants a clause, and four to six columns");
		if (t->nrows == TABLE_ROWS)
			bad(now->file, now->line, "too many rows");
		t->row[t->nrows++] = *now;
	}
}

static void
read_file(struct table *t, const char *path)
{
	struct buf *b = &t->text[t->nfiles];
	struct row now = { .line = 0 };
	struct view all, line;
	FILE *f = fopen(path, "r");
	int c;

	if (f == NULL || t->nfiles == TABLE_FILES)
		bad(path, 0, "can't be read");
	now.file = t->file[t->nfiles++] = xstrdup(path);
	buf_init(b, FILE_MAX);
	while ((c = getc(f)) != EOF)
		put(b, (uint8_t)c);
	(void)fclose(f);
	all = buf_view(b);
	while (view_split(&all, '\n', &line)) {
		now.line++;
		take_line(t, &now, view_trim(line));
	}
}

void
table_load(struct table *t, const char *folder)
{
	char pattern[4096];
	glob_t found;

	*t = (struct table){ .nrows = 0 };
	(void)snprintf(pattern, sizeof(pattern), "%s/*.txt", folder);
	if (glob(pattern, 0, NULL, &found) != 0)
		bad(folder, 0, "no tables");
	for (size_t i = 0; i < found.gl_pathc; i++)
		read_file(t, found.gl_pathv[i]);
	globfree(&found);
}

void
table_done(struct table *t)
{
	for (size_t i = 0; i < t->nfiles; i++) {
		free(t->file[i]);
		buf_done(&t->text[i]);
	}
}

/* --- states ---------------------------------------------------------------------------- */

static const struct step *
find(const struct step *steps, size_t n, struct view name)
{
	for (size_t i = 0; i < n; i++)
		if (view_eq(steps[i].name, name))
			return &steps[i];
	(void)fprintf(stderr, "states.txt: nothing about \"%.*s\"\n", VIEW_ARG(name));
	exit(1);
}

const struct step *
table_state(const struct table *t, struct view name)
{
	return find(t->state, t->nstates, name);
}

const struct step *
table_shown(const struct table *t, struct view name)
{
	return find(t->shown, t->nshown, name);
}

const struct step *
table_finish(const struct table *t, struct view name)
{
	return find(t->finish, t->nfinish, name);
}

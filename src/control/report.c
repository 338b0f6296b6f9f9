/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/report.h"

#include <stdio.h>

#include "base/date.h"
#include "base/num.h"
#include "base/quote.h"
#include "base/require.h"

#include "base/banned.h"

#define CELLS_MAX	(8u << 20)
#define KEY_WIDTH	18

void
report_begin(struct report *r, struct buf *out, bool json)
{
	*r = (struct report){ .out = out, .json = json };
	r->first[0] = true;
	buf_init(&r->cells, CELLS_MAX);
	if (json)
		r->failed = !buf_add_byte(out, '{');
}

static void
put(struct report *r, bool ok)
{
	if (!ok)
		r->failed = true;
}

static void
put_str(struct report *r, const char *s)
{
	put(r, buf_add_str(r->out, s));
}

/* "key": with the comma in front where one is due; no key inside a list. */
static void
json_key(struct report *r, const char *key)
{
	if (!r->first[r->depth])
		put_str(r, ",");
	r->first[r->depth] = false;
	if (key != NULL)
		put(r, buf_addf(r->out, "\"%s\":", key));
}

static void
descend(struct report *r, char closer)
{
	require(r->depth + 1 < REPORT_DEPTH_MAX);
	r->first[++r->depth] = true;
	r->closer[r->depth] = closer;
}

/* --- text ---------------------------------------------------------------- */

/* Everything but printable ASCII would let a peer move the cursor of a terminal. */
static void
put_escaped(struct report *r, struct buf *out, struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		put(r, is_print(v.p[i]) ? buf_add_byte(out, v.p[i]) : buf_addf(out, "\\x%02x", v.p[i]));
}

/* "last_probe" -> "last probe"; the unit of "ready_ms" is shown with the value. */
static size_t
key_len(const char *key)
{
	size_t n = strlen(key);

	return n > 3 && view_ends(view_str(key), VIEW("_ms")) ? n - 3 : n;
}

static void
put_key(struct report *r, const char *key)
{
	size_t n = key_len(key);

	for (size_t i = 0; i < n; i++)
		put(r, buf_add_byte(r->out, key[i] == '_' ? ' ' : (uint8_t)key[i]));
	put_str(r, ":");
	for (n++; n < KEY_WIDTH; n++)
		put_str(r, " ");
	put_str(r, " ");
}

static void
put_cell(struct report *r, const char *key, struct view value)
{
	size_t before = buf_len(&r->cells), n;

	if (r->nrow == 1 && r->ncolumn < REPORT_COLUMNS_MAX) {
		r->column[r->ncolumn] = key;
		r->width[r->ncolumn++] = key_len(key);
	}
	if (weird(r->cell >= r->ncolumn))
		return;
	put_escaped(r, &r->cells, value);
	n = buf_len(&r->cells) - before;
	put(r, buf_add_byte(&r->cells, '\0'));
	if (n > r->width[r->cell])
		r->width[r->cell] = n;
	r->cell++;
}

static void
text_member(struct report *r, const char *key, struct view value)
{
	if (r->hidden)
		return;
	if (r->table) {
		put_cell(r, key, value);
		return;
	}
	for (unsigned i = 0; i < r->depth; i++)
		put_str(r, "  ");
	put_key(r, key);
	put_escaped(r, r->out, value);
	put_str(r, "\n");
}

static void
pad(struct report *r, size_t n)
{
	while (n-- > 0)
		put_str(r, " ");
}

static void
put_table_head(struct report *r)
{
	for (size_t c = 0; c < r->ncolumn; c++) {
		size_t n = key_len(r->column[c]);

		for (size_t i = 0; i < n; i++)
			put(r, buf_add_byte(r->out, r->column[c][i] == '_' ? ' ' : to_upper((uint8_t)r->column[c][i])));
		if (c + 1 < r->ncolumn)
			pad(r, r->width[c] - n + 2);
	}
	put_str(r, "\n");
}

/* The last column is not padded, so that its lines end where they end. */
static void
put_table(struct report *r)
{
	struct view cells = buf_view(&r->cells), cell;

	if (r->nrow > 0)
		put_table_head(r);
	for (size_t row = 0; row < r->nrow; row++)
		for (size_t c = 0; c < r->ncolumn && view_split(&cells, '\0', &cell); c++) {
			put(r, buf_add(r->out, cell));
			if (c + 1 < r->ncolumn)
				pad(r, r->width[c] - cell.n + 2);
			else
				put_str(r, "\n");
		}
	buf_done(&r->cells);
	r->table = false;
	r->ncolumn = r->nrow = r->cell = 0;
}

/* --- structure ----------------------------------------------------------- */

void
report_object(struct report *r, const char *key)
{
	if (r->json) {
		json_key(r, key);
		put_str(r, "{");
	} else if (!r->hidden) {
		for (unsigned i = 0; i < r->depth; i++)
			put_str(r, "  ");
		put(r, buf_addf(r->out, "%s\n", key));
	}
	descend(r, '}');
}

void
report_list(struct report *r, const char *key)
{
	if (r->json) {
		json_key(r, key);
		put_str(r, "[");
	} else {
		require(!r->table);
		r->table = true;
	}
	descend(r, ']');
}

void
report_row(struct report *r)
{
	if (r->json) {
		json_key(r, NULL);
		put_str(r, "{");
	} else {
		require(r->table);
		r->nrow++;
		r->cell = 0;
	}
	descend(r, '}');
}

void
report_end(struct report *r)
{
	require(r->depth > 0);
	if (r->json)
		put(r, buf_add_byte(r->out, (uint8_t)r->closer[r->depth]));
	else if (r->closer[r->depth] == ']')
		put_table(r);
	r->depth--;
}

bool
report_finish(struct report *r)
{
	while (r->depth > 0)
		report_end(r);
	if (r->json)
		put_str(r, "}\n");
	buf_done(&r->cells);
	return !r->failed;
}

/* --- members ------------------------------------------------------------- */

/* bare is valid JSON as it stands; shown is for people. */
static void
member(struct report *r, const char *key, const char *bare, const char *shown)
{
	if (r->json) {
		json_key(r, key);
		put_str(r, bare);
	} else {
		text_member(r, key, view_str(shown));
	}
}

void
report_text(struct report *r, const char *key, struct view value)
{
	if (r->json) {
		json_key(r, key);
		put(r, quote_json(r->out, value));
	} else {
		text_member(r, key, value);
	}
}

void
report_word(struct report *r, const char *key, const char *value)
{
	if (value != NULL)
		report_text(r, key, view_str(value));
	else
		member(r, key, "null", "-");
}

void
report_num(struct report *r, const char *key, int64_t value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	member(r, key, text, text);
}

void
report_bool(struct report *r, const char *key, bool value)
{
	member(r, key, value ? "true" : "false", value ? "yes" : "no");
}

void
report_time(struct report *r, const char *key, int64_t wall_ms)
{
	char text[DATE_MAX];

	if (wall_ms <= 0)
		member(r, key, "null", "-");
	else
		report_text(r, key, view_str(date_rfc3339(text, wall_ms)));
}

void
report_duration(struct report *r, const char *key, int64_t ms)
{
	char text[32];

	if (ms < 0) {
		member(r, key, "null", "-");
	} else if (r->json) {
		report_num(r, key, ms);
	} else {
		text_member(r, key, view_str(num_duration_text(text, sizeof(text), ms)));
	}
}

void
report_size(struct report *r, const char *key, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double shown = (double)bytes;
	char text[32];
	size_t u = 0;

	if (r->json) {
		report_num(r, key, (int64_t)bytes);
		return;
	}
	for (; shown >= 1024 && u + 1 < lengthof(units); u++)
		shown /= 1024;
	(void)snprintf(text, sizeof(text), "%.*f %s", u == 0 ? 0 : 1, shown, units[u]);
	text_member(r, key, view_str(text));
}

void
report_words(struct report *r, const char *key, const char *const *words, size_t n)
{
	if (!r->json)
		return;
	json_key(r, key);
	put_str(r, "[");
	for (size_t i = 0; i < n; i++) {
		put_str(r, i > 0 ? "," : "");
		put(r, quote_json(r->out, view_str(words[i])));
	}
	put_str(r, "]");
}

void
report_sentence(struct report *r, const char *text)
{
	if (r->json)
		return;
	put_str(r, text);
	put_str(r, "\n");
}

void
report_blank(struct report *r)
{
	if (!r->json && !r->table)
		put_str(r, "\n");
}

void
report_hide(struct report *r)
{
	r->hidden = !r->json;
}

void
report_show(struct report *r)
{
	r->hidden = false;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/reply.h"

#include <stdio.h>

#include "base/banned.h"

#define REPLY_BYTES_MAX	(1u << 20)	/* of one reply, whatever its lines */

void
reply_parser_init(struct reply_parser *p)
{
	p->reply.code = 0;
	p->reply.status[0] = '\0';
	p->reply.text[0] = '\0';
	p->reply.lines = 0;
	p->line_len = 0;
	p->text_len = 0;
	p->bytes = 0;
	p->cut = false;
	p->done = false;
	p->on_line = NULL;
	p->arg = NULL;
}

/* The next reply; on_line stays. */
static void
begin_reply(struct reply_parser *p)
{
	void (*on_line)(void *arg, struct view text) = p->on_line;
	void *arg = p->arg;

	reply_parser_init(p);
	p->on_line = on_line;
	p->arg = arg;
}

/* Up to three digits at *i; false for none or more. */
static bool
skip_number(struct view v, size_t *i)
{
	size_t begin = *i;

	while (*i < v.n && is_digit(v.p[*i]))
		(*i)++;
	return *i > begin && *i - begin <= 3;
}

/* RFC 3463 2: class "." subject "." detail. The length of one at the start of v, or 0. */
static size_t
enhanced_length(struct view v)
{
	size_t i = 2;

	if (v.n < 5 || (v.p[0] != '2' && v.p[0] != '4' && v.p[0] != '5') || v.p[1] != '.')
		return 0;
	if (!skip_number(v, &i) || i == v.n || v.p[i] != '.')
		return 0;
	i++;
	if (!skip_number(v, &i))
		return 0;
	return i == v.n || v.p[i] == ' ' ? i : 0;
}

static void
keep_status(struct reply *r, struct view v)
{
	_Static_assert(STATUS_TEXT_MAX > sizeof("5.123.123") - 1, "the longest has room");
	memcpy(r->status, v.p, v.n);
	r->status[v.n] = '\0';
}

static void
add_text(struct reply_parser *p, struct view v)
{
	size_t room = REPLY_TEXT_MAX - 1;
	char *at;

	if (p->text_len > 0 && v.n > 0 && p->text_len < room)
		p->reply.text[p->text_len++] = ' ';
	at = p->reply.text + p->text_len;
	v = view_first(v, room - p->text_len);
	for (size_t i = 0; i < v.n; i++)
		at[i] = is_print(v.p[i]) ? (char)v.p[i] : v.p[i] == '\t' ? ' ' : '?';
	at[v.n] = '\0';
	p->text_len += v.n;
}

/* RFC 5321 4.2: three digits, then "-" (more lines follow), space, or the end. */
static bool
line_begins_well(const struct reply_parser *p)
{
	const uint8_t *l = p->line;

	for (size_t i = 0; i < p->line_len && i < 3; i++)
		if (!is_digit(l[i]) || (i == 0 && (l[0] < '2' || l[0] > '5')))
			return false;
	return p->line_len < 4 || l[3] == ' ' || l[3] == '-' || l[3] == '\r';
}

static enum reply_progress
end_line(struct reply_parser *p)
{
	struct view v = view_of(p->line, p->line_len);
	size_t enhanced;
	bool more;
	int code;

	if (!p->cut && v.n > 0 && v.p[v.n - 1] == '\r')
		v.n--;
	if (v.n < 3 || (v.n > 3 && v.p[3] == '\r'))
		return REPLY_BAD;
	code = (v.p[0] - '0') * 100 + (v.p[1] - '0') * 10 + (v.p[2] - '0');
	if (p->reply.lines > 0 && code != p->reply.code)
		return REPLY_BAD;
	if (++p->reply.lines > REPLY_LINES_MAX)
		return REPLY_BAD;
	p->reply.code = code;
	more = v.n > 3 && v.p[3] == '-';
	v = view_from(v, 4);
	if (p->on_line != NULL)
		p->on_line(p->arg, v);
	enhanced = enhanced_length(v);
	if (enhanced > 0) {
		if (p->reply.status[0] == '\0')
			keep_status(&p->reply, view_first(v, enhanced));
		v = view_from(v, enhanced + 1);
	}
	add_text(p, v);
	p->line_len = 0;
	p->cut = false;
	return more ? REPLY_MORE : REPLY_DONE;
}

/* Keep what has room, byte by byte only where the form is checked. */
static bool
add_to_line(struct reply_parser *p, struct view v)
{
	size_t room = REPLY_LINE_MAX - p->line_len;
	size_t n = v.n < room ? v.n : room;

	if (v.n == 0)
		return true;
	memcpy(p->line + p->line_len, v.p, n);
	p->line_len += n;
	if (n < v.n)
		p->cut = true;
	return line_begins_well(p);
}

enum reply_progress
reply_parse(struct reply_parser *p, struct view in, size_t *used)
{
	enum reply_progress rc = REPLY_MORE;

	*used = 0;
	if (p->done)
		begin_reply(p);
	while (*used < in.n && rc == REPLY_MORE) {
		struct view rest = view_from(in, *used);
		size_t lf = view_find(rest, '\n');

		p->bytes += lf;
		*used += lf < rest.n ? lf + 1 : lf;
		if (!add_to_line(p, view_first(rest, lf)) || p->bytes > REPLY_BYTES_MAX)
			rc = REPLY_BAD;
		else if (lf < rest.n)
			rc = end_line(p);
	}
	p->done = rc != REPLY_MORE;
	return rc;
}

void
reply_status(const struct reply *r, char status[STATUS_TEXT_MAX])
{
	if (r->status[0] == '0' + reply_class(r))
		(void)snprintf(status, STATUS_TEXT_MAX, "%s", r->status);
	else
		(void)snprintf(status, STATUS_TEXT_MAX, "%d.0.0", reply_class(r) % 10);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "mail/returned.h"

#include "mail/header.h"

#include "base/banned.h"

#define COLUMNS		76		/* RFC 2045 6.7 */
#define LINE_TEXT_MAX	998		/* RFC 5322 2.1.1 */

/* Printable ASCII in lines that mail may have: can go as it is. */
static bool
is_plain(struct view field)
{
	struct view line;

	while (view_split(&field, '\n', &line)) {
		if (view_ends(line, VIEW("\r")))
			line.n--;
		if (line.n > LINE_TEXT_MAX)
			return false;
		for (size_t i = 0; i < line.n; i++)
			if (!is_print(line.p[i]) && line.p[i] != '\t')
				return false;
	}
	return true;
}

/* Quoted-printable (RFC 2045 6.7) of one line, without its end. */
static bool
put_quoted_line(struct buf *out, struct view line)
{
	size_t column = 0;

	for (size_t i = 0; i < line.n; i++) {
		uint8_t c = line.p[i];
		bool plain = is_print(c) && c != '=' && (c != ' ' || i + 1 < line.n);
		size_t width = plain ? 1 : 3;

		if (column + width >= COLUMNS) {
			if (!buf_add_str(out, "=\r\n"))
				return false;
			column = 0;
		}
		if (plain ? !buf_add_byte(out, c) : !buf_addf(out, "=%02X", c))
			return false;
		column += width;
	}
	return true;
}

static bool
put_lines(struct buf *out, struct view text, bool quoted)
{
	size_t before = buf_len(out);
	struct view line;

	while (view_split(&text, '\n', &line)) {
		if (view_ends(line, VIEW("\r")))
			line.n--;
		if (!(quoted ? put_quoted_line(out, line) : buf_add(out, line)) ||
		    !buf_add_str(out, "\r\n")) {
			buf_truncate(out, before);
			return false;
		}
	}
	return true;
}

/* RFC 2045 2.7, 2.8: no NUL, no CR but before LF, no line of more than 998 bytes. */
enum returned_form
returned_whole(struct view message, bool smtputf8)
{
	struct view rest = message, line;

	if (smtputf8 && !view_is_ascii(message))
		return RETURNED_QUOTED;
	while (view_split(&rest, '\n', &line)) {
		if (view_ends(line, VIEW("\r")))
			line.n--;
		if (line.n > LINE_TEXT_MAX || view_find(line, '\r') < line.n || view_find(line, 0) < line.n)
			return RETURNED_HEADER;
	}
	return view_is_ascii(message) ? RETURNED_7BIT : RETURNED_8BIT;
}

static bool
put_header(struct buf *out, struct view message)
{
	struct view text = view_first(message, HEADER_BLOCK_MAX);
	struct view rest = text;
	struct header_field field;
	bool quoted = false;

	while (header_next(&rest, &field))
		quoted = quoted || !is_plain(field.whole);
	if (!buf_addf(out, "Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: %s\r\n\r\n",
	    quoted ? "quoted-printable" : "7bit"))
		return false;
	/* A field that has no room is left out whole; shorter ones behind it may fit. */
	while (header_next(&text, &field))
		if (field.whole.p[field.whole.n - 1] == '\n')
			(void)put_lines(out, field.whole, quoted);
	return true;
}

bool
returned_put(struct buf *out, struct view message, enum returned_form form)
{
	static const char *const head[] = {
		[RETURNED_7BIT] = "Content-Type: message/rfc822\r\n\r\n",
		[RETURNED_8BIT] = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
		[RETURNED_QUOTED] =
		    "Content-Type: message/global\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
	};
	size_t before = buf_len(out);

	if (form == RETURNED_HEADER ? put_header(out, message) :
	    buf_add_str(out, head[form]) && put_lines(out, message, form == RETURNED_QUOTED))
		return true;
	buf_truncate(out, before);
	return false;
}

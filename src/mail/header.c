/* SPDX-License-Identifier: BSD-2-Clause */
#include "mail/header.h"

#include "base/date.h"

#include "base/banned.h"

static const char *const names[HEADER_NAME_COUNT] = {
	[HEADER_OTHER] = "",
	[HEADER_FROM] = "From", [HEADER_SENDER] = "Sender", [HEADER_REPLY_TO] = "Reply-To",
	[HEADER_TO] = "To", [HEADER_CC] = "Cc", [HEADER_BCC] = "Bcc", [HEADER_SUBJECT] = "Subject",
	[HEADER_DATE] = "Date", [HEADER_MESSAGE_ID] = "Message-ID",
	[HEADER_MIME_VERSION] = "MIME-Version", [HEADER_RECEIVED] = "Received",
	[HEADER_RETURN_PATH] = "Return-Path", [HEADER_RESENT_FROM] = "Resent-From",
	[HEADER_RESENT_TO] = "Resent-To", [HEADER_RESENT_CC] = "Resent-Cc",
	[HEADER_RESENT_BCC] = "Resent-Bcc", [HEADER_RESENT_DATE] = "Resent-Date",
	[HEADER_RESENT_MESSAGE_ID] = "Resent-Message-ID",
	[HEADER_PHP_SCRIPT] = "X-PHP-Originating-Script",
};

static enum header_name
name_of(struct view label)
{
	for (size_t i = 1; i < HEADER_NAME_COUNT; i++)
		if (view_ieq(label, view_str(names[i])))
			return (enum header_name)i;
	return HEADER_OTHER;
}

/* The first line of text, with its line end if it has one. */
static struct view
first_line(struct view text)
{
	size_t at = view_find(text, '\n');

	return view_first(text, at == text.n ? at : at + 1);
}

static bool
is_blank(struct view line)
{
	return view_eq(line, VIEW("\r\n")) || view_eq(line, VIEW("\n"));
}

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/*
 * field-name = 1*(%d33-57 / %d59-126); spaces in front of the colon are
 * obsolete but legal (RFC 5322 4.5). Sets *colon to where that is.
 */
static bool
is_field(struct view line, struct view *label, size_t *colon)
{
	size_t n = 0;

	while (n < line.n && line.p[n] > ' ' && line.p[n] < 0x7f && line.p[n] != ':')
		n++;
	*label = view_first(line, n);
	while (n < line.n && is_space(line.p[n]))
		n++;
	*colon = n;
	return label->n > 0 && n < line.n && line.p[n] == ':';
}

bool
header_next(struct view *io, struct header_field *out)
{
	struct view line = first_line(*io);
	struct header_field f;
	size_t colon, end = line.n;

	if (!is_field(line, &f.label, &colon))
		return false;
	while (end < io->n && is_space(io->p[end]))
		end += first_line(view_from(*io, end)).n;
	f.name = name_of(f.label);
	f.whole = view_first(*io, end);
	f.value = view_from(f.whole, colon + 1);
	*io = view_from(*io, end);
	*out = f;
	return true;
}

void
header_scan_init(struct header_scan *s)
{
	*s = (struct header_scan){ 0 };
}

/* False if this line ends the header. */
static bool
scan_line(struct header_scan *s, struct view line)
{
	enum header_name name;
	struct view label;
	size_t colon;

	if (is_blank(line)) {
		s->blank = true;
		return false;
	}
	if (s->at > 0 && is_space(line.p[0]))
		return true;
	if (s->at == 0 && (view_starts(line, VIEW("From ")) || view_starts(line, VIEW(">From ")))) {
		s->mbox_line = true;
		return true;
	}
	if (!is_field(line, &label, &colon))
		return false;
	name = name_of(label);
	if (name == HEADER_PHP_SCRIPT && s->count[name] == 0) {
		s->script_at = s->at + colon + 1;
		s->script_n = line.n - colon - 1;
	}
	s->count[name]++;
	return true;
}

bool
header_scan(struct header_scan *s, struct view text, bool all)
{
	while (!s->ended) {
		struct view line = first_line(view_from(text, s->at));
		bool whole = line.n > 0 && line.p[line.n - 1] == '\n';

		if (!whole && !all)
			return false;
		if (line.n == 0 || !scan_line(s, line))
			s->ended = true;
		else
			s->at += line.n;
	}
	return true;
}

bool
header_put_message_id(struct buf *out, const char *hostname, int64_t wall_ms, uint64_t nonce)
{
	char date[DATE_MAX];
	char digits[15];
	size_t n = 0;

	(void)date_rfc3339(date, wall_ms);	/* 2026-11-22T07:30:23.120Z */
	for (size_t i = 0; date[i] != '\0' && date[i] != '.' && n < sizeof(digits) - 1; i++)
		if (is_digit((uint8_t)date[i]))
			digits[n++] = date[i];
	digits[n] = '\0';
	return buf_addf(out, "<%s.%016llx@%s>", digits, (unsigned long long)nonce, hostname);
}

bool
header_put_missing(struct buf *out, const struct header_scan *s, const char *hostname,
    int64_t wall_ms, uint64_t nonce)
{
	size_t before = buf_len(out);
	char date[DATE_MAX];

	if (s->count[HEADER_DATE] == 0 &&
	    !buf_addf(out, "Date: %s\r\n", date_rfc5322(date, wall_ms)))
		goto full;
	if (s->count[HEADER_MESSAGE_ID] == 0 && (!buf_add_str(out, "Message-ID: ") ||
	    !header_put_message_id(out, hostname, wall_ms, nonce) || !buf_add_str(out, "\r\n")))
		goto full;
	return true;
full:
	buf_truncate(out, before);
	return false;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "mail/bounce.h"

#include <stdio.h>

#include "base/date.h"
#include "base/num.h"
#include "base/quote.h"
#include "mail/header.h"
#include "mail/returned.h"

#include "base/banned.h"

#define COLUMNS		76		/* RFC 2045 6.7 and easy reading */
#define ADDRESS_MAX	900		/* a line's 998 less the words in front */
#define TEXT_MAX	1000		/* of an upstream's reply */
#define INDENT_COLUMN	4

/* How much the parts may take; what is left of BOUNCE_MAX is for framing. */
#define PEOPLE_MAX	(1u << 20)
#define STATUS_PART_MAX	(5u << 19)
#define HEADER_PART_MAX	20480
#define TAIL_MAX	256		/* the words about those left out */

struct bounce {
	const struct bounce_facts *facts;
	bool		 failed;	/* something did */
	enum returned_form returned;	/* of the original */
	const char	*why_not;	/* a sentence: all of it was asked for, and does not go back; or "" */
	struct buf	 part;		/* under construction, with its own maximum */
	char		 boundary[40];
};

/* --- text from outside, made printable -------------------------------------- */

/* A copy in ASCII, line breaks as spaces, cut with "..." behind it. */
static bool
put_flat(struct buf *out, struct view v, size_t max)
{
	size_t before = buf_len(out);
	struct view kept = view_first(v, max);
	struct buf copy;
	bool ok;

	buf_init(&copy, max + 4);
	ok = buf_add(&copy, kept);
	for (size_t i = 0; ok && i < buf_len(&copy); i++)
		if (copy.data[i] == '\r' || copy.data[i] == '\n' || copy.data[i] == '\t')
			copy.data[i] = ' ';
	if (ok && copy.data != NULL)
		quote_flatten(copy.data, buf_len(&copy));
	if (kept.n < v.n)
		ok = ok && buf_add_str(&copy, "...");
	ok = ok && buf_add(out, view_trim(buf_view(&copy)));
	buf_done(&copy);
	if (!ok)
		buf_truncate(out, before);
	return ok;
}

/* In ASCII, whole: a letter beyond it as \x{E9} (utf-8-addr-xtext, RFC 6533 3). */
static bool
put_address(struct buf *out, struct view v)
{
	size_t before = buf_len(out);
	bool ok = true;

	if (view_is_ascii(v))
		return put_flat(out, v, ADDRESS_MAX);
	while (ok && v.n > 0 && buf_len(out) - before < ADDRESS_MAX) {
		uint32_t point = '?';
		size_t n = quote_utf8(v, &point);

		if (point > 0x7f || view_find(VIEW("\\+="), (uint8_t)point) < 3)
			ok = buf_addf(out, "\\x{%02X}", (unsigned)point);
		else
			ok = buf_add_byte(out, point > ' ' && point < 0x7f ? (uint8_t)point : '?');
		v = view_from(v, n > 0 ? n : 1);
	}
	if (ok && v.n > 0)
		ok = buf_add_str(out, "...");
	if (!ok)
		buf_truncate(out, before);
	return ok;
}

/* What ENVID and ORCPT stand for: xtext (RFC 3461 4), its "+XX" decoded. */
static bool
put_xtext(struct buf *out, struct view v)
{
	struct buf text;
	bool ok = true;

	buf_init(&text, ADDRESS_MAX);
	for (size_t i = 0; ok && i < v.n; i++) {
		uint8_t c = v.p[i];

		if (c == '+' && num_parse_hex_bytes(view_first(view_from(v, i + 1), 2), &c, 1))
			i += 2;
		ok = buf_add_byte(&text, c);
	}
	ok = ok && put_address(out, buf_view(&text));
	buf_done(&text);
	return ok;
}

/*
 * Words of v in lines of at most COLUMNS, indent in front of each line but the
 * first, which begins at column. A word longer than a line is cut.
 */
static bool
put_wrapped(struct buf *out, struct view v, size_t column, const char *indent)
{
	size_t margin = strlen(indent);
	bool first = true;
	struct view word;

	while (view_split(&v, ' ', &word)) {
		while (word.n > 0) {
			size_t room = column + 1 < COLUMNS ? COLUMNS - column - 1 : 0;
			size_t n = word.n;

			if (n > room && column > margin) {
				if (!buf_add_str(out, "\r\n") || !buf_add_str(out, indent))
					return false;
				column = margin;
				first = true;
				continue;
			}
			if (n > COLUMNS - margin - 1)
				n = COLUMNS - margin - 1;
			if (!first && !buf_add_byte(out, ' '))
				return false;
			if (!buf_add(out, view_first(word, n)))
				return false;
			column += n + (first ? 0 : 1);
			first = false;
			word = view_from(word, n);
		}
	}
	return true;
}

static bool
is_status(struct view v)
{
	size_t dots = 0;

	if (v.n < 5 || v.n > 11 || (v.p[0] != '4' && v.p[0] != '5') || v.p[1] != '.')
		return false;
	for (size_t i = 1; i < v.n; i++) {
		if (v.p[i] == '.' && v.p[i - 1] != '.' && i + 1 < v.n)
			dots++;
		else if (!is_digit(v.p[i]))
			return false;
	}
	return dots == 2;
}

static struct view
status_of(const struct bounce_rcpt *r)
{
	if (r->why == BOUNCE_RELAYED)
		return VIEW("2.1.9");		/* RFC 3886 3.4 */
	if (is_status(r->status))
		return r->status;
	return r->why == BOUNCE_EXPIRED ? VIEW("4.4.7") : VIEW("5.0.0");
}

/* "550 5.1.1 No such user": what was said, on one line. A status of ours is not among it. */
static bool
put_answer(struct buf *out, const struct bounce_rcpt *r)
{
	size_t before = buf_len(out);

	if (r->code != 0 && !buf_addf(out, "%d ", r->code))
		goto full;
	if (r->code != 0 && r->why == BOUNCE_REFUSED && is_status(r->status) &&
	    (!buf_add(out, r->status) || !buf_add_byte(out, ' ')))
		goto full;
	if (!put_flat(out, r->text, TEXT_MAX))
		goto full;
	return true;
full:
	buf_truncate(out, before);
	return false;
}

/* --- of which recipients -------------------------------------------------------- */

/* One recipient, with all that is known or in short; false without room, and out is as before. */
typedef bool put_rcpt_fn(const struct bounce *, struct buf *out, const struct bounce_rcpt *, bool in_short);

static size_t
short_length(const struct bounce *b, put_rcpt_fn *put, const struct bounce_rcpt *r)
{
	struct buf one;
	size_t n;

	buf_init(&one, 4 * ADDRESS_MAX);
	n = put(b, &one, r, true) ? buf_len(&one) : 0;
	buf_done(&one);
	return n;
}

/*
 * Those that failed, or those that were passed on. Nobody is told at length while another of them
 * could not be named for it. Returns how many have no room at all.
 */
static size_t
list_kind(const struct bounce *b, struct buf *out, bool failed, put_rcpt_fn *put)
{
	const struct bounce_facts *f = b->facts;
	size_t reserve = 0, left = 0, max = out->max;

	for (size_t i = 0; i < f->nrcpt; i++)
		if ((f->rcpt[i].why != BOUNCE_RELAYED) == failed)
			reserve += short_length(b, put, &f->rcpt[i]);
	for (size_t i = 0; i < f->nrcpt; i++) {
		const struct bounce_rcpt *r = &f->rcpt[i];
		bool done = false;

		if ((r->why != BOUNCE_RELAYED) != failed)
			continue;
		reserve -= short_length(b, put, r);
		if (buf_len(out) + reserve < max) {
			out->max = max - reserve;
			done = put(b, out, r, false);
			out->max = max;
		}
		if (!done && !put(b, out, r, true))
			left++;
	}
	return left;
}

struct left { size_t failed, relayed; };

/* Failures come first: they are what the report is for. */
static struct left
list_all(const struct bounce *b, struct buf *out, put_rcpt_fn *put)
{
	struct left left;

	left.failed = list_kind(b, out, true, put);
	left.relayed = list_kind(b, out, false, put);
	return left;
}

/* --- for people --------------------------------------------------------------- */

static bool
put_reason(const struct bounce *b, struct buf *out, const struct bounce_rcpt *r)
{
	char period[32];

	(void)num_duration_text(period, sizeof(period), b->facts->now_ms - b->facts->original->received_ms);
	switch (r->why) {
	case BOUNCE_REFUSED:
		if (r->remote.n == 0)
			return buf_add_str(out, "    It was refused:\r\n");
		return buf_add_str(out, "    ") && put_flat(out, r->remote, 255) &&
		    buf_add_str(out, " refused it:\r\n");
	case BOUNCE_EXPIRED:
		return buf_addf(out, "    It could not be delivered for %s.%s\r\n", period,
		    r->text.n != 0 || r->code != 0 ? " What was heard last:" : "");
	case BOUNCE_RELAYED:
		return buf_add_str(out, "    It was passed on to ") && put_flat(out, r->remote, 255) &&
		    buf_add_str(out, ", which makes no reports of success:\r\n");
	case BOUNCE_LOCAL:
		break;
	}
	return buf_add_str(out, "    This mail system could not go on with it:\r\n");
}

static bool
put_person(const struct bounce *b, struct buf *out, const struct bounce_rcpt *r, bool in_short)
{
	size_t before = buf_len(out);
	struct buf answer;
	bool ok;

	buf_init(&answer, TEXT_MAX + 64);
	ok = put_answer(&answer, r) &&
	    buf_add_byte(out, '<') && put_address(out, r->address) && buf_add_str(out, ">\r\n");
	if (ok && !in_short) {
		ok = put_reason(b, out, r);
		if (ok && buf_len(&answer) > 0)
			ok = buf_add_str(out, "    ") &&
			    put_wrapped(out, buf_view(&answer), INDENT_COLUMN, "    ") && buf_add_str(out, "\r\n");
		ok = ok && buf_add_str(out, "\r\n");
	}
	buf_done(&answer);
	if (!ok)
		buf_truncate(out, before);
	return ok;
}

static bool
put_people(struct bounce *b)
{
	const struct bounce_facts *f = b->facts;
	char date[DATE_MAX];
	struct left left;

	if (!buf_addf(&b->part,
	    "This is the mail system of %.255s.\r\n\r\n"
	    "%sThe %smessage is attached.\r\n"
	    "%s\r\n"
	    "  Accepted: %s\r\n"
	    "  Queue id: %.32s\r\n"
	    "  From:     <", f->hostname, b->failed ?
	    "A message could not be delivered to the recipients below. It will not be\r\n"
	    "tried again. " :
	    "A message was passed on to the recipients below, as far as this mail system\r\n"
	    "can tell. ", b->returned != RETURNED_HEADER ? "" : "header of the ",
	    b->why_not, date_rfc5322(date, f->original->received_ms), f->id))
		return false;
	if (!put_address(&b->part, f->original->from) || !buf_add_str(&b->part, ">\r\n\r\n"))
		return false;
	b->part.max -= TAIL_MAX;
	left = list_all(b, &b->part, put_person);
	b->part.max += TAIL_MAX;
	if (left.failed > 0 && !buf_addf(&b->part,
	    "... and %zu more recipients that it could NOT be delivered to; there is no room\r\n"
	    "to list them here.\r\n", left.failed))
		return false;
	return left.relayed == 0 || buf_addf(&b->part,
	    "... and %zu more recipients that it was passed on to.\r\n", left.relayed);
}

/* --- message/delivery-status --------------------------------------------------- */

/*
 * "rfc822;bob+40x": the type stays as it is (RFC 3464 2.3.1). Behind "utf-8" is no xtext: what it has
 * as \x{FC} already stays, and the rest beyond ASCII becomes that (RFC 6533 3).
 */
static bool
put_original(struct buf *out, struct view orcpt)
{
	struct view type = view_first(orcpt, view_find(orcpt, ';'));
	struct view name = view_from(orcpt, type.n + 1);
	struct buf text;
	bool ok = put_flat(out, type, COLUMNS) && buf_add_str(out, "; ");

	if (!view_ieq(type, VIEW("utf-8")))
		return ok && put_xtext(out, name);
	buf_init(&text, 4 * ADDRESS_MAX);
	ok = ok && quote_unicode(&text, name) && put_flat(out, buf_view(&text), ADDRESS_MAX);
	buf_done(&text);
	return ok;
}

/* What RFC 3464 2.3 demands of each recipient. */
static bool
put_result(struct buf *out, const struct bounce_rcpt *r)
{
	return buf_addf(out, "Final-Recipient: %s; ", view_is_ascii(r->address) ? "rfc822" : "utf-8") &&
	    put_address(out, r->address) &&
	    buf_addf(out, "\r\nAction: %s\r\nStatus: ", r->why == BOUNCE_RELAYED ? "relayed" : "failed") &&
	    buf_add(out, status_of(r)) && buf_add_str(out, "\r\n");
}

static bool
put_details(struct buf *out, const struct bounce_rcpt *r)
{
	/* A code makes it the words of an SMTP server (RFC 3464 2.3.6). */
	const char *label = r->code != 0 ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: x-posthouse; ";
	char date[DATE_MAX];
	struct buf answer;
	bool ok = true;

	buf_init(&answer, TEXT_MAX + 64);
	if (r->remote.n != 0)
		ok = buf_add_str(out, "Remote-MTA: dns; ") && put_flat(out, r->remote, 255) &&
		    buf_add_str(out, "\r\n");
	if (ok && (r->code != 0 || r->text.n != 0))
		ok = put_answer(&answer, r) && buf_add_str(out, label) &&
		    put_wrapped(out, buf_view(&answer), strlen(label), " ") && buf_add_str(out, "\r\n");
	if (ok && r->last_ms != 0)
		ok = buf_addf(out, "Last-Attempt-Date: %s\r\n", date_rfc5322(date, r->last_ms));
	buf_done(&answer);
	return ok;
}

static bool
put_status_rcpt(const struct bounce *b, struct buf *out, const struct bounce_rcpt *r, bool in_short)
{
	size_t before = buf_len(out);
	bool ok = buf_add_str(out, "\r\n");

	if (ok && !in_short && r->original.n != 0)
		ok = buf_add_str(out, "Original-Recipient: ") && put_original(out, r->original) &&
		    buf_add_str(out, "\r\n");
	ok = ok && put_result(out, r) && (in_short || put_details(out, r));
	if (!ok)
		buf_truncate(out, before);
	return ok;
}

/* Of the message; how many recipients are not named below is a field of ours. */
static bool
put_status_head(struct bounce *b, struct left left)
{
	const struct bounce_facts *f = b->facts;
	char date[DATE_MAX];

	if (f->original->envid.n != 0 && (!buf_add_str(&b->part, "Original-Envelope-Id: ") ||
	    !put_xtext(&b->part, f->original->envid) || !buf_add_str(&b->part, "\r\n")))
		return false;
	if (!buf_addf(&b->part, "Reporting-MTA: dns; %.255s\r\nX-Posthouse-Queue-Id: %.32s\r\nArrival-Date: %s\r\n",
	    f->hostname, f->id, date_rfc5322(date, f->original->received_ms)))
		return false;
	return left.failed + left.relayed == 0 ||
	    buf_addf(&b->part, "X-Posthouse-Not-Listed: %zu failed, %zu relayed\r\n", left.failed, left.relayed);
}

static bool
put_status(struct bounce *b)
{
	struct buf rows;
	struct left left;
	bool ok;

	/* Beside it the head, with an ENVID of at most 100 bytes. */
	buf_init(&rows, b->part.max - 4096);
	left = list_all(b, &rows, put_status_rcpt);
	ok = put_status_head(b, left) && buf_add(&b->part, buf_view(&rows));
	buf_done(&rows);
	return ok;
}

/* --- the whole --------------------------------------------------------------------- */

static bool
is_printable_utf8(struct view v)
{
	uint32_t point;

	for (size_t n = 0; v.n > 0; v = view_from(v, n)) {
		n = quote_utf8(v, &point);
		if (n == 0 || point < ' ' || (point >= 0x7f && point < 0xa0))
			return false;
	}
	return true;
}

/* A report to an address beyond ASCII goes out with SMTPUTF8: its header may have it (RFC 6532). */
static bool
put_to(struct buf *out, struct view to)
{
	if (view_is_ascii(to))
		return put_flat(out, to, ADDRESS_MAX);
	return to.n <= ADDRESS_MAX && is_printable_utf8(to) ? buf_add(out, to) : put_address(out, to);
}

static bool
put_top(struct buf *out, struct bounce *b)
{
	const struct bounce_facts *f = b->facts;
	char date[DATE_MAX];

	const char *subject = b->failed ? "could not be delivered" : "was passed on";

	return buf_addf(out, "From: \"Mail Delivery System\" <mailer-daemon@%s>\r\nTo: <", f->hostname) &&
	    put_to(out, f->to) && buf_add_str(out, ">\r\n") &&
	    buf_addf(out, "Subject: Your message %s\r\nDate: %s\r\nMessage-ID: ", subject,
	    date_rfc5322(date, f->now_ms)) &&
	    header_put_message_id(out, f->hostname, f->now_ms, f->nonce) &&
	    buf_addf(out, "\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n%s\r\n"
	    "This is a report in MIME format.\r\n", b->boundary,
	    b->returned == RETURNED_8BIT ? "Content-Transfer-Encoding: 8bit\r\n" : "");	/* RFC 2045 6.4 */
}

/* One part: its head, then what fill() makes of it, in at most max bytes. */
static bool
put_part(struct buf *out, struct bounce *b, const char *head, bool (*fill)(struct bounce *), size_t max)
{
	bool ok;

	buf_init(&b->part, max);
	ok = fill(b) && buf_addf(out, "\r\n--%s\r\n%s", b->boundary, head) && buf_add(out, buf_view(&b->part));
	buf_done(&b->part);
	return ok;
}

static bool
put_original_part(struct bounce *b)
{
	return returned_put(&b->part, b->facts->message, b->returned);
}

static bool
put_all(struct buf *out, struct bounce *b)
{
	size_t before = buf_len(out);

	if (put_top(out, b) &&
	    put_part(out, b, "Content-Type: text/plain; charset=us-ascii\r\n\r\n", put_people, PEOPLE_MAX) &&
	    put_part(out, b, "Content-Type: message/delivery-status\r\n\r\n", put_status, STATUS_PART_MAX) &&
	    put_part(out, b, "", put_original_part,
	    b->returned == RETURNED_HEADER ? HEADER_PART_MAX : BOUNCE_MAX) &&
	    buf_addf(out, "\r\n--%s--\r\n", b->boundary))
		return true;
	buf_truncate(out, before);
	return false;
}

bool
bounce_wants_all(const struct envelope *original)
{
	return original->bounce || view_ieq(original->ret, VIEW("FULL"));
}

/* RFC 3461 4.3: where nothing failed the header is enough. */
static void
choose_returned(struct bounce *b)
{
	const struct bounce_facts *f = b->facts;

	b->returned = RETURNED_HEADER;
	if (!b->failed || !bounce_wants_all(f->original))
		return;
	if (f->size > f->returned_max)
		b->why_not = "It was to come back whole, but is longer than what goes back at most.\r\n";
	else if (f->message.n < f->size)
		b->why_not = "It was to come back whole, but can't be read to its end.\r\n";
	else if ((b->returned = returned_whole(f->message, f->original->smtputf8)) == RETURNED_HEADER)
		b->why_not = "It was to come back whole, but has a line that is too long for that.\r\n";
}

bool
bounce_build(struct buf *out, const struct bounce_facts *f)
{
	struct bounce b = { .facts = f, .why_not = "" };

	for (size_t i = 0; i < f->nrcpt; i++)
		b.failed = b.failed || f->rcpt[i].why != BOUNCE_RELAYED;
	choose_returned(&b);
	/* "=_" can't be in quoted-printable, and nobody can guess the rest. */
	(void)snprintf(b.boundary, sizeof(b.boundary), "=_%016llx", (unsigned long long)f->nonce);
	if (put_all(out, &b))
		return true;
	if (b.returned == RETURNED_HEADER)
		return false;
	b.returned = RETURNED_HEADER;		/* who failed is told first */
	b.why_not = "It was to come back whole, but there is no room for it.\r\n";
	return put_all(out, &b);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command parser: byte 0 chooses what was said before, the rest up to a line end is one command.
 * It has one reply and no other, the same by CRLF, by LF, byte by byte, and with its verb in the other
 * case; and what is said to be taken is there when DATA asks for it.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "replies.h"
#include "smtp/server.h"

#include "base/banned.h"

#define SAID_MAX (64u << 10)
#define LINE_SURELY_FITS 2040		/* doc/smtp.md: 2048 with its end */

static const char *const before[] = {
	"", "HELO x\r\n", "EHLO x\r\n", "EHLO x\r\nMAIL FROM:<a@b.example>\r\n",
	"EHLO x\r\nMAIL FROM:<> SMTPUTF8\r\n", "EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\n",
};

enum how { BY_CRLF, BY_LF, BY_BYTE, OTHER_CASE, HOW_COUNT };

struct heard {
	struct buf	said;
	bool		closed;
	bool		body;		/* the command was taken for DATA or BDAT */
};

static void
feed(struct server *s, struct view in, struct heard *h)
{
	struct server_event ev;
	size_t used;

	while (!h->closed && !h->body) {
		switch (server_step(s, in, &used, &ev)) {
		case SERVER_WANT_INPUT:
			require(used == in.n);
			return;
		case SERVER_DATA:
			require(server_envelope(s)->nrcpt > 0);
			h->body = true;
			break;
		case SERVER_CLOSE:
			h->closed = true;
			break;
		case SERVER_ABORT:
			break;
		default:
			require(false);
		}
		require(used <= in.n);
		in = view_from(in, used);
	}
}

/* The letters of the verb in the other case. */
static void
swap_case(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n && p[i] != ' '; i++)
		if ((p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= 'a' && p[i] <= 'z'))
			p[i] ^= 0x20;
}

static void
say(struct server *s, struct view line, enum how how, struct heard *h)
{
	struct buf text;

	buf_init(&text, line.n + 2);
	require(buf_add(&text, line) && buf_add_str(&text, how == BY_LF ? "\n" : "\r\n"));
	if (how == OTHER_CASE)
		swap_case(text.data, line.n);
	if (how == BY_BYTE)
		for (size_t i = 0; i < buf_len(&text); i++)
			feed(s, view_first(view_from(buf_view(&text), i), 1), h);
	else
		feed(s, buf_view(&text), h);
	buf_done(&text);
}

/* "250 2.1.5": then DATA has an envelope, which feed() looks at. */
static void
check_taken(struct server *s, const struct heard *h)
{
	struct heard then = { .closed = false };

	if (!view_starts(buf_view(&h->said), VIEW("250 2.1.5")))
		return;
	feed(s, VIEW("DATA\r\n"), &then);
	require(then.body);
}

static void
play(struct view line, unsigned choice, enum how how, struct heard *h)
{
	const struct server_params params = {
		.hostname = "h.example", .size_max = 300, .recipients_max = 3, .errors_max = 6,
		.default_domain = "h.example", .any_login = (choice & 128) != 0,
	};
	struct server *s = server_new(&params);
	struct heard start = { .closed = false };

	*h = (struct heard){ .closed = false };
	server_greet(s, NULL);
	feed(s, view_str(before[(choice & 127) % lengthof(before)]), &start);
	require(!start.closed && !start.body);
	buf_clear(server_output(s));
	say(s, line, how, h);
	buf_init(&h->said, SAID_MAX);
	require(buf_add(&h->said, buf_view(server_output(s))));
	require(h->body || fuzz_check_replies(buf_view(&h->said)) == 1);
	check_taken(s, h);
	server_free(s);
}

/* Where a line is too long, how much of it is seen is a matter of cuts; HTTP is known by its capitals. */
static bool
must_agree(struct view line, enum how how, const struct heard *a, const struct heard *b)
{
	if (line.n > LINE_SURELY_FITS)
		return false;
	return how == OTHER_CASE ? !a->closed && !b->closed : !view_ends(line, VIEW("\r"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size), line;
	unsigned choice = fuzz_choice(&in);
	struct heard first, other;

	line = view_first(in, view_find(in, '\n'));
	play(line, choice, BY_CRLF, &first);
	for (enum how how = BY_LF; how < HOW_COUNT; how++) {
		play(line, choice, how, &other);
		if (must_agree(line, how, &first, &other)) {
			require(first.closed == other.closed && first.body == other.body);
			require(view_eq(buf_view(&first.said), buf_view(&other.said)));
		}
		buf_done(&other.said);
	}
	buf_done(&first.said);
	return 0;
}

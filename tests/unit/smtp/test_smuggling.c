/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * No end of data that is none. Every mixture of line ends, dots and NUL, with commands behind
 * it, goes through the server, by DATA and by chunks cut at every point, and out again as the
 * client sends it; readers that are deliberately naive look for an end in the middle of that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp/dot.h"
#include "smtp/server.h"

#include "base/banned.h"

#define SMUGGLED "MAIL FROM:<eve@example.org>\r\nRCPT TO:<eve@example.org>\r\nDATA\r\nfalse\r\n"

static const struct server_params params = {
	.hostname = "h.example", .size_max = 10000, .default_domain = "h.example",
};

/* --- what a server makes of it --------------------------------------------------------- */

static struct {
	struct buf	text;		/* of the message that was stored last */
	struct buf	said;
	unsigned	begun, stored;
} got;

static void
feed(struct server *s, struct view in)
{
	static const struct server_answer fine = { 250, "2.0.0", "Ok" };
	enum server_action action;

	do {
		struct server_event ev;
		size_t used;

		action = server_step(s, in, &used, &ev);
		in = view_from(in, used);
		if (action == SERVER_DATA) {
			got.begun++;
			buf_clear(&got.text);
			server_data_ready(s, NULL);
		} else if (action == SERVER_BODY) {
			assert_true(buf_add(&got.text, ev.body));
		} else if (action == SERVER_COMMIT) {
			got.stored++;
			server_commit_result(s, &fine);
		}
	} while (action != SERVER_WANT_INPUT && action != SERVER_CLOSE);
	assert_true(buf_add(&got.said, buf_view(server_output(s))));
	buf_clear(server_output(s));
}

static unsigned
lines_said(void)
{
	struct view v = buf_view(&got.said), line;
	unsigned n = 0;

	while (view_split(&v, '\n', &line))
		n += line.p[3] == ' ';
	return n;
}

static void
begin(struct server **s)
{
	buf_clear(&got.said);
	got.begun = got.stored = 0;
	*s = server_new(&params);
	server_greet(*s, NULL);
	feed(*s, VIEW("EHLO c\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"));
	buf_clear(&got.said);
}

/* --- what others would make of what we send ----------------------------------------------- */

/* How a reader takes bytes for lines. */
struct reader {
	const char	*name;
	bool		 lf, cr;	/* each ends a line; neither: CRLF alone does */
	bool		 no_nul;	/* it sees no NUL */
	bool		 nul;		/* NUL ends a line as well */
	bool		 trims;		/* CR, LF and spaces around a line are nothing */
};

static const struct reader readers[] = {
	{ "strict", false, false, false, false, false },
	{ "LF", true, false, false, false, false },
	{ "LF, trimmed", true, false, false, false, true },
	{ "CR", false, true, false, false, false },
	{ "CR, trimmed", false, true, false, false, true },
	{ "any", true, true, false, false, false },
	{ "any, without NUL", true, true, true, false, true },
	{ "any, with NUL", true, true, false, true, true },
	{ "LF, without NUL", true, false, true, false, true },
	{ "strict, without NUL", false, false, true, false, false },
};

static bool
is_lone_dot(const struct reader *r, struct view line)
{
	while (r->trims && line.n > 0 && (line.p[0] == '\r' || line.p[0] == '\n'))
		line = view_from(line, 1);
	while (r->trims && line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n' ||
	    line.p[line.n - 1] == ' '))
		line.n--;
	return view_eq(line, VIEW("."));
}

/* Bytes up to the end of the first line, that included; *n without. */
static size_t
next_line(const struct reader *r, struct view v, size_t *n)
{
	for (size_t i = 0; i < v.n; i++) {
		bool crlf = v.p[i] == '\r' && i + 1 < v.n && v.p[i + 1] == '\n';

		*n = i;
		if (crlf && (r->lf == r->cr))
			return i + 2;
		if ((r->lf && v.p[i] == '\n') || (r->cr && v.p[i] == '\r') || (r->nul && v.p[i] == 0))
			return i + 1;
	}
	*n = v.n;
	return v.n;
}

/* What is left behind the first end of data that this reader sees. */
static struct view
behind_the_end(const struct reader *r, struct view wire, struct buf *room)
{
	struct view line;
	size_t n;

	buf_clear(room);
	for (size_t i = 0; i < wire.n; i++)
		if (!r->no_nul || wire.p[i] != 0)
			assert_true(buf_add_byte(room, wire.p[i]));
	wire = buf_view(room);
	while (wire.n > 0) {
		size_t all = next_line(r, wire, &n);

		line = view_first(wire, n);
		wire = view_from(wire, all);
		if (is_lone_dot(r, line))
			break;
	}
	return wire;
}

static void
expect_one_message(struct view wire)
{
	struct buf room;

	buf_init(&room, 1u << 16);
	for (size_t i = 0; i < lengthof(readers); i++) {
		struct view rest = behind_the_end(&readers[i], wire, &room);

		if (rest.n > 1 || (rest.n == 1 && rest.p[0] != '\n'))
			fail_msg("to \"%s\" \"%.*s\" goes on with \"%.*s\"", readers[i].name,
			    VIEW_ARG(wire), VIEW_ARG(rest));
	}
	buf_done(&room);
}

/* As smtp/client sends it: as much as fits, again and again. */
static void
expect_safe_upstream(struct view text)
{
	static const size_t rooms[] = { 4, 7, 100000 };

	for (size_t i = 0; i < lengthof(rooms); i++) {
		struct dot_encoder e;
		struct buf wire, piece;
		size_t at = 0;

		buf_init(&wire, 1u << 16);
		buf_init(&piece, rooms[i] + DOT_END_MAX);
		dot_encoder_init(&e);
		while (at < text.n) {
			at += dot_encode(&e, &piece, rooms[i], view_from(text, at));
			assert_true(buf_add(&wire, buf_view(&piece)));
			buf_clear(&piece);
		}
		assert_true(dot_encode_end(&e, &wire));
		expect_one_message(buf_view(&wire));
		buf_done(&wire);
		buf_done(&piece);
	}
}

/* --- tricks ----------------------------------------------------------------------------------- */

static const struct view ends[] = {
	VIEW("\r\n"), VIEW("\n"), VIEW("\r"), VIEW("\r\r\n"), VIEW("\n\r"), VIEW("\r\n\r"), VIEW("\r\0\n"),
	VIEW("\0\r\n"), VIEW("\r\n\0"), VIEW("\0"),
};
static const struct view dots[] = {
	VIEW("."), VIEW(".."), VIEW(". "), VIEW("\0."), VIEW(".\0"), VIEW(".\r"),
};
/* What stands before it: a text, or nothing at all. */
static const struct view heads[] = { VIEW("first"), VIEW(""), VIEW("first\r\n") };

static void
for_each_trick(void (*check)(struct view text))
{
	struct buf b;

	buf_init(&b, 1000);
	for (size_t i = 0; i < lengthof(ends); i++)
		for (size_t k = 0; k < lengthof(dots); k++)
			for (size_t m = 0; m < lengthof(ends) * lengthof(heads); m++) {
				buf_clear(&b);
				assert_true(buf_add(&b, heads[m % lengthof(heads)]) && buf_add(&b, ends[i]) &&
				    buf_add(&b, dots[k]) && buf_add(&b, ends[m / lengthof(heads)]) &&
				    buf_add(&b, VIEW(SMUGGLED)));
				check(buf_view(&b));
			}
	buf_done(&b);
}

/* One message, or none because of a NUL; and nobody downstream sees two. */
static void
expect_outcome(struct view text, unsigned replies)
{
	bool nul = view_find(text, 0) < text.n;

	assert_int_equal(got.begun, 1);
	assert_int_equal(got.stored, !nul);
	assert_int_equal(lines_said(), replies);
	assert_int_equal(view_search(buf_view(&got.said), VIEW("554 5.6.0 ")) < buf_len(&got.said), nul);
	if (nul)
		return;
	assert_true(view_ends(buf_view(&got.text), VIEW("\r\n" SMUGGLED)));
	expect_safe_upstream(buf_view(&got.text));
}

/* Whether the data really ends within it (RFC 5321 4.1.1.4). */
static bool
has_end(struct view text)
{
	return view_starts(text, VIEW(".\r\n")) || view_search(text, VIEW("\r\n.\r\n")) < text.n;
}

static void
check_data(struct view text)
{
	struct buf all;
	struct server *s;

	if (has_end(text))
		return;
	buf_init(&all, 2000);
	assert_true(buf_add(&all, text) && buf_add(&all, VIEW(".\r\nNOOP\r\n")));
	for (size_t split = 0; split <= text.n && split < 24; split++) {	/* of the trick, and some more */
		begin(&s);
		feed(s, VIEW("DATA\r\n"));
		feed(s, view_first(buf_view(&all), split));
		feed(s, view_from(buf_view(&all), split));
		expect_outcome(text, 3);
		server_free(s);
		if (split > 0 && split < 20)
			continue;
		begin(&s);		/* all of it without waiting; and byte by byte */
		feed(s, VIEW("DATA\r\n"));
		for (struct view v = buf_view(&all); v.n > 0; v = view_from(v, split == 0 ? v.n : 1))
			feed(s, split == 0 ? v : view_first(v, 1));
		expect_outcome(text, 3);
		server_free(s);
	}
	buf_done(&all);
}

static void
test_nothing_else_ends_the_data(void **state)
{
	for_each_trick(check_data);
}

static void
check_chunks(struct view text)
{
	for (size_t split = 0; split <= text.n && split < 24; split++) {	/* of the trick, and some more */
		struct server *s;
		struct buf all;

		buf_init(&all, 4000);
		assert_true(buf_addf(&all, "BDAT %zu\r\n", split) && buf_add(&all, view_first(text, split)) &&
		    buf_addf(&all, "BDAT %zu LAST\r\n", text.n - split) && buf_add(&all, view_from(text, split)) &&
		    buf_add(&all, VIEW("NOOP\r\n")));
		begin(&s);
		feed(s, buf_view(&all));
		expect_outcome(text, 3);
		server_free(s);
		buf_done(&all);
	}
}

static void
test_nothing_ends_chunks_but_their_size(void **state)
{
	for_each_trick(check_chunks);
}

/* The last bytes that came are such a beginning: nothing is stored, and nothing said. */
static void
check_cut_short(struct view text)
{
	struct server *s;

	if (has_end(text))
		return;
	begin(&s);
	feed(s, VIEW("DATA\r\n"));
	feed(s, text);
	assert_int_equal(got.stored, 0);
	assert_int_equal(lines_said(), 1);
	assert_true(server_is_busy(s));
	server_free(s);
}

static void
test_no_end_is_made_up(void **state)
{
	for_each_trick(check_cut_short);
}

/* That the readers would see something if there were something to see. */
static void
test_readers_are_naive_enough(void **state)
{
	static const struct { const char *name; struct view wire; } k[] = {
		{ "LF", VIEW("x\n.\nRSET\r\n.\r\n") }, { "CR", VIEW("x\r.\rRSET\r\n.\r\n") },
		{ "any", VIEW("x\n.\r\nRSET\r\n.\r\n") }, { "LF, trimmed", VIEW("x\r\n.\nRSET\r\n.\r\n") },
		{ "any, with NUL", VIEW("x\r\n.\0RSET\r\n.\r\n") }, { "strict", VIEW("x\r\n.\r\nRSET\r\n.\r\n") },
		{ "strict, without NUL", VIEW("x\r\n.\0\r\nRSET\r\n.\r\n") }, { "CR, trimmed", VIEW("x\r\n.\r\nRSET\r\n.\r\n") },
	};
	struct buf room;

	buf_init(&room, 1000);
	for (size_t i = 0; i < lengthof(k); i++)
		for (size_t r = 0; r < lengthof(readers); r++)
			if (view_eq(view_str(k[i].name), view_str(readers[r].name)))
				assert_true(view_search(behind_the_end(&readers[r], k[i].wire, &room),
				    VIEW("RSET")) <= 1);
	buf_done(&room);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_else_ends_the_data),
		cmocka_unit_test(test_nothing_ends_chunks_but_their_size),
		cmocka_unit_test(test_no_end_is_made_up),
		cmocka_unit_test(test_readers_are_naive_enough),
	};
	int rc;

	buf_init(&got.text, 1u << 16);
	buf_init(&got.said, 1u << 16);
	rc = cmocka_run_group_tests_name("smuggling", tests, NULL, NULL);
	buf_done(&got.text);
	buf_done(&got.said);
	return rc;
}

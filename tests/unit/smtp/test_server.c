/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rng.h"
#include "smtp/server.h"

#include "base/banned.h"

static const struct server_params params = {
	.hostname = "h.example", .size_max = 1000, .recipients_max = 5, .errors_max = 8,
	.default_domain = "h.example",
};

/* A caller: answers at once, notes all that happens. */
struct session {
	struct server	*s;
	struct buf	 said;		/* output */
	struct buf	 got;		/* envelopes, bodies, aborts, commits */
	const struct server_answer *data_refusal, *commit_answer;
	bool		 closed;
};

static const struct server_answer queued = { 250, "2.0.0", "Queued as 17" };
static const struct server_answer busy = { 452, "4.3.1", "Queue is full" };

static void
session_open_with(struct session *x, const struct server_params *p)
{
	*x = (struct session){ .s = server_new(p), .commit_answer = &queued };
	buf_init(&x->said, 4u << 20);
	buf_init(&x->got, 4u << 20);
	server_greet(x->s, NULL);
}

static void
session_open(struct session *x)
{
	session_open_with(x, &params);
}

static void
session_done(struct session *x)
{
	server_free(x->s);
	buf_done(&x->said);
	buf_done(&x->got);
}

static void
note_envelope(struct session *x)
{
	const struct server_envelope *e = server_envelope(x->s);

	assert_true(buf_addf(&x->got, "{%.*s:", VIEW_ARG(e->from)));
	for (size_t i = 0; i < e->nrcpt; i++) {
		const struct server_rcpt *r = &e->rcpt[i];

		assert_true(buf_addf(&x->got, "%s%.*s", i > 0 ? "," : "", VIEW_ARG(r->address)));
		if (r->notify.n + r->orcpt.n > 0)
			assert_true(buf_addf(&x->got, "(%.*s|%.*s)", VIEW_ARG(r->notify), VIEW_ARG(r->orcpt)));
	}
	assert_true(buf_addf(&x->got, ":%llu:%d:%.*s:%d", (unsigned long long)e->size, e->body,
	    VIEW_ARG(e->helo), e->esmtp));
	if (e->utf8 || e->ret.n + e->envid.n > 0)
		assert_true(buf_addf(&x->got, ":%.*s|%.*s%s", VIEW_ARG(e->ret), VIEW_ARG(e->envid),
		    e->utf8 ? "|utf8" : ""));
	assert_true(buf_add_byte(&x->got, '}'));
}

static void
feed(struct session *x, struct view in)
{
	for (;;) {
		struct server_event ev;
		size_t used;
		enum server_action action = server_step(x->s, in, &used, &ev);

		assert_true(used <= in.n);
		in = view_from(in, used);
		switch (action) {
		case SERVER_WANT_INPUT:
			assert_int_equal(in.n, 0);
			break;
		case SERVER_WAIT:
			fail_msg("nothing is pending");
			break;
		case SERVER_DATA:
			assert_int_equal(server_phase(x->s), PHASE_PENDING);
			note_envelope(x);
			server_data_ready(x->s, x->data_refusal);
			continue;
		case SERVER_BODY:
			assert_true(ev.body.n > 0);
			assert_int_equal(server_phase(x->s), PHASE_BODY);
			assert_true(buf_add(&x->got, ev.body));
			continue;
		case SERVER_COMMIT:
			assert_true(server_is_busy(x->s));
			assert_true(buf_add_str(&x->got, ev.eight_bit ? "[commit 8]" : "[commit]"));
			server_commit_result(x->s, x->commit_answer);
			continue;
		case SERVER_ABORT:
			assert_true(buf_add_str(&x->got, "[abort]"));
			continue;
		case SERVER_STARTTLS:
			assert_int_equal(in.n, 0);	/* or it would be fed behind the handshake */
			assert_int_equal(server_phase(x->s), PHASE_PENDING);
			assert_int_equal(server_step(x->s, VIEW("NOOP\r\n"), &used, &ev), SERVER_WAIT);
			assert_int_equal(used, 0);
			assert_true(buf_add_str(&x->got, "[tls]"));
			server_secured(x->s);
			break;
		case SERVER_FLUSH:
			assert_true(buf_add(&x->said, buf_view(server_output(x->s))));
			buf_clear(server_output(x->s));
			continue;
		case SERVER_CLOSE:
			x->closed = true;
			break;
		}
		break;
	}
	assert_true(buf_add(&x->said, buf_view(server_output(x->s))));
	buf_clear(server_output(x->s));
}

/* Codes of all replies, "220 250- 250 ..."; checks the form of each on the way. */
static const char *
codes(struct session *x, char *text, size_t cap)
{
	struct view v = buf_view(&x->said), line;
	size_t n = 0;
	bool hello = false;

	text[0] = '\0';
	while (view_split(&v, '\n', &line)) {
		assert_true(line.n >= 5 && line.p[line.n - 1] == '\r');
		for (size_t i = 0; i + 1 < line.n; i++)
			assert_true(is_print(line.p[i]));
		/* RFC 2034: an enhanced code of the same class on each, but for these */
		hello = hello || line.p[3] == '-' || view_eq(line, VIEW("250 h.example\r"));
		if (!view_starts(line, VIEW("220 ")) && !view_starts(line, VIEW("354 ")) &&
		    !view_starts(line, VIEW("334 ")) && !hello) {
			assert_int_equal(line.p[4], line.p[0]);
			assert_int_equal(line.p[5], '.');
		}
		if (line.p[3] == '-')
			continue;
		hello = false;
		assert_true(n + 5 < cap);
		memcpy(text + n, line.p, 3);
		text[n + 3] = ' ';
		text[n + 4] = '\0';
		n += 4;
	}
	return text;
}

struct dialogue {
	struct view	 in;
	const char	*codes;		/* after the 220 */
	const char	*got;
	bool		 closed;
};

#define HI	"EHLO c\r\n"
#define ENV	HI "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
#define TO	HI "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
#define GOT_ENV	"{a@b:c@d:0:0:c:1}"

static const struct dialogue dialogues[] = {
	/* good ones */
	{ VIEW(ENV "hello\r\n.\r\nQUIT\r\n"), "250 250 250 354 250 221 ", GOT_ENV "hello\r\n[commit]", true },
	{ VIEW("HELO c\nMAIL FROM:<>\nRCPT TO:<root>\nDATA\r\n.\r\n"), "250 250 250 354 250 ",
	    "{:root@h.example:0:0:c:0}[commit]", false },
	{ VIEW("ehlo c\r\nmail from:<a@b> size=10 body=8bitmime\r\nrcpt to:<c@d>\r\ndata\r\n\xff\r\n.\r\n"),
	    "250 250 250 354 250 ", "{a@b:c@d:10:1:c:1}\xff\r\n[commit 8]", false },
	{ VIEW(HI "MAIL FROM: a@b\r\nRCPT TO: <@x,@y:c@d>\r\nDATA\r\n.\r\n"), "250 250 250 354 250 ",
	    GOT_ENV "[commit]", false },
	{ VIEW(HI "MAIL FROM:<\"a b\"@c>\r\nRCPT TO:<PostMaster>\r\nDATA\r\n.\r\n"), "250 250 250 354 250 ",
	    "{\"a b\"@c:PostMaster@h.example:0:0:c:1}[commit]", false },
	/* two messages; a second EHLO; an early RSET */
	{ VIEW("RSET\r\n" ENV "x\r\n.\r\nMAIL FROM:<e@f>\r\nEHLO c\r\nMAIL FROM:<e@f>\r\nRCPT TO:<g@h>\r\nDATA\r\ny\r\n.\r\n"),
	    "250 250 250 250 354 250 250 250 250 250 354 250 ",
	    GOT_ENV "x\r\n[commit]{e@f:g@h:0:0:c:1}y\r\n[commit]", false },
	/* the same recipient twice: once; the local part's case counts, the domain's does not */
	{ VIEW(HI "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<c@D>\r\nRCPT TO:<C@d>\r\nDATA\r\n.\r\n"),
	    "250 250 250 250 250 354 250 ", "{a@b:c@d,C@d:0:0:c:1}[commit]", false },
	{ VIEW("HELO b\xc3\xbcro x y\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n"), "250 250 250 354 250 ",
	    "{a@b:c@d:0:0:b??ro:0}[commit]", false },
	{ VIEW("NOOP\r\nNOOP x\r\nHELP\r\nHELP MAIL\r\nVRFY root\r\n"), "250 250 214 214 252 ", "", false },
	/* order */
	{ VIEW("MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\n"), "503 503 503 ", "", false },
	{ VIEW(HI "RCPT TO:<a@b>\r\nDATA\r\n"), "250 503 503 ", "", false },
	{ VIEW(HI "MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nDATA\r\n"), "250 250 503 503 ", "", false },
	{ VIEW(HI "MAIL FROM:<a@b>\r\nRSET\r\nRCPT TO:<c@d>\r\n"), "250 250 250 503 ", "", false },
	{ VIEW(HI "MAIL FROM:<a@b>\r\nRCPT TO:<@>\r\nDATA\r\n"), "250 250 501 554 ", "", false },
	/* syntax */
	{ VIEW("EHLO\r\nHELO \r\n" HI "MAIL\r\nMAIL FROM\r\nMAIL TO:<a@b>\r\nMAIL FROM:\r\n"),
	    "501 501 250 501 501 501 501 ", "", false },
	{ VIEW(HI "MAIL FROM:<<a@b>>\r\nMAIL FROM:<a@b@c>\r\nMAIL FROM:<a@b>x\r\nMAIL FROM:<a@b\r\n"),
	    "250 501 501 501 501 ", "", false },
	{ VIEW(HI "MAIL FROM:<j\xc3\xbc@b>\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@\xc3\xbc>\r\nRCPT TO:<>\r\n"),
	    "250 553 250 553 501 ", "", false },
	{ VIEW(HI "MAIL FROM:<a@b> SIZE=1 SIZE=1\r\nMAIL FROM:<a@b> BODY=7BIT BODY=7BIT\r\nMAIL FROM:<a@b> SIZE=x\r\n"
	    "MAIL FROM:<a@b> SIZE\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nMAIL FROM:<a@b> SIZE=-1\r\n"),
	    "250 501 501 501 501 501 501 ", "", false },
	{ VIEW(HI "MAIL FROM:<a@b> AUTH=<>\r\nMAIL FROM:<a@b> NOTIFY=NEVER\r\nMAIL FROM:<a@b> X=1 SIZE=1\r\n"
	    "MAIL FROM:<a@b>\r\nRCPT TO:<a@b> RET=FULL\r\nRCPT TO:<a@b> NOTIFY=NEVER X\r\n"),
	    "250 555 555 555 250 555 555 ", "", false },
	/* DSN (RFC 3461): kept as said; the first time stands */
	{ VIEW(HI "MAIL FROM:<a@b> RET=hdrs ENVID=QQ+2B314 SIZE=9\r\nRCPT TO:<c@d> NOTIFY=success,DELAY ORCPT=rfc822;C+40d\r\n"
	    "RCPT TO:<e@f>\r\nRCPT TO:<c@D> NOTIFY=NEVER\r\nRCPT TO:<g@h> ORCPT=x-y;z\r\nRCPT TO:<i@j> NOTIFY=never\r\nDATA\r\n.\r\n"),
	    "250 250 250 250 250 250 250 354 250 ",
	    "{a@b:c@d(success,DELAY|rfc822;C+40d),e@f,g@h(|x-y;z),i@j(never|):9:0:c:1:HDRS|QQ+2B314}[commit]", false },
	{ VIEW(HI "MAIL FROM:<a@b> RET=FULL RET=FULL\r\nMAIL FROM:<a@b> ENVID=a ENVID=a\r\nMAIL FROM:<a@b> RET\r\n"
	    "MAIL FROM:<a@b> RET=ALL\r\nMAIL FROM:<a@b> ENVID=\r\nMAIL FROM:<a@b> ENVID=a+0A\r\n"),
	    "250 501 501 501 501 501 501 ", "", false },
	{ VIEW(HI "MAIL FROM:<a@b>\r\nRCPT TO:<c@d> NOTIFY=NEVER,SUCCESS\r\nRCPT TO:<c@d> NOTIFY=\r\n"
	    "RCPT TO:<c@d> NOTIFY=DELAY NOTIFY=DELAY\r\nRCPT TO:<c@d> ORCPT=rfc822\r\nRCPT TO:<c@d> ORCPT=rfc822;c=d\r\nDATA\r\n"),
	    "250 250 501 501 501 501 501 554 ", "", false },
	/* SMTPUTF8 (RFC 6531): said, or no address beyond ASCII */
	{ VIEW(HI "MAIL FROM:<j\xc3\xbc@b\xc3\xbc.x> SMTPUTF8 BODY=8BITMIME\r\nRCPT TO:<\"\xe2\x82\xac \"@d> ORCPT=utf-8;\xc3\xbc\r\nDATA\r\n.\r\n"),
	    "250 250 250 354 250 ",
	    "{j\xc3\xbc@b\xc3\xbc.x:\"\xe2\x82\xac \"@d(|utf-8;\xc3\xbc):0:1:c:1:||utf8}[commit]", false },
	{ VIEW(HI "MAIL FROM:<\xfc@b> SMTPUTF8\r\nMAIL FROM:<a@b> SMTPUTF8=1\r\nMAIL FROM:<a@b> SMTPUTF8 SMTPUTF8\r\n"
	    "MAIL FROM:<a@b> smtputf8\r\nRCPT TO:<\xc3@b>\r\nRCPT TO:<a@b> SMTPUTF8\r\nRSET\r\nMAIL FROM:<a@b>\r\n"
	    "RCPT TO:<\xc3\xbc@b>\r\nRCPT TO:<a@b> ORCPT=utf-8;\xc3\xbc\r\n"),
	    "250 501 501 501 250 501 555 250 250 553 501 ", "", false },
	{ VIEW("RSET x\r\nQUIT x\r\nVRFY\r\n"), "501 501 501 ", "", false },
	{ VIEW("STARTTLS\r\nAUTH PLAIN AGEAYg==\r\nEXPN x\r\nWHAT\r\n\r\n"),
	    "502 502 502 500 500 ", "", false },
	{ VIEW("NO\0OP\r\nNOOP\rRSET\r\nNOOP\x7f\r\nNOOP \x1b[2J\r\nNOOP\r\n"), "500 500 500 500 250 ", "", false },
	/* BDAT (RFC 3030): dots are text, line ends as everywhere, also across two chunks */
	{ VIEW(TO "BDAT 7 LAST\r\nhello\r\nQUIT\r\n"), "250 250 250 250 221 ", GOT_ENV "hello\r\n[commit]", true },
	{ VIEW(TO "BDAT 0 LAST\r\nNOOP\r\n"), "250 250 250 250 250 ", GOT_ENV "[commit]", false },
	{ VIEW(TO "bdat 3\r\na\r\nBDAT 0\r\nNOOP\r\nBDAT 5 last\r\n.\r\nb\xff"), "250 250 250 250 250 250 250 ",
	    GOT_ENV "a\r\n.\r\nb\xff\r\n[commit 8]", false },
	{ VIEW(TO "BDAT 4\r\nabc\rBDAT 2\r\n\n.BDAT 5\r\n\r\n.\r\nBDAT 3 LAST\r\n..\n"), "250 250 250 250 250 250 250 ",
	    GOT_ENV "abc\r\n.\r\n.\r\n..\r\n[commit]", false },
	{ VIEW(TO "BDAT 4 LAST\r\na\nb\rNOOP\r\n"), "250 250 250 250 250 ", GOT_ENV "a\r\nb\r\n[commit]", false },
	{ VIEW(TO "BDAT 6 LAST\r\nRSET\r\nMAIL FROM:<e@f>\r\nRCPT TO:<g@h>\r\nDATA\r\ny\r\n.\r\n"),
	    "250 250 250 250 250 250 354 250 ", GOT_ENV "RSET\r\n[commit]{e@f:g@h:0:0:c:1}y\r\n[commit]", false },
	/* taken back between two chunks */
	{ VIEW(TO "BDAT 3\r\na\r\nRSET\r\nBDAT 6 LAST\r\nNOOP\r\nMAIL FROM:<e@f>\r\n"), "250 250 250 250 250 503 250 ",
	    GOT_ENV "a\r\n[abort]", false },
	{ VIEW(TO "BDAT 3\r\na\r\nEHLO d\r\nMAIL FROM:<e@f>\r\nRCPT TO:<g@h>\r\nBDAT 3 LAST\r\nb\r\n"),
	    "250 250 250 250 250 250 250 250 ", GOT_ENV "a\r\n[abort]{e@f:g@h:0:0:d:1}b\r\n[commit]", false },
	{ VIEW(TO "BDAT 3\r\na\r\nQUIT\r\n"), "250 250 250 250 221 ", GOT_ENV "a\r\n", true },
	/* out of order; what is refused is read over, never run */
	{ VIEW("BDAT 6 LAST\r\nQUIT\r\n" HI "BDAT 6\r\nQUIT\r\nMAIL FROM:<a@b>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"),
	    "503 250 503 250 503 250 ", "", false },
	{ VIEW(HI "MAIL FROM:<a@b>\r\nRCPT TO:<>\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"), "250 250 501 554 250 ", "", false },
	{ VIEW(TO "BDAT 3\r\na\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3 LAST\r\nb\r\n"), "250 250 250 250 503 503 250 ",
	    GOT_ENV "a\r\nb\r\n[commit]", false },
	{ VIEW(TO "BDAT 3\r\na\r\nDATA\r\n"), "250 250 250 250 503 ", GOT_ENV "a\r\n", false },
	{ VIEW(TO "BDAT 3 LAST\r\na\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n"), "250 250 250 250 503 250 ",
	    GOT_ENV "a\r\n[commit]", false },
	/* syntax; without a number nobody knows where the chunk ends */
	{ VIEW(TO "BDAT 6 FIRST\r\nQUIT\r\nBDAT 6 LAST LAST\r\nQUIT\r\nBDAT 3 LAST\r\na\r\n"), "250 250 250 501 501 503 ",
	    "", false },
	/* a refused chunk ends the transaction: no message with a hole */
	{ VIEW(TO "BDAT 3\r\na\r\nBDAT 3 FOO\r\nb\r\nBDAT 3\r\nc\r\nBDAT 3 LAST\r\nd\r\nNOOP\r\n"),
	    "250 250 250 250 501 503 503 250 ", GOT_ENV "a\r\n[abort]", false },
	{ VIEW(HI "MAIL FROM:<a@b>\r\nBDAT 3\r\na\r\nRCPT TO:<c@d>\r\nBDAT 3 LAST\r\nb\r\n"), "250 250 503 503 503 ", "", false },
	/* a line that may have been BDAT or DATA: what follows is no list of commands */
	{ VIEW(TO "BDAT 6\tLAST\r\nRSET\r\n"), "250 250 250 500 ", "", true },
	{ VIEW(TO "BDAT 3\r\na\r\nBDAT 6 LAST\r\r\nRSET\r\n"), "250 250 250 250 500 ", GOT_ENV "a\r\n", true },
	{ VIEW(TO " \0b\0DAT 6\r\nRSET\r\n"), "250 250 250 500 ", "", true },
	{ VIEW(TO "BDAT\xa0" "6\r\nRSET\r\n"), "250 250 250 500 ", "", true },
	{ VIEW(TO "DATA\t\r\nRSET\r\n.\r\n"), "250 250 250 500 ", "", true },
	{ VIEW(TO "B DAT\t6\r\nDAT\t\r\nNOOP\r\n"), "250 250 250 500 500 250 ", "", false },
	{ VIEW(TO "BDAT\r\nNOOP\r\n"), "250 250 250 501 ", "", true },
	{ VIEW(TO "BDAT LAST\r\nNOOP\r\n"), "250 250 250 501 ", "", true },
	{ VIEW(TO "BDAT -1 LAST\r\nNOOP\r\n"), "250 250 250 501 ", "", true },
	{ VIEW(TO "BDAT 0x10\r\nNOOP\r\n"), "250 250 250 501 ", "", true },
	{ VIEW(TO "BDAT 18446744073709551616 LAST\r\nNOOP\r\n"), "250 250 250 501 ", "", true },
	{ VIEW(TO "BDAT 18446744073709551615 LAST\r\nNOOP\r\n"), "250 250 250 552 ", "", false },
	{ VIEW("BDAT x\r\nNOOP\r\n"), "501 ", "", true },
	/* size */
	{ VIEW(HI "MAIL FROM:<a@b> SIZE=1001\r\nMAIL FROM:<a@b> SIZE=99999999999999999999\r\nMAIL FROM:<a@b> SIZE=1000\r\n"),
	    "250 552 552 250 ", "", false },
	/* end of data: what does not end it, and no command out of a message */
	{ VIEW(ENV "x\n.\nRSET\r\n.\r\nNOOP\r\n"), "250 250 250 354 250 250 ",
	    GOT_ENV "x\r\n.\r\nRSET\r\n[commit]", false },
	{ VIEW(ENV "x\n.\r\nRSET\r\n.\r\n"), "250 250 250 354 250 ", GOT_ENV "x\r\n.\r\nRSET\r\n[commit]", false },
	{ VIEW(ENV "x\r\n.\nRSET\r\n.\r\n"), "250 250 250 354 250 ", GOT_ENV "x\r\n\r\nRSET\r\n[commit]", false },
	{ VIEW(ENV "x\r.\rRSET\r\n.\r\n"), "250 250 250 354 250 ", GOT_ENV "x\r\n.\r\nRSET\r\n[commit]", false },
	/* a stranger */
	{ VIEW("GET / HTTP/1.1\r\nHost: x\r\nEHLO c\r\n"), "554 ", "", true },
	{ VIEW("POST / HTTP/1.1\r\n" ENV "x\r\n.\r\n"), "554 ", "", true },
	{ VIEW(HI "CONNECT x:25 HTTP/1.1\r\nQUIT\r\n"), "250 554 ", "", true },
	{ VIEW("PROPFIND / HTTP/1.1\r\n" ENV "x\r\n.\r\n"), "554 ", "", true },
	{ VIEW("\r\nPOST /\t HTTP/1.1\r\n" ENV "x\r\n.\r\n"), "500 554 ", "", true },
	{ VIEW("\tNOOP\t/\tHTTP/1.1 \r\nNOOP\r\n"), "554 ", "", true },
	{ VIEW("HTTP/1.1\r\nNOOP HTTP/1.1 x\r\nX /x\r\n"), "500 250 500 ", "", false },
	{ VIEW("\x16\x03\x01\x02\x00\x01\x00"), "554 ", "", true },
	/* errors_max is 8 */
	{ VIEW("X\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\nNOOP\r\n"), "500 500 500 500 500 500 500 500 421 ", "", true },
	/* recipients_max is 5; one more of those that are known is fine */
	{ VIEW(HI "MAIL FROM:<a@b>\r\nRCPT TO:<1@d>\r\nRCPT TO:<2@d>\r\nRCPT TO:<3@d>\r\nRCPT TO:<4@d>\r\nRCPT TO:<5@d>\r\n"
	    "RCPT TO:<6@d>\r\nRCPT TO:<5@d>\r\nDATA\r\n.\r\n"),
	    "250 250 250 250 250 250 250 452 250 354 250 ", "{a@b:1@d,2@d,3@d,4@d,5@d:0:0:c:1}[commit]", false },
};

static void
check_dialogues(const struct dialogue *list, size_t n, const struct server_params *p)
{
	for (size_t i = 0; i < n; i++) {
		const struct dialogue *k = &list[i];

		for (size_t split = 0; split <= k->in.n; split++) {
			struct session x;
			char text[200];

			session_open_with(&x, p);
			feed(&x, view_first(k->in, split));
			feed(&x, view_from(k->in, split));
			(void)codes(&x, text, sizeof(text));
			if (strcmp(text + 4, k->codes) != 0)
				print_message("%zu at %zu: %s\n", i, split, text);
			assert_true(view_starts(view_str(text), VIEW("220 ")));
			assert_string_equal(text + 4, k->codes);
			assert_true(view_eq(buf_view(&x.got), view_str(k->got)));
			assert_int_equal(x.closed, k->closed);
			session_done(&x);
		}
	}
}

static void
test_dialogues_at_every_split(void **state)
{
	check_dialogues(dialogues, lengthof(dialogues), &params);
}

#define GOOD	"AGFsaWNlAHNlc2FtZQ=="		/* \0alice\0sesame */

/* Where any login is taken (RFC 4954): the form counts, and who it is stays as it was. */
static const struct dialogue logins[] = {
	{ VIEW(HI "AUTH PLAIN " GOOD "\r\nMAIL FROM:<a@b> AUTH=<>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"),
	    "250 235 250 250 354 250 ", GOT_ENV "x\r\n[commit]", false },
	{ VIEW(HI "auth plain\r\n" GOOD "\r\nAUTH PLAIN " GOOD "\r\n"), "250 334 235 503 ", "", false },
	{ VIEW(HI "AUTH LOGIN\r\nYWxpY2U=\r\nc2VzYW1l\r\nEHLO c\r\nAUTH LOGIN\r\n"), "250 334 334 235 250 503 ", "", false },
	{ VIEW(HI "AUTH LOGIN YWxpY2U=\r\n\r\nNOOP\r\n"), "250 334 235 250 ", "", false },
	{ VIEW(HI "AUTH PLAIN YQBhbGljZQBzZXNhbWU=\r\n"), "250 235 ", "", false },		/* a\0alice\0sesame */
	/* not whole, or taken back: what comes is a command again */
	{ VIEW(HI "AUTH PLAIN\r\n*\r\nAUTH LOGIN\r\n*\r\nAUTH LOGIN YQ==\r\n*\r\nNOOP\r\n"),
	    "250 334 501 334 501 334 501 250 ", "", false },
	{ VIEW(HI "AUTH PLAIN !\r\nAUTH PLAIN AGFsaWNl\r\nAUTH PLAIN =\r\nAUTH PLAIN YWxpY2U=\r\nAUTH PLAIN AABz\r\n"
	    "AUTH LOGIN YWxpY2U\r\nAUTH PLAIN\r\nQUIT\r\nNOOP\r\n"), "250 501 501 501 501 501 501 334 501 250 ", "", false },
	{ VIEW(HI "AUTH PLAIN AGFsaWNlAHNlAHNhbWU=\r\n"), "250 501 ", "", false },	/* \0alice\0se\0same */
	{ VIEW(HI "AUTH\r\nAUTH CRAM-MD5\r\nAUTH XOAUTH2 eA==\r\nMAIL FROM:<a@b> AUTH=\r\nMAIL FROM:<a@b> AUTH=a AUTH=a\r\n"),
	    "250 501 504 504 501 501 ", "", false },
	/* out of place */
	{ VIEW("AUTH PLAIN " GOOD "\r\n" HI "MAIL FROM:<a@b>\r\nAUTH PLAIN " GOOD "\r\nRCPT TO:<c@d>\r\nAUTH LOGIN\r\nQUIT\r\n"),
	    "503 250 250 503 250 503 221 ", "", true },
};

static void
test_any_login(void **state)
{
	struct server_params p = params;
	struct session x;

	p.any_login = true;
	check_dialogues(logins, lengthof(logins), &p);
	session_open_with(&x, &p);
	feed(&x, VIEW(HI "AUTH LOGIN\r\n"));
	assert_non_null(strstr(buf_cstr(&x.said), "\r\n250-AUTH PLAIN LOGIN\r\n"));
	assert_non_null(strstr(buf_cstr(&x.said), "\r\n334 VXNlcm5hbWU6\r\n"));
	buf_clear(&x.said);
	feed(&x, VIEW("YWxpY2U=\r\n"));
	assert_string_equal(buf_cstr(&x.said), "334 UGFzc3dvcmQ6\r\n");
	for (size_t i = 0; i < 300; i++)
		feed(&x, VIEW("c2VzYW1l"));
	feed(&x, VIEW("\r\nNOOP\r\n"));
	assert_non_null(strstr(buf_cstr(&x.said), "\r\n500 5.5.6 Response too long\r\n250 2.0.0 "));
	session_done(&x);
	session_open(&x);
	feed(&x, VIEW(HI));
	assert_null(strstr(buf_cstr(&x.said), "AUTH"));
	session_done(&x);
}

/* The caller is told of every piece that may be a password, and of nothing else. */
static void
test_passwords_are_to_be_wiped(void **state)
{
	static const struct {
		const char	*in;
		bool		 secret;
	} steps[] = {
		{ "EHLO c\r\n", false }, { "AUTH PL", true }, { "AIN", true }, { " " GOOD, true }, { "!\r\n", true },
		{ "NOOP\r\n", false }, { "auth login\r\n", true }, { "YWxp", true }, { "Y2U=\r\n", true },
		{ "c2VzYW1l\r\nNOOP\r\n", true }, { "NOOP\r\n", false }, { "MAIL FROM:<a@b>\r\n", false },
	};
	struct server_params p = params;
	struct server *s;

	p.any_login = true;
	s = server_new(&p);
	for (size_t i = 0; i < lengthof(steps); i++) {
		struct server_event ev;
		size_t used;

		assert_int_equal(server_step(s, view_str(steps[i].in), &used, &ev), SERVER_WANT_INPUT);
		assert_int_equal(used, strlen(steps[i].in));
		if (ev.secret != steps[i].secret)
			fail_msg("%s", steps[i].in);
	}
	server_free(s);
}

/* Every command in every state: one whole reply, and the session is as it should be. */
static void
test_every_command_in_every_state(void **state)
{
	static const char *const ways[] = {
		"", HI, HI "MAIL FROM:<a@b>\r\n", TO, TO "BDAT 3\r\na\r\n",
	};
	static const struct {
		const char *command;
		const char *codes[5];	/* start, ready, mail, rcpt, between chunks */
	} k[] = {
		{ "EHLO x\r\n", { "250 ", "250 ", "250 ", "250 ", "250 " } },
		{ "HELO x\r\n", { "250 ", "250 ", "250 ", "250 ", "250 " } },
		{ "MAIL FROM:<a@b>\r\n", { "503 ", "250 ", "503 ", "503 ", "503 " } },
		{ "RCPT TO:<e@f>\r\n", { "503 ", "503 ", "250 ", "250 ", "503 " } },
		{ "DATA\r\n", { "503 ", "503 ", "503 ", "354 ", "503 " } },
		{ "DATA x\r\n", { "503 ", "503 ", "501 ", "501 ", "503 " } },
		{ "RSET\r\n", { "250 ", "250 ", "250 ", "250 ", "250 " } },
		{ "NOOP\r\n", { "250 ", "250 ", "250 ", "250 ", "250 " } },
		{ "VRFY x\r\n", { "252 ", "252 ", "252 ", "252 ", "252 " } },
		{ "HELP\r\n", { "214 ", "214 ", "214 ", "214 ", "214 " } },
		{ "EXPN x\r\n", { "502 ", "502 ", "502 ", "502 ", "502 " } },
		{ "STARTTLS\r\n", { "502 ", "502 ", "502 ", "502 ", "502 " } },
		{ "AUTH LOGIN\r\n", { "502 ", "502 ", "502 ", "502 ", "502 " } },
		{ "BDAT 3\r\na\r\n", { "503 ", "503 ", "503 ", "250 ", "250 " } },
		{ "BDAT 0 LAST\r\n", { "503 ", "503 ", "503 ", "250 ", "250 " } },
		{ "BDAT 3 x\r\na\r\n", { "501 ", "501 ", "501 ", "501 ", "501 " } },
		{ "BDAT x\r\n", { "501 ", "501 ", "501 ", "501 ", "501 " } },
		{ "GET /\r\n", { "554 ", "554 ", "554 ", "554 ", "554 " } },
		{ "QUIT\r\n", { "221 ", "221 ", "221 ", "221 ", "221 " } },
	};

	for (size_t i = 0; i < lengthof(k); i++) {
		for (size_t w = 0; w < lengthof(ways); w++) {
			struct session x;
			char text[80];

			session_open(&x);
			feed(&x, view_str(ways[w]));
			buf_clear(&x.said);
			feed(&x, view_str(k[i].command));
			assert_string_equal(codes(&x, text, sizeof(text)), k[i].codes[w]);
			if (!x.closed && k[i].codes[w][0] != '3') {
				/* whatever it was, a clean message goes through now */
				struct view got;

				buf_clear(&x.said);
				buf_clear(&x.got);
				feed(&x, VIEW("RSET\r\n" ENV "z\r\n.\r\n"));
				assert_string_equal(codes(&x, text, sizeof(text)), "250 250 250 250 354 250 ");
				got = buf_view(&x.got);
				if (view_starts(got, VIEW("[abort]")))	/* of the chunks */
					got = view_from(got, 7);
				assert_true(view_eq(got, VIEW(GOT_ENV "z\r\n[commit]")));
			}
			session_done(&x);
		}
	}
}

/* RFC 3207: every command in every state of TLS; what refuses one does not change the others. */
static void
test_every_command_and_tls(void **state)
{
	enum { BEFORE, READY, MAIL, ACTIVE, ACTIVE_READY, PLACES };
	static const char *const ways[PLACES] = {
		"", HI, HI "MAIL FROM:<a@b>\r\n", HI "STARTTLS\r\n", HI "STARTTLS\r\n" HI
	};
	static const struct {
		enum server_tls	 tls;
		bool		 fails;
		const char	*command;
		const char	*codes[PLACES];		/* NULL: no way leads there */
	} k[] = {
		{ SERVER_TLS_OFFERED, false, "STARTTLS\r\n", { "503 ", "220 ", "503 ", "503 ", "503 " } },
		{ SERVER_TLS_OFFERED, false, "starttls\n", { "503 ", "220 ", "503 ", "503 ", "503 " } },
		{ SERVER_TLS_OFFERED, false, "STARTTLS x\r\n", { "503 ", "501 ", "503 ", "503 ", "503 " } },
		{ SERVER_TLS_OFFERED, false, "STARTTLS\r\nNOOP\r\n", { "503 250 ", "503 ", "503 250 ", "503 250 ", "503 250 " } },
		{ SERVER_TLS_OFFERED, false, "MAIL FROM:<a@b>\r\n", { "503 ", "250 ", "503 ", "503 ", "250 " } },
		{ SERVER_TLS_OFFERED, false, "RCPT TO:<a@b>\r\n", { "503 ", "503 ", "250 ", "503 ", "503 " } },
		{ SERVER_TLS_OFFERED, false, "RSET\r\n", { "250 ", "250 ", "250 ", "250 ", "250 " } },
		{ SERVER_TLS_OFFERED, true, "STARTTLS\r\n", { "503 ", "454 ", "503 ", NULL, NULL } },
		{ SERVER_TLS_OFFERED, true, "STARTTLS\r\nNOOP\r\n", { "503 250 ", "454 250 ", "503 250 ", NULL, NULL } },
		{ SERVER_TLS_REQUIRED, false, "STARTTLS\r\n", { "503 ", "220 ", NULL, "503 ", "503 " } },
		{ SERVER_TLS_REQUIRED, false, "EHLO x\r\n", { "250 ", "250 ", NULL, "250 ", "250 " } },
		{ SERVER_TLS_REQUIRED, false, "NOOP\r\n", { "250 ", "250 ", NULL, "250 ", "250 " } },
		{ SERVER_TLS_REQUIRED, false, "QUIT\r\n", { "221 ", "221 ", NULL, "221 ", "221 " } },
		{ SERVER_TLS_REQUIRED, false, "HELO x\r\n", { "530 ", "530 ", NULL, "250 ", "250 " } },
		{ SERVER_TLS_REQUIRED, false, "MAIL FROM:<a@b>\r\n", { "530 ", "530 ", NULL, "503 ", "250 " } },
		{ SERVER_TLS_REQUIRED, false, "RCPT TO:<a@b>\r\n", { "530 ", "530 ", NULL, "503 ", "503 " } },
		{ SERVER_TLS_REQUIRED, false, "DATA\r\n", { "530 ", "530 ", NULL, "503 ", "503 " } },
		{ SERVER_TLS_REQUIRED, false, "DATA\r\nNOOP\r\n", { "530 ", "530 ", NULL, "503 ", "503 " } },
		{ SERVER_TLS_REQUIRED, false, "BDAT 6\r\nNOOP\r\nNOOP\r\n", { "530 250 ", "530 250 ", NULL, "503 250 ", "503 250 " } },
		{ SERVER_TLS_REQUIRED, false, "RSET\r\n", { "530 ", "530 ", NULL, "250 ", "250 " } },
		{ SERVER_TLS_REQUIRED, false, "VRFY x\r\n", { "530 ", "530 ", NULL, "252 ", "252 " } },
		{ SERVER_TLS_REQUIRED, false, "HELP\r\n", { "530 ", "530 ", NULL, "214 ", "214 " } },
		{ SERVER_TLS_REQUIRED, false, "EXPN x\r\n", { "530 ", "530 ", NULL, "502 ", "502 " } },
		{ SERVER_TLS_REQUIRED, false, "AUTH PLAIN AGEAYg==\r\n", { "530 ", "530 ", NULL, "503 ", "235 " } },
		{ SERVER_TLS_REQUIRED, false, "WHAT\r\n", { "500 ", "500 ", NULL, "500 ", "500 " } },
		{ SERVER_TLS_NONE, false, "STARTTLS\r\n", { "502 ", "502 ", "502 ", NULL, NULL } },
	};

	for (size_t i = 0; i < lengthof(k); i++) {
		struct server_params p = params;

		p.any_login = true;
		p.tls = k[i].tls;
		p.tls_fails = k[i].fails;
		for (size_t way = 0; way < PLACES; way++) {
			struct session x;
			char text[80];

			if (k[i].codes[way] == NULL)
				continue;
			session_open_with(&x, &p);
			feed(&x, VIEW(""));
			for (const char *at = ways[way]; *at != '\0'; at = strchr(at, '\n') + 1)
				feed(&x, view_of((const uint8_t *)at, (size_t)(strchr(at, '\n') + 1 - at)));
			buf_clear(&x.said);
			feed(&x, view_str(k[i].command));
			if (strcmp(codes(&x, text, sizeof(text)), k[i].codes[way]) != 0)
				fail_msg("%zu, way %zu: %s", i, way, text);
			session_done(&x);
		}
	}
}

static bool
has_said(const struct session *x, const char *words)
{
	return view_search(buf_view(&x->said), view_str(words)) < buf_len(&x->said);
}

/* Nothing from before is known behind the handshake, and it is offered no more. */
static void
test_tls_begins_a_session_anew(void **state)
{
	struct server_params p = params;
	struct session x;

	p.tls = SERVER_TLS_OFFERED;
	p.any_login = true;
	session_open_with(&x, &p);
	feed(&x, VIEW(HI "AUTH PLAIN AGEAYg==\r\nSTART"));
	assert_true(has_said(&x, "\r\n250-STARTTLS\r\n"));
	feed(&x, VIEW("TLS\r\n"));
	assert_true(view_eq(buf_view(&x.got), VIEW("[tls]")));
	buf_clear(&x.said);
	feed(&x, VIEW("MAIL FROM:<a@b>\r\nEHLO other\r\n"));
	assert_true(has_said(&x, "503 5.5.1 EHLO or HELO first\r\n250-h.example\r\n"));
	assert_false(has_said(&x, "STARTTLS"));
	buf_clear(&x.said);
	buf_clear(&x.got);
	feed(&x, VIEW("AUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n"));
	assert_true(has_said(&x, "235 2.7.0 "));		/* the one in clear does not count */
	assert_true(view_eq(buf_view(&x.got), VIEW("{a@b:c@d:0:0:other:1}[commit]")));
	session_done(&x);
}

/* Whatever comes in one piece with STARTTLS was said in clear: none of it is run, and no 220 is said. */
static void
test_nothing_behind_starttls_is_taken(void **state)
{
	static const char *const behind[] = {
		"N", "\n", "RSET\r\n", "EHLO eve\r\nMAIL FROM:<eve@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n.\r\n", "\x16\x03\x01",
	};

	for (size_t i = 0; i < lengthof(behind); i++) {
		struct server_params p = params;
		struct session x;
		char in[200];

		p.tls = SERVER_TLS_REQUIRED;
		session_open_with(&x, &p);
		feed(&x, VIEW(""));
		buf_clear(&x.said);
		(void)snprintf(in, sizeof(in), HI "STARTTLS\r\n%s", behind[i]);
		feed(&x, view_str(in));
		assert_true(x.closed);
		assert_int_equal(buf_len(&x.got), 0);
		assert_true(has_said(&x, "\r\n503 5.5.1 Something came behind STARTTLS in clear\r\n"));
		assert_false(has_said(&x, "220"));
		session_done(&x);
	}
}

static void
assert_codes(struct session *x, const char *want)
{
	char text[400];

	assert_string_equal(codes(x, text, sizeof(text)), want);
	buf_clear(&x->said);
}

/* The first n bytes of line in two parts, cut at each place from first on. */
static void
check_cut(const uint8_t *line, size_t n, size_t first, const char *codes)
{
	struct session x;

	for (size_t split = first; split < n; split++) {
		session_open(&x);
		feed(&x, view_of(line, split));
		feed(&x, view_of(line + split, n - split));
		assert_codes(&x, codes);
		assert_false(x.closed);
		session_done(&x);
	}
}

static void
test_long_lines(void **state)
{
	uint8_t line[3000];
	struct session x;

	/* 2048 bytes with the end are a command ... */
	memset(line, 'x', sizeof(line));
	memcpy(line, "NOOP ", 5);
	memcpy(line + 2046, "\r\nNOOP\r\n", 8);
	check_cut(line, 2054, 2040, "220 250 250 ");
	/* ... one byte more is none ... */
	memmove(line + 2047, line + 2046, 8);
	line[2046] = 'x';
	check_cut(line, 2055, 2040, "220 500 250 ");
	/* ... and the tail is never run */
	memset(line, 'x', sizeof(line));
	memcpy(line, "NOOP ", 5);
	memcpy(line + 2041, "QUIT\r\r\r\nNOOP\r\n", 14);
	check_cut(line, 2055, 2030, "220 500 250 ");
	/* a megabyte without an end is one refusal, and costs no memory */
	session_open(&x);
	memset(line, 'x', sizeof(line));
	for (int i = 0; i < 350; i++)
		feed(&x, view_of(line, sizeof(line)));
	feed(&x, VIEW("\r\nNOOP\r\n"));
	assert_codes(&x, "220 500 250 ");
	session_done(&x);
}

static void
test_size_limit_in_the_data(void **state)
{
	struct session x;
	uint8_t line[100];

	memset(line, 'x', sizeof(line));
	memcpy(line + 98, "\r\n", 2);
	for (int lines = 10; lines <= 30; lines += 1) {
		session_open(&x);
		feed(&x, VIEW(ENV));
		for (int i = 0; i < lines; i++)
			feed(&x, view_of(line, sizeof(line)));
		/* the reply waits for the end of the data */
		assert_codes(&x, "220 250 250 250 354 ");
		feed(&x, VIEW(".\r\nNOOP\r\n"));
		assert_codes(&x, lines == 10 ? "250 250 " : "552 250 ");
		assert_int_equal(view_search(buf_view(&x.got), VIEW("[abort]")) == buf_len(&x.got), lines == 10);
		assert_int_equal(view_search(buf_view(&x.got), VIEW("[commit]")) == buf_len(&x.got), lines != 10);
		/* the session goes on */
		buf_clear(&x.got);
		feed(&x, VIEW(ENV "x\r\n.\r\n"));
		assert_codes(&x, "250 250 250 354 250 ");
		session_done(&x);
	}
}

/* The limit counts all chunks; each is read to its end, and refused there. */
static void
test_size_limit_over_chunks(void **state)
{
	static const struct {
		const char *in, *codes;
		bool commit;
	} k[] = {
		{ "BDAT 500\r\n", "250 ", false }, { "BDAT 500 LAST\r\n", "250 250 ", true },
		{ "BDAT 501 LAST\r\n", "250 552 ", false }, { "BDAT 501\r\n", "250 552 503 ", false },
		{ "BDAT 1001\r\n", "552 503 ", false }, { "BDAT 1000 LAST\r\n", "250 503 ", true },
	};
	uint8_t block[2000];

	memset(block, 'x', sizeof(block));
	for (size_t i = 1; i < sizeof(block); i += 2)
		block[i] = i % 50 == 49 ? '\n' : 'x';
	for (size_t i = 0; i + 1 < sizeof(block); i += 50)
		block[i + 48] = '\r';
	for (size_t i = 1; i < lengthof(k); i++) {
		struct session x;
		bool first_only = i >= 4;

		session_open(&x);
		feed(&x, VIEW(TO));
		buf_clear(&x.said);
		for (size_t part = first_only ? 1 : 0; part < 2; part++) {
			struct view line = view_str(k[part == 0 ? 0 : i].in);
			uint64_t n = 0;

			feed(&x, line);
			for (size_t c = 5; c < line.n && is_digit(line.p[c]); c++)
				n = n * 10 + (uint64_t)(line.p[c] - '0');
			feed(&x, view_of(block, (size_t)n / 2));
			feed(&x, view_of(block + n / 2, (size_t)(n - n / 2)));
		}
		/* once refused, the chunks behind it are no commands */
		if (strstr(k[i].codes, "503") != NULL)
			feed(&x, VIEW("BDAT 6 LAST\r\nQUIT\r\n"));
		assert_codes(&x, k[i].codes);
		assert_int_equal(view_search(buf_view(&x.got), VIEW("[commit]")) < buf_len(&x.got), k[i].commit);
		assert_false(x.closed);
		session_done(&x);
	}
	/* a bare LF becomes two bytes: what is stored counts */
	memset(block, '\n', sizeof(block));
	for (size_t n = 500; n <= 501; n++) {
		char line[40];
		struct session x;

		session_open(&x);
		feed(&x, VIEW(TO));
		buf_clear(&x.said);
		(void)snprintf(line, sizeof(line), "BDAT %zu LAST\r\n", n);
		feed(&x, view_str(line));
		feed(&x, view_of(block, n));
		assert_codes(&x, n == 500 ? "250 " : "552 ");
		session_done(&x);
	}
}

/* Refused by the caller: the chunk is read to its end, then it is told, and the rest is no message. */
static void
test_chunks_that_the_caller_refuses(void **state)
{
	struct session x;

	/* the first, before a byte of it */
	session_open(&x);
	x.data_refusal = &busy;
	feed(&x, VIEW(TO "BDAT 6\r\nQUIT"));
	assert_codes(&x, "220 250 250 250 ");
	assert_int_equal(server_phase(x.s), PHASE_BODY);
	feed(&x, VIEW("\r\nBDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"));
	assert_codes(&x, "452 503 250 ");
	assert_true(view_eq(buf_view(&x.got), VIEW(GOT_ENV)));

	/* within one */
	x.data_refusal = NULL;
	buf_clear(&x.got);
	feed(&x, VIEW("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 8 LAST\r\none\r\n"));
	server_refuse_body(x.s, &busy);
	feed(&x, VIEW("two"));
	assert_codes(&x, "250 250 452 ");
	assert_true(view_eq(buf_view(&x.got), VIEW(GOT_ENV "one\r\n")));

	/* between two: nothing is said before the next */
	buf_clear(&x.got);
	feed(&x, VIEW("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 5\r\none\r\n"));
	server_refuse_body(x.s, &busy);
	assert_codes(&x, "250 250 250 ");
	feed(&x, VIEW("BDAT 6\r\nQUIT\r\nNOOP\r\n"));
	assert_codes(&x, "452 250 ");
	assert_true(view_eq(buf_view(&x.got), VIEW(GOT_ENV "one\r\n")));

	/* at the end, and a NUL anywhere */
	x.commit_answer = &busy;
	feed(&x, VIEW("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1 LAST\r\nx"));
	assert_codes(&x, "250 250 452 ");
	feed(&x, VIEW("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3\r\na\0bBDAT 1 LAST\r\nx"));
	assert_codes(&x, "250 250 554 503 ");
	assert_true(view_ends(buf_view(&x.got), VIEW("[abort]")));
	session_done(&x);
}

static void
test_nul_is_refused_at_the_end(void **state)
{
	struct view in = VIEW(ENV "a\r\nb\0c\r\nd\r\n.\r\nNOOP\r\n");

	for (size_t split = 0; split <= in.n; split++) {
		struct session x;

		session_open(&x);
		feed(&x, view_first(in, split));
		feed(&x, view_from(in, split));
		assert_true(view_search(buf_view(&x.said), VIEW("\r\n554 5.6.0 ")) < buf_len(&x.said));
		assert_codes(&x, "220 250 250 250 354 554 250 ");
		assert_true(view_ends(buf_view(&x.got), VIEW("[abort]")));
		assert_int_equal(view_find(buf_view(&x.got), 0), buf_len(&x.got));
		session_done(&x);
	}
}

/* A client that does not wait for the 354 and is refused: its message is no list of commands. */
static void
test_message_behind_a_refused_data_is_not_run(void **state)
{
	struct session x;

	session_open(&x);
	x.data_refusal = &busy;
	feed(&x, VIEW(ENV "MAIL FROM:<evil@x>\r\n.\r\n"));
	assert_codes(&x, "220 250 250 250 452 ");
	assert_true(x.closed);
	session_done(&x);

	session_open(&x);
	feed(&x, VIEW(HI "MAIL FROM:<bad\r\nRCPT TO:<c@d>\r\nDATA\r\nRSET\r\n"));
	assert_codes(&x, "220 250 501 503 503 ");
	assert_true(x.closed);
	session_done(&x);

	session_open(&x);
	feed(&x, VIEW(HI "MAIL FROM:<a@b>\r\nRCPT TO:<>\r\nDATA\r\nRSET\r\n"));
	assert_codes(&x, "220 250 250 501 554 ");
	assert_true(x.closed);
	session_done(&x);

	session_open(&x);
	feed(&x, VIEW(TO "BDAT 3\r\na\r\nDATA\r\nRSET\r\n"));
	assert_codes(&x, "220 250 250 250 250 503 ");
	assert_true(x.closed);
	session_done(&x);

	/* one that waits goes on */
	session_open(&x);
	x.data_refusal = &busy;
	feed(&x, VIEW(ENV));
	assert_codes(&x, "220 250 250 250 452 ");
	x.data_refusal = NULL;
	feed(&x, VIEW(ENV ".\r\n"));
	assert_codes(&x, "250 250 250 354 250 ");
	session_done(&x);
}

static void
test_answers_of_the_caller(void **state)
{
	static const struct server_answer full = { 452, "4.3.1", "Disk \x1b is full\r\n250 no" };
	struct session x;
	struct server_event ev;
	size_t used;

	session_open(&x);
	x.commit_answer = &full;
	feed(&x, VIEW(ENV "x\r\n.\r\n"));
	assert_true(view_ends(buf_view(&x.said), VIEW("452 4.3.1 Disk ? is full??250 no\r\n")));
	session_done(&x);

	/* policy at MAIL */
	session_open(&x);
	server_set_policy(x.s, &busy);
	feed(&x, VIEW(HI "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"));
	assert_codes(&x, "220 250 452 503 ");
	server_set_policy(x.s, NULL);
	feed(&x, VIEW("MAIL FROM:<a@b>\r\n"));
	assert_codes(&x, "250 ");

	/* refused while it comes in: no more body, no commit */
	feed(&x, VIEW("RCPT TO:<c@d>\r\nDATA\r\none\r\n"));
	server_refuse_body(x.s, &busy);
	feed(&x, VIEW("two\r\n.\r\n"));
	assert_codes(&x, "250 354 452 ");
	assert_true(view_ends(buf_view(&x.got), VIEW("one\r\n")));
	session_done(&x);

	/* while an answer is pending nothing is taken, and replies stay in order */
	session_open(&x);
	(void)server_step(x.s, VIEW(ENV "x\r\n"), &used, &ev);
	assert_int_equal(server_step(x.s, VIEW("x\r\n"), &used, &ev), SERVER_WAIT);
	assert_int_equal(used, 0);
	server_data_ready(x.s, NULL);
	feed(&x, VIEW("x\r\n.\r\n"));
	assert_codes(&x, "220 250 250 250 354 250 ");
	session_done(&x);
}

static void
test_ends(void **state)
{
	static const struct server_answer bye = { 421, "4.4.2", "Too slow" };
	static const struct server_answer no = { 554, "5.7.1", "Not you" };
	static const char *const ways[] = { "", HI, ENV, ENV "half a message\r\n",
	    TO "BDAT 20\r\nhalf\r\n", TO "BDAT 1\r\nx", HI "BDAT 20\r\nhalf\r\n" };
	struct session x;

	for (size_t i = 0; i < lengthof(ways); i++) {
		session_open(&x);
		feed(&x, view_str(ways[i]));
		buf_clear(&x.said);
		server_end(x.s, &bye);
		feed(&x, VIEW("more\r\n.\r\nNOOP\r\n"));
		assert_codes(&x, "421 ");
		assert_true(x.closed);
		session_done(&x);
	}
	x = (struct session){ .s = server_new(&params) };
	buf_init(&x.said, 1000);
	buf_init(&x.got, 1000);
	server_greet(x.s, &no);
	feed(&x, VIEW("NOOP\r\n"));
	assert_codes(&x, "554 ");
	assert_true(x.closed);
	session_done(&x);
}

/* Errors are forgiven by a message that was taken. */
static void
test_errors_are_counted_since_the_last_message(void **state)
{
	struct session x;

	session_open(&x);
	for (int i = 0; i < 5; i++)
		feed(&x, VIEW("X\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\n" ENV ".\r\n"));
	assert_false(x.closed);
	feed(&x, VIEW("X\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\nX\r\n"));
	assert_true(x.closed);
	session_done(&x);
}

/* Replies that nobody reads are bounded. */
/* Refuses all but what ends in "ok.example" or, as a sender, "<>"; the owner notes what it was asked. */
static bool
refuse_most(void *owner, bool is_sender, struct view address, char text[SERVER_RULE_MAX])
{
	struct buf *asked = owner;

	assert_true(buf_addf(asked, "%s%.*s ", is_sender ? "from " : "", VIEW_ARG(address)));
	(void)snprintf(text, SERVER_RULE_MAX, "Not in the list %s", is_sender ? "a" : "b");
	return !view_ends(address, VIEW("ok.example")) && !(is_sender && view_eq(address, VIEW("<>")));
}

static void
test_rules_of_the_caller(void **state)
{
	struct server_params p = params;
	struct session x;
	struct buf asked;

	buf_init(&asked, 1000);
	p.refuses = refuse_most;
	p.owner = &asked;
	session_open_with(&x, &p);
	feed(&x, VIEW("EHLO c\r\nMAIL FROM:<a@b.example>\r\nMAIL FROM:<a@ok.example\r\nRCPT TO:<x@ok.example>\r\n"));
	assert_non_null(strstr(buf_cstr(&x.said), "\r\n550 5.7.1 Not in the list a\r\n501 5.1.7 "));
	assert_non_null(strstr(buf_cstr(&x.said), "503 5.5.1 MAIL first\r\n"));
	buf_clear(&x.said);
	feed(&x, VIEW("MAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nRCPT TO:root\r\nRCPT TO:<c@ok.example>\r\n"
	    "DATA\r\n.\r\n"));
	assert_string_equal(buf_cstr(&x.said), "250 2.1.0 Sender ok\r\n550 5.7.1 Not in the list b\r\n"
	    "550 5.7.1 Not in the list b\r\n250 2.1.5 Recipient ok\r\n354 End with CRLF.CRLF\r\n"
	    "250 2.0.0 Queued as 17\r\n");
	assert_string_equal(buf_cstr(&x.got), "{:c@ok.example:0:0:c:1}[commit]");
	assert_string_equal(buf_cstr(&asked), "from a@b.example from <> b@b.example root@h.example c@ok.example ");
	session_done(&x);
	buf_done(&asked);
}

static size_t kept, room;

static bool
keeps(void *owner, size_t bytes)
{
	if (bytes > kept && bytes > room)
		return false;
	kept = bytes;
	return true;
}

/* The caller says when there is no room for more recipients; those that there are go through. */
static void
test_room_for_recipients(void **state)
{
	struct server_params p = params;
	struct session x;
	size_t one;

	p.keeps = keeps;
	room = SIZE_MAX;
	kept = 0;
	session_open_with(&x, &p);
	feed(&x, VIEW(HI "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"));
	one = kept;
	assert_true(one >= 6);
	room = one;
	buf_clear(&x.said);
	feed(&x, VIEW("RCPT TO:<e@f>\r\nRCPT TO:<g@h> ORCPT=rfc822;g@h\r\n"));
	assert_codes(&x, "452 452 ");
	room = 2 * one;
	feed(&x, VIEW("RCPT TO:<e@f> ORCPT=rfc822;x\r\nRCPT TO:<e@f>\r\n"));
	assert_true(kept > one && kept <= 2 * one);
	feed(&x, VIEW("DATA\r\n.\r\n"));
	assert_codes(&x, "452 250 354 250 ");
	assert_true(view_eq(buf_view(&x.got), VIEW("{a@b:c@d,e@f:0:0:c:1}[commit]")));
	assert_int_equal(kept, 0);
	feed(&x, VIEW("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"));
	assert_int_equal(kept, one);
	feed(&x, VIEW("RSET\r\nMAIL FROM:<a@b>\r\n"));
	assert_int_equal(kept, 0);
	session_done(&x);
}

static void
test_replies_without_room(void **state)
{
	struct server *s = server_new(&params);
	struct server_event ev;
	enum server_action action = SERVER_WANT_INPUT;
	size_t used;
	int n = 0;

	for (; n < 100000 && action == SERVER_WANT_INPUT; n++)
		action = server_step(s, VIEW("EHLO x\r\n"), &used, &ev);
	assert_int_equal(action, SERVER_FLUSH);
	assert_int_equal(used, 0);
	assert_true(n > 50);
	assert_true(buf_len(server_output(s)) < 20 << 10);
	assert_int_equal(server_step(s, VIEW("NOOP\r\n"), &used, &ev), SERVER_FLUSH);
	assert_int_equal(used, 0);
	/* There is room for the words at the end. */
	buf_consume(server_output(s), buf_len(server_output(s)) - 8192);
	assert_int_equal(server_step(s, VIEW("QUIT\r\n"), &used, &ev), SERVER_CLOSE);
	assert_true(view_search(buf_view(server_output(s)), VIEW("221 2.0.0 ")) < buf_len(server_output(s)));
	server_free(s);
}

static void
test_twenty_thousand_recipients(void **state)
{
	struct server_params p = params;
	const struct server_envelope *e;
	struct server_event ev;
	struct session x;
	struct buf in;
	size_t used;

	p.recipients_max = 20000;
	session_open_with(&x, &p);
	buf_init(&in, 4u << 20);
	assert_true(buf_add_str(&in, HI "MAIL FROM:<a@b>\r\n"));
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < 20000; i++) {
			assert_true(buf_addf(&in, "RCPT TO:<user%d@Some.Example>\r\n", i));
			if (buf_len(&in) > 30000) {
				feed(&x, buf_view(&in));
				buf_clear(&in);
			}
		}
	feed(&x, buf_view(&in));
	assert_int_equal(view_search(buf_view(&x.said), VIEW("\r\n4")), buf_len(&x.said));
	assert_int_equal(view_search(buf_view(&x.said), VIEW("\r\n5")), buf_len(&x.said));
	feed(&x, VIEW("RCPT TO:<one.more@d>\r\n"));
	assert_true(view_ends(buf_view(&x.said), VIEW("452 4.5.3 Too many recipients\r\n")));
	assert_int_equal(server_step(x.s, VIEW("DATA\r\n"), &used, &ev), SERVER_DATA);
	e = server_envelope(x.s);
	assert_int_equal(e->nrcpt, 20000);
	assert_true(view_eq(e->from, VIEW("a@b")));
	assert_true(view_eq(e->rcpt[0].address, VIEW("user0@Some.Example")));
	assert_true(view_eq(e->rcpt[19999].address, VIEW("user19999@Some.Example")));
	buf_done(&in);
	session_done(&x);
}

/* The text of all addresses is bounded, whatever the number allows. */
static void
test_bytes_of_addresses_are_bounded(void **state)
{
	struct server_params p = params;
	char line[600], local[250];
	struct session x;
	int i;

	memset(local, 'l', sizeof(local) - 1);
	local[sizeof(local) - 1] = '\0';
	p.recipients_max = 1000000;
	session_open_with(&x, &p);
	feed(&x, VIEW(HI "MAIL FROM:<a@b>\r\n"));
	for (i = 0; i < 100000; i++) {
		(void)snprintf(line, sizeof(line), "RCPT TO:<%s@%d.x>\r\n", local, i);
		feed(&x, view_str(line));
		if (view_starts(buf_view(&x.said), VIEW("452 4.5.3")))
			break;
		buf_clear(&x.said);
	}
	assert_true(i > 25000 && i < 32000);
	session_done(&x);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialogues_at_every_split),
		cmocka_unit_test(test_any_login),
		cmocka_unit_test(test_passwords_are_to_be_wiped),
		cmocka_unit_test(test_every_command_in_every_state),
		cmocka_unit_test(test_every_command_and_tls),
		cmocka_unit_test(test_tls_begins_a_session_anew),
		cmocka_unit_test(test_nothing_behind_starttls_is_taken),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_size_limit_in_the_data),
		cmocka_unit_test(test_size_limit_over_chunks),
		cmocka_unit_test(test_chunks_that_the_caller_refuses),
		cmocka_unit_test(test_nul_is_refused_at_the_end),
		cmocka_unit_test(test_message_behind_a_refused_data_is_not_run),
		cmocka_unit_test(test_answers_of_the_caller),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_errors_are_counted_since_the_last_message),
		cmocka_unit_test(test_rules_of_the_caller),
		cmocka_unit_test(test_room_for_recipients),
		cmocka_unit_test(test_replies_without_room),
		cmocka_unit_test(test_twenty_thousand_recipients),
		cmocka_unit_test(test_bytes_of_addresses_are_bounded),
	};

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}

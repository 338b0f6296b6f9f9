/* SPDX-License-Identifier: BSD-2-Clause */
/* Replies: the same in one piece and byte by byte; text printable; bounds kept. */
#include "fuzz.h"
#include "smtp/caps.h"
#include "smtp/reply.h"

#include "base/banned.h"

static void
check_reply(const struct reply *r)
{
	size_t len = strlen(r->text);
	char status[STATUS_TEXT_MAX];

	require(r->code >= 200 && r->code <= 599);
	require(len < REPLY_TEXT_MAX && strlen(r->status) < STATUS_TEXT_MAX);
	require(r->lines > 0 && r->lines <= REPLY_LINES_MAX);
	for (size_t i = 0; i < len; i++)
		require(is_print((uint8_t)r->text[i]));
	reply_status(r, status);
	require(status[0] == '0' + r->code / 100 && status[1] == '.');
}

static void
on_line(void *arg, struct view text)
{
	caps_add_line(arg, text);
}

/* Like reply_parse(), a byte at a time. */
static enum reply_progress
parse_slowly(struct reply_parser *p, struct view in, size_t *taken)
{
	enum reply_progress rc = REPLY_MORE;
	size_t used;

	for (*taken = 0; *taken < in.n && rc == REPLY_MORE; *taken += used) {
		rc = reply_parse(p, view_of(in.p + *taken, 1), &used);
		require(used == 1);
	}
	return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct reply_parser fast, slow;
	struct caps fast_caps, slow_caps;
	struct view in = view_of(data, size);
	enum reply_progress rc = REPLY_DONE;

	reply_parser_init(&fast);
	reply_parser_init(&slow);
	caps_init(&fast_caps);
	caps_init(&slow_caps);
	fast.on_line = slow.on_line = on_line;
	fast.arg = &fast_caps;
	slow.arg = &slow_caps;
	while (in.n > 0 && rc == REPLY_DONE) {
		size_t fast_used, slow_used;

		rc = reply_parse(&fast, in, &fast_used);
		require(fast_used > 0 && fast_used <= in.n);
		require(parse_slowly(&slow, in, &slow_used) == rc);
		if (rc == REPLY_DONE) {
			require(fast_used == slow_used);
			check_reply(&fast.reply);
			require(fast.reply.code == slow.reply.code);
			require(view_eq(view_str(fast.reply.text), view_str(slow.reply.text)));
			require(view_eq(view_str(fast.reply.status), view_str(slow.reply.status)));
		}
		in = view_from(in, fast_used);
	}
	if (rc == REPLY_DONE)
		require(fast_caps.flags == slow_caps.flags && fast_caps.size == slow_caps.size);
	return 0;
}

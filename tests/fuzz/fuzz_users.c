/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arbitrary bytes as the file of doc/users.md: what is taken is written again and read as the same.
 * Then as requests of users: no bucket ever holds more than its limit and what it had.
 */
#include "fuzz.h"

#include "relay/allowance.h"

#include "base/banned.h"

#define MOST 1000

static void
write_again(struct allowance *a, int64_t wall_ms)
{
	struct allowance b;
	struct buf one, two;
	struct err e;

	buf_init(&one, ALLOWANCE_TEXT_MAX);
	buf_init(&two, ALLOWANCE_TEXT_MAX);
	allowance_init(&b, &a->limits);
	require(allowance_text(a, &one, 0, wall_ms));
	require(allowance_load(&b, buf_view(&one), 0, wall_ms, &e) == 0);
	require(allowance_text(&b, &two, 0, wall_ms));
	require(view_eq(buf_view(&one), buf_view(&two)));
	allowance_done(&b);
	buf_done(&one);
	buf_done(&two);
}

static void
ask(struct allowance *a, struct view *in, int64_t *now_ms)
{
	uint8_t who = (uint8_t)fuzz_choice(in);
	struct allowance_asked asked = { .n = { 1, fuzz_choice(in), fuzz_choice(in) * 7u } };
	enum allowance_what what = ALLOWANCE_WHATS;
	enum allowance_span span = ALLOWANCE_SPANS;
	unsigned user;

	*now_ms += (int64_t)fuzz_choice(in) * 1000;
	user = allowance_find(a, who % 5 - 1, *now_ms);
	allowance_user(a, user)->frozen = who == 77;
	switch (allowance_ask(a, user, *now_ms, &asked, &what, &span)) {
	case ALLOWANCE_FITS:
		allowance_fill(a, user, *now_ms, &asked);
		for (int w = 0; w < ALLOWANCE_WHATS; w++)
			for (int s = 0; s < ALLOWANCE_SPANS; s++)
				require(allowance_used(a, user, *now_ms, (enum allowance_what)w,
				    (enum allowance_span)s) <= MOST);
		break;
	case ALLOWANCE_OVER:
		require(asked.n[what] + allowance_used(a, user, *now_ms, what, span) > MOST);
		break;
	case ALLOWANCE_FROZEN:
		require(who == 77);
		break;
	case ALLOWANCE_CROWDED:
		require(false);		/* nobody has any */
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct allowance_limits limits = { .queue_messages = 1, .queue_bytes = 1 };
	struct view in = view_of(data, size);
	int64_t now_ms = 0;
	struct allowance a;
	struct err e;

	for (int w = 0; w < ALLOWANCE_WHATS; w++)
		for (int s = 0; s < ALLOWANCE_SPANS; s++)
			limits.most[w][s] = MOST;
	allowance_init(&a, &limits);
	if (allowance_load(&a, in, 0, 5000, &e) == 0)
		write_again(&a, 5000);
	else
		require(e.text[0] != '\0' && a.n == 1);
	allowance_done(&a);
	allowance_init(&a, &limits);
	while (in.n > 0)
		ask(&a, &in, &now_ms);
	write_again(&a, 5000);
	allowance_done(&a);
	return 0;
}

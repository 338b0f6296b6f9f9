/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clocks that jump, hosts that sleep or boot in 1970, restarts in between: nothing expires
 * or bounces by it, nothing waits longer by it, and what is really old does expire.
 */
#include "sim/scenario.h"

#define YEARS(n) DAYS((n) * 365)

enum deed {
	END,
	RUN,		/* so long */
	JUMP,		/* the wall clock, by so much */
	SLEEP,		/* the host, so long: timers stand still */
	KILL,		/* relay; the next start finds the wall clock moved by so much */
	STOP,		/* in order; away so long */
	BOOT_1970	/* after a stop: the clock begins anew, so long ago it is nowhere written */
};

struct stage {
	enum deed	deed;
	int64_t		ms;
};

#define STEPS 10

static const struct history {
	const char	*name;
	struct stage	 step[STEPS];
	bool		 certificates;	/* fail as long as it is 1970 */
} histories[] = {
	{ "an hour forward", { { JUMP, HOURS(1) } } },
	{ "an hour back", { { JUMP, -HOURS(1) } } },
	{ "ten years forward", { { JUMP, YEARS(10) } } },
	{ "ten years back", { { JUMP, -YEARS(10) } } },
	{ "forward and back", { { JUMP, YEARS(10) }, { RUN, HOURS(2) }, { JUMP, -YEARS(10) } } },
	{ "back and forward", { { JUMP, -YEARS(10) }, { RUN, HOURS(2) }, { JUMP, YEARS(10) } } },
	{ "killed, started ten years on", { { KILL, YEARS(10) } } },
	{ "killed, started ten years back", { { KILL, -YEARS(10) } } },
	{ "stopped for a month", { { STOP, DAYS(30) } } },
	{ "jump, kill, jump back, kill",
	    { { JUMP, YEARS(10) }, { RUN, MINUTES(3) }, { KILL, 0 }, { RUN, MINUTES(3) },
	      { JUMP, -YEARS(10) }, { KILL, 0 } } },
	{ "boot in 1970, then the network time",
	    { { STOP, DAYS(9) }, { BOOT_1970, DAYS(9) }, { RUN, MINUTES(5) }, { JUMP, YEARS(57) } } },
	{ "boot in 1970 without valid certificates",
	    { { STOP, DAYS(9) }, { BOOT_1970, DAYS(9) }, { RUN, HOURS(3) }, { JUMP, YEARS(57) } }, true },
	{ "boot in 1970, killed, then the network time",
	    { { STOP, 0 }, { BOOT_1970, 0 }, { RUN, HOURS(3) }, { KILL, 0 }, { RUN, MINUTES(5) },
	      { JUMP, YEARS(57) }, { KILL, 0 } } },
	{ "boot in 1970, off, boot in 2026",
	    { { STOP, 0 }, { BOOT_1970, 0 }, { RUN, HOURS(3) }, { STOP, YEARS(57) } } },
	{ "asleep for a month", { { SLEEP, DAYS(30) } } },
	{ "nights asleep", { { SLEEP, HOURS(9) }, { RUN, HOURS(3) }, { SLEEP, HOURS(9) },
	      { RUN, HOURS(3) }, { SLEEP, HOURS(9) }, { RUN, HOURS(3) }, { SLEEP, DAYS(5) } } },
	{ "asleep, and the clock set", { { SLEEP, DAYS(30) }, { JUMP, -YEARS(10) } } },
};

static void
certificates(struct world *w, bool good)
{
	for (int i = 0; i < PORTS; i++) {
		w->port[i].ep->tls = good ? STREAM_EOF : STREAM_TLS_EXPIRED;
		twin_endpoint_cut(w->port[i].ep);
	}
}

/* Returns the time that relay ran. */
static int64_t
live(struct world *w, const struct history *h)
{
	int64_t ran = 0;

	for (const struct stage *s = h->step; s < h->step + STEPS && s->deed != END; s++) {
		switch (s->deed) {
		case RUN:
			world_run(w, s->ms);
			ran += s->ms;
			break;
		case JUMP:
			w->loop.wall_ms += s->ms;
			if (h->certificates)
				certificates(w, true);
			break;
		case SLEEP:
			w->loop.mono_ms += s->ms;
			w->loop.wall_ms += s->ms;
			break;
		case KILL:
			w->loop.wall_ms += s->ms;
			world_crash(w, TWIN_KEEP_ALL);
			break;
		case STOP:
			world_stop(w);
			w->loop.mono_ms += s->ms;
			w->loop.wall_ms += s->ms;
			if (s[1].deed != BOOT_1970)
				world_start(w);
			break;
		case BOOT_1970:
			w->loop.wall_ms = SECONDS(7);
			if (h->certificates)
				certificates(w, false);
			world_start(w);
			break;
		case END:
			break;
		}
		world_run(w, MINUTES(2));
		ran += MINUTES(2);
	}
	return ran;
}

static const struct fault busy = { AT_RCPT, SAY, "450 4.2.1 busy", ALWAYS, BOB };

/* A message that was tried and has to wait, for two days. */
static void
begin(struct world *w)
{
	world_start(w);
	fault_everywhere(w, busy);
	world_mail(w, ALICE, BOB, "hello-1.");
	assert_int_equal(w->durable, 1);
	world_run(w, DAYS(2));
	assert_int_equal(world_queued(w), 1);
}

static void
check_waits(struct world *w, const struct history *h)
{
	if (world_queued(w) != 1 || world_logged(w, "expired", "") + world_logged(w, "bounced", "") != 0)
		fail_msg("%s: the message is gone", h->name);
}

static void
it_goes_out_as_soon_as_it_is_taken(void **state)
{
	for (size_t i = 0; i < lengthof(histories); i++) {
		const struct history *h = &histories[i];
		struct world *w = scenario_new();

		begin(w);
		(void)live(w, h);
		check_waits(w, h);
		heal_everywhere(w);
		/* The longest wait between two attempts is an hour and a fifth. */
		if (!world_settle(w, MINUTES(75)))
			fail_msg("%s: the message is not sent", h->name);
		assert_int_equal(world_count(w, "hello-1."), 1);
		assert_int_equal(world_logged(w, "expired", "") + world_logged(w, "bounced", ""), 0);
		scenario_free(w);
	}
}

static void
it_expires_when_it_is_really_old(void **state)
{
	for (size_t i = 0; i < lengthof(histories); i++) {
		const struct history *h = &histories[i];
		struct world *w = scenario_new();
		int64_t ran;

		begin(w);
		ran = DAYS(2) + live(w, h);
		/* Each restart may cost the minutes since the clock was last written down. */
		world_run(w, DAYS(5) - ran - MINUTES(2));
		check_waits(w, h);
		world_run(w, HOURS(1));
		if (world_logged(w, "expired", "") != 1)
			fail_msg("%s: the message does not end", h->name);
		scenario_free(w);
	}
}

/* One that came while the clock was wrong: it ends, though by its own date it lies ahead. */
static void
mail_of_a_wrong_clock_ends_too(void **state)
{
	static const int64_t wrong[] = { HOURS(1), -HOURS(1), YEARS(10), -YEARS(10), -YEARS(56) };

	for (size_t i = 0; i < lengthof(wrong); i++) {
		struct world *w = scenario_new();

		begin(w);
		w->loop.wall_ms += wrong[i];
		world_run(w, MINUTES(2));
		world_mail(w, ALICE, BOB, "hello-2.");
		world_run(w, HOURS(3));
		w->loop.wall_ms -= wrong[i];
		world_run(w, DAYS(2));
		assert_int_equal(world_queued(w), 2);
		world_run(w, DAYS(1));		/* the first is five days old */
		assert_int_equal(world_logged(w, "expired", ""), 1);
		world_run(w, DAYS(2));
		assert_int_equal(world_logged(w, "expired", ""), 2);
		scenario_free(w);
	}
}

/* Accepted, killed before the clock was written down, and started with another one. */
static void
a_message_of_the_last_minute(void **state)
{
	static const int64_t jump[] = { YEARS(10), -YEARS(10) };

	for (size_t i = 0; i < lengthof(jump); i++) {
		struct world *w = scenario_new();

		world_start(w);
		fault_everywhere(w, busy);
		world_mail(w, ALICE, BOB, "hello-1.");
		w->loop.wall_ms += jump[i];
		world_crash(w, TWIN_KEEP_ALL);
		world_run(w, DAYS(5) - HOURS(1));
		assert_int_equal(world_queued(w), 1);
		world_run(w, HOURS(2));
		assert_int_equal(world_logged(w, "expired", ""), 1);
		scenario_free(w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_goes_out_as_soon_as_it_is_taken),
		cmocka_unit_test(it_expires_when_it_is_really_old),
		cmocka_unit_test(mail_of_a_wrong_clock_ends_too),
		cmocka_unit_test(a_message_of_the_last_minute),
	};

	return scenario_run(tests);
}

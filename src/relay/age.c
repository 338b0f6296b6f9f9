/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/age.h"

#include "base/date.h"
#include "base/num.h"

#include "base/banned.h"

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static struct age_span *
last_span(struct age *a)
{
	return &a->span[a->n - 1];
}

static void
add_span(struct age *a, struct age_span s)
{
	if (a->n == AGE_SPANS) {
		struct age_span *one = &a->span[0], *two = &a->span[1];
		int64_t ran = one->ran_ms + two->ran_ms;

		two->from_ms = least(one->from_ms, two->from_ms);
		two->to_ms = most(one->to_ms, two->to_ms);
		two->ran_ms = least(ran, two->to_ms - two->from_ms);
		memmove(one, two, (AGE_SPANS - 1) * sizeof(*one));
		a->n--;
	}
	a->span[a->n++] = s;
}

static void
begin_span(struct age *a, int64_t wall_ms)
{
	add_span(a, (struct age_span){ wall_ms, wall_ms, 0 });
}

void
age_init(struct age *a, int64_t loop_ms, int64_t wall_ms)
{
	*a = (struct age){ .loop_ms = loop_ms, .wall_ms = wall_ms };
	begin_span(a, wall_ms);
}

static void
go_on(struct age_span *s, int64_t wall_ms, int64_t passed_ms)
{
	s->to_ms = most(s->from_ms, wall_ms);
	s->ran_ms = least(s->ran_ms + passed_ms, s->to_ms - s->from_ms);
}

enum age_event
age_tick(struct age *a, int64_t loop_ms, int64_t wall_ms)
{
	int64_t passed = loop_ms - a->loop_ms;
	int64_t jump = wall_ms - a->wall_ms - passed;

	a->loop_ms = loop_ms;
	a->wall_ms = wall_ms;
	if (jump <= AGE_JUMP_MS && jump >= -AGE_JUMP_MS && passed <= AGE_JUMP_MS) {
		go_on(last_span(a), wall_ms, passed);
		return AGE_STEADY;
	}
	begin_span(a, wall_ms);
	return jump > AGE_JUMP_MS ? AGE_FORWARD : jump < -AGE_JUMP_MS ? AGE_BACK : AGE_SLEPT;
}

/* The latest that holds it; a little behind its end, for it is written down once a minute. */
static bool
holds(const struct age_span *s, int64_t received_ms)
{
	return received_ms >= s->from_ms && received_ms <= s->to_ms + AGE_JUMP_MS;
}

int64_t
age_of(const struct age *a, int64_t received_ms)
{
	int64_t later = 0;

	for (size_t i = a->n; i > 0; i--) {
		const struct age_span *s = &a->span[i - 1];

		if (holds(s, received_ms))
			return later + least(s->ran_ms, most(0, s->to_ms - received_ms));
		later += s->ran_ms;
	}
	/* From a time that nobody remembers: it counts from the last thing that is certain. */
	return a->span[a->n - 1].ran_ms;
}

bool
age_text(const struct age *a, struct buf *out)
{
	char from[DATE_MAX], to[DATE_MAX];

	for (size_t i = 0; i < a->n; i++) {
		const struct age_span *s = &a->span[i];

		if (!buf_addf(out, "ran: %s %s %lld\n", date_rfc3339(from, s->from_ms),
		    date_rfc3339(to, s->to_ms), (long long)s->ran_ms))
			return false;
	}
	return true;
}

static bool
read_span(struct age_span *s, struct view line)
{
	struct view from, to;
	uint64_t ran;

	if (!view_starts(line, VIEW("ran: ")))
		return false;
	line = view_from(line, 5);
	if (!view_split(&line, ' ', &from) || !view_split(&line, ' ', &to) ||
	    !date_parse_rfc3339(from, &s->from_ms) || !date_parse_rfc3339(to, &s->to_ms) ||
	    s->to_ms < s->from_ms ||
	    !num_parse_u64(line, 0, (uint64_t)(s->to_ms - s->from_ms), &ran))
		return false;
	s->ran_ms = (int64_t)ran;
	return true;
}

void
age_read(struct age *a, struct view text)
{
	struct age old = { .n = 0 };
	struct age_span s;
	struct view line;
	int64_t away;

	while (view_split(&text, '\n', &line))
		if (read_span(&s, line))
			add_span(&old, s);
	if (old.n == 0)
		return;
	/* A restart is no interruption. Longer without relay, or with another clock, is one. */
	away = a->wall_ms - last_span(&old)->to_ms;
	if (away <= AGE_JUMP_MS && away >= -AGE_JUMP_MS)
		go_on(last_span(&old), a->wall_ms, most(0, away));
	else
		begin_span(&old, a->wall_ms);
	old.loop_ms = a->loop_ms;
	old.wall_ms = a->wall_ms;
	*a = old;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/allowance.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/require.h"

#include "base/banned.h"

#define HEAD	"posthouse-users 1"

static const int64_t span_ms[ALLOWANCE_SPANS] = { 60000, 3600000, 86400000 };

_Static_assert(ALLOWANCE_MOST_MAX <= UINT64_MAX / 2 / 86400000, "a full bucket and as much again fit");

const char *
allowance_what_word(enum allowance_what what)
{
	static const char *const words[] = { "messages", "recipients", "bytes" };

	return words[what];
}

const char *
allowance_span_word(enum allowance_span span)
{
	static const char *const words[] = { "minute", "hour", "day" };

	return words[span];
}

/* --- users ------------------------------------------------------------------------- */

static struct allowance_user *
add(struct allowance *a, int64_t uid, int64_t now_ms)
{
	struct allowance_user *u = xzalloc(sizeof(*u));

	u->uid = uid;
	u->at_ms = now_ms;
	return u;
}

void
allowance_init(struct allowance *a, const struct allowance_limits *limits)
{
	*a = (struct allowance){ .limits = *limits, .n = 1 };
	a->user[0] = add(a, ALLOWANCE_UNKNOWN, 0);
}

void
allowance_done(struct allowance *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->user[i]);
	a->n = 0;
}

/* What has drained since. A bucket without a limit is drained as if it had one: it only counts. */
static void
drain(struct allowance *a, struct allowance_user *u, int64_t now_ms)
{
	int64_t passed = now_ms > u->at_ms ? now_ms - u->at_ms : 0;

	u->at_ms = now_ms;
	for (int w = 0; w < ALLOWANCE_WHATS; w++)
		for (int s = 0; s < ALLOWANCE_SPANS; s++) {
			uint64_t most = a->limits.most[w][s];
			uint64_t gone = (uint64_t)(passed < span_ms[s] ? passed : span_ms[s]) * most;

			u->level[w][s] -= most == 0 || gone > u->level[w][s] ? u->level[w][s] : gone;
		}
}

/* Nothing would be lost with him. */
static bool
is_idle(const struct allowance_user *u)
{
	for (int w = 0; w < ALLOWANCE_WHATS; w++)
		for (int s = 0; s < ALLOWANCE_SPANS; s++)
			if (u->level[w][s] != 0)
				return false;
	return !u->frozen && u->messages == 0 && u->bytes == 0;
}

unsigned
allowance_find(struct allowance *a, int64_t uid, int64_t now_ms)
{
	size_t i = 0;

	if (uid < 0)
		return 1;
	while (i < a->n && a->user[i]->uid != uid)
		i++;
	if (i < a->n)
		return (unsigned)i + 1;
	if (a->n < ALLOWANCE_USERS_MAX) {
		a->user[a->n++] = add(a, uid, now_ms);
		return (unsigned)a->n;
	}
	for (i = 1; i < a->n; i++) {
		drain(a, a->user[i], now_ms);
		if (!is_idle(a->user[i]))
			continue;
		free(a->user[i]);
		a->user[i] = add(a, uid, now_ms);
		return (unsigned)i + 1;
	}
	return 1;
}

struct allowance_user *
allowance_user(struct allowance *a, unsigned number)
{
	require(number >= 1 && number <= a->n);
	return a->user[number - 1];
}

/* --- asking ------------------------------------------------------------------------------ */

static bool
fits(const struct allowance *a, const struct allowance_user *u, uint64_t n, int w, int s)
{
	uint64_t most = a->limits.most[w][s];

	return most == 0 ||
	    (n <= most && u->level[w][s] + n * (uint64_t)span_ms[s] <= most * (uint64_t)span_ms[s]);
}

enum allowance_verdict
allowance_ask(struct allowance *a, unsigned number, int64_t now_ms, const struct allowance_asked *asked,
    enum allowance_what *what, enum allowance_span *span)
{
	struct allowance_user *u = allowance_user(a, number);

	drain(a, u, now_ms);
	/* What is over a limit may be kept, held; there has to be room even for that. */
	if (u->messages + asked->new_messages > a->limits.queue_messages ||
	    u->bytes + asked->new_bytes > a->limits.queue_bytes)
		return ALLOWANCE_CROWDED;
	if (u->frozen)
		return ALLOWANCE_FROZEN;
	for (int s = 0; s < ALLOWANCE_SPANS; s++)
		for (int w = 0; w < ALLOWANCE_WHATS; w++) {
			if (fits(a, u, asked->n[w], w, s))
				continue;
			*what = (enum allowance_what)w;
			*span = (enum allowance_span)s;
			return ALLOWANCE_OVER;
		}
	return ALLOWANCE_FITS;
}

void
allowance_fill(struct allowance *a, unsigned number, int64_t now_ms, const struct allowance_asked *asked)
{
	struct allowance_user *u = allowance_user(a, number);

	drain(a, u, now_ms);
	for (int w = 0; w < ALLOWANCE_WHATS; w++)
		for (int s = 0; s < ALLOWANCE_SPANS; s++)
			if (a->limits.most[w][s] != 0)
				u->level[w][s] += asked->n[w] * (uint64_t)span_ms[s];
}

uint64_t
allowance_used(struct allowance *a, unsigned number, int64_t now_ms, enum allowance_what what,
    enum allowance_span span)
{
	struct allowance_user *u = allowance_user(a, number);

	drain(a, u, now_ms);
	return (u->level[what][span] + (uint64_t)span_ms[span] - 1) / (uint64_t)span_ms[span];
}

/* --- the file --------------------------------------------------------------------------------- */

static bool
put_user(struct buf *out, const struct allowance_user *u)
{
	bool ok = u->uid < 0 ? buf_add_str(out, "unknown") : buf_addf(out, "%" PRId64, u->uid);

	ok = ok && buf_add_str(out, u->frozen ? " frozen" : " -");
	for (int w = 0; w < ALLOWANCE_WHATS; w++)
		for (int s = 0; s < ALLOWANCE_SPANS; s++)
			ok = ok && buf_addf(out, " %" PRIu64, u->level[w][s]);
	return ok && buf_add_byte(out, '\n');
}

bool
allowance_text(struct allowance *a, struct buf *out, int64_t now_ms, int64_t wall_ms)
{
	bool ok = buf_addf(out, "%s %" PRId64 "\n", HEAD, wall_ms);

	for (size_t i = 0; i < a->n; i++) {
		struct allowance_user *u = a->user[i];

		drain(a, u, now_ms);
		if (!is_idle(u))
			ok = ok && put_user(out, u);
	}
	return ok;
}

/* A level beyond any limit would stay for ever. */
static bool
take_level(struct view *line, int64_t span, uint64_t *out)
{
	struct view word;

	return view_split(line, ' ', &word) &&
	    num_parse_u64(word, 0, ALLOWANCE_MOST_MAX * (uint64_t)span, out);
}

static bool
take_user(struct allowance *a, struct view line, int64_t then_ms)
{
	struct allowance_user user = { .at_ms = then_ms }, *u;
	struct view uid, state;
	uint64_t n = 0;

	if (!view_split(&line, ' ', &uid) || !view_split(&line, ' ', &state))
		return false;
	user.uid = ALLOWANCE_UNKNOWN;
	if (num_parse_u64(uid, 0, UINT32_MAX, &n))
		user.uid = (int64_t)n;
	else if (!view_eq(uid, VIEW("unknown")))
		return false;
	user.frozen = view_eq(state, VIEW("frozen"));
	if (!user.frozen && !view_eq(state, VIEW("-")))
		return false;
	for (int w = 0; w < ALLOWANCE_WHATS; w++)
		for (int s = 0; s < ALLOWANCE_SPANS; s++)
			if (!take_level(&line, span_ms[s], &user.level[w][s]))
				return false;
	u = allowance_user(a, allowance_find(a, user.uid, then_ms));
	if (u->uid == user.uid)
		*u = user;
	return line.n == 0;
}

int
allowance_load(struct allowance *a, struct view text, int64_t now_ms, int64_t wall_ms, struct err *e)
{
	struct allowance_limits limits = a->limits;
	struct view line;
	uint64_t then = 0;
	bool ok = view_split(&text, '\n', &line) && view_starts(line, VIEW(HEAD " ")) &&
	    num_parse_u64(view_from(line, sizeof(HEAD)), 0, INT64_MAX, &then);
	/* Of a clock that was set back nothing is known. */
	int64_t passed = wall_ms > (int64_t)then ? wall_ms - (int64_t)then : 0;

	if (passed > span_ms[ALLOWANCE_DAY])
		passed = span_ms[ALLOWANCE_DAY];
	while (ok && view_split(&text, '\n', &line))
		ok = take_user(a, line, now_ms - passed);
	if (ok)
		return 0;
	allowance_done(a);
	allowance_init(a, &limits);
	return err_set(e, ERR_DAMAGED, "it is damaged, or of another version");
}

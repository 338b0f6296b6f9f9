/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/accounts.h"

#include <assert.h>
#include <stdio.h>

#include "base/crc32c.h"
#include "base/date.h"
#include "base/num.h"

#include "base/banned.h"

#define FIRST_LINE	"posthouse-accounts 1"
#define ANY_VERSION	"posthouse-accounts "
#define OPEN_MAX	1000
#define STEP_MAX	1000
#define WALL_MAX_MS	INT64_C(253370764800000)	/* 9999-01-01: dates have four digits for the year */

/* --- writing ----------------------------------------------------------------------- */

static int64_t
within(int64_t ms, int64_t least, int64_t most)
{
	return ms < least ? least : ms > most ? most : ms;
}

static bool
put_time(struct buf *out, const char *key, int64_t wall_ms)
{
	char date[DATE_MAX];

	return buf_addf(out, "%s: %s\n", key, date_rfc3339(date, within(wall_ms, 0, WALL_MAX_MS)));
}

static bool
put_entry(struct buf *out, const struct accounts_entry *x, int64_t written_ms)
{
	const struct account_record *rec = &x->record;
	uint8_t hex[2 * FINGERPRINT_SIZE];
	int64_t until_ms = written_ms, since_ms = written_ms;

	if (rec->state != ACCOUNT_AVAILABLE) {
		until_ms += within(rec->left_ms, 0, ACCOUNTS_LEFT_MAX_MS);
		since_ms = until_ms - rec->lasts_ms;
	}
	num_hex_bytes(hex, x->fingerprint, FINGERPRINT_SIZE);
	return buf_addf(out, "relay: %s\n", x->name) && buf_add_str(out, "fingerprint: ") &&
	    buf_add(out, view_of(hex, sizeof(hex))) &&
	    buf_addf(out, "\nproven: %s\nopen: %u\nstate: %s\n", x->proven ? "yes" : "no",
	    x->open < OPEN_MAX ? x->open : OPEN_MAX, account_state_word(rec->state)) &&
	    put_time(out, "since", since_ms) && put_time(out, "until", until_ms) &&
	    buf_addf(out, "step: %u\nclass: %s\ndetail: %s\n", rec->step < STEP_MAX ? rec->step : STEP_MAX,
	    health_class_info(rec->class)->word, rec->detail);
}

bool
accounts_text(const struct accounts *a, struct buf *out)
{
	int64_t written_ms = within(a->written_ms, 0, WALL_MAX_MS - ACCOUNTS_LEFT_MAX_MS);
	bool ok = buf_add_str(out, FIRST_LINE "\n") && put_time(out, "written", written_ms);

	for (size_t i = 0; i < a->n && ok; i++)
		ok = put_entry(out, &a->entry[i], written_ms);
	return ok && buf_addf(out, "end: %08x\n", (unsigned)crc32c(0, buf_view(out)));
}

/* --- reading ----------------------------------------------------------------------- */

struct reader {
	struct view	rest;
	unsigned	line;
};

/* The value of the next line, if that has this key. */
static bool
take(struct reader *r, const char *key, struct view *value)
{
	struct view line, k = view_str(key);
	size_t n = view_find(r->rest, '\n');

	line = view_first(r->rest, n);
	if (n == r->rest.n || line.n < k.n + 2 || !view_starts(line, k) ||
	    !view_starts(view_from(line, k.n), VIEW(": ")))
		return false;
	*value = view_from(line, k.n + 2);
	for (size_t i = 0; i < value->n; i++)
		if (!is_print(value->p[i]))
			return false;
	r->rest = view_from(r->rest, n + 1);
	r->line++;
	return true;
}

static bool
take_time(struct reader *r, const char *key, int64_t *ms)
{
	struct view v;

	return take(r, key, &v) && date_parse_rfc3339(v, ms);
}

static bool
take_num(struct reader *r, const char *key, unsigned most, unsigned *out)
{
	struct view v;
	uint64_t n;

	if (!take(r, key, &v) || !num_parse_u64(v, 0, most, &n))
		return false;
	*out = (unsigned)n;
	return true;
}

static bool
take_text(struct reader *r, const char *key, char *out, size_t cap)
{
	struct view v;

	if (!take(r, key, &v) || v.n >= cap)
		return false;
	memcpy(out, v.p, v.n);
	out[v.n] = '\0';
	return true;
}

static bool
take_bool(struct reader *r, const char *key, bool *out)
{
	struct view v;

	if (!take(r, key, &v) || (!view_eq(v, VIEW("yes")) && !view_eq(v, VIEW("no"))))
		return false;
	*out = v.n == 3;
	return true;
}

static bool
take_state(struct reader *r, enum account_state *out)
{
	struct view v;

	if (!take(r, "state", &v))
		return false;
	for (int s = 0; s < ACCOUNT_DOWN; s++) {
		if (view_eq(v, view_str(account_state_word((enum account_state)s)))) {
			*out = (enum account_state)s;
			return true;
		}
	}
	return false;
}

static bool
take_class(struct reader *r, enum account_state state, enum health_class *out)
{
	static const enum health_class usual[ACCOUNT_DOWN] = {
		[ACCOUNT_AVAILABLE] = HEALTH_OK, [ACCOUNT_PAUSED] = HEALTH_AUTH_TEMP,
		[ACCOUNT_EXHAUSTED] = HEALTH_QUOTA_USED_UP, [ACCOUNT_BLOCKED] = HEALTH_AUTH_REFUSED,
	};
	struct view v;

	if (!take(r, "class", &v))
		return false;
	if (!health_class_find(v, out))
		*out = usual[state];
	return true;
}

static bool
take_entry(struct reader *r, int64_t written_ms, struct accounts_entry *x)
{
	struct account_record *rec = &x->record;
	int64_t since_ms, until_ms;
	struct view hex;

	if (!take_text(r, "relay", x->name, sizeof(x->name)) || !take(r, "fingerprint", &hex) ||
	    !num_parse_hex_bytes(hex, x->fingerprint, FINGERPRINT_SIZE) ||
	    !take_bool(r, "proven", &x->proven) || !take_num(r, "open", OPEN_MAX, &x->open) ||
	    !take_state(r, &rec->state) || !take_time(r, "since", &since_ms) ||
	    !take_time(r, "until", &until_ms) || !take_num(r, "step", STEP_MAX, &rec->step) ||
	    !take_class(r, rec->state, &rec->class) ||
	    !take_text(r, "detail", rec->detail, sizeof(rec->detail)))
		return false;
	rec->lasts_ms = until_ms - since_ms;
	rec->left_ms = until_ms - written_ms;
	return rec->lasts_ms >= 0 && rec->left_ms >= 0 && rec->left_ms <= ACCOUNTS_LEFT_MAX_MS;
}

/* The last line, and that the rest is what it was. */
static bool
is_whole(struct view text)
{
	char end[] = "end: 01234567\n";
	size_t n = sizeof(end) - 1, at = text.n >= n ? text.n - n : 0;

	(void)snprintf(end, sizeof(end), "end: %08x\n", (unsigned)crc32c(0, view_first(text, at)));
	return view_eq(view_from(text, at), view_str(end));
}

static bool
parse(struct accounts *a, struct reader *r)
{
	struct view end;

	if (!take_time(r, "written", &a->written_ms) ||
	    a->written_ms > WALL_MAX_MS - ACCOUNTS_LEFT_MAX_MS)
		return false;
	while (a->n < ACCOUNTS_MAX && view_starts(r->rest, VIEW("relay: "))) {
		if (!take_entry(r, a->written_ms, &a->entry[a->n]))
			return false;
		a->n++;
	}
	return take(r, "end", &end) && r->rest.n == 0;
}

int
accounts_parse(struct accounts *out, struct view text, struct err *e)
{
	struct reader r = { .rest = text, .line = 1 };
	struct accounts a = { .n = 0 };
	struct view first;

	(void)view_split(&r.rest, '\n', &first);
	if (view_starts(first, VIEW(ANY_VERSION)) && !view_eq(first, VIEW(FIRST_LINE)) &&
	    is_digit(first.p[first.n - 1]))
		return err_set(e, ERR_INPUT, "it is of another version of posthouse");
	if (!view_eq(first, VIEW(FIRST_LINE)) || !is_whole(text))
		return err_set(e, ERR_DAMAGED, "it is damaged: its checksum is another one");
	if (!parse(&a, &r))
		return err_set(e, ERR_DAMAGED, "line %u makes no sense", r.line + 1);
	*out = a;
	return 0;
}

/* --- at the start ------------------------------------------------------------------- */

const struct accounts_entry *
accounts_find(const struct accounts *a, const uint8_t fingerprint[FINGERPRINT_SIZE])
{
	for (size_t i = 0; i < a->n; i++)
		if (memcmp(a->entry[i].fingerprint, fingerprint, FINGERPRINT_SIZE) == 0)
			return &a->entry[i];
	return NULL;
}

/* The last login was not judged: the pause after it, as of when it was written. */
static void
pause_for_open(const struct accounts_entry *x, struct account_record *out)
{
	int64_t ms;

	if (x->open == 0 || (x->open == 1 && x->proven))
		return;
	ms = health_unjudged_ms(x->open);
	*out = (struct account_record){ .state = ACCOUNT_PAUSED, .step = x->open - 1,
		.class = HEALTH_AUTH_UNANSWERED, .lasts_ms = ms, .left_ms = ms };
	(void)snprintf(out->detail, sizeof(out->detail),
	    "no answer to its last login was seen before posthouse ended (%u in a row)", x->open);
}

void
accounts_resume(const struct accounts *a, const struct accounts_entry *x, int64_t wall_ms,
    struct account_record *out)
{
	int64_t away_ms = wall_ms - a->written_ms;

	*out = x->record;
	if (out->state == ACCOUNT_AVAILABLE)
		pause_for_open(x, out);
	if (away_ms < 0 || away_ms > ACCOUNTS_AWAY_MAX_MS)
		away_ms = 0;		/* another clock: it is not believed */
	out->left_ms = out->left_ms > away_ms ? out->left_ms - away_ms : 0;
	/* A block does not end by time: the login that it allows is due. */
	if (out->left_ms == 0 && out->state != ACCOUNT_BLOCKED)
		*out = (struct account_record){ .state = ACCOUNT_AVAILABLE };
}

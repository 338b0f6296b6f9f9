/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/scan.h"

#include "base/crc32c.h"
#include "spool/spool.h"

#include "base/banned.h"

#define WINDOW		(256u << 10)
#define PAYLOAD_MAX	(32u << 20)	/* more than any record of ours */

void
scan_init(struct scan *sc, struct fs *fs, int fd, const struct segment *sg, bool proven)
{
	*sc = (struct scan){ .fs = fs, .fd = fd, .nonce = sg->nonce, .proven = proven, .named = sg->named,
		.size = sg->size,
		.end = sg->size < sg->abandon_from ? sg->size : sg->abandon_from };
	buf_init(&sc->window, PAYLOAD_MAX + WINDOW);
}

void
scan_done(struct scan *sc)
{
	buf_done(&sc->window);
}

/* n bytes at this place, or fewer at the end. -1: they can't be read. */
static int
look(struct scan *sc, uint64_t at, size_t n, struct view *out, struct err *e)
{
	uint64_t left = at < sc->end ? sc->end - at : 0;
	struct view have = buf_view(&sc->window);
	size_t want = n > WINDOW ? n : WINDOW;
	uint8_t *p;
	int64_t got;

	if (n > left)
		n = (size_t)left;
	if (at >= sc->window_at && at + n <= sc->window_at + have.n) {
		*out = view_first(view_from(have, (size_t)(at - sc->window_at)), n);
		return 0;
	}
	if (want > left)
		want = (size_t)left;
	buf_clear(&sc->window);
	p = buf_reserve(&sc->window, want);
	if (p == NULL)
		return err_set(e, ERR_FULL, "out of memory");
	got = fs_read(sc->fs, sc->fd, p, want, at, e);
	if (got < 0)
		return -1;
	buf_grew(&sc->window, (size_t)got);
	sc->window_at = at;
	*out = view_first(buf_view(&sc->window), n);
	return 0;
}

static int
header_at(struct scan *sc, uint64_t at, struct record *r, bool *valid, struct err *e)
{
	struct view v;

	if (look(sc, at, RECORD_HEADER, &v, e) < 0)
		return -1;
	*valid = v.n == RECORD_HEADER && record_get(r, v.p, sc->nonce) &&
	    r->length <= PAYLOAD_MAX && at + record_room(r->length) <= sc->end;
	return 0;
}

/* The first valid header behind at; none: *found is sc->end. Also learns the highest epoch ahead. */
static int
look_ahead(struct scan *sc, uint64_t at, uint64_t *found, struct record *first, struct err *e)
{
	bool learn = sc->ahead_at <= at, valid;
	struct record r;

	*found = sc->end;
	if (learn)
		sc->ahead_epoch = sc->ahead_at = 0;
	for (at += RECORD_UNIT; at < sc->end; at += RECORD_UNIT) {
		if (header_at(sc, at, &r, &valid, e) < 0) {
			sc->ahead_at = 0;	/* what was learned is not all */
			return -1;
		}
		if (!valid)
			continue;
		if (*found == sc->end) {
			*found = at;
			*first = r;
		}
		if (!learn)
			break;
		if (r.epoch >= sc->ahead_epoch) {
			sc->ahead_epoch = r.epoch;
			sc->ahead_at = at;
		}
	}
	return 0;
}

/*
 * A header that can't be read has no epoch: it is the last one's or a later one. So
 * only what is two epochs later proves that it was synced, or one later if that begins
 * behind it.
 */
static bool
unknown_was_synced(const struct scan *sc, bool found, const struct record *first)
{
	if (sc->ahead_epoch > sc->epoch + 1)
		return true;
	return found && sc->ahead_epoch == sc->epoch + 1 &&
	    (first->epoch == sc->epoch || first->index == 0);
}

static enum scan_result
judge(struct scan *sc, const struct record *bad, struct scan_record *out, struct err *e)
{
	struct record first = { 0 };
	uint64_t found;
	bool synced;

	if (look_ahead(sc, sc->at, &found, &first, e) < 0)
		return SCAN_FAIL;
	if (bad != NULL)
		synced = sc->ahead_epoch > bad->epoch;
	else
		synced = unknown_was_synced(sc, found < sc->end, &first);
	/* A start was synced before its file had this name; named by none, nobody went on behind it. */
	synced = synced || (sc->at == 0 && sc->named);
	/* With nothing but its start, and named by none, it could be neither begun nor removed. */
	if (!synced && (!sc->proven || (!sc->named && sc->epoch == 0))) {
		sc->torn = true;
		return SCAN_END;
	}
	/* The tag of a valid header proves its length. */
	if (bad != NULL)
		found = sc->at + record_room(bad->length);
	*out = (struct scan_record){ .at = sc->at, .length = found - sc->at };
	if (bad != NULL)
		out->head = *bad;
	sc->at = found;
	return SCAN_DAMAGE;
}

enum scan_result
scan_next(struct scan *sc, struct scan_record *out, struct err *e)
{
	struct record r;
	struct view v;
	bool valid;

	if (sc->sealed || sc->at >= sc->end)
		return SCAN_END;
	if (header_at(sc, sc->at, &r, &valid, e) < 0)
		return SCAN_FAIL;
	if (!valid)
		return judge(sc, NULL, out, e);
	if (look(sc, sc->at, (size_t)RECORD_HEADER + r.length, &v, e) < 0)
		return SCAN_FAIL;
	v = view_from(v, RECORD_HEADER);
	if (v.n != r.length || crc32c(0, v) != r.crc)
		return judge(sc, &r, out, e);
	*out = (struct scan_record){ r, sc->at, record_room(r.length), v };
	sc->at += out->length;
	sc->epoch = r.epoch;
	sc->sealed = r.type == RECORD_SEAL;
	return SCAN_RECORD;
}

void
scan_back(struct scan *sc, uint64_t at)
{
	buf_clear(&sc->window);
	sc->at = at;
	sc->ahead_epoch = sc->ahead_at = 0;
}

static bool
is_zero(struct view v)
{
	return v.p[0] == 0 && memcmp(v.p, v.p + 1, v.n - 1) == 0;
}

int
scan_last_byte(struct scan *sc, uint64_t *out)
{
	uint64_t size = sc->size, filled = sc->at, ours = sc->at;
	struct record r;
	struct view v;
	bool valid;

	sc->end = size;		/* also what is abandoned */
	for (uint64_t at = sc->at; at + RECORD_UNIT <= size; at += RECORD_UNIT) {
		if (look(sc, at, RECORD_UNIT, &v, NULL) < 0)
			return -1;
		if (is_zero(v))
			continue;	/* most of what was only reserved */
		filled = at + RECORD_UNIT;
		if (header_at(sc, at, &r, &valid, NULL) < 0)
			return -1;
		if (valid)
			ours = at + record_room(r.length);
	}
	/* Filled, but not by this use: stale, but for a record whose header is torn. */
	ours += record_room(SPOOL_CHUNK);
	*out = filled < ours ? filled : ours;
	return 0;
}

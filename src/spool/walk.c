/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/walk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "spool/absence.h"
#include "spool/load.h"
#include "spool/outcome.h"
#include "spool/replay.h"
#include "spool/segment.h"

#include "base/banned.h"

#define TRIES_MAX	5u		/* walks, while a daemon gives segments back */
#define HOPS_MAX	16u		/* records of outcomes looked at for one text */

struct walk {
	struct fs	*fs;
	struct segment	**segment;	/* by number */
	size_t		 nsegments;
	struct replay	 replay;
	struct spool_message **message;
	size_t		 nmessages;
	struct walk_totals totals;
	struct walk_fault *fault;
	size_t		 nfaults;
	bool		 content;	/* the segments so far hold more than their starts */
	size_t		 nseen;		/* of the segments, by walk_is_stale() */
	bool		 stale;		/* something looked damaged, and a segment was gone by then */
	/* the message that is looked at */
	int		 fd;
	uint32_t	 open_number;
	struct buf	 bytes, lines;
	struct envelope	 envelope;
};

/* Counted by the caller; kept up to a number. */
static void note_fault(struct walk *w, const struct walk_fault *f, const char *fmt, ...) printf_like(3, 4);
static void
note_fault(struct walk *w, const struct walk_fault *f, const char *fmt, ...)
{
	struct walk_fault *kept;
	va_list ap;

	if (w->nfaults == WALK_FAULTS_MAX)
		return;
	if ((w->nfaults & (w->nfaults - 1)) == 0)
		w->fault = xrealloc(w->fault, (w->nfaults != 0 ? w->nfaults * 2 : 1) * sizeof(*w->fault));
	kept = &w->fault[w->nfaults++];
	*kept = *f;
	va_start(ap, fmt);
	(void)vsnprintf(kept->why, sizeof(kept->why), fmt, ap);
	va_end(ap);
}

/*
 * Something looks damaged. It tells nothing if a segment is gone that was listed: what was read may
 * be of its next use.
 */
static bool
is_moot(struct walk *w)
{
	w->stale = w->stale || walk_is_stale(w);
	return w->stale;
}

static void
note_unreadable(struct walk *w, const struct segment *sg, const char *why)
{
	struct walk_fault f = { .kind = WALK_SEGMENT, .segment = sg->number };

	if (is_moot(w))
		return;
	w->totals.unreadable++;
	note_fault(w, &f, "%s", why);
}

/* --- segments --------------------------------------------------------------------- */

static bool
see_name(void *arg, const char *name)
{
	struct walk *w = arg;
	uint64_t number;

	if (!segment_number(name, true, &number))
		return true;
	if ((w->nsegments & (w->nsegments - 1)) == 0)
		w->segment = xrealloc(w->segment,
		    (w->nsegments != 0 ? w->nsegments * 2 : 1) * sizeof(struct segment *));
	w->segment[w->nsegments++] = segment_new((uint32_t)number, 0);
	return true;
}

static int
compare_segments(const void *a, const void *b)
{
	const struct segment *x = *(struct segment *const *)a, *y = *(struct segment *const *)b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static struct segment *
find_segment(const struct walk *w, uint64_t number)
{
	size_t low = 0, high = w->nsegments;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (w->segment[mid]->number < number)
			low = mid + 1;
		else
			high = mid;
	}
	return low < w->nsegments && w->segment[low]->number == number ? w->segment[low] : NULL;
}

static bool
see_again(void *arg, const char *name)
{
	struct walk *w = arg;
	uint64_t number;

	if (segment_number(name, true, &number) && find_segment(w, number) != NULL)
		w->nseen++;
	return true;
}

/* Numbers are never used twice: a segment of this name is the one that was read. */
bool
walk_is_stale(struct walk *w)
{
	w->nseen = 0;
	return fs_list(w->fs, DIR_LOG, see_again, w, NULL) == 0 && w->nseen < w->nsegments;
}

static int
open_segment(struct walk *w, uint32_t number, struct err *e)
{
	char name[SEGMENT_NAME_MAX];

	if (w->fd >= 0 && w->open_number == number)
		return 0;
	if (w->fd >= 0)
		fs_close(w->fs, w->fd);
	w->fd = fs_open(w->fs, segment_name(name, DIR_LOG, number), FS_READ, e);
	w->open_number = number;
	return w->fd < 0 ? -1 : 0;
}

/* -1: a later format. */
static int
read_start(struct walk *w, struct segment *sg, struct err *e)
{
	struct segment_start start;
	struct segment *other;
	struct err why = { 0 };
	uint64_t room;
	int64_t size = -1;

	if (open_segment(w, sg->number, &why) == 0)
		size = fs_size(w->fs, w->fd, &why);
	sg->size = size > 0 ? (uint64_t)size : 0;
	if (size < 0 || segment_read_start(w->fs, w->fd, &start, &room, &why) < 0) {
		if (why.kind == ERR_CONFIG) {
			if (e != NULL)
				*e = why;
			return -1;
		}
		return 0;		/* a later segment may know its nonce */
	}
	if (start.number != sg->number)
		return 0;
	sg->nonce = start.nonce;
	sg->previous = (uint32_t)start.previous;
	other = find_segment(w, start.previous);
	if (other != NULL)
		segment_learn(other, &start);
	return 0;
}

/* Once more, for a daemon may have been writing there: then it is a record by now. */
static enum scan_result
look_twice(struct scan *sc, struct scan_record *x, struct err *e)
{
	scan_back(sc, x->at);
	return scan_next(sc, x, e);
}

/* T must say what the records before it say. */
static void
check_summary(struct walk *w, const struct segment *sg, const struct scan_record *x)
{
	struct walk_fault f = { .kind = WALK_RANGE, .segment = sg->number, .at = x->at, .length = x->length };
	struct buf text;

	buf_init(&text, SUMMARY_MAX);
	if ((!summary_check(x->payload, x->at) || !summary_put(&text, w->replay.gather) ||
	    !view_eq(buf_view(&text), x->payload)) && !is_moot(w)) {
		w->totals.damaged++;
		w->totals.damaged_bytes += x->length;
		note_fault(w, &f, "the summary of the segment does not say what its records say");
	}
	buf_done(&text);
}

static void
note_absence(struct walk *w, const struct absence *a)
{
	struct walk_fault f = { .kind = WALK_ABSENCE, .segment = a->segment, .at = a->at, .length = a->length };
	char why[ABSENCE_TEXT_MAX];

	if (is_moot(w))
		return;
	w->totals.missing++;
	w->totals.missing_bytes += a->length;
	note_fault(w, &f, "%s", absence_text(why, a));
}

/* Only the oldest goes: so what stands in front of a segment is there, or nothing is. */
static void
look_in_front(struct walk *w, const struct segment *sg)
{
	struct absence a;

	if (w->content && sg->previous != 0 && find_segment(w, sg->previous) == NULL &&
	    absence_of_segment(&a, w->fs, sg->previous))
		note_absence(w, &a);
}

static void
replay_segment(struct walk *w, struct segment *sg, bool last)
{
	enum scan_result result;
	struct scan_record x;
	struct scan sc;
	struct err e = { 0 };
	struct absence a;
	bool damaged = false;

	look_in_front(w, sg);
	if (open_segment(w, sg->number, &e) < 0) {
		note_unreadable(w, sg, e.text);
		return;
	}
	if (sg->nonce == 0) {
		note_unreadable(w, sg, "its start can't be read, and no later segment knows its nonce");
		return;
	}
	w->replay.gather = summary_new(sg->number);
	scan_init(&sc, w->fs, w->fd, sg, !last && !sg->tail_unproven);
	for (;;) {
		struct walk_fault f = { .kind = WALK_RANGE, .segment = sg->number };

		result = scan_next(&sc, &x, &e);
		if (result == SCAN_DAMAGE)
			result = look_twice(&sc, &x, &e);
		if (result == SCAN_RECORD) {
			w->totals.records++;
			w->content |= x.head.type != RECORD_START;
			replay_record(&w->replay, sg->number, &x);
			if (x.head.type == RECORD_SUMMARY && !damaged)
				check_summary(w, sg, &x);
			continue;
		}
		if (result != SCAN_DAMAGE || is_moot(w))
			break;
		damaged = w->content = true;
		w->totals.damaged++;
		w->totals.damaged_bytes += x.length;
		f.at = x.at;
		f.length = x.length;
		f.message = x.head.id;
		note_fault(w, &f, x.head.type != 0 ? "the payload of the record fails its checksum" :
		    "the header of a record can't be read");
	}
	if (result == SCAN_FAIL)
		note_unreadable(w, sg, e.text);
	else if (absence_of_end(&a, sg, result == SCAN_END && !sc.sealed && !damaged))
		note_absence(w, &a);
	w->totals.unclosed += result == SCAN_END && !sc.sealed && sc.end == sc.size;
	w->totals.bytes += sc.at;
	scan_done(&sc);
	summary_free(w->replay.gather);
	w->replay.gather = NULL;
}

static int
compare_messages(const void *a, const void *b)
{
	const struct spool_message *x = *(struct spool_message *const *)a;
	const struct spool_message *y = *(struct spool_message *const *)b;

	if (x->segment != y->segment)
		return x->segment < y->segment ? -1 : 1;
	if (x->offset64 != y->offset64)
		return x->offset64 < y->offset64 ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static void
collect(struct walk *w)
{
	struct spool_message *m;
	size_t pos = 0;

	w->message = xcalloc(w->replay.found->n + 1, sizeof(struct spool_message *));
	while ((m = index_next(w->replay.found, &pos)) != NULL)
		w->message[w->nmessages++] = m;
	if (w->nmessages > 1)
		qsort(w->message, w->nmessages, sizeof(struct spool_message *), compare_messages);
	w->totals.messages = w->nmessages;
}

static int
walk_all(struct walk *w, struct err *e)
{
	if (fs_list(w->fs, DIR_LOG, see_name, w, e) < 0)
		return -1;
	if (w->nsegments > 1)
		qsort(w->segment, w->nsegments, sizeof(struct segment *), compare_segments);
	for (size_t i = 0; i < w->nsegments; i++)
		if (read_start(w, w->segment[i], e) < 0)
			return -1;
	for (size_t i = 0; i < w->nsegments && !w->stale; i++)
		replay_segment(w, w->segment[i], i + 1 == w->nsegments);
	w->totals.segments = w->nsegments;
	collect(w);
	return 0;
}

int
walk_new(struct walk **out, struct fs *fs, struct err *e)
{
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		struct walk *w = xzalloc(sizeof(*w));

		*w = (struct walk){ .fs = fs, .fd = -1 };
		replay_init(&w->replay);
		buf_init(&w->bytes, 64u << 20);
		buf_init(&w->lines, ENVELOPE_MAX);
		envelope_init(&w->envelope);
		if (walk_all(w, e) < 0) {
			walk_free(w);
			return -1;
		}
		if (!is_moot(w)) {
			*out = w;
			return 0;
		}
		walk_free(w);
	}
	return err_set(e, ERR_BUSY, "the log changes faster than it can be read; posthoused is at work "
	    "there, ask it, or try again");
}

void
walk_free(struct walk *w)
{
	if (w == NULL)
		return;
	if (w->fd >= 0)
		fs_close(w->fs, w->fd);
	for (size_t i = 0; i < w->nsegments; i++)
		segment_free(w->segment[i]);
	free(w->segment);
	free(w->message);
	free(w->fault);
	replay_done(&w->replay);
	envelope_done(&w->envelope);
	buf_done(&w->bytes);
	buf_done(&w->lines);
	free(w);
}

void
walk_totals(const struct walk *w, struct walk_totals *out)
{
	*out = w->totals;
}

const struct walk_fault *
walk_fault(const struct walk *w, size_t i)
{
	return i < w->nfaults ? &w->fault[i] : NULL;
}

/* --- messages ----------------------------------------------------------------------- */

const struct spool_message *
walk_message(const struct walk *w, size_t i)
{
	return i < w->nmessages ? w->message[i] : NULL;
}

const struct spool_message *
walk_find(const struct walk *w, spool_id id)
{
	return index_get(w->replay.found, id);
}

/* Bytes of the log into w->bytes; fewer at the end of the file. */
static int
fetch(struct walk *w, const struct place *p, uint64_t *nonce, struct err *e)
{
	const struct segment *sg = find_segment(w, p->segment);
	uint8_t *at;
	int64_t got;

	if (sg == NULL)
		return err_set(e, ERR_DAMAGED, "segment %016x is not there", p->segment);
	*nonce = sg->nonce;
	if (open_segment(w, p->segment, e) < 0)
		return -1;
	buf_clear(&w->bytes);
	at = buf_reserve(&w->bytes, (size_t)p->length);
	if (at == NULL)
		return err_set(e, ERR_FULL, "out of memory");
	got = fs_read(w->fs, w->fd, at, (size_t)p->length, p->at, e);
	if (got < 0)
		return -1;
	buf_grew(&w->bytes, (size_t)got);
	return 0;
}

/* Feed the load the record that it wants next. */
static int
step(struct walk *w, struct load *l, const struct place *p, struct err *e)
{
	uint64_t nonce = 0;

	return fetch(w, p, &nonce, e) < 0 ? -1 : load_feed(l, nonce, buf_view(&w->bytes), e);
}

int
walk_envelope(struct walk *w, const struct spool_message *m, const struct envelope **out, struct err *e)
{
	struct load l;
	struct place p;
	int rc = -1;

	load_init(&l, m);
	while (!l.has_envelope && load_wants(&l, &p))
		if (step(w, &l, &p, e) < 0)
			goto out;
	buf_clear(&w->lines);
	if (!l.has_envelope || !buf_add(&w->lines, l.envelope)) {
		(void)err_set(e, ERR_DAMAGED, "the envelope is not complete");
		goto out;
	}
	envelope_done(&w->envelope);
	if (envelope_decode(&w->envelope, buf_view(&w->lines), e) < 0)
		goto out;
	*out = &w->envelope;
	rc = 0;
out:
	load_done(&l);
	return rc;
}

int
walk_text(struct walk *w, const struct spool_message *m, bool (*put)(void *, struct view), void *owner,
    struct err *e)
{
	struct load l;
	struct place p;
	int rc = -1;

	load_init(&l, m);
	while (load_wants(&l, &p)) {
		if (step(w, &l, &p, e) < 0)
			goto out;
		if (l.body.n > 0 && !put(owner, l.body))
			break;
	}
	rc = 0;
out:
	load_done(&l);
	return rc;
}

/* --- is it whole? --------------------------------------------------------------------- */

static bool
put_nowhere(void *owner, struct view v)
{
	return true;
}

static int
check_message(struct walk *w, const struct spool_message *m, struct err *e)
{
	const struct envelope *env;

	if (walk_envelope(w, m, &env, e) < 0)
		return -1;
	if (env->nrcpt != m->nrcpt)
		return err_set(e, ERR_DAMAGED, "recipients are missing");
	return walk_text(w, m, put_nowhere, NULL, e);
}

bool
walk_check(struct walk *w)
{
	for (size_t i = 0; i < w->nmessages; i++) {
		const struct spool_message *m = w->message[i];
		struct walk_fault f = { .kind = WALK_MESSAGE, .segment = m->segment, .message = m->id };
		struct err e;

		if (check_message(w, m, &e) == 0)
			continue;
		if (is_moot(w))
			return false;
		w->totals.incomplete++;
		note_fault(w, &f, "%s", e.text);
	}
	return true;
}

/* --- what was said last ----------------------------------------------------------------- */

/* The lines of the U record at this place; false: there is none that can be read. */
static bool
fetch_outcome(struct walk *w, spool_id id, struct place p, struct view *lines)
{
	struct record head;
	uint64_t nonce = 0;
	struct view v;

	p.length = RECORD_HEADER;
	if (fetch(w, &p, &nonce, NULL) < 0 || buf_len(&w->bytes) < RECORD_HEADER ||
	    !record_get(&head, buf_view(&w->bytes).p, nonce) || head.type != RECORD_UPDATE || head.id != id)
		return false;
	p.length = record_room(head.length);
	if (fetch(w, &p, &nonce, NULL) < 0)
		return false;
	v = view_from(buf_view(&w->bytes), RECORD_HEADER);
	if (v.n < head.length || crc32c(0, view_first(v, head.length)) != head.crc)
		return false;
	*lines = view_first(v, head.length);
	return true;
}

static bool
find_answer(const struct spool_message *m, struct view lines, char *text, size_t cap)
{
	const struct spool_rcpt *rcpt = m->nrcpt > 1 ? m->rcpt.many : &m->rcpt.one;
	struct outcome_text t;

	while (outcome_next_text(&lines, &t))
		for (uint32_t i = t.first; i <= t.last && i < m->nrcpt; i++)
			if (rcpt[i].state == SPOOL_QUEUED) {
				(void)snprintf(text, cap, "%.*s %.*s", VIEW_ARG(view_first(t.status,
				    SPOOL_STATUS_MAX)), VIEW_ARG(view_first(t.text, SPOOL_TEXT_MAX)));
				return true;
			}
	return false;
}

void
walk_last_answer(struct walk *w, const struct spool_message *m, char *text, size_t cap)
{
	struct place p = { m->outcome_segment, (uint64_t)m->outcome_offset64 * RECORD_UNIT, 0 };
	struct outcome o;
	struct view lines;

	text[0] = '\0';
	for (unsigned hops = 0; hops < HOPS_MAX && p.segment != 0; hops++) {
		if (!fetch_outcome(w, m->id, p, &lines) || outcome_get(&o, lines, NULL) < 0 ||
		    find_answer(m, lines, text, cap))
			return;
		p = (struct place){ o.prev_segment, (uint64_t)o.prev_offset64 * RECORD_UNIT, 0 };
	}
}

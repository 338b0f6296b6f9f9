/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/walk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "spool/load.h"
#include "spool/replay.h"
#include "spool/segment.h"

#include "base/banned.h"

struct walk {
	struct fs	*fs;
	void		(*trouble)(void *owner, const char *what);
	void		*owner;
	struct segment	**segment;	/* by number */
	size_t		 nsegments;
	struct replay	 replay;
	struct spool_message **message;
	size_t		 nmessages;
	struct walk_totals totals;
	/* the message that is looked at */
	int		 fd;
	uint32_t	 open_number;
	struct buf	 bytes, lines;
	struct envelope	 envelope;
};

static void complain(struct walk *w, const char *fmt, ...) printf_like(2, 3);
static void
complain(struct walk *w, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w->trouble(w->owner, text);
}

/* --- segments --------------------------------------------------------------------- */

static bool
see_name(void *arg, const char *name)
{
	struct walk *w = arg;
	uint64_t number;

	if (!segment_number(name, true, &number) || number == 0 || number > UINT32_MAX)
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
	for (size_t i = 0; i < w->nsegments; i++)
		if (w->segment[i]->number == number)
			return w->segment[i];
	return NULL;
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
		complain(w, "segment %016x: %s", sg->number, why.text);
		if (why.kind == ERR_CONFIG && e != NULL)
			*e = why;
		return why.kind == ERR_CONFIG ? -1 : 0;
	}
	sg->nonce = start.nonce;
	other = find_segment(w, start.abandons);
	if (other != NULL && start.abandons_tail)
		other->tail_unproven = true;
	else if (other != NULL && start.abandons_from < other->abandon_from)
		other->abandon_from = start.abandons_from;
	other = find_segment(w, start.previous);
	if (other != NULL && other->nonce == 0)
		other->nonce = start.previous_nonce;
	return 0;
}

static void
replay_segment(struct walk *w, struct segment *sg, bool last)
{
	enum scan_result result;
	struct scan_record x;
	struct scan sc;
	struct err e = { 0 };

	if (sg->nonce == 0 || open_segment(w, sg->number, &e) < 0) {
		w->totals.unreadable++;
		return;
	}
	scan_init(&sc, w->fs, w->fd, sg, !last && !sg->tail_unproven);
	while ((result = scan_next(&sc, &x, &e)) == SCAN_RECORD || result == SCAN_DAMAGE) {
		if (result == SCAN_RECORD) {
			w->totals.records++;
			replay_record(&w->replay, sg->number, &x);
			continue;
		}
		w->totals.damaged++;
		w->totals.damaged_bytes += x.length;
		complain(w, "segment %016x is damaged at %llu, %llu bytes, message %016llx", sg->number,
		    (unsigned long long)x.at, (unsigned long long)x.length, (unsigned long long)x.head.id);
	}
	if (result == SCAN_FAIL) {
		w->totals.unreadable++;
		complain(w, "segment %016x: %s", sg->number, e.text);
	}
	w->totals.torn += sc.torn;
	w->totals.bytes += sc.at;
	scan_done(&sc);
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

int
walk_new(struct walk **out, struct fs *fs, void (*trouble)(void *, const char *), void *owner,
    struct err *e)
{
	struct walk *w = xzalloc(sizeof(*w));
	int rc = -1;

	*w = (struct walk){ .fs = fs, .trouble = trouble, .owner = owner, .fd = -1 };
	replay_init(&w->replay);
	buf_init(&w->bytes, 64u << 20);
	buf_init(&w->lines, ENVELOPE_MAX);
	envelope_init(&w->envelope);
	if (fs_list(fs, DIR_LOG, see_name, w, e) < 0)
		goto out;
	if (w->nsegments > 1)
		qsort(w->segment, w->nsegments, sizeof(struct segment *), compare_segments);
	for (size_t i = 0; i < w->nsegments; i++)
		if (read_start(w, w->segment[i], e) < 0)
			goto out;
	for (size_t i = 0; i < w->nsegments; i++)
		replay_segment(w, w->segment[i], i + 1 == w->nsegments);
	w->totals.segments = w->nsegments;
	collect(w);
	*out = w;
	w = NULL;
	rc = 0;
out:
	walk_free(w);
	return rc;
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

/* Feed the load the record that it wants next. */
static int
step(struct walk *w, struct load *l, const struct place *p, struct err *e)
{
	const struct segment *sg = find_segment(w, p->segment);
	uint8_t *at;
	int64_t got;

	if (sg == NULL)
		return err_set(e, ERR_DAMAGED, "segment %016x is not there", p->segment);
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
	return load_feed(l, sg->nonce, buf_view(&w->bytes), e);
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

/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/offline.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "control/row.h"
#include "ctl/holder.h"
#include "ctl/say.h"
#include "spool/quarantine.h"

#include "base/banned.h"

#define OUTPUT_MAX	(64u << 20)
#define OUTPUT_FLUSH	(1u << 20)
#define WHY_MAX		700u

static int
status_of(const struct err *e)
{
	switch (e->kind) {
	case ERR_CONFIG:
		return EX_CONFIG;
	case ERR_BUSY:
		return EX_TEMPFAIL;
	case ERR_SYSTEM:
		return e->errnum == ENOENT || e->errnum == ENOTDIR ? EX_NOINPUT :
		    e->errnum == EACCES || e->errnum == EPERM ? EX_NOPERM : EX_IOERR;
	default:
		return EX_IOERR;
	}
}

int
offline_open(struct offline *o, const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e;

	*o = (struct offline){ .path = xstrdup(path) };
	if (dir < 0) {
		err_sys(&e, errno, "cannot open the spool %.150s", path);
	} else {
		o->holder = holder_of(dir, "LOCK");
		o->fs = fs_new(dir);
		if (walk_new(&o->walk, o->fs, &e) == 0)
			return EX_OK;
		err_prefix(&e, "the spool %.100s", path);
	}
	say("%s%s", e.text, e.kind == ERR_SYSTEM && e.errnum == EACCES ?
	    "; it is for root and the daemon's user, try sudo" : "");
	offline_close(o);
	return status_of(&e);
}

void
offline_close(struct offline *o)
{
	walk_free(o->walk);
	fs_free(o->fs);
	free(o->path);
	*o = (struct offline){ .walk = NULL };
}

bool
offline_refresh(struct offline *o)
{
	struct walk *fresh;

	if (!walk_is_stale(o->walk) || walk_new(&fresh, o->fs, NULL) < 0)
		return false;
	walk_free(o->walk);
	o->walk = fresh;
	return true;
}

void
offline_remark(const struct offline *o)
{
	struct walk_totals t;

	walk_totals(o->walk, &t);
	if (o->holder != 0)
		say("posthoused (pid %lld) is at work in %s: this is how it was a moment ago",
		    (long long)o->holder, o->path);
	if (t.damaged + t.missing + t.unreadable > 0)
		say("the spool is damaged in %llu places, %llu segments are missing or cut off, and %llu can't "
		    "be read: messages may be missing; posthousectl check says where",
		    (unsigned long long)t.damaged, (unsigned long long)t.missing,
		    (unsigned long long)t.unreadable);
}

static void
put_holder(struct report *r, const struct offline *o)
{
	report_word(r, "spool", o->path);
	if (o->holder != 0)
		report_num(r, "daemon", o->holder);
	else
		report_word(r, "daemon", NULL);
}

/* --- queue ------------------------------------------------------------------- */

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int
compare_ids(const void *a, const void *b)
{
	const struct spool_message *x = *(const struct spool_message *const *)a;
	const struct spool_message *y = *(const struct spool_message *const *)b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* Oldest first, whatever was moved in the log. *n gets their number. */
static const struct spool_message **
by_age(const struct offline *o, size_t *n)
{
	const struct spool_message **all;
	struct walk_totals t;

	walk_totals(o->walk, &t);
	*n = (size_t)t.messages;
	all = xcalloc(*n + 1, sizeof(struct spool_message *));
	for (size_t i = 0; i < *n; i++)
		all[i] = walk_message(o->walk, i);
	qsort(all, *n, sizeof(struct spool_message *), compare_ids);
	return all;
}

static void
explain(struct offline *o, const struct spool_message *m, const struct err *damage, char why[WHY_MAX])
{
	char said[WHY_MAX - 100];

	walk_last_answer(o->walk, m, said, sizeof(said));
	if (damage != NULL)
		(void)snprintf(why, WHY_MAX, "the stored message fails its check: %s", damage->text);
	else if (m->flags & SPOOL_HELD)
		(void)snprintf(why, WHY_MAX, "held by the administrator");
	else if (m->flags & SPOOL_UNCERTAIN)
		(void)snprintf(why, WHY_MAX, "it was sent as a whole and no reply came; it is sent again after "
		    "a rest, and may then arrive twice");
	else if (said[0] != '\0')
		(void)snprintf(why, WHY_MAX, "the last answer was %s", said);
	else
		(void)snprintf(why, WHY_MAX, o->holder != 0 ? "waits for its turn" :
		    "waits until posthoused runs");
}

static void
put_row(struct offline *o, struct report *r, const struct spool_message *m)
{
	struct view nobody = VIEW("?");
	const struct envelope unreadable = { .from = nobody, .rcpt = &nobody, .nrcpt = 1, .uid = -1, .pid = -1 };
	const struct envelope *env = &unreadable;
	char why[WHY_MAX];
	struct err e;
	bool damaged = walk_envelope(o->walk, m, &env, &e) < 0;

	explain(o, m, damaged ? &e : NULL, why);
	row_put(r, m, env, &(struct row_said){ .state = damaged ? "damaged" : row_state(m, now_ms()), .why = why });
}

static int
written(bool ok)
{
	if (ok && fflush(stdout) == 0)
		return EX_OK;
	say("cannot write: %s", strerror(errno));
	return EX_IOERR;
}

int
offline_queue(struct offline *o, bool json, uint64_t limit)
{
	size_t n, shown;
	const struct spool_message **all = by_age(o, &n);
	bool ok = true, fits;
	struct report r;
	struct buf out;

	buf_init(&out, OUTPUT_MAX);
	report_begin(&r, &out, json);
	put_holder(&r, o);
	report_list(&r, "messages");
	for (shown = 0; ok && shown < n && shown < limit; shown++) {
		put_row(o, &r, all[shown]);
		if (buf_len(&out) > OUTPUT_FLUSH)
			ok = put_out(&out);
	}
	report_end(&r);
	/* All of it has been read. */
	row_put_total(&r, &(struct row_total){ .shown = shown, .total = (int64_t)n, .cut = shown < n });
	fits = report_finish(&r);
	ok = put_out(&out) && ok;
	buf_done(&out);
	free(all);
	if (fits)
		return written(ok);
	say("the list is too long for a table; use --json, or a smaller --limit");
	return EX_DATAERR;
}

/* --- cat --------------------------------------------------------------------- */

struct printing {
	bool failed;
};

static bool
print_piece(void *owner, struct view v)
{
	struct printing *p = owner;

	p->failed = !put_message(v);
	return !p->failed;
}

int
offline_cat(struct offline *o, spool_id id)
{
	const struct spool_message *m = walk_find(o->walk, id);
	struct printing p = { false };
	struct err e;

	if (m == NULL) {
		say("message %016llx is not in the queue of %s", (unsigned long long)id, o->path);
		return 1;
	}
	if (walk_text(o->walk, m, print_piece, &p, &e) == 0)
		return written(!p.failed);
	(void)fflush(stdout);	/* there is worse to tell */
	say("%s; what could be read was shown", e.text);
	return 1;
}

/* --- check ------------------------------------------------------------------- */

static void
put_fault(struct report *r, const struct walk_fault *f)
{
	static const char *const kind[] = {
		[WALK_RANGE] = "damaged", [WALK_SEGMENT] = "unreadable", [WALK_MESSAGE] = "incomplete",
		[WALK_ABSENCE] = "missing",
	};
	char text[17];

	report_row(r);
	report_word(r, "kind", kind[f->kind]);
	report_word(r, "segment", spool_id_text(text, f->segment));
	if (f->kind == WALK_RANGE || (f->kind == WALK_ABSENCE && f->length != 0)) {
		report_num(r, "offset", (int64_t)f->at);
		report_num(r, "length", (int64_t)f->length);
	} else {
		report_word(r, "offset", NULL);
		report_word(r, "length", NULL);
	}
	report_word(r, "message", f->message != 0 ? spool_id_text(text, f->message) : NULL);
	report_word(r, "why", f->why);
	report_end(r);
}

static void
put_totals(struct report *r, const struct offline *o, const struct walk_totals *t)
{
	put_holder(r, o);
	report_bool(r, "whole", t->damaged + t->missing + t->unreadable + t->incomplete == 0);
	report_num(r, "segments", (int64_t)t->segments);
	report_num(r, "unclosed", (int64_t)t->unclosed);
	report_num(r, "records", (int64_t)t->records);
	report_size(r, "bytes", t->bytes);
	report_num(r, "messages", (int64_t)t->messages);
	report_num(r, "damaged", (int64_t)t->damaged);
	report_size(r, "damaged_bytes", t->damaged_bytes);
	report_num(r, "missing", (int64_t)t->missing);
	report_size(r, "missing_bytes", t->missing_bytes);
	report_num(r, "unreadable", (int64_t)t->unreadable);
	report_num(r, "incomplete", (int64_t)t->incomplete);
	report_num(r, "quarantined", (int64_t)quarantine_notes(o->fs));
}

int
offline_check(struct offline *o, bool json)
{
	struct walk_totals t;
	struct report r;
	struct buf out;
	int status;
	bool ok;

	while (!walk_check(o->walk))
		if (!offline_refresh(o)) {
			say("posthoused gives segments back faster than they can be checked; try again");
			return EX_TEMPFAIL;
		}
	walk_totals(o->walk, &t);
	buf_init(&out, OUTPUT_MAX);
	report_begin(&r, &out, json);
	put_totals(&r, o, &t);
	report_list(&r, "faults");
	for (size_t i = 0; walk_fault(o->walk, i) != NULL; i++)
		put_fault(&r, walk_fault(o->walk, i));
	report_end(&r);
	ok = report_finish(&r);		/* WALK_FAULTS_MAX short rows */
	ok = put_out(&out) && ok;
	buf_done(&out);
	status = written(ok);
	if (status != EX_OK)
		return status;
	return t.damaged + t.missing + t.incomplete > 0 ? 1 : t.unreadable > 0 ? EX_IOERR : EX_OK;
}

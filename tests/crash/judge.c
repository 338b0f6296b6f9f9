/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash/judge.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/require.h"
#include "crash/retrieve.h"

#include "base/banned.h"

#define BYTES_MAX	(16u << 20)
#define NONCES		0x4a554447u

struct judging {
	struct verdict	*v;
	const struct play *play;
	enum crash_kind	 kind;
	struct world	 w;
	struct buf	 text, lines;
	bool		 seen[PLAY_MESSAGES];
};

static void bad(struct judging *j, const char *fmt, ...) printf_like(2, 3);
static void
bad(struct judging *j, const char *fmt, ...)
{
	va_list ap;

	if (j->v->bad)
		return;		/* the first says most */
	j->v->bad = true;
	va_start(ap, fmt);
	(void)vsnprintf(j->v->why, sizeof(j->v->why), fmt, ap);
	va_end(ap);
}

/* --- what is there -------------------------------------------------------------------------- */

static uint64_t
hash_message(struct spool_message *m)
{
	const struct spool_rcpt *r = spool_rcpts(m);
	uint64_t h = hash_mix(m->id, (uint64_t)m->attempts << 16 | m->flags);

	h = hash_mix(hash_mix(h, (uint64_t)m->next_ms), m->size);
	for (uint32_t i = 0; i < m->nrcpt; i++)
		h = hash_mix(h, (uint64_t)r[i].state << 16 | r[i].code);
	return h;
}

/* --- what should be there ------------------------------------------------------------------- */

static size_t
find_sent(const struct judging *j, const struct spool_message *m)
{
	const struct play *p = j->play;

	for (size_t i = 0; i < p->nsent; i++)
		if (p->sent[i].id == m->id)
			return i;
	/* A bounce that nobody was told of yet is known by its text. */
	for (size_t i = 0; i < p->nsent; i++)
		if (p->sent[i].id == 0 && view_eq(buf_view(&p->sent[i].text), buf_view(&j->text)))
			return i;
	return p->nsent;
}

static void
check_state(struct judging *j, const struct sent *x, struct spool_message *m)
{
	uint32_t least = j->kind == CRASH_KILL && !j->play->failing ? x->written_version : x->synced_version;
	const struct spool_rcpt *r = spool_rcpts(m);
	uint32_t v = m->attempts;

	if (x->hurt)
		least = 0;		/* the record may be the damaged one */
	if (v < least || v > x->version) {
		bad(j, "message %016llx has outcome %u; %u was durable, %u is the last",
		    (unsigned long long)m->id, v, least, x->version);
		return;
	}
	if ((m->flags & (SPOOL_HELD | SPOOL_UNCERTAIN)) != play_flags(v) || m->next_ms != play_next_ms(v))
		bad(j, "message %016llx has not the flags or the time of its outcome %u",
		    (unsigned long long)m->id, v);
	for (uint32_t i = 0; i < m->nrcpt; i++) {
		struct spool_rcpt want = play_state(x, v, i);

		if (r[i].state != want.state || r[i].code != want.code)
			bad(j, "message %016llx, recipient %u: state %u %u, not that of outcome %u",
			    (unsigned long long)m->id, i, r[i].state, r[i].code, v);
	}
}

static void
check_texts(struct judging *j, const struct sent *x, struct spool_message *m)
{
	if (m->attempts != 0 && !j->play->short_of_space && !j->v->bad && !play_has_texts(x, &j->w, m))
		bad(j, "message %016llx has not the texts of its outcome %u", (unsigned long long)m->id,
		    m->attempts);
}

static void
check_found(struct judging *j, struct spool_message *m)
{
	const struct sent *x;
	size_t i;

	bool readable = retrieve(&j->w, m, &j->lines, &j->text, NULL);

	i = find_sent(j, m);
	if (!readable) {
		if (i == j->play->nsent || !j->play->sent[i].hurt)
			bad(j, "message %016llx can't be read", (unsigned long long)m->id);
		else
			j->seen[i] = true;
		return;
	}
	if (i == j->play->nsent) {
		bad(j, "message %016llx was never sent", (unsigned long long)m->id);
		return;
	}
	x = &j->play->sent[i];
	j->seen[i] = true;
	if (x->nrcpt != m->nrcpt || m->size != buf_len(&x->text) || m->received_ms != play_received_ms(x) ||
	    !view_eq(buf_view(&x->text), buf_view(&j->text)) ||
	    !view_eq(buf_view(&x->lines), buf_view(&j->lines)))
		bad(j, "message %016llx is not what was sent", (unsigned long long)m->id);
	else
		check_state(j, x, m);
	check_texts(j, x, m);
}

static bool
may_be_there(const struct judging *j, const struct sent *x)
{
	if (x->finished)
		return false;
	if (j->kind == CRASH_KILL && x->finish_written && !j->play->failing)
		return false;
	/* It is not even in the cache any more. */
	if (j->kind == CRASH_KILL && x->fate == FATE_REFUSED)
		return false;
	return x->fate != FATE_OPEN && x->fate != FATE_GONE;
}

static void
check_sent(struct judging *j, size_t i)
{
	const struct sent *x = &j->play->sent[i];
	const char *what = x->parent != NULL ? "bounce" : "message";

	if (j->seen[i] && !may_be_there(j, x))
		bad(j, "%s %zu (%016llx) is there: it was %s", what, i, (unsigned long long)x->id,
		    x->finished ? "finished, synced" : x->finishing ? "finished, written" : "never accepted");
	if (!j->seen[i] && x->fate == FATE_ACCEPTED && !x->finishing && !x->hurt)
		bad(j, "%s %zu (%016llx) is not there: it was accepted", what, i, (unsigned long long)x->id);
	if (x->bounce == NULL || x->fate == FATE_GONE)
		return;
	i = (size_t)(x->bounce - j->play->sent);
	if (j->seen[x - j->play->sent] ? j->seen[i] : !j->seen[i] && !x->bounce->finishing)
		bad(j, "message %016llx and the bounce that reports it: %s is there", (unsigned long long)x->id,
		    j->seen[i] ? "each" : "neither");
}

/* What is damaged is nowhere else, once its segment is gone. */
static void
check_copy(struct judging *j, const struct disk *d, const struct copy_due *c)
{
	size_t n = buf_len(&c->bytes);
	uint8_t *p;

	if (disk_size(d, c->note) == 0)
		bad(j, "%s is not there, or empty", c->note);
	if (c->name[0] == '\0')
		return;
	buf_clear(&j->text);
	p = buf_reserve(&j->text, n);
	require(p != NULL);
	/* Longer: that its end was cut off is of no consequence. */
	if (disk_size(d, c->name) < n || disk_read(d, c->name, p, n, 0) != n ||
	    memcmp(p, c->bytes.data + c->bytes.off, n) != 0)
		bad(j, "%s is not there, or not whole", c->name);
	else if (c->was[0] != '\0' && disk_has(d, c->was))
		bad(j, "%s was set aside, and is there again", c->was);
}

static void
check_all(struct judging *j)
{
	struct spool_message *m;

	for (size_t pos = 0; (m = spool_next(j->w.spool, &pos)) != NULL && !j->v->bad;)
		check_found(j, m);
	for (size_t i = 0; i < j->play->nsent && !j->v->bad; i++)
		check_sent(j, i);
}

/* Then it depends on what is read of its segment, summary or records, whether it is known. */
static bool
is_hurt(const struct play *p, spool_id id)
{
	for (size_t i = 0; i < p->nsent; i++)
		if (p->sent[i].id == id)
			return p->sent[i].hurt;
	return false;
}

static void
look(struct judging *j, const uint64_t *expected)
{
	struct spool_message *m;
	size_t n = 0;

	if (j->w.recovered != 1)
		bad(j, "recovery does not end");
	if (j->w.troubles != 0 && (j->play->may_trouble == NULL ||
	    strstr(j->w.trouble, j->play->may_trouble) == NULL))
		bad(j, "recovery reports: %s", j->w.trouble);
	if (j->play->must_trouble != NULL && strstr(j->w.trouble, j->play->must_trouble) == NULL)
		bad(j, "recovery does not report that something is %s", j->play->must_trouble);
	for (size_t pos = 0; (m = spool_next(j->w.spool, &pos)) != NULL; n++)
		j->v->found += is_hurt(j->play, m->id) ? 0 : hash_message(m);
	if (n != j->w.ntold)
		bad(j, "%zu messages were told of, %zu are there", j->w.ntold, n);
	if (expected != NULL && j->v->found != *expected)
		bad(j, "another recovery found something else");
	check_all(j);
}

void
judge(struct verdict *v, const struct play *play, struct disk *d, enum crash_kind kind,
    const uint64_t *expected)
{
	struct judging j = { .v = v, .play = play, .kind = kind };
	struct err e = { 0 };

	*v = (struct verdict){ .bad = false };
	if (play->wrong[0] != '\0')
		bad(&j, "%s", play->wrong);
	buf_init(&j.text, BYTES_MAX);
	buf_init(&j.lines, BYTES_MAX);
	/* Nonces that no play has: a file that is used again would fit its old records. */
	world_init_on(&j.w, &d->fs, hash_mix(NONCES, d->ops));
	j.w.params = play->w.params;
	if (world_try_open(&j.w, &e) < 0) {
		bad(&j, "the spool can't be opened: %s", e.text);
	} else {
		play_rest(&j.w);
		look(&j, expected);
		world_kill(&j.w);
	}
	for (size_t i = 0; i < play->ncopies; i++)
		check_copy(&j, d, &play->copy[i]);
	if (d->shared[0] != '\0')
		bad(&j, "%s was written to, and was another file as well", d->shared);
	if (disk_open_files(d) != 0)
		bad(&j, "%zu files are left open", disk_open_files(d));
	twin_loop_done(&j.w.twin);
	buf_done(&j.text);
	buf_done(&j.lines);
}

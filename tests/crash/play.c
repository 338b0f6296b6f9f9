/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash/play.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/require.h"
#include "crash/retrieve.h"
#include "spool/record.h"

#include "base/banned.h"

#define LINES_MAX	(64u << 10)
#define TEXT_MAX	(16u << 20)
#define LATE_MS		100	/* after outcome_sync, until the sync is done */
#define ANSWER_MS	50
#define REST_MS		10000u
#define CLOSE_MS	60000

static void
step(struct play *p)
{
	p->step(p->arg);
}

/* --- what was promised ------------------------------------------------------------------ */

static void
reach_stage(struct outcome_given *o, enum stage stage)
{
	struct sent *x = o->sent;

	if (o->stage >= stage)
		return;
	o->stage = stage;
	if (o->version == 0) {
		x->finish_written = true;
		x->finished |= stage == STAGE_SYNCED;
	} else {
		if (o->version > x->written_version)
			x->written_version = o->version;
		if (stage == STAGE_SYNCED && o->version > x->synced_version)
			x->synced_version = o->version;
	}
	if (o->version == 0 && stage == STAGE_SYNCED && x->bounce != NULL)
		x->bounce->fate = FATE_ACCEPTED;
}

/* Records are written and synced in the order in which they were asked for. */
static void
reached_before(struct play *p, uint64_t turn, enum stage stage)
{
	for (size_t i = 0; i < p->noutcome; i++)
		if (p->outcome[i].turn < turn)
			reach_stage(&p->outcome[i], stage);
}

void
play_age(struct play *p)
{
	int64_t now = p->w.twin.mono_ms;

	for (size_t i = 0; i < p->noutcome && !p->failing; i++)
		if (now - p->outcome[i].given_ms > p->w.params.outcome_sync_ms + LATE_MS)
			reach_stage(&p->outcome[i], STAGE_SYNCED);
}

static void
on_answer(void *owner, spool_id id, const struct err *e)
{
	struct sent *x = owner;
	struct play *p = x->play;

	require(id == x->id && !x->answered);
	x->answered = true;
	if (e != NULL) {
		x->fate = FATE_REFUSED;
		x->turn = ++p->turn;
		return;
	}
	x->fate = FATE_ACCEPTED;
	x->segment = spool_find(p->w.spool, id)->first_segment;
	reached_before(p, x->turn, STAGE_SYNCED);
	/* It stands in the segment after the one that failed. */
	for (size_t i = 0; i < p->nsent; i++)
		if (p->sent[i].fate == FATE_REFUSED && p->sent[i].turn < x->turn)
			p->sent[i].fate = FATE_GONE;
}

uint64_t
play_hash(const struct play *p)
{
	uint64_t h = p->nsent;

	for (size_t i = 0; i < p->nsent; i++) {
		const struct sent *x = &p->sent[i];

		h = hash_mix(h, (uint64_t)x->fate | (uint64_t)x->finishing << 8 | (uint64_t)x->finished << 9 |
		    (uint64_t)x->finish_written << 10);
		h = hash_mix(h, (uint64_t)x->version << 40 | (uint64_t)x->synced_version << 20 |
		    x->written_version);
	}
	return h;
}

struct spool_rcpt
play_state(const struct sent *x, uint32_t version, uint32_t rcpt)
{
	if (version == 0 || (rcpt + version) % 3 == 0 || rcpt + 1 == x->nrcpt)
		return (struct spool_rcpt){ .state = SPOOL_QUEUED,
			.code = version != 0 && rcpt % 2 == 0 ? 451 : 0 };
	return (struct spool_rcpt){ .state = rcpt % 2 != 0 ? SPOOL_DELIVERED : SPOOL_FAILED,
		.code = rcpt % 2 != 0 ? 250 : 550 };
}

uint8_t
play_flags(uint32_t version)
{
	return (uint8_t)((version % 2 != 0 ? SPOOL_UNCERTAIN : 0) | (version % 4 == 2 ? SPOOL_HELD : 0));
}

struct view
play_text(char text[PLAY_TEXT], uint32_t version, uint32_t rcpt)
{
	(void)snprintf(text, PLAY_TEXT, "%u: said so of %u", version, rcpt);
	return view_str(text);
}

int64_t
play_next_ms(uint32_t version)
{
	return version == 0 ? 0 : 1795332600000LL + (int64_t)version * 60000;
}

int64_t
play_received_ms(const struct sent *x)
{
	return 1795332600000LL + (x - x->play->sent) * 1000;
}

/* Jobs take a millisecond each. */
void
play_rest(struct world *w)
{
	for (unsigned i = 0; i < REST_MS; i++) {
		world_run(w, 1);
		if (list_is_empty(&w->worker.jobs) && list_is_empty(&w->reader.jobs))
			break;
	}
}

/* --- the process ---------------------------------------------------------------------------- */

static void
on_step(void *arg)
{
	step(arg);
}

void
play_init(struct play *p, struct disk *d, uint64_t seed)
{
	*p = (struct play){ .disk = d, .seed = seed };
	rng_init(&p->rng, seed);
	world_init_on(&p->w, &d->fs, seed);
	d->hook = on_step;
	d->arg = p;
}

void
play_done(struct play *p)
{
	if (p->w.spool != NULL)
		world_close(&p->w);
	world_done(&p->w);
	for (size_t i = 0; i < p->nsent; i++) {
		buf_done(&p->sent[i].text);
		buf_done(&p->sent[i].lines);
		buf_done(&p->sent[i].chunks);
	}
	for (size_t i = 0; i < p->ncopies; i++)
		buf_done(&p->copy[i].bytes);
}

void
play_open(struct play *p)
{
	world_open(&p->w);
	play_run(p, ANSWER_MS);
}

static void
closed(struct play *p)
{
	for (size_t i = 0; i < p->noutcome; i++)
		reach_stage(&p->outcome[i], STAGE_SYNCED);
	step(p);
}

void
play_close(struct play *p)
{
	world_close(&p->w);
	closed(p);
}

void
play_close_reading(struct play *p, const struct sent *x)
{
	bool ready;
	struct spool_reader *r = spool_reader_new(p->w.spool, spool_find(p->w.spool, x->id), retrieve_ready, &ready);

	world_begin_close(&p->w);
	spool_reader_free(r);
	world_run(&p->w, CLOSE_MS);
	require(p->w.closed);
	closed(p);
}

static void
bounce_told(struct play *p, struct sent *b, spool_id id)
{
	b->id = id;
	for (size_t i = 0; i < p->noutcome; i++)
		if (p->outcome[i].sent == b->parent && p->outcome[i].version == 0)
			reached_before(p, p->outcome[i].turn + 1, STAGE_SYNCED);
}

/* Bounces get their numbers when they are told of, in their order. */
static void
name_bounces(struct play *p)
{
	for (size_t i = 0; i < p->w.ntold; i++) {
		struct sent *unknown = NULL;
		bool known = false;

		for (size_t k = p->nsent; k-- > 0;) {
			known |= p->sent[k].id == p->w.told[i];
			if (p->sent[k].parent != NULL && p->sent[k].id == 0)
				unknown = &p->sent[k];
		}
		if (!known && unknown != NULL)
			bounce_told(p, unknown, p->w.told[i]);
	}
}

/* What was not answered is settled by what the disk says from now on: nobody knows. */
static void
forget_unsynced(struct play *p)
{
	for (size_t i = 0; i < p->nsent; i++) {
		struct sent *x = &p->sent[i];
		const struct spool_message *m = x->id != 0 ? spool_find(p->w.spool, x->id) : NULL;

		if (x->fate == FATE_OPEN || x->fate == FATE_GONE)
			continue;
		x->fate = m != NULL ? FATE_ACCEPTED : FATE_GONE;
		x->finishing = x->finish_written = x->finished = false;
		if (m != NULL)
			x->version = x->synced_version = x->written_version = m->attempts;
	}
	p->noutcome = 0;
}

static void
die(struct play *p)
{
	play_rest(&p->w);
	world_kill(&p->w);
	twin_loop_done(&p->w.twin);
}

static enum left
all(void *arg, size_t i)
{
	return LEFT_WHOLE;
}

static enum left
all_but_removals(void *arg, size_t i)
{
	const struct disk *d = arg;

	return d->item[i].kind == ITEM_ENTRY && d->item[i].inode == NULL ? LEFT_OUT : LEFT_WHOLE;
}

static void
die_with(struct play *p, enum left (*left)(void *arg, size_t i))
{
	struct disk image;
	const struct spool_params params = p->w.params;

	play_rest(&p->w);
	forget_unsynced(p);
	die(p);
	disk_image(&image, p->disk, left, p->disk);
	image.hook = p->disk->hook;
	image.arg = p->disk->arg;
	disk_done(p->disk);
	*p->disk = image;
	world_init_on(&p->w, &p->disk->fs, ++p->seed);
	p->w.params = params;
}

void
play_die(struct play *p)
{
	die_with(p, all);
}

void
play_die_with_names(struct play *p)
{
	die_with(p, all_but_removals);
}

static void
live_again(struct play *p)
{
	const struct spool_params params = p->w.params;
	void (*hook)(void *) = p->disk->hook;

	world_init_on(&p->w, &p->disk->fs, ++p->seed);
	p->w.params = params;
	/* The crash itself was tried before; from here on what is found counts as accepted. */
	p->disk->hook = NULL;
	world_open(&p->w);
	play_rest(&p->w);
	p->disk->hook = hook;
	name_bounces(p);
	forget_unsynced(p);
	step(p);
}

static enum left
by_chance(void *arg, size_t i)
{
	return rng_below(arg, 2) == 0 ? LEFT_WHOLE : LEFT_OUT;
}

static void
lose_power(struct play *p, enum left (*left)(void *arg, size_t i), void *arg)
{
	struct disk image;

	die(p);
	disk_image(&image, p->disk, left, arg);
	image.hook = p->disk->hook;
	image.arg = p->disk->arg;
	disk_done(p->disk);
	*p->disk = image;
	live_again(p);
}

void
play_power_loss(struct play *p)
{
	lose_power(p, by_chance, &p->rng);
}

void
play_power_loss_with_names(struct play *p)
{
	lose_power(p, all_but_removals, p->disk);
}

void
play_kill(struct play *p)
{
	die(p);
	live_again(p);
}

void
play_kill_and_watch(struct play *p)
{
	const struct spool_params params = p->w.params;

	die(p);
	world_init_on(&p->w, &p->disk->fs, ++p->seed);
	p->w.params = params;
	play_open(p);
	play_rest(&p->w);
	forget_unsynced(p);
	step(p);
}

void
play_run(struct play *p, int64_t ms)
{
	world_run(&p->w, ms);
	name_bounces(p);
	step(p);
}

/* --- messages --------------------------------------------------------------------------------- */

size_t
play_size(struct play *p, size_t from, size_t to)
{
	return from + (size_t)rng_below(&p->rng, to - from + 1);
}

static struct sent *
sent_new(struct play *p, size_t size, uint32_t nrcpt)
{
	struct sent *x = &p->sent[p->nsent];

	require(p->nsent < PLAY_MESSAGES);
	*x = (struct sent){ .play = p, .nrcpt = nrcpt };
	buf_init(&x->text, TEXT_MAX);
	buf_init(&x->lines, LINES_MAX);
	buf_init(&x->chunks, TEXT_MAX);
	world_text(&x->text, size, p->seed * PLAY_MESSAGES + p->nsent);
	return x;
}

/* The address of recipient i; they differ, so that mixed envelopes show. */
static struct view
address(struct sent *x, char text[64], uint32_t i)
{
	(void)snprintf(text, 64, "rcpt%u-%zu@example.net", i, (size_t)(x - x->play->sent));
	return view_str(text);
}

static void
put_envelope(struct sent *x, struct envelope *env, char (*addresses)[64])
{
	envelope_init(env);
	env->from = x->parent != NULL ? VIEW("") : VIEW("alice@example.com");
	for (uint32_t i = 0; i < x->nrcpt; i++)
		envelope_add_rcpt(env, address(x, addresses[i], i));
	env->received_ms = play_received_ms(x);
	env->helo = VIEW("web1");
	env->protocol = PROTOCOL_ESMTP;
	env->bounce = x->parent != NULL;
	env->size = buf_len(&x->text);
	require(envelope_encode(&x->lines, env));
}

#define RCPT_MAX 8

struct sent *
play_begin(struct play *p, size_t size, uint32_t nrcpt)
{
	char addresses[RCPT_MAX][64];
	struct sent *x = sent_new(p, size, nrcpt);
	struct envelope env;
	struct err e = { 0 };
	int rc;

	require(nrcpt <= RCPT_MAX);
	put_envelope(x, &env, addresses);
	rc = spool_begin(&x->txn, p->w.spool, &env, &x->id, &e);
	envelope_done(&env);
	if (rc < 0) {
		/* Refused at once: it has no number, and nothing of it is anywhere. */
		buf_done(&x->text);
		buf_done(&x->lines);
		return NULL;
	}
	p->nsent++;
	step(p);
	return x;
}

void
play_disguise(struct sent *x)
{
	struct record r = { .type = RECORD_MESSAGE, .epoch = 1000, .length = RECORD_UNIT };
	uint8_t header[RECORD_HEADER];
	size_t lines = buf_len(&x->lines) + 1;	/* in front of the text, in the record */

	record_put(header, &r, x->play->seed);
	for (size_t at = RECORD_UNIT - lines % RECORD_UNIT; at + RECORD_HEADER <= buf_len(&x->text);
	    at += RECORD_UNIT)
		memcpy(x->text.data + at, header, RECORD_HEADER);
}

void
play_append(struct sent *x, size_t n)
{
	struct view v = view_first(view_from(buf_view(&x->text), x->appended), n);
	size_t pending;

	x->appended += v.n;
	/* A failure shows in the commit. */
	ignore_result(spool_append(x->txn, v, &pending, NULL));
	play_run(x->play, 0);
}

void
play_commit(struct sent *x)
{
	if (x->appended < buf_len(&x->text))
		play_append(x, buf_len(&x->text));
	x->fate = FATE_ASKED;
	x->turn = ++x->play->turn;
	spool_commit(x->txn, false, on_answer, x);
	step(x->play);
}

void
play_abort(struct sent *x)
{
	spool_abort(x->txn);
	step(x->play);
}

void
play_accepted(struct sent *x)
{
	require(x->fate == FATE_ACCEPTED);
}

void
play_refused(struct sent *x)
{
	require(x->fate == FATE_REFUSED || x->fate == FATE_GONE);
}

struct sent *
play_accept(struct play *p, size_t size, uint32_t nrcpt)
{
	struct sent *x = play_begin(p, size, nrcpt);

	require(x != NULL);
	play_commit(x);
	play_run(p, ANSWER_MS);
	play_accepted(x);
	return x;
}

/* --- outcomes ----------------------------------------------------------------------------------- */

static void
on_outcome_written(void *owner)
{
	struct outcome_given *o = owner;

	reached_before(o->sent->play, o->turn + 1, STAGE_WRITTEN);
}

static struct spool_message *
message_of(const struct sent *x)
{
	struct spool_message *m = spool_find(x->play->w.spool, x->id);

	require(m != NULL);
	return m;
}

static struct outcome_given *
outcome_new(struct sent *x, uint32_t version)
{
	struct play *p = x->play;
	struct outcome_given *o = &p->outcome[p->noutcome++];

	require(p->noutcome <= PLAY_OUTCOMES && x->id != 0);
	*o = (struct outcome_given){ .sent = x, .version = version, .turn = ++p->turn,
		.given_ms = p->w.twin.mono_ms };
	return o;
}

static void
put_results(const struct sent *x, uint32_t version, struct spool_result *r, char (*text)[PLAY_TEXT],
    bool final)
{
	for (uint32_t i = 0; i < x->nrcpt; i++) {
		struct spool_rcpt state = play_state(x, version, i);

		r[i] = (struct spool_result){ .rcpt = i, .state = (enum spool_rcpt_state)state.state,
			.code = state.code, .status = "4.2.0", .text = play_text(text[i], version, i) };
		if (final && r[i].state == SPOOL_QUEUED)
			r[i].state = x->bounce != NULL ? SPOOL_FAILED : SPOOL_DELIVERED;
	}
}

void
play_update(struct sent *x)
{
	struct spool_result r[RCPT_MAX];
	struct spool_update u = { .result = r, .nresult = x->nrcpt, .endpoint = "h:587" };
	struct outcome_given *o = outcome_new(x, ++x->version);
	char text[RCPT_MAX][PLAY_TEXT];

	put_results(x, x->version, r, text, false);
	u.attempts = (uint16_t)x->version;
	u.flags = play_flags(x->version);
	u.next_ms = play_next_ms(x->version);
	spool_update(x->play->w.spool, message_of(x), &u, on_outcome_written, o);
	step(x->play);
}

void
play_repeat(struct sent *x)
{
	struct spool_update u = { .attempts = (uint16_t)x->version, .flags = play_flags(x->version),
		.next_ms = play_next_ms(x->version), .endpoint = "" };

	spool_update(x->play->w.spool, message_of(x), &u, NULL, NULL);
	step(x->play);
}

static void
finish(struct sent *x, const struct spool_bounce *bounce)
{
	struct spool_result r[RCPT_MAX];
	struct spool_update u = { .result = r, .nresult = x->nrcpt, .endpoint = "h:587" };
	struct outcome_given *o = outcome_new(x, 0);
	char text[RCPT_MAX][PLAY_TEXT];

	x->finishing = true;
	put_results(x, x->version + 1, r, text, true);
	u.attempts = (uint16_t)(x->version + 1);
	spool_finish(x->play->w.spool, message_of(x), &u, bounce, on_outcome_written, o);
	step(x->play);
}

void
play_finish(struct sent *x)
{
	finish(x, NULL);
}

struct sent *
play_bounce(struct sent *x, size_t size)
{
	struct play *p = x->play;
	struct sent *b = sent_new(p, size, 1);
	struct spool_bounce bounce = { .message = buf_view(&b->text) };
	char addresses[1][64];
	struct envelope env;

	b->parent = x;
	b->fate = FATE_ASKED;
	x->bounce = b;
	p->nsent++;
	put_envelope(b, &env, addresses);
	bounce.envelope = &env;
	finish(x, &bounce);
	envelope_done(&env);
	return b;
}

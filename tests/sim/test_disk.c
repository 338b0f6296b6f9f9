/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fault loop: a piece of life of intake, relay and spool, recorded once, and lived again
 * with each of its file operations failing in each way: that one alone, or all that would
 * fail with it for ten minutes. Every client is told rightly, nothing acknowledged is lost or
 * doubled, nothing refused is delivered, and it ends by itself when the disk is well again.
 *
 * Every fifth operation; every one with 50 rounds or more (POSTHOUSE_TEST_ROUNDS).
 */
#include <errno.h>
#include <stdio.h>

#include "base/num.h"
#include "sim/scenario.h"

#define SLOW		"slow@example.net"	/* is taken at the third attempt */
#define NOBODY		"nobody@example.net"	/* is refused */
#define ILL_MS		MINUTES(10)
#define ATTEMPTS_MAX	512

/* After the last failing operation, new mail is taken within this: a minute of degraded, a retry. */
#define WELL_AGAIN_MS	SECONDS(100)

#define OP(op)	(1u << (op))
#define CHANGES	(OP(TWIN_CREATE) | OP(TWIN_WRITE) | OP(TWIN_SYNC) | OP(TWIN_ALLOCATE) | \
	OP(TWIN_TRUNCATE) | OP(TWIN_RENAME) | OP(TWIN_UNLINK) | OP(TWIN_MKDIR) | OP(TWIN_SYNC_DIR))
#define NEW_BLOCKS (OP(TWIN_CREATE) | OP(TWIN_ALLOCATE) | OP(TWIN_MKDIR))
#define OPENS	(OP(TWIN_OPEN) | OP(TWIN_CREATE) | OP(TWIN_LIST) | OP(TWIN_SYNC_DIR) | OP(TWIN_LOCK))

static const struct illness {
	const char	*name;
	int		 errnum;
	const char	*words;		/* that every refusal must have */
	unsigned	 once;		/* operations that can fail so */
	unsigned	 lasting;	/* those that do when it lasts; 0: it does not */
	bool		 full;		/* clients hear 452 4.3.1 */
} illnesses[] = {
	/* What is allocated can be written even then. */
	{ "ENOSPC", ENOSPC, "No space left on device", CHANGES, NEW_BLOCKS, true },
	/* Where even that takes new blocks. */
	{ "ENOSPC, c-o-w", ENOSPC, "No space left on device", 0, NEW_BLOCKS | OP(TWIN_WRITE), true },
	{ "EDQUOT", EDQUOT, "Disk quota exceeded", CHANGES, NEW_BLOCKS, true },
	{ "EIO", EIO, "Input/output error", ~0u, CHANGES, false },
	{ "EROFS", EROFS, "Read-only file system", CHANGES, CHANGES, false },
	{ "EMFILE", EMFILE, "Too many open files", OPENS, OPENS, false },
	{ "half a write", ENOSPC | TWIN_HALF, "No space left on device", OP(TWIN_WRITE), 0, true },
};

struct attempt {
	char		 text[24];
	unsigned	 number;
	bool		 accepted;
};

/* One life. */
struct life {
	struct world	*w;
	const struct illness *ill;	/* NULL: none */
	bool		 lasting;
	uint64_t	 from;		/* number of the operation */
	int64_t		 until_ms;	/* when it lasts */
	bool		 armed;
	uint64_t	 ops;		/* that could fail so */
	unsigned	 hits;
	int64_t		 last_hit_ms;
	char		 hit[100];
	unsigned	 sent;
	struct attempt	 attempt[ATTEMPTS_MAX];
	size_t		 nattempts;
	unsigned	 refused;
	char		 wrong[400];	/* what was first found wrong; empty: nothing */
};

enum kind_of_loop { START, ONCE, LASTING };

static struct sum {
	unsigned	lives, hit, refusing, refusals, wrong;
} sum[lengthof(illnesses)][3];

#define WRONG(l, ...) \
	((l)->wrong[0] == '\0' ? (void)snprintf((l)->wrong, sizeof((l)->wrong), __VA_ARGS__) : (void)0)

static int
sicken(void *arg, enum twin_op op, const char *name)
{
	struct life *l = arg;
	unsigned which = l->lasting ? l->ill->lasting : l->ill->once;
	uint64_t n;

	if (!l->armed || (which & OP(op)) == 0)
		return 0;
	n = l->ops++;
	if (l->lasting && n >= l->from && l->until_ms == 0)
		l->until_ms = l->w->loop.mono_ms + ILL_MS;
	if (l->lasting ? n < l->from || l->w->loop.mono_ms >= l->until_ms : n != l->from)
		return 0;
	l->hits++;
	l->last_hit_ms = l->w->loop.mono_ms;
	if (l->hits == 1)
		snprintf(l->hit, sizeof(l->hit), "operation %d on %s", (int)op, name);
	return l->ill->errnum;
}

/* --- what clients are told ------------------------------------------------------------- */

/*
 * 452 4.3.1 for a disk that is full, 451 4.3.0 for one that fails, and 452 4.3.1 once it
 * fails again and again; in words what it is, without the names of our files.
 */
static bool
reply_is_right(const struct life *l, const struct reply *r)
{
	bool failing = strncmp(r->text, "The spool can't be written: ", 28) == 0;

	if (l->ill->full || failing ? r->code != 452 || strcmp(r->status, "4.3.1") != 0 :
	    r->code != 451 || strcmp(r->status, "4.3.0") != 0)
		return false;
	return strstr(r->text, l->ill->words) != NULL && strstr(r->text, ".seg") == NULL;
}

static void
on_answer(struct world *w, const char *text, unsigned number, const struct reply *r)
{
	struct life *l = w->answer_arg;
	struct attempt *a = &l->attempt[l->nattempts];

	assert_true(l->nattempts < ATTEMPTS_MAX);
	l->nattempts++;
	*a = (struct attempt){ .number = number, .accepted = r != NULL && r->code == 250 };
	snprintf(a->text, sizeof(a->text), "%s", text);
	if (a->accepted)
		return;
	l->refused++;
	if (r == NULL)
		WRONG(l, "%s got no reply", text);
	else if (l->hits == 0 || !reply_is_right(l, r))
		WRONG(l, "%s was told: %d %s %.200s", text, r->code, r->status, r->text);
}

/* --- a piece of life -------------------------------------------------------------------- */

static void
mail(struct life *l, const char *rcpt, size_t size)
{
	char text[24];

	snprintf(text, sizeof(text), "%s-%02u.", strcmp(rcpt, NOBODY) == 0 ? "r" : "m", ++l->sent);
	world_send_sized(l->w, ALICE, rcpt, text, size);
}

/* Small and long, one that has to wait, one that is returned, rotation and release. */
static void
live(struct life *l)
{
	struct world *w = l->w;

	mail(l, SLOW, 100);
	mail(l, BOB, 100);
	mail(l, BOB, 300000);
	mail(l, NOBODY, 100);
	world_run(w, SECONDS(3));
	for (int i = 0; i < 4; i++)
		mail(l, BOB, 300000);
	world_run(w, SECONDS(5));
	mail(l, BOB, 200000);
	world_run(w, 50);
	mail(l, BOB, 100);
	world_run(w, SECONDS(70));
	for (int i = 0; i < 3; i++)
		mail(l, BOB, 100);
	mail(l, NOBODY, 100000);
	world_run(w, MINUTES(2));
}

static void
use_faults(struct life *l)
{
	l->w->fs->sicken = sicken;
	l->w->fs->sicken_arg = l;
}

static void
begin(struct life *l, const struct illness *ill, bool lasting, uint64_t from)
{
	struct world *w = scenario_new();

	*l = (struct life){ .w = w, .ill = ill, .lasting = lasting, .from = from };
	w->conf.queue.segment_size = 1u << 20;
	w->on_answer = on_answer;
	w->answer_arg = l;
	world_use_intake(w);
	world_start(w);
	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "450 4.2.1 busy", 2, SLOW });
	smarthost_fault(&w->port[P587], (struct fault){ AT_RCPT, SAY, "550 5.1.1 unknown", ALWAYS, NOBODY });
	world_run(w, SECONDS(1));
	use_faults(l);
	w->fs->forgets = from % 2 != 0;
	l->armed = true;
}

static void
end(struct life *l)
{
	scenario_free(l->w);
}

/* --- what must be true ------------------------------------------------------------------ */

static bool
all_acknowledged(void *arg)
{
	const struct life *l = arg;

	return l->w->acknowledged == l->sent;
}

/* Accepted: delivered once, or reported. Refused: never. */
static void
check_deliveries(struct life *l, bool reports_too)
{
	for (size_t i = 0; i < l->nattempts; i++) {
		const struct attempt *a = &l->attempt[i];
		char text[60];
		unsigned n;

		snprintf(text, sizeof(text), "%s try=%u.", a->text, a->number);
		if (text[0] == 'r' && !reports_too)
			continue;
		n = world_count(l->w, text);
		if (n != a->accepted)
			WRONG(l, "%s was %s and delivered %u times", text,
			    a->accepted ? "accepted" : "refused", n);
	}
}

static void
check_end(struct life *l)
{
	struct world *w = l->w;
	unsigned taken;

	if (!twin_loop_until(&w->loop, all_acknowledged, l, WELL_AGAIN_MS)) {
		WRONG(l, "new mail is not taken");
		return;
	}
	/* A report that waited for the disk is in the queue once it is written. */
	world_run(w, SECONDS(8));
	if (!world_settle(w, HOURS(2))) {
		WRONG(l, "%u messages stay in the queue", (unsigned)world_queued(w));
		return;
	}
	check_deliveries(l, true);
	taken = world_taken(w);
	if (taken != l->sent)	/* two of them as reports */
		WRONG(l, "%u messages came from %u", taken, l->sent);
	/* What became of them is on disk, as soon as it can be: power loss repeats nothing. */
	world_run(w, SECONDS(8));
	world_crash(w, TWIN_KEEP_SYNCED);
	world_run(w, SECONDS(10));
	if (world_queued(w) != 0 || world_taken(w) != taken)
		WRONG(l, "after power loss %u are queued, and %u were sent again",
		    (unsigned)world_queued(w), world_taken(w) - taken);
}

/*
 * On a full disk what is queued is delivered, what became of it is recorded, and a restart
 * repeats nothing. Reports alone may have to wait.
 */
static void
check_full(struct life *l)
{
	struct world *w = l->w;
	unsigned taken;

	check_deliveries(l, false);
	taken = world_taken(w);
	world_crash(w, TWIN_KEEP_SYNCED);
	use_faults(l);
	world_run(w, SECONDS(30));
	if (world_taken(w) > taken + 2)
		WRONG(l, "on the full disk %u were sent again", world_taken(w) - taken);
}

static void
note(struct life *l, enum kind_of_loop loop)
{
	struct sum *c = &sum[l->ill - illnesses][loop];

	c->lives++;
	c->hit += l->hits > 0;
	c->refusing += l->refused > 0;
	c->refusals += l->refused;
	if (l->wrong[0] == '\0')
		return;
	c->wrong++;
	printf("%s, loop %d, operation %llu (%s): %s\n", l->ill->name, (int)loop,
	    (unsigned long long)l->from, l->hit, l->wrong);
}

static void
check_none_wrong(enum kind_of_loop loop)
{
	for (size_t i = 0; i < lengthof(illnesses); i++)
		assert_int_equal(sum[i][loop].wrong, 0);
}

static uint64_t
operations(const struct illness *ill, bool lasting)
{
	struct life l;
	uint64_t n;

	begin(&l, ill, lasting, UINT64_MAX);
	live(&l);
	l.armed = false;
	n = l.ops;
	check_end(&l);
	if (l.wrong[0] != '\0')
		fail_msg("without a fault: %s", l.wrong);
	end(&l);
	return n;
}

static uint64_t
stride(void)
{
	const char *text = getenv("POSTHOUSE_TEST_ROUNDS");
	uint64_t n;

	return text != NULL && num_parse_u64(view_str(text), 50, UINT64_MAX, &n) ? 1 : 5;
}

/* --- the loops ---------------------------------------------------------------------------- */

static void
each_operation_fails_once(void **state)
{
	for (size_t i = 0; i < lengthof(illnesses); i++) {
		uint64_t n = illnesses[i].once != 0 ? operations(&illnesses[i], false) : 0;

		for (uint64_t from = i % stride(); from < n; from += stride()) {
			struct life l;

			begin(&l, &illnesses[i], false, from);
			live(&l);
			l.armed = false;
			assert_int_equal(l.hits, 1);
			check_end(&l);
			end(&l);
			note(&l, ONCE);
		}
	}
	check_none_wrong(ONCE);
}

static void
all_fail_from_one_on(void **state)
{
	for (size_t i = 0; i < lengthof(illnesses); i++) {
		uint64_t n = illnesses[i].lasting != 0 ? operations(&illnesses[i], true) : 0;

		for (uint64_t from = i % stride(); from < n; from += stride()) {
			struct life l;

			begin(&l, &illnesses[i], true, from);
			live(&l);
			world_run(l.w, l.until_ms - MINUTES(1) - l.w->loop.mono_ms);
			if (illnesses[i].full && (illnesses[i].lasting & OP(TWIN_WRITE)) == 0)
				check_full(&l);
			world_run(l.w, l.until_ms - l.w->loop.mono_ms);
			check_end(&l);
			end(&l);
			note(&l, LASTING);
		}
	}
	check_none_wrong(LASTING);
}

/* --- starts ------------------------------------------------------------------------------- */

/* Which file, what is wrong with it, and what can be done. */
static bool
sentence_is_clear(const struct life *l, const struct err *e)
{
	static const char *const names[] = { "LOCK", "log", "spare", "quarantine", "the spool: ." };
	bool named = false;

	for (size_t i = 0; i < lengthof(names); i++)
		named = named || strstr(e->text, names[i]) != NULL;
	return named && strstr(e->text, l->ill->words) != NULL && strstr(e->text, "; ") != NULL;
}

static void
start_with_fault(struct life *l)
{
	struct world *w = l->w;
	struct err e = { 0 };

	l->armed = true;
	if (world_try_start(w, &e) == 0) {
		world_run(w, SECONDS(10));
		l->armed = false;
		return;
	}
	l->armed = false;
	l->refused++;
	if (!sentence_is_clear(l, &e))
		WRONG(l, "the start failed: %s", e.text);
	world_start(w);
}

/* What was queued before is delivered, new mail is taken: at this start or, if it says why not, the next. */
static void
each_operation_of_a_start(void **state)
{
	for (size_t i = 0; i < lengthof(illnesses); i++) {
		bool more = illnesses[i].once != 0;

		for (uint64_t from = 0; more; from++) {
			struct life l;

			begin(&l, &illnesses[i], false, from);
			l.armed = false;
			fault_everywhere(l.w, (struct fault){ AT_RCPT, SAY, "450 4.2.1 busy", 1, BOB });
			for (int k = 0; k < 6; k++)
				mail(&l, BOB, 300000);
			world_run(l.w, SECONDS(5));
			if (from % 2 == 0) {
				world_stop(l.w);
			} else {
				world_crash(l.w, TWIN_KEEP_SYNCED);
				world_stop(l.w);
			}
			use_faults(&l);
			start_with_fault(&l);
			more = l.hits != 0;
			mail(&l, BOB, 100);
			check_end(&l);
			end(&l);
			note(&l, START);
		}
	}
	check_none_wrong(START);
}

static void
show_row(const char *name, const char *how, const struct sum *c)
{
	if (c->lives != 0)
		printf("%-13s %-8s %6u %6u %9u %9u %6u\n", name, how, c->lives, c->hit, c->refusing,
		    c->refusals, c->wrong);
}

static int
show(void **state)
{
	printf("%-13s %-8s %6s %6s %9s %9s %6s\n", "error", "", "lives", "hit", "refusing", "refusals", "wrong");
	for (size_t i = 0; i < lengthof(illnesses); i++) {
		show_row(illnesses[i].name, "start", &sum[i][START]);
		show_row(illnesses[i].name, "once", &sum[i][ONCE]);
		show_row(illnesses[i].name, "lasting", &sum[i][LASTING]);
	}
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_operation_of_a_start),
		cmocka_unit_test(each_operation_fails_once),
		cmocka_unit_test(all_fail_from_one_on),
	};

	cmocka_set_test_filter(getenv("WORLD_TEST"));
	return cmocka_run_group_tests(tests, NULL, show);
}

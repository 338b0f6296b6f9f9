/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Months of bad weather, and days of worse, some of them with OpenSSL (tests/sim/README).
 * SEEDS=n: the first n months, and 36 storms more than that; SEED=n: that month alone, with
 * KIND=storms or KIND=openssl one of those; EACH=1: a line for each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sim/month.h"

#include "base/banned.h"

static unsigned long
from_environment(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

static double
seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct totals {
	unsigned long	seeds, failed, mails, sessions, probes, races, wasted, moved, switches, returns;
	unsigned long	repeats, crashes, handshakes;
	double		cpu, worst;
};

static void
add(struct totals *t, const struct month *m, double cpu)
{
	const struct judge *j = &m->judge;

	t->seeds++;
	t->mails += j->nmail;
	t->sessions += j->sessions;
	t->wasted += j->wasted;
	t->moved += j->moved;
	t->switches += j->switches;
	t->returns += j->returns;
	t->repeats += j->repeats;
	t->crashes += j->ncrash;
	t->handshakes += m->tls.handshakes;
	for (size_t r = 0; r < RELAYS; r++) {
		t->probes += j->relay[r].probes;
		t->races += j->relay[r].races;
	}
	t->cpu += cpu;
	if (cpu > t->worst)
		t->worst = cpu;
}

enum kind { MONTHS, STORMS, TLS_DAYS };

static const struct {
	const char	*name, *again;
	unsigned	 days;
	bool		 storm;
} kinds[] = {
	[MONTHS] = { "months", "", 30, false },
	[STORMS] = { "storms", " KIND=storms", 2, true },
	[TLS_DAYS] = { "days with OpenSSL", " KIND=openssl", 1, true },
};

static struct month_tls *tls_of_all;

static uint32_t
live(struct totals *t, uint64_t seed, enum kind kind)
{
	struct month *m = month_new(seed, kinds[kind].storm);
	double began = seconds();
	uint32_t trace;

	if (kind == TLS_DAYS)
		month_use_tls(m, tls_of_all);
	if (!month_live(m, kinds[kind].days)) {
		printf("seed %llu:\n", (unsigned long long)seed);
		month_print(m);
		printf("again: SEED=%llu%s tests/sim/test_seeds\n", (unsigned long long)seed,
		    kinds[kind].again);
		t->failed++;
	}
	trace = m->trace;
	add(t, m, seconds() - began);
	if (getenv("EACH") != NULL)
		printf("seed %4llu  trace %08x  %6u messages  %.3f s\n", (unsigned long long)seed, trace,
		    m->judge.nmail, seconds() - began);
	month_free(m);
	return trace;
}

static void
print_totals(const struct totals *t, enum kind kind)
{
	printf("%lu %s, %lu failed\n", t->seeds, kinds[kind].name, t->failed);
	printf("%lu messages, %lu repeated; %lu connections, %lu of them probes, %lu races; %lu restarts\n",
	    t->mails, t->repeats, t->sessions, t->probes, t->races, t->crashes);
	printf("%lu attempts at dead ports, %lu messages moved away from one; %lu switches, %lu of them "
	    "returns\n", t->wasted, t->moved, t->switches, t->returns);
	if (kind == TLS_DAYS)
		printf("%lu handshakes\n", t->handshakes);
	printf("processor time of a seed: %.3f s, the worst %.3f s\n", t->cpu / (double)t->seeds, t->worst);
}

/* Seeds from .. to; true: all went well. */
static bool
live_all(uint64_t from, uint64_t to, enum kind kind)
{
	struct totals t = { 0 };
	uint32_t trace = 0;

	if (from > to)
		return true;
	for (uint64_t seed = from; seed <= to; seed++)
		trace = live(&t, seed, kind);
	/* The same again: a seed that failed has to fail whenever it is asked. */
	if (live(&t, to, kind) != trace) {
		printf("seed %llu went another way the second time\n", (unsigned long long)to);
		t.failed++;
	}
	print_totals(&t, kind);
	return t.failed == 0;
}

static enum kind
kind_asked(void)
{
	const char *word = getenv("KIND");

	return word == NULL ? MONTHS : strcmp(word, "openssl") == 0 ? TLS_DAYS : STORMS;
}

int
main(void)
{
	unsigned long one = from_environment("SEED", 0), n = from_environment("SEEDS", 4);
	unsigned long storms = from_environment("STORMS", n + 36);
	unsigned long tls_days = from_environment("OPENSSL_DAYS", n < 5 ? 1 : 5);
	bool ok;

	tls_of_all = month_tls_new();
	if (one != 0) {
		ok = live_all(one, one, kind_asked());
	} else {
		ok = live_all(1, n, MONTHS);
		ok = live_all(1, storms, STORMS) && ok;
		ok = live_all(1, tls_days, TLS_DAYS) && ok;
	}
	month_tls_free(tls_of_all);
	return ok ? 0 : 1;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Months of bad weather, and days of worse (tests/sim/README). SEEDS=n: the first n months, and
 * ten times as many storms; SEED=n: that month alone, with STORM=1 that storm; EACH=1: a line for each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "sim/month.h"

#include "base/banned.h"

#define MONTH_DAYS	30
#define STORM_DAYS	2

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
	unsigned long	repeats, crashes;
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
	for (size_t r = 0; r < RELAYS; r++) {
		t->probes += j->relay[r].probes;
		t->races += j->relay[r].races;
	}
	t->cpu += cpu;
	if (cpu > t->worst)
		t->worst = cpu;
}

static uint32_t
live(struct totals *t, uint64_t seed, bool storm, unsigned days)
{
	struct month *m = month_new(seed, storm);
	double began = seconds();
	uint32_t trace;

	if (!month_live(m, days)) {
		printf("seed %llu:\n", (unsigned long long)seed);
		month_print(m);
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
print_totals(const struct totals *t, const char *what)
{
	printf("%lu %s, %lu failed\n", t->seeds, what, t->failed);
	printf("%lu messages, %lu repeated; %lu connections, %lu of them probes, %lu races; %lu restarts\n",
	    t->mails, t->repeats, t->sessions, t->probes, t->races, t->crashes);
	printf("%lu attempts at dead ports, %lu messages moved away from one; %lu switches, %lu of them "
	    "returns\n", t->wasted, t->moved, t->switches, t->returns);
	printf("processor time of a seed: %.3f s, the worst %.3f s\n", t->cpu / (double)t->seeds, t->worst);
}

/* Seeds from .. to; true: all went well. */
static bool
live_all(uint64_t from, uint64_t to, bool storm, unsigned days)
{
	struct totals t = { 0 };
	uint32_t trace = 0;

	for (uint64_t seed = from; seed <= to; seed++)
		trace = live(&t, seed, storm, days);
	/* The same again: a seed that failed has to fail whenever it is asked. */
	if (live(&t, to, storm, days) != trace) {
		printf("seed %llu went another way the second time\n", (unsigned long long)to);
		t.failed++;
	}
	print_totals(&t, storm ? "storms" : "months");
	return t.failed == 0;
}

int
main(void)
{
	unsigned long one = from_environment("SEED", 0), n = from_environment("SEEDS", 4);
	unsigned storms = (unsigned)from_environment("STORMS", 10 * n);
	bool ok;

	if (one != 0) {
		bool storm = getenv("STORM") != NULL;

		ok = live_all(one, one, storm, storm ? STORM_DAYS : MONTH_DAYS);
		return ok ? 0 : 1;
	}
	ok = live_all(1, n, false, MONTH_DAYS);
	ok = live_all(1, storms, true, STORM_DAYS) && ok;
	return ok ? 0 : 1;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * crash - the crash enumerator: see README in this folder.
 */
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/num.h"
#include "crash/explore.h"
#include "crash/work.h"

#include "base/banned.h"

struct options {
	uint64_t	 images;	/* go on with further seeds until there are so many */
	uint64_t	 seed;
	unsigned	 width, deep, kill;
	const char	*work;		/* NULL: all */
	const char	*place;		/* NULL: all */
	bool		 keep_going;
};

struct tally {
	uint64_t	 distinct, checks, nested, points, violations;
};

/* For the handler: a require() in the spool that fails while an image is recovered. */
static const struct explorer *at_work;

static void
died(int sig)
{
	char text[400];
	int n = snprintf(text, sizeof(text), "crash: died; again: tests/crash/crash --work %s --seed %llu "
	    "--at %s\n", at_work->work, (unsigned long long)at_work->seed, at_work->now);

	ignore_result(write(STDOUT_FILENO, text, (size_t)n) < 0);
	signal(sig, SIG_DFL);
	raise(sig);
}

static void
print_violation(const struct explorer *x)
{
	printf("VIOLATION in %s: %s\n    again: tests/crash/crash --work %s --seed %llu --at %s\n", x->work,
	    x->first.why, x->work, (unsigned long long)x->seed, x->first_place);
}

static int
play_work(const struct options *o, const struct work *work, uint64_t seed, struct seen *images,
    struct tally *t)
{
	struct explorer x = { .work = work->name, .seed = seed, .width = o->width, .deep = o->deep,
		.kill = o->kill, .images = images };
	struct disk d;
	struct play *p = xzalloc(sizeof(*p));

	if (o->place != NULL && explore_only(&x, o->place) < 0) {
		fprintf(stderr, "crash: \"%s\" is no place\n", o->place);
		exit(2);
	}
	disk_init(&d);
	play_init(p, &d, seed);
	x.play = p;
	p->step = explore_step;
	p->arg = &x;
	seen_init(&x.checked);
	at_work = &x;
	work->run(p);
	play_done(p);
	disk_done(&d);
	free(p);
	seen_done(&x.checked);
	*t = (struct tally){ t->distinct + x.distinct, t->checks + x.checks, t->nested + x.nested,
		t->points + x.point, t->violations + x.violations };
	if (x.violations != 0)
		print_violation(&x);
	return x.violations != 0 ? -1 : 0;
}

static bool
parse_number(const char *text, uint64_t *out)
{
	return num_parse_u64(view_str(text), 0, UINT64_MAX, out);
}

static int
parse(struct options *o, int argc, char **argv)
{
	static const struct option names[] = {
		{ "images", required_argument, NULL, 'i' }, { "seed", required_argument, NULL, 's' },
		{ "width", required_argument, NULL, 'w' }, { "deep", required_argument, NULL, 'd' },
		{ "kill", required_argument, NULL, 'k' }, { "work", required_argument, NULL, 'W' },
		{ "at", required_argument, NULL, 'a' }, { "keep-going", no_argument, NULL, 'g' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t n = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (strchr("iswdk", c) != NULL && !parse_number(optarg, &n))
			return -1;
		switch (c) {
		case 'i': o->images = n; break;
		case 's': o->seed = n; break;
		case 'w': o->width = (unsigned)n; break;
		case 'd': o->deep = (unsigned)n; break;
		case 'k': o->kill = (unsigned)n; break;
		case 'W': o->work = optarg; break;
		case 'a': o->place = optarg; break;
		case 'g': o->keep_going = true; break;
		default: return -1;
		}
	}
	return optind == argc && (o->place == NULL || o->work != NULL) ? 0 : -1;
}

static void
print_totals(const struct tally *of, const struct options *o, uint64_t rounds, clock_t began)
{
	struct tally all = { 0 };

	printf("%-19s %-15s %7s %8s %8s %8s %10s\n", "workload", "cases", "points", "images", "second",
	    "checks", "violations");
	for (size_t i = 0; i < nworks; i++) {
		const struct tally *t = &of[i];

		if (t->points == 0)
			continue;
		printf("%-19s %-15s %7llu %8llu %8llu %8llu %10llu\n", works[i].name, works[i].cases,
		    (unsigned long long)t->points, (unsigned long long)t->distinct, (unsigned long long)t->nested,
		    (unsigned long long)t->checks, (unsigned long long)t->violations);
		all = (struct tally){ all.distinct + t->distinct, all.checks + t->checks,
			all.nested + t->nested, all.points + t->points, all.violations + t->violations };
	}
	printf("%llu distinct crash images, %llu violations; %llu rounds from seed %llu, %.1f s\n",
	    (unsigned long long)all.distinct, (unsigned long long)all.violations,
	    (unsigned long long)rounds, (unsigned long long)o->seed,
	    (double)(clock() - began) / CLOCKS_PER_SEC);
}

int
main(int argc, char **argv)
{
	struct options o = { .images = 1, .seed = 1, .width = 10, .deep = 60, .kill = 20 };
	struct tally *of = xcalloc(nworks, sizeof(*of));
	clock_t began = clock();
	struct seen images;
	uint64_t round;
	bool bad = false, found = false;

	if (parse(&o, argc, argv) < 0) {
		fprintf(stderr, "usage: crash [--images N] [--seed N] [--width N] [--deep N] [--kill N]\n"
		    "    [--work NAME [--at PLACE]] [--keep-going]\n");
		return 2;
	}
	/* Recovery takes and gives back the same buffers thousands of times. */
	(void)mallopt(M_MMAP_THRESHOLD, 64 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 256 << 20);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGABRT, died);
	signal(SIGSEGV, died);
	seen_init(&images);
	for (round = 0; (round == 0 || images.n < o.images) && (!bad || o.keep_going); round++) {
		for (size_t i = 0; i < nworks && (!bad || o.keep_going); i++) {
			if (o.work != NULL && strcmp(o.work, works[i].name) != 0)
				continue;
			found = true;
			bad |= play_work(&o, &works[i], o.seed + round, &images, &of[i]) < 0;
		}
		if (!found || o.place != NULL)
			break;
	}
	print_totals(of, &o, round, began);
	seen_done(&images);
	free(of);
	return bad || !found;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "sample.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void
die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

void
samples_new(struct samples *s, long cap)
{
	*s = (struct samples){ .us = calloc((size_t)cap, sizeof(int64_t)), .cap = cap };
	if (s->us == NULL)
		die("memory");
}

void
samples_add(struct samples *s, int64_t us)
{
	if (s->n < s->cap)
		s->us[s->n++] = us;
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

void
samples_sort(struct samples *s)
{
	qsort(s->us, (size_t)s->n, sizeof(s->us[0]), compare);
}

double
samples_percentile_ms(const struct samples *s, double p)
{
	return s->n == 0 ? 0 : (double)s->us[(long)(p * (double)(s->n - 1))] / 1000;
}

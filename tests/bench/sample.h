/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sample - times taken, and what is said of them.
 */
#ifndef BENCH_SAMPLE_H
#define BENCH_SAMPLE_H

#include <stdint.h>

struct samples {
	int64_t	*us;
	long	 n, cap;		/* beyond cap none is kept */
};

int64_t now_us(void);
void samples_new(struct samples *, long cap);
void samples_add(struct samples *, int64_t us);
void samples_sort(struct samples *);
/* Of sorted ones; 0 if there is none. */
double samples_percentile_ms(const struct samples *, double p);
/* "load: connect: No such file ..." and the end. */
void die(const char *what) __attribute__((noreturn));

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scenario - what the tests of this folder begin, end and count with.
 */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sim/world.h"

#define ALICE	"alice@shop.example.com"
#define BOB	"bob@example.net"

/* For the table of tests: each has a world of its own, not yet started. */
#define T(fn)	cmocka_unit_test_setup_teardown(fn, scenario_setup, scenario_teardown)
/* All tests of the table, or those that WORLD_TEST names. */
#define scenario_run(tests) \
	(cmocka_set_test_filter(getenv("WORLD_TEST")), cmocka_run_group_tests(tests, NULL, NULL))

int scenario_setup(void **state);
int scenario_teardown(void **state);
/* The same for one case of several in a test. */
struct world *scenario_new(void);
void scenario_free(struct world *);		/* and no password went in clear */

/* Start; one message goes by the first port, and its session stays open for a while. */
void start_warm(struct world *);
void fault_everywhere(struct world *, struct fault);
void heal_everywhere(struct world *);

/* One of so many bytes or some more, in lines of 1000; until it is durable. */
void mail_big(struct world *, size_t size);
/* "PREFIX0000." and so on, from ALICE to BOB, one after the other. */
void mail_many(struct world *, unsigned n, const char *prefix);
/* Each of them arrived, and how often all in all. */
unsigned count_many(struct world *, unsigned n, const char *prefix);

#endif

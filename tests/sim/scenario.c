/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/scenario.h"

#include <stdio.h>

#include "base/alloc.h"

#include "base/banned.h"

struct world *
scenario_new(void)
{
	struct world *w = xzalloc(sizeof(*w));

	world_init(w);
	return w;
}

void
scenario_free(struct world *w)
{
	for (size_t i = 0; i < PORTS; i++)
		assert_int_equal(w->port[i].secrets_in_clear, 0);
	world_done(w);
	free(w);
}

int
scenario_setup(void **state)
{
	*state = scenario_new();
	return 0;
}

int
scenario_teardown(void **state)
{
	scenario_free(*state);
	return 0;
}

void
start_warm(struct world *w)
{
	world_start(w);
	world_mail(w, ALICE, BOB, "warm.");
	assert_true(world_settle(w, SECONDS(5)));
}

void
fault_everywhere(struct world *w, struct fault f)
{
	for (size_t i = 0; i < PORTS; i++)
		smarthost_fault(&w->port[i], f);
}

void
heal_everywhere(struct world *w)
{
	for (size_t i = 0; i < PORTS; i++)
		smarthost_heal(&w->port[i]);
}

void
mail_big(struct world *w, size_t size)
{
	static uint8_t chunk[50000];
	uint64_t number, given = w->credit;
	unsigned before = w->durable;
	size_t total = 0;

	for (size_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = i % 1000 == 998 ? '\r' : i % 1000 == 999 ? '\n' : 'x';
	memcpy(chunk, "Big: ", 5);
	number = world_open(w, ALICE, BOB);
	while (total < size) {
		/* As intake does: never more than the window. */
		while (total + sizeof(chunk) > (256u << 10) + w->credit - given)
			world_run(w, 10);
		world_chunk(w, number, view_of(chunk, sizeof(chunk)));
		total += sizeof(chunk);
	}
	world_commit(w, number, total);
	for (int i = 0; i < 1000 && w->durable == before; i++)
		world_run(w, 10);
	assert_int_equal(w->durable, before + 1);
}

void
mail_many(struct world *w, unsigned n, const char *prefix)
{
	char text[40];

	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%s%04u.", prefix, i);
		world_mail(w, ALICE, BOB, text);
	}
}

unsigned
count_many(struct world *w, unsigned n, const char *prefix)
{
	char text[40];
	unsigned sum = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned k;

		snprintf(text, sizeof(text), "%s%04u.", prefix, i);
		k = world_count(w, text);
		assert_true(k >= 1);
		sum += k;
	}
	return sum;
}

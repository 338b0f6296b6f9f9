/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arbitrary bytes as the file of doc/accounts.md, as they are and with the right checksum:
 * what is taken is written again and read as the same, and no clock makes more of it.
 */
#include <string.h>

#include "base/crc32c.h"
#include "fuzz.h"
#include "relay/accounts.h"

static void
require_same(const struct accounts *a, const struct accounts *b)
{
	require(a->n == b->n && a->written_ms == b->written_ms);
	for (size_t i = 0; i < a->n; i++) {
		const struct account_record *x = &a->entry[i].record, *y = &b->entry[i].record;

		require(x->state == y->state && x->step == y->step && x->class == y->class);
		require(strcmp(x->detail, y->detail) == 0 && a->entry[i].open == b->entry[i].open);
		require(x->state == ACCOUNT_AVAILABLE ||
		    (x->left_ms == y->left_ms && x->lasts_ms == y->lasts_ms));
	}
}

static void
check(const struct accounts *a)
{
	static const int64_t clocks[] = { 0, 7000, INT64_C(1795348800000), INT64_C(253370764800000) };
	struct accounts again;
	struct buf out;
	struct err e;

	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < lengthof(clocks); k++) {
			struct account_record rec;

			accounts_resume(a, &a->entry[i], clocks[k], &rec);
			require(rec.left_ms >= 0 && rec.left_ms <= ACCOUNTS_LEFT_MAX_MS);
			require(rec.state < ACCOUNT_DOWN && rec.detail[HEALTH_DETAIL_MAX - 1] == '\0');
		}
	buf_init(&out, ACCOUNTS_TEXT_MAX);
	require(accounts_text(a, &out));
	require(accounts_parse(&again, buf_view(&out), &e) == 0);
	require_same(a, &again);
	buf_done(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size);
	struct accounts a;
	struct buf summed;
	struct err e;

	if (accounts_parse(&a, in, &e) == 0)
		check(&a);
	buf_init(&summed, size + 32);
	require(buf_add(&summed, in) && buf_addf(&summed, "end: %08x\n", (unsigned)crc32c(0, in)));
	if (accounts_parse(&a, buf_view(&summed), &e) == 0)
		check(&a);
	else
		require(e.text[0] != '\0');
	buf_done(&summed);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Records of the spool, as they may stand on a damaged disk. */
#include "fuzz.h"
#include "spool/record.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view copy = view_of(data, size), rest = copy;
	struct record_part part;
	struct record r;

	if (copy.n >= RECORD_HEADER && record_get_any(&r, copy.p)) {
		uint8_t again[RECORD_HEADER];
		struct record same;

		record_put(again, &r, 7);
		require(record_get(&same, again, 7));
		require(same.type == r.type && same.id == r.id && same.length == r.length);
		require(!record_get(&same, again, 8));
	}
	while (record_next_part(&rest, &part))
		require(part.payload.p >= copy.p && part.payload.p + part.payload.n <= copy.p + copy.n);
	return 0;
}

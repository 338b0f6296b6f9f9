/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the history: each becomes a bounded sentence, or nothing. */
#include "control/story.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view lines = view_of(data, size), pairs, key;
	struct story_fact f;
	struct buf text;

	buf_init(&text, STORY_SENTENCE_MAX);
	while (story_next(&lines, &f)) {
		size_t n = 0;

		require(f.event.n > 0 && f.event.p >= data && f.event.p + f.event.n <= data + size);
		buf_clear(&text);
		ignore_result(story_tell(&f, &text));
		pairs = f.pairs;
		while (story_pair(&pairs, &key, &text))
			require(++n <= f.pairs.n && buf_len(&text) <= f.pairs.n);
	}
	buf_done(&text);
	return 0;
}

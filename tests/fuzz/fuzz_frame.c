/* SPDX-License-Identifier: BSD-2-Clause */
/* The handover: frames of either side, and what is in them. */
#include "fuzz.h"

#include "handover/frame.h"

#include "base/banned.h"

static void
check_payload(const struct frame *f)
{
	struct frame_commit commit;
	struct frame_reply reply;
	struct view value;
	uint32_t credit;

	if (frame_credit_parse(f->payload, &credit))
		require(credit > 0 && credit <= HANDOVER_WINDOW);
	if (frame_commit_parse(f->payload, &commit)) {
		struct buf again;

		buf_init(&again, FRAME_SMALL_MAX);
		require(commit.script.n <= FRAME_SCRIPT_MAX);
		require(frame_commit_put(&again, &commit));
		require(buf_len(&again) <= f->payload.n);	/* leading zeros of the size may go */
		buf_done(&again);
	}
	if (frame_reply_parse(f->payload, &reply)) {
		require(reply.code >= 400 && reply.code <= 599 && reply.text.n > 0);
		require(reply.status.p[0] == '0' + reply.code / 100);
		for (size_t i = 0; i < reply.text.n; i++)
			require(is_print(reply.text.p[i]));
	}
	if (frame_lines_find(f->payload, "sandbox", &value))
		require(value.n <= f->payload.n);
	(void)!frame_hello_is_ours(f->payload);
}

static void
check_frame(struct view in, const struct frame *f, size_t used)
{
	struct buf again;

	require(used >= FRAME_HEADER && used <= in.n);
	require(f->payload.p == in.p + FRAME_HEADER && f->payload.n == used - FRAME_HEADER);
	buf_init(&again, used);
	require(frame_put(&again, f->type, f->transaction, f->payload));
	require(view_eq(buf_view(&again), view_first(in, used)));
	buf_done(&again);
	check_payload(f);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size);
	bool from_intake = (fuzz_choice(&in) & 1) != 0;

	for (;;) {
		struct frame f;
		size_t used, need = 0;

		switch (frame_parse(in, from_intake, &f, &used, &need, NULL)) {
		case FRAME_MORE:
			require(need > in.n && need <= FRAME_HEADER + FRAME_OPEN_MAX);
			return 0;
		case FRAME_BAD:
			return 0;
		case FRAME_DONE:
			break;
		}
		check_frame(in, &f, used);
		in = view_from(in, used);
	}
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "control/toll.h"

#include <stddef.h>

#include "base/banned.h"

int64_t
toll_pay(struct toll *t, int64_t uid, uint64_t cost, int64_t now_ms)
{
	size_t at = 0;
	int64_t begin;

	/* The user's own place, or that of who is free first. */
	for (size_t i = 0; i < TOLL_USERS; i++) {
		if (t->user[i].free_ms != 0 && t->user[i].uid == uid) {
			at = i;
			break;
		}
		if (t->user[i].free_ms < t->user[at].free_ms)
			at = i;
	}
	if (t->user[at].uid != uid || t->user[at].free_ms < now_ms)
		begin = now_ms;
	else
		begin = t->user[at].free_ms;
	if (begin - now_ms > TOLL_WAIT_MS)
		return -1;
	t->user[at].uid = uid;
	t->user[at].free_ms = begin + (int64_t)(cost * 1000 / TOLL_PER_SECOND) + 1;
	return begin - now_ms;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses: what is accepted is safe to say again, and means the same then. */
#include "base/buf.h"
#include "fuzz.h"
#include "smtp/address.h"

#include "base/banned.h"

static void
check_mailbox(const struct mailbox *m)
{
	struct mailbox again;
	struct buf path;
	size_t used;

	require(m->whole.n <= ADDR_MAX && m->local.n <= ADDR_LOCAL_MAX && m->domain.n <= ADDR_DOMAIN_MAX);
	require(m->local.n > 0);
	require(m->whole.n == m->local.n + (m->domain.n > 0 ? 1 + m->domain.n : 0));
	for (size_t i = 0; i < m->whole.n; i++)
		require(is_print(m->whole.p[i]) || (m->eight_bit && m->whole.p[i] >= 0x80));
	require(mailbox_parse(&again, m->whole, NULL) == 0);
	require(view_eq(again.local, m->local) && view_eq(again.domain, m->domain));

	buf_init(&path, ADDR_MAX + 2);
	require(buf_add_byte(&path, '<') && buf_add(&path, m->whole) && buf_add_byte(&path, '>'));
	require(mailbox_parse_path(&again, buf_view(&path), &used, false, NULL) == 0);
	require(used == buf_len(&path) && view_eq(again.whole, m->whole));
	buf_done(&path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size);
	struct mailbox m;
	struct err e;
	size_t used;

	if (mailbox_parse_path(&m, in, &used, true, &e) == 0) {
		require(used >= 2 && used <= size && data[used - 1] == '>');
		if (m.whole.n > 0)
			check_mailbox(&m);
		else
			require(used == 2);
	}
	if (mailbox_parse(&m, in, &e) == 0) {
		require(m.whole.n == size);
		check_mailbox(&m);
	}
	if (domain_is_valid(in))
		require(size > 0 && size <= ADDR_DOMAIN_MAX);
	return 0;
}

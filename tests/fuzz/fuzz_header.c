/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The header scanner: byte 0 says where the rest is cut. In two pieces the scan sees what it
 * sees in one, and field by field the same again.
 */
#include "fuzz.h"

#include "mail/header.h"

#include "base/banned.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view in = view_of(data, size);
	size_t split = fuzz_choice(&in);
	struct header_scan one, two;
	struct header_field field;
	struct view io = in;
	unsigned count[HEADER_NAME_COUNT] = { 0 };

	header_scan_init(&one);
	header_scan_init(&two);
	require(header_scan(&one, in, true));
	if (header_scan(&two, view_first(in, split), false))
		require(two.at <= split);
	require(header_scan(&two, in, true));
	require(one.at == two.at && one.blank == two.blank && one.at <= in.n);
	for (size_t i = 0; i < HEADER_NAME_COUNT; i++)
		require(one.count[i] == two.count[i]);
	if (one.mbox_line)
		return 0;
	while (header_next(&io, &field)) {
		require(field.whole.n > 0 && field.value.n < field.whole.n);
		count[field.name]++;
	}
	require(in.n - io.n == one.at);
	for (size_t i = 0; i < HEADER_NAME_COUNT; i++)
		require(one.count[i] == count[i]);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of the control socket: a read-only one never yields a command that changes anything. */
#include "control/request.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct view copy = view_of(data, size);
	struct request r;
	struct err e;

	ignore_result(request_parse(&r, copy, false, &e));
	if (request_parse(&r, copy, true, &e) == 0)
		require(r.command == REQUEST_STATUS || r.command == REQUEST_PORTS || r.command == REQUEST_FAILOVER ||
		    r.command == REQUEST_QUEUE);
	return 0;
}

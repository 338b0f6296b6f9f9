/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/whole.h"

#include <errno.h>
#include <unistd.h>

#include "base/banned.h"

/* pread: the offset of a descriptor that was passed on is shared with who passed it. */
int
read_whole(int fd, struct buf *out, struct err *e)
{
	off_t at = 0;

	for (;;) {
		size_t want = buf_room(out) < 4096 ? buf_room(out) : 4096;
		uint8_t over;
		uint8_t *p = want > 0 ? buf_reserve(out, want) : &over;
		ssize_t n;

		if (p == NULL)
			return err_set(e, ERR_FULL, "no memory");
		n = pread(fd, p, want > 0 ? want : 1, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, errno, "can't read");
		if (n == 0)
			return 0;
		if (want == 0)
			return err_set(e, ERR_INPUT, "it is longer than %zu bytes", out->max);
		buf_grew(out, (size_t)n);
		at += n;
	}
}

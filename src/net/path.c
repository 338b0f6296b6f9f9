/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/path.h"

/* The kernel's own header: the C library's structure ends before notsent_bytes. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/banned.h"

/*
 * The least MTU of IPv6 (RFC 8200, 5) without its header and TCP's, which is less than what IPv4 leaves of
 * as much: no path in use carries less, so none has to tell us that it does.
 */
#define SEGMENT_MAX 1220

/* One question may be lost on a path that loses some packets. */
#define QUESTIONS_MIN 2

/*
 * Of the patience. In 4.5 s the kernel has sent the same four times at least, where the way there and back
 * takes less than 0.3 s.
 */
#define STUCK_TENTHS 3

enum path_state
path_judge(const struct path_facts *f, int64_t patience_ms)
{
	if (f->unacked != 0)
		return f->stuck_ms >= patience_ms ? PATH_DEAD : PATH_BUSY;
	if (f->notsent == 0)
		return PATH_QUIET;
	/*
	 * The kernel asks after 0.2 s and then in doubling intervals, up to two minutes: that the last
	 * answer is old is no sign of death, but that two questions got none is.
	 */
	if (f->questions >= QUESTIONS_MIN && f->since_ack_ms >= patience_ms)
		return PATH_DEAD;
	return PATH_SHUT;
}

bool
path_is_stuck(const struct path_facts *f, int64_t patience_ms)
{
	if (f->unacked != 0)
		return f->stuck_ms >= patience_ms * STUCK_TENTHS / 10;
	return f->notsent == 0 && f->questions >= QUESTIONS_MIN;	/* keepalive */
}

bool
path_facts(int fd, struct path_facts *out)
{
	struct tcp_info t = { .tcpi_state = 0 };
	socklen_t n = sizeof(t);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &t, &n) < 0 ||
	    n < offsetof(struct tcp_info, tcpi_notsent_bytes) + sizeof(t.tcpi_notsent_bytes))
		return false;
	*out = (struct path_facts){ .unacked = t.tcpi_unacked, .notsent = t.tcpi_notsent_bytes,
		.questions = t.tcpi_probes, .since_ack_ms = t.tcpi_last_ack_recv,
		.acked = t.tcpi_bytes_acked };
	return true;
}

void
path_limit(int fd, int64_t ms)
{
	int value = (int)ms;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof(value));	/* works without, only worse */
}

void
path_small_segments(int fd)
{
	int value = SEGMENT_MAX;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &value, sizeof(value));	/* works without, only worse */
}

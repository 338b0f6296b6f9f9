/* SPDX-License-Identifier: BSD-2-Clause */
#include "packet.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/banned.h"

union control {
	struct cmsghdr	header;
	uint8_t		room[CMSG_SPACE(sizeof(int))];
};

int
packet_pair(int fd[2], struct err *e)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) != 0)
		return err_sys(e, errno, "can't make a socket pair");
	return 0;
}

int
packet_send(int channel, const char *word, struct view rest, int fd, struct err *e)
{
	struct iovec v[3] = {
		{ (void *)(uintptr_t)word, strlen(word) },
		{ (void *)(uintptr_t)" ", rest.n > 0 },
		{ (void *)(uintptr_t)rest.p, rest.n },
	};
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 3 };
	union control c = { 0 };
	ssize_t n;

	if (v[0].iov_len + 1 + rest.n > PACKET_MAX)
		return err_set(e, ERR_INPUT, "a message of %zu bytes is too long", rest.n);
	if (fd >= 0) {
		m.msg_control = &c;
		m.msg_controllen = sizeof(c.room);
		c.header.cmsg_level = SOL_SOCKET;
		c.header.cmsg_type = SCM_RIGHTS;
		c.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&c.header), &fd, sizeof(fd));
	}
	do
		n = sendmsg(channel, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? err_sys(e, errno, "can't send \"%s\"", word) : 0;
}

static int
take_descriptor(struct msghdr *m)
{
	int fd = -1;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h != NULL; h = CMSG_NXTHDR(m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS &&
		    h->cmsg_len == CMSG_LEN(sizeof(int)))
			memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	return fd;
}

enum packet_got
packet_receive(int channel, struct packet *p)
{
	struct iovec v = { p->text, sizeof(p->text) };
	union control c = { 0 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &c,
		.msg_controllen = sizeof(c.room) };
	size_t space;
	ssize_t n;

	do
		n = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return PACKET_NONE;
	if (n <= 0)
		return PACKET_CLOSED;
	p->fd = take_descriptor(&m);
	if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
		if (p->fd >= 0)
			(void)close(p->fd);
		return PACKET_CLOSED;
	}
	space = view_find(view_of(p->text, (size_t)n), ' ');
	p->word = view_of(p->text, space);
	p->rest = view_from(view_of(p->text, (size_t)n), space + 1);
	return PACKET_GOT;
}

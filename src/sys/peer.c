/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/num.h"
#include "sys/listen.h"

#include "base/banned.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE	71		/* Linux 5.14 */
#endif

#define ANSWER_MAX	1024		/* one socket, with what the kernel adds unasked */
#define ANSWERS_MAX	8		/* read for one question: old ones may be in front */
#define OVERFLOW_UID	65534		/* where it can't be read */

const char *
peer_found_word(enum peer_found f)
{
	static const char *const words[] = {
		[PEER_FOUND] = NULL, [PEER_CLOSED] = "closed", [PEER_OTHER_NETWORK] = "other-network",
		[PEER_OTHER_USERS] = "other-users", [PEER_NOT_ASKED] = "not-asked",
	};

	return words[f];
}

/* --- the answer --------------------------------------------------------------------- */

/*
 * A socket that nobody has any more has inode 0, and uid 0. Where no connection is found
 * the kernel goes on to look for a listening socket. So only these two states, with an owner.
 */
static enum peer_answer
judge_socket(const struct peer_question *q, struct view body, int64_t *uid)
{
	struct inet_diag_msg m;

	if (body.n < sizeof(m))
		return PEER_ANSWER_STRANGE;
	memcpy(&m, body.p, sizeof(m));
	if (m.idiag_state != TCP_ESTABLISHED && m.idiag_state != TCP_CLOSE_WAIT)
		return PEER_ANSWER_CLOSED;
	if (ntohs(m.id.idiag_sport) != q->peer_port || ntohs(m.id.idiag_dport) != q->own_port)
		return PEER_ANSWER_STRANGE;
	if (m.idiag_inode == 0)
		return PEER_ANSWER_CLOSED;
	*uid = m.idiag_uid;
	return PEER_ANSWER_FOUND;
}

enum peer_answer
peer_answer_judge(const struct peer_question *q, struct view answer, int64_t *uid)
{
	struct nlmsghdr h;
	struct view body;
	int code;

	if (answer.n < sizeof(h))
		return PEER_ANSWER_STRANGE;
	memcpy(&h, answer.p, sizeof(h));
	if (h.nlmsg_len < sizeof(h) || h.nlmsg_len > answer.n || h.nlmsg_seq != q->sequence)
		return PEER_ANSWER_STRANGE;
	body = view_from(view_first(answer, h.nlmsg_len), sizeof(h));
	if (h.nlmsg_type == SOCK_DIAG_BY_FAMILY)
		return judge_socket(q, body, uid);
	if (h.nlmsg_type != NLMSG_ERROR || body.n < sizeof(code))
		return PEER_ANSWER_STRANGE;
	memcpy(&code, body.p, sizeof(code));
	return code == -ENOENT ? PEER_ANSWER_NONE : PEER_ANSWER_STRANGE;
}

/* --- asking --------------------------------------------------------------------------- */

static bool
put_address(__be32 out[4], __be16 *port, const struct sockaddr *sa, int family)
{
	if (sa->sa_family != family)
		return false;
	if (family == AF_INET) {
		const struct sockaddr_in *in = (const void *)sa;

		memcpy(out, &in->sin_addr, sizeof(in->sin_addr));
		*port = in->sin_port;
		return true;
	}
	if (family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		memcpy(out, &in6->sin6_addr, sizeof(in6->sin6_addr));
		*port = in6->sin6_port;
		return true;
	}
	return false;
}

/* The peer's socket is the one to which the peer's address is the source. */
static bool
ask(struct peer_finder *f, const struct sockaddr *own, const struct sockaddr *peer, struct peer_question *q)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} m = {
		.h = { .nlmsg_len = sizeof(m), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
		.r = { .sdiag_family = (uint8_t)peer->sa_family, .sdiag_protocol = IPPROTO_TCP },
	};
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	__be16 own_port, peer_port;

	if (!put_address(m.r.id.idiag_src, &peer_port, peer, peer->sa_family) ||
	    !put_address(m.r.id.idiag_dst, &own_port, own, peer->sa_family))
		return false;
	m.r.id.idiag_sport = peer_port;
	m.r.id.idiag_dport = own_port;
	m.r.id.idiag_cookie[0] = m.r.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	m.h.nlmsg_seq = ++f->sequence;
	*q = (struct peer_question){ f->sequence, ntohs(own_port), ntohs(peer_port) };
	return sendto(f->fd, &m, sizeof(m), 0, (struct sockaddr *)&kernel, sizeof(kernel)) == sizeof(m);
}

/* The kernel has answered when sendto() returns. */
static enum peer_answer
hear(struct peer_finder *f, const struct peer_question *q, int64_t *uid)
{
	uint8_t bytes[ANSWER_MAX];
	struct sockaddr_nl from = { .nl_family = AF_UNSPEC };
	socklen_t len = sizeof(from);
	enum peer_answer a = PEER_ANSWER_STRANGE;

	for (int i = 0; i < ANSWERS_MAX && a == PEER_ANSWER_STRANGE; i++) {
		ssize_t n = recvfrom(f->fd, bytes, sizeof(bytes), MSG_DONTWAIT, (struct sockaddr *)&from, &len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		if (from.nl_family == AF_NETLINK && from.nl_pid == 0)
			a = peer_answer_judge(q, view_of(bytes, (size_t)n), uid);
		len = sizeof(from);
	}
	return a;
}

/* Sockets of two network namespaces may have the same addresses. */
static bool
is_elsewhere(int fd, int own)
{
	uint64_t a, b;
	socklen_t n = sizeof(a), m = sizeof(b);

	/* Kernels that do not know it: where the addresses are not in use here, nothing is found. */
	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &a, &n) == 0 &&
	    getsockopt(own, SOL_SOCKET, SO_NETNS_COOKIE, &b, &m) == 0 && a != b;
}

static enum peer_found
find_tcp(struct peer_finder *f, int fd, const struct sockaddr *peer, int64_t *uid)
{
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	struct peer_question q;

	if (f->fd < 0)
		return PEER_NOT_ASKED;
	if (is_elsewhere(fd, f->fd))
		return PEER_OTHER_NETWORK;
	if (getsockname(fd, (struct sockaddr *)&own, &len) != 0 ||
	    !ask(f, (struct sockaddr *)&own, peer, &q))
		return PEER_NOT_ASKED;
	switch (hear(f, &q, uid)) {
	case PEER_ANSWER_FOUND:
		return PEER_FOUND;
	case PEER_ANSWER_NONE:
	case PEER_ANSWER_CLOSED:
		return PEER_CLOSED;
	case PEER_ANSWER_STRANGE:
		break;
	}
	return PEER_NOT_ASKED;
}

enum peer_found
peer_find(struct peer_finder *f, int fd, const struct sockaddr *peer, int64_t *uid, int64_t *pid)
{
	int64_t found = -1, process = -1;
	enum peer_found result;

	if (peer->sa_family == AF_UNIX)
		result = socket_peer_cred(fd, &found, &process) ? PEER_FOUND : PEER_NOT_ASKED;
	else
		result = find_tcp(f, fd, peer, &found);
	if (result == PEER_FOUND && found == f->nobody)
		result = PEER_OTHER_USERS;
	*uid = result == PEER_FOUND ? found : -1;
	*pid = process;
	return result;
}

/* --- set-up ------------------------------------------------------------------------------ */

int64_t
peer_nobody(struct view uid_map, struct view overflowuid)
{
	uint64_t n, part[3] = { 0 };
	struct view line, word;
	size_t i = 0;

	(void)view_split(&uid_map, '\n', &line);
	while (i < lengthof(part) && view_split(&line, ' ', &word))
		if (word.n > 0 && !num_parse_u64(word, 0, UINT32_MAX, &part[i++]))
			break;
	if (i == 0 || (part[0] == 0 && part[1] == 0 && part[2] == UINT32_MAX))
		return -1;	/* no such thing in this kernel, or all users */
	(void)view_split(&overflowuid, '\n', &word);
	return num_parse_u64(word, 0, UINT32_MAX, &n) ? (int64_t)n : OVERFLOW_UID;
}

static struct view
read_short(const char *path, char *out, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, size) : -1;

	if (fd >= 0)
		(void)close(fd);
	return view_of(out, n > 0 ? (size_t)n : 0);
}

/* Of a connection that can't be: whether the kernel can be asked at all. */
static bool
can_ask(struct peer_finder *f)
{
	struct sockaddr_in nowhere = { .sin_family = AF_INET };
	struct peer_question q;
	int64_t uid;

	return ask(f, (struct sockaddr *)&nowhere, (struct sockaddr *)&nowhere, &q) &&
	    hear(f, &q, &uid) == PEER_ANSWER_NONE;
}

int
peer_finder_init(struct peer_finder *f, struct err *e)
{
	char map[256], overflow[16];

	*f = (struct peer_finder){ .fd = -1 };
	f->nobody = peer_nobody(read_short("/proc/self/uid_map", map, sizeof(map)),
	    read_short("/proc/sys/kernel/overflowuid", overflow, sizeof(overflow)));
	f->fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	if (f->fd < 0)
		return err_sys(e, errno, "can't ask the kernel whose a connection is");
	if (can_ask(f))
		return 0;
	peer_finder_done(f);
	return err_set(e, ERR_SYSTEM, "the kernel does not say whose a TCP connection is (no tcp_diag)");
}

void
peer_finder_done(struct peer_finder *f)
{
	if (f->fd >= 0)
		(void)close(f->fd);	/* nothing is kept in it */
	f->fd = -1;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/netwatch.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc.h"
#include "sys/io.h"

#include "base/banned.h"

#define DATAGRAM_MAX	16384u
#define LOOPBACK_INDEX	1	/* in every network namespace */

/* --- reading messages ------------------------------------------------------------- */

/* The fixed part in front of the attributes. */
static bool
take(struct view *v, void *out, size_t n)
{
	if (v->n < NLMSG_ALIGN(n))
		return false;
	memcpy(out, v->p, n);
	*v = view_from(*v, NLMSG_ALIGN(n));
	return true;
}

static bool
next_message(struct view *in, struct nlmsghdr *h, struct view *body)
{
	if (in->n < sizeof(*h))
		return false;
	memcpy(h, in->p, sizeof(*h));
	if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > in->n)
		return false;
	*body = view_from(view_first(*in, h->nlmsg_len), sizeof(*h));
	*in = view_from(*in, NLMSG_ALIGN((size_t)h->nlmsg_len));
	return true;
}

static bool
next_attribute(struct view *in, unsigned *type, struct view *value)
{
	struct rtattr a;

	if (in->n < sizeof(a))
		return false;
	memcpy(&a, in->p, sizeof(a));
	if (a.rta_len < sizeof(a) || a.rta_len > in->n)
		return false;
	*type = a.rta_type & NLA_TYPE_MASK;
	*value = view_from(view_first(*in, a.rta_len), sizeof(a));
	*in = view_from(*in, RTA_ALIGN((size_t)a.rta_len));
	return true;
}

static bool
is_number(struct view v, uint32_t number)
{
	return v.n == sizeof(number) && memcmp(v.p, &number, sizeof(number)) == 0;
}

/* --- what was said before ----------------------------------------------------------- */

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* FNV-1a: the kernel does not choose its addresses against us. */
static uint64_t
mix(uint64_t hash, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static uint64_t
mix_attribute(uint64_t hash, unsigned type, struct view value)
{
	hash = mix(hash, &type, sizeof(type));
	return mix(hash, value.p, value.n);
}

/* False: it is known, and in this state. */
static bool
remember(struct netwatch_memory *m, uint64_t thing, uint64_t state)
{
	for (size_t i = 0; i < m->n; i++) {
		bool same = m->seen[i].state == state;

		if (m->seen[i].thing != thing)
			continue;
		m->seen[i].state = state;
		return !same;
	}
	if (m->n == NETWATCH_SEEN_MAX)
		m->n = 0;
	m->seen[m->n].thing = thing;
	m->seen[m->n++].state = state;
	return true;
}

static void
forget(struct netwatch_memory *m, uint64_t thing)
{
	for (size_t i = 0; i < m->n; i++) {
		if (m->seen[i].thing != thing)
			continue;
		m->seen[i] = m->seen[--m->n];
		return;
	}
}

/* Gone, or there in this state. */
static bool
note(struct netwatch_memory *m, bool gone, uint64_t thing, uint64_t state)
{
	if (!gone)
		return remember(m, thing, state);
	forget(m, thing);
	return true;
}

/* --- what each means ----------------------------------------------------------------- */

static bool
address_changed(struct netwatch_memory *m, bool gone, struct view body)
{
	struct ifaddrmsg a;
	struct view value;
	unsigned type;
	uint64_t thing = mix(HASH_START, "address", 7), state;
	uint8_t flags;

	if (!take(&body, &a, sizeof(a)) || a.ifa_index == LOOPBACK_INDEX || a.ifa_scope >= RT_SCOPE_LINK)
		return false;
	/* Not yet usable, not usable, not for new connections. */
	flags = a.ifa_flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED);
	state = mix(HASH_START, &flags, sizeof(flags));
	thing = mix(thing, &a.ifa_family, sizeof(a.ifa_family));
	thing = mix(thing, &a.ifa_prefixlen, sizeof(a.ifa_prefixlen));
	thing = mix(thing, &a.ifa_index, sizeof(a.ifa_index));
	while (next_attribute(&body, &type, &value))
		if (type == IFA_ADDRESS || type == IFA_LOCAL)
			thing = mix_attribute(thing, type, value);
	return note(m, gone, thing, state);
}

static bool
is_link_local(const struct rtmsg *r, struct view to)
{
	if (r->rtm_family != AF_INET6 || to.n < 2 || r->rtm_dst_len < 8)
		return false;
	return to.p[0] == 0xff || (to.p[0] == 0xfe && (to.p[1] & 0xc0) == 0x80);
}

/* To another host, or to nowhere by the administrator's will. */
static bool
is_way_out(const struct rtmsg *r)
{
	if ((r->rtm_flags & RTM_F_CLONED) != 0 || r->rtm_table == RT_TABLE_LOCAL)
		return false;
	return r->rtm_type == RTN_UNICAST || r->rtm_type == RTN_BLACKHOLE ||
	    r->rtm_type == RTN_UNREACHABLE || r->rtm_type == RTN_PROHIBIT || r->rtm_type == RTN_THROW;
}

static bool
route_changed(struct netwatch_memory *m, bool gone, struct view body)
{
	struct rtmsg r;
	struct view value;
	unsigned type;
	uint64_t thing = mix(HASH_START, "route", 5), state = HASH_START;

	if (!take(&body, &r, sizeof(r)) || !is_way_out(&r))
		return false;
	thing = mix(thing, &r.rtm_family, sizeof(r.rtm_family));
	thing = mix(thing, &r.rtm_dst_len, sizeof(r.rtm_dst_len));
	thing = mix(thing, &r.rtm_tos, sizeof(r.rtm_tos));
	state = mix(state, &r.rtm_type, sizeof(r.rtm_type));
	while (next_attribute(&body, &type, &value)) {
		if (type == RTA_DST && is_link_local(&r, value))
			return false;
		if (type == RTA_OIF && r.rtm_type == RTN_UNICAST && is_number(value, LOOPBACK_INDEX))
			return false;
		if (type == RTA_DST || type == RTA_TABLE || type == RTA_PRIORITY)
			thing = mix_attribute(thing, type, value);
		else if (type == RTA_GATEWAY || type == RTA_VIA || type == RTA_OIF || type == RTA_MULTIPATH ||
		    type == RTA_PREFSRC)
			state = mix_attribute(state, type, value);
	}
	return note(m, gone, thing, state);
}

static bool
link_changed(struct netwatch_memory *m, struct view body)
{
	struct ifinfomsg l;
	struct view value;
	unsigned type, flags;
	uint64_t thing = mix(HASH_START, "link", 4);

	if (!take(&body, &l, sizeof(l)) || l.ifi_index == LOOPBACK_INDEX || (l.ifi_flags & IFF_LOOPBACK) != 0)
		return false;
	while (next_attribute(&body, &type, &value))
		if (type == IFLA_MASTER)
			return false;	/* the bridge, or the bond, has the address */
	flags = l.ifi_flags & (IFF_UP | IFF_RUNNING | (1u << 16));	/* IFF_LOWER_UP, which net/if.h lacks */
	thing = mix(thing, &l.ifi_index, sizeof(l.ifi_index));
	/* One that is new says so by all bits: nothing goes over it yet. */
	return remember(m, thing, mix(HASH_START, &flags, sizeof(flags))) && l.ifi_change != ~0u;
}

enum netwatch_change
netwatch_judge(struct netwatch_memory *m, struct view messages)
{
	enum netwatch_change change = NETWATCH_NONE;
	struct nlmsghdr h;
	struct view body;

	while (next_message(&messages, &h, &body)) {
		switch (h.nlmsg_type) {
		case RTM_NEWADDR:
		case RTM_DELADDR:
			if (address_changed(m, h.nlmsg_type == RTM_DELADDR, body))
				change = NETWATCH_ADDRESS;
			break;
		case RTM_NEWROUTE:
		case RTM_DELROUTE:
			if (route_changed(m, h.nlmsg_type == RTM_DELROUTE, body))
				change = NETWATCH_ROUTE;
			break;
		case RTM_NEWLINK:
			if (link_changed(m, body))
				change = NETWATCH_LINK;
			break;
		default:
			break;
		}
	}
	return change;
}

const char *
netwatch_word(enum netwatch_change c)
{
	static const char *const words[] = {
		[NETWATCH_NONE] = "none", [NETWATCH_ADDRESS] = "address", [NETWATCH_ROUTE] = "route",
		[NETWATCH_LINK] = "link", [NETWATCH_LOST] = "unknown",
	};

	return words[c];
}

/* --- the socket ---------------------------------------------------------------------- */

struct netwatch {
	struct io_watch	*watch;
	int		 fd;
	void		(*fn)(void *owner, enum netwatch_change);
	void		*owner;
	struct netwatch_memory memory;
};

int
netwatch_open(struct err *e)
{
	struct sockaddr_nl groups = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK |
	    RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&groups, sizeof(groups)) == 0)
		return fd;
	(void)err_sys(e, errno, "can't listen for changes of the network");
	if (fd >= 0)
		(void)close(fd);	/* nothing was done with it */
	return -1;
}

/* One datagram. False: there is none, or no more will come. */
static bool
read_one(struct netwatch *w, enum netwatch_change *change)
{
	uint8_t bytes[DATAGRAM_MAX];
	struct sockaddr_nl from = { .nl_family = AF_UNSPEC };
	struct iovec iov = { bytes, sizeof(bytes) };
	struct msghdr msg = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov,
		.msg_iovlen = 1 };
	enum netwatch_change c;
	ssize_t n = recvmsg(w->fd, &msg, MSG_DONTWAIT);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		*change = NETWATCH_LOST;
		if (n < 0 && errno == ENOBUFS)
			return true;
		io_want(w->watch, 0);	/* it is broken, and would be ready for ever */
		return false;
	}
	if (from.nl_family != AF_NETLINK || from.nl_pid != 0)
		return true;		/* not from the kernel */
	c = (msg.msg_flags & MSG_TRUNC) != 0 ? NETWATCH_LOST :
	    netwatch_judge(&w->memory, view_of(bytes, (size_t)n));
	if (c != NETWATCH_NONE)
		*change = c;
	return true;
}

static void
on_ready(void *arg, unsigned ready)
{
	struct netwatch *w = arg;
	enum netwatch_change change = NETWATCH_NONE;

	for (unsigned i = 0; i < NETWATCH_READS_MAX; i++)
		if (!read_one(w, &change))
			break;
	if (change != NETWATCH_NONE)
		w->fn(w->owner, change);
}

struct netwatch *
netwatch_new(struct loop *loop, int fd, void (*fn)(void *owner, enum netwatch_change), void *owner)
{
	struct netwatch *w = xzalloc(sizeof(*w));

	w->fd = fd;
	w->fn = fn;
	w->owner = owner;
	w->watch = io_watch_new(loop, fd, on_ready, w);
	io_want(w->watch, IO_READ);
	return w;
}

void
netwatch_free(struct netwatch *w)
{
	if (w == NULL)
		return;
	io_watch_free(w->watch);
	(void)close(w->fd);	/* nothing is kept in it */
	free(w);
}

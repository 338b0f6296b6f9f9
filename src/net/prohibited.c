/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/prohibited.h"

#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <netinet/icmp6.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/errqueue.h>

#include "net/address.h"

#include "base/banned.h"

/* RFC 4443 3.1; not in the C library's header. */
#define POLICY_FAILED	5
#define ROUTE_REJECTED	6

/* One of the two fails. Without it the reason is told less well, no more. */
static void
set(int fd, int on)
{
	(void)setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on));
	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on));
}

void
prohibited_watch(int fd)
{
	set(fd, 1);
}

void
prohibited_forget(int fd)
{
	set(fd, 0);
}

static bool
is_prohibition(const struct sock_extended_err *ee)
{
	if (ee->ee_origin == SO_EE_ORIGIN_ICMP && ee->ee_type == ICMP_DEST_UNREACH)
		return ee->ee_code == ICMP_NET_ANO || ee->ee_code == ICMP_HOST_ANO ||
		    ee->ee_code == ICMP_PKT_FILTERED;
	if (ee->ee_origin == SO_EE_ORIGIN_ICMP6 && ee->ee_type == ICMP6_DST_UNREACH)
		return ee->ee_code == ICMP6_DST_UNREACH_ADMIN || ee->ee_code == POLICY_FAILED ||
		    ee->ee_code == ROUTE_REJECTED;
	return false;
}

/* "Port unreachable" is how filters reject if they are told no other way: of our own host, it is ours. */
static bool
is_rejection(const struct sock_extended_err *ee)
{
	return (ee->ee_origin == SO_EE_ORIGIN_ICMP && ee->ee_type == ICMP_DEST_UNREACH &&
	    ee->ee_code == ICMP_PORT_UNREACH) || (ee->ee_origin == SO_EE_ORIGIN_ICMP6 &&
	    ee->ee_type == ICMP6_DST_UNREACH && ee->ee_code == ICMP6_DST_UNREACH_NOPORT);
}

/* The address alone, so that it can be compared and said. */
static void
set_host(struct address *a, const struct sockaddr *sa)
{
	*a = (struct address){ .len = 0 };
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in sin = { .sin_family = AF_INET };

		sin.sin_addr = ((const struct sockaddr_in *)(const void *)sa)->sin_addr;
		memcpy(&a->ss, &sin, a->len = sizeof(sin));
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };

		sin6.sin6_addr = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
		memcpy(&a->ss, &sin6, a->len = sizeof(sin6));
	}
}

static bool
is_ours(int fd, const struct address *who)
{
	struct sockaddr_storage ss;
	socklen_t n = sizeof(ss);
	struct address own;

	if (getsockname(fd, (struct sockaddr *)&ss, &n) < 0)
		return false;
	set_host(&own, (const struct sockaddr *)&ss);
	return address_eq(&own, who);
}

void
prohibited_explain(int fd, struct stream_end *end)
{
	union {
		char		bytes[512];
		struct cmsghdr	align;
	} control;
	struct msghdr m = { .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes) };

	if (fd < 0 || recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c != NULL; c = CMSG_NXTHDR(&m, c)) {
		struct sock_extended_err *ee = (void *)CMSG_DATA(c);	/* SO_EE_OFFENDER has no const */
		struct address who;
		char text[ADDRESS_TEXT_MAX];
		int errnum = end->errnum;
		bool ours;

		if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
		    !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
			continue;
		set_host(&who, SO_EE_OFFENDER(ee));
		ours = is_ours(fd, &who);
		if (!is_prohibition(ee) && !(ours && is_rejection(ee)))
			continue;
		stream_end_set(end, ours ? STREAM_DENIED : STREAM_PROHIBITED,
		    "connect: prohibited, says %s (ICMP)",
		    ours ? "this host itself" : address_host_text(text, &who));
		end->errnum = errnum;
	}
}

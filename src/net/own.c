/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/own.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#include "base/banned.h"

static socklen_t
length_of(const struct sockaddr *sa)
{
	if (sa == NULL)
		return 0;
	return sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) :
	    sa->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : 0;
}

void
own_addresses(struct own_addresses *out)
{
	struct ifaddrs *list;

	out->n = 0;
	if (getifaddrs(&list) != 0)
		return;
	for (const struct ifaddrs *i = list; i != NULL && out->n < OWN_MAX; i = i->ifa_next) {
		struct address a = { .len = length_of(i->ifa_addr) };

		if (a.len == 0)
			continue;
		memcpy(&a.ss, i->ifa_addr, a.len);
		if (!address_is_loopback(&a))
			out->address[out->n++] = a;
	}
	freeifaddrs(list);
}

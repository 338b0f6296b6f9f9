/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/num.h"

#include "base/banned.h"

static const struct sockaddr_in *
in4(const struct address *a)
{
	return (const struct sockaddr_in *)(const void *)&a->ss;
}

static const struct sockaddr_in6 *
in6(const struct address *a)
{
	return (const struct sockaddr_in6 *)(const void *)&a->ss;
}

static const struct sockaddr_un *
un(const struct address *a)
{
	return (const struct sockaddr_un *)(const void *)&a->ss;
}

bool
address_from_host(struct address *out, struct view host, uint16_t port)
{
	char text[INET6_ADDRSTRLEN];
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	bool bracket = host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';

	if (bracket)
		host = view_first(view_from(host, 1), host.n - 2);
	if (host.n == 0 || host.n >= sizeof(text) || view_find(host, 0) < host.n)
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	if (!bracket && inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		*out = (struct address){ .len = sizeof(v4) };
		memcpy(&out->ss, &v4, sizeof(v4));
		return true;
	}
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
		*out = (struct address){ .len = sizeof(v6) };
		memcpy(&out->ss, &v6, sizeof(v6));
		return true;
	}
	return false;
}

static int
parse_unix(struct address *out, struct view path, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	if (path.n >= sizeof(sun.sun_path) || view_find(path, 0) < path.n)
		return err_set(e, ERR_INPUT, "the socket's path is longer than %zu bytes",
		    sizeof(sun.sun_path) - 1);
	memcpy(sun.sun_path, path.p, path.n);
	*out = (struct address){ .len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + 1) };
	memcpy(&out->ss, &sun, sizeof(sun));
	return 0;
}

int
address_parse(struct address *out, struct view text, struct err *e)
{
	size_t colon = text.n;
	uint64_t port;

	if (view_starts(text, VIEW("unix:/")))
		return parse_unix(out, view_from(text, 5), e);
	if (view_starts(text, VIEW("/")))
		return parse_unix(out, text, e);
	while (colon > 0 && text.p[colon - 1] != ':')
		colon--;
	if (colon == 0 || !num_parse_u64(view_from(text, colon), 0, 65535, &port))
		return err_set(e, ERR_INPUT, "no port in the address; it looks like 127.0.0.1:25, "
		    "[::1]:25 or /run/x.sock");
	text = view_first(text, colon - 1);
	/* Without brackets "::1:25" could be either. */
	if (view_find(text, ':') < text.n && text.p[0] != '[')
		return err_set(e, ERR_INPUT, "an IPv6 address with port is written [::1]:25");
	if (!address_from_host(out, text, (uint16_t)port))
		return err_set(e, ERR_INPUT, "not a numeric address");
	return 0;
}

const char *
address_host_text(char text[ADDRESS_TEXT_MAX], const struct address *a)
{
	if (a->ss.ss_family == AF_UNIX)
		(void)snprintf(text, ADDRESS_TEXT_MAX, "unix");
	else if (a->len == 0 || inet_ntop(a->ss.ss_family, a->ss.ss_family == AF_INET ?
	    (const void *)&in4(a)->sin_addr : (const void *)&in6(a)->sin6_addr, text,
	    ADDRESS_TEXT_MAX) == NULL)
		(void)snprintf(text, ADDRESS_TEXT_MAX, "unknown");
	return text;
}

const char *
address_text(char text[ADDRESS_TEXT_MAX], const struct address *a)
{
	char host[ADDRESS_TEXT_MAX];

	if (a->ss.ss_family == AF_UNIX) {
		/* A client's end is unnamed as a rule. */
		size_t n = a->len > offsetof(struct sockaddr_un, sun_path) ?
		    strnlen(un(a)->sun_path, sizeof(un(a)->sun_path)) : 0;

		(void)snprintf(text, ADDRESS_TEXT_MAX, "unix:%.*s", (int)n, un(a)->sun_path);
		return text;
	}
	(void)address_host_text(host, a);
	(void)snprintf(text, ADDRESS_TEXT_MAX, a->ss.ss_family == AF_INET6 ? "[%.60s]:%u" : "%.60s:%u",
	    host, (unsigned)address_port(a));
	return text;
}

bool
address_is_unix(const struct address *a)
{
	return a->len != 0 && a->ss.ss_family == AF_UNIX;
}

bool
address_is_loopback(const struct address *a)
{
	const uint8_t *b;

	if (a->len == 0)
		return false;
	switch (a->ss.ss_family) {
	case AF_UNIX:
		return true;
	case AF_INET:
		return (ntohl(in4(a)->sin_addr.s_addr) >> 24) == 127;
	case AF_INET6:
		b = in6(a)->sin6_addr.s6_addr;
		return IN6_IS_ADDR_LOOPBACK(&in6(a)->sin6_addr) ||
		    (IN6_IS_ADDR_V4MAPPED(&in6(a)->sin6_addr) && b[12] == 127);
	default:
		return false;
	}
}

uint16_t
address_port(const struct address *a)
{
	if (a->len == 0)
		return 0;
	if (a->ss.ss_family == AF_INET)
		return ntohs(in4(a)->sin_port);
	if (a->ss.ss_family == AF_INET6)
		return ntohs(in6(a)->sin6_port);
	return 0;
}

bool
address_eq(const struct address *a, const struct address *b)
{
	if (a->len == 0 || b->len == 0 || a->ss.ss_family != b->ss.ss_family)
		return a->len == 0 && b->len == 0;
	if (a->ss.ss_family == AF_INET)
		return in4(a)->sin_port == in4(b)->sin_port &&
		    in4(a)->sin_addr.s_addr == in4(b)->sin_addr.s_addr;
	if (a->ss.ss_family == AF_INET6)
		return in6(a)->sin6_port == in6(b)->sin6_port &&
		    in6(a)->sin6_scope_id == in6(b)->sin6_scope_id &&
		    memcmp(&in6(a)->sin6_addr, &in6(b)->sin6_addr, sizeof(struct in6_addr)) == 0;
	return strncmp(un(a)->sun_path, un(b)->sun_path, sizeof(un(a)->sun_path)) == 0;
}

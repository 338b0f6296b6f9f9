/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/subnet.h"

#include <netinet/in.h>
#include <stdio.h>

#include "base/num.h"

#include "base/banned.h"

#define V4_BITS 96		/* of ::ffff:0:0/96, where IPv4 begins */

static const uint8_t v4_prefix[12] = { [10] = 0xff, [11] = 0xff };

bool
subnet_host_bytes(uint8_t out[16], const struct address *a)
{
	if (a->len == 0)
		return false;
	if (a->ss.ss_family == AF_INET) {
		memcpy(out, v4_prefix, sizeof(v4_prefix));
		memcpy(out + 12, &((const struct sockaddr_in *)(const void *)&a->ss)->sin_addr, 4);
		return true;
	}
	if (a->ss.ss_family != AF_INET6)
		return false;
	memcpy(out, &((const struct sockaddr_in6 *)(const void *)&a->ss)->sin6_addr, 16);
	return true;
}

static bool
is_v4(const uint8_t addr[16])
{
	return memcmp(addr, v4_prefix, sizeof(v4_prefix)) == 0;
}

/* Whether the first bits of both are the same. */
static bool
same_start(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	return memcmp(a, b, whole) == 0 &&
	    (rest == 0 || ((a[whole] ^ b[whole]) & (0xff00u >> rest) & 0xff) == 0);
}

static bool
has_more_bits(const uint8_t addr[16], unsigned bits)
{
	for (unsigned i = bits; i < 128; i++)
		if ((addr[i / 8] & (0x80u >> (i % 8))) != 0)
			return true;
	return false;
}

int
subnet_parse(struct subnet *out, struct view text, struct err *e)
{
	struct subnet n = { .except = view_starts(text, VIEW("!")) };
	struct view host = view_from(text, n.except ? 1 : 0);
	size_t slash = view_find(host, '/');
	struct address a;
	uint64_t bits;

	if (!address_from_host(&a, view_first(host, slash), 0) || !subnet_host_bytes(n.addr, &a))
		return err_set(e, ERR_INPUT, "it is not a network like 172.17.0.0/16, fd00:1::/64 or "
		    "192.0.2.7");
	n.v4 = is_v4(n.addr);
	bits = n.v4 ? 32 : 128;
	if (slash < host.n && !num_parse_u64(view_from(host, slash + 1), 0, bits, &bits))
		return err_set(e, ERR_INPUT, "behind the slash is a number from 0 to %u", n.v4 ? 32u : 128u);
	n.bits = (unsigned)bits + (n.v4 ? V4_BITS : 0);
	/* 172.17.0.1/16 could mean the one or the whole. */
	if (has_more_bits(n.addr, n.bits))
		return err_set(e, ERR_INPUT, "the address goes on behind the /%u: write the first address of "
		    "the network, or the one address alone", (unsigned)bits);
	*out = n;
	return 0;
}

const char *
subnet_text(char text[SUBNET_TEXT_MAX], const struct subnet *n)
{
	char host[ADDRESS_TEXT_MAX];
	struct address a = { .len = sizeof(struct sockaddr_in) };
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	unsigned most = n->v4 ? 32 : 128, bits = n->v4 ? n->bits - V4_BITS : n->bits;

	memcpy(&v4.sin_addr, n->addr + 12, 4);
	memcpy(&v6.sin6_addr, n->addr, 16);
	if (n->v4) {
		memcpy(&a.ss, &v4, sizeof(v4));
	} else {
		memcpy(&a.ss, &v6, sizeof(v6));
		a.len = sizeof(v6);
	}
	(void)address_host_text(host, &a);
	if (bits == most)
		(void)snprintf(text, SUBNET_TEXT_MAX, "%s%.50s", n->except ? "!" : "", host);
	else
		(void)snprintf(text, SUBNET_TEXT_MAX, "%s%.50s/%u", n->except ? "!" : "", host, bits);
	return text;
}

bool
subnet_has(const struct subnet *n, const struct address *a)
{
	uint8_t host[16];

	return subnet_host_bytes(host, a) && is_v4(host) == n->v4 && same_start(host, n->addr, n->bits);
}

bool
subnets_admit(const struct subnet *list, size_t n, const struct address *a)
{
	bool in = false;

	for (size_t i = 0; i < n; i++) {
		if (!subnet_has(&list[i], a))
			continue;
		if (list[i].except)
			return false;
		in = true;
	}
	return in;
}

bool
subnet_is_private(const struct subnet *n)
{
	static const struct {
		uint8_t		addr[16];
		unsigned	bits;
	} ours[] = {
#define V4(a, b, length) { { [10] = 0xff, [11] = 0xff, [12] = a, [13] = b }, V4_BITS + length }
		V4(10, 0, 8), V4(172, 16, 12), V4(192, 168, 16),	/* RFC 1918 */
		V4(127, 0, 8), V4(169, 254, 16), V4(100, 64, 10),	/* RFC 3927, 6598 */
#undef V4
		{ { [15] = 1 }, 128 }, { { 0xfe, 0x80 }, 10 },		/* RFC 4291 */
		{ { 0xfc }, 7 },					/* RFC 4193 */
	};

	for (size_t i = 0; i < lengthof(ours); i++)
		if (n->bits >= ours[i].bits && same_start(n->addr, ours[i].addr, ours[i].bits))
			return true;
	return false;
}

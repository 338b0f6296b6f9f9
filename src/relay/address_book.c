/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/address_book.h"

#include <netinet/in.h>

#include "base/banned.h"

#define DOUBLINGS_MAX 5

static void
set_port(struct address *a, uint16_t port)
{
	if (a->ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&a->ss)->sin6_port = htons(port);
	else if (a->ss.ss_family == AF_INET)
		((struct sockaddr_in *)&a->ss)->sin_port = htons(port);
}

static size_t
family_of(const struct address *a)
{
	return a->ss.ss_family == AF_INET6 ? 1 : 0;
}

void
address_book_init(struct address_book *b)
{
	*b = (struct address_book){ .n = 0 };
}

static size_t
find(const struct address_book *b, const struct address *a)
{
	size_t i = 0;

	while (i < b->n && !address_eq(&b->bad[i].address, a))
		i++;
	return i;
}

static void
drop(struct address_book *b, size_t i)
{
	b->n--;
	memmove(&b->bad[i], &b->bad[i + 1], (b->n - i) * sizeof(b->bad[0]));
}

void
address_book_failed(struct address_book *b, const struct address *a, int64_t now_ms)
{
	size_t i = find(b, a);
	unsigned times = i < b->n ? b->bad[i].times : 0;

	if (i < b->n)
		drop(b, i);
	else if (b->n == ADDRESS_BAD_MAX)
		drop(b, 0);
	b->bad[b->n].address = *a;
	b->bad[b->n].until_ms = now_ms + ((int64_t)ADDRESS_BAD_MS << (times < DOUBLINGS_MAX ? times : DOUBLINGS_MAX));
	b->bad[b->n++].times = times + 1;
}

void
address_book_family_failed(struct address_book *b, const struct address *a, int64_t now_ms)
{
	b->bad_family_ms[family_of(a)] = now_ms + ADDRESS_BAD_MS;
}

void
address_book_connected(struct address_book *b, const struct address *a)
{
	b->bad_family_ms[family_of(a)] = 0;
}

void
address_book_served(struct address_book *b, const struct address *a)
{
	size_t i = find(b, a);

	if (i < b->n)
		drop(b, i);
}

bool
address_book_is_bad(const struct address_book *b, const struct address *a)
{
	return find(b, a) < b->n;
}

static bool
comes_last(const struct address_book *b, const struct address *a, bool probe, int64_t now_ms)
{
	size_t i = find(b, a);

	if (now_ms < b->bad_family_ms[family_of(a)])
		return true;
	return i < b->n && (!probe || now_ms < b->bad[i].until_ms);
}

/* Families take turns, the first address's family first. */
static size_t
interleave(const struct address *in, size_t n, struct address *out)
{
	size_t i = 0, k = 0, done = 0;

	while (done < n) {
		while (i < n && family_of(&in[i]) != family_of(&in[0]))
			i++;
		while (k < n && family_of(&in[k]) == family_of(&in[0]))
			k++;
		if (i < n)
			out[done++] = in[i++];
		if (k < n)
			out[done++] = in[k++];
	}
	return done;
}

size_t
address_book_order(const struct address_book *b, const struct address *in, size_t n, uint16_t port,
    bool probe, int64_t now_ms, struct address out[RESOLVE_MAX])
{
	struct address good[RESOLVE_MAX], bad[RESOLVE_MAX];
	size_t ngood = 0, nbad = 0, done;

	for (size_t i = 0; i < n && i < RESOLVE_MAX; i++) {
		struct address a = in[i];

		set_port(&a, port);
		if (comes_last(b, &a, probe, now_ms))
			bad[nbad++] = a;
		else
			good[ngood++] = a;
	}
	done = interleave(good, ngood, out);
	return done + interleave(bad, nbad, out + done);
}

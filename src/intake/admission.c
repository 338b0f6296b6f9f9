/* SPDX-License-Identifier: BSD-2-Clause */
#include "intake/admission.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"

#include "base/banned.h"

enum key_kind { KEY_UID, KEY_IPV4, KEY_IPV6 };

struct key {
	enum key_kind	kind;
	int64_t		uid;
	uint8_t		address[16];
};

struct client {
	struct list	link;
	struct key	key;
	unsigned	connections;
};

static const struct admission_reply replies[] = {
	[ADMISSION_GRANTED] = { 220, "2.0.0", "Welcome" },
	[ADMISSION_FOREIGN] = { 554, "5.7.1", "Only programs on this host are served" },
	[ADMISSION_FULL] = { 421, "4.3.2", "Too many connections, try again later" },
	[ADMISSION_CLIENT_FULL] = { 421, "4.3.2", "Too many connections from you, try again later" },
};

const struct admission_reply *
admission_reply(enum admission_verdict v)
{
	return &replies[v];
}

/* A unix peer whose uid is not known counts as uid -1: one client. */
static void
key_of(struct key *k, const struct address *peer, int64_t uid)
{
	*k = (struct key){ .kind = KEY_UID, .uid = uid };
	if (peer->ss.ss_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, &peer->ss, sizeof(in));
		k->kind = KEY_IPV4;
		k->uid = 0;
		memcpy(k->address, &in.sin_addr, sizeof(in.sin_addr));
	} else if (peer->ss.ss_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, &peer->ss, sizeof(in6));
		k->kind = KEY_IPV6;
		k->uid = 0;
		memcpy(k->address, &in6.sin6_addr, sizeof(in6.sin6_addr));
	}
}

static bool
key_eq(const struct key *a, const struct key *b)
{
	return a->kind == b->kind && a->uid == b->uid &&
	    memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

/* Lists stay short: there are no more clients than connections. */
static struct list *
bucket_of(struct admission *a, const struct key *k)
{
	uint64_t sum = (uint64_t)k->uid * 31 + (unsigned)k->kind;

	for (size_t i = 0; i < sizeof(k->address); i++)
		sum = sum * 31 + k->address[i];
	return &a->bucket[sum % lengthof(a->bucket)];
}

static struct client *
find(struct list *bucket, const struct key *k)
{
	list_foreach(link, bucket) {
		struct client *c = list_entry(link, struct client, link);

		if (key_eq(&c->key, k))
			return c;
	}
	return NULL;
}

void
admission_init(struct admission *a, unsigned connections_max, unsigned per_client_max)
{
	a->connections_max = connections_max;
	a->per_client_max = per_client_max;
	a->connections = 0;
	for (size_t i = 0; i < lengthof(a->bucket); i++)
		list_init(&a->bucket[i]);
}

void
admission_done(struct admission *a)
{
	require(a->connections == 0);
}

enum admission_verdict
admission_enter(struct admission *a, const struct address *peer, int64_t uid, struct client **out)
{
	struct list *bucket;
	struct client *c;
	struct key key;

	if (!address_is_loopback(peer))
		return ADMISSION_FOREIGN;
	if (a->connections >= a->connections_max)
		return ADMISSION_FULL;
	key_of(&key, peer, uid);
	bucket = bucket_of(a, &key);
	c = find(bucket, &key);
	if (c != NULL && c->connections >= a->per_client_max)
		return ADMISSION_CLIENT_FULL;
	if (c == NULL) {
		c = xzalloc(sizeof(*c));
		c->key = key;
		list_push(bucket, &c->link);
	}
	c->connections++;
	a->connections++;
	*out = c;
	return ADMISSION_GRANTED;
}

void
admission_leave(struct admission *a, struct client *c)
{
	require(a->connections > 0 && c->connections > 0);
	a->connections--;
	if (--c->connections > 0)
		return;
	list_remove(&c->link);
	free(c);
}

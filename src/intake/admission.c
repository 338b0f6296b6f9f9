/* SPDX-License-Identifier: BSD-2-Clause */
#include "intake/admission.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"

#include "base/banned.h"

struct client {
	struct list	link;
	int64_t		uid;		/* -1: those that are not known */
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

/* Lists stay short: there are no more clients than connections. */
static struct list *
bucket_of(struct admission *a, int64_t uid)
{
	return &a->bucket[(uint64_t)uid % lengthof(a->bucket)];
}

static struct client *
find(struct list *bucket, int64_t uid)
{
	list_foreach(link, bucket) {
		struct client *c = list_entry(link, struct client, link);

		if (c->uid == uid)
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
	struct list *bucket = bucket_of(a, uid);
	struct client *c = find(bucket, uid);

	if (!address_is_loopback(peer))
		return ADMISSION_FOREIGN;
	if (a->connections >= a->connections_max)
		return ADMISSION_FULL;
	if (c != NULL && c->connections >= a->per_client_max)
		return ADMISSION_CLIENT_FULL;
	if (c == NULL) {
		c = xzalloc(sizeof(*c));
		c->uid = uid;
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

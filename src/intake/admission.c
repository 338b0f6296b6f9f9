/* SPDX-License-Identifier: BSD-2-Clause */
#include "intake/admission.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"

#include "base/banned.h"

struct client {
	struct list	link;
	int64_t		uid;		/* -1: those that are not known */
	uint8_t		host[16];	/* 0: this one */
	bool		far;
	unsigned	connections;
	size_t		kept;		/* as in struct admission */
};

static const struct admission_reply replies[] = {
	[ADMISSION_GRANTED] = { 220, "2.0.0", "Welcome" },
	[ADMISSION_FOREIGN] = { 554, "5.7.1", "Only programs on this host are served" },
	[ADMISSION_OUTSIDE] = { 554, "5.7.1", "Your address is not in the networks that are served here" },
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
bucket_of(struct admission *a, int64_t uid, const uint8_t host[16])
{
	uint64_t n = (uint64_t)uid;

	for (size_t i = 0; i < 16; i++)
		n = n * 31 + host[i];
	return &a->bucket[n % lengthof(a->bucket)];
}

static struct client *
find(struct list *bucket, int64_t uid, const uint8_t host[16])
{
	list_foreach(link, bucket) {
		struct client *c = list_entry(link, struct client, link);

		if (c->uid == uid && memcmp(c->host, host, sizeof(c->host)) == 0)
			return c;
	}
	return NULL;
}

void
admission_init(struct admission *a, unsigned connections_max, unsigned per_client_max)
{
	a->connections_max = connections_max;
	a->per_client_max = per_client_max;
	a->connections = a->far = 0;
	a->kept = a->far_kept = 0;
	for (size_t i = 0; i < lengthof(a->bucket); i++)
		list_init(&a->bucket[i]);
}

void
admission_done(struct admission *a)
{
	require(a->connections == 0 && a->far == 0 && a->kept == 0 && a->far_kept == 0);
}

/* Without networks a listener is for this host, as those without a listener are. */
static bool
is_served(const struct conf_listener *by, const struct address *peer)
{
	if (by == NULL || by->nnetwork == 0)
		return address_is_loopback(peer);
	return subnets_admit(by->network, by->nnetwork, peer);
}

enum admission_verdict
admission_enter(struct admission *a, const struct conf_listener *by, const struct address *peer,
    int64_t uid, struct client **out)
{
	uint8_t host[16] = { 0 };
	bool far = !address_is_loopback(peer) && subnet_host_bytes(host, peer);
	struct list *bucket = bucket_of(a, uid, host);
	struct client *c = find(bucket, uid, host);

	if (!is_served(by, peer))
		return by == NULL ? ADMISSION_FOREIGN : ADMISSION_OUTSIDE;
	if (a->connections >= a->connections_max || (far && a->far >= (a->connections_max + 1) / 2))
		return ADMISSION_FULL;
	if (c != NULL && c->connections >= a->per_client_max)
		return ADMISSION_CLIENT_FULL;
	if (c == NULL) {
		c = xzalloc(sizeof(*c));
		c->uid = uid;
		c->far = far;
		memcpy(c->host, host, sizeof(host));
		list_push(bucket, &c->link);
	}
	c->connections++;
	a->connections++;
	a->far += far;
	*out = c;
	return ADMISSION_GRANTED;
}

static size_t
counted(size_t bytes)
{
	return bytes > ADMISSION_KEPT_FREE ? bytes - ADMISSION_KEPT_FREE : 0;
}

bool
admission_keep(struct admission *a, struct client *c, size_t *io, size_t bytes)
{
	size_t before = counted(*io), after = counted(bytes);

	if (after > before && (a->kept - before + after > ADMISSION_KEPT_MAX ||
	    c->kept - before + after > ADMISSION_KEPT_CLIENT_MAX))
		return false;
	if (c->far && after > before && a->far_kept - before + after > ADMISSION_KEPT_MAX / 2)
		return false;
	a->kept += after - before;
	a->far_kept += c->far ? after - before : 0;
	c->kept += after - before;
	*io = bytes;
	return true;
}

void
admission_leave(struct admission *a, struct client *c)
{
	require(a->connections > 0 && c->connections > 0);
	require(!c->far || a->far > 0);
	a->connections--;
	a->far -= c->far;
	if (--c->connections > 0)
		return;
	require(c->kept == 0);
	list_remove(&c->link);
	free(c);
}

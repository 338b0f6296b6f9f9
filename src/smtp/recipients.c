/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/recipients.h"

#include <stdlib.h>

#include "base/banned.h"

#define FIRST_CAP	8
#define KEEP_TEXT	512	/* what an idle session may hold on to */

void
recipients_init(struct recipients *r)
{
	*r = (struct recipients){ .n = 0 };
	buf_init(&r->text, RECIPIENTS_TEXT_MAX);
}

static void
free_tables(struct recipients *r)
{
	free(r->entry);
	free(r->slot);
	r->entry = NULL;
	r->slot = NULL;
	r->cap = 0;
}

void
recipients_done(struct recipients *r)
{
	free_tables(r);
	free(r->view);
	buf_done(&r->text);
	recipients_init(r);
}

void
recipients_reset(struct recipients *r)
{
	free(r->view);
	r->view = NULL;
	if (r->cap > FIRST_CAP)
		free_tables(r);
	if (r->slot != NULL)
		memset(r->slot, 0, 2 * r->cap * sizeof(*r->slot));
	r->n = 0;
	r->from_len = r->envid_len = 0;
	buf_clear(&r->text);
	buf_shrink(&r->text, KEEP_TEXT);
}

/* Behind the last "@", or the end. */
static size_t
domain_at(struct view v)
{
	for (size_t i = v.n; i > 0; i--)
		if (v.p[i - 1] == '@')
			return i;
	return v.n;
}

/*
 * Begins with an address in memory that no peer knows, so that nobody can
 * choose recipients that all fall into one slot.
 */
static uint32_t
hash_address(const struct recipients *r, struct view v)
{
	uint64_t h = (uint64_t)(uintptr_t)r;
	size_t domain = domain_at(v);

	for (size_t i = 0; i < v.n; i++) {
		h ^= i < domain ? v.p[i] : to_lower(v.p[i]);
		h *= UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 32;
	}
	return (uint32_t)h;
}

static bool
is_same(struct view a, struct view b)
{
	size_t domain = domain_at(a);

	return domain == domain_at(b) && view_eq(view_first(a, domain), view_first(b, domain)) &&
	    view_ieq(view_from(a, domain), view_from(b, domain));
}

static struct view
text_of(const struct recipients *r, const struct recipient *e)
{
	return view_of(buf_view(&r->text).p + e->off, e->len);
}

/* The slot of v, or the free one where it belongs. */
static uint32_t *
find_slot(const struct recipients *r, struct view v, uint32_t hash)
{
	size_t mask = 2 * r->cap - 1;
	size_t i = hash & mask;

	for (; r->slot[i] != 0; i = (i + 1) & mask) {
		const struct recipient *e = &r->entry[r->slot[i] - 1];

		if (e->hash == hash && is_same(text_of(r, e), v))
			break;
	}
	return &r->slot[i];
}

static bool
grow(struct recipients *r)
{
	size_t cap = r->cap != 0 ? r->cap * 2 : FIRST_CAP;
	struct recipient *entry = realloc(r->entry, cap * sizeof(*entry));
	uint32_t *slot;

	if (entry == NULL)
		return false;
	r->entry = entry;
	slot = calloc(2 * cap, sizeof(*slot));
	if (slot == NULL)
		return false;
	free(r->slot);
	r->slot = slot;
	r->cap = cap;
	for (size_t i = 0; i < r->n; i++) {
		size_t at = r->entry[i].hash & (2 * cap - 1);

		while (slot[at] != 0)
			at = (at + 1) & (2 * cap - 1);
		slot[at] = (uint32_t)i + 1;
	}
	return true;
}

/* The address at the end of the text; the text is as before when it has no room. */
static bool
add_text(struct recipients *r, struct view name, struct view domain, struct view *out)
{
	size_t before = buf_len(&r->text);
	bool ok = buf_add(&r->text, name) &&
	    (domain.n == 0 || (buf_add_byte(&r->text, '@') && buf_add(&r->text, domain)));

	if (!ok) {
		buf_truncate(&r->text, before);
		return false;
	}
	*out = view_from(buf_view(&r->text), before);
	return true;
}

bool
recipients_set_from(struct recipients *r, struct view name, struct view domain, struct view envid)
{
	struct view from;

	if (!add_text(r, name, domain, &from) || !buf_add(&r->text, envid))
		return false;
	r->from_len = from.n;
	r->envid_len = envid.n;
	return true;
}

enum recipients_added
recipients_add(struct recipients *r, struct view name, struct view domain,
    const struct server_rcpt *params, size_t max)
{
	size_t before = buf_len(&r->text);
	uint32_t hash, *slot;
	struct view v;

	if (r->n == r->cap && !grow(r))
		return RECIPIENT_NO_ROOM;
	if (!add_text(r, name, domain, &v))
		return RECIPIENT_NO_ROOM;
	hash = hash_address(r, v);
	slot = find_slot(r, v, hash);
	if (*slot != 0 || r->n >= max) {
		buf_truncate(&r->text, before);
		return *slot != 0 ? RECIPIENT_KNOWN : RECIPIENT_NO_ROOM;
	}
	r->entry[r->n] = (struct recipient){ (uint32_t)before, (uint32_t)v.n,
	    (uint16_t)params->notify.n, (uint16_t)params->orcpt.n, hash };
	if (!buf_add(&r->text, params->notify) || !buf_add(&r->text, params->orcpt)) {
		buf_truncate(&r->text, before);
		return RECIPIENT_NO_ROOM;
	}
	*slot = (uint32_t)++r->n;
	return RECIPIENT_NEW;
}

bool
recipients_seal(struct recipients *r, struct server_envelope *out)
{
	struct server_rcpt *view = calloc(r->n, sizeof(*view));
	struct view text = buf_view(&r->text);

	if (view == NULL)
		return false;
	for (size_t i = 0; i < r->n; i++) {
		const struct recipient *e = &r->entry[i];
		struct view behind = view_from(text, e->off + e->len);

		view[i].address = text_of(r, e);
		view[i].notify = view_first(behind, e->notify_len);
		view[i].orcpt = view_first(view_from(behind, e->notify_len), e->orcpt_len);
	}
	free(r->view);
	r->view = view;
	out->from = view_first(text, r->from_len);
	out->envid = view_first(view_from(text, r->from_len), r->envid_len);
	out->rcpt = view;
	out->nrcpt = r->n;
	return true;
}

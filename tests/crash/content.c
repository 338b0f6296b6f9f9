/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash/content.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "crash/disk.h"

#include "base/banned.h"

struct page {
	unsigned	 refs;
	uint64_t	 hash;
	uint8_t		 data[DISK_SECTOR];
};

struct content {
	unsigned	 refs;
	uint64_t	 size;
	struct page	**page;
	size_t		 npages;
	bool		 hashed;
	uint64_t	 hash;
};

/* --- pages ------------------------------------------------------------------------------ */

static uint64_t
hash_bytes(const uint8_t *p, size_t n)
{
	uint64_t h = n, word;

	for (size_t i = 0; i + sizeof(word) <= n; i += sizeof(word)) {
		memcpy(&word, p + i, sizeof(word));
		h = (h ^ word) * 0x9fb21c651e98df25u;
		h ^= h >> 29;
	}
	return h;
}

struct page *
page_with(const struct page *before, size_t off, const uint8_t *p, size_t n)
{
	struct page *page = xzalloc(sizeof(*page));

	page->refs = 1;
	if (before != NULL)
		memcpy(page->data, before->data, sizeof(page->data));
	memcpy(page->data + off, p, n);
	page->hash = hash_bytes(page->data, sizeof(page->data));
	return page;
}

void
page_read(const struct page *page, size_t off, uint8_t *p, size_t n)
{
	memcpy(p, page->data + off, n);
}

void
page_ref(struct page *page)
{
	page->refs++;
}

void
page_unref(struct page *page)
{
	if (page != NULL && --page->refs == 0)
		free(page);
}

/* --- content ------------------------------------------------------------------------------ */

struct content *
content_new(void)
{
	struct content *c = xzalloc(sizeof(*c));

	c->refs = 1;
	return c;
}

struct content *
content_ref(struct content *c)
{
	c->refs++;
	return c;
}

void
content_unref(struct content *c)
{
	if (--c->refs > 0)
		return;
	for (size_t i = 0; i < c->npages; i++)
		page_unref(c->page[i]);
	free(c->page);
	free(c);
}

/* For a change. */
static struct content *
own(struct content **at)
{
	struct content *old = *at, *c = old;

	if (old->refs > 1) {
		c = content_new();
		c->size = old->size;
		c->npages = old->npages;
		c->page = xcalloc(c->npages + 1, sizeof(struct page *));
		for (size_t i = 0; i < c->npages; i++) {
			c->page[i] = old->page[i];
			if (c->page[i] != NULL)
				page_ref(c->page[i]);
		}
		old->refs--;
		*at = c;
	}
	c->hashed = false;
	return c;
}

uint64_t
content_size(const struct content *c)
{
	return c->size;
}

struct page *
content_get(const struct content *c, uint64_t sector)
{
	return sector < c->npages ? c->page[sector] : NULL;
}

void
content_put(struct content **at, uint64_t sector, struct page *page)
{
	struct content *c = own(at);

	if (sector >= c->npages) {
		size_t n = (size_t)sector + 1 + c->npages / 2;

		c->page = xrealloc(c->page, n * sizeof(struct page *));
		memset(c->page + c->npages, 0, (n - c->npages) * sizeof(struct page *));
		c->npages = n;
	}
	if (page != NULL)
		page_ref(page);
	page_unref(c->page[sector]);
	c->page[sector] = page;
}

void
content_trim(struct content **at)
{
	static const uint8_t zeros[DISK_SECTOR];
	uint64_t whole = (*at)->size / DISK_SECTOR;
	size_t part = (size_t)((*at)->size % DISK_SECTOR);
	struct page *cut;

	if (part != 0 && content_get(*at, whole) != NULL) {
		cut = page_with(content_get(*at, whole), part, zeros, DISK_SECTOR - part);
		content_put(at, whole, cut);
		page_unref(cut);
	}
	for (uint64_t i = whole + (part != 0); i < (*at)->npages; i++)
		if ((*at)->page[i] != NULL)
			content_put(at, i, NULL);
}

void
content_resize(struct content **at, uint64_t size)
{
	bool shrinks = size < (*at)->size;

	own(at)->size = size;
	if (shrinks)
		content_trim(at);
}

size_t
content_read(const struct content *c, void *p, size_t n, uint64_t at)
{
	uint8_t *to = p;
	uint64_t end = (uint64_t)c->npages * DISK_SECTOR;

	if (at >= c->size)
		return 0;
	if (n > c->size - at)
		n = (size_t)(c->size - at);
	for (size_t done = 0; done < n;) {
		size_t off = (size_t)((at + done) % DISK_SECTOR), some = n - done;
		const struct page *page = content_get(c, (at + done) / DISK_SECTOR);

		if (at + done < end && some > DISK_SECTOR - off)
			some = DISK_SECTOR - off;
		if (page != NULL)
			memcpy(to + done, page->data + off, some);
		else
			memset(to + done, 0, some);
		done += some;
	}
	return n;
}

uint64_t
content_hash(struct content *c)
{
	uint64_t sum = 0;

	if (c->hashed)
		return c->hash;
	for (size_t i = 0; i < c->npages; i++)
		if (c->page[i] != NULL)
			sum += hash_mix(i, c->page[i]->hash);
	c->hash = hash_mix(c->size, sum);
	c->hashed = true;
	return c->hash;
}

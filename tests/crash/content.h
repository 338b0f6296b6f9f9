/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * content - the bytes of a file, in sectors that are shared until one changes.
 *
 * A page never changes once it is made. A struct content may have several owners: whoever
 * changes it through a pointer gets a copy of his own first.
 */
#ifndef CRASH_CONTENT_H
#define CRASH_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct page;
struct page *page_with(const struct page *before, size_t off, const uint8_t *p, size_t n) must_use;
void page_read(const struct page *, size_t off, uint8_t *p, size_t n);
void page_ref(struct page *);
void page_unref(struct page *);

struct content;
struct content *content_new(void) must_use;
struct content *content_ref(struct content *) must_use;
void content_unref(struct content *);
uint64_t content_size(const struct content *);
struct page *content_get(const struct content *, uint64_t sector) must_use;	/* NULL: zeros */
/* May stand behind the end: then it counts once the size has grown. */
void content_put(struct content **, uint64_t sector, struct page *);
void content_resize(struct content **, uint64_t size);
/* Forget what stands behind the end. */
void content_trim(struct content **);
size_t content_read(const struct content *, void *p, size_t n, uint64_t at);
uint64_t content_hash(struct content *);

#endif

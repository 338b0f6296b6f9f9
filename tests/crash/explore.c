/* SPDX-License-Identifier: BSD-2-Clause */
#include "crash/explore.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"

#include "base/banned.h"

#define RECENT		8u	/* items */
#define NESTED_WIDTH	8u	/* choices at one point of a recovery */

/* --- hashes that were seen ------------------------------------------------------------------ */

void
seen_init(struct seen *s)
{
	*s = (struct seen){ .cap = 1024 };
	s->slot = xcalloc(s->cap, sizeof(*s->slot));
}

void
seen_done(struct seen *s)
{
	free(s->slot);
	s->slot = NULL;
}

static bool
put_hash(struct seen *s, uint64_t hash)
{
	size_t i = (size_t)hash & (s->cap - 1);

	while (s->slot[i] != 0 && s->slot[i] != hash)
		i = (i + 1) & (s->cap - 1);
	if (s->slot[i] == hash)
		return false;
	s->slot[i] = hash;
	s->n++;
	return true;
}

bool
seen_add(struct seen *s, uint64_t hash)
{
	struct seen old = *s;

	if (s->n * 2 > s->cap) {
		s->cap *= 2;
		s->n = 0;
		s->slot = xcalloc(s->cap, sizeof(*s->slot));
		for (size_t i = 0; i < old.cap; i++)
			if (old.slot[i] != 0)
				(void)put_hash(s, old.slot[i]);
		free(old.slot);
	}
	return put_hash(s, hash != 0 ? hash : 1);
}

/* --- choices ------------------------------------------------------------------------------------ */

struct chosen {
	const struct disk *d;
	struct choice	 c;
	struct rng	 rng;
	unsigned	 quarters;	/* of the items that are kept by chance */
};

static enum left
damaged(struct chosen *x)
{
	static const enum left how[] = { LEFT_BIT, LEFT_BIT, LEFT_ZEROS, LEFT_NOISE };
	enum left left = how[rng_below(&x->rng, lengthof(how))];

	return left == LEFT_BIT ? LEFT_BIT + (enum left)rng_below(&x->rng, 4 * DISK_SECTOR) : left;
}

static enum left
left(void *arg, size_t i)
{
	struct chosen *x = arg;
	bool kept = true;

	switch (x->c.kind) {
	case 'n':
		kept = false;
		break;
	case 'p':
		kept = i < x->c.arg;
		break;
	case 'o':
		kept = i != x->c.arg;
		break;
	case 't':
		kept = i == x->c.arg;
		break;
	case 'w':
		kept = x->d->item[i].op != x->c.arg;
		break;
	case 'r':
		kept = rng_below(&x->rng, 4) < x->quarters;
		break;
	case 'd':
		return i == x->c.arg % x->d->nitem ? damaged(x) : LEFT_WHOLE;
	case 'g':
		kept = rng_below(&x->rng, 4) < x->quarters;
		return kept && rng_below(&x->rng, 4) == 0 ? damaged(x) : kept ? LEFT_WHOLE : LEFT_OUT;
	default:
		break;
	}
	return kept ? LEFT_WHOLE : LEFT_OUT;
}

/* Point and seed make the chance the same every time. */
static void
make_image(struct disk *out, const struct disk *d, uint64_t seed, uint64_t point, struct choice c)
{
	struct chosen x = { .d = d, .c = c, .quarters = 1 + (unsigned)(c.arg % 3) };

	if (c.kind == 'k') {
		disk_clone(out, d);
		return;
	}
	rng_init(&x.rng, hash_mix(hash_mix(seed, point), c.arg));
	disk_image(out, d, left, &x);
}

static void
print_image(const struct disk *d, uint64_t seed, uint64_t point, struct choice c)
{
	struct chosen x = { .d = d, .c = c, .quarters = 1 + (unsigned)(c.arg % 3) };
	char text[DISK_ITEM_TEXT];
	static const char *const words[] = { [LEFT_OUT] = "lost", [LEFT_WHOLE] = "kept",
		[LEFT_ZEROS] = "zeros", [LEFT_NOISE] = "noise", [LEFT_BIT] = "a bit is wrong" };
	enum left kept, before = LEFT_OUT;

	rng_init(&x.rng, hash_mix(hash_mix(seed, point), c.arg));
	printf("point %llu, after operation %llu on %s; not durable:\n", (unsigned long long)point,
	    (unsigned long long)d->ops, d->op_name);
	for (size_t i = 0; i < d->nitem; i++) {
		kept = left(&x, i);
		if (i == 0 || kept != before || d->item[i].op != d->item[i - 1].op ||
		    d->item[i].kind != ITEM_SECTOR)
			printf("  %4zu op %-4llu %s  %s\n", i, (unsigned long long)d->item[i].op,
			    words[kept < LEFT_BIT ? kept : LEFT_BIT], disk_item_text(d, i, text));
		before = kept;
	}
}

static void
put_place(char text[PLACE_MAX], const char *outer, uint64_t point, struct choice c)
{
	int n = snprintf(text, PLACE_MAX, "%s%s%llu:%c", outer, outer[0] != '\0' ? "/" : "",
	    (unsigned long long)point, c.kind);

	if (strchr("wportdg", c.kind) != NULL)
		(void)snprintf(text + n, PLACE_MAX - (size_t)n, "%llu", (unsigned long long)c.arg);
}

int
explore_only(struct explorer *x, const char *place)
{
	const char *at = place;

	for (x->nwant = 0; x->nwant < lengthof(x->want);) {
		struct place *w = &x->want[x->nwant++];
		char *end;

		*w = (struct place){ .point = strtoull(at, &end, 10) };
		if (end == at || *end != ':' || strchr("nawportdgk", end[1]) == NULL || end[1] == '\0')
			return -1;
		w->choice.kind = end[1];
		at = end + 2;
		w->choice.arg = strtoull(at, &end, 10);
		at = end;
		if (*at == '\0')
			return 0;
		if (*at++ != '/')
			return -1;
	}
	return -1;
}

/* --- one point: which choices ------------------------------------------------------------------- */

struct chooser {
	void		(*try)(void *arg, struct choice c);
	void		*arg;
	unsigned	 left;
};

static void
try(struct chooser *ch, char kind, uint64_t arg)
{
	if (ch->left == 0)
		return;
	ch->left--;
	ch->try(ch->arg, (struct choice){ kind, arg });
}

/* The end of each operation is tried first; within them all, or as many by chance as fit. */
static void
try_choices(struct chooser *ch, const struct disk *d, struct rng *rng)
{
	static const char kinds[] = { 'p', 'o', 't', 'r', 'd', 'd', 'g' };
	size_t n = d->nitem;

	try(ch, 'a', 0);
	if (n == 0)
		return;
	try(ch, 'n', 0);
	try(ch, 'p', n - 1);
	for (size_t i = n; i-- > 0 && ch->left > 3;) {
		if (i > 0 && d->item[i].op == d->item[i - 1].op)
			continue;
		try(ch, 'w', d->item[i].op);
		try(ch, 'p', i);
	}
	if (ch->left >= 4 * n + 4) {
		for (size_t i = 0; i < n; i++) {
			try(ch, 'p', i);
			try(ch, 'o', i);
			try(ch, 't', i);
			try(ch, 'd', i);
		}
	}
	while (ch->left > 0) {
		char kind = kinds[rng_below(rng, sizeof(kinds))];
		/* What was changed last is most of what differs from the point before. */
		size_t last = rng_below(rng, 2) == 0 && n > RECENT ? RECENT : n;

		uint64_t item = n - 1 - rng_below(rng, last);

		if (kind == 'd')
			item += n * ch->left;	/* other bits of it each time */
		try(ch, kind, kind == 'r' || kind == 'g' ? ch->left : item);
	}
}

/* --- crashes while the first one is recovered from ------------------------------------------------ */

struct nested {
	struct explorer	*x;
	struct disk	*disk;
	char		 outer[PLACE_MAX];
	uint64_t	 point;
	unsigned	 width;
	const uint64_t	*expected;	/* what every recovery is to find, or NULL */
	uint64_t	 last_ops;
};

static void
report(struct explorer *x, const struct verdict *v, const char *place)
{
	if (x->violations++ != 0)
		return;
	x->first = *v;
	(void)snprintf(x->first_place, sizeof(x->first_place), "%s", place);
}

static void
try_nested(void *arg, struct choice c)
{
	struct nested *nd = arg;
	struct explorer *x = nd->x;
	struct verdict v;
	struct disk image;
	uint64_t hash;

	put_place(x->now, nd->outer, nd->point, c);
	make_image(&image, nd->disk, x->seed, nd->point, c);
	if (x->nwant != 0)
		print_image(nd->disk, x->seed, nd->point, c);
	hash = disk_hash(&image);
	if (seen_add(&x->checked, hash_mix(hash, nd->expected != NULL ? *nd->expected + 1 : 0))) {
		x->distinct += seen_add(x->images, hash);
		x->checks++;
		x->nested++;
		judge(&v, x->play, &image, CRASH_POWER, nd->expected);
		if (v.bad)
			report(x, &v, x->now);
	}
	disk_done(&image);
}

static void
nested_step(void *arg)
{
	struct nested *nd = arg;
	struct chooser ch = { .try = try_nested, .arg = nd, .left = nd->width };
	struct rng rng;

	nd->point++;
	if (nd->disk->ops == nd->last_ops)
		return;
	nd->last_ops = nd->disk->ops;
	disk_forget(nd->disk);
	rng_init(&rng, hash_mix(nd->x->seed, nd->point));
	if (nd->x->nwant == 0)
		try_choices(&ch, nd->disk, &rng);
	else if (nd->x->want[1].point == nd->point)
		try_nested(nd, nd->x->want[1].choice);
}

/* Recover from a copy of the image again, this time with crashes on the way and at the end. */
static void
recover_with_crashes(struct explorer *x, const struct disk *image, enum crash_kind kind,
    const char *place, const uint64_t *found)
{
	struct nested nd = { .x = x, .width = NESTED_WIDTH };
	struct verdict v;
	struct disk d;

	(void)snprintf(nd.outer, sizeof(nd.outer), "%s", place);
	disk_clone(&d, image);
	nd.disk = &d;
	/* Until it has ended, what a killed process left in the cache may be there or not. */
	nd.expected = kind == CRASH_POWER ? found : NULL;
	d.hook = nested_step;
	d.arg = &nd;
	judge(&v, x->play, &d, kind, found);
	d.hook = NULL;
	if (v.bad)
		report(x, &v, place);
	/* What a failed sync left in the cache can't be told from what is durable. */
	nd.expected = kind == CRASH_KILL && x->play->failing ? NULL : found;
	nd.width = 4 * NESTED_WIDTH;
	nd.last_ops = UINT64_MAX;
	nested_step(&nd);
	disk_done(&d);
}

/* --- one image ------------------------------------------------------------------------------------- */

struct trial {
	struct explorer	*x;
	uint64_t	 promise;
};

static void
check_image(struct explorer *x, const struct disk *image, struct choice c, bool deep)
{
	enum crash_kind kind = c.kind == 'k' ? CRASH_KILL : CRASH_POWER;
	char place[PLACE_MAX];
	struct verdict v, again;
	struct disk copy;

	put_place(place, "", x->point, c);
	(void)snprintf(x->now, sizeof(x->now), "%s", place);
	disk_clone(&copy, image);
	x->checks++;
	judge(&v, x->play, &copy, kind, NULL);
	/* Recovery is done, and dies as it is: the next one finds the same. */
	if (!v.bad)
		judge(&again, x->play, &copy, kind, &v.found);
	else
		again = v;
	disk_done(&copy);
	if (again.bad) {
		report(x, &again, place);
		return;
	}
	if (deep)
		recover_with_crashes(x, image, kind, place, &v.found);
}

static void
try_image(void *arg, struct choice c)
{
	struct trial *t = arg;
	struct explorer *x = t->x;
	struct disk image;
	uint64_t hash;
	bool deep;

	make_image(&image, x->play->disk, x->seed, x->point, c);
	if (x->nwant != 0)
		print_image(x->play->disk, x->seed, x->point, c);
	hash = disk_hash(&image);
	if (c.kind == 'k' || seen_add(&x->checked, hash_mix(hash, t->promise))) {
		if (c.kind != 'k')
			x->distinct += seen_add(x->images, hash);
		deep = x->deep != 0 && (c.kind == 'k' || hash_mix(hash, x->seed) % x->deep == 0);
		check_image(x, &image, c, x->nwant == 0 ? deep : x->nwant == 2);
	}
	disk_done(&image);
}

void
explore_step(void *arg)
{
	struct explorer *x = arg;
	struct play *p = x->play;
	struct trial t = { .x = x };
	struct chooser ch = { .try = try_image, .arg = &t,
		.left = x->width * (p->closely != 0 ? p->closely : 1) };
	struct rng rng;

	x->point++;
	play_age(p);
	t.promise = play_hash(p);
	if (x->last_known && x->last_ops == p->disk->ops && x->last_promise == t.promise)
		return;
	x->last_known = true;
	x->last_ops = p->disk->ops;
	x->last_promise = t.promise;
	disk_forget(p->disk);
	if (x->nwant != 0) {
		if (x->want[0].point == x->point)
			try_image(&t, x->want[0].choice);
		return;
	}
	rng_init(&rng, hash_mix(x->seed, x->point));
	try_choices(&ch, p->disk, &rng);
	/* Always when names are half durable: nothing but the next start makes them so. */
	if (x->kill != 0 && (p->closely != 0 || p->disk->op == TWIN_RENAME || hash_mix(x->seed, x->point) % x->kill == 0))
		try_image(&t, (struct choice){ 'k', 0 });
}

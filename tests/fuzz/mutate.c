/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_NAME --mutate RUNS DIR [LAST]: so many inputs made from the files of a corpus, the same
 * ones every time; each is written to the file LAST before it is tried. libFuzzer's are not the
 * same, even with one seed, and depend on the code under test: what it finds says little of the
 * change that is tested. Here they depend on the files alone.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/num.h"
#include "base/rng.h"
#include "fuzz.h"

#include "base/banned.h"

#define FILE_BYTES_MAX	(4u << 20)
#define GROWTH_MAX	4096u		/* an input is so much longer than its file, at most */
#define EDITS_MAX	8u
#define PIECE_MAX	32u

struct input {
	uint8_t		*data;
	size_t		 n, cap;
};

static size_t
some(struct rng *rng, size_t below)
{
	return below != 0 ? (size_t)rng_below(rng, below) : 0;
}

/* What parsers tend to stumble over. */
static uint8_t
some_byte(struct rng *rng)
{
	static const uint8_t odd[] = { 0, 1, 0x7f, 0x80, 0xff, '\r', '\n', ' ', '\t', '.', ',', ':', ';', '@', '<',
		'>', '"', '\\', '-', '0', '9' };

	return rng_below(rng, 2) == 0 ? odd[some(rng, sizeof(odd))] : (uint8_t)rng_u64(rng);
}

/* Room for n bytes at this place. False: it would be too long. */
static bool
open_gap(struct input *in, size_t at, size_t n)
{
	if (in->n + n > in->cap)
		return false;
	memmove(in->data + at + n, in->data + at, in->n - at);
	in->n += n;
	return true;
}

static void
insert(struct input *in, struct rng *rng, size_t at)
{
	size_t n = 1 + some(rng, PIECE_MAX);

	if (!open_gap(in, at, n))
		return;
	for (size_t i = 0; i < n; i++)
		in->data[at + i] = some_byte(rng);
}

/* A piece of it once more, elsewhere. */
static void
repeat(struct input *in, struct rng *rng, size_t at)
{
	size_t n = 1 + some(rng, in->n), from = some(rng, in->n - n + 1);
	uint8_t *piece = xzalloc(n);

	memcpy(piece, in->data + from, n);
	if (open_gap(in, at, n))
		memcpy(in->data + at, piece, n);
	free(piece);
}

static void
cut(struct input *in, struct rng *rng, size_t at)
{
	size_t left = in->n - at, n = 1 + some(rng, left < PIECE_MAX ? left : PIECE_MAX);

	memmove(in->data + at, in->data + at + n, left - n);
	in->n -= n;
}

static void
edit(struct input *in, struct rng *rng)
{
	size_t at = some(rng, in->n);

	if (in->n == 0) {
		insert(in, rng, 0);
		return;
	}
	switch (rng_below(rng, 8)) {
	case 0:
		in->data[at] ^= (uint8_t)(1u << rng_below(rng, 8));
		break;
	case 1:
	case 2:
		in->data[at] = some_byte(rng);
		break;
	case 3:
		in->data[at] = (uint8_t)(in->data[at] + rng_below(rng, 9) - 4);
		break;
	case 4:
		insert(in, rng, at);
		break;
	case 5:
		repeat(in, rng, at);
		break;
	case 6:
		cut(in, rng, at);
		break;
	default:
		in->n = rng_below(rng, 8) == 0 ? at : in->n;	/* it may end anywhere */
		break;
	}
}

static bool
read_file(const char *dir, const char *name, struct input *out)
{
	char path[4096];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%.3800s/%.255s", dir, name);
	f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		return false;
	}
	*out = (struct input){ .data = xzalloc(FILE_BYTES_MAX) };
	out->n = fread(out->data, 1, FILE_BYTES_MAX, f);
	out->cap = out->n + GROWTH_MAX;
	(void)fclose(f);	/* was only read */
	return true;
}

static void
keep(const char *path, const struct input *in)
{
	FILE *f = fopen(path, "wb");

	require(f != NULL);
	require(fwrite(in->data, 1, in->n, f) == in->n && fclose(f) == 0);
}

/* Another file more or less leaves the others' inputs as they are, but for their number. */
static void
run_mutated(const struct input *file, uint64_t runs, const char *last)
{
	uint8_t *room = xzalloc(file->cap);
	struct rng rng;

	rng_init(&rng, crc32c(0, view_of(file->data, file->n)));
	for (uint64_t i = 0; i < runs; i++) {
		struct input in = { room, file->n, file->cap };

		memcpy(in.data, file->data, file->n);
		for (uint64_t edits = 1 + rng_below(&rng, EDITS_MAX); edits > 0; edits--)
			edit(&in, &rng);
		if (last != NULL)
			keep(last, &in);
		fuzz_run(view_of(in.data, in.n));
	}
	free(room);
}

static int
is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int
mutate(const char *dir, uint64_t runs, const char *last)
{
	struct dirent **entry;
	int n = scandir(dir, &entry, is_file, alphasort);
	uint64_t done = 0;

	if (n <= 0) {
		fprintf(stderr, "%s: no corpus\n", dir);
		return 1;
	}
	for (int i = 0; i < n; i++) {
		uint64_t share = runs / (uint64_t)n + 1;
		struct input file;

		if (read_file(dir, entry[i]->d_name, &file)) {
			run_mutated(&file, share, last);
			free(file.data);
			done += share;
		}
		free(entry[i]);
	}
	free(entry);
	printf("%s: %llu runs from %d files\n", dir, (unsigned long long)done, n);
	return 0;
}

/* libFuzzer calls it before it looks at its arguments; replay.c, too. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	uint64_t runs;

	if (*argc < 4 || *argc > 5 || strcmp((*argv)[1], "--mutate") != 0)
		return 0;
	if (!num_parse_u64(view_str((*argv)[2]), 1, UINT32_MAX, &runs))
		exit(2);
	exit(mutate((*argv)[3], runs, (*argv)[4]));
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target over files without a fuzzer: those named as arguments, or
 * else the target's corpus in the source tree (corpus/NAME for fuzz_NAME). Each
 * file is also run cut at every length up to PREFIX_MAX: input may end anywhere.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "fuzz.h"

#include "base/banned.h"

#define FILE_BYTES_MAX	(4u << 20)
#define PREFIX_MAX	600

static bool
run_file(const char *path)
{
	struct buf b;
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL) {
		perror(path);
		return false;
	}
	buf_init(&b, FILE_BYTES_MAX);
	do {
		uint8_t *at = buf_reserve(&b, 4096);

		require(at != NULL);
		n = fread(at, 1, 4096, f);
		buf_grew(&b, n);
	} while (n > 0);
	(void)fclose(f);	/* was only read */
	fuzz_run(buf_view(&b));
	for (size_t i = 0; i < buf_len(&b) && i < PREFIX_MAX; i++)
		fuzz_run(view_first(buf_view(&b), i));
	buf_done(&b);
	return true;
}

/* How many files were run. */
static int
run_corpus(const char *dir)
{
	struct dirent *entry;
	DIR *d = opendir(dir);
	int n = 0;

	if (d == NULL) {
		perror(dir);
		return 0;
	}
	while ((entry = readdir(d)) != NULL) {
		char path[4096];

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%.3800s/%.255s", dir, entry->d_name);
		if (!run_file(path)) {
			n = 0;
			break;
		}
		n++;
	}
	(void)closedir(d);	/* was only read */
	return n;
}

int
main(int argc, char **argv)
{
	const char *top = getenv("srcdir");
	const char *name = strstr(argv[0], "fuzz_");
	char dir[4096];
	int n;

	(void)LLVMFuzzerInitialize(&argc, &argv);	/* does not come back if it has worked */
	for (int i = 1; i < argc; i++)
		if (!run_file(argv[i]))
			return 1;
	if (argc > 1)
		return 0;
	/* the last "fuzz_": folders of the path may be called so too */
	for (const char *p = name; p != NULL; p = strstr(p + 1, "fuzz_"))
		name = p;
	require(name != NULL);
	(void)snprintf(dir, sizeof(dir), "%.3000s/tests/fuzz/corpus/%.200s", top != NULL ? top : ".", name + 5);
	n = run_corpus(dir);
	printf("%s: %d files\n", dir, n);
	return n > 0 ? 0 : 1;
}

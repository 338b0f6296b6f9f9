/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * disk - what the disk can do, for comparison.
 *
 *	disk sync -d DIR [-s BYTES] [-t SECONDS]
 *	disk files -d DIR [-c WRITERS] [-s BYTES] [-t SECONDS]
 *
 * sync: one writer, one preallocated file, BYTES and fdatasync, again and again: no
 * program that syncs once a message can be faster with one client.
 * files: how most MTAs keep mail, and nothing besides. Each writer writes a temporary
 * file, syncs it, renames it, syncs the directory. No SMTP, no processes, no lookups.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sample.h"

#define FILE_SIZE	(64L << 20)
#define SAMPLES		4000000L

static struct {
	const char	*dir;
	long		 writers, size;
	double		 seconds;
} opt = { .writers = 1, .size = 10240, .seconds = 2 };

struct writer {
	pthread_t	 thread;
	long		 number;
	int		 dir;
	int64_t		 end_us;
	struct samples	 samples;
};

static char *block;

static void
write_all(int fd, off_t at)
{
	for (long done = 0; done < opt.size;) {
		ssize_t n = pwrite(fd, block + done, (size_t)(opt.size - done), at + done);

		if (n <= 0)
			die("write");
		done += n;
	}
}

static void
run_sync(struct writer *w)
{
	int fd = openat(w->dir, "log", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	off_t at = 0;

	if (fd < 0 || (errno = posix_fallocate(fd, 0, FILE_SIZE)) != 0 || fsync(fd) != 0)
		die("log");
	for (;;) {
		int64_t begin = now_us();

		if (begin >= w->end_us)
			break;
		write_all(fd, at);
		if (fdatasync(fd) != 0)
			die("fdatasync");
		samples_add(&w->samples, now_us() - begin);
		at = at + 2 * opt.size > FILE_SIZE ? 0 : at + opt.size;
	}
	(void)close(fd);
}

static void
write_message(struct writer *w, long i)
{
	char temporary[64], name[64];
	int fd;

	(void)snprintf(temporary, sizeof(temporary), "tmp-%ld-%ld", w->number, i);
	(void)snprintf(name, sizeof(name), "msg-%ld-%ld", w->number, i);
	fd = openat(w->dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		die(temporary);
	write_all(fd, 0);
	if (fsync(fd) != 0 || close(fd) != 0 || renameat(w->dir, temporary, w->dir, name) != 0 ||
	    fsync(w->dir) != 0)
		die(name);
}

static void *
run_files(void *arg)
{
	struct writer *w = arg;

	for (long i = 0;; i++) {
		int64_t begin = now_us();

		if (begin >= w->end_us)
			return NULL;
		write_message(w, i);
		samples_add(&w->samples, now_us() - begin);
	}
}

static void
run_writers(struct writer *w)
{
	for (long i = 0; i < opt.writers; i++) {
		int rc = pthread_create(&w[i].thread, NULL, run_files, &w[i]);

		if (rc != 0) {
			errno = rc;
			die("thread");
		}
	}
	for (long i = 0; i < opt.writers; i++)
		(void)pthread_join(w[i].thread, NULL);
}

static void
report(struct writer *w, int64_t begin_us)
{
	double seconds = (double)(now_us() - begin_us) / 1e6;
	struct samples all;

	samples_new(&all, SAMPLES);
	for (long i = 0; i < opt.writers; i++)
		for (long k = 0; k < w[i].samples.n; k++)
			samples_add(&all, w[i].samples.us[k]);
	samples_sort(&all);
	printf("messages=%ld seconds=%.3f rate=%.1f p50_ms=%.3f p99_ms=%.3f\n", all.n, seconds,
	    (double)all.n / seconds, samples_percentile_ms(&all, 0.5), samples_percentile_ms(&all, 0.99));
	free(all.us);
}

int
main(int argc, char **argv)
{
	bool files = argc > 1 && strcmp(argv[1], "files") == 0;
	struct writer *w;
	int64_t begin_us;
	int option;

	if (!files && (argc < 2 || strcmp(argv[1], "sync") != 0))
		return 2;
	while ((option = getopt(argc - 1, argv + 1, "d:c:s:t:")) != -1) {
		if (option == 'd')
			opt.dir = optarg;
		else if (option == 'c')
			opt.writers = strtol(optarg, NULL, 10);
		else if (option == 's')
			opt.size = strtol(optarg, NULL, 10);
		else if (option == 't')
			opt.seconds = strtod(optarg, NULL);
		else
			return 2;
	}
	if (opt.dir == NULL || opt.writers < 1 || opt.size < 1 || opt.size > FILE_SIZE / 2)
		return 2;
	block = malloc((size_t)opt.size);
	w = calloc((size_t)opt.writers, sizeof(*w));
	if (block == NULL || w == NULL)
		die("memory");
	memset(block, 'x', (size_t)opt.size);
	begin_us = now_us();
	for (long i = 0; i < opt.writers; i++) {
		w[i].number = i;
		w[i].dir = open(opt.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		w[i].end_us = begin_us + (int64_t)(opt.seconds * 1e6);
		samples_new(&w[i].samples, SAMPLES / opt.writers);
		if (w[i].dir < 0)
			die(opt.dir);
	}
	if (files)
		run_writers(w);
	else
		run_sync(w);
	report(w, begin_us);
	for (long i = 0; i < opt.writers; i++)
		free(w[i].samples.us);
	free(w);
	free(block);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/fs.h"

#include "base/banned.h"

/*
 * The linker puts these in the place of the real calls (--wrap): pwritev writes at
 * most so many bytes, and each call leaves a letter, so that order can be checked.
 */
static size_t shorten;
static char calls[16];

static void
called(char letter)
{
	size_t n = strlen(calls);

	if (n < sizeof(calls) - 1)
		calls[n] = letter;
}

ssize_t __real_pwritev(int fd, const struct iovec *v, int n, off_t at);
ssize_t __wrap_pwritev(int fd, const struct iovec *v, int n, off_t at);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);

ssize_t
__wrap_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	struct iovec one = v[0];

	called('w');
	if (shorten == 0)
		return __real_pwritev(fd, v, n, at);
	if (one.iov_len > shorten)
		one.iov_len = shorten;
	return __real_pwritev(fd, &one, 1, at);
}

int
__wrap_fdatasync(int fd)
{
	called('d');
	return __real_fdatasync(fd);
}

int
__wrap_fsync(int fd)
{
	called('f');
	return __real_fsync(fd);
}

int
__wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	called('r');
	return __real_renameat(from_dir, from, to_dir, to);
}

struct fixture {
	char		 path[64];
	struct fs	*fs;
};

static int
setup(void **state)
{
	static struct fixture f;
	const char *tmp = getenv("TMPDIR");
	int fd;

	shorten = 0;
	memset(calls, 0, sizeof(calls));
	(void)snprintf(f.path, sizeof(f.path), "%.40s/ph-fs-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(f.path) == NULL)
		return -1;
	fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	f.fs = fs_new(fd);
	*state = &f;
	return 0;
}

static bool
remove_one(void *arg, const char *name)
{
	(void)fs_unlink(arg, name, NULL);
	return true;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	(void)fs_list(f->fs, "", remove_one, f->fs, NULL);
	fs_free(f->fs);
	return rmdir(f->path);
}

/* A unit's UMask must not take the group's right away. */
static void
test_modes_whatever_the_umask(void **state)
{
	struct fixture *f = *state;
	mode_t before = umask(077);
	char path[120];
	struct stat st;
	struct err e;
	int fd[2] = { fs_open(f->fs, "a", FS_CREATE, &e), fs_open(f->fs, "b", FS_CREATE_SHARED, &e) };

	(void)umask(before);
	for (int i = 0; i < 2; i++) {
		assert_true(fd[i] >= 0);
		fs_close(f->fs, fd[i]);
		(void)snprintf(path, sizeof(path), "%s/%c", f->path, 'a' + i);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, i == 0 ? 0600 : 0640);
	}
	assert_int_equal(fs_open(f->fs, "b", FS_CREATE_SHARED, &e), -1);
}

static void
test_create_write_read(void **state)
{
	struct fs *fs = ((struct fixture *)*state)->fs;
	char text[16];
	struct iovec v = { text, 5 };
	struct err e;
	int fd = fs_open(fs, "a", FS_CREATE, &e);

	assert_true(fd >= 0);
	memcpy(text, "hello", 5);
	assert_int_equal(fs_writev(fs, fd, &v, 1, 3, &e), 0);
	assert_int_equal(fs_sync(fs, fd, &e), 0);
	assert_string_equal(calls, "wd");
	assert_int_equal(fs_size(fs, fd, &e), 8);
	assert_int_equal(fs_read(fs, fd, text, 16, 0, &e), 8);
	assert_memory_equal(text, "\0\0\0hello", 8);
	assert_int_equal(fs_read(fs, fd, text, 16, 8, &e), 0);
	assert_int_equal(fs_truncate(fs, fd, 4, &e), 0);
	assert_int_equal(fs_size(fs, fd, &e), 4);
	fs_close(fs, fd);

	assert_int_equal(fs_open(fs, "a", FS_CREATE, &e), -1);
	assert_int_equal(e.errnum, EEXIST);
	fd = fs_open(fs, "a", FS_READ, &e);
	assert_true(fd >= 0);
	assert_int_equal(fs_writev(fs, fd, &v, 1, 0, &e), -1);
	fs_close(fs, fd);
	assert_int_equal(fs_open(fs, "b", FS_WRITE, &e), -1);
	assert_int_equal(e.errnum, ENOENT);
}

static void
test_file_mode_is_private(void **state)
{
	struct fixture *f = *state;
	int fd = fs_open(f->fs, "a", FS_CREATE, NULL);
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fs_close(f->fs, fd);
}

static void
test_links_are_not_followed(void **state)
{
	struct fixture *f = *state;
	char link[80];
	struct err e;

	(void)snprintf(link, sizeof(link), "%s/link", f->path);
	assert_int_equal(symlink("/etc/passwd", link), 0);
	assert_int_equal(fs_open(f->fs, "link", FS_READ, &e), -1);
	assert_non_null(strstr(e.text, "link is not a regular file"));
	assert_int_equal(fs_lock(f->fs, "link", &e), -1);
	assert_non_null(strstr(e.text, "link is a symbolic link and must be a file; remove it"));
	/* Nor does one stand for a directory, wherever it leads. */
	assert_int_equal(unlink(link), 0);
	assert_int_equal(symlink(".", link), 0);
	assert_int_equal(fs_mkdir(f->fs, "link", &e), -1);
	assert_non_null(strstr(e.text, "link is a symbolic link and must be a directory; put"));
}

/* Neither hangs, and nobody takes them for files. */
static void
test_only_regular_files(void **state)
{
	static const char *const names[] = { "fifo", "directory" };
	struct fixture *f = *state;
	char path[80];
	struct err e;

	(void)snprintf(path, sizeof(path), "%s/fifo", f->path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(fs_mkdir(f->fs, "directory", &e), 0);
	for (unsigned i = 0; i < lengthof(names); i++) {
		assert_int_equal(fs_open(f->fs, names[i], FS_READ, &e), -1);
		assert_non_null(strstr(e.text, "is not a regular file"));
		assert_int_equal(fs_open(f->fs, names[i], FS_WRITE, &e), -1);
		assert_non_null(strstr(e.text, "is not a regular file"));
		assert_int_equal(fs_lock(f->fs, names[i], &e), -1);
		assert_non_null(strstr(e.text, "must be a file; remove it, and it is made anew"));
	}
	(void)snprintf(path, sizeof(path), "%s/directory", f->path);
	assert_int_equal(rmdir(path), 0);
}

#define PARTS 700

/* Write PARTS pieces of 0 to 4 bytes and compare. */
static void
write_many(struct fs *fs)
{
	static struct iovec v[PARTS];
	static uint8_t in[PARTS * 4], out[PARTS * 4 + 1];
	size_t n = 0;
	int fd = fs_open(fs, "many", FS_CREATE, NULL);

	assert_true(fd >= 0);
	for (int i = 0; i < PARTS; i++) {
		v[i] = (struct iovec){ in + n, (size_t)(i % 5) };
		for (int k = 0; k < i % 5; k++, n++)
			in[n] = (uint8_t)(n * 7);
	}
	assert_int_equal(fs_writev(fs, fd, v, PARTS, 0, NULL), 0);
	assert_int_equal(fs_read(fs, fd, out, sizeof(out), 0, NULL), n);
	assert_memory_equal(in, out, n);
	fs_close(fs, fd);
}

static void
test_many_pieces(void **state)
{
	write_many(((struct fixture *)*state)->fs);
}

static void
test_short_writes_are_continued(void **state)
{
	shorten = 3;
	write_many(((struct fixture *)*state)->fs);
}

static void
test_cached_read(void **state)
{
	struct fs *fs = ((struct fixture *)*state)->fs;
	char text[16] = "cached";
	struct iovec v = { text, 6 };
	int fd = fs_open(fs, "a", FS_CREATE, NULL);
	int64_t n;

	assert_int_equal(fs_writev(fs, fd, &v, 1, 0, NULL), 0);
	n = fs_read_cached(fs, fd, text, sizeof(text), 0, NULL);
	assert_true(n == 6 || n == -2);		/* -2: a file system without RWF_NOWAIT */
	fs_close(fs, fd);
	assert_int_equal(fs_read_cached(fs, 9999, text, sizeof(text), 0, NULL), -1);
}

static void
test_allocate_sets_the_size(void **state)
{
	struct fs *fs = ((struct fixture *)*state)->fs;
	int fd = fs_open(fs, "a", FS_CREATE, NULL);
	struct err e;

	assert_int_equal(fs_allocate(fs, fd, 100000, &e), 0);
	assert_int_equal(fs_size(fs, fd, &e), 100000);
	assert_int_equal(fs_allocate(fs, fd, 5, &e), 0);
	assert_int_equal(fs_size(fs, fd, &e), 100000);
	fs_close(fs, fd);
}

static bool
count_two(void *arg, const char *name)
{
	assert_true(name[0] != '.');
	return ++*(int *)arg < 2;
}

static void
test_names(void **state)
{
	struct fixture *f = *state;
	struct fs *fs = f->fs;
	char path[80];
	struct err e;
	int n = 0;

	assert_int_equal(fs_mkdir(fs, "d", &e), 0);
	assert_int_equal(fs_mkdir(fs, "d", &e), 0);
	for (int i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "d/%d", i);
		fs_close(fs, fs_open(fs, path, FS_CREATE, &e));
	}
	assert_int_equal(fs_list(fs, "d", count_two, &n, &e), 0);
	assert_int_equal(n, 2);			/* stopped when told */
	assert_int_equal(fs_rename(fs, "d/0", "d/1", &e), 0);
	assert_int_equal(fs_unlink(fs, "d/0", &e), -1);
	assert_int_equal(fs_unlink(fs, "d/1", &e), 0);
	assert_int_equal(fs_unlink(fs, "d/2", &e), 0);
	assert_int_equal(fs_sync_dir(fs, "d", &e), 0);
	assert_int_equal(fs_sync_dir(fs, "", &e), 0);
	assert_int_equal(fs_sync_dir(fs, "gone", &e), -1);
	assert_int_equal(fs_list(fs, "gone", count_two, &n, &e), -1);
	(void)snprintf(path, sizeof(path), "%s/d", f->path);
	assert_int_equal(rmdir(path), 0);
}

static void
test_space(void **state)
{
	struct fs_space s;

	assert_int_equal(fs_space(((struct fixture *)*state)->fs, &s, NULL), 0);
	assert_true(s.total_bytes > 0);
	assert_true(s.free_bytes <= s.total_bytes);
}

static void
test_tmpfs_is_volatile(void **state)
{
	struct fs *fs;
	struct fs_space s;
	int fd = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		skip();
	fs = fs_new(fd);
	assert_int_equal(fs_space(fs, &s, NULL), 0);
	assert_true(s.volatile_fs);
	assert_false(s.copy_on_write);
	fs_free(fs);
}

static void
test_lock_excludes_and_names_the_holder(void **state)
{
	struct fs *fs = ((struct fixture *)*state)->fs;
	struct err e;
	char want[64];
	int fd = fs_lock(fs, "lock", &e), again;

	assert_true(fd >= 0);
	assert_int_equal(fs_lock(fs, "lock", &e), -1);
	assert_int_equal(e.kind, ERR_BUSY);
	(void)snprintf(want, sizeof(want), "lock is held by process %d", (int)getpid());
	assert_string_equal(e.text, want);
	fs_close(fs, fd);
	again = fs_lock(fs, "lock", &e);
	assert_true(again >= 0);
	fs_close(fs, again);
}

static void
expect_content(struct fs *fs, const char *name, const char *want)
{
	char text[32] = "";
	int fd = fs_open(fs, name, FS_READ, NULL);

	assert_true(fd >= 0);
	assert_int_equal(fs_read(fs, fd, text, sizeof(text), 0, NULL), strlen(want));
	assert_memory_equal(text, want, strlen(want));
	fs_close(fs, fd);
}

static void
test_replace(void **state)
{
	struct fs *fs = ((struct fixture *)*state)->fs;
	struct err e;

	assert_int_equal(fs_replace(fs, "", "state", VIEW("first"), &e), 0);
	expect_content(fs, "state", "first");
	assert_string_equal(calls, "wdrf");	/* content, sync, name, sync of the name */
	fs_close(fs, fs_open(fs, "state.new", FS_CREATE, &e));	/* left by a crash */
	assert_int_equal(fs_replace(fs, "", "state", VIEW("2nd"), &e), 0);
	expect_content(fs, "state", "2nd");
	assert_int_equal(fs_open(fs, "state.new", FS_READ, &e), -1);
	assert_int_equal(fs_replace(fs, "gone", "state", VIEW("x"), &e), -1);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_modes_whatever_the_umask),
		T(test_create_write_read),
		T(test_file_mode_is_private),
		T(test_links_are_not_followed),
		T(test_only_regular_files),
		T(test_many_pieces),
		T(test_short_writes_are_continued),
		T(test_cached_read),
		T(test_allocate_sets_the_size),
		T(test_names),
		T(test_space),
		T(test_tmpfs_is_volatile),
		T(test_lock_excludes_and_names_the_holder),
		T(test_replace),
	};

	return cmocka_run_group_tests_name("fs", tests, NULL, NULL);
}

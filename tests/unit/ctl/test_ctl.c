/* SPDX-License-Identifier: BSD-2-Clause */
/* New files appear as a whole or not at all; who holds a lock is read, not tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ctl/holder.h"
#include "ctl/newfile.h"
#include "sys/whole.h"

#include "base/banned.h"

struct place {
	char	path[64];
	int	dir;
};

static int
make_place(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	(void)snprintf(p->path, sizeof(p->path), "/tmp/posthouse-ctl-XXXXXX");
	assert_non_null(mkdtemp(p->path));
	p->dir = open(p->path, O_RDONLY | O_DIRECTORY);
	*state = p;
	return p->dir < 0;
}

/* Fails if anything but these names is left. */
static int
remove_place(void **state)
{
	static const char *const names[] = { "new", "old", "LOCK" };
	struct place *p = *state;
	int rc;

	for (size_t i = 0; i < lengthof(names); i++)
		(void)unlinkat(p->dir, names[i], 0);
	(void)unlinkat(p->dir, "sub", AT_REMOVEDIR);
	(void)close(p->dir);
	rc = rmdir(p->path);
	free(p);
	return rc;
}

static void
check_file(int dir, const char *name, const char *want)
{
	int fd = openat(dir, name, O_RDONLY);
	struct stat st;
	struct buf b;

	assert_true(fd >= 0);
	buf_init(&b, 1u << 20);
	assert_int_equal(read_whole(fd, &b, NULL), 0);
	assert_true(view_eq(buf_view(&b), view_str(want)));
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_nlink, 1);
	buf_done(&b);
	(void)close(fd);
}

static bool
is_there(int dir, const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
test_newfile(void **state)
{
	struct place *p = *state;
	struct newfile f;
	struct err e;
	uint64_t mark;

	assert_int_equal(newfile_begin(&f, p->dir, "tmp", &e), 0);
	assert_true(buf_add_str(&f.out, "one "));
	assert_int_equal(newfile_mark(&f, &mark, &e), 0);
	assert_int_equal(mark, 4);
	assert_true(buf_add_str(&f.out, "half"));
	assert_int_equal(newfile_mark(&f, &mark, &e), 0);	/* it is on its way to the disk */
	assert_true(buf_add_str(&f.out, "more"));
	assert_int_equal(newfile_cut(&f, 4, &e), 0);
	assert_true(buf_add_str(&f.out, "two"));
	assert_false(is_there(p->dir, "old"));
	assert_int_equal(newfile_finish(&f, p->dir, "old", &e), 0);
	check_file(p->dir, "old", "one two");
	assert_false(is_there(p->dir, "tmp"));
	/* The name is taken: by a file, and by a link to nowhere. */
	assert_int_equal(symlinkat("nowhere", p->dir, "new"), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(newfile_begin(&f, p->dir, "tmp", &e), 0);
		assert_true(buf_add_str(&f.out, "three"));
		assert_int_equal(newfile_finish(&f, p->dir, i == 0 ? "old" : "new", &e), -1);
		assert_int_equal(e.kind, ERR_BUSY);
		assert_false(is_there(p->dir, "tmp"));
	}
	check_file(p->dir, "old", "one two");
	assert_false(is_there(p->dir, "nowhere"));
	/* So is the temporary name: what stands there is not ours to touch. */
	assert_int_equal(newfile_begin(&f, p->dir, "old", &e), -1);
	assert_int_equal(e.errnum, EEXIST);
	newfile_drop(&f);
	check_file(p->dir, "old", "one two");
	assert_int_equal(newfile_begin(&f, p->dir, "tmp", &e), 0);
	newfile_drop(&f);
	assert_false(is_there(p->dir, "tmp"));
}

static void
test_dir(void **state)
{
	struct place *p = *state;
	struct err e;

	for (unsigned i = 0; i < 2; i++) {
		struct stat st;
		int fd = newfile_dir(p->dir, "sub", &e);

		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0700);
		assert_int_equal(newfile_sync_dir(fd, "sub", &e), 0);
		(void)close(fd);
	}
	assert_int_equal(newfile_dir(p->dir, "absent/sub", &e), -1);
	assert_int_equal(e.errnum, ENOENT);
}

static void
test_holder_text(void **state)
{
	struct view locks = VIEW("1: POSIX  ADVISORY  WRITE 10 fe:01:77 0 EOF\n"
	    "2: FLOCK  ADVISORY  READ  11 fe:01:77 0 EOF\n"
	    "3: FLOCK  ADVISORY  WRITE 12 fe:02:77 0 EOF\n"
	    "3: -> FLOCK  ADVISORY  WRITE 13 fe:01:77 0 EOF\n"
	    "4: FLOCK  ADVISORY  WRITE -1 fe:01:77 0 EOF\n"
	    "5: FLOCK\n\n"
	    "6: FLOCK  ADVISORY  WRITE 14 fe:01:77 0 EOF\n");

	assert_int_equal(holder_in(locks, 0xfe, 1, 77), 14);
	assert_int_equal(holder_in(locks, 0xfe, 2, 77), 12);
	assert_int_equal(holder_in(locks, 0xfe, 1, 7), 0);
	assert_int_equal(holder_in(VIEW(""), 0, 0, 0), 0);
}

static void
test_holder(void **state)
{
	struct place *p = *state;
	int fd = openat(p->dir, "LOCK", O_RDWR | O_CREAT, 0600);

	assert_int_equal(holder_of(p->dir, "LOCK"), 0);
	assert_int_equal(holder_of(p->dir, "absent"), 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	/* In some containers /proc/locks is empty: then nothing is known, and nothing claimed. */
	if (access("/proc/locks", R_OK) == 0 && holder_of(p->dir, "LOCK") != 0)
		assert_int_equal(holder_of(p->dir, "LOCK"), getpid());
	else
		print_message("SKIP test_holder: /proc/locks does not show our lock\n");
	(void)close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_newfile, make_place, remove_place),
		cmocka_unit_test_setup_teardown(test_dir, make_place, remove_place),
		cmocka_unit_test(test_holder_text),
		cmocka_unit_test_setup_teardown(test_holder, make_place, remove_place),
	};

	return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}

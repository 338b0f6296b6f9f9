/* SPDX-License-Identifier: BSD-2-Clause */
/* What the crash disk may lose, and what it may not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crash/disk.h"

#include "base/banned.h"

static enum left
keep_bits(void *arg, size_t i)
{
	return (*(uint64_t *)arg >> i & 1) != 0 ? LEFT_WHOLE : LEFT_OUT;
}

/* The image that keeps these items. */
static void
crash(struct disk *out, struct disk *d, uint64_t items)
{
	disk_forget(d);
	disk_image(out, d, keep_bits, &items);
}

static void
put(struct disk *d, int fd, uint64_t at, size_t n, int byte)
{
	uint8_t bytes[4 * DISK_SECTOR];
	struct iovec iov = { bytes, n };

	memset(bytes, byte, sizeof(bytes));
	assert_int_equal(fs_writev(&d->fs, fd, &iov, 1, at, NULL), 0);
}

/* Its byte there, -1: it is not so long, -2: there is no such file. */
static int
get(struct disk *d, const char *name, uint64_t at)
{
	int fd = fs_open(&d->fs, name, FS_READ, NULL);
	uint8_t byte = 0;
	int64_t n;

	if (fd < 0)
		return -2;
	n = fs_read(&d->fs, fd, &byte, 1, at, NULL);
	fs_close(&d->fs, fd);
	return n == 1 ? byte : -1;
}

static int
image_get(struct disk *d, uint64_t items, const char *name, uint64_t at)
{
	struct disk image;
	int byte;

	crash(&image, d, items);
	byte = get(&image, name, at);
	disk_done(&image);
	return byte;
}

/* A durable, empty file. */
static int
make(struct disk *d, const char *name)
{
	int fd = fs_open(&d->fs, name, FS_CREATE, NULL);

	assert_true(fd >= 0);
	assert_int_equal(fs_sync_dir(&d->fs, "", NULL), 0);
	return fd;
}

static void
test_sectors(void **state)
{
	struct disk d;
	int fd;

	disk_init(&d);
	fd = make(&d, "a");
	put(&d, fd, 100, 600, 'x');		/* size, sector 0, sector 1 */
	assert_int_equal(d.nitem, 3);
	assert_int_equal(image_get(&d, 0, "a", 0), -1);
	assert_int_equal(image_get(&d, 7, "a", 150), 'x');
	assert_int_equal(image_get(&d, 6, "a", 150), -1);	/* written, but the size is lost */
	assert_int_equal(image_get(&d, 5, "a", 150), 0);
	assert_int_equal(image_get(&d, 5, "a", 699), 'x');
	assert_int_equal(image_get(&d, 7, "a", 700), -1);
	assert_int_equal(fs_sync(&d.fs, fd, NULL), 0);
	assert_int_equal(d.nitem, 0);
	/* Twice the same sector: the crash may leave it as it was in between. */
	put(&d, fd, 0, 512, 'y');
	put(&d, fd, 0, 256, 'z');
	assert_int_equal(image_get(&d, 0, "a", 0), 0);
	assert_int_equal(image_get(&d, 1, "a", 0), 'y');
	assert_int_equal(image_get(&d, 3, "a", 0), 'z');
	assert_int_equal(image_get(&d, 3, "a", 300), 'y');
	fs_close(&d.fs, fd);
	disk_done(&d);
}

static void
test_size(void **state)
{
	struct disk d;
	int fd;

	disk_init(&d);
	fd = make(&d, "a");
	put(&d, fd, 0, 1000, 'x');
	assert_int_equal(fs_sync(&d.fs, fd, NULL), 0);
	assert_int_equal(fs_truncate(&d.fs, fd, 700, NULL), 0);
	assert_int_equal(image_get(&d, 0, "a", 900), 'x');
	assert_int_equal(image_get(&d, 1, "a", 900), -1);
	assert_int_equal(fs_allocate(&d.fs, fd, 1000, NULL), 0);
	assert_int_equal(get(&d, "a", 900), 0);		/* not what was cut off */
	assert_int_equal(image_get(&d, 3, "a", 900), 0);
	assert_int_equal(image_get(&d, 2, "a", 900), 'x');
	fs_close(&d.fs, fd);
	disk_done(&d);
}

/* A sync of the file gives it no name; a sync of the directory gives it no bytes. */
static void
test_names(void **state)
{
	struct disk d, image;
	int fd;

	disk_init(&d);
	assert_int_equal(fs_mkdir(&d.fs, "p", NULL), 0);
	assert_int_equal(fs_mkdir(&d.fs, "q", NULL), 0);
	assert_int_equal(fs_sync_dir(&d.fs, "", NULL), 0);
	fd = fs_open(&d.fs, "p/a", FS_CREATE, NULL);
	put(&d, fd, 0, 10, 'x');
	assert_int_equal(fs_sync(&d.fs, fd, NULL), 0);
	assert_int_equal(d.nitem, 1);
	assert_int_equal(image_get(&d, 0, "p/a", 0), -2);
	assert_int_equal(image_get(&d, 1, "p/a", 0), 'x');
	put(&d, fd, 0, 10, 'y');
	assert_int_equal(fs_sync_dir(&d.fs, "p", NULL), 0);
	assert_int_equal(d.nitem, 1);
	assert_int_equal(image_get(&d, 0, "p/a", 0), 'x');
	assert_int_equal(fs_sync(&d.fs, fd, NULL), 0);
	/* A rename is two entries, each of which may be lost. */
	assert_int_equal(fs_rename(&d.fs, "p/a", "q/b", NULL), 0);
	assert_int_equal(d.nitem, 2);
	assert_int_equal(image_get(&d, 1, "p/a", 0), 'y');
	assert_int_equal(image_get(&d, 1, "q/b", 0), 'y');
	assert_int_equal(image_get(&d, 2, "p/a", 0), -2);
	assert_int_equal(image_get(&d, 2, "q/b", 0), -2);
	crash(&image, &d, 1);		/* with both names it is one file */
	fs_close(&d.fs, fd);
	fd = fs_open(&image.fs, "p/a", FS_WRITE, NULL);
	put(&image, fd, 0, 10, 'z');
	fs_close(&image.fs, fd);
	assert_int_equal(get(&image, "q/b", 0), 'z');
	assert_int_equal(get(&d, "q/b", 0), 'y');	/* and nobody else's */
	disk_done(&image);
	assert_int_equal(fs_sync_dir(&d.fs, "q", NULL), 0);
	assert_int_equal(d.nitem, 1);
	assert_int_equal(fs_sync_dir(&d.fs, "p", NULL), 0);
	assert_int_equal(image_get(&d, 0, "p/a", 0), -2);
	assert_int_equal(image_get(&d, 0, "q/b", 0), 'y');
	disk_done(&d);
}

/* What a failed sync left open stays open; only writing it again helps. */
static void
test_failed_sync(void **state)
{
	struct disk d;
	int fd;

	disk_init(&d);
	fd = make(&d, "a");
	put(&d, fd, 0, 1024, 'x');
	assert_int_equal(fs_sync(&d.fs, fd, NULL), 0);
	put(&d, fd, 0, 1024, 'y');
	disk_fail(&d, TWIN_SYNC, 0, 1, EIO);
	assert_int_equal(fs_sync(&d.fs, fd, NULL), -1);
	assert_int_equal(fs_sync(&d.fs, fd, NULL), 0);
	assert_int_equal(image_get(&d, 0, "a", 0), 'x');
	assert_int_equal(image_get(&d, 1, "a", 0), 'y');
	put(&d, fd, 0, 512, 'z');
	assert_int_equal(fs_sync(&d.fs, fd, NULL), 0);
	assert_int_equal(d.nitem, 1);
	assert_int_equal(image_get(&d, 0, "a", 0), 'z');
	assert_int_equal(image_get(&d, 0, "a", 600), 'x');
	assert_int_equal(image_get(&d, 1, "a", 600), 'y');
	fs_close(&d.fs, fd);
	disk_done(&d);
}

static void
test_hash_and_clone(void **state)
{
	struct disk d, a, b;
	int fd;

	disk_init(&d);
	fd = make(&d, "a");
	put(&d, fd, 0, 512, 'x');
	crash(&a, &d, 1);		/* the size */
	crash(&b, &d, 3);
	assert_true(disk_hash(&a) != disk_hash(&b));
	disk_done(&a);
	disk_clone(&a, &d);
	assert_int_equal(get(&a, "a", 0), 'x');
	assert_int_equal(a.nitem, 2);
	assert_true(disk_hash(&a) != disk_hash(&b));
	fs_close(&d.fs, fd);
	fd = fs_open(&a.fs, "a", FS_WRITE, NULL);
	assert_int_equal(fs_sync(&a.fs, fd, NULL), 0);
	assert_true(disk_hash(&a) == disk_hash(&b));
	fs_close(&a.fs, fd);
	assert_int_equal(image_get(&d, 0, "a", 0), -1);		/* its own sync is not ours */
	disk_done(&a);
	disk_done(&b);
	/* Without a name, and none to come, nothing of it matters. */
	assert_int_equal(fs_unlink(&d.fs, "a", NULL), 0);
	assert_int_equal(fs_sync_dir(&d.fs, "", NULL), 0);
	disk_forget(&d);
	assert_int_equal(d.nitem, 0);
	disk_done(&d);
}

static enum left
damage_all(void *arg, size_t i)
{
	return *(enum left *)arg;
}

/* How many bytes of a sector differ from all 'x' before from, in n, and behind. */
static void
count_wrong(struct disk *d, enum left left, size_t wrong[3])
{
	struct disk image;

	disk_image(&image, d, damage_all, &left);
	for (size_t i = 0; i < DISK_SECTOR; i++)
		wrong[i < 100 ? 0 : i < 200 ? 1 : 2] += get(&image, "a", i) != 'x';
	disk_done(&image);
}

/* A write may damage what it writes; what is durable beside it in the sector it may not. */
static void
test_damage(void **state)
{
	static const struct {
		enum left	left;
		size_t		least, most;
	} cases[] = { { LEFT_WHOLE, 0, 0 }, { LEFT_BIT, 1, 1 }, { LEFT_NOISE, 90, 100 }, { LEFT_ZEROS, 100, 100 } };
	struct disk d;
	int fd;

	disk_init(&d);
	fd = make(&d, "a");
	put(&d, fd, 0, DISK_SECTOR, 'x');
	assert_int_equal(fs_sync(&d.fs, fd, NULL), 0);
	put(&d, fd, 100, 100, 'x');
	for (size_t i = 0; i < lengthof(cases); i++) {
		size_t wrong[3] = { 0 };

		count_wrong(&d, cases[i].left, wrong);
		assert_int_equal(wrong[0] + wrong[2], 0);
		assert_in_range(wrong[1], cases[i].least, cases[i].most);
	}
	fs_close(&d.fs, fd);
	disk_done(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sectors),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_failed_sync),
		cmocka_unit_test(test_hash_and_clone),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests_name("disk", tests, NULL, NULL);
}

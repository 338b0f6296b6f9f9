/* SPDX-License-Identifier: BSD-2-Clause */
/* The walk through one segment, where what it looks at can't be read at the first attempt. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "spool/scan.h"
#include "twin/fs.h"

#include "base/banned.h"

#define NONCE	77u
#define SIZE	(1u << 20)
#define FAR	(600u << 10)		/* behind what one read brings */

static void
put(struct fs *fs, int fd, uint64_t at, uint64_t epoch)
{
	uint8_t bytes[RECORD_HEADER + 64];
	struct record r = { .type = RECORD_CHUNK, .epoch = epoch, .id = 1, .length = 64 };
	struct iovec v = { bytes, sizeof(bytes) };

	memset(bytes, 'x', sizeof(bytes));
	r.crc = crc32c(0, view_of(bytes + RECORD_HEADER, 64));
	record_put(bytes, &r, NONCE);
	assert_int_equal(fs_writev(fs, fd, &v, 1, at, NULL), 0);
}

/* What shows that a bad record was synced stands so far behind it that it takes another read. */
static void
test_look_ahead_again(void **state)
{
	struct segment sg = { .nonce = NONCE, .size = SIZE, .abandon_from = UINT64_MAX };
	struct scan_record x;
	struct twin_fs fs;
	struct scan sc;
	struct err e;
	int fd;

	for (uint64_t good = 0; good < 3; good++) {
		twin_fs_init(&fs);
		fd = fs_open(&fs.fs, "segment", FS_CREATE, NULL);
		assert_true(fd >= 0);
		assert_int_equal(fs_allocate(&fs.fs, fd, SIZE, NULL), 0);
		put(&fs.fs, fd, 0, 1);
		put(&fs.fs, fd, 256, 1);	/* between them a header is missing */
		put(&fs.fs, fd, FAR, 3);
		scan_init(&sc, &fs.fs, fd, &sg, false);
		assert_int_equal(scan_next(&sc, &x, &e), SCAN_RECORD);
		twin_fs_fail(&fs, TWIN_READ, good, 1, EIO);
		assert_int_equal(scan_next(&sc, &x, &e), SCAN_FAIL);
		assert_int_equal(scan_next(&sc, &x, &e), SCAN_DAMAGE);
		assert_int_equal(x.at, 128);
		assert_int_equal(x.length, 128);
		assert_int_equal(scan_next(&sc, &x, &e), SCAN_RECORD);
		assert_int_equal(x.at, 256);
		scan_done(&sc);
		fs_close(&fs.fs, fd);
		twin_fs_done(&fs);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_look_ahead_again),
	};

	return cmocka_run_group_tests_name("scan", tests, NULL, NULL);
}

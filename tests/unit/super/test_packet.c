/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "packet.h"

#include "base/banned.h"

static struct err e;

static void
test_words(void **state)
{
	struct packet p;
	int fd[2];

	assert_int_equal(packet_pair(fd, &e), 0);
	assert_int_equal(packet_receive(fd[1], &p), PACKET_NONE);
	assert_int_equal(packet_send(fd[0], "ping", VIEW(""), -1, &e), 0);
	assert_int_equal(packet_send(fd[0], "status", VIEW("two words"), -1, &e), 0);
	assert_int_equal(packet_receive(fd[1], &p), PACKET_GOT);
	assert_true(view_eq(p.word, VIEW("ping")));
	assert_int_equal(p.rest.n, 0);
	assert_int_equal(p.fd, -1);
	assert_int_equal(packet_receive(fd[1], &p), PACKET_GOT);
	assert_true(view_eq(p.word, VIEW("status")));
	assert_true(view_eq(p.rest, VIEW("two words")));
	assert_int_equal(packet_receive(fd[1], &p), PACKET_NONE);
	(void)close(fd[0]);
	assert_int_equal(packet_receive(fd[1], &p), PACKET_CLOSED);
	assert_int_equal(packet_send(fd[1], "ping", VIEW(""), -1, &e), -1);	/* no signal either */
	assert_int_equal(e.errnum, EPIPE);
	(void)close(fd[1]);
}

static void
test_descriptor(void **state)
{
	struct stat sent, got;
	struct packet p;
	int fd[2], null = open("/dev/null", O_RDONLY);

	assert_int_equal(packet_pair(fd, &e), 0);
	assert_int_equal(packet_send(fd[0], "spool", VIEW(""), null, &e), 0);
	assert_int_equal(packet_receive(fd[1], &p), PACKET_GOT);
	assert_true(p.fd >= 0);
	assert_int_equal(fcntl(p.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(null, &sent), 0);
	assert_int_equal(fstat(p.fd, &got), 0);
	assert_int_equal(sent.st_ino, got.st_ino);
	(void)close(p.fd);
	(void)close(null);
	(void)close(fd[0]);
	(void)close(fd[1]);
}

static void
test_limits(void **state)
{
	char big[PACKET_MAX + 100];
	struct packet p;
	int fd[2];

	memset(big, 'x', sizeof(big));
	assert_int_equal(packet_pair(fd, &e), 0);
	assert_int_equal(packet_send(fd[0], "s", view_of(big, PACKET_MAX - 1), -1, &e), -1);
	assert_int_equal(packet_send(fd[0], "s", view_of(big, PACKET_MAX - 2), -1, &e), 0);
	assert_int_equal(packet_receive(fd[1], &p), PACKET_GOT);
	assert_int_equal(p.rest.n, PACKET_MAX - 2);
	/* A longer one than the other side could have sent. */
	assert_int_equal(send(fd[0], big, sizeof(big), 0), sizeof(big));
	assert_int_equal(packet_receive(fd[1], &p), PACKET_CLOSED);
	/* Nobody reads: an answer and no wait. */
	while (packet_send(fd[0], "ping", VIEW(""), -1, &e) == 0)
		;
	assert_int_equal(e.errnum, EAGAIN);
	(void)close(fd[0]);
	(void)close(fd[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_descriptor),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "sys/listen.h"
#include "sys/peer.h"

#include "base/banned.h"

/* --- the answer ------------------------------------------------------------------------ */

static const struct peer_question question = { .sequence = 7, .own_port = 25, .peer_port = 40112 };

struct answer {
	struct nlmsghdr h;
	struct inet_diag_msg m;
};

static struct answer
good(void)
{
	return (struct answer){
		.h = { .nlmsg_len = sizeof(struct answer), .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_seq = 7 },
		.m = { .idiag_state = TCP_ESTABLISHED, .idiag_uid = 33, .idiag_inode = 4711,
		    .id = { .idiag_sport = htons(40112), .idiag_dport = htons(25) } },
	};
}

/* A uid that is not found is not touched: no 0 comes out of anything. */
static void
wants(const struct answer *a, size_t n, enum peer_answer want)
{
	int64_t uid = -1;

	assert_int_equal(peer_answer_judge(&question, view_of(a, n), &uid), want);
	assert_int_equal(uid, want == PEER_ANSWER_FOUND ? 33 : -1);
}

static void
test_answers(void **state)
{
	struct answer a = good();

	wants(&a, sizeof(a), PEER_ANSWER_FOUND);
	for (size_t n = 0; n < sizeof(a); n++)
		wants(&a, n, PEER_ANSWER_STRANGE);
	for (uint32_t n = 0; n < sizeof(a); n++) {
		a.h.nlmsg_len = n;
		wants(&a, sizeof(a), PEER_ANSWER_STRANGE);
	}
	a = good();
	a.h.nlmsg_seq = 6;
	wants(&a, sizeof(a), PEER_ANSWER_STRANGE);
	a = good();
	a.h.nlmsg_type = NLMSG_DONE;
	wants(&a, sizeof(a), PEER_ANSWER_STRANGE);
	a = good();
	a.m.id.idiag_sport = htons(40113);
	wants(&a, sizeof(a), PEER_ANSWER_STRANGE);
	a = good();
	a.m.id.idiag_dport = htons(26);
	wants(&a, sizeof(a), PEER_ANSWER_STRANGE);
}

static void
test_states(void **state)
{
	struct answer a = good();

	for (uint8_t s = 0; s < 20; s++) {
		bool ok = s == TCP_ESTABLISHED || s == TCP_CLOSE_WAIT;

		a.m.idiag_state = s;
		a.m.idiag_inode = 4711;
		wants(&a, sizeof(a), ok ? PEER_ANSWER_FOUND : PEER_ANSWER_CLOSED);
		a.m.idiag_inode = 0;
		wants(&a, sizeof(a), PEER_ANSWER_CLOSED);
		a.m.idiag_uid = 0;		/* as the kernel says it of what is left of a socket */
		wants(&a, sizeof(a), PEER_ANSWER_CLOSED);
		a.m.idiag_uid = 33;
	}
}

static void
test_refusals(void **state)
{
	struct {
		struct nlmsghdr h;
		int code;
		char rest[sizeof(struct inet_diag_msg)];
	} a = { .h = { .nlmsg_len = sizeof(a), .nlmsg_type = NLMSG_ERROR, .nlmsg_seq = 7 } };
	static const int codes[] = { 0, -1, -2, -22, 2 };

	for (size_t i = 0; i < lengthof(codes); i++) {
		a.code = codes[i];
		wants((const void *)&a, sizeof(a), codes[i] == -2 ? PEER_ANSWER_NONE : PEER_ANSWER_STRANGE);
	}
}

static void
test_nobody(void **state)
{
	assert_int_equal(peer_nobody(VIEW("         0          0 4294967295\n"), VIEW("65534\n")), -1);
	assert_int_equal(peer_nobody(VIEW(""), VIEW("65534\n")), -1);
	assert_int_equal(peer_nobody(VIEW("         0     100000      65536\n"), VIEW("65534\n")), 65534);
	assert_int_equal(peer_nobody(VIEW("0 0 1000\n1000 1001 5\n"), VIEW("99\n")), 99);
	assert_int_equal(peer_nobody(VIEW("0 0 65536\n"), VIEW("")), 65534);
	assert_int_equal(peer_nobody(VIEW("1 0 4294967295\n"), VIEW("x")), 65534);
}

/* --- the kernel's answer ------------------------------------------------------------------ */

struct ends {
	int listener, client, server;
	struct sockaddr_storage peer;
};

#define USER 23456		/* who makes the client's socket, if we may */

static void
as_user(uid_t uid)
{
	if (getuid() == 0)
		assert_int_equal(seteuid(uid), 0);
}

static int64_t
own_uid(void)
{
	return getuid() == 0 ? USER : (int64_t)getuid();
}

/* False: this family is not to be had here. */
static bool
listen_at(int family, struct sockaddr_storage *at, socklen_t *len, int *fd)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct err e;

	*at = (struct sockaddr_storage){ 0 };
	*len = family == AF_INET ? sizeof(in) : sizeof(in6);
	memcpy(at, family == AF_INET ? (void *)&in : (void *)&in6, *len);
	return socket_listen(fd, (struct sockaddr *)at, *len, 0, &e) == 0 &&
	    getsockname(*fd, (struct sockaddr *)at, len) == 0;
}

/* The client's own family may be IPv6 for an IPv4 connection. */
static bool
meet(struct ends *p, int family, bool mapped)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_storage at;
	socklen_t len;

	if (!listen_at(family, &at, &len, &p->listener))
		return false;
	as_user(USER);
	p->client = socket(mapped ? AF_INET6 : family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	as_user(0);
	if (mapped) {
		in6.sin6_port = ((struct sockaddr_in *)&at)->sin_port;
		assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &in6.sin6_addr), 1);
		len = sizeof(in6);
		memcpy(&at, &in6, len);
	}
	if (p->client < 0)
		return false;
	if (family == AF_INET && !mapped) {
		/* An address that nobody else uses here, so that nobody takes the port when it is free again. */
		struct sockaddr_in own = { .sin_family = AF_INET };

		assert_int_equal(inet_pton(AF_INET, "127.25.53.1", &own.sin_addr), 1);
		assert_int_equal(bind(p->client, (struct sockaddr *)&own, sizeof(own)), 0);
	}
	assert_int_equal(connect(p->client, (struct sockaddr *)&at, len), 0);
	return true;
}

static void
accept_it(struct ends *p)
{
	socklen_t len = sizeof(p->peer);

	/* Not to wait for ever in a test; on the loopback it is there. */
	p->server = accept(p->listener, (struct sockaddr *)&p->peer, &len);
	assert_true(p->server >= 0);
}

static void
part(struct ends *p)
{
	if (p->client >= 0)
		assert_int_equal(close(p->client), 0);
	assert_int_equal(close(p->server), 0);
	assert_int_equal(close(p->listener), 0);
}

static void
finds(struct peer_finder *f, const struct ends *p, enum peer_found want)
{
	int64_t uid = 1, pid = 1;

	assert_int_equal(peer_find(f, p->server, (const struct sockaddr *)&p->peer, &uid, &pid), want);
	assert_int_equal(uid, want == PEER_FOUND ? own_uid() : -1);
	assert_int_equal(pid, -1);
}

static void
test_connections(void **state)
{
	static const struct { int family; bool mapped; } all[] = {
		{ AF_INET, false }, { AF_INET, true }, { AF_INET6, false },
	};
	struct peer_finder f;
	struct ends p;
	struct err e;

	assert_int_equal(peer_finder_init(&f, &e), 0);
	for (size_t i = 0; i < lengthof(all); i++) {
		if (!meet(&p, all[i].family, all[i].mapped)) {
			print_message("no IPv6 here\n");
			continue;
		}
		accept_it(&p);
		finds(&f, &p, PEER_FOUND);
		/* We have said all that we will: theirs is in CLOSE_WAIT. */
		assert_int_equal(shutdown(p.server, SHUT_WR), 0);
		finds(&f, &p, PEER_FOUND);
		part(&p);
	}
	peer_finder_done(&f);
}

/* What is left of a closed socket is root's in the kernel's tables. */
static void
test_closed_at_once(void **state)
{
	static const int families[] = { AF_INET, AF_INET6 };
	struct peer_finder f;
	struct ends p;
	struct err e;

	assert_int_equal(peer_finder_init(&f, &e), 0);
	for (size_t i = 0; i < lengthof(families); i++) {
		if (!meet(&p, families[i], false))
			continue;
		assert_int_equal(write(p.client, "MAIL\r\n", 6), 6);
		assert_int_equal(close(p.client), 0);
		p.client = -1;
		accept_it(&p);
		finds(&f, &p, PEER_CLOSED);
		part(&p);

		assert_true(meet(&p, families[i], false));
		assert_int_equal(shutdown(p.client, SHUT_WR), 0);
		accept_it(&p);
		finds(&f, &p, PEER_CLOSED);
		part(&p);
	}
	peer_finder_done(&f);
}

/* A reset leaves nothing; where a server listens at the client's port, it is not taken for the client. */
static void
test_nothing_left(void **state)
{
	struct linger at_once = { 1, 0 };
	struct sockaddr_storage taken;
	socklen_t len = sizeof(taken);
	struct peer_finder f;
	struct ends p;
	struct err e;
	int other;

	assert_int_equal(peer_finder_init(&f, &e), 0);
	assert_true(meet(&p, AF_INET, false));
	accept_it(&p);
	assert_int_equal(getsockname(p.client, (struct sockaddr *)&taken, &len), 0);
	assert_int_equal(setsockopt(p.client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	assert_int_equal(close(p.client), 0);
	p.client = -1;
	finds(&f, &p, PEER_CLOSED);
	assert_int_equal(socket_listen(&other, (struct sockaddr *)&taken, len, 0, &e), 0);
	finds(&f, &p, PEER_CLOSED);
	assert_int_equal(close(other), 0);
	part(&p);
	peer_finder_done(&f);
}

static void
test_other_users(void **state)
{
	struct peer_finder f;
	struct ends p;
	struct err e;

	assert_int_equal(peer_finder_init(&f, &e), 0);
	assert_true(meet(&p, AF_INET, false));
	accept_it(&p);
	f.nobody = own_uid();
	finds(&f, &p, PEER_OTHER_USERS);
	peer_finder_done(&f);
	finds(&f, &p, PEER_NOT_ASKED);		/* it has no socket any more */
	part(&p);
}

/* The same addresses may be in use in both networks: ours says nothing of theirs. */
static void
test_other_network(void **state)
{
	struct peer_finder here, there;
	struct err e;
	struct ends p;
	pid_t child;
	int status;

	assert_int_equal(peer_finder_init(&here, &e), 0);
	assert_true(meet(&p, AF_INET, false));
	accept_it(&p);
	finds(&here, &p, PEER_FOUND);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int64_t uid, pid;

		if (unshare(CLONE_NEWNET) != 0)
			_exit(77);
		if (peer_finder_init(&there, &e) != 0)
			_exit(1);
		_exit(peer_find(&there, p.server, (struct sockaddr *)&p.peer, &uid, &pid) == PEER_OTHER_NETWORK &&
		    uid == -1 ? 0 : 2);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	part(&p);
	peer_finder_done(&here);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77) {
		print_message("no network namespace can be made here\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
test_unix(void **state)
{
	struct sockaddr_un nameless = { .sun_family = AF_UNIX };
	int64_t uid = 1, pid = 1;
	struct peer_finder f;
	struct err e;
	int fd[2];

	assert_int_equal(peer_finder_init(&f, &e), 0);
	assert_int_equal(socket_pair(fd, &e), 0);
	assert_int_equal(peer_find(&f, fd[0], (struct sockaddr *)&nameless, &uid, &pid), PEER_FOUND);
	assert_int_equal(uid, getuid());
	assert_int_equal(pid, getpid());
	assert_int_equal(peer_find(&f, -1, (struct sockaddr *)&nameless, &uid, &pid), PEER_NOT_ASKED);
	assert_int_equal(uid, -1);
	assert_int_equal(pid, -1);
	assert_int_equal(close(fd[0]) | close(fd[1]), 0);
	peer_finder_done(&f);
}

static void
test_words(void **state)
{
	assert_null(peer_found_word(PEER_FOUND));
	assert_string_equal(peer_found_word(PEER_CLOSED), "closed");
	assert_string_equal(peer_found_word(PEER_OTHER_NETWORK), "other-network");
	assert_string_equal(peer_found_word(PEER_OTHER_USERS), "other-users");
	assert_string_equal(peer_found_word(PEER_NOT_ASKED), "not-asked");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_nobody),
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_closed_at_once),
		cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_other_users),
		cmocka_unit_test(test_other_network),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

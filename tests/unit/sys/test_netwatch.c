/* SPDX-License-Identifier: BSD-2-Clause */
/* Which of the kernel's messages say that the way to a smarthost may be another one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/netwatch.h"
#include "unit/patience.h"

#include "base/banned.h"

/* --- messages like the kernel's --------------------------------------------------- */

struct message {
	uint8_t	bytes[512];
	size_t	n;
};

static void
put(struct message *m, const void *p, size_t n)
{
	uint32_t len;

	memcpy(m->bytes + m->n, p, n);
	m->n += NLMSG_ALIGN(n);
	len = (uint32_t)m->n;
	memcpy(m->bytes + offsetof(struct nlmsghdr, nlmsg_len), &len, sizeof(len));
}

static struct message
begin(uint16_t type, const void *body, size_t n)
{
	struct nlmsghdr h = { .nlmsg_type = type };
	struct message m = { .n = 0 };

	put(&m, &h, sizeof(h));
	put(&m, body, n);
	return m;
}

static void
attribute(struct message *m, uint16_t type, const void *value, size_t n)
{
	struct rtattr a = { .rta_len = (uint16_t)(sizeof(a) + n), .rta_type = type };

	put(m, &a, sizeof(a));
	put(m, value, n);
}

static void
number(struct message *m, uint16_t type, uint32_t value)
{
	attribute(m, type, &value, sizeof(value));
}

#define ETH 2

static struct message
address_of(uint16_t type, unsigned index, uint8_t last, uint8_t flags, uint8_t scope)
{
	struct ifaddrmsg a = { .ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = index,
		.ifa_flags = flags, .ifa_scope = scope };
	uint8_t ip[4] = { 192, 0, 2, last };
	struct message m = begin(type, &a, sizeof(a));

	attribute(&m, IFA_LOCAL, ip, sizeof(ip));
	return m;
}

static struct message
address(uint16_t type, unsigned index, uint8_t last)
{
	return address_of(type, index, last, IFA_F_PERMANENT, RT_SCOPE_UNIVERSE);
}

/* The default route. */
static struct message
route_of(uint16_t type, const struct rtmsg *r, uint8_t gateway, unsigned index)
{
	uint8_t ip[4] = { 192, 0, 2, gateway };
	struct message m = begin(type, r, sizeof(*r));

	number(&m, RTA_TABLE, r->rtm_table);
	if (gateway != 0)
		attribute(&m, RTA_GATEWAY, ip, sizeof(ip));
	if (index != 0)
		number(&m, RTA_OIF, index);
	return m;
}

static struct message
route(uint16_t type, uint8_t gateway, unsigned index)
{
	struct rtmsg r = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST };

	return route_of(type, &r, gateway, index);
}

static struct message
device(int index, unsigned flags, unsigned change)
{
	struct ifinfomsg l = { .ifi_index = index, .ifi_flags = flags, .ifi_change = change };

	return begin(RTM_NEWLINK, &l, sizeof(l));
}

static struct netwatch_memory memory;

static int
setup(void **state)
{
	memory.n = 0;
	return 0;
}

static enum netwatch_change
judge(struct message m)
{
	return netwatch_judge(&memory, view_of(m.bytes, m.n));
}

/* --- addresses --------------------------------------------------------------------- */

static void
an_address_counts_once(void **state)
{
	assert_int_equal(judge(address(RTM_NEWADDR, ETH, 1)), NETWATCH_ADDRESS);
	/* A lease that is renewed says it again. */
	assert_int_equal(judge(address(RTM_NEWADDR, ETH, 1)), NETWATCH_NONE);
	assert_int_equal(judge(address(RTM_NEWADDR, ETH, 2)), NETWATCH_ADDRESS);
	assert_int_equal(judge(address(RTM_DELADDR, ETH, 1)), NETWATCH_ADDRESS);
	assert_int_equal(judge(address(RTM_NEWADDR, ETH, 1)), NETWATCH_ADDRESS);
	/* One that was there before us is not known, and can go all the same. */
	assert_int_equal(judge(address(RTM_DELADDR, ETH, 9)), NETWATCH_ADDRESS);
}

static void
an_address_that_becomes_usable_counts(void **state)
{
	assert_int_equal(judge(address_of(RTM_NEWADDR, ETH, 1, IFA_F_TENTATIVE, 0)), NETWATCH_ADDRESS);
	assert_int_equal(judge(address_of(RTM_NEWADDR, ETH, 1, 0, 0)), NETWATCH_ADDRESS);
	assert_int_equal(judge(address_of(RTM_NEWADDR, ETH, 1, IFA_F_PERMANENT, 0)), NETWATCH_NONE);
	assert_int_equal(judge(address_of(RTM_NEWADDR, ETH, 1, IFA_F_DEPRECATED, 0)), NETWATCH_ADDRESS);
}

static void
loopback_and_link_scope_do_not_count(void **state)
{
	struct rtmsg r = { .rtm_family = AF_INET6, .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_UNICAST,
		.rtm_dst_len = 64 };
	uint8_t fe80[16] = { 0xfe, 0x80 };
	struct message m = begin(RTM_NEWROUTE, &r, sizeof(r));

	assert_int_equal(judge(address(RTM_NEWADDR, 1, 1)), NETWATCH_NONE);
	assert_int_equal(judge(address(RTM_DELADDR, 1, 1)), NETWATCH_NONE);
	assert_int_equal(judge(address_of(RTM_NEWADDR, ETH, 1, 0, RT_SCOPE_LINK)), NETWATCH_NONE);
	assert_int_equal(judge(route(RTM_NEWROUTE, 0, 1)), NETWATCH_NONE);
	attribute(&m, RTA_DST, fe80, sizeof(fe80));
	number(&m, RTA_OIF, ETH);
	assert_int_equal(judge(m), NETWATCH_NONE);
	assert_int_equal(judge(device(1, IFF_UP | IFF_LOOPBACK, IFF_UP)), NETWATCH_NONE);
	assert_int_equal(judge(device(7, IFF_UP | IFF_LOOPBACK, IFF_UP)), NETWATCH_NONE);
}

/* --- routes ------------------------------------------------------------------------ */

static void
a_route_counts_when_it_is_another(void **state)
{
	assert_int_equal(judge(route(RTM_NEWROUTE, 1, ETH)), NETWATCH_ROUTE);
	assert_int_equal(judge(route(RTM_NEWROUTE, 1, ETH)), NETWATCH_NONE);
	/* Replaced, and replaced back: the old one is not announced as gone. */
	assert_int_equal(judge(route(RTM_NEWROUTE, 2, ETH)), NETWATCH_ROUTE);
	assert_int_equal(judge(route(RTM_NEWROUTE, 1, ETH)), NETWATCH_ROUTE);
	assert_int_equal(judge(route(RTM_NEWROUTE, 1, ETH + 1)), NETWATCH_ROUTE);
	assert_int_equal(judge(route(RTM_DELROUTE, 1, ETH + 1)), NETWATCH_ROUTE);
}

static void
only_ways_to_other_hosts_count(void **state)
{
	static const struct {
		unsigned char		table, type;
		unsigned		flags;
		enum netwatch_change	change;
	} cases[] = {
		{ RT_TABLE_LOCAL, RTN_LOCAL, 0, NETWATCH_NONE },
		{ RT_TABLE_LOCAL, RTN_UNICAST, 0, NETWATCH_NONE },
		{ RT_TABLE_MAIN, RTN_BROADCAST, 0, NETWATCH_NONE },
		{ RT_TABLE_MAIN, RTN_MULTICAST, 0, NETWATCH_NONE },
		{ RT_TABLE_MAIN, RTN_UNICAST, RTM_F_CLONED, NETWATCH_NONE },
		{ RT_TABLE_MAIN, RTN_UNREACHABLE, 0, NETWATCH_ROUTE },
		{ RT_TABLE_MAIN, RTN_PROHIBIT, 0, NETWATCH_ROUTE },
		{ RT_TABLE_MAIN, RTN_BLACKHOLE, 0, NETWATCH_ROUTE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rtmsg r = { .rtm_family = AF_INET, .rtm_table = cases[i].table,
			.rtm_type = cases[i].type, .rtm_flags = cases[i].flags };

		/* "unreachable default" of IPv6 goes out by lo. */
		assert_int_equal(judge(route_of(RTM_NEWROUTE, &r, 0,
		    cases[i].type == RTN_UNICAST ? ETH : 1)), cases[i].change);
	}
}

/* --- links ------------------------------------------------------------------------- */

static void
a_link_counts_when_it_goes_up_or_down(void **state)
{
	struct message port = device(5, IFF_UP | IFF_RUNNING, IFF_UP);

	assert_int_equal(judge(device(ETH, IFF_UP | IFF_RUNNING, ~0u)), NETWATCH_NONE);	/* it is new */
	assert_int_equal(judge(device(ETH, IFF_UP | IFF_RUNNING | IFF_PROMISC, IFF_PROMISC)),
	    NETWATCH_NONE);
	assert_int_equal(judge(device(ETH, IFF_UP, 0)), NETWATCH_LINK);	/* no carrier */
	assert_int_equal(judge(device(ETH, IFF_UP, 0)), NETWATCH_NONE);
	assert_int_equal(judge(device(ETH, IFF_UP | IFF_RUNNING, 0)), NETWATCH_LINK);
	assert_int_equal(judge(device(3, 0, IFF_UP)), NETWATCH_LINK);	/* never heard of before */
	number(&port, IFLA_MASTER, 4);
	assert_int_equal(judge(port), NETWATCH_NONE);
}

/* --- what is not as it should be ------------------------------------------------------ */

static void
memory_is_bounded(void **state)
{
	for (unsigned i = 0; i < 3 * NETWATCH_SEEN_MAX; i++)
		assert_int_equal(judge(address(RTM_NEWADDR, ETH + i, 1)), NETWATCH_ADDRESS);
	assert_true(memory.n <= NETWATCH_SEEN_MAX);
	/* All was forgotten meanwhile: better once too often. */
	assert_int_equal(judge(address(RTM_NEWADDR, ETH, 1)), NETWATCH_ADDRESS);
}

static void
several_in_one_datagram(void **state)
{
	struct message one = address(RTM_NEWADDR, 1, 1), two = address(RTM_NEWADDR, ETH, 1), all = one;

	memcpy(all.bytes + all.n, two.bytes, two.n);
	all.n += two.n;
	assert_int_equal(judge(all), NETWATCH_ADDRESS);
}

/* Each length of each message, and a length in it that is a lie: nothing is read behind the end. */
static void
torn_messages_are_skipped(void **state)
{
	struct message all[] = { address(RTM_NEWADDR, ETH, 1), route(RTM_NEWROUTE, 1, ETH),
		device(ETH, IFF_UP, IFF_UP) };
	uint8_t *copy;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		for (size_t n = 0; n < all[i].n; n++) {
			copy = test_malloc(n);		/* a sanitizer sees its end */
			memcpy(copy, all[i].bytes, n);
			(void)netwatch_judge(&memory, view_of(copy, n));
			test_free(copy);
		}
		for (size_t at = 0; at + 1 < all[i].n; at += 2) {
			struct message lie = all[i];

			lie.bytes[at] = lie.bytes[at + 1] = 0xff;
			copy = test_malloc(lie.n);
			memcpy(copy, lie.bytes, lie.n);
			(void)netwatch_judge(&memory, view_of(copy, lie.n));
			test_free(copy);
		}
	}
	assert_int_equal(judge(begin(RTM_NEWRULE, "", 0)), NETWATCH_NONE);
}

/* --- the socket ---------------------------------------------------------------------- */

/* What recvmsg() finds: -1 with this errno, or a message of this many bytes from this port. */
struct script {
	int		 errnum;
	struct message	 message;
	uint32_t	 port;
	int		 flags;
};
static const struct script *script;
static size_t nscript, at_script;
static unsigned calls;

ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);

ssize_t
__wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	struct sockaddr_nl from = { .nl_family = AF_NETLINK };
	const struct script *s;

	calls++;
	if (at_script == nscript) {
		errno = EAGAIN;
		return -1;
	}
	s = &script[at_script];
	if (s->message.n != 0 || s->errnum != ENOBUFS || nscript > 1)
		at_script++;
	errno = s->errnum;
	if (s->errnum != 0)
		return -1;
	from.nl_pid = s->port;
	memcpy(msg->msg_name, &from, sizeof(from));
	memcpy(msg->msg_iov[0].iov_base, s->message.bytes, s->message.n);
	msg->msg_flags = s->flags;
	return (ssize_t)s->message.n;
}

static struct loop *loop;
static enum netwatch_change heard;
static unsigned times;

static void
on_change(void *owner, enum netwatch_change c)
{
	heard = c;
	times++;
	loop_stop(loop);
}

static void
stop_it(void *arg)
{
	loop_stop(loop);
}

/* One turn in which the descriptor is ready. */
static void
play(const struct script *s, size_t n)
{
	struct patience patience;
	struct netwatch *w;
	struct timer timer;
	int fd[2];

	script = s;
	nscript = n;
	at_script = 0;
	calls = times = 0;
	heard = NETWATCH_NONE;
	assert_int_equal(loop_new(&loop, NULL), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	patience_init(&patience, loop);
	timer_init(&timer, stop_it, NULL);
	timer_set(loop, &timer, 5);
	w = netwatch_new(loop, fd[0], on_change, NULL);
	patience_run(&patience);
	netwatch_free(w);
	(void)close(fd[1]);
	loop_free(loop);
}

static void
lost_messages_count_as_a_change(void **state)
{
	struct script full[] = { { .errnum = ENOBUFS }, { .errnum = EAGAIN } };
	struct script cut[] = { { .message = address(RTM_NEWADDR, 1, 1), .flags = MSG_TRUNC } };

	play(full, 2);
	assert_int_equal(heard, NETWATCH_LOST);
	assert_string_equal(netwatch_word(heard), "unknown");
	play(cut, 1);
	assert_int_equal(heard, NETWATCH_LOST);
}

static void
only_the_kernel_is_believed(void **state)
{
	struct script s[] = { { .message = address(RTM_NEWADDR, ETH, 1), .port = 4711 } };

	play(s, 1);
	assert_int_equal(times, 0);
	s[0].port = 0;
	play(s, 1);
	assert_int_equal(times, 1);
	assert_int_equal(heard, NETWATCH_ADDRESS);
}

static void
a_turn_reads_so_much_and_tells_once(void **state)
{
	struct script s[] = { { .errnum = ENOBUFS } };		/* for ever */

	play(s, 1);
	assert_int_equal(calls % NETWATCH_READS_MAX, 0);
	assert_int_equal(calls / NETWATCH_READS_MAX, times);
}

/* The real kernel lets anybody listen. */
static void
the_kernel_lets_us_listen(void **state)
{
	struct err e;
	int fd = netwatch_open(&e);

	if (fd < 0)
		print_message("no netlink here: %s\n", e.text);
	else
		assert_int_equal(close(fd), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_address_counts_once, setup),
		cmocka_unit_test_setup(an_address_that_becomes_usable_counts, setup),
		cmocka_unit_test_setup(loopback_and_link_scope_do_not_count, setup),
		cmocka_unit_test_setup(a_route_counts_when_it_is_another, setup),
		cmocka_unit_test_setup(only_ways_to_other_hosts_count, setup),
		cmocka_unit_test_setup(a_link_counts_when_it_goes_up_or_down, setup),
		cmocka_unit_test_setup(memory_is_bounded, setup),
		cmocka_unit_test_setup(several_in_one_datagram, setup),
		cmocka_unit_test_setup(torn_messages_are_skipped, setup),
		cmocka_unit_test(lost_messages_count_as_a_change),
		cmocka_unit_test(only_the_kernel_is_believed),
		cmocka_unit_test(a_turn_reads_so_much_and_tells_once),
		cmocka_unit_test(the_kernel_lets_us_listen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

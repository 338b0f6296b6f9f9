/* SPDX-License-Identifier: BSD-2-Clause */
/* Lookups that are shared, and connecting to the first address that answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "relay/dial.h"
#include "relay/lookup.h"
#include "twin/loop.h"
#include "twin/net.h"

static const struct stream_limits limits = { 1024, 1024 };

struct fixture {
	struct twin_loop	loop;
	struct twin_net		net;
	struct dial		dial;
	struct address_book	book;
	bool			probe;		/* asks for the order */
	unsigned		calls;
	struct stream		*stream;
	char			address[ADDRESS_TEXT_MAX];
	struct stream_end	end;
	unsigned		answers;
	enum resolve_result	result;
};

static void
on_dialled(void *owner, struct stream *s, const struct address *a, const struct stream_end *end)
{
	struct fixture *f = owner;

	f->calls++;
	f->stream = s;
	if (s != NULL)
		address_text(f->address, a);
	else
		f->end = *end;
}

static void
on_accept(void *arg, struct twin_endpoint *ep, struct stream *s)
{
	stream_close(s);
}

static int
setup(void **state)
{
	struct fixture *f = xzalloc(sizeof(*f));

	twin_loop_init(&f->loop, 0);
	twin_net_init(&f->net, &f->loop.loop);
	address_book_init(&f->book);
	dial_init(&f->dial, &f->net.net, &f->book, &limits, on_dialled, f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	dial_stop(&f->dial);
	if (f->stream != NULL)
		stream_abort(f->stream);
	twin_net_done(&f->net);
	twin_loop_done(&f->loop);
	free(f);
	return 0;
}

static void
endpoint(struct fixture *f, const char *address, enum twin_mode mode)
{
	struct twin_endpoint *ep = twin_net_endpoint(&f->net, address);

	ep->mode = mode;
	ep->on_accept = on_accept;
}

static void
start(struct fixture *f, const char *const *host, size_t n)
{
	struct address a[RESOLVE_MAX];

	for (size_t i = 0; i < n; i++)
		assert_true(address_from_host(&a[i], view_str(host[i]), 0));
	dial_start(&f->dial, a, n, 587, false);
}

static void
silence_is_passed_by(void **state)
{
	static const char *const hosts[] = { "2001:db8::1", "2001:db8::2", "192.0.2.1" };
	struct fixture *f = *state;

	endpoint(f, "[2001:db8::1]:587", TWIN_SILENT);
	endpoint(f, "[2001:db8::2]:587", TWIN_SILENT);
	endpoint(f, "192.0.2.1:587", TWIN_ACCEPT);
	start(f, hosts, 3);
	twin_loop_run(&f->loop, 300);
	/* The other family comes second, a quarter of a second later. */
	assert_int_equal(f->calls, 1);
	assert_string_equal(f->address, "192.0.2.1:587");
	assert_int_equal(f->net.connects, 2);
}

static void
refusal_goes_on_at_once(void **state)
{
	static const char *const hosts[] = { "192.0.2.1", "192.0.2.2" };
	struct fixture *f = *state;

	endpoint(f, "192.0.2.1:587", TWIN_REFUSE);
	endpoint(f, "192.0.2.2:587", TWIN_ACCEPT);
	start(f, hosts, 2);
	twin_loop_run(&f->loop, 20);
	assert_int_equal(f->calls, 1);
	assert_string_equal(f->address, "192.0.2.2:587");
}

static void
the_most_telling_failure_is_kept(void **state)
{
	static const char *const hosts[] = { "192.0.2.1", "2001:db8::1", "192.0.2.2" };
	struct fixture *f = *state;

	endpoint(f, "192.0.2.1:587", TWIN_NO_ROUTE);
	endpoint(f, "[2001:db8::1]:587", TWIN_REFUSE);
	endpoint(f, "192.0.2.2:587", TWIN_NO_ROUTE);
	start(f, hosts, 3);
	twin_loop_run(&f->loop, 1000);
	assert_int_equal(f->calls, 1);
	assert_null(f->stream);
	assert_int_equal(f->end.kind, STREAM_REFUSED);
}

static void
stopped_it_is_silent(void **state)
{
	static const char *const hosts[] = { "192.0.2.1", "192.0.2.2" };
	struct fixture *f = *state;

	endpoint(f, "192.0.2.1:587", TWIN_SILENT);
	endpoint(f, "192.0.2.2:587", TWIN_ACCEPT);
	start(f, hosts, 2);
	twin_loop_run(&f->loop, 100);
	dial_stop(&f->dial);
	twin_loop_run(&f->loop, 60000);
	assert_int_equal(f->calls, 0);
	assert_int_equal(f->net.connects, 1);
}

/* --- what is remembered ------------------------------------------------------------- */

/* Who is tried, in which order, all being silent: a fresh dial for each. */
static const char *
order_of(struct fixture *f, const char *const *host, size_t n, uint16_t port)
{
	static char text[1000];
	struct address in[RESOLVE_MAX], out[RESOLVE_MAX];
	size_t at = 0, done;

	for (size_t i = 0; i < n; i++)
		assert_true(address_from_host(&in[i], view_str(host[i]), 0));
	done = address_book_order(&f->book, in, n, port, f->probe, loop_now(&f->loop.loop), out);
	assert_int_equal(done, n);
	text[0] = '\0';
	for (size_t i = 0; i < done; i++) {
		char one[ADDRESS_TEXT_MAX];

		assert_int_equal(address_port(&out[i]), port);
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", i != 0 ? " " : "",
		    address_host_text(one, &out[i]));
	}
	return text;
}

static void
families_take_turns(void **state)
{
	static const char *const hosts[] = { "2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1",
		"192.0.2.2" };
	struct fixture *f = *state;

	/* RFC 8305, 4: after the first address one of the other family. */
	assert_string_equal(order_of(f, hosts, 5, 587),
	    "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 2001:db8::3");
	assert_string_equal(order_of(f, hosts + 3, 2, 587), "192.0.2.1 192.0.2.2");
	assert_string_equal(order_of(f, hosts, 0, 587), "");
}

static void
a_family_that_lost_is_tried_last_for_a_while(void **state)
{
	static const char *const hosts[] = { "2001:db8::1", "192.0.2.1", "2001:db8::2" };
	struct fixture *f = *state;

	endpoint(f, "[2001:db8::1]:587", TWIN_SILENT);
	endpoint(f, "192.0.2.1:587", TWIN_ACCEPT);
	start(f, hosts, 2);
	twin_loop_run(&f->loop, 1000);
	assert_string_equal(f->address, "192.0.2.1:587");
	/* Also for another port and other addresses: it is the way that is bad. */
	assert_string_equal(order_of(f, hosts, 3, 465), "192.0.2.1 2001:db8::1 2001:db8::2");
	twin_loop_run(&f->loop, ADDRESS_BAD_MS);
	assert_string_equal(order_of(f, hosts, 3, 465), "2001:db8::1 192.0.2.1 2001:db8::2");
}

static void
an_address_that_lost_is_tried_last_by_mail(void **state)
{
	static const char *const hosts[] = { "192.0.2.1", "192.0.2.2", "192.0.2.3" };
	struct fixture *f = *state;

	endpoint(f, "192.0.2.1:587", TWIN_SILENT);
	endpoint(f, "192.0.2.2:587", TWIN_ACCEPT);
	start(f, hosts, 3);
	twin_loop_run(&f->loop, 1000);
	assert_string_equal(f->address, "192.0.2.2:587");
	assert_string_equal(order_of(f, hosts, 3, 587), "192.0.2.2 192.0.2.3 192.0.2.1");
	assert_string_equal(order_of(f, hosts, 3, 465), "192.0.2.1 192.0.2.2 192.0.2.3");
}

static void
a_family_without_a_route_is_remembered(void **state)
{
	static const char *const hosts[] = { "2001:db8::1", "192.0.2.1" };
	struct fixture *f = *state;

	endpoint(f, "[2001:db8::1]:587", TWIN_NO_ROUTE);
	endpoint(f, "192.0.2.1:587", TWIN_ACCEPT);
	start(f, hosts, 2);
	twin_loop_run(&f->loop, 20);
	assert_string_equal(f->address, "192.0.2.1:587");	/* and it took no quarter of a second */
	assert_string_equal(order_of(f, hosts, 2, 587), "192.0.2.1 2001:db8::1");
}

/* Nobody answered: that says nothing of one family or the other. */
static void
where_all_fail_nothing_is_remembered(void **state)
{
	static const char *const hosts[] = { "2001:db8::1", "192.0.2.1" };
	struct fixture *f = *state;

	endpoint(f, "[2001:db8::1]:587", TWIN_REFUSE);
	endpoint(f, "192.0.2.1:587", TWIN_REFUSE);
	start(f, hosts, 2);
	twin_loop_run(&f->loop, 1000);
	assert_null(f->stream);
	assert_string_equal(order_of(f, hosts, 2, 587), "2001:db8::1 192.0.2.1");
}

static void
an_address_is_bad_with_its_port(void **state)
{
	static const char *const hosts[] = { "192.0.2.1", "192.0.2.2", "192.0.2.3" };
	struct fixture *f = *state;
	struct address a;
	int64_t now = loop_now(&f->loop.loop);

	assert_true(address_from_host(&a, VIEW("192.0.2.1"), 587));
	address_book_failed(&f->book, &a, now);
	assert_string_equal(order_of(f, hosts, 3, 587), "192.0.2.2 192.0.2.3 192.0.2.1");
	assert_string_equal(order_of(f, hosts, 3, 465), "192.0.2.1 192.0.2.2 192.0.2.3");
	f->probe = true;
	assert_string_equal(order_of(f, hosts, 3, 587), "192.0.2.2 192.0.2.3 192.0.2.1");
	/* A probe tries it again, mail does not, before it has served. */
	twin_loop_run(&f->loop, ADDRESS_BAD_MS);
	assert_string_equal(order_of(f, hosts, 3, 587), "192.0.2.1 192.0.2.2 192.0.2.3");
	address_book_failed(&f->book, &a, now + ADDRESS_BAD_MS);
	twin_loop_run(&f->loop, 2 * ADDRESS_BAD_MS - 1);
	assert_string_equal(order_of(f, hosts, 3, 587), "192.0.2.2 192.0.2.3 192.0.2.1");
	twin_loop_run(&f->loop, 1);
	assert_string_equal(order_of(f, hosts, 3, 587), "192.0.2.1 192.0.2.2 192.0.2.3");
	f->probe = false;
	assert_string_equal(order_of(f, hosts, 3, 587), "192.0.2.2 192.0.2.3 192.0.2.1");
	address_book_connected(&f->book, &a);
	assert_true(address_book_is_bad(&f->book, &a));
	address_book_served(&f->book, &a);
	assert_false(address_book_is_bad(&f->book, &a));
	assert_string_equal(order_of(f, hosts, 3, 587), "192.0.2.1 192.0.2.2 192.0.2.3");
	address_book_failed(&f->book, &a, now);
	/* So many others that it is forgotten. */
	for (uint16_t port = 1; port <= ADDRESS_BAD_MAX; port++) {
		assert_true(address_from_host(&a, VIEW("192.0.2.1"), port));
		address_book_failed(&f->book, &a, now);
		address_book_failed(&f->book, &a, now);
	}
	assert_int_equal(f->book.n, ADDRESS_BAD_MAX);
	assert_string_equal(order_of(f, hosts, 3, 587), "192.0.2.1 192.0.2.2 192.0.2.3");
}

/* --- lookups -------------------------------------------------------------------------- */

struct asked {
	struct fixture		*f;
	struct lookup		 lookup;
	struct lookup_wait	 a, b, c;
	unsigned		 changed, novel, kept;
};

static void
on_answer(void *owner, enum resolve_result result, const char *why)
{
	struct fixture *f = owner;

	f->answers++;
	f->result = result;
}

static void
on_changed(void *owner, bool novel)
{
	struct asked *q = owner;

	q->changed++;
	q->novel += novel;
}

static void
on_kept(void *owner, int64_t age_ms, const char *why)
{
	struct asked *q = owner;

	assert_true(age_ms >= 0 && why[0] != '\0');
	q->kept++;
}

static const struct lookup_events asked_events = { on_changed, on_kept };

#define NAME "smtp.twin.example"

static void
ask_init(struct asked *q, struct fixture *f)
{
	*q = (struct asked){ .f = f };
	lookup_init(&q->lookup, &f->net.net, NAME, &asked_events, q);
	lookup_wait_init(&q->a, on_answer, f);
	lookup_wait_init(&q->b, on_answer, f);
	lookup_wait_init(&q->c, on_answer, f);
}

/* Wait for an answer at most so long; whether there was one. */
static bool
ask(struct asked *q, int64_t ms)
{
	unsigned before = q->f->answers;

	if (lookup_ask(&q->lookup, &q->a))
		return true;
	twin_loop_run(&q->f->loop, ms);
	lookup_cancel(&q->a);
	return q->f->answers > before;
}

static void
answer_with(struct fixture *f, const char *const *address)
{
	twin_net_forget_host(&f->net, NAME);
	for (; *address != NULL; address++)
		twin_net_host(&f->net, NAME, *address);
}

static void
lookups_are_shared_and_kept(void **state)
{
	struct fixture *f = *state;
	struct asked q;

	f->net.resolve_ms = 50;
	twin_net_host(&f->net, NAME, "192.0.2.1");
	ask_init(&q, f);
	assert_false(lookup_ask(&q.lookup, &q.a));
	assert_false(lookup_ask(&q.lookup, &q.b));
	assert_false(lookup_ask(&q.lookup, &q.c));
	lookup_cancel(&q.c);
	twin_loop_run(&f->loop, 60);
	assert_int_equal(f->answers, 2);
	assert_int_equal(f->result, RESOLVE_OK);
	assert_int_equal(q.lookup.n, 1);
	assert_true(lookup_ask(&q.lookup, &q.a));
	twin_loop_run(&f->loop, LOOKUP_FRESH_MS);
	assert_false(lookup_ask(&q.lookup, &q.a));
	twin_net_forget_host(&f->net, NAME);
	twin_loop_run(&f->loop, 60);
	assert_int_equal(f->result, RESOLVE_NO_NAME);
	assert_false(lookup_ask(&q.lookup, &q.a));	/* a bad answer is not kept */
	lookup_cancel(&q.a);
	lookup_done(&q.lookup);
}

static void
the_last_good_answer_stands_in(void **state)
{
	struct fixture *f = *state;
	struct asked q;

	twin_net_host(&f->net, NAME, "192.0.2.1");
	ask_init(&q, f);
	assert_true(ask(&q, 10));
	twin_loop_run(&f->loop, LOOKUP_FRESH_MS);
	f->net.dns_down = true;
	assert_true(ask(&q, 10));
	assert_int_equal(f->result, RESOLVE_OK);
	assert_int_equal(q.lookup.n, 1);
	assert_int_equal(q.kept, 1);
	assert_true(lookup_ask(&q.lookup, &q.a));	/* nobody waits for the next half minute */
	/* As long as it lasts, but for a day at most. */
	twin_loop_run(&f->loop, LOOKUP_KEEP_MS - 2 * LOOKUP_FRESH_MS);
	assert_true(ask(&q, 10));
	assert_int_equal(f->result, RESOLVE_OK);
	assert_int_equal(q.kept, 1);
	twin_loop_run(&f->loop, 2 * LOOKUP_FRESH_MS);
	assert_true(ask(&q, 10));
	assert_int_equal(f->result, RESOLVE_TEMPORARY);
	f->net.dns_down = false;
	assert_true(ask(&q, 10));
	assert_int_equal(f->result, RESOLVE_OK);
	assert_int_equal(q.changed, 0);
	/* That there is no such name is an answer. */
	twin_loop_run(&f->loop, LOOKUP_FRESH_MS);
	twin_net_forget_host(&f->net, NAME);
	assert_true(ask(&q, 10));
	assert_int_equal(f->result, RESOLVE_NO_NAME);
	lookup_done(&q.lookup);
}

static void
a_slow_name_server_is_not_awaited(void **state)
{
	struct fixture *f = *state;
	struct asked q;

	twin_net_host(&f->net, NAME, "192.0.2.1");
	ask_init(&q, f);
	assert_true(ask(&q, 10));
	twin_loop_run(&f->loop, LOOKUP_FRESH_MS);
	f->net.resolve_ms = 10000;
	assert_false(ask(&q, LOOKUP_WAIT_MS - 10));
	assert_false(lookup_ask(&q.lookup, &q.a));
	twin_loop_run(&f->loop, LOOKUP_WAIT_MS);
	assert_int_equal(f->result, RESOLVE_OK);
	assert_int_equal(q.kept, 1);
	assert_true(lookup_ask(&q.lookup, &q.a));
	/* The answer comes after all, and counts. */
	answer_with(f, (const char *const []){ "192.0.2.2", NULL });
	twin_loop_run(&f->loop, 10000);
	assert_int_equal(q.changed, 1);
	assert_int_equal(q.lookup.n, 1);
	lookup_done(&q.lookup);
}

static void
a_changed_answer_is_told(void **state)
{
	struct fixture *f = *state;
	struct asked q;

	answer_with(f, (const char *const []){ "192.0.2.1", "192.0.2.2", NULL });
	ask_init(&q, f);
	assert_true(ask(&q, 10));
	answer_with(f, (const char *const []){ "192.0.2.2", "192.0.2.1", NULL });
	lookup_doubt(&q.lookup);
	assert_true(ask(&q, 10));
	assert_int_equal(q.changed, 0);		/* another order is the same set */
	answer_with(f, (const char *const []){ "192.0.2.2", NULL });
	lookup_doubt(&q.lookup);
	assert_true(ask(&q, 10));
	assert_int_equal(q.changed, 1);
	assert_int_equal(q.novel, 0);
	answer_with(f, (const char *const []){ "192.0.2.3", NULL });
	lookup_restart(&q.lookup);
	lookup_refresh(&q.lookup);		/* nobody waits */
	twin_loop_run(&f->loop, 10);
	assert_int_equal(q.changed, 2);
	assert_int_equal(q.novel, 1);
	/* Back to one of an hour ago, as providers do that hand out parts of many. */
	twin_loop_run(&f->loop, 3600000);
	answer_with(f, (const char *const []){ "192.0.2.1", NULL });
	assert_true(ask(&q, 10));
	assert_int_equal(q.changed, 3);
	assert_int_equal(q.novel, 1);
	twin_loop_run(&f->loop, LOOKUP_SEEN_MS);
	answer_with(f, (const char *const []){ "192.0.2.2", NULL });
	assert_true(ask(&q, 10));
	assert_int_equal(q.novel, 2);
	/* More than can be remembered. */
	for (int i = 0; i < 2 * LOOKUP_SEEN_MAX; i++) {
		char text[32];

		snprintf(text, sizeof(text), "198.51.100.%d", i + 1);
		answer_with(f, (const char *const []){ text, NULL });
		lookup_doubt(&q.lookup);
		assert_true(ask(&q, 10));
		twin_loop_run(&f->loop, 10);
	}
	assert_int_equal(q.novel, 2 + 2 * LOOKUP_SEEN_MAX);
	assert_int_equal(q.lookup.nseen, LOOKUP_SEEN_MAX);
	lookup_done(&q.lookup);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(silence_is_passed_by),
		T(refusal_goes_on_at_once),
		T(the_most_telling_failure_is_kept),
		T(stopped_it_is_silent),
		T(families_take_turns),
		T(a_family_that_lost_is_tried_last_for_a_while),
		T(an_address_that_lost_is_tried_last_by_mail),
		T(a_family_without_a_route_is_remembered),
		T(where_all_fail_nothing_is_remembered),
		T(an_address_is_bad_with_its_port),
		T(lookups_are_shared_and_kept),
		T(the_last_good_answer_stands_in),
		T(a_slow_name_server_is_not_awaited),
		T(a_changed_answer_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

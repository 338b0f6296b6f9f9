/* SPDX-License-Identifier: BSD-2-Clause */
/* Lookups that are shared, and connecting to the first address that answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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
	dial_init(&f->dial, &f->net.net, &limits, on_dialled, f);
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
	dial_start(&f->dial, a, n, 587);
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

static void
on_answer(void *owner, enum resolve_result result, const char *why)
{
	struct fixture *f = owner;

	f->answers++;
	f->result = result;
}

static void
lookups_are_shared_and_kept(void **state)
{
	struct fixture *f = *state;
	struct lookup l;
	struct lookup_wait a, b, c;

	f->net.resolve_ms = 50;
	twin_net_host(&f->net, "smtp.twin.example", "192.0.2.1");
	lookup_init(&l, &f->net.net, "smtp.twin.example");
	lookup_wait_init(&a, on_answer, f);
	lookup_wait_init(&b, on_answer, f);
	lookup_wait_init(&c, on_answer, f);
	assert_false(lookup_ask(&l, &a));
	assert_false(lookup_ask(&l, &b));
	assert_false(lookup_ask(&l, &c));
	lookup_cancel(&c);
	twin_loop_run(&f->loop, 60);
	assert_int_equal(f->answers, 2);
	assert_int_equal(f->result, RESOLVE_OK);
	assert_int_equal(l.n, 1);
	assert_true(lookup_ask(&l, &a));
	twin_loop_run(&f->loop, LOOKUP_KEEP_MS);
	assert_false(lookup_ask(&l, &a));
	lookup_forget(&l);
	twin_net_forget_host(&f->net, "smtp.twin.example");
	twin_loop_run(&f->loop, 60);
	assert_int_equal(f->result, RESOLVE_NO_NAME);
	assert_false(lookup_ask(&l, &a));	/* a bad answer is not kept */
	lookup_cancel(&a);
	lookup_done(&l);
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
		T(lookups_are_shared_and_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

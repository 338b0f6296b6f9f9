/* SPDX-License-Identifier: BSD-2-Clause */
/* What the ports of all relays show together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "health/diagnosis.h"
#include "unit/health/health_help.h"

#include "base/banned.h"

#define TRUST	"C=US, O=Example Trust, CN=R10"
#define TRUST2	"C=US, O=Example Trust, CN=R11"
#define BOX	"O=Box Inc, CN=inspection"

static struct diagnosis_port
at(const char *host, uint16_t port, enum health_class class, const char *issuer)
{
	struct diagnosis_port p = { .host = host, .port = port, .tried = true, .class = class };

	memcpy(p.issuer, issuer, strlen(issuer) + 1);
	return p;
}

static const char *
says(const struct diagnosis_port *all, size_t n, size_t which)
{
	static struct diagnosis d;

	diagnose(all, n, which, &d);
	assert_non_null(d.advice);
	return d.meaning;
}

static void
a_network_that_blocks_mail_needs_two_hosts(void **state)
{
	struct diagnosis_port all[] = {
		at("a.example", 587, HEALTH_FILTERED, ""), at("a.example", 465, HEALTH_FILTERED, ""),
		at("b.example", 587, HEALTH_FILTERED, ""),
	};

	assert_string_equal(says(all, 3, 0), "this network blocks mail ports: no port of any relay answers");
	assert_string_equal(says(all, 3, 2), says(all, 3, 0));
	assert_string_equal(says(all, 2, 0), "");	/* it may be the host */
	all[1].class = HEALTH_REFUSED;
	assert_string_equal(says(all, 3, 0), "");
	all[1].class = HEALTH_FILTERED;
	all[1].tried = false;
	assert_string_equal(says(all, 3, 0), "");
	assert_string_equal(says(all, 3, 1), "");
}

static void
interception_names_port_and_issuers(void **state)
{
	struct diagnosis_port all[] = {
		at("a.example", 587, HEALTH_TLS_UNTRUSTED, BOX), at("A.example", 465, HEALTH_OK, TRUST),
		at("b.example", 587, HEALTH_OK, TRUST),
	};

	assert_string_equal(says(all, 2, 0), "interception on port 587: its certificate is issued by " BOX
	    ", that of port 465 by " TRUST);
	assert_string_equal(says(all, 2, 1), "");
	all[1].host = "c.example";	/* another host has another certificate */
	assert_string_equal(says(all, 3, 0), "");
	all[1].host = "a.example";
	all[1].class = HEALTH_TLS_UNTRUSTED;	/* which of the two is the right one? */
	assert_string_equal(says(all, 3, 0), "");
	all[1] = at("a.example", 465, HEALTH_OK, BOX);
	assert_string_equal(says(all, 3, 0), "");
	all[1] = at("a.example", 465, HEALTH_OK, "");
	assert_string_equal(says(all, 3, 0), "");
}

static void
two_authorities_are_a_question(void **state)
{
	struct diagnosis_port all[] = {
		at("a.example", 587, HEALTH_OK, BOX), at("a.example", 465, HEALTH_OK, TRUST),
	};

	assert_string_equal(says(all, 2, 0), "its certificate is issued by " BOX ", that of port 465 by "
	    TRUST ": interception on one of them?");
	all[0].tried = false;			/* the session that met it has not ended yet */
	assert_string_equal(says(all, 2, 0), "");
	all[0] = at("a.example", 587, HEALTH_NO_BANNER, BOX);	/* it does not work anyway */
	assert_string_equal(says(all, 2, 0), "");
	all[0] = at("a.example", 587, HEALTH_OK, TRUST2);	/* one authority, two of its names */
	assert_string_equal(says(all, 2, 0), "");
	all[0] = at("a.example", 587, HEALTH_OK, "CN=O=Example Trust");
	assert_string_not_equal(says(all, 2, 0), "");
	all[0] = at("a.example", 587, HEALTH_OK, "CN=box");	/* neither has an organisation: the names count */
	all[1] = at("a.example", 465, HEALTH_OK, "CN=trust");
	assert_string_not_equal(says(all, 2, 0), "");
}

static void
what_answers_for_every_port(void **state)
{
	struct diagnosis_port all[] = {
		at("a.example", 587, HEALTH_NO_BANNER, ""), at("a.example", 465, HEALTH_NO_BANNER, ""),
		at("b.example", 587, HEALTH_OK, ""),
	};

	assert_non_null(strstr(says(all, 3, 1), "every port takes the connection and none greets"));
	assert_string_equal(says(all, 1, 0), "");
	all[1].class = HEALTH_TLS_HANDSHAKE;	/* it waits for our hello, and then says as little */
	assert_non_null(strstr(says(all, 3, 0), "every port takes the connection and none greets"));
	assert_string_equal(says(all, 3, 1), says(all, 3, 0));
	all[0].class = HEALTH_TLS_HANDSHAKE;	/* both fail: that is about TLS */
	assert_string_equal(says(all, 3, 0), "");
	all[0].class = HEALTH_NO_BANNER;
	all[1].tried = false;
	assert_string_equal(says(all, 3, 0), "");
	all[1] = at("a.example", 465, HEALTH_OK, "");
	assert_string_equal(says(all, 3, 0), "");
}

static struct diagnosis_port
greets(const char *host, enum health_class class)
{
	struct diagnosis_port p = at(host, 587, class, "");

	memcpy(p.greeting, "box ESMTP", 10);
	return p;
}

static void
one_greeting_for_two_hosts(void **state)
{
	struct diagnosis_port all[] = {
		greets("a.example", HEALTH_STARTTLS_MISSING), greets("b.example", HEALTH_TLS_UNTRUSTED),
	};

	assert_string_equal(says(all, 2, 0), "a transparent proxy: the same server greets for b.example (\"box ESMTP\")");
	assert_string_equal(says(all, 2, 1), "a transparent proxy: the same server greets for a.example (\"box ESMTP\")");
	all[1].host = "A.example";
	assert_string_equal(says(all, 2, 0), "");
	all[1] = greets("b.example", HEALTH_OK);	/* that one is the provider, under two names */
	assert_string_equal(says(all, 2, 0), "");
	assert_string_equal(says(all, 2, 1), "");
	all[1] = greets("b.example", HEALTH_TLS_NAME);
	all[1].greeting[0] = 'B';
	assert_string_equal(says(all, 2, 0), "");
	all[0].greeting[0] = all[1].greeting[0] = '\0';
	assert_string_equal(says(all, 2, 0), "");
}

/* Its certificate and its name were verified, or a hiccup says nothing of them. */
static void
only_an_unproven_server_is_called_a_proxy(void **state)
{
	static const enum health_class proxies[] = {
		HEALTH_STARTTLS_MISSING, HEALTH_STARTTLS_BLANKED, HEALTH_INJECTED, HEALTH_TLS_NAME,
		HEALTH_TLS_UNTRUSTED,
	};
	struct diagnosis_port all[2] = { greets("a.example", HEALTH_OK), greets("b.example", HEALTH_OK) };

	for (int class = 0; class < HEALTH_CLASS_COUNT; class++) {
		bool expected = false;

		for (size_t i = 0; i < lengthof(proxies); i++)
			expected = expected || proxies[i] == (enum health_class)class;
		all[0].class = all[1].class = (enum health_class)class;
		assert_int_equal(strstr(says(all, 2, 0), "a transparent proxy: the same") != NULL, expected);
		all[0].implicit = true;		/* the greeting is one from within TLS */
		assert_null(strstr(says(all, 2, 0), "a transparent proxy: the same"));
		assert_null(strstr(says(all, 2, 1), "a transparent proxy: the same"));
		all[0].implicit = false;
	}
}

static const char *
why_of(struct fixture *f)
{
	static struct buf b;

	buf_done(&b);
	buf_init(&b, 500);
	assert_true(health_why(f->h, 0, &b));
	return buf_cstr(&b);
}

static void
health_says_it_in_place_of_the_class(void **state)
{
	struct fixture f;

	start(&f, 2);
	assert_true(health_set_remark(f.h, 0, "a remark", "do this"));
	assert_false(health_set_remark(f.h, 0, "a remark", "do this"));
	assert_string_equal(why_of(&f), "not tried yet: a remark");
	for (int i = 0; i < 3; i++)
		report(&f, 0, SAMPLE_DELIVERY, HEALTH_FILTERED);
	assert_string_equal(why_of(&f), "a remark");
	assert_string_equal(health_advice(f.h, 0), "do this");
	assert_true(health_set_remark(f.h, 0, "", ""));
	assert_string_equal(why_of(&f), health_class_info(HEALTH_FILTERED)->sentence);
	assert_string_equal(health_advice(f.h, 0), health_class_info(HEALTH_FILTERED)->advice);
	stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_network_that_blocks_mail_needs_two_hosts),
		cmocka_unit_test(interception_names_port_and_issuers),
		cmocka_unit_test(two_authorities_are_a_question),
		cmocka_unit_test(what_answers_for_every_port),
		cmocka_unit_test(one_greeting_for_two_hosts),
		cmocka_unit_test(only_an_unproven_server_is_called_a_proxy),
		cmocka_unit_test(health_says_it_in_place_of_the_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conf/conf.h"
#include "conf/value.h"
#include "smtp/mechanism.h"

#include "base/banned.h"

#define RELAY "relays = ( { host = \"smtp.example.net\"; } );\n"
#define TWO "relays = ( { name = \"a\"; host = \"h.example\"; },\n  { name = \"b\"; host = \"i.example\"; } );\n"
#define NAMES "hostname = \"web1.example.com\"; admin = \"a@example.com\";\n"

static char report_text[8192];

/* NULL if it was refused; the report is in report_text either way. */
static struct conf *
load(const char *text)
{
	struct conf *c = NULL;
	struct buf report;
	int rc;

	buf_init(&report, sizeof(report_text) - 1);
	rc = conf_load(&c, view_str(text), "test.conf", &report);
	(void)snprintf(report_text, sizeof(report_text), "%.*s", VIEW_ARG(buf_view(&report)));
	buf_done(&report);
	assert_true(rc == 0 || c == NULL);
	return c;
}

static void
check_says(const char *file, int line, const char *what)
{
	if (strstr(report_text, what) == NULL) {
		print_error("not in the report: %s\nreport: %s\n", what, report_text);
		_fail(file, line);
	}
}
#define assert_says(what) check_says(__FILE__, __LINE__, what)

static void
check_refused(const char *file, int line, const char *text, const char *why)
{
	struct conf *c = load(text);

	if (c != NULL) {
		print_error("taken: %s\n", text);
		conf_free(c);
		_fail(file, line);
	}
	check_says(file, line, why);
}
#define assert_refused(text, why) check_refused(__FILE__, __LINE__, text, why)
/* The same inside the group of the relay. */
#define assert_relay_refused(text, why) \
	assert_refused("relays = ( { host = \"h.example\"; " text " } );", why)

static void
test_defaults(void **state)
{
	struct conf *c = load(NAMES RELAY);

	assert_non_null(c);
	assert_string_equal(report_text, "");
	assert_string_equal(c->default_domain, "web1.example.com");
	assert_int_equal(c->nlisten, 2);
	assert_int_equal(address_port(&c->listen[1]), 25);
	assert_string_equal(c->socket, POSTHOUSE_RUNTIMEDIR "/smtp.sock");
	assert_int_equal(c->sandbox, SANDBOX_REQUIRED);
	assert_int_equal(c->drain_ms, 30000);
	assert_int_equal(c->limits.message_size, 25u << 20);
	assert_int_equal(c->queue.expire_ms, 5 * 86400000LL);
	assert_string_equal(c->relay[0].name, "smtp.example.net");
	assert_null(c->relay[0].user);
	assert_null(c->relay[0].ca_file);
	assert_int_equal(c->relay[0].secret, CONF_SECRET_NONE);
	assert_int_equal(c->relay[0].nendpoint, 3);
	assert_int_equal(c->relay[0].endpoint[0].port, 587);
	assert_int_equal(c->relay[0].endpoint[0].tls, CONF_TLS_STARTTLS);
	assert_int_equal(c->relay[0].endpoint[1].port, 465);
	assert_int_equal(c->relay[0].endpoint[1].tls, CONF_TLS_IMPLICIT);
	assert_int_equal(c->relay[0].endpoint[2].port, 2525);
	assert_int_equal(c->relay[0].endpoint[2].tls, CONF_TLS_STARTTLS);
	conf_free(c);
}

static void
test_values(void **state)
{
	struct conf *c = load("hostname = \"mail.example.org\"; admin = \"ops@example.org\";\n"
	    "default_domain = \"example.org\"; listen = [ \"127.0.0.1:0\", \"127.0.0.1:0\" ];\n"
	    "socket = \"\"; state_dir = \"/srv/q\"; runtime_dir = \"/srv/r\"; syslog = true;\n"
	    "sandbox = \"best-effort\"; drain = \"10s\";\n"
	    "hook = [ \"/usr/local/bin/alert\", \"a b\" ]; alarm_hold = \"1h\";\n"
	    "limits = { message_size = 4096; recipients = 7; };\n"
	    "queue = { bytes_max = \"1G\"; retry_first = \"250ms\"; };\n"
	    "relays = ( { name = \"m\"; host = \"[::1]\"; user = \"u\\\"\\\\\";\n"
	    "  password_command = ( \"/bin/pass\", \"a b\" ); quiet = true;\n"
	    "  endpoints = ( { port = 2465; }, { port = 26; }, { port = 465; tls = \"starttls\"; } );\n"
	    "} );");

	assert_non_null(c);
	assert_string_equal(report_text, "");
	assert_int_equal(c->nlisten, 2);
	assert_string_equal(c->socket, "");
	assert_true(c->syslog);
	assert_int_equal(c->sandbox, SANDBOX_BEST_EFFORT);
	assert_string_equal(c->hook[0], "/usr/local/bin/alert");
	assert_string_equal(c->hook[1], "a b");
	assert_null(c->hook[2]);
	assert_int_equal(c->alarm_hold_ms, 3600000);
	assert_int_equal(c->relay[0].secret, CONF_SECRET_COMMAND);
	assert_int_equal(c->limits.message_size, 4096);
	assert_int_equal(c->limits.recipients, 7);
	assert_int_equal(c->queue.bytes_max, 1u << 30);
	assert_int_equal(c->queue.retry_first_ms, 250);
	assert_string_equal(c->relay[0].host, "::1");
	assert_string_equal(c->relay[0].user, "u\"\\");
	assert_int_equal(c->relay[0].secret, CONF_SECRET_COMMAND);
	assert_string_equal(c->relay[0].command[1], "a b");
	assert_null(c->relay[0].command[2]);
	assert_true(c->relay[0].quiet);
	assert_int_equal(c->relay[0].nendpoint, 3);
	assert_int_equal(c->relay[0].endpoint[0].tls, CONF_TLS_IMPLICIT);
	assert_int_equal(c->relay[0].endpoint[1].tls, CONF_TLS_STARTTLS);
	assert_int_equal(c->relay[0].endpoint[2].tls, CONF_TLS_STARTTLS);
	conf_free(c);
}

/* Every mistake of a file is reported in one run, with its line. */
static void
test_all_at_once(void **state)
{
	assert_refused("lisen = [ ];\n"
	    "hostname = 5;\n"
	    "drain = \"5\";\n"
	    "limits = { recipients = \"many\"; message_sise = \"1M\"; errors = 0; };\n"
	    "message_size = \"1M\";\n"
	    "queue = [ 1 ];\n"
	    "relays = ( { hots = \"x\"; }, { } );\n",
	    "test.conf:1: unknown option \"lisen\"; did you mean \"listen\"?\n");
	assert_says("test.conf:2: hostname must be text in double quotes\n");
	assert_says("test.conf:3: drain: \"5\" does not fit; expected a time like \"30s\"");
	assert_says("test.conf:4: limits.recipients must be a number from 1 to 20000");
	assert_says("test.conf:4: unknown option \"limits.message_sise\"; did you mean \"message_size\"?");
	assert_says("test.conf:4: limits.errors: \"0\" does not fit; expected a number from 1 to 1000");
	assert_says("test.conf:5: unknown option \"message_size\"; there is \"limits.message_size\"");
	assert_says("test.conf:6: queue must be a group: { ... }");
	assert_says("test.conf:7: unknown option \"relays[].hots\"; did you mean \"host\"?");
	assert_says("relays[].host is missing");
}

static void
test_syntax(void **state)
{
	assert_refused("hostname = \"a\"\nadmin = \"b\"\n= 5;", "test.conf:3: syntax error");
	assert_refused("hostname = \"a\"; hostname = \"b\";", "test.conf:1: duplicate setting name");
	assert_refused("a = 1;\n \t@include \"/etc/passwd\"\n", "test.conf:2: @include is not supported");
	assert_refused("", "there is no relay");
	assert_refused("relays = ();", "relays is empty: at least one is needed");
	assert_refused("relays = ( 5 );", "relays: each must be a group");
	assert_refused("relays = ( { host = \"a.example\"; },\n { host = \"a.example\"; } );",
	    "test.conf:2: relays[].name: \"a.example\" is the name of two relays");
	assert_refused("relays = ( { host = \"a.example\"; },\n { host = \"b.example\"; user = \"u\"; } );",
	    "test.conf:2: relays[].user has no password");
	assert_refused("relays = ( {},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{} );", "relays: at most 16");
	assert_refused("relays = { host = \"x\"; };", "relays must be a list of groups");
	assert_refused("\xef\xbb\xbf hostname = \"a\";", "test.conf:1: ");

	struct conf *c = NULL;
	struct buf report;

	buf_init(&report, 1000);
	assert_int_equal(conf_load(&c, view_of("a = 1;\0b", 8), "t", &report), -1);
	buf_done(&report);
}

static void
test_listen(void **state)
{
	assert_refused(RELAY "listen = [ \"0.0.0.0:25\" ];", "this is for programs of this host");
	assert_refused(RELAY "listen = [ \"[::]:25\" ];", "there is the option \"listeners\"");
	assert_refused(RELAY "listen = [ \"192.0.2.1:25\" ];", "use a loopback address");
	assert_refused(RELAY "listen = [ \"localhost:25\" ];", "write the address: \"127.0.0.1:25\"");
	assert_refused(RELAY "listen = [ \"/run/x\" ];", "goes into the option \"socket\"");
	assert_refused(RELAY "listen = [ \"127.0.0.1\" ];", "it is not an address like");
	assert_refused(RELAY "listen = [ 25 ];", "every address must be text");
	assert_refused(RELAY "listen = \"127.0.0.1:25\";", "listen must be a list like");
	assert_refused(RELAY "listen = [ \"127.0.0.1:25\", \"127.0.0.1:25\" ];", "it is listed twice");
	assert_refused(RELAY "listen = [ ]; socket = \"\";", "nothing to listen on");
	assert_refused(RELAY "listen = [ \"127.0.0.1:1\", \"127.0.0.1:2\", \"127.0.0.1:3\","
	    "\"127.0.0.1:4\", \"127.0.0.1:5\", \"127.0.0.1:6\", \"127.0.0.1:7\", \"127.0.0.1:8\","
	    "\"127.0.0.1:9\", \"127.0.0.1:10\", \"127.0.0.1:11\", \"127.0.0.1:12\", \"127.0.0.1:13\","
	    "\"127.0.0.1:14\", \"127.0.0.1:15\", \"127.0.0.1:16\", \"127.0.0.1:17\" ];",
	    "there are too many addresses");
}

#define ALSO(text) RELAY NAMES "listeners = ( { " text " } );"

/* Nobody from elsewhere is let in by what is left out. */
static void
test_listeners(void **state)
{
	struct conf *c = load(ALSO("address = \"172.17.0.1:2525\"; networks = [ \"172.17.0.0/16\", "
	    "\"!172.17.0.1\" ]; allow_senders = [ \"<>\", \"*@a.example\" ];") "allow_recipients = [ \"b@c.example\" ];");

	assert_non_null(c);
	assert_string_equal(report_text, "");
	assert_int_equal(c->nlistener, 1);
	assert_string_equal(c->listener[0].name, "172.17.0.1:2525");
	assert_int_equal(address_port(&c->listener[0].address), 2525);
	assert_int_equal(c->listener[0].nnetwork, 2);
	assert_true(c->listener[0].network[1].except);
	assert_string_equal(c->listener[0].allow_senders[1], "*@a.example");
	assert_null(c->listener[0].allow_recipients);
	assert_string_equal(c->allow_recipients[0], "b@c.example");
	assert_null(c->allow_recipients[1]);
	conf_free(c);
	c = load(ALSO("address = \"127.0.0.1:2525\"; name = \"here\";"));
	assert_non_null(c);
	assert_string_equal(report_text, "");
	assert_string_equal(c->listener[0].name, "here");
	conf_free(c);
	assert_refused(ALSO("networks = [ \"10.0.0.0/8\" ];"), "listeners[].address is missing");
	assert_refused(ALSO("address = \"172.17.0.1:25\";"), "listeners[].networks is missing: say who may send");
	assert_refused(ALSO("address = \"0.0.0.0:25\";"), "listeners[].networks is missing");
	assert_refused(ALSO("address = \"[fd00::1]:25\"; networks = [ ];"), "listeners[].networks must be a list of 1 to 64");
	assert_refused(ALSO("address = \"10.0.0.1:9\"; networks = [ \"!10.0.0.1\" ];"), "networks lets nobody in");
	assert_refused(ALSO("address = \"172.17.0.1\";"), "is not an address like");
	assert_refused(ALSO("address = \"/run/x\";"), "is not an address like");
	assert_refused(ALSO("address = \"unix:/run/x\";"), "is not an address like");
	assert_refused(ALSO("address = \"10.0.0.1:9\"; networks = [ \"10.0.0.0/8\" ]; auth = \"accept_any\";"),
	    "\"accept_any\" is for loopback addresses");
	assert_refused(ALSO("address = \"0.0.0.0:9\"; networks = [ \"127.0.0.1\" ]; auth = \"accept_any\";"),
	    "\"accept_any\" is for loopback addresses");
	c = load(ALSO("address = \"[::1]:9\"; auth = \"accept_any\";") "auth = \"accept_any\";");
	assert_non_null(c);
	assert_true(c->auth == CONF_AUTH_ACCEPT_ANY && c->listener[0].auth == CONF_AUTH_ACCEPT_ANY);
	conf_free(c);
	c = load(ALSO("address = \"[::1]:9\"; tls = \"required\"; certificate = \"/a\";"));
	assert_non_null(c);
	assert_int_equal(c->listener[0].tls, CONF_LISTENER_TLS_REQUIRED);
	assert_string_equal(c->listener[0].certificate, "/a");
	assert_string_equal(c->listener[0].key, "/a");
	conf_free(c);
	c = load(ALSO("address = \"[::1]:9\"; tls = \"implicit\"; certificate = \"/a\"; key = \"/b\";"));
	assert_non_null(c);
	assert_int_equal(c->listener[0].tls, CONF_LISTENER_TLS_IMPLICIT);
	assert_string_equal(c->listener[0].key, "/b");
	conf_free(c);
	assert_refused(ALSO("address = \"[::1]:9\"; tls = \"starttls\"; key = \"/b\";"), "listeners[].certificate is missing");
	assert_refused(ALSO("address = \"[::1]:9\"; certificate = \"/a\";"), "listeners[].certificate: tls is \"off\" here");
	assert_refused(ALSO("address = \"[::1]:9\"; tls = \"off\"; key = \"/a\";"), "listeners[].key: tls is \"off\" here");
	assert_refused(ALSO("address = \"[::1]:9\"; tls = \"on\"; certificate = \"/a\";"), "starttls");
	assert_refused(ALSO("address = \"[::1]:9\"; tls = \"required\"; certificate = \"a\";"), "is not an absolute path");
	assert_refused(ALSO("address = \"127.0.0.1:25\";"), "127.0.0.1:25 is listed twice");
	assert_refused(ALSO("address = \"127.0.0.1:9\"; }, { address = \"127.0.0.1:9\";"), "127.0.0.1:9 is listed twice");
	assert_refused(ALSO("address = \"10.0.0.1:9\"; networks = [ \"10.0.0.1/8\" ];"), "number 1 is not a network like");
	assert_refused(ALSO("address = \"10.0.0.1:9\"; networks = [ 10 ];"), "number 1 is not text in double quotes");
	assert_refused(ALSO("address = \"10.0.0.1:9\"; allow_recipients = [ \"<>\" ];"), "allow_recipients: number 1 is not like");
	assert_refused(RELAY "allow_senders = [ \"example.com\" ];", "allow_senders: number 1 is not like");
	assert_refused(RELAY "listeners = [ \"10.0.0.1:25\" ];", "listeners must be a list of groups");
	assert_refused(RELAY "listeners = ( 25 );", "listeners: each must be a group");
	assert_refused(RELAY "listeners = ( {},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{} );", "listeners: at most 16");
	assert_refused(RELAY "allow_networks = [ \"10.0.0.0/8\" ];", "for containers write listeners");
}

static void
check_danger(const char *file, int line, const char *address, const char *networks, const char *want)
{
	char text[400];
	struct conf *c;

	(void)snprintf(text, sizeof(text), ALSO("address = \"%s\"; networks = [ %s ];"), address, networks);
	c = load(text);
	if (c == NULL || (want[0] == '\0') != (report_text[0] == '\0')) {
		print_error("%s: %s: %s\n", address, networks, report_text);
		_fail(file, line);
	}
	check_says(file, line, want);
	conf_free(c);
}
#define assert_danger(address, networks, want) check_danger(__FILE__, __LINE__, address, networks, want)

static void
test_dangers(void **state)
{
	assert_danger("172.18.0.1:25", "\"172.18.0.0/16\", \"!172.18.0.1\"", "");
	assert_danger("172.18.0.1:25", "\"172.18.0.2\", \"172.18.0.3\"", "");
	assert_danger("127.0.0.1:26", "\"127.0.0.0/8\"", "");
	assert_danger("127.0.0.1:26", "\"192.168.0.0/16\", \"fd00:1::/64\"", "");
	assert_danger("0.0.0.0:25", "\"0.0.0.0/0\"",
	    "warning: OPEN RELAY: the listener 0.0.0.0:25 takes mail from 0.0.0.0/0, which is the whole Internet");
	assert_danger("0.0.0.0:25", "\"0.0.0.0/0\"", "GATEWAY: the networks of the listener 0.0.0.0:25 have 172.17.0.1");
	assert_danger("[::]:25", "\"::/0\"", "::/0, which is the whole Internet");
	assert_danger("0.0.0.0:25", "\"192.0.2.0/24\"", "192.0.2.0/24, which has public addresses");
	assert_danger("0.0.0.0:25", "\"0.0.0.0/1\", \"128.0.0.0/1\"", "128.0.0.0/1, which has public addresses");
	assert_danger("0.0.0.0:25", "\"172.0.0.0/8\", \"!172.17.0.1\"", "172.0.0.0/8, which has public addresses");
	assert_danger("172.18.0.1:25", "\"172.18.0.0/16\"", "have 172.18.0.1 in them");
	assert_danger("172.17.0.1:25", "\"172.17.0.0/16\"", "add \"!172.17.0.1\"");
	assert_danger("10.1.0.1:25", "\"172.16.0.0/12\"", "have 172.17.0.1 in them");
	assert_danger("[fd00::1]:25", "\"fd00::/64\"", "have fd00::1 in them");
}

/* A listener of all addresses, and those that the host has. */
static void
test_own_addresses(void **state)
{
	static const struct {
		const char *address, *networks, *own, *want;
	} k[] = {
		{ "0.0.0.0:25", "\"172.18.0.0/16\", \"192.168.122.0/24\"", "172.18.0.1", "have 172.18.0.1 in them" },
		{ "[::]:25", "\"fd00:1::/64\"", "fd00:1::1", "add \"!fd00:1::1\"" },
		{ "[::]:25", "\"192.168.122.0/24\"", "192.168.122.1", "have 192.168.122.1 in them" },
		{ "0.0.0.0:25", "\"172.18.0.0/16\", \"!172.18.0.1\"", "172.18.0.1", NULL },
		{ "0.0.0.0:25", "\"172.18.0.0/16\"", "172.19.0.1", NULL },
		{ "0.0.0.0:25", "\"172.16.0.0/12\"", "172.17.0.1", NULL },	/* in the other list */
		{ "172.18.0.1:25", "\"172.18.0.0/16\"", "172.18.0.1", NULL },
	};

	for (size_t i = 0; i < lengthof(k); i++) {
		struct own_addresses own = { .n = 2 };
		char text[CONF_DANGER_MAX];
		size_t pos = 0;
		struct conf *c;

		(void)snprintf(text, sizeof(text), ALSO("address = \"%s\"; networks = [ %s ];"), k[i].address,
		    k[i].networks);
		c = load(text);
		assert_non_null(c);
		assert_true(address_from_host(&own.address[0], VIEW("10.9.9.9"), 0));
		assert_true(address_from_host(&own.address[1], view_str(k[i].own), 0));
		assert_int_equal(conf_listener_own_danger(&c->listener[0], &own, &pos, text), k[i].want != NULL);
		if (k[i].want != NULL) {
			assert_non_null(strstr(text, "GATEWAY: "));
			assert_non_null(strstr(text, k[i].want));
			assert_false(conf_listener_own_danger(&c->listener[0], &own, &pos, text));
		}
		conf_free(c);
	}
}

static void
test_strings(void **state)
{
	assert_refused(RELAY "state_dir = \"var/lib\";", "state_dir: the value is not an absolute path");
	assert_refused(RELAY "state_dir = \"\";", "state_dir: the value is empty");
	assert_refused(RELAY "hostname = \"a b\";", "is not a host name or address");
	assert_refused(RELAY "hostname = \"a\\r\\nRCPT\";", "has a control character");
	assert_refused(RELAY "hostname = \"-a.b\";", "is not a host name or address");
	assert_refused(RELAY "hostname = \"a..b\";", "is not a host name or address");
	assert_refused(RELAY "admin = \"root\";", "is not a mail address");
	assert_refused(RELAY "admin = \"a@b, c@d\";", "is not a mail address");
	assert_refused(RELAY "sandbox = \"on\";", "expected one of \"required\" \"best-effort\" \"off\"");
	assert_refused(RELAY "user = \"a b\";", "is not a plain name");
	assert_refused(RELAY "runtime_dir = \"/0123456789012345678901234567890123456789"
	    "012345678901234567890123456789012345678901234567890123456789\";", "is too long");
	assert_refused(RELAY "syslog = \"yes\";", "syslog must be true or false");
	assert_refused(RELAY "limits = { recipients = 1.5; };", "limits.recipients must be a number");
	assert_refused(RELAY "limits = { recipients = -1; };", "limits.recipients: \"-1\" does not fit");
	assert_refused(RELAY "limits = { recipients = 99999999999L; };", "does not fit");
	assert_refused(RELAY "limits = { message_size = \"1\"; };", "from \"1K\" to \"2G\"");
	assert_refused(RELAY "drain = 30;", "drain must be a time like \"30s\"");
}

static void
test_endpoints(void **state)
{
	assert_relay_refused("endpoints = ();", "give 1 to 8 of them");
	assert_relay_refused("endpoints = ( 587 );", "each must be a group");
	assert_relay_refused("endpoints = [ 587 ];", "must be a list of groups");
	assert_relay_refused("endpoints = ( { tls = \"starttls\"; } );", "port is missing");
	assert_relay_refused("endpoints = ( { port = 0; } );", "port: \"0\" does not fit");
	assert_relay_refused("endpoints = ( { port = 65536; } );", "port: \"65536\" does not fit");
	assert_relay_refused("endpoints = ( { port = 25; tls = \"ssl\"; } );",
	    "expected one of \"starttls\" \"implicit\" \"none\"");
	assert_relay_refused("endpoints = ( { port = 25; }, { port = 25; tls = \"implicit\"; } );",
	    "port 25 is listed twice");
	assert_relay_refused("endpoints = ( {port=1;}, {port=2;}, {port=3;}, {port=4;}, {port=5;}, "
	    "{port=6;}, {port=7;}, {port=8;}, {port=9;} );", "give 1 to 8 of them");
	assert_relay_refused("endpoint = ( );", "did you mean \"endpoints\"?");
	assert_relay_refused("endpoints = ( { prot = 25; } );",
	    "unknown option \"relays[].endpoints[].prot\"; did you mean \"port\"?");
}

#define LOGIN "user = \"u\"; password_file = \"/p\"; "
#define CLEAR "endpoints = ( { port = 25; tls = \"none\"; } ); "

static void
assert_mechanisms(const char *list, unsigned want)
{
	char text[256];
	struct conf *c;

	(void)snprintf(text, sizeof(text), NAMES "relays = ( { host = \"h.example\"; " LOGIN "%s%s } );",
	    list[0] != '\0' ? "mechanisms = " : "", list);
	c = load(text);
	assert_non_null(c);
	assert_int_equal(c->relay[0].mechanisms, want);
	conf_free(c);
}

static void
test_mechanisms(void **state)
{
	struct conf *c;

	assert_mechanisms("", MECHANISMS_PASSWORD);
	assert_mechanisms("[ \"plain\" ];", MECHANISM(SASL_PLAIN));
	assert_mechanisms("[ \"SCRAM-SHA-256\", \"Login\" ];",
	    MECHANISM(SASL_SCRAM_SHA_256) | MECHANISM(SASL_LOGIN));
	assert_mechanisms("[ \"!cram-md5\", \"!login\" ];",
	    MECHANISMS_PASSWORD & ~MECHANISM(SASL_CRAM_MD5) & ~MECHANISM(SASL_LOGIN));
	assert_mechanisms("[ \"plain\", \"login\", \"!login\" ];", MECHANISM(SASL_PLAIN));
	assert_mechanisms("[ \"xoauth2\", \"oauthbearer\" ];", MECHANISMS_TOKEN);
	c = load(NAMES "relays = ( { host = \"h.example\"; } );");
	assert_non_null(c);
	assert_int_equal(c->relay[0].mechanisms, 0);
	conf_free(c);
	c = load(NAMES "relays = ( { host = \"h.example\"; certificate = \"/c\"; key = \"/k\"; }, "
	    "{ host = \"i.example\"; certificate = \"/c\"; mechanisms = [ \"external\" ]; }, "
	    "{ host = \"j.example\"; certificate = \"/c\"; mechanisms = [ \"external\" ]; user = \"u\"; } );");
	assert_non_null(c);
	assert_int_equal(c->relay[0].mechanisms, 0);
	assert_string_equal(c->relay[0].key, "/k");
	for (unsigned i = 1; i < 3; i++) {
		assert_int_equal(c->relay[i].mechanisms, MECHANISM(SASL_EXTERNAL));
		assert_string_equal(c->relay[i].key, "/c");
	}
	conf_free(c);
	assert_relay_refused(LOGIN "mechanisms = [ \"ntlm\" ];", "number 1 is not a way to log in that we have");
	assert_relay_refused(LOGIN "mechanisms = \"plain\";", "texts like [ \"scram-sha-256\", \"plain\" ]");
	assert_relay_refused(LOGIN "mechanisms = [ \"plain\", \"xoauth2\" ];", "one relay has one of them");
	assert_relay_refused(LOGIN "mechanisms = [ \"plain\", \"!plain\" ];", "leaves no way to log in");
	assert_mechanisms("[ \"plain\", \"external\" ]; certificate = \"/c\";",
	    MECHANISM(SASL_PLAIN) | MECHANISM(SASL_EXTERNAL));
	assert_relay_refused(LOGIN "mechanisms = [ \"external\", \"plain\" ];", "needs a certificate of our own");
	assert_relay_refused("mechanisms = [ \"external\" ];", "needs a certificate of our own");
	assert_relay_refused(LOGIN "mechanisms = [ \"external\" ]; certificate = \"/c\";",
	    "password_file: nothing is to be said with it");
	assert_relay_refused("key = \"/k\";", "relays[].key has no certificate");
	assert_relay_refused("insecure = true; mechanisms = [ \"external\" ]; certificate = \"/c\";",
	    "a password is only sent to a verified server");
	assert_relay_refused("mechanisms = [ \"plain\" ];", "there is no user");
}

/* Nothing that could send a password to an unverified peer is taken. */
static void
test_secrecy(void **state)
{
	static const char *const local[] = { "localhost", "127.0.0.1", "::1", "[::1]" };
	struct conf *c;
	char text[256];

	assert_relay_refused(CLEAR, "\"h.example\" would get the mail in clear");
	assert_relay_refused("insecure = true; " LOGIN, "a password is only sent to a verified server");
	assert_relay_refused("insecure = true; " CLEAR LOGIN, "a password is never sent in clear");
	assert_refused("relays = ( { host = \"localhost\"; " CLEAR LOGIN "} );",
	    "a password is never sent in clear");
	for (size_t i = 0; i < 4; i++) {
		(void)snprintf(text, sizeof(text), NAMES "relays = ( { host = \"%s\"; " CLEAR " } );",
		    local[i]);
		c = load(text);
		assert_non_null(c);
		assert_string_equal(report_text, "");
		conf_free(c);
	}
	c = load(NAMES "relays = ( { host = \"h.example\"; insecure = true; " CLEAR "} );");
	assert_non_null(c);
	assert_says("warning: insecure = true");
	conf_free(c);
}

static void
test_login(void **state)
{
	struct conf *c;

	assert_relay_refused("user = \"u\";", "relays[].user has no password");
	assert_relay_refused("password_env = \"P\";", "relays[].password_env has no user");
	assert_relay_refused(LOGIN "password_env = \"P\";", "password_file and password_env: keep one");
	assert_relay_refused("user = \"u\"; password = \"geheim\";", "a password is never written here");
	assert_null(strstr(report_text, "geheim"));
	assert_relay_refused("user = \"u\"; password_file = \"p\";", "is not an absolute path");
	assert_relay_refused("user = \"u\"; password_credential = \"../x\";", "is not a plain name");
	assert_relay_refused("user = \"u\"; password_credential = \"..\";", "is not a plain name");
	assert_relay_refused("user = \"u\"; password_command = \"pass x\";",
	    "must be a list of words like [ \"/usr/bin/pass\", \"mail\" ]");
	assert_refused("hook = \"/bin/x\";" RELAY, "must be a list of words like [ \"/usr/local/bin/alert\", \"mail\" ]");
	assert_relay_refused("user = \"u\"; password_command = ( \"pass\" );", "must be an absolute path");
	assert_relay_refused("user = \"u\"; password_command = ( \"/a\", 5 );", "every word must be text");
	c = load("relays = ( { host = \"h.example\"; user = \"u\"; password_credential = \"mail.pw\"; } );");
	assert_non_null(c);
	assert_int_equal(c->relay[0].secret, CONF_SECRET_CREDENTIAL);
	assert_string_equal(c->relay[0].secret_from, "mail.pw");
	conf_free(c);
}

static void
test_relations(void **state)
{
	assert_refused(RELAY "limits = { message_size = \"1G\"; }; queue = { bytes_max = \"1G\"; };",
	    "more than half of queue.bytes_max");
	assert_refused(RELAY "queue = { bytes_max = \"2G\"; segment_size = \"1G\"; };", "more than a quarter");
	assert_refused(RELAY "queue = { retry_first = \"2h\"; };", "longer than queue.retry_max");
	assert_refused(RELAY "hook = \"/bin/alert\";", "hook must be a list of words");
	assert_refused(RELAY "hook = [ \"alert\" ];", "hook: the first word must be an absolute path");
	assert_refused(RELAY "hook = [ ];", "hook must be a list of words");
	assert_refused(RELAY "state_dir = \"/var/x\"; runtime_dir = \"/var/x\";", "the same as state_dir");
	conf_free(load(RELAY "hostname = \"web1\";"));
	assert_says("test.conf:2: warning: the host name \"web1\" has no domain");
	assert_says("warning: admin is not set");
}

/* --- routes ------------------------------------------------------------------ */

#define REST "{ relays = [ \"a\", \"b\" ]; } );"

static void
test_no_routes(void **state)
{
	struct conf *c = load(NAMES TWO);

	assert_non_null(c);
	assert_string_equal(report_text, "");
	assert_int_equal(c->nroute, 1);
	assert_int_equal(c->route[0].nrelay, 2);
	assert_int_equal(c->route[0].relay[0], 0);
	assert_int_equal(c->route[0].relay[1], 1);
	conf_free(c);
}

static void
test_routes(void **state)
{
	/* They may stand before the relays. */
	struct conf *c = load(NAMES "routes = ( { from = \"*@shop.example.com\"; relays = [ \"b\" ]; },\n"
	    "{ name = \"own\"; user = \"root\"; to = \"bob@*.example.org\"; relays = ( \"b\", \"a\" ); },\n"
	    "{ from = \"<>\"; relays = [ \"a\" ]; }, { user = \"4711\"; relays = [ \"a\" ]; },\n"
	    REST TWO);

	assert_non_null(c);
	assert_string_equal(report_text, "");
	assert_int_equal(c->nroute, 5);
	assert_string_equal(c->route[0].name, "1");
	assert_string_equal(c->route[0].from, "*@shop.example.com");
	assert_null(c->route[0].to);
	assert_int_equal(c->route[0].nrelay, 1);
	assert_int_equal(c->route[0].relay[0], 1);
	assert_string_equal(c->route[1].name, "own");
	assert_int_equal(c->route[1].uid, 0);
	assert_int_equal(c->route[1].nrelay, 2);
	assert_int_equal(c->route[1].relay[0], 1);
	assert_int_equal(c->route[1].relay[1], 0);
	assert_int_equal(c->route[3].uid, 4711);
	assert_null(c->route[4].user);
	conf_free(c);
}

#define assert_routes_refused(text, why) assert_refused(TWO "routes = (" text, why)

static void
test_bad_routes(void **state)
{
	assert_routes_refused("{ relays = [ \"c\" ]; } );",
	    "test.conf:3: routes[].relays: there is no relay \"c\"");
	assert_refused(NAMES "relays = ( { name = \"backup\"; host = \"h\"; } );\n"
	    "routes = ( { relays = [ \"bakup\" ]; } );", "did you mean \"backup\"?");
	assert_routes_refused("{ relays = [ \"a\", \"a\" ]; } );", "\"a\" is listed twice");
	assert_routes_refused("{ relays = [ ]; } );", "routes[].relays must be a list of names like");
	assert_routes_refused("{ relays = \"a\"; } );", "routes[].relays must be a list of names like");
	assert_routes_refused("{ relays = ( \"a\", 7 ); } );", "every name must be text in double quotes");
	assert_routes_refused("\n{ from = \"<>\"; },\n" REST, "test.conf:4: routes[].relays is missing");
	assert_routes_refused(");", "test.conf:3: routes is empty");
	assert_routes_refused("7 );", "routes: each must be a group");
	assert_refused(TWO "routes = { };", "routes must be a list of groups");
	assert_routes_refused("{ form = \"<>\"; relays = [ \"a\" ]; }," REST,
	    "unknown option \"routes[].form\"; did you mean \"from\"?");
	assert_routes_refused("{ name = \"x\"; from = \"<>\"; relays = [ \"a\" ]; },"
	    "{ name = \"x\"; relays = [ \"b\" ]; } );", "\"x\" is the name of two routes");
	assert_routes_refused("{ name = \"2\"; from = \"<>\"; relays = [ \"a\" ]; }," REST,
	    "\"2\" is the name of two routes");
}

static void
test_patterns(void **state)
{
	static const char *const bad[] = { "", "x", "@x.example", "a@", "*", "a*@x.example", "a b@x.example",
		"a@*", "a@*.", "a@.x.example", "a@b@*x", "a@x_y", "a,b@x.example", "<a@x.example>", "a@*.*.x" };
	char text[400];

	for (size_t i = 0; i < lengthof(bad); i++) {
		(void)snprintf(text, sizeof(text), TWO "routes = ( { from = \"%s\"; relays = [ \"a\" ]; }," REST, bad[i]);
		assert_refused(text, "routes[].from: the value ");
		(void)snprintf(text, sizeof(text), TWO "routes = ( { to = \"%s\"; relays = [ \"a\" ]; }," REST, bad[i]);
		assert_refused(text, "routes[].to: the value ");
	}
	/* Said once: not also that it takes the mail of others, or gets none. */
	assert_routes_refused("{ from = \"*\"; relays = [ \"a\" ]; }, { to = \"x@y.example\"; relays = [ \"a\" ]; }," REST,
	    "routes[].from: the value is not like");
	assert_null(strstr(report_text, "no mail gets to this one"));
	assert_routes_refused("{ to = \"a@b.example\"; relays = [ \"a\" ]; }, { to = \"b.example\"; relays = [ \"b\" ]; },"
	    REST, "routes[].to: the value is not like");
	assert_null(strstr(report_text, "no mail gets to this one"));
	assert_routes_refused("{ to = \"<>\"; relays = [ \"a\" ]; }," REST, "routes[].to: the value is not like");
	assert_routes_refused("{ from = \"a\\x01@x\"; relays = [ \"a\" ]; }," REST, "has a control character");
}

#define TO_A "relays = [ \"a\" ]; },\n"

/* Each route has mail, and each mail a route. */
static void
test_reach(void **state)
{
	static const struct { const char *first, *second; bool covered; } cases[] = {
		{ "", "from = \"a@x\";", true },
		{ "from = \"*@x\";", "from = \"a@X\";", true },
		{ "from = \"*@x\";", "from = \"*@x\"; to = \"b@y\";", true },
		{ "from = \"*@*.x\";", "from = \"*@*.y.x\";", true },
		{ "user = \"0\";", "from = \"a@x\"; user = \"root\";", true },
		{ "from = \"<>\";", "from = \"<>\";", true },
		{ "from = \"*@x\";", "to = \"a@x\";", false },
		{ "from = \"a@x\";", "from = \"*@x\";", false },
		{ "from = \"a@x\";", "from = \"A@x\";", false },
		{ "from = \"*@x\";", "from = \"*@*.x\";", false },
		{ "from = \"*@*.y.x\";", "from = \"*@*.x\";", false },
		{ "from = \"*@x\"; to = \"b@y\";", "from = \"*@x\";", false },
		{ "user = \"0\";", "user = \"1\";", false },
		{ "user = \"0\";", "from = \"a@x\";", false },
	};
	char text[600];

	for (size_t i = 0; i < lengthof(cases); i++) {
		struct conf *c;

		(void)snprintf(text, sizeof(text), NAMES TWO "routes = (\n{ %s " TO_A "{ %s " TO_A REST,
		    cases[i].first, cases[i].second);
		c = load(text);
		if ((c == NULL) != cases[i].covered)
			fail_msg("%s\n%s", text, report_text);
		if (c == NULL)
			assert_says("test.conf:6: routes: no mail gets to this one: the route in line 5 takes all "
			    "of it\n");
		conf_free(c);
	}
	assert_refused(TWO "routes = (\n{ from = \"<>\"; relays = [ \"a\", \"b\" ]; } );",
	    "test.conf:4: routes: the last one must take whatever no other takes");
}

static void
test_idle_routes(void **state)
{
	struct conf *c = load(NAMES TWO "routes = ( { user = \"no-such-user\";\n relays = [ \"a\" ]; },\n"
	    "{ relays = [ \"a\" ]; } );");

	assert_non_null(c);
	assert_int_equal(c->route[0].uid, CONF_NO_UID);
	assert_says("test.conf:4: warning: routes[].user: there is no user \"no-such-user\" here");
	assert_says("test.conf:3: warning: no route uses the relay \"b\": it gets no mail\n");
	conf_free(c);
}

/* What --dump prints can be loaded, and dumps the same again. */
static void
check_located(const char *file, int line, struct view text, const char *runtime, const char *spool)
{
	char *runtime_dir, *state_dir;

	conf_locate(text, &runtime_dir, &state_dir);
	_assert_string_equal(runtime_dir, runtime, file, line);
	_assert_string_equal(state_dir, spool, file, line);
	free(runtime_dir);
	free(state_dir);
}
#define assert_located(text, r, s) check_located(__FILE__, __LINE__, text, r, s)

/* A daemon that runs is found whatever has become of its file. */
static void
test_locate(void **state)
{
	const char *r = POSTHOUSE_RUNTIMEDIR, *s = POSTHOUSE_STATEDIR;

	assert_located(VIEW("runtime_dir = \"/r\"; state_dir = \"/s\"; lisen = 5; drain = \"x\";"), "/r", "/s");
	assert_located(VIEW("state_dir : \"/s\";"), r, "/s");
	assert_located(VIEW(""), r, s);
	/* What libconfig can't read. */
	assert_located(VIEW("relays = (\n\truntime_dir= \"/r\";\n# state_dir = \"/t\"\nstate_dir =\"/s\"; }"),
	    "/r", "/s");
	assert_located(VIEW("state_dirs = \"/t\";\nstate_dir\nstate_dir = /u\nstate_dir = \"/s"), r, "/s");
	assert_located(VIEW("state_dir = \"/s\";\nhostname = \"a\0\";\n"), r, "/s");
	assert_located(VIEW("state_dir = \"/s\";\n\0\nruntime_dir = \"/r\";\n"), "/r", "/s");
	assert_located(VIEW("state_dir = \"/s\";\n@include \"/absent\"\n"), r, "/s");
	/* What is no place. */
	assert_located(VIEW("state_dir = 5; runtime_dir = \"relative\";"), r, s);
	assert_located(VIEW("{\nstate_dir = \"relative\"\n"), r, s);
}

static void
test_dump(void **state)
{
	static const char *const texts[] = {
		NAMES RELAY,
		NAMES "drain = \"90s\"; hook = [ \"/a\", \"\\\"\" ]; listen = [ ];\n relays = ( { host = \"h.example\";\n user = \"q\\\"\\\\\";"
		"password_command = ( \"/a\", \"\\\"\" ); endpoints = ( { port = 26; }, { port = 27; } ); }, "
		"{ host = \"i.example\"; insecure = true; } );",
		NAMES TWO "routes = ( { name = \"shop\"; from = \"<>\"; to = \"\\\"a b\\\"@X.example\";\n"
		"user = \"7\"; relays = ( \"b\", \"a\" ); },\n { relays = [ \"a\" ]; } );",
		NAMES RELAY "allow_senders = [ \"<>\", \"*@x.example\" ]; listeners = ( { address = \"10.0.0.1:25\"; "
		"networks = [ \"10.0.0.2\", \"10.1.0.0/16\" ]; allow_recipients = ( \"\\\"a b\\\"@x.example\" ); }, "
		"{ name = \"q\"; address = \"[::1]:26\"; } );",
	};
	struct buf once, twice;
	struct conf *c;

	for (size_t i = 0; i < lengthof(texts); i++) {
		buf_init(&once, 100000);
		buf_init(&twice, 100000);
		c = load(texts[i]);
		assert_non_null(c);
		assert_true(conf_dump(&once, c, view_str(texts[i]), "a.conf"));
		conf_free(c);
		c = load(buf_cstr(&once));
		assert_non_null(c);
		for (size_t k = 0; k < nkeys; k++)	/* the places differ, the values must not */
			assert_non_null(strstr(buf_cstr(&once), keys[k].type == KEY_SECRET ||
			    keys[k].type == KEY_COMMAND || keys[k].type == KEY_LIST ||
			    keys[k].min == GROUP_LISTENER || keys[k].group == GROUP_LISTENER ||
			    keys[k].group == GROUP_ROUTE || keys[k].at == offsetof(struct conf_relay, user) ||
			    keys[k].at == offsetof(struct conf_relay, ca_file) ? "relays" : keys[k].name));
		assert_true(conf_dump(&twice, c, buf_view(&once), "a.conf"));
		conf_free(c);
		c = load(buf_cstr(&twice));
		assert_non_null(c);
		buf_clear(&once);
		assert_true(conf_dump(&once, c, buf_view(&twice), "a.conf"));
		assert_string_equal(buf_cstr(&once), buf_cstr(&twice));
		conf_free(c);
		buf_done(&once);
		buf_done(&twice);
	}
	c = load(texts[1]);
	buf_init(&once, 100000);
	assert_true(conf_dump(&once, c, view_str(texts[1]), "a.conf"));
	assert_non_null(strstr(buf_cstr(&once), "drain = \"90s\";\t# a.conf:2\n"));
	assert_non_null(strstr(buf_cstr(&once), "sandbox = \"required\";\t# default\n"));
	assert_non_null(strstr(buf_cstr(&once), "relays = [ \"h.example\", \"i.example\" ];\t# default\n"));
	buf_done(&once);
	conf_free(c);
	c = load(texts[2]);
	buf_init(&once, 100000);
	assert_true(conf_dump(&once, c, view_str(texts[2]), "a.conf"));
	assert_non_null(strstr(buf_cstr(&once), "relays = [ \"b\", \"a\" ];\t# a.conf:5\n"));
	buf_done(&once);
	conf_free(c);
}

static void
test_lines(void **state)
{
	struct view text = VIEW("hostname = \"h.example\";\nrelays = ( {\n  host = \"s.example\";\n\n"
	    "  ca_file = \"/x\"; } );\n");

	assert_int_equal(conf_line(text, "hostname"), 1);
	assert_int_equal(conf_line(text, "relays.[0].ca_file"), 5);
	assert_int_equal(conf_line(text, "relays.[0].password_file"), 0);
	assert_int_equal(conf_line(text, ""), 0);
}

static void
test_fixed(void **state)
{
	struct conf *a = load(NAMES RELAY), *b = load(NAMES RELAY "drain = \"1m\";");
	struct conf *c = load(NAMES RELAY "state_dir = \"/x\"; user = \"y\";");
	struct buf names;

	buf_init(&names, 1000);
	assert_true(conf_same_fixed(a, b, &names));
	assert_int_equal(buf_len(&names), 0);
	assert_false(conf_same_fixed(a, c, &names));
	assert_string_equal(buf_cstr(&names), "state_dir, user");
	buf_done(&names);
	conf_free(a);
	conf_free(b);
	conf_free(c);
}

/* Each row's default passes its own check, and each range is closed on both sides. */
static void
test_table(void **state)
{
	struct conf *c = load(NAMES RELAY);
	struct err e;
	struct buf text;

	for (size_t i = 0; i < nkeys; i++) {
		const struct key *k = &keys[i];
		uint64_t room[8] = { 0 };

		assert_ptr_equal(key_find(k->group, k->name), k);
		assert_true(k->help != NULL && k->help[0] != '\0');
		if (k->type != KEY_COUNT && k->type != KEY_SIZE && k->type != KEY_DURATION)
			continue;
		for (int over = -1; over <= 1; over += 2) {
			struct key at0 = *k;
			uint64_t edge = over < 0 ? k->min : k->max;
			uint64_t beyond = edge + (uint64_t)(int64_t)over;

			if (over < 0 && k->min == 0)
				continue;
			at0.at = 0;
			buf_init(&text, 100);
			assert_true(buf_addf(&text, k->type == KEY_DURATION ? "%llums" : "%llu",
			    (unsigned long long)edge));
			assert_int_equal(value_parse(&at0, room, buf_view(&text), &e), 0);
			buf_clear(&text);
			assert_true(buf_addf(&text, k->type == KEY_DURATION ? "%llums" : "%llu",
			    (unsigned long long)beyond));
			assert_int_equal(value_parse(&at0, room, buf_view(&text), &e), -1);
			buf_done(&text);
		}
	}
	conf_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_all_at_once),
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_listen),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_dangers),
		cmocka_unit_test(test_own_addresses),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_secrecy),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_mechanisms),
		cmocka_unit_test(test_relations),
		cmocka_unit_test(test_no_routes),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_bad_routes),
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_reach),
		cmocka_unit_test(test_idle_routes),
		cmocka_unit_test(test_locate),
		cmocka_unit_test(test_dump),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_fixed),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/quote.h"
#include "base/require.h"
#include "conf/pattern.h"
#include "smtp/mechanism.h"

#include "base/banned.h"

#define SHOWN_MAX 80	/* of a bad value, in a message */

bool
value_is_scalar(const struct key *k)
{
	return k->type != KEY_COMMAND && k->type != KEY_ADDRESSES && k->type != KEY_LIST &&
	    k->type != KEY_RELAYS && k->type != KEY_SUBGROUP;
}

/* --- strings -------------------------------------------------------------- */

static bool
is_host(struct view v)
{
	bool v6 = v.n > 0 && (v.p[0] == '[' || view_find(v, ':') < v.n);

	if (v6) {
		struct address a;

		return address_from_host(&a, v, 1);
	}
	for (size_t i = 0; i < v.n; i++) {
		bool edge = i == 0 || i + 1 == v.n || v.p[i - 1] == '.' || v.p[i + 1] == '.';

		if (!is_alnum(v.p[i]) && (edge || (v.p[i] != '.' && v.p[i] != '-')))
			return false;
	}
	return true;
}

/* Good enough to catch slips; smtp/address has the last word on syntax. */
static bool
is_mailbox(struct view v)
{
	size_t at = view_find(v, '@');

	if (v.n == 0)
		return true;
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] <= ' ' || v.p[i] >= 0x7f || strchr("<>(),;:\\\"[]", v.p[i]) != NULL)
			return false;
	return at > 0 && at + 1 < v.n && is_host(view_from(v, at + 1));
}

static bool
is_name(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (!is_alnum(v.p[i]) && (v.p[i] == 0 || strchr("-_.@+", v.p[i]) == NULL))
			return false;
	return v.n == 0 || v.p[0] != '.';	/* a credential's name is a file name */
}

static bool
is_pattern(struct view v)
{
	struct view local, domain;
	bool any;

	if (!pattern_split(v, &local, &domain) || local.n == 0)
		return false;
	any = view_eq(local, VIEW("*"));
	for (size_t i = 0; i < local.n && local.p[0] != '"' && !any; i++)
		if (strchr(" <>*,;", local.p[i]) != NULL)
			return false;
	if (view_starts(domain, VIEW("*.")))
		domain = view_from(domain, 2);
	return domain.n > 0 && is_host(domain);
}

static bool
has_control(struct view v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < 0x20 || v.p[i] == 0x7f)
			return true;
	return false;
}

const char *
value_form_fault(enum key_form form, struct view v)
{
	if (has_control(v))
		return "has a control character";
	switch (form) {
	case FORM_ANY:
		return NULL;
	case FORM_HOST:
		return is_host(v) ? NULL : "is not a host name or address";
	case FORM_MAILBOX:
		return is_mailbox(v) ? NULL : "is not a mail address (user@domain)";
	case FORM_PATH:
		return v.n == 0 || v.p[0] == '/' ? NULL : "is not an absolute path";
	case FORM_NAME:
		return is_name(v) ? NULL : "is not a plain name (letters, digits, - _ . @ +)";
	case FORM_SENDER:
		if (view_eq(v, VIEW("<>")))
			return NULL;
		return is_pattern(v) ? NULL : "is not like alice@example.com, *@example.com, "
		    "*@*.example.com or <>";
	case FORM_RECIPIENT:
		return is_pattern(v) ? NULL : "is not like alice@example.com, *@example.com or "
		    "*@*.example.com";
	case FORM_ADDRESS:
		return address_parse(&(struct address){ .len = 0 }, v, NULL) == 0 && v.p[0] != '/' &&
		    !view_starts(v, VIEW("unix:")) ? NULL : "is not an address like 172.17.0.1:25 or "
		    "[fd00:1::1]:25";
	case FORM_NETWORK:
		return subnet_parse(&(struct subnet){ .bits = 0 }, v, NULL) == 0 ? NULL : "is not a network "
		    "like 172.17.0.0/16, fd00:1::/64 or 192.0.2.7";
	case FORM_MECHANISM:
		return mechanism_find(view_from(v, view_starts(v, VIEW("!")))) != SASL_COUNT ? NULL :
		    "is not a way to log in that we have (see posthouse.conf(5))";
	}
	return NULL;
}

/* --- numbers -------------------------------------------------------------- */

static int
number_fault(const struct key *k, struct view text, struct err *e)
{
	char expected[160];
	struct buf shown;

	value_expected(k, expected);
	buf_init(&shown, 4 * SHOWN_MAX + 16);
	(void)(quote_log(&shown, text, SHOWN_MAX) && buf_add_byte(&shown, 0));
	err_set(e, ERR_CONFIG, "%s: %s does not fit; expected %s", k->name,
	    shown.data != NULL ? (const char *)shown.data : "it", expected);
	buf_done(&shown);
	return -1;
}

static bool
to_number(const struct key *k, struct view text, uint64_t *n)
{
	int64_t ms;

	switch (k->type) {
	case KEY_BOOL:
		*n = view_eq(text, VIEW("true"));
		return *n == 1 || view_eq(text, VIEW("false"));
	case KEY_COUNT:
	case KEY_PORT:
		return num_parse_u64(text, k->min, k->max, n);
	case KEY_SIZE:
		return num_parse_size(text, n) && *n >= k->min && *n <= k->max;
	case KEY_DURATION:
		/* A unit is asked for: "5" has meant minutes to one and milliseconds to another. */
		if (text.n == 0 || is_digit(text.p[text.n - 1]) || !num_parse_duration_ms(text, &ms))
			return false;
		*n = (uint64_t)ms;
		return *n >= k->min && *n <= k->max;
	case KEY_CHOICE:
		for (*n = 0; k->words[*n] != NULL; ++*n)
			if (view_eq(text, view_str(k->words[*n])))
				return true;
		return false;
	default:
		return false;
	}
}

static int
parse_string(const struct key *k, char **at, struct view text, struct err *e)
{
	const char *fault = value_form_fault(k->form, text);
	bool secret = k->type == KEY_SECRET;

	if (fault != NULL)
		return err_set(e, ERR_CONFIG, "%s: the value %s", k->name, fault);
	if (text.n < (secret ? 1 : k->min))
		return err_set(e, ERR_CONFIG, "%s: the value is empty", k->name);
	if (text.n > (secret ? 4000 : k->max))
		return err_set(e, ERR_CONFIG, "%s: the value is too long; at most %" PRIu64
		    " characters", k->name, secret ? 4000 : k->max);
	free(*at);
	*at = xstrndup(text.p, text.n);
	return 0;
}

int
value_parse(const struct key *k, void *base, struct view text, struct err *e)
{
	void *at = (char *)base + k->at;
	uint64_t n = 0;

	require(value_is_scalar(k));
	if (k->type == KEY_STRING || k->type == KEY_SECRET)
		return parse_string(k, at, text, e);
	if (!to_number(k, text, &n))
		return number_fault(k, text, e);
	if (k->type == KEY_BOOL)
		*(bool *)at = n != 0;
	else if (k->type == KEY_COUNT)
		*(unsigned *)at = (unsigned)n;
	else if (k->type == KEY_PORT)
		*(uint16_t *)at = (uint16_t)n;
	else if (k->type == KEY_CHOICE)
		memcpy(at, &(int){ (int)n }, sizeof(int));	/* gcc's and clang's enums are int-sized */
	else
		memcpy(at, &n, sizeof(n));
	return 0;
}

/* --- and back ------------------------------------------------------------- */

struct unit {
	const char	*word;
	uint64_t	 factor;
};

/* The largest unit that leaves no rest, so that the text parses to the same value. */
static bool
format_scaled(struct buf *out, uint64_t n, const struct unit *units)
{
	while (units->factor > 1 && (n == 0 || n % units->factor != 0))
		units++;
	return buf_addf(out, "\"%" PRIu64 "%s\"", n / units->factor, units->word);
}

static const struct unit size_units[] = {
	{ "T", UINT64_C(1) << 40 }, { "G", 1u << 30 }, { "M", 1u << 20 }, { "K", 1u << 10 }, { "", 1 }
};
static const struct unit duration_units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 }
};

bool
value_quote(struct buf *out, const char *s)
{
	if (!buf_add_byte(out, '"'))
		return false;
	for (; *s != '\0'; s++) {
		if ((*s == '"' || *s == '\\') && !buf_add_byte(out, '\\'))
			return false;
		if (!buf_add_byte(out, (uint8_t)*s))
			return false;
	}
	return buf_add_byte(out, '"');
}

bool
value_format(const struct key *k, const void *base, struct buf *out)
{
	const void *at = (const char *)base + k->at;
	const char *s;
	uint64_t n;
	int choice;

	require(value_is_scalar(k));
	switch (k->type) {
	case KEY_BOOL:
		return buf_add_str(out, *(const bool *)at ? "true" : "false");
	case KEY_COUNT:
		return buf_addf(out, "%u", *(const unsigned *)at);
	case KEY_PORT:
		return buf_addf(out, "%u", (unsigned)*(const uint16_t *)at);
	case KEY_SIZE:
		memcpy(&n, at, sizeof(n));
		return format_scaled(out, n, size_units);
	case KEY_DURATION:
		memcpy(&n, at, sizeof(n));
		return format_scaled(out, n, duration_units);
	case KEY_CHOICE:
		memcpy(&choice, at, sizeof(choice));
		return value_quote(out, k->words[choice]);
	default:
		s = *(char *const *)at;
		return value_quote(out, s != NULL ? s : "");
	}
}

static void
range(char text[160], const struct key *k, const char *example, const struct unit *units)
{
	struct buf lo, hi;

	buf_init(&lo, 64);
	buf_init(&hi, 64);
	(void)(format_scaled(&lo, k->min, units) && format_scaled(&hi, k->max, units));
	(void)snprintf(text, 160, "%s, from %.*s to %.*s", example, VIEW_ARG(buf_view(&lo)),
	    VIEW_ARG(buf_view(&hi)));
	buf_done(&lo);
	buf_done(&hi);
}

void
value_expected(const struct key *k, char text[160])
{
	int n;

	switch (k->type) {
	case KEY_BOOL:
		(void)snprintf(text, 160, "true or false, without quotes");
		break;
	case KEY_COUNT:
	case KEY_PORT:
		(void)snprintf(text, 160, "a number from %" PRIu64 " to %" PRIu64 ", without quotes",
		    k->min, k->max);
		break;
	case KEY_SIZE:
		range(text, k, "a size like \"25M\"", size_units);
		break;
	case KEY_DURATION:
		range(text, k, "a time like \"30s\"", duration_units);
		break;
	case KEY_CHOICE:
		n = snprintf(text, 160, "one of");
		for (size_t i = 0; k->words[i] != NULL && n > 0 && n < 160; i++)
			n += snprintf(text + n, 160 - (size_t)n, " \"%s\"", k->words[i]);
		break;
	case KEY_COMMAND:
		(void)snprintf(text, 160, "a list of words like [ \"%s\", \"mail\" ]",
		    k->group == GROUP_RELAY ? "/usr/bin/pass" : "/usr/local/bin/alert");
		break;
	case KEY_ADDRESSES:
		(void)snprintf(text, 160, "a list like [ \"127.0.0.1:25\", \"[::1]:25\" ]");
		break;
	case KEY_LIST:
		(void)snprintf(text, 160, "a list of 1 to %" PRIu64 " texts like [ \"%s\", \"%s\" ]", k->max,
		    k->form == FORM_NETWORK ? "172.17.0.0/16" :
		    k->form == FORM_MECHANISM ? "scram-sha-256" : "alice@example.com",
		    k->form == FORM_NETWORK ? "!172.17.0.1" :
		    k->form == FORM_MECHANISM ? "plain" : "*@example.org");
		break;
	case KEY_RELAYS:
		(void)snprintf(text, 160, "a list of names like [ \"main\", \"backup\" ]");
		break;
	case KEY_SUBGROUP:
		(void)snprintf(text, 160, "%s", key_is_list(k) ? "a list of groups: ( { ... } )" :
		    "a group: { ... }");
		break;
	default:
		(void)snprintf(text, 160, "text in double quotes");
		break;
	}
}

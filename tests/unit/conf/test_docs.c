/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of options, the example file and the manual say the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <libconfig.h>

#include "conf/value.h"

#include "base/banned.h"

static struct buf
read_file(const char *path)
{
	struct buf b;
	FILE *f = fopen(path, "r");
	int c;

	buf_init(&b, 1u << 20);
	assert_non_null(f);
	while ((c = getc(f)) != EOF)
		assert_true(buf_add_byte(&b, (uint8_t)c));
	(void)fclose(f);
	return b;
}

/* The default as it stands in the file. */
static void
default_text(const struct key *k, char out[300])
{
	union { struct conf c; struct conf_listener l; struct conf_relay r; struct conf_endpoint e; } room = { 0 };
	struct view rest, word;
	struct buf b;

	buf_init(&b, 299);
	if (k->def == NULL) {
		assert_true(buf_add_str(&b, k->derived));
	} else if (k->type == KEY_ADDRESSES) {
		rest = view_str(k->def);
		while (view_split(&rest, ' ', &word))
			assert_true(buf_addf(&b, "%s\"%.*s\"", buf_len(&b) > 0 ? ", " : "[ ",
			    VIEW_ARG(word)));
		assert_true(buf_add_str(&b, " ]"));
	} else {
		assert_int_equal(value_parse(k, &room, view_str(k->def), NULL), 0);
		assert_true(value_format(k, &room, &b));
		if (k->type == KEY_STRING)
			free(*(char **)(void *)((char *)&room + k->at));
	}
	(void)snprintf(out, 300, "%.*s", VIEW_ARG(buf_view(&b)));
	buf_done(&b);
}

/* --- the example file ------------------------------------------------------ */

static void
test_example_loads(void **state)
{
	struct buf text = read_file(BUILD_DIR "/etc/posthouse.conf.example"), report;
	struct conf *c = NULL;

	buf_init(&report, 10000);
	if (conf_load(&c, buf_view(&text), "example", &report) != 0)
		fail_msg("%s", buf_cstr(&report));
	assert_string_equal(c->relay[0].host, "smtp.example.net");
	conf_free(c);
	buf_done(&report);
	buf_done(&text);
}

/* "#name = ..." and the brackets around are options; "# Words" are comments. */
static bool
is_switched_off(struct view line)
{
	return line.n > 1 && line.p[0] == '#' && line.p[1] != ' ';
}

static void
test_example_is_whole(void **state)
{
	struct buf text = read_file(BUILD_DIR "/etc/posthouse.conf.example"), all;
	struct view rest = buf_view(&text), line;
	config_t tree;

	buf_init(&all, 1u << 20);
	while (view_split(&rest, '\n', &line)) {
		assert_true(buf_add(&all, is_switched_off(line) ? view_from(line, 1) : line));
		assert_true(buf_add_byte(&all, '\n'));
	}
	config_init(&tree);
	if (!config_read_string(&tree, buf_cstr(&all)))
		fail_msg("line %d: %s", config_error_line(&tree), config_error_text(&tree));
	for (size_t i = 0; i < nkeys; i++) {
		static const char *const where[GROUP_COUNT] = {
			"", "listeners.[0].", "limits.", "queue.", "relays.[0].", "relays.[0].endpoints.[0].",
			"routes.[0]."
		};
		char path[200], want[300], line_text[400];

		(void)snprintf(path, sizeof(path), "%s%s", where[keys[i].group], keys[i].name);
		if (config_lookup(&tree, path) == NULL)
			fail_msg("%s is not in the example", path);
		default_text(&keys[i], want);
		/* A constant default stands there as it is; another one is told in words. */
		if (keys[i].group == GROUP_ENDPOINT || keys[i].type == KEY_SUBGROUP)
			continue;
		if (keys[i].def != NULL)
			(void)snprintf(line_text, sizeof(line_text), "%s = %s;\n", keys[i].name, want);
		else
			(void)snprintf(line_text, sizeof(line_text), "# Default: %s.\n", want);
		if (strstr(buf_cstr(&all), line_text) == NULL)
			fail_msg("the example lacks: %s", line_text);
	}
	config_destroy(&tree);
	buf_done(&all);
	buf_done(&text);
}

/* "1K", "30s": as the manual says it, in the greatest unit that fits. */
static void
amount_text(const struct key *k, uint64_t n, char text[32])
{
	static const struct { uint64_t unit; char word; } sizes[] = {
		{ UINT64_C(1) << 40, 'T' }, { 1u << 30, 'G' }, { 1u << 20, 'M' }, { 1u << 10, 'K' },
	}, times[] = { { 86400000, 'd' }, { 3600000, 'h' }, { 60000, 'm' }, { 1000, 's' } };

	for (size_t i = 0; n != 0 && i < lengthof(sizes); i++) {
		if (k->type == KEY_SIZE && n % sizes[i].unit == 0) {
			(void)snprintf(text, 32, "%llu%c", (unsigned long long)(n / sizes[i].unit), sizes[i].word);
			return;
		}
		if (k->type == KEY_DURATION && n % times[i].unit == 0) {
			(void)snprintf(text, 32, "%llu%c", (unsigned long long)(n / times[i].unit), times[i].word);
			return;
		}
	}
	(void)snprintf(text, 32, k->type == KEY_DURATION ? "%llums" : "%llu", (unsigned long long)n);
}

static void
check_range(const struct key *k, const char *path, struct view entry_text)
{
	char low[32], high[32], said[100];

	if (k->type != KEY_COUNT && k->type != KEY_PORT && k->type != KEY_SIZE && k->type != KEY_DURATION)
		return;
	amount_text(k, k->min, low);
	amount_text(k, k->max, high);
	(void)snprintf(said, sizeof(said), "\nRange: %s to %s\n", low, high);
	if (view_search(entry_text, view_str(said)) == entry_text.n)
		fail_msg("the manual has no or another range of %s; it is %s to %s", path, low, high);
}

/* --- the manual ------------------------------------------------------------ */

static struct buf
plain(struct view v)
{
	static const struct { struct view from; char to; } names[] = {
		{ { (const uint8_t *)"\\(dq", 4 }, '"' }, { { (const uint8_t *)"\\(aq", 4 }, '\'' }
	};
	struct buf b;

	buf_init(&b, 1u << 20);
	while (v.n > 0) {
		size_t skip = 1;
		uint8_t c = v.p[0];

		for (size_t i = 0; i < 2; i++)
			if (view_starts(v, names[i].from)) {
				c = (uint8_t)names[i].to;
				skip = 4;
			}
		assert_true(buf_add_byte(&b, c));
		v = view_from(v, skip);
	}
	return b;
}

/* From ".BR path " to the next ".TP"; empty if it is not there. */
static struct view
entry(struct view manual, const char *path)
{
	char head[200];
	size_t at;

	(void)snprintf(head, sizeof(head), "\n.BR %s \" = ", path);
	at = view_search(manual, view_str(head));
	if (at == manual.n)
		return view_from(manual, at);
	manual = view_from(manual, at + strlen(head));
	return view_first(manual, view_search(manual, VIEW("\n.TP\n")));
}

/* The file below EXAMPLES, as a reader would type it. */
static void
test_manual_example(void **state)
{
	struct buf raw = read_file(BUILD_DIR "/doc/posthouse.conf.5"), text = plain(buf_view(&raw)), report;
	struct view v = buf_view(&text);
	struct conf *c = NULL;

	v = view_from(v, view_search(v, VIEW("\n.SH EXAMPLES\n")));
	v = view_from(v, view_search(v, VIEW("\n.RS\n")));
	assert_true(v.n > 5);
	v = view_from(v, 5);
	v = view_first(v, view_search(v, VIEW("\n.RE\n")));
	buf_init(&report, 10000);
	if (conf_load(&c, v, "example", &report) != 0 || buf_len(&report) != 0)
		fail_msg("%s", buf_cstr(&report));
	assert_int_equal(c->nrelay, 2);
	assert_int_equal(c->nroute, 2);
	assert_string_equal(c->hook[0], "/usr/local/bin/alert");
	conf_free(c);
	buf_done(&report);
	buf_done(&text);
	buf_done(&raw);
}

static void
test_manual(void **state)
{
	struct buf raw = read_file(BUILD_DIR "/doc/posthouse.conf.5"), text = plain(buf_view(&raw));
	size_t entries = 0, rows = 0;
	struct view rest = buf_view(&text), line;

	for (size_t i = 0; i < nkeys; i++) {
		char path[100], want[300], said[400];
		struct view v;

		if (keys[i].type == KEY_SUBGROUP && keys[i].derived == NULL)
			continue;
		rows++;
		(void)snprintf(path, sizeof(path), "%s%s", group_prefix(keys[i].group), keys[i].name);
		v = entry(buf_view(&text), path);
		if (v.n == 0)
			fail_msg("the manual lacks %s", path);
		default_text(&keys[i], want);
		(void)snprintf(said, sizeof(said), "\nDefault: %s\n", want);
		if (view_search(v, view_str(said)) == v.n)
			fail_msg("the manual has another default of %s; it is %s", path, want);
		assert_true(view_search(v, VIEW("\nExample: ")) < v.n);
		check_range(&keys[i], path, v);
		/* What needs a restart says so, and nothing else does. */
		assert_int_equal(view_search(view_first(v, view_find(v, '\n')), VIEW("(restart)")) <
		    view_find(v, '\n'), keys[i].fixed);
	}
	while (view_split(&rest, '\n', &line))
		entries += view_starts(line, VIEW(".BR ")) && view_search(line, VIEW("\" = ")) < line.n;
	assert_int_equal(entries, rows);	/* nothing that is not an option */
	buf_done(&text);
	buf_done(&raw);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example_loads),
		cmocka_unit_test(test_example_is_whole),
		cmocka_unit_test(test_manual),
		cmocka_unit_test(test_manual_example),
	};

	return cmocka_run_group_tests_name("conf docs", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arbitrary bytes as the file "ports": every line that is understood is in its bounds and
 * printable, and written again it is read as the same. Also behind a line that is whole, of
 * a day or a change, since chance makes few of them.
 */
#include "fuzz.h"
#include "health/port_file.h"

#define LINE_MAX_BYTES 4096

static void
require_text(const char *text, size_t cap)
{
	size_t n = strnlen(text, cap);

	require(n < cap);
	for (size_t i = 0; i < n; i++)
		require(is_print((uint8_t)text[i]));
}

static bool
write_head(struct buf *b, const struct port_file_line *l)
{
	const struct switch_log log = { .total = l->total, .began_ms = l->began_ms };

	return port_file_put_head(b, l->wall_ms, &log);
}

static bool
to_text(char out[LINE_MAX_BYTES], struct view v)
{
	if (v.n >= LINE_MAX_BYTES || memchr(v.p, '\0', v.n) != NULL)
		return false;
	memcpy(out, v.p, v.n);
	out[v.n] = '\0';
	return true;
}

static bool
write_port(struct buf *b, const struct port_file_line *l)
{
	char relay[LINE_MAX_BYTES];

	return to_text(relay, l->relay) && l->port <= UINT32_MAX &&
	    port_file_put_port(b, relay, (unsigned)l->port, l->mark);
}

static bool
write_alarm(struct buf *b, const struct port_file_line *l)
{
	char alarm[LINE_MAX_BYTES], relay[LINE_MAX_BYTES];

	return to_text(alarm, l->alarm) && to_text(relay, l->relay) &&
	    port_file_put_alarm(b, l->wall_ms, alarm, relay);
}

static void
check_change(const struct switch_entry *e)
{
	require_text(e->relay, sizeof(e->relay));
	require_text(e->route, sizeof(e->route));
	require_text(e->from, sizeof(e->from));
	require_text(e->to, sizeof(e->to));
	require_text(e->reason, sizeof(e->reason));
	require_text(e->detail, sizeof(e->detail));
	require_text(e->evidence, sizeof(e->evidence));
	require(e->class < HEALTH_CLASS_COUNT && e->wall_ms >= 0);
	require(e->failover ? e->relay[0] == '\0' : e->route[0] == '\0');
}

static void
require_same(const struct port_file_line *a, const struct port_file_line *b)
{
	const struct switch_entry *x = &a->change, *y = &b->change;

	require(a->kind == b->kind);
	if (a->kind == PORT_FILE_HEAD)
		require(a->wall_ms == b->wall_ms && a->total == b->total && a->began_ms == b->began_ms);
	if (a->kind == PORT_FILE_PORT)
		require(view_eq(a->relay, b->relay) && a->port == b->port &&
		    memcmp(a->mark, b->mark, sizeof(a->mark)) == 0);
	if (a->kind == PORT_FILE_ALARM)
		require(a->wall_ms == b->wall_ms && view_eq(a->alarm, b->alarm) && view_eq(a->relay, b->relay));
	if (a->kind != PORT_FILE_CHANGE)
		return;
	require(x->wall_ms == y->wall_ms && x->failover == y->failover && x->class == y->class);
	/* Of a port's change without a relay, which is never written, a "-" is made. */
	require(strcmp(x->relay, y->relay) == 0 || (x->relay[0] == '\0' && strcmp(y->relay, "-") == 0));
	require(strcmp(x->route, y->route) == 0 && strcmp(x->from, y->from) == 0 && strcmp(x->to, y->to) == 0);
	require(strcmp(x->reason, y->reason) == 0 && strcmp(x->detail, y->detail) == 0 &&
	    strcmp(x->evidence, y->evidence) == 0);
}

static void
check(const struct port_file_line *l)
{
	struct port_file_line again;
	struct buf b;
	struct view text;
	bool written;

	for (size_t i = 0; l->kind == PORT_FILE_PORT && i < PORT_SLOTS; i++)
		require(l->mark[i] < PORT_MARK_COUNT);
	if (l->kind == PORT_FILE_CHANGE)
		check_change(&l->change);
	buf_init(&b, PORT_FILE_MAX);
	written = l->kind == PORT_FILE_HEAD ? write_head(&b, l) :
	    l->kind == PORT_FILE_PORT ? write_port(&b, l) :
	    l->kind == PORT_FILE_ALARM ? write_alarm(&b, l) : port_file_put_change(&b, &l->change);
	text = buf_view(&b);
	if (written) {
		require(port_file_next(&text, &again));
		require_same(l, &again);
		require(text.n == 0);
	}
	buf_done(&b);
}

static void
read_all(struct view text)
{
	struct port_file_line line;
	size_t rest = text.n;

	while (port_file_next(&text, &line)) {
		require(text.n < rest);
		rest = text.n;
		check(&line);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char change[] = "change 1795348800000 route main 587 465 down filtered\t";
	struct view in = view_of(data, size);
	struct buf b;

	read_all(in);
	buf_init(&b, sizeof(change) + size);
	require(buf_add_str(&b, change) && buf_add(&b, in));
	read_all(buf_view(&b));
	buf_done(&b);
	return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "health/port_file.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/num.h"
#include "base/quote.h"

#include "base/banned.h"

bool
port_file_put_head(struct buf *b, int64_t wall_ms, const struct switch_log *l)
{
	return buf_addf(b, "posthouse-ports 1 %" PRId64 " %" PRIu64 " %" PRId64 "\n", wall_ms, l->total,
	    l->began_ms);
}

bool
port_file_put_port(struct buf *b, const char *relay, unsigned port, const enum port_mark mark[PORT_SLOTS])
{
	uint8_t sign[PORT_SLOTS];

	for (size_t i = 0; i < PORT_SLOTS; i++)
		sign[i] = (uint8_t)port_mark_sign(mark[i]);
	return buf_addf(b, "port %s %u ", relay, port) && buf_add(b, view_of(sign, sizeof(sign))) &&
	    buf_add_byte(b, '\n');
}

bool
port_file_put_alarm(struct buf *b, int64_t since_ms, const char *alarm, const char *relay)
{
	return buf_addf(b, "alarm %" PRId64 " %s %s\n", since_ms, alarm, relay != NULL ? relay : "-");
}

static bool
put(struct buf *b, const char *text, uint8_t after)
{
	return buf_add_str(b, text) && buf_add_byte(b, after);
}

/* Without printf: the file is written anew, with all its changes, after each. */
bool
port_file_put_change(struct buf *b, const struct switch_entry *e)
{
	const char *of = e->failover ? e->route : e->relay;
	uint8_t digits[NUM_TEXT_MAX];

	/* Names of the configuration have no spaces, and texts no tabs: they are printable. */
	return buf_add_str(b, "change ") && buf_add(b, num_text(digits, e->wall_ms)) &&
	    buf_add_str(b, e->failover ? " failover " : " route ") &&
	    put(b, of[0] != '\0' ? of : "-", ' ') && put(b, e->from, ' ') && put(b, e->to, ' ') &&
	    put(b, e->reason, ' ') && put(b, health_class_info(e->class)->word, '\t') &&
	    put(b, e->detail, '\t') && put(b, e->evidence, '\n');
}

/* --- and back -------------------------------------------------------------------- */

/* The next word of the line, as a number. */
static bool
take_number(struct view *line, uint64_t *out)
{
	struct view word;

	return view_split(line, ' ', &word) && num_parse_u64(word, 0, INT64_MAX, out);
}

static bool
take_head(struct view line, struct port_file_line *out)
{
	uint64_t version, wall, began;

	if (!take_number(&line, &version) || version != 1 || !take_number(&line, &wall) ||
	    !take_number(&line, &out->total) || !take_number(&line, &began))
		return false;
	out->kind = PORT_FILE_HEAD;
	out->wall_ms = (int64_t)wall;
	out->began_ms = (int64_t)began;
	return true;
}

static bool
take_port(struct view line, struct port_file_line *out)
{
	if (!view_split(&line, ' ', &out->relay) || !take_number(&line, &out->port) || line.n != PORT_SLOTS)
		return false;
	for (size_t i = 0; i < PORT_SLOTS; i++) {
		int mark = 0;

		while (mark < PORT_MARK_COUNT && port_mark_sign((enum port_mark)mark) != line.p[i])
			mark++;
		if (mark == PORT_MARK_COUNT)
			return false;
		out->mark[i] = (enum port_mark)mark;
	}
	out->kind = PORT_FILE_PORT;
	return true;
}

static bool
take_alarm(struct view line, struct port_file_line *out)
{
	uint64_t since;

	if (!take_number(&line, &since) || !view_split(&line, ' ', &out->alarm) || line.n == 0)
		return false;
	out->kind = PORT_FILE_ALARM;
	out->wall_ms = (int64_t)since;
	out->relay = line;
	return true;
}

/* The bytes up to c, printable whatever they are in the file. */
static bool
take_text(struct view *line, uint8_t c, char *out, size_t cap)
{
	struct view word;

	if (!view_split(line, c, &word) || word.n >= cap)
		return false;
	memcpy(out, word.p, word.n);
	out[word.n] = '\0';
	quote_flatten((uint8_t *)out, word.n);
	return true;
}

static bool
take_class(struct view *line, enum health_class *out)
{
	struct view word;

	if (!view_split(line, '\t', &word))
		return false;
	for (int class = 0; class < HEALTH_CLASS_COUNT; class++) {
		if (!view_eq(word, view_str(health_class_info((enum health_class)class)->word)))
			continue;
		*out = (enum health_class)class;
		return true;
	}
	return false;
}

static bool
take_change(struct view line, struct port_file_line *out)
{
	struct switch_entry e = { .class = HEALTH_OK };
	struct view kind;
	uint64_t wall;

	if (!take_number(&line, &wall) || !view_split(&line, ' ', &kind) ||
	    !take_text(&line, ' ', e.relay, sizeof(e.relay)) || !take_text(&line, ' ', e.from, sizeof(e.from)) ||
	    !take_text(&line, ' ', e.to, sizeof(e.to)) || !take_text(&line, ' ', e.reason, sizeof(e.reason)) ||
	    !take_class(&line, &e.class))
		return false;
	/* Both may be empty; the split of what is empty says no. */
	if (!take_text(&line, '\t', e.detail, sizeof(e.detail)) ||
	    (line.n > 0 && !take_text(&line, '\t', e.evidence, sizeof(e.evidence))))
		return false;
	e.failover = view_eq(kind, VIEW("failover"));
	if (e.failover) {
		snprintf(e.route, sizeof(e.route), "%s", strcmp(e.relay, "-") != 0 ? e.relay : "");
		e.relay[0] = '\0';
	}
	e.wall_ms = (int64_t)wall;
	out->kind = PORT_FILE_CHANGE;
	out->change = e;
	return true;
}

bool
port_file_next(struct view *text, struct port_file_line *out)
{
	struct view line, word;

	while (view_split(text, '\n', &line)) {
		if (!view_split(&line, ' ', &word))
			continue;
		if (view_eq(word, VIEW("posthouse-ports")) ? take_head(line, out) :
		    view_eq(word, VIEW("port")) ? take_port(line, out) :
		    view_eq(word, VIEW("alarm")) ? take_alarm(line, out) :
		    view_eq(word, VIEW("change")) && take_change(line, out))
			return true;
	}
	return false;
}

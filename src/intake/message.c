/* SPDX-License-Identifier: BSD-2-Clause */
#include "intake/message.h"

#include "base/quote.h"

#include "base/banned.h"

void
message_init(struct message *m)
{
	*m = (struct message){ 0 };
	channel_txn_init(&m->txn);
	buf_init(&m->pending, MESSAGE_PENDING_MAX);
}

void
message_done(struct message *m)
{
	buf_done(&m->pending);
}

void
message_begin(struct message *m, const struct message_stamp *stamp)
{
	m->stamp = *stamp;
	m->in_header = true;
	m->script[0] = '\0';
	header_scan_init(&m->scan);
	buf_clear(&m->pending);
}

static void
send_pending(struct message *m, struct channel *c)
{
	buf_consume(&m->pending, channel_write(c, &m->txn, buf_view(&m->pending)));
	buf_shrink(&m->pending, 0);
}

bool
message_flush(struct message *m, struct channel *c)
{
	if (m->in_header)
		return true;
	send_pending(m, c);
	return buf_len(&m->pending) == 0;
}

/* Long pieces go out at once, behind what is pending; short ones gather. */
static bool
emit(struct message *m, struct channel *c, struct view v)
{
	if (v.n >= MESSAGE_GATHER && message_flush(m, c))
		v = view_from(v, channel_write(c, &m->txn, v));
	if (v.n == 0)
		return true;
	if (!buf_add(&m->pending, v))
		return false;
	if (buf_len(&m->pending) >= MESSAGE_GATHER)
		send_pending(m, c);
	return true;
}

/* Text of the client: only what is printable is kept of it, and not more than fits. */
static void
note_script(struct message *m, struct view text)
{
	struct view value = view_first(view_from(text, m->scan.script_at), m->scan.script_n);
	struct view line;

	if (m->scan.count[HEADER_PHP_SCRIPT] == 0)
		return;
	(void)view_split(&value, '\n', &line);
	if (view_ends(line, VIEW("\r")))
		line.n--;
	line = view_first(view_trim(line), FRAME_SCRIPT_MAX);
	memcpy(m->script, line.p, line.n);
	m->script[line.n] = '\0';
	quote_flatten((uint8_t *)m->script, line.n);
}

/*
 * The header is known: text begins with it. In front goes what is missing. A
 * mailbox file's "From " line would end the header for those who read it next,
 * so it becomes a field; where the client forgot the empty line, it is put in.
 */
static bool
emit_header(struct message *m, struct channel *c, struct view text)
{
	struct buf front;
	bool ok;

	note_script(m, text);
	buf_init(&front, 2048);
	ok = header_put_missing(&front, &m->scan, m->stamp.hostname, m->stamp.wall_ms, m->stamp.nonce) &&
	    (!m->scan.mbox_line || buf_add_str(&front, "X-Mailbox-Line: ")) &&
	    emit(m, c, buf_view(&front));
	buf_done(&front);
	if (!ok || !emit(m, c, view_first(text, m->scan.at)))
		return false;
	text = view_from(text, m->scan.at);
	if (!m->scan.blank && text.n > 0 && !emit(m, c, VIEW("\r\n")))
		return false;
	return emit(m, c, text);
}

/* From pending, which is emptied first: emit() keeps there what it can't send. */
static bool
release_header(struct message *m, struct channel *c, bool known)
{
	struct buf text = m->pending;
	bool ok;

	m->in_header = false;
	buf_init(&m->pending, MESSAGE_PENDING_MAX);
	ok = known ? emit_header(m, c, buf_view(&text)) : emit(m, c, buf_view(&text));
	buf_done(&text);
	return ok;
}

bool
message_take(struct message *m, struct channel *c, struct view v)
{
	if (!m->in_header)
		return emit(m, c, v);
	if (buf_len(&m->pending) == 0 && header_scan(&m->scan, v, false)) {
		m->in_header = false;		/* all of it in one piece: no copy */
		return emit_header(m, c, v);
	}
	if (!buf_add(&m->pending, v))
		return false;
	if (header_scan(&m->scan, buf_view(&m->pending), false))
		return release_header(m, c, true);
	if (buf_len(&m->pending) >= HEADER_BLOCK_MAX)
		return release_header(m, c, false);
	return true;
}

bool
message_end(struct message *m, struct channel *c)
{
	if (!m->in_header)
		return true;
	(void)header_scan(&m->scan, buf_view(&m->pending), true);
	return release_header(m, c, true);
}

void
message_drop(struct message *m, struct channel *c)
{
	if (m->txn.number != 0)
		channel_abort(c, &m->txn);
	m->in_header = false;
	buf_done(&m->pending);
}

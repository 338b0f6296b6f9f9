/* SPDX-License-Identifier: BSD-2-Clause */
#include "sendmail/message.h"

#include "base/base64.h"
#include "base/quote.h"
#include "mail/addrlist.h"
#include "mail/header.h"
#include "smtp/address.h"

#include "base/banned.h"

/*
 * So much is read before the daemon is called: cron hands over the output of a
 * job line by line as it comes, and the daemon does not wait for hours.
 */
#define READ_AHEAD	(1u << 20)
#define TEXT_MAX	(MESSAGE_HEADER_MAX + INPUT_BLOCK * INPUT_GROWS)
#define NAME_MAX_BYTES	200
#define ENCODED_BYTES	45		/* of a name in one encoded word (RFC 2047 2: 75 characters) */

void
message_init(struct message *m)
{
	*m = (struct message){ 0 };
	buf_init(&m->text, TEXT_MAX);
	buf_init(&m->header, MESSAGE_HEADER_MAX + 4096);
	buf_init(&m->sender, ADDR_MAX);
	buf_init(&m->recipients, 8u << 20);
}

void
message_done(struct message *m)
{
	buf_done(&m->text);
	buf_done(&m->header);
	buf_done(&m->sender);
	buf_done(&m->recipients);
}

/* --- addresses ----------------------------------------------------------- */

static int
bad_address(struct view address, struct err *e)
{
	struct buf shown;
	struct err why = *e;

	buf_init(&shown, 1024);
	if (quote_log(&shown, address, 100))
		(void)err_set(e, ERR_INPUT, "address %.*s: %.120s", VIEW_ARG(buf_view(&shown)),
		    why.text);
	buf_done(&shown);
	return -1;
}

static int
check_address(struct view address, struct mailbox *box, struct err *e)
{
	if (mailbox_parse(box, address, e) < 0)
		return bad_address(address, e);
	return 0;
}

static bool
add_recipient(void *arg, struct view address, struct err *e)
{
	struct message *m = arg;
	struct mailbox box;

	if (check_address(address, &box, e) < 0)
		return false;
	if (m->nrecipients == MESSAGE_RCPT_MAX || !buf_add(&m->recipients, address) ||
	    !buf_add_byte(&m->recipients, '\0')) {
		(void)err_set(e, ERR_FULL, "more than %d recipients", MESSAGE_RCPT_MAX);
		return false;
	}
	m->nrecipients++;
	return true;
}

static bool
set_sender(void *arg, struct view address, struct err *e)
{
	struct message *m = arg;
	struct mailbox box;

	if (buf_len(&m->sender) != 0) {
		(void)err_set(e, ERR_INPUT, "-f takes one address");
		return false;
	}
	if (check_address(address, &box, e) < 0)
		return false;
	if (!buf_add(&m->sender, address)) {
		(void)err_set(e, ERR_INPUT, "the address of -f is too long");
		return false;
	}
	return true;
}

static int
take_sender(struct message *m, const char *sender, struct err *e)
{
	struct view v = view_trim(view_str(sender));

	if (v.n == 0 || view_eq(v, VIEW("<>")))
		return 0;
	return addrlist_parse(v, set_sender, m, e);
}

/* --- header -------------------------------------------------------------- */

static bool
is_recipient_field(enum header_name name, bool resent)
{
	if (resent)
		return name == HEADER_RESENT_TO || name == HEADER_RESENT_CC ||
		    name == HEADER_RESENT_BCC;
	return name == HEADER_TO || name == HEADER_CC || name == HEADER_BCC;
}

static bool
is_secret_field(enum header_name name)
{
	return name == HEADER_BCC || name == HEADER_RESENT_BCC;
}

/* A phrase of RFC 5322 3.2.5: quoted, or encoded where it is not ASCII (RFC 2047). */
static bool
put_name(struct buf *out, struct view name)
{
	bool ascii = true;

	for (size_t i = 0; i < name.n; i++)
		ascii &= is_print(name.p[i]);
	if (ascii) {
		bool ok = buf_add_byte(out, '"');

		for (size_t i = 0; i < name.n; i++) {
			if (name.p[i] == '"' || name.p[i] == '\\')
				ok = ok && buf_add_byte(out, '\\');
			ok = ok && buf_add_byte(out, name.p[i]);
		}
		return ok && buf_add_byte(out, '"');
	}
	while (name.n > 0) {
		size_t n = name.n < ENCODED_BYTES ? name.n : ENCODED_BYTES;

		while (n > 1 && n < name.n && (name.p[n] & 0xc0) == 0x80)
			n--;		/* whole characters */
		if (!buf_add_str(out, "=?utf-8?B?") ||
		    !base64_encode(out, view_first(name, n)) || !buf_add_str(out, "?="))
			return false;
		name = view_from(name, n);
		if (name.n > 0 && !buf_add_str(out, "\r\n "))
			return false;
	}
	return true;
}

/* GECOS: the name is in front of the first comma, & stands for the capitalised login. */
static bool
expand_gecos(struct buf *out, const char *gecos, const char *user)
{
	for (const char *p = gecos; *p != '\0' && *p != ','; p++) {
		if (*p != '&') {
			if (!buf_add_byte(out, (uint8_t)*p))
				return false;
		} else if (user[0] != '\0' && (!buf_add_byte(out, to_upper((uint8_t)user[0])) ||
		    !buf_add_str(out, user + 1))) {
			return false;
		}
	}
	return true;
}

static bool
put_from(struct message *m, const struct options *o, const char *user, const char *gecos)
{
	struct view address = o->sender != NULL && buf_len(&m->sender) != 0
	    ? buf_view(&m->sender) : view_str(user);
	struct buf name;
	bool ok;

	buf_init(&name, NAME_MAX_BYTES);
	if (o->full_name != NULL)
		ok = buf_add(&name, view_first(view_str(o->full_name), NAME_MAX_BYTES));
	else
		ok = expand_gecos(&name, gecos, user);
	if (!ok)
		buf_clear(&name);
	for (size_t i = 0; i < buf_len(&name); i++)	/* no way into the header's lines */
		if (name.data[i] < ' ' || name.data[i] == 0x7f)
			name.data[i] = ' ';
	ok = buf_add_str(&m->header, "From: ");
	if (view_trim(buf_view(&name)).n != 0)
		ok = ok && put_name(&m->header, view_trim(buf_view(&name))) &&
		    buf_addf(&m->header, " <%.*s>\r\n", VIEW_ARG(address));
	else
		ok = ok && buf_addf(&m->header, "%.*s\r\n", VIEW_ARG(address));
	buf_done(&name);
	return ok;
}

static int
too_long(struct err *e)
{
	return err_set(e, ERR_FULL, "the message's header is longer than %u MiB",
	    MESSAGE_HEADER_MAX >> 20);
}

/* Take the recipients out of the header and write the header that is sent. */
static int
edit_header(struct message *m, const struct options *o, const struct header_scan *scan,
    const char *user, const char *gecos, struct err *e)
{
	struct view text = view_first(buf_view(&m->text), scan->at);
	bool resent = scan->count[HEADER_RESENT_TO] + scan->count[HEADER_RESENT_CC] +
	    scan->count[HEADER_RESENT_BCC] > 0;
	struct header_field f;

	if (scan->mbox_line)
		text = view_from(text, view_find(text, '\n') + 1);
	while (header_next(&text, &f)) {
		if (o->from_header && is_recipient_field(f.name, resent) &&
		    addrlist_parse(f.value, add_recipient, m, e) < 0)
			return -1;
		if (!is_secret_field(f.name) && !buf_add(&m->header, f.whole))
			return too_long(e);
	}
	if (scan->count[HEADER_FROM] == 0 && !put_from(m, o, user, gecos))
		return too_long(e);
	if (!buf_add_str(&m->header, "\r\n"))
		return too_long(e);
	m->header_n = scan->at + (scan->blank ? 2 : 0);
	return 0;
}

static int
read_header(struct message *m, struct header_scan *scan, struct err *e)
{
	header_scan_init(scan);
	for (;;) {
		bool known = header_scan(scan, buf_view(&m->text), m->in.ended);

		if (m->in.ended || (known && buf_len(&m->text) >= READ_AHEAD))
			return 0;
		if (buf_len(&m->text) > MESSAGE_HEADER_MAX)
			return too_long(e);
		if (input_read(&m->in, &m->text, e) < 0)
			return -1;
	}
}

int
message_prepare(struct message *m, const struct options *o, int fd, const char *user,
    const char *gecos, struct err *e)
{
	struct header_scan scan;

	if (take_sender(m, o->sender != NULL ? o->sender : user, e) < 0)
		return -1;
	for (int i = 0; i < o->nrecipients; i++)
		if (addrlist_parse(view_str(o->recipients[i]), add_recipient, m, e) < 0)
			return -1;
	if (m->nrecipients == 0 && !o->from_header)
		return err_set(e, ERR_GONE, "no recipients: name them, or use -t");
	input_init(&m->in, fd, !o->dot_is_text);
	if (read_header(m, &scan, e) < 0 || edit_header(m, o, &scan, user, gecos, e) < 0)
		return -1;
	if (m->nrecipients == 0)
		return err_set(e, ERR_GONE, "no recipients in To, Cc or Bcc");
	buf_consume(&m->text, m->header_n);
	return 0;
}

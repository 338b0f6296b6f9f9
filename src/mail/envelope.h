/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * envelope - who a message is from and for, and how it came: one text form for
 * the handover and the spool (doc/spool-format.md, "Envelope lines").
 *
 *	from: alice@example.com
 *	rcpt: bob@example.net
 *	notify: SUCCESS,FAILURE	(of the recipient above, as are orcpt lines)
 *	orcpt: rfc822;bob@example.net
 *	received: 2026-11-22T07:30:23.120Z
 *	peer: 127.0.0.1:40112
 *	uid: 33			(or no-uid: closed)
 *	pid: 4711
 *	process: php-fpm8.2 in php8.2-fpm.service	(a hint)
 *	helo: web1
 *	protocol: ESMTP
 *	tls: TLSv1.3 TLS_AES_256_GCM_SHA384	(if it came so)
 *	ret: HDRS
 *	envid: QQ314159
 *	smtputf8: yes
 *	body: 8bitmime
 *	size: 4711
 *
 * Values are bytes without CR, LF and NUL. Lines with unknown keys are kept.
 */
#ifndef MAIL_ENVELOPE_H
#define MAIL_ENVELOPE_H

#include "base/buf.h"
#include "base/err.h"

#define ENVELOPE_MAX		(8u << 20)	/* encoded; about 20,000 recipients */
#define ENVELOPE_RCPT_MAX	20000

enum envelope_protocol { PROTOCOL_SMTP, PROTOCOL_ESMTP, PROTOCOL_LOCAL };

/* What the sender wants to hear of a recipient (RFC 3461), as it was said; or "". */
struct envelope_dsn {
	struct view	notify, orcpt;
};

struct envelope {
	struct view		 from;		/* "" is the null sender */
	struct view		*rcpt;		/* owned array, views borrowed */
	struct envelope_dsn	*dsn;		/* owned, of each recipient; NULL: nothing was said of any */
	uint32_t		 nrcpt;
	int64_t			 received_ms;	/* wall clock */
	struct view		 peer;		/* "127.0.0.1:40112", "unix", or "" for our own bounces */
	int64_t			 uid;		/* of the peer; -1 unknown */
	int64_t			 pid;		/* -1 unknown */
	struct view		 no_uid;	/* why uid is not known, in a word; or "" */
	struct view		 process;	/* its name and unit, as far as they are known; or "" */
	struct view		 helo;
	enum envelope_protocol	 protocol;
	struct view		 tls;		/* version and IANA's name of the cipher suite; "" in clear */
	struct view		 ret, envid;	/* RFC 3461, as said; or "" */
	bool			 smtputf8;	/* said by the client: RFC 6531 */
	bool			 eight_bit;
	bool			 bounce;	/* made by us: a failure is never reported again */
	uint64_t		 size;		/* bytes of the message; 0 while it is not known */
};

void envelope_init(struct envelope *);
void envelope_done(struct envelope *);		/* frees the arrays, not the text */
void envelope_add_rcpt(struct envelope *, struct view);
/* What was said of the recipient added last. */
void envelope_set_dsn(struct envelope *, const struct envelope_dsn *);
/* Of recipient i; empty if nothing was said. */
struct envelope_dsn envelope_dsn(const struct envelope *, uint32_t i);
bool envelope_encode(struct buf *out, const struct envelope *) must_use;
/* Views point into text, which must outlive *out. *out is initialised here. */
int envelope_decode(struct envelope *out, struct view text, struct err *) must_use;

#endif

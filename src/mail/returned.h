/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * returned - the part of a report that is the original, or its header (RFC 6522 3).
 *
 * Its lines have at most 998 bytes. 8-bit text can't be encoded within message/rfc822 (RFC 2046 5.2.1):
 * it goes back as it is, and the report is 8-bit itself. Of a message that came with SMTPUTF8 it is
 * encoded within message/global, which may be (RFC 6532 3.7), and only who reads SMTPUTF8 knows that.
 */
#ifndef MAIL_RETURNED_H
#define MAIL_RETURNED_H

#include "base/buf.h"
#include "base/view.h"

enum returned_form { RETURNED_HEADER, RETURNED_7BIT, RETURNED_8BIT, RETURNED_QUOTED };

/* How it can go back as a whole; RETURNED_HEADER: not at all. */
enum returned_form returned_whole(struct view message, bool smtputf8);

/*
 * The part with its MIME header. False: no room, and out is as it was. Of RETURNED_HEADER message need
 * be the beginning only, and fields that have no room are left out.
 */
bool returned_put(struct buf *out, struct view message, enum returned_form) must_use;

#endif

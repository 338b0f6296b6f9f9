/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * quote - text from outside, made safe for a log line, JSON or a reply.
 */
#ifndef BASE_QUOTE_H
#define BASE_QUOTE_H

#include "base/buf.h"

/*
 * Log and terminal: in double quotes; ", \ and everything but printable ASCII
 * as \xNN, \n, \r, \t; at most max bytes of input, "..." behind a cut one.
 */
bool quote_log(struct buf *out, struct view v, size_t max) must_use;
/* JSON string (RFC 8259) with quotes; bytes that are not UTF-8 become U+FFFD. */
bool quote_json(struct buf *out, struct view v) must_use;
/* Length of the UTF-8 sequence (RFC 3629 4) that v, not empty, begins with, and its value; or 0. */
size_t quote_utf8(struct view v, uint32_t *point);
/* Letters beyond ASCII as \x{FC}, '?' for what is not UTF-8 (RFC 6533 3); the rest as it is. */
bool quote_unicode(struct buf *out, struct view v) must_use;
/* Replace everything but printable ASCII by '?', in place. */
void quote_flatten(uint8_t *p, size_t n);

#endif

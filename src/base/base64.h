/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base64 - RFC 4648 section 4, with padding, without line breaks.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include "base/buf.h"

bool base64_encode(struct buf *out, struct view in) must_use;
/* False for anything but well-formed padded base64, or when out is full. */
bool base64_decode(struct buf *out, struct view in) must_use;

#endif

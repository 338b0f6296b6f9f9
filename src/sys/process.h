/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process - what a process is called, and which service or container it is in.
 *
 * A hint: a process chooses its name, and who has gone may have left his number to another
 * process of the same user.
 */
#ifndef SYS_PROCESS_H
#define SYS_PROCESS_H

#include <stdint.h>

#include "base/buf.h"

#define PROCESS_TEXT_MAX	1024
#define PROCESS_NAME_MAX	112

/*
 * Its comm, made printable, a newline, and /proc/PID/cgroup as it is, cut at PROCESS_TEXT_MAX. False:
 * it has gone, is not this user's, or is hidden from us. Both are of the same process.
 */
bool process_read(int64_t pid, int64_t uid, struct buf *out) must_use;
/* Of such a text: "php-fpm8.2 in php8.2-fpm.service", printable ASCII; "" if it says nothing. Returns out. */
const char *process_name(struct view text, char out[PROCESS_NAME_MAX]);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/quote.h"

#include "base/banned.h"

/* --- reading -------------------------------------------------------------------------- */

static bool
add_file(int dir, const char *name, struct buf *out)
{
	size_t room = buf_room(out);
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	uint8_t *p = buf_reserve(out, room);
	ssize_t n = fd >= 0 && p != NULL ? read(fd, p, room) : -1;

	if (fd >= 0)
		(void)close(fd);
	if (n > 0)
		buf_grew(out, (size_t)n);
	return n > 0;
}

bool
process_read(int64_t pid, int64_t uid, struct buf *out)
{
	char path[40];
	struct stat st;
	size_t n;
	bool ok;
	int dir;

	(void)snprintf(path, sizeof(path), "/proc/%" PRId64, pid);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return false;
	/* The directory stays that of this process: when it has gone, nothing can be read there. */
	ok = fstat(dir, &st) == 0 && st.st_uid == uid && add_file(dir, "comm", out);
	n = buf_len(out);
	if (ok && n > 0) {
		quote_flatten(out->data + out->off, n);
		out->data[out->off + n - 1] = '\n';	/* as comm ends, and no other */
		(void)add_file(dir, "cgroup", out);	/* without one there is no unit to tell */
	}
	(void)close(dir);
	return ok && n > 0;
}

/* --- the name ----------------------------------------------------------------------------- */

static bool
is_unit(struct view v)
{
	return view_ends(v, VIEW(".service")) || view_ends(v, VIEW(".scope"));
}

/* The innermost service or scope; else the last part of the path, as container managers make it. */
static struct view
unit_of(struct view path)
{
	struct view part, unit = VIEW(""), last = VIEW("");

	while (view_split(&path, '/', &part)) {
		if (is_unit(part))
			unit = part;
		if (part.n > 0)
			last = part;
	}
	return unit.n > 0 ? unit : last;
}

/* "0::/system.slice/cron.service", or of old kernels "1:name=systemd:/system.slice/cron.service". */
static struct view
path_of(struct view line)
{
	struct view number, controllers;

	if (!view_split(&line, ':', &number) || !view_split(&line, ':', &controllers) ||
	    (controllers.n > 0 && !view_eq(controllers, VIEW("name=systemd"))))
		return VIEW("");
	return line;
}

const char *
process_name(struct view text, char out[PROCESS_NAME_MAX])
{
	struct view comm = VIEW(""), line, unit = VIEW("");

	(void)view_split(&text, '\n', &comm);
	/* A line that was cut has another name than the one it begins with. */
	while (unit.n == 0 && view_find(text, '\n') < text.n && view_split(&text, '\n', &line))
		unit = unit_of(path_of(line));
	comm = view_first(comm, 16);
	unit = view_first(unit, 80);
	(void)snprintf(out, PROCESS_NAME_MAX, "%.*s%s%.*s", VIEW_ARG(comm), comm.n > 0 && unit.n > 0 ? " in " : "",
	    VIEW_ARG(unit));
	quote_flatten((uint8_t *)out, strlen(out));
	return out;
}

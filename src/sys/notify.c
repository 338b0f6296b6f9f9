/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/notify.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/num.h"

#include "base/banned.h"

#define FIRST_FD 3		/* SD_LISTEN_FDS_START */

void
notify_init(struct notify *n)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = path != NULL ? strlen(path) : 0;

	n->fd = -1;
	if (len < 2 || len >= sizeof(sun.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(sun.sun_path, path, len);
	if (path[0] == '@')
		sun.sun_path[0] = '\0';		/* an abstract name: without a NUL behind it */
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd < 0)
		return;
	len += offsetof(struct sockaddr_un, sun_path);
	if (connect(n->fd, (const struct sockaddr *)(const void *)&sun, (socklen_t)len) != 0)
		notify_done(n);
}

void
notify_done(struct notify *n)
{
	if (n->fd >= 0)
		(void)close(n->fd);
	n->fd = -1;
}

void
notify_send(const struct notify *n, const char *fmt, ...)
{
	char text[1024];
	va_list ap;
	int len;

	if (n->fd < 0)
		return;
	va_start(ap, fmt);
	len = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	if ((size_t)len >= sizeof(text))
		len = (int)sizeof(text) - 1;
	if (send(n->fd, text, (size_t)len, MSG_NOSIGNAL) < 0)
		return;		/* advice that nobody takes is no fault of ours */
}

void
notify_reloading(const struct notify *n)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* exists on every Linux */
	notify_send(n, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
	    (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000);
}

/* The variable names this process, or none. */
static bool
is_for_us(const char *name)
{
	const char *value = getenv(name);
	uint64_t pid;

	return value == NULL ||
	    (num_parse_u64(view_str(value), 1, INT32_MAX, &pid) && pid == (uint64_t)getpid());
}

int64_t
notify_watchdog_ms(void)
{
	const char *value = getenv("WATCHDOG_USEC");
	uint64_t usec;

	if (value == NULL || !is_for_us("WATCHDOG_PID") ||
	    !num_parse_u64(view_str(value), 1, INT64_MAX, &usec))
		return 0;
	return (int64_t)(usec / 1000);
}

size_t
notify_sockets(struct activated out[ACTIVATION_MAX])
{
	const char *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
	struct view rest = view_str(names), name;
	uint64_t n;

	if (count == NULL || getenv("LISTEN_PID") == NULL || !is_for_us("LISTEN_PID") ||
	    !num_parse_u64(view_str(count), 1, 1024, &n))
		return 0;
	for (uint64_t i = 0; i < n; i++) {
		int fd = FIRST_FD + (int)i;

		if (i >= ACTIVATION_MAX) {
			(void)close(fd);
			continue;
		}
		/* systemd passes blocking sockets unless told; accept() would stop the loop. */
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);	/* of open descriptors these can't fail */
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		out[i].fd = fd;
		if (!view_split(&rest, ':', &name) || name.n == 0)
			name = VIEW(ACTIVATION_UNNAMED);
		name = view_first(name, sizeof(out[i].name) - 1);
		memcpy(out[i].name, name.p, name.n);
		out[i].name[name.n] = '\0';
	}
	return n < ACTIVATION_MAX ? (size_t)n : ACTIVATION_MAX;
}

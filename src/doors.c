/* SPDX-License-Identifier: BSD-2-Clause */
#include "doors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/alloc.h"
#include "owner.h"
#include "sys/listen.h"

#include "base/banned.h"

#define SMTP_SOCKET_MODE 0666		/* every user of the host may send mail */
#define CONTROL_SOCKET_MODE 0600
#define STATUS_SOCKET_MODE 0666		/* read-only; doc/control.md says who sees what */

static void
name_door(struct door *d)
{
	struct address a = { .len = sizeof(a.ss) };

	if (getsockname(d->fd, (struct sockaddr *)(void *)&a.ss, &a.len) != 0)
		a = d->wanted;
	(void)address_text(d->name, &a);
}

/* In words what to do, where we know. */
static int
explain(struct err *e, const struct address *a)
{
	char where[ADDRESS_TEXT_MAX], who[64];
	uint16_t port = address_port(a);

	(void)address_text(where, a);
	if (e->errnum == EADDRINUSE && address_is_unix(a))
		return err_set(e, ERR_BUSY, "%s is in use by another program", where);
	if (e->errnum == EADDRINUSE && port_owner(who, port))
		return err_set(e, ERR_BUSY, "%s is in use (%s): stop and disable that program, or set "
		    "listen to another port", where, who);
	if (e->errnum == EADDRINUSE)
		return err_set(e, ERR_BUSY, "%s is in use by another program, probably a mail server: "
		    "\"ss -ltnp sport = :%u\" as root shows it; stop and disable it, or set listen to "
		    "another port", where, (unsigned)port);
	if (e->errnum == EACCES && port > 0 && port < 1024)
		return err_set(e, ERR_DENIED, "%s: ports below 1024 need root: start posthoused by its "
		    "systemd units, as root, or set listen to a higher port", where);
	return err_prefix(e, "%s", where);
}

static int
find_listener(const struct conf *c, const struct address *a)
{
	for (size_t i = 0; i < c->nlistener; i++)
		if (address_eq(&c->listener[i].address, a))
			return (int)i;
	return -1;
}

static int
open_one(struct doors *doors, const struct address *a, int listener, struct err *e)
{
	struct door *d = &doors->door[doors->n];

	*d = (struct door){ .wanted = *a, .listener = listener };
	if (socket_listen(&d->fd, (const struct sockaddr *)(const void *)&a->ss, a->len,
	    SMTP_SOCKET_MODE, e) != 0)
		return explain(e, a);
	name_door(d);
	doors->n++;
	return 0;
}

/* --- from systemd --------------------------------------------------------- */

/* FileDescriptorName= of the unit; where that is missing systemd takes the unit's own name. */
static bool
is_smtp(struct view name)
{
	return view_eq(name, VIEW("smtp")) || view_ends(name, VIEW(".socket")) ||
	    view_eq(name, VIEW(ACTIVATION_UNNAMED));
}

/* A unit with ListenStream=25 would open the relay to the world. */
static int
check_passed(const struct door *d, const char *name, struct err *e)
{
	int type = 0, accepts = 0;
	socklen_t n = sizeof(type), m = sizeof(accepts);

	if (getsockopt(d->fd, SOL_SOCKET, SO_TYPE, &type, &n) != 0 || type != SOCK_STREAM ||
	    getsockopt(d->fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &m) != 0 || accepts == 0)
		return err_set(e, ERR_CONFIG, "a descriptor passed by systemd is not a listening stream "
		    "socket: the socket unit needs ListenStream= and Accept=no");
	if (!is_smtp(view_str(name)))
		return err_set(e, ERR_CONFIG, "systemd passes a socket with FileDescriptorName=%s, but only "
		    "smtp is known here", name);
	if (!address_is_loopback(&d->wanted) && d->listener < 0)
		return err_set(e, ERR_CONFIG, "the socket unit has ListenStream=%s, but only this host is "
		    "served: use 127.0.0.1:25 and [::1]:25, or say in listeners who may use it", d->name);
	return 0;
}

static int
take_passed(struct doors *doors, const struct conf *c, bool *tcp, bool *un, struct err *e)
{
	struct activated a[ACTIVATION_MAX];
	size_t n = notify_sockets(a);

	for (size_t i = 0; i < n; i++) {
		struct door *d = &doors->door[doors->n++];

		*d = (struct door){ .fd = a[i].fd, .passed = true };
		d->wanted.len = sizeof(d->wanted.ss);
		if (getsockname(d->fd, (struct sockaddr *)(void *)&d->wanted.ss, &d->wanted.len) != 0)
			return err_sys(e, errno, "a descriptor passed by systemd is not a socket");
		name_door(d);
		d->listener = find_listener(c, &d->wanted);
		if (check_passed(d, a[i].name, e) != 0)
			return -1;
		if (d->listener < 0)
			*(address_is_unix(&d->wanted) ? un : tcp) = true;
	}
	return 0;
}

static bool
has_passed(const struct doors *doors, bool un)
{
	for (size_t i = 0; i < doors->n; i++)
		if (doors->door[i].passed && doors->door[i].listener < 0 && address_is_unix(&doors->door[i].wanted) == un)
			return true;
	return false;
}

/* --- our own -------------------------------------------------------------- */

/* The host has no IPv6, or no ::1. */
static bool
lacks_family(const struct err *e)
{
	return e->errnum == EAFNOSUPPORT || e->errnum == EADDRNOTAVAIL;
}

/* What the host lacks is a warning, and kept in *missing. */
static int
open_port(struct doors *doors, const struct address *a, int listener, struct log *log,
    struct err *missing, struct err *e)
{
	if (open_one(doors, a, listener, e) == 0)
		return 0;
	if (!lacks_family(e))
		return -1;
	log_simple(log, LEVEL_WARNING, "not-listening", "%s", e->text);
	*missing = *e;
	return 0;
}

static bool
is_passed(const struct doors *doors, int listener)
{
	for (size_t i = 0; i < doors->n; i++)
		if (doors->door[i].passed && doors->door[i].listener == listener)
			return true;
	return false;
}

int
doors_open_ports(struct doors *doors, const struct conf *c, struct log *log, struct err *e)
{
	bool tcp = false, un = false;
	struct err missing = { .kind = ERR_NONE };

	*doors = (struct doors){ .control = -1, .status = -1 };
	if (take_passed(doors, c, &tcp, &un, e) != 0)
		return -1;
	for (size_t i = 0; !tcp && i < c->nlisten; i++)
		if (open_port(doors, &c->listen[i], -1, log, &missing, e) != 0)
			return -1;
	for (int i = 0; i < (int)c->nlistener; i++)
		if (!is_passed(doors, i) && open_port(doors, &c->listener[i].address, i, log, &missing, e) != 0)
			return -1;
	if (doors->n == 0 && missing.kind != ERR_NONE && c->socket[0] == '\0') {
		*e = missing;
		return -1;
	}
	return 0;
}

static int
open_private(int *out, char **path, const char *dir, const char *name, mode_t mode, struct err *e)
{
	struct address a;
	struct stat st;
	char text[200];

	(void)snprintf(text, sizeof(text), "%s/%s", dir, name);
	if (address_parse(&a, view_str(text), e) != 0)
		return err_prefix(e, "%s", text);
	/*
	 * We hold the directory's lock. A socket that still answers here belongs to a
	 * relay whose supervisor was killed, and which will end when it has drained.
	 */
	if (lstat(text, &st) == 0 && S_ISSOCK(st.st_mode))
		(void)unlink(text);	/* if it fails, bind does too */
	if (socket_listen(out, (const struct sockaddr *)(const void *)&a.ss, a.len, mode, e) != 0)
		return explain(e, &a);
	*path = xstrdup(text);
	return 0;
}

static int
open_smtp_socket(struct doors *doors, const struct conf *c, struct err *e)
{
	struct address a;

	if (c->socket[0] == '\0' || has_passed(doors, true))
		return 0;
	if (address_parse(&a, view_str(c->socket), e) != 0)
		return err_prefix(e, "%s", c->socket);
	return open_one(doors, &a, -1, e);
}

int
doors_open_sockets(struct doors *doors, const struct conf *c, struct err *e)
{
	if (open_smtp_socket(doors, c, e) != 0)
		return -1;
	if (open_private(&doors->control, &doors->control_path, c->runtime_dir, "control.sock",
	    CONTROL_SOCKET_MODE, e) != 0)
		return -1;
	return open_private(&doors->status, &doors->status_path, c->runtime_dir, "status.sock",
	    STATUS_SOCKET_MODE, e);
}

/* --- reload --------------------------------------------------------------- */

static bool
is_wanted(const struct door *d, const struct conf *c)
{
	struct address a;

	if (d->passed)
		return true;
	if (address_is_unix(&d->wanted))
		return c->socket[0] != '\0' && address_parse(&a, view_str(c->socket), NULL) == 0 &&
		    address_eq(&a, &d->wanted);
	for (size_t i = 0; i < c->nlisten; i++)
		if (address_eq(&c->listen[i], &d->wanted))
			return true;
	return find_listener(c, &d->wanted) >= 0;
}

static bool
is_open(const struct doors *doors, const struct address *a, int listener)
{
	for (size_t i = 0; i < doors->n; i++)
		if ((!doors->door[i].passed || listener >= 0) && address_eq(&doors->door[i].wanted, a))
			return true;
	return false;
}

static void
close_door(struct doors *doors, size_t i)
{
	struct door *d = &doors->door[i];

	(void)close(d->fd);
	if (!d->passed && address_is_unix(&d->wanted))
		(void)unlink(((const struct sockaddr_un *)(const void *)&d->wanted.ss)->sun_path);
	*d = doors->door[--doors->n];
}

static void
open_again(struct doors *doors, const struct address *a, int listener, struct log *log)
{
	struct err e;

	if (is_open(doors, a, listener) || doors->n == DOORS_MAX)
		return;
	if (open_one(doors, a, listener, &e) != 0)
		log_simple(log, LEVEL_WARNING, "not-listening", "%s (a restart may help)", e.text);
	else
		log_simple(log, LEVEL_NOTICE, "listening", "%s", doors->door[doors->n - 1].name);
}

void
doors_change(struct doors *doors, const struct conf *c, struct log *log)
{
	struct address a;

	for (size_t i = doors->n; i-- > 0;) {
		doors->door[i].listener = find_listener(c, &doors->door[i].wanted);
		if (is_wanted(&doors->door[i], c))
			continue;
		log_simple(log, LEVEL_NOTICE, "not-listening", "%s: removed from the configuration",
		    doors->door[i].name);
		close_door(doors, i);
	}
	for (size_t i = 0; !has_passed(doors, false) && i < c->nlisten; i++)
		open_again(doors, &c->listen[i], -1, log);
	for (int i = 0; i < (int)c->nlistener; i++)
		open_again(doors, &c->listener[i].address, i, log);
	if (c->socket[0] != '\0' && !has_passed(doors, true) &&
	    address_parse(&a, view_str(c->socket), NULL) == 0)
		open_again(doors, &a, -1, log);
}

static void
close_private(int fd, char *path)
{
	if (fd >= 0)
		(void)close(fd);
	if (path != NULL)
		(void)unlink(path);
	free(path);
}

void
doors_done(struct doors *doors)
{
	while (doors->n > 0)
		close_door(doors, doors->n - 1);
	close_private(doors->control, doors->control_path);
	close_private(doors->status, doors->status_path);
	*doors = (struct doors){ .control = -1, .status = -1 };
}

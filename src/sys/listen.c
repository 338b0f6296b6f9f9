/* SPDX-License-Identifier: BSD-2-Clause */
#include "sys/listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/banned.h"

static bool
is_alive(const struct sockaddr *sa, socklen_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool alive = fd >= 0 && (connect(fd, sa, len) == 0 || errno == EAGAIN);

	if (fd >= 0)
		(void)close(fd);
	return alive;
}

/* What a killed daemon left is removed; a live socket and other files stay, and bind says so. */
static int
bind_unix(int fd, const struct sockaddr *sa, socklen_t len, mode_t mode)
{
	const char *path = ((const struct sockaddr_un *)(const void *)sa)->sun_path;
	struct stat st;
	mode_t old;
	int rc;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && !is_alive(sa, len))
		(void)unlink(path);	/* if it fails, bind does too */
	old = umask((mode_t)(~mode & 0777));
	rc = bind(fd, sa, len);
	(void)umask(old);
	return rc;
}

/*
 * A bridge may come after us. Only of loopback it is told at once that the host lacks the address.
 */
static bool
may_come_later(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr) >> 24 != 127;
	return !IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
}

static int
prepare(int fd, const struct sockaddr *sa)
{
	int family = sa->sa_family, on = 1;

	if (family == AF_UNIX)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		return -1;
	if (may_come_later(sa) && setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) != 0)
		return -1;
	return family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) : 0;
}

int
socket_listen(int *out, const struct sockaddr *sa, socklen_t len, mode_t mode, struct err *e)
{
	int family = sa->sa_family;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int rc;

	if (fd < 0)
		return err_sys(e, errno, "can't make a socket");
	rc = prepare(fd, sa);
	if (rc == 0)
		rc = family == AF_UNIX ? bind_unix(fd, sa, len, mode) : bind(fd, sa, len);
	if (rc == 0)
		rc = listen(fd, SOMAXCONN);
	if (rc != 0) {
		err_sys(e, errno, "can't listen");
		(void)close(fd);
		return -1;
	}
	*out = fd;
	return 0;
}

bool
socket_peer_cred(int fd, int64_t *uid, int64_t *pid)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);
	int domain;
	socklen_t m = sizeof(domain);

	/* On TCP the kernel answers too, with nobody. */
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &m) != 0 || domain != AF_UNIX ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0 || cred.pid == 0)
		return false;
	*uid = cred.uid;
	*pid = cred.pid;
	return true;
}

int
socket_pair(int fd[2], struct err *e)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd) != 0)
		return err_sys(e, errno, "can't make a socket pair");
	return 0;
}

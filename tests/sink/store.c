/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages are files in DIR/mail: lines "name: value" about the envelope, an
 * empty line, then the message byte for byte as it came, unstuffed. A file
 * appears by rename, so that a reader sees only whole ones.
 */
#include "sink/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define STORE_BUFFER 65536

static void
write_all(int fd, struct view v)
{
	while (v.n > 0) {
		ssize_t n = write(fd, v.p, v.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			perror("posthouse-sink: write");
			_exit(1);	/* a test that loses what it got proves nothing */
		}
		v = view_from(v, (size_t)n);
	}
}

void
store_begin(struct conn *c)
{
	buf_clear(&c->body);
	c->file = -1;
}

static void
spill(struct conn *c)
{
	struct sink *sk = c->port->sink;

	if (c->file < 0) {
		(void)snprintf(c->path, sizeof(c->path), "%s/tmp/%lu", sk->dir, c->id);
		c->file = open(c->path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
	}
	write_all(c->file, buf_view(&c->body));
	buf_clear(&c->body);
}

void
store_add(struct conn *c, struct view v)
{
	if (c->port->sink->dir == NULL)
		return;
	while (v.n > 0) {
		struct view part = view_first(v, buf_room(&c->body));

		if (!buf_add(&c->body, part))
			_exit(1);
		v = view_from(v, part.n);
		if (buf_room(&c->body) == 0)
			spill(c);
	}
}

static int
write_envelope(int fd, struct conn *c, bool acknowledged)
{
	struct view rest = buf_view(&c->rcpts), one;

	dprintf(fd, "port: %s\nsession: %lu\nbegan: %lld\nmessage: %u\nat: %lld\n",
	    c->port->name, c->id, (long long)c->began_us, ++c->nstored, (long long)sink_now_us());
	dprintf(fd, "tls: %s\nuser: %s\nfrom: %s\nparameters: %s\n", c->ssl != NULL ?
	    SSL_get_version(c->ssl) : "none", c->user, c->from, c->params);
	while (view_split(&rest, '\n', &one))
		if (one.n > 0)
			dprintf(fd, "to: %.*s\n", VIEW_ARG(one));
	write_all(fd, buf_view(&c->said));
	return dprintf(fd, "acknowledged: %s\n\n", acknowledged ? "yes" : "no");
}

static void
copy_file(int from, int to)
{
	static uint8_t part[STORE_BUFFER];
	ssize_t n;

	(void)lseek(from, 0, SEEK_SET);
	while ((n = read(from, part, sizeof(part))) > 0)
		write_all(to, view_of(part, (size_t)n));
}

int
store_finish(struct conn *c, bool acknowledged, char *name, size_t cap)
{
	struct sink *sk = c->port->sink;
	char tmp[512], path[512];
	int fd;

	(void)snprintf(name, cap, "-");
	if (sk->dir == NULL)
		return 0;
	(void)snprintf(name, cap, "%06lu", ++sk->next_file);
	if ((size_t)snprintf(tmp, sizeof(tmp), "%s/tmp/%s", sk->dir, name) >= sizeof(tmp) ||
	    (size_t)snprintf(path, sizeof(path), "%s/mail/%s", sk->dir, name) >= sizeof(path))
		return -1;
	fd = open(tmp, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		return -1;
	if (write_envelope(fd, c, acknowledged) < 0) {
		close(fd);
		return -1;
	}
	if (c->file >= 0)
		copy_file(c->file, fd);
	write_all(fd, buf_view(&c->body));
	close(fd);
	store_drop(c);
	return rename(tmp, path);
}

void
store_drop(struct conn *c)
{
	if (c->file >= 0) {
		close(c->file);
		unlink(c->path);
	}
	c->file = -1;
	buf_clear(&c->body);
}

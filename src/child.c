/* SPDX-License-Identifier: BSD-2-Clause */
#include "child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "base/quote.h"
#include "base/require.h"
#include "role.h"
#include "spawn.h"

#include "base/banned.h"

static void
close_channel(struct child *c)
{
	io_watch_free(c->watch);
	c->watch = NULL;
	if (c->channel >= 0)
		(void)close(c->channel);
	c->channel = -1;
}

static void
send_kill(struct child *c)
{
	if (c->spawner >= 0) {
		if (packet_send(c->spawner, "kill", VIEW("9"), -1, NULL) != 0)
			log_simple(c->log, LEVEL_ERROR, "role-deaf", "the spawner of %s does not listen",
			    c->name);
	} else if (c->pid > 0) {
		(void)kill(c->pid, SIGKILL);	/* not yet waited for, so it is still ours */
	}
}

/* --- what it says --------------------------------------------------------- */

static void
keep_status(struct child *c, struct view text)
{
	if (text.n >= sizeof(c->status))
		text.n = sizeof(c->status) - 1;
	memcpy(c->status, text.p, text.n);
	quote_flatten((uint8_t *)c->status, text.n);
	c->status[text.n] = '\0';
}

static void
hear(struct child *c, struct packet *p)
{
	struct log_line line;

	if (view_eq(p->word, VIEW("pong"))) {
		c->unanswered = 0;
	} else if (view_eq(p->word, VIEW("ready"))) {
		if (c->state == CHILD_STARTING) {
			c->state = CHILD_READY;
			c->events->on_ready(c->owner, c);
		}
	} else if (view_eq(p->word, VIEW("status"))) {
		keep_status(c, p->rest);
		c->events->on_status(c->owner, c);
	} else if (view_eq(p->word, VIEW("alarm"))) {
		c->events->on_alarm(c->owner, c, p->rest);
	} else if (view_eq(p->word, VIEW("who"))) {
		c->events->on_who(c->owner, c, p->rest);
	} else if (view_eq(p->word, VIEW("reload"))) {
		c->events->on_reload(c->owner, c);
	} else if (view_eq(p->word, VIEW("sandbox"))) {
		log_begin(&line, c->log, LEVEL_INFO, "sandbox");
		log_word(&line, "role", c->name);
		log_text(&line, "level", p->rest);
		log_end(&line);
	}
	/* "drained": its end follows. Other words: not from our version, and no harm. */
	if (p->fd >= 0)
		(void)close(p->fd);
}

#define PACKETS_A_TURN 64	/* a mad role must not hold up the other */

static void
on_channel(void *arg, unsigned ready)
{
	struct child *c = arg;
	struct packet p;

	for (unsigned i = 0; i < PACKETS_A_TURN && c->channel >= 0; i++) {
		enum packet_got got = packet_receive(c->channel, &p);

		if (got == PACKET_NONE)
			return;
		if (got == PACKET_GOT) {
			hear(c, &p);
			continue;
		}
		/* Roles keep it open to their end: it ends just now, or is of no more use. */
		close_channel(c);
		if (c->lost)
			child_reaped(c, 0);
		else
			send_kill(c);
	}
}

/* --- its life ------------------------------------------------------------- */

static void
log_end_of(const struct child *c, int status, int64_t lived_ms)
{
	bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	struct log_line line;

	log_begin(&line, c->log, c->draining && well ? LEVEL_INFO : LEVEL_WARNING, "role-ended");
	log_word(&line, "role", c->name);
	log_num(&line, "pid", c->pid);
	if (WIFSIGNALED(status))
		log_num(&line, "signal", WTERMSIG(status));
	else
		log_num(&line, "exit", WEXITSTATUS(status));
	log_num(&line, "lived_ms", lived_ms);
	log_word(&line, "asked", c->draining || c->killed ? "yes" : "no");
	log_end(&line);
}

void
child_reaped(struct child *c, int status)
{
	int64_t lived = loop_now(c->loop) - c->started_ms;

	if (c->state == CHILD_DOWN)
		return;
	log_end_of(c, status, lived);
	c->refused = WIFEXITED(status) && WEXITSTATUS(status) == ROLE_EXIT_REFUSED;
	close_channel(c);
	c->state = CHILD_DOWN;
	c->pid = 0;
	c->status[0] = '\0';
	c->events->on_ended(c->owner, c, lived);
}

static void
on_spawner(void *arg, unsigned ready)
{
	struct child *c = arg;
	struct packet p;
	enum packet_got got;
	uint64_t n;

	while ((got = packet_receive(c->spawner, &p)) == PACKET_GOT) {
		if (p.fd >= 0)
			(void)close(p.fd);
		if (!num_parse_u64(p.rest, 0, INT32_MAX, &n))
			continue;
		if (view_eq(p.word, VIEW("pid")))
			c->pid = (pid_t)n;
		else if (view_eq(p.word, VIEW("exit")))
			child_reaped(c, (int)n);
	}
	if (got == PACKET_CLOSED) {
		io_want(c->spawner_watch, 0);
		c->lost = true;
		c->events->on_lost(c->owner, c);
		if (c->channel < 0)
			child_reaped(c, 0);
	}
}

void
child_init(struct child *c, const char *name, const char *title, int binary, int spawner,
    struct loop *loop, struct log *log, const struct child_events *events, void *owner)
{
	*c = (struct child){ .name = name, .title = title, .binary = binary, .spawner = spawner,
		.loop = loop, .log = log, .events = events, .owner = owner, .channel = -1 };
	if (spawner >= 0) {
		c->spawner_watch = io_watch_new(loop, spawner, on_spawner, c);
		io_want(c->spawner_watch, IO_READ);
	}
}

void
child_done(struct child *c)
{
	close_channel(c);
	io_watch_free(c->spawner_watch);
	if (c->spawner >= 0)
		(void)close(c->spawner);
	c->spawner = -1;
}

int
child_start(struct child *c, struct err *e)
{
	int fd[2], rc;

	require(c->state == CHILD_DOWN);
	if (packet_pair(fd, e) != 0)
		return -1;
	c->pid = 0;
	rc = c->spawner >= 0 ? packet_send(c->spawner, "spawn", VIEW(""), fd[1], e) :
	    spawn_exec(&c->pid, c->binary, c->title, fd[1], e);
	(void)close(fd[1]);
	if (rc != 0) {
		(void)close(fd[0]);
		return -1;
	}
	c->channel = fd[0];
	c->watch = io_watch_new(c->loop, fd[0], on_channel, c);
	io_want(c->watch, IO_READ);
	c->state = CHILD_STARTING;
	c->started_ms = loop_now(c->loop);
	c->unanswered = 0;
	c->draining = c->killed = false;
	c->events->on_started(c->owner, c);
	return 0;
}

void
child_tell(struct child *c, const char *word, struct view rest, int fd)
{
	struct err e;

	if (c->channel >= 0 && packet_send(c->channel, word, rest, fd, &e) != 0)
		log_simple(c->log, LEVEL_DEBUG, "role-deaf", "%s: %s", c->name, e.text);
}

void
child_drain(struct child *c)
{
	if (!child_runs(c) || c->draining)
		return;
	c->draining = true;
	child_tell(c, "drain", VIEW(""), -1);
}

void
child_kill(struct child *c)
{
	if (!child_runs(c))
		return;
	c->killed = true;
	if (c->lost)
		child_reaped(c, 0);	/* out of reach; it ends when its channel closes */
	else
		send_kill(c);
}

void
child_ping(struct child *c)
{
	if (!child_runs(c))
		return;
	c->unanswered++;
	child_tell(c, "ping", VIEW(""), -1);
}

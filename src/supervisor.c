/* SPDX-License-Identifier: BSD-2-Clause */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/num.h"
#include "base/require.h"
#include "certificates.h"
#include "child.h"
#include "doors.h"
#include "hook.h"
#include "places.h"
#include "precheck.h"
#include "role.h"
#include "secrets.h"
#include "spawn.h"
#include "sys/listen.h"
#include "sys/process.h"
#include "sys/sandbox.h"

#include "base/banned.h"

#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 30000
#define LIFE_THAT_FORGETS_MS 60000	/* after it, back-off starts anew */
#define PING_MS 5000			/* or less: a hung role is killed before systemd kills all */
#define PINGS_LATE 3			/* the watchdog is fed up to here */
#define PINGS_LOST 12			/* a role this deaf is killed */
#define GRACE_MS 5000			/* beyond drain, before SIGKILL */
#define DESCRIPTORS_WANTED 16384
#define DESCRIPTORS_BESIDES 64		/* what a role needs besides its clients */

enum reload_step { RELOAD_NONE, RELOAD_RELAY, RELOAD_INTAKE };

/* A role and when to start it again. */
struct post {
	struct child	 child;
	struct supervisor *s;
	struct timer	 restart;
	struct timer	 deadline;	/* of a drain, for its replacement */
	int64_t		 backoff_ms;	/* of the next restart */
	bool		 replacing;	/* to be started at once when it has ended */
};

struct supervisor {
	const char	*conf_path;
	bool		 debug;
	struct conf	*conf;
	int		 conf_fd, secret_fd;	/* sealed; secret -1: none */
	struct certificates certificates;	/* the listeners' for intake, the relays' for relay */
	struct log	*log;
	struct loop	*loop;
	struct doors	 doors;
	struct places	 places;
	struct post	 relay, intake;
	struct hook	 hook;
	struct notify	 notify;
	struct io_signal *signals[4];
	struct timer	 ping;
	int64_t		 ping_ms;
	bool		 announced;		/* READY was sent */
	enum reload_step reload;
	bool		 stopping;
	struct timer	 stop_relay, stop_kill;
	int		 exit_status;
};

/* --- status for people ---------------------------------------------------- */

static const char *
state_word(const struct post *p)
{
	if (p->child.draining || p->replacing)
		return "draining";
	return p->child.state == CHILD_READY ? "ready" : p->child.state == CHILD_STARTING ? "starting" :
	    "down";
}

static void
show_status(struct supervisor *s)
{
	const char *said = s->relay.child.status;

	if (s->stopping)
		notify_send(&s->notify, "STATUS=stopping: intake %s, relay %s", state_word(&s->intake),
		    state_word(&s->relay));
	else if (s->relay.child.state == CHILD_READY && s->intake.child.state == CHILD_READY)
		notify_send(&s->notify, "STATUS=%s", said[0] != '\0' ? said : "accepting mail");
	else
		notify_send(&s->notify, "STATUS=intake %s, relay %s%s%s", state_word(&s->intake),
		    state_word(&s->relay), said[0] != '\0' ? ": " : "", said);
}

/* --- roles ---------------------------------------------------------------- */

/* A new channel between the two; each drops the one it had. */
static void
link_roles(struct supervisor *s)
{
	struct err e;
	int fd[2];

	if (!child_runs(&s->relay.child) || !child_runs(&s->intake.child))
		return;
	if (socket_pair(fd, &e) != 0) {
		log_simple(s->log, LEVEL_ERROR, "handover-failed", "%s", e.text);
		return;
	}
	child_tell(&s->relay.child, "handover", VIEW(""), fd[0]);
	child_tell(&s->intake.child, "handover", VIEW(""), fd[1]);
	(void)close(fd[0]);
	(void)close(fd[1]);
}

static void
tell_certificates(struct child *c, const struct certificate *of, size_t n)
{
	char text[48];

	for (size_t i = 0; i < n; i++) {
		if (of[i].fd < 0)
			continue;
		(void)snprintf(text, sizeof(text), "%zu %zu", i, of[i].certificate_n);
		child_tell(c, "tls", view_str(text), of[i].fd);
	}
}

static void
tell_door(struct child *c, const struct door *d)
{
	char listener[16] = "-";

	if (d->listener >= 0)
		(void)snprintf(listener, sizeof(listener), "%d", d->listener);
	child_tell(c, "listen", view_str(listener), d->fd);
}

static void
on_started(void *owner, struct child *c)
{
	struct supervisor *s = owner;

	child_tell(c, "conf", view_str(s->conf_path), s->conf_fd);
	if (s->debug)
		child_tell(c, "debug", VIEW(""), -1);
	if (c == &s->relay.child) {
		child_tell(c, "secret", VIEW(""), s->secret_fd);
		tell_certificates(c, s->certificates.relay, lengthof(s->certificates.relay));
		child_tell(c, "spool", VIEW(""), s->places.spool);
		child_tell(c, "history", VIEW(""), s->places.history);
		child_tell(c, "control", VIEW(""), s->doors.control);
		child_tell(c, "status", VIEW(""), s->doors.status);
		if (s->announced)
			child_tell(c, "again", VIEW(""), -1);
	} else {
		tell_certificates(c, s->certificates.listener, lengthof(s->certificates.listener));
		for (size_t i = 0; i < s->doors.n; i++)
			tell_door(c, &s->doors.door[i]);
	}
	link_roles(s);
	child_tell(c, "start", VIEW(""), -1);
	show_status(s);
}

static void
come_back_later(struct post *p)
{
	char text[32];

	log_simple(p->s->log, LEVEL_WARNING, "role-restart", "%s is started again in %s", p->child.name,
	    num_duration_text(text, sizeof(text), p->backoff_ms));
	timer_set(p->s->loop, &p->restart, p->backoff_ms);
	p->backoff_ms = p->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : p->backoff_ms * 2;
}

static void
start_role(void *arg)
{
	struct post *p = arg;
	struct err e;

	timer_cancel(p->s->loop, &p->restart);
	p->replacing = false;
	if (child_start(&p->child, &e) == 0)
		return;
	log_simple(p->s->log, LEVEL_ERROR, "role-failed", "%s", e.text);
	come_back_later(p);
}

static void
kill_role(void *arg)
{
	struct post *p = arg;

	if (!child_runs(&p->child))
		return;
	log_simple(p->s->log, LEVEL_WARNING, "role-killed", "%s did not finish in time", p->child.name);
	child_kill(&p->child);
}

/* By the configuration that is in force when it has ended. */
static void
replace_role(struct post *p)
{
	struct supervisor *s = p->s;

	p->backoff_ms = BACKOFF_FIRST_MS;
	if (!child_runs(&p->child)) {
		start_role(p);
	} else if (!p->replacing) {
		p->replacing = true;
		child_drain(&p->child);
		timer_set(s->loop, &p->deadline, s->conf->drain_ms + GRACE_MS);
	}
}

/* --- reload --------------------------------------------------------------- */

static void
log_report(struct log *log, enum log_level level, const struct buf *report)
{
	struct view rest = buf_view(report), line;

	while (view_split(&rest, '\n', &line)) {
		bool warning = view_search(line, VIEW(": warning: ")) < line.n;

		log_simple(log, warning ? LEVEL_WARNING : level, "configuration", "%.*s", VIEW_ARG(line));
	}
}

/* What the text alone does not show. */
static void
report_own_dangers(const struct conf *c, struct view conf_text, const char *path, struct buf *report)
{
	struct own_addresses own;
	char text[CONF_DANGER_MAX], option[48];

	own_addresses(&own);
	for (size_t i = 0; i < c->nlistener; i++)
		for (size_t pos = 0; conf_listener_own_danger(&c->listener[i], &own, &pos, text);) {
			(void)snprintf(option, sizeof(option), "listeners.[%zu].networks", i);
			if (!buf_addf(report, "%s:%u: warning: %s\n", path, conf_line(conf_text, option), text))
				return;		/* full of others */
		}
}

int
supervisor_read_conf(const char *path, struct conf **out, struct buf *text, struct buf *report)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool reported;
	struct err e;
	int rc;

	if (fd < 0) {
		rc = err_unreadable(&e, "the configuration", path, "chgrp", "0640");
	} else {
		rc = read_whole(fd, text, &e);
		if (rc != 0)
			err_prefix(&e, "%s", path);
		(void)close(fd);
	}
	if (rc == 0) {
		rc = conf_load(out, buf_view(text), path, report);
		if (rc == 0)
			report_own_dangers(*out, buf_view(text), path, report);
		return rc;
	}
	reported = buf_addf(report, "%s\n", e.text);
	require(reported);	/* it is the first line */
	return -1;
}

/* What a configuration in force consists of. */
struct fresh {
	struct conf	*conf;
	int		 conf_fd, secret_fd;
	struct certificates certificates;
};

static void
fresh_done(struct fresh *f)
{
	conf_free(f->conf);
	if (f->conf_fd >= 0)
		(void)close(f->conf_fd);
	if (f->secret_fd >= 0)
		(void)close(f->secret_fd);
	certificates_done(&f->certificates);
}

/* Everything a new configuration needs; the caller frees what there is of it in any case. */
static int
prepare_reload(struct supervisor *s, struct fresh *f, struct err *e)
{
	struct buf text, report, names;
	int rc = -1;

	buf_init(&text, CONF_TEXT_MAX);
	buf_init(&report, 65536);
	buf_init(&names, 1000);
	if (supervisor_read_conf(s->conf_path, &f->conf, &text, &report) != 0)
		err_set(e, ERR_CONFIG, "the new configuration can't be used");
	else if (!conf_same_fixed(s->conf, f->conf, &names))
		err_set(e, ERR_CONFIG, "%s takes effect at a restart only", buf_cstr(&names));
	else if (precheck(f->conf, e) == 0 && certificates_fetch(&f->certificates, f->conf, s->log, e) == 0 &&
	    secrets_fetch(&f->secret_fd, f->conf, e) == 0)
		rc = sealed_file(&f->conf_fd, "posthouse-conf", buf_view(&text), e);
	log_report(s->log, LEVEL_ERROR, &report);
	buf_done(&text);
	buf_done(&report);
	buf_done(&names);
	return rc;
}

static void
reload(struct supervisor *s)
{
	struct fresh f = { .conf_fd = -1, .secret_fd = -1 }, old;
	struct err e;

	if (s->stopping)
		return;
	notify_reloading(&s->notify);
	certificates_init(&f.certificates);
	if (prepare_reload(s, &f, &e) != 0) {
		fresh_done(&f);
		log_simple(s->log, LEVEL_ERROR, "reload-refused", "%s; the old configuration stays in force",
		    e.text);
		if (s->reload == RELOAD_NONE)
			notify_send(&s->notify, "READY=1");
		return;
	}
	log_simple(s->log, LEVEL_NOTICE, "reload", "%s", s->conf_path);
	hook_reconfigure(&s->hook, f.conf);
	old = (struct fresh){ s->conf, s->conf_fd, s->secret_fd, s->certificates };
	s->conf = f.conf;
	s->conf_fd = f.conf_fd;
	s->secret_fd = f.secret_fd;
	s->certificates = f.certificates;
	fresh_done(&old);
	s->log->level = s->debug || s->conf->debug ? LEVEL_DEBUG : LEVEL_INFO;
	doors_change(&s->doors, s->conf, s->log);
	s->reload = RELOAD_RELAY;
	replace_role(&s->relay);
}

static void
announce(struct supervisor *s)
{
	bool ready = s->relay.child.state == CHILD_READY && s->intake.child.state == CHILD_READY;

	if (s->reload == RELOAD_RELAY && s->relay.child.state == CHILD_READY && !s->relay.replacing) {
		s->reload = RELOAD_INTAKE;
		replace_role(&s->intake);
	} else if (s->reload == RELOAD_INTAKE && ready && !s->intake.replacing) {
		s->reload = RELOAD_NONE;
		notify_send(&s->notify, "READY=1");
		log_simple(s->log, LEVEL_NOTICE, "reloaded", "the new configuration is in force");
	} else if (!s->announced && ready) {
		s->announced = true;
		notify_send(&s->notify, "READY=1");
		log_simple(s->log, LEVEL_NOTICE, "ready", "mail is accepted");
	}
	show_status(s);
}

/* --- stop ----------------------------------------------------------------- */

static void
drain_relay(void *arg)
{
	struct supervisor *s = arg;

	child_drain(&s->relay.child);
}

static void
kill_all(void *arg)
{
	struct supervisor *s = arg;

	kill_role(&s->intake);
	kill_role(&s->relay);
}

static void
go_on_stopping(struct supervisor *s)
{
	if (!child_runs(&s->intake.child))
		drain_relay(s);
	if (!child_runs(&s->intake.child) && !child_runs(&s->relay.child))
		loop_stop(s->loop);
	show_status(s);
}

static void
stop(struct supervisor *s, int status)
{
	if (s->stopping) {
		kill_all(s);	/* asked twice: now */
		return;
	}
	s->stopping = true;
	s->exit_status = status;
	notify_send(&s->notify, "STOPPING=1");
	log_simple(s->log, LEVEL_NOTICE, "stopping", "transactions under way may finish");
	timer_cancel(s->loop, &s->relay.restart);
	timer_cancel(s->loop, &s->intake.restart);
	child_drain(&s->intake.child);
	/* A client that takes its time must not cost relay all of its own. */
	timer_set(s->loop, &s->stop_relay, s->conf->drain_ms / 2);
	timer_set(s->loop, &s->stop_kill, s->conf->drain_ms + GRACE_MS);
	go_on_stopping(s);
}

/* --- events of the roles -------------------------------------------------- */

static void
on_ready(void *owner, struct child *c)
{
	struct supervisor *s = owner;
	struct log_line line;

	log_begin(&line, s->log, LEVEL_INFO, "role-ready");
	log_word(&line, "role", c->name);
	log_num(&line, "pid", c->pid);
	log_end(&line);
	announce(s);
}

static void
on_ended(void *owner, struct child *c, int64_t lived_ms)
{
	struct supervisor *s = owner;
	struct post *p = c == &s->relay.child ? &s->relay : &s->intake;

	timer_cancel(s->loop, &p->deadline);
	if (s->stopping) {
		go_on_stopping(s);
		return;
	}
	if (p->replacing) {
		start_role(p);
		return;
	}
	/* Later it may be a role that was taken over and wants us gone. */
	if (c->refused && !s->announced) {
		log_simple(s->log, LEVEL_CRIT, "start-failed", "%s refuses to start, for the reason above; "
		    "ending, for it would not get better", c->name);
		stop(s, ROLE_EXIT_REFUSED);
		return;
	}
	if (lived_ms >= LIFE_THAT_FORGETS_MS)
		p->backoff_ms = BACKOFF_FIRST_MS;
	come_back_later(p);
	show_status(s);
}

static void
on_reload(void *owner, struct child *c)
{
	struct supervisor *s = owner;

	if (c == &s->relay.child)	/* intake has no business with it */
		reload(s);
}

static void
on_status(void *owner, struct child *c)
{
	show_status(owner);
}

/* Draining, it speaks of the configuration before. */
static void
on_alarm(void *owner, struct child *c, struct view words)
{
	struct supervisor *s = owner;

	if (c == &s->relay.child && !c->draining && !s->stopping)
		hook_hear(&s->hook, words);
}

/*
 * Intake opens no file. It gets the bytes, and has to make sense of them; what it can learn here
 * of any process is its name and its unit.
 */
static void
on_who(void *owner, struct child *c, struct view words)
{
	struct supervisor *s = owner;
	struct view number, pid;
	uint64_t p, u;
	struct buf text;

	if (c != &s->intake.child || !view_split(&words, ' ', &number) || !view_split(&words, ' ', &pid) ||
	    !num_parse_u64(pid, 1, INT32_MAX, &p) || !num_parse_u64(words, 0, UINT32_MAX, &u))
		return;
	buf_init(&text, 32 + PROCESS_TEXT_MAX);
	if (number.n <= 20 && buf_add(&text, number) && buf_add_byte(&text, ' ')) {
		ignore_result(process_read((int64_t)p, (int64_t)u, &text));	/* nothing: not known */
		child_tell(c, "process", buf_view(&text), -1);
	}
	buf_done(&text);
}

static void
on_lost(void *owner, struct child *c)
{
	struct supervisor *s = owner;

	if (s->stopping)
		return;
	log_simple(s->log, LEVEL_CRIT, "spawner-lost", "%s can't be started any more; ending, to be "
	    "started anew", c->name);
	stop(s, EXIT_FAILURE);
}

static const struct child_events events = {
	on_started, on_ready, on_ended, on_reload, on_status, on_alarm, on_who, on_lost
};

/* --- signals and watchdog ------------------------------------------------- */

static void
on_signal(void *arg, int signo)
{
	struct supervisor *s = arg;

	if (signo == SIGHUP)
		reload(s);
	else
		stop(s, EXIT_SUCCESS);
}

static void
on_child(void *arg, int signo)
{
	struct supervisor *s = arg;
	struct post *const posts[] = { &s->relay, &s->intake };
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		hook_reaped(&s->hook, pid, status);
		for (size_t i = 0; i < lengthof(posts); i++)
			if (posts[i]->child.spawner < 0 && posts[i]->child.pid == pid)
				child_reaped(&posts[i]->child, status);
	}
}

static bool
is_lively(struct post *p)
{
	if (child_runs(&p->child) && p->child.unanswered == PINGS_LOST) {
		log_simple(p->s->log, LEVEL_ERROR, "role-hangs", "%s does not answer; killed", p->child.name);
		child_kill(&p->child);
	}
	return !child_runs(&p->child) || p->child.unanswered <= PINGS_LATE;
}

static void
ping(void *arg)
{
	struct supervisor *s = arg;
	bool relay = is_lively(&s->relay), intake = is_lively(&s->intake);

	if (relay && intake)
		notify_send(&s->notify, "WATCHDOG=1");
	child_ping(&s->relay.child);
	child_ping(&s->intake.child);
	timer_set(s->loop, &s->ping, s->ping_ms);
}

/* --- from start to end ---------------------------------------------------- */

/* One descriptor a client, and what the roles need besides; they inherit the limit. */
static void
raise_descriptors(struct log *log, const struct conf *c)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) != 0)
		return;
	if (r.rlim_cur < DESCRIPTORS_WANTED) {
		r.rlim_cur = r.rlim_max < DESCRIPTORS_WANTED ? r.rlim_max : DESCRIPTORS_WANTED;
		if (setrlimit(RLIMIT_NOFILE, &r) != 0)
			log_simple(log, LEVEL_WARNING, "limits", "can't raise the limit of descriptors");
	}
	if (r.rlim_cur < c->limits.connections + DESCRIPTORS_BESIDES)
		log_simple(log, LEVEL_WARNING, "limits", "limits.connections is %u, but the system "
		    "allows %llu descriptors: further connections will wait; raise the hard limit "
		    "(LimitNOFILE=) or lower limits.connections", c->limits.connections,
		    (unsigned long long)r.rlim_cur);
}

/*
 * The locks come before the ports, so that a second daemon learns of the first
 * and not of a port in use. What is made belongs to the user.
 */
static int
open_places_as(struct supervisor *s, const struct identity *user, struct err *e)
{
	int rc;

	if (setegid(user->gid) != 0 || seteuid(user->uid) != 0)
		return err_sys(e, errno, "can't become user %u", (unsigned)user->uid);
	rc = places_open(&s->places, s->conf, e);
	if (seteuid(0) != 0 || setegid(0) != 0)
		return err_sys(e, errno, "can't become root again to open the ports");
	return rc;
}

/* The part as root: returns the spawner's channel, or -1 where none is needed. */
static int
begin_as_root(struct supervisor *s, int binary, int *spawner, struct err *e)
{
	const struct conf *c = s->conf;
	const struct sandbox_params box = { .role = SANDBOX_SUPERVISOR, .policy = c->sandbox };
	struct identity user, intake;
	struct err unreadable;

	if (privilege_find(&user, c->user, e) != 0)
		return err_prefix(e, "started as root, but user can't be taken; make that user or set user "
		    "= \"...\"");
	if (privilege_find(&intake, c->intake_user[0] != '\0' ? c->intake_user : c->user, e) != 0)
		return err_prefix(e, "started as root, but intake_user can't be taken; make that user or "
		    "set intake_user = \"\"");
	if (user.uid == 0 || intake.uid == 0)
		return err_set(e, ERR_CONFIG, "user and intake_user must not be root");
	if (places_make(c, &user, e) != 0 || open_places_as(s, &user, e) != 0 ||
	    doors_open_ports(&s->doors, c, s->log, e) != 0)
		return -1;
	if (spawner_start(spawner, binary, "posthoused: intake", &intake, &box, e) != 0 ||
	    privilege_drop(&user, e) != 0)
		return -1;
	if (access(s->conf_path, R_OK) != 0) {
		(void)err_unreadable(&unreadable, "the configuration", s->conf_path, "chgrp", "0640");
		log_simple(s->log, LEVEL_WARNING, "configuration", "a reload will fail: %s", unreadable.text);
	}
	return 0;
}

/* The roles and configured commands inherit it. */
static int
enter_sandbox(struct supervisor *s, struct err *e)
{
	const struct sandbox_params box = { .role = SANDBOX_SUPERVISOR, .policy = s->conf->sandbox };
	struct log_line line;
	char level[64];

	if (sandbox_apply(&box, level, e) != 0)
		return err_prefix(e, "sandbox = \"best-effort\" would go on without");
	log_begin(&line, s->log, LEVEL_INFO, "sandbox");
	log_word(&line, "role", "supervisor");
	log_text(&line, "level", view_str(level));
	log_end(&line);
	return 0;
}

static int
begin(struct supervisor *s, int binary, int *spawner, struct err *e)
{
	*spawner = -1;
	if (geteuid() == 0) {
		if (begin_as_root(s, binary, spawner, e) != 0)
			return -1;
	} else if (places_make(s->conf, NULL, e) != 0 || places_open(&s->places, s->conf, e) != 0 ||
	    doors_open_ports(&s->doors, s->conf, s->log, e) != 0) {
		return -1;
	}
	if (sandbox_early(e) != 0 || doors_open_sockets(&s->doors, s->conf, e) != 0 ||
	    precheck(s->conf, e) != 0 || certificates_fetch(&s->certificates, s->conf, s->log, e) != 0 ||
	    secrets_fetch(&s->secret_fd, s->conf, e) != 0 ||
	    loop_new(&s->loop, e) != 0)
		return -1;
	return enter_sandbox(s, e);
}

static void
init_post(struct supervisor *s, struct post *p, const char *name, const char *title, int binary,
    int spawner)
{
	p->s = s;
	p->backoff_ms = BACKOFF_FIRST_MS;
	timer_init(&p->restart, start_role, p);
	timer_init(&p->deadline, kill_role, p);
	child_init(&p->child, name, title, binary, spawner, s->loop, s->log, &events, s);
}

/* At a reload they are in the report. */
static void
warn_loudly(struct supervisor *s)
{
	struct own_addresses own;
	char text[CONF_DANGER_MAX];

	if (conf_staging_notice(s->conf, text))
		log_simple(s->log, LEVEL_WARNING, "staging", "%s", text);
	own_addresses(&own);
	for (size_t i = 0; i < s->conf->nlistener; i++) {
		for (size_t pos = 0; conf_listener_danger(&s->conf->listener[i], &pos, text);)
			log_simple(s->log, LEVEL_WARNING, "open-listener", "%s", text);
		for (size_t pos = 0; conf_listener_own_danger(&s->conf->listener[i], &own, &pos, text);)
			log_simple(s->log, LEVEL_WARNING, "open-listener", "%s", text);
	}
}

static void
serve(struct supervisor *s, int binary, int spawner)
{
	int64_t watchdog = notify_watchdog_ms() / PINGS_LOST;

	warn_loudly(s);
	for (size_t i = 0; i < s->doors.n; i++)
		log_simple(s->log, LEVEL_NOTICE, "listening", "%s%s", s->doors.door[i].name,
		    s->doors.door[i].passed ? " (from systemd)" : "");
	s->signals[0] = io_signal_new(s->loop, SIGTERM, on_signal, s);
	s->signals[1] = io_signal_new(s->loop, SIGINT, on_signal, s);
	s->signals[2] = io_signal_new(s->loop, SIGHUP, on_signal, s);
	s->signals[3] = io_signal_new(s->loop, SIGCHLD, on_child, s);
	timer_init(&s->stop_relay, drain_relay, s);
	timer_init(&s->stop_kill, kill_all, s);
	timer_init(&s->ping, ping, s);
	hook_init(&s->hook, s->loop, s->log, s->conf);
	s->ping_ms = watchdog > 0 && watchdog < PING_MS ? watchdog : PING_MS;
	init_post(s, &s->relay, "relay", "posthoused: relay", binary, -1);
	init_post(s, &s->intake, "intake", "posthoused: intake", binary, spawner);
	start_role(&s->relay);
	start_role(&s->intake);
	ping(s);
	loop_run(s->loop);
	child_done(&s->relay.child);
	child_done(&s->intake.child);
	hook_done(&s->hook);
	for (size_t i = 0; i < lengthof(s->signals); i++)
		io_signal_free(s->signals[i]);
}

static void
finish(struct supervisor *s)
{
	doors_done(&s->doors);
	places_done(&s->places);
	loop_free(s->loop);
	if (s->conf_fd >= 0)
		(void)close(s->conf_fd);
	if (s->secret_fd >= 0)
		(void)close(s->secret_fd);
	certificates_done(&s->certificates);
	conf_free(s->conf);
	notify_done(&s->notify);
}

int
supervisor_run(const struct supervisor_params *params, struct conf *conf, struct buf *text, struct log *log)
{
	struct supervisor s = { .conf_path = params->conf_path, .debug = params->debug, .conf = conf,
		.conf_fd = -1, .secret_fd = -1, .log = log, .places = { -1, -1, -1, -1 },
		.doors = { .control = -1, .status = -1 }, .exit_status = EXIT_FAILURE };
	int binary = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	int spawner, rc;
	struct err e;

	certificates_init(&s.certificates);
	notify_init(&s.notify);
	raise_descriptors(log, conf);
	(void)signal(SIGPIPE, SIG_IGN);		/* SIG_ERR only for a bad number */
	rc = binary < 0 ? err_sys(&e, errno, "can't open /proc/self/exe") :
	    sealed_file(&s.conf_fd, "posthouse-conf", buf_view(text), &e);
	buf_done(text);
	if (rc == 0)
		rc = begin(&s, binary, &spawner, &e);
	if (rc == 0) {
		serve(&s, binary, spawner);
		log_simple(log, LEVEL_NOTICE, "stopped", "exit status %d", s.exit_status);
	} else {
		log_simple(log, LEVEL_CRIT, "start-failed", "%s", e.text);
		notify_send(&s.notify, "STATUS=%s\nERRNO=%d", e.text, e.errnum);
	}
	finish(&s);
	if (binary >= 0)
		(void)close(binary);
	return s.exit_status;
}

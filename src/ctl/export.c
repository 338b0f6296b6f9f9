/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/export.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/date.h"
#include "control/report.h"
#include "control/row.h"
#include "ctl/newfile.h"
#include "ctl/say.h"
#include "mail/archive.h"
#include "spool/outcome.h"

#include "base/banned.h"

struct run {
	struct offline	*o;
	const struct export *x;
	int		 dir;		/* where the file appears: DIR/new, or that of FILE */
	int		 tmp;		/* DIR/tmp */
	struct newfile	 file;		/* the mbox */
	struct archive	 archive;
	struct newfile	*to;		/* of the message under way */
	struct err	 write_err;	/* the target's fault: nothing more is tried */
	uint64_t	 exported, there, gone, damaged;
};

/* --- one message ---------------------------------------------------------------- */

static bool
put_state(struct buf *out, const struct spool_message *m)
{
	char text[200], date[DATE_MAX];
	int n = snprintf(text, sizeof(text), "%s attempts=%u", row_state(m, INT64_MIN), m->attempts);

	if (m->next_ms > 0)
		(void)snprintf(text + n, sizeof(text) - (size_t)n, " next=%s", date_rfc3339(date, m->next_ms));
	return archive_field(out, "X-Posthouse-State", view_str(text));
}

static bool
put_recipients(struct buf *out, const struct spool_message *m, const struct envelope *env)
{
	const struct spool_rcpt *rcpt = m->nrcpt > 1 ? m->rcpt.many : &m->rcpt.one;
	struct buf text;
	bool ok = true;

	buf_init(&text, 4096);
	for (uint32_t i = 0; ok && i < env->nrcpt && i < m->nrcpt; i++) {
		bool waits = rcpt[i].state == SPOOL_QUEUED;

		buf_clear(&text);
		ok = buf_add_byte(&text, '<') && buf_add(&text, env->rcpt[i]) && buf_add_byte(&text, '>') &&
		    (waits || buf_addf(&text, " %s %u", outcome_word(rcpt[i].state), rcpt[i].code)) &&
		    archive_field(out, waits ? "X-Posthouse-To" : "X-Posthouse-Done", buf_view(&text));
	}
	buf_done(&text);
	return ok;
}

/* The envelope, in lines of our own in front of the message. */
static bool
put_head(struct run *r, const struct spool_message *m, const struct envelope *env)
{
	struct buf *out = &r->to->out;
	char text[40];

	if (!archive_begin(&r->archive, out, r->x->mbox, env->from, m->received_ms) ||
	    !archive_field(out, "X-Posthouse-Id", view_str(spool_id_text(text, m->id))) ||
	    !archive_field(out, "X-Posthouse-Received", view_str(date_rfc3339(text, m->received_ms))))
		return false;
	if (env->peer.n > 0 && !archive_field(out, "X-Posthouse-Peer", env->peer))
		return false;
	(void)snprintf(text, sizeof(text), "%lld", (long long)env->uid);
	if (env->uid >= 0 && !archive_field(out, "X-Posthouse-Uid", view_str(text)))
		return false;
	return put_state(out, m) && put_recipients(out, m, env);
}

static bool
put_piece(void *owner, struct view v)
{
	struct run *r = owner;

	if (!archive_text(&r->archive, &r->to->out, v)) {
		(void)err_set(&r->write_err, ERR_FULL, "out of memory");
		return false;
	}
	return newfile_flush(r->to, &r->write_err) == 0;
}

/* -1: e, the message can't be read; or r->write_err is set. */
static int
put_message_text(struct run *r, const struct spool_message *m, struct err *e)
{
	const struct envelope *env;

	if (walk_envelope(r->o->walk, m, &env, e) < 0)
		return -1;
	if (!put_head(r, m, env)) {
		(void)err_set(&r->write_err, ERR_FULL, "out of memory");
		return -1;
	}
	if (walk_text(r->o->walk, m, put_piece, r, e) < 0 || r->write_err.kind != ERR_NONE)
		return -1;
	if (archive_end(&r->archive, &r->to->out))
		return newfile_flush(r->to, &r->write_err);
	return err_set(&r->write_err, ERR_FULL, "out of memory");
}

/* --- Maildir ---------------------------------------------------------------------- */

/* The name is made of the message alone: a second export finds what the first one wrote. */
static int
to_maildir(struct run *r, const struct spool_message *m, struct err *e)
{
	char name[80], temporary[100];
	struct newfile file;
	struct err why;

	(void)snprintf(name, sizeof(name), "%lld.%016llx.posthouse", (long long)(m->received_ms / 1000),
	    (unsigned long long)m->id);
	(void)snprintf(temporary, sizeof(temporary), "%s.%d", name, (int)getpid());
	if (newfile_begin(&file, r->tmp, temporary, &r->write_err) < 0)
		return -1;
	r->to = &file;
	if (put_message_text(r, m, e) < 0) {
		newfile_drop(&file);
		return -1;
	}
	if (newfile_finish(&file, r->dir, name, &why) == 0)
		r->exported++;
	else if (why.kind == ERR_BUSY)
		r->there++;
	else
		r->write_err = why;
	return r->write_err.kind == ERR_NONE ? 0 : -1;
}

static int
open_maildir(struct run *r, struct err *e)
{
	int top, cur;

	if (r->x->path[0] == '\0')
		return err_set(e, ERR_INPUT, "the name of the Maildir is empty");
	top = newfile_dir(AT_FDCWD, r->x->path, e);
	if (top < 0)
		return -1;
	r->tmp = newfile_dir(top, "tmp", e);
	if (r->tmp >= 0)
		r->dir = newfile_dir(top, "new", e);
	if (r->dir >= 0 && (cur = newfile_dir(top, "cur", e)) >= 0) {
		(void)close(cur);	/* read-only */
		(void)close(top);
		return 0;
	}
	(void)close(top);
	return -1;
}

/* --- mbox -------------------------------------------------------------------------- */

/* What was written of a message that can't be read is taken back. */
static int
to_mbox(struct run *r, const struct spool_message *m, struct err *e)
{
	uint64_t mark;

	r->to = &r->file;
	if (newfile_mark(&r->file, &mark, &r->write_err) < 0)
		return -1;
	if (put_message_text(r, m, e) == 0) {
		r->exported++;
		return 0;
	}
	if (r->write_err.kind == ERR_NONE)
		ignore_result(newfile_cut(&r->file, mark, &r->write_err) < 0);	/* told by write_err */
	return -1;
}

static int
open_mbox(struct run *r, char *base, struct err *e)
{
	char parent[PATH_MAX], temporary[256];

	if (snprintf(parent, sizeof(parent), "%s", r->x->path) >= (int)sizeof(parent))
		return err_sys(e, ENAMETOOLONG, "the name of the mbox");
	if (r->x->path[0] == '\0' || r->x->path[strlen(r->x->path) - 1] == '/')
		return err_set(e, ERR_INPUT, "\"%.150s\" is not the name of a file", r->x->path);
	r->dir = open(dirname(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir < 0)
		return err_sys(e, errno, "can't open the directory of %.150s", r->x->path);
	if (faccessat(r->dir, base, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return err_set(e, ERR_BUSY, "%.150s is there already, and stays as it is", r->x->path);
	(void)snprintf(temporary, sizeof(temporary), ".%.200s.%d", base, (int)getpid());
	return newfile_begin(&r->file, r->dir, temporary, e);
}

/* --- all of them -------------------------------------------------------------------- */

static int
put_one(struct run *r, const struct spool_message *m, struct err *e)
{
	return r->x->mbox ? to_mbox(r, m, e) : to_maildir(r, m, e);
}

/* False: the target fails, nothing more can be done. */
static bool
export_message(struct run *r, spool_id id)
{
	const struct spool_message *m = walk_find(r->o->walk, id);
	struct err e = { 0 };

	if (m != NULL && put_one(r, m, &e) == 0)
		return true;
	/* Perhaps a daemon has finished it, or moved it. */
	if (m != NULL && r->write_err.kind == ERR_NONE && offline_refresh(r->o)) {
		m = walk_find(r->o->walk, id);
		if (m != NULL && put_one(r, m, &e) == 0)
			return true;
	}
	if (r->write_err.kind != ERR_NONE)
		return false;
	if (m == NULL) {
		r->gone++;
		return true;
	}
	r->damaged++;
	say("message %016llx is left out: %s", (unsigned long long)id, e.text);
	return true;
}

/* 0: what could be read is safe on the disk. */
static int
export_to_target(struct run *r, const spool_id *id, size_t n, char *base, struct err *e)
{
	if ((r->x->mbox ? open_mbox(r, base, e) : open_maildir(r, e)) < 0)
		return -1;
	for (size_t i = 0; i < n && export_message(r, id[i]); i++)
		continue;
	if (r->write_err.kind != ERR_NONE) {
		*e = r->write_err;
		return -1;
	}
	if (r->x->mbox && newfile_finish(&r->file, r->dir, base, e) < 0)
		return -1;
	return newfile_sync_dir(r->dir, r->x->path, e);
}

static int
report(const struct run *r)
{
	struct report rp;
	struct buf out;
	bool ok;

	buf_init(&out, 1u << 16);
	report_begin(&rp, &out, r->x->json);
	report_num(&rp, "exported", (int64_t)r->exported);
	report_num(&rp, "there_already", (int64_t)r->there);
	report_num(&rp, "gone_meanwhile", (int64_t)r->gone);
	report_num(&rp, "damaged", (int64_t)r->damaged);
	ok = report_finish(&rp);
	ok = put_out(&out) && fflush(stdout) == 0 && ok;
	buf_done(&out);
	return ok ? EX_OK : EX_IOERR;
}

/* Copies the ids that are wanted; NULL: one is not in the queue. */
static spool_id *
choose(const struct offline *o, const struct export *x, size_t *n)
{
	spool_id *id;
	struct walk_totals t;

	walk_totals(o->walk, &t);
	*n = x->n != 0 ? x->n : (size_t)t.messages;
	id = xcalloc(*n + 1, sizeof(*id));
	for (size_t i = 0; i < *n; i++) {
		id[i] = x->n != 0 ? x->id[i] : walk_message(o->walk, i)->id;
		if (walk_find(o->walk, id[i]) != NULL)
			continue;
		say("message %016llx is not in the queue of %s; nothing is exported", (unsigned long long)id[i],
		    o->path);
		free(id);
		return NULL;
	}
	return id;
}

int
export_run(struct offline *o, const struct export *x)
{
	struct run r = { .o = o, .x = x, .dir = -1, .tmp = -1, .file.fd = -1 };
	char *copy = xstrdup(x->path), *base = basename(copy);
	struct walk_totals t;
	int status = EX_CANTCREAT;
	struct err e;
	size_t n;
	spool_id *id = choose(o, x, &n);

	walk_totals(o->walk, &t);
	if (id == NULL) {
		status = 1;
		goto out;
	}
	if (export_to_target(&r, id, n, base, &e) < 0) {
		say("%s%s", e.text, x->mbox ? "; nothing is exported" : "");
		goto out;
	}
	status = report(&r);
	/* Of messages that only damaged records tell of nobody can say whether they were wanted. */
	if (status == EX_OK && (r.damaged > 0 || (x->n == 0 && t.damaged + t.missing + t.unreadable > 0)))
		status = 1;
out:
	newfile_drop(&r.file);
	if (r.dir >= 0)
		(void)close(r.dir);	/* synced where that counts */
	if (r.tmp >= 0)
		(void)close(r.tmp);
	free(id);
	free(copy);
	return status;
}

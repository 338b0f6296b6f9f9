/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * history_find - all lines about one message: back from the newest file to the one
 * with its first line, then on to its last one.
 *
 * One job reads one block, so that writing goes on between two of them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/require.h"
#include "relay/history_impl.h"

#include "base/banned.h"

#define FIRST_LINES	(HISTORY_FOUND_MAX / 8)	/* kept whatever follows */
#define CONTEXT		3			/* what lasted when the message came: relay, account, failover */

enum find_phase { FIND_LOOK, FIND_BACK, FIND_ON, FIND_DONE };

struct history_find {
	struct job		 job;
	struct list		 link;		/* history.waiting */
	struct history		*h;
	char			 key[20];	/* "id=0069030a4c000001" */
	void			(*on_done)(void *owner);	/* NULL: nobody waits any more */
	void			*owner;
	uint64_t		 after;		/* batches to be written before */
	bool			 running;
	/* the jobs' */
	enum find_phase		 phase;
	struct history_file	*file;
	size_t			 n, at;
	int			 fd;
	uint64_t		 offset;	/* of the next block in file[at] */
	bool			 found, hit;	/* in any file; in this one */
	size_t			 first;		/* file where the lines begin */
	bool			 inside;	/* FIND_ON: its first line has been passed */
	char			 context[CONTEXT][HISTORY_LINE_MAX];
	uint8_t			*block;
	struct buf		 lines;
	bool			 cut;
	struct err		 e;
};

/* --- lines ------------------------------------------------------------------------- */

/* Keep the first ones and the last ones: those in the middle make room. */
static void
keep(struct history_find *f, struct view line)
{
	struct view all = buf_view(&f->lines);

	if (line.n > HISTORY_LINE_MAX)
		return;
	if (buf_room(&f->lines) <= line.n) {
		size_t from = FIRST_LINES + view_find(view_from(all, FIRST_LINES), '\n') + 1;
		size_t to = from + HISTORY_FOUND_MAX / 4;

		to += view_find(view_from(all, to), '\n') + 1;
		require(to < all.n);
		memmove(f->lines.data + f->lines.off + from, all.p + to, all.n - to);
		buf_truncate(&f->lines, all.n - (to - from));
		f->cut = true;
	}
	require(buf_add(&f->lines, line) && buf_add_byte(&f->lines, '\n'));
}

/* What tells how things stand until the next of its kind: slot, or CONTEXT. */
static size_t
context_slot(struct view event)
{
	return view_starts(event, VIEW("relay-")) ? 0 : view_starts(event, VIEW("account-")) ? 1 :
	    view_eq(event, VIEW("failover")) ? 2 : CONTEXT;
}

/* The name of the relay that the line is about; "" if it has none. */
static struct view
relay_of(struct view line)
{
	struct view rest = view_from(line, view_search(line, VIEW(" relay=")) + 7);

	return view_first(rest, view_find(rest, ' '));
}

static bool
is_all_well(struct view event, struct view line)
{
	return view_eq(event, VIEW("relay-up")) || view_eq(event, VIEW("account-available")) ||
	    view_search(line, VIEW(" reason=usable-again")) < line.n;
}

static void
note_context(struct history_find *f, struct view event, struct view line)
{
	size_t slot = context_slot(event);

	if (slot == CONTEXT || line.n >= HISTORY_LINE_MAX)
		return;
	if (is_all_well(event, line)) {
		if (view_eq(relay_of(view_str(f->context[slot])), relay_of(line)))
			f->context[slot][0] = '\0';
		return;
	}
	memcpy(f->context[slot], line.p, line.n);
	f->context[slot][line.n] = '\0';
}

static void
come_inside(struct history_find *f)
{
	f->inside = true;
	for (size_t i = 0; i < CONTEXT; i++)
		if (f->context[i][0] != '\0')
			keep(f, view_str(f->context[i]));
}

/* One line on the way forward. False: that was the last one. */
static bool
take_line(struct history_find *f, struct view line)
{
	struct view event, rest;
	bool own;

	if (!history_line_event(line, &event, &rest))
		return true;
	own = view_starts(rest, view_str(f->key));
	if (!own && view_starts(rest, VIEW("id=")))
		return true;
	if (own && !f->inside)
		come_inside(f);
	if (f->inside)
		keep(f, line);
	else
		note_context(f, event, line);
	return !own || !view_eq(event, VIEW("finished"));
}

/* --- blocks -------------------------------------------------------------------------- */

static void
close_file(struct history_find *f)
{
	if (f->fd >= 0)
		fs_close(f->h->files.fs, f->fd);
	f->fd = -1;
	f->offset = 0;
}

/*
 * The next whole lines of file[at]; empty at its end. A file that can't be opened was
 * removed meanwhile.
 */
static int
next_block(struct history_find *f, struct view *out)
{
	struct fs *fs = f->h->files.fs;
	char name[HISTORY_NAME_MAX];
	struct view got;
	int64_t n;
	size_t end;

	*out = VIEW("");
	if (f->fd < 0)
		f->fd = fs_open(fs, history_file_name(name, &f->file[f->at]), FS_READ, NULL);
	if (f->fd < 0)
		return 0;
	n = fs_read(fs, f->fd, f->block, HISTORY_BLOCK, f->offset, &f->e);
	if (n < 0)
		return -1;
	got = view_of(f->block, (size_t)n);
	for (end = got.n; end > 0 && got.p[end - 1] != '\n'; end--)
		;
	if (end == 0)
		end = got.n;		/* no line is that long: rubbish, or a torn end */
	*out = view_first(got, end);
	f->offset += end;
	return 0;
}

/* Is its first line in here? hit: any of its lines. */
static bool
look_for_first(struct history_find *f, struct view block)
{
	struct view rest = block, line, event, words;
	size_t at;

	/* The key may also stand in a text from outside: what counts is a line of it. */
	while ((at = view_search(rest, view_str(f->key))) < rest.n) {
		size_t end = at + view_find(view_from(rest, at), '\n'), begin = at;

		while (begin > 0 && rest.p[begin - 1] != '\n')
			begin--;
		line = view_first(view_from(rest, begin), end - begin);
		rest = view_from(rest, end);
		if (!history_line_event(line, &event, &words) || !view_starts(words, view_str(f->key)))
			continue;
		f->hit = true;
		if (view_eq(event, VIEW("queued")))
			return true;
	}
	return false;
}

/* Go back one file, or forward from where the lines begin. */
static void
turn(struct history_find *f, bool is_first)
{
	if (f->hit) {
		f->found = true;
		f->first = f->at;
	}
	f->hit = false;
	close_file(f);
	if (!is_first && f->at > 0) {
		f->at--;
		return;
	}
	f->phase = f->found ? FIND_ON : FIND_DONE;
	f->at = f->first;
}

static int
go_back(struct history_find *f)
{
	struct view block;
	bool is_first;

	if (next_block(f, &block) < 0)
		return -1;
	is_first = look_for_first(f, block);
	if (is_first || block.n == 0)
		turn(f, is_first);
	return 0;
}

static int
go_on(struct history_find *f)
{
	struct view block, line;

	if (next_block(f, &block) < 0)
		return -1;
	if (block.n == 0) {
		close_file(f);
		if (++f->at == f->n)
			f->phase = FIND_DONE;
		return 0;
	}
	while (view_split(&block, '\n', &line))
		if (!take_line(f, line)) {
			f->phase = FIND_DONE;
			break;
		}
	return 0;
}

/* Which files there are is known to the worker alone. */
static int
look(struct history_find *f)
{
	struct history_files *files = &f->h->files;

	if (history_files_list(files, &f->e) < 0)
		return -1;
	f->phase = files->n > 0 ? FIND_BACK : FIND_DONE;
	f->n = files->n;
	f->at = f->n - (f->n > 0);
	f->file = xcalloc(f->n + 1, sizeof(*f->file));
	if (f->n > 0)
		memcpy(f->file, files->file, f->n * sizeof(*f->file));
	f->block = xzalloc(HISTORY_BLOCK);
	return 0;
}

static void
find_run(struct job *job)
{
	struct history_find *f = container_of(job, struct history_find, job);
	int rc = f->phase == FIND_LOOK ? look(f) : f->phase == FIND_BACK ? go_back(f) :
	    f->phase == FIND_ON ? go_on(f) : 0;

	if (rc < 0)
		f->phase = FIND_DONE;
	if (f->phase == FIND_DONE)
		close_file(f);
}

/* --- on the loop ---------------------------------------------------------------------- */

static void
dispose(struct history_find *f)
{
	list_remove(&f->link);
	free(f->file);
	free(f->block);
	buf_done(&f->lines);
	free(f);
}

static void
run_next(struct history_find *f)
{
	f->running = true;
	f->h->finding++;
	worker_submit(f->h->env.worker, &f->job);
}

static void
find_done(struct job *job)
{
	struct history_find *f = container_of(job, struct history_find, job);
	struct history *h = f->h;

	h->finding--;
	f->running = false;
	if (f->on_done == NULL) {
		close_file(f);
		dispose(f);
		history_dispose(h);
	} else if (f->phase == FIND_DONE) {
		f->on_done(f->owner);
	} else {
		run_next(f);
	}
}

void
history_find_go(struct history *h)
{
	list_foreach_safe(link, &h->waiting) {
		struct history_find *f = list_entry(link, struct history_find, link);

		if (f->after > h->completed)
			continue;
		list_remove(&f->link);
		run_next(f);
	}
}

struct history_find *
history_find(struct history *h, spool_id id, void (*on_done)(void *owner), void *owner)
{
	struct history_find *f = xzalloc(sizeof(*f));
	char text[17];

	f->job = (struct job){ .run = find_run, .done = find_done };
	list_init(&f->link);
	f->h = h;
	(void)snprintf(f->key, sizeof(f->key), "id=%s", spool_id_text(text, id));
	f->on_done = on_done;
	f->owner = owner;
	f->fd = -1;
	f->phase = id != 0 ? FIND_LOOK : FIND_DONE;
	buf_init(&f->lines, HISTORY_FOUND_MAX);
	f->after = h->submitted + (h->ngathered > 0);
	history_kick(h);
	if (f->after > h->completed)
		list_push(&h->waiting, &f->link);
	else
		run_next(f);
	return f;
}

int
history_find_result(const struct history_find *f, struct view *lines, bool *cut, struct err *e)
{
	require(f->phase == FIND_DONE);
	if (f->e.kind != ERR_NONE) {
		if (e != NULL)
			*e = f->e;
		return -1;
	}
	*lines = buf_view(&f->lines);
	*cut = f->cut;
	return 0;
}

void
history_find_free(struct history_find *f)
{
	if (f == NULL)
		return;
	f->on_done = NULL;
	if (!f->running)
		dispose(f);
}

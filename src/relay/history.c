/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/history.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/date.h"
#include "base/require.h"
#include "relay/history_impl.h"

#include "base/banned.h"

#define TAIL_MAX	(64u << 10)	/* of the newest file, read at start */

/* --- lines ------------------------------------------------------------------------- */

bool
history_line_event(struct view line, struct view *event, struct view *rest)
{
	struct view time;
	int64_t ms;

	if (!view_split(&line, ' ', &time) || !date_parse_rfc3339(time, &ms))
		return false;
	*rest = line;
	return view_split(rest, ' ', event) && event->n > 0;
}

/* All of it, or nothing. */
static bool
gather(struct history *h, struct view line)
{
	char date[DATE_MAX];
	size_t before = buf_len(&h->gathered);

	if (buf_add_str(&h->gathered, date_rfc3339(date, loop_wall(h->env.loop))) &&
	    buf_add_byte(&h->gathered, ' ') && buf_add(&h->gathered, line) && buf_add_byte(&h->gathered, '\n'))
		return true;
	buf_truncate(&h->gathered, before);
	return false;
}

static void
on_line(struct log *log, enum log_level level, const char *text)
{
	struct history *h = container_of(log, struct history, log);
	struct view line = view_str(text);

	if (log->role != NULL)
		line = view_from(line, strlen(log->role) + 2);
	if (gather(h, line)) {
		h->ngathered++;
	} else {
		h->missing++;
		h->stats.dropped++;
	}
	if (h->hurry || buf_len(&h->gathered) >= HISTORY_BATCH)
		history_kick(h);
	else if (!h->writing && !timer_is_set(&h->timer))
		timer_set(h->env.loop, &h->timer, HISTORY_WRITE_MS);
	if (level <= h->env.log->level)
		h->env.log->emit(h->env.log, level, text);
}

/* --- on the worker ------------------------------------------------------------------- */

/* The last message that came from a client, as the end of the newest file has it. */
static spool_id
look_for_last(struct history_files *files)
{
	const struct history_file *f = files->n > 0 ? &files->file[files->n - 1] : NULL;
	uint64_t at = f != NULL && f->size > TAIL_MAX ? f->size - TAIL_MAX : 0;
	char name[HISTORY_NAME_MAX];
	struct view rest, line, event;
	spool_id last = 0, id;
	uint8_t *tail;
	int64_t n;
	int fd;

	if (f == NULL || (fd = fs_open(files->fs, history_file_name(name, f), FS_READ, NULL)) < 0)
		return 0;
	tail = xzalloc(TAIL_MAX);
	n = fs_read(files->fs, fd, tail, TAIL_MAX, at, NULL);
	fs_close(files->fs, fd);
	rest = view_of(tail, n > 0 ? (size_t)n : 0);
	while (view_split(&rest, '\n', &line))
		if (history_line_event(line, &event, &line) && view_eq(event, VIEW("queued")) &&
		    view_search(line, VIEW(" report_of=")) == line.n &&
		    view_starts(line, VIEW("id=")) && spool_id_parse(view_first(view_from(line, 3), 16), &id))
			last = id;
	free(tail);
	return last;
}

static void
write_run(struct job *job)
{
	struct history_write *w = container_of(job, struct history_write, job);
	struct history *h = container_of(w, struct history, write);
	struct history_files *files = &h->files;

	err_clear(&w->e);
	w->last = 0;
	w->written = 0;
	if (w->look && history_files_list(files, &w->e) == 0)
		w->last = look_for_last(files);
	if (w->n > 0 && history_files_append(files, buf_view(&w->lines), w->wall_ms, &w->e) < 0)
		return;
	w->written = w->n;
	if (history_files_prune(files, w->wall_ms, w->loop_ms, &w->e) < 0)
		return;
	w->files = files->n;
	w->bytes = files->bytes;
}

/* --- batches ------------------------------------------------------------------------- */

static void
submit(struct history *h)
{
	struct history_write *w = &h->write;
	struct buf empty = w->lines;

	w->lines = h->gathered;
	h->gathered = empty;
	w->n = h->ngathered;
	h->ngathered = 0;
	w->wall_ms = loop_wall(h->env.loop);
	w->loop_ms = loop_now(h->env.loop);
	h->writing = true;
	h->submitted++;
	timer_cancel(h->env.loop, &h->timer);
	worker_submit(h->env.worker, &w->job);
}

void
history_kick(struct history *h)
{
	if (!h->writing && h->ngathered > 0)
		submit(h);
}

static void
note_failure(struct history *h, const struct history_write *w)
{
	h->missing += w->n - w->written;
	h->stats.dropped += w->n - w->written;
	h->stats.written += w->written;
	if (!h->stats.failing)
		log_simple(h->env.log, LEVEL_WARNING, "history-failed", "the history can't be kept, mail goes on: %s",
		    w->e.text);
	h->stats.failing = true;
}

static void
note_success(struct history *h, const struct history_write *w)
{
	h->stats.files = w->files;
	h->stats.bytes = w->bytes;
	if (w->n == 0)
		return;		/* it does not tell whether lines could be written */
	h->stats.failing = false;
	h->stats.written += w->n;
}

/* What was gathered before them is on its way, so this line stands where they would. */
static void
tell_missing(struct history *h)
{
	struct log_line l;

	if (h->missing == 0 || h->stats.failing)
		return;
	log_begin(&l, &h->log, LEVEL_WARNING, "history-dropped");
	log_num(&l, "count", (int64_t)h->missing);
	h->missing = 0;
	log_end(&l);
}

static void
write_done(struct job *job)
{
	struct history_write *w = container_of(job, struct history_write, job);
	struct history *h = container_of(w, struct history, write);

	h->writing = false;
	h->completed = h->submitted;
	buf_clear(&w->lines);
	buf_shrink(&w->lines, HISTORY_BATCH);
	if (w->look && h->last == 0)
		h->last = w->last;
	w->look = false;
	if (w->e.kind != ERR_NONE)
		note_failure(h, w);
	else
		note_success(h, w);
	history_find_go(h);
	if (h->hurry || (h->missing > 0 && !h->stats.failing) ||
	    buf_len(&h->gathered) >= HISTORY_BATCH || !list_is_empty(&h->waiting))
		history_kick(h);
	tell_missing(h);
	if (h->ngathered > 0 && !h->writing && !h->gone && !timer_is_set(&h->timer))
		timer_set(h->env.loop, &h->timer, HISTORY_WRITE_MS);
	history_dispose(h);
}

static void
on_timer(void *arg)
{
	history_kick(arg);
}

/* Age goes on where nothing is written. */
static void
on_hour(void *arg)
{
	struct history *h = arg;

	timer_set(h->env.loop, &h->hourly, HISTORY_AGE_MS);
	if (!h->writing)
		submit(h);
}

/* --- for others ------------------------------------------------------------------------ */

struct log *
history_log(struct history *h)
{
	return &h->log;
}

void
history_flush(struct history *h)
{
	h->hurry = true;
	history_kick(h);
}

spool_id
history_last(const struct history *h)
{
	return h->last;
}

void
history_set_last(struct history *h, spool_id id)
{
	h->last = id;
}

void
history_stats(const struct history *h, struct history_stats *out)
{
	*out = h->stats;
}

struct history *
history_new(const struct history_env *env, const struct history_limits *limits)
{
	struct history *h = xzalloc(sizeof(*h));

	h->env = *env;
	h->log = (struct log){ .emit = on_line, .level = LEVEL_DEBUG, .role = env->log->role };
	history_files_init(&h->files, env->fs, limits, loop_now(env->loop));
	buf_init(&h->gathered, HISTORY_GATHER_MAX);
	buf_init(&h->write.lines, HISTORY_GATHER_MAX);
	h->write.job = (struct job){ .run = write_run, .done = write_done };
	h->write.look = true;
	list_init(&h->waiting);
	timer_init(&h->timer, on_timer, h);
	timer_init(&h->hourly, on_hour, h);
	timer_set(env->loop, &h->hourly, HISTORY_AGE_MS);
	submit(h);		/* see what is there */
	return h;
}

void
history_dispose(struct history *h)
{
	if (!h->gone || h->writing || h->finding > 0)
		return;
	require(list_is_empty(&h->waiting));
	history_files_done(&h->files);
	buf_done(&h->gathered);
	buf_done(&h->write.lines);
	free(h);
}

void
history_free(struct history *h)
{
	if (h == NULL)
		return;
	timer_cancel(h->env.loop, &h->timer);
	timer_cancel(h->env.loop, &h->hourly);
	if (!h->hurry) {
		buf_clear(&h->gathered);
		h->ngathered = 0;
	}
	h->gone = true;
	history_dispose(h);
}

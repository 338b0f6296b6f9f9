/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/keep.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/require.h"

#include "base/banned.h"

struct keep_job {
	struct job	 job;
	struct keep	*keep;		/* NULL: it has ended meanwhile */
	struct fs	*fs;
	const char	*name;
	struct buf	 text;
	struct err	 e;
	bool		 ok;
};

static void
job_run(struct job *job)
{
	struct keep_job *j = container_of(job, struct keep_job, job);

	j->ok = fs_replace(j->fs, "", j->name, buf_view(&j->text), &j->e) == 0;
}

static void
job_done(struct job *job)
{
	struct keep_job *j = container_of(job, struct keep_job, job);
	struct keep *k = j->keep;

	buf_wipe(&j->text);
	if (k != NULL) {
		k->job = NULL;
		k->on_kept(k->owner, j->ok ? NULL : &j->e);
	}
	free(j);
}

void
keep_write(struct keep *k, struct buf *text)
{
	struct keep_job *j = xzalloc(sizeof(*j));

	require(k->job == NULL);
	j->job.run = job_run;
	j->job.done = job_done;
	j->keep = k;
	j->fs = k->fs;
	j->name = k->name;
	j->text = *text;
	buf_init(text, text->max);
	k->job = j;
	worker_submit(k->worker, &j->job);
}

int
keep_read(const struct keep *k, struct buf *out, size_t max, struct err *e)
{
	int fd = fs_open(k->fs, k->name, FS_READ, e);
	uint8_t *p;
	int64_t n;

	if (fd < 0)
		return -1;
	p = buf_reserve(out, max + 1);
	n = p != NULL ? fs_read(k->fs, fd, p, max + 1, 0, e) : err_set(e, ERR_FULL, "no memory");
	fs_close(k->fs, fd);
	if (n < 0)
		return -1;
	if ((size_t)n > max)
		return err_set(e, ERR_DAMAGED, "it is longer than %zu bytes", max);
	buf_grew(out, (size_t)n);
	return 0;
}

void
keep_done(struct keep *k)
{
	if (k->job != NULL)
		k->job->keep = NULL;
}

bool
keep_seal(struct buf *text)
{
	return buf_addf(text, "end: %08x\n", (unsigned)crc32c(0, buf_view(text)));
}

bool
keep_unseal(struct view *text)
{
	size_t n = sizeof("end: 01234567"), at = text->n > n ? text->n - n : 0;
	char end[32];

	(void)snprintf(end, sizeof(end), "end: %08x\n", (unsigned)crc32c(0, view_first(*text, at)));
	if (!view_eq(view_from(*text, at), view_str(end)))
		return false;
	*text = view_first(*text, at);
	return true;
}

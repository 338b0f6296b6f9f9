/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/holder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/num.h"
#include "sys/whole.h"

#include "base/banned.h"

#define LOCKS_MAX	(1u << 20)

/* The next word behind any number of spaces. */
static bool
next_word(struct view *io, struct view *word)
{
	while (view_split(io, ' ', word))
		if (word->n > 0)
			return true;
	return false;
}

/* "1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF" */
static int64_t
holder_in_line(struct view line, struct view file)
{
	struct view word[6] = { { NULL, 0 } };
	uint64_t pid;

	for (size_t i = 0; i < lengthof(word); i++)
		if (!next_word(&line, &word[i]))
			return 0;
	if (!view_eq(word[1], VIEW("FLOCK")) || !view_eq(word[3], VIEW("WRITE")) || !view_eq(word[5], file) ||
	    !num_parse_u64(word[4], 1, INT32_MAX, &pid))
		return 0;
	return (int64_t)pid;
}

int64_t
holder_in(struct view locks, unsigned major, unsigned minor, uint64_t inode)
{
	char file[64];
	struct view line;

	(void)snprintf(file, sizeof(file), "%02x:%02x:%llu", major, minor, (unsigned long long)inode);
	while (view_split(&locks, '\n', &line)) {
		int64_t pid = holder_in_line(line, view_str(file));

		if (pid != 0)
			return pid;
	}
	return 0;
}

int64_t
holder_of(int dir, const char *name)
{
	int fd = open("/proc/locks", O_RDONLY | O_CLOEXEC);
	int64_t pid = 0;
	struct buf text;
	struct stat st;

	if (fd < 0)
		return 0;
	buf_init(&text, LOCKS_MAX);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && read_whole(fd, &text, NULL) == 0)
		pid = holder_in(buf_view(&text), major(st.st_dev), minor(st.st_dev), st.st_ino);
	buf_done(&text);
	(void)close(fd);	/* read-only */
	return pid;
}

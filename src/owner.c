/* SPDX-License-Identifier: BSD-2-Clause */
#include "owner.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "base/quote.h"

#include "base/banned.h"

#define PROCESSES_MAX 20000
#define LISTENING 0x0A		/* TCP_LISTEN as /proc/net/tcp shows it */

/* The inode of a listening socket on that port; 0: none. */
static unsigned long
listening_inode(const char *table, uint16_t port)
{
	FILE *f = fopen(table, "re");
	char line[512];
	unsigned long found = 0;

	if (f == NULL)
		return 0;
	while (found == 0 && fgets(line, sizeof(line), f) != NULL) {
		unsigned long inode;
		unsigned local, state;

		/* sl local:port remote:port st tx:rx tr:when retrnsmt uid timeout inode */
		if (sscanf(line, " %*u: %*[0-9A-F]:%x %*s %x %*s %*s %*s %*s %*s %lu", &local, &state,
		    &inode) == 3 && local == port && state == LISTENING)
			found = inode;
	}
	(void)fclose(f);
	return found;
}

static bool
holds(const char *pid, const char *link)
{
	char path[300], target[64];
	DIR *d;
	struct dirent *de;
	bool found = false;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
	d = opendir(path);
	if (d == NULL)
		return false;
	while (!found && (de = readdir(d)) != NULL) {
		ssize_t n = readlinkat(dirfd(d), de->d_name, target, sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		found = strcmp(target, link) == 0;
	}
	(void)closedir(d);
	return found;
}

static void
describe(char text[64], const char *pid)
{
	char path[64], name[32] = "";
	ssize_t n = 0;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, name, sizeof(name) - 1);
		(void)close(fd);
	}
	while (n > 0 && name[n - 1] == '\n')
		n--;
	quote_flatten((uint8_t *)name, n > 0 ? (size_t)n : 0);
	(void)snprintf(text, 64, "%.*s, pid %.20s", n > 0 ? (int)n : 0, name, pid);
}

bool
port_owner(char text[64], uint16_t port)
{
	unsigned long inode = listening_inode("/proc/net/tcp", port);
	char link[64];
	struct dirent *de;
	bool found = false;
	DIR *d;

	if (inode == 0)
		inode = listening_inode("/proc/net/tcp6", port);
	d = inode != 0 ? opendir("/proc") : NULL;
	if (d == NULL)
		return false;
	(void)snprintf(link, sizeof(link), "socket:[%lu]", inode);
	for (unsigned i = 0; !found && i < PROCESSES_MAX && (de = readdir(d)) != NULL; i++)
		if (is_digit((uint8_t)de->d_name[0]) && holds(de->d_name, link)) {
			describe(text, de->d_name);
			found = true;
		}
	(void)closedir(d);
	return found;
}

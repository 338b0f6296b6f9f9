/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world - a spool on twins, and what a test wants to know of it.
 */
#ifndef TEST_SPOOL_WORLD_H
#define TEST_SPOOL_WORLD_H

#include "spool/spool.h"
#include "twin/fs.h"
#include "twin/loop.h"

#define WORLD_MESSAGES	4096
#define SEGMENT		(1u << 20)

struct world {
	struct twin_loop twin;
	struct twin_worker worker, reader;
	struct twin_fs	*fs;		/* NULL: on another one */
	struct fs	*on;
	struct rng	 rng;
	struct spool	*spool;
	struct spool_params params;
	/* what was told */
	spool_id	 told[WORLD_MESSAGES];	/* by on_message */
	int64_t		 told_uid[WORLD_MESSAGES];
	size_t		 ntold;
	unsigned	 recovered, troubles, healths;
	enum spool_health health;
	char		 trouble[400];
	bool		 closed;
	int64_t		 uid;		/* of who hands in what comes next; -1 */
	spool_id	 last_id;	/* of the message begun last */
};

/* Most tests: one spool on a disk of its own. */
struct pair {
	struct twin_fs	fs;
	struct world	w;
};

struct commit {
	spool_id	id;
	unsigned	calls;
	struct err	e;		/* kind ERR_NONE: durable */
};

void world_init(struct world *, struct twin_fs *);
void world_init_on(struct world *, struct fs *, uint64_t seed);
void world_open(struct world *);
int world_try_open(struct world *, struct err *) must_use;
void world_reopen(struct world *);	/* world_close(), world_open() */
void world_begin_close(struct world *);
void world_close(struct world *);
void world_kill(struct world *);	/* the workers must be at rest */
void world_done(struct world *);
void world_start(struct world *, struct twin_fs *);	/* init, open, and run through recovery */
void world_end(struct world *);			/* done, and no file open; with its disk */
void world_run(struct world *, int64_t ms);

void setup(struct pair *);
void teardown(struct pair *);

/* A message of this many bytes, to nrcpt recipients; the text depends on seed. */
struct spool_txn *world_begin(struct world *, uint32_t nrcpt, struct err *);
void world_text(struct buf *out, size_t size, uint64_t seed);
struct spool_txn *world_fill(struct world *, size_t size, uint64_t seed, uint32_t nrcpt);
void world_commit(struct world *, struct spool_txn *, struct commit *);
void world_accept(struct world *, size_t size, uint64_t seed, struct commit *);	/* and run until told */
void accept_many(struct pair *, struct commit *, unsigned n, size_t size);	/* seeds 0, 1 ... */
/* The stored text is that of size and seed, and the envelope is right. */
bool world_has(struct world *, spool_id, size_t size, uint64_t seed);
void world_finish(struct world *, spool_id);
void world_hold(struct world *, spool_id);	/* recorded and synced */
/* The whole text, or READER_BAD. */
enum reader_result world_read(struct world *, spool_id, struct buf *out, uint32_t *nrcpt, struct err *);
/* Offset of a record of this type (0: any) and id in the file, the first or a later one. */
bool world_seek(const struct twin_fs *, const char *name, uint8_t type, spool_id id, unsigned which,
    uint64_t *out);
/* The same; it must be there. */
uint64_t world_find(const struct twin_fs *, const char *name, uint8_t type, spool_id id, unsigned which);
/* Overwrite the S record at the start of a segment's content by one with this text. */
void world_write_start(uint8_t *segment, const char *text);

#endif

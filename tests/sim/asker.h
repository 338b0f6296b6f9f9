/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * asker - a client of the control socket on a running relay.
 */
#ifndef SIM_ASKER_H
#define SIM_ASKER_H

#include "control/control.h"
#include "sim/world.h"

struct asker {
	struct control	*control;
	struct stream	*stream;	/* NULL: none, or it was closed at the other end */
	struct buf	 said;
	bool		 closed;
};

void asker_init(struct asker *, struct world *);
void asker_done(struct asker *);
void asker_restart(struct asker *, struct world *, enum twin_keep);	/* world_crash() */
/* A new connection; the one before is given up. */
void asker_ask(struct asker *, struct world *, const char *line);
void asker_leave(struct asker *);

/* One question; the answer is valid until the next call. */
const char *answer_to(struct world *, const char *line);
#define assert_has(text, part) asker_check_has(__FILE__, __LINE__, text, part)
void asker_check_has(const char *file, int line, const char *text, const char *part);

#endif

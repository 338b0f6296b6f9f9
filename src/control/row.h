/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * row - one message of a listing of the queue: the same for the daemon and for
 * posthousectl without it.
 */
#ifndef CONTROL_ROW_H
#define CONTROL_ROW_H

#include "control/report.h"
#include "spool/spool.h"

/* The state of a message that is not being sent. */
const char *row_state(const struct spool_message *, int64_t now_ms);
/* What is not in the message itself. */
struct row_said {
	const char	*state, *why;
	const char	*route, *relay;	/* "" or NULL: not known, or none */
	bool		 several;	/* routes to tell apart */
};

void row_put(struct report *, const struct spool_message *, const struct envelope *,
    const struct row_said *);

/* Below the rows. total: -1 if it is not for this user. */
struct row_total {
	size_t	 shown;
	int64_t	 total;
	bool	 recovering, cut;
};
void row_put_total(struct report *, const struct row_total *);

#endif

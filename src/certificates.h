/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * certificates - those of the listeners with TLS, those that are shown to relays, and their keys.
 *
 * They are read and held against each other before a start and a reload, as the user that runs the
 * daemon: a bad pair refuses both. What comes of it are sealed memory files for intake, or relay, alone; no other copy stays
 * here. A text of an error never has a key in it.
 */
#ifndef CERTIFICATES_H
#define CERTIFICATES_H

#include "conf/conf.h"
#include "sys/log.h"

#define CERTIFICATE_SOON_DAYS 14	/* it is said that it ends */

struct certificate {
	int	fd;		/* the certificate and, behind it, the key; -1: none */
	size_t	certificate_n;	/* bytes of the certificate */
};

struct certificates {
	struct certificate listener[CONF_LISTENERS_MAX], relay[CONF_RELAYS_MAX];
};

void certificates_init(struct certificates *);		/* none */
/* On failure out has none. Certificates that end soon or are over are warned of. */
int certificates_fetch(struct certificates *out, const struct conf *, struct log *, struct err *) must_use;
void certificates_done(struct certificates *);
/* For posthoused -t: one pair; no path: nothing to look at. warning is "" if there is nothing to say. */
int certificate_check(const char *certificate, const char *key, char warning[CONF_DANGER_MAX], struct err *) must_use;

#endif

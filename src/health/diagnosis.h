/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diagnosis - what the ports of all relays together show, and none of them alone.
 *
 * A class says what one port did. That nobody's mail port answers, that one port has
 * another certificate than its neighbours, that one server greets for two hosts: this takes
 * all of them. Pure; it changes no rating, only words.
 */
#ifndef HEALTH_DIAGNOSIS_H
#define HEALTH_DIAGNOSIS_H

#include "health/health.h"

#define DIAGNOSIS_WORD_MAX 128

/* A port as it showed itself last. */
struct diagnosis_port {
	const char		*host;
	uint16_t		 port;
	bool			 implicit;	/* TLS before the greeting */
	bool			 tried;
	enum health_class	 class;
	char			 issuer[DIAGNOSIS_WORD_MAX];	/* of its certificate, accepted or not; "" */
	char			 greeting[DIAGNOSIS_WORD_MAX];	/* "" */
};

struct diagnosis {
	char		 meaning[HEALTH_REMARK_MAX];	/* one sentence; "": nothing beyond the class */
	const char	*advice;
};

void diagnose(const struct diagnosis_port *, size_t n, size_t which, struct diagnosis *out);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/mechanism.h"

#include <assert.h>

#include "base/compiler.h"
#include "base/require.h"

#include "base/banned.h"

static const char *const names[] = {
	[SASL_EXTERNAL] = "EXTERNAL", [SASL_SCRAM_SHA_256] = "SCRAM-SHA-256",
	[SASL_SCRAM_SHA_1] = "SCRAM-SHA-1", [SASL_OAUTHBEARER] = "OAUTHBEARER",
	[SASL_XOAUTH2] = "XOAUTH2", [SASL_CRAM_MD5] = "CRAM-MD5", [SASL_PLAIN] = "PLAIN",
	[SASL_LOGIN] = "LOGIN",
};
static_assert(lengthof(names) == SASL_COUNT, "each mechanism has a name");

const char *
mechanism_name(enum sasl_mechanism m)
{
	require((unsigned)m < SASL_COUNT);
	return names[m];
}

enum sasl_mechanism
mechanism_find(struct view name)
{
	unsigned m = 0;

	while (m < SASL_COUNT && !view_ieq(name, view_str(names[m])))
		m++;
	return (enum sasl_mechanism)m;
}

enum sasl_mechanism
mechanism_best(unsigned set)
{
	unsigned m = 0;

	while (m < SASL_COUNT && (set & MECHANISM(m)) == 0)
		m++;
	return (enum sasl_mechanism)m;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pattern - which addresses a route is for.
 *
 *	alice@example.com	this one
 *	*@example.com		all of the domain, not those of its subdomains
 *	*@*.example.com		all of its subdomains, at any depth, not of itself
 *	<>			the null sender
 *
 * Domains are compared without regard to ASCII case, local parts byte for byte
 * (RFC 5321 2.4: only their host may know them to be the same). Pure.
 */
#ifndef CONF_PATTERN_H
#define CONF_PATTERN_H

#include <stdbool.h>

#include "base/view.h"

/*
 * what is an address, "<>" for the null sender; or another pattern: then whether all that
 * it covers is covered.
 */
bool pattern_covers(struct view pattern, struct view what);
/* The parts of one; false if there is no @. The domain may begin with "*.". */
bool pattern_split(struct view pattern, struct view *local, struct view *domain);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/pattern.h"

#include "base/banned.h"

/* The last @: a quoted local part may have others, a domain has none. */
bool
pattern_split(struct view pattern, struct view *local, struct view *domain)
{
	size_t at = pattern.n;

	while (at > 0 && pattern.p[at - 1] != '@')
		at--;
	if (at == 0)
		return false;
	*local = view_first(pattern, at - 1);
	*domain = view_from(pattern, at);
	return true;
}

static bool
domain_covers(struct view pattern, struct view domain)
{
	struct view end;

	if (!view_starts(pattern, VIEW("*.")))
		return view_ieq(pattern, domain);
	end = view_from(pattern, 1);
	return domain.n > end.n && view_ieq(view_from(domain, domain.n - end.n), end);
}

bool
pattern_covers(struct view pattern, struct view what)
{
	struct view local, domain, its_local, its_domain;

	if (!pattern_split(pattern, &local, &domain) || !pattern_split(what, &its_local, &its_domain))
		return view_eq(pattern, what);
	return (view_eq(local, VIEW("*")) || view_eq(local, its_local)) &&
	    domain_covers(domain, its_domain);
}

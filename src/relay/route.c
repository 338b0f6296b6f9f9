/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/route.h"

#include "base/require.h"
#include "conf/pattern.h"

#include "base/banned.h"

static bool
holds(const char *pattern, struct view address)
{
	return pattern == NULL || pattern_covers(view_str(pattern), address);
}

static bool
fits(const struct conf_route *rt, const struct route_facts *f)
{
	return (rt->user == NULL || (f->uid >= 0 && f->uid == rt->uid)) &&
	    holds(rt->from, f->from.n != 0 ? f->from : VIEW("<>")) && holds(rt->to, f->to);
}

size_t
route_find(const struct conf_route *rt, size_t n, const struct route_facts *f)
{
	require(n > 0);
	for (size_t i = 0; i + 1 < n; i++)
		if (fits(&rt[i], f))
			return i;
	return n - 1;
}

size_t
route_of(const struct conf *c, const struct envelope *env, uint32_t i)
{
	return route_find(c->route, c->nroute,
	    &(struct route_facts){ .from = env->from, .to = env->rcpt[i], .uid = env->uid });
}

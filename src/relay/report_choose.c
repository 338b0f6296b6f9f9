/* SPDX-License-Identifier: BSD-2-Clause */
#include "relay/report.h"

#include "base/compiler.h"

#include "base/banned.h"

/* Names that no public mail server has: RFC 6761, 6762, 8375, and what hosts call themselves. */
static const char *const private_names[] = {
	"localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp",
	"private", "home.arpa", "test", "invalid", "example",
};

static bool
is_below(struct view domain, struct view top)
{
	if (view_ieq(domain, top))
		return true;
	return domain.n > top.n && domain.p[domain.n - top.n - 1] == '.' &&
	    view_ieq(view_from(domain, domain.n - top.n), top);
}

bool
report_domain_is_public(struct view domain, const char *hostname)
{
	if (domain.n == 0 || domain.p[0] == '[' || view_find(domain, '.') == domain.n)
		return false;
	if (view_ieq(domain, view_str(hostname)))
		return false;		/* this host takes no mail from outside */
	for (size_t i = 0; i < lengthof(private_names); i++)
		if (is_below(domain, view_str(private_names[i])))
			return false;
	return true;
}

enum report_to
report_choose(struct view sender, struct view report_for, const char *hostname, const char *admin)
{
	size_t at = sender.n;

	if (report_for.n != 0)
		return admin[0] != '\0' && !view_ieq(report_for, view_str(admin)) ? REPORT_ADMIN : REPORT_NOBODY;
	if (sender.n == 0)
		return REPORT_NOBODY;
	while (at > 0 && sender.p[at - 1] != '@')
		at--;
	if (at > 0 && report_domain_is_public(view_from(sender, at), hostname))
		return REPORT_SENDER;
	return admin[0] != '\0' ? REPORT_ADMIN : REPORT_NOBODY;
}

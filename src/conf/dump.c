/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The effective configuration in the file's own form, so that it can be loaded
 * again. Behind each value stands where it comes from.
 */
#include "conf/loader.h"
#include "conf/value.h"

#include "base/banned.h"

struct dumper {
	struct buf	*out;
	const char	*name;
	const struct conf *conf;
	unsigned	 depth;
};

static bool
indent(struct dumper *d)
{
	for (unsigned i = 0; i < d->depth; i++)
		if (!buf_add_byte(d->out, '\t'))
			return false;
	return true;
}

/* "; # where": s is the member, or NULL. */
static bool
end_line(struct dumper *d, const config_setting_t *s)
{
	if (s == NULL)
		return buf_add_str(d->out, ";\t# default\n");
	return buf_addf(d->out, ";\t# %s:%u\n", d->name, (unsigned)config_setting_source_line(s));
}

static bool
dump_addresses(struct dumper *d)
{
	char text[ADDRESS_TEXT_MAX];

	if (!buf_add_byte(d->out, '['))
		return false;
	for (size_t i = 0; i < d->conf->nlisten; i++)
		if (!buf_addf(d->out, "%s \"%s\"", i > 0 ? "," : "",
		    address_text(text, &d->conf->listen[i])))
			return false;
	return buf_add_str(d->out, " ]");
}

static bool
dump_command(struct dumper *d, char *const *words)
{
	if (!buf_add_byte(d->out, '['))
		return false;
	for (size_t i = 0; words[i] != NULL; i++)
		if (!buf_add_str(d->out, i > 0 ? ", " : " ") || !value_quote(d->out, words[i]))
			return false;
	return buf_add_str(d->out, " ]");
}

static char *const *
words_at(const struct key *k, const void *base)
{
	return *(char *const *const *)(const void *)((const char *)base + k->at);
}

static bool
dump_names(struct dumper *d, const struct conf_route *rt)
{
	if (!buf_add_byte(d->out, '['))
		return false;
	for (size_t i = 0; i < rt->nrelay; i++)
		if (!buf_add_str(d->out, i > 0 ? ", " : " ") ||
		    !value_quote(d->out, d->conf->relay[rt->relay[i]].name))
			return false;
	return buf_add_str(d->out, " ]");
}

static bool
dump_value(struct dumper *d, const struct key *k, const void *base, const config_setting_t *s)
{
	if (!indent(d) || !buf_addf(d->out, "%s = ", k->name))
		return false;
	if (k->type == KEY_ADDRESSES)
		return dump_addresses(d) && end_line(d, s);
	if (k->type == KEY_COMMAND || k->type == KEY_LIST)
		return dump_command(d, words_at(k, base)) && end_line(d, s);
	if (k->type == KEY_RELAYS)
		return dump_names(d, base) && end_line(d, s);
	return value_format(k, base, d->out) && end_line(d, s);
}

/* What is not there in the structure is not dumped either. */
static bool
is_absent(const struct key *k, const void *base)
{
	const void *at = (const char *)base + k->at;

	if (k->type == KEY_LIST || (k->type == KEY_COMMAND && k->group != GROUP_RELAY))
		return words_at(k, base) == NULL;
	if (k->type == KEY_SECRET || k->type == KEY_COMMAND)
		return ((const struct conf_relay *)base)->secret != (enum conf_secret)k->min;
	return k->type == KEY_STRING && *(char *const *)at == NULL;
}

static bool dump_group(struct dumper *, enum key_group, const void *base, const config_setting_t *);

static bool
dump_endpoints(struct dumper *d, const struct conf_relay *r, const config_setting_t *list)
{

	if (!indent(d) || !buf_add_str(d->out, "endpoints = (\n"))
		return false;
	d->depth++;
	for (size_t i = 0; i < r->nendpoint; i++) {
		const config_setting_t *s = list != NULL ?
		    config_setting_get_elem(list, (unsigned)i) : NULL;

		if (!indent(d) || !buf_add_str(d->out, "{\n"))
			return false;
		d->depth++;
		if (!dump_group(d, GROUP_ENDPOINT, &r->endpoint[i], s))
			return false;
		d->depth--;
		if (!indent(d) || !buf_add_str(d->out, i + 1 < r->nendpoint ? "},\n" : "}\n"))
			return false;
	}
	d->depth--;
	return indent(d) && buf_add_str(d->out, ");\n");
}

/* n structures of the group, each of this size. */
static bool
dump_list(struct dumper *d, const struct key *k, const void *base, size_t size, size_t n,
    const config_setting_t *list)
{
	bool ok = buf_addf(d->out, "%s = ( {\n", k->name);

	for (size_t i = 0; ok && i < n; i++) {
		d->depth++;
		ok = dump_group(d, (enum key_group)k->min, (const char *)base + i * size, list != NULL ?
		    config_setting_get_elem(list, (unsigned)i) : NULL);
		d->depth--;
		ok = ok && buf_add_str(d->out, i + 1 < n ? "}, {\n" : "} );\n");
	}
	return ok;
}

static bool
dump_subgroup(struct dumper *d, const struct key *k, const void *base, const config_setting_t *s)
{
	const struct conf *c = d->conf;
	bool ok;

	if (k->min == GROUP_ENDPOINT)
		return dump_endpoints(d, base, s);
	if (k->min == GROUP_LISTENER)
		return c->nlistener == 0 ||
		    dump_list(d, k, c->listener, sizeof(c->listener[0]), c->nlistener, s);
	if (k->min == GROUP_RELAY)
		return dump_list(d, k, c->relay, sizeof(c->relay[0]), c->nrelay, s);
	if (k->min == GROUP_ROUTE)
		return dump_list(d, k, c->route, sizeof(c->route[0]), c->nroute, s);
	if (!buf_addf(d->out, "%s = {\n", k->name))
		return false;
	d->depth++;
	ok = dump_group(d, (enum key_group)k->min, c, s);
	d->depth--;
	return ok && buf_add_str(d->out, "};\n");
}

static bool
dump_group(struct dumper *d, enum key_group group, const void *base, const config_setting_t *s)
{
	for (size_t i = 0; i < nkeys; i++) {
		const struct key *k = &keys[i];
		const config_setting_t *m;

		if (k->group != group)
			continue;
		m = s != NULL ? config_setting_get_member(s, k->name) : NULL;
		if (k->type == KEY_SUBGROUP) {
			if (!dump_subgroup(d, k, base, m))
				return false;
		} else if (!is_absent(k, base) && !dump_value(d, k, base, m)) {
			return false;
		}
	}
	return true;
}

bool
conf_dump(struct buf *out, const struct conf *conf, struct view text, const char *name)
{
	struct dumper d = { .out = out, .name = name, .conf = conf };
	config_t tree;
	bool ok;

	config_init(&tree);
	ok = tree_parse(&tree, text) && dump_group(&d, GROUP_TOP, conf, config_root_setting(&tree));
	config_destroy(&tree);
	return ok;
}

unsigned
conf_line(struct view text, const char *path)
{
	const config_setting_t *s = NULL;
	unsigned line;
	config_t tree;

	config_init(&tree);
	if (tree_parse(&tree, text))
		s = config_lookup(&tree, path);
	line = s != NULL ? (unsigned)config_setting_source_line(s) : 0;
	config_destroy(&tree);
	return line;
}

/* Says which of the values that take effect at a restart only differ. */
bool
conf_same_fixed(const struct conf *a, const struct conf *b, struct buf *names)
{
	bool same = true;

	for (size_t i = 0; i < nkeys; i++) {
		struct buf x, y;

		if (!keys[i].fixed)
			continue;
		buf_init(&x, 8192);
		buf_init(&y, 8192);
		if (!value_format(&keys[i], a, &x) || !value_format(&keys[i], b, &y) ||
		    !view_eq(buf_view(&x), buf_view(&y))) {
			same = false;
			if (!buf_addf(names, "%s%s%s", buf_len(names) > 0 ? ", " : "",
			    group_prefix(keys[i].group), keys[i].name))
				i = nkeys - 1;	/* no room: the list is long enough */
		}
		buf_done(&x);
		buf_done(&y);
	}
	return same;
}

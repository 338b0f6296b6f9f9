/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/caps.h"

#include "base/compiler.h"
#include "base/num.h"
#include "smtp/mechanism.h"

#include "base/banned.h"

void
caps_init(struct caps *c)
{
	*c = (struct caps){ .flags = 0 };
}

static const struct {
	struct view	keyword;
	unsigned	flag;
} keywords[] = {
	{ VIEW("PIPELINING"),		CAP_PIPELINING },
	{ VIEW("8BITMIME"),		CAP_8BITMIME },
	{ VIEW("SIZE"),			CAP_SIZE },
	{ VIEW("STARTTLS"),		CAP_STARTTLS },
	{ VIEW("ENHANCEDSTATUSCODES"),	CAP_ENHANCED },
	{ VIEW("CHUNKING"),		CAP_CHUNKING },
	{ VIEW("SMTPUTF8"),		CAP_SMTPUTF8 },
	{ VIEW("DSN"),			CAP_DSN },
};

static void
add_word(struct caps *c, struct view word)
{
	size_t len = strlen(c->auth_words);

	if (len + 1 + word.n >= sizeof(c->auth_words))
		return;
	if (len > 0)
		c->auth_words[len++] = ' ';
	for (size_t i = 0; i < word.n; i++)
		c->auth_words[len++] = is_print(word.p[i]) ? (char)word.p[i] : '?';
	c->auth_words[len] = '\0';
}

/* Mechanisms of an AUTH line; several lines add up. */
static void
add_auth(struct caps *c, struct view words)
{
	struct view word;
	enum sasl_mechanism m;

	while (view_split(&words, ' ', &word)) {
		if (word.n == 0)
			continue;
		add_word(c, word);
		m = mechanism_find(word);
		if (m != SASL_COUNT)
			c->mechanisms |= MECHANISM(m);
	}
}

/* Firewalls write X over what they don't like: "XXXXXXXX", "XXXXXXXA". */
static bool
is_blanked(struct view keyword)
{
	if (keyword.n < 4)
		return false;
	for (size_t i = 0; i + 1 < keyword.n; i++)
		if (keyword.p[i] != 'X')
			return false;
	return true;
}

void
caps_add_line(struct caps *c, struct view line)
{
	struct view keyword;

	line = view_trim(line);
	if (!c->named) {
		c->named = true;
		return;
	}
	if (view_istarts(line, VIEW("AUTH="))) {	/* before RFC 2554 */
		add_auth(c, view_from(line, 5));
		return;
	}
	if (!view_split(&line, ' ', &keyword))
		return;
	if (view_ieq(keyword, VIEW("AUTH")))
		add_auth(c, line);
	if (view_ieq(keyword, VIEW("SIZE")) &&
	    !num_parse_u64(view_trim(line), 0, UINT64_MAX, &c->size))
		c->size = 0;
	if (is_blanked(keyword))
		c->flags |= CAP_BLANKED;
	for (size_t i = 0; i < lengthof(keywords); i++)
		if (view_ieq(keyword, keywords[i].keyword))
			c->flags |= keywords[i].flag;
}

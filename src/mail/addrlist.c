/* SPDX-License-Identifier: BSD-2-Clause */
#include "mail/addrlist.h"

#include "base/buf.h"
#include "base/quote.h"

#include "base/banned.h"

#define SHOWN_MAX 60		/* of the text in an error */

enum token_kind {
	TOKEN_WORD,		/* atom or quoted string, as written */
	TOKEN_LITERAL,		/* [192.0.2.1] */
	TOKEN_SPECIAL,		/* one of , : ; < > @ . */
	TOKEN_END,
	TOKEN_BAD		/* the error is set */
};

struct token {
	enum token_kind	kind;
	struct view	text;
	uint8_t		special;	/* 0 for others */
};

struct parser {
	struct view	 rest;
	struct view	 element;	/* from where the current element begins, for errors */
	addrlist_fn	*fn;
	void		*arg;
	struct err	*e;
	/* the addr-spec under construction */
	uint8_t		 text[ADDRLIST_ADDRESS_MAX];
	size_t		 n;
	size_t		 local_n;	/* bytes in front of the @ */
	bool		 has_at;
	bool		 in_word;	/* a further word would not be part of it */
	bool		 is_phrase;	/* words side by side: a display name, no addr-spec */
};

static int
fail(struct parser *p, const char *what)
{
	struct buf shown;
	const char *text = NULL;

	buf_init(&shown, 8 * SHOWN_MAX);
	if (quote_log(&shown, view_trim(p->element), SHOWN_MAX))
		text = buf_cstr(&shown);
	(void)err_set(p->e, ERR_INPUT, "%s near %s", what, text != NULL ? text : "\"\"");
	buf_done(&shown);
	return -1;
}

/* --- tokens ------------------------------------------------------------------ */

/*
 * Length of what is enclosed by open and close at the front of v; 0: it is not
 * closed. A backslash takes the next byte's meaning. Comments nest.
 */
static size_t
enclosed(struct view v, uint8_t open, uint8_t close, bool nests)
{
	size_t depth = 1;

	for (size_t i = 1; i < v.n; i++) {
		if (v.p[i] == '\\')
			i++;
		else if (v.p[i] == close && --depth == 0)
			return i + 1;
		else if (nests && v.p[i] == open)
			depth++;
	}
	return 0;
}

static bool
is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
is_special(uint8_t c)
{
	return c == ',' || c == ':' || c == ';' || c == '<' || c == '>' || c == '@' || c == '.';
}

static bool
is_atom(uint8_t c)
{
	return c > ' ' && c != 0x7f && !is_special(c) && c != '(' && c != ')' && c != '[' && c != ']' &&
	    c != '"' && c != '\\';
}

/* Step over spaces and comments. False: a comment is not closed. */
static bool
skip_cfws(struct parser *p)
{
	while (p->rest.n > 0) {
		size_t n = 1;

		if (p->rest.p[0] == '(')
			n = enclosed(p->rest, '(', ')', true);
		else if (!is_space(p->rest.p[0]))
			return true;
		if (n == 0)
			return false;
		p->rest = view_from(p->rest, n);
	}
	return true;
}

static struct token
take(struct parser *p, enum token_kind kind, size_t n)
{
	struct token t = { kind, view_first(p->rest, n), 0 };

	if (kind == TOKEN_SPECIAL)
		t.special = t.text.p[0];
	p->rest = view_from(p->rest, n);
	return t;
}

static struct token
bad_token(struct parser *p, const char *what)
{
	(void)fail(p, what);
	return (struct token){ .kind = TOKEN_BAD };
}

static struct token
next_token(struct parser *p)
{
	size_t n = 0;

	if (!skip_cfws(p))
		return bad_token(p, "a comment is not closed");
	if (p->rest.n == 0)
		return (struct token){ .kind = TOKEN_END };
	if (is_special(p->rest.p[0]))
		return take(p, TOKEN_SPECIAL, 1);
	if (p->rest.p[0] == '"' || p->rest.p[0] == '[') {
		bool quoted = p->rest.p[0] == '"';

		n = quoted ? enclosed(p->rest, '"', '"', false) : enclosed(p->rest, '[', ']', false);
		if (n == 0)
			return bad_token(p, quoted ? "a quoted string is not closed" :
			    "an address literal is not closed");
		return take(p, quoted ? TOKEN_WORD : TOKEN_LITERAL, n);
	}
	while (n < p->rest.n && is_atom(p->rest.p[n]))
		n++;
	if (n == 0)
		return bad_token(p, "a character that may not be there");
	return take(p, TOKEN_WORD, n);
}

/* --- addr-spec ----------------------------------------------------------------- */

static void
addr_reset(struct parser *p)
{
	p->n = p->local_n = 0;
	p->has_at = p->in_word = p->is_phrase = false;
}

/* Words, literals, "." and "@" in their order; comments and spaces are gone already. */
static int
addr_add(struct parser *p, const struct token *t)
{
	struct view v = t->text;

	if (t->special == '@') {
		if (p->has_at)
			return fail(p, "two @ in one address");
		p->has_at = true;
		p->local_n = p->n;
	}
	if (t->special == 0 && p->in_word)
		p->is_phrase = true;
	p->in_word = t->special == 0;
	if (p->is_phrase)
		return 0;			/* a name: it may be long, and nobody asks for it */
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] == '\r' || v.p[i] == '\n')
			continue;		/* folding in a quoted string is not part of it */
		if (p->n == sizeof(p->text))
			return fail(p, "an address is too long");
		p->text[p->n++] = v.p[i];
	}
	return 0;
}

static int
addr_give(struct parser *p)
{
	if (p->is_phrase)
		return fail(p, "a name without an address");
	if (p->n == 0 || (p->has_at && p->local_n == 0))
		return fail(p, "an address without a local part");
	if (p->has_at && p->n == p->local_n + 1)
		return fail(p, "an address without a domain");
	return p->fn(p->arg, view_of(p->text, p->n), p->e) ? 0 : -1;
}

/* --- address-list ---------------------------------------------------------------- */

/*
 * Behind "<": [ "@" domain *("," "@" domain) ":" ] addr-spec ">". The route is
 * dropped (RFC 5322 4.4): what counts begins behind its colon.
 */
static int
angle_addr(struct parser *p)
{
	bool route = false;

	addr_reset(p);
	for (;;) {
		struct token t = next_token(p);

		if (t.kind == TOKEN_BAD)
			return -1;
		if (t.kind == TOKEN_END)
			return fail(p, "a \"<\" without \">\"");
		if (t.special == '>')
			return route ? fail(p, "a route without an address") : addr_give(p);
		if (t.special == '@' && p->n == 0) {
			route = true;
		} else if (route && t.special == ':') {
			route = false;
			addr_reset(p);
			continue;
		} else if (t.special == ':' || t.special == ';' || t.special == '<' ||
		    (t.special == ',' && !route)) {
			return fail(p, "a character that may not be in an address");
		}
		if (route)
			p->n = 1;		/* not empty: a second "@" does not begin a route */
		else if (addr_add(p, &t) < 0)
			return -1;
	}
}

/* What an element has been so far. */
enum element { ELEMENT_EMPTY, ELEMENT_WORDS, ELEMENT_ADDRESS };

static int
end_element(struct parser *p, enum element *element)
{
	if (*element == ELEMENT_WORDS && addr_give(p) < 0)
		return -1;
	*element = ELEMENT_EMPTY;
	addr_reset(p);
	p->element = p->rest;
	return 0;
}

int
addrlist_parse(struct view value, addrlist_fn *fn, void *arg, struct err *e)
{
	struct parser p = { .rest = value, .element = value, .fn = fn, .arg = arg, .e = e };
	enum element element = ELEMENT_EMPTY;
	bool in_group = false;

	for (;;) {
		struct token t = next_token(&p);

		if (t.kind == TOKEN_BAD)
			return -1;
		if (t.kind == TOKEN_END)
			break;
		if (t.special == ',' || t.special == ';') {
			/* Outside a group some programs separate by ";". */
			if (end_element(&p, &element) < 0)
				return -1;
			in_group = in_group && t.special == ',';
		} else if (element == ELEMENT_ADDRESS) {
			return fail(&p, "text behind an address");
		} else if (t.special == '<') {
			if (angle_addr(&p) < 0)
				return -1;
			element = ELEMENT_ADDRESS;
		} else if (t.special == ':') {
			if (in_group || element != ELEMENT_WORDS || p.has_at)
				return fail(&p, "a \":\" that begins no group");
			in_group = true;
			element = ELEMENT_EMPTY;
			addr_reset(&p);
		} else if (t.special == '>') {
			return fail(&p, "a \">\" without \"<\"");
		} else {
			if (addr_add(&p, &t) < 0)
				return -1;
			element = ELEMENT_WORDS;
		}
	}
	if (in_group)
		return fail(&p, "a group without \";\"");
	return end_element(&p, &element);
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "health/words.h"

#include "base/banned.h"

bool
words_say(const char *text, const char *needle)
{
	struct view v = view_str(text), n = view_str(needle);

	for (; v.n >= n.n; v = view_from(v, 1))
		if (view_istarts(v, n))
			return true;
	return false;
}

bool
words_say_any(const char *text, const char *const *needle)
{
	for (; *needle != NULL; needle++)
		if (words_say(text, *needle))
			return true;
	return false;
}

/* Without what stands in <>; one that is never closed hides the rest. */
static size_t
drop_brackets(char out[WORDS_PLAIN_MAX], const char *text)
{
	unsigned depth = 0;
	size_t n = 0;

	for (; *text != '\0' && n < WORDS_PLAIN_MAX - 1; text++) {
		if (*text == '<')
			depth++;
		else if (*text == '>' && depth > 0)
			depth--;
		else if (depth == 0)
			out[n++] = *text;
	}
	out[n] = '\0';
	return n;
}

const char *
words_plain(char out[WORDS_PLAIN_MAX], const char *text)
{
	struct view rest = view_of(out, drop_brackets(out, text)), word;
	size_t n = 0;

	while (view_split(&rest, ' ', &word)) {
		if (view_find(word, '@') < word.n)
			continue;
		memmove(out + n, word.p, word.n);
		n += word.n;
		out[n++] = ' ';		/* in place of the one that was split at, or of the NUL */
	}
	out[n > 0 ? n - 1 : 0] = '\0';
	return out;
}

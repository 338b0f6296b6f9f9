/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/say.h"

#include <stdio.h>
#include <unistd.h>

#include "base/quote.h"

#include "base/banned.h"

void
say(const char *fmt, ...)
{
	char text[1500];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	quote_flatten((uint8_t *)text, strlen(text));
	fprintf(stderr, "posthousectl: %s\n", text);
}

static bool
is_safe(uint8_t c)
{
	return is_print(c) || c == '\n' || c == '\t' || c == '\r';
}

bool
put_message(struct view v)
{
	if (!isatty(STDOUT_FILENO))
		return fwrite(v.p, 1, v.n, stdout) == v.n;
	for (size_t i = 0; i < v.n; i++)
		if ((is_safe(v.p[i]) ? putc(v.p[i], stdout) : printf("\\x%02x", v.p[i])) < 0)
			return false;
	return true;
}

bool
put_out(struct buf *b)
{
	struct view v = buf_view(b);
	bool ok = v.n == 0 || fwrite(v.p, 1, v.n, stdout) == v.n;

	buf_clear(b);
	return ok;
}

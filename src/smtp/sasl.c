/* SPDX-License-Identifier: BSD-2-Clause */
#include "smtp/sasl.h"

#include "base/base64.h"

#include "base/banned.h"

#define PLAIN_MAX (2 * SASL_WORD_MAX + 2)

static bool
is_sayable(struct view word)
{
	return word.n <= SASL_WORD_MAX && view_find(word, 0) == word.n;
}

static bool
add_base64(struct buf *out, struct view v)
{
	return buf_reserve(out, (v.n + 2) / 3 * 4) != NULL && base64_encode(out, v);
}

bool
sasl_add_plain(struct buf *out, struct view user, struct view password)
{
	struct buf plain;
	bool ok;

	if (!is_sayable(user) || !is_sayable(password))
		return false;
	buf_init(&plain, PLAIN_MAX);
	ok = buf_reserve(&plain, user.n + password.n + 2) != NULL &&
	    buf_add_byte(&plain, 0) && buf_add(&plain, user) &&
	    buf_add_byte(&plain, 0) && buf_add(&plain, password) &&
	    add_base64(out, buf_view(&plain));
	buf_wipe(&plain);
	return ok;
}

bool
sasl_add_word(struct buf *out, struct view word)
{
	return is_sayable(word) && add_base64(out, word);
}

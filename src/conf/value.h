/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * value - the text of one option to its place in the structure, and back.
 *
 * Scalars only: everything but the lists and KEY_SUBGROUP.
 */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "conf/keys.h"

/* base is the structure of the key's group; an earlier value is freed. -1: it is unchanged. */
int value_parse(const struct key *, void *base, struct view text, struct err *) must_use;
/* As it would stand in the file, with quotes where they belong. */
bool value_format(const struct key *, const void *base, struct buf *out) must_use;
/* What is wrong with a string of that form, to stand behind "the value "; NULL: nothing. */
const char *value_form_fault(enum key_form, struct view text);
bool value_is_scalar(const struct key *);
/* "a number from 1 to 65535", "true or false": what fits, in words. */
void value_expected(const struct key *, char text[160]);
/* A string in double quotes as libconfig reads it. */
bool value_quote(struct buf *out, const char *s) must_use;

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * words - what the free text of a reply says. Pure.
 *
 * Needles are in lower case; the case of the text does not matter.
 */
#ifndef HEALTH_WORDS_H
#define HEALTH_WORDS_H

#include "base/view.h"

bool words_say(const char *text, const char *needle);
/* needle ends with NULL. */
bool words_say_any(const char *text, const char *const *needle);

#define WORDS_PLAIN_MAX 512
/*
 * The text without addresses: what stands in <>, and words with an @. A server echoes them,
 * and whoever submits mail chooses them. Returns out.
 */
const char *words_plain(char out[WORDS_PLAIN_MAX], const char *text);

#endif

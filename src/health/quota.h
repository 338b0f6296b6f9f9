/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * quota - is what the provider allows in a day or a month used up, and until when?
 *
 * Pure. "Slow down" is another matter: outcome_is_throttle().
 */
#ifndef HEALTH_QUOTA_H
#define HEALTH_QUOTA_H

#include "base/compiler.h"
#include "base/view.h"

#define QUOTA_REST_MIN_MS	INT64_C(60000)
#define QUOTA_REST_MAX_MS	INT64_C(90000000)	/* 25 h: once a day it is tried, whatever was said */

bool quota_is_used_up(int code, const char *status, const char *text);
/*
 * How long mail rests: as the text says, else until midnight UTC by wall_ms, and 1, 2, 4, 6 h
 * when that was tried already and no mail has passed since (again: how many times).
 */
int64_t quota_rest_ms(const char *text, int64_t wall_ms, unsigned again);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
#include "spool/absence.h"

#include <stdio.h>

#include "spool/quarantine.h"

#include "base/banned.h"

bool
absence_of_end(struct absence *out, const struct segment *sg, bool no_end)
{
	if (!segment_is_short(sg, no_end))
		return false;
	*out = (struct absence){ .segment = sg->number, .at = sg->size,
		.length = sg->size < sg->least ? sg->least - sg->size : 0 };
	return true;
}

bool
absence_of_segment(struct absence *out, struct fs *fs, uint32_t number)
{
	if (quarantine_has_segment(fs, number))
		return false;
	*out = (struct absence){ .segment = number, .whole = true };
	return true;
}

const char *
absence_text(char text[ABSENCE_TEXT_MAX], const struct absence *a)
{
	static const char lost[] = "what stood there is lost: messages, and what became of others, which may be "
	    "sent again; if it is in a backup, stop posthoused and put it back";
	char much[40] = "its end is";

	if (a->length != 0)
		(void)snprintf(much, sizeof(much), "%llu bytes are", (unsigned long long)a->length);
	if (a->whole)
		(void)snprintf(text, ABSENCE_TEXT_MAX, "segment %016x is missing between others; %s", a->segment,
		    lost);
	else
		(void)snprintf(text, ABSENCE_TEXT_MAX, "segment %016x is cut off at %llu, %s missing; %s",
		    a->segment, (unsigned long long)a->at, much, lost);
	return text;
}

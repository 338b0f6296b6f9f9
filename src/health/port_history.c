/* SPDX-License-Identifier: BSD-2-Clause */
#include "health/port_history.h"

#include "base/require.h"

#include "base/banned.h"

static const struct {
	const char	*word;
	char		 sign;
} marks[PORT_MARK_COUNT] = {
	[PORT_UNSEEN] = { "unknown", '?' },
	[PORT_OFF] = { "off", '.' },
	[PORT_UNTRIED] = { "untried", ':' },
	[PORT_UP] = { "up", '+' },
	[PORT_RECOVERING] = { "recovering", '~' },
	[PORT_DEGRADED] = { "degraded", '-' },
	[PORT_SUSPECT] = { "suspect", '!' },
	[PORT_PROBING] = { "probing", 'p' },
	[PORT_DOWN] = { "down", 'x' },
	[PORT_BLOCKED] = { "blocked", 'B' },
};

const char *
port_mark_word(enum port_mark mark)
{
	require((unsigned)mark < PORT_MARK_COUNT);
	return marks[mark].word;
}

char
port_mark_sign(enum port_mark mark)
{
	require((unsigned)mark < PORT_MARK_COUNT);
	return marks[mark].sign;
}

enum port_mark
port_mark_of(const struct endpoint_view *v)
{
	switch (v->state) {
	case EP_OFF:
		return PORT_OFF;
	case EP_BLOCKED:
		return PORT_BLOCKED;
	case EP_DOWN:
		return PORT_DOWN;
	case EP_PROBING:
		return PORT_PROBING;
	case EP_UNKNOWN:
		return v->suspect ? PORT_SUSPECT : PORT_UNTRIED;
	case EP_UP:
		return v->suspect ? PORT_SUSPECT : PORT_UP;
	case EP_DEGRADED:
		return v->suspect ? PORT_SUSPECT : PORT_DEGRADED;
	case EP_RECOVERING:
		return v->suspect ? PORT_SUSPECT : PORT_RECOVERING;
	case EP_STATE_COUNT:
		break;
	}
	return PORT_UNSEEN;
}

void
port_history_init(struct port_history *h)
{
	*h = (struct port_history){ .seen_ms = -1 };
}

/* Make number the newest slot; those that are passed show what the last look did, or nothing. */
static void
advance(struct port_history *h, int64_t number, enum port_mark meanwhile)
{
	if (number - h->newest > PORT_SLOTS)
		h->newest = number - PORT_SLOTS;	/* the rest is pushed out in any case */
	while (h->newest < number)
		h->slot[++h->newest % PORT_SLOTS] = (uint8_t)meanwhile;
}

static void
see(struct port_history *h, enum port_mark mark)
{
	uint8_t *slot = &h->slot[h->newest % PORT_SLOTS];

	if (*slot < mark)
		*slot = (uint8_t)mark;
}

void
port_history_note(struct port_history *h, enum port_mark mark, int64_t now_ms)
{
	bool blind = h->seen_ms < 0 || now_ms - h->seen_ms > PORT_BLIND_MS;

	/* Nearly always: as it was, in the same slot. */
	if (!blind && mark == h->mark && now_ms < (h->newest + 1) * PORT_SLOT_MS) {
		h->seen_ms = now_ms;
		return;
	}
	if (!blind)	/* up to now, which belongs to what is now */
		advance(h, (now_ms - 1) / PORT_SLOT_MS, h->mark);
	advance(h, now_ms / PORT_SLOT_MS, PORT_UNSEEN);
	see(h, mark);
	h->mark = mark;
	h->seen_ms = now_ms;
}

void
port_history_restore(struct port_history *h, const enum port_mark mark[PORT_SLOTS], int64_t age_ms,
    int64_t now_ms)
{
	int64_t now = now_ms / PORT_SLOT_MS, passed = age_ms / PORT_SLOT_MS;

	if (h->seen_ms >= 0 || age_ms < 0 || passed >= PORT_SLOTS)
		return;
	advance(h, now, PORT_UNSEEN);
	for (int64_t i = 0; i + passed < PORT_SLOTS; i++) {
		int64_t number = now - i - passed;

		/* Soon after a boot that is a time before it: the ring takes it all the same. */
		h->slot[(number + 2 * PORT_SLOTS) % PORT_SLOTS] = (uint8_t)mark[PORT_SLOTS - 1 - i];
	}
}

void
port_history_read(const struct port_history *h, int64_t now_ms, enum port_mark out[PORT_SLOTS])
{
	struct port_history copy = *h;

	if (h->seen_ms >= 0 && now_ms - h->seen_ms <= PORT_BLIND_MS)
		port_history_note(&copy, h->mark, now_ms);
	else
		advance(&copy, now_ms / PORT_SLOT_MS, PORT_UNSEEN);
	for (int64_t i = 0; i < PORT_SLOTS; i++) {
		int64_t number = copy.newest - (PORT_SLOTS - 1) + i;

		/* Below 0 is what was restored from before a boot, or nothing. */
		out[i] = (enum port_mark)copy.slot[(number + 2 * PORT_SLOTS) % PORT_SLOTS];
	}
}

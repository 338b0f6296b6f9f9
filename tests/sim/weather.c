/* SPDX-License-Identifier: BSD-2-Clause */
/* What goes wrong in a month, and when: spells that begin and end by chance. */
#include "sim/month.h"

#include <stdio.h>

#include "base/require.h"

#include "base/banned.h"

static struct loop *
loop_of(struct month *m)
{
	return &m->w.loop.loop;
}

static bool
chance(struct weather *t, unsigned percent)
{
	return rng_below(&t->rng, 100) < percent;
}

bool
weather_is_dead(const struct port *p)
{
	return p->now <= SKY_LAST_DEAD;
}

/* --- a port ------------------------------------------------------------------ */

static enum twin_mode
mode_of(enum sky sky)
{
	switch ((int)sky) {
	case SKY_REFUSED:
		return TWIN_REFUSE;
	case SKY_FILTERED:
		return TWIN_SILENT;
	case SKY_MUTE:
		return TWIN_MUTE;
	case SKY_NO_ROUTE:
		return TWIN_NO_ROUTE;
	case SKY_DENIED:
		return TWIN_DENIED;
	default:
		return TWIN_ACCEPT;
	}
}

static enum stream_end_kind
tls_of(enum sky sky, bool implicit)
{
	switch ((int)sky) {
	case SKY_CERT_NAME:
		return STREAM_TLS_NAME;
	case SKY_CERT_EXPIRED:
		return STREAM_TLS_EXPIRED;
	case SKY_CERT_UNTRUSTED:
		return STREAM_TLS_UNTRUSTED;
	case SKY_TLS_BROKEN:
		return STREAM_TLS_HANDSHAKE;
	case SKY_STRIPPED:		/* there is nothing to strip: the handshake fails */
		return implicit ? STREAM_TLS_HANDSHAKE : STREAM_EOF;
	case SKY_WRONG_MODE:
		return implicit ? STREAM_TLS_NOT_TLS : STREAM_EOF;
	default:
		return STREAM_EOF;
	}
}

/* What becomes of the connections that there are. */
static void
strike(struct port *p)
{
	struct weather *t = &p->m->weather;

	switch ((int)p->now) {
	case SKY_FILTERED:
	case SKY_NO_ROUTE:
		twin_endpoint_cut(p->host->ep);
		break;
	case SKY_REFUSED:		/* the server ends; or it takes no new ones */
		if (chance(t, 50))
			twin_endpoint_reset(p->host->ep);
		break;
	default:
		break;
	}
}

#define RESET_MS MINUTES(2)

static void
on_reset(void *arg)
{
	struct port *p = arg;

	twin_endpoint_reset(p->host->ep);
	timer_set(loop_of(p->m), &p->reset, rng_jitter(&p->m->weather.rng, RESET_MS, 90));
}

static void
change(struct port *p)
{
	enum sky sky = p->outages != 0 ? p->outage : p->own;
	bool implicit = p->index == P465;

	if (sky == p->now)
		return;
	p->now = sky;
	p->changed_ms = month_now(p->m);
	month_trace(p->m, &sky, sizeof(sky));
	p->host->ep->mode = mode_of(sky);
	p->host->ep->tls = tls_of(sky, implicit);
	p->host->implicit = implicit && sky != SKY_WRONG_MODE;
	p->host->no_starttls = sky == SKY_STRIPPED;
	p->host->no_auth = sky == SKY_NO_AUTH;
	p->host->think_ms = sky == SKY_SLOW ? 500 + (int64_t)rng_below(&p->m->weather.rng, 4000) : 0;
	timer_cancel(loop_of(p->m), &p->reset);
	if (sky == SKY_RESETS)
		timer_set(loop_of(p->m), &p->reset, 1);
	strike(p);
}

/* --- what the smarthosts say -------------------------------------------------- */

static struct port *
port_of(struct month *m, const struct smarthost *h)
{
	for (size_t r = 0; r < RELAYS; r++)
		for (size_t i = 0; i < PORTS; i++)
			if (m->weather.port[r][i].host == h)
				return &m->weather.port[r][i];
	require_failed("a port of the month", __FILE__, __LINE__);
}

static bool
say(struct fault *out, const char *reply)
{
	*out = (struct fault){ .what = SAY, .reply = reply };
	return true;
}

static bool
do_it(struct fault *out, enum what what)
{
	*out = (struct fault){ .what = what };
	return true;
}

static bool
account_fault(struct month *m, const struct port *p, enum step at, struct fault *out)
{
	enum account_sky sky = m->weather.account[p->relay];

	if (at == AT_AUTH)
		judge_login(m, p, sky == ACCOUNT_WRONG_PASSWORD);
	if (at == AT_AUTH && sky == ACCOUNT_WRONG_PASSWORD)
		return say(out, "535 5.7.8 Authentication credentials invalid");
	if (at == AT_AUTH && sky == ACCOUNT_NO_LOGINS)
		return say(out, "454 4.7.0 Temporary authentication failure");
	if (at == AT_MAIL && sky == ACCOUNT_SLOW_DOWN && chance(&m->weather, 40))
		return say(out, "451 4.7.1 Maximum sending rate exceeded");
	return false;
}

static bool
lossy_fault(struct month *m, enum step at, struct fault *out)
{
	unsigned luck = (unsigned)rng_below(&m->weather.rng, 10);

	if (at != AT_DOT)
		return do_it(out, luck < 7 ? CUT : MUTE);
	if (luck < 2)
		return do_it(out, luck < 1 ? CUT : MUTE);
	if (luck >= 6)
		return do_it(out, TAKE_AND_CUT);
	/* Killed while nobody knows whether the message arrived: the mark on the disk decides. */
	if (luck < 4)
		month_wants_restart(m, (int64_t)rng_below(&m->weather.rng, 60000));
	return do_it(out, TAKE_SILENTLY);
}

static bool
message_fault(struct month *m, const struct port *p, enum step at, struct view line,
    struct fault *out)
{
	bool about = at == AT_MAIL || at == AT_RCPT || at == AT_DOT;

	if (!about || !chance(&m->weather, p->percent))
		return false;
	if (p->now == SKY_PUTS_OFF)
		return say(out, "450 4.2.0 greylisted");
	return judge_refused(m, line) && say(out, "550 5.7.1 not wanted here");
}

static bool
on_fault(void *arg, struct smarthost *h, enum step at, struct view line, struct fault *out)
{
	struct month *m = arg;
	struct port *p = port_of(m, h);

	switch ((int)p->now) {
	case SKY_BANNER_4XX:
		if (at == AT_GREETING)
			return say(out, "421 4.3.2 too busy, try later");
		break;
	case SKY_BANNER_5XX:
		if (at == AT_GREETING)
			return say(out, "554 5.7.1 not from your address");
		break;
	case SKY_BANNER_CUT:
		if (at == AT_GREETING)
			return do_it(out, CUT);
		break;
	case SKY_WRONG_MODE:		/* a server that waits for a ClientHello */
		if (at == AT_GREETING && p->index != P465)
			return do_it(out, MUTE);
		break;
	case SKY_LOSSY:
		if ((at == AT_DOT || !p->dots_alone) && chance(&m->weather, p->percent))
			return lossy_fault(m, at, out);
		break;
	case SKY_PUTS_OFF:
	case SKY_REFUSES:
		if (message_fault(m, p, at, line, out))
			return true;
		break;
	default:
		break;
	}
	return account_fault(m, p, at, out);
}

/* --- spells --------------------------------------------------------------------- */

static enum sky
pick_sky(struct weather *t)
{
	if (chance(t, 20))
		return SKY_FILTERED;		/* what happens most */
	if (chance(t, 15))
		return SKY_LOSSY;		/* what asks most */
	return (enum sky)rng_below(&t->rng, SKY_CLEAR);
}

static void
outage(struct month *m, size_t relay, bool begins, enum sky sky)
{
	for (size_t i = 0; i < PORTS; i++) {
		struct port *p = &m->weather.port[relay][i];

		if (begins) {
			p->outages++;
			p->outage = sky;
		} else {
			p->outages--;
		}
		change(p);
	}
}

static void
port_spell(struct spell *s, bool begins)
{
	struct port *p = &s->m->weather.port[s->relay][s->port];

	if (begins)
		p->percent = 3 + (unsigned)rng_below(&s->m->weather.rng, 40);
	if (begins)
		p->dots_alone = chance(&s->m->weather, 50);
	p->own = begins ? s->sky : SKY_CLEAR;
	change(p);
}

static void
act(struct spell *s, bool begins)
{
	struct month *m = s->m;

	switch (s->kind) {
	case SPELL_PORT:
		port_spell(s, begins);
		break;
	case SPELL_ACCOUNT:
		m->weather.account[s->relay] = !begins ? ACCOUNT_GOOD :
		    (enum account_sky)(1 + rng_below(&m->weather.rng, 3));
		break;
	case SPELL_RELAY:
		outage(m, s->relay, begins, s->sky);
		break;
	case SPELL_NETWORK:
		for (size_t r = 0; r < RELAYS; r++)
			outage(m, r, begins, s->sky);
		break;
	case SPELL_NAMES:
		m->w.net.dns_down = begins;
		break;
	}
	judge_weather(m);
}

static void
on_flap(void *arg)
{
	struct spell *s = arg;

	s->flapped = !s->flapped;
	act(s, !s->flapped);
	timer_set(loop_of(s->m), &s->flap, rng_jitter(&s->m->weather.rng, s->flap_ms, 30));
}

/* From half a minute to longest_ms, the short ones more often. */
static int64_t
length_of(struct spell *s)
{
	struct rng *r = &s->m->weather.rng;
	int64_t ms = SECONDS(30) << rng_below(r, 10);

	return rng_jitter(r, ms < s->longest_ms ? ms : s->longest_ms, 50);
}

/* Exponential, near enough: it is below the mean two times of three. */
static int64_t
calm_of(struct spell *s)
{
	struct rng *r = &s->m->weather.rng;
	int64_t ms = s->calm_ms / 8 + (int64_t)rng_below(r, (uint64_t)s->calm_ms);

	while (rng_below(r, 3) == 0)
		ms += s->calm_ms;
	return ms;
}

static void
choose(struct spell *s)
{
	struct weather *t = &s->m->weather;

	s->lasts_ms = length_of(s);
	s->flap_ms = chance(t, 10) ? SECONDS(20) << rng_below(&t->rng, 6) : 0;
	if (s->kind == SPELL_PORT)
		s->sky = pick_sky(t);
	else
		s->sky = chance(t, 50) ? SKY_FILTERED : chance(t, 50) ? SKY_NO_ROUTE : SKY_REFUSED;
	s->daily = s->kind == SPELL_PORT && chance(t, 5);
}

static void
begin(struct spell *s)
{
	s->on = true;
	s->flapped = false;
	if (s->flap_ms != 0)
		timer_set(loop_of(s->m), &s->flap, s->flap_ms);
	act(s, true);
	timer_set(loop_of(s->m), &s->timer, s->lasts_ms);
}

static void
end(struct spell *s)
{
	timer_cancel(loop_of(s->m), &s->flap);
	if (!s->flapped)
		act(s, false);
	s->on = false;
	if (!s->m->weather.over)
		timer_set(loop_of(s->m), &s->timer, s->daily ? DAYS(1) - s->lasts_ms : calm_of(s));
}

static void
on_spell(void *arg)
{
	struct spell *s = arg;
	struct weather *t = &s->m->weather;

	if (s->on) {
		end(s);
		return;
	}
	if (!s->daily && !s->awaited)
		choose(s);
	/* Much of what goes wrong shows under traffic alone. */
	if (!s->awaited && chance(t, s->sky == SKY_FILTERED ? 80 : 30)) {
		s->awaited = true;
		month_traffic(s->m, 5 + (unsigned)rng_below(&t->rng, 20));
		timer_set(loop_of(s->m), &s->timer, (int64_t)rng_below(&t->rng, 3000));
	} else {
		s->awaited = false;
		begin(s);
	}
}

static void
add_spell(struct month *m, enum spell_kind kind, size_t relay, size_t port, int64_t calm_ms,
    int64_t longest_ms)
{
	struct weather *t = &m->weather;
	struct spell *s = &t->spell[t->nspell++];

	require(t->nspell <= SPELLS);
	*s = (struct spell){ .m = m, .kind = kind, .relay = relay, .port = port,
		.calm_ms = calm_ms, .longest_ms = longest_ms };
	timer_init(&s->timer, on_spell, s);
	timer_init(&s->flap, on_flap, s);
	timer_set(loop_of(m), &s->timer, calm_of(s));
}

/* --- from the first day to the last ------------------------------------------------ */

static void
init_port(struct month *m, size_t relay, size_t i, struct smarthost *h)
{
	static const struct smarthost_script script = { on_fault };
	struct port *p = &m->weather.port[relay][i];

	*p = (struct port){ .host = h, .relay = relay, .index = i, .own = SKY_CLEAR,
		.now = SKY_CLEAR, .m = m };
	timer_init(&p->reset, on_reset, p);
	h->script = &script;
	h->script_arg = m;
	h->careless = true;
	h->ep->delay_ms = 5 + (int64_t)rng_below(&m->weather.rng, 80);
}

void
weather_start(struct month *m)
{
	struct weather *t = &m->weather;
	/* One seed is worse than another. */
	int64_t calm = (m->storm ? HOURS(3) : HOURS(30)) << rng_below(&t->rng, 3);

	for (size_t i = 0; i < PORTS; i++) {
		init_port(m, 0, i, &m->w.port[i]);
		init_port(m, 1, i, i == 0 ? &m->w.backup : &m->more[i - 1]);
	}
	for (size_t r = 0; r < RELAYS; r++) {
		for (size_t i = 0; i < PORTS; i++)
			add_spell(m, SPELL_PORT, r, i, calm, HOURS(8));
		add_spell(m, SPELL_ACCOUNT, r, 0, 3 * calm, HOURS(2));
		add_spell(m, SPELL_RELAY, r, 0, 4 * calm, HOURS(4));
	}
	add_spell(m, SPELL_NETWORK, 0, 0, 3 * calm, HOURS(3));
	add_spell(m, SPELL_NAMES, 0, 0, 4 * calm, HOURS(1));
	judge_weather(m);
}

void
weather_end(struct month *m)
{
	struct weather *t = &m->weather;

	t->over = true;
	for (size_t i = 0; i < t->nspell; i++) {
		struct spell *s = &t->spell[i];

		timer_cancel(loop_of(m), &s->timer);
		if (s->on)
			end(s);
	}
}

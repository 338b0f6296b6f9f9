/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guard - that a wrong password is tried once, whatever happens to the process.
 *
 * Before the first login of a process its beginning is on disk; what became of it follows, and
 * so does every state of an account (doc/accounts.md). One refusal ends what other sessions are
 * just trying with the same credentials.
 */
#include <errno.h>

#include "base/num.h"
#include "relay/relay_impl.h"
#include "sys/seed.h"

#include "base/banned.h"

#define FILE_NAME	"accounts"
#define KEY_NAME	"accounts.key"
#define KEY_TEXT	(2 * FINGERPRINT_KEY_SIZE + 1)
#define REFRESH_MS	600000		/* while an account is not available: what was waited is kept */

static int64_t
now_of(const struct relay *r)
{
	return loop_now(r->env.loop);
}

/* --- what there is to keep ------------------------------------------------------- */

static void
put_name(char out[ACCOUNTS_NAME_MAX + 1], const char *name)
{
	size_t n = strnlen(name, ACCOUNTS_NAME_MAX);

	memcpy(out, name, n);
	out[n] = '\0';
}

static void
gather_one(const struct upstream *u, struct accounts_entry *x)
{
	put_name(x->name, u->conf->name);
	memcpy(x->fingerprint, u->login->fingerprint, sizeof(x->fingerprint));
	x->proven = u->login->proven;
	x->open = u->login->open;
	health_account_save(u->health, now_of(u->r), &x->record);
}

static void
gather(struct relay *r, struct accounts *out)
{
	out->written_ms = loop_wall(r->env.loop);
	out->n = 0;
	for (size_t i = 0; i < r->nup; i++)
		if (r->up[i].login->known)
			gather_one(&r->up[i], &out->entry[out->n++]);
}

/* But for the time that passes. Each class belongs to one state. */
static bool
is_same(const struct accounts_entry *a, const struct accounts_entry *b)
{
	return memcmp(a->fingerprint, b->fingerprint, sizeof(a->fingerprint)) == 0 &&
	    a->proven == b->proven && a->open == b->open && a->record.step == b->record.step &&
	    a->record.class == b->record.class && a->record.lasts_ms == b->record.lasts_ms;
}

/* One at a time: this is asked at every turn in which something happened. */
static bool
has_changed(const struct relay *r, const struct accounts *written)
{
	size_t n = 0;

	for (size_t i = 0; i < r->nup; i++) {
		struct accounts_entry now;

		if (!r->up[i].login->known)
			continue;
		gather_one(&r->up[i], &now);
		if (n == written->n || !is_same(&now, &written->entry[n++]))
			return true;
	}
	return n != written->n;
}

static bool
any_stopped(const struct accounts *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->entry[i].record.state != ACCOUNT_AVAILABLE)
			return true;
	return false;
}

/* --- writing -------------------------------------------------------------------------- */

static void
write_key(struct guard *g)
{
	struct buf text;
	uint8_t hex[KEY_TEXT];

	num_hex_bytes(hex, g->key, FINGERPRINT_KEY_SIZE);
	hex[KEY_TEXT - 1] = '\n';
	buf_init(&text, KEY_TEXT);
	if (buf_add(&text, view_of(hex, sizeof(hex))))
		keep_write(&g->key_file, &text);
	buf_wipe(&text);
	explicit_bzero(hex, sizeof(hex));
}

static void
write_now(struct relay *r)
{
	struct guard *g = &r->guard;
	struct buf text;

	if (keep_is_busy(&g->file) || keep_is_busy(&g->key_file)) {
		g->again = true;
		return;
	}
	g->again = false;
	if (!g->key_kept) {
		write_key(g);
		return;
	}
	g->writing = g->changes;
	g->written_at_ms = now_of(r);
	gather(r, &g->written);
	buf_init(&text, ACCOUNTS_TEXT_MAX);
	if (accounts_text(&g->written, &text))
		keep_write(&g->file, &text);
	buf_done(&text);
}

/* Those that waited for the disk, or for each other. */
static void
resume_logins(struct relay *r)
{
	for (size_t i = 0; i < r->nup; i++)
		if (r->up[i].pool.login != NULL)
			session_unpark(r->up[i].pool.login);
}

void
guard_need_key(struct relay *r)
{
	if (!r->guard.key_kept)
		write_now(r);
}

/* The logins that waited for it go on, also if it failed. */
static void
settle(struct relay *r, const struct err *e)
{
	struct guard *g = &r->guard;

	if (e != NULL) {
		if (!g->failing)
			log_simple(r->env.log, LEVEL_WARNING, "accounts-not-kept", "%s; a refused login may be "
			    "tried once more after a restart", e->text);
		g->written.n = 0;	/* the next look tries again */
	}
	g->failing = e != NULL;
	g->kept = g->writing;
	resume_logins(r);
	if (g->again)
		write_now(r);
	relay_end_check(r);
}

static void
on_kept(void *owner, const struct err *e)
{
	settle(owner, e);
}

static void
on_key_kept(void *owner, const struct err *e)
{
	struct relay *r = owner;

	r->guard.key_kept = e == NULL;
	if (e == NULL) {
		write_now(r);
	} else {
		r->guard.writing = r->guard.changes;
		settle(r, e);
	}
}

void
guard_look(struct relay *r)
{
	struct guard *g = &r->guard;

	if (has_changed(r, &g->written) ||
	    (any_stopped(&g->written) && now_of(r) - g->written_at_ms >= REFRESH_MS))
		write_now(r);
}

static void
on_look(void *arg)
{
	guard_look(arg);
	resume_logins(arg);
}

bool
guard_is_idle(const struct relay *r)
{
	return !keep_is_busy(&r->guard.file) && !keep_is_busy(&r->guard.key_file);
}

void
guard_refresh(struct relay *r)
{
	if (any_stopped(&r->guard.written))
		write_now(r);
	else
		guard_look(r);
}

/* --- logins ---------------------------------------------------------------------------- */

bool
guard_login(struct session *s)
{
	struct guard *g = &s->r->guard;
	struct login *l = s->up->login;

	if (l->proved)
		return true;
	if (l->by == NULL) {
		l->by = s;
		l->open++;
		l->mark = ++g->changes;
		write_now(s->r);
	}
	if (l->by == s && (l->mark <= g->kept || g->failing || !l->known))
		return true;
	session_park(s, LOGIN_GATE_MS);
	return false;
}

void
guard_answered(struct session *s, enum login_end end)
{
	struct login *l = s->up->login;

	task_post(s->r->env.loop, &s->r->guard.task);
	if (l->by == s)
		l->by = NULL;
	if (end != LOGIN_UNJUDGED)
		l->open = 0;
	else if (l->proved)
		l->open = 1;	/* it was not written down; those that went out side by side count as one */
	l->proved = end == LOGIN_WORKED;
	l->proven = l->proven || l->proved;
}

void
guard_unsent(struct session *s)
{
	struct login *l = s->up->login;

	if (l->by != s)
		return;
	l->by = NULL;
	if (l->open != 0 && !s->logging_in)
		l->open--;
	task_post(s->r->env.loop, &s->r->guard.task);
}

static struct session *
one_that_logs_in(struct upstream *u)
{
	list_foreach(link, &u->sessions) {
		struct session *s = list_entry(link, struct session, link);

		if (s->logging_in)
			return s;
	}
	return NULL;
}

static void
end_logins(struct upstream *u)
{
	struct session *s;

	while ((s = one_that_logs_in(u)) != NULL)
		session_abort(s, HEALTH_OK, "the login was refused in another session");
}

void
guard_share(struct upstream *u, enum health_class class)
{
	struct relay *r = u->r;
	struct account_record rec;

	if (class != HEALTH_AUTH_REFUSED && class != HEALTH_AUTH_TEMP && !health_is_unjudged(class))
		return;
	health_account_save(u->health, now_of(r), &rec);
	for (size_t i = 0; i < r->nup; i++) {
		struct upstream *v = &r->up[i];
		struct account_view account;

		if (v->login != u->login)
			continue;
		health_account(v->health, now_of(r), &account);
		if (account.state < rec.state) {
			health_account_restore(v->health, now_of(r), &rec);
			watch_changed(v);
		}
		if (class == HEALTH_AUTH_REFUSED)
			end_logins(v);
	}
}

void
guard_forgive(struct upstream *u)
{
	u->login->open = 0;
	u->login->proved = false;
	task_post(u->r->env.loop, &u->r->guard.task);
}

/* --- start and end ----------------------------------------------------------------------- */

static void
forgotten(struct relay *r, const char *name, const char *why)
{
	log_simple(r->env.log, LEVEL_WARNING, "accounts-forgotten", "the file spool/%s: %s; what was known of "
	    "logins that were refused is forgotten, each is tried once anew", name, why);
}

static bool
parse_key(uint8_t key[FINGERPRINT_KEY_SIZE], struct view text)
{
	return text.n == KEY_TEXT && text.p[KEY_TEXT - 1] == '\n' &&
	    num_parse_hex_bytes(view_first(text, KEY_TEXT - 1), key, FINGERPRINT_KEY_SIZE);
}

static bool
load_key(struct relay *r)
{
	struct guard *g = &r->guard;
	struct buf text;
	struct err e;

	buf_init(&text, KEY_TEXT + 1);
	if (keep_read(&g->key_file, &text, KEY_TEXT, &e) < 0) {
		if (e.errnum != ENOENT)
			forgotten(r, KEY_NAME, e.text);
	} else if (parse_key(g->key, buf_view(&text))) {
		g->key_kept = true;
	} else {
		forgotten(r, KEY_NAME, "it is damaged");
	}
	buf_wipe(&text);
	return g->key_kept;
}

static void
make_key(struct guard *g)
{
	for (size_t i = 0; i < FINGERPRINT_KEY_SIZE; i += sizeof(uint64_t)) {
		uint64_t word = random_seed();

		memcpy(g->key + i, &word, sizeof(word));
	}
}

static void
load(struct relay *r)
{
	struct guard *g = &r->guard;
	struct buf text;
	struct err e;

	buf_init(&text, ACCOUNTS_TEXT_MAX + 1);
	if (keep_read(&g->file, &text, ACCOUNTS_TEXT_MAX, &e) < 0) {
		/* No key either: nothing has been kept so far. */
		if (e.errnum != ENOENT || g->key_kept)
			forgotten(r, FILE_NAME, e.text);
	} else if (accounts_parse(&g->old, buf_view(&text), &e) < 0) {
		forgotten(r, FILE_NAME, e.text);
	} else if (!g->key_kept) {
		g->old.n = 0;
		forgotten(r, FILE_NAME, "its key " KEY_NAME " is gone");
	}
	buf_done(&text);
}

void
guard_init(struct relay *r)
{
	struct guard *g = &r->guard;

	g->file = (struct keep){ .fs = r->env.fs, .worker = r->env.reader, .name = FILE_NAME,
		.on_kept = on_kept, .owner = r };
	g->key_file = (struct keep){ .fs = r->env.fs, .worker = r->env.reader, .name = KEY_NAME,
		.on_kept = on_key_kept, .owner = r };
	g->written_at_ms = now_of(r);
	task_init(&g->task, on_look, r);
	if (!load_key(r))
		make_key(g);
	load(r);
}

/* The entry that has this relay's name is of other credentials: they were changed. */
static void
note_change(struct upstream *u)
{
	const struct accounts *old = &u->r->guard.old;

	for (size_t i = 0; i < old->n; i++)
		if (strncmp(old->entry[i].name, u->conf->name, ACCOUNTS_NAME_MAX) == 0 &&
		    old->entry[i].record.state == ACCOUNT_BLOCKED)
			log_simple(u->r->env.log, LEVEL_NOTICE, "account-changed", "host, user or password of relay "
			    "%s are not those any more that were refused: they are tried", u->conf->name);
}

/* With one that came before, if that is the same. */
static void
share_login(struct upstream *u)
{
	for (size_t i = 0; i < u->index; i++) {
		struct login *other = u->r->up[i].login;

		if (other->known && memcmp(other->fingerprint, u->login->fingerprint, FINGERPRINT_SIZE) == 0) {
			u->login = other;
			return;
		}
	}
}

void
guard_adopt(struct upstream *u)
{
	struct relay *r = u->r;
	struct guard *g = &r->guard;
	const struct accounts_entry *x;
	uint8_t certificate[32];
	bool certified = u->tls != NULL && tls_client_certificate(u->tls, certificate);
	struct view part[] = { view_str(u->conf->host), view_str(u->conf->user),
		view_of(u->secret, u->nsecret), view_of(certificate, sizeof(certificate)) };
	struct account_record rec;
	struct err e;

	struct login *l = &g->login[u->index];

	u->login = l;
	if (fingerprint_make(l->fingerprint, g->key, part, certified ? 4 : 3, &e) < 0) {
		log_simple(r->env.log, LEVEL_WARNING, "accounts-not-kept", "relay %s: %s", u->conf->name, e.text);
		return;
	}
	l->known = true;
	share_login(u);
	x = accounts_find(&g->old, l->fingerprint);
	if (x == NULL) {
		note_change(u);
		return;
	}
	l = u->login;
	l->proven = x->proven;
	l->open = x->open;
	accounts_resume(&g->old, x, loop_wall(r->env.loop), &rec);
	health_account_restore(u->health, now_of(r), &rec);
	watch_changed(u);
}

void
guard_start(struct relay *r)
{
	gather(r, &r->guard.written);
}

void
guard_done(struct relay *r)
{
	task_cancel(&r->guard.task);
	keep_done(&r->guard.file);
	keep_done(&r->guard.key_file);
	explicit_bzero(r->guard.key, sizeof(r->guard.key));
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "sim/scenario.h"

#include <stdio.h>

#include "sim/asker.h"

#include "base/require.h"

#include "base/banned.h"

static const struct control_env env = { .own_uid = 0 };

static void
on_input(void *owner)
{
	struct asker *a = owner;
	struct view in = stream_input(a->stream);

	require(buf_add(&a->said, in));
	stream_consume(a->stream, in.n);
}

static void
on_closed(void *owner, const struct stream_end *end)
{
	struct asker *a = owner;

	asker_leave(a);
	a->closed = true;
}

static const struct stream_events events = { .on_input = on_input, .on_closed = on_closed };

void
asker_init(struct asker *a, struct world *w)
{
	*a = (struct asker){ .control = control_new(w->relay, &env) };
	buf_init(&a->said, 4u << 20);
}

void
asker_done(struct asker *a)
{
	asker_leave(a);
	control_free(a->control);
	buf_done(&a->said);
}

void
asker_restart(struct asker *a, struct world *w, enum twin_keep keep)
{
	control_free(a->control);
	world_crash(w, keep);
	a->control = control_new(w->relay, &env);
}

void
asker_leave(struct asker *a)
{
	stream_close(a->stream);
	a->stream = NULL;
}

void
asker_ask(struct asker *a, struct world *w, const char *line)
{
	static const struct stream_limits limits = { 65536, 65536 };
	struct stream *ends[2];

	asker_leave(a);
	buf_clear(&a->said);
	a->closed = false;
	twin_net_pair(&w->net, ends, &limits);
	a->stream = ends[0];
	stream_own(a->stream, &events, a);
	control_accept(a->control, ends[1], false);
	require(stream_write(a->stream, view_str(line)) && stream_write(a->stream, VIEW("\n")));
}

static bool
is_over(void *owner)
{
	return ((struct asker *)owner)->closed;
}

const char *
answer_to(struct world *w, const char *line)
{
	static char text[65536];
	struct asker a;

	asker_init(&a, w);
	asker_ask(&a, w, line);
	assert_true(twin_loop_until(&w->loop, is_over, &a, SECONDS(5)));
	(void)snprintf(text, sizeof(text), "%s", buf_cstr(&a.said));
	asker_done(&a);
	return text;
}

void
asker_check_has(const char *file, int line, const char *text, const char *part)
{
	if (strstr(text, part) == NULL) {
		print_error("\"%s\" is not in:\n%s\n", part, text);
		_fail(file, line);
	}
}

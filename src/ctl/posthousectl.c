/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posthousectl - ask the daemon, or look at its spool.
 *
 * What the daemon knows it is asked for on its control socket: the request is
 * the command line, the answer is text (doc/control.md). status, ports, failover and
 * queue fall back to the status socket, which everybody may use. queue and cat
 * read the spool where no daemon runs; export and check always do.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/nearest.h"
#include "base/num.h"
#include "conf/conf.h"
#include "control/request.h"
#include "ctl/ask.h"
#include "ctl/export.h"
#include "ctl/offline.h"
#include "ctl/say.h"
#include "sys/whole.h"

#include "base/banned.h"

#define DEFAULT_CONF	POSTHOUSE_SYSCONFDIR "/posthouse/posthouse.conf"
#define IDS_MAX		10000

static const char usage_text[] =
    "usage: posthousectl [-c FILE] [--json] [--limit N] [--spool DIR] COMMAND [ID ...]\n"
    "\n"
    "  status            what the daemon does, one look\n"
    "  ports             each port of the smarthost: state, score, why, the last 24 hours\n"
    "  ports --why PORT  all that is known of one, and why it is chosen or not\n"
    "  failover          the last changes of port and relay, and why\n"
    "  queue             messages that wait, oldest first\n"
    "  explain ID|last   one message: where it is and why, and its story\n"
    "  cat ID            the message itself\n"
    "  flush [ID]        try now\n"
    "  hold ID|all       keep, do not send\n"
    "  release ID|all    undo hold\n"
    "  remove ID|all     delete without a bounce\n"
    "  probe [RELAY]     look at all ports now\n"
    "  unblock [RELAY]   use blocked accounts and ports again\n"
    "  users             what each local user has handed in, and has in the queue\n"
    "  freeze USER       hold this user's mail: name, number, or unknown\n"
    "  thaw USER         undo freeze, and send it\n"
    "  purge USER        delete this user's mail without a bounce\n"
    "  reload            read the configuration again\n"
    "  check             read all of the spool; is it whole?\n"
    "  export [ID ...]   copy messages out, with --maildir DIR or --mbox FILE\n"
    "\n"
    "  -c FILE           configuration (default " DEFAULT_CONF ")\n"
    "  --json            answer in JSON\n"
    "  --limit N         queue: at most N messages (default 1000); failover: N changes\n"
    "  --why PORT        ports: 587, 465/implicit, RELAY:587\n"
    "  --spool DIR       queue, cat, export, check: this spool, whether a daemon runs or not\n";

/* Commands that read the spool alone; the others are those of control/request.h. */
static const char *const spool_commands[] = { "check", "export" };

struct options {
	const char	*conf;		/* NULL: the default one, if it can be read */
	const char	*spool, *maildir, *mbox, *limit, *why;
	bool		 json;
	const char	*command;
	char		**word;
	size_t		 nwords;
	char		*runtime_dir;	/* owned, as the next */
	char		*spool_dir;
};

/* --- where things are --------------------------------------------------------- */

static int
read_file(const char *path, struct buf *text, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return err_sys(e, errno, "cannot read %s", path);
	rc = read_whole(fd, text, e);
	(void)close(fd);	/* read-only */
	return rc;
}

/* A file with mistakes stops no daemon that runs: it has read another one. */
static void
take_places(struct options *o, const char *path, struct view text)
{
	char *state_dir;
	struct buf report, spool;
	struct conf *conf;

	buf_init(&report, 1u << 20);
	buf_init(&spool, 8192);
	if (conf_load(&conf, text, path, &report) == 0)
		conf_free(conf);
	else
		say("%s has errors, which posthoused -t shows: only its directories are used here", path);
	if (!conf_locate(text, &o->runtime_dir, &state_dir) && strcmp(o->runtime_dir, POSTHOUSE_RUNTIMEDIR) == 0)
		say("%s could not be parsed, so the default directory %s is tried: if the daemon has another "
		    "runtime_dir, mend the file, or name one that can be read with -c", path, o->runtime_dir);
	ignore_result(buf_addf(&spool, "%s/spool", state_dir));	/* far below its maximum */
	o->spool_dir = xstrdup(buf_cstr(&spool));
	free(state_dir);
	buf_done(&report);
	buf_done(&spool);
}

/*
 * The directories that the configuration names. Who may not read the configuration gets
 * the default ones, which are right unless they were changed.
 */
static int
find_places(struct options *o)
{
	const char *path = o->conf != NULL ? o->conf : DEFAULT_CONF;
	struct buf text;
	int status = EX_OK;
	struct err e;

	buf_init(&text, CONF_TEXT_MAX);
	if (read_file(path, &text, &e) == 0) {
		take_places(o, path, buf_view(&text));
	} else if (o->conf != NULL) {
		say("%s", e.text);
		status = EX_CONFIG;
	} else {
		o->runtime_dir = xstrdup(POSTHOUSE_RUNTIMEDIR);
		o->spool_dir = xstrdup(POSTHOUSE_STATEDIR "/spool");
	}
	buf_done(&text);
	return status;
}

/* --- words --------------------------------------------------------------------- */

static bool
is_command(const struct options *o, enum request_command c)
{
	return strcmp(o->command, request_word(c)) == 0;
}

static int
unknown_command(const char *word)
{
	const char *best = NULL;
	struct nearest n;

	nearest_begin(&n, word);
	for (size_t i = 0; i < REQUEST_COUNT; i++)
		if (nearest_offer(&n, request_word((enum request_command)i)))
			best = request_word((enum request_command)i);
	for (size_t i = 0; i < lengthof(spool_commands); i++)
		if (nearest_offer(&n, spool_commands[i]))
			best = spool_commands[i];
	if (best != NULL)
		say("unknown command \"%.100s\"; did you mean \"%s\"?", word, best);
	else
		say("unknown command \"%.100s\"; posthousectl --help lists what there is", word);
	return EX_USAGE;
}

static bool
is_known(const char *word)
{
	for (size_t i = 0; i < REQUEST_COUNT; i++)
		if (strcmp(word, request_word((enum request_command)i)) == 0)
			return true;
	for (size_t i = 0; i < lengthof(spool_commands); i++)
		if (strcmp(word, spool_commands[i]) == 0)
			return true;
	return false;
}

/* The ids of the command line; 0 words: none. */
static int
parse_ids(const struct options *o, spool_id *id)
{
	for (size_t i = 0; i < o->nwords; i++)
		if (!spool_id_parse(view_str(o->word[i]), &id[i])) {
			say("\"%.40s\" is no message id; one has 16 hex digits and is shown by posthousectl "
			    "queue", o->word[i]);
			return 1;
		}
	return EX_OK;
}

static int
add_word(struct buf *request, const char *word)
{
	if (word[0] == '\0' || strpbrk(word, " \r\n\t") != NULL) {
		say("\"%.100s\" is not one word", word);
		return EX_USAGE;
	}
	if ((buf_len(request) == 0 || buf_add_byte(request, ' ')) && buf_add_str(request, word))
		return EX_OK;
	say("the command line is too long");
	return EX_USAGE;
}

static bool
takes_user(const struct options *o)
{
	return is_command(o, REQUEST_FREEZE) || is_command(o, REQUEST_THAW) || is_command(o, REQUEST_PURGE);
}

/* The daemon knows numbers: names are looked up here, where nothing waits for it. */
static int
add_user(struct buf *request, const char *name)
{
	const struct passwd *user;
	char number[24];
	uint64_t n;

	if (strcmp(name, "unknown") == 0 || num_parse_u64(view_str(name), 0, UINT32_MAX, &n))
		return add_word(request, name);
	errno = 0;
	user = getpwnam(name);
	if (user == NULL) {
		say(errno == 0 ? "there is no user \"%.100s\"" : "user \"%.100s\" can't be looked up", name);
		return 1;
	}
	(void)snprintf(number, sizeof(number), "%u", (unsigned)user->pw_uid);
	return add_word(request, number);
}

static int
make_request(struct buf *request, const struct options *o)
{
	int status = add_word(request, o->command);

	if (status == EX_OK && o->json)
		status = add_word(request, "--json");
	if (status == EX_OK && o->limit != NULL && (status = add_word(request, "--limit")) == EX_OK)
		status = add_word(request, o->limit);
	if (status == EX_OK && o->why != NULL && (status = add_word(request, "--why")) == EX_OK)
		status = add_word(request, o->why);
	for (size_t i = 0; status == EX_OK && i < o->nwords; i++)
		status = takes_user(o) ? add_user(request, o->word[i]) : add_word(request, o->word[i]);
	return status;
}

/* --- the spool ----------------------------------------------------------------- */

static bool
parse_limit(const char *text, uint64_t *out)
{
	return num_parse_u64(view_str(text), 1, REQUEST_LIMIT_MAX, out);
}

static int
queue_of_spool(struct offline *of, const struct options *o)
{
	uint64_t limit = REQUEST_LIMIT;

	(void)parse_limit(o->limit, &limit);	/* main() has seen that it is one */
	return offline_queue(of, o->json, limit);
}

static int
wrong_use(const struct options *o)
{
	bool export = strcmp(o->command, "export") == 0;

	if (export && (o->maildir != NULL) == (o->mbox != NULL))
		say("export needs one of --maildir DIR and --mbox FILE");
	else if (!export && (o->maildir != NULL || o->mbox != NULL))
		say("--maildir and --mbox are for export");
	else if (is_command(o, REQUEST_CAT) && o->nwords != 1)
		say(o->nwords == 0 ? "cat needs a message id" : "one message id at a time");
	else if (o->nwords > IDS_MAX)
		say("at most %d messages by name; without a name all are exported", IDS_MAX);
	else if (!export && !is_command(o, REQUEST_CAT) && o->nwords != 0)
		say("%s takes no message id", o->command);
	else
		return EX_OK;
	return export || o->maildir != NULL || o->mbox != NULL ? EX_USAGE : 1;
}

static int
run_on_spool(const struct options *o)
{
	spool_id *id = xcalloc(o->nwords + 1, sizeof(*id));
	struct export x = { .path = o->mbox != NULL ? o->mbox : o->maildir, .mbox = o->mbox != NULL,
		.json = o->json, .id = id, .n = o->nwords };
	struct offline of;
	int status = wrong_use(o);

	if (status == EX_OK)
		status = parse_ids(o, id);
	if (status == EX_OK)
		status = offline_open(&of, o->spool_dir);
	if (status != EX_OK) {
		free(id);
		return status;
	}
	if (strcmp(o->command, "check") == 0) {
		status = offline_check(&of, o->json);
	} else {
		offline_remark(&of);
		status = is_command(o, REQUEST_QUEUE) ? queue_of_spool(&of, o) :
		    is_command(o, REQUEST_CAT) ? offline_cat(&of, id[0]) : export_run(&of, &x);
	}
	offline_close(&of);
	free(id);
	return status;
}

/* --- the daemon, or else the spool ------------------------------------------------ */

static int
ask_daemon(const struct options *o)
{
	bool spool_will_do = is_command(o, REQUEST_QUEUE) || is_command(o, REQUEST_CAT);
	bool open_to_all = is_command(o, REQUEST_STATUS) || is_command(o, REQUEST_PORTS) ||
	    is_command(o, REQUEST_FAILOVER) || is_command(o, REQUEST_QUEUE);
	struct buf request;
	struct ask a;
	int status;

	buf_init(&request, REQUEST_MAX - 1);
	status = make_request(&request, o);
	if (status == EX_OK) {
		ask_connect(&a, o->runtime_dir, open_to_all);
		if (a.fd >= 0) {
			status = ask_run(&a, buf_view(&request), is_command(o, REQUEST_CAT));
		} else if (ask_is_nobody(&a) && spool_will_do) {
			say("no daemon answers at %s: this is read from the spool %s", a.path, o->spool_dir);
			status = run_on_spool(o);
		} else {
			status = ask_complain(&a);
		}
	}
	buf_done(&request);
	return status;
}

static int
run(struct options *o)
{
	bool spool_alone = strcmp(o->command, "check") == 0 || strcmp(o->command, "export") == 0;
	bool reads_spool = spool_alone || is_command(o, REQUEST_QUEUE) || is_command(o, REQUEST_CAT);

	if (!is_known(o->command))
		return unknown_command(o->command);
	if (o->spool != NULL && !reads_spool) {
		say("%s asks the daemon; --spool is for queue, cat, export and check", o->command);
		return EX_USAGE;
	}
	if (!spool_alone && (o->maildir != NULL || o->mbox != NULL))
		return wrong_use(o);
	if (o->spool != NULL)
		o->spool_dir = xstrdup(o->spool);
	else if (find_places(o) != EX_OK)
		return EX_CONFIG;
	return o->spool != NULL || spool_alone ? run_on_spool(o) : ask_daemon(o);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "limit", required_argument, NULL, 'l' },
		{ "why", required_argument, NULL, 'w' },
		{ "spool", required_argument, NULL, 's' },
		{ "maildir", required_argument, NULL, 'd' },
		{ "mbox", required_argument, NULL, 'm' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 }
	};
	struct options o = { .conf = NULL };
	uint64_t limit;
	int option, status;

	while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			o.conf = optarg;
			break;
		case 'j':
			o.json = true;
			break;
		case 'l':
			o.limit = optarg;
			if (parse_limit(optarg, &limit))
				break;
			say("--limit needs a number from 1 to %d", REQUEST_LIMIT_MAX);
			return EX_USAGE;
		case 'w':
			o.why = optarg;
			break;
		case 's':
			o.spool = optarg;
			break;
		case 'd':
			o.maildir = optarg;
			break;
		case 'm':
			o.mbox = optarg;
			break;
		case 'h':
			(void)fputs(usage_text, stdout);
			return EX_OK;
		case 'V':
			printf("posthousectl %s\n", PACKAGE_VERSION);
			return EX_OK;
		default:
			(void)fputs(usage_text, stderr);
			return EX_USAGE;
		}
	}
	if (optind == argc) {
		(void)fputs(usage_text, stderr);
		return EX_USAGE;
	}
	o.command = argv[optind];
	o.word = argv + optind + 1;
	o.nwords = (size_t)(argc - optind - 1);
	status = run(&o);
	free(o.runtime_dir);
	free(o.spool_dir);
	return status;
}

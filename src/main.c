/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posthoused - take a host's mail and relay it over whichever port works.
 *
 * The same binary is the supervisor and, by the name it is started with, a role.
 */
#include <fcntl.h>
#include <getopt.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/crypto.h>

#include "precheck.h"
#include "role.h"
#include "supervisor.h"

#include "base/banned.h"

#define EX_USAGE 64
#define EX_CONFIG 78

static const char usage[] =
    "usage: posthoused [-c FILE] [-t] [-d] [--dump] [--version] [--help]\n"
    "  -c FILE    read this configuration (" POSTHOUSE_CONF ")\n"
    "  -t         check the configuration, say what is wrong, and exit (0 or 78)\n"
    "  -d         log more\n"
    "  --dump     print every value in use and where it comes from, and exit\n"
    "  --version  print version and build options, and exit\n"
    "Runs in the foreground. See posthoused(8) and posthouse.conf(5).\n";

enum { OPTION_DUMP = 256, OPTION_VERSION, OPTION_HELP };

static int
print_version(void)
{
	return printf("posthoused %s\n%slibevent %s, %s, libconfig %d.%d\n", PACKAGE_VERSION,
	    BUILD_SUMMARY, event_get_version(), OpenSSL_version(OPENSSL_VERSION),
	    LIBCONFIG_VER_MAJOR, LIBCONFIG_VER_MINOR) > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
dump(const struct conf *conf, struct view text, const char *path)
{
	struct buf out;
	bool ok;

	buf_init(&out, 4u << 20);
	ok = conf_dump(&out, conf, text, path) &&
	    fwrite(buf_view(&out).p, 1, buf_len(&out), stdout) == buf_len(&out) && fflush(stdout) == 0;
	buf_done(&out);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
test_conf(const struct conf *conf, struct view text, const char *path)
{
	struct buf report;
	bool fine;

	buf_init(&report, 65536);
	fine = precheck_report(conf, text, path, &report);
	if (buf_len(&report) > 0)
		(void)fwrite(buf_view(&report).p, 1, buf_len(&report), stderr);
	if (fine)
		(void)printf("%s: fine\n", path);
	buf_done(&report);
	return fine ? EXIT_SUCCESS : EX_CONFIG;
}

static int
serve(const struct supervisor_params *params, struct conf *conf, struct buf *text)
{
	enum log_level level = params->debug || conf->debug ? LEVEL_DEBUG : LEVEL_INFO;
	struct log *log = conf->syslog ? log_new_syslog(NULL, level) : log_new_stderr(NULL, level);
	int status = supervisor_run(params, conf, text, log);

	log_free(log);
	return status;
}

/* Descriptors 0 to 2 must be there, or a socket could become standard error. */
static void
fill_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dump", no_argument, NULL, OPTION_DUMP },
		{ "version", no_argument, NULL, OPTION_VERSION },
		{ "help", no_argument, NULL, OPTION_HELP },
		{ NULL, 0, NULL, 0 }
	};
	struct supervisor_params params = { .conf_path = POSTHOUSE_CONF };
	bool only_test = false, only_dump = false;
	struct conf *conf = NULL;
	struct buf text, report;
	int option, rc, status;

	if (argc == 1 && strcmp(argv[0], "posthoused: intake") == 0)
		return role_intake_main();
	if (argc == 1 && strcmp(argv[0], "posthoused: relay") == 0)
		return role_relay_main();

	fill_standard();
	while ((option = getopt_long(argc, argv, "c:td", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			params.conf_path = optarg;
			break;
		case 't':
			only_test = true;
			break;
		case 'd':
			params.debug = true;
			break;
		case OPTION_DUMP:
			only_dump = true;
			break;
		case OPTION_VERSION:
			return print_version();
		case OPTION_HELP:
			return fputs(usage, stdout) >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
		default:
			(void)fputs(usage, stderr);
			return EX_USAGE;
		}
	}
	if (optind < argc) {
		(void)fputs(usage, stderr);
		return EX_USAGE;
	}
	buf_init(&text, CONF_TEXT_MAX);
	buf_init(&report, 1u << 20);
	rc = supervisor_read_conf(params.conf_path, &conf, &text, &report);
	if (buf_len(&report) > 0)
		(void)fwrite(buf_view(&report).p, 1, buf_len(&report), stderr);
	buf_done(&report);
	if (rc != 0)
		status = EX_CONFIG;
	else if (only_test)
		status = test_conf(conf, buf_view(&text), params.conf_path);
	else if (only_dump)
		status = dump(conf, buf_view(&text), params.conf_path);
	else
		return serve(&params, conf, &text);
	conf_free(conf);
	buf_done(&text);
	return status;
}

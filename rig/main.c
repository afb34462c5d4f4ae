#include "cmd.h"

#include "vm/relay.h"

#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct command {
	const char *name;
	const char *summary; /* NULL: for the rig itself */
	int (*run)(int argc, char **argv);
} commands[] = {
	{"list", "what there is: scenarios, targets, faults, points, moments, oracles ...",
		cmd_list},
	{"run", "run scenarios on targets and judge them", cmd_run},
	{"sweep", "cut the power at many states of the disks, one after the other", cmd_sweep},
	{"nightly", "what tests/nightly.yaml says, with a canary", cmd_nightly},
	{"show", "the story of a cell", cmd_show},
	{"diff", "two cells side by side", cmd_diff},
	{"shell", "stand inside a hang, or inside a target", cmd_shell},
	{"minimise", "the smallest scenario that still has a finding", cmd_minimise},
	{"repro", "run a finished cell again from its plan", cmd_repro},
	{"score", "the rig's own diagnosis against planted truth", cmd_score},
	{"export", "a campaign in another format", cmd_export},
	{"wire", "mail dialogues and ledger of any capture", cmd_wire},
	{"doctor", "what this host and a target can do, and what will be skipped", cmd_doctor},
	{"image", "build, list, verify and remove images", cmd_image},
	{"worker", NULL, cmd_worker},
	{"relay", NULL, cmd_relay},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *out)
{
	fputs("mailrig " MAILRIG_VERSION ": fault injection for mail stores\n\n"
	      "usage: mailrig COMMAND [ARGUMENT...]\n\n",
		out);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (commands[i].summary)
			fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fputs("\nmailrig COMMAND --help says more.\n", out);
}

int cmd_fail(int code, const struct err *err)
{
	fflush(stdout);
	fprintf(stderr, "mailrig: %s\n", err->text);
	return code;
}

int cmd_wants_help(int argc, char **argv, const char *text)
{
	bool help = argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));

	if (help)
		fputs(text, stdout);
	return help;
}

int cmd_options(int argc, char **argv, const struct option *options,
	int (*take)(void *arg, int option, const char *value, struct err *err), void *arg,
	struct err *err)
{
	int option, rc = 0;

	optind = 1;
	opterr = 0;
	while (!rc && (option = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (option == '?')
			rc = err_set(err, -EINVAL, "'%s' is not understood", argv[optind - 1]);
		else if (option == ':')
			rc = err_set(err, -EINVAL, "'%s' needs a value", argv[optind - 1]);
		else
			rc = take(arg, option, optarg, err);
	}
	return rc;
}

int cmd_misused(const char *name, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "mailrig %s: ", name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "; see mailrig %s --help\n", name);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		puts("mailrig " MAILRIG_VERSION);
		return EXIT_OK;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(commands[i].name, argv[1]))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "mailrig: no command '%s'; see mailrig --help\n", argv[1]);
	return EXIT_USAGE;
}

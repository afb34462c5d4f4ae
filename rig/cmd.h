/*
 * The subcommands. Each is a function of rig/cmd_<name>.c that gets its own arguments (argv[0] is its name)
 * and returns an exit code; only they print. main.c holds the table.
 */
#pragma once

#include "base/err.h"
#include "report/exporter.h"
#include "run/plan/plan.h"

/* DESIGN: exit codes of the program. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FINDING = 1,
	EXIT_UNTOLD = 2,  /* UNKNOWN or MISS, or every cell SKIP */
	EXIT_NOTHING = 4, /* nothing selected */
	EXIT_TROUBLE = 16,
	EXIT_USAGE = 64,
	EXIT_INTERRUPTED = 130,
};

int cmd_list(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_nightly(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_shell(int argc, char **argv);
int cmd_minimise(int argc, char **argv);
int cmd_repro(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_score(int argc, char **argv);
int cmd_image(int argc, char **argv);
int cmd_wire(int argc, char **argv);
int cmd_sweep(int argc, char **argv);
int cmd_worker(int argc, char **argv);

extern const char usage_list[], usage_run[], usage_show[], usage_repro[], usage_export[],
	usage_score[], usage_nightly[], usage_doctor[], usage_image[], usage_wire[], usage_sweep[],
	usage_diff[], usage_shell[], usage_minimise[];

/* Print "mailrig: SENTENCE" and return `code`. */
int cmd_fail(int code, const struct err *err);

/* True for -h or --help as the only argument: the usage is printed. */
int cmd_wants_help(int argc, char **argv, const char *usage);

/*
 * Hand each option (getopt_long(3), --name VALUE and --name=VALUE) to `take`: `option` is its val, `value` NULL for
 * one that takes none. 0, then the words that are no options stand behind `optind`; -EINVAL with a sentence, or what
 * `take` said.
 */
struct option;
int cmd_options(int argc, char **argv, const struct option *options,
	int (*take)(void *arg, int option, const char *value, struct err *err), void *arg,
	struct err *err);

/* "mailrig NAME: SENTENCE; see mailrig NAME --help". Returns EXIT_USAGE. */
int cmd_misused(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* What a campaign is asked for, by `run` and by `nightly`. */
struct run_options {
	const char *scenarios[1024];
	const char *targets[256];
	const char *settings[PLAN_SETTINGS_MAX + 1];
	size_t scenario_count, target_count, setting_count;
	uint64_t seed, seeds, repeat, retries, jobs;
	const char *results;
	int64_t budget_ms;
	double max_broken;
	bool until_fail, fail_on_any, dry_run, json;
	bool canary_missed; /* of a night: what was planted was not found */
};

/* Run the plans, tell of them and export them; the exit code. */
struct known_list;
int cmd_campaign(const struct run_options *options, const char *root, const struct plan_list *plans,
	const struct known_list *known);
/* tests/known.yaml; without one the list stays empty. */
int cmd_known(const char *root, struct known_list *known, struct buf *complaints);

/* What exporters take; borrows from the campaign. */
struct campaign;
struct campaign_results cmd_results(const struct campaign *campaign);

/*
 * The folder of a cell: a path, a number or a unique beginning of an id in results/latest (CELL/PART: a cell
 * inside its folder), or (NULL) the latest finding. Caller frees; NULL with err.
 */
char *cmd_cell_dir(const char *word, const char *results, struct err *err);

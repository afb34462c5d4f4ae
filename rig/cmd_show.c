#include "cmd.h"

#include "api/verdict.h"
#include "base/fs.h"
#include "base/json.h"
#include "report/story.h"
#include "run/judge.h"
#include "run/plan/plan.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define RESULTS_MAX (64u << 20)

const char usage_show[] = "usage: mailrig show [CELL] [--rejudge] [--json] [--results DIR]\n\n"
			  "The story of a cell: what was done, what went wrong, on one clock. CELL "
			  "is its folder, its number\n"
			  "in the latest campaign, or any unique beginning of its name; without it "
			  "the latest finding.\n"
			  "  --rejudge     run the laws again over the saved history first\n"
			  "  --json        the verdict as JSON\n"
			  "  --results DIR where campaigns are (default: results)\n";

/* ---- which cell ---- */

static bool is_cell(const char *dir)
{
	auto_free char *plan = path_join(dir, "plan.json");

	return fs_exists(plan);
}

static bool wanted(const json_t *cell, const char *word)
{
	const char *id = json_get_text(cell, "id", "");
	char *end;
	unsigned long number = word ? strtoul(word, &end, 10) : 0;

	if (!word)
		return !strcmp(json_get_text(cell, "verdict", ""), "FAIL");
	if (isdigit((unsigned char)*word) && !*end)
		return json_get_int(cell, "number", -1) == (int64_t)number;
	return !strncmp(id, word, strlen(word));
}

static char *search(const char *latest, const char *word, struct err *err)
{
	auto_free char *path = path_join(latest, "results.json");
	auto_json json_t *json = json_load_path(path, RESULTS_MAX, err);
	const char *found = NULL;
	const json_t *cell;
	size_t i, hits = 0;

	if (!json)
		return NULL;
	json_array_foreach (json_object_get(json, "cells"), i, cell) {
		const char *id = json_get_text(cell, "id", "");

		if (!wanted(cell, word) || !fs_name_ok(id))
			continue;
		found = id;
		hits++;
		if (word && !strcmp(id, word)) {
			hits = 1;
			break;
		}
	}
	if (!hits)
		err_set(err, -ENOENT, word ? "no cell '%s' in '%s'" : "no finding%.0s in '%s'",
			word ? word : "", latest);
	else if (hits > 1 && word)
		err_set(err, -EINVAL, "'%s' is the beginning of %zu cells; say more", word, hits);
	return hits && (hits == 1 || !word) ? path_join(latest, found) : NULL;
}

/* "5/control": a cell in the folder of another. */
static char *part_of(const char *word, const char *results, struct err *err)
{
	const char *slash = strchr(word, '/');
	auto_free char *cell = text_dup_n(word, (size_t)(slash - word));
	auto_free char *dir = fs_name_ok(slash + 1) ? cmd_cell_dir(cell, results, err) : NULL;
	char *part = dir ? path_join(dir, slash + 1) : NULL;

	if (part && is_cell(part))
		return part;
	free(part);
	if (!err->text[0])
		err_set(err, -ENOENT, "no cell '%s'", word);
	return NULL;
}

char *cmd_cell_dir(const char *word, const char *results, struct err *err)
{
	auto_free char *link = path_join(results, "latest");
	auto_free char *latest = NULL;

	if (word && is_cell(word))
		return text_dup(word);
	if (word && *word != '/' && strchr(word, '/'))
		return part_of(word, results, err);
	latest = realpath(link, NULL);
	if (!latest) {
		err_set(err, -ENOENT, "no results in '%s' yet", results);
		return NULL;
	}
	return search(latest, word, err);
}

/* ---- show ---- */

static int rejudge(const char *dir, struct err *err)
{
	struct result result = {0};
	int rc = judge_cell(dir, &result, err);

	if (!rc)
		rc = judge_save(dir, &result, err);
	result_free(&result);
	return rc;
}

static int print_json(const char *dir, struct err *err)
{
	auto_free char *path = path_join(dir, "verdict.json");
	auto_json json_t *json = json_load_path(path, RESULTS_MAX, err);

	if (!json)
		return -ENOENT;
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
	return 0;
}

/* What to do with it: the words as they can be pasted. */
static void print_next(const char *dir, const char *word, const char *results)
{
	auto_free char *verdict = path_join(dir, "verdict.json");
	auto_free char *control = path_join(dir, "control");
	auto_json json_t *json = json_load_path(verdict, RESULTS_MAX, NULL);
	auto_free char *where = strcmp(results, "results") != 0 && !(word && is_cell(word))
					? text_fmt(" --results %s", results)
					: text_dup("");
	const char *cell = word ? word : dir;
	struct result result = {0};
	const struct finding *finding =
		!json || result_from_json(json, &result, NULL) ? NULL : result_finding(&result);

	printf("\nNEXT\n  mailrig repro %s --times 20%s\n", cell, where);
	if (!strcmp(json_get_text(json, "verdict", ""), "FAIL")) {
		/* A crash has no onset to stand in: the last moment before it has the fault in force. */
		printf("  mailrig shell %s --at %s%s\n", cell,
			finding && !finding_is_hang(finding) ? "heal" : "onset", where);
		printf("  mailrig minimise %s%s\n", cell, where);
	}
	if (is_cell(control))
		printf("  mailrig diff %s %s/control%s\n", cell, cell, where);
	printf("  files: %s/\n", dir);
	result_free(&result);
}

int cmd_show(int argc, char **argv)
{
	const char *word = NULL, *results = "results";
	auto_free char *dir = NULL;
	auto_buf struct buf story = {0};
	bool again = false, json = false;
	struct err err = {0};
	int rc = 0;

	if (cmd_wants_help(argc, argv, usage_show))
		return EXIT_OK;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--rejudge"))
			again = true;
		else if (!strcmp(argv[i], "--json"))
			json = true;
		else if (!strcmp(argv[i], "--results") && i + 1 < argc)
			results = argv[++i];
		else if (argv[i][0] == '-' || word)
			return cmd_misused("show", "'%s' is not understood", argv[i]);
		else
			word = argv[i];
	}
	dir = cmd_cell_dir(word, results, &err);
	if (!dir)
		return cmd_fail(EXIT_NOTHING, &err);
	if (again)
		rc = rejudge(dir, &err);
	if (!rc)
		rc = json ? print_json(dir, &err) : story_write(dir, &story, &err);
	if (rc)
		return cmd_fail(EXIT_TROUBLE, &err);
	if (!json) {
		fputs(buf_text(&story), stdout);
		print_next(dir, word, results);
	}
	return EXIT_OK;
}

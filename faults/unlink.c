/*
 * Files are removed behind the store's back: the very file that another step holds at a parked call, or all that a
 * path of the target names. It cannot be healed: what was removed is gone, which is the point.
 */
#include "api/call_rule.h"

#include <string.h>

#define LIST_MS 30000
#define LOOK_MS 10000

static const struct fault_param params[] = {
	{"path", false,
		"what: a path name of the target, or a glob (default: the file of the parked "
		"call)"},
	{"user", false, "whose (default: anybody's)"},
	{0},
};

/* It becomes part of a shell line. */
static bool is_plain(const char *glob)
{
	return !glob[strspn(glob, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "_./*?+@,=:{}-")];
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	if (!step->path && step->trigger.kind != TRIGGER_WHILE)
		return err_set(err, -EINVAL,
			"'unlink' needs 'while:' a park step, whose file it removes, or 'path'");
	if (!step->path)
		return 0;
	if (!is_plain(step->path))
		return err_set(
			err, -EINVAL, "'path: %s' has a character that is no file's", step->path);
	if (step->path[0] != '/' && !target_paths(target, step->path))
		return err_set(err, -ENOTSUP, "no path '%s'", step->path);
	return 0;
}

static bool is_gone(struct fault_run *run, const char *path)
{
	auto_free char *file = text_fmt("RIG_FILE=%s", path);
	const char *const vars[] = {file, NULL};
	struct command_result result = {0};
	int rc = run->bed->ops->run(
		run->bed, "[ ! -e \"$RIG_FILE\" ]", vars, LOOK_MS, false, &result, NULL);

	buf_free(&result.output);
	return !rc && !result.timed_out && result.status == 0;
}

/* What has gone by itself meanwhile is no trouble, and nothing that was removed. */
static int remove_file(struct fault_run *run, const char *path, struct err *err)
{
	const struct deletion deletion = {.file = path};
	int rc = run->remove(run->arg, &deletion, &run->fired, err);

	return rc == -EREMOTEIO && is_gone(run, path) ? 0 : rc;
}

static int remove_held(struct fault_run *run, struct err *err)
{
	struct call_status status;
	int rc;

	if (!run->held)
		return err_set(err, -EINVAL, "'unlink' holds on to no parked call");
	rc = run->bed->ops->call_status(run->bed, run->held->slot, &status, err);
	if (rc)
		return rc;
	if (!status.parked || status.path[0] != '/')
		return err_set(err, -ENOENT, "no call is parked on a file");
	return remove_file(run, status.path, err);
}

static int list_files(struct fault_run *run, struct buf *ret, struct err *err)
{
	struct buf line auto_buf = {0};
	struct command_result result = {0};
	char *globs[CALL_GLOBS_MAX];
	size_t count = call_rule_globs(run, globs);
	int rc;

	buf_add_str(&line, "for f in");
	for (size_t i = 0; i < count; i++) {
		if (is_plain(globs[i]))
			buf_addf(&line, " %s", globs[i]);
		free(globs[i]);
	}
	buf_add_str(&line, "; do [ -d \"$f\" ] || [ ! -e \"$f\" ] || echo \"$f\"; done");
	rc = run->bed->ops->run(run->bed, buf_text(&line), NULL, LIST_MS, false, &result, err);
	if (!rc && result.timed_out)
		rc = err_set(err, -ETIMEDOUT, "the files to unlink could not be listed");
	if (!rc)
		buf_add(ret, buf_text(&result.output), result.output.len);
	buf_free(&result.output);
	return rc;
}

static int remove_all(struct fault_run *run, struct err *err)
{
	struct buf list auto_buf = {0};
	char *text, *save = NULL;
	int rc = list_files(run, &list, err);

	text = buf_steal(&list);
	for (char *file = strtok_r(text, "\n", &save); file && !rc;
		file = strtok_r(NULL, "\n", &save))
		rc = remove_file(run, file, err);
	free(text);
	return rc;
}

static int fire(struct fault_run *run, struct err *err)
{
	return run->step->path ? remove_all(run, err) : remove_held(run, err);
}

const struct fault fault_unlink = {
	.name = "unlink",
	.summary = "files are removed: the one a parked call is about to use, or all of a path",
	.family = FAMILY_CONCURRENT_DELETE,
	.is = FAULT_REMOVES,
	.needs = "while: a park step, or path",
	.params = params,
	.check = check,
	.fire = fire,
	.instant = true,
	.poll = fault_nothing,
	.heal = fault_nothing,
};

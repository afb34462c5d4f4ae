#include "api/store_command.h"

#include <string.h>

#define COMMAND_MS 60000

static int run_line(struct fault_run *run, const char *line, const char *what,
	struct command_result *ret, struct err *err)
{
	int rc = run->bed->ops->run(run->bed, line, NULL, COMMAND_MS, true, ret, err);

	if (!rc && ret->timed_out)
		rc = err_set(err, -ETIMEDOUT, "'%s' did not end", what);
	else if (!rc && ret->status)
		rc = err_set(err, -EIO, "'%s' ended with %d", what, ret->status);
	return rc;
}

int store_command_check(const struct target *target, const char *const *names, struct err *err)
{
	for (; *names; names++)
		if (!target_command(target, *names))
			return err_set(err, -ENOTSUP, "no %s", *names);
	return 0;
}

int store_command(struct fault_run *run, const char *line, const char *what, struct err *err)
{
	struct command_result result = {0};
	int rc = run_line(run, line, what, &result, err);

	buf_free(&result.output);
	return rc;
}

/* A line is ID STATE RECIPIENT...; one without a blank has no state, whatever the next one has. */
static bool has_state(const char *line, const char *state)
{
	const char *word = line + strcspn(line, " \n");
	size_t len = strlen(state);

	return *word == ' ' && !strncmp(word + 1, state, len) && strchr(" \n", word[1 + len]);
}

uint64_t store_count_state(const char *listing, const char *state)
{
	uint64_t count = 0;

	for (const char *at = listing; *at;) {
		const char *end = strchr(at, '\n');

		count += has_state(at, state);
		at = end ? end + 1 : at + strlen(at);
	}
	return count;
}

int store_queued(struct fault_run *run, const char *state, uint64_t *ret, struct err *err)
{
	const char *line = target_command(run->target, "queue_list");
	struct command_result result = {0};
	int rc = run_line(run, line, "queue_list", &result, err);

	*ret = rc ? 0 : store_count_state(buf_text(&result.output), state);
	buf_free(&result.output);
	return rc;
}

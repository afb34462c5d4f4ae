/*
 * Actions: what a step does once that is neither a fault nor a workload: a command of the target, with the
 * step's user in its environment. Its name in the scenario has hyphens, in target.yaml underscores.
 */
#include "run/cell/cell_core.h"

#include "base/clock.h"
#include "run/plan/actions.h"

#include <string.h>

#define ACTION_MS 60000 /* at most */

/* What an action may wait for is a fault that is not over, and then as long as a stop and a recovery may take; behind
 * another that hangs, a recovery. */
static int64_t action_ms(struct cell *cell)
{
	int64_t limit = cell->objectives.recover_ms;

	pthread_mutex_lock(&cell->lock);
	if (!cell->action_hangs)
		limit += cell->objectives.stop_ms;
	for (size_t i = 0; i < cell->step_count; i++)
		if (cell->steps[i].fault && !step_is_over(&cell->steps[i]))
			limit += cell->steps[i].step->for_ms == TIME_UNSET
					 ? ACTION_MS
					 : cell->steps[i].step->for_ms;
	pthread_mutex_unlock(&cell->lock);
	return limit < ACTION_MS ? limit : ACTION_MS;
}

static bool takes_off_line(const struct step *step)
{
	return !strcmp(step->what, "stop") || !strcmp(step->what, "dismount");
}

static bool brings_back(const struct step *step)
{
	return !strcmp(step->what, "start") || !strcmp(step->what, "mount");
}

static void run_for(struct step_run *step, const char *line, const char *user)
{
	struct cell *cell = step->cell;
	const char *box = step_param(step->step, "mailbox");
	auto_free char *env = text_fmt("RIG_USER=%s", user ? user : "");
	auto_free char *mailbox = text_fmt("RIG_MAILBOX=%s", box ? box : "");
	const char *const vars[] = {env, mailbox, NULL};
	struct command_result result = {0};
	struct err err = {0};
	enum mail_outcome outcome;
	bool starts = !strcmp(step->step->what, "start");
	uint64_t id;
	int rc;

	if (!strcmp(step->step->what, "stop")) {
		cell->stopping_ns = cell_now(cell);
		cell->stopping = true;
	}
	pthread_mutex_lock(&cell->lock);
	step->acts++;
	pthread_mutex_unlock(&cell->lock);
	id = op_begin(cell, step->step->label, step->step->what,
		json_pack("{ss ss}", "service", "action", "user", user ? user : ""));
	rc = cell->bed->ops->run(cell->bed, line, vars, action_ms(cell), true, &result, &err);
	if (starts)
		cell->stopping = false;
	pthread_mutex_lock(&cell->lock);
	cell->action_hangs |= result.timed_out;
	cell->off_line = takes_off_line(step->step) || (cell->off_line && !brings_back(step->step));
	pthread_mutex_unlock(&cell->lock);
	outcome = rc || result.timed_out ? MAIL_MAYBE : result.status ? MAIL_NO : MAIL_OK;
	if (rc)
		cell_trouble(cell, "agent-silent", "step '%s': %s", step->step->label, err.text);
	op_end(cell, id, step->step->label, step->step->what, outcome,
		json_pack("{si so}", "status", result.status, "text",
			json_text(buf_text(&result.output))));
	if (user && (!strcmp(step->step->what, "user-delete") ||
			    !strcmp(step->step->what, "mailbox-delete")))
		history_add(cell->recorder, "excused", "{ss sI ss}", "user", user, "count",
			(json_int_t)0xffffffff, "why", step->step->what);
	buf_free(&result.output);
}

void action_run(struct step_run *step)
{
	auto_free char *name = text_dup(step->step->what);
	const char *line;

	if (!strcmp(name, "look-at-files")) {
		files_step(step);
		return;
	}
	for (char *p = name; *p; p++)
		*p = *p == '-' ? '_' : *p;
	line = target_command(step->cell->target, name);
	if (!line) {
		cell_trouble(step->cell, "set-up", "the target has no command '%s'", name);
		return;
	}
	if (!step->step->users.count)
		run_for(step, line, step->step->user);
	for (size_t i = 0; i < step->step->users.count; i++)
		run_for(step, line, step->step->users.at[i]);
}

/* "move-mailbox" runs the command move_mailbox. */
static bool runs_one_of(const struct step *step, const struct text_list *commands)
{
	const struct action *action = action_find(step->what);

	return action && action->command && text_list_has(commands, action->command);
}

uint32_t actions_run(struct cell *cell, const struct text_list *commands)
{
	uint32_t acts = 0;

	pthread_mutex_lock(&cell->lock);
	for (size_t i = 0; i < cell->step_count; i++)
		if (runs_one_of(cell->steps[i].step, commands))
			acts += cell->steps[i].acts;
	pthread_mutex_unlock(&cell->lock);
	return acts;
}

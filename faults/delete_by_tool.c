/*
 * The administrator removes something with the target's own tool while somebody is at work. What was removed cannot
 * be put back: there is nothing to heal.
 */
#include "api/store_command.h"

#include <string.h>

/* `command` in a scenario has hyphens, in target.yaml underscores. */
static const struct tool {
	const char *name, *command;
	bool of_user;
} tools[] = {
	{"queue-delete", "queue_delete", false},
	{"mailbox-delete", "mailbox_delete", true},
	{"mailbox-expire", "mailbox_expire", true},
	{"user-delete", "user_delete", true},
};

static const struct fault_param params[] = {
	{"command", true,
		"of the target: queue-delete (each entry that is being delivered), mailbox-delete, "
		"mailbox-expire or user-delete"},
	{"user", false, "whose (all but queue-delete need it)"},
	{"mailbox", false, "mailbox-delete, mailbox-expire: which (default INBOX)"},
	{0},
};

static const struct tool *tool_of(const struct step *step)
{
	const char *name = step_param(step, "command");

	for (size_t i = 0; name && i < sizeof(tools) / sizeof(tools[0]); i++)
		if (!strcmp(tools[i].name, name))
			return &tools[i];
	return NULL;
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	const struct tool *tool = tool_of(step);
	const char *named = step_param(step, "command");

	if (!tool)
		return err_set(err, -EINVAL,
			"'command: %s' is none; there are: queue-delete mailbox-delete "
			"mailbox-expire user-delete",
			named ? named : "");
	if (tool->of_user && !step->user)
		return err_set(err, -EINVAL, "'command: %s' needs 'user'", tool->name);
	if (!tool->of_user && !target_command(target, "queue_list"))
		return err_set(err, -ENOTSUP, "no queue_list");
	return store_command_check(target, (const char *const[]){tool->command, NULL}, err);
}

static int fire(struct fault_run *run, struct err *err)
{
	const struct tool *tool = tool_of(run->step);
	const char *mailbox = step_param(run->step, "mailbox");
	const struct deletion deletion = {.user = tool->of_user ? run->step->user : NULL,
		.mailbox = mailbox ? mailbox : "INBOX",
		.command = tool->command};

	return run->remove(run->arg, &deletion, &run->fired, err);
}

const struct fault fault_delete_by_tool = {
	.name = "delete-by-tool",
	.summary = "the target's own tool deletes queue entries, a mailbox, its mail or a user, "
		   "meanwhile",
	.family = FAMILY_CONCURRENT_DELETE,
	.needs = "the command in target.yaml",
	.params = params,
	.check = check,
	.fire = fire,
	.instant = true,
	.poll = fault_nothing,
	.heal = fault_nothing,
};

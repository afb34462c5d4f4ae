/*
 * Part of the store stands still: the processes of a role, the whole process groups they are in, or one thread. Those
 * that live when it fires. Sockets stay open and the kernel goes on accepting and acknowledging for them, so nobody
 * sees an error.
 */
#include "api/fault.h"

#include <string.h>

static const struct fault_param params[] = {
	{"role", true, "whose processes, as the target maps it"},
	{0},
};

static enum stop_how how_of(const struct fault_run *run)
{
	if (!strcmp(run->step->what, "freeze-thread"))
		return STOP_THREAD;
	return !strcmp(run->step->what, "freeze-group") ? STOP_GROUPS : STOP_PROCESSES;
}

static int fire(struct fault_run *run, struct err *err)
{
	const char *programs[ROLE_PROGRAMS_MAX + 1];

	fault_programs(run, programs);
	return run->bed->ops->stop_processes(run->bed, programs, how_of(run), true, err);
}

/* Whoever waits for what is stopped has met it; a process that was idle anyway has not. */
static int poll_waiting(struct fault_run *run, struct err *err)
{
	const char *programs[ROLE_PROGRAMS_MAX + 1];
	struct stopped_status status = {0};
	int rc;

	fault_programs(run, programs);
	rc = run->bed->ops->stopped(run->bed, programs, &status, err);
	if (!rc)
		fault_met(run, status.waiting);
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	const char *programs[ROLE_PROGRAMS_MAX + 1];

	fault_programs(run, programs);
	return run->bed->ops->stop_processes(run->bed, programs, how_of(run), false, err);
}

#define STOP_FAULT(fault_name, text)                                                               \
	{                                                                                          \
		.name = (fault_name), .summary = (text), .family = FAMILY_FREEZE,                  \
		.is = FAULT_HALTS, .needs = "a role", .params = params, .check = fault_check_role, \
		.fire = fire, .watch = true, .poll = poll_waiting, .heal = heal,                   \
	}

/* clang-format off */
const struct fault fault_freeze_process = STOP_FAULT("freeze-process",
	"the processes of a role are stopped by a signal, and go on later");
const struct fault fault_freeze_group = STOP_FAULT("freeze-group",
	"the process groups that a role's processes are in are stopped, whatever else is in them");
const struct fault fault_freeze_thread = STOP_FAULT("freeze-thread",
	"one thread of a role, its youngest, stands still; the rest of its process runs");
/* clang-format on */

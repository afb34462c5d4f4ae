/*
 * The processes of a role are stopped by SIGSTOP, and go on by SIGCONT: those that live when it fires. Sockets
 * stay open and the kernel goes on accepting and acknowledging for them, so nobody sees an error.
 */
#include "api/fault.h"

#define PROGRAMS_MAX 64

static const struct fault_param params[] = {
	{"role", true, "whose processes, as the target maps it"},
	{0},
};

static int check(const struct step *step, const struct target *target, struct err *err)
{
	if (!target_role(target, step->role))
		return err_set(err, -ENOTSUP, "no role '%s'", step->role);
	return 0;
}

/* The programs of the role as a NULL-terminated list in `out`. */
static const char *const *programs_of(
	const struct fault_run *run, const char *out[PROGRAMS_MAX + 1])
{
	const struct role *role = target_role(run->target, run->step->role);
	size_t count = 0;

	for (; role && count < role->programs.count && count < PROGRAMS_MAX; count++)
		out[count] = role->programs.at[count];
	out[count] = NULL;
	return out;
}

static int fire(struct fault_run *run, struct err *err)
{
	const char *programs[PROGRAMS_MAX + 1];

	return run->bed->ops->stop_processes(run->bed, programs_of(run, programs), true, err);
}

/* A request that lies unread before a stopped process has met it; a process that was idle anyway has not. */
static int poll_unread(struct fault_run *run, struct err *err)
{
	const char *programs[PROGRAMS_MAX + 1];
	struct stopped_status status = {0};
	int rc = run->bed->ops->stopped(run->bed, programs_of(run, programs), &status, err);

	if (!rc && status.waiting > run->fired)
		run->fired = status.waiting;
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	const char *programs[PROGRAMS_MAX + 1];

	return run->bed->ops->stop_processes(run->bed, programs_of(run, programs), false, err);
}

const struct fault fault_freeze_process = {
	.name = "freeze-process",
	.summary = "the processes of a role are stopped by a signal, and go on later",
	.family = FAMILY_FREEZE,
	.needs = "a role whose processes serve TCP connections",
	.params = params,
	.check = check,
	.fire = fire,
	.poll = poll_unread,
	.heal = heal,
};

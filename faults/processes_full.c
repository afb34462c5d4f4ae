/*
 * The processes of a role that live when it fires can make no more processes or threads but a few, together with those
 * that they beget: real exhaustion, as opposed to an EAGAIN of the fault `errno`. The bound is the kernel's own
 * (pids.max of a cgroup), as a service manager sets it for a service (systemd.resource-control(5), TasksMax=): unlike
 * RLIMIT_NPROC it binds root too, and a store's master is root. Who lives goes on.
 */
#include "api/fault.h"

static const struct fault_param params[] = {
	{"role", true, "whose processes, as the target maps it: of the one that begets the others"},
	{"spare", false, "how many more they may still make, together (default 0)"},
	{0},
};

static int fire(struct fault_run *run, struct err *err)
{
	const char *programs[ROLE_PROGRAMS_MAX + 1];
	uint64_t spare;
	int rc = fault_spare(run->step, &spare, err);

	fault_programs(run, programs);
	return rc ? rc : run->bed->ops->bound_tasks(run->bed, programs, spare, err);
}

/* How often the kernel refused one of them. */
static int poll_met(struct fault_run *run, struct err *err)
{
	return fault_poll_count(run, run->bed->ops->tasks_met, err);
}

static int heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->bound_tasks(run->bed, NULL, 0, err);
}

const struct fault fault_processes_full = {
	.name = "processes-full",
	.summary = "a part of the store can make no more processes: fork fails",
	.family = FAMILY_ERRNO,
	.needs = "cgroup v2 with the pids controller in the guest's kernel",
	.params = params,
	.check = fault_check_spare,
	.fire = fire,
	.watch = true,
	.poll = poll_met,
	.heal = heal,
};

/*
 * The processes of a role that live when it fires can make no more processes or threads but a few, together with those
 * that they beget: real exhaustion, as opposed to an EAGAIN of the fault `errno`. The bound is the kernel's own
 * (pids.max of a cgroup), as a service manager sets it for a service (systemd.resource-control(5), TasksMax=): unlike
 * RLIMIT_NPROC it binds root too, and a store's master is root. Who lives goes on.
 */
#include "api/fault.h"
#include "base/units.h"

#define SPARE_MAX 1024

static const struct fault_param params[] = {
	{"role", true, "whose processes, as the target maps it: of the one that begets the others"},
	{"spare", false, "how many more they may still make, together (default 0)"},
	{0},
};

static int parse_spare(const struct step *step, uint64_t *ret, struct err *err)
{
	const char *text = step_param(step, "spare");

	*ret = 0;
	return text ? parse_count("spare", text, SPARE_MAX, ret, err) : 0;
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	uint64_t spare;

	if (parse_spare(step, &spare, err))
		return -EINVAL;
	if (!target_role(target, step->role))
		return err_set(err, -ENOTSUP, "no role '%s'", step->role);
	return 0;
}

static int fire(struct fault_run *run, struct err *err)
{
	const char *programs[ROLE_PROGRAMS_MAX + 1];
	uint64_t spare;
	int rc = parse_spare(run->step, &spare, err);

	role_programs(target_role(run->target, run->step->role), programs);
	return rc ? rc : run->bed->ops->bound_tasks(run->bed, programs, spare, err);
}

/* How often the kernel refused one of them. */
static int poll_met(struct fault_run *run, struct err *err)
{
	uint64_t met = 0;
	int rc = run->bed->ops->tasks_met(run->bed, &met, err);

	if (!rc)
		fault_met(run, met);
	return rc;
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
	.check = check,
	.fire = fire,
	.watch = true,
	.poll = poll_met,
	.heal = heal,
};

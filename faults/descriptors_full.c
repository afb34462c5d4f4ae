/*
 * The processes of a role that live when it fires get no more descriptors than a few beyond what they have open: real
 * exhaustion, as opposed to an EMFILE of the fault `errno`. Whatever they do to get one meets it, also calls that the
 * preload does not see; what is open stays so, and a descriptor that they close may be had again. Processes that they
 * beget have the limit with them, those that somebody else begets do not. It ends with the very limits that were found.
 *
 * `fired` are the system calls of those processes that the guest's kernel answered with EMFILE, as it counts them
 * itself. A descriptor that comes through a socket is lost without an error, and not counted.
 */
#include "api/fault.h"

static const struct fault_param params[] = {
	{"role", true, "whose processes, as the target maps it"},
	{"spare", false, "how many more each may still open (default 0)"},
	{0},
};

static int fire(struct fault_run *run, struct err *err)
{
	const char *programs[ROLE_PROGRAMS_MAX + 1];
	uint64_t spare;
	int rc = fault_spare(run->step, &spare, err);

	fault_programs(run, programs);
	return rc ? rc
		  : run->bed->ops->bound_descriptors(run->bed, run->slot, programs, spare, err);
}

static int poll_met(struct fault_run *run, struct err *err)
{
	uint64_t met = 0;
	int rc = run->bed->ops->descriptors_met(run->bed, run->slot, &met, err);

	if (!rc)
		fault_met(run, met);
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->bound_descriptors(run->bed, run->slot, NULL, 0, err);
}

const struct fault fault_descriptors_full = {
	.name = "descriptors-full",
	.summary = "there is no more descriptor for a part of the store: files, sockets, pipes",
	.family = FAMILY_ERRNO,
	.needs = "tracepoints of system calls in the guest's kernel",
	.params = params,
	.check = fault_check_spare,
	.fire = fire,
	.watch = true,
	.poll = poll_met,
	.heal = heal,
};

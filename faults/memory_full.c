/*
 * The processes of a role that live when it fires get no more memory than a little beyond what they have: real
 * exhaustion, as opposed to an ENOMEM of the fault `errno`. The kernel takes back what it can and ends by SIGKILL who
 * needs more, as it does in a container with such a limit.
 */
#include "api/fault.h"
#include "base/units.h"

#define MORE_BYTES (256u << 10)

static const struct fault_param params[] = {
	{"role", true, "whose processes, as the target maps it"},
	{"more", false, "how much they may still take, together (default 256KiB)"},
	{0},
};

static int parse_more(const struct step *step, uint64_t *ret, struct err *err)
{
	const char *text = step_param(step, "more");

	*ret = MORE_BYTES;
	return text ? parse_size_bytes("more", text, ret, err) : 0;
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	uint64_t more;

	return parse_more(step, &more, err) ? -EINVAL : fault_check_role(step, target, err);
}

static int fire(struct fault_run *run, struct err *err)
{
	const char *programs[ROLE_PROGRAMS_MAX + 1];
	uint64_t more;
	int rc = parse_more(run->step, &more, err);

	fault_programs(run, programs);
	return rc ? rc : run->bed->ops->bound_memory(run->bed, programs, more, err);
}

/* How often one of them wanted more than there was. */
static int poll_met(struct fault_run *run, struct err *err)
{
	return fault_poll_count(run, run->bed->ops->memory_met, err);
}

static int heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->bound_memory(run->bed, NULL, 0, err);
}

const struct fault fault_memory_full = {
	.name = "memory-full",
	.summary = "there is no more memory for a part of the store: the kernel ends who needs it",
	.family = FAMILY_ERRNO,
	.is = FAULT_KILLS,
	.needs = "cgroup v2 with the memory controller in the guest's kernel",
	.params = params,
	.check = check,
	.fire = fire,
	.watch = true,
	.poll = poll_met,
	.heal = heal,
};

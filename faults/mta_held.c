/*
 * The administrator puts all that is queued on hold, and releases it later. What arrives in between is not held,
 * as it would not be on a real store.
 */
#include "api/store_command.h"

static int check(const struct step *step, const struct target *target, struct err *err)
{
	static const char *const needed[] = {"queue_hold", "queue_release", "queue_list", NULL};

	(void)step;
	return store_command_check(target, needed, err);
}

/* Entries that the queue itself says are on hold. */
static int poll_held(struct fault_run *run, struct err *err)
{
	uint64_t held = 0;
	int rc = store_queued(run, "hold", &held, err);

	if (!rc && held > run->fired)
		run->fired = held;
	return rc;
}

static int fire(struct fault_run *run, struct err *err)
{
	int rc = store_command(run, target_command(run->target, "queue_hold"), "queue_hold", err);

	return rc ? rc : poll_held(run, err);
}

static int heal(struct fault_run *run, struct err *err)
{
	uint64_t held = 0;
	int rc = store_command(
		run, target_command(run->target, "queue_release"), "queue_release", err);

	if (!rc)
		rc = store_queued(run, "hold", &held, err);
	if (!rc && held)
		rc = err_set(
			err, -EBUSY, "%llu messages are still on hold", (unsigned long long)held);
	return rc;
}

const struct fault fault_mta_held = {
	.name = "mta-held",
	.summary = "what is in the queue is put on hold, and released",
	.family = FAMILY_DISABLED_MTA,
	.is = FAULT_DELIVERY,
	.needs = "commands queue_hold, queue_release and queue_list",
	.check = check,
	.fire = fire,
	.poll = poll_held,
	.heal = heal,
};

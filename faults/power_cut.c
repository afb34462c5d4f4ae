/*
 * The power is cut: the machine ends between two instructions, and boots again from its disks alone. `model` says
 * what the disks hold then. With a trigger `when: smtp/reply` and the like the disks are those of the instant at
 * which the reply was seen on the wire. The heal is the power's return; the store is then started by its own
 * `start`, as after any boot.
 */
#include "api/fault.h"

#include <stdio.h>

static const struct fault_param params[] = {
	{"model", true,
		"what is on the disks afterwards: guest-dies (all writes), cache-lost (what was "
		"flushed), "
		"any-prefix, any-subset (of what was not, by the seed)"},
	{0},
};

static int check(const struct step *step, const struct target *target, struct err *err)
{
	const char *model = step_param(step, "model");

	(void)target;
	if (!model || power_model_from_name(model) < 0)
		return err_set(err, -EINVAL,
			"'model: %s' is none; there are: guest-dies cache-lost any-prefix "
			"any-subset",
			model ? model : "");
	return 0;
}

static int fire(struct fault_run *run, struct err *err)
{
	const struct power_cut cut = {
		.model = (enum power_model)power_model_from_name(step_param(run->step, "model")),
		.at_ns = run->due_ns,
		.seed = run->seed,
	};
	int rc = run->bed->ops->cut_power(run->bed, &cut, &run->at_ns, err);

	run->fired = run->fired || !rc;
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	struct power_loss loss = {0};
	int rc = run->bed->ops->restore_power(run->bed, &loss, err);

	if (!rc && run->fired)
		snprintf(run->text, sizeof(run->text),
			"%s: %llu of %llu writes lost, %llu flushes; booted in %.1f s",
			step_param(run->step, "model"), (unsigned long long)loss.lost,
			(unsigned long long)loss.writes, (unsigned long long)loss.flushes,
			loss.boot_s);
	return rc;
}

const struct fault fault_power_cut = {
	.name = "power-cut",
	.summary = "the power is cut, and the machine boots again from its disks alone",
	.family = FAMILY_POWER,
	.is = FAULT_CUTS_POWER,
	.needs = "nothing",
	.params = params,
	.check = check,
	.fire = fire,
	.instant = true,
	.darkens = true,
	.poll = fault_nothing,
	.heal = heal,
};

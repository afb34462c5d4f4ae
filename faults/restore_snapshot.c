/*
 * A snapshot of the data disks is put back while clients hold what they were told since: UIDs, UIDNEXT,
 * mod-sequences. Fired, it takes the snapshot, with the file systems frozen for the instant, and everybody goes on;
 * healed, the machine ends, its data disks are what they were at the snapshot, the system's disk is as it was, and it
 * boots and starts its store, after its own procedure for that, if the scenario says so. To the laws it is a power cut
 * at the instant of the snapshot: what was answered later never was.
 */
#include "api/store_command.h"

#include <stdio.h>
#include <string.h>

static const struct fault_param params[] = {
	{"procedure", false,
		"none (default: nobody tells the store), or own: the target's command `restored` "
		"runs before its "
		"start"},
	{0},
};

static bool by_own_procedure(const struct step *step)
{
	const char *procedure = step_param(step, "procedure");

	return procedure && !strcmp(procedure, "own");
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	static const char *const needed[] = {"restored", NULL};
	const char *procedure = step_param(step, "procedure");

	if (procedure && strcmp(procedure, "none") && strcmp(procedure, "own"))
		return err_set(err, -EINVAL, "'procedure: %s' is neither none nor own", procedure);
	if (!target->disk_count)
		return err_set(err, -ENOTSUP, "no data disk");
	return by_own_procedure(step) ? store_command_check(target, needed, err) : 0;
}

static int fire(struct fault_run *run, struct err *err)
{
	int rc;

	if (!bed_has(run->bed, save_disks))
		return err_set(err, -ENOTSUP, "this bed takes no snapshots");
	rc = run->dirty ? 0 : run->bed->ops->save_disks(run->bed, &run->at_ns, err);
	run->dirty = !rc;
	run->fired = run->fired || !rc;
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	const struct power_cut cut = {
		.model = POWER_GUEST_DIES, .at_ns = INT64_MAX, .seed = run->seed, .put_back = true};
	struct power_loss loss = {0};
	int64_t at_ns;
	int rc;

	if (!run->dirty)
		return 0;
	rc = run->bed->ops->cut_power(run->bed, &cut, &at_ns, err);
	if (!rc)
		rc = run->bed->ops->restore_power(run->bed, &loss, err);
	if (!rc && by_own_procedure(run->step))
		rc = store_command(run, target_command(run->target, "restored"), "restored", err);
	run->dirty = rc != 0;
	if (!rc)
		snprintf(run->text, sizeof(run->text), "put back; booted in %.1f s", loss.boot_s);
	return rc;
}

const struct fault fault_restore_snapshot = {
	.name = "restore-snapshot",
	.summary = "the data disks are put back to what they were when it began",
	.family = FAMILY_FREEZE,
	.is = FAULT_CUTS_POWER,
	.needs = "the QEMU guest agent, a data disk",
	.params = params,
	.check = check,
	.fire = fire,
	.darkens_late = true,
	.poll = fault_nothing,
	.heal = heal,
};

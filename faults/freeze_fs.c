/*
 * Freeze a file system as a snapshot does: the QEMU guest agent's fsfreeze, hook scripts included. Whoever
 * writes to it waits until the thaw (Linux: in __sb_start_write, uninterruptible).
 *
 * `how` has the hard cases of whoever asks for snapshots. self-heals: the guest ends the freeze by itself, as VSS does
 * after 10 s (Microsoft, VSS_E_HOLD_WRITES_TIMEOUT). half-way: the first file system is frozen, the second refuses, and
 * the first is thawed only at the heal.
 */
#include "api/fault.h"
#include "base/units.h"

#include <string.h>

#define SELF_HEAL_MS   10000
#define REFUSING_MOUNT "/proc" /* has no freeze: EOPNOTSUPP */

static const struct fault_param params[] = {
	{"path", false, "a disk of the target, by name, or system (default: all data disks)"},
	{"how", false, "once (default), self-heals or half-way"},
	{"by", false, "self-heals: after so long (default 10s)"},
	{0},
};

enum how { ONCE, SELF_HEALS, HALF_WAY };

static const char *mount_named(const struct target *target, const char *name)
{
	if (!strcmp(name, "system"))
		return "/";
	for (size_t i = 0; i < target->disk_count; i++)
		if (!strcmp(target->disks[i].name, name))
			return target->disks[i].mount;
	return NULL;
}

static int parse_how(const struct step *step, enum how *ret, int64_t *ret_ms, struct err *err)
{
	static const char *const names[] = {"once", "self-heals", "half-way"};
	const char *text = step_param(step, "how"), *by = step_param(step, "by");

	*ret = ONCE;
	*ret_ms = SELF_HEAL_MS;
	for (size_t i = 0; text && i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i]))
			*ret = (enum how)i;
	if (text && strcmp(text, names[*ret]))
		return err_set(
			err, -EINVAL, "'how: %s' is none of: once self-heals half-way", text);
	if (by && *ret != SELF_HEALS)
		return err_set(err, -EINVAL, "'by' is for 'how: self-heals' alone");
	return by ? parse_duration_ms("by", by, ret_ms, err) : 0;
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	enum how how;
	int64_t ms;
	int rc = parse_how(step, &how, &ms, err);

	if (rc)
		return rc;
	if (!target->disk_count && !step->path)
		return err_set(err, -ENOTSUP, "no data disk to freeze");
	if (step->path && !mount_named(target, step->path))
		return err_set(err, -ENOTSUP, "no disk '%s'", step->path);
	return 0;
}

/* The requestor has frozen one and is refused the next; it has yet to notice and to thaw the first. */
static int freeze_half(struct fault_run *run, const char *mount, struct err *err)
{
	struct err refused = {0};
	int rc = run->bed->ops->freeze_by_hand(run->bed, mount, 0, err);

	if (!rc &&
		run->bed->ops->freeze_by_hand(run->bed, REFUSING_MOUNT, 0, &refused) != -EREMOTEIO)
		rc = err_set(err, -EIO, "'%s' could be frozen, or the guest is silent: %s",
			REFUSING_MOUNT, refused.text);
	return rc;
}

static int fire(struct fault_run *run, struct err *err)
{
	const char *mounts[] = {NULL, NULL};
	enum how how;
	int64_t ms;
	int rc = parse_how(run->step, &how, &ms, err);

	if (run->step->path)
		mounts[0] = mount_named(run->target, run->step->path);
	if (rc)
		return rc;
	if (how == ONCE)
		return run->bed->ops->freeze(run->bed, mounts[0] ? mounts : NULL, err);
	if (how == HALF_WAY)
		return freeze_half(run, mounts[0] ? mounts[0] : run->target->disks[0].mount, err);
	if (mounts[0])
		return run->bed->ops->freeze_by_hand(run->bed, mounts[0], ms, err);
	for (size_t i = 0; i < run->target->disk_count && !rc; i++)
		rc = run->bed->ops->freeze_by_hand(run->bed, run->target->disks[i].mount, ms, err);
	return rc;
}

/* Operations that wait while tasks of the guest are stuck on the frozen file system met the freeze. */
static int poll_blocked(struct fault_run *run, struct err *err)
{
	uint32_t blocked = 0, pending;
	int rc = run->bed->ops->frozen(run->bed, &blocked, err);

	if (rc)
		return rc;
	pending = run->pending(run->arg);
	/* A task that is stuck has met it too, though no client waits: a queue's own work, a log. */
	if (blocked && blocked > pending)
		pending = blocked;
	if (blocked && pending > run->fired)
		run->fired = pending;
	return 0;
}

static int heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->thaw(run->bed, err);
}

const struct fault fault_freeze_fs = {
	.name = "freeze-fs",
	.summary = "a file system is frozen as for a snapshot: writers wait until the thaw",
	.family = FAMILY_FREEZE,
	.is = FAULT_HALTS,
	.needs = "the QEMU guest agent, a data disk",
	.params = params,
	.check = check,
	.fire = fire,
	.watch = true,
	.poll = poll_blocked,
	.heal = heal,
};

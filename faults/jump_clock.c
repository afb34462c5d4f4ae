/*
 * The wall clock of the machine jumps, and jumps back when healed, to where it would stand untouched. Timers on
 * the monotonic clock do not notice; whoever subtracts two times of day does.
 */
#include "api/fault.h"
#include "base/clock.h"
#include "base/units.h"

static const struct fault_param params[] = {
	{"by", true, "how far: 1h forward, -1h back"},
	{0},
};

static int parse_shift(const struct step *step, int64_t *ret_ns, struct err *err)
{
	const char *text = step_param(step, "by");
	bool back = text && text[0] == '-';
	int64_t ms = 0;
	int rc = text ? parse_duration_ms("by", text + back, &ms, err)
		      : err_set(err, -EINVAL, "'jump-clock' needs 'by'");

	if (!rc && !ms)
		rc = err_set(err, -EINVAL, "a 'by' of nothing is no jump");
	if (!rc)
		*ret_ns = (back ? -ms : ms) * NS_PER_MS;
	return rc;
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	int64_t shift_ns;

	(void)target;
	return parse_shift(step, &shift_ns, err);
}

/* Operations under way while the clock is off have met the jump. */
static int fire(struct fault_run *run, struct err *err)
{
	int64_t shift_ns = 0;
	int rc = parse_shift(run->step, &shift_ns, err);

	if (!rc)
		rc = run->bed->ops->shift_clock(run->bed, shift_ns, err);
	run->ahead_s = rc ? 0 : (double)shift_ns / (double)NS_PER_SEC;
	return rc ? rc : fault_poll_pending(run, err);
}

static int heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->shift_clock(run->bed, 0, err);
}

const struct fault fault_jump_clock = {
	.name = "jump-clock",
	.summary = "the wall clock jumps, and jumps back",
	.family = FAMILY_FREEZE,
	.needs = "nothing",
	.params = params,
	.check = check,
	.fire = fire,
	.poll = fault_poll_pending,
	.heal = heal,
};

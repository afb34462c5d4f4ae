/* The network is bad: what the machine sends is late, or some of it is lost. Connections stay. */
#include "api/fault.h"
#include "base/units.h"

#define DELAY_MS 200

static const struct fault_param params[] = {
	{"by", false, "how late each packet is (default 200ms; with loss: not at all)"},
	{"loss", false, "how many packets are lost: 20% (default none)"},
	{0},
};

static int parse_hurt(const struct step *step, struct link_hurt *ret, struct err *err)
{
	const char *by = step_param(step, "by"), *loss = step_param(step, "loss");
	int rc = 0;

	*ret = (struct link_hurt){0};
	if (!loss)
		ret->delay_ms = DELAY_MS;
	if (by)
		rc = parse_duration_ms("by", by, &ret->delay_ms, err);
	if (!rc && loss)
		rc = parse_percent("loss", loss, &ret->loss, err);
	if (!rc && (ret->loss > 1 || (!ret->delay_ms && ret->loss <= 0)))
		rc = err_set(err, -EINVAL, "'slow-link' hurts nothing, or more than everything");
	return rc;
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	struct link_hurt hurt;

	(void)target;
	return parse_hurt(step, &hurt, err);
}

static int fire(struct fault_run *run, struct err *err)
{
	struct link_hurt hurt;
	int rc = parse_hurt(run->step, &hurt, err);

	return rc ? rc : run->bed->ops->hurt_link(run->bed, &hurt, err);
}

static int heal(struct fault_run *run, struct err *err)
{
	static const struct link_hurt none = {0};

	return run->bed->ops->hurt_link(run->bed, &none, err);
}

/* All clients are on the far side: an operation under way has packets on this link. */
const struct fault fault_slow_link = {
	.name = "slow-link",
	.summary = "the network is bad: what the machine sends is late or lost",
	.family = FAMILY_FREEZE,
	.needs = "netem in the guest's kernel",
	.params = params,
	.check = check,
	.fire = fire,
	.watch = true,
	.poll = fault_poll_pending,
	.heal = heal,
};

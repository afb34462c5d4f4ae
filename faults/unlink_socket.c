/*
 * The socket on which an agent takes its requests is unlinked: the agent lives and nobody finds it. It makes another
 * when it is stopped and started, which is the heal.
 */
#include "api/leg.h"
#include "api/store_command.h"

static const struct fault_param params[] = {
	{"agent", true, "which: an agent of the target"},
	{0},
};

static int check(const struct step *step, const struct target *target, struct err *err)
{
	const struct agent *agent = target_agent(target, step->agent);

	if (!agent)
		return err_set(err, -ENOTSUP, "no agent '%s'", step->agent);
	if (!agent->socket)
		return err_set(err, -ENOTSUP, "agent '%s' has no socket", step->agent);
	if (!agent->stop || !agent->start)
		return err_set(
			err, -ENOTSUP, "agent '%s' cannot be stopped and started", step->agent);
	return 0;
}

/* Requests that failed or wait, and mail that was put off because of it. */
static int met_so_far(struct fault_run *run, uint64_t *ret, struct err *err)
{
	int rc = 0;

	*ret = 0;
	if (target_command(run->target, "queue_list"))
		rc = store_queued(run, "deferred", ret, err);
	*ret += leg_met(run);
	return rc;
}

static int fire(struct fault_run *run, struct err *err)
{
	const struct agent *agent = target_agent(run->target, run->step->agent);
	int rc;

	if (run->dirty)
		return 0;
	rc = met_so_far(run, &run->mark, err);
	if (!rc)
		rc = run->bed->ops->unlink(run->bed, agent->socket, err);
	run->dirty = !rc;
	return rc;
}

static int poll_met(struct fault_run *run, struct err *err)
{
	uint64_t met = 0;
	int rc = run->dirty ? met_so_far(run, &met, err) : 0;

	if (!rc && met > run->mark)
		fault_met(run, met - run->mark);
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	const struct agent *agent = target_agent(run->target, run->step->agent);
	int rc;

	if (!run->dirty)
		return 0;
	rc = store_command(run, agent->stop, "stop", err);
	if (!rc)
		rc = store_command(run, agent->start, "start", err);
	run->dirty = rc != 0;
	return rc;
}

const struct fault fault_unlink_socket = {
	.name = "unlink-socket",
	.summary = "the socket of an agent is removed: it lives, and nobody finds it",
	.family = FAMILY_CONCURRENT_DELETE,
	.needs = "an agent with socket, stop and start",
	.params = params,
	.check = check,
	.fire = fire,
	.watch = true,
	.poll = poll_met,
	.heal = heal,
};

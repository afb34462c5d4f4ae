/* An agent of the store is stopped by the target's own command, or crashes as a whole; it is started to heal. */
#include "api/leg.h"
#include "api/store_command.h"

#include <string.h>

#define COUNT_MS 60000

static const struct fault_param params[] = {
	{"agent", true, "which: an agent of the target"},
	{0},
};

static bool crashes(const struct step *step)
{
	return !strcmp(step->what, "mta-crashed");
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	const struct agent *agent = target_agent(target, step->agent);

	if (!agent)
		return err_set(err, -ENOTSUP, "no agent '%s'", step->agent);
	if (!agent->start || (crashes(step) ? !agent->crash : !agent->stop))
		return err_set(err, -ENOTSUP, "agent '%s' cannot be %s and started", step->agent,
			crashes(step) ? "crashed" : "stopped");
	return 0;
}

static int fire(struct fault_run *run, struct err *err)
{
	const struct agent *agent = target_agent(run->target, run->step->agent);
	bool crash = crashes(run->step);
	int rc;

	if (run->dirty) /* a command to stop what does not run is an error */
		return 0;
	run->dirty = true;
	rc = store_command(run, crash ? agent->crash : agent->stop, crash ? "crash" : "stop", err);
	leg_mark(run);
	return rc;
}

/* Linux, net/unix/af_unix.c, unix_seq_show(): a connection that nobody accepted has state 02 and its listener's
 * path. */
static int poll_met(struct fault_run *run, struct err *err)
{
	const struct agent *agent = target_agent(run->target, run->step->agent);
	auto_free char *line = NULL;
	struct command_result result = {0};
	uint64_t waiting;
	int rc = leg_poll(run, err);

	if (rc || !agent->socket)
		return rc;
	line = text_fmt("awk -v at='%s' '$8 == at && $6 == \"02\" { n++ } END { print n + 0 }' "
			"/proc/net/unix",
		agent->socket);
	rc = run->bed->ops->run(run->bed, line, NULL, COUNT_MS, false, &result, err);
	if (!rc && (result.timed_out || result.status))
		rc = err_set(err, -EIO, "the requests that wait for agent '%s' cannot be counted",
			run->step->agent);
	waiting = rc ? 0 : strtoull(buf_text(&result.output), NULL, 10);
	if (waiting > run->fired)
		run->fired = waiting;
	buf_free(&result.output);
	return rc;
}

static int heal(struct fault_run *run, struct err *err)
{
	int rc = run->dirty ? store_command(run, target_agent(run->target, run->step->agent)->start,
				      "start", err)
			    : 0;

	run->dirty = run->dirty && rc;
	return rc;
}

#define AGENT_FAULT(fault_name, text, wants)                                              \
	{                                                                                 \
		.name = (fault_name), .summary = (text), .family = FAMILY_DISABLED_MTA,   \
		.is = FAULT_DELIVERY, .needs = (wants), .params = params, .check = check, \
		.fire = fire, .poll = poll_met, .heal = heal,                             \
	}

/* clang-format off */
const struct fault fault_mta_disabled = AGENT_FAULT("mta-disabled",
	"an agent of the store is stopped by its own command",
	"an agent with stop and start");
const struct fault fault_mta_crashed = AGENT_FAULT("mta-crashed",
	"an agent of the store crashes as a whole, and nobody starts it again",
	"an agent with crash and start");
/* clang-format on */

/* The leg from the store to the next MTA: the server that takes its outbound mail misbehaves. */
#include "api/fault.h"
#include "base/units.h"
#include "mail/sink.h"

static const struct fault_param params[] = {
	{"mode", true,
		"refuse, not-accepting, silent, banner-late, busy (421), full (452), tls-stalls, "
		"rcpt-4yz, rcpt-5yz, "
		"data-4yz, data-5yz, drop, mute, drip or half-close"},
	{"by", false, "how late the banner, or each byte of a drip, comes (default 1s)"},
	{0},
};

/* 0: not said. */
static int parse_late(const struct step *step, int64_t *ret_ms, struct err *err)
{
	const char *by = step_param(step, "by");

	*ret_ms = 0;
	return by ? parse_duration_ms("by", by, ret_ms, err) : 0;
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	const char *mode = step_param(step, "mode");
	enum sink_mode parsed;
	int64_t late_ms;

	(void)target;
	if (!mode || sink_mode_parse(mode, &parsed) || parsed == SINK_OK)
		return err_set(err, -EINVAL, "'mode: %s' is no way to misbehave", mode ? mode : "");
	if (step_param(step, "by") && parsed != SINK_BANNER_LATE && parsed != SINK_DRIP)
		return err_set(err, -EINVAL,
			"'by' says how late a banner-late or a drip is, and '%s' is neither", mode);
	return parse_late(step, &late_ms, err);
}

static int fire(struct fault_run *run, struct err *err)
{
	int64_t late_ms;
	int rc = parse_late(run->step, &late_ms, err);

	if (rc)
		return rc;
	run->mark = run->bed->ops->sink_met(run->bed);
	return run->bed->ops->sink_set(run->bed, step_param(run->step, "mode"), late_ms, err);
}

/* Connections, commands and final dots that met the mode. */
static int poll_met(struct fault_run *run, struct err *err)
{
	uint64_t met = run->bed->ops->sink_met(run->bed);

	(void)err;
	fault_met(run, met - run->mark);
	return 0;
}

static int heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->sink_set(run->bed, sink_mode_name(SINK_OK), 0, err);
}

const struct fault fault_next_hop_fails = {
	.name = "next-hop-fails",
	.summary = "the server that takes the store's outbound mail misbehaves",
	.family = FAMILY_DISABLED_MTA,
	.needs = "a workload that sends to addresses outside, such as x@sink.rig",
	.params = params,
	.check = check,
	.fire = fire,
	.poll = poll_met,
	.heal = heal,
};

/*
 * The leg from the queue to the delivery agent misbehaves, as the rig's forwarder plays it: one table, a fault a
 * line. The agent itself is not touched. Whatever the mode, the mail is either with the agent or still with the
 * queue.
 */
#include "api/leg.h"
#include "base/units.h"

#include <string.h>

#define REPLIES_MAX 1000

#define AGENT                                                                                     \
	{                                                                                         \
		"agent", false,                                                                   \
			"the service in front of which it happens (default: the one seen: relay)" \
	}
#define HEAL                                                                                   \
	{                                                                                      \
		"heal", false,                                                                 \
			"what becomes of those that wait: late (default), reset or black-hole" \
	}

static const struct fault_param plain[] = {AGENT, {0}};
static const struct fault_param healing[] = {AGENT, HEAL, {0}};
static const struct fault_param delayed[] = {
	AGENT, {"by", false, "how late; drip: how long each byte takes (default 1s)"}, {0}};
static const struct fault_param counted[] = {
	AGENT, HEAL, {"replies", false, "that still come after the dot (default 1)"}, {0}};

static const struct {
	const char *fault;
	enum leg_mode mode;
} ways[] = {
	{"mta-refuses", LEG_REFUSE},
	{"mta-silent", LEG_SILENT},
	{"mta-closed", LEG_CLOSED},
	{"mta-not-accepting", LEG_NOT_ACCEPTING},
	{"mta-banner-late", LEG_BANNER_LATE},
	{"mta-loses-reply", LEG_DROP},
	{"mta-mute", LEG_MUTE},
	{"mta-partial-replies", LEG_PARTIAL},
	{"mta-drips", LEG_DRIP},
	{"mta-half-closes", LEG_HALF_CLOSE},
	{"mta-busy", LEG_BUSY},
	{"mta-full", LEG_FULL},
	{"mta-defers", LEG_DEFERS},
	{"mta-tls-stalls", LEG_TLS_STALLS},
};

static int parse_heal(const struct step *step, enum leg_heal *ret, struct err *err)
{
	static const char *const names[] = {"late", "reset", "black-hole"};
	const char *text = step_param(step, "heal");

	*ret = LEG_HEAL_LATE;
	for (size_t i = 0; text && i < ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]))
			continue;
		*ret = (enum leg_heal)i;
		return 0;
	}
	return text ? err_set(err, -EINVAL, "'heal: %s' is none of: late reset black-hole", text)
		    : 0;
}

static int parse_change(const struct step *step, struct leg_change *ret, struct err *err)
{
	const char *by = step_param(step, "by"), *replies = step_param(step, "replies");
	uint64_t count = 1;
	int rc;

	*ret = (struct leg_change){0};
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (!strcmp(ways[i].fault, step->what))
			ret->mode = ways[i].mode;
	rc = parse_heal(step, &ret->heal, err);
	if (!rc && by)
		rc = parse_duration_ms("by", by, &ret->delay_ms, err);
	if (!rc && replies)
		rc = parse_count("replies", replies, REPLIES_MAX, &count, err);
	ret->replies = (uint32_t)count;
	return rc;
}

static int check(const struct step *step, const struct target *target, struct err *err)
{
	struct leg_change change;
	int rc = parse_change(step, &change, err);

	return rc ? rc : leg_check(step, target, err);
}

static int fire(struct fault_run *run, struct err *err)
{
	struct leg_change change;
	int rc = parse_change(run->step, &change, err);

	return rc ? rc : leg_fire(run, &change, err);
}

static int heal(struct fault_run *run, struct err *err)
{
	enum leg_heal how;
	int rc = parse_heal(run->step, &how, err);

	return rc ? rc : leg_pass(run, how, err);
}

#define LEG_FAULT(fault_name, fault_is, fault_params, text)                                  \
	{                                                                                    \
		.name = (fault_name), .summary = (text), .family = FAMILY_DISABLED_MTA,      \
		.is = FAULT_DELIVERY | (fault_is), .needs = "a service that is seen: relay", \
		.params = (fault_params), .check = check, .fire = fire, .poll = leg_poll,    \
		.heal = heal,                                                                \
	}

/* clang-format off */
const struct fault fault_mta_refuses = LEG_FAULT("mta-refuses", 0, plain,
	"connections to the delivery agent are refused");
const struct fault fault_mta_silent = LEG_FAULT("mta-silent", FAULT_SILENT, healing,
	"the delivery agent accepts connections and says nothing");
const struct fault fault_mta_closed = LEG_FAULT("mta-closed", 0, plain,
	"nobody listens where the delivery agent should");
const struct fault fault_mta_not_accepting = LEG_FAULT("mta-not-accepting", 0, plain,
	"the delivery agent listens and accepts nothing");
const struct fault fault_mta_banner_late = LEG_FAULT("mta-banner-late", 0, delayed,
	"the banner of the delivery agent is delayed");
const struct fault fault_mta_loses_reply = LEG_FAULT("mta-loses-reply", 0, plain,
	"the delivery agent's reply to the dot is lost after the commit: the connection is reset");
const struct fault fault_mta_mute = LEG_FAULT("mta-mute", FAULT_SILENT, healing,
	"the delivery agent takes the mail and does not answer the dot");
const struct fault fault_mta_partial_replies = LEG_FAULT("mta-partial-replies", FAULT_SILENT, counted,
	"the delivery agent answers for some recipients, then it is silent");
const struct fault fault_mta_drips = LEG_FAULT("mta-drips", FAULT_DRIPS, delayed,
	"the delivery agent's reply to the dot comes byte by byte, so that no time-out catches it");
const struct fault fault_mta_half_closes = LEG_FAULT("mta-half-closes", 0, plain,
	"the delivery agent takes the mail and closes its half instead of answering the dot");
const struct fault fault_mta_busy = LEG_FAULT("mta-busy", 0, plain,
	"the delivery agent answers 421 instead of its banner");
const struct fault fault_mta_full = LEG_FAULT("mta-full", 0, plain,
	"the delivery agent's disk is full: 452 to each MAIL");
const struct fault fault_mta_defers = LEG_FAULT("mta-defers", 0, plain,
	"the delivery agent puts each mail off after the dot: 451");
const struct fault fault_mta_tls_stalls = LEG_FAULT("mta-tls-stalls", 0, plain,
	"the delivery agent takes STARTTLS, and no handshake comes");
/* clang-format on */

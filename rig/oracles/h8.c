/* H8: equal rounds leave nothing behind. */
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/json.h"

#include <math.h>
#include <string.h>

#define ROUNDS_MIN  3
#define FIGURES_MAX 64 /* of the target's own */

/* More than the first round's level by this much is still its level: `share` of it, and `more`. A leak of
 * one in every session of a dozen rounds is beyond each. */
static const struct slack {
	const char *figure;
	double share, more;
} slacks[] = {
	{"processes", 0, 4},
	{"threads", 0, 4},
	{"descriptors", 0, 16},
	{"locks", 0, 4},
	{"memory_kib", 0.1, 8192},
	{"queue", 0, 0},
};

static const struct slack own_slack = {NULL, 0, 2}; /* of a figure of the target's own */

struct pass {
	const struct history *history;
	const struct oracle_context *context;
	struct judgement *judgement;
	const struct event *first;
	const struct event *last[2]; /* of the last round: taken twice */
};

static double figure(const struct event *event, const char *name, bool own)
{
	const json_t *from = own ? json_object_get(event->data, "figures") : event->data;

	return json_get_real(from, name, NAN);
}

/* The lower of the two: what is still on its way out is no leak. */
static double at_last(const struct pass *pass, const char *name, bool own)
{
	double a = figure(pass->last[0], name, own), b;

	if (!pass->last[1])
		return a;
	b = figure(pass->last[1], name, own);
	return isnan(a) || b < a ? b : a;
}

static void judge_figure(
	const struct pass *pass, const char *name, const struct slack *slack, bool own)
{
	double first = figure(pass->first, name, own), last = at_last(pass, name, own);
	const struct event *end = pass->last[1] ? pass->last[1] : pass->last[0];
	long long rounds = json_get_int(end->data, "round", 0);
	char scope[64];

	if (isnan(first) || isnan(last))
		return;
	judgement_holds(pass->judgement);
	if (last <= first + slack->share * first + slack->more)
		return;
	if (ledger_starved(pass->history->ledger, pass->last[0]->t, end->t)) {
		judgement_cannot_tell(pass->judgement, end->line,
			"%s grew from %.0f to %.0f, but the host starved the guest", name, first,
			last);
		return;
	}
	snprintf(scope, sizeof(scope), "rounds %.40s", name);
	if (oracle_breach(pass->context, "H8", pass->judgement, scope, end->line,
		    "%s grew from %.0f after the first round to %.0f after round %lld (slack "
		    "%.0f)",
		    name, first, last, rounds, slack->share * first + slack->more))
		judgement_line(pass->judgement, pass->first->line);
}

static void judge_rounds(const struct pass *pass)
{
	const json_t *figures = json_object_get(pass->first->data, "figures");
	const char *name;
	json_t *value;
	size_t count = 0;

	for (size_t i = 0; i < sizeof(slacks) / sizeof(*slacks); i++)
		judge_figure(pass, slacks[i].figure, &slacks[i], false);
	json_object_foreach ((json_t *)figures, name, value)
		if (count++ < FIGURES_MAX && json_is_number(value))
			judge_figure(pass, name, &own_slack, true);
}

/* A level is the store's own only when nothing hurts it. */
static bool in_force(const struct ledger *ledger, double t)
{
	for (size_t i = 0; i < ledger->force_count; i++)
		if (ledger->forces[i].from <= t && !(ledger->forces[i].to < t))
			return true;
	return false;
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.history = history, .context = context, .judgement = ret};
	const struct event *before = NULL, *end = NULL;

	for (size_t i = 0; i < history->rare_count; i++) {
		const struct event *event = history->rare[i];

		if (!event_is(event, "level"))
			continue;
		if (!pass.first && json_get_int(event->data, "round", 0) == 1)
			pass.first = event;
		before = end;
		end = event;
	}
	if (!pass.first || json_get_int(end->data, "round", 0) < ROUNDS_MIN ||
		in_force(history->ledger, pass.first->t) || in_force(history->ledger, end->t))
		return;
	pass.last[0] = end;
	if (before &&
		json_get_int(before->data, "round", 0) == json_get_int(end->data, "round", 0)) {
		pass.last[0] = before;
		pass.last[1] = end;
	}
	judge_rounds(&pass);
}

const struct oracle oracle_h8 = {
	.law = "H8",
	.name = "bounded",
	.summary = "after equal rounds (connect, subscribe, drop) processes, threads, descriptors, "
		   "locks, memory, queue and registrations are where the first round left them",
	.source = "Q272274",
	.judge = judge,
};

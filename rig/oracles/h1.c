/* H1: what waited while a fault was in force comes to an end once it is healed, and every service is served again. */
#include "api/fault.h"
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/json.h"

#include <math.h>
#include <string.h>

#define ROUNDING_S 0.001 /* the rig waits just as long as the limit */

struct pass {
	const struct ledger *ledger;
	const struct oracle_context *context;
	struct judgement *judgement;
	const struct event *adjudged; /* of the hang that the faults left, or NULL */
	int64_t pending;	      /* operations in it */
};

/* The first heal at which the operation was pending, or NULL. */
static const struct ledger_force *pending_at(const struct pass *pass, const struct ledger_op *op)
{
	const struct ledger_force *first = NULL;

	for (size_t i = 0; i < pass->ledger->force_count; i++) {
		const struct ledger_force *force = &pass->ledger->forces[i];

		if (isnan(force->to) || op->begin_line >= force->to_line || op->begin >= force->to)
			continue;
		if (op->end_line && (op->end_line < force->to_line || op->end <= force->to))
			continue;
		if (!first || force->to < first->to)
			first = force;
	}
	return first;
}

/* Whoever waited for a silent agent may first use up the store's own time-out. Negative: not known. */
static double limit_s(const struct pass *pass, const struct ledger_force *force)
{
	const struct target *target = pass->context->target;
	int64_t silent_ms = target ? target->timers.agent_silent_ms : TIME_UNSET;
	double recover = (double)pass->context->objectives.recover_ms / 1000;

	if (!(force->is & FAULT_SILENT))
		return recover;
	return silent_ms > 0 ? recover + (double)silent_ms / 1000 : -1;
}

/* The rig stopped waiting before the limit: what a branch with skipped idle time saw beyond. A first answer
 * speaks for an operation only where there is no other. */
static void judge_adjudged(const struct pass *pass, const struct ledger_op *op, const char *fault,
	double waited, double limit)
{
	const char *name = ledger_text(pass->ledger, op->op), *recovery = "", *event = "";
	double answer = -1;

	if (pass->adjudged) {
		recovery = json_get_text(pass->adjudged->data, "recovery", "");
		event = json_get_text(pass->adjudged->data, "event", "");
		answer = json_get_real(pass->adjudged->data, "answer_s", -1);
	}
	if (!strcmp(recovery, "permanent") || (answer >= 0 && waited + answer > limit)) {
		if (oracle_breach(pass->context, "H1", pass->judgement, name, op->begin_line,
			    "'%s', pending when '%s' was healed, did not end within the store's "
			    "own "
			    "time-out (limit %.0f s): %s",
			    name, fault, limit, event))
			judgement_line(pass->judgement, pass->adjudged->line);
	} else if (answer >= 0 && pass->pending == 1) {
		judgement_holds(pass->judgement);
	} else {
		judgement_cannot_tell(pass->judgement, op->begin_line,
			"'%s' was still pending %.1f s after '%s' was healed, when the rig stopped "
			"waiting (limit %.1f s)",
			name, waited, fault, limit);
	}
}

static void judge_pending(
	const struct pass *pass, const struct ledger_op *op, const struct ledger_force *force)
{
	const char *name = ledger_text(pass->ledger, op->op);
	const char *fault = ledger_text(pass->ledger, force->fault);
	bool returned = op->end_line && !op->gave_up;
	double until = op->end_line ? op->end : pass->ledger->settle_t;
	double waited = ledger_free_seconds(pass->ledger, force->to, until);
	double recover = (double)pass->context->objectives.recover_ms / 1000;
	double limit = limit_s(pass, force);
	bool too_long = returned ? waited > limit : waited >= limit - ROUNDING_S;

	if (returned && waited <= recover) {
		judgement_holds(pass->judgement);
	} else if (ledger_starved(pass->ledger, force->to, until)) {
		judgement_cannot_tell(pass->judgement, op->begin_line,
			"'%s' waited %.1f s after '%s' was healed, but the host starved the guest",
			name, waited, fault);
	} else if (limit < 0) {
		judgement_cannot_tell(pass->judgement, op->begin_line,
			"'%s' waited %.1f s after '%s' was healed; the target does not say "
			"timers.agent_silent",
			name, waited, fault);
	} else if (too_long) {
		if (oracle_breach(pass->context, "H1", pass->judgement, name, op->begin_line,
			    "'%s', pending when '%s' was healed, %s %.1f s (limit %.1f s)", name,
			    fault, returned ? "ended only after" : "had not ended after", waited,
			    limit))
			judgement_line(pass->judgement, op->end_line);
	} else if (returned) {
		judgement_holds(pass->judgement);
	} else {
		judge_adjudged(pass, op, fault, waited, limit);
	}
}

/* Somebody died, or the rig killed somebody: that is what is to be told (law H5), and who ought to have started it
 * again is not known. */
static bool is_bereaved(const struct pass *pass, const struct history *history)
{
	for (size_t i = 0; i < pass->ledger->force_count; i++)
		if (pass->ledger->forces[i].is & FAULT_KILLS)
			return true;
	for (size_t i = 0; i < history->rare_count; i++)
		if (event_is(history->rare[i], "died"))
			return true;
	return false;
}

static void judge_away(const struct pass *pass, const struct history *history,
	const struct event *serving, const char *name)
{
	double took = json_get_real(serving->data, "took_s", 0);

	if (is_bereaved(pass, history) ||
		ledger_starved(pass->ledger, serving->t - took, serving->t))
		judgement_cannot_tell(pass->judgement, serving->line,
			"nobody serves '%s' any more, and why is not known", name);
	else
		oracle_breach(pass->context, "H1", pass->judgement, name, serving->line,
			"nobody serves '%s' any more, %.1f s after all faults were off", name,
			took);
}

static void judge_serving(
	const struct pass *pass, const struct history *history, const struct event *serving)
{
	const json_t *away = json_object_get(serving->data, "away");

	for (size_t i = 0; i < json_array_size(away); i++) {
		const char *name = json_string_value(json_array_get(away, i));

		judge_away(pass, history, serving, name ? name : "?");
	}
}

static void find_adjudged(const struct history *history, struct pass *pass)
{
	for (size_t i = 0; i < history->rare_count; i++) {
		const struct event *event = history->rare[i];

		if (event_is(event, "recovered"))
			pass->pending = json_get_int(event->data, "pending", 0);
		if (event_is(event, "adjudged") &&
			!strcmp(json_get_text(event->data, "name", ""), "not-recovered"))
			pass->adjudged = event;
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {.ledger = history->ledger, .context = context, .judgement = ret};

	find_adjudged(history, &pass);
	for (size_t i = 0; i < history->rare_count; i++)
		if (event_is(history->rare[i], "serving"))
			judge_serving(&pass, history, history->rare[i]);
	for (size_t i = 0; i < pass.ledger->force_count; i++)
		if (!isnan(pass.ledger->forces[i].to))
			judgement_holds(ret);
	for (size_t i = 0; i < pass.ledger->op_count; i++) {
		const struct ledger_op *op = &pass.ledger->ops[i];
		const struct ledger_force *force = pending_at(&pass, op);

		if (force && !ledger_waits_for_work(pass.ledger, op))
			judge_pending(&pass, op, force);
	}
}

const struct oracle oracle_h1 = {
	.law = "H1",
	.name = "recovery",
	.summary = "every operation pending at a thaw or heal ends within the objective `recover`, "
		   "and "
		   "every service is served again",
	.source = "RFC 5321 4.5.3.2, KB 892514",
	.judge = judge,
};

/* H3: who does not need the agent that is away is not held up, also while it is away. */
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/buf.h"

#include <math.h>
#include <string.h>

#define PERCENTILE 0.99

struct sample {
	uint32_t op; /* text of this history's ledger */
	double took;
};

struct pass {
	const struct ledger *ledger;
	const struct oracle_context *context;
	struct judgement *judgement;
	double *usual; /* by text: p99 of this operation in the baseline, NAN: not known */
	double floor_s;
};

/* ---- the baseline ---- */

static int compare(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	if (x->op != y->op)
		return x->op < y->op ? -1 : 1;
	return x->took < y->took ? -1 : x->took > y->took;
}

/* The percentile of each operation by its nearest rank. */
static void take_percentiles(struct pass *pass, struct sample *samples, size_t count)
{
	qsort(samples, count, sizeof(*samples), compare);
	for (size_t first = 0, end; first < count; first = end) {
		size_t rank;

		for (end = first; end < count && samples[end].op == samples[first].op; end++)
			;
		rank = (size_t)ceil(PERCENTILE * (double)(end - first));
		pass->usual[samples[first].op] = samples[first + (rank ? rank - 1 : 0)].took;
	}
}

static void learn(struct pass *pass, const struct ledger *baseline)
{
	struct sample *samples = mem_zero(baseline->op_count, sizeof(*samples));
	size_t count = 0;

	for (size_t i = 0; i < baseline->op_count; i++) {
		const struct ledger_op *op = &baseline->ops[i];
		const char *name = ledger_text(baseline, op->op);
		uint32_t id = intern_find(&pass->ledger->texts, name, strlen(name));

		if (op->end_line && id)
			samples[count++] = (struct sample){id, op->end - op->begin};
	}
	if (count)
		take_percentiles(pass, samples, count);
	free(samples);
}

/* ---- who needs the agent ---- */

/* The protocol of the rig's own clients; actions have none. */
static int protocol_of(const char *op)
{
	char name[8];
	size_t len = strcspn(op, "-");

	if (op[len] != '-' || len >= sizeof(name))
		return -1;
	memcpy(name, op, len);
	name[len] = '\0';
	return protocol_from_name(name);
}

/* Does any service of this protocol need the agent? */
static bool needs(const struct target *target, const struct agent *agent, int protocol)
{
	for (size_t i = 0; i < target->service_count; i++)
		if ((int)target->services[i].protocol == protocol &&
			(text_list_has(&agent->needed_by, target->services[i].name) ||
				!strcmp(agent->name, target->services[i].name)))
			return true;
	return false;
}

/* An action on the same user's mailbox shares its locks. */
static bool shares_mailbox(const struct pass *pass, const struct ledger_op *op)
{
	for (size_t i = 0; op->user && i < pass->ledger->op_count; i++) {
		const struct ledger_op *other = &pass->ledger->ops[i];

		if (other->user == op->user && other->begin <= op->begin &&
			!(other->end < op->begin) &&
			protocol_of(ledger_text(pass->ledger, other->op)) < 0)
			return true;
	}
	return false;
}

/* Another fault, of another kind, may be what holds it up. */
static bool other_fault(
	const struct pass *pass, const struct ledger_force *force, const struct ledger_op *op)
{
	double end = op->end_line ? op->end : pass->ledger->settle_t;

	for (size_t i = 0; i < pass->ledger->force_count; i++) {
		const struct ledger_force *other = &pass->ledger->forces[i];

		if (other != force && !other->agent && other->from <= end &&
			!(other->to < op->begin))
			return true;
	}
	return false;
}

/* ---- the law ---- */

static void blame(const struct pass *pass, const struct ledger_op *op,
	const struct ledger_force *force, double waited, double limit)
{
	const char *name = ledger_text(pass->ledger, op->op);
	const char *agent = ledger_text(pass->ledger, force->agent);

	if (shares_mailbox(pass, op))
		return;
	if (ledger_starved(pass->ledger, op->begin, op->begin + waited))
		judgement_cannot_tell(pass->judgement, op->begin_line,
			"'%s' took %.1f s while '%s' was away, but the host starved the guest",
			name, waited, agent);
	else if (isnan(pass->usual[op->op]))
		judgement_cannot_tell(pass->judgement, op->begin_line,
			"'%s' took %.1f s while '%s' was away, and the baseline has no such "
			"operation",
			name, waited, agent);
	else if (oracle_breach(pass->context, "H3", pass->judgement, name, op->begin_line,
			 "'%s', which does not need '%s', %s %.1f s while that was away (baseline "
			 "p99 %.3f s; limit %.1f s)",
			 name, agent, op->end_line && !op->gave_up ? "took" : "had not ended after",
			 waited, pass->usual[op->op], limit))
		judgement_line(pass->judgement, op->end_line);
}

static void judge_op(const struct pass *pass, const struct ledger_op *op,
	const struct ledger_force *force, const struct agent *agent)
{
	double end = op->end_line ? op->end : pass->ledger->settle_t;
	double from = op->begin > force->from ? op->begin : force->from;
	double usual = pass->usual[op->op], limit = pass->floor_s, waited;
	int protocol = protocol_of(ledger_text(pass->ledger, op->op));

	/* What began once it was back is for H1; what ended before is nobody's. */
	if (end <= force->from || op->begin >= force->to || protocol < 0 ||
		ledger_waits_for_work(pass->ledger, op) ||
		needs(pass->context->target, agent, protocol))
		return;
	if (!isnan(usual) && usual * pass->context->objectives.slowdown > limit)
		limit = usual * pass->context->objectives.slowdown;
	waited = end - from;
	if (waited <= limit) {
		if (op->end_line)
			judgement_holds(pass->judgement);
		return;
	}
	if (!other_fault(pass, force, op))
		blame(pass, op, force, waited, limit);
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	const struct ledger *ledger = history->ledger;
	struct pass pass = {
		.ledger = ledger,
		.context = context,
		.judgement = ret,
		.usual = mem_zero(ledger->texts.count + 1, sizeof(double)),
		.floor_s = (double)context->objectives.slowdown_floor_ms / 1000,
	};

	for (size_t i = 0; i <= ledger->texts.count; i++)
		pass.usual[i] = NAN;
	if (context->baseline)
		learn(&pass, context->baseline->ledger);
	for (size_t f = 0; context->target && f < ledger->force_count; f++) {
		const struct ledger_force *force = &ledger->forces[f];
		const struct agent *agent =
			force->agent
				? target_agent(context->target, ledger_text(ledger, force->agent))
				: NULL;

		for (size_t i = 0; agent && i < ledger->op_count; i++)
			judge_op(&pass, &ledger->ops[i], force, agent);
	}
	free(pass.usual);
}

const struct oracle oracle_h3 = {
	.law = "H3",
	.name = "bystanders",
	.summary = "what does not need the agent that is away ends within max(slowdown x its "
		   "baseline p99, slowdown_floor), also meanwhile",
	.source = "KB 924567, target.yaml: agents",
	.judge = judge,
};

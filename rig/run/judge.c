#include "run/judge.h"

#include "api/fault.h"
#include "api/ledger.h"
#include "api/oracle.h"
#include "api/symptoms.h"
#include "base/fs.h"
#include "base/json.h"
#include "diagnose/signature.h"
#include "run/drain.h"
#include "run/watch/hang.h"

#include <string.h>

struct weighing {
	const struct plan *plan;
	const char *dir;
	struct history *history, *baseline;
	uint32_t trouble_line; /* first rig trouble, 0: none */
	const char *trouble;   /* its text */
	bool interrupted;      /* by whoever runs the rig: no trouble of the rig, and no result */
	const char *late;      /* a step whose fault came too late for its moment, or NULL */
	double late_s;
	const char *unfired_why; /* "": its fault does not say */
	const char *unfired;	 /* a step whose fault met nothing, or NULL */
	const char *missed;	 /* a step that ended outside its window, or NULL */
	const char *never;	 /* a step that never began, or NULL */
	const json_t *order; /* of an order matrix, or NULL: there it counts that its sides met */
	uint64_t fired, residue;
	bool ended;
	bool never_stopped; /* so nothing was read back, and the history has no end */
	bool stayed_down;   /* after the stop the store was not ready again */
};

/* ---- what the history says about the run itself ---- */

static void weigh_fault(struct weighing *w, const json_t *data)
{
	int64_t count = json_get_int(data, "count", -1);

	if (json_get_bool(data, "too_late", false)) {
		w->late = json_get_text(data, "step", "?");
		w->late_s = json_get_real(data, "late_s", 0);
	}
	if (strcmp(json_get_text(data, "state", ""), "healed") || count < 0)
		return;
	w->fired += (uint64_t)count;
	if (!count && !w->unfired) {
		w->unfired = json_get_text(data, "step", "?");
		w->unfired_why = json_get_text(data, "text", "");
	}
}

static void weigh_trouble(struct weighing *w, const struct event *event)
{
	const char *trouble = json_get_text(event->data, "trouble", "");
	/* Frames are missed when the capture is closed; when they were lost nobody knows. */
	uint32_t line = strcmp(trouble, "capture-lost") ? event->line : 1;

	w->residue += !strcmp(trouble, "residue");
	w->interrupted |= !strcmp(trouble, "interrupted");
	/* A starved guest is no trouble of the run: the laws with an objective say so themselves. */
	if (!strcmp(trouble, "starved") || (w->trouble_line && w->trouble_line <= line))
		return;
	w->trouble_line = line;
	w->trouble = json_get_text(event->data, "text", "no text");
}

static void weigh_events(struct weighing *w)
{
	for (size_t i = 0; i < w->history->count; i++) {
		const struct event *event = &w->history->events[i];

		if (event_is(event, "fault"))
			weigh_fault(w, event->data);
		else if (event_is(event, "rig"))
			weigh_trouble(w, event);
		else if (event_is(event, "stop"))
			w->never_stopped = !json_get_bool(event->data, "ended", true);
		else if (event_is(event, "start"))
			w->stayed_down = !json_get_bool(event->data, "ready", false);
		else if (event_is(event, "order"))
			w->order = event->data;
		else if (event_is(event, "missed") && !w->missed)
			w->missed = json_get_text(event->data, "step", "?");
		else if (event_is(event, "never") && !w->never)
			w->never = json_get_text(event->data, "step", "?");
		else if (event_is(event, "phase") &&
			 !strcmp(json_get_text(event->data, "name", ""), "end"))
			w->ended = true;
	}
}

/* ---- the laws ---- */

static bool selected(const struct scenario *scenario, const char *law)
{
	for (size_t i = 0; i < scenario->oracles.count; i++)
		if (!strcmp(scenario->oracles.at[i], law))
			return true;
	return !scenario->oracles.count;
}

static void add_finding(struct weighing *w, struct result *ret, const struct oracle *oracle,
	const struct judgement *j)
{
	struct finding *finding;

	ret->findings = mem_grow(ret->findings, ret->finding_count + 1, sizeof(*ret->findings));
	finding = &ret->findings[ret->finding_count++];
	*finding = (struct finding){
		.title = text_dup(j->text),
		.laws = mem_zero(1, sizeof(char *)),
		.law_count = 1,
		.lines = mem_zero(j->line_count, sizeof(uint32_t)),
		.line_count = j->line_count,
		.baseline = w->plan->kind == PLAN_BASELINE,
	};
	finding->laws[0] = text_dup(oracle->law);
	memcpy(finding->lines, j->lines, j->line_count * sizeof(uint32_t));
	finding->suspect = w->trouble_line && j->line_count && w->trouble_line < j->lines[0];
	signature_of_law(oracle->law, w->history, j, finding->signature);
}

static json_t *law_json(const struct judgement *j)
{
	json_t *lines = json_array();

	for (size_t i = 0; i < j->line_count; i++)
		json_array_append_new(lines, json_integer(j->lines[i]));
	return json_pack("{ss so so sI sI}", "ruling", ruling_name(j->ruling), "text",
		json_text(j->text), "lines", lines, "breaches", (json_int_t)j->breaches, "excused",
		(json_int_t)j->excused);
}

/* Returns the law about which a concrete suspicion could not be settled, or NULL. */
static const char *judge_laws(struct weighing *w, struct result *ret, size_t *ret_judged)
{
	const struct scenario *scenario = w->plan->scenario;
	struct oracle_context context = {
		.target = w->plan->target,
		.objectives =
			objectives_resolve(&scenario->objectives, &w->plan->target->objectives),
		.baseline = w->baseline,
	};
	const char *unsettled = NULL;

	ret->laws = json_object();
	for (size_t i = 0; oracles[i]; i++) {
		struct judgement j;

		if (!selected(scenario, oracles[i]->law))
			continue;
		oracle_judge(oracles[i], w->history, &context, &j);
		json_object_set_new(ret->laws, oracles[i]->law, law_json(&j));
		*ret_judged += j.ruling == RULING_HOLDS || j.ruling == RULING_BROKEN;
		if (j.ruling == RULING_BROKEN)
			add_finding(w, ret, oracles[i], &j);
		if (j.ruling == RULING_CANNOT_TELL && j.line_count && !unsettled)
			unsettled = oracles[i]->law;
	}
	return unsettled;
}

/* ---- the verdict ---- */

static void decide(struct result *ret, enum verdict verdict, char *reason)
{
	free(ret->reason);
	ret->reason = reason;
	ret->verdict = verdict;
}

static const struct finding *first_firm(const struct result *ret)
{
	for (size_t i = 0; i < ret->finding_count; i++)
		if (!ret->findings[i].suspect)
			return &ret->findings[i];
	return NULL;
}

static void decide_unsettled(struct result *ret, const char *law)
{
	decide(ret, VERDICT_UNKNOWN,
		text_fmt("%s cannot be told: %s", law,
			json_get_text(json_object_get(ret->laws, law), "text", "?")));
}

static void weigh(struct weighing *w, struct result *ret)
{
	const struct finding *finding;
	size_t judged = 0;
	const char *unsettled = judge_laws(w, ret, &judged);

	hang_explain(w->plan, w->dir, w->history, ret);
	finding = first_firm(ret);
	if (finding)
		decide(ret, VERDICT_FAIL,
			text_fmt("%s: %s", finding->laws[0],
				json_get_text(json_object_get(ret->laws, finding->laws[0]), "text",
					finding->title)));
	else if (w->interrupted)
		decide(ret, VERDICT_MISS, text_dup("the run was interrupted"));
	else if (w->trouble_line)
		decide(ret, VERDICT_BROKEN, text_dup(w->trouble));
	else if (w->stayed_down)
		decide(ret, VERDICT_UNKNOWN,
			text_dup("the store was not ready again after its start: nothing was read "
				 "back"));
	else if (w->never_stopped && unsettled)
		decide_unsettled(ret, unsettled);
	else if (!w->ended)
		decide(ret, VERDICT_BROKEN, text_dup("the history ends before the cell did"));
	else if (w->late)
		decide(ret, VERDICT_UNKNOWN,
			text_fmt("the fault '%s' came %.0f ms after its moment: too late to count",
				w->late, w->late_s * 1000));
	else if (w->order && !json_get_bool(w->order, "covered", false))
		decide(ret, VERDICT_UNKNOWN,
			text_fmt("the order was not reached: %s",
				json_get_text(w->order, "why", "?")));
	else if (w->unfired && !w->order)
		decide(ret, VERDICT_UNKNOWN,
			text_fmt("the fault '%s' met nothing: fired 0%s%s", w->unfired,
				*w->unfired_why ? "; " : "", w->unfired_why));
	else if (w->never)
		decide(ret, VERDICT_UNKNOWN, text_fmt("the step '%s' never began", w->never));
	else if (w->missed)
		decide(ret, VERDICT_UNKNOWN,
			text_fmt("the step '%s' ended outside its window", w->missed));
	else if (unsettled)
		decide_unsettled(ret, unsettled);
	else if (!judged)
		decide(ret, VERDICT_UNKNOWN, text_dup("no law could be judged"));
	else
		decide(ret, VERDICT_PASS, text_dup(""));
}

/* ---- figures ---- */

static double first_line_time(const struct weighing *w, const struct finding *finding)
{
	if (!finding || !finding->line_count || finding->lines[0] > w->history->count)
		return -1;
	return w->history->events[finding->lines[0] - 1].t;
}

static int64_t milliseconds(double seconds)
{
	return (int64_t)(seconds * 1000.0 + 0.5);
}

/* A later hang is mostly a consequence of the first. */
static void measure_recovery(struct result *ret)
{
	for (size_t i = 0; i < ret->finding_count && !ret->recovery; i++) {
		const json_t *recovery = ret->findings[i].recovery;

		ret->recovery = text_dup(json_get_text(recovery, "recovery", NULL));
		ret->recovery_event = text_dup(json_get_text(recovery, "recovery_event", NULL));
		ret->recovers_after_s = json_get_int(recovery, "recovers_after_s", -1);
	}
}

static void measure(struct weighing *w, struct result *ret)
{
	double in_force = -1, broken = first_line_time(w, first_firm(ret));

	for (size_t i = 0; i < w->history->count; i++) {
		const struct event *event = &w->history->events[i];

		if (event_is(event, "fault") && in_force < 0 &&
			!strcmp(json_get_text(event->data, "state", ""), "in-force"))
			in_force = event->t;
		else if (event_is(event, "recovered"))
			ret->recover_ms = milliseconds(json_get_real(event->data, "took_s", 0));
		else if (event_is(event, "drained") && json_get_bool(event->data, "empty", false))
			ret->drain_ms = milliseconds(json_get_real(event->data, "took_s", 0));
		else if (event_is(event, "bed") && !ret->accelerator)
			ret->accelerator =
				text_dup(json_get_text(event->data, "accelerator", "none"));
	}
	measure_recovery(ret);
	if (ret->detect_ms < 0 && broken >= 0 && in_force >= 0 && broken >= in_force)
		ret->detect_ms = milliseconds(broken - in_force);
}

static json_t *order_of(const json_t *event)
{
	json_t *order = json_deep_copy(event);

	json_object_del(order, "t");
	json_object_del(order, "ev");
	return order;
}

static char *joined(const struct text_list *sentences)
{
	struct buf text = {0};

	for (size_t i = 0; i < sentences->count; i++)
		buf_addf(&text, "%s%s", i ? "; " : "", sentences->at[i]);
	return sentences->count ? buf_steal(&text) : NULL;
}

static void describe(const struct plan *plan, const char *dir, struct result *ret)
{
	*ret = (struct result){
		.id = text_dup(plan->id),
		.scenario = text_dup(plan->scenario->name),
		.target = text_dup(plan->target->name),
		.seed = plan->seed,
		.slot = plan->slot,
		.state = FINDING_NEW,
		.residue = 0,
		.detect_ms = -1,
		.recover_ms = -1,
		.drain_ms = -1,
		.wall_ms = -1,
		.recovers_after_s = -1,
		.path = text_dup(dir),
		.fallback = joined(&plan->fallback),
	};
}

static int load_histories(struct weighing *w, const char *dir, struct err *err)
{
	auto_free char *path = path_join(dir, "history.jsonl");
	auto_free char *base_dir = NULL, *base_path = NULL;
	int rc = history_load(path, &w->history, err);

	if (rc || !w->plan->baseline)
		return rc;
	base_dir = path_join(dir, w->plan->baseline);
	base_path = path_join(base_dir, "history.jsonl");
	return fs_exists(base_path) ? history_load(base_path, &w->baseline, err) : 0;
}

int judge_cell(const char *dir, struct result *ret, struct err *err)
{
	struct weighing w = {0};
	struct plan *plan = NULL;
	int rc = plan_load(dir, &plan, err);

	if (rc)
		return rc;
	w.plan = plan;
	w.dir = dir;
	text_list_free(
		&plan->target->settings); /* nothing that judges knows how the store was set */
	describe(plan, dir, ret);
	rc = load_histories(&w, dir, err);
	if (!rc) {
		weigh_events(&w);
		weigh(&w, ret);
		measure(&w, ret);
		ret->drain = drain_measure(w.history);
		ret->symptoms = ret->finding_count ? symptoms_of(w.history) : NULL;
		ret->order = w.order ? order_of(w.order) : plan_order_unreached(plan);
		ret->starved = w.history->ledger && w.history->ledger->starved_count;
		ret->fired = (int64_t)w.fired;
		ret->residue = (int64_t)w.residue;
	}
	if (rc)
		result_free(ret);
	history_free(w.history);
	history_free(w.baseline);
	plan_free(plan);
	return rc;
}

int judge_save(const char *dir, const struct result *result, struct err *err)
{
	auto_free char *path = path_join(dir, "verdict.json");
	auto_json json_t *json = result_to_json(result);

	return json_save_path(path, json, err);
}

#include "run/watch/hang.h"

#include "base/json.h"
#include "run/watch/hang_instant.h"
#include "run/rig_programs.h"

#include <math.h>
#include <string.h>

#define BEFORE_S 0.5 /* evidence so long before the event that a law names still belongs to it */

void hang_diagnose(const struct plan *plan, const char *dir, const char *name,
	const struct history *history, struct diagnosis *ret)
{
	struct explaining x = {.plan = plan, .dir = dir, .history = history};
	struct instant at = {.name = name, .t = INFINITY};

	x.healthy = hang_load(&x, "healthy", "scan.json");
	hang_diagnose_instant(&x, &at);
	*ret = at.diagnosis;
	json_decref(at.since);
	json_decref(x.healthy);
}

/* ---- which of them explains a law ---- */

static const struct event *event_at(const struct explaining *x, uint32_t line)
{
	return line && line <= x->history->count ? &x->history->events[line - 1] : NULL;
}

/* The time that the law's own lines are about. */
static void window_of(
	const struct explaining *x, const struct finding *finding, double *ret_from, double *ret_to)
{
	const struct event *first = finding->line_count ? event_at(x, finding->lines[0]) : NULL;
	const struct event *second =
		finding->line_count > 1 ? event_at(x, finding->lines[1]) : NULL;

	*ret_from = first ? first->t - BEFORE_S : -INFINITY;
	*ret_to = INFINITY;
	if (first && event_is(first, "stop"))
		*ret_from -= json_get_real(first->data, "took_s", 0);
	else if (second && event_is(second, "end"))
		*ret_to = second->t + BEFORE_S;
}

/* How well an instant explains a finding; 0: not at all. */
static int fits(const struct instant *at, const struct finding *finding, double from, double to)
{
	const struct diagnosis *d = &at->diagnosis;
	bool during = !strcmp(finding->laws[0], "H3");

	if (at->t < from || at->t > to || !d->hang_class || !d->finding || !d->culprit_count)
		return 0;
	if (at->second) /* a finding of its own, unless it is all that there is */
		return 1;
	if (!strcmp(d->hang_class, "deadlock"))
		return 3;
	return at->in_force == during ? 2 : 1;
}

static const struct instant *explanation(const struct explaining *x, const struct finding *finding)
{
	const struct instant *best = NULL;
	double from, to;
	int most = 0, fit;

	window_of(x, finding, &from, &to);
	for (size_t i = 0; i < x->count; i++) {
		fit = fits(&x->instants[i], finding, from, to);
		if (fit > most) {
			most = fit;
			best = &x->instants[i];
		}
	}
	return best;
}

/* ---- the finding ---- */

/* Between which two looks the last of those who make the hang came to stand: the first culprit alone where the
 * others only wait behind it. False: no look says. */
static bool onset_of(const struct instant *at, double ret[2])
{
	const struct diagnosis *d = &at->diagnosis;
	bool all = !strcmp(d->hang_class, "deadlock") || !strcmp(d->hang_class, "exhaustion");

	ret[0] = ret[1] = -INFINITY;
	for (size_t i = 0; i < (all ? d->culprit_count : 1); i++) {
		auto_free char *key = text_fmt("%d", d->culprits[i].tid);
		const json_t *since = json_object_get(at->since, key);
		double seen = json_number_value(json_array_get(since, 1));

		if (json_array_size(since) != 2 || seen < ret[1])
			continue;
		ret[0] = json_number_value(json_array_get(since, 0));
		ret[1] = seen;
	}
	return isfinite(ret[1]);
}

/* When the rig noticed: as the watch said, or when the evidence was taken. */
static double detected_at(const struct explaining *x, const struct instant *at)
{
	for (size_t i = 0; i < x->history->count; i++) {
		const struct event *event = &x->history->events[i];

		if (event_is(event, "suspected") &&
			!strcmp(json_get_text(event->data, "name", ""), at->name))
			return event->t;
	}
	return at->t;
}

static void set_diagnosis(struct finding *finding, const struct diagnosis *d, const char *from)
{
	finding->hang_class = d->hang_class;
	free(finding->title);
	finding->title = text_dup(d->title);
	memcpy(finding->signature, d->signature, sizeof(finding->signature));
	finding->diagnosis = diagnosis_to_json(d);
	json_object_set_new(finding->diagnosis, "from", json_text(from));
}

static void tell_times(
	const struct explaining *x, const struct instant *at, struct finding *finding)
{
	double onset[2];

	json_object_set_new(finding->diagnosis, "detected_s", json_real(detected_at(x, at)));
	if (onset_of(at, onset))
		json_object_set_new(
			finding->diagnosis, "onset_s", json_pack("[ff]", onset[0], onset[1]));
}

/* Why no evidence explains it: what the last that was taken meanwhile says. */
static char *why_not(const struct explaining *x, const struct finding *finding)
{
	const struct instant *last = NULL;
	double from, to;

	window_of(x, finding, &from, &to);
	for (size_t i = 0; i < x->count; i++)
		if (x->instants[i].t >= from && x->instants[i].t <= to)
			last = &x->instants[i];
	if (!last)
		return text_dup("no evidence was taken while it lasted");
	return text_fmt("evidence/%s: %s", last->name,
		last->diagnosis.hang_class || !last->diagnosis.unknown_count
			? last->diagnosis.title
			: last->diagnosis.unknown[0]);
}

static void explain_hang(const struct explaining *x, struct finding *finding)
{
	const struct instant *at = explanation(x, finding);

	if (!at) {
		finding->undiagnosed = why_not(x, finding);
		return;
	}
	set_diagnosis(finding, &at->diagnosis, at->name);
	tell_times(x, at, finding);
}

/* Only where the law is broken by a death: an unanswered deletion has lines of operations. */
static void explain_crash(const struct explaining *x, struct finding *finding)
{
	const struct event *first = finding->line_count ? event_at(x, finding->lines[0]) : NULL;
	auto_json json_t *died = hang_deaths(x->history, INFINITY);
	struct diagnosis diagnosis;

	if (!first || !event_is(first, "died") || !json_array_size(died))
		return;
	diagnose(
		&(struct diagnose_input){
			.died = died, .target = x->plan->target, .ours = rig_programs},
		&diagnosis);
	if (diagnosis.hang_class)
		set_diagnosis(finding, &diagnosis, "history.jsonl");
	diagnosis_free(&diagnosis);
}

/* ---- a second hang ---- */

/* A law is broken once and tells of many operations: what was told beside another hang, and has a culprit
 * of its own, is a finding of its own, by the same law. */
static void add_second(const struct explaining *x, struct result *result,
	const struct finding *first, const struct instant *at)
{
	struct finding *finding;
	struct finding second = {.suspect = first->suspect,
		.laws = mem_grow(NULL, 1, sizeof(*second.laws)),
		.law_count = 1};

	second.laws[0] = text_dup(first->laws[0]);
	second.lines = mem_grow(NULL, 1, sizeof(*second.lines));
	second.lines[second.line_count++] = at->line;
	set_diagnosis(&second, &at->diagnosis, at->name);
	tell_times(x, at, &second);
	result->findings =
		mem_grow(result->findings, result->finding_count + 1, sizeof(*result->findings));
	finding = &result->findings[result->finding_count++];
	*finding = second;
}

static void find_second(const struct explaining *x, struct result *result)
{
	for (size_t i = 0; i < x->count; i++) {
		const struct instant *at = &x->instants[i];
		const struct finding *first = NULL;

		if (!at->second || !at->diagnosis.finding || !at->diagnosis.culprit_count ||
			result_has_signature(result, at->diagnosis.signature))
			continue;
		for (size_t k = 0; k < result->finding_count && !first; k++)
			if (result->findings[k].diagnosis &&
				law_is_of_hangs(result->findings[k].laws[0]))
				first = &result->findings[k];
		if (first)
			add_second(x, result, first, at);
	}
}

/* ---- one finding for one cause ---- */

static void merge_into(struct finding *to, struct finding *from)
{
	to->laws = mem_grow(to->laws, to->law_count + from->law_count, sizeof(*to->laws));
	for (size_t i = 0; i < from->law_count; i++)
		to->laws[to->law_count++] = text_dup(from->laws[i]);
	to->lines = mem_grow(to->lines, to->line_count + from->line_count, sizeof(*to->lines));
	for (size_t i = 0; i < from->line_count && to->line_count < FINDING_LINES_MAX; i++)
		to->lines[to->line_count++] = from->lines[i];
	to->suspect &= from->suspect;
	finding_free(from);
}

static struct finding *same_cause(struct finding *findings, size_t count, const struct finding *one)
{
	for (size_t i = 0; one->diagnosis && i < count; i++)
		if (findings[i].diagnosis && !strcmp(findings[i].signature, one->signature))
			return &findings[i];
	return NULL;
}

/* What is explained comes first: the cell is called after it. */
static void merge(struct result *result)
{
	struct finding *sorted = mem_zero(result->finding_count, sizeof(*sorted)), *same;
	size_t count = 0;

	for (int explained = 1; explained >= 0; explained--)
		for (size_t i = 0; i < result->finding_count; i++) {
			struct finding *one = &result->findings[i];

			if ((one->diagnosis != NULL) != explained)
				continue;
			same = same_cause(sorted, count, one);
			if (same)
				merge_into(same, one);
			else
				sorted[count++] = *one;
		}
	free(result->findings);
	result->findings = sorted;
	result->finding_count = count;
}

/* ---- whether it ends by itself ---- */

static const struct instant *instant_named(const struct explaining *x, const char *name)
{
	for (size_t i = 0; i < x->count; i++)
		if (!strcmp(x->instants[i].name, name))
			return &x->instants[i];
	return NULL;
}

static json_t *recovery_json(const json_t *adjudged, bool in_force)
{
	json_t *json = json_pack("{ss ss sb ss}", "recovery",
		json_get_text(adjudged, "recovery", "not-judged"), "recovery_event",
		json_get_text(adjudged, "event", ""), "recovery_in_force", (int)in_force,
		"recovery_from", json_get_text(adjudged, "name", "?"));

	if (json_object_get(adjudged, "after_guest_s"))
		json_object_set(
			json, "recovers_after_s", json_object_get(adjudged, "after_guest_s"));
	if (json_object_get(adjudged, "guest_s"))
		json_object_set_new(json, "searched_s",
			json_integer((json_int_t)(json_get_real(adjudged, "guest_s", 0) + 0.5)));
	return json;
}

/* Of this hang, as it was seen when its copy was kept, or as its evidence is read now? */
static bool is_of(const json_t *adjudged, const struct instant *at, const struct finding *finding)
{
	return !strcmp(json_get_text(adjudged, "signature", ""), finding->signature) ||
	       (at && !strcmp(at->diagnosis.signature, finding->signature));
}

/* Of the copies of this hang the one in which no fault was in force says most. */
static void set_recovery(const struct explaining *x, struct finding *finding)
{
	bool in_force = true;

	for (size_t i = 0; i < x->history->count; i++) {
		const struct event *event = &x->history->events[i];
		const struct instant *at;
		bool then;

		if (!event_is(event, "adjudged"))
			continue;
		at = instant_named(x, json_get_text(event->data, "name", ""));
		then = json_get_bool(event->data, "in_force", at && at->in_force);
		if (!is_of(event->data, at, finding) || (finding->recovery && (then || !in_force)))
			continue;
		json_decref(finding->recovery);
		finding->recovery = recovery_json(event->data, then);
		in_force = then;
	}
}

/* From the first moment at which the hang may have begun: an upper bound. */
static int64_t detect_ms(const struct finding *finding)
{
	const json_t *onset = json_object_get(finding->diagnosis, "onset_s");
	double began = json_number_value(json_array_get(onset, 0));
	double detected = json_get_real(finding->diagnosis, "detected_s", -INFINITY);

	return onset && detected >= began ? (int64_t)((detected - began) * 1000 + 0.5) : -1;
}

void hang_explain(const struct plan *plan, const char *dir, const struct history *history,
	struct result *result)
{
	struct explaining *x;

	if (!result->finding_count)
		return;
	x = mem_zero(1, sizeof(*x));
	x->plan = plan;
	x->dir = dir;
	x->history = history;
	hang_instants_read(x);
	for (size_t i = 0; i < result->finding_count; i++) {
		struct finding *finding = &result->findings[i];

		if (!strcmp(finding->laws[0], "H5"))
			explain_crash(x, finding);
		if (law_is_of_hangs(finding->laws[0]) ||
			(!strcmp(finding->laws[0], "H5") && !finding->diagnosis))
			explain_hang(x, finding);
	}
	find_second(x, result);
	merge(result);
	for (size_t i = 0; i < result->finding_count; i++)
		if (result->findings[i].diagnosis)
			set_recovery(x, &result->findings[i]);
	result->detect_ms = detect_ms(&result->findings[0]);
	hang_instants_free(x);
	free(x);
}

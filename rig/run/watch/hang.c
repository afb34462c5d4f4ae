#include "run/watch/hang.h"

#include "api/ledger.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "run/rig_programs.h"

#include <math.h>
#include <signal.h>
#include <string.h>

#define SCAN_MAX     (64u << 20)
#define INSTANTS_MAX 24
#define PARKED_MAX   64
#define OWED_LIMIT \
	0.9 /* of what the cell held to be overdue: the two clocks are read one after the other */
#define STARVED_BEFORE_S 1.0
#define BEFORE_S	 0.5 /* evidence so long before the event that a law names still belongs to it */

/* Laws that a hang breaks; the others are broken by what a hang leads to. */
static const char *const hang_laws[] = {"H1", "H2", "H3", "H4", "H6", NULL};

/* Evidence of one moment, and what it means. */
struct instant {
	const char *name;
	double t;
	uint32_t line;
	bool in_force;
	struct diagnosis diagnosis;
	json_t *since;
};

struct explaining {
	const struct plan *plan;
	const char *dir;
	const struct history *history;
	json_t *healthy;
	struct instant instants[INSTANTS_MAX];
	size_t count;
};

/* ---- one instant ---- */

static json_t *load(const struct explaining *x, const char *name, const char *file)
{
	auto_free char *path = text_fmt("%s/evidence/%s/%s", x->dir, name, file);
	struct err err = {0};
	json_t *json = fs_exists(path) ? json_load_path(path, SCAN_MAX, &err) : NULL;

	if (err.text[0])
		log_line("%s", err.text);
	return json;
}

static bool is_fatal(int64_t signal)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};

	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		if (fatal[i] == signal)
			return true;
	return false;
}

/* What the core of a death says, or NULL. */
static const json_t *core_of(const struct history *history, int64_t pid)
{
	for (size_t i = 0; i < history->count; i++)
		if (event_is(&history->events[i], "core") &&
			json_get_int(history->events[i].data, "pid", -1) == pid)
			return history->events[i].data;
	return NULL;
}

static json_t *with_core(const struct history *history, json_t *died)
{
	const json_t *core = core_of(history, json_get_int(died, "pid", 0));
	json_t *copy = json_copy(died);

	if (core)
		json_object_update_missing(copy, (json_t *)core);
	return copy;
}

/* Deaths that the rig did not cause, up to that moment. */
static json_t *deaths(const struct history *history, double until)
{
	json_t *died = json_array();

	for (size_t i = 0; history && i < history->count; i++) {
		const struct event *event = &history->events[i];

		if (event_is(event, "died") && event->t <= until &&
			!json_get_bool(event->data, "by_rig", false) &&
			!json_get_bool(event->data, "oom", false) &&
			is_fatal(json_get_int(event->data, "signal", 0)))
			json_array_append_new(died, with_core(history, event->data));
	}
	return died;
}

/* What is owed on the wire, and what the rig's clients wait for; a wait for work is neither. */
static json_t *all_owed(const json_t *wire, const json_t *ops)
{
	json_t *all = json_array(), *one;
	size_t i;

	json_array_foreach ((json_t *)wire, i, one)
		if (strcasecmp(json_get_text(one, "verb", ""), "IDLE") != 0)
			json_array_append(all, one);
	json_array_foreach ((json_t *)ops, i, one)
		json_array_append(all, one);
	return all;
}

static int64_t queued_at(const struct history *history, double t)
{
	int64_t depth = 0;

	for (size_t i = 0; history && i < history->count && history->events[i].t <= t; i++)
		if (event_is(&history->events[i], "queue"))
			depth = json_get_int(history->events[i].data, "depth", 0);
	return depth;
}

static size_t read_parked(const json_t *input, int parked[PARKED_MAX])
{
	const json_t *tids = json_object_get(input, "parked");
	size_t count = json_array_size(tids);

	count = count < PARKED_MAX ? count : PARKED_MAX;
	for (size_t i = 0; i < count; i++)
		parked[i] = (int)json_integer_value(json_array_get(tids, i));
	return count;
}

/* Just now: who is late for longer is not late for that. */
static bool was_starved(const struct history *history, double t)
{
	return history && history->ledger &&
	       ledger_starved(history->ledger, t - STARVED_BEFORE_S, t);
}

static void diagnose_instant(struct explaining *x, struct instant *at)
{
	auto_json json_t *scan = load(x, at->name, "scan.json");
	auto_json json_t *earlier = load(x, at->name, "earlier.json");
	auto_json json_t *input = load(x, at->name, "input.json");
	auto_json json_t *around = load(x, at->name, "around.json");
	auto_json json_t *wire = load(x, at->name, "owed.json");
	auto_json json_t *owed = all_owed(wire, json_object_get(input, "ops"));
	auto_json json_t *died = deaths(x->history, at->t);
	int parked[PARKED_MAX];

	at->in_force = json_array_size(json_object_get(input, "in_force")) > 0;
	at->since = json_incref(json_object_get(input, "since"));
	diagnose(
		&(struct diagnose_input){
			.scan = scan,
			.earlier = earlier,
			.healthy = x->healthy,
			.owed = owed,
			.owed_limit_s = OWED_LIMIT * json_get_real(input, "owed_limit_s", 0),
			.queued = queued_at(x->history, at->t),
			.since = at->since,
			.now_s = json_get_real(input, "t", 0),
			.stopping = json_get_bool(input, "stopping", false),
			.progressed = json_get_bool(input, "progressed", false),
			.frozen = json_get_bool(scan, "frozen", false),
			.parked = parked,
			.parked_count = read_parked(input, parked),
			.died = json_array_size(died) ? died : NULL,
			.starved = was_starved(x->history, at->t),
			.dot_locks = json_object_get(around, "dot_locks"),
			.target = x->plan->target,
			.ours = rig_programs,
		},
		&at->diagnosis);
}

void hang_diagnose(const struct plan *plan, const char *dir, const char *name,
	const struct history *history, struct diagnosis *ret)
{
	struct explaining x = {.plan = plan, .dir = dir, .history = history};
	struct instant at = {.name = name, .t = INFINITY};

	x.healthy = load(&x, "healthy", "scan.json");
	diagnose_instant(&x, &at);
	*ret = at.diagnosis;
	json_decref(at.since);
	json_decref(x.healthy);
}

/* A store that is whole is no evidence of a hang. */
static bool is_of_a_hang(const char *name)
{
	return fs_name_ok(name) && strcmp(name, "healthy") != 0 && strcmp(name, "not-ready") != 0;
}

static void read_instants(struct explaining *x)
{
	x->healthy = load(x, "healthy", "scan.json");
	for (size_t i = 0; i < x->history->count && x->count < INSTANTS_MAX; i++) {
		const struct event *event = &x->history->events[i];
		const char *name;

		if (!event_is(event, "evidence"))
			continue;
		name = json_get_text(event->data, "name", "");
		if (!is_of_a_hang(name))
			continue;
		x->instants[x->count] =
			(struct instant){.name = name, .t = event->t, .line = event->line};
		diagnose_instant(x, &x->instants[x->count++]);
	}
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

static bool is_hang_law(const char *law)
{
	for (const char *const *known = hang_laws; *known; known++)
		if (!strcmp(law, *known))
			return true;
	return false;
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

static void explain_hang(const struct explaining *x, struct finding *finding)
{
	const struct instant *at = explanation(x, finding);
	double onset[2];

	if (!at)
		return;
	set_diagnosis(finding, &at->diagnosis, at->name);
	json_object_set_new(finding->diagnosis, "detected_s", json_real(detected_at(x, at)));
	if (onset_of(at, onset))
		json_object_set_new(
			finding->diagnosis, "onset_s", json_pack("[ff]", onset[0], onset[1]));
}

/* Only where the law is broken by a death: an unanswered deletion has lines of operations. */
static void explain_crash(const struct explaining *x, struct finding *finding)
{
	const struct event *first = finding->line_count ? event_at(x, finding->lines[0]) : NULL;
	auto_json json_t *died = deaths(x->history, INFINITY);
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

/* Of the copies of this hang the one in which no fault was in force says most. */
static void set_recovery(const struct explaining *x, struct finding *finding)
{
	bool in_force = true;

	for (size_t i = 0; i < x->history->count; i++) {
		const struct event *event = &x->history->events[i];
		const struct instant *at;

		if (!event_is(event, "adjudged"))
			continue;
		at = instant_named(x, json_get_text(event->data, "name", ""));
		if (!at || strcmp(at->diagnosis.signature, finding->signature) != 0 ||
			(finding->recovery && (at->in_force || !in_force)))
			continue;
		json_decref(finding->recovery);
		finding->recovery = recovery_json(event->data, at->in_force);
		in_force = at->in_force;
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
	read_instants(x);
	for (size_t i = 0; i < result->finding_count; i++) {
		struct finding *finding = &result->findings[i];

		if (!strcmp(finding->laws[0], "H5"))
			explain_crash(x, finding);
		if (is_hang_law(finding->laws[0]) ||
			(!strcmp(finding->laws[0], "H5") && !finding->diagnosis))
			explain_hang(x, finding);
	}
	merge(result);
	for (size_t i = 0; i < result->finding_count; i++)
		if (result->findings[i].diagnosis)
			set_recovery(x, &result->findings[i]);
	result->detect_ms = detect_ms(&result->findings[0]);
	for (size_t i = 0; i < x->count; i++) {
		diagnosis_free(&x->instants[i].diagnosis);
		json_decref(x->instants[i].since);
	}
	json_decref(x->healthy);
	free(x);
}

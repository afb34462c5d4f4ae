/* One cell of the score: its figures, and whether it is what the table says. */
#include "run/score/score.h"

#include "api/history.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/json.h"

#include <stdio.h>
#include <string.h>

#define RECOVERY_SLACK_S 60 /* what waited has to finish, too */

/* ---- figures ---- */

static void at_most(int64_t *most, int64_t value)
{
	*most = value > *most ? value : *most;
}

/* "... terminated unexpectedly ...; it has done this 3 time(s)", as the manager of services says it. */
static void read_log(const char *line, struct score_figures *ret)
{
	static const char mark[] = "it has done this ";
	const char *at = strstr(line, mark);
	unsigned int count;

	if (at && sscanf(at + strlen(mark), "%u time(s)", &count) == 1)
		at_most(&ret->restarts, count);
}

static void read_event(const struct event *event, struct score_figures *ret)
{
	if (event_is(event, "log"))
		read_log(json_get_text(event->data, "line", ""), ret);
	else if (event_is(event, "queue"))
		at_most(&ret->queue_depth, json_get_int(event->data, "depth", 0));
	else if (event_is(event, "stop"))
		at_most(&ret->stop_hangs, !json_get_bool(event->data, "ended", true));
}

/* From the first look at the queue after an unexpected end of a service on; without one there is nothing to say. */
static int64_t growth(const struct history *history)
{
	int64_t first = -1, most = 0;
	bool died = false;

	for (size_t i = 0; i < history->count; i++) {
		const struct event *event = &history->events[i];

		died |= event_is(event, "died") && !json_get_bool(event->data, "by_rig", false);
		if (!died || !event_is(event, "queue"))
			continue;
		at_most(&most, json_get_int(event->data, "depth", 0));
		if (first < 0)
			first = most;
	}
	return first < 0 ? SCORE_NO_FIGURE : most - first;
}

void score_figures_read(const char *dir, const struct result *result, struct score_figures *ret)
{
	auto_free char *path = path_join(dir, "history.jsonl");
	struct history *history = NULL;

	*ret = (struct score_figures){
		.recovers_after_s = result->recovers_after_s, .queue_growth = SCORE_NO_FIGURE};
	if (history_load(path, &history, NULL))
		return;
	for (size_t i = 0; i < history->count; i++)
		read_event(&history->events[i], ret);
	ret->queue_growth = growth(history);
	history_free(history);
}

static bool figures_fit(const struct score_figures *want, const struct score_figures *got)
{
	return got->restarts >= want->restarts && got->queue_depth >= want->queue_depth &&
	       got->stop_hangs >= want->stop_hangs && got->queue_growth >= want->queue_growth &&
	       (want->recovers_after_s == SCORE_NO_FIGURE ||
		       (got->recovers_after_s >= want->recovers_after_s &&
			       got->recovers_after_s <= want->recovers_after_s + RECOVERY_SLACK_S));
}

/* ---- who is named ---- */

static bool names_culprits(const struct score_expected *want, const json_t *diagnosis)
{
	const json_t *first = json_array_get(json_object_get(diagnosis, "culprits"), 0);
	json_t *culprit;
	size_t i, count = 0;

	if (want->first && !strstr(json_get_text(first, "says", ""), want->first))
		return false;
	if (!want->culprit)
		return true;
	json_array_foreach (json_object_get(diagnosis, "culprits"), i, culprit)
		count += !strcmp(json_get_text(culprit, "role", ""), want->culprit);
	return count >= want->culprits;
}

static bool names_words(const struct score_expected *want, const json_t *diagnosis)
{
	auto_free char *text = diagnosis ? json_dumps(diagnosis, JSON_COMPACT) : NULL;
	bool all = true;

	for (size_t i = 0; want->words[i]; i++)
		all = all && text && strstr(text, want->words[i]);
	return all;
}

static bool breaks(const struct result *result, const char *law)
{
	if (!law)
		return true;
	for (size_t i = 0; i < result->finding_count; i++)
		if (finding_has_law(&result->findings[i], law))
			return true;
	return false;
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : !a && !b;
}

/* What has a class is called after it, whatever other law was broken beside. */
static const struct finding *main_finding(const struct result *result)
{
	for (size_t i = 0; i < result->finding_count; i++)
		if (result->findings[i].hang_class && !result->findings[i].suspect)
			return &result->findings[i];
	return result_finding(result);
}

/* What stands in verdict.json beside the finding, or NULL. */
static const json_t *diagnosis_in(
	const json_t *json, const struct result *result, const struct finding *finding)
{
	size_t at = (size_t)(finding - result->findings);

	return json_object_get(json_array_get(json_object_get(json, "findings"), at), "diagnosis");
}

void score_compare(const struct score_row *row, const struct result *result,
	const struct score_figures *figures, struct score_found *ret)
{
	const struct score_expected *want = &row->expected;
	const struct finding *finding = main_finding(result);
	auto_json json_t *json = result_to_json(result);
	const json_t *diagnosis = finding ? diagnosis_in(json, result, finding) : NULL;

	*ret = (struct score_found){
		.verdict = result->verdict,
		.reason = text_dup(result->reason),
		.path = text_dup(result->path),
		.figures = *figures,
		.law = breaks(result, want->law),
		.culprit = names_culprits(want, diagnosis),
		.words = names_words(want, diagnosis),
	};
	if (finding) {
		ret->hang_class = text_dup(finding->hang_class);
		ret->signature = text_dup(finding->signature);
		ret->title = text_dup(finding->title);
	}
	ret->as_expected = ret->verdict == want->verdict &&
			   same_text(ret->hang_class, want->hang_class) && ret->law &&
			   ret->culprit && ret->words && figures_fit(&want->at_least, figures);
}

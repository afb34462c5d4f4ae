#include "run/score/score.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/json.h"

#include <fnmatch.h>
#include <string.h>

#define STARVED_AGAIN 3 /* a repetition that a busy host spoilt */

struct scoring {
	const struct score_request *request;
	struct score *score;
	struct plan_list plans; /* of all rows; told apart by their ids */
};

static char *row_name(const struct score_row *row)
{
	return text_fmt("%s/%s", row->id, row->variant);
}

static bool wanted(const struct score_request *request, const struct score_row *row)
{
	auto_free char *name = row_name(row);

	return !request->only || !fnmatch(request->only, name, 0);
}

/* ---- plans ---- */

static void take_plans(
	struct scoring *s, const struct score_row *row, uint32_t turn, struct plan_list *made)
{
	for (size_t i = 0; i < made->count; i++) {
		struct plan *plan = made->at[i];

		free(plan->id);
		plan->id = text_fmt("%s-%s.%u", row->id, row->variant, turn);
		s->plans.at = mem_grow(s->plans.at, s->plans.count + 1, sizeof(*s->plans.at));
		s->plans.at[s->plans.count++] = plan;
	}
	made->count = 0;
	plan_list_free(made);
}

static int plan_row(
	struct scoring *s, const struct score_row *row, struct buf *complaints, struct err *err)
{
	const struct score_request *r = s->request;
	auto_free char *file = strchr(row->scenario, '/')
				       ? text_fmt("%s/%s", r->root, row->scenario)
				       : text_dup(row->scenario);
	const char *const scenarios[] = {file, NULL}, *const targets[] = {SCORE_TARGET, NULL};
	struct plan_request request = {
		.root = r->root,
		.scenarios = scenarios,
		.targets = targets,
		.settings = row->settings,
		.seed = r->seed,
		.seeds = 1,
	};
	int rc = 0;

	for (uint32_t turn = 1; turn <= r->times && !rc; turn++) {
		struct plan_list made = {0};

		rc = plan_make(&request, &made, complaints, err);
		if (!rc)
			take_plans(s, row, turn, &made);
	}
	return rc;
}

static int plan_all(struct scoring *s, struct buf *complaints, struct err *err)
{
	struct score *score = s->score;
	int rc = 0;

	for (const struct score_row *row = score_rows; row->id && !rc; row++) {
		if (!wanted(s->request, row))
			continue;
		score->answers =
			mem_grow(score->answers, score->count + 1, sizeof(*score->answers));
		score->answers[score->count++] = (struct score_answer){.row = row};
		rc = plan_row(s, row, complaints, err);
	}
	if (!rc && !score->count)
		rc = err_set(err, -ENOENT, "no row of the score is '%s'", s->request->only);
	return rc;
}

/* ---- answers ---- */

static struct score_answer *answer_of(struct score *score, const char *id)
{
	for (size_t i = 0; i < score->count; i++) {
		const struct score_row *row = score->answers[i].row;
		auto_free char *stem = text_fmt("%s-%s.", row->id, row->variant);

		if (!strncmp(id, stem, strlen(stem)))
			return &score->answers[i];
	}
	return NULL;
}

bool score_take(struct score_answer *answer, const struct result *result,
	const struct score_figures *figures)
{
	struct score_found *found;

	if (result->verdict == VERDICT_MISS) {
		answer->missed++;
		return false;
	}
	answer->found = mem_grow(answer->found, answer->count + 1, sizeof(*answer->found));
	found = &answer->found[answer->count++];
	score_compare(answer->row, result, figures, found);
	answer->hits += found->as_expected;
	return true;
}

bool score_is_right(const struct score_answer *answer)
{
	return answer->count && answer->hits == answer->count && !answer->missed;
}

static void summarize(const struct score_answer *a, struct buf *out)
{
	if (a->count < 2 && !a->missed)
		return;
	buf_addf(out, "  %s %-22s ", a->row->id, a->row->variant);
	if (a->count)
		buf_addf(out, "%zu of %zu as expected", a->hits, a->count);
	if (a->count > 1)
		buf_add_str(out, a->alike ? ", all alike" : ", NOT all alike");
	if (a->count && a->missed)
		buf_addf(out, ", %zu not run", a->missed);
	else if (a->missed)
		buf_add_str(out, "not run");
	buf_addc(out, '\n');
}

void score_summary(const struct score *score, struct buf *out)
{
	size_t right = 0, unknown = 0;

	for (size_t i = 0; i < score->count; i++) {
		const struct score_answer *a = &score->answers[i];

		right += score_is_right(a);
		unknown += a->missed && a->hits == a->count;
		summarize(a, out);
	}
	buf_addf(out, "\n%s%zu of %zu variants as expected",
		score->interrupted ? "interrupted: " : "", right, score->count);
	if (unknown)
		buf_addf(out, ", %zu not run or not wholly", unknown);
}

static void on_cell(void *arg, const struct result *result)
{
	struct scoring *s = arg;
	struct score_answer *answer = answer_of(s->score, result->id);
	struct score_figures figures;

	if (!answer) /* a baseline that did not pass: said by the cells that need it */
		return;
	score_figures_read(result->path, result, &figures);
	if (score_take(answer, result, &figures) && s->request->say)
		s->request->say(s->request->arg, answer->row, &answer->found[answer->count - 1]);
}

static bool same(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : !a && !b;
}

static void settle(struct score *score)
{
	for (size_t i = 0; i < score->count; i++) {
		struct score_answer *answer = &score->answers[i];
		const struct score_found *first = answer->found;

		answer->alike = answer->count > 0;
		for (size_t k = 1; k < answer->count; k++)
			answer->alike = answer->alike &&
					answer->found[k].verdict == first->verdict &&
					same(answer->found[k].hang_class, first->hang_class) &&
					same(answer->found[k].signature, first->signature);
	}
}

int score_run(const struct score_request *request, struct score *ret, struct buf *complaints,
	struct err *err)
{
	struct scoring s = {.request = request, .score = ret};
	struct campaign_request campaign_request = {
		.root = request->root,
		.results = request->results,
		.plans = &s.plans,
		.jobs = request->jobs,
		.time_budget_ms = -1,
		.no_control = true,
		.no_twins = true,
		.starved_again = STARVED_AGAIN,
	};
	struct campaign_tell tell = {.cell = on_cell, .arg = &s};
	struct campaign campaign = {0};
	int rc;

	*ret = (struct score){0};
	rc = plan_all(&s, complaints, err);
	if (!rc)
		rc = campaign_run(&campaign_request, &tell, &campaign, err);
	if (!rc) {
		ret->path = text_dup(campaign.dir);
		ret->wall_ms = campaign.wall_ms;
		ret->spoilt = campaign.spoilt;
		ret->interrupted = campaign.interrupted;
		settle(ret);
		if (request->done)
			request->done(request->arg, &campaign);
	}
	campaign_free(&campaign);
	plan_list_free(&s.plans);
	if (rc)
		score_free(ret);
	return rc;
}

static void free_found(struct score_found *found)
{
	free(found->reason);
	free(found->hang_class);
	free(found->signature);
	free(found->title);
	free(found->path);
}

void score_free(struct score *score)
{
	for (size_t i = 0; i < score->count; i++) {
		for (size_t k = 0; k < score->answers[i].count; k++)
			free_found(&score->answers[i].found[k]);
		free(score->answers[i].found);
	}
	free(score->answers);
	free(score->path);
	*score = (struct score){0};
}

/* ---- JSON ---- */

static json_t *text_or_null(const char *text)
{
	return text ? json_text(text) : json_null();
}

static void put_figures(json_t *json, const struct score_figures *figures)
{
	const struct {
		const char *name;
		int64_t value;
	} all[] = {
		{"recovers_after_s", figures->recovers_after_s},
		{"restarts", figures->restarts},
		{"queue_depth", figures->queue_depth},
		{"queue_growth", figures->queue_growth},
		{"stop_hangs", figures->stop_hangs},
	};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		json_object_set_new(json, all[i].name,
			all[i].value == SCORE_NO_FIGURE ? json_null() : json_integer(all[i].value));
}

static json_t *expected_json(const struct score_expected *expected)
{
	json_t *words = json_array(), *json;

	for (size_t i = 0; expected->words[i]; i++)
		json_array_append_new(words, json_string(expected->words[i]));
	json = json_pack("{ss so so so sI so so}", "verdict", verdict_name(expected->verdict),
		"class", text_or_null(expected->hang_class), "law", text_or_null(expected->law),
		"culprit", text_or_null(expected->culprit), "culprits",
		(json_int_t)expected->culprits, "first", text_or_null(expected->first), "names",
		words);
	put_figures(json, &expected->at_least);
	return json;
}

static json_t *found_json(const struct score_found *found)
{
	json_t *json = json_pack("{ss so so so so so sb sb sb}", "verdict",
		verdict_name(found->verdict), "class", text_or_null(found->hang_class), "signature",
		text_or_null(found->signature), "title", text_or_null(found->title), "reason",
		text_or_null(found->reason), "path", text_or_null(found->path), "law_right",
		(int)found->law, "culprit_right", (int)found->culprit, "names_right",
		(int)found->words);

	put_figures(json, &found->figures);
	return json;
}

/* `found`: the first repetition that is not as expected, else the first. */
static const struct score_found *shown(const struct score_answer *answer)
{
	for (size_t i = 0; i < answer->count; i++)
		if (!answer->found[i].as_expected)
			return &answer->found[i];
	return answer->count ? answer->found : NULL;
}

json_t *score_failures_json(const struct score *score)
{
	json_t *list = json_array();

	for (size_t i = 0; i < score->count; i++) {
		const struct score_answer *answer = &score->answers[i];
		const struct score_found *found = shown(answer);

		json_array_append_new(
			list, json_pack("{ss ss so so sb s[ii] sb si}", "id", answer->row->id,
				      "variant", answer->row->variant, "expected",
				      expected_json(&answer->row->expected), "found",
				      found ? found_json(found) : json_null(), "as_expected",
				      (int)score_is_right(answer), "hits", (int)answer->hits,
				      (int)answer->count, "alike", (int)answer->alike, "missed",
				      (int)answer->missed));
	}
	return list;
}

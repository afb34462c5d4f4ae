#include "run/plan/plan.h"

#include "api/fault.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"
#include "run/plan/scenario_load.h"
#include "run/plan/target_load.h"

#include <assert.h>
#include <string.h>

#define PLAN_JSON_MAX (4u << 20)

const struct vocabulary plan_vocabulary = {faults, oracles};
static const char *const kind_names[] = {"cell", "baseline", "control"};

const char *plan_kind_name(enum plan_kind kind)
{
	return kind_names[kind];
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	scenario_free(plan->scenario);
	target_free(plan->target);
	free(plan->id);
	free(plan->skip);
	free(plan->baseline);
	text_list_free(&plan->order);
	text_list_free(&plan->fallback);
	free(plan);
}

void plan_list_free(struct plan_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		plan_free(list->at[i]);
	free(list->at);
	*list = (struct plan_list){0};
}

/* ---- JSON ---- */

static json_t *words_to_json(const struct text_list *words)
{
	json_t *list = json_array();

	for (size_t i = 0; i < words->count; i++)
		json_array_append_new(list, json_string(words->at[i]));
	return list;
}

static void words_from_json(const json_t *list, struct text_list *ret)
{
	json_t *word;
	size_t i;

	json_array_foreach (list, i, word) {
		if (!json_is_string(word) || ret->count == PLAN_SETTINGS_MAX)
			continue;
		ret->at = mem_grow(ret->at, ret->count + 1, sizeof(*ret->at));
		ret->at[ret->count++] = text_dup(json_string_value(word));
	}
}

json_t *plan_to_json(const struct plan *plan)
{
	json_t *json = json_pack("{ss ss ss sI si so so}", "mailrig", MAILRIG_VERSION, "kind",
		plan_kind_name(plan->kind), "id", plan->id, "seed", (json_int_t)plan->seed, "slot",
		(int)plan->slot, "scenario", scenario_to_json(plan->scenario, plan->target),
		"target", target_to_json(plan->target));

	if (plan->skip)
		json_object_set_new(json, "skip", json_string(plan->skip));
	if (plan->baseline)
		json_object_set_new(json, "baseline", json_string(plan->baseline));
	if (plan->again)
		json_object_set_new(json, "again", json_true());
	if (plan->order.count)
		json_object_set_new(json, "order", words_to_json(&plan->order));
	if (plan->fallback.count)
		json_object_set_new(json, "fallback", words_to_json(&plan->fallback));
	if (plan->target->unreached.count)
		json_object_set_new(json, "unreached", words_to_json(&plan->target->unreached));
	if (plan->target->settings.count)
		json_object_set_new(json, "settings", words_to_json(&plan->target->settings));
	return json;
}

json_t *plan_order_unreached(const struct plan *plan)
{
	if (!plan->order.count)
		return NULL;
	return json_pack("{so sb ss}", "wanted", words_to_json(&plan->order), "covered", 0, "why",
		"the cell did not come so far");
}

static int kind_from_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(kind_names); i++)
		if (!strcmp(kind_names[i], name))
			return (int)i;
	return -EINVAL;
}

int plan_from_json(const json_t *json, struct plan **ret, struct err *err)
{
	struct plan *plan = mem_zero(1, sizeof(*plan));
	int kind = kind_from_name(json_get_text(json, "kind", "")), rc = 0;

	plan->kind = kind < 0 ? PLAN_CELL : (enum plan_kind)kind;
	plan->id = text_dup(json_get_text(json, "id", ""));
	plan->seed = (uint64_t)json_get_int(json, "seed", 1);
	plan->slot = (uint32_t)json_get_int(json, "slot", 1);
	plan->skip = text_dup(json_get_text(json, "skip", NULL));
	plan->baseline = text_dup(json_get_text(json, "baseline", NULL));
	plan->again = json_get_bool(json, "again", false);
	if (kind < 0)
		rc = err_set(err, -EINVAL, "a plan needs 'kind': cell, baseline or control");
	else if (!fs_name_ok(plan->id))
		rc = err_set(err, -EINVAL, "'%s' is no id of a cell", plan->id);
	if (!rc)
		rc = scenario_from_json(
			json_object_get(json, "scenario"), &plan_vocabulary, &plan->scenario, err);
	if (!rc)
		rc = target_from_json(json_object_get(json, "target"), &plan->target, err);
	if (!rc)
		words_from_json(json_object_get(json, "settings"), &plan->target->settings);
	if (!rc)
		words_from_json(json_object_get(json, "unreached"), &plan->target->unreached);
	if (!rc)
		words_from_json(json_object_get(json, "order"), &plan->order);
	if (!rc)
		words_from_json(json_object_get(json, "fallback"), &plan->fallback);
	if (rc)
		plan_free(plan);
	else
		*ret = plan;
	return rc;
}

int plan_load(const char *dir, struct plan **ret, struct err *err)
{
	auto_free char *path = path_join(dir, "plan.json");
	auto_json json_t *json = json_load_path(path, PLAN_JSON_MAX, err);
	int rc = json ? plan_from_json(json, ret, err) : -ENOENT;

	return rc && json ? err_wrap(err, rc, "'%s'", path) : rc;
}

int plan_save(const struct plan *plan, const char *dir, struct err *err)
{
	auto_free char *path = path_join(dir, "plan.json");
	auto_json json_t *json = plan_to_json(plan);

	return json_save_path(path, json, err);
}

struct plan *plan_copy(const struct plan *plan)
{
	auto_json json_t *json = plan_to_json(plan);
	struct plan *copy = NULL;
	int rc = plan_from_json(json, &copy, NULL);

	assert(rc == 0); /* what was loaded once loads again */
	return copy;
}

/* ---- baseline and control ---- */

/* Where faults are taken out nobody meets at a point any more, and nothing takes their place. */
static void drop_order(struct plan *plan)
{
	text_list_free(&plan->order);
	text_list_free(&plan->fallback);
	plan->scenario->orders = ORDERS_AS_WRITTEN;
}

static void drop_steps(struct scenario *scenario)
{
	struct scenario steps_only = {.steps = scenario->steps, .step_count = scenario->step_count};
	struct scenario *doomed = mem_zero(1, sizeof(*doomed));

	*doomed = steps_only;
	scenario_free(doomed);
	scenario->steps = NULL;
	scenario->step_count = 0;
}

/* Equal workloads on equal targets share a baseline, whatever scenario they come from. */
static char *baseline_id(const struct plan *cell)
{
	auto_json json_t *scenario = scenario_to_json(cell->scenario, cell->target);
	auto_free char *text =
		json_dumps(json_object_get(scenario, "workload"), JSON_COMPACT | JSON_SORT_KEYS);
	auto_json json_t *settings = words_to_json(&cell->target->settings);
	auto_free char *set = json_dumps(settings, JSON_COMPACT);
	auto_free char *keyed = text_fmt("%s %llu%s", text ? text : "",
		(unsigned long long)cell->seed, cell->target->settings.count ? set : "");
	char hex[HASH_HEX_SIZE];

	hash_bytes(keyed, strlen(keyed), hex);
	return text_fmt("%s-%.8s", cell->target->name, hex);
}

/* A step that waited for one that is taken out takes over what that one itself waited for. */
static void inherit_trigger(struct step *step, const struct step *fault)
{
	int64_t delay = step->trigger.delay_ms;

	free(step->trigger.moment);
	free(step->trigger.tag);
	free(step->trigger.log);
	free(step->trigger.label);
	step->trigger = fault->trigger;
	step->trigger.moment = text_dup(fault->trigger.moment);
	step->trigger.tag = text_dup(fault->trigger.tag);
	step->trigger.log = text_dup(fault->trigger.log);
	step->trigger.label = text_dup(fault->trigger.label);
	step->trigger.delay_ms += delay;
}

static const struct step *awaited_step(const struct scenario *scenario, const struct step *step)
{
	return step->trigger.label ? scenario_step(scenario, step->trigger.label) : NULL;
}

static const struct step *awaited_fault(const struct scenario *scenario, const struct step *step)
{
	const struct step *other = awaited_step(scenario, step);

	return other && fault_find(other->what) ? other : NULL;
}

static bool is_workload(const struct scenario *scenario, const struct step *step)
{
	return step >= scenario->workload && step < scenario->workload + scenario->workload_count;
}

/* A workload that waited for a step that goes comes when that step would have come. */
static void free_workload(struct scenario *scenario, bool faults_only)
{
	for (size_t i = 0; i < scenario->workload_count; i++) {
		struct step *workload = &scenario->workload[i];

		/* A chain of steps is no longer than they are many. */
		for (size_t round = 0; round < scenario->step_count; round++) {
			const struct step *awaited = awaited_step(scenario, workload);

			if (awaited && !is_workload(scenario, awaited) &&
				(!faults_only || fault_find(awaited->what)))
				inherit_trigger(workload, awaited);
		}
	}
}

struct plan *plan_baseline(const struct plan *cell)
{
	struct plan *plan = plan_copy(cell);

	plan->kind = PLAN_BASELINE;
	free(plan->baseline);
	plan->baseline = NULL;
	drop_order(plan);
	free_workload(plan->scenario, false);
	drop_steps(plan->scenario);
	free(plan->id);
	plan->id = baseline_id(plan);
	return plan;
}

struct plan *plan_control(const struct plan *cell)
{
	struct plan *plan = plan_copy(cell);
	struct scenario *scenario = plan->scenario;
	size_t kept = 0;

	plan->kind = PLAN_CONTROL;
	drop_order(plan);
	/* A chain of faults is no longer than the steps are many. */
	for (size_t round = 0; round < scenario->step_count; round++)
		for (size_t i = 0; i < scenario->step_count; i++) {
			const struct step *fault = awaited_fault(scenario, &scenario->steps[i]);

			if (fault)
				inherit_trigger(&scenario->steps[i], fault);
		}
	free_workload(scenario, true);
	for (size_t i = 0; i < scenario->step_count; i++) {
		struct step keep = scenario->steps[i];

		if (fault_find(keep.what))
			continue;
		scenario->steps[i] = scenario->steps[kept];
		scenario->steps[kept++] = keep;
	}
	if (kept < scenario->step_count) {
		struct scenario *doomed = mem_zero(1, sizeof(*doomed));

		doomed->step_count = scenario->step_count - kept;
		doomed->steps = mem_zero(doomed->step_count, sizeof(*doomed->steps));
		memcpy(doomed->steps, scenario->steps + kept,
			doomed->step_count * sizeof(*doomed->steps));
		scenario_free(doomed);
		scenario->step_count = kept;
	}
	return plan;
}

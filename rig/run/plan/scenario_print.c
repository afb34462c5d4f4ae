#include "run/plan/scenario_parts.h"
#include "run/yaml/yaml_write.h"

#include <string.h>

json_t *objectives_to_json(const struct objectives *o)
{
	json_t *json = json_object();

	put_duration(json, "reply", o->reply_ms);
	put_duration(json, "recover", o->recover_ms);
	put_duration(json, "drain", o->drain_ms);
	put_duration(json, "stop", o->stop_ms);
	put_duration(json, "idle_push", o->idle_push_ms);
	put_count(json, "slowdown", o->slowdown);
	put_duration(json, "slowdown_floor", o->slowdown_floor_ms);
	return json;
}

static void put_trigger(json_t *json, const struct step *step)
{
	const struct trigger *trigger = &step->trigger;

	if (trigger->implied && step->step) {
		/* The work of that step is its trigger, and only the absence of one says so. */
		if (trigger->delay_ms)
			put_duration(json, "delay", trigger->delay_ms);
		return;
	}
	switch (trigger->kind) {
	case TRIGGER_AT:
		put_duration(json, "at", trigger->at_ms);
		break;
	case TRIGGER_MOMENT:
		put_text(json, "when", trigger->moment);
		put_text(json, "tag", trigger->tag);
		put_count(json, "nth", trigger->nth);
		put_count(json, "session", trigger->session);
		if (trigger->within_ms != WITHIN_DEFAULT_MS)
			put_duration(json, "within", trigger->within_ms);
		break;
	case TRIGGER_LOG:
		put_text(json, "log", trigger->log);
		put_count(json, "nth", trigger->nth);
		break;
	case TRIGGER_WHILE:
	case TRIGGER_AFTER:
		put_text(json, trigger_kind_name(trigger->kind), trigger->label);
		break;
	}
	put_duration(json, "delay", trigger->delay_ms);
}

static void put_params(json_t *json, const struct text_list *params)
{
	for (size_t i = 0; i < params->count; i++) {
		const char *equals = strchr(params->at[i], '=');
		auto_free char *key = text_dup_n(params->at[i], (size_t)(equals - params->at[i]));

		put_text(json, key, equals + 1);
	}
}

static json_t *step_to_json(const struct step *step)
{
	json_t *json = json_object();

	put_text(json, "as", step->label);
	put_text(json, "do", step->what);
	put_trigger(json, step);
	put_duration(json, "for", step->for_ms);
	put_text(json, "until", step->until);
	put_text(json, "role", step->role);
	put_text(json, "point", step->point);
	put_text(json, "path", step->path);
	if (step->point) { /* of call faults alone */
		put_count(json, "hit", step->hit);
		put_count(json, "calls", step->calls);
	}
	put_text(json, "caller", step->caller);
	put_text(json, "errno", step->errno_name);
	put_text(json, "step", step->step);
	put_text(json, "agent", step->agent);
	put_text(json, "user", step->user);
	put_words(json, "users", step->users.at, step->users.count);
	put_words(json, "to", step->to.at, step->to.count);
	put_count(json, "sessions", step->sessions);
	put_count(json, "messages", step->messages);
	put_size(json, "size", step->size_bytes);
	put_rate(json, "pace", step->pace_per_s);
	put_words(json, "send", step->send.at, step->send.count);
	put_params(json, &step->params);
	put_count(json, "line", (uint64_t)step->line);
	return json;
}

static void put_steps(json_t *json, const char *key, const struct step *steps, size_t count)
{
	json_t *list;

	if (!count)
		return;
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, step_to_json(&steps[i]));
	json_object_set_new(json, key, list);
}

static void put_words_or_all(json_t *json, const char *key, const struct text_list *list)
{
	if (list->count)
		put_words(json, key, list->at, list->count);
	else
		json_object_set_new(json, key, json_pack("[s]", "all"));
}

json_t *scenario_to_json(const struct scenario *scenario, const struct target *target)
{
	struct objectives objectives = scenario->objectives;
	json_t *json = json_object(), *told;

	if (target)
		objectives = objectives_resolve(&scenario->objectives, &target->objectives);
	put_text(json, "name", scenario->name);
	put_text(json, "file", scenario->file);
	put_text(json, "claim", scenario->claim);
	put_steps(json, "workload", scenario->workload, scenario->workload_count);
	put_steps(json, "steps", scenario->steps, scenario->step_count);
	told = objectives_to_json(&objectives);
	if (json_object_size(told))
		json_object_set(json, "objectives", told);
	json_decref(told);
	put_words_or_all(json, "oracles", &scenario->oracles);
	put_words_or_all(json, "targets", &scenario->targets);
	put_duration(json, "deadline", scenario->deadline_ms);
	put_text(json, "orders", orders_names[scenario->orders]);
	put_count(json, "seeds", scenario->seeds);
	return json;
}

void scenario_print(const struct scenario *scenario, const struct target *target, struct buf *out)
{
	json_t *json = scenario_to_json(scenario, target);

	json_object_del(json, "name");
	json_object_del(json, "file");
	yaml_write(json, out);
	json_decref(json);
}

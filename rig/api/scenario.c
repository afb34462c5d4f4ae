#include "api/scenario.h"

#include "base/cleanup.h"

#include <string.h>

static const char *const trigger_names[] = {
	[TRIGGER_AT] = "at",
	[TRIGGER_MOMENT] = "when",
	[TRIGGER_LOG] = "log",
	[TRIGGER_WHILE] = "while",
	[TRIGGER_AFTER] = "after",
};

const char *trigger_kind_name(enum trigger_kind kind)
{
	return (size_t)kind < ARRAY_SIZE(trigger_names) ? trigger_names[kind] : "?";
}

static void free_steps(struct step *steps, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct step *step = &steps[i];

		free(step->label);
		free(step->what);
		free(step->trigger.moment);
		free(step->trigger.tag);
		free(step->trigger.log);
		free(step->trigger.label);
		free(step->until);
		free(step->role);
		free(step->path);
		free(step->point);
		free(step->caller);
		free(step->errno_name);
		free(step->step);
		free(step->agent);
		free(step->user);
		text_list_free(&step->users);
		text_list_free(&step->to);
		text_list_free(&step->send);
		text_list_free(&step->params);
	}
	free(steps);
}

void scenario_free(struct scenario *scenario)
{
	if (!scenario)
		return;
	free(scenario->name);
	free(scenario->file);
	free(scenario->claim);
	free_steps(scenario->workload, scenario->workload_count);
	free_steps(scenario->steps, scenario->step_count);
	text_list_free(&scenario->oracles);
	text_list_free(&scenario->targets);
	free(scenario);
}

static const struct step *find(const struct step *steps, size_t count, const char *label)
{
	for (size_t i = 0; i < count; i++)
		if (!strcmp(steps[i].label, label))
			return &steps[i];
	return NULL;
}

const struct step *scenario_step(const struct scenario *scenario, const char *label)
{
	const struct step *step = find(scenario->steps, scenario->step_count, label);

	return step ? step : find(scenario->workload, scenario->workload_count, label);
}

const char *step_param(const struct step *step, const char *key)
{
	size_t len = strlen(key);

	for (size_t i = 0; i < step->params.count; i++)
		if (!strncmp(step->params.at[i], key, len) && step->params.at[i][len] == '=')
			return step->params.at[i] + len + 1;
	return NULL;
}

bool step_wants_tls(const struct step *step)
{
	const char *tls = step_param(step, "tls");

	return tls && !strcmp(tls, "starttls");
}

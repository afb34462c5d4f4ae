/* What the history is told of a fault: the line of each state that it comes to. */
#include "run/cell/cell_core.h"

#include "base/clock.h"

#include <string.h>

/* What a call fault does to whom: law U2 asks what could not be flushed. */
static void say_call(const struct step *step, json_t *line)
{
	const struct {
		const char *key, *value;
	} words[] = {{"point", step->point}, {"errno", step->errno_name}, {"role", step->role},
		{"path", step->path}, {"caller", step->caller}, {"kind", step_param(step, "kind")}};

	for (size_t i = 0; step->point && i < ARRAY_SIZE(words); i++)
		if (words[i].value)
			json_object_set_new(line, words[i].key, json_text(words[i].value));
	if (step->point)
		json_object_set_new(line, "calls", json_integer(step->calls ? step->calls : 1));
	if (step->point && step->hit > 1)
		json_object_set_new(line, "hit", json_integer(step->hit));
}

/* How long after its moment the fault was in the guest. A client of the rig's own stands still meanwhile. */
int64_t fault_late_ns(const struct step_run *step)
{
	int64_t there = step->run.in_guest_ns ? step->run.in_guest_ns - step->cell->origin_ns
					      : cell_now(step->cell);

	return there - step->moment_ns - step->step->trigger.delay_ms * NS_PER_MS;
}

static void say_late(const struct step_run *step, json_t *line)
{
	if (step->moment_ns == INT64_MAX)
		return;
	json_object_set_new(
		line, "late_s", json_real((double)fault_late_ns(step) / (double)NS_PER_SEC));
	if (step->too_late)
		json_object_set_new(line, "too_late", json_true());
}

void fault_record(struct step_run *step, const char *state, const char *text)
{
	json_t *line = json_pack("{ss ss ss}", "step", step->step->label, "fault",
		step->fault->name, "state", state);

	fault_is_say(fault_is_in(step->fault, step->step), line);
	if (!strcmp(state, "healed") || !strcmp(state, "in-force"))
		json_object_set_new(line, "count",
			json_integer(step->too_late ? 0 : (json_int_t)step->run.fired));
	if (!strcmp(state, "armed")) {
		say_call(step->step, line);
		say_late(step, line);
	}
	if (!strcmp(state, "in-force") && step->run.at_ns >= 0)
		json_object_set_new(line, "at_t",
			json_real((double)(step->run.at_ns - step->cell->origin_ns) /
				  (double)NS_PER_SEC));
	if (!strcmp(state, "in-force") && (step->run.ahead_s > 0 || step->run.ahead_s < 0))
		json_object_set_new(line, "ahead_s", json_real(step->run.ahead_s));
	if (text && *text)
		json_object_set_new(line, "text", json_text(text));
	if (fault_agent(step))
		json_object_set_new(line, "agent", json_string(fault_agent(step)));
	if (fault_user(step))
		json_object_set_new(line, "user", json_string(fault_user(step)));
	history_add_at(step->cell->recorder, cell_now(step->cell), "fault", line);
}

/* The keys of a scenario file. */
#include "run/plan/scenario_parts.h"

#define WORDS_MAX 256 /* entries of a list of words */

#define TEXT(key, type, member) \
	CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_OPTIONAL, struct type, member, 1, YAML_SCALAR_MAX)
#define WORDS(key, type, member)                                                                 \
	CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct type, member, \
		&word, 0, WORDS_MAX)

static const cyaml_schema_value_t word = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, YAML_SCALAR_MAX)};

const cyaml_schema_field_t step_fields[] = {
	TEXT("as", raw_step, as),
	TEXT("do", raw_step, what),
	TEXT("at", raw_step, at),
	TEXT("when", raw_step, when),
	TEXT("tag", raw_step, tag),
	TEXT("nth", raw_step, nth),
	TEXT("session", raw_step, session),
	TEXT("log", raw_step, log),
	TEXT("while", raw_step, during),
	TEXT("after", raw_step, after),
	TEXT("delay", raw_step, delay),
	TEXT("within", raw_step, within),
	TEXT("for", raw_step, heal_after),
	TEXT("until", raw_step, until),
	TEXT("role", raw_step, role),
	TEXT("path", raw_step, path),
	TEXT("point", raw_step, point),
	TEXT("hit", raw_step, hit),
	TEXT("calls", raw_step, calls),
	TEXT("caller", raw_step, caller),
	TEXT("errno", raw_step, errno_name),
	TEXT("step", raw_step, step),
	TEXT("agent", raw_step, agent),
	TEXT("user", raw_step, user),
	WORDS("users", raw_step, users),
	WORDS("to", raw_step, to),
	TEXT("sessions", raw_step, sessions),
	TEXT("messages", raw_step, messages),
	TEXT("size", raw_step, size),
	TEXT("pace", raw_step, pace),
	WORDS("send", raw_step, send),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t step_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_step, step_fields)};

const cyaml_schema_field_t objectives_fields[] = {
	TEXT("reply", raw_objectives, reply),
	TEXT("recover", raw_objectives, recover),
	TEXT("drain", raw_objectives, drain),
	TEXT("stop", raw_objectives, stop),
	TEXT("idle_push", raw_objectives, idle_push),
	TEXT("slowdown", raw_objectives, slowdown),
	TEXT("slowdown_floor", raw_objectives, slowdown_floor),
	CYAML_FIELD_END,
};

static const cyaml_schema_field_t scenario_fields[] = {
	TEXT("claim", raw_scenario, claim),
	CYAML_FIELD_SEQUENCE("workload", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct raw_scenario, workload, &step_schema, 0, SCENARIO_STEPS_MAX),
	CYAML_FIELD_SEQUENCE("steps", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_scenario,
		steps, &step_schema, 0, SCENARIO_STEPS_MAX),
	CYAML_FIELD_MAPPING_PTR("objectives", CYAML_FLAG_OPTIONAL, struct raw_scenario, objectives,
		objectives_fields),
	WORDS("oracles", raw_scenario, oracles),
	WORDS("targets", raw_scenario, targets),
	TEXT("deadline", raw_scenario, deadline),
	TEXT("orders", raw_scenario, orders),
	TEXT("seeds", raw_scenario, seeds),
	CYAML_FIELD_END,
};

const cyaml_schema_value_t scenario_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_scenario, scenario_fields)};

static const char *const scenario_required[] = {"claim", NULL};
static const char *const step_required[] = {"do", NULL};

const struct yaml_rule scenario_rules[] = {
	{scenario_fields, NULL, scenario_required},
	{step_fields, "step", step_required},
	{objectives_fields, NULL, NULL},
	{0},
};

/*
 * What the files of the scenario loader share. Private to rig/run/plan/scenario_*.c.
 */
#pragma once

#include "run/plan/actions.h"
#include "run/plan/scenario_load.h"
#include "run/yaml/yaml_check.h"

/* Raw YAML as libcyaml fills it: every scalar a text, NULL where absent. */
struct raw_step {
	char *as, *what, *at, *when, *tag, *nth, *session, *log, *during, *after, *delay, *within;
	char *heal_after, *until, *role, *path, *point, *hit, *calls, *caller, *errno_name, *step;
	char *agent, *user, *sessions, *messages, *size, *pace;
	char **users, **to, **send;
	unsigned int users_count, to_count, send_count;
};

struct raw_objectives {
	char *reply, *recover, *drain, *stop, *idle_push, *slowdown, *slowdown_floor;
};

struct raw_scenario {
	char *claim, *deadline, *orders, *seeds;
	struct raw_step *workload, *steps;
	unsigned int workload_count, steps_count;
	struct raw_objectives *objectives;
	char **oracles, **targets;
	unsigned int oracles_count, targets_count;
};

extern const cyaml_schema_value_t scenario_schema;
extern const cyaml_schema_field_t objectives_fields[], step_fields[];
extern const struct yaml_rule scenario_rules[];
extern const char *const orders_names[]; /* by enum orders */

/* A step while it is being made: what its `do` is, and where it stands in the file. */
struct step_source {
	struct step *step;
	const struct node *map;
	const char *noun; /* "step" or "workload" */
	const struct fault *fault;
	const struct action *action; /* neither: `do` is missing or unknown */
};

struct scenario_source {
	struct scenario *scenario;
	const struct vocabulary *vocabulary;
	struct mistakes *mistakes;
	struct step_source *steps; /* workload first, then steps */
	size_t count;
};

/* The plug-in of a `do`; false when there is none. */
bool find_do(const struct vocabulary *vocabulary, const char *name, const struct fault **ret_fault,
	const struct action **ret_action);
bool do_declares(const struct fault *fault, const struct action *action, const char *key);

/* It does not end by itself, only with everything else: fit for `workload` alone. */
bool workload_is_open_ended(const struct step_source *step);

void take_words(char *const *words, unsigned int count, struct text_list *ret);
struct objectives objectives_take(
	const struct raw_objectives *raw, const struct node *map, struct mistakes *mistakes);
json_t *objectives_to_json(const struct objectives *objectives);

/* Keys against `do`, labels, triggers, waits: fills in label and trigger of every step. */
void scenario_check_keys(const struct scenario_source *source, const struct step_source *step);
void scenario_check_labels(const struct scenario_source *source);
void scenario_check_triggers(const struct scenario_source *source);
void scenario_check_waits(const struct scenario_source *source);

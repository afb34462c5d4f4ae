/*
 * What a step may do beside a fault: a workload (the rig's own clients) or an action (a command of the
 * target, run once). The loader refuses keys that are not declared here; `mailrig list actions` prints
 * the table. Constant data.
 */
#pragma once

#include <stdbool.h>

struct action_key {
	const char *key; /* of the step, or a further one that lands in its params */
	bool required;
	const char *otherwise; /* as written in YAML, filled in by the loader; NULL: none */
	const char *summary;
};

struct action {
	const char *name; /* "move-mailbox" */
	const char *summary;
	bool workload;	     /* may stand in `workload` too */
	const char *service; /* protocol that the target must speak; NULL: none, or several */
	const char *path;    /* of the target's paths that it needs, or NULL */
	const char *command; /* of target.yaml that an action runs; NULL for workloads */
	const struct action_key *keys; /* ended by a NULL key */
};

extern const struct action actions[]; /* ended by a NULL name */
const struct action *action_find(const char *name);

/*
 * Targets from target.yaml and back; as scenario_load.h. The folder's name is the target's name.
 */
#pragma once

#include "api/oracle.h"
#include "api/target.h"
#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

#define TARGET_LIST_MAX	 64 /* services, disks, agents, logs ... each */
#define TARGET_USERS_MAX 256

/* DIR/target.yaml. Scripts (./x) must be there and executable. `laws`: as in struct vocabulary. */
int target_load(const char *dir, const struct oracle *const *laws, struct buf *complaints,
	struct target **ret, struct err *err);

/* The same from memory; `dir` NULL: scripts are not looked for, and the name is "". */
int target_parse(const char *file, const char *dir, const char *text, size_t len,
	const struct oracle *const *laws, struct buf *complaints, struct target **ret,
	struct err *err);

/* With "name" and "dir" beside the file's keys, and "line" of each agent. */
json_t *target_to_json(const struct target *target);
int target_from_json(const json_t *json, struct target **ret, struct err *err);
void target_print(const struct target *target, struct buf *out);

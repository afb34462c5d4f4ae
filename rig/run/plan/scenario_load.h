/*
 * Scenarios from YAML and back. All mistakes of a file are found at once: "FILE:LINE: SENTENCE\n" each,
 * behind what `complaints` holds, so that the caller may go on with further files before it gives up.
 * No I/O but reading the one file; reentrant.
 */
#pragma once

#include "api/fault.h"
#include "api/oracle.h"
#include "api/scenario.h"
#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

#define SCENARIO_STEPS_MAX 32 /* entries of `steps`, and of `workload` */

/* The plug-ins that a scenario may name. NULL oracles: laws are not checked. */
struct vocabulary {
	const struct fault *const *faults;
	const struct oracle *const *oracles;
};

/* 0, or -EINVAL with complaints told and the number of mistakes in `err`, or what reading gave. */
int scenario_load(const char *path, const struct vocabulary *vocabulary, struct buf *complaints,
	struct scenario **ret, struct err *err);
int scenario_parse(const char *file, const char *text, size_t len,
	const struct vocabulary *vocabulary, struct buf *complaints, struct scenario **ret,
	struct err *err);

/*
 * The file's own form with every default filled in, and back: what plan.json keeps. Durations and sizes
 * are texts with their units, counts are integers. `target` (may be NULL) and the rig fill in the
 * objectives that the scenario leaves out; with NULL they stay out. Beside the file's keys there are
 * "name", "file", and "line" of each step. The triggers that a step took from its neighbours are written
 * out, but for a fault that waits for a `step`.
 */
json_t *scenario_to_json(const struct scenario *scenario, const struct target *target);
int scenario_from_json(const json_t *json, const struct vocabulary *vocabulary,
	struct scenario **ret, struct err *err);

/* The same as YAML, for --dry-run: loads again to the same scenario. */
void scenario_print(const struct scenario *scenario, const struct target *target, struct buf *out);

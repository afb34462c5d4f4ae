/*
 * A smaller scenario with the same finding: one change after the other is tried, and kept if the finding stays. Pure:
 * which change comes next and what it is; whoever asks runs the cells. Changes, in this order: a step less, from
 * the last on; a workload less; half as many messages, sessions or repetitions. What another entry waits for stays.
 *
 * A scenario is the object that plan.json keeps (scenario_to_json()).
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#define MINIMISE_PASSES_MAX 4 /* over all changes, while any is kept */

struct minimiser;

struct minimiser *minimiser_new(const json_t *scenario);
void minimiser_free(struct minimiser *minimiser); /* takes NULL */

/* The next candidate, a new reference, and in `ret_what` what was changed (caller frees); NULL: nothing is left. */
json_t *minimiser_next(struct minimiser *minimiser, char **ret_what);
/* Whether the candidate of the last minimiser_next() still has the finding: it is the smallest then. */
void minimiser_tell(struct minimiser *minimiser, bool still);
const json_t *minimiser_best(const struct minimiser *minimiser); /* borrowed */

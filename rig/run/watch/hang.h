/*
 * What is told of hangs from saved evidence (rig/run/watch/watch.h): which of a cell's evidence explains a broken
 * law, and what rig/diagnose/ says of it. Reads the cell's folder, nothing else; may be repeated.
 */
#pragma once

#include "api/history.h"
#include "api/verdict.h"
#include "diagnose/diagnose.h"
#include "run/plan/plan.h"

/* What evidence/NAME of `dir` says, of which the history (NULL: none) need not tell yet. */
void hang_diagnose(const struct plan *plan, const char *dir, const char *name,
	const struct history *history, struct diagnosis *ret);

/* Gives the findings of a result that are hangs or crashes their class, culprits and signature, and makes one
 * finding of those with one cause. */
void hang_explain(const struct plan *plan, const char *dir, const struct history *history,
	struct result *result);

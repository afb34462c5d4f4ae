/*
 * From a saved history to a verdict: runs every law that applies, weighs rig trouble against findings,
 * and writes DIR/verdict.json. Reads the cell's folder and its baseline's, nothing else; may be repeated.
 */
#pragma once

#include "api/verdict.h"
#include "run/plan/plan.h"

int judge_cell(const char *dir, struct result *ret, struct err *err);
int judge_save(const char *dir, const struct result *result, struct err *err);

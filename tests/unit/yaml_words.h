/*
 * A vocabulary of its own for the tests of the loaders: faults and laws that exist in no build, so that a
 * new plug-in changes no golden file.
 */
#pragma once

#include "run/plan/scenario_load.h"

static const struct fault_param words_park_keys[] = {
	{"point", true, "the call"},
	{"role", false, "who"},
	{"path", false, "on what"},
	{"hit", false, "the n-th call"},
	{"calls", false, "how many"},
	{"step", false, "only for work of that step"},
	{0},
};

static const struct fault_param words_errno_keys[] = {
	{"point", true, "the call"},
	{"errno", true, "what it returns"},
	{0},
};

static const struct fault_param words_agent_keys[] = {
	{"agent", true, "which"},
	{"heal", false, "how it ends; a key that no other step has"},
	{0},
};

static const struct fault words_freeze = {.name = "freeze-store", .summary = "freeze"};
static const struct fault words_park = {
	.name = "park", .summary = "park", .params = words_park_keys, .waits = true};
static const struct fault words_errno = {
	.name = "errno", .summary = "errno", .params = words_errno_keys, .waits = true};
static const struct fault words_mta = {
	.name = "mta-disabled", .summary = "off", .params = words_agent_keys};
static const struct fault *const words_faults[] = {
	&words_freeze, &words_park, &words_errno, &words_mta, NULL};

static const struct oracle words_s1 = {.law = "S1"}, words_h3 = {.law = "H3"};
static const struct oracle words_m2 = {.law = "M2"};
static const struct oracle *const words_oracles[] = {&words_s1, &words_h3, &words_m2, NULL};

static const struct vocabulary words = {words_faults, words_oracles};

/*
 * What the parts of rig/run/watch/hang*.c share: the evidence of each moment of a cell, and what it means. Reads the
 * cell's folder, nothing else.
 */
#pragma once

#include "api/history.h"
#include "diagnose/diagnose.h"
#include "run/plan/plan.h"

#define INSTANTS_MAX 24

/* Evidence of one moment, and what it means. */
struct instant {
	const char *name;
	double t;
	uint32_t line;
	bool in_force, second; /* second: told beside another that goes on */
	struct diagnosis diagnosis;
	json_t *since;
};

struct explaining {
	const struct plan *plan;
	const char *dir;
	const struct history *history;
	json_t *healthy;
	struct instant instants[INSTANTS_MAX];
	size_t count;
};

/* All that the history names; hang_instants_free() releases them. */
void hang_instants_read(struct explaining *x);
void hang_instants_free(struct explaining *x);
json_t *hang_load(const struct explaining *x, const char *name, const char *file); /* or NULL */
void hang_diagnose_instant(struct explaining *x, struct instant *at);
/* Deaths that the rig did not cause, up to that moment. */
json_t *hang_deaths(const struct history *history, double until);

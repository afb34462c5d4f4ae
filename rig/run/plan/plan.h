/*
 * The plan: what will be run, one `struct plan` a cell, decided before anything starts. A cell's plan is
 * saved as plan.json in its folder and holds all that is needed to run it again: scenario and target with
 * every default filled in, seed, kind. Everything in it is owned; plan_free() releases it.
 */
#pragma once

#include "api/scenario.h"
#include "api/target.h"
#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

#define PLAN_CELLS_MAX	  100000u
#define PLAN_SETTINGS_MAX 64u

enum plan_kind {
	PLAN_CELL,
	PLAN_BASELINE, /* the workload alone, once per target and workload */
	PLAN_CONTROL,  /* a failed cell again, same seed, without its faults */
};
const char *plan_kind_name(enum plan_kind kind);

struct plan {
	enum plan_kind kind;
	char *id; /* SCENARIO.TARGET.SLOT, unique in a campaign, also its folder's name */
	uint64_t seed;
	uint32_t slot;
	struct scenario *scenario;
	struct target *target;
	struct text_list
		order; /* in which the sides that meet are let go (run/plan/orders.h); empty: as
				   written */
	char *skip;    /* why this target cannot take it, or NULL */
	struct text_list
		fallback; /* what takes the place of faults that reach nobody, a sentence each */
	char *baseline;	  /* folder of its baseline, relative to the cell's folder, or NULL */
	bool again;	  /* a cell's repetition: what it finds was found before */
};

struct plan_list {
	struct plan **at;
	size_t count;
};

struct plan_request {
	const char *root;	      /* the repository */
	const char *const *scenarios; /* names, globs or files, NULL-terminated */
	const char *const *targets;   /* names, NULL-terminated; NULL: each scenario's own choice */
	uint64_t seed;		      /* of slot 1; slot n gets seed + n - 1 */
	uint32_t seeds;		      /* slots; 0: the scenario's own number */
	uint32_t repeat;	      /* each cell so many times */
	const char *const *settings;  /* "NAME=VALUE" of the targets, NULL-terminated, or NULL */
};

/* All mistakes of all files at once go to `complaints`, a line each; -EINVAL then. */
int plan_make(const struct plan_request *request, struct plan_list *ret, struct buf *complaints,
	struct err *err);
void plan_list_free(struct plan_list *list);
void plan_free(struct plan *plan);

/* `order` of a result (api/verdict.h) for a cell that never told of its order; NULL: it has none. */
json_t *plan_order_unreached(const struct plan *plan);

struct plan *plan_baseline(const struct plan *cell); /* new; the workload of `cell` alone */
/* Scenarios are checked against the faults and laws that this program has. */
extern const struct vocabulary plan_vocabulary;

struct plan *plan_copy(const struct plan *plan);
struct plan *plan_control(
	const struct plan *cell); /* new; the same without faults and what waits for them */

json_t *plan_to_json(const struct plan *plan);
int plan_from_json(const json_t *json, struct plan **ret, struct err *err);
int plan_load(const char *dir, struct plan **ret, struct err *err); /* DIR/plan.json */
int plan_save(const struct plan *plan, const char *dir, struct err *err);

/* The names that the repository offers, sorted. */
enum plan_names { PLAN_SCENARIOS, PLAN_TARGETS };
int plan_names(const char *root, enum plan_names kind, struct text_list *ret, struct err *err);

/* Where the repository is: $MAILRIG_ROOT, else upwards from the program's own folder, else from here. */
char *plan_root(struct err *err); /* caller frees, or NULL */

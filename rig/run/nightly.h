/*
 * What a night runs (tests/nightly.yaml). Loaded whole, immutable; nightly_free() releases it.
 */
#pragma once

#include "api/target.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

struct nightly {
	struct text_list scenarios; /* names or globs; default '*' */
	struct text_list targets;   /* empty: each scenario's own choice */
	uint32_t seeds;		    /* slots 1..n; default 1 */
	int64_t time_budget_ms;	    /* default 6h */
	uint32_t retries;	    /* of a finding with its seed; default 5 */
	bool fail_on_any;	    /* fail_on: any; default new */
	double max_broken;	    /* ratio of cells; default 0.01 */
	char *canary;		    /* scenario that must find its hang, or NULL */
};

/* As scenario_load(). Whether the scenarios and targets exist is the planner's question. */
int nightly_load(const char *path, struct buf *complaints, struct nightly **ret, struct err *err);
int nightly_parse(const char *file, const char *text, size_t len, struct buf *complaints,
	struct nightly **ret, struct err *err);
void nightly_free(struct nightly *nightly);

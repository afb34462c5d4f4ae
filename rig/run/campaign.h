/*
 * A campaign: one `run`. Makes results/<date>.<n>/, readies images and templates, runs baselines, cells,
 * and after each FAIL its repetitions and its control. Every step is
 * a child process under supervision, so that nothing a cell does can end the campaign.
 */
#pragma once

#include "api/verdict.h"
#include "run/plan/plan.h"

struct known_list;

struct campaign_request {
	const char *root;    /* the repository */
	const char *results; /* the results folder */
	const struct plan_list *plans;
	const struct known_list *known; /* may be NULL */
	unsigned int jobs;
	uint32_t retries;	/* a finding is run again so often with its seed */
	int64_t time_budget_ms; /* no new cell starts after it; negative: none */
	bool no_control;	/* a FAIL is not run again without its faults */
	bool no_twins; /* a scenario without steps is what its baseline would be: none is run */
	uint32_t starved_again; /* a cell of which nothing can be told for want of a processor */
	bool until_fail;	/* stop starting cells after the first FAIL */
};

/* What is told while it runs; from campaign_run()'s thread. */
struct campaign_tell {
	void (*preparing)(void *arg, const char *line); /* images, templates, baselines */
	void (*began)(void *arg, const char *dir);
	void (*cell)(void *arg, const struct result *result);
	void *arg;
};

struct campaign {
	char *name, *dir; /* "2026-11-22.1", "results/2026-11-22.1" */
	struct result *cells;
	size_t count, room;
	int64_t began_ns, wall_ms;
	uint32_t spoilt; /* times that a cell was run again for want of a processor */
	bool interrupted;
};

int campaign_run(const struct campaign_request *request, const struct campaign_tell *tell,
	struct campaign *ret, struct err *err);
void campaign_free(struct campaign *campaign);

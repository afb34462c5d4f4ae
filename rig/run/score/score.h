/*
 * The rig against planted truth: the documented failures of FAILURES (targets/refstore/README.md), each variant a
 * scenario on the reference store with its switches set, and what the rig must say of it. The table is the
 * vendor's and the documents' word, written before any run; what a run says is compared with it, never copied.
 *
 * Nothing that judges or diagnoses sees this table or the switches. Owned texts; score_free() releases.
 */
#pragma once

#include "api/verdict.h"
#include "run/campaign.h"
#include "run/plan/plan.h"

#define SCORE_WORDS_MAX	   8
#define SCORE_SETTINGS_MAX 4
#define SCORE_NO_FIGURE	   (-1)

/* What the vendor measured, as the rig sees it; SCORE_NO_FIGURE: the row says nothing of it. */
struct score_figures {
	int64_t recovers_after_s; /* guest seconds until it ended by itself */
	int64_t restarts;	  /* ends of a service that its manager counted */
	int64_t queue_depth;	  /* the most entries at once */
	int64_t stop_hangs;	  /* 1: the store could not be stopped */
	int64_t queue_growth;	  /* entries more than when a service was first back from an end */
};

struct score_expected {
	enum verdict verdict;
	const char *hang_class; /* NULL: none */
	const char *law;	/* that is broken, where no hang is: "H8", or NULL */
	const char *culprit;	/* program named among the culprits, or NULL */
	size_t culprits;	/* threads of it, at least */
	const char *first;	/* what is said of the first culprit has this, or NULL */
	const char
		*words[SCORE_WORDS_MAX + 1]; /* functions, locks, events that the diagnosis names */
	struct score_figures at_least;	     /* recovers_after_s: within a minute above */
};

struct score_row {
	const char *id, *variant; /* "F4", "hotfixed" */
	const char *scenario;	  /* a name of tests/scenarios, or a file below the repository */
	const char *settings[SCORE_SETTINGS_MAX + 1];
	struct score_expected expected;
};
extern const struct score_row score_rows[]; /* ended by a NULL id */
#define SCORE_TARGET "refstore"

/* One repetition of one row. */
struct score_found {
	enum verdict verdict;
	char *reason, *hang_class, *signature, *title,
		*path;		  /* class, signature and title may be NULL */
	bool law, culprit, words; /* as expected */
	struct score_figures figures;
	bool as_expected;
};

struct score_answer { /* of a row */
	const struct score_row *row;
	struct score_found *found;
	size_t count, hits;
	size_t missed; /* repetitions that were not run, or not to their end: nothing is found of them */
	bool alike; /* verdict, class and signature of all repetitions */
};

struct score {
	struct score_answer *answers;
	size_t count;
	char *path; /* of the campaign */
	int64_t wall_ms;
	uint32_t spoilt; /* repetitions that a busy host spoilt: each was run again */
	bool interrupted;
};

struct score_request {
	const char *root, *results;
	const char *only; /* glob over "F1/shipped", or NULL */
	unsigned int times, jobs;
	uint64_t seed; /* of every repetition: they are to be alike */
	void (*say)(void *arg, const struct score_row *row, const struct score_found *found);
	void (*done)(
		void *arg, const struct campaign *campaign); /* or NULL: borrowed for the call */
	void *arg;
};

int score_run(const struct score_request *request, struct score *ret, struct buf *complaints,
	struct err *err);
void score_free(struct score *score);

/* One repetition more; false if it was not run. `figures` as in score_compare(). */
bool score_take(struct score_answer *answer, const struct result *result,
	const struct score_figures *figures);
/* Was every repetition run, and as expected? */
bool score_is_right(const struct score_answer *answer);
/* The rows of which more is to be said than was when they were run, a line each; then, without its newline, how many
 * are right. */
void score_summary(const struct score *score, struct buf *out);

/* What one result means for a row. Reads the cell's history for the figures. */
void score_compare(const struct score_row *row, const struct result *result,
	const struct score_figures *figures, struct score_found *ret);
void score_figures_read(const char *dir, const struct result *result, struct score_figures *ret);

json_t *score_failures_json(const struct score *score); /* the array `failures` of score --json */

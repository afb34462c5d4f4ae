/*
 * The rig's diagnosis against planted truth: the zoo (tests/zoo/) is one static program that can plant
 * troubles and healthy look-alikes, each as real processes. Every cell starts one in a clone of a small
 * machine, scans it by the witness as a cell of a store would be, and asks rig/diagnose/ what is wrong.
 * The program tells the truth beside it ("zoo list"), so what is right is known by construction.
 *
 * score_zoo() runs from a thread that lives as long as its machines (vm/machine.h). A cell that the rig could
 * not run says nothing of the diagnosis: it is counted in `spoilt` and nowhere else.
 */
#pragma once

#include "api/verdict.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZOO_NAME_MAX	 48
#define ZOO_OUTCOMES_MAX 65536

/* One cell: what was planted and what was found. */
struct zoo_outcome {
	char name[ZOO_NAME_MAX];    /* of the case */
	char culprit[ZOO_NAME_MAX]; /* what a signature is to stand for; "" : healthy */
	const char *want_class;	    /* of hang_class_find(); NULL: healthy */
	const char *got_class;	    /* or NULL */
	bool finding;
	bool first_right; /* the culprit named first is one that was planted */
	char signature[SIGNATURE_SIZE];
};

struct zoo_share {
	unsigned int hits, of; /* nothing judged: 0 of 0 */
};

struct zoo_score {
	unsigned int planted, healthy;	 /* cells that were judged */
	unsigned int troubles, controls; /* different ones among them */
	unsigned int spoilt;
	struct zoo_share recall, false_alarms, culprit_first, class_right;
	struct zoo_share purity;       /* findings whose signature only one culprit has */
	struct zoo_share completeness; /* findings that have their culprit's usual signature */
	json_t *misses;		       /* array: "name","want","got","first_right","signature" */
};

struct zoo_options {
	const char *root; /* of the repository */
	const char *dir;  /* made; what was misjudged is kept in it (evidence, diagnosis) */
	const char *only; /* glob of case names, NULL: all */
	bool held_out;	  /* only those written after the diagnosis was finished */
	unsigned int
		times; /* variants of each case, each another seed; 0: 1, with `healthy` none */
	unsigned int healthy; /* at least so many healthy cells; 0: as `times` says */
	uint64_t seed;
	int cancel_fd; /* give up with -ECANCELED once this is readable; -1: never */
	void (*say)(void *arg, const char *line); /* progress; NULL: quiet */
	void *arg;
};

/* `ret` is set on success and on -ECANCELED: what was scored until then. */
int score_zoo(const struct zoo_options *options, struct zoo_score *ret, struct err *err);

/* The arithmetic alone. */
void score_zoo_tally(const struct zoo_outcome *outcomes, size_t count, struct zoo_score *ret);
void score_zoo_free(struct zoo_score *score); /* zeroes */

/* {"planted","healthy","recall","false_alarm_rate","culprit_first","class_right","purity","completeness"} as
 * numbers (null: nothing was judged), and {"counts":{..:[hits,of]},"troubles","controls","spoilt","misses"}. */
json_t *score_zoo_json(const struct zoo_score *score);

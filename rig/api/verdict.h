/*
 * Verdicts, classes, findings, and the result of one cell. Worst verdict wins:
 * FAIL > BROKEN > UNKNOWN > SKIP > PASS; MISS is a planned cell that never started.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum verdict {
	VERDICT_PASS,
	VERDICT_SKIP,
	VERDICT_UNKNOWN,
	VERDICT_BROKEN,
	VERDICT_FAIL,
	VERDICT_MISS
};
#define VERDICT_COUNT 6
const char *verdict_name(enum verdict verdict);
int verdict_from_name(const char *name); /* enum verdict, or -EINVAL */
enum verdict verdict_worse(enum verdict a, enum verdict b);

/* How the dashboard sees a finding, by tests/known.yaml. */
enum finding_state { FINDING_NEW, FINDING_KNOWN };
const char *finding_state_name(enum finding_state state);

/* The classes of hangs and crashes: "deadlock" "lost-wakeup" ... The rig's own text of that name, or
 * NULL. */
const char *hang_class_find(const char *name);

#define SIGNATURE_SIZE 64

struct finding {
	char signature[SIGNATURE_SIZE]; /* "S3-90be12cc", "exhaustion-a41f0c92" */
	const char *hang_class;		/* class of DESIGN section 2 (static text), or NULL */
	char *title;			/* one sentence */
	char **laws;			/* "H3" ... */
	size_t law_count;
	uint32_t *lines; /* of history.jsonl, bounded by FINDING_LINES_MAX */
	size_t line_count;
	bool suspect;  /* rig trouble came before it */
	bool baseline; /* broken without any fault */
	json_t *diagnosis; /* of a hang or crash, or NULL: as diagnosis_to_json() gives it, and "from" (the
			      evidence), "onset_s":[not yet, seen]?, "detected_s"? on the cell clock. Owned */
	char *undiagnosed; /* of a hang that no evidence explains: why not; or NULL */
	json_t *recovery; /* of a hang that was run on in a copy of the machine, or NULL: "recovery",
			      "recovery_event", "recovers_after_s"?, "searched_s"?: guest time that it was given,
			      "recovery_in_force": a fault was in force there, "recovery_from": the evidence.
			      Owned; its keys stand in the finding's own object */
};
#define FINDING_LINES_MAX 64

/* One cell's result. Owned texts; result_free() releases what is inside. -1 = not measured. */
struct result {
	char *id, *scenario, *target, *target_version, *image;
	uint64_t seed;
	uint32_t slot, number;
	enum verdict verdict;
	char *reason; /* never empty unless PASS */
	enum finding_state state;
	struct finding *findings;
	size_t finding_count;
	int64_t fired, residue;
	int64_t detect_ms, recover_ms, drain_ms, wall_ms;
	int64_t recovers_after_s; /* these three: of the first finding that has them */
	char *recovery;	      /* "permanent" "after_guest_s" "not-judged", or NULL: nothing hung */
	char *recovery_event; /* by what, or why not; one clause, or NULL */
	uint32_t hits, tries; /* "hits":[5,5] */
	char *control;	      /* verdict word of the control cell, or NULL */
	char *accelerator;
	char *fallback; /* what took the place of faults that reach nobody, or NULL */
	bool starved;
	json_t *drain; /* how the queue was worked off after a disabled agent (run/drain.h), or NULL */
	json_t *order; /* of a cell of an order matrix: {"wanted":[..],"covered","why"?,"waited"?}, or NULL */
	json_t *symptoms; /* of a cell with a finding: what is noticed from outside (api/symptoms.h), or NULL */
	char *path; /* results/<campaign>/<id> */
	json_t *laws; /* {"S1":{"ruling":"holds|broken|cannot-tell|not-applicable","text":...,"lines":[...]}},
			 or NULL */
};

/* "permanent (searched 21600 guest s)", "slow, recovers after about 9000 guest s: EVENT", "not judged: WHY"; false:
 * the finding was not run on. The guest's words are in it, not escaped. */
bool finding_recovery(const struct finding *finding, struct buf *out);
/* Somebody stands and waits in it, so that there is a moment to look at; a crash and a lost mail have none. */
bool finding_is_hang(const struct finding *finding);
bool finding_is_crash(const struct finding *finding); /* by its class: one death, or many */
bool finding_has_law(const struct finding *finding, const char *law);
/* Laws that a hang breaks; the others are broken by what a hang leads to. */
bool law_is_of_hangs(const char *law);
void finding_free(struct finding *finding); /* what is inside */
void result_free(struct result *result);
/* The finding the cell is called after: the first that no rig trouble precedes, else the first; or
 * NULL. */
const struct finding *result_finding(const struct result *result);
bool result_has_signature(
	const struct result *result, const char *signature); /* one of its findings */
json_t *result_to_json(const struct result *result);	     /* EXAMPLES section 8 */
int result_from_json(const json_t *json, struct result *result, struct err *err);

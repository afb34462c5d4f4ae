/*
 * A scenario: workload, steps, laws and a claim, as its YAML file says. Loaded whole, immutable
 * afterwards. Owned texts; scenario_free() releases everything. Times in milliseconds on the cell
 * clock.
 */
#pragma once

#include "api/target.h"

#include <stdbool.h>
#include <stdint.h>

#define WITHIN_DEFAULT_MS 100

/* What starts a step. */
enum trigger_kind {
	TRIGGER_AT,	/* at: time on the cell clock */
	TRIGGER_MOMENT, /* when: a moment of a dialogue, the nth, of one session or any */
	TRIGGER_LOG,	/* log: the nth line matching */
	TRIGGER_WHILE,	/* while: as soon as that step is in force */
	TRIGGER_AFTER,	/* after: once that step is over */
};
const char *trigger_kind_name(enum trigger_kind kind);

struct trigger {
	enum trigger_kind kind;
	int64_t at_ms;
	char *moment; /* "smtp/data" */
	char *tag;    /* of the IMAP command that the moment belongs to; NULL = any */
	char *log;    /* extended regular expression */
	char *label;  /* of while and after */
	uint32_t nth; /* 1-based */
	uint32_t
		session; /* 1-based, 0 = any: of the rig's clients in one workload or step; where the wire tells the
			     moment, of the connections of its protocol since the workload began */
	int64_t delay_ms;
	int64_t within_ms; /* of a moment that the wire tells: what is later than that is too late */
	bool implied; /* none was written: after the step above, or while it, if that is a fault */
};

/*
 * One entry of `steps` or of `workload`: both have the same shape. What a `do` uses of it is
 * declared by its plug-in (struct fault: params; actions and workloads: a table); the loader
 * refuses the rest.
 */
struct step {
	char *label; /* as:, else the do name, numbered where it is not unique */
	char *what;  /* do: a fault, an action or a workload */
	int line;    /* in the file, for messages */
	struct trigger trigger;
	int64_t for_ms; /* TIME_UNSET: no limit */
	char *until;	/* label, or NULL */
	char *role, *path, *point, *caller, *errno_name,
		*step;	     /* where a call fault acts; NULL = any */
	uint32_t hit, calls; /* default 1 */
	char *agent, *user;
	struct text_list users, to, send;
	uint32_t sessions, messages; /* 0 = the default of that `do` */
	uint64_t size_bytes;	     /* 0 = the default of that `do` */
	double pace_per_s;	     /* 0 = as fast as it goes */
	struct text_list params;     /* further "key=value" a fault declares, in order */
};

enum orders { ORDERS_AS_WRITTEN, ORDERS_ALL };

struct scenario {
	char *name; /* the file's name without .yaml */
	char *file;
	char *claim;
	struct step *workload;
	size_t workload_count;
	struct step *steps;
	size_t step_count;
	struct objectives objectives;
	struct text_list oracles; /* empty: all that apply */
	struct text_list targets; /* empty: all that can */
	int64_t deadline_ms;
	enum orders orders;
	uint32_t seeds;
};

void scenario_free(struct scenario *scenario);
const struct step *scenario_step(
	const struct scenario *scenario, const char *label); /* steps and workload */

/* What the file says for a further key that the plug-in declared, or NULL. Borrowed. */
const char *step_param(const struct step *step, const char *key);
bool step_wants_tls(const struct step *step); /* tls: starttls */

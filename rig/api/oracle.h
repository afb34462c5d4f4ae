/*
 * An oracle: one law of a mail store, a pure function from a history to a ruling. No I/O, no clock,
 * no state: the same history gives the same ruling on any machine, any day.
 *
 * Adding a law: one file rig/oracles/<law>.c with one `const struct oracle oracle_<law>`; it is
 * registered by existing. It may blame only what OK and NO imply, names the lines that break it,
 * and says "cannot tell" when it cannot.
 */
#pragma once

#include "api/history.h"
#include "api/scenario.h"
#include "api/target.h"

enum ruling {
	RULING_NOT_APPLICABLE, /* nothing in the history that the law speaks of */
	RULING_HOLDS,
	RULING_CANNOT_TELL,
	RULING_BROKEN,
};
const char *ruling_name(enum ruling ruling); /* "not-applicable" "holds" "cannot-tell" "broken" */

#define JUDGEMENT_LINES_MAX 64

struct judgement {
	enum ruling ruling;
	char text[512]; /* one sentence: what broke it, or why it cannot be told */
	char role[64];	/* for the signature: hop, operation, reply class; "" where none */
	uint32_t lines[JUDGEMENT_LINES_MAX]; /* history lines, the breaking one first */
	size_t line_count;
	uint64_t breaches; /* all, also beyond the lines kept */
	uint64_t excused;  /* copies subtracted because the rig itself removed them, or by an
			      exception */
};

struct oracle_context {
	const struct target *target;
	struct objectives objectives;	/* resolved: nothing unset */
	const struct history *baseline; /* the same workload without the fault, or NULL */
};

struct oracle {
	const char *law;     /* "S1" */
	const char *name;    /* "no loss" */
	const char *summary; /* the law in one sentence */
	const char *source;  /* "RFC 5321 4.2.5, 4.1.1.4, 6.1" */
	bool needs_end; /* judges the read-back at the end; not applicable to a cell that was cut
			   short */
	void (*judge)(const struct history *history, const struct oracle_context *context,
		struct judgement *ret);
};

extern const struct oracle *const oracles[]; /* NULL-terminated, made from rig/oracles/ */
const struct oracle *oracle_find(const char *law);

/* Helpers for judge(): text is kept from the first breach; every breach is counted. */
void judgement_break(struct judgement *judgement, uint32_t line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void judgement_cannot_tell(struct judgement *judgement, uint32_t line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void judgement_holds(struct judgement *judgement); /* unless something stronger was said */
void judgement_line(
	struct judgement *judgement, uint32_t line); /* a further line of the last breach */

/*
 * A breach, unless the target declares an exception for it (counted as excused). `scope` says where:
 * hop, role, operation, reply class, without ids, times or numbers; an exception's `only` is looked
 * for in it, and the first breach's scope becomes judgement->role. True if it counts.
 */
bool oracle_breach(const struct oracle_context *context, const char *law,
	struct judgement *judgement, const char *scope, uint32_t line, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

/* How everybody calls an oracle: zeroes `ret`, and answers for it where the history is empty or, for
 * a law that needs the end, cut short. */
void oracle_judge(const struct oracle *oracle, const struct history *history,
	const struct oracle_context *context, struct judgement *ret);

/*
 * A fault: one way to hurt a target. One file faults/<name>.c with one `const struct fault
 * fault_<name>` (underscores in the file and symbol, hyphens in the name); it is registered by
 * existing.
 *
 * Life: check (plan time, no bed) -> fire -> [in force] -> poll -> heal -> residue 0. The runner
 * calls them from the step's own thread, one at a time; heal is called always, also when arm or
 * fire failed, and must be idempotent. A fault touches the world only through its bed.
 */
#pragma once

#include "api/bed.h"
#include "api/scenario.h"

enum fault_family {
	FAMILY_FREEZE,
	FAMILY_DISABLED_MTA,
	FAMILY_CONCURRENT_DELETE,
	FAMILY_ERRNO,
	FAMILY_POWER
};
const char *fault_family_name(enum fault_family family); /* "freeze" "disabled-mta" ... */

/* What a fault is to the laws, beside its family. The history carries it, so that no law knows a fault by its name. */
enum fault_is {
	FAULT_SILENT =
		1, /* an agent says nothing: who waits may use up the store's own time limit (H1) */
	FAULT_DRIPS = 2, /* an agent says so little at a time that no limit runs out (H4) */
	FAULT_KILLS = 4, /* a process of the store dies by it, as by a crash */
	FAULT_CUTS_POWER = 8,
	FAULT_REMOVES = 16, /* takes files away behind the store's back */
	FAULT_HALTS = 32, /* part of the machine stands still: the rig must not ask it for files */
	FAULT_DELIVERY = 64, /* without `agent` it is the delivery agent that it takes away */
	FAULT_QUOTA =
		128, /* what users may have is used up, which they may be told for good (S4) */
};

struct fault_param {
	const char *key; /* of the step: "role", "agent", "errno" ... */
	bool required;
	const char *summary; /* with its default */
};

/*
 * A deletion that the rig does itself while somebody else is at work, in one of three ways: IMAP commands of a
 * session of its own, POP3's DELE and QUIT, a command of the target; or a file is removed behind the store's
 * back. It is told in the history as any client's doings are, with what it removed or may have removed, so that no
 * law calls that lost. Borrowed for the call.
 */
struct deletion {
	const char *user;	     /* NULL: the target's first; a command: nobody's */
	const char *mailbox;	     /* the one it is about */
	const char *const *commands; /* IMAP: in order, ended by NULL; refused ones are passed by */
	size_t prelude;		     /* the first so many of them remove nothing */
	const char *numbers;	     /* POP3: a set of message numbers */
	const char *command;	     /* of the target: its name in target.yaml */
	const char *file;	     /* whole path */
};

/* One use of a fault in a cell. */
struct fault_run {
	struct bed *bed;
	const struct target *target;
	const struct step *step;
	const struct step *about; /* the step named by step:, or NULL */
	const struct fault_run
		*held;	   /* of the fault named by while:, or NULL: what it parked may be of use */
	unsigned int slot; /* of the board, 1.., unique in the cell */
	uint32_t (*pending)(void *arg); /* operations of the workload that are waiting now */
	uint32_t (*delayed)(
		void *arg); /* ... those of them that wait much longer than any before */
	uint32_t (*refused)(
		void *arg); /* operations that ended other than OK, so far in this cell */
	uint32_t (*acted)(
		void *arg, const struct text_list *commands); /* actions so far that ran one of
									   these, or NULL */
	/* What the store acknowledged as removed is added to `*ret_removed`: messages, mailboxes, entries of the
	 * queue, files. What it refused is no error. */
	int (*remove)(
		void *arg, const struct deletion *deletion, uint64_t *ret_removed, struct err *err);
	void *arg;	     /* of all five */
	uint64_t fired;	     /* what met the fault; never falls */
	uint64_t mark;	     /* for the fault's own use between its calls */
	bool dirty;	     /* likewise: there is something to undo */
	uint64_t seed;	     /* of the cell */
	int64_t due_ns;	     /* bed's clock: the moment that triggered it; INT64_MAX: none */
	int64_t in_guest_ns; /* bed's clock: fire had its effect then, and did more; 0: at its end */
	int64_t at_ns;	/* bed's clock: power cut; what the disks took later never was. -1: none */
	double ahead_s; /* it puts the wall clock so far ahead; negative: back */
	char text[160]; /* what it wants to be remembered by, with its heal */
};

struct fault {
	const char *name;    /* "freeze-fs" */
	const char *summary; /* one line */
	enum fault_family family;
	unsigned int is;		  /* enum fault_is, together */
	const char *needs;		  /* "qga, a data disk", for people */
	const struct fault_param *params; /* ended by a NULL key; NULL: none */
	const char *(*point)(
		size_t i); /* the i-th call that `point` may name, or NULL; NULL: it has no point */
	/* The i-th function by whose call a program comes to that point, or NULL: who never calls one of them is
	 * never there. With `point`. */
	const char *(*function)(const char *point, size_t i);
	/* Can the witness do it there by ptrace, in a program that the preload does not reach? NULL: no. */
	bool (*traced)(const char *point);

	/* Can this target take it? 0; -ENOTSUP: SKIP, with the reason; -EINVAL: a mistake in the scenario. */
	int (*check)(const struct step *step, const struct target *target, struct err *err);

	/* Put it in force; or, where `waits`, arm it: it is in force once it has met something. */
	int (*fire)(struct fault_run *run, struct err *err);
	bool waits;
	bool watch; /* what meets it may be gone before the heal: polled each second while in force */
	bool instant;	   /* done as soon as it fired: it has no time in force of its own */
	bool darkens_late; /* the same while it is healed alone */
	bool darkens; /* nobody can reach the store from fire to heal, and after the heal it must be started */

	/* Count what has met it so far into run->fired. Called after events of the bed and before heal. */
	int (*poll)(struct fault_run *run, struct err *err);
	int (*heal)(struct fault_run *run, struct err *err);
};

extern const struct fault *const faults[]; /* NULL-terminated, made from faults/ */
const struct fault *fault_find(const char *name);

/* What it is as `step` has it: whoever is told EDQUOT is told that a quota is used up. */
unsigned int fault_is_in(const struct fault *fault, const struct step *step);

/* Into the `fault` line of a history, as "is": ["silent"], and back. A line of before that had the key is read by the
 * name of its fault. What is not known is left out. */
void fault_is_say(unsigned int is, json_t *line);
unsigned int fault_is_read(const json_t *line);

/* A check for faults that every target can take. */
int fault_any_target(const struct step *step, const struct target *target, struct err *err);

/* A poll for faults that meet what they meet when they fire, and a heal where nothing can be put back. */
int fault_nothing(struct fault_run *run, struct err *err);

/* What met the fault so far: run->fired never falls. */
void fault_met(struct fault_run *run, uint64_t met);

/* The same, as the bed counts it in `count`: memory_met, tasks_met. */
int fault_poll_count(struct fault_run *run,
	int (*count)(struct bed *bed, uint64_t *ret, struct err *err), struct err *err);

/* Of faults that mean the processes of a role: the check that there is such a role, and then its programs. */
int fault_check_role(const struct step *step, const struct target *target, struct err *err);
void fault_programs(const struct fault_run *run, const char *ret[ROLE_PROGRAMS_MAX + 1]);

/* Of those that leave them `spare` more of something (default 0): the number, and the check of it and the role. */
int fault_spare(const struct step *step, uint64_t *ret, struct err *err);
int fault_check_spare(const struct step *step, const struct target *target, struct err *err);

/* Of faults that take the room of the target's disk `path`: `what` of it, bytes (default) or inodes. */
int fault_check_disk(const struct step *step, const struct target *target, struct err *err);
enum disk_fill fault_disk_fill(const struct step *step);

/* A poll for faults that everybody meets who waits: the most operations that were pending at once. */
int fault_poll_pending(struct fault_run *run, struct err *err);

/*
 * What the steps of a diagnosis share. Private to rig/diagnose/.
 */
#pragma once

#include "diagnose/diagnose.h"
#include "diagnose/graph.h"

#define TICK_NS INT64_C(10000000) /* USER_HZ is 100 on x86 */

struct suspect {
	size_t task;
	int weight;		/* how much its wait looks like the cause; 0: not at all */
	size_t behind;		/* how many chains end there */
	size_t sure;		/* those of them that name the thread, not only its process */
	const char *hang_class; /* NULL: it wants the processor and gets none, so nobody can tell */
	const char *why;	/* static text: what decided it */
	bool on_fault;
};

struct diagnosing {
	const struct diagnose_input *in;
	struct diagnosis *out;
	struct evidence now, earlier, healthy, before;
	struct graph graph;
	struct graph then; /* of the earlier instant; empty where there is none */
	size_t owed;	   /* replies that are overdue */
	double oldest_s;
	int64_t backlog; /* connections that nobody accepts */
	bool work;	 /* somebody waits for something that is owed */
	int deleter_tid; /* who had freed what the one that crashed used, 0: nobody is sure to have */
};

/* The same thread in the same wait at another instant. */
const struct task *same_thread(const struct evidence *then, const struct task *task);
bool same_wait(const struct task *then, const struct task *now);
/* `b` waits for the event of `a`: the same word of one process, or of the memory that processes alike have in common,
 * at one place in all. */
bool at_same_event(const struct task *a, const struct task *b);
/* It has run since the earlier instant, or waits for a lock that has changed hands since. */
bool has_moved(const struct diagnosing *d, const struct task *task);
/* It reads a pipe of which nobody has an end but several processes that read it: none of them ever meant to write. */
bool is_left_alone(const struct diagnosing *d, size_t task);
/* It waits with others for an event that comes: one of them has waited for it, run, and waits for it again. */
bool event_goes_on(const struct diagnosing *d, const struct task *task);
bool lock_went_round(
	const struct diagnosing *d, const struct task *waiter, const struct task *holder);
/* A culprit of trouble that was told already. */
bool is_known(const struct diagnosing *d, const struct task *task);
/* It does nothing, and nothing says that it should: idle, or of a pool that waits for the same event. */
bool waits_for_work(const struct diagnosing *d, size_t task);
/* It waits for a client, outside or idle, who came to a door of the guest: the client's turn. */
bool waits_for_client(const struct diagnosing *d, size_t task);
/* A lock in memory that does not say who has it. */
bool names_no_owner(const struct task *task);
/* Somebody else of its process stands in a call that it did not stand in when all was well, for nobody outside: the
 * holder that the lock does not name is he rather than nobody. */
bool has_likely_holder(const struct diagnosing *d, const struct task *waiter);
/* The names of two threads are the same, or of one series: "worker-7" and "worker-12". */
bool same_name(const char *a, const char *b);
/* Processes of one program and one parent with such names. */
bool is_pool_of(const struct task *a, const struct task *b);
/* Somebody who is none of its pool waits for it, and not for its end. */
bool is_missed(const struct diagnosing *d, size_t task);
bool waited_so_when_healthy(const struct diagnosing *d, const struct task *task);
/* Share of the processor between `earlier` and now, in percent; -1: not known. */
int cpu_percent(const struct diagnosing *d, const struct task *task);
/* The same of its whole life until all was well; -1: not known, or it was too young. */
int habit_percent(const struct diagnosing *d, const struct task *task);
/* How long it stood in the queue for the processor is in the evidence: cpu_percent() leaves that out. */
bool knows_turns(const struct diagnosing *d, const struct task *task);
/* It stood in the queue for the processor and got next to nothing of it. */
bool got_no_turn(const struct diagnosing *d, const struct task *task);
/* The same of its children that have ended meanwhile. */
int reaped_percent(const struct diagnosing *d, const struct task *task);

bool find_deadlock(struct diagnosing *d);
/* Two who both read at one connection: a cycle, unless all is well so and another is the likelier cause. */
bool find_silence(struct diagnosing *d, const struct suspect *suspect);
bool find_crash(struct diagnosing *d);
/* A program that gives up each time it is begun; a process that the kernel ended for want of memory. Where who is
 * suspected explains more, they are told beside it, and the answer is false. */
bool find_exit_loop(struct diagnosing *d, const struct suspect *suspect);
bool find_oom(struct diagnosing *d, const struct suspect *suspect);
/* Threads or processes of one program, all in the same wait. */
bool find_exhaustion(struct diagnosing *d, const struct suspect *suspect);
/* The best suspect; weight 0 if there is none. */
struct suspect find_suspect(struct diagnosing *d);
/* An idle process to whom somebody outside has sent what lies unread; weight 0 if there is none. */
struct suspect find_unread(const struct diagnosing *d);
/* The same of one that waits for the very socket; false: it is not so. */
bool judge_ignored(const struct diagnosing *d, size_t task, struct suspect *ret);
/* The same of the `peer` of one that reads, writes or stands at its door; weight 0 where it does not idle, or nothing
 * lies there. */
struct suspect judge_silent_peer(const struct diagnosing *d, size_t waiter, size_t peer);
/* Beside trouble that was told already: nothing but what it does or lacks itself speaks against it. */
bool speaks_for_itself(const struct suspect *suspect);

/* Of a suspect that waits for an event: how many may stand behind it, and who is to be told beside it. */
size_t perhaps_behind(const struct diagnosing *d, size_t suspect);
void tell_around(struct diagnosing *d, size_t suspect);

/* Whose calls are worth following: `sleepers` of the diagnosis. */
void find_sleepers(struct diagnosing *d);

/* ---- saying it ---- */

void say(char **lines, size_t *count, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define say_evidence(d, ...) say((d)->out->evidence, &(d)->out->evidence_count, __VA_ARGS__)
#define say_unknown(d, ...)  say((d)->out->unknown, &(d)->out->unknown_count, __VA_ARGS__)
void say_task(struct diagnosing *d, size_t task); /* an evidence line: wait, call, stack */
/* The same behind a clause that says what it is in this. */
void say_task_as(struct diagnosing *d, size_t task, const char *as);
/* That nobody is known to own what it waits for, and what is known instead. */
void say_no_owner(struct diagnosing *d, size_t task);
void add_culprit(struct diagnosing *d, size_t task);
/* The class, and the signature from it and the parts, equal neighbours once; sorted first if `sort`. */
void conclude(struct diagnosing *d, const char *hang_class, char **parts, size_t count, bool sort);
/* A part of a signature: role, wait and, where known, the innermost functions; caller frees. */
char *part_of(const struct diagnosing *d, size_t task);
/* Of one that is never found in the same place: by its loop. */
char *part_of_busy(const struct diagnosing *d, size_t task);
/* Of one that works while others wait: by what they wait for. */
char *part_of_work(const struct diagnosing *d, size_t task);
/* "`role` (process 10)", or "`role` (thread 12 of process 10)"; caller frees. */
char *name_thread(const char *role, int pid, int tid, bool alone);
char *who(const struct diagnosing *d, size_t task); /* "`role` (pid/tid)"; caller frees */

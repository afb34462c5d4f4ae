/*
 * The wait-for graph of one instant. A thread that waits for a lock, a thread, a child or an end of a
 * pipe or socket needs every holder of it (all); a holder that is known as a process only is needed as
 * any of its threads. Several processes with the same end are alternatives, which count only where asked for: any of
 * them would do. An edge is there only where the evidence names the holder: where it does not,
 * the node says why, and nothing is guessed.
 *
 * Pure; graph_free() releases it; the evidence is borrowed and must outlive it.
 */
#pragma once

#include "diagnose/evidence.h"

#define NEEDS_MAX	   65536 /* in one graph */
#define NEEDS_PER_TASK_MAX 64
#define THREADS_LOOKED_AT  256 /* of a process whose every thread may be the holder */
#define CYCLE_MAX	   64  /* threads of a cycle that are told */

/* One of tasks[first .. first + count): a thread, or all threads of a process. */
struct need {
	size_t first, count;
	size_t others; /* how many of the needs that follow would do as well */
	bool supposed; /* counts only under a supposition: of idle ones, or of who was the last */
	uint64_t lock; /* of supposed readers: the word that is waited at; 0: of others */
};

struct node {
	size_t first_need, need_count;
	size_t next;		       /* what graph_next() answers */
	const struct file_lock *wants; /* line of /proc/locks this thread waits with, or NULL */
	const char *unknown;	       /* why a holder is not known (static text), or NULL */
	bool several;		       /* processes have the other end of what it waits for */
	bool inferred; /* the holder is the only other process that has the file open */
	bool stuck;    /* on a cycle, or can only go on after one that is */
};

/* Beyond the evidence. */
struct supposed {
	/* Of several processes that have the other end of a pipe, or a locked open file since a fork(), none will do
	 * what is waited for that cannot go on itself. */
	bool all;
	/* No time limit of those who wait for locks comes. */
	bool patient;
	/* Who was the last to take a System V semaphore that is used as a lock has it. */
	bool last;
	/* Who reads under a lock that does not name its readers is not supposed, whoever is idle. */
	bool events;
	/* Per task, borrowed, or NULL: such a thread holds nothing that is known to be held by its process. A process
	 * with a lock, one thread that waits for its turn and one that waits for work, is not free to give it back.
	 * Processes all of whose threads are such stay as they are. */
	const bool *idle;
};

struct graph {
	const struct evidence *e;
	struct node *nodes; /* one per task */
	struct need *needs;
	size_t need_count;
	bool cut; /* more needs than are kept */
	struct supposed supposed;
};

void graph_build(const struct evidence *e, struct graph *ret);
void graph_free(struct graph *graph);

/* Who is stuck under what is supposed, to be told as such; NULL: under nothing. */
void graph_suppose(struct graph *graph, const struct supposed *supposed);

/* Threads of one cycle, each waiting for the next and the last for the first, from a node that is stuck.
 * Returns how many (0: there is no stuck node; 1: it waits for itself). */
size_t graph_cycle(const struct graph *graph, size_t from, size_t cycle[CYCLE_MAX]);

/* The same cycle, told from its second member on. */
void graph_turn(size_t *cycle, size_t count);

/* The thread that `task` waits for next (SIZE_MAX: none is known): of a process with several threads the
 * one that waits for something itself rather than one that waits for work. */
size_t graph_next(const struct graph *graph, size_t task);
/* Another thread of the process that it waits for might be the one as well. */
bool graph_next_is_guess(const struct graph *graph, size_t task);
/* The process that took the System V semaphore last that `task` waits for as for a lock, or changed it last that it
 * waits for to become zero: another than its own, 0: none is known. */
int graph_last_user(const struct task *task);
/* Whom it waits for is supposed alone. */
bool graph_is_supposed(const struct graph *graph, size_t task);
/* Nobody is supposed: it waits for work. */
void graph_drop_supposed(struct graph *graph, size_t task);

/* Waits for work, or for somebody outside: accept, poll of several descriptors, sleep, any child. */
bool graph_is_idle(const struct task *task);

/* The listening socket in whose queue its connection stands, not accepted, or NULL. */
const struct socket_end *graph_door(const struct graph *graph, size_t task);

/* What a thread waits for, in words that are the same in every run ("flock on queue/#/lock"); the
 * longest is WHAT_MAX. */
#define WHAT_MAX 192
/* A name without what differs from one run or one of many to the next: digits and ids are '#'. */
void graph_name_class(const char *name, char out[WHAT_MAX]);
void graph_what(const struct graph *graph, size_t task, char out[WHAT_MAX]);

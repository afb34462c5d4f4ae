/*
 * What the daemons of daemons*.c are made of, beside stores_parts.h: a crew that is either threads of one process
 * or as many processes, locks that work for both, and services by unix socket or by TCP. Private to them.
 * What is drawn must change neither who is to blame nor in which call he stands: one case has one signature.
 */
#pragma once

#include "tests/zoo/stores_parts.h"

#define DAEMON_MUTEXES 4

struct daemon_shared {
	pthread_mutex_t mutex[DAEMON_MUTEXES];
	pthread_rwlock_t rwlock;
	pthread_cond_t cond;
	sem_t slots; /* none free at first */
};

extern struct daemon_shared *daemon_shared;

void daemons_open(void); /* first, in the leader, instead of store_open() */

/* A member calls zoo_ready() once. */
void crew_add(const char *name, void (*run)(long), long arg);
/* All that were added, in an order that is drawn. */
void crew_forks(void);
void crew_threads(const char *process);
void crew_either(const char *process); /* one of both is drawn: none of the crew is to blame */

/* Like store_service() and store_ask(), by unix socket or TCP as is drawn; one such service in a case. */
pid_t daemon_service(const char *name, void (*run)(long), int threads);
int daemon_ask(const char *name);
void daemon_askers(const char *client, const char *name, int count);

/* A lock of processes only: flock(), a record, a mutex in shared memory. */
enum daemon_lock { BY_FLOCK, BY_RECORD, BY_MUTEX };
void daemon_lock_is(enum daemon_lock kind);
void daemon_draws_lock(void); /* nobody who is to blame waits for it */
void daemon_takes_lock(void); /* at once, or waits */
void daemon_stops(void);      /* this process, by SIGSTOP, and is to blame */

/* Victims, once step 0 is done: of the file "held", and of a shared mutex. */
void daemon_wants_held(long i);
void daemon_wants_mutex(long i);
void daemons_beside(void); /* sessions and helpers that idle; before store_runs() */

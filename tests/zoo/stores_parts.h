/*
 * What the miniature stores of stores*.c are furnished with: services that answer or idle, sessions with their
 * clients, a log behind a pipe. Private to them. Whoever starts a process says how many of its threads
 * will call zoo_ready(), so that a case needs no sum of its own.
 */
#pragma once

#include "tests/zoo/parts_private.h"

#define STORE_FDS 32

extern int store_log_fd; /* the write end of the log's pipe */

void store_open(void); /* first, in the leader */
void store_runs(void)
	__attribute__((noreturn)); /* last, in the leader, who is the master from now on */
/* The same, with neighbours that are drawn, whom nothing of it concerns. */
void store_runs_beside_others(void) __attribute__((noreturn));
pid_t store_process(const char *name, void (*run)(long), long arg, int threads);
/* With a listening socket of that name, which the others do not have. */
pid_t store_service(const char *name, void (*run)(long), int threads);
void store_called(const char *name); /* this thread */

void store_step(int step); /* of 8 */
void store_after(int step, int count);

int store_ask(const char *service);		  /* connects and sends a request */
int store_take(int listener);			  /* accepts and reads one */
void store_await(int fd);			  /* zoo_ready(), then the reply */
void store_wants_file(const char *name, int how); /* zoo_ready(), then flock() */
void store_wants_range(const char *name);	  /* zoo_ready(), then F_SETLKW */
/* zoo_ready(), then events of these and of an hourly timer. */
void store_loop(const int *fds, int count) __attribute__((noreturn));
/* Takes so many requests first. */
void store_serve(int listener, int count) __attribute__((noreturn));

/* Processes that ask and wait. */
void store_askers(const char *name, const char *service, int count);
/* The same, each with a client of its own who waits for it. */
void store_sessions(const char *name, const char *service, int count);

void store_log(void (*run)(long), int threads);
void store_reads_log(long fd);
void store_fill_log(void);
void store_log_line(void);

/* What is well in every store. */
void store_idle_workers(int count); /* threads around an empty queue; the caller counts them */
void store_idle_sessions(int count);
void store_prefork(int count); /* around a lock of the accept socket */
void store_anvil(void);
void store_cleaner(void);

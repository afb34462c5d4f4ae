/*
 * What the cases of the zoo are made of. Private to tests/zoo/; all of it runs in a case's own processes and
 * ends them by abort() where it cannot do its part.
 */
#pragma once

#include "tests/zoo/zoo.h"

#include <pthread.h>
#include <semaphore.h>

#define POOL 4

extern struct zoo_board *zoo_board;
extern const char *zoo_dir;

int zoo_tid(void);
void zoo_must(bool right);
void zoo_ready(void); /* the next call is the one to stand in */
void zoo_blame(void); /* this thread is a culprit */
void zoo_meet(int count);
void zoo_stand_for_ever(void);
int zoo_open_file(const char *name);
int zoo_locked_file(const char *name, int how); /* by flock() */
pid_t zoo_fork_run(void (*run)(long), long arg);
void zoo_wait_for_children(void);
pthread_t zoo_thread_run(void *(*run)(void *), void *arg);
void *zoo_shared(size_t size);
void zoo_silence(int pair[2]); /* a socket on which nothing ever comes */
sem_t *zoo_never(void);
/* The holder, and three that wait in flock() for its file "held"; all meet at 4. */
void zoo_with_three_waiters(void (*holder)(long));

/* A healthy idle store. */
void zoo_noise(struct zoo_board *b, const char *d);

/*
 * What the cases of the zoo are made of. Private to tests/zoo/; all of it runs in a case's own processes and
 * ends them by abort() where it cannot do its part.
 */
#pragma once

#include "tests/zoo/zoo.h"

#include <pthread.h>
#include <semaphore.h>

#define ZOO_PATH_MAX 256

extern struct zoo_board *zoo_board;
extern const char *zoo_dir;

int zoo_tid(void);
void zoo_must(bool right);
int zoo_vary(
	int low, int high); /* the same in all processes of a case, in the order of the calls */
void zoo_stands(int count); /* how many threads will call zoo_ready() */
void zoo_ready(void);	    /* the next call is the one to stand in */
void zoo_blame(void);	    /* this thread is a culprit */
void zoo_stand(void);	    /* zoo_blame() and zoo_ready() */
void zoo_await(atomic_int *counter, int count); /* until it is that high */
void zoo_meet(int count);
void zoo_stand_for_ever(void) __attribute__((noreturn));

const char *zoo_path(const char *name); /* in the case's folder; a buffer of the thread */
int zoo_open_file(const char *name);
int zoo_locked_file(const char *name, int how); /* by flock() */
int zoo_open_numbered(const char *name, long number);
bool zoo_posix_lock(int fd, short type); /* waits; false with errno */

pid_t zoo_fork_run(void (*run)(long), long arg);
void zoo_wait_for_children(void);
/* All of a case: so many children that stand, each told its number. */
void zoo_several(void (*run)(long), int count);
pthread_t zoo_thread_run(void *(*run)(void *), void *arg);
void *zoo_shared(size_t size);
void zoo_pair(int pair[2]);
sem_t *zoo_never(void); /* a semaphore that nobody posts */
/* Waits for work as a daemon does: poll() of two sockets that listen. */
void zoo_idle(void) __attribute__((noreturn));
void zoo_idles(long any) __attribute__((noreturn)); /* a child that does, and stands */
/* A socket whose other end a process of another parent has, which is idle and never writes. */
int zoo_quiet_peer(void);
/* From now on somebody else decides about this process's renameat2(): who has what is returned (seccomp(2)). */
int zoo_sandbox(void);
/* A child with a new terminal, which has its other end: that is returned. */
int zoo_on_terminal(void (*run)(int fd));
/* A page of a file that several map, each `number` at an address of its own, and room behind it. */
#define ZOO_MAP_SIZE (256u << 10)
void *zoo_map_apart(long number);
void zoo_receive(int fd); /* one byte, by recv() */
void zoo_read(int fd);

int zoo_listen_unix(const char *name, int backlog);
int zoo_connect_unix(const char *name);
int zoo_listen_tcp(int backlog, int *ret_port); /* on loopback */
int zoo_connect_tcp(int port);

/* The holder, and `victims` that wait in flock() for its file "held"; all meet at victims + 1. */
void zoo_with_victims(void (*holder)(long), int victims);

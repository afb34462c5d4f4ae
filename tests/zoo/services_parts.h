/*
 * What the stores of services*.c share beside stores_parts.h: processes that may be started in any order, and sessions
 * that wait each in its own way. Private to them.
 */
#pragma once

#include "tests/zoo/stores_parts.h"

#define SERVICES_STARTS 8

/* Around a case: idle neighbours, some before it and some after. */
void services_open(void);
void services_run(void) __attribute__((noreturn));
/* Calls all of these, NULL-terminated, beginning with one that is drawn. */
void services_start(void (*const *starts)(void));

int services_dial(const char *service);	 /* store_ask(), as soon as somebody listens */
void services_asks(const char *service); /* the same, and zoo_ready(), then the reply */
/* The same over and over on one connection, each request as soon as the last is answered, until it is closed. */
void services_converses(const char *service);
/* Sessions, each with a client who waits for it, that do `waits` once the client's request is there. */
void services_sessions(const char *name, void (*waits)(void), int count);
void services_askers(const char *name, const char *service, int count);
/* The same over and over, each request on a connection of its own. */
void services_ask_again(const char *name, const char *service, int count);
/* Processes that stand in accept() of one socket at first. */
void services_pool(const char *name, void (*run)(long), int count);
void services_reply(int fd);
void services_answer(int fd); /* and hangs up */
/* Takes so many requests, a thread for each, and is then a loop of all. */
void services_serve(int listener, void *(*run)(void *), int count) __attribute__((noreturn));
void services_shared_mutex(pthread_mutex_t *mutex);
void services_rest(int ms);

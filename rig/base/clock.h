/*
 * The one clock of the host side. All deadlines are absolute CLOCK_MONOTONIC nanoseconds; nothing
 * in the rig calls time() or sleeps. CLOCK_NEVER waits for ever and is for waits that something
 * else bounds (a cell's own deadline).
 */
#pragma once

#include <pthread.h>
#include <stdint.h>

#define CLOCK_NEVER INT64_MAX
#define NS_PER_MS   INT64_C(1000000)
#define NS_PER_SEC  INT64_C(1000000000)

int64_t clock_mono_ns(void);

/* Wall clock, for names and for time stamps in files that other tools read. Never for measuring. */
int64_t clock_real_ns(void);

/* Now plus `ms`; a negative `ms` gives CLOCK_NEVER. */
int64_t deadline_in_ms(int64_t ms);

/* Milliseconds left for poll(2): 0 once passed, -1 for CLOCK_NEVER, rounded up. */
int deadline_left_ms(int64_t deadline_ns);

/* A condition variable that waits on CLOCK_MONOTONIC. */
void cond_init(pthread_cond_t *cond);

/* As pthread_cond_timedwait(): 0 when woken (perhaps spuriously), -ETIMEDOUT once the deadline
 * passed. */
int cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_ns);

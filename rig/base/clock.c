#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <time.h>

static int64_t now_ns(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts))
		assert(!"clock_gettime");
	return (int64_t)ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t clock_mono_ns(void)
{
	return now_ns(CLOCK_MONOTONIC);
}

int64_t clock_real_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}

int64_t deadline_in_ms(int64_t ms)
{
	if (ms < 0 || ms > (CLOCK_NEVER / 2) / NS_PER_MS)
		return CLOCK_NEVER;
	return clock_mono_ns() + ms * NS_PER_MS;
}

int deadline_left_ms(int64_t deadline_ns)
{
	int64_t left;

	if (deadline_ns == CLOCK_NEVER)
		return -1;
	left = deadline_ns - clock_mono_ns();
	if (left <= 0)
		return 0;
	left = (left + NS_PER_MS - 1) / NS_PER_MS;
	return left > INT_MAX ? INT_MAX : (int)left;
}

void cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

int cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_SEC),
		.tv_nsec = (long)(deadline_ns % NS_PER_SEC),
	};

	if (deadline_ns == CLOCK_NEVER)
		return -pthread_cond_wait(cond, lock);
	if (deadline_ns < 0)
		return -ETIMEDOUT; /* no timespec can say it */
	return -pthread_cond_timedwait(cond, lock, &ts);
}

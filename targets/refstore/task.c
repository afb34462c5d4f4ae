#include "task.h"

#include "common.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct task {
	struct task *next;
	void (*run)(void *);
	void *arg;
	bool *done; /* of the caller who waits, or NULL */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t work, ended;
	struct task *first, **last;
	unsigned int waiting, busy;
} pool = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.ended = PTHREAD_COND_INITIALIZER,
	.last = &pool.first,
};

/* With the lock held. */
static struct task *take(void)
{
	struct task *task = pool.first;

	pool.first = task->next;
	if (!pool.first)
		pool.last = &pool.first;
	pool.waiting--;
	return task;
}

static void task_run(struct task *task)
{
	task->run(task->arg);
}

static void *task_thread(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&pool.lock);
	for (;;) {
		struct task *task;

		while (!pool.first)
			pthread_cond_wait(&pool.work, &pool.lock);
		task = take();
		pool.busy++;
		pthread_mutex_unlock(&pool.lock);
		task_run(task);
		pthread_mutex_lock(&pool.lock);
		pool.busy--;
		if (task->done) {
			*task->done = true;
			pthread_cond_broadcast(&pool.ended);
		}
		free(task);
	}
	return NULL;
}

void tasks_start(void)
{
	for (int i = 0; i < TASK_THREADS; i++)
		start_thread_of(task_thread, NULL);
}

/* With the lock held. */
static int put(void (*run)(void *), void *arg, bool *done)
{
	struct task *task;

	if (pool.waiting >= TASKS_MAX)
		return -EAGAIN;
	task = must_zero(sizeof(*task));
	*task = (struct task){NULL, run, arg, done};
	*pool.last = task;
	pool.last = &task->next;
	pool.waiting++;
	pthread_cond_signal(&pool.work);
	return 0;
}

int task_post(void (*run)(void *), void *arg)
{
	int rc;

	pthread_mutex_lock(&pool.lock);
	rc = put(run, arg, NULL);
	pthread_mutex_unlock(&pool.lock);
	return rc;
}

int task_call(void (*run)(void *), void *arg)
{
	bool done = false;
	int rc;

	pthread_mutex_lock(&pool.lock);
	rc = put(run, arg, &done);
	while (!rc && !done)
		pthread_cond_wait(&pool.ended, &pool.lock);
	pthread_mutex_unlock(&pool.lock);
	return rc;
}

unsigned int tasks_waiting(void)
{
	unsigned int count;

	pthread_mutex_lock(&pool.lock);
	count = pool.waiting;
	pthread_mutex_unlock(&pool.lock);
	return count;
}

unsigned int tasks_busy(void)
{
	unsigned int count;

	pthread_mutex_lock(&pool.lock);
	count = pool.busy;
	pthread_mutex_unlock(&pool.lock);
	return count;
}

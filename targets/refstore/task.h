/*
 * The bounded pool of task threads: first come, first served. A task is a function and its argument.
 */
#pragma once

#define TASK_THREADS 8
#define TASKS_MAX    4096

void tasks_start(void);
/* Queue it and return; -EAGAIN when TASKS_MAX wait already. */
int task_post(void (*run)(void *), void *arg);
/* Queue it and wait until it has run; -EAGAIN. */
int task_call(void (*run)(void *), void *arg);
unsigned int tasks_waiting(void);
unsigned int tasks_busy(void);

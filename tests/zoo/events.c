/* Events that never come; threads that burn the processor, that are stopped, or that the rig holds. */
#include "tests/zoo/parts_private.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t outer = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

/* ---- nobody signals ---- */

static void *cond_waiter(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	zoo_stand();
	for (;;)
		pthread_cond_wait(&cond, &lock);
	return arg;
}

static void cond_lost(void)
{
	zoo_stands(1);
	zoo_thread_run(cond_waiter, NULL);
	zoo_idle();
}

/* The waiter gave back one mutex and keeps another, which others want. */
static void *cond_waiter_with_lock(void *arg)
{
	pthread_mutex_lock(&outer);
	pthread_mutex_lock(&lock);
	zoo_meet(1);
	zoo_stand();
	for (;;)
		pthread_cond_wait(&cond, arg);
	return arg;
}

static void *outer_victim(void *arg)
{
	(void)arg;
	while (atomic_load(&zoo_board->go) < 1)
		;
	zoo_ready();
	pthread_mutex_lock(&outer);
	return NULL;
}

static void cond_lost_under_mutex(void)
{
	int victims = zoo_vary(1, 5);

	zoo_stands(1 + victims);
	zoo_thread_run(cond_waiter_with_lock, &lock);
	for (int i = 0; i < victims; i++)
		zoo_thread_run(outer_victim, NULL);
	zoo_idle();
}

static void *sem_waiter(void *arg)
{
	zoo_stand();
	sem_wait(arg);
	return NULL;
}

static void semaphore_lost(void)
{
	static sem_t sem;

	sem_init(&sem, 0, 0);
	zoo_stands(1);
	zoo_thread_run(sem_waiter, &sem);
	zoo_idle();
}

static void semaphore_of_processes_lost(void)
{
	sem_t *sem = zoo_never();

	zoo_stands(1);
	zoo_stand();
	sem_wait(sem);
}

static void eventfd_lost(void)
{
	uint64_t value;
	int fd = eventfd(0, EFD_CLOEXEC);

	zoo_stands(1);
	zoo_stand();
	zoo_must(read(fd, &value, sizeof(value)) <= 0);
}

static void fifo_reader(void)
{
	zoo_must(!mkfifo(zoo_path("fifo"), 0600));
	zoo_stands(1);
	zoo_stand();
	zoo_must(open(zoo_path("fifo"), O_RDONLY | O_CLOEXEC) < 0);
}

static void fifo_writer(void)
{
	zoo_must(!mkfifo(zoo_path("requests"), 0600));
	zoo_stands(1);
	zoo_stand();
	zoo_must(open(zoo_path("requests"), O_WRONLY | O_CLOEXEC) < 0);
}

/* ---- the processor ---- */

static void *spinner(void *arg)
{
	(void)arg;
	zoo_stand();
	for (;;)
		atomic_load(&zoo_board->go);
	return arg;
}

static void spin_for_ever(void)
{
	zoo_stands(1);
	zoo_thread_run(spinner, NULL);
	zoo_idle();
}

/* Each gives way to the other, for ever. */
static void *gives_way(void *arg)
{
	static atomic_int turn;
	int mine = arg != NULL;

	zoo_stand();
	for (;;) {
		atomic_store(&turn, !mine);
		sched_yield();
	}
	return arg;
}

static void both_give_way(void)
{
	zoo_stands(2);
	zoo_thread_run(gives_way, NULL);
	zoo_thread_run(gives_way, &lock);
	zoo_idle();
}

/* It tries a lock that its own process holds, again and again. */
static void tries_again(void)
{
	int held = zoo_locked_file("busy", LOCK_EX), again = zoo_open_file("busy");

	zoo_stands(1);
	zoo_stand();
	while (flock(again, LOCK_EX | LOCK_NB))
		;
	close(held);
}

/* ---- stopped, held ---- */

static void stopped_alone(void)
{
	zoo_stands(1);
	zoo_stand();
	raise(SIGSTOP);
}

static void parked_alone(void)
{
	zoo_stands(1);
	atomic_store(&zoo_board->parked, zoo_tid());
	zoo_stand();
	zoo_stand_for_ever();
}

/* ---- the file system ---- */

static void writes_to_frozen(void)
{
	int fd = open(ZOO_DISK_DIR "/mail", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	(void)fd;
	zoo_stand_for_ever();
}

static void frozen_writer(void)
{
	zoo_stands(1);
	zoo_stand();
	writes_to_frozen();
}

const struct zoo_case zoo_events[] = {
	{"cond-lost", "lost-wakeup", "store", cond_lost, 0, 0},
	{"cond-lost-under-mutex", "lost-wakeup", "index", cond_lost_under_mutex, 0, 0},
	{"semaphore-lost", "lost-wakeup", "store", semaphore_lost, 0, 0},
	{"semaphore-of-processes-lost", "lost-wakeup", "deliver", semaphore_of_processes_lost, 0,
		0},
	{"eventfd-lost", "lost-wakeup", "deliver", eventfd_lost, 0, 0},
	{"fifo-reader", "lost-wakeup", "queue", fifo_reader, 0, 0},
	{"fifo-writer", "lost-wakeup", "deliver", fifo_writer, 0, 0},
	{"spins", "livelock", "store", spin_for_ever, ZOO_SPINS, 0},
	{"both-give-way", "livelock", "queue", both_give_way, ZOO_SPINS | ZOO_ALONE, 0},
	{"tries-again", "livelock", "deliver", tries_again, ZOO_SPINS, 0},
	{"stopped-alone", "stopped", "session", stopped_alone, 0, 0},
	{"frozen-by-nobody", "lost-wakeup", "deliver", frozen_writer, ZOO_THAWED, 0},
	{"frozen-by-the-fault", NULL, "deliver", frozen_writer, ZOO_FROZEN | ZOO_OVERDUE, 0},
	{"parked-by-the-fault", NULL, "session", parked_alone, ZOO_OVERDUE, 0},
	{0},
};

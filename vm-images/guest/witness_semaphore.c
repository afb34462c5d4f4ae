/*
 * The System V semaphore that a thread waits for: a call may ask for several operations, and waits for the first in
 * order that cannot proceed (semop(2); Linux 6.1, ipc/sem.c: perform_atomic_semop()). A set is known by its number in
 * its own IPC namespace alone: one of another namespace is not asked.
 */
#include "witness_scan.h"

#include <stdio.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/stat.h>

union semun { /* semctl(2): the caller has to declare it */
	int val;
	struct semid_ds *buf;
	unsigned short *array;
};

bool ipc_is_own(struct ipc_of *ipc, int via)
{
	struct stat own, other;
	char path[32];

	if (ipc->via == via)
		return ipc->own;
	snprintf(path, sizeof(path), "/proc/%d/ns/ipc", via);
	ipc->via = via;
	ipc->own = !stat("/proc/self/ns/ipc", &own) && !stat(path, &other) &&
		   own.st_ino == other.st_ino && own.st_dev == other.st_dev;
	return ipc->own;
}

/* -1: it cannot be told. */
static int value_of(int set, int number)
{
	return semctl(set, number, GETVAL);
}

/* The process that operated on it last, 0: none, or not known. Who only gave it a value is told as well (sem_ctime),
 * so nobody is where no semop() ever came to the set. */
static int last_of(int set, int number)
{
	struct semid_ds info;
	int pid = semctl(set, number, GETPID);

	if (pid < 0 || semctl(set, 0, IPC_STAT, (union semun){.buf = &info}) || !info.sem_otime)
		return 0;
	return pid;
}

/* Value of the semaphore of operation `i`, those before it done; -1: it cannot be told. */
static int value_before(int set, const struct sembuf *ops, size_t i)
{
	int value = value_of(set, ops[i].sem_num);

	for (size_t k = 0; value >= 0 && k < i; k++)
		if (ops[k].sem_num == ops[i].sem_num)
			value += ops[k].sem_op;
	return value;
}

static bool may_wait(const struct sembuf *op)
{
	return op->sem_op <= 0 && !(op->sem_flg & IPC_NOWAIT);
}

static void tell(const struct sembuf *op, struct sem_wait *ret)
{
	ret->number = op->sem_num;
	ret->op = op->sem_op;
	ret->there = true;
}

/* Without values: where one alone may wait it is that one. */
static void find_only(const struct sembuf *ops, size_t count, struct sem_wait *ret)
{
	size_t waits = 0;

	for (size_t i = 0; i < count; i++)
		if (may_wait(&ops[i])) {
			tell(&ops[i], ret);
			waits++;
		}
	ret->there = waits == 1;
}

void sem_wait_find(
	const struct sembuf *ops, size_t count, bool whole, bool own_ipc, struct sem_wait *ret)
{
	for (size_t i = 0; own_ipc && i < count; i++) {
		int value = value_before(ret->set, ops, i);

		own_ipc = value >= 0; /* or it must not be read */
		if (!own_ipc || ops[i].sem_op > 0 ||
			(ops[i].sem_op ? value + ops[i].sem_op >= 0 : !value))
			continue;
		if (!may_wait(&ops[i])) /* it changed meanwhile */
			return;
		tell(&ops[i], ret);
		ret->value = value_of(ret->set, ops[i].sem_num);
		ret->last = last_of(ret->set, ops[i].sem_num);
		ret->has_value = ret->value >= 0;
		return;
	}
	if (!own_ipc && whole)
		find_only(ops, count, ret);
}

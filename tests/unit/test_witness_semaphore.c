/* What a deep scan of the real witness says of System V semaphores that are waited for. */
#include "tests/unit/witness_fixture.h"

#include <sched.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define HOUR_S 3600

static void child_end(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
}

static void set_remove(int *set)
{
	if (*set >= 0)
		semctl(*set, 0, IPC_RMID);
}

#define auto_child cleanup(child_end)
#define auto_set   cleanup(set_remove)

/* The C library may make the one by the other. */
static bool is_in_semop(const json_t *task)
{
	long number = strtol(json_get_text(task, "syscall", "-1"), NULL, 10);

	return !strcmp(json_get_text(task, "state", ""), "S") &&
	       (number == SYS_semop || number == SYS_semtimedop);
}

/* What is told of the semaphore that `tid` waits for, JSON null if nothing; the caller's, NULL: it never waited. */
static json_t *semaphore_of(struct bench *b, int tid)
{
	int64_t deadline = soon();

	while (deadline_left_ms(deadline)) {
		auto_json json_t *scan = NULL;
		json_t *task, *sem;

		if (!CHECK_INT(witness_scan_deep(b->w, soon(), &scan, NULL), 0))
			return NULL;
		task = task_of(scan, tid);
		sem = json_object_get(task, "sem");
		if (json_get_bool(json_object_get(scan, "parts"), "memory", false) &&
			is_in_semop(task))
			return sem ? json_incref(sem) : json_null();
	}
	CHECK(!"seen in time");
	return NULL;
}

/* A child that does all that in one call. */
static pid_t asks(int set, struct sembuf *ops, size_t count, bool timed)
{
	struct timespec limit = {.tv_sec = HOUR_S};
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(timed ? semtimedop(set, ops, count, &limit) : semop(set, ops, count));
}

/* Takes and gives back; the process has ended. */
static pid_t use(int set, unsigned short number)
{
	struct sembuf ops[] = {{.sem_num = number, .sem_op = 1}, {.sem_num = number, .sem_op = -1}};
	pid_t pid = asks(set, ops, 2, false);

	waitpid(pid, NULL, 0);
	return pid;
}

/* Of a set with the values 1 and 0. */
static void the_first_operation_that_cannot_proceed_is_told(void)
{
	static const struct {
		struct sembuf ops[3];
		size_t count;
		int number, op, value;
		bool timed;
	} rows[] = {
		{{{.sem_num = 1, .sem_op = -1}}, 1, 1, -1, 0, false},
		{{{.sem_num = 1, .sem_op = -1}}, 1, 1, -1, 0, true},
		{{{.sem_num = 0, .sem_op = -1}, {.sem_num = 1, .sem_op = -1}}, 2, 1, -1, 0, false},
		{{{.sem_num = 0, .sem_op = 0}, {.sem_num = 1, .sem_op = -1}}, 2, 0, 0, 1, false},
		{{{.sem_num = 0, .sem_op = -1}, {.sem_num = 0, .sem_op = -1}}, 2, 0, -1, 1, false},
		{{{.sem_num = 1, .sem_op = 1}, {.sem_num = 0, .sem_op = -1},
			 {.sem_num = 1, .sem_op = -2}},
			3, 1, -2, 0, false},
	};
	int auto_set set = semget(IPC_PRIVATE, 2, 0600);
	auto_bench struct bench b = {0};
	pid_t last[2];

	if (!bench_open(&b) || !CHECK(set >= 0))
		return;
	last[0] = use(set, 0);
	last[1] = use(set, 1);
	semop(set, &(struct sembuf){.sem_num = 0, .sem_op = 1}, 1);
	last[0] = getpid();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct sembuf ops[3];
		auto_json json_t *sem = NULL;
		auto_child pid_t pid = -1;

		memcpy(ops, rows[i].ops, sizeof(ops));
		pid = asks(set, ops, rows[i].count, rows[i].timed);
		sem = semaphore_of(&b, pid);
		CHECK_INT(json_get_int(sem, "id", -1), set);
		CHECK_INT(json_get_int(sem, "num", -1), rows[i].number);
		CHECK_INT(json_get_int(sem, "op", 9), rows[i].op);
		CHECK_INT(json_get_int(sem, "value", -1), rows[i].value);
		CHECK_INT(json_get_int(sem, "last", -1), last[rows[i].number]);
	}
}

static void who_only_gave_it_a_value_is_not_told(void)
{
	struct sembuf take = {.sem_op = -1};
	int auto_set set = semget(IPC_PRIVATE, 1, 0600);
	auto_bench struct bench b = {0};
	auto_json json_t *sem = NULL;
	auto_child pid_t pid = -1;

	if (!bench_open(&b) || !CHECK(set >= 0 && !semctl(set, 0, SETVAL, 0)))
		return;
	pid = asks(set, &take, 1, false);
	sem = semaphore_of(&b, pid);
	CHECK_INT(json_get_int(sem, "value", -1), 0);
	CHECK(!json_object_get(sem, "last"));
}

static bool own_ipc(void)
{
	return !unshare(CLONE_NEWIPC) || !unshare(CLONE_NEWUSER | CLONE_NEWIPC);
}

/* Asks for the first `count` of two in a set of a namespace of its own. */
static pid_t asks_elsewhere(size_t count)
{
	struct sembuf take[] = {{.sem_op = -1}, {.sem_num = 1, .sem_op = -1}};
	pid_t pid = fork();
	int set;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!own_ipc())
		_exit(1);
	set = semget(IPC_PRIVATE, 2, 0600);
	_exit(semop(set, take, count));
}

static bool may_have_own_ipc(void)
{
	pid_t pid = fork();
	int status = 1;

	if (!pid)
		_exit(!own_ipc());
	waitpid(pid, &status, 0);
	return !status;
}

static void a_set_of_another_namespace_is_not_asked(void)
{
	auto_bench struct bench b = {0};

	if (!may_have_own_ipc()) {
		check_skip("no IPC namespace of its own to be had");
		return;
	}
	if (!bench_open(&b))
		return;
	for (size_t count = 1; count <= 2; count++) {
		auto_child pid_t pid = asks_elsewhere(count);
		auto_json json_t *sem = semaphore_of(&b, pid);

		/* Which of two it waits for cannot be told without their values. */
		CHECK_INT(json_is_object(sem), count == 1);
		CHECK_INT(json_get_int(sem, "num", -1), count == 1 ? 0 : -1);
		CHECK(!json_object_get(sem, "value") && !json_object_get(sem, "last"));
	}
}

CHECK_MAIN(CHECK_CASE(the_first_operation_that_cannot_proceed_is_told),
	CHECK_CASE(who_only_gave_it_a_value_is_not_told),
	CHECK_CASE(a_set_of_another_namespace_is_not_asked))

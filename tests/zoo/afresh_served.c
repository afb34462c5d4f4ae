/* More of those of afresh.c: a server that waits for what does not come, and the client that asked it. */
#include "tests/zoo/parts_private.h"

#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void (*serve)(int client);
static int asked[2];

static void server(long i)
{
	(void)i;
	close(asked[0]);
	serve(asked[1]);
}

static void client(long i)
{
	(void)i;
	close(asked[1]);
	zoo_must(send(asked[0], "?", 1, 0) == 1);
	zoo_ready();
	zoo_receive(asked[0]);
}

static void with_client(void (*how)(int client), int more)
{
	serve = how;
	zoo_pair(asked);
	zoo_stands(2 + more);
	zoo_fork_run(server, 0);
	zoo_fork_run(client, 0);
	close(asked[0]);
	close(asked[1]);
	zoo_idle();
}

static void reads_timer(int fd)
{
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	zoo_stand();
	zoo_read(fd);
}

static void timer_never_set(void)
{
	with_client(reads_timer, 0);
}

static void ends(long i)
{
	_exit((int)i);
}

static void reads_child_signal(int fd)
{
	pid_t pid = zoo_fork_run(ends, 0);
	siginfo_t info;
	sigset_t set;

	zoo_must(!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	zoo_stand();
	zoo_read(fd);
}

static void child_signal_lost(void)
{
	with_client(reads_child_signal, 0);
}

/* What is made there ends with its processes. */
static void own_ipc(void)
{
	zoo_must(!unshare(CLONE_NEWIPC) || !unshare(CLONE_NEWUSER | CLONE_NEWIPC));
}

static int semaphores;
static struct sembuf take = {.sem_op = -1};

static void takes_and_ends(long i)
{
	zoo_must(!semop(semaphores, &take, 1));
	_exit((int)i);
}

static void takes_after(int fd)
{
	(void)fd;
	zoo_stand();
	semop(semaphores, &take, 1);
}

static void semaphore_of_the_dead(void)
{
	own_ipc();
	semaphores = semget(IPC_PRIVATE, 1, 0600);
	zoo_must(semaphores >= 0 && !semctl(semaphores, 0, SETVAL, 1));
	waitpid(zoo_fork_run(takes_and_ends, 0), NULL, 0);
	with_client(takes_after, 0);
}

static void sends_message(int fd)
{
	struct {
		long type;
		char text[512];
	} note = {.type = 1};
	int queue = msgget(IPC_PRIVATE, 0600);

	(void)fd;
	while (!msgsnd(queue, &note, sizeof(note.text), IPC_NOWAIT))
		;
	zoo_stand();
	msgsnd(queue, &note, sizeof(note.text), 0);
}

static void message_queue_full(void)
{
	own_ipc();
	with_client(sends_message, 0);
}

static void waits_for_a_daemon(int fd)
{
	pid_t pid;

	(void)fd;
	pid = zoo_fork_run(zoo_idles, 0);
	zoo_stand();
	waitpid(pid, NULL, 0);
}

static void waits_for_wrong_child(void)
{
	with_client(waits_for_a_daemon, 1);
}

static void handler(int signal)
{
	(void)signal;
	pthread_mutex_lock(&lock);
}

static void interrupted_under_mutex(int fd)
{
	(void)fd;
	pthread_mutex_lock(&lock);
	signal(SIGUSR1, handler);
	zoo_stand();
	raise(SIGUSR1);
}

static void handler_takes_mutex(void)
{
	with_client(interrupted_under_mutex, 0);
}

static void waits_after_one_shot(int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT};
	int set = epoll_create1(EPOLL_CLOEXEC);

	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, fd, &event) && epoll_wait(set, &event, 1, -1) == 1);
	zoo_stand();
	epoll_wait(set, &event, 1, -1);
}

static void one_shot_not_armed_again(void)
{
	with_client(waits_after_one_shot, 0);
}

static void watches_too_late(int fd)
{
	zoo_must(!mkdir(zoo_path("new"), 0700));
	fd = inotify_init1(IN_CLOEXEC);
	zoo_must(inotify_add_watch(fd, zoo_path("new"), IN_CREATE) >= 0);
	zoo_stand();
	zoo_read(fd);
}

static void watched_too_late(void)
{
	with_client(watches_too_late, 0);
}

static void tracee(int fd)
{
	(void)fd;
	zoo_blame();
	zoo_meet(2);
	zoo_ready();
	zoo_stand_for_ever();
}

static void leaves_it_stopped(long pid)
{
	int status;

	zoo_await(&zoo_board->go, 1);
	zoo_must(!ptrace(PTRACE_SEIZE, (pid_t)pid, NULL, NULL) &&
		 !ptrace(PTRACE_INTERRUPT, (pid_t)pid, NULL, NULL) &&
		 waitpid((pid_t)pid, &status, __WALL) == pid);
	zoo_stand();
	zoo_idle();
}

static void traced_and_left(void)
{
	pid_t pid;

	serve = tracee;
	zoo_pair(asked);
	zoo_stands(2);
	pid = zoo_fork_run(server, 0);
	zoo_fork_run(client, 0);
	zoo_fork_run(leaves_it_stopped, pid);
	close(asked[0]);
	close(asked[1]);
	zoo_idle();
}

const struct zoo_case zoo_afresh_served[] = {
	{"timer-never-set", "lost-wakeup", "agent", timer_never_set, 0, 0},
	{"child-signal-lost", "lost-wakeup", "store", child_signal_lost, 0, 0},
	{"semaphore-of-the-dead", "lost-wakeup", "lookup", semaphore_of_the_dead, 0, 0},
	{"message-queue-full", "lost-wakeup", "queue", message_queue_full, 0, 0},
	{"waits-for-wrong-child", "lost-wakeup", "agent", waits_for_wrong_child, 0, 0},
	{"handler-takes-mutex", "deadlock", "session", handler_takes_mutex, 0, 0},
	{"one-shot-not-armed-again", "lost-wakeup", "session", one_shot_not_armed_again, 0, 0},
	{"watched-too-late", "lost-wakeup", "queue", watched_too_late, 0, 0},
	{"traced-and-left", "stopped", "session", traced_and_left, 0, 0},
	{0},
};

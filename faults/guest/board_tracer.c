#include "faults/guest/board_tracer.h"

#include "faults/guest/board_connector.h"
#include "faults/guest/board_glob.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_MS	  1000 /* whoever is not in the kernel for longer has stopped by then */
#define STOPS_MAX 256  /* in a row, before orders and newcomers are looked at */
#define OPTIONS                                                                                   \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | \
		PTRACE_O_TRACEEXEC)

static struct tracer tracer;
static int stops_fd, newcomers_fd; /* SIGCHLD; -1: the kernel does not tell */

/* ---- who is traced ---- */

static struct tracee *find(pid_t tid)
{
	for (size_t i = 0; i < tracer.top; i++)
		if (tracer.tracees[i].tid == tid)
			return &tracer.tracees[i];
	return NULL;
}

static uint32_t rules_of(pid_t pid)
{
	char exe[BOARD_PATH_SIZE];
	uint32_t rules = 0;

	if (!board_link_of(pid, "exe", exe, sizeof(exe)))
		return 0;
	for (uint32_t left = tracer.in_force; left; left &= left - 1) {
		uint32_t index = (uint32_t)__builtin_ctz(left);

		if (board_globs_match(tracer.rules[index].trace, exe))
			rules |= 1u << index;
	}
	return rules;
}

/* NULL: there is no room for one more. */
static struct tracee *add(pid_t tid, pid_t pid, uint32_t rules)
{
	struct tracee *tracee = find(0);

	if (!tracee && tracer.top < TRACEES_MAX)
		tracee = &tracer.tracees[tracer.top++];
	if (tracee)
		*tracee = (struct tracee){.tid = tid, .pid = pid, .rules = rules};
	else
		for (; rules; rules &= rules - 1)
			atomic_fetch_add(&tracer.board->slots[__builtin_ctz(rules)].missed, 1);
	return tracee;
}

static void forget(struct tracee *tracee)
{
	*tracee = (struct tracee){0};
	while (tracer.top && !tracer.tracees[tracer.top - 1].tid)
		tracer.top--;
}

/* A number of /proc/TID/status, or -1. */
static pid_t status_number(pid_t tid, const char *key)
{
	char path[40], line[256];
	pid_t number = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	file = fopen(path, "re");
	while (file && number < 0 && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			number = (pid_t)strtol(line + strlen(key), NULL, 10);
	if (file)
		fclose(file);
	return number;
}

/* 1: seized; 0: it is gone, or we have it; -EBUSY: somebody else traces it. */
static int seize(pid_t tid, pid_t pid, uint32_t rules)
{
	struct tracee *tracee = find(tid);
	pid_t other;

	if (tracee)
		return 0;
	if (ptrace(PTRACE_SEIZE, tid, NULL, OPTIONS)) {
		other = errno == EPERM ? status_number(tid, "TracerPid:") : 0;
		return other > 0 && other != getpid() ? -EBUSY : 0;
	}
	tracee = add(tid, pid, rules);
	if (tracee)
		tracee->fresh = true;
	ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	return 1;
}

/* All threads; again, until there are no more: one that is not seized yet may make others. */
static int seize_process(pid_t pid, uint32_t rules)
{
	char path[40];
	int rc = 1;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	while (rc == 1) {
		DIR *tasks = opendir(path);
		struct dirent *entry;

		rc = 0;
		while (tasks && rc >= 0 && (entry = readdir(tasks))) {
			pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
			int one = tid > 0 ? seize(tid, pid, rules) : 0;

			rc = one ? one : rc;
		}
		if (tasks)
			closedir(tasks);
	}
	return rc;
}

static void take_newcomer(const struct proc_event *event)
{
	pid_t pid = event->event_data.exec.process_tgid;
	uint32_t rules = event->what == PROC_EVENT_EXEC && !find(pid) ? rules_of(pid) : 0;

	if (rules && seize_process(pid, rules) < 0)
		for (; rules; rules &= rules - 1)
			atomic_fetch_add(&tracer.board->slots[__builtin_ctz(rules)].missed, 1);
}

static void read_newcomers(void)
{
	bool lost = false;

	if (newcomers_fd < 0)
		return;
	board_connector_read(newcomers_fd, take_newcomer, &lost);
	for (uint32_t left = lost ? tracer.in_force : 0; left; left &= left - 1)
		atomic_fetch_add(&tracer.board->slots[__builtin_ctz(left)].missed, 1);
}

/* ---- stops ---- */

static bool stops_a_group(int sig)
{
	return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

/* It runs another program now: its other threads are gone, and so is the call it was in. */
static void begins_program(struct tracee *tracee)
{
	struct tracee now = {
		.tid = tracee->tid, .pid = tracee->pid, .rules = rules_of(tracee->pid)};

	for (size_t i = 0; i < tracer.top; i++)
		if (tracer.tracees[i].pid == now.pid && &tracer.tracees[i] != tracee)
			tracer.tracees[i] = (struct tracee){0};
	*tracee = now;
}

/*
 * On with it, or away from it if no rule means it any more; `sig` is its own. Not away at the beginning of a call:
 * whoever is let go out of a stop finds a signal pending that is none, by which a wait that `begins` would be cut off.
 */
static void go_on(struct tracee *tracee, int sig, bool begins)
{
	bool stays = tracee->rules || tracee->failing || tracee->shortened;
	enum __ptrace_request how = stays || begins ? PTRACE_SYSCALL : PTRACE_DETACH;

	if (!stays && begins && !tracer.in_force)
		how = PTRACE_CONT; /* and no more stops: we are about to end */
	if (ptrace(how, tracee->tid, NULL, (long)sig) && errno == ESRCH)
		return; /* killed: its end is still to be told */
	if (how == PTRACE_DETACH)
		forget(tracee);
}

static void at_stop(struct tracee *tracee, int status)
{
	int sig = WSTOPSIG(status), event = status >> 16;
	bool fresh = tracee->fresh, at_call = sig == (SIGTRAP | 0x80), begins = false;

	tracee->fresh = tracee->mended =
		false; /* whatever it stopped for: there comes no other stop for that */
	if (event == PTRACE_EVENT_STOP && stops_a_group(sig)) {
		if (tracee->rules)
			ptrace(PTRACE_LISTEN, tracee->tid, NULL, NULL);
		else
			go_on(tracee, 0, false);
		return;
	}
	if (event == PTRACE_EVENT_EXEC)
		begins_program(tracee);
	else if (at_call)
		begins = tracer_at_call(&tracer, tracee);
	if (fresh && (event == PTRACE_EVENT_STOP || at_call))
		tracer_mend(tracee);
	go_on(tracee, event || at_call ? 0 : sig, begins);
}

/* A thread or child of a tracee is ours before we hear of it. */
static struct tracee *meet_child(pid_t tid)
{
	pid_t pid = status_number(tid, "Tgid:");
	struct tracee *tracee = pid > 0 ? add(tid, pid, rules_of(pid)) : NULL;

	if (!tracee)
		ptrace(PTRACE_DETACH, tid, NULL, NULL);
	return tracee;
}

/* True: there may be more. */
static bool take_stops(void)
{
	int status;
	pid_t tid;

	for (int i = 0; i < STOPS_MAX; i++) {
		struct tracee *tracee;

		tid = waitpid(-1, &status, __WALL | WNOHANG);
		if (tid <= 0)
			return false;
		tracee = find(tid);
		if (!WIFSTOPPED(status)) {
			if (tracee)
				forget(tracee);
			continue;
		}
		if (!tracee)
			tracee = meet_child(tid);
		if (tracee)
			at_stop(tracee, status);
	}
	return true;
}

static void drain(int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof(info)) > 0)
		;
}

static bool any_to_stop(void)
{
	for (size_t i = 0; i < tracer.top; i++)
		if (tracer.tracees[i].fresh || tracer.tracees[i].mended)
			return true;
	return false;
}

/* Of all who are to stop. Who waits in the kernel for a disk comes to it later. */
static void take_first_stops(void)
{
	int64_t until = board_ns(CLOCK_MONOTONIC) + STOP_MS * INT64_C(1000000), left;
	bool more = false;

	while (any_to_stop() && (left = until - board_ns(CLOCK_MONOTONIC)) > 0) {
		struct pollfd fd = {.fd = stops_fd, .events = POLLIN};

		if (poll(&fd, 1, more ? 0 : (int)(left / 1000000) + 1) > 0)
			drain(stops_fd);
		more = take_stops();
	}
}

/*
 * Before we end, and with us all that we hold: a call that waits still and is short gets its own count back, and
 * nobody is left in a stop.
 */
static void let_all_go(void)
{
	tracer.in_force = 0;
	for (size_t i = 0; i < tracer.top; i++) {
		struct tracee *tracee = &tracer.tracees[i];

		tracee->rules = 0;
		tracee->fresh |= tracee->shortened;
		if (tracee->shortened)
			ptrace(PTRACE_INTERRUPT, tracee->tid, NULL, NULL);
	}
	take_first_stops();
	while (take_stops())
		;
}

/* ---- orders ---- */

static int seize_all(uint32_t rule, struct board_answer *answer)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int rc = 0;

	while (proc && !rc && (entry = readdir(proc))) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		uint32_t rules = pid > 0 && pid != getpid() ? rules_of(pid) : 0;

		if (!(rules & rule))
			continue;
		rc = seize_process(pid, rules);
		if (rc)
			snprintf(answer->why, sizeof(answer->why),
				"process %d is traced by process %d already, so no call of it can "
				"be met",
				pid, status_number(pid, "TracerPid:"));
	}
	if (proc)
		closedir(proc);
	return rc;
}

static void change_rules(uint32_t with, uint32_t without)
{
	tracer.in_force = (tracer.in_force | with) & ~without;
	for (size_t i = 0; i < tracer.top; i++)
		if (tracer.tracees[i].tid)
			tracer.tracees[i].rules = rules_of(tracer.tracees[i].pid);
}

static void obey(const struct board_order *order, struct board_answer *answer)
{
	uint32_t bit = 1u << order->rule.slot % BOARD_SLOTS_MAX;

	if (!order->arm) {
		change_rules(0, bit);
		return;
	}
	tracer.rules[order->rule.slot % BOARD_SLOTS_MAX] = order->rule;
	change_rules(bit, 0);
	answer->rc = seize_all(bit, answer);
	if (answer->rc)
		change_rules(0, bit);
	else
		take_first_stops();
}

/* False: that was the last. */
static bool take_order(int orders)
{
	struct board_answer answer = {0};
	struct board_order order;

	if (recv(orders, &order, sizeof(order), 0) != sizeof(order))
		return false;
	obey(&order, &answer);
	send(orders, &answer, sizeof(answer), MSG_NOSIGNAL);
	return tracer.in_force != 0;
}

void board_tracer_run(int orders, struct board *board)
{
	struct pollfd fds[3] = {{.fd = orders, .events = POLLIN}};
	bool more = false;
	sigset_t all;

	signal(SIGCHLD, SIG_DFL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&all);
	sigaddset(&all, SIGCHLD);
	tracer.board = board;
	stops_fd = signalfd(-1, &all, SFD_NONBLOCK | SFD_CLOEXEC);
	newcomers_fd = board_connector_open();
	fds[1] = (struct pollfd){.fd = stops_fd, .events = POLLIN};
	fds[2] = (struct pollfd){.fd = newcomers_fd, .events = POLLIN};
	for (;;) {
		if (poll(fds, 3, more ? 0 : -1) > 0 && fds[1].revents)
			drain(stops_fd);
		more = take_stops();
		read_newcomers();
		if (fds[0].revents && !take_order(orders))
			break;
	}
	let_all_go();
}

#include "faults/guest/board_tracer.h"

#include "faults/guest/board_syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

#define STATUS_MAX 4096
#define PAGE	   UINT64_C(4096)

/* include/linux/errno.h of the kernel, what a call gives that is made again: no tracee ever sees it. */
#define AGAIN_FIRST 512 /* ERESTARTSYS */
#define AGAIN_LAST  516 /* ERESTART_RESTARTBLOCK */

/* A call at a row of the table, and the rule that may mean it. */
struct met {
	struct tracee *tracee;
	const struct board_syscall *call;
	const uint64_t *args;
	const struct board_rule *rule;
	struct board_slot *slot;
	uint64_t hit;
	char path[BOARD_PATH_SIZE];
};

static const size_t arg_at[] = {offsetof(struct user_regs_struct, rdi),
	offsetof(struct user_regs_struct, rsi), offsetof(struct user_regs_struct, rdx),
	offsetof(struct user_regs_struct, r10), offsetof(struct user_regs_struct, r8),
	offsetof(struct user_regs_struct, r9)};

/* struct user begins with the registers. A tracee that is gone by now needs none. */
static void set_register(const struct tracee *tracee, size_t offset, uint64_t value)
{
	ptrace(PTRACE_POKEUSER, tracee->tid, offset, value);
}

/* ---- what the call acts on ---- */

/* Up to the first NUL, page by page: the next may not be there. */
static bool read_text(pid_t tid, uint64_t at, char *to, size_t size)
{
	for (size_t len = 0; len < size;) {
		size_t room = size - len, page = PAGE - (at + len) % PAGE;
		struct iovec here = {to + len, room < page ? room : page};
		struct iovec there = {(void *)(uintptr_t)(at + len), here.iov_len};
		ssize_t got = process_vm_readv(tid, &here, 1, &there, 1, 0);

		if (got <= 0)
			return false;
		if (memchr(to + len, '\0', (size_t)got))
			return true;
		len += (size_t)got;
	}
	return false;
}

/* A socket's link is no path, and known. */
static bool place_fd(void *arg, int fd, char *to)
{
	const struct met *met = arg;
	char what[24];

	to[0] = '\0';
	snprintf(what, sizeof(what), "fd/%d", fd);
	return fd >= 0 && (board_link_of(met->tracee->tid, what, to, BOARD_PATH_SIZE) ||
				  (to[0] && to[0] != '/'));
}

static bool place_path(void *arg, int dir, const char *path, char *to)
{
	const struct met *met = arg;

	if (!board_place_path(met->tracee->tid, dir, path, to, BOARD_PATH_SIZE))
		return false;
	board_tidy(to);
	return true;
}

static int means_path(struct met *met)
{
	const struct board_places places = {place_fd, place_path, met};
	struct board_subject subject = {.has_fd = met->call->fd >= 0,
		.fd = met->call->fd >= 0 ? (int)met->args[met->call->fd] : -1};
	char text[2][BOARD_PATH_SIZE];
	bool known = true;
	int matches;

	for (size_t i = 0; i < 2; i++) {
		if (met->call->path[i] < 0)
			continue;
		if (!read_text(met->tracee->tid, met->args[met->call->path[i]], text[i],
			    sizeof(text[i]))) {
			known = false;
			continue;
		}
		subject.path[i] = text[i];
		subject.dir[i] =
			met->call->dir[i] < 0 ? AT_FDCWD : (int)met->args[met->call->dir[i]];
	}
	matches = board_subject_matches(&subject, met->rule->path, &places, met->path);
	if (matches < 0 || (!matches && !known))
		atomic_fetch_add(&met->slot->missed, 1);
	return matches > 0;
}

static enum board_kind kind_of(const struct met *met)
{
	char path[64];
	struct stat st;

	if (met->call->fd < 0)
		return BOARD_KIND_NONE;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", met->tracee->tid,
		(int)met->args[met->call->fd]);
	return stat(path, &st) ? BOARD_KIND_OTHER : board_kind_of(st.st_mode);
}

static bool means_call(struct met *met)
{
	const struct board_rule *rule = met->rule;

	if (rule->kinds && !(rule->kinds & 1u << kind_of(met)))
		return false;
	if (rule->action == BOARD_SHORTEN && (met->call->count < 0 || !met->args[met->call->count]))
		return false;
	return means_path(met);
}

/* ---- what is done to it ---- */

static void tell(struct tracer *tracer, const struct met *met, enum board_event_what what)
{
	struct board_event event = {.what = what,
		.slot = met->rule->slot,
		.epoch = met->rule->epoch,
		.pid = met->tracee->pid,
		.tid = met->tracee->tid,
		.value = met->rule->value,
		.count = met->hit};
	char exe[BOARD_PATH_SIZE] = "";

	if (!board_link_of(met->tracee->pid, "exe", exe, sizeof(exe)))
		exe[0] = '\0';
	board_copy(event.call, sizeof(event.call), met->call->name);
	board_copy(event.exe, sizeof(event.exe), exe);
	board_copy(event.path, sizeof(event.path), met->path);
	board_tell(tracer->board, &event);
}

/*
 * No call has the number -1. What it gives stands from now on: it holds even if we end before the call does. A close()
 * is made all the same: Linux frees the descriptor also when it gives an error, EBADF apart.
 */
static void fail(struct tracee *tracee, uint16_t point, int errnum)
{
	tracee->failing = errnum;
	if (point == POINT_CLOSE && errnum != EBADF)
		return;
	set_register(tracee, offsetof(struct user_regs_struct, orig_rax), UINT64_MAX);
	set_register(tracee, offsetof(struct user_regs_struct, rax), (uint64_t)-errnum);
}

/* True: the call is over. */
static bool act(struct tracer *tracer, const struct met *met)
{
	struct tracee *tracee = met->tracee;
	uint64_t value = (uint64_t)met->rule->value;

	switch (met->rule->action) {
	case BOARD_FAIL:
		tell(tracer, met, BOARD_EVENT_FAILED);
		fail(tracee, met->call->point, met->rule->value);
		return true;
	case BOARD_SHORTEN:
		tell(tracer, met, BOARD_EVENT_SHORTENED);
		if (value < met->args[met->call->count] && !tracee->shortened) {
			tracee->shortened = true;
			tracee->count = met->args[met->call->count];
			tracee->count_arg = (uint8_t)met->call->count;
			set_register(tracee, arg_at[tracee->count_arg], value);
		}
		return false;
	case BOARD_KILL:
		tell(tracer, met, BOARD_EVENT_KILLED);
		syscall(SYS_tgkill, tracee->pid, tracee->tid, met->rule->value);
		return met->rule->value == SIGKILL;
	default:
		tell(tracer, met, BOARD_EVENT_HIT);
		return false;
	}
}

static bool meet(struct tracer *tracer, struct met *met)
{
	const struct board_rule *rule = met->rule;
	struct board_slot *slot = met->slot;

	if ((rule->pid && rule->pid != met->tracee->pid) ||
		(rule->tid && rule->tid != met->tracee->tid))
		return false;
	atomic_fetch_add(&slot->met, 1);
	if (!means_call(met) || atomic_load(&slot->epoch) != rule->epoch)
		return false;
	met->hit = atomic_fetch_add(&slot->hits, 1) + 1;
	if (!board_hit_acts(met->hit, rule->hit, rule->calls))
		return false;
	board_note_fired(slot, met->tracee->pid, met->tracee->tid, met->path);
	return act(tracer, met);
}

static bool meet_row(struct tracer *tracer, struct tracee *tracee, const struct board_syscall *call,
	const uint64_t args[6])
{
	uint32_t rules = tracee->rules & tracer->in_force;

	for (; rules; rules &= rules - 1) {
		uint32_t index = (uint32_t)__builtin_ctz(rules);
		struct met met = {.tracee = tracee,
			.call = call,
			.args = args,
			.rule = &tracer->rules[index],
			.slot = &tracer->board->slots[index]};

		if (met.rule->point == call->point && meet(tracer, &met))
			return true;
	}
	return false;
}

static void begins(
	struct tracer *tracer, struct tracee *tracee, const struct __ptrace_syscall_info *info)
{
	const uint64_t *args = (const uint64_t *)info->entry.args;
	const struct board_syscall *call = NULL;
	uint64_t number = info->entry.nr;

	if (tracee->again_ip == info->instruction_pointer && tracee->again_number == number) {
		tracee->again_ip = 0;
		return;
	}
	while ((call = board_syscall_next(call, number, args)))
		if (meet_row(tracer, tracee, call, args))
			return;
}

/* ---- how it ends ---- */

void tracer_put_back(struct tracee *tracee)
{
	if (tracee->shortened)
		set_register(tracee, arg_at[tracee->count_arg], tracee->count);
	tracee->shortened = false;
}

static bool is_made_again(int64_t result)
{
	return result <= -AGAIN_FIRST && result >= -AGAIN_LAST;
}

static void ends(struct tracee *tracee, const struct __ptrace_syscall_info *info)
{
	struct user_regs_struct regs;

	if (tracee->failing)
		set_register(
			tracee, offsetof(struct user_regs_struct, rax), (uint64_t)-tracee->failing);
	else if (is_made_again(info->exit.rval) &&
		 !ptrace(PTRACE_GETREGS, tracee->tid, NULL, &regs)) {
		tracee->again_number = regs.orig_rax;
		tracee->again_ip = regs.rip;
	}
	tracee->failing = 0;
	tracer_put_back(tracee);
}

bool tracer_at_call(struct tracer *tracer, struct tracee *tracee)
{
	struct __ptrace_syscall_info info = {0};

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tracee->tid, sizeof(info), &info) <= 0 ||
		info.arch != AUDIT_ARCH_X86_64)
		return info.op == PTRACE_SYSCALL_INFO_ENTRY;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		begins(tracer, tracee, &info);
	else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		ends(tracee, &info);
	return info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

/* ---- the first stop ---- */

/* Waits that give EINTR after any stop (signal(7)), and may as well begin again. */
static bool is_wait(uint64_t number)
{
	static const uint16_t waits[] = {SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_pwait2,
		SYS_rt_sigtimedwait, SYS_semop, SYS_semtimedop, SYS_io_getevents, SYS_read,
		SYS_recvfrom, SYS_recvmsg, SYS_accept, SYS_accept4};

	for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
		if (waits[i] == number)
			return true;
	return false;
}

static uint64_t status_mask(const char *status, const char *key)
{
	const char *at = strstr(status, key);

	return at ? strtoull(at + strlen(key), NULL, 16) : 0;
}

/* One that it does not hold back: then it was that which ended the wait. */
static bool has_signal(pid_t tid)
{
	char path[40], text[STATUS_MAX];
	ssize_t len = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		len = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	if (len <= 0)
		return true;
	text[len] = '\0';
	return (status_mask(text, "\nSigPnd:") | status_mask(text, "\nShdPnd:")) &
	       ~status_mask(text, "\nSigBlk:");
}

void tracer_mend(struct tracee *tracee)
{
	struct user_regs_struct regs;
	int64_t result;

	tracer_put_back(tracee);
	if (ptrace(PTRACE_GETREGS, tracee->tid, NULL, &regs) || (int64_t)regs.orig_rax < 0)
		return;
	result = (int64_t)regs.rax;
	if (!is_made_again(result) &&
		(result != -EINTR || !is_wait(regs.orig_rax) || has_signal(tracee->tid)))
		return;
	tracee->mended = true;
	tracee->again_number = regs.orig_rax;
	tracee->again_ip = regs.rip;
	if (result != -EINTR)
		return; /* the kernel does it */
	regs.rax = regs.orig_rax;
	regs.rip -= 2; /* back to its instruction, as the kernel does (arch_do_signal_or_restart) */
	ptrace(PTRACE_SETREGS, tracee->tid, NULL, &regs);
}

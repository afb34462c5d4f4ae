/*
 * Telling the witness, and standing still until it says go on.
 */
#include "faults/guest/rigfault.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void rig_tell(const struct meeting *meeting, enum board_event_what what)
{
	struct board_event event = {.what = what,
		.slot = meeting->index,
		.epoch = meeting->epoch,
		.pid = meeting->pid,
		.tid = meeting->tid,
		.value = meeting->slot->value,
		.count = meeting->hit};
	char scratch[BOARD_PATH_SIZE];

	board_copy(event.call, sizeof(event.call), meeting->call->name);
	board_copy(event.exe, sizeof(event.exe), rig_exe(scratch));
	board_copy(event.path, sizeof(event.path), meeting->path);
	board_tell(rig_board, &event);
}

static struct board_park *claim(const struct meeting *meeting)
{
	for (uint32_t i = 0; i < BOARD_PARKS_MAX; i++) {
		struct board_park *park =
			&rig_board->parks[((uint32_t)meeting->tid + i) % BOARD_PARKS_MAX];
		int32_t owner = atomic_load(&park->tid);

		/* Ours already: a handler left the last park by a long jump. */
		if (owner == meeting->tid && atomic_load(&park->word) == BOARD_PARKED)
			return park;
		if (!owner && atomic_compare_exchange_strong(&park->tid, &owner, meeting->tid))
			return park;
	}
	return NULL;
}

static void describe(struct board_park *park, const struct meeting *meeting)
{
	char scratch[BOARD_PATH_SIZE];

	park->pid = meeting->pid;
	park->slot = meeting->index;
	park->epoch = meeting->epoch;
	park->since_ns = board_ns(CLOCK_MONOTONIC);
	park->boot_ns = board_ns(CLOCK_BOOTTIME);
	board_copy(park->call, sizeof(park->call), meeting->call->name);
	board_copy(park->exe, sizeof(park->exe), rig_exe(scratch));
	board_copy(park->path, sizeof(park->path), meeting->path);
	atomic_store(&rig_board->parked, 1);
	atomic_store(&park->word, BOARD_PARKED);
}

/* The rule was taken back, or its parked tasks released, between the decision and the park. */
static bool let_go(const struct meeting *meeting)
{
	return atomic_load(&meeting->slot->epoch) != meeting->epoch ||
	       atomic_load(&meeting->slot->releases) != meeting->releases;
}

/*
 * Wait as the kernel would. A futex wait without a limit is restarted after a handler with
 * SA_RESTART and gives EINTR after one without, as flock() and read() do. One with a limit gives
 * EINTR after any handler, as poll() does; a limit at the end of time sets no timer.
 */
static int wait_released(
	_Atomic uint32_t *word, enum waits waits, bool limited, const struct timespec *limit)
{
	static const struct timespec never = {.tv_sec = INT64_MAX / 1000000000};
	const struct timespec *until = limited ? limit : waits == WAITS_EINTR ? &never : NULL;

	while (atomic_load(word) == BOARD_PARKED) {
		int err = rig_futex_wait(word, BOARD_PARKED, until);

		if (err == -ETIMEDOUT && limited)
			return -ETIMEDOUT;
		if (err == -EINTR && (waits == WAITS_EINTR || waits == WAITS_RESTARTABLE))
			return -EINTR;
	}
	return 0;
}

/* As the kernel has it (sigaction(2) of x86-64 and arm64), which libc's struct is not. */
struct kernel_action {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

/*
 * A signal that came since they were held back will run its handler when they are let through, just
 * before the wait: for a call that the handler ought to have interrupted, that is too early. So it is
 * looked at first. What is left is a signal between the two system calls, as in any program.
 */
static bool interrupts(const sigset_t *mask, enum waits waits)
{
	uint64_t pending = 0, blocked;

	memcpy(&blocked, mask, sizeof(blocked));
	if (waits == WAITS_PATIENT || syscall(SYS_rt_sigpending, &pending, sizeof(pending)))
		return false;
	for (pending &= ~blocked; pending; pending &= pending - 1) {
		struct kernel_action action = {0};

		syscall(SYS_rt_sigaction, __builtin_ctzll(pending) + 1, NULL, &action,
			sizeof(action.mask));
		if (action.handler != SIG_DFL && action.handler != SIG_IGN &&
			(waits == WAITS_EINTR || !(action.flags & SA_RESTART)))
			return true;
	}
	return false;
}

static int wait_with_signals(struct board_park *park, const struct meeting *meeting,
	const sigset_t *mask, const struct timespec *until)
{
	bool over = interrupts(mask, meeting->waits);
	sigset_t held;
	int err;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, &held, _NSIG / 8);
	err = over ? -EINTR
		   : wait_released(&park->word, meeting->waits, meeting->call->limited, until);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &held, NULL, _NSIG / 8);
	return err;
}

static bool stand_still(struct meeting *meeting, struct board_park *park)
{
	struct call *call = meeting->call;
	int64_t until_ns = board_ns(CLOCK_MONOTONIC) + call->limit_ns;
	struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
	const sigset_t *mask = call->mask ? call->mask : &meeting->mask;
	int err;

	if (meeting->waits == WAITS_DISK)
		err = wait_released(&park->word, WAITS_DISK, call->limited, &until);
	else
		err = wait_with_signals(park, meeting, mask, &until);
	if (err == -EINTR)
		call->err = EINTR;
	else if (err && call->timeout_option)
		call->err = call->point == POINT_CONNECT ? EINPROGRESS : EAGAIN;
	else if (err)
		call->expired = true;
	return err && !call->expired;
}

bool rig_park(struct meeting *meeting)
{
	struct board_park *park = claim(meeting);
	bool over = false;

	if (!park) {
		atomic_fetch_add(&meeting->slot->missed, 1);
		return false;
	}
	describe(park, meeting);
	rig_frees_hold();
	rig_tell(meeting, BOARD_EVENT_PARKED);
	if (!let_go(meeting))
		over = stand_still(meeting, park);
	rig_frees_let_go();
	atomic_store(&park->word, BOARD_CLAIMED);
	atomic_store(&park->boot_ns, 0);
	atomic_store(&park->tid, 0);
	rig_tell(meeting, BOARD_EVENT_RELEASED);
	return over;
}

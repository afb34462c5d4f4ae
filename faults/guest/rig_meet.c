/*
 * A call came to a point that is armed: which rules mean it, and what they do to it.
 */
#include "faults/guest/rigfault.h"

#include "faults/guest/board_glob.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What this process knows of each slot: the rule's epoch, and whether it means this program. A
 * rule for another program then costs two loads. */
static _Atomic uint64_t verdicts[BOARD_SLOTS_MAX];
#define VERDICT(epoch, means) ((uint64_t)(epoch) << 1 | (means))

static bool refused_before(uint32_t index, uint32_t epoch)
{
	return atomic_load_explicit(&verdicts[index], memory_order_relaxed) == VERDICT(epoch, 0);
}

static __attribute__((noinline)) bool means_program(struct meeting *meeting)
{
	char scratch[BOARD_PATH_SIZE], globs[BOARD_RULE_SIZE];
	const char *exe;
	bool means;

	if (!meeting->slot->exe[0] ||
		atomic_load(&verdicts[meeting->index]) == VERDICT(meeting->epoch, 1))
		return true;
	exe = rig_exe(scratch);
	if (!*exe) {
		atomic_fetch_add(&meeting->slot->missed, 1);
		return false;
	}
	memcpy(globs, meeting->slot->exe, sizeof(globs));
	globs[sizeof(globs) - 1] = '\0';
	means = board_globs_match(globs, exe);
	if (atomic_load(&meeting->slot->epoch) == meeting->epoch)
		atomic_store(&verdicts[meeting->index], VERDICT(meeting->epoch, means));
	return means;
}

static bool means_task(struct meeting *meeting)
{
	const struct board_slot *slot = meeting->slot;

	meeting->pid = (int32_t)syscall(SYS_getpid);
	meeting->tid = (int32_t)syscall(SYS_gettid);
	return (!slot->pid || slot->pid == meeting->pid) &&
	       (!slot->tid || slot->tid == meeting->tid);
}

static __attribute__((noinline)) bool means_path(struct meeting *meeting)
{
	char globs[BOARD_RULE_SIZE];
	int matches;

	memcpy(globs, meeting->slot->path, sizeof(globs));
	globs[sizeof(globs) - 1] = '\0';
	matches = rig_path_matches(meeting, globs);
	if (matches < 0)
		atomic_fetch_add(&meeting->slot->missed, 1);
	return matches > 0;
}

static __attribute__((noinline)) bool means_caller(const struct meeting *meeting)
{
	char name[BOARD_NAME_SIZE];
	int inside;

	memcpy(name, meeting->slot->caller, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	inside = rig_is_inside(name, meeting->call->from);
	if (inside < 0)
		atomic_fetch_add(&meeting->slot->strangers, 1);
	return inside > 0;
}

static bool means_call(struct meeting *meeting)
{
	struct board_slot *slot = meeting->slot;
	struct call *call = meeting->call;

	if (slot->caller[0] && !means_caller(meeting))
		return false;
	meeting->kind = call->on.has_fd ? rig_kind(call->on.fd) : BOARD_KIND_NONE;
	if (slot->kinds && !(slot->kinds & 1u << meeting->kind))
		return false;
	if (slot->action == BOARD_PARK && !rig_could_block(meeting))
		return false;
	if (slot->action == BOARD_SHORTEN && !(call->counted && call->count))
		return false;
	return means_path(meeting);
}

/* libfiu's callback: the n-th hit, and how many from there. */
bool rig_decide(struct meeting *meeting)
{
	return board_hit_acts(meeting->hit, meeting->slot->hit, meeting->slot->calls);
}

/* True: the call is over. */
static bool act(struct meeting *meeting)
{
	struct call *call = meeting->call;
	int32_t value = meeting->slot->value;

	switch (meeting->slot->action) {
	case BOARD_PARK:
		return rig_park(meeting);
	case BOARD_FAIL:
		rig_tell(meeting, BOARD_EVENT_FAILED);
		call->err = value;
		return true;
	case BOARD_SHORTEN:
		rig_tell(meeting, BOARD_EVENT_SHORTENED);
		if (value > 0 && (size_t)value < call->count)
			call->count = (size_t)value;
		return false;
	case BOARD_KILL:
		rig_tell(meeting, BOARD_EVENT_KILLED);
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &meeting->mask, NULL, _NSIG / 8);
		syscall(SYS_tgkill, meeting->pid, meeting->tid, value);
		return false;
	default:
		rig_tell(meeting, BOARD_EVENT_HIT);
		return false;
	}
}

static const char *point_name(uint32_t point, char *scratch)
{
	if (point < POINT_COUNT)
		return board_point_rows[point].name;
	memcpy(scratch, rig_board->names[point - BOARD_FIRST_NAME].name, BOARD_NAME_SIZE);
	scratch[BOARD_NAME_SIZE - 1] = '\0';
	return scratch;
}

static bool meet_held(struct meeting *meeting)
{
	struct board_slot *slot = meeting->slot;
	uint32_t point = meeting->call->point;
	char scratch[BOARD_NAME_SIZE];

	if (!means_program(meeting) || !means_task(meeting))
		return false;
	atomic_fetch_add(&slot->met, 1);
	if (!means_call(meeting) || atomic_load(&slot->epoch) != meeting->epoch)
		return false;
	meeting->releases = atomic_load(&slot->releases);
	meeting->hit = atomic_fetch_add(&slot->hits, 1) + 1;
	if (!rig_ask_libfiu(point, point_name(point, scratch), meeting))
		return false;
	board_note_fired(slot, meeting->pid, meeting->tid, meeting->path);
	return act(meeting);
}

/* A rule that may mean this process. All signals are held back: a handler of this thread never
 * finds a decision half made, nor leaves one by a long jump. */
static __attribute__((noinline)) bool meet_slot(struct call *call, uint32_t index, uint32_t epoch)
{
	struct meeting meeting = {
		.call = call, .slot = &rig_board->slots[index], .index = index, .epoch = epoch};
	static const uint64_t all = UINT64_MAX;
	bool over;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &meeting.mask, _NSIG / 8);
	over = meet_held(&meeting);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &meeting.mask, NULL, _NSIG / 8);
	return over;
}

bool rig_meet(struct call *call)
{
	uint32_t armed = atomic_load_explicit(&rig_armed[call->point], memory_order_acquire);
	int keep = errno;
	bool over = false;

	for (; armed && !over; armed &= armed - 1) {
		uint32_t index = (uint32_t)__builtin_ctz(armed);
		const struct board_slot *slot = &rig_board->slots[index];
		uint32_t epoch = atomic_load_explicit(&slot->epoch, memory_order_acquire);

		if (epoch % 2 && !refused_before(index, epoch) && slot->point == call->point)
			over = meet_slot(call, index, epoch);
	}
	errno = over && !call->keeps_errno ? call->err : keep;
	return over;
}

/*
 * Faults at a libc call: the n-th hit of a point, in the processes of a role, on the paths named.
 *
 * park: the call stands still and has not happened yet; released, it happens as if nothing had been.
 * errno: it fails with a chosen errno, so many times, without being made.
 * short: it transfers less than it was asked to, as POSIX allows at any time; a store that takes a short write for
 * a whole one loses mail.
 * kill: its process dies by SIGKILL before the call is made. What it held (locks, half-written files, the other end of
 * a dialogue) is left as a crash leaves it, and there is nothing to heal but the rule: the store's own master has to
 * start another. Where none does so, the target's command `revive` is what its operator would do.
 *
 * All but park are done by ptrace where the preload does not reach a program of the role (faults/guest/board_tracer.h).
 */
#include "api/call_rule.h"
#include "api/store_command.h"
#include "faults/guest/board_points.h"
#include "faults/guest/board_syscalls.h"

#include <ctype.h>
#include <string.h>

/* clang-format off */
#define POINT_PARAM                                                                                 \
	{"point", true,                                                                             \
		"the call: posix/io/sync/fsync, posix/io/dir/rename ... or a point of the store"},

static const struct fault_param plain[] = {POINT_PARAM CALL_RULE_PARAMS};

static const struct fault_param failing[] = {
	POINT_PARAM
	{"errno", true, "what it returns: EIO, ENOSPC ..."},
	CALL_RULE_PARAMS
};

static const struct fault_param shortened[] = {
	{"point", true, "the call: posix/io/rw/write, posix/io/net/recv ..."},
	CALL_RULE_PARAMS
};
/* clang-format on */

/* The i-th point to which all of this may be done, or NULL. */
static const char *nth_that_can(size_t i, unsigned can)
{
	for (size_t p = 0; p < POINT_COUNT; p++)
		if ((board_point_rows[p].can & can) == can && !i--)
			return board_point_rows[p].name;
	return NULL;
}

static const char *any_point(size_t i)
{
	return nth_that_can(i, 0);
}

static const char *point_park(size_t i)
{
	return nth_that_can(i, BOARD_CAN_PARK);
}

static const char *point_short(size_t i)
{
	return nth_that_can(i, BOARD_CAN_SHORTEN);
}

#define point_errno any_point
#define point_kill  any_point

/* Rows of calls.h by their names alone; the point may be chosen by an argument, so it is a text. Then those of
 * calls_other.c. */
#define CALL(type, name, params, arguments, point, ...) {#name, #point},
static const struct {
	const char *name, *points;
} functions[] = {
#include "faults/guest/calls.h"
	{"open", "POINT_OPEN"},
	{"open64", "POINT_OPEN"},
	{"openat", "POINT_OPEN"},
	{"openat64", "POINT_OPEN"},
	{"fcntl", "POINT_FCNTL_LOCK"},
	{"fcntl64", "POINT_FCNTL_LOCK"},
	{"remove", "POINT_REMOVE POINT_UNLINK"},
};
#undef CALL

#define POINT_WORD(id, name, can, ...) "POINT_" #id,
static const char *const point_words[] = {BOARD_POINTS(POINT_WORD)};

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += len)
		if (at[len] != '_' && !isalnum((unsigned char)at[len]))
			return true;
	return false;
}

/* What is no point of the C library is the store's own, which it names to libfiu. */
static const char *function_at(const char *point, size_t i)
{
	int index = board_point_find(point);

	if (index < 0)
		return i ? NULL : "fiu_fail";
	for (size_t k = 0; k < ARRAY_SIZE(functions); k++)
		if (has_word(functions[k].points, point_words[index]) && !i--)
			return functions[k].name;
	return NULL;
}

/* Whoever stands still in ptrace is stopped, and not in a call: that is freeze-process. */
#define traced_park NULL

static bool traced_errno(const char *point)
{
	return board_syscall_at(point, false);
}

static bool traced_short(const char *point)
{
	return board_syscall_at(point, true);
}

#define traced_kill traced_errno

#define NEEDS_park "the preload in the store's processes"
#define NEEDS_errno \
	NEEDS_park ", or a role: where the preload does not reach its programs, ptrace does"
#define NEEDS_short NEEDS_errno
#define NEEDS_kill  NEEDS_errno

static int check_park(const struct step *step, const struct target *target, struct err *err)
{
	int point = board_point_find(step->point);

	if (point >= 0 && !(board_point_rows[point].can & BOARD_CAN_PARK))
		return err_set(err, -EINVAL, "'point: %s' never blocks, so it cannot be parked",
			step->point);
	return call_rule_check(step, target, point >= 0, err);
}

static int fire_park(struct fault_run *run, struct err *err)
{
	return call_rule_fire(run, "park", err);
}

/* The given errno is always the one the store sees, so it must be one that the call may return. */
static int check_returns(const struct step *step, int point, struct err *err)
{
	for (const int *e = board_point_rows[point].errnos; *e; e++)
		if (strerrorname_np(*e) && !strcmp(strerrorname_np(*e), step->errno_name))
			return 0;
	return err_set(err, -EINVAL, "'errno: %s' is nothing that '%s' can return",
		step->errno_name, step->point);
}

static int check_errno(const struct step *step, const struct target *target, struct err *err)
{
	int point = board_point_find(step->point);
	int rc = point >= 0 ? check_returns(step, point, err) : 0;

	return rc ? rc : call_rule_check(step, target, point >= 0, err);
}

static int fire_errno(struct fault_run *run, struct err *err)
{
	return call_rule_fire(run, "fail", err);
}

static int check_short(const struct step *step, const struct target *target, struct err *err)
{
	int point = board_point_find(step->point);
	bool whole = point < 0 ? strchr(step->point, '/') != NULL
			       : !(board_point_rows[point].can & BOARD_CAN_SHORTEN);

	if (whole)
		return err_set(
			err, -EINVAL, "'point: %s' transfers no count of bytes", step->point);
	return call_rule_check(step, target, point >= 0, err);
}

static int fire_short(struct fault_run *run, struct err *err)
{
	return call_rule_fire(run, "short", err);
}

static int check_kill(const struct step *step, const struct target *target, struct err *err)
{
	return call_rule_check(step, target, board_point_find(step->point) >= 0, err);
}

static int fire_kill(struct fault_run *run, struct err *err)
{
	return call_rule_fire(run, "kill", err);
}

static int heal_kill(struct fault_run *run, struct err *err)
{
	const char *revive = target_command(run->target, "revive");
	int rc = call_rule_heal(run, err);

	return rc || !revive || !run->fired ? rc : store_command(run, revive, "revive", err);
}

#define heal_park  call_rule_heal
#define heal_errno call_rule_heal
#define heal_short call_rule_heal

#define CALL_FAULT(way, family_of_it, fault_is, fault_params, text)                            \
	{                                                                                      \
		.name = #way, .summary = (text), .family = (family_of_it), .is = (fault_is),   \
		.needs = NEEDS_##way, .params = (fault_params), .point = point_##way,          \
		.function = function_at, .traced = traced_##way, .check = check_##way,         \
		.fire = fire_##way, .waits = true, .poll = call_rule_poll, .heal = heal_##way, \
	}

/* clang-format off */
const struct fault fault_park = CALL_FAULT(park, FAMILY_FREEZE, 0, plain,
	"a chosen libc call stands still until it is released");
const struct fault fault_errno = CALL_FAULT(errno, FAMILY_ERRNO, 0, failing,
	"a chosen libc call fails with a chosen errno");
const struct fault fault_short = CALL_FAULT(short, FAMILY_ERRNO, 0, shortened,
	"a chosen libc call reads or writes less than it was asked to");
const struct fault fault_kill = CALL_FAULT(kill, FAMILY_ERRNO, FAULT_KILLS, plain,
	"a process is killed at a chosen libc call, before it is made");
/* clang-format on */

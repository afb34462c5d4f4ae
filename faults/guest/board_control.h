/*
 * The witness's side of the board: makes it, arms and disarms rules, releases who is parked, hears
 * what happened, and answers processes that sit in a chroot and cannot see their own paths.
 *
 * Guest code: libc alone, links statically. One board per process. Threads: one thread calls
 * board_control_wait_event() in a loop (it also answers the questions, so it must not be held up);
 * any one other thread at a time calls board_control_command(). Nothing here touches another
 * process's memory or mmap lock: only readlink and /proc/PID/stat; the tracer does, a process of its
 * own. What the board holds is written by processes of the guest: bounded, copied, checked and escaped
 * here.
 *
 * Commands, one line each; values cannot hold blanks, %XX is a byte. The reply is JSON.
 *
 * arm slot=1 point=posix/io/sync/fsync action=park exe=/usr/lib/dovecot/lmtp,/usr/sbin/x
 *     path=/srv/a,/srv/b hit=3 calls=1 errno=EIO signal=SIGKILL bytes=10 kind=file,socket pid=1 tid=1 caller=f
 *	{"slot":1,"point":"..."}. Required: slot (1..32), point, and what the action needs:
 *	action=park|fail|kill|short|watch (default park; fail if errno is given), errno for fail,
 *	signal for kill, bytes (>= 1) for short. hit: from the n-th matching call on (default 1);
 *	calls: on so many of them (default 1; calls=all). exe, path: lists of globs, any if absent;
 *	`*` stays within a component, `**` does not, `?` is one byte but '/'. A slot in force is
 *	disarmed first. caller: only calls that this function makes itself, exported by the program or by
 *	a library that it was started with. A point outside posix/ and libc/ is the store's own (fiu_fail()).
 *	trace: globs of programs that the preload does not reach: there the rule is kept from outside, by ptrace(2)
 *	(board_tracer.h), in all processes that live by now or begin later. Not with park and caller, and at system
 *	calls alone. -EBUSY: somebody else traces one; nothing is armed then.
 * disarm slot=1
 *	{"released":2}. Idempotent; whoever is parked goes on, later hits pass.
 * release slot=1
 *	{"released":2}. Whoever is parked now goes on; the rule stays.
 * status [slot=1]
 *	{"slots":[...],"cut":false}, or with slot= the one object: {"slot","armed","point","action",
 *	"met" (calls by matching programs), "hits" (on a matching path too), "fired", "strangers" (by
 *	programs in which nobody exports the caller), "missed" (should
 *	have, but could not), "first_ns","last_ns", "pid","tid","path" (of the first that fired),
 *	"parked" (how many now), "tasks":[{"pid","tid","start","since_ns","call","exe","path"}]}
 * points
 *	{"points":[{"name","park","short","errnos":["EIO"...]}]}
 * processes
 *	{"processes":[pid...],"cut":false}: alive, with the board mapped
 * residue
 *	{"residue":["one sentence each"]}: armed rules, parked tasks
 */
#pragma once

#include "faults/guest/board.h"

#include <stdbool.h>
#include <stddef.h>

#define BOARD_LINE_MAX 4096u /* bytes of a command */
#define BOARD_REPLY_MAX \
	(256u << 10) /* a reply of this size always fits; lists are cut, and say so */

/* Make the board at `path` (mode 0666), or take over one that is there and has this very layout,
 * its rules included. 0 or a negative errno. */
int board_control_open(const char *path);
void board_control_close(void); /* the file stays; idempotent */

/* 0: `reply` is JSON. Negative errno (-EINVAL the line, -ENOENT no such point or slot, -ENOSPC does
 * not fit, -EIO the board is gone or was cut): `reply` is one lower-case sentence. Always ended by
 * NUL; `size` >= 256. */
int board_control_command(const char *line, char *reply, size_t size);

/* Is it about a tracer, or is there one? Then a command may wait, for seconds if a tracee does not let itself be
 * looked at. From any thread. */
bool board_control_may_wait(const char *line);

/* Wait for the next event, answering questions meanwhile. 1: `*ret` is set, its text ended by NUL;
 * 0: the time is over (timeout_ms < 0: never) or board_control_wake() was called; -EIO. Events that
 * the reader was too slow for are counted in `*ret_lost` (added to; may be NULL). */
int board_control_wait_event(struct board_event *ret, uint64_t *ret_lost, int timeout_ms);
void board_control_wake(void); /* from any thread */

/* Who is told of TLS secrets, a key log line each, from inside board_control_wait_event(). Set before the first
 * call of it. */
typedef void board_key_fn(const char *line);
void board_control_watch_keys(board_key_fn *fn);

const char *board_event_name(
	uint32_t what); /* "hit" "parked" "released" "failed" "killed" "shortened" */

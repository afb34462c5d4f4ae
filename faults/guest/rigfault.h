/*
 * librigfault.so: what its parts share. The library sits in front of libc in every process of the
 * guest (/etc/ld.so.preload). An interposed function loads one word of the board; only if a rule is
 * in force on its point does it call rig_meet().
 *
 * Everything here runs in any thread, in signal handlers, in children of fork and vfork, in chroots
 * and after close-all, and may be interrupted anywhere. So: nothing is allocated, no lock of libc is
 * taken, nothing is logged, no descriptor is kept, and errno is what the call makes it.
 */
#pragma once

#include "faults/guest/board_meet.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define EXPORT	    __attribute__((visibility("default")))
#define FROM	    __builtin_return_address(0) /* in an exported function alone */
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define RIG_TLS	    static __thread __attribute__((tls_model("initial-exec")))

/* How the kernel waits in this call, which a park must mirror. */
enum waits {
	WAITS_DISK,	   /* uninterruptible: handlers run only after it */
	WAITS_PATIENT,	   /* handlers run, then it goes on waiting */
	WAITS_RESTARTABLE, /* EINTR after a handler without SA_RESTART */
	WAITS_EINTR,	   /* EINTR after any handler */
	WAITS_BY_FD, /* files and directories as DISK; others RESTARTABLE, unless O_NONBLOCK */
	WAITS_NEVER
};

/* One call that came to an armed point. The row fills it, rig_meet() answers in the second part. */
struct call {
	const char *name;
	uint32_t point;
	enum waits waits;
	bool dontwait; /* this call could not block */
	struct board_subject on;
	bool limited; /* the call has a time limit of its own: */
	int64_t limit_ns;
	int timeout_option;   /* ... or its socket has: SO_RCVTIMEO, SO_SNDTIMEO */
	const sigset_t *mask; /* signals the call blocks while it waits */
	bool keeps_errno;     /* the value on error is the errno; errno itself is left alone */
	bool counted;	      /* `count` is a number of bytes that may be made smaller */
	size_t count;
	const void *from; /* where it returns to: inside the function that makes it */

	int err;      /* for the value on error */
	bool expired; /* parked until the call's own time limit */
};

/* What a rule and a call have to do with each other; lives on the stack of rig_meet(). */
struct meeting {
	struct call *call;
	struct board_slot *slot;
	uint32_t index, epoch, releases;
	int32_t pid, tid;
	uint64_t hit; /* which one it was */
	enum board_kind kind;
	enum waits waits;
	sigset_t mask; /* the caller's, while all signals are held back */
	char path[BOARD_PATH_SIZE];
};

extern _Atomic uint32_t *rig_armed; /* never NULL: all zero without a board */
extern struct board *rig_board;	    /* NULL without a board */
extern bool rig_by_hand; /* fiu-run's environment was there: libfiu itself is asked too */

/* True: return the value on error; errno is `call->err`. False: make the call; errno is kept. */
bool rig_meet(struct call *call) __attribute__((cold));

static inline bool rig_is_armed(uint32_t point)
{
	return UNLIKELY(atomic_load_explicit(&rig_armed[point], memory_order_relaxed));
}

/* The function of this name behind this library in the order of loading; NULL: none. As
 * dlsym(RTLD_NEXT), but without its lock and its memory. */
void *rig_next(const char *name);

/* Does `at` lie in a function that an object loaded at start exports under this name? 1: it does; 0: elsewhere; -1:
 * there is no such function. */
int rig_is_inside(const char *name, const void *at);

/* ---- rig_subject.c: who and what is it ---- */

const char *rig_exe(char *scratch); /* of this process; BOARD_PATH_SIZE bytes, "" if not known */
enum board_kind rig_kind(int fd);
bool rig_could_block(struct meeting *meeting); /* sets `waits` to what holds for the descriptor */
/* 1: the call's path (the one that matched, in `path`) matches; 0: not; -1: could not be known. */
int rig_path_matches(struct meeting *meeting, const char *globs);

/* ---- rig_park.c ---- */

void rig_tell(const struct meeting *meeting, enum board_event_what what);
bool rig_park(struct meeting *meeting); /* true: `err` is set, the call is over */

/* ---- rig_libfiu.c: libfiu makes the decision ---- */

/* Ask libfiu whether the point `name` fails now. It calls rig_decide() on `meeting`. */
bool rig_ask_libfiu(uint32_t point, const char *name, struct meeting *meeting);
bool rig_decide(struct meeting *meeting);
void rig_libfiu_after_fork(void);

/* ---- rig_frees.c: what was freed, and by whom (frees.h) ---- */

/* Of this process from now on; `stack_end` is where the first thread's stack begins. */
void rig_frees_begin(struct frees *frees, int32_t pid, const void *stack_end);
/* Before `block` is freed by the function whose caller's frame is `frame`
 * (__builtin_frame_address(0)). `known_heap`: eight bytes before a block stands its size. */
void rig_frees_note(void *block, const void *frame, bool known_heap);
/* A thread of this process stands in a call, or does so no longer. */
void rig_frees_hold(void);
void rig_frees_let_go(void);
void rig_frees_undo(void *block);  /* it was not freed after all */
void rig_frees_again(void *block); /* the allocator has handed it out */
/* To whom: `frame` as of rig_frees_note(), of the function that hands it out. */
void rig_frees_made(void *block, const void *frame);

/* ---- rig_sys.c: system calls and text without libc's state ---- */

int rig_futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *until);
void rig_futex_wake(_Atomic uint32_t *word, int tasks);
size_t rig_readlink(const char *path, char *to, size_t size); /* length, 0: failed or too long */

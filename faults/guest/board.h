/*
 * The board: the shared memory through which the witness tells every process of the guest which
 * points are armed, and every process tells the witness what met them.
 *
 * One file in tmpfs (BOARD_PATH, mode 0666), made by the witness and mapped MAP_SHARED by the
 * constructor of librigfault.so before any chroot. Its size never changes. Anybody in the guest can
 * write to it: whoever reads it bounds every index and length, copies text before using it, and
 * never follows anything in it. All shared words are lock-free atomics (64-bit Linux).
 *
 * Who writes what: `armed`, `names`, a slot's rule and its `epoch`: the witness alone. A slot's
 * counters, parks, questions, processes, the ring: the processes; the witness answers, releases and
 * reaps.
 *
 * A rule is in force while its slot's epoch is odd. Arming and disarming raise the epoch by one, so
 * a reader that sees the same odd epoch before and after has seen one whole rule.
 */
#pragma once

#include "faults/guest/board_points.h"
#include "faults/guest/frees.h"

#include <stdatomic.h>
#include <stdint.h>

#define BOARD_PATH    "/run/rig/board"
#define BOARD_ENV     "MAILRIG_BOARD" /* another path, for tests; not heeded in set-id programs */
#define BOARD_MAGIC   0x4d524244u
#define BOARD_VERSION 2u

#define BOARD_SLOTS_MAX	    32u	   /* rules in force at once: bits of a word */
#define BOARD_NAMES_MAX	    32u	   /* a store's own points known at once */
#define BOARD_NAME_SIZE	    128u   /* of a point's name, with its NUL */
#define BOARD_RULE_SIZE	    1024u  /* of a list of globs, with its NUL */
#define BOARD_TEXT_SIZE	    256u   /* of a path in a record, longer ones lose their head */
#define BOARD_PATH_SIZE	    1024u  /* of a path in a question */
#define BOARD_CALL_SIZE	    24u	   /* of a function's name */
#define BOARD_PARKS_MAX	    512u   /* tasks parked at once */
#define BOARD_QUESTIONS_MAX 64u	   /* questions open at once */
#define BOARD_EVENTS_MAX    512u   /* events not yet read; older ones are lost, and counted */
#define BOARD_KEYS_MAX	    256u   /* TLS secrets not yet read; older ones are lost, and counted */
#define BOARD_KEY_SIZE	    256u   /* of a key log line, with its NUL */
#define BOARD_PROCESSES_MAX 32768u /* a table by pid modulo this */
#define BOARD_ANSWER_MS	    2000   /* a question without an answer by then is given up */

#define BOARD_FIRST_NAME 96u /* index of names[0] in armed[]; the library's points come before */
#define BOARD_ANY_NAME	 (BOARD_FIRST_NAME + BOARD_NAMES_MAX) /* how many names are armed */
#define BOARD_POINTS_MAX (BOARD_ANY_NAME + 1)
_Static_assert((unsigned int)POINT_COUNT <= BOARD_FIRST_NAME, "the points outgrew the board");

enum board_action {
	BOARD_PARK,    /* wait until released */
	BOARD_FAIL,    /* return the value on error with `value` as errno */
	BOARD_KILL,    /* send itself the signal `value`, then go on if it still can */
	BOARD_SHORTEN, /* transfer at most `value` bytes */
	BOARD_WATCH    /* only tell */
};

enum board_kind { /* what a descriptor is; a call without one is BOARD_KIND_NONE */
	BOARD_KIND_NONE,
	BOARD_KIND_FILE,
	BOARD_KIND_DIR,
	BOARD_KIND_SOCKET,
	BOARD_KIND_PIPE,
	BOARD_KIND_OTHER
};

struct board_slot {
	_Atomic uint32_t epoch;	      /* odd: in force */
	_Atomic uint32_t releases;    /* how often `release` was said */
	uint32_t point;		      /* index into armed[] */
	uint32_t action;	      /* enum board_action */
	int32_t value;		      /* errno, signal or bytes */
	int32_t pid, tid;	      /* only this process, this thread; 0: any */
	uint32_t kinds;		      /* bit 1 << enum board_kind each; 0: any */
	uint32_t hit;		      /* acts from the hit-th matching call on, 1.. */
	uint32_t calls;		      /* ... on so many of them; 0: on all */
	char caller[BOARD_NAME_SIZE]; /* only calls made inside this function; "": any */
	char exe[BOARD_RULE_SIZE];    /* globs of programs, between commas; "": any */
	char path[BOARD_RULE_SIZE];

	_Atomic uint64_t met;	    /* calls of a matching process */
	_Atomic uint64_t hits;	    /* ... on a matching path and descriptor, that could do it */
	_Atomic uint64_t fired;	    /* ... that were parked, failed, killed, cut short or told */
	_Atomic uint64_t strangers; /* ... of a process in which no object exports the caller */
	_Atomic uint64_t missed;    /* should have fired, and could not: no room, or no answer */
	_Atomic int64_t first_ns, last_ns; /* CLOCK_MONOTONIC */
	_Atomic int32_t first_pid, first_tid;
	_Atomic uint32_t first_path_set; /* 1 once first_path is whole */
	char first_path[BOARD_TEXT_SIZE];
};

/* What one parked task waits on. It is alive if a thread `tid` exists that began before `boot_ns`.
 */
struct board_park {
	_Atomic int32_t tid;   /* owner of this record; 0: free */
	_Atomic uint32_t word; /* futex: enum board_park_word */
	int32_t pid;
	uint32_t slot, epoch;
	_Atomic int64_t boot_ns; /* CLOCK_BOOTTIME when parked; 0: not yet */
	int64_t since_ns;	 /* CLOCK_MONOTONIC, likewise */
	char call[BOARD_CALL_SIZE];
	char exe[BOARD_TEXT_SIZE];
	char path[BOARD_TEXT_SIZE];
};
enum board_park_word { BOARD_CLAIMED, BOARD_PARKED, BOARD_RELEASED };

/* Asked by a process that cannot see /proc: the witness answers by readlink alone. */
struct board_question {
	_Atomic int32_t tid;   /* owner; 0: free */
	_Atomic uint32_t word; /* futex: enum board_question_word */
	int32_t pid;
	uint32_t what; /* enum board_what */
	int32_t fd;    /* of BOARD_ASK_FD, or the directory of BOARD_ASK_PATH (AT_FDCWD) */
	_Atomic int64_t boot_ns;      /* as in struct board_park */
	char path[BOARD_PATH_SIZE];   /* of BOARD_ASK_PATH: as the call gave it */
	char answer[BOARD_PATH_SIZE]; /* absolute, as the guest's root sees it */
};
enum board_what { BOARD_ASK_EXE, BOARD_ASK_FD, BOARD_ASK_PATH };
enum board_question_word { BOARD_ASKING, BOARD_ASKED, BOARD_ANSWERED, BOARD_UNANSWERABLE };

enum board_event_what {
	BOARD_EVENT_HIT, /* of BOARD_WATCH */
	BOARD_EVENT_PARKED,
	BOARD_EVENT_RELEASED, /* by release, disarm, a signal, or the call's own time limit */
	BOARD_EVENT_FAILED,
	BOARD_EVENT_KILLED,
	BOARD_EVENT_SHORTENED
};

struct board_event {
	uint32_t what; /* enum board_event_what */
	uint32_t slot; /* from 0 in the ring, from 1 as board_control_wait_event() gives it */
	uint32_t epoch;
	int32_t pid, tid;
	int32_t value;	/* as the rule's */
	uint64_t count; /* which hit it was, 1.. */
	int64_t ns;	/* CLOCK_MONOTONIC */
	char call[BOARD_CALL_SIZE];
	char exe[BOARD_TEXT_SIZE];
	char path[BOARD_TEXT_SIZE]; /* "" if not known */
};

struct board_ring_entry {
	_Atomic uint64_t ticket; /* 1 + its number once whole */
	struct board_event event;
};

/* A line of a key log (SSLKEYLOGFILE): a secret of a TLS session of the store. */
struct board_key {
	_Atomic uint64_t ticket; /* 1 + its number once whole */
	char line[BOARD_KEY_SIZE];
};

/* A process that has the board mapped: entry pid % BOARD_PROCESSES_MAX. It is the one that lives if
 * it began before `boot_ns` and its stack begins at `stack`: a program that it has run since by exec
 * has another. */
struct board_process {
	_Atomic int32_t pid;
	_Atomic int64_t boot_ns;
	_Atomic uint64_t stack;
};

struct board_name {
	_Atomic uint32_t hash; /* board_hash(name); 0: free */
	char name[BOARD_NAME_SIZE];
};

struct board {
	uint32_t magic, version, size, points;	  /* size and points: of this build */
	uint64_t root_dev, root_ino;		  /* of "/" outside every chroot */
	_Atomic uint32_t parked;		  /* hint: some record of parks[] may be in use */
	_Atomic uint32_t armed[BOARD_POINTS_MAX]; /* bit n: slots[n] is in force on the point */
	struct board_name names[BOARD_NAMES_MAX];
	struct board_slot slots[BOARD_SLOTS_MAX];
	struct board_park parks[BOARD_PARKS_MAX];
	_Atomic uint32_t bell; /* futex of the witness: rung after each event and question */
	_Atomic uint64_t head; /* events so far */
	struct board_ring_entry ring[BOARD_EVENTS_MAX];
	_Atomic uint64_t key_head; /* keys so far; the bell is rung for them too */
	struct board_key keys[BOARD_KEYS_MAX];
	struct board_question questions[BOARD_QUESTIONS_MAX];
	struct board_process processes[BOARD_PROCESSES_MAX];
};

/* The file: the board, and behind it what was freed (frees.h), which the witness does not map. */
#define BOARD_FREES_AT	((sizeof(struct board) + 4095) & ~(size_t)4095)
#define BOARD_FILE_SIZE (BOARD_FREES_AT + sizeof(struct frees))

/* FNV-1a, 32 bit; never 0. */
static inline uint32_t board_hash(const char *name)
{
	uint32_t hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	return hash ? hash : 1;
}

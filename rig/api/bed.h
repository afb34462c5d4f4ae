/*
 * The test bed: a running mail store and everything the rig can do to it, behind one page. The real
 * one (rig/run/bed/bed_vm.c) is a QEMU clone; the one of the unit tests is a fake store in the same
 * process, so the life of a cell is tested without a machine. Faults and the runner see nothing
 * below this.
 *
 * A bed is used by many threads at once; every call has a deadline of its own and says -ETIMEDOUT
 * rather than hang. An operation the bed lacks is a NULL pointer: bed_has() asks, plan time says
 * SKIP.
 */
#pragma once

#include "api/target.h"
#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define BED_STACKS_MAX 32 /* threads whose user stacks are read at once */

struct bed;

/* Threads of a scan whose user stacks are wanted, the most important first. */
struct bed_stacks {
	int tids[BED_STACKS_MAX];
	size_t count;
	size_t busy; /* the first of them burn the processor: looked at for a while, not at once */
};

/*
 * What the rig's forwarder does in front of a service that is `seen: relay`. Up to not-accepting it is done to
 * connections; the next are done to a dialogue that otherwise passes, so the service takes the mail and its client
 * hears otherwise; in the last a server of the rig's own stands in, and takes nothing. mail/forwarder.h and
 * mail/sink.h say it exactly.
 */
enum leg_mode {
	LEG_PASS,
	LEG_REFUSE,	   /* reset at once */
	LEG_SILENT,	   /* accept, then nothing */
	LEG_CLOSED,	   /* nobody listens: RST of the kernel's own */
	LEG_NOT_ACCEPTING, /* the kernel accepts, nobody else */
	LEG_BANNER_LATE,
	LEG_DROP,	/* the reply to the dot is lost after the commit: reset */
	LEG_MUTE,	/* ... and kept back */
	LEG_PARTIAL,	/* ... and kept back after so many replies */
	LEG_DRIP,	/* ... and comes byte by byte */
	LEG_HALF_CLOSE, /* FIN instead of the reply to the dot */
	LEG_BUSY,	/* 421 as banner */
	LEG_FULL,	/* 452 to MAIL */
	LEG_DEFERS,	/* 451 after the dot */
	LEG_TLS_STALLS, /* STARTTLS is taken, and no handshake comes */
	LEG_MODES
};

/* How a leg that keeps somebody waiting (silent, mute, partial) ends for those who wait. */
enum leg_heal { LEG_HEAL_LATE, LEG_HEAL_RESET, LEG_HEAL_BLACK_HOLE };

struct leg_change {
	enum leg_mode mode;
	enum leg_heal heal; /* of the mode that ends */
	int64_t delay_ms;   /* banner-late, drip (a byte); 0: a second */
	uint32_t replies;   /* partial */
};

/* What is on the disks after a power cut. What was flushed always is. */
enum power_model {
	POWER_GUEST_DIES, /* every write that the machine took */
	POWER_CACHE_LOST, /* the disk's cache is lost: nothing after the last completed flush */
	POWER_ANY_PREFIX, /* of the writes after it some first part, by the seed */
	POWER_ANY_SUBSET, /* of the writes after it each or not, by the seed */
};
const char *power_model_name(enum power_model model); /* "guest-dies" "cache-lost" ... */
int power_model_from_name(const char *name);	      /* enum power_model, or -EINVAL */

struct power_cut {
	enum power_model model;
	int64_t at_ns; /* on the bed's clock: the disks as they were then; INT64_MAX: now */
	uint64_t seed;
	bool put_back; /* the data disks are as save_disks() last found them, and everything else as it is */
};

struct power_loss {
	uint64_t writes, flushes, lost; /* up to the cut, of all disks */
	double boot_s;			/* from the power's return to a system that answers */
};

#define CALL_SHORT_BYTES 10 /* that a shortened call transfers */

/* What of a program is stopped, and by what. */
enum stop_how {
	STOP_PROCESSES, /* all of its processes, by SIGSTOP until a scan finds none that runs */
	STOP_GROUPS,	/* their process groups, whatever else is in them */
	STOP_THREAD,	/* its youngest thread, by a threaded cgroup: no signal, no ptrace */
};

/* What stands still of a role. */
struct stopped_status {
	uint32_t stopped; /* processes, now */
	uint32_t
		waiting; /* for them: sockets with bytes unread, connections not accepted or a reply
			     owed; processes behind a file lock of theirs */
};

enum disk_fill { DISK_BYTES, DISK_INODES };

/* tc-netem(8) on the guest's side: packets towards the rig. */
struct link_hurt {
	int64_t delay_ms;
	double loss; /* 0 to 1 */
};

/* A call fault as the board in the guest understands it. Texts are borrowed for the call. */
struct call_rule {
	unsigned int slot;  /* 1.. */
	const char *point;  /* "posix/io/sync/fsync" */
	const char *action; /* "park", "fail", "kill" (SIGKILL), "short" (CALL_SHORT_BYTES) */
	const char *const *programs; /* whole paths, NULL-terminated; NULL: any */
	const char *const *traced;   /* those of them that the preload does not reach: by ptrace */
	const char *const *globs;    /* paths acted on, NULL-terminated; NULL: any */
	const char *errno_name;	     /* "EIO", or NULL */
	const char *caller;	     /* the function that makes the call, or NULL: any */
	const char *kind; /* of descriptor: "file" "dir" "socket" "pipe" "other", or NULL: any */
	uint32_t hit, calls;
};

struct call_status {
	uint64_t met;	    /* calls of the point by the programs meant */
	uint64_t hits;	    /* ... that matched the filters */
	uint64_t missed;    /* ... that should have fired and could not */
	uint64_t strangers; /* calls by programs that export no function of the caller's name */
	uint64_t fired;	    /* calls that were parked or failed */
	uint32_t parked;    /* now */
	int32_t pid, tid;   /* of the first that fired, 0 if none */
	char path[1024];    /* it acted on, "" if unknown */
};

struct command_result {
	int status; /* exit code, or 128 + signal */
	bool timed_out;
	bool cut;	   /* it said more than is kept: the beginning is missing */
	struct buf output; /* bounded */
};

/* What the bed tells on its own, from a thread of its own. `json` is borrowed. */
enum bed_event {
	BED_LOG,    /* {"path","line"} a line of the store's log */
	BED_KERNEL, /* {"line"} */
	BED_EXITED, /* {"comm","pid","status","ppid","parent","count","lived_ms"} */
	BED_DIED,   /* {"program","pid","signal","text"} */
	BED_CALL,  /* {"slot","what","pid","tid","path"} the fault board: hit parked released failed
		    */
	BED_PANIC, /* {"text"} the guest's kernel panicked */
	BED_GONE,  /* {"text"} QEMU ended by itself, or the agent's line broke */
	BED_WIRE, /* {"moment","conn","hop"?,"tag"?,"service","cell_ns"} a moment of a server, seen on
		      the wire; tag: of its IMAP command; hop: as of an attempt, none behind the rig's forwarder */
	BED_WAITED, /* {"hop","verb","waited_s","answered","cell_ns"} the store's own client waited long */
	BED_UNHEARD, /* {"hop","conn","since_t","cell_ns"} the store's own client never read what it
			was told since then */
	BED_ATTEMPT, /* the `attempt` object of history.h plus "cell_ns" */
};
typedef void (*bed_event_fn)(void *arg, enum bed_event event, const json_t *json);

/* How long something may take on the host, and whether it is still wanted: asked about once a second. */
struct bed_patience {
	int64_t host_ms;
	bool (*over)(void);
};

struct bed_ops {
	const char *name; /* "vm", "fake" */

	/* Connect to a service of the store, as a client of its own: a descriptor, io_prepare()d.
	 */
	int (*connect)(struct bed *bed, const struct service *service, int64_t deadline_ns,
		struct err *err);

	/* Run a shell line in the guest as root; `env`: "NAME=value"..., NULL-terminated or NULL.
	 * `daemons`: what it leaves behind may stay. */
	int (*run)(struct bed *bed, const char *line, const char *const *env, int64_t timeout_ms,
		bool daemons, struct command_result *ret, struct err *err);

	/* Nanoseconds on the cell clock; stands still while the rig pauses the machine. */
	int64_t (*clock_ns)(struct bed *bed);
	int (*pause)(struct bed *bed, struct err *err);
	int (*resume)(struct bed *bed, struct err *err);

	/* Freeze and thaw the file systems mounted at `mounts` (NULL-terminated; NULL: all data
	 * disks). What is frozen already stays so. Thaw is idempotent. */
	int (*freeze)(struct bed *bed, const char *const *mounts, struct err *err);
	int (*thaw)(struct bed *bed, struct err *err);
	/* One file system, without the agent of the hypervisor: FIFREEZE by the rig's own. It thaws itself after
	 * so long; 0: it does not. -EREMOTEIO: the guest's kernel refuses, and nothing is frozen. */
	int (*freeze_by_hand)(
		struct bed *bed, const char *mount, int64_t thaw_after_ms, struct err *err);
	int (*frozen)(struct bed *bed, uint32_t *ret_blocked_tasks,
		struct err *err); /* mounts frozen now; tasks stuck on them */

	/* Call faults. Disarm is idempotent and lets go whoever is parked. The rule was in the guest at
	 * `*ret_at_ns` of the bed's clock, before it was asked whether it reaches everybody it means. */
	int (*arm)(
		struct bed *bed, const struct call_rule *rule, int64_t *ret_at_ns, struct err *err);
	int (*disarm)(struct bed *bed, unsigned int slot, struct err *err);
	int (*call_status)(
		struct bed *bed, unsigned int slot, struct call_status *ret, struct err *err);

	/* The leg in front of a service that is `seen: relay`. `met` counts connections that met
	 * the mode. */
	int (*leg_set)(struct bed *bed, const struct service *service,
		const struct leg_change *change, struct err *err);
	uint64_t (*leg_met)(struct bed *bed, const struct service *service);

	/* -EREMOTEIO: the guest's kernel refuses; the file may be gone already. */
	int (*unlink)(struct bed *bed, const char *path, struct err *err);

	/* Halt the machine as a fault, and let it go on; idempotent. Unlike pause, it is something the
	 * store's clients suffer, so the cell clock goes on; the guest's own clocks stand still. */
	int (*halt)(struct bed *bed, bool halted, struct err *err);

	/* Stop every process that runs one of `programs` (whole paths, NULL-terminated), its group or a thread,
	 * and let it go on; idempotent. Processes that start later are not stopped; where none is alive
	 * nothing is done. */
	int (*stop_processes)(struct bed *bed, const char *const *programs, enum stop_how how,
		bool stopped, struct err *err);
	int (*stopped)(struct bed *bed, const char *const *programs, struct stopped_status *ret,
		struct err *err);

	/* A data disk serves one request a second, or as many as it can; idempotent. */
	int (*slow_disk)(struct bed *bed, const struct disk *disk, bool slow, struct err *err);
	int (*disk_requests)(struct bed *bed, const struct disk *disk, uint64_t *ret,
		struct err *err); /* reads and writes begun since the guest booted */

	/* Every free byte or inode of a disk is taken, the reserve for root included, and given back; idempotent.
	 * What somebody else frees meanwhile is free. */
	int (*fill_disk)(struct bed *bed, const struct disk *disk, enum disk_fill what, bool full,
		struct err *err);

	/* The processes of `programs` (NULL-terminated) that live now may take so many bytes more, together, and the
	 * guest's kernel ends who needs more; programs NULL: all as it was. Idempotent. */
	int (*bound_memory)(
		struct bed *bed, const char *const *programs, uint64_t bytes, struct err *err);
	int (*memory_met)(struct bed *bed, uint64_t *ret, struct err *err); /* so often since */

	/* The processes of `programs` (NULL-terminated) that live now, and those that they beget, may make so many
	 * processes and threads more, together; programs NULL: all as it was. Idempotent. */
	int (*bound_tasks)(
		struct bed *bed, const char *const *programs, uint64_t spare, struct err *err);
	int (*tasks_met)(
		struct bed *bed, uint64_t *ret, struct err *err); /* refused so often since */

	/* The processes of `programs` (NULL-terminated) that live now get so many descriptors more, each, and none
	 * beyond; programs NULL: those of this slot have what they had. Idempotent. */
	int (*bound_descriptors)(struct bed *bed, unsigned int slot, const char *const *programs,
		uint64_t spare, struct err *err);
	/* Calls that failed by it since: theirs, and of those they begot. */
	int (*descriptors_met)(struct bed *bed, unsigned int slot, uint64_t *ret, struct err *err);

	/* Who owns something on a disk that has quotas, but root, gets no more of it; and all is as it was.
	 * Idempotent. */
	int (*bound_quota)(struct bed *bed, const struct disk *disk, enum disk_fill what,
		bool bounded, struct err *err);
	int (*quota_met)(struct bed *bed, const struct disk *disk, uint64_t *ret,
		struct err *err); /* calls that failed by it since */

	/* What leaves the guest's NIC is late or lost; all zero: as it was, and proved. -EOPNOTSUPP: the guest's
	 * kernel cannot. */
	int (*hurt_link)(struct bed *bed, const struct link_hurt *hurt, struct err *err);

	/* The cable of the guest's NIC; returns once the guest sees it so. Idempotent. */
	int (*cut_link)(struct bed *bed, bool cut, struct err *err);

	/* Put the guest's wall clock so far from where it would stand untouched; 0: back, and proved. */
	int (*shift_clock)(struct bed *bed, int64_t shift_ns, struct err *err);

	/* The server that takes the store's outbound mail: a mode of mail/sink.h by its name, and how
	 * late what is late in it comes (0: 1000); and how often connections, commands and dots met a mode other
	 * than "ok" so far. */
	int (*sink_set)(struct bed *bed, const char *mode, int64_t delay_ms, struct err *err);
	uint64_t (*sink_met)(struct bed *bed);

	/* Remember the data disks as they are now, as a snapshot takes them: their file systems stand still for the
	 * instant. */
	int (*save_disks)(struct bed *bed, int64_t *ret_at_ns, struct err *err); /* bed's clock */

	/* The power goes: the machine ends at once, connections and all; the clock stands still. Then it is
	 * back: the machine boots from its disks alone, and nothing of the store runs. Both are
	 * idempotent; once in a bed's life. */
	int (*cut_power)(struct bed *bed, const struct power_cut *cut, int64_t *ret_at_ns,
		struct err *err); /* the instant on the bed's clock: what came later never was */
	int (*restore_power)(struct bed *bed, struct power_loss *ret, struct err *err);

	/* Who waits for whom at this instant: a scan (diagnose/evidence.h) with stacks, and "frozen": the rig
	 * holds a file system frozen. deep: also memory, descriptors, sockets. New reference. */
	int (*scan)(struct bed *bed, bool deep, json_t **ret, struct err *err);

	/* Gives the scan the "tries" (diagnose/evidence.h) of threads that sleep: what they ask for again and again,
	 * followed for at most `ms`. True if there are any. */
	bool (*tries)(struct bed *bed, json_t *scan, const int *tids, size_t count, int ms);

	/* Gives those of the scan's threads that still stand as it says "frames", "own" and "object"
	 * (diagnose/evidence.h), and those that burn the processor "busy" and "loop". What cannot be had is left
	 * out. */
	int (*stacks)(
		struct bed *bed, json_t *scan, const struct bed_stacks *wanted, struct err *err);

	/* Of a core that a "died" event names: {"tid","frames":[..],"own":[..],"address"?:that the signal was about,
	 * "journal"?:how many blocks it is known to have freed,"freed"?:{"address","size","tid","age_s",
	 * "frames":[of the caller of free()],"sure":bool,"register"?:that pointed there,"twice"?:tid}}: the
	 * freed block that the crash stumbled over. */
	int (*core)(struct bed *bed, const char *path, json_t **ret, struct err *err);

	/* Evidence of this instant into files of `dir` (made if need be): owed.json, and a deep scan as
	 * scan.json, tasks.txt, locks.txt. */
	int (*evidence)(struct bed *bed, const char *dir, struct err *err);

	/* Keep a copy of the store as it hangs now, as NAME: the threads `tids` of `scan` wait, and whom the
	 * store owes a reply. It stands still for as long as that takes, and so does the cell clock: the keys
	 * of `branched` of history.h but its name. A negative errno, and why: there is no copy. */
	int (*branch)(struct bed *bed, const char *name, const json_t *scan, const int *tids,
		size_t count, json_t **ret, struct err *err);
	/* Whether what hung in that copy ends by itself: the keys of `adjudged` of history.h, found out by
	 * skipping its idle time, for at most the patience. The store stands still meanwhile, and so does the
	 * cell clock. The copy is gone afterwards. What could not be found out is an answer too. */
	int (*adjudicate)(struct bed *bed, const char *name, const struct bed_patience *patience,
		json_t **ret, struct err *err);

	/* What the rig left behind: an array of sentences, empty when clean. New reference. */
	int (*residue)(struct bed *bed, json_t **ret, struct err *err);

	/* Adds to `ret`, an array, a sentence for each process of the store that is alive. */
	int (*processes)(struct bed *bed, json_t *ret, struct err *err);

	/* Begin to watch who is ended by SIGKILL (`ret` is NULL), or end it: adds to `ret`, an array, a
	 * sentence for each. Deaths of the rig's own making are not told apart. */
	int (*watch_kills)(struct bed *bed, bool on, json_t *ret, struct err *err);

	/* The files in new/ and cur/ that `globs` (of target.yaml, NULL-terminated) name, as nobody can
	 * be changing them: `live` says that the store runs, so that its file systems must be stopped for
	 * it. `each` is called from this thread; what it gets is good during the call. */
	int (*files)(struct bed *bed, const char *const *globs, bool live,
		void (*each)(void *arg, const char *path, const char *bytes, size_t len), void *arg,
		struct err *err);

	/* What the store uses now: {"processes","threads","descriptors","locks","memory_kib"}, memory
	 * that is its own alone. New reference. */
	int (*measure)(struct bed *bed, json_t **ret, struct err *err);

	/* How long the machine's processors were ready to run and the host gave them none: nanoseconds since they
	 * began, of all of them together. */
	int (*processor_wait)(struct bed *bed, uint64_t *ret_ns, struct err *err);

	/* Messages the sink took, as an array of `sunk` objects of history.h. New reference. */
	int (*sunk)(struct bed *bed, json_t **ret, struct err *err);

	uint64_t (*frames_lost)(struct bed *bed); /* by the capture */
	const char *(*describe)(struct bed *bed); /* accelerator: "tcg", "kvm", "none" */

	/* Flush what is on the wire into events: after it, all that happened before it has been
	 * told. */
	int (*wire_flush)(struct bed *bed, int64_t deadline_ns, struct err *err);

	/* A note in the capture, now: a fault, a heal. May be NULL. */
	void (*mark)(struct bed *bed, const char *text);

	void (*close)(struct bed *bed); /* in reverse, always whole; takes half-built beds */
};

struct bed {
	const struct bed_ops *ops;
	const struct target *target;
};

#define bed_has(bed, op) ((bed)->ops->op != NULL)

/*
 * The wire between the rig and the witness: the only header of rig/ that guest code may include.
 *
 * A virtio-serial port carries frames in both directions: a 4-byte little-endian length, then that
 * many bytes of JSON (one object, UTF-8 without NUL; bytes of the guest that are no UTF-8 are
 * escaped by their sender as \xNN). The host sends requests {"id":N,"verb":"...", ...arguments}; the
 * witness answers each exactly once with {"id":N,"ok":true, ...result} or
 * {"id":N,"ok":false,"error":"one sentence"}, in any order. Frames without "id" are events:
 * {"event":"...", "seq":N, "guest_ns":N, ...}; guest_ns is the guest's CLOCK_MONOTONIC. Either side
 * drops a connection that breaks these limits; nothing here is trusted.
 *
 * Reset. A machine may be saved in the middle of a frame and go on with another host, without either
 * side of the port being told. So a connection begins with the reset mark: the host sends
 * WITNESS_RESET_BYTES times 0xff and the request `hello`; the witness drops what it had half read and
 * the answers it still owed, and sends the same mark, the answer and then its events again from the
 * one it had not sent whole. The host throws away all before the first mark. JSON holds no 0xff and
 * lengths at most two in a row, so WITNESS_RESET_MIN of them are a mark wherever they stand. A
 * frame of which 0xff would be the first length byte must not follow a mark at once.
 *
 * Events carry a sequence number. One that had no room (the host read too slowly) was still counted:
 * a gap in `seq` is the number of events that were lost.
 *
 * Verbs (arguments -> result)
 *	hello		-> {"version","boot_id","guest_ns"}	begins a connection
 *	ping		-> {"guest_ns","heartbeat"}	heartbeat counts the pings answered
 *	run		{"command","dir"?,"env":{..},"timeout_ms"} -> {"status":exit code or
 *			128+signal,"output","timed_out","cut"} `sh -c` as root in its own session, in
 *			the folder `dir`; a program's path with plain words is run without a shell;
 *			output = stdout and stderr, the last WITNESS_OUTPUT_MAX bytes (cut: there were
 *			more). At its end, and at the deadline, what is left of the session is killed
 *	start		as run, but the processes it leaves behind stay (daemons); used for a store's
 *			start command. What they go on to write to stdout comes as "log" events
 *	seed		{"hex"} -> {}		RNDADDENTROPY + RNDRESEEDCRNG
 *	clock		{"realtime_ns"} -> {}	set the wall clock (only asked for by a fault)
 *	scan		{"stacks":bool,"deep":bool,"timeout_ms"} -> {"guest_ns","took_ns","locks":
 *			"/proc/locks text","tasks":[{"pid","tid","ppid","comm","exe","state","start",
 *			"utime","stime","wchan","syscall","stack"}],"files":[{"pid","fd","path",
 *			"inode"}],"unreadable":[tid,..],"truncated":bool}	one instant. `files` are
 *			the open files of the processes in /proc/locks. An unreadable task has no
 *			syscall and no stack; exe and stack are left out where there is none.
 *			deep: also ran_ns, queued_ns, pidns, nstid, futex, wait_fds, sem, fds, sockets and
 *			parts, as diagnose/evidence.h says; their threads may be left behind at an mmap lock,
 *			the answer never is
 *	freeze,thaw	{"mount","thaw_after_ms"} -> {"changed":bool}	FIFREEZE / FITHAW by the witness
 *			itself; changed is false if it was so already. thaw_after_ms (of freeze; 0 or
 *			absent: never): the witness then thaws what this freeze froze, if nobody has
 *	mounts		-> {"mounts":[{"mount","source","type"}]}
 *	signal		{"pid","start","signal"} -> {}	start (of `scan`) guards against pid reuse
 *	board		{"command"} -> {"reply"}	a line for the fault board, see
 *			faults/guest/board_control.h
 *	tail		{"path"} -> {}		stream a file's new lines as "log" events, from its
 *			beginning; survives rotation, truncation and not existing yet
 *	untail		{"path"} -> {}		and let go of the file
 *	unlink		{"path"} -> {}
 *	read		{"path","max","timeout_ms","offset"?,"hex"?:bool} -> {"text" or "hex","cut"}	by a
 *			disposable worker with a deadline; at most WITNESS_READ_MAX bytes. With an offset
 *			(also an address in /proc/PID/mem) as much as there is from it on
 *	profile		{"tid"} -> {"samples":[{"pc","sp","bp","stack":hex}]}	registers and stack of a
 *			thread at moments at which it ran, at most PROFILE_SAMPLES_MAX, each 3 ms of its
 *			processor time apart; fewer if it does not run that much in half a second
 *	tries		{"tids":[..],"ms"} -> {"tries":[{"tid","kind":"flock|posix|ofd|file|semaphore|process|
 *			nothing", of a lock: "inode","path","fd","write","first","last"?,"held" as in a scan,
 *			of a file: "inode","path","says":its first bytes, those of the first file in it, or
 *			where a link goes,"made_ns"?:on the clock of guest_ns,"open_by":[pid,..], of a
 *			semaphore: "sem" as in a scan, of a process that lives: "pid" as the thread calls it}]}
 *			what the system calls of these threads asked for without waiting and did not get, for
 *			at most so long: until each has slept, looked and sleeps again. Threads that slept on
 *			are left out; at most TRIES_TIDS_MAX
 *	exits		{"watch":bool} -> {"killed":[{"pid","comm"}],"lost":bool}	begin or end to
 *			watch who is ended by SIGKILL; the answer is what the watch that it ends has
 *			seen. lost: there were more
 *	residue		-> {"residue":["one sentence each"]}	stopped tasks, armed points, frozen
 *			mounts, low limits and quotas, leftover workers, commands that still run
 *	there		{"paths":["whole path"]} -> {"there":["whole path"]}	those that exist
 *	link		{"name"} -> {"carrier":bool,"qdiscs":["kind"]}	what stands on an interface
 *	skip		-> {"clock","guest_ns"}	for a branch whose idle time is skipped, and only
 *			there: a clock source that fits it, and TCP that does not give up a silent peer
 *	descriptors	{"slot","programs":["whole path"]?,"spare","give_back":bool} -> {"bound",
 *			"met"}	the processes of `programs` that live now get at most `spare` descriptors
 *			more; give_back: all is as it was; neither: the figures alone. bound:
 *			processes, met: calls of theirs, and of whom they begot, that failed by EMFILE
 *	quota		{"mount","what":"bytes|inodes"?,"give_back":bool} -> {"owners","met"}	the
 *			users but root who own something on `mount` get no more; give_back: all is as
 *			it was; neither: the figures alone. met: calls, of whomever, that failed by EDQUOT
 *	watch		{"tasks":[{"pid","tid","start","syscall"?}],"conns":[{"port","peer"}],"tick_ms"}
 *			-> {"guest_ns","tasks":[{"pid","tid","comm","exe","waited_ns","syscall"}],
 *			"conns":[known]}	threads that leave the wait they are in (`syscall` of a scan;
 *			left out: the one at this moment), and answers on TCP connections: port of the
 *			guest, address:port of the peer. Then the events left, ended, sent and watched,
 *			until the machine ends. tick_ms 0: the answer alone. waited_ns: how long the
 *			thread has not run, -1 if that cannot be told. Tasks that are gone are left out
 *
 * Events
 *	hello		{"version","boot_id"}	the witness has opened its port: (re)send the reset
 *	log		{"path","line"}		of a tailed file; path "/dev/log" for syslog datagrams
 *			the witness owns (with "pid" and "priority"); "stdout" for what a `start` left
 *			behind writes. Lines longer than WITNESS_LINE_MAX are cut
 *	died		{"pid","comm","exe","signal","core","cut","took_ns"}	a process ended by a
 *			signal that dumps core; core "" if none could be stored; took_ns: the dump
 *	exited		{"pid","comm","status","ppid","parent","count","lived_ms"}	a process that lived so
 *			long ended with a status that is not 0, as `count` - 1 of that name before it, begun
 *			by the same parent; from the third on, at most once a second each
 *	board		{"slot","what":"hit|parked|released|failed","pid","tid","exe","path","call",
 *			"count"}
 *	key		{"line"}	a secret of a TLS session of the store, as a key log line
 *	broken		{"error"}	the host sent what is no request; nothing is read before the next
 *			reset (no "seq": it belongs to this connection)
 *	left, ended	{"pid","tid","comm","exe","woke_ns","was","now"}	a watched thread left its
 *			wait (was, now: `syscall` of a scan) or ended; woke_ns: when it ran first
 *	sent		{"port","peer","bytes","end","text"}	something new was sent on a watched connection
 *			(WATCH_SENT_MAX times), at most its first 200 bytes in text; end: the guest closed it
 *	watched		{}	tick_ms are over, again
 *	kernel		{"line","level"}	from /dev/kmsg: oops, segfault, hung task, out of memory
 */
#pragma once

#include <stdint.h>

#define WITNESS_PORT_NAME   "org.mailrig.witness.0"
#define WITNESS_VERSION	    1
#define WITNESS_FRAME_MAX   (8u << 20)	 /* bytes of JSON in one frame from the witness */
#define WITNESS_REQUEST_MAX (256u << 10) /* bytes of JSON in one frame from the host */
#define WITNESS_OUTPUT_MAX  (256u << 10) /* bytes of a command's output that are kept */
#define WITNESS_READ_MAX    (1u << 20)	 /* bytes of one `read` */
#define WITNESS_LINE_MAX    4096u	 /* bytes of one log line; longer ones are cut */
#define WITNESS_TASKS_MAX   8192u	 /* tasks in one scan */
#define WITNESS_FILES_MAX   4096u	 /* open files in one scan */
#define WITNESS_TAILS_MAX   16u
#define WITNESS_RUNS_MAX    16u /* commands at the same time */
#define PROFILE_SAMPLES_MAX 48
#define TRIES_TIDS_MAX	    16u
#define WATCH_TASKS_MAX	    256u
#define WATCH_SENT_MAX	    16u /* of one connection */
#define WATCH_CONNS_MAX	    256u

#define WITNESS_RESET_BYTE  0xff
#define WITNESS_RESET_BYTES 8u
#define WITNESS_RESET_MIN   4u

static inline uint32_t witness_get_length(const unsigned char head[4])
{
	return (uint32_t)head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 |
	       (uint32_t)head[3] << 24;
}

static inline void witness_put_length(unsigned char head[4], uint32_t len)
{
	head[0] = (unsigned char)len;
	head[1] = (unsigned char)(len >> 8);
	head[2] = (unsigned char)(len >> 16);
	head[3] = (unsigned char)(len >> 24);
}

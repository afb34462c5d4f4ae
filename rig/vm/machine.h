/*
 * One virtual machine and all that hangs on it: QEMU's process, QMP, guest agent, the witness's
 *port, the network, the console. A machine is booted cold (machine_boot), or started from a
 *template (clone_open, clone.h); from then on both are the same thing.
 *
 * The process that opens a machine owns it: QEMU is its child and is killed by the kernel when the
 * *thread* that opened it (or restarted it) ends, so open machines from a thread that lives long
 *enough. All files are in `dir`, made private and left there by machine_close(): console.log what
 *the guest wrote to its serial console; goes on across restarts qemu.log	what QEMU itself
 *complained about <disk>.qcow2	the machine's own layer over each disk
 *
 * What the guest or QEMU does by itself is an event (`on_event`) and a state that machine_check()
 *turns into an error that ends with the console's last lines. A machine that panicked, or that was
 *shut down or reset from inside, stays as it is, stopped: disks and memory can still be looked at.
 *
 * Thread context: every call may come from any thread, except that open, restart and close belong
 *to one thread and must not overlap others. Every wait has a deadline of its own.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "vm/accel.h"
#include "vm/network.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct qga;
struct qmp;

#define MACHINE_DISKS_MAX	 12
#define MACHINE_CONSOLE_TAIL_MAX 4096

/* What machine_check() and calls on a machine that is no more return. */
#define MACHINE_PANICKED (-ENOTRECOVERABLE) /* the guest's kernel panicked */
#define MACHINE_HALTED	 (-ESHUTDOWN)	    /* the guest powered itself off or rebooted */
#define MACHINE_GONE	 (-EOWNERDEAD)	    /* QEMU ended, and it was not the rig */

enum machine_cache {
	MACHINE_CACHE_WRITEBACK, /* the guest's FLUSH reaches the host: for everything that is
				    judged */
	MACHINE_CACHE_UNSAFE,	 /* FLUSH is ignored: only where durability is not asked about */
};

/* A disk, in the order of /dev/vda, /dev/vdb ... Its name is its virtio serial and its QMP node
 * name. */
struct machine_disk {
	const char *name; /* [a-z0-9-], at most 20 bytes */
	const char
		*base; /* image that is never written to; each machine has a qcow2 layer over it */
	const char *base_format; /* "raw" or "qcow2" */
	bool readonly;		 /* attached as it is, without a layer */
	enum machine_cache cache;
};

/* What the machine is: the same for a template and its clones. Borrowed, must outlive what uses it.
 */
struct machine_spec {
	const char *kernel, *initrd;
	const char *append; /* behind the rig's own (vm/qemu_argv.c); NULL: nothing */
	uint64_t memory_bytes;
	unsigned int cpus;
	const struct machine_disk *disks;
	size_t disk_count;
	struct network_spec network;
	const struct accel *accel; /* accel_probe() */
};

enum machine_event {
	MACHINE_EVENT_PANIC,
	MACHINE_EVENT_HALT,
	MACHINE_EVENT_GONE,
	MACHINE_EVENT_IO_ERROR, /* a disk's write failed on the host (no space, ...): the rig's
				   trouble */
};
const char *machine_event_name(enum machine_event event);

/* What this one machine has of its own. */
struct machine_options {
	const char *dir;     /* made if need be; no other machine may use it */
	const char *capture; /* file or FIFO that gets all frames as pcap; NULL: none. The reader of
			      * a FIFO must have it open already and must keep reading: 64 KiB
			      * behind stop the guest */
	bool log_writes;     /* what the disks take is kept, machine_write_log_path(): see
			      * machine_cut() */
	/* Called from the machine's own thread, once per event, at the host's `mono_ns`; must not
	 * call back into the machine but machine_console_tail(). NULL: nobody wants to know. */
	void (*on_event)(void *arg, enum machine_event event, int64_t mono_ns);
	void *arg;
};

struct machine;

/* Boot from fresh layers over the disks' bases; returns as soon as QEMU runs, not when the guest is
 * up. */
int machine_boot(const struct machine_spec *spec, const struct machine_options *options,
	struct machine **ret, struct err *err);
void machine_close(struct machine *machine); /* kills QEMU; takes NULL and half-built ones */

/* 0 while the machine runs or is paused by the rig, else MACHINE_PANICKED, _HALTED or _GONE with a
 * sentence. */
int machine_check(struct machine *machine, struct err *err);
/* Wait for such an end: what machine_check() would say, or -ETIMEDOUT. */
int machine_wait_end(struct machine *machine, int64_t deadline_ns, struct err *err);

/* The parts. Owned by the machine, replaced by machine_restart(). */
struct qmp *machine_qmp(struct machine *machine);
struct qga *machine_qga(struct machine *machine);
struct network *machine_network(struct machine *machine);
const char *machine_dir(const struct machine *machine);
const struct machine_spec *machine_spec(const struct machine *machine);
pid_t machine_pid(const struct machine *machine);
int64_t machine_running_since_ns(const struct machine *machine); /* host clock: first `cont` */

/* The host's end of the witness's port (connected stream socket, io_prepare()d), handed over to the
 * caller: once per start of the machine, -1 afterwards. Hold it open as long as the machine runs.
 */
int machine_take_witness_fd(struct machine *machine);

/* Stop and go on, idempotent. The sum of all such pauses, one in progress included, is what the
 * cell clock leaves out. */
int machine_pause(struct machine *machine, struct err *err);
int machine_resume(struct machine *machine, struct err *err);
int64_t machine_paused_ns(struct machine *machine);
/* The part of it that lies before a moment of the host's clock. */
int64_t machine_paused_before(struct machine *machine, int64_t mono_ns);
/* The other way round: the moment of the host's clock, less the pauses before it, that is `unpaused_ns`; the first,
 * where a pause began then. */
int64_t machine_moment(struct machine *machine, int64_t unpaused_ns);
bool machine_is_paused(struct machine *machine);

/* Press the reset button and let the guest boot again: memory is lost, the disks' contents as QEMU holds them
 * are kept, sockets and network stay. Returns once the firmware is through, about a second later. */
int machine_reset(struct machine *machine, struct err *err);

/*
 * machine_kill(): end QEMU at once, as a power cut that also takes what QEMU has not written out; what the
 * guest has flushed is safe (MACHINE_CACHE_WRITEBACK). After machine_pause() nothing that QEMU holds is lost.
 * The state is then "off", which machine_check() calls MACHINE_HALTED, and counts as a pause of the rig's.
 * machine_restart(): boot again from the same layers. The network keeps its addresses and its listeners;
 * connections are lost, QMP, guest agent and witness are new. A FIFO for `capture` must have a reader again.
 */
void machine_kill(struct machine *machine);
int machine_restart(struct machine *machine, const char *capture, struct err *err);

/*
 * A power cut and the power's return, for a machine with `log_writes`, once in its life.
 * machine_cut(): QEMU dies at once; what hangs on it (QMP, guest agent) answers with errors from then on but
 * stays until machine_close(), for whoever is talking to it. The state is "off", as after machine_kill().
 * machine_power_on(): the layers are to be what the disks hold now; boot from them. Nothing is logged any more.
 */
int machine_cut(struct machine *machine, struct err *err);
int machine_power_on(struct machine *machine, struct err *err);
/* Where the writes to a disk are logged (write_log.h): caller frees. Grows while the machine runs. */
char *machine_write_log_path(const char *dir, const struct machine_disk *disk);

/* The last lines of the console, at most MACHINE_CONSOLE_TAIL_MAX bytes, unprintable bytes escaped.
 */
void machine_console_tail(const struct machine *machine, struct buf *out);

/* The exact command line, quoted for a shell, for --dry-run. Starts nothing. */
void machine_command_line(
	const struct machine_spec *spec, const struct machine_options *options, struct buf *out);

/* Is there all that a machine needs (QEMU, kernel, initrd, disks, space in `dir`)? One sentence if
 * not. */
int machine_check_host(const struct machine_spec *spec, const char *dir, struct err *err);

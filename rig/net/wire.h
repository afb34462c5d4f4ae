/*
 * The wire of a running cell: every frame of the NIC, from QEMU's filter-dump through a FIFO, written to a
 * pcapng file and read as mail dialogues while the cell runs.
 *
 * Two threads. The drain only reads the FIFO (through libpcap), stamps frames on arrival and queues them
 * in memory: a reader that stalls would stop the machine after the pipe is full. The second writes the
 * file and feeds reassembly and dialogues. The queue is bounded (WIRE_QUEUE_MAX); what does not fit is
 * dropped and counted, and shows as gaps.
 *
 * Order of start: wire_open() makes the FIFO and opens its reading end, then QEMU is started with
 *	-object filter-dump,id=wire,netdev=NET,file=FIFO,maxlen=262144
 * Time stamps of QEMU are ignored (they are guest time from a whole-second start): a frame has the time of
 * its arrival here. The true moment lies before the stamp by the drain's wake-up (tens of microseconds on an
 * idle host) plus, at most, wire_stall_ns(): the longest time the drain was away from the pipe. No order
 * is claimed between things nearer to each other than that.
 *
 * The dialogue callback runs in the second thread with the wire's lock held: it must not call wire_*(),
 * and nobody may call wire_owed() with a lock the callback takes. Everything else may be called from any
 * thread. wire_close() drains what is in the pipe, ends both threads, and then no callback runs any more;
 * it works whether QEMU still lives or not.
 */
#pragma once

#include "base/err.h"
#include "net/dialogue.h"

#include <netinet/in.h>

#define WIRE_QUEUE_MAX	(64u << 20) /* bytes of frames in memory; address space, touched as needed */
#define WIRE_PIPE_SIZE	(1 << 20)
#define WIRE_MARK_MAX	256
#define WIRE_SECRETS_MS 300

/* A name for an IPv4 address in the capture file. */
struct wire_name {
	const char *address, *name;
};

struct wire_config {
	const char *fifo_path;		   /* made; removed by wire_close() */
	const char *capture_path;	   /* pcapng; NULL: none */
	const struct dialogue_port *ports; /* borrowed until wire_close() */
	size_t port_count;
	bool only_ports;    /* other ports are in the file alone */
	const char *filter; /* BPF; borrowed: other frames are neither told nor kept. NULL: none */
	dialogue_fn fn;
	void *arg;
	/* Maps CLOCK_MONOTONIC to the clock of the events, called in the second
	 * thread with the wire's lock held. NULL: CLOCK_MONOTONIC itself. */
	int64_t (*clock_ns)(void *clock_arg, int64_t mono_ns);
	void *clock_arg;
	const struct wire_name *names; /* ended by a NULL address; NULL: none */
	const char *comment;	       /* of the file, e.g. the cell's id; NULL: none */
};

struct wire;

int wire_open(struct wire **ret, const struct wire_config *config, struct err *err);

/* An I/O error of the capture file shows here (and only here). NULL is no error. */
int wire_close(struct wire *wire, struct err *err);

/* Wait until all that was in the pipe when this was called has been told: 0 or -ETIMEDOUT. Where the store tells its
 * TLS secrets, those of connections that are over are waited for too, for WIRE_SECRETS_MS. */
int wire_flush(struct wire *wire, int64_t deadline_ns);

/* A comment packet in the capture file, now: a fault, a heal, a verdict. */
void wire_mark(struct wire *wire, const char *text);

/* A TLS secret of the store, as a key log line: kept in the capture file, and what it opens is told. */
void wire_keys(struct wire *wire, const char *line);

/* As dialogue_owed(). */
size_t wire_owed(struct wire *wire, struct owed *out, size_t max);

uint64_t wire_frames(struct wire *wire);  /* taken */
uint64_t wire_dropped(struct wire *wire); /* lost for want of queue */
int64_t wire_stall_ns(struct wire *wire);

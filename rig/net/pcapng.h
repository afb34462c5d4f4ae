/*
 * A pcapng file of one Ethernet interface (draft-ietf-opsawg-pcapng): frames with nanosecond stamps, names
 * for addresses, comments on the file, and comment packets, which are frames of the local experimental
 * Ethernet type 0x88b5 that carry their text both as payload and as the packet's comment. One thread.
 *
 * A failed write is kept and told by pcapng_close(); the writer takes frames as before and writes no more.
 */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct pcapng;

int pcapng_open(struct pcapng **ret, const char *path, const char *comment, struct err *err);

/* A name for an IPv4 address, for the readers' eyes. Before the frames that need it. */
void pcapng_name(struct pcapng *file, const char *address, const char *name);
void pcapng_frame(
	struct pcapng *file, int64_t real_ns, const uint8_t *data, size_t captured, size_t len);
void pcapng_comment(struct pcapng *file, int64_t real_ns, const char *text);

/* TLS secrets as key log lines (section 4.7 of the draft). They are in the file at once, should the rig die, and
 * stand before all packets once it is closed, so that whoever reads it through once can use them. */
void pcapng_keys(struct pcapng *file, const char *text, size_t len);
void pcapng_flush(struct pcapng *file); /* what was told is in the file, should the rig die */

/* Adds the interface's statistics. NULL is no error. */
int pcapng_close(
	struct pcapng *file, int64_t real_ns, uint64_t received, uint64_t dropped, struct err *err);

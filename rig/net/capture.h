/*
 * Frames from a capture file (pcap or pcapng, any age), a stream of pcap, or a live interface, through
 * libpcap. One thread per capture. What a file holds is hostile; libpcap bounds a frame at 256 KiB.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct frame {
	const uint8_t *data; /* good until the next call */
	size_t captured;
	size_t len; /* on the wire */
	int64_t ns; /* the capture's own stamp: nanoseconds since 1970 */
};

struct capture;

int capture_open_file(struct capture **ret, const char *path, struct err *err);

/* Takes over `file` (closed with the capture, and on failure). `name` is for error texts. */
int capture_open_stream(struct capture **ret, FILE *file, const char *name, struct err *err);

/* Promiscuous, whole frames, delivered at once. Needs the right to do so. */
int capture_open_interface(struct capture **ret, const char *interface, struct err *err);
void capture_close(struct capture *capture);

/* Let only what the BPF expression selects through ("tcp port 25"). */
int capture_filter(struct capture *capture, const char *expression, struct err *err);

/* Whether it could be one for Ethernet: 0 or -EINVAL. */
int capture_check_filter(const char *expression, struct err *err);

/* The TLS secrets that the file holds, as far as it was read; none of a stream or an interface. Owned by the
 * capture; more may be added. capture_found_keys() is true once after more were found. */
struct tls_keys *capture_keys(struct capture *capture);
bool capture_found_keys(struct capture *capture);

int capture_link_type(const struct capture *capture); /* libpcap's DLT_ value */
const char *capture_link_name(const struct capture *capture);

/*
 * 1 and a frame; 0 at the end, or when a live capture was silent for a moment (look whether to stop, and
 * call again); a negative errno if the rest cannot be read: -ENODATA when the file is cut off.
 */
int capture_next(struct capture *capture, struct frame *ret, struct err *err);
uint64_t capture_dropped(struct capture *capture); /* by the kernel, of a live capture */

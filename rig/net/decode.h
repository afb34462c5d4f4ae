/*
 * From a captured frame to its TCP segment, or to nothing.
 *
 * Understands the link types Ethernet (with up to VLAN_TAGS_MAX tags), Linux cooked v1 and v2, raw IP
 * and BSD null/loopback; IPv4 with options and fragments (RFC 791), IPv6 with extension headers and
 * fragments (RFC 8200). Frames are hostile bytes: whatever does not parse is counted as no TCP and never
 * an error. Checksums are not verified: with offload the sender's capture rightly holds wrong ones.
 *
 * A `struct decoder` belongs to one thread. A segment points into the frame, or into the decoder's own
 * buffer (a reassembled datagram), and is good until the next call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VLAN_TAGS_MAX	      4
#define EXTENSION_HEADERS_MAX 8
#define DATAGRAMS_MAX	      64 /* fragmented datagrams in the making; the oldest gives way */

struct endpoint {
	uint8_t addr[16]; /* IPv4 in the first four, the rest zero */
	uint16_t port;
	uint8_t family; /* 4 or 6 */
	uint8_t zero;
};

enum tcp_flag { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

struct segment {
	struct endpoint src, dst;
	uint32_t seq, ack;
	uint8_t flags;
	const uint8_t *data;
	size_t captured; /* payload bytes at `data` */
	size_t len; /* payload bytes that were on the wire; more than `captured` if cut by a snap length */
};

struct decoder;

/* `link_type` is libpcap's DLT_ value. NULL if it is none of the above. */
struct decoder *decoder_new(int link_type);
void decoder_free(struct decoder *decoder);

/* True and `*ret` filled in if the frame holds (or completes) a TCP segment. */
bool decoder_frame(struct decoder *decoder, const uint8_t *frame, size_t captured, size_t len,
	struct segment *ret);

#define ENDPOINT_TEXT_MAX 56 /* "[ffff:...:255.255.255.255]:65535" and the NUL */
void endpoint_text(const struct endpoint *endpoint, char out[ENDPOINT_TEXT_MAX]);

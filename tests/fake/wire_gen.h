/*
 * Captures made to order: TCP conversations as frames in memory, which tests then shuffle, cut, double or
 * lose, feed to the parsers, or save as a pcap file. Owned by the caller; allocation failure aborts. One
 * thread.
 */
#pragma once

#include "base/buf.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct gen_frame {
	int64_t ns;
	size_t captured;  /* <= bytes.len: cut by a snap length */
	struct buf bytes; /* link header and all */
};

struct gen {
	int link_type;	     /* DLT_EN10MB, DLT_RAW, DLT_LINUX_SLL, DLT_LINUX_SLL2, DLT_NULL */
	bool vlan;	     /* Ethernet: one tag */
	size_t fragment;     /* IPv4 payloads above this are sent in fragments; 0: never */
	bool extensions;     /* IPv6: hop-by-hop and destination options first */
	int64_t ns, step_ns; /* time of the next frame, and by how much it moves on */
	uint16_t ip_id;
	struct gen_frame *frames;
	size_t count, size;
};

enum gen_side { GEN_CLIENT, GEN_SERVER };

struct gen_conn {
	bool v6;
	uint8_t addr[2][16]; /* of the client, of the server */
	uint16_t port[2];
	uint32_t seq[2]; /* next to send */
};

void gen_init(struct gen *gen, int link_type);
void gen_free(struct gen *gen);

/* The n-th client (own address and port) to `server_port`; sequence numbers depend on n. */
struct gen_conn gen_conn(unsigned int n, uint16_t server_port, bool v6);

/* One segment as it is; nothing in the connection moves. */
void gen_raw(struct gen *gen, const struct gen_conn *conn, enum gen_side from, uint8_t flags,
	uint32_t seq, uint32_t ack, const void *data, size_t len);

void gen_open(struct gen *gen, struct gen_conn *conn); /* SYN, SYN-ACK, ACK */
void gen_send(
	struct gen *gen, struct gen_conn *conn, enum gen_side from, const void *data, size_t len);
void gen_text(struct gen *gen, struct gen_conn *conn, enum gen_side from, const char *text);
void gen_ack(struct gen *gen, struct gen_conn *conn, enum gen_side from);
void gen_fin(struct gen *gen, struct gen_conn *conn, enum gen_side from);
void gen_close(struct gen *gen, struct gen_conn *conn); /* FIN both ways, the client first */
void gen_reset(struct gen *gen, struct gen_conn *conn, enum gen_side from);

/* In segments of 1 to `max` bytes. */
void gen_cut(struct gen *gen, struct gen_conn *conn, enum gen_side from, const void *data,
	size_t len, size_t max, struct rng *rng);

void gen_swap(struct gen *gen, size_t a, size_t b);	/* contents; the times stay in order */
void gen_double(struct gen *gen, size_t at, size_t to); /* the frame `at` once more, before `to` */
void gen_drop(struct gen *gen, size_t at);

/* As pcap with nanoseconds; aborts on failure. In parts for captures larger than memory. */
void gen_save(const struct gen *gen, const char *path);
void gen_save_head(int link_type, FILE *file);
void gen_save_frames(const struct gen *gen, FILE *file);

/*
 * A TCP forwarder of the rig: from a listening descriptor to wherever a callback connects, and able
 * to refuse, to hold and to delay. It stands between a store's queue and its delivery agent.
 *
 * One thread accepts, one serves each connection (at most FORWARDER_CONNECTIONS_MAX; more wait in
 * the backlog). The mode may be switched at any time from any thread. Half-close is passed on in
 * both directions; a reset on one side becomes a reset on the other. forwarder_stop() waits for no
 * peer but one that `connect` is just reaching for.
 *
 * Modes from FORWARDER_BANNER_LATE on hurt a dialogue of SMTP or LMTP (RFC 5321, 2033) that otherwise passes:
 * the server behind it takes the mail, its client hears of it otherwise than it was said. A connection meets
 * them once per banner or final dot. They see through pipelining and not through BDAT or TLS.
 *
 * Counting: closed listeners refuse in the kernel, which tells nobody; in FORWARDER_CLOSED the
 * refused are to be counted on the wire. In all other modes fired = refused + held + delayed + hurt.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define FORWARDER_CONNECTIONS_MAX 256
#define FORWARDER_CHUNK		  16384

enum forwarder_mode {
	FORWARDER_PASS,
	FORWARDER_RESET,  /* accepted and reset at once */
	FORWARDER_CLOSED, /* nobody listens: the kernel answers with RST; unix sockets are reset */
	FORWARDER_SILENT, /* accepted and held; nothing is read, nothing is sent */
	FORWARDER_DELAY,  /* each chunk of bytes goes on delay_ms after it came */
	FORWARDER_NOT_ACCEPTING, /* connections stay in the backlog of the kernel */
	FORWARDER_BANNER_LATE,	 /* the server's first words after delay_ms */
	FORWARDER_DROP, /* reset when the server has answered the dot: the reply is lost after the commit */
	FORWARDER_MUTE, /* replies to the dot stay with the rig until the mode changes */
	FORWARDER_PARTIAL, /* after the dot `replies` replies pass, then as mute (LMTP: one a recipient) */
	FORWARDER_DRIP,	      /* replies to the dot one byte every delay_ms */
	FORWARDER_HALF_CLOSE, /* FIN instead of the reply to the dot; reads on */
	FORWARDER_MODES,
};

const char *forwarder_mode_name(enum forwarder_mode mode); /* "pass" "reset" "closed" ... */

/* What becomes of held connections when the mode leaves `silent`, `mute` or `partial`. */
enum forwarder_held {
	FORWARDER_HELD_LATE,	   /* they are connected and forwarded now */
	FORWARDER_HELD_RESET,	   /* they are reset */
	FORWARDER_HELD_BLACK_HOLE, /* they stay silent until their client goes */
};

struct forwarder_change {
	enum forwarder_mode mode;
	bool cut; /* connections being forwarded are reset; else they go on undisturbed */
	enum forwarder_held held; /* only where the old mode holds */
	int64_t delay_ms;	  /* only for delay, banner-late and drip */
	uint32_t replies;	  /* only for partial */
};

struct forwarder_counts {
	uint64_t accepted;
	uint64_t forwarded; /* reached the upstream */
	uint64_t failed;    /* the connect callback failed: the client was reset */
	uint64_t refused;   /* reset at once by the mode */
	uint64_t held;	    /* met silent, or were left in the backlog */
	uint64_t delayed;   /* connections that met delay */
	uint64_t hurt;	    /* banners and dots that met a mode from banner-late on */
	uint64_t cut;	    /* reset by a change of mode, held ones too */
	uint64_t open;	    /* now */
};

struct forwarder_opts {
	int listen_fd; /* non-blocking, owned by the forwarder */
	/* A connected descriptor or a negative errno, before `deadline_ns`; from the connection's
	 * thread. */
	int (*connect)(void *arg, int64_t deadline_ns, struct err *err);
	int64_t connect_ms; /* 0: 10 s */
	/* Told once for each connection that is refused, held or delayed by silent and delay, and for each
	 * banner and dot that is hurt. May be NULL. */
	void (*on_fired)(void *arg, enum forwarder_mode mode);
	void *arg; /* of both */
};

struct forwarder;

/* NULL on failure; the descriptor is closed then too. */
struct forwarder *forwarder_start(const struct forwarder_opts *opts, struct err *err);
void forwarder_stop(struct forwarder *forwarder); /* ends and frees; NULL is fine */

/* In force when it returns 0: no connection accepted later meets the old mode. Negative errno: a
 * closed listener could not be opened again. */
int forwarder_change(
	struct forwarder *forwarder, const struct forwarder_change *change, struct err *err);
int forwarder_set_mode(
	struct forwarder *forwarder, enum forwarder_mode mode, struct err *err); /* the rest zero */

void forwarder_get_counts(struct forwarder *forwarder, struct forwarder_counts *ret);
uint64_t forwarder_fired(struct forwarder *forwarder);

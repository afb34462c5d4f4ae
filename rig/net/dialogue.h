/*
 * Mail dialogues from the byte streams of their connections: SMTP (RFC 5321, PIPELINING 2920, BDAT 3030),
 * LMTP (2033), IMAP (9051, 3501, literals 7888, IDLE 2177) and POP3 (1939).
 *
 * An incremental push parser for both directions of each connection: any segmentation, pipelining,
 * multi-line replies, dot-stuffing, chunks, literals; opaque from STARTTLS, STLS, a TLS record or
 * COMPRESS on, but for TLS whose secrets are known (dialogue_set_keys()). What it reads is hostile: every
 * memory of a connection is bounded by a named limit, no byte sequence is an error, and what cannot be
 * known (a gap, a connection that was open before the capture) is told as unknown, never guessed.
 *
 * A `struct dialogue_set` serves all connections of one capture and belongs to one thread (or one lock).
 * Events come from inside dialogue_data() and its like; their pointers are good during the callback,
 * which must not call back in. Texts are raw bytes from the wire without NUL: escape them before showing.
 * Times are the caller's nanoseconds. The end of data is <CRLF>.<CRLF> strictly (RFC 5321 4.1.1.4).
 */
#pragma once

#include "base/hash.h"
#include "net/reassembly.h"

#include <stdbool.h>
#include <stdint.h>

#define DIALOGUE_LINE_MAX	8192 /* of a longer line the first bytes are looked at */
#define DIALOGUE_ARGS_MAX	256  /* of a command's arguments that are kept until its reply */
#define DIALOGUE_TEXT_MAX	512  /* of a reply's text */
#define DIALOGUE_PENDING_MAX	4096 /* commands without a reply; more make replies unknown */
#define DIALOGUE_RECIPIENTS_MAX 4096 /* of one transaction that are told one by one */
#define DIALOGUE_ADDRESS_MAX	512  /* of a mail address */
#define DIALOGUE_TAG_MAX	64   /* of an IMAP tag, its NUL included */
#define DIALOGUE_TOKEN_MAX	64   /* of the token's header value */
#define DIALOGUE_HELD_MAX	(256u << 10) /* sent before the reply that says what it is */
#define DIALOGUE_LATE_NS \
	INT64_C(2000000000)	   /* so long after its end a connection's secrets are waited for */
#define DIALOGUE_LATE_MAX     1024 /* connections that wait so; the oldest give way */
#define DIALOGUE_TOKEN_HEADER "X-Mailrig-Token"

enum dialogue_protocol {
	DIALOGUE_PROTOCOL_UNKNOWN, /* to be found out from the first bytes; at the end: no mail */
	DIALOGUE_PROTOCOL_SMTP,
	DIALOGUE_PROTOCOL_LMTP,
	DIALOGUE_PROTOCOL_IMAP,
	DIALOGUE_PROTOCOL_POP3,
	DIALOGUE_PROTOCOL_TLS,	/* TLS from the first byte */
	DIALOGUE_PROTOCOL_NONE, /* no dialogue of ours; do not look */
};
/* "smtp" ...; NULL for UNKNOWN and NONE. And back: UNKNOWN if the name is none of them. */
const char *dialogue_protocol_name(enum dialogue_protocol protocol);
enum dialogue_protocol dialogue_protocol_by_name(const char *name);

/* Is it what RFC 3501 section 9 calls a tag, and one that is kept whole? */
bool dialogue_is_tag(const char *text, size_t len);

enum dialogue_kind {
	DIALOGUE_CONNECTED, /* the TCP handshake was answered */
	DIALOGUE_REFUSED,   /* RST instead of an answer */
	DIALOGUE_COMMAND,   /* a whole command of the client, its literals included */
	DIALOGUE_REPLY, /* a whole reply; `verb` is what it answers, NULL if nothing was asked or it is unknown */
	DIALOGUE_UNANSWERED, /* a command without reply: the end came, or a gap hides it (`unknown`) */
	DIALOGUE_PUSH,	     /* IMAP untagged or continuation line */
	DIALOGUE_MESSAGE, /* a mail's last byte was seen: SMTP dot or last chunk, IMAP APPEND, POP3 RETR */
	DIALOGUE_RESULT, /* a transaction that had DATA or BDAT is over; `message` holds each recipient's result */
	DIALOGUE_ATTEMPT, /* one recipient of a transaction: exactly one for every RCPT command */
	DIALOGUE_TLS, /* opaque from here; if secrets are known what it carries goes on from here */
	DIALOGUE_GAP, /* `bytes` were lost to the capture on the way from `from` */
	DIALOGUE_CLOSED, /* `end` says how; the last event of a connection. unknown: TLS hid content */
};

/* What became of one recipient (INVARIANTS: attempts). */
enum dialogue_result {
	ATTEMPT_NOT_SENT, /* the final dot never came: refused, abandoned or cut before */
	ATTEMPT_2YZ,
	ATTEMPT_4YZ,
	ATTEMPT_5YZ,
	ATTEMPT_NONE,	 /* the dot came, no reply was seen */
	ATTEMPT_UNKNOWN, /* a gap hides it: cannot tell */
};
const char *dialogue_attempt_name(enum dialogue_result result); /* "2yz" ... */

struct attempt {
	uint64_t conn;
	enum dialogue_protocol protocol;
	const char *client, *server;   /* "10.0.2.2:40000" */
	const char *token, *from, *to; /* never NULL; token "" if it was not seen */
	enum dialogue_result result;
	int rcpt_code;	  /* of the reply to RCPT, 0 if none */
	int code;	  /* of the final reply, or of the one that refused DATA; 0 if none */
	int64_t dot_ns;	  /* 0: not sent */
	int64_t reply_ns; /* of `code`, 0 if none */
};

struct dialogue_recipient {
	char *address;
	int rcpt_code, code;
	int64_t reply_ns;
	enum dialogue_result result; /* set in DIALOGUE_RESULT */
};

struct dialogue_message {
	enum flow_side from_side;	     /* FLOW_SERVER for POP3 RETR */
	const char *from;		     /* "" for the null sender and outside SMTP */
	const struct dialogue_recipient *to; /* IMAP APPEND: the mailbox */
	size_t to_count;
	uint64_t to_more;	    /* recipients beyond DIALOGUE_RECIPIENTS_MAX */
	uint64_t bytes;		    /* of the content as it was meant: unstuffed, chunks joined */
	bool complete;		    /* the last byte was seen and no gap was inside */
	char sha256[HASH_HEX_SIZE]; /* of the content; "" unless complete */
	const char *token;	  /* value of DIALOGUE_TOKEN_HEADER in its header section, or "" */
	int64_t first_ns, dot_ns; /* its first byte's and its last byte's arrival; 0: not seen */
	int code;		  /* in DIALOGUE_RESULT: of the (last) final reply, 0 if none */
	const char *status;	  /* IMAP: OK NO BAD, POP3: +OK -ERR, NULL if none */
	int64_t reply_ns;
};

struct dialogue_event {
	enum dialogue_kind kind;
	int64_t ns;
	const char *moment; /* as scenarios name it: "smtp/dot"; NULL if it is none */
	uint64_t conn;
	enum dialogue_protocol protocol;
	const char *hop; /* of the port map, NULL if none */
	const char *client, *server;
	bool midstream; /* the connection was open before the capture */
	bool unknown;	/* after a gap: what belongs to what cannot be known */
	void **user; /* a slot of the connection for the receiver; holds NULL at its first event */
	enum flow_side from;

	const char *verb;   /* upper case, "." for the end of data, "" for the greeting's place */
	const char *args;   /* bounded; never NULL with a verb. Credentials are left out */
	const char *tag;    /* IMAP, or NULL */
	int64_t sent_ns;    /* of the command a reply answers */
	int64_t gave_up_ns; /* the client had closed its side then, 0: it had not */
	int code;	    /* SMTP, LMTP; 0 otherwise */
	const char *status; /* IMAP: OK NO BAD BYE PREAUTH, POP3: +OK -ERR */
	const char *text;   /* of the reply, bounded, first line */

	const struct dialogue_message *message;
	const struct attempt *attempt;
	uint64_t bytes; /* of a gap; 0: an unknown number */
	enum flow_end end;
	/* With DIALOGUE_CLOSED: the client reset the connection and had said nothing since then. A
	 * host resets instead of closing where its program never read something (RFC 1122,
	 * 4.2.2.13). 0: it is not so. */
	int64_t unheard_ns;
};

typedef void (*dialogue_fn)(void *arg, const struct dialogue_event *event);

/* One service: TCP port of the server, what it speaks and what the caller calls it. */
struct dialogue_port {
	uint16_t port;
	enum dialogue_protocol protocol; /* DIALOGUE_PROTOCOL_UNKNOWN: find out */
	const char *hop;		 /* borrowed, may be NULL */
};

struct dialogue_set;
struct dialogue;

/* `ports` is borrowed. Ports that are not in it are looked at by their first bytes, unless `only_ports`. */
struct dialogue_set *dialogue_set_new(const struct dialogue_port *ports, size_t count,
	bool only_ports, dialogue_fn fn, void *arg);
void dialogue_set_free(struct dialogue_set *set); /* after reassembly_finish() */

/* Open TLS with these (borrowed; before the first segment). Without, all of it stays opaque. */
struct tls_keys;
void dialogue_set_keys(struct dialogue_set *set, struct tls_keys *keys);
void dialogue_set_retry(struct dialogue_set *set); /* more secrets are known now */
/* Connections that are over, and are not told yet because their secrets may still come. */
size_t dialogue_set_late(const struct dialogue_set *set);

/* The callbacks that feed a dialogue_set (the `arg`) from a reassembly. */
extern const struct reassembly_ops dialogue_reassembly_ops;

/* A reply that the server owes. */
struct owed {
	uint64_t conn;
	enum dialogue_protocol protocol;
	const char *hop;
	char client[ENDPOINT_TEXT_MAX], server[ENDPOINT_TEXT_MAX];
	char verb[24]; /* as in the event; "" : the greeting */
	char args[64];
	char token[DIALOGUE_TOKEN_MAX + 1]; /* of the mail behind a dot */
	int64_t since_ns;
};

/* Up to `max` of them, connection by connection, oldest first within one. Returns how many there are. */
size_t dialogue_owed(const struct dialogue_set *set, struct owed *out, size_t max);

/*
 * What the dialogue parsers share: one connection's state, its lines, and the commands that wait for their
 * replies. For rig/net/dialogue*.c alone.
 */
#pragma once

#include "base/buf.h"
#include "net/body.h"
#include "net/dialogue.h"
#include "net/tls.h"

#define LINE_TAIL_MAX 64 /* the end of a too long line is kept too: IMAP literals */
#define VERB_MAX      24

/* Lines out of chunks. `text` holds an unfinished line only; a line within one chunk is not copied. */
struct line_reader {
	struct buf text;
	bool skip; /* drop all up to the next line end: after a gap */
};

struct line {
	const char *text; /* not NUL-terminated; without its CRLF or LF */
	size_t len;
};

/* Takes from `bytes` up to and with the first line end; true if `*ret` is a whole line now. */
bool line_take(struct line_reader *reader, const uint8_t *bytes, size_t len, size_t *ret_taken,
	struct line *ret);
void line_done(struct line_reader *reader); /* once `struct line` is not needed any more */
void line_gap(struct line_reader *reader);
void line_restart(struct line_reader *reader); /* a line begins here */

struct line line_word(struct line *rest); /* cut off the first word and the blanks behind it */
bool line_is(struct line line, const char *word);	    /* equal, whatever the case */
bool line_begins(struct line line, const char *prefix);	    /* likewise */
size_t line_copy(struct line line, char *out, size_t size); /* without NUL bytes, cut to fit */
void line_upper(struct line line, char *out, size_t size);

struct transaction;

/* A command without its reply, or part of one that is still being sent. */
struct pending {
	struct pending *next;
	int64_t sent_ns;
	int64_t owed_ns;		 /* since when the reply is owed; 0: not yet */
	int command;			 /* of the protocol's own table */
	bool unsure;			 /* its reply may be lost in a gap */
	struct transaction *transaction; /* SMTP: the one it belongs to, or NULL */
	struct transaction *over;	 /* SMTP: the one it ends; owned */
	size_t recipient;
	char verb[VERB_MAX];
	char tag[DIALOGUE_TAG_MAX];
	char args[DIALOGUE_ARGS_MAX];
};

struct protocol_ops;

struct dialogue_list {
	struct dialogue *oldest, *newest;
	size_t count;
};

struct dialogue_set {
	const struct dialogue_port *ports;
	size_t port_count;
	bool only_ports;
	dialogue_fn fn;
	void *arg;
	struct dialogue_list open;
	struct dialogue_list late; /* over, and their secrets may still come */
	struct tls_keys *keys;	   /* the caller's, or `no_keys` */
	struct tls_keys *no_keys;  /* its own, empty */
};

struct dialogue {
	struct dialogue_set *set;
	struct dialogue_list *list; /* of the set, that it is in */
	struct dialogue *prev, *next;
	uint64_t conn;
	enum dialogue_protocol protocol;
	const struct protocol_ops *ops; /* NULL: opaque or no mail */
	const char *hop;
	bool found_out; /* by its first bytes, not by its port */
	bool midstream;
	bool uncertain; /* replies cannot be matched to commands at present */
	char client[ENDPOINT_TEXT_MAX], server[ENDPOINT_TEXT_MAX];
	struct line_reader lines[2];
	struct buf first[2]; /* the first bytes, until the protocol is known */
	bool hold;	     /* what the client sends now is understood only after the next reply */
	struct buf held;
	int64_t held_ns;
	int64_t opened_ns;
	enum flow_end end; /* of one that is late */
	int64_t end_ns;
	bool client_ended; /* FIN from it: nobody may read what the server says after this */
	int64_t client_ended_ns;
	int64_t client_data_ns; /* the last it said */
	bool client_reset;	/* it ended by a reset of its client */
	struct pending *oldest, *newest;
	size_t pending_count;
	struct tls *tls; /* from STARTTLS, or the first byte, on: what comes is its records */
	bool tls_begins; /* the next content is the first of the TLS session */
	bool tls_lost;	 /* and that was told to the protocol */
	bool upgraded;	 /* by STARTTLS: no greeting follows */
	void *state;	 /* the protocol's */
	void *user;	 /* the receiver's */
	char moment[VERB_MAX + 16];
};

/* `client` and `server` take at least one byte (or set `hold`, end the parsing) and return how many. */
struct protocol_ops {
	void (*begin)(struct dialogue *d, int64_t ns);
	size_t (*client)(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns);
	size_t (*server)(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns);
	void (*gap)(struct dialogue *d, enum flow_side from, uint64_t bytes, int64_t ns);
	void (*close)(struct dialogue *d, int64_t ns);		  /* tell what is left open */
	void (*free)(struct dialogue *d);			  /* tell nothing */
	const char *(*owed_token)(const struct pending *pending); /* "" if none */
};

extern const struct protocol_ops dialogue_smtp, dialogue_imap, dialogue_pop3;

/* Fill in the connection's part and tell. */
void dialogue_tell(struct dialogue *d, struct dialogue_event *event);

/* A new command at the end of the queue. Not told. */
struct pending *pending_add(struct dialogue *d, int command, int64_t ns);
void pending_remove(struct dialogue *d, struct pending *pending); /* and free it */
void pending_event(const struct pending *pending, struct dialogue_event *event);
void dialogue_tell_command(
	struct dialogue *d, const struct pending *pending, const char *moment, int64_t ns);
void dialogue_tell_unanswered(
	struct dialogue *d, const struct pending *pending, bool unknown, int64_t ns);

/* From now on nothing of this connection is understood. */
void dialogue_opaque(struct dialogue *d, int64_t ns);
void dialogue_not_mail(struct dialogue *d);
void dialogue_set_protocol(struct dialogue *d, enum dialogue_protocol protocol, int64_t ns);

/* Bytes of the dialogue itself: as they came, or out of TLS. */
void dialogue_bytes(
	struct dialogue *d, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns);

void dialogue_client_ended(struct dialogue *d, int64_t ns);
void dialogue_enlist(struct dialogue *d, struct dialogue_list *list); /* from none, or another */
void dialogue_end(
	struct dialogue *d, enum flow_end end, int64_t ns); /* tell that it is over, and free it */

/* From what is in `first`; UNKNOWN while that is too little. */
enum dialogue_protocol dialogue_find_out(const struct dialogue *d);

/* ---- dialogue_tls.c ---- */

/* From now on it is TLS: opaque, but for what can be opened. The protocol begins anew then. */
void dialogue_tls(struct dialogue *d, int64_t ns);
void dialogue_tls_data(
	struct dialogue *d, enum flow_side from, const uint8_t *bytes, size_t len, int64_t ns);
void dialogue_tls_gap(struct dialogue *d, int64_t ns);
/* It is over: its end is told once its secrets are known, or it waited for long enough. */
void dialogue_tls_end(struct dialogue *d, enum flow_end end, int64_t ns);
void dialogue_tls_expire(struct dialogue_set *set, int64_t ns); /* INT64_MAX: all that wait */

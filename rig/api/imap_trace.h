/*
 * What the IMAP sessions of a cell said and were told, from the `imap`, `box` and `copy` lines of a
 * history: one small item each, in the order of the file. That order is causal: a command's item
 * stands before its first byte went out, a reply's after it was read.
 *
 * Built line by line while a history is loaded, owned by it, immutable afterwards. Texts are those of
 * the ledger. A history is hostile: what has the wrong type counts as absent.
 */
#pragma once

#include "api/ledger.h"

enum trace_kind {
	TRACE_OPEN,
	TRACE_SENT,
	TRACE_CONTENT, /* of an APPEND is about to go out */
	TRACE_EXISTS,
	TRACE_EXPUNGE,
	TRACE_VANISHED,
	TRACE_FETCH,
	TRACE_CODE,
	TRACE_STATUS,
	TRACE_BYE,
	TRACE_ENABLED,
	TRACE_LOST, /* a response that is not known */
	TRACE_DONE,
	TRACE_CLOSED,
	TRACE_WIPED, /* by the rig, in another way than by an IMAP command; user 0: anybody's */
	TRACE_BOX,   /* of the final read-back */
	TRACE_COPY,
};

enum trace_verb {
	VERB_OTHER,
	VERB_APPEND,
	VERB_CAPABILITY,
	VERB_CHECK,
	VERB_CLOSE,
	VERB_COPY,
	VERB_CREATE,
	VERB_DELETE,
	VERB_DONE,
	VERB_ENABLE,
	VERB_EXAMINE,
	VERB_EXPUNGE,
	VERB_FETCH,
	VERB_IDLE,
	VERB_LOGOUT,
	VERB_MOVE,
	VERB_NOOP,
	VERB_RENAME,
	VERB_SEARCH,
	VERB_SELECT,
	VERB_STATUS,
	VERB_STORE,
	VERB_UNSELECT,
};
const char *trace_verb_name(enum trace_verb verb); /* "FETCH" */

/* Flags as bits: the system flags, then keywords in the order of their first use. */
enum {
	FLAG_SEEN = 1,
	FLAG_ANSWERED = 2,
	FLAG_FLAGGED = 4,
	FLAG_DELETED = 8,
	FLAG_DRAFT = 16,
	FLAG_SYSTEM = 31,
	FLAG_KNOWN = 1 << 30, /* of a set of flags that was given at all */
};
#define TRACE_KEYWORDS_MAX 25 /* further ones are not followed */

struct trace_command {
	uint8_t verb;
	bool uid;	       /* UID form */
	bool silent;	       /* STORE */
	bool conditional;      /* STORE with UNCHANGEDSINCE */
	bool sets_seen;	       /* FETCH of a body without PEEK */
	bool lists;	       /* FETCH of 1:* with FLAGS */
	bool vanished;	       /* UID FETCH with VANISHED */
	bool qresync;	       /* SELECT with the parameter */
	char op;	       /* STORE: + - or = */
	uint32_t set, mailbox; /* texts, 0: none */
	uint32_t rest;	       /* text: what follows the set */
	uint32_t flags;	       /* STORE, APPEND */
	uint32_t known_validity;
	uint64_t known_modseq; /* of qresync */
};

#define TRACE_NONE UINT32_MAX

struct trace_item {
	double t;
	uint32_t line;
	uint32_t session; /* index, or TRACE_NONE */
	uint8_t kind;
	uint8_t status; /* DONE: enum outcome, MAYBE is BAD */
	bool earlier;	/* VANISHED */
	bool nil, body, whole,
		partial; /* FETCH: a body NIL, given, with a whole header, a section */
	uint32_t number, uid;
	uint32_t flags; /* 0 or with FLAG_KNOWN */
	uint32_t text;	/* tag (SENT DONE CONTENT), set (VANISHED), code (CODE), why (CLOSED) */
	uint32_t code;	/* DONE */
	uint32_t user, mailbox; /* OPEN STATUS BOX COPY WIPED */
	uint32_t token, sha, bytes;
	uint32_t uidnext, uidvalidity;
	uint64_t modseq;
	uint32_t command; /* index, SENT */
};

struct trace_session {
	uint32_t who, user; /* texts */
	uint32_t line;
	uint32_t previous; /* the last one of the same `who` before, or TRACE_NONE */
};

struct imap_trace {
	struct intern *texts; /* the ledger's */
	struct trace_item *items;
	struct trace_command *commands;
	struct trace_session *sessions;
	size_t count, command_count, session_count;
	size_t item_room, command_room, session_room;
	struct key_map by_number, by_who;
	uint32_t *last_of; /* session by `who` */
	size_t who_count;
	uint32_t keywords[TRACE_KEYWORDS_MAX];
	size_t keyword_count;
	struct key_map wiped;	 /* users of whom the rig removed mail by other means; 0: of all */
	double powerless_t;	 /* when the power was first cut; NAN: never */
	uint32_t powerless_line; /* 0: never */
};

struct imap_trace *imap_trace_new(struct ledger *ledger);
void imap_trace_free(struct imap_trace *trace);
void imap_trace_add(struct imap_trace *trace, const struct event *event,
	const struct tape_value *data); /* as ledger_add() */

const char *trace_text(const struct imap_trace *trace, uint32_t id);
/* The bits of "\\Seen $label", with FLAG_KNOWN. A name that is no flag is left out. */
uint32_t trace_flags(struct imap_trace *trace, const char *text);
/* Bits as words, into `out`; returns `out`. */
const char *trace_flag_words(
	const struct imap_trace *trace, uint32_t flags, char *out, size_t size);
/* The number behind "UIDNEXT " in a code, 0 if it says something else. */
uint64_t trace_code_number(const char *code, const char *word);

/* For imap_trace.c: what a command line asks for. */
struct trace_command trace_command_parse(struct imap_trace *trace, const char *line);

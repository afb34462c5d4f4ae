/*
 * The ledger: what a history says about mail, operations and faults, counted and cross-referenced,
 * so that each law is one pass over small records. Built line by line while a history is loaded,
 * owned by it, immutable afterwards (any thread may read).
 *
 * What it makes of a history:
 *  - A *mail* is a token. A *recipient* is a (token, address) pair; addresses are written in lower
 *    case, without <>, and without the domain and "+detail" where the domain is the store's own
 *    ("store"), so that "<U1+x@Store>" and the mailbox owner "u1" are the same.
 *  - Attempts, copies (read back or arrived at the rig's sink) and what is queued hang on their
 *    recipient. A notification (`bounce_of`) is no copy: it hangs on the mail it reports.
 *  - Times are seconds on the cell clock, NAN where a thing did not happen.
 * Keys of another type than history.h says count as absent: a history is hostile.
 */
#pragma once

#include "api/history.h"
#include "api/intern.h"

#define LEDGER_NONE	  UINT32_MAX /* no index */
#define LEDGER_ANY_NUMBER (1u << 24) /* more than could be */

enum hop { HOP_EDGE, HOP_INNER, HOP_OUTBOUND };
#define HOP_COUNT 3
const char *hop_name(enum hop hop);  /* "edge" "inner" "outbound" */
int hop_from_name(const char *name); /* enum hop, or -EINVAL */

/* RESULT_UNKNOWN: the wire saw that there was one and not how it ended (a gap hides it): it may have been any of
 * the others, so that it neither accuses nor clears. */
enum attempt_result {
	RESULT_NOT_SENT,
	RESULT_2YZ,
	RESULT_4YZ,
	RESULT_5YZ,
	RESULT_NONE,
	RESULT_UNKNOWN,
};
#define RESULT_COUNT 6
const char *attempt_result_name(enum attempt_result result); /* "not-sent" "2yz" ... */
int attempt_result_from_name(const char *name);		     /* enum attempt_result, or -EINVAL */

struct ledger_attempt {
	double t, dot_t, reply_t;
	uint32_t line;
	uint32_t rcpt;	/* index */
	uint32_t conn;	/* text */
	uint32_t next;	/* index of the recipient's next, or LEDGER_NONE */
	uint32_t extra; /* replies of this transaction that no recipient was left for */
	uint16_t code;
	uint8_t hop, result;
	bool lmtp;
	bool taken_back; /* it was answered, and the disks are of before: `result` is none */
};

struct ledger_copy {
	double t;
	uint32_t line;
	uint32_t rcpt; /* index */
	uint32_t next; /* index of the recipient's next, or LEDGER_NONE */
	uint32_t sha;  /* text, 0: not given */
	bool whole;
	bool sunk; /* it left the store: at the rig's sink */
};

struct ledger_rcpt {
	uint32_t mail, address; /* index, text */
	uint32_t next;		/* of the same mail */
	uint32_t attempts[HOP_COUNT][RESULT_COUNT];
	uint32_t client[3];		      /* by enum outcome: what the rig's client saw */
	uint32_t first_attempt, last_attempt; /* indices */
	uint32_t first_copy, last_copy;	      /* indices */
	uint32_t copies;		      /* of them with a whole header, own token */
	uint32_t partial;		      /* of them without */
	uint32_t queued;		      /* entries in the store's queue at the end */
	uint32_t appended;		      /* IMAP APPENDs answered OK, or perhaps done */
	uint32_t removed;		      /* copies the rig removed, named by token or UID */
	uint32_t line;			      /* that first names it */
	bool intended;			      /* sent or appended to it, not only seen there */
};

struct ledger_mail {
	uint32_t token, from; /* texts; from 0: null return path or unknown */
	uint32_t sha;	      /* of the body as sent, text; 0: unknown */
	uint32_t first_rcpt, last_rcpt;
	uint32_t line;	   /* that first names it */
	uint32_t queue_id; /* text; the one the store's reply named, 0: none */
	uint32_t bounces;  /* notifications that it failed: arrived, or queued */
	uint32_t bounce_line;
	uint32_t first_notice; /* index of the last told, or LEDGER_NONE */
	double bounce_t;
	bool null_path; /* the rig's client sent it with the null return path */
	bool real;	/* not made by the rig: a store may legally change its body */
	bool never;	/* it asked for no notification (NOTIFY=NEVER) */
};

/* A notification about a mail: where it was found, and whom it names. */
struct ledger_notice {
	double t;
	uint32_t line;
	uint32_t
		found; /* text: the mailbox's owner, or its recipient at the sink or in the queue */
	uint32_t failed; /* text: addresses it names, separated by blanks; 0: not told */
	uint32_t from;	 /* text: its envelope's sender; 0: null, or not known */
	uint32_t next;	 /* index of another about the same mail, or LEDGER_NONE */
	bool is_final;	 /* not only a warning of delay */
};

struct ledger_op {
	double begin, end; /* end NAN: it never came back */
	uint32_t begin_line, end_line;
	uint32_t op, who, user, command; /* texts */
	uint32_t mail;			 /* index, or LEDGER_NONE */
	uint16_t code;			 /* of the reply that ended it, 0: none */
	uint8_t outcome;		 /* enum outcome, of one that came back */
	bool gave_up;			 /* it came back because the rig's client gave up waiting */
};

/* One time a fault was in force. */
struct ledger_force {
	double from, to; /* to NAN: it was not healed */
	double at;	 /* of a power cut: the instant that the disks are of; NAN: it was none */
	double ahead;	 /* seconds that the store's wall clock was ahead by it; negative: back */
	uint32_t from_line, to_line;
	uint32_t step, fault; /* texts */
	uint32_t is;	      /* enum fault_is, together */
	uint32_t agent;	      /* text: the agent it takes away, 0: none */
	uint32_t user;	      /* text: whose mailbox alone it touches, 0: not only one's */
};

/* A message that a session was shown by FETCH or RETR. */
struct ledger_shown {
	uint32_t op, mail; /* indices */
	uint32_t sha, line;
};

/* What is known of an address beside its mails. */
enum {
	WHO_READ = 1,	     /* its mailboxes were read back whole */
	WHO_UNREADABLE = 2,  /* they could not be read */
	WHO_QUEUED = 4,	     /* something nameless is queued for it */
	WHO_REMOVED_ALL = 8, /* the rig removed, or perhaps removed, any number of its messages */
	WHO_MULTIPLIED = 16, /* the rig copied or moved messages of it by itself */
};

struct ledger_who {
	uint32_t address; /* text */
	uint32_t flags;
	uint64_t removed; /* nameless messages that the rig removed */
	uint32_t unsent;  /* attempts to hand it a message without token that were refused */
	uint32_t
		given_up; /* of them for good: RCPT refused, so that no content says which mail it was */
	uint32_t untold;   /* of those the ones from the null return path: notifications to it */
	uint32_t doubtful; /* the same without a reply: there may be one more */
	uint32_t unknown[HOP_COUNT]; /* attempts whose token and result a gap hides */
	uint32_t first_removal_line, last_removal_line;
};

/* The host starved the guest: in the seconds before `t` so much was lost to it. */
struct ledger_starved {
	double t, lost_s;
};

struct ledger {
	struct intern texts;
	struct ledger_attempt *attempts;
	struct ledger_copy *copies;
	struct ledger_rcpt *rcpts;
	struct ledger_mail *mails;
	struct ledger_op *ops;
	struct ledger_force *forces;
	struct ledger_shown *shown;
	struct ledger_who *whos;
	struct ledger_notice *notices;
	struct ledger_starved *starved; /* by time */
	size_t attempt_count, copy_count, rcpt_count, mail_count, op_count, force_count;
	size_t shown_count, who_count, starved_count, notice_count;
	size_t room[10];
	uint32_t hop_attempts[HOP_COUNT];
	uint32_t hidden[HOP_COUNT]; /* connections that may have held attempts for anybody */
	double first_t, last_t;
	double settle_t; /* the rig waited for pending operations until then */
	double read_t;	 /* it read the mailboxes back from then on; NAN: it did not */
	uint32_t intact_copies, altered_copies; /* whole ones, by the hash of what was sent */
	uint32_t sunk_copies;
	uint32_t fault_lines;	     /* events of faults, in force or not */
	uint32_t first_trouble_line; /* rig trouble, 0: none */
	bool sink_asked;	     /* the rig's sink told all that it took */
	bool unlisted;		     /* what is left in the queue is not known, or not all of it */
	bool ended;		     /* phase "end" was reached */
	bool worked;		     /* phase "workload" was reached, or an operation began */
	struct key_map
		by_pair; /* ledger_pair() of a mail and a recipient, its first one left out */
	struct key_map by_op, by_uid;
	struct text_map by_token, by_who, by_queue_id;
};

static inline uint64_t ledger_pair(uint32_t mail, uint32_t address)
{
	return (uint64_t)mail << 32 | address;
}

struct ledger *ledger_new(void);
void ledger_free(struct ledger *ledger);
/* `data`: the event's line, read anew; not kept. */
void ledger_add(struct ledger *ledger, const struct event *event, const struct tape_value *data);
/* That line comes next: what is far away in memory may be fetched while the one before is added. */
void ledger_expect(const struct ledger *ledger, const struct tape_value *data);
void ledger_finish(struct ledger *ledger);

/* The ledger's own text of an event's kind: it outlives the line. */
const char *ledger_kind(struct ledger *ledger, const char *kind);

static inline const char *ledger_text(const struct ledger *ledger, uint32_t id)
{
	return intern_text(&ledger->texts, id);
}

/* As op_waits_for_work(). */
static inline bool ledger_waits_for_work(const struct ledger *ledger, const struct ledger_op *op)
{
	return op_waits_for_work(ledger_text(ledger, op->op), ledger_text(ledger, op->command));
}

/* May a mail that the history first names in that line be one of those that the rig removed namelessly? Each
 * removal is told once it is over: what came later was not yet there. */
static inline bool ledger_may_be_removed(const struct ledger_who *who, uint32_t line)
{
	return who && line < who->last_removal_line &&
	       (who->removed || who->flags & WHO_REMOVED_ALL);
}

/* NULL where unknown. */
const struct ledger_mail *ledger_mail(const struct ledger *ledger, const char *token);
/* That mail for that address, NULL where it was never for it; `mail` may be NULL. */
const struct ledger_rcpt *ledger_rcpt_of(
	const struct ledger *ledger, const struct ledger_mail *mail, uint32_t address);
const struct ledger_who *ledger_who(const struct ledger *ledger, uint32_t address);
const char *ledger_token(const struct ledger *ledger, const struct ledger_rcpt *rcpt);

/* Attempts for this recipient on that hop whose result is not known: of this mail, or of one that may be it.
 * LEDGER_ANY_NUMBER and more where a whole connection is hidden. */
uint32_t ledger_unknown(const struct ledger *ledger, const struct ledger_rcpt *rcpt, enum hop hop);

/*
 * Is a copy the message that was sent? Intact: its body is the sent one, or the one that the same
 * store made of the same message in the baseline (8-bit, bare LF and long lines are legally
 * changed). Damaged: neither, and the baseline shows that this store changes nothing, or changes it
 * otherwise; or not even its header is whole. Unsure: there is nothing to compare it with.
 * `baseline` may be NULL: a whole copy of real mail is then what others are compared with.
 */
enum copy_state { COPY_INTACT, COPY_UNSURE, COPY_DAMAGED };
/* The same of any content whose header is whole; `sha` "": not known. */
enum copy_state ledger_content_state(const struct ledger *ledger, const struct ledger *baseline,
	const struct ledger_mail *mail, const char *sha);
enum copy_state ledger_copy_state(
	const struct ledger *ledger, const struct ledger *baseline, const struct ledger_copy *copy);

/* Seconds of [from, to] in which no fault was in force. Linear in the number of faults. */
double ledger_free_seconds(const struct ledger *ledger, double from, double to);

/* The first power cut, or NULL. */
/* The most seconds that the store's wall clock was ahead at any time of [from, to], 0 if it never was. */
double ledger_ahead(const struct ledger *ledger, double from, double to);

const struct ledger_force *ledger_power_cut(const struct ledger *ledger);

/* Did the host starve the guest between those times, for a fifth of them or more? Then no objective can be judged
 * there. */
bool ledger_starved(const struct ledger *ledger, double from, double to);

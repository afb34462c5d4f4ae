/*
 * A mail store in the same process, for the unit tests of the cell's life and of the oracles: SMTP
 * in, a queue, delivery over an inner hop, mailboxes in memory, IMAP and POP3 out; it can be
 * frozen, thawed, stopped and started, and it breaks one law at a time when told so (fake_plant()).
 *
 * fake_start() opens listeners on 127.0.0.1 and makes threads; each call may come from any thread,
 * but start, stop and free come from one. Users log in with their name as password; USER@anything
 * with a known USER is delivered here, all else goes to `outbound`, if there is one. What is kept
 * (queue, mailboxes) survives fake_stop() and fake_start().
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_SESSIONS_MAX 64
#define FAKE_MESSAGE_MAX  (4u << 20)
#define FAKE_DEATHS_MAX	  16
#define FAKE_RULES_MAX	  33 /* from 1 */

enum fake_service {
	FAKE_SMTP,
	FAKE_LMTP,
	FAKE_IMAP,
	FAKE_POP3,
	FAKE_SERVICES,
};

const char *fake_service_name(enum fake_service service); /* "smtp" ... */

enum fake_bug {
	FAKE_CHANGES_UID,    /* I1: a FETCH shows another UID than before */
	FAKE_REWRITES,	     /* I2: a message is altered after it was shown */
	FAKE_LOWERS_VALID,   /* I3: the next start lowers every UIDVALIDITY */
	FAKE_KEEPS_UIDNEXT,  /* I4: UIDNEXT is told as if the last message had not come */
	FAKE_MISCOUNTS,	     /* I5: an EXPUNGE names a number that is too high */
	FAKE_EXPUNGES_EARLY, /* I6: an EXPUNGE is told in the answer to FETCH by number */
	FAKE_BLIND,	     /* I7: from then on no NOOP tells of changes */
	FAKE_CLOSE_KEEPS,    /* I8: from then on CLOSE expunges nothing */
	FAKE_ADDS_REFUSED,   /* I9: from then on an APPEND is answered NO, and kept */
	FAKE_MOVE_LOSES,     /* I10: from then on a MOVE removes and copies nothing */
	FAKE_FORGETS_FLAGS,  /* I11: from then on a STORE is told and not done */
	FAKE_MIXES_FETCH,    /* I12: a FETCH of an expunged message shows another one */
	FAKE_REPEATS_MODSEQ, /* I13: from then on a STORE raises no mod-sequence */
	FAKE_RESYNC_FORGETS, /* I14: SELECT with QRESYNC tells nothing vanished */
	FAKE_VANISHES_MORE,  /* I15: VANISHED names a UID that never was */
	FAKE_IDLE_DEAF,	     /* I16: IDLE pushes nothing */
	FAKE_REPLIES_TWICE,  /* I17: NOOP gets two tagged replies */
	FAKE_STALE_FETCH, /* I12: a FETCH that is held reads what stands in the place of its message */
	FAKE_LOSES,	  /* S1: 250 after the dot, nothing kept */
	FAKE_KEEPS_REFUSED,  /* S2: 451 after the dot, delivered all the same */
	FAKE_DUPLICATES,     /* S3: one dot, two copies */
	FAKE_BOUNCES,	     /* S4: 554, or a bounce, on a transient fault (freeze, hop down) */
	FAKE_NO_REPLY,	     /* S5, H1: no reply after the dot, ever; the mail is kept */
	FAKE_QUEUE_STUCK,    /* S7: a deferred entry is not tried again */
	FAKE_HANGS_AT_THAW,  /* H1: an operation that waited in the freeze goes on waiting */
	FAKE_STOP_HANGS,     /* H2: fake_stop() does not end */
	FAKE_DIES,	     /* H5: a process dies by SIGSEGV at the dot; the connection is reset */
	FAKE_CORRUPTS,	     /* S8: a copy's body is altered */
	FAKE_MIXES_USERS,    /* S9: a copy goes to another user */
	FAKE_CUT_DELETES,    /* P1: a POP3 session that is cut removes what it marked */
	FAKE_QUIT_KEEPS,     /* P1: from then on +OK to QUIT, and the marked are still there */
	FAKE_OVERDELETES,    /* P2: QUIT removes one that was not marked */
	FAKE_LOCK_STAYS,     /* P3: a maildrop stays locked after a session was cut */
	FAKE_UIDL_CHANGES,   /* P4: a message gets another UIDL */
	FAKE_UIDL_SHARED,    /* P4: two messages of a listing have the same UIDL */
	FAKE_AUTOLOGOUT,     /* P5: a POP3 session that stands idle is ended at once */
	FAKE_NO_BOUNCE,	     /* S6: a recipient is given up, and nobody is told */
	FAKE_BOUNCES_NULL,   /* S6: what had no return path is told of to a user */
	FAKE_BOUNCES_TWICE,  /* S6: a failure is told twice */
	FAKE_LIES,	     /* L2: the delivery agent answers 250 and keeps nothing */
	FAKE_KEEPS_DEFERRED, /* L2: it answers 451 and keeps the message */
	FAKE_SPREADS,	     /* L2: one broken mailbox makes it refuse another's mail */
	FAKE_STALLS,	     /* H3: an IMAP command waits until delivery works again */
	FAKE_LEAKS,	     /* H8: each IMAP session that is dropped leaves a thread behind */
	FAKE_ACKS_EARLY,     /* U1: a mail or APPEND is acknowledged and not flushed */
	FAKE_LETS_GO_EARLY,  /* U3: the queue's removal is flushed, the copy is not */
	FAKE_IGNORES_SYNC,   /* U2: no fsync succeeds, and 250 all the same */
	FAKE_NEEDS_OPERATOR, /* U4: after a power cut it does not start */
	FAKE_PARTIAL_FILE,   /* M1: a delivered file is seen half-written */
	FAKE_NAME_REUSED,    /* M2: a file gets the name of the one before it, that is gone */
	FAKE_FLAGS_DOUBLE,   /* M3: a change of flags leaves the file twice */
	FAKE_FLAGS_LOSE,     /* M3: a change of flags removes the file */
	FAKE_LITTER,	     /* M4: a process dies and leaves half a message in new/ */
	FAKE_LOCK_CYCLE,  /* H6: three processes wait for each other (seen in the evidence alone) */
	FAKE_NO_LIMIT,	  /* H4: the queue waits for a silent agent without its limit */
	FAKE_SKIPS_REPLY, /* L1: the delivery agent leaves out a reply, and goes on */
	FAKE_ALARMS,	  /* H9: a line of panic in the log */
	FAKE_BUGS,
};

const char *fake_bug_name(enum fake_bug bug); /* "loses" "keeps-refused" ... */

struct fake_attempt {	 /* as a wire would show it; texts are borrowed for the call */
	const char *hop; /* "edge" "inner" "outbound" */
	const char *token, *from, *to;
	const char *result;	  /* "2yz" "4yz" "5yz" "none" */
	int code;		  /* 0: none */
	int64_t dot_ns, reply_ns; /* on clock_ns; -1 where not reached */
};

struct fake_death {
	char program[64];
	int signal;
};

struct fake_opts {
	const char *const *users; /* NULL-terminated; at least one */
	int64_t retry_ms;	  /* of deferred queue entries; 0: 200 */
	int64_t silent_ms; /* how long the queue waits for a silent agent within the store; 0: 500 */
	int64_t hop_ms;	   /* how long the queue waits for the inner hop's replies; 0: 5000 */
	/*
	 * The inner hop: NULL delivers within the store; else the queue speaks LMTP on the
	 * descriptor this gives (a forwarder in front of the store's own LMTP port, for example).
	 */
	int (*hop_connect)(void *arg, int64_t deadline_ns, struct err *err);
	int (*outbound)(
		void *arg, int64_t deadline_ns, struct err *err); /* to the next MTA; may be NULL */
	int64_t (*clock_ns)(void *arg);				  /* NULL: monotonic */
	void (*on_attempt)(void *arg, const struct fake_attempt *attempt); /* may be NULL */
	/* The queue waited so long for a silent agent, and got on (answered) or gave up. May be NULL. */
	void (*on_wait)(void *arg, int64_t waited_ns, bool answered);
	void (*on_death)(void *arg, const struct fake_death *death); /* may be NULL */
	void (*on_log)(void *arg, const char *line);		     /* likewise */
	void *arg;
};

struct fake;

struct fake *fake_new(const struct fake_opts *opts); /* stopped, empty */
void fake_free(struct fake *fake);		     /* by force if it runs; NULL is fine */

/* Break a law at the `nth` opportunity (from 1), once. `only_hurt`: only operations that met a
 * freeze or a failing hop count as opportunities. nth 0 takes the bug out. */
void fake_plant(struct fake *fake, enum fake_bug bug, unsigned int nth, bool only_hurt);
/* One more opportunity for a bug to show itself; `hurt`: a fault was met. For the bed's own bugs too. */
bool fake_fires(struct fake *fake, enum fake_bug bug, bool hurt);
bool fake_bug_fired(struct fake *fake, enum fake_bug bug);

int fake_start(struct fake *fake, struct err *err); /* the same ports each time */
/* Ends every session and thread: 0, or -ETIMEDOUT; then only fake_kill() helps. */
int fake_stop(struct fake *fake, int64_t deadline_ns, struct err *err);
void fake_kill(struct fake *fake); /* stop by force */
bool fake_running(struct fake *fake);

uint16_t fake_port(struct fake *fake, enum fake_service service);
int fake_connect(
	struct fake *fake, enum fake_service service, int64_t deadline_ns, struct err *err);

/* While frozen, whatever would write (the dot, delivery, APPEND, STORE, EXPUNGE, a QUIT that
 * deletes) waits. */
void fake_freeze(struct fake *fake);
void fake_thaw(struct fake *fake);
bool fake_frozen(struct fake *fake, unsigned int *ret_waiting); /* operations that wait now */
bool fake_wait_frozen(struct fake *fake, unsigned int waiting, int64_t deadline_ns);

/* Points of the store's own: "fake/imap/fetch" before a message is read, "fake/imap/expunge" before messages are removed.
 * From the hit-th on so many that come by stand still, until the rule is taken away. False: no such slot or point. */
bool fake_arm(
	struct fake *fake, unsigned int slot, const char *point, uint32_t hit, uint32_t calls);
void fake_disarm(struct fake *fake, unsigned int slot);
bool fake_rule_status(struct fake *fake, unsigned int slot, uint64_t *ret_fired,
	uint32_t *ret_parked); /* false: none */

/* The power is cut: sessions end, and of what was not flushed nothing is lost, all (`lost` 2), or some by the
 * seed (1). A healthy store flushes whatever it acknowledges. */
void fake_cut_power(struct fake *fake, int lost, uint64_t seed);
/* A snapshot of what is kept; its return, after fake_cut_power(); and what an operator has to do then: every
 * UIDVALIDITY is raised. */
void fake_save(struct fake *fake);
void fake_put_back(struct fake *fake);
void fake_restored(struct fake *fake);
void fake_fail_sync(struct fake *fake, bool fail); /* no fsync succeeds */

/* The delivery agent: while disabled, delivery fails for now (without a hop_connect). */
void fake_disable_delivery(struct fake *fake, bool disabled);
void fake_silence_delivery(
	struct fake *fake, bool silent); /* it says nothing, instead of failing */
/* Nothing can be delivered to this user, for now (451); NULL: to all again. */
void fake_break_box(struct fake *fake, const char *user);
void fake_hold_queue(struct fake *fake, bool hold); /* nothing leaves the queue */

size_t fake_queue_depth(struct fake *fake);
void fake_queue_list(struct fake *fake, struct buf *out);	/* lines: ID STATE RECIPIENT... */
bool fake_wait_drained(struct fake *fake, int64_t deadline_ns); /* false at the deadline */

/* Sessions there are, with what a leak left behind; and maildrops that are locked. */
void fake_level(struct fake *fake, size_t *ret_sessions, size_t *ret_locks);
/* The mailboxes as files of Maildirs under /srv/mail/USER/Maildir; called under the store's lock. */
void fake_files(struct fake *fake,
	void (*each)(void *arg, const char *path, const char *bytes, size_t len), void *arg);
size_t fake_copies(struct fake *fake, const char *user); /* in all mailboxes */
size_t fake_deaths(struct fake *fake, struct fake_death *out, size_t max);

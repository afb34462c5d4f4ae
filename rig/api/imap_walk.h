/*
 * A walk over what IMAP sessions said and were told, with two models that follow it item by item:
 *
 *  - The *view* of each session: what its client knows of the selected mailbox and nothing else: which
 *    UID each message number has, flags, mod-sequences, UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ, and which
 *    commands are pending. `sure` goes false where something was lost or impossible, until the next
 *    SELECT: then nothing is to be blamed on it.
 *  - The *truth* of each mailbox (of one UIDVALIDITY): what acknowledged commands make certain about
 *    each UID. What a pending, refused or lost command may have changed is not certain; where commands
 *    overlap, nothing is, until a later one stands alone. Where the rig removed mail of a user by other
 *    means it is never certain that a message is there.
 *
 * imap_walk_next() gives the next item *before* the models follow it, and lets them follow the one
 * before. It ends at a power cut, after which only I2 and I3 hold: they set `stop_line` to 0. One walk
 * is used by one thread; it is linear in the history, and in views for commands that name many
 * messages. Everything is bounded; a history is hostile.
 */
#pragma once

#include "api/imap_trace.h"
#include "api/uid_set.h"
#include "base/cleanup.h"

#define VIEW_MESSAGES_MAX 65536 /* of a selected mailbox; a larger one is not followed */
#define VIEW_PENDING_MAX  64
#define WALK_UNSEEN_MAX \
	65536 /* messages that vanished before anybody was shown their UID; of more nothing is sure */

struct view_slot {
	uint32_t uid;	/* 0: not shown */
	uint32_t flags; /* 0: not shown; else with FLAG_KNOWN */
	uint32_t floor; /* the highest UID this session was shown when the message came */
	uint32_t line;	/* that showed the UID */
	uint64_t modseq;
};

struct view_pending {
	const struct trace_item *sent;
	const struct trace_command *command;
	bool in_progress;	    /* false: the content of an APPEND is not out yet */
	bool done_sent;		    /* IDLE */
	uint32_t token, sha, bytes; /* APPEND */
	uint32_t moved;		    /* MOVE: the code that says where to, a text */
	uint32_t *touched;	    /* mails, of a command that may change them */
	size_t touched_count;
	uint32_t removes_in;	 /* the box of a MOVE, EXPUNGE or CLOSE, or TRACE_NONE */
	size_t in_view;		 /* of them, the first so many are in the session's view */
	uint64_t highest_modseq; /* any message was shown with, before it was sent */
};

struct view {
	const struct trace_session *session;
	uint32_t mailbox; /* text; 0: none selected */
	uint32_t box;	  /* index, or TRACE_NONE while its UIDVALIDITY is not known */
	bool open;	  /* logged in and not closed */
	bool read_only, selecting, sure;
	bool listed; /* 1:* was fetched with flags since the SELECT */
	bool enabled_qresync;
	bool resync; /* the SELECT had QRESYNC, and `slots` began as the view before it */
	uint32_t known_validity; /* of the resync */
	uint32_t exists;	 /* as told */
	uint32_t uidvalidity, uidnext;
	uint64_t modseq;       /* HIGHESTMODSEQ */
	uint64_t shown_modseq; /* the highest of any message */
	uint32_t permanent;    /* flags that STORE keeps; without FLAG_KNOWN: not told, so all */
	struct view_slot *slots;
	size_t count, room;
	size_t unknown;			 /* slots without UID */
	size_t known;			 /* slots in front of the first without UID */
	uint32_t max_uid;		 /* shown so far under this UIDVALIDITY */
	const struct trace_item *select; /* the SENT of the selection, NULL: none */
	struct view_pending pending[VIEW_PENDING_MAX];
	size_t pending_count;
	uint32_t *told_gone; /* mails, since the last command ended */
	size_t told_gone_count, told_gone_room;
	size_t changes_seen;	       /* for I7 and I16: of the box */
	const struct trace_item *last; /* of this session */
};

enum presence { PRESENCE_UNKNOWN, PRESENCE_HERE, PRESENCE_GONE };

/* What is known of (mailbox, UIDVALIDITY, UID). */
struct mail {
	uint32_t uid, box;
	uint8_t presence;
	bool doubt;			/* of presence, for good */
	bool flag_doubt;		/* of flags, for good */
	bool destroyed;			/* perhaps, by something else than a MOVE */
	bool contested;			/* STOREs overlap */
	uint16_t removals;		/* commands pending that may remove it */
	uint16_t stores;		/* commands pending that may change its flags */
	uint32_t known, flags;		/* which flags are certain, and what they are */
	const struct trace_item *added; /* DONE of the command that put it there, NULL: not known */
	const struct trace_item *removed; /* DONE of the command in which it was told gone */
	const struct trace_item *told_gone;
	const struct trace_item *closed; /* DONE of a CLOSE that expunges it, NULL: none */
	const struct trace_item *stored; /* DONE of the STORE that made flags certain */
	uint32_t token, sha, bytes;	 /* of its content, 0: not known */
	uint32_t content_line;
};

enum change_kind { CHANGE_ADDED, CHANGE_REMOVED, CHANGE_FLAGS };

/* An acknowledged change. */
struct change {
	uint8_t kind;
	uint32_t mail;	      /* index */
	uint32_t flags, mask; /* CHANGE_FLAGS */
	uint32_t session;     /* that did it, or TRACE_NONE */
	const struct trace_item *sent, *done;
};

struct box {
	uint32_t user, mailbox, uidvalidity;
	uint32_t removers;	/* EXPUNGE and CLOSE commands pending */
	uint32_t removing;	/* and MOVE */
	uint32_t removing_line; /* where one of these last began or ended */
	uint32_t *mails;	/* indices, in the order of their first mention */
	size_t mail_count, mail_room;
	uint32_t *live; /* of them, those that were not told gone when the list was last cleared */
	size_t live_count;
	struct change *changes;
	size_t change_count, change_room;
};

struct imap_walk {
	const struct imap_trace *trace;
	size_t at;	    /* of the item given last, plus one */
	uint32_t stop_line; /* the walk ends there: the first power cut; 0: at the end */
	struct view *views; /* by session */
	struct box *boxes;
	size_t box_count, box_room;
	struct mail *mails;
	size_t mail_count, mail_room;
	size_t unseen; /* of them, that were only told to be gone */
	struct key_map box_names, box_keys, mail_keys;
	size_t name_count;
};

void imap_walk_begin(struct imap_walk *walk, const struct history *history);
void imap_walk_end(struct imap_walk *walk);
const struct trace_item *imap_walk_next(struct imap_walk *walk); /* NULL: at the end */
#define auto_walk cleanup(imap_walk_end)

/* NULL for an item of no session. */
struct view *walk_view(struct imap_walk *walk, const struct trace_item *item);
const struct trace_command *walk_command(
	const struct imap_walk *walk, const struct trace_item *item);

struct view_pending *view_pending(struct view *view, uint32_t tag); /* NULL: nobody waits for it */
/* Why the server must not send EXPUNGE or VANISHED now (RFC 9051, 7.5.1), or NULL where some pending
 * command allows it. */
const char *view_forbids_expunge(const struct view *view);
/* The slot of a UID, or NULL. Linear only behind the first slot without UID. */
struct view_slot *view_find(const struct view *view, uint32_t uid);
/* Of the slots in front of the first without UID, the first whose UID is not below `uid`. */
size_t view_lower_bound(const struct view *view, uint32_t uid);
/* The first slot at or behind `at` that a set of UIDs, or of numbers, names, or view->count. What it costs goes by
 * what the set names; linear as view_find() is. */
size_t view_set_next(const struct view *view, const struct uid_set *set, bool uid, size_t at);
uint32_t view_last_uid(const struct view *view); /* what `*` means in a UID set */

uint32_t walk_box(struct imap_walk *walk, uint32_t user, uint32_t mailbox, uint32_t uidvalidity);
struct mail *walk_mail(struct imap_walk *walk, uint32_t box, uint32_t uid);   /* made if need be */
uint32_t walk_mail_index(struct imap_walk *walk, uint32_t box, uint32_t uid); /* likewise */
struct mail *walk_mail_find(const struct imap_walk *walk, uint32_t box, uint32_t uid);

/* Is it certain, by commands that are over, that the message is there, or gone? */
static inline bool mail_is_here(const struct mail *mail)
{
	return mail->presence == PRESENCE_HERE && !mail->doubt && !mail->removals;
}

/* Was it removed, or may it have been? What a FETCH of it holds then is for I12. */
static inline bool mail_may_be_removed(const struct mail *mail)
{
	return mail->told_gone || mail->removals || mail->closed || mail->doubt;
}

/* The flags of `mask` that are certain. */
static inline uint32_t mail_certain(const struct mail *mail, uint32_t mask)
{
	return mail->flag_doubt || mail->contested || mail->stores ? 0 : mail->known & mask;
}

/*
 * Does the view of a session contradict what was acknowledged about a message by commands that were
 * over before line `before`? Where either is not certain it does not.
 */
enum contradiction {
	AGREES,
	MISSING,   /* it is there, and the session does not have it */
	LINGERING, /* it is gone, and the session still has it */
	STALE,	   /* the session has other flags than were stored */
};
const char *contradiction_name(enum contradiction contradiction); /* "missing" ... */
enum contradiction view_contradicts(
	const struct view *view, const struct mail *mail, uint32_t before);
/* One sentence about it, with the flags where it is STALE, into `out`; returns `out`. */
const char *contradiction_text(const struct imap_walk *walk, const struct view *view,
	const struct mail *mail, enum contradiction contradiction, char *out, size_t size);

/* ---- the halves of the walk: imap_walk.c, mailbox_view.c and mailbox_vanished.c follow sessions, mailbox_truth.c and
 * mailbox_mails.c mailboxes ---- */

void view_follow(struct imap_walk *walk, struct view *view, const struct trace_item *item);
void view_vanished(struct imap_walk *walk, struct view *view, const struct trace_item *item);
void view_learn(struct view *view); /* after the UID of a slot became known */
void view_end(struct view *view);   /* what it holds */

void truth_sent(struct imap_walk *walk, struct view *view, struct view_pending *pending);
void truth_done(struct imap_walk *walk, struct view *view, struct view_pending *pending,
	const struct trace_item *done);
void truth_gone(
	struct imap_walk *walk, struct view *view, uint32_t uid, const struct trace_item *item);
/* A message of the view is gone whose UID was not shown: it may be any other of the mailbox. */
void truth_lost(struct imap_walk *walk, const struct view *view);
void truth_shown(struct imap_walk *walk, struct view *view, const struct view_slot *slot,
	const struct trace_item *item);
void truth_moved(struct view *view, const struct trace_item *item);
void truth_wiped(struct imap_walk *walk, uint32_t user, uint32_t mailbox);
void truth_free(struct imap_walk *walk);

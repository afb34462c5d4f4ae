/*
 * What the POP3 sessions of a history saw and did, in their order: the facts that the laws P1 to P5
 * share. Built from the `pop3` events (api/history.h) by maildrops_build(), owned by the caller,
 * immutable afterwards. Pure; linear in what the sessions listed. A history is hostile: keys of
 * another type count as absent, and what belongs to no login is left out.
 *
 * A message is known by its UIDL within one user's maildrop; its *identity* is its token, or the hash
 * of its body where it has none, and 0 where the session did not retrieve it.
 */
#pragma once

#include "api/ledger.h"

enum maildrop_end {
	MAILDROP_OPEN,	 /* the history does not say how it ended */
	MAILDROP_QUIT,	 /* the client sent QUIT */
	MAILDROP_CUT,	 /* the client ended it otherwise */
	MAILDROP_CLOSED, /* the store ended it while nothing was asked of it */
};

struct maildrop_item {
	uint32_t message;  /* index */
	uint32_t identity; /* text */
};

/* A UIDL of one user. */
struct maildrop_message {
	uint32_t user, uidl, identity; /* texts; identity 0: never retrieved */
	uint32_t first;		       /* session that listed it first */
	uint32_t spared;	       /* session that marked it and did not QUIT, or UINT32_MAX */
	uint32_t
		quit; /* first session that marked it and was answered +OK to QUIT, or UINT32_MAX */
	bool tried;   /* some session marked it and sent QUIT, whatever came of it */
};

struct maildrop_session {
	uint32_t user;	 /* text */
	double since, t; /* the password was sent; the answer to it came */
	uint32_t line;	 /* of login */
	bool entered;	 /* login OK */
	bool refused;	 /* login refused because another has the maildrop */
	bool listed;	 /* it saw the whole maildrop */
	bool stood_idle; /* for idle_s, and the store answered afterwards */
	uint32_t
		previous; /* session of the same user that listed last before this login, or UINT32_MAX */
	double list_t, end_t, idle_s; /* NAN where it did not happen */
	uint32_t list_line, end_line;
	size_t first_item, item_count;
	enum maildrop_end end;
	bool quit_ok; /* +OK to QUIT */
	uint32_t marks;
};

/* Something listed by `session->previous`, and not by the session itself. */
struct maildrop_loss {
	uint32_t session, message;
	bool moved;  /* the same message is there under a UIDL that is new */
	bool unsure; /* there are new UIDLs of which nothing else is known */
};

struct maildrops {
	struct intern texts;
	struct maildrop_session *sessions; /* by login */
	struct maildrop_item *items;
	struct maildrop_message *messages;
	struct maildrop_loss *losses;
	size_t session_count, item_count, message_count, loss_count;
	size_t room[4];
	struct key_map by_id, by_uidl;
};

/* What a loss means for the laws. */
enum maildrop_fate {
	FATE_DELETED, /* a session that marked it sent QUIT */
	FATE_EXCUSED, /* the rig removed it otherwise, or may have */
	FATE_UNSURE,  /* it may have got another UIDL, or have been moved */
	FATE_SPARED,  /* P1: it was marked, and no session that marked it sent QUIT */
	FATE_KEPT,    /* P2: nobody marked it */
	FATE_RENAMED, /* P4: it is there under another UIDL */
};
/* `spent` counts nameless removals used up, one per ledger_who, zeroed by the caller. */
enum maildrop_fate maildrop_fate(const struct maildrops *drops, const struct ledger *ledger,
	const struct maildrop_loss *loss, uint64_t *spent);

void maildrops_build(const struct history *history, struct maildrops *ret);
void maildrops_free(struct maildrops *drops); /* what it holds */

static inline const char *maildrop_text(const struct maildrops *drops, uint32_t id)
{
	return intern_text(&drops->texts, id);
}

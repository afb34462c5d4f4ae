/*
 * Workloads of several IMAP sessions on one mailbox. Each changes it at random by the seed, keeps up
 * with what it is told, leaves and comes back. Then all stand still for as long as a store may take to
 * push, look, and compare: half go away, the others go on, and those who come back must find out.
 * What a server does not announce is not used.
 */
#include "run/cell/mixed.h"

#include "base/clock.h"

#include <assert.h>
#include <string.h>

#define RETRY_MS      200
#define QUIET_MORE_MS 500 /* longer than idle_push, before they compare */
#define AWAY_CHANGES  6	  /* by each that stays, while half are away */
#define KEEP_MIN      4	  /* messages: below, more are appended than removed */
#define KEEP_MAX      40
#define DECK_MAX      128

struct deed {
	void (*fn)(struct mixed *m, uint32_t uid);
	uint32_t weight;
};

/* Each deed as often as its weight says, in any order: a short course has all of them too. */
struct deck {
	const struct deed *deeds, *cards[DECK_MAX];
	size_t left;
};

/* ---- what a session may do; `uid` is one of the mailbox ---- */

static const char *any_flag(struct mixed *m)
{
	static const char *const flags[] = {"\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$Rig"};

	return flags[rng_below(&m->rng, ARRAY_SIZE(flags))];
}

static void do_append(struct mixed *m, uint32_t uid)
{
	auto_free char *stream =
		text_fmt("%s.%u.%u", m->session->step->label, m->session->number, m->serial);
	struct imap_reply reply auto_imap_reply = {0};

	(void)uid;
	session_append(m->session, &m->imap, m->user, stream, m->serial++,
		rng_below(&m->rng, 2) ? any_flag(m) : NULL, &reply);
	imap_shadow_follow(&m->shadow, &reply);
	mixed_learn(m);
}

static void do_append_cut(struct mixed *m, uint32_t uid)
{
	auto_free char *stream =
		text_fmt("%s.%u.%u", m->session->step->label, m->session->number, m->serial);
	struct imap_reply reply auto_imap_reply = {0};

	(void)uid;
	session_append(m->session, &m->imap, m->user, stream, m->serial++, APPEND_CUT, &reply);
}

static void do_store(struct mixed *m, uint32_t uid)
{
	static const char *const silent[] = {"", ".SILENT"};

	mixed_say(m, "UID STORE %u %cFLAGS%s (%s)", uid, "+-"[rng_below(&m->rng, 2)],
		silent[rng_below(&m->rng, 2)], any_flag(m));
}

static void do_store_number(struct mixed *m, uint32_t uid)
{
	(void)uid;
	mixed_say(m, "STORE %u %cFLAGS (%s)", 1 + (uint32_t)rng_below(&m->rng, m->shadow.count),
		"+-"[rng_below(&m->rng, 2)], any_flag(m));
}

static void do_expunge(struct mixed *m, uint32_t uid)
{
	if (!mixed_say(m, "UID STORE %u +FLAGS.SILENT (\\Deleted)", uid))
		return;
	if (rng_below(&m->rng, 2))
		mixed_say(m, "UID EXPUNGE %u", uid);
	else
		mixed_say(m, "EXPUNGE");
}

static void do_fetch(struct mixed *m, uint32_t uid)
{
	mixed_say(m, "UID FETCH %u (FLAGS BODY.PEEK[])", uid);
}

static void do_fetch_number(struct mixed *m, uint32_t uid)
{
	(void)uid;
	mixed_say(m, "FETCH %u (UID FLAGS BODY.PEEK[])",
		1 + (uint32_t)rng_below(&m->rng, m->shadow.count));
}

static void do_noop(struct mixed *m, uint32_t uid)
{
	(void)uid;
	mixed_say(m, "NOOP");
}

static void do_copy(struct mixed *m, uint32_t uid)
{
	mixed_say(m, "UID COPY %u " MIXED_SHELF, uid);
}

static void do_move(struct mixed *m, uint32_t uid)
{
	if (m->can_move)
		mixed_say(m, "UID MOVE %u " MIXED_SHELF, uid);
}

static void do_status(struct mixed *m, uint32_t uid)
{
	(void)uid;
	mixed_say(m, "STATUS " MIXED_SHELF " (MESSAGES UIDNEXT UIDVALIDITY%s)",
		m->can_condstore ? " HIGHESTMODSEQ" : "");
}

static void do_close(struct mixed *m, uint32_t uid)
{
	if (mixed_say(m, "UID STORE %u +FLAGS (\\Deleted)", uid) && mixed_say_last(m, "CLOSE"))
		mixed_select(m, "SELECT", "INBOX", "");
}

static void do_examine(struct mixed *m, uint32_t uid)
{
	bool ok = mixed_say(m, "UID STORE %u +FLAGS (\\Deleted)", uid);

	ok = ok && mixed_select(m, "EXAMINE", "INBOX", "");
	ok = ok &&
	     mixed_say_last(m, m->can_unselect && rng_below(&m->rng, 2) ? "UNSELECT" : "CLOSE");
	ok = ok && mixed_select(m, "SELECT", "INBOX", "");
	if (ok)
		mixed_say(m, "UID STORE %u -FLAGS (\\Deleted)", uid);
}

static void do_reconnect(struct mixed *m, uint32_t uid)
{
	(void)uid;
	mixed_leave(m, rng_below(&m->rng, 2));
	mixed_resync_inbox(m);
}

static void do_pipeline(struct mixed *m, uint32_t uid)
{
	auto_free char *fetch = text_fmt("UID FETCH %u (FLAGS)", uid);
	auto_free char *store = text_fmt(
		"UID STORE %u %cFLAGS (%s)", uid, "+-"[rng_below(&m->rng, 2)], any_flag(m));
	const char *const commands[] = {fetch, store, "NOOP", fetch};
	enum mail_outcome outcomes[ARRAY_SIZE(commands)];
	struct imap_reply reply auto_imap_reply = {0};
	struct cell *cell = m->session->cell;
	uint64_t id = op_begin(cell, m->session->who, "imap-pipeline",
		json_pack("{ss ss so}", "service", "imap", "user", m->user, "command",
			json_text(store)));

	imap_pipeline(&m->imap, commands, ARRAY_SIZE(commands), &reply, outcomes);
	op_end(cell, id, m->session->who, "imap-pipeline", outcomes[ARRAY_SIZE(commands) - 1],
		json_pack("{so}", "text", json_text(*reply.failure ? reply.failure : reply.text)));
	imap_shadow_follow(&m->shadow, &reply);
	mixed_learn(m);
}

/* From the shelf back to INBOX, as far as it goes. */
static void do_move_back(struct mixed *m, uint32_t uid)
{
	size_t count;

	(void)uid;
	if (!m->can_move || !mixed_select(m, "SELECT", MIXED_SHELF, ""))
		return;
	count = m->shadow.count;
	if (count)
		mixed_say(m, "UID MOVE %u INBOX", m->shadow.uids[rng_below(&m->rng, count)]);
	if (m->imap.alive)
		mixed_select(m, "SELECT", "INBOX", "");
}

static const struct deed all_deeds[] = {
	{do_append, 12},
	{do_append_cut, 2},
	{do_store, 14},
	{do_store_number, 6},
	{do_expunge, 8},
	{do_fetch, 8},
	{do_fetch_number, 8},
	{do_noop, 10},
	{do_copy, 4},
	{do_move, 4},
	{do_status, 3},
	{do_close, 2},
	{do_examine, 2},
	{do_reconnect, 4},
	{do_pipeline, 6},
	{NULL, 0},
};

static const struct deed move_deeds[] = {
	{do_append, 2},
	{do_move, 10},
	{do_move_back, 6},
	{do_noop, 3},
	{do_fetch_number, 3},
	{NULL, 0},
};

static const struct deed away_deeds[] = {
	{do_append, 2},
	{do_store, 4},
	{do_expunge, 2},
	{NULL, 0},
};

static void fill(struct deck *deck)
{
	for (const struct deed *deed = deck->deeds; deed->fn; deed++)
		for (uint32_t i = 0; i < deed->weight; i++) {
			assert(deck->left < DECK_MAX);
			deck->cards[deck->left++] = deed;
		}
}

static const struct deed *deal(struct mixed *m, struct deck *deck)
{
	const struct deed *deed;
	size_t at;

	if (!deck->left)
		fill(deck);
	at = (size_t)rng_below(&m->rng, deck->left);
	deed = deck->cards[at];
	deck->cards[at] = deck->cards[--deck->left];
	return deed;
}

static void act(struct mixed *m, struct deck *deck)
{
	const struct deed *deed;
	uint32_t uid;

	if (m->shadow.count < KEEP_MIN) {
		do_append(m, 0);
		return;
	}
	uid = m->shadow.uids[rng_below(&m->rng, m->shadow.count)];
	if (!uid)
		return;
	deed = deal(m, deck);
	if (m->shadow.count > KEEP_MAX && deed->fn == do_append)
		do_expunge(m, uid);
	else
		deed->fn(m, uid);
}

/* ---- the course of a session ---- */

static void rounds(struct mixed *m, const struct deed *deeds)
{
	struct deck deck = {.deeds = deeds};

	while (session_turn(m->session, NULL)) {
		if (!m->imap.alive && !mixed_open_inbox(m))
			session_pause(
				m->session, cell_now(m->session->cell) + RETRY_MS * NS_PER_MS);
		else
			act(m, &deck);
	}
}

/* All stand still for longer than a push may take, then each looks. */
static bool compare(struct mixed *m)
{
	struct cell *cell = m->session->cell;

	if (!session_meet(m->session))
		return false;
	session_pause(m->session,
		cell_now(cell) + (cell->objectives.idle_push_ms + QUIET_MORE_MS) * NS_PER_MS);
	if (!m->imap.alive && !mixed_open_inbox(m))
		return false;
	mixed_say(m, "NOOP");
	return session_meet(m->session);
}

/* The even ones go away, the odd ones go on, and then the even ones come back. All still stand still as they look once
 * more before they go, so that what each of them knows then is certain. */
static bool part_and_return(struct mixed *m)
{
	struct deck deck = {.deeds = away_deeds};
	bool goes = m->session->number % 2 == 0;

	if (goes && m->imap.alive)
		mixed_select(m, "SELECT", "INBOX", "");
	if (goes)
		mixed_leave(m, m->session->number % 4 == 0);
	if (!session_meet(m->session))
		return false;
	for (int i = 0; i < AWAY_CHANGES && !goes && m->imap.alive; i++)
		act(m, &deck);
	if (!session_meet(m->session))
		return false;
	if (goes)
		mixed_resync_inbox(m);
	return session_meet(m->session);
}

/* What a fresh session sees, of both mailboxes. */
static void look_afresh(struct mixed *m)
{
	mixed_leave(m, true);
	if (!mixed_open_inbox(m))
		return;
	mixed_say(m, "UID FETCH 1:* (FLAGS BODY.PEEK[])");
	mixed_select(m, "EXAMINE", MIXED_SHELF, "");
}

void mixed_session(struct session *session)
{
	bool moves = !strcmp(session->step->what, "imap-moves");
	struct mixed m = {.session = session,
		.user = session_user(session),
		.imap = {.line.fd = -1},
		.rng = rng_stream(session->cell->plan->seed, session->who)};

	mixed_open_inbox(&m);
	rounds(&m, moves ? move_deeds : all_deeds);
	if (compare(&m) && part_and_return(&m) && compare(&m))
		look_afresh(&m);
	mixed_leave(&m, true);
}

/* ---- IDLE ---- */

#define IDLE_LOOK_MS 250   /* how soon it notices that all is over */
#define IDLE_STAY_MS 15000 /* then it leaves IDLE and asks for what is new */

static void stay(struct mixed *m, struct imap_reply *reply)
{
	int64_t until = cell_now(m->session->cell) + IDLE_STAY_MS * NS_PER_MS;

	while (m->imap.idle && !session_over(m->session) && cell_now(m->session->cell) < until) {
		if (imap_idle_wait(&m->imap, reply, deadline_in_ms(IDLE_LOOK_MS)) < 0)
			return;
		tracer_flush(&m->session->tracer);
	}
}

/* IDLE itself is no operation that waits: only its beginning and its end are. */
static void idle_once(struct mixed *m)
{
	struct imap_reply reply auto_imap_reply = {0};
	struct cell *cell = m->session->cell;
	const char *who = m->session->who;
	enum mail_outcome outcome;
	uint64_t id = op_begin(
		cell, who, "imap-idle", json_pack("{ss ss}", "service", "imap", "user", m->user));

	outcome = imap_idle(&m->imap, &reply);
	op_end(cell, id, who, "imap-idle", outcome,
		json_pack("{so}", "text", json_text(reply.text)));
	if (outcome != MAIL_OK)
		return;
	stay(m, &reply);
	id = op_begin(
		cell, who, "imap-done", json_pack("{ss ss}", "service", "imap", "user", m->user));
	outcome = m->imap.idle ? imap_idle_done(&m->imap, &reply) : MAIL_MAYBE;
	op_end(cell, id, who, "imap-done", outcome,
		json_pack("{so}", "text", json_text(reply.text)));
	imap_shadow_follow(&m->shadow, &reply);
	mixed_learn(m);
}

void watchers_session(struct session *session)
{
	struct mixed m = {.session = session,
		.user = session_user(session),
		.imap = {.line.fd = -1},
		.rng = rng_stream(session->cell->plan->seed, session->who)};

	while (!session_over(session)) {
		if (!m.imap.alive && !mixed_open_inbox(&m))
			session_pause(session, cell_now(session->cell) + RETRY_MS * NS_PER_MS);
		else if (m.can_idle)
			idle_once(&m);
		else
			session_pause(session, cell_now(session->cell) + IDLE_STAY_MS * NS_PER_MS);
	}
	mixed_leave(&m, true);
}

/*
 * The IDLE workload: clients that wait for changes of their INBOX (RFC 2177). With a pace each wait ends at its
 * time, by DONE or, `leave: drop`, by a connection that just ends; without one the client stays.
 *
 * Waiting for a change is no operation under way: what counts is IDLE until its "+", and DONE until its answer.
 */
#include "run/cell/cell_work.h"

#include "base/clock.h"

#include <errno.h>
#include <string.h>

#define SLICE_MS 100 /* the end of the workload is noticed within this */
#define RETRY_MS 200

static bool drops(const struct session *session)
{
	const char *leave = step_param(session->step, "leave");

	return leave && !strcmp(leave, "drop");
}

/* How long one wait lasts: all sessions together begin `pace` waits a second. */
static int64_t wait_end_ns(const struct session *session, int64_t now_ns)
{
	double pace = session->step->pace_per_s;
	double sessions = session->step->sessions ? session->step->sessions : 1;

	return pace > 0 ? now_ns + (int64_t)(sessions / pace * (double)NS_PER_SEC) : CLOCK_NEVER;
}

static json_t *answer(const struct imap_reply *reply)
{
	return json_pack("{so}", "text", json_text(*reply->failure ? reply->failure : reply->text));
}

static enum mail_outcome begin_idle(
	struct session *session, struct imap *imap, const char *user, struct imap_reply *reply)
{
	uint64_t id = op_begin(session->cell, session->who, "imap-idle",
		json_pack("{ss ss}", "service", "imap", "user", user));
	enum mail_outcome outcome = imap_idle(imap, reply);

	op_end(session->cell, id, session->who, "imap-idle", outcome, answer(reply));
	return outcome;
}

static void end_idle(
	struct session *session, struct imap *imap, const char *user, struct imap_reply *reply)
{
	uint64_t id = op_begin(session->cell, session->who, "imap-done",
		json_pack("{ss ss}", "service", "imap", "user", user));
	enum mail_outcome outcome = imap_idle_done(imap, reply);

	op_end(session->cell, id, session->who, "imap-done", outcome, answer(reply));
}

/* Until its time, or the end of the workload, or of the session. */
static void wait_changes(struct session *session, struct imap *imap, struct imap_reply *reply)
{
	int64_t until = wait_end_ns(session, cell_now(session->cell));

	while (imap->idle && !session_over(session) && cell_now(session->cell) < until) {
		int64_t left = until == CLOCK_NEVER ? CLOCK_NEVER : until - cell_now(session->cell);
		int64_t slice = deadline_in_ms(SLICE_MS);
		int64_t end = left == CLOCK_NEVER ? CLOCK_NEVER : clock_mono_ns() + left;

		if (imap_idle_wait(imap, reply, end < slice ? end : slice) < 0)
			return;
	}
}

static enum mail_outcome select_box(struct session *session, struct imap *imap, const char *user)
{
	struct imap_reply reply = {0};
	uint64_t id = op_begin(session->cell, session->who, "imap-select",
		json_pack("{ss ss}", "service", "imap", "user", user));
	const char *box = step_param(session->step, "mailbox");
	enum mail_outcome outcome = imap_select(imap, box ? box : "INBOX", false, &reply);

	op_end(session->cell, id, session->who, "imap-select", outcome, answer(&reply));
	imap_reply_free(&reply);
	return outcome;
}

/* The connection just ends; nobody may take what is unanswered then for the store's fault. */
static void drop(struct imap *imap)
{
	if (imap->alive && imap->watch)
		imap->watch->over(imap->watch->arg, -ECONNABORTED);
	imap->alive = false;
	imap_close(imap);
}

/* False: the store does not let it wait just now. */
static bool idle_once(struct session *session, struct imap *imap, const char *user)
{
	struct imap_reply reply = {0};
	bool fresh = !imap->alive, ok = session_login(session, imap, user);

	if (ok && fresh)
		ok = select_box(session, imap, user) == MAIL_OK;
	if (ok)
		ok = begin_idle(session, imap, user, &reply) == MAIL_OK;
	if (ok)
		wait_changes(session, imap, &reply);
	if (ok && drops(session))
		drop(imap);
	else if (imap->idle)
		end_idle(session, imap, user, &reply);
	imap_reply_free(&reply);
	return ok;
}

/* Who only watches INBOX until the end compares what it was told with what it sees, every now and then. */
static bool only_watches(const struct step *step)
{
	return step->pace_per_s <= 0 && !step->messages && !step_param(step, "mailbox") &&
	       !step_param(step, "leave");
}

static void visitors_session(struct session *session)
{
	const char *user = session_user(session);
	struct imap imap = {.line.fd = -1};
	struct imap_reply reply = {0};

	while (session_turn(session, NULL))
		if (!idle_once(session, &imap, user)) {
			imap_close(&imap);
			session_pause(session, cell_now(session->cell) + RETRY_MS * NS_PER_MS);
		}
	if (imap.alive && !drops(session))
		imap_logout(&imap, &reply);
	imap_reply_free(&reply);
	imap_close(&imap);
}

void idle_session(struct session *session)
{
	if (only_watches(session->step))
		watchers_session(session);
	else
		visitors_session(session);
}

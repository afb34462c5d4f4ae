/*
 * The POP3 workloads: sessions that list and retrieve a maildrop, and sessions that also delete from it and
 * end in each of the ways a session can. What they saw is told in `pop3` events.
 */
#include "api/uid_set.h"
#include "base/cleanup.h"
#include "mail/pop3.h"

#include "base/clock.h"
#include "base/log.h"
#include "run/cell/cell_work.h"

#include <string.h>

#define RETRY_MS 200 /* after a refusal */
#define RETRIEVE_MAX \
	2000 /* messages of one session; of a longer maildrop only the UIDLs are known */
#define FETCHED_MAX  256 /* messages named in one `end` line */
#define SLICE_MS     250 /* in which a session that stands idle notices the end of the workload */
#define READ_BACK_MS 120000

/* How a round of pop3-delete ends, in turn. */
enum ending { END_QUIT, END_RSET, END_CUT, END_RESET, ENDINGS };

struct visit {
	struct cell *cell;
	const char *user;
	struct pop3 pop3;
	struct pop3_items items;
	struct message_seen *seen; /* of each item; `whole` false: not retrieved */
	bool *marked;
	uint64_t id; /* of the session in the history */
};

static double seconds(int64_t ns)
{
	return (double)ns / (double)NS_PER_SEC;
}

static void tell(struct visit *visit, const char *what, json_t *object)
{
	json_object_set_new(object, "session", json_integer((json_int_t)visit->id));
	json_object_set_new(object, "user", json_string(visit->user));
	json_object_set_new(object, "do", json_string(what));
	history_add_at(visit->cell->recorder, cell_now(visit->cell), "pop3", object);
}

static void tell_end(struct visit *visit, const char *what, json_t *object)
{
	json_t *marked = json_array();

	for (size_t i = 0; visit->marked && i < visit->items.count; i++)
		if (visit->marked[i])
			json_array_append_new(marked, json_text(visit->items.items[i].uidl));
	json_object_set_new(object, "marked", marked);
	tell(visit, what, object);
}

static void visit_free(struct visit *visit)
{
	pop3_close(&visit->pop3);
	pop3_items_free(&visit->items);
	free(visit->seen);
	free(visit->marked);
}

/* "[IN-USE]" where the server has RFC 2449, else in its own words. */
static bool in_use(const char *reply)
{
	return strcasestr(reply, "[IN-USE]") || strcasestr(reply, "in use") ||
	       strcasestr(reply, "lock");
}

static enum mail_outcome enter(struct visit *visit, int fd, const struct mail_opts *opts)
{
	enum mail_outcome outcome;
	int64_t since;
	json_t *login;

	pop3_open(&visit->pop3, fd, opts);
	outcome = pop3_greet(&visit->pop3);
	if (outcome != MAIL_OK)
		return outcome;
	since = cell_now(visit->cell);
	outcome = pop3_login(&visit->pop3, visit->user, visit->user);
	login = json_pack(
		"{sf ss}", "since", seconds(since), "outcome", mail_outcome_name(outcome));
	if (outcome == MAIL_NO && in_use(visit->pop3.reply))
		json_object_set_new(login, "in_use", json_true());
	visit->id = history_new_id(visit->cell->recorder);
	tell(visit, "login", login);
	return outcome;
}

static json_t *items_json(const struct visit *visit)
{
	json_t *list = json_array();

	for (size_t i = 0; i < visit->items.count; i++) {
		const struct message_seen *seen = &visit->seen[i];
		json_t *item = json_pack("{so}", "uidl", json_text(visit->items.items[i].uidl));

		if (*seen->body_sha256)
			json_object_set_new(item, "sha256", json_string(seen->body_sha256));
		if (*seen->token)
			json_object_set_new(item, "token", json_text(seen->token));
		json_array_append_new(list, item);
	}
	return list;
}

/* The whole maildrop, retrieved as far as it goes. What could not be retrieved has no content here. */
static enum mail_outcome look(struct visit *visit)
{
	enum mail_outcome outcome = pop3_uidl(&visit->pop3, &visit->items);

	if (outcome != MAIL_OK)
		return outcome;
	visit->seen = mem_zero(visit->items.count, sizeof(*visit->seen));
	visit->marked = mem_zero(visit->items.count, sizeof(*visit->marked));
	for (size_t i = 0; i < visit->items.count && i < RETRIEVE_MAX; i++) {
		outcome = pop3_retr(&visit->pop3, visit->items.items[i].number, &visit->seen[i]);
		if (outcome != MAIL_OK)
			visit->seen[i] = (struct message_seen){0};
		if (outcome == MAIL_MAYBE)
			break;
	}
	tell(visit, "list", json_pack("{so}", "items", items_json(visit)));
	return outcome;
}

/* ---- deleting ---- */

static enum mail_outcome mark_some(struct visit *visit, struct rng *rng)
{
	enum mail_outcome outcome = MAIL_OK;

	for (size_t i = 0; i < visit->items.count && outcome != MAIL_MAYBE; i++) {
		if (rng_below(rng, 2) || !*visit->seen[i].body_sha256)
			continue;
		outcome = pop3_dele(&visit->pop3, visit->items.items[i].number);
		visit->marked[i] = outcome != MAIL_NO;
	}
	return outcome == MAIL_MAYBE ? outcome : MAIL_OK;
}

/* Copies that the rig itself removed, or perhaps removed, are excused from every law about copies. */
static uint32_t excuse(struct visit *visit, enum mail_outcome outcome)
{
	uint32_t count = 0;

	for (size_t i = 0; visit->marked && i < visit->items.count; i++) {
		const struct message_seen *seen = &visit->seen[i];
		json_t *line;

		if (!visit->marked[i])
			continue;
		count++;
		line = json_pack("{ss ss ss}", "user", visit->user, "mailbox", "INBOX", "why",
			outcome == MAIL_OK ? "deleted by POP3" : "perhaps deleted by POP3");
		if (*seen->token)
			json_object_set_new(line, "token", json_text(seen->token));
		else
			json_object_set_new(line, "count", json_integer(1));
		history_add_at(visit->cell->recorder, cell_now(visit->cell), "excused", line);
	}
	return count;
}

static enum mail_outcome quit(struct visit *visit, struct step_run *run)
{
	enum mail_outcome outcome = pop3_quit(&visit->pop3);
	uint32_t count;

	tell_end(visit, "quit", json_pack("{ss}", "outcome", mail_outcome_name(outcome)));
	count = excuse(visit, outcome);
	if (run && outcome == MAIL_OK) {
		pthread_mutex_lock(&visit->cell->lock);
		run->deletions += count;
		pthread_mutex_unlock(&visit->cell->lock);
	}
	return outcome;
}

static void cut(struct visit *visit, bool reset)
{
	if (reset)
		pop3_reset(&visit->pop3);
	pop3_close(&visit->pop3);
	tell_end(visit, "cut", json_object());
}

static void tell_closed(struct session *session, struct visit *visit, double idle_s)
{
	if (session_over(session))
		cut(visit, false); /* it was us */
	else
		tell_end(visit, "closed", json_pack("{sf}", "idle_s", idle_s));
}

/* True if the session is still there. On a host that stalls it may be the NOOP that finds it closed. */
static bool stand_idle(struct session *session, struct visit *visit)
{
	int64_t began = cell_now(session->cell), end = deadline_in_ms(session->step->for_ms);
	bool closed = false;
	double idle_s;

	while (!closed && deadline_left_ms(end) && !session_over(session)) {
		int64_t slice = deadline_in_ms(SLICE_MS);

		closed = pop3_wait(&visit->pop3, slice < end ? slice : end);
	}
	idle_s = seconds(cell_now(session->cell) - began);
	if (!closed && pop3_send(&visit->pop3, "NOOP") == MAIL_OK)
		tell(visit, "idle", json_pack("{sf}", "idle_s", idle_s));
	if (!closed && visit->pop3.alive)
		return true;
	tell_closed(session, visit, idle_s);
	return false;
}

static enum mail_outcome leave(
	struct session *session, struct visit *visit, enum mail_outcome outcome, uint32_t number)
{
	auto_free char *stream = text_fmt("%s.pop3.%u", session->step->label, number);
	struct rng rng = rng_stream(session->cell->plan->seed, stream);
	enum ending ending = END_QUIT;

	if (!strcmp(session->step->what, "pop3-delete")) {
		ending = number % ENDINGS;
		outcome = outcome == MAIL_OK ? mark_some(visit, &rng) : outcome;
	}
	if (session->step->for_ms > 0 && outcome == MAIL_OK && !stand_idle(session, visit))
		return MAIL_MAYBE;
	if (ending == END_RSET && outcome == MAIL_OK) {
		outcome = pop3_send(&visit->pop3, "RSET");
		if (outcome == MAIL_OK)
			memset(visit->marked, 0, visit->items.count * sizeof(*visit->marked));
	}
	if (outcome == MAIL_OK && ending <= END_RSET)
		return quit(visit, session->run);
	cut(visit, ending == END_RESET);
	return outcome;
}

static json_t *fetched(const struct visit *visit)
{
	json_t *list = json_array();

	for (size_t i = 0;
		visit->seen && i < visit->items.count && json_array_size(list) < FETCHED_MAX; i++)
		if (*visit->seen[i].token)
			json_array_append_new(list,
				json_pack("{so ss sb}", "token", json_text(visit->seen[i].token),
					"sha256", visit->seen[i].body_sha256, "whole",
					(int)visit->seen[i].whole));
	return list;
}

static bool round_of(struct session *session, const char *user, uint32_t number)
{
	struct mail_opts opts = session_opts(session);
	struct visit visit = {.cell = session->cell, .user = user, .pop3.line.fd = -1};
	enum mail_outcome outcome = MAIL_NO;
	uint64_t id = op_begin(session->cell, session->who, "pop3-session",
		json_pack("{ss ss}", "service", "pop3", "user", user));
	int fd = session_connect(session, PROTOCOL_POP3);
	json_t *end;

	if (fd >= 0)
		outcome = enter(&visit, fd, &opts);
	if (outcome == MAIL_OK)
		outcome = leave(session, &visit, look(&visit), number);
	else if (visit.id)
		cut(&visit, false);
	end = json_pack("{so si so}", "text",
		json_text(*visit.pop3.failure ? visit.pop3.failure : visit.pop3.reply), "messages",
		(int)visit.items.count, "fetched", fetched(&visit));
	op_end(session->cell, id, session->who, "pop3-session", outcome, end);
	visit_free(&visit);
	return outcome == MAIL_OK;
}

void pop3_session(struct session *session)
{
	uint32_t number;

	while (session_turn(session, &number))
		if (!round_of(session, session_user(session), number))
			session_pause(session, cell_now(session->cell) + RETRY_MS * NS_PER_MS);
}

static bool mark_set(struct visit *visit, const char *numbers)
{
	cleanup(uid_set_free) struct uid_set set = {0};
	bool any = false;

	if (uid_set_parse(&set, numbers, (uint32_t)visit->items.count))
		return false;
	for (size_t i = 0; i < visit->items.count; i++) {
		if (!uid_set_has(&set, visit->items.items[i].number))
			continue;
		visit->marked[i] = pop3_dele(&visit->pop3, visit->items.items[i].number) != MAIL_NO;
		any = any || visit->marked[i];
	}
	return any && visit->pop3.alive;
}

uint64_t pop3_delete(struct session *session, const char *user, const char *numbers)
{
	struct mail_opts opts = session_opts(session);
	struct visit visit = {.cell = session->cell, .user = user, .pop3.line.fd = -1};
	uint64_t before = session->run->deletions;
	enum mail_outcome outcome = MAIL_NO;
	uint64_t id = op_begin(session->cell, session->who, "pop3-session",
		json_pack("{ss ss}", "service", "pop3", "user", user));
	int fd = session_connect(session, PROTOCOL_POP3);

	if (fd >= 0)
		outcome = enter(&visit, fd, &opts);
	if (outcome == MAIL_OK)
		outcome = look(&visit);
	if (outcome == MAIL_OK && mark_set(&visit, numbers)) {
		order_gate(session->run);
		outcome = quit(&visit, session->run);
	} else if (visit.id) {
		cut(&visit, false);
	}
	op_end(session->cell, id, session->who, "pop3-session", outcome,
		json_pack("{so si so}", "text",
			json_text(*visit.pop3.failure ? visit.pop3.failure : visit.pop3.reply),
			"messages", (int)visit.items.count, "fetched", fetched(&visit)));
	visit_free(&visit);
	return session->run->deletions - before;
}

/* ---- read back ---- */

static void read_back_user(struct cell *cell, const struct service *service, const char *user)
{
	struct mail_opts opts = {.reply_ms = READ_BACK_MS, .clock_ns = cell_clock, .arg = cell};
	struct visit visit = {.cell = cell, .user = user, .pop3.line.fd = -1};
	struct err err = {0};
	int fd = cell->bed->ops->connect(cell->bed, service, deadline_in_ms(READ_BACK_MS), &err);
	enum mail_outcome outcome = fd < 0 ? MAIL_NO : enter(&visit, fd, &opts);

	if (fd < 0)
		log_line("the maildrop of '%s' cannot be read: %s", user, err.text);
	if (outcome == MAIL_OK)
		outcome = look(&visit);
	if (outcome == MAIL_OK)
		quit(&visit, NULL);
	else if (visit.id)
		cut(&visit, false);
	visit_free(&visit);
}

/* Did a POP3 workload or step use this user's maildrop? */
static bool used(const struct cell *cell, const char *user)
{
	for (size_t i = 0; i < cell->step_count; i++) {
		const struct step *step = cell->steps[i].step;

		if (!strstr(step->what, "pop3"))
			continue;
		if (step->user ? !strcmp(step->user, user)
			       : text_list_has(&step->users, user) ||
					 (!step->users.count &&
						 !strcmp(cell->target->users.at[0], user)))
			return true;
	}
	return false;
}

void pop3_read_back(struct cell *cell)
{
	const struct service *service = target_service_by(cell->target, PROTOCOL_POP3);

	for (size_t i = 0; service && i < cell->target->users.count && !cell->broken; i++)
		if (used(cell, cell->target->users.at[i]))
			read_back_user(cell, service, cell->target->users.at[i]);
}

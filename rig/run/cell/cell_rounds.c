/*
 * The workload of equal rounds: connect, subscribe, drop, so many times, with the store's level taken after each.
 * What a round leaves behind shows in the last level (law H8).
 */
#include "mail/pop3.h"

#include "base/clock.h"
#include "run/cell/cell_work.h"

#include <ctype.h>
#include <string.h>

#define SESSIONS_DEFAULT 4
#define SESSIONS_LIMIT	 16
#define SETTLE_MS	 500   /* between the end of a round and its level */
#define COMMAND_MS	 30000 /* a target's helper command */

/* How a session of a round is made and dropped; by its number. */
enum visit_kind { VISIT_IDLE_CUT, VISIT_IDLE_LOGOUT, VISIT_POP3_CUT, VISIT_SMTP_CUT, VISIT_KINDS };

struct visit {
	enum visit_kind kind;
	struct imap imap;
	struct imap_reply reply;
	struct pop3 pop3;
	struct smtp smtp;
};

static const struct {
	const char *op;
	enum protocol protocol;
} kinds[] = {
	[VISIT_IDLE_CUT] = {"imap-subscribe", PROTOCOL_IMAP},
	[VISIT_IDLE_LOGOUT] = {"imap-subscribe", PROTOCOL_IMAP},
	[VISIT_POP3_CUT] = {"pop3-connect", PROTOCOL_POP3},
	[VISIT_SMTP_CUT] = {"smtp-connect", PROTOCOL_SMTP},
};

/* ---- connect and subscribe ---- */

static enum mail_outcome subscribe(
	struct visit *visit, int fd, const struct mail_opts *opts, const char *user)
{
	enum mail_outcome outcome;

	imap_open(&visit->imap, fd, opts);
	outcome = imap_greet(&visit->imap, &visit->reply);
	if (outcome == MAIL_OK)
		outcome = imap_login(&visit->imap, user, user, &visit->reply);
	if (outcome == MAIL_OK)
		outcome = imap_select(&visit->imap, "INBOX", false, &visit->reply);
	imap_reply_free(&visit->reply);
	return outcome == MAIL_OK ? imap_idle(&visit->imap, &visit->reply) : outcome;
}

static enum mail_outcome enter(
	struct visit *visit, int fd, const struct mail_opts *opts, const char *user)
{
	enum mail_outcome outcome;

	switch (visit->kind) {
	case VISIT_POP3_CUT:
		pop3_open(&visit->pop3, fd, opts);
		outcome = pop3_greet(&visit->pop3);
		return outcome == MAIL_OK ? pop3_login(&visit->pop3, user, user) : outcome;
	case VISIT_SMTP_CUT:
		smtp_open(&visit->smtp, fd, false, opts);
		return smtp_greet(&visit->smtp, "client.rig");
	default:
		return subscribe(visit, fd, opts, user);
	}
}

static void begin_visit(struct session *session, struct visit *visit, uint32_t number)
{
	struct mail_opts opts = session_opts(session);
	const char *user = session_user(session), *op;
	enum mail_outcome outcome = MAIL_NO;
	uint64_t id;
	int fd;

	*visit = (struct visit){.kind = number % VISIT_KINDS,
		.imap.line.fd = -1,
		.pop3.line.fd = -1,
		.smtp.line.fd = -1};
	op = kinds[visit->kind].op;
	if (!target_service_by(session->cell->target, kinds[visit->kind].protocol))
		return;
	id = op_begin(session->cell, session->who, op, json_pack("{ss}", "user", user));
	fd = session_connect(session, kinds[visit->kind].protocol);
	if (fd >= 0)
		outcome = enter(visit, fd, &opts, user);
	op_end(session->cell, id, session->who, op, outcome, json_object());
}

static void end_visit(struct visit *visit)
{
	struct imap_reply reply = {0};

	if (visit->kind == VISIT_IDLE_LOGOUT && visit->imap.idle) {
		imap_idle_done(&visit->imap, &visit->reply);
		imap_logout(&visit->imap, &reply);
	}
	imap_reply_free(&reply);
	imap_reply_free(&visit->reply);
	imap_close(&visit->imap);
	pop3_close(&visit->pop3);
	smtp_close(&visit->smtp);
}

/* ---- the level ---- */

/* Output of a helper command, or NULL where the target has none of that name or it failed. */
static char *ask(struct cell *cell, const char *name)
{
	const char *line = target_command(cell->target, name);
	struct command_result result = {0};
	struct err err = {0};
	int rc = line ? cell->bed->ops->run(cell->bed, line, NULL, COMMAND_MS, false, &result, &err)
		      : -ENOENT;

	if (rc || result.timed_out || result.status) {
		if (line && !rc && result.timed_out)
			history_add(cell->recorder, "note", "{so}", "text",
				json_pack("s+", name, " took too long: the level is without it"));
		else if (line)
			cell_trouble(cell, "agent-silent", "command '%s': %s", name,
				rc ? err.text : "it failed");
		buf_free(&result.output);
		return NULL;
	}
	return buf_steal(&result.output);
}

static void add_queue(struct cell *cell, json_t *level)
{
	auto_free char *text = ask(cell, "queue_list");

	if (text)
		json_object_set_new(
			level, "queue", json_integer((json_int_t)cell_count_lines(text)));
}

/* Lines NAME VALUE: what the store counts itself, registrations and the like. */
static void add_figures(struct cell *cell, json_t *level)
{
	auto_free char *text = ask(cell, "figures");

	json_object_set_new(level, "figures", cell_read_figures(text));
}

static void take_level(struct session *session, uint32_t round, uint32_t rounds)
{
	struct cell *cell = session->cell;
	json_t *level = NULL;
	struct err err = {0};

	if (!bed_has(cell->bed, measure))
		return;
	if (cell->bed->ops->measure(cell->bed, &level, &err)) {
		cell_trouble(cell, "agent-silent", "the level cannot be taken: %s", err.text);
		return;
	}
	json_object_set_new(level, "round", json_integer(round));
	json_object_set_new(level, "of", json_integer(rounds));
	add_queue(cell, level);
	add_figures(cell, level);
	history_add_at(cell->recorder, cell_now(cell), "level", level);
}

void rounds_session(struct session *session)
{
	uint32_t count = session->step->sessions, rounds = session_rounds(session), round;
	int64_t settle = SETTLE_MS * NS_PER_MS;
	struct visit visits[SESSIONS_LIMIT];

	count = count ? count : SESSIONS_DEFAULT;
	count = count < SESSIONS_LIMIT ? count : SESSIONS_LIMIT;
	while (session_turn(session, &round)) {
		for (uint32_t i = 0; i < count; i++)
			begin_visit(session, &visits[i], i);
		for (uint32_t i = 0; i < count; i++)
			end_visit(&visits[i]);
		session_pause(session, cell_now(session->cell) + settle);
		take_level(session, round + 1, rounds);
		/* What is on its way out at the end of the last round may take as long as a recovery. */
		if (round + 1 == rounds && !session_over(session)) {
			session_pause(session,
				cell_now(session->cell) +
					session->cell->objectives.recover_ms * NS_PER_MS / 2);
			take_level(session, rounds, rounds);
		}
	}
}

/* One line of a history after the other into the ledger. */
#include "api/fault.h"
#include "api/ledger_build.h"

#include "base/buf.h"

#include <math.h>
#include <string.h>

#define FORCES_MAX  256 /* faults of one cell; a plan has fewer */
#define STARVED_MAX 4096

static uint32_t rcpt_index(const struct ledger *ledger, const struct ledger_rcpt *rcpt)
{
	return (uint32_t)(rcpt - ledger->rcpts);
}

/* ---- one kind of line each ---- */

/* "queued as 4XyZ" (Postfix), "id=4XyZ" (Exim), "4XyZ Message accepted" (Sendmail): the word. */
static uint32_t queue_id_in(struct ledger *ledger, const char *text)
{
	static const char *const marks[] = {"queued as ", "id="};

	for (size_t i = 0; text && i < ARRAY_SIZE(marks); i++) {
		const char *at = strstr(text, marks[i]);
		size_t len;

		if (!at)
			continue;
		at += strlen(marks[i]);
		len = strspn(at, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-");
		return intern_id(&ledger->texts, at, len);
	}
	return 0;
}

static void note_queue_id(struct ledger *ledger, uint32_t mail, const char *text)
{
	uint32_t id = queue_id_in(ledger, text);

	if (!id)
		return;
	ledger->mails[mail].queue_id = id;
	text_map_put(&ledger->by_queue_id, id, mail);
}

static void each_recipient(struct ledger *ledger, uint32_t mail, const struct tape_value *to,
	uint32_t line, void (*fn)(struct ledger *, struct ledger_rcpt *, void *), void *arg)
{
	const struct tape_value *one = tape_string(to) ? to : tape_first(to);

	if (mail == LEDGER_NONE)
		return;
	for (; one; one = one == to ? NULL : tape_next(to, one))
		if (tape_string(one))
			fn(ledger,
				build_rcpt(ledger, mail, build_address(ledger, tape_string(one)),
					line),
				arg);
}

static void intend(struct ledger *ledger, struct ledger_rcpt *rcpt, void *arg)
{
	(void)ledger;
	(void)arg;
	rcpt->intended = true;
}

static bool op_is(const struct ledger *ledger, const struct ledger_op *op, const char *part)
{
	return strstr(ledger_text(ledger, op->op), part);
}

static void add_begin(
	struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	uint32_t mail = build_mail(ledger, tape_text(data, "token", NULL), event->line);
	struct ledger_op *op = APPEND(ledger, ROOM_OP, ops, op_count);

	ledger->worked = true;
	*op = (struct ledger_op){
		.begin = event->t,
		.end = NAN,
		.begin_line = event->line,
		.op = build_key(ledger, data, "op"),
		.who = build_key(ledger, data, "who"),
		.user = build_address(ledger, tape_text(data, "user", NULL)),
		.command = build_key(ledger, data, "command"),
		.mail = mail,
	};
	key_map_put(
		&ledger->by_op, (uint64_t)tape_int(data, "id", 0), (uint32_t)ledger->op_count - 1);
	if (mail == LEDGER_NONE)
		return;
	if (tape_text(data, "sha256", NULL))
		ledger->mails[mail].sha = build_key(ledger, data, "sha256");
	if (tape_text(data, "from", NULL))
		ledger->mails[mail].from = build_address(ledger, tape_text(data, "from", NULL));
	ledger->mails[mail].null_path = !*tape_text(data, "from", "?");
	ledger->mails[mail].real = tape_text(data, "source", NULL) != NULL;
	ledger->mails[mail].never = !strcasecmp(tape_text(data, "notify", ""), "never");
	each_recipient(ledger, mail, tape_get(data, "to"), event->line, intend, NULL);
	if (op_is(ledger, op, "append")) {
		struct ledger_rcpt *rcpt = build_rcpt(ledger, mail, op->user, event->line);

		rcpt->intended = true;
		rcpt->appended++; /* until it is refused */
	}
}

static int outcome_of(const struct tape_value *data)
{
	return outcome_from_name(tape_text(data, "outcome", "?"));
}

/* What the rig's client was told for each recipient of its mail. */
static void add_replies(struct ledger *ledger, const struct ledger_op *op,
	const struct tape_value *data, uint32_t line)
{
	const struct tape_value *replies = tape_get(data, "replies");

	for (const struct tape_value *reply = tape_first(replies); reply;
		reply = tape_next(replies, reply)) {
		const char *to = tape_text(reply, "to", NULL);
		int outcome = outcome_of(reply);

		if (to && outcome >= 0)
			build_rcpt(ledger, op->mail, build_address(ledger, to), line)
				->client[outcome]++;
		note_queue_id(ledger, op->mail, tape_text(reply, "text", NULL));
	}
	if (tape_first(replies))
		return;
	for (uint32_t r = ledger->mails[op->mail].first_rcpt; r != LEDGER_NONE;
		r = ledger->rcpts[r].next)
		ledger->rcpts[r].client[op->outcome]++;
}

static uint64_t uid_key(uint32_t user, int64_t uid)
{
	return (uint64_t)user << 32 | (uint32_t)uid;
}

static void add_fetched(
	struct ledger *ledger, uint32_t op, const struct tape_value *data, uint32_t line)
{
	const struct tape_value *list = tape_get(data, "fetched");

	for (const struct tape_value *item = tape_first(list); item; item = tape_next(list, item)) {
		uint32_t mail = build_mail(ledger, tape_text(item, "token", NULL), line);
		int64_t uid = tape_int(item, "uid", 0);
		struct ledger_shown *shown;

		if (mail == LEDGER_NONE)
			continue;
		shown = APPEND(ledger, ROOM_SHOWN, shown, shown_count);
		*shown = (struct ledger_shown){.op = op,
			.mail = mail,
			.line = line,
			.sha = build_key(ledger, item, "sha256")};
		if (uid > 0)
			key_map_put(&ledger->by_uid, uid_key(ledger->ops[op].user, uid), mail);
	}
}

static void add_end(struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	uint32_t index = key_map_get(&ledger->by_op, (uint64_t)tape_int(data, "id", 0));
	int outcome = outcome_of(data);
	struct ledger_op *op;

	if (index == LEDGER_NONE || outcome < 0 || ledger->ops[index].end_line)
		return;
	op = &ledger->ops[index];
	op->end = event->t;
	op->end_line = event->line;
	op->outcome = (uint8_t)outcome;
	op->code = (uint16_t)tape_int(data, "code", 0);
	op->gave_up = tape_bool(data, "pending", false);
	add_fetched(ledger, index, data, event->line);
	if (op_is(ledger, op, "copy") || op_is(ledger, op, "move"))
		build_who(ledger, op->user)->flags |= WHO_MULTIPLIED;
	if (op->mail == LEDGER_NONE)
		return;
	if (op_is(ledger, op, "append")) {
		if (outcome == OUTCOME_NO)
			build_rcpt(ledger, op->mail, op->user, event->line)->appended--;
		return;
	}
	note_queue_id(ledger, op->mail, tape_text(data, "text", NULL));
	add_replies(ledger, op, data, event->line);
}

static void add_attempt(
	struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	int hop = hop_from_name(tape_text(data, "hop", ""));
	int result = attempt_result_from_name(tape_text(data, "result", ""));
	uint32_t mail = build_mail(ledger, tape_text(data, "token", NULL), event->line);
	uint32_t index = (uint32_t)ledger->attempt_count, extra;
	struct ledger_attempt *attempt;
	struct ledger_rcpt *rcpt;

	if (hop < 0 || result < 0)
		return;
	extra = (uint32_t)tape_int(data, "extra", 0);
	ledger->hop_attempts[hop]++;
	attempt = APPEND(ledger, ROOM_ATTEMPT, attempts, attempt_count);
	*attempt = (struct ledger_attempt){
		.t = event->t,
		.dot_t = tape_real(data, "dot_t", NAN),
		.reply_t = tape_real(data, "reply_t", NAN),
		.line = event->line,
		.rcpt = LEDGER_NONE,
		.conn = build_key(ledger, data, "conn"),
		.next = LEDGER_NONE,
		.extra = extra,
		.code = (uint16_t)tape_int(data, "code", 0),
		.hop = (uint8_t)hop,
		.result = (uint8_t)result,
		.lmtp = !strcmp(
			tape_text(data, "protocol", hop == HOP_INNER ? "lmtp" : "smtp"), "lmtp"),
	};
	if (!attempt->conn) /* a number serves as well */
		attempt->conn = (uint32_t)tape_int(data, "conn", 0);
	if (mail == LEDGER_NONE) {
		build_nameless(ledger, data, hop, result);
		return;
	}
	rcpt = build_rcpt(
		ledger, mail, build_address(ledger, tape_text(data, "to", "")), event->line);
	rcpt->attempts[hop][result]++;
	rcpt->intended = rcpt->intended || hop == HOP_EDGE;
	if (!ledger->mails[mail].from && hop == HOP_EDGE)
		ledger->mails[mail].from = build_address(ledger, tape_text(data, "from", NULL));
	attempt->rcpt = rcpt_index(ledger, rcpt);
	if (rcpt->last_attempt == LEDGER_NONE)
		rcpt->first_attempt = index;
	else
		ledger->attempts[rcpt->last_attempt].next = index;
	rcpt->last_attempt = index;
	if (hop == HOP_EDGE)
		note_queue_id(ledger, mail, tape_text(data, "text", NULL));
}

static bool answered(const struct ledger_attempt *attempt)
{
	return attempt->result == RESULT_2YZ || attempt->result == RESULT_4YZ ||
	       attempt->result == RESULT_5YZ;
}

static void add_unheard(
	struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	int hop = hop_from_name(tape_text(data, "hop", ""));
	double since = tape_real(data, "since_t", NAN);
	uint32_t conn = build_key(ledger, data, "conn");

	(void)event;
	if (!conn)
		conn = (uint32_t)tape_int(data, "conn", 0);
	for (size_t i = 0; i < ledger->attempt_count; i++) {
		struct ledger_attempt *attempt = &ledger->attempts[i];

		if (attempt->hop == hop && attempt->conn == conn && answered(attempt) &&
			attempt->reply_t > since)
			build_unanswer(ledger, attempt);
	}
}

struct said {
	const struct event *event;
	const struct tape_value *data;
};

static void hang_copy(struct ledger *ledger, struct ledger_rcpt *rcpt, void *arg)
{
	const struct said *said = arg;
	const struct event *event = said->event;
	uint32_t index = (uint32_t)ledger->copy_count;
	struct ledger_copy *copy = APPEND(ledger, ROOM_COPY, copies, copy_count);

	*copy = (struct ledger_copy){
		.t = event->t,
		.line = event->line,
		.rcpt = rcpt_index(ledger, rcpt),
		.next = LEDGER_NONE,
		.sha = build_key(ledger, said->data, "sha256"),
		.whole = tape_bool(said->data, "whole", true),
		.sunk = event->type == EVENT_SUNK,
	};
	ledger->sunk_copies += copy->sunk;
	if (rcpt->last_copy == LEDGER_NONE)
		rcpt->first_copy = index;
	else
		ledger->copies[rcpt->last_copy].next = index;
	rcpt->last_copy = index;
	if (copy->whole)
		rcpt->copies++;
	else
		rcpt->partial++;
}

static void add_copy(
	struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	const char *key = event->type == EVENT_SUNK ? "to" : "user";
	uint32_t mail;

	/* What the sink refused is still the store's. */
	if (!tape_bool(data, "kept", true) || build_notice(ledger, event, data))
		return;
	mail = build_mail(ledger, tape_text(data, "token", NULL), event->line);
	each_recipient(ledger, mail, tape_get(data, key), event->line, hang_copy,
		&(struct said){event, data});
}

static void hang_queued(struct ledger *ledger, struct ledger_rcpt *rcpt, void *arg)
{
	(void)ledger;
	(void)arg;
	rcpt->queued++;
}

/* A queue entry names its mail by token, or by the ID that the store gave when it accepted it. */
static void add_queued(
	struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	const struct tape_value *to = tape_get(data, "to");
	uint32_t id = build_key(ledger, data, "id"), mail;

	if (build_notice(ledger, event, data))
		return;
	mail = build_mail(ledger, tape_text(data, "token", NULL), event->line);
	if (mail == LEDGER_NONE && id)
		mail = text_map_get(&ledger->by_queue_id, id);
	each_recipient(ledger, mail, to, event->line, hang_queued, NULL);
	if (mail != LEDGER_NONE)
		return;
	for (const struct tape_value *one = tape_first(to); one; one = tape_next(to, one))
		if (tape_string(one))
			build_who(ledger, build_address(ledger, tape_string(one)))->flags |=
				WHO_QUEUED;
}

static bool is_inbox(const char *mailbox)
{
	return !mailbox || !*mailbox || !strcasecmp(mailbox, "INBOX");
}

static void add_excused(
	struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	uint32_t user = build_address(ledger, tape_text(data, "user", NULL));
	uint32_t mail = build_mail(ledger, tape_text(data, "token", NULL), event->line);
	int64_t uid = tape_int(data, "uid", 0), count = tape_int(data, "count", -1);
	struct ledger_who *who = build_who(ledger, user);

	if (!who->first_removal_line)
		who->first_removal_line = event->line;
	if (mail == LEDGER_NONE && tape_text(data, "queue_id", NULL))
		mail = text_map_get(&ledger->by_queue_id, build_key(ledger, data, "queue_id"));
	if (mail == LEDGER_NONE && uid > 0)
		mail = key_map_get(&ledger->by_uid, uid_key(user, uid));
	if (mail == LEDGER_NONE)
		who->last_removal_line = event->line;
	if (mail != LEDGER_NONE)
		build_rcpt(ledger, mail, user, event->line)->removed++;
	else if (count >= 0 && count < UINT32_MAX)
		who->removed += (uint64_t)count;
	else if (uid > 0)
		who->removed++;
	else if (count > 0 || is_inbox(tape_text(data, "mailbox", NULL)))
		who->flags |= WHO_REMOVED_ALL;
}

static void add_fault(
	struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	const char *state = tape_text(data, "state", "");
	uint32_t step = build_key(ledger, data, "step");
	struct ledger_force *open = NULL;

	ledger->fault_lines++;
	for (size_t i = ledger->force_count; i-- > 0 && !open;)
		if (ledger->forces[i].step == step && isnan(ledger->forces[i].to))
			open = &ledger->forces[i];
	if (!strcmp(state, "fired") || !strcmp(state, "in-force")) {
		if (open || ledger->force_count == FORCES_MAX)
			return;
		open = APPEND(ledger, ROOM_FORCE, forces, force_count);
		*open = (struct ledger_force){.from = event->t,
			.to = NAN,
			.at = tape_real(data, "at_t", NAN),
			.ahead = tape_real(data, "ahead_s", 0),
			.step = step,
			.from_line = event->line,
			.fault = build_key(ledger, data, "fault"),
			.is = fault_is_read(event->data),
			.agent = build_key(ledger, data, "agent"),
			.user = build_address(ledger, tape_text(data, "user", NULL))};
	} else if (open && (!strcmp(state, "healed") || !strcmp(state, "over"))) {
		open->to = event->t;
		open->to_line = event->line;
	}
}

static void add_rig(struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	if (strcmp(tape_text(data, "trouble", ""), "starved") != 0) {
		if (!ledger->first_trouble_line)
			ledger->first_trouble_line = event->line;
	} else if (ledger->starved_count < STARVED_MAX) {
		*APPEND(ledger, ROOM_STARVED, starved, starved_count) = (struct ledger_starved){
			.t = event->t, .lost_s = tape_real(data, "lost_s", INFINITY)};
	}
}

/* From the first of these on the rig no longer waits for what is pending. */
static void note_settled(struct ledger *ledger, const struct event *event)
{
	if (isnan(ledger->settle_t))
		ledger->settle_t = event->t;
}

static void add_phase(
	struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	const char *name = tape_text(data, "name", "");

	if (!strcmp(name, "drain") || !strcmp(name, "stop"))
		note_settled(ledger, event);
	if (!strcmp(name, "read-back"))
		ledger->read_t = event->t;
	ledger->ended |= !strcmp(name, "end");
	ledger->worked |= !strcmp(name, "workload");
}

/* A queue that is not told while it drains (NAN) is asked again. */
static void add_asked(
	struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	(void)data;
	ledger->sink_asked |= event_is(event, "sink");
	ledger->unlisted |= event_is(event, "unlisted") && ledger->read_t <= event->t;
}

static void add_read(
	struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	uint32_t user = build_address(ledger, tape_text(data, "user", NULL));

	build_who(ledger, user)->flags |= event_is(event, "read") ? WHO_READ : WHO_UNREADABLE;
}

void ledger_add(struct ledger *ledger, const struct event *event, const struct tape_value *data)
{
	static void (*const adds[EVENT_TYPES])(struct ledger * ledger, const struct event *event,
		const struct tape_value *data) = {
		[EVENT_BEGIN] = add_begin,
		[EVENT_END] = add_end,
		[EVENT_ATTEMPT] = add_attempt,
		[EVENT_UNHEARD] = add_unheard,
		[EVENT_COPY] = add_copy,
		[EVENT_SUNK] = add_copy,
		[EVENT_QUEUED] = add_queued,
		[EVENT_UNLISTED] = add_asked,
		[EVENT_EXCUSED] = add_excused,
		[EVENT_FAULT] = add_fault,
		[EVENT_RIG] = add_rig,
		[EVENT_PHASE] = add_phase,
		[EVENT_READ] = add_read,
		[EVENT_UNREADABLE] = add_read,
		[EVENT_SINK] = add_asked,
	};

	if (adds[event->type])
		adds[event->type](ledger, event, data);
	if (event->line <= 1 || event->t < ledger->first_t)
		ledger->first_t = event->t;
	if (event->line <= 1 || event->t > ledger->last_t)
		ledger->last_t = event->t;
}

/* POP3 (RFC 1939), with PIPELINING (2449), STLS (2595) and AUTH (5034). */
#include "net/dialogue_priv.h"

#include <string.h>

enum command { GREETING, RETR, LIST, CAPA, AUTH, STLS, OTHER };

/* Replies of many lines: always, or only without an argument. */
static const struct verb {
	const char *name;
	enum command command;
	bool many, many_if_bare;
} verbs[] = {
	{"RETR", RETR, true, false},
	{"TOP", RETR, true, false},
	{"LIST", LIST, false, true},
	{"UIDL", LIST, false, true},
	{"CAPA", CAPA, true, false},
	{"AUTH", AUTH, false, true},
	{"STLS", STLS, false, false},
};

struct pop3 {
	bool in_lines; /* inside a reply of many lines, whose command is the oldest one */
	bool auth;     /* the client's next line is credentials */
	struct body body;
	int64_t first_ns;
	char status[8], text[DIALOGUE_TEXT_MAX];
};

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

static bool many_lines(const struct pending *pending)
{
	const struct verb *verb = find_verb(pending->verb);

	return verb && (verb->many || (verb->many_if_bare && !pending->args[0]));
}

static void set_moment(struct dialogue *d, const char *verb, const char *suffix)
{
	size_t at = (size_t)snprintf(d->moment, sizeof(d->moment), "pop3/");

	for (; *verb && at < VERB_MAX; verb++)
		d->moment[at++] = *verb >= 'A' && *verb <= 'Z' ? (char)(*verb - 'A' + 'a') : *verb;
	snprintf(d->moment + at, sizeof(d->moment) - at, "%s", suffix);
}

/* ---- the client ---- */

static void lose_all(struct dialogue *d, int64_t ns)
{
	d->uncertain = true;
	while (d->oldest) {
		dialogue_tell_unanswered(d, d->oldest, true, ns);
		pending_remove(d, d->oldest);
	}
}

static void on_command(struct dialogue *d, struct line line, int64_t ns)
{
	struct line args = line, word = line_word(&args);
	const struct verb *verb;
	struct pending *pending;

	if (d->pending_count >= DIALOGUE_PENDING_MAX)
		lose_all(d, ns);
	pending = pending_add(d, OTHER, ns);
	line_upper(word, pending->verb, sizeof(pending->verb));
	verb = find_verb(pending->verb);
	if (verb)
		pending->command = (int)verb->command;
	if (!strcmp(pending->verb, "PASS"))
		args.len = 0;
	else if (pending->command == AUTH || !strcmp(pending->verb, "APOP"))
		args = line_word(&args);
	line_copy(args, pending->args, sizeof(pending->args));
	d->hold = !d->uncertain && (pending->command == AUTH || pending->command == STLS);
	set_moment(d, pending->verb, "");
	dialogue_tell_command(d, pending, d->moment, ns);
	if (d->uncertain) {
		dialogue_tell_unanswered(d, pending, true, ns);
		pending_remove(d, pending);
	}
}

static size_t client(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns)
{
	struct pop3 *pop3 = d->state;
	struct line line;
	size_t taken;

	if (!line_take(&d->lines[FLOW_CLIENT], bytes, len, &taken, &line))
		return taken;
	if (pop3->auth) {
		pop3->auth = false;
		d->hold = true;
		if (d->oldest)
			d->oldest->owed_ns = ns;
	} else {
		on_command(d, line, ns);
	}
	line_done(&d->lines[FLOW_CLIENT]);
	return taken;
}

/* ---- the server ---- */

static void tell_message(struct dialogue *d, int64_t ns)
{
	struct pop3 *pop3 = d->state;
	struct dialogue_message message = {
		.from_side = FLOW_SERVER,
		.from = "",
		.bytes = pop3->body.bytes,
		.complete = !pop3->body.gap,
		.token = pop3->body.token,
		.first_ns = pop3->first_ns,
		.dot_ns = ns,
		.status = pop3->status,
		.reply_ns = ns,
	};
	struct dialogue_event event = {
		.kind = DIALOGUE_MESSAGE,
		.ns = ns,
		.from = FLOW_SERVER,
		.unknown = d->uncertain,
		.message = &message,
	};

	body_sha256(&pop3->body, message.sha256);
	pending_event(d->oldest, &event);
	dialogue_tell(d, &event);
}

static void tell_reply(struct dialogue *d, const struct pending *pending, int64_t ns)
{
	struct pop3 *pop3 = d->state;
	struct dialogue_event event = {
		.kind = DIALOGUE_REPLY,
		.ns = ns,
		.from = FLOW_SERVER,
		.unknown = d->uncertain,
		.status = pop3->status,
		.text = pop3->text,
	};

	if (pending) {
		pending_event(pending, &event);
		set_moment(d, pending->verb, "/reply");
		if (pending->verb[0])
			event.moment = d->moment;
	}
	dialogue_tell(d, &event);
}

static void reply_over(struct dialogue *d, int64_t ns)
{
	struct pop3 *pop3 = d->state;
	bool ok = pop3->status[0] == '+';
	bool opaque = d->oldest->command == STLS && ok;

	if (pop3->in_lines && d->oldest->command == RETR)
		tell_message(d, ns);
	pop3->in_lines = false;
	body_end(&pop3->body);
	tell_reply(d, d->oldest, ns);
	d->hold = false;
	pending_remove(d, d->oldest);
	if (opaque)
		dialogue_tls(d, ns);
}

static void on_status(struct dialogue *d, struct line line, int64_t ns)
{
	struct pop3 *pop3 = d->state;
	struct line rest = line, word = line_word(&rest);
	bool ok = line_is(word, "+OK");

	if (line_is(word, "+") && d->oldest && d->oldest->command == AUTH && !d->uncertain) {
		pop3->auth = true;
		d->hold = false;
		d->oldest->owed_ns = 0;
		return;
	}
	if (!ok && !line_is(word, "-ERR"))
		return;
	strcpy(pop3->status, ok ? "+OK" : "-ERR");
	line_copy(rest, pop3->text, sizeof(pop3->text));
	if (!d->oldest || d->uncertain) {
		tell_reply(d, NULL, ns);
	} else if (ok && many_lines(d->oldest)) {
		pop3->in_lines = true;
		pop3->first_ns = ns;
		body_begin(&pop3->body);
	} else {
		reply_over(d, ns);
	}
}

static size_t server(struct dialogue *d, const uint8_t *bytes, size_t len, int64_t ns)
{
	struct pop3 *pop3 = d->state;
	struct line line;
	size_t taken;
	bool over;

	if (pop3->in_lines) {
		taken = body_add_stuffed(&pop3->body, bytes, len, &over);
		if (over)
			reply_over(d, ns);
		return taken;
	}
	if (line_take(&d->lines[FLOW_SERVER], bytes, len, &taken, &line)) {
		on_status(d, line, ns);
		line_done(&d->lines[FLOW_SERVER]);
	}
	return taken;
}

/* ---- gaps and the end ---- */

/*
 * Replies answer in order and nothing in them names their command, so after a gap elsewhere than inside a
 * long reply nothing can be matched any more, to the end of the connection.
 */
static void gap(struct dialogue *d, enum flow_side from, uint64_t bytes, int64_t ns)
{
	struct pop3 *pop3 = d->state;

	(void)bytes;
	line_gap(&d->lines[from]);
	if (from == FLOW_SERVER && pop3->in_lines)
		body_gap(&pop3->body);
	lose_all(d, ns);
	pop3->in_lines = pop3->auth = false;
	d->hold = false;
}

static void pop3_close(struct dialogue *d, int64_t ns)
{
	while (d->oldest) {
		dialogue_tell_unanswered(d, d->oldest, d->uncertain, ns);
		pending_remove(d, d->oldest);
	}
}

static void begin(struct dialogue *d, int64_t ns)
{
	(void)ns;
	d->state = mem_zero(1, sizeof(struct pop3));
	if (!d->midstream && !d->upgraded)
		pending_add(d, GREETING, d->opened_ns);
}

static void pop3_free(struct dialogue *d)
{
	struct pop3 *pop3 = d->state;

	body_end(&pop3->body);
	free(pop3);
	d->state = NULL;
}

static const char *owed_token(const struct pending *pending)
{
	(void)pending;
	return "";
}

const struct protocol_ops dialogue_pop3 = {
	.begin = begin,
	.client = client,
	.server = server,
	.gap = gap,
	.close = pop3_close,
	.free = pop3_free,
	.owed_token = owed_token,
};

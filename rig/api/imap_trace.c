#include "api/imap_trace.h"

#include "api/fault.h"
#include "base/buf.h"
#include "base/json_tape.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#define SESSIONS_MAX 100000

struct imap_trace *imap_trace_new(struct ledger *ledger)
{
	struct imap_trace *trace = mem_zero(1, sizeof(*trace));

	trace->texts = &ledger->texts;
	trace->powerless_t = NAN;
	return trace;
}

void imap_trace_free(struct imap_trace *trace)
{
	if (!trace)
		return;
	free(trace->items);
	free(trace->commands);
	free(trace->sessions);
	free(trace->last_of);
	key_map_free(&trace->by_number);
	key_map_free(&trace->by_who);
	key_map_free(&trace->wiped);
	free(trace);
}

const char *trace_text(const struct imap_trace *trace, uint32_t id)
{
	return intern_text(trace->texts, id);
}

static uint32_t text_of(struct imap_trace *trace, const struct tape_value *object, const char *key)
{
	const char *text = tape_text(object, key, "");

	return intern_id(trace->texts, text, strlen(text));
}

static uint32_t mailbox_of(
	struct imap_trace *trace, const struct tape_value *object, const char *key)
{
	const char *name = tape_text(object, key, "");

	return intern_id(trace->texts, strcasecmp(name, "INBOX") ? name : "INBOX", strlen(name));
}

static uint32_t number_of(const struct tape_value *object, const char *key)
{
	int64_t number = tape_int(object, key, 0);

	return number > 0 && number <= UINT32_MAX ? (uint32_t)number : 0;
}

static uint64_t modseq_of(const struct tape_value *object, const char *key)
{
	int64_t number = tape_int(object, key, 0);

	return number > 0 ? (uint64_t)number : 0;
}

uint64_t trace_code_number(const char *code, const char *word)
{
	size_t len = strlen(word);

	if (strncasecmp(code, word, len) != 0 || code[len] != ' ')
		return 0;
	return strtoull(code + len, NULL, 10);
}

static struct trace_item *add(
	struct imap_trace *trace, const struct event *event, enum trace_kind kind, uint32_t session)
{
	struct trace_item *item;

	if (trace->count == trace->item_room) {
		trace->item_room = trace->item_room ? trace->item_room * 2 : 256;
		trace->items = mem_grow(trace->items, trace->item_room, sizeof(*trace->items));
	}
	item = &trace->items[trace->count++];
	*item = (struct trace_item){
		.t = event->t, .line = event->line, .kind = (uint8_t)kind, .session = session};
	return item;
}

static uint32_t add_command(struct imap_trace *trace, const char *line)
{
	if (trace->command_count == trace->command_room) {
		trace->command_room = trace->command_room ? trace->command_room * 2 : 256;
		trace->commands =
			mem_grow(trace->commands, trace->command_room, sizeof(*trace->commands));
	}
	trace->commands[trace->command_count] = trace_command_parse(trace, line);
	return (uint32_t)trace->command_count++;
}

/* ---- one kind of line each ---- */

/* The session is the last of `who` now; which was before. */
static uint32_t succeed(struct imap_trace *trace, uint32_t who, uint32_t session)
{
	uint32_t at = key_map_put(&trace->by_who, who, (uint32_t)trace->who_count), before;

	if (at == trace->who_count) {
		if (!(trace->who_count & (trace->who_count - 1)))
			trace->last_of = mem_grow(trace->last_of,
				trace->who_count ? trace->who_count * 2 : 1, sizeof(uint32_t));
		trace->last_of[trace->who_count++] = TRACE_NONE;
	}
	before = trace->last_of[at];
	trace->last_of[at] = session;
	return before;
}

static void add_open(struct imap_trace *trace, const struct event *event,
	const struct tape_value *data, const struct tape_value *open)
{
	uint64_t number = (uint64_t)tape_int(data, "s", 0);
	uint32_t session = key_map_put(&trace->by_number, number, (uint32_t)trace->session_count);

	if (session < trace->session_count || session == SESSIONS_MAX)
		return;
	if (trace->session_count == trace->session_room) {
		trace->session_room = trace->session_room ? trace->session_room * 2 : 64;
		trace->sessions =
			mem_grow(trace->sessions, trace->session_room, sizeof(*trace->sessions));
	}
	trace->sessions[trace->session_count++] = (struct trace_session){
		.who = text_of(trace, open, "who"),
		.user = text_of(trace, open, "user"),
		.line = event->line,
		.previous = succeed(trace, text_of(trace, open, "who"), session),
	};
	add(trace, event, TRACE_OPEN, session);
}

static void add_sent(struct imap_trace *trace, const struct event *event,
	const struct tape_value *data, uint32_t session)
{
	const char *command = tape_text(data, "command", NULL);
	struct trace_item *item = add(trace, event, command ? TRACE_SENT : TRACE_CONTENT, session);

	item->text = text_of(trace, data, "sent");
	item->token = text_of(trace, data, "token");
	item->sha = text_of(trace, data, "sha256");
	item->bytes = number_of(data, "bytes");
	if (command)
		item->command = add_command(trace, command);
}

static void fill_fetch(
	struct imap_trace *trace, struct trace_item *item, const struct tape_value *object)
{
	const char *flags = tape_text(object, "flags", NULL);
	const char *section = tape_text(object, "section", "");

	item->uid = number_of(object, "uid");
	item->modseq = modseq_of(object, "modseq");
	item->flags = flags ? trace_flags(trace, flags) : 0;
	item->nil = tape_bool(object, "nil", false);
	item->body = tape_text(object, "sha256", NULL) != NULL;
	item->partial = strcasecmp(section, "BODY[]") && strcasecmp(section, "RFC822");
	item->whole = tape_bool(object, "whole", false);
	item->token = text_of(trace, object, "token");
	item->sha = text_of(trace, object, "sha256");
	item->bytes = number_of(object, "bytes");
}

static void add_status(
	struct imap_trace *trace, struct trace_item *item, const struct tape_value *object)
{
	item->mailbox = mailbox_of(trace, object, "status");
	item->number = number_of(object, "messages");
	item->uidnext = number_of(object, "uidnext");
	item->uidvalidity = number_of(object, "uidvalidity");
	item->modseq = modseq_of(object, "highestmodseq");
}

static uint32_t permanent_flags(struct imap_trace *trace, const char *code)
{
	uint32_t flags;

	if (strncasecmp(code, "PERMANENTFLAGS", 14) != 0)
		return 0;
	flags = trace_flags(trace, code + 14);
	return strstr(code, "\\*") ? flags | ~(uint32_t)FLAG_SYSTEM : flags;
}

static void add_one_told(struct imap_trace *trace, const struct event *event, uint32_t session,
	const struct tape_value *object)
{
	static const struct {
		const char *key;
		enum trace_kind kind;
	} kinds[] = {
		{"exists", TRACE_EXISTS},
		{"expunge", TRACE_EXPUNGE},
		{"fetch", TRACE_FETCH},
		{"vanished", TRACE_VANISHED},
		{"code", TRACE_CODE},
		{"status", TRACE_STATUS},
		{"bye", TRACE_BYE},
		{"enabled", TRACE_ENABLED},
		{"lost", TRACE_LOST},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct trace_item *item;

		if (!tape_get(object, kinds[i].key))
			continue;
		item = add(trace, event, kinds[i].kind, session);
		item->number = number_of(object, kinds[i].key);
		item->text = text_of(trace, object, kinds[i].key);
		item->earlier = tape_bool(object, "earlier", false);
		if (item->kind == TRACE_FETCH)
			fill_fetch(trace, item, object);
		if (item->kind == TRACE_CODE)
			item->flags = permanent_flags(trace, trace_text(trace, item->text));
		if (item->kind == TRACE_STATUS)
			add_status(trace, item, object);
		return;
	}
}

static void add_done(struct imap_trace *trace, const struct event *event,
	const struct tape_value *data, uint32_t session)
{
	const char *status = tape_text(data, "status", "");
	struct trace_item *item = add(trace, event, TRACE_DONE, session);

	item->text = text_of(trace, data, "done");
	item->code = text_of(trace, data, "code");
	item->status = !strcmp(status, "OK")   ? OUTCOME_OK
		       : !strcmp(status, "NO") ? OUTCOME_NO
					       : OUTCOME_MAYBE;
}

static void add_imap(
	struct imap_trace *trace, const struct event *event, const struct tape_value *data)
{
	const struct tape_value *open = tape_get(data, "open"), *told = tape_get(data, "told");
	uint64_t number = (uint64_t)tape_int(data, "s", 0);
	uint32_t session = key_map_get(&trace->by_number, number);

	if (open && open->type == JSON_OBJECT) {
		add_open(trace, event, data, open);
		return;
	}
	if (session >= trace->session_count)
		return;
	if (told && told->type == JSON_ARRAY)
		for (const struct tape_value *one = tape_first(told); one;
			one = tape_next(told, one))
			add_one_told(trace, event, session, one);
	else if (tape_get(data, "sent"))
		add_sent(trace, event, data, session);
	else if (tape_get(data, "done"))
		add_done(trace, event, data, session);
	else if (tape_get(data, "closed"))
		add(trace, event, TRACE_CLOSED, session)->text = text_of(trace, data, "closed");
}

static void add_box(
	struct imap_trace *trace, const struct event *event, const struct tape_value *data)
{
	bool copy = event->type == EVENT_COPY;
	const char *flags = tape_text(data, "flags", NULL);
	struct trace_item *item;

	if (!trace->session_count) /* nothing to compare it with */
		return;
	item = add(trace, event, copy ? TRACE_COPY : TRACE_BOX, TRACE_NONE);
	item->user = text_of(trace, data, "user");
	item->mailbox = mailbox_of(trace, data, "mailbox");
	item->uid = number_of(data, "uid");
	item->uidvalidity = number_of(data, "uidvalidity");
	item->uidnext = number_of(data, "uidnext");
	item->modseq = modseq_of(data, "highestmodseq");
	item->number = number_of(data, "messages");
	item->flags = flags ? trace_flags(trace, flags) : 0;
	item->token = text_of(trace, data, "token");
	item->sha = text_of(trace, data, "sha256");
	item->bytes = number_of(data, "bytes");
	item->whole = tape_bool(data, "whole", false);
	item->body = copy;
}

static void wipe(struct imap_trace *trace, const struct event *event, uint32_t user)
{
	add(trace, event, TRACE_WIPED, TRACE_NONE)->user = user;
	key_map_put(&trace->wiped, user, 1);
}

/* The rig's own IMAP commands are in the trace; whatever else it removed may be anything. */
static void add_excused(
	struct imap_trace *trace, const struct event *event, const struct tape_value *data)
{
	const char *why = tape_text(data, "why", "");

	if (!strstr(why, "expunged"))
		wipe(trace, event, text_of(trace, data, "user"));
}

static void add_fault(
	struct imap_trace *trace, const struct event *event, const struct tape_value *data)
{
	unsigned int is = fault_is_read(event->data);
	const char *state = tape_text(data, "state", "");

	if (strcmp(state, "in-force") && strcmp(state, "healed"))
		return;
	if (is & FAULT_REMOVES)
		wipe(trace, event, 0);
	if (is & FAULT_CUTS_POWER && !trace->powerless_line) {
		trace->powerless_line = event->line;
		trace->powerless_t = event->t;
	}
}

void imap_trace_add(
	struct imap_trace *trace, const struct event *event, const struct tape_value *data)
{
	static void (*const adds[EVENT_TYPES])(struct imap_trace * trace, const struct event *event,
		const struct tape_value *data) = {
		[EVENT_IMAP] = add_imap,
		[EVENT_BOX] = add_box,
		[EVENT_COPY] = add_box,
		[EVENT_EXCUSED] = add_excused,
		[EVENT_FAULT] = add_fault,
	};

	if (adds[event->type])
		adds[event->type](trace, event, data);
}

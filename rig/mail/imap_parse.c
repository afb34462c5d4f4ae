#include "mail/imap_response.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

struct cursor {
	const struct imap_response *response;
	size_t at;
};

enum value_kind {
	VALUE_NONE,
	VALUE_ATOM,
	VALUE_QUOTED,
	VALUE_LITERAL,
	VALUE_LIST,
};

struct value {
	enum value_kind kind;
	size_t from, to; /* span in the text, with quotes or parentheses */
	const struct imap_literal *literal;
};

static char peek(const struct cursor *cursor)
{
	const struct buf *text = &cursor->response->text;

	return cursor->at < text->len ? text->data[cursor->at] : '\0';
}

static void blanks(struct cursor *cursor)
{
	while (peek(cursor) == ' ')
		cursor->at++;
}

static bool at_end(const struct cursor *cursor)
{
	return cursor->at >= cursor->response->text.len;
}

/* Behind "{n}" at the cursor if a literal was read there, else NULL and the cursor stays. */
static const struct imap_literal *literal_at(struct cursor *cursor)
{
	const struct buf *text = &cursor->response->text;
	size_t at = cursor->at;

	if (peek(cursor) == '~') /* literal8 */
		at++;
	if (at >= text->len || text->data[at] != '{')
		return NULL;
	while (at < text->len && text->data[at] != '}')
		at++;
	for (size_t i = 0; i < cursor->response->count; i++) {
		if (cursor->response->literals[i].at != at + 1)
			continue;
		cursor->at = at + 1;
		return &cursor->response->literals[i];
	}
	return NULL;
}

static void skip_quoted(struct cursor *cursor)
{
	cursor->at++;
	while (!at_end(cursor) && peek(cursor) != '"')
		cursor->at += peek(cursor) == '\\' ? 2 : 1;
	cursor->at++;
}

static void skip_atom(struct cursor *cursor)
{
	int brackets = 0;

	for (; !at_end(cursor); cursor->at++) {
		char c = peek(cursor);

		brackets += (c == '[') - (c == ']');
		if (brackets <= 0 && (c == ' ' || c == '(' || c == ')'))
			return;
	}
}

static void skip_list(struct cursor *cursor)
{
	int depth = 0;

	while (!at_end(cursor)) {
		char c = peek(cursor);

		if (c == '"') {
			skip_quoted(cursor);
			continue;
		}
		if (literal_at(cursor))
			continue;
		cursor->at++;
		depth += (c == '(') - (c == ')');
		if (!depth)
			return;
	}
}

static struct value next_value(struct cursor *cursor)
{
	struct value value = {0};

	blanks(cursor);
	value.from = cursor->at;
	if (at_end(cursor) || peek(cursor) == ')')
		return value;
	value.literal = literal_at(cursor);
	if (value.literal) {
		value.kind = VALUE_LITERAL;
	} else if (peek(cursor) == '"') {
		value.kind = VALUE_QUOTED;
		skip_quoted(cursor);
	} else if (peek(cursor) == '(') {
		value.kind = VALUE_LIST;
		skip_list(cursor);
	} else {
		value.kind = VALUE_ATOM;
		skip_atom(cursor);
	}
	if (cursor->at > cursor->response->text.len)
		cursor->at = cursor->response->text.len;
	value.to = cursor->at;
	return value;
}

static bool value_is(const struct cursor *cursor, const struct value *value, const char *word)
{
	const char *text = cursor->response->text.data + value->from;
	size_t len = value->to - value->from;

	return value->kind == VALUE_ATOM && len == strlen(word) && !strncasecmp(text, word, len);
}

static bool value_begins(const struct cursor *cursor, const struct value *value, const char *word)
{
	size_t len = strlen(word);

	return value->kind == VALUE_ATOM && value->to - value->from >= len &&
	       !strncasecmp(cursor->response->text.data + value->from, word, len);
}

/* The text of a string or atom; empty for lists. */
static void value_text(const struct cursor *cursor, const struct value *value, struct buf *out)
{
	const char *text = buf_text(&cursor->response->text);

	if (value->kind == VALUE_LITERAL) {
		buf_add(out, buf_text(&value->literal->head), value->literal->head.len);
	} else if (value->kind == VALUE_ATOM) {
		buf_add(out, text + value->from, value->to - value->from);
	} else if (value->kind == VALUE_QUOTED) {
		for (size_t i = value->from + 1; i + 1 < value->to; i++) {
			if (text[i] == '\\' && i + 2 < value->to)
				i++;
			buf_addc(out, text[i]);
		}
	}
}

static uint64_t value_number(const struct cursor *cursor, const struct value *value, uint64_t max)
{
	const char *text = buf_text(&cursor->response->text);
	uint64_t number = 0;

	if (value->kind != VALUE_ATOM)
		return 0;
	for (size_t i = value->from; i < value->to; i++) {
		unsigned int digit = (unsigned int)text[i] - '0';

		if (digit > 9 || number > (max - digit) / 10)
			return 0;
		number = number * 10 + digit;
	}
	return number;
}

static uint32_t number32(const struct cursor *cursor, const struct value *value)
{
	return (uint32_t)value_number(cursor, value, UINT32_MAX);
}

/* What stands inside the parentheses, cut; NULL if it is no list. Caller frees. */
static char *list_text(const struct cursor *cursor, const struct value *value)
{
	char *out;
	size_t len;

	if (value->kind != VALUE_LIST || value->to < value->from + 2)
		return NULL;
	len = value->to - value->from - 2;
	if (len >= IMAP_NAME_MAX)
		len = IMAP_NAME_MAX - 1;
	out = mem_zero(len + 1, 1);
	mail_text(out, len + 1, cursor->response->text.data + value->from + 1, len);
	return out;
}

static char *name_text(const struct cursor *cursor, const struct value *value)
{
	struct buf raw auto_buf = {0};
	size_t size;
	char *out;

	value_text(cursor, value, &raw);
	size = (raw.len < IMAP_NAME_MAX ? raw.len : IMAP_NAME_MAX - 1) + 1;
	out = mem_zero(size, 1);
	mail_text(out, size, buf_text(&raw), raw.len);
	return out;
}

/* The first number of a list such as MODSEQ's "(12)". */
static uint64_t list_number(const struct cursor *cursor, const struct value *value)
{
	struct cursor inside = {cursor->response, value->from + 1};
	struct value number;

	if (value->kind != VALUE_LIST)
		return 0;
	number = next_value(&inside);
	return value_number(&inside, &number, INT64_MAX);
}

static void take_body(const struct cursor *cursor, struct imap_event *event,
	const struct value *name, const struct value *value)
{
	if (event->section[0] && !value_is(cursor, name, "BODY[]"))
		return; /* the whole message counts, else the first section */
	mail_text(event->section, sizeof(event->section), cursor->response->text.data + name->from,
		name->to - name->from);
	free(event->body);
	event->body = NULL;
	event->nil_body = value_is(cursor, value, "NIL");
	if (value->kind == VALUE_LITERAL) {
		event->body = mem_zero(1, sizeof(*event->body));
		*event->body = value->literal->seen;
	} else if (value->kind == VALUE_QUOTED) {
		struct buf raw auto_buf = {0};

		value_text(cursor, value, &raw);
		event->body = mem_zero(1, sizeof(*event->body));
		message_look(buf_text(&raw), raw.len, event->body);
	}
}

static void fetch_item(struct cursor *cursor, struct imap_event *event, const struct value *name,
	const struct value *value)
{
	if (value_is(cursor, name, "UID")) {
		event->uid = number32(cursor, value);
	} else if (value_is(cursor, name, "FLAGS")) {
		free(event->flags);
		event->flags = list_text(cursor, value);
	} else if (value_is(cursor, name, "RFC822.SIZE")) {
		event->size = number32(cursor, value);
	} else if (value_is(cursor, name, "MODSEQ")) {
		event->modseq = list_number(cursor, value);
	} else if (value_begins(cursor, name, "BODY[") || value_begins(cursor, name, "BINARY[") ||
		   value_begins(cursor, name, "RFC822")) {
		take_body(cursor, event, name, value);
	}
}

static void status_item(struct cursor *cursor, struct imap_event *event, const struct value *name,
	const struct value *value)
{
	if (value_is(cursor, name, "MESSAGES"))
		event->messages = number32(cursor, value);
	else if (value_is(cursor, name, "UNSEEN"))
		event->unseen = number32(cursor, value);
	else if (value_is(cursor, name, "UIDNEXT"))
		event->uidnext = number32(cursor, value);
	else if (value_is(cursor, name, "UIDVALIDITY"))
		event->uidvalidity = number32(cursor, value);
	else if (value_is(cursor, name, "HIGHESTMODSEQ"))
		event->modseq = value_number(cursor, value, INT64_MAX);
}

typedef void item_fn(
	struct cursor *, struct imap_event *, const struct value *, const struct value *);

/* "(name value name value ...)" */
static void items(struct cursor *cursor, struct imap_event *event, item_fn *item)
{
	blanks(cursor);
	if (peek(cursor) != '(')
		return;
	cursor->at++;
	for (;;) {
		struct value name = next_value(cursor), value;

		if (name.kind != VALUE_ATOM || name.from == name.to)
			return;
		value = next_value(cursor);
		if (value.kind == VALUE_NONE)
			return;
		item(cursor, event, &name, &value);
	}
}

/* "[UIDNEXT 5]" in front of a status text. */
static void status_code(struct cursor *cursor, struct imap_event *event)
{
	struct value name, value;

	blanks(cursor);
	if (peek(cursor) != '[')
		return;
	if (event->kind == IMAP_OTHER)
		event->kind = IMAP_CODE;
	cursor->at++;
	name = next_value(cursor);
	value = next_value(cursor);
	if (value.to > value.from && cursor->response->text.data[value.to - 1] == ']')
		value.to--;
	status_item(cursor, event, &name, &value);
}

static void numbered(struct cursor *cursor, struct imap_event *event)
{
	static const struct {
		const char *word;
		enum imap_event_kind kind;
	} words[] = {
		{"EXISTS", IMAP_EXISTS},
		{"RECENT", IMAP_RECENT},
		{"EXPUNGE", IMAP_EXPUNGE},
		{"FETCH", IMAP_FETCH},
	};
	struct value word = next_value(cursor);

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (value_is(cursor, &word, words[i].word))
			event->kind = words[i].kind;
	if (event->kind == IMAP_FETCH)
		items(cursor, event, fetch_item);
}

static void listed(struct cursor *cursor, struct imap_event *event)
{
	struct value value = next_value(cursor);

	event->flags = list_text(cursor, &value);
	next_value(cursor); /* the separator */
	value = next_value(cursor);
	event->name = name_text(cursor, &value);
}

static void status(struct cursor *cursor, struct imap_event *event)
{
	struct value value = next_value(cursor);

	event->name = name_text(cursor, &value);
	items(cursor, event, status_item);
}

static void flagged(struct cursor *cursor, struct imap_event *event)
{
	struct value value = next_value(cursor);

	event->flags = list_text(cursor, &value);
}

/* "VANISHED 41,43:116" or "VANISHED (EARLIER) 41" (RFC 7162, 3.2.10). */
static void vanished(struct cursor *cursor, struct imap_event *event)
{
	const char *text = buf_text(&cursor->response->text);
	struct value value = next_value(cursor);

	if (value.kind == VALUE_LIST) {
		event->earlier = true;
		value = next_value(cursor);
	}
	if (value.kind == VALUE_ATOM && value.to - value.from < IMAP_SET_MAX)
		event->set = text_dup_n(text + value.from, value.to - value.from);
}

static const struct {
	const char *word;
	enum imap_event_kind kind;
	void (*parse)(struct cursor *, struct imap_event *);
} untagged[] = {
	{"OK", IMAP_OTHER, status_code},
	{"NO", IMAP_OTHER, status_code},
	{"BAD", IMAP_OTHER, status_code},
	{"PREAUTH", IMAP_OTHER, status_code},
	{"BYE", IMAP_BYE, status_code},
	{"LIST", IMAP_LIST, listed},
	{"LSUB", IMAP_OTHER, NULL},
	{"STATUS", IMAP_STATUS, status},
	{"FLAGS", IMAP_FLAGS, flagged},
	{"SEARCH", IMAP_SEARCH, NULL},
	{"VANISHED", IMAP_VANISHED, vanished},
	{"CAPABILITY", IMAP_CAPABILITY, NULL},
};

void imap_response_parse(const struct imap_response *response, struct imap_event *event)
{
	struct cursor cursor = {response, 2};
	const struct buf *text = &response->text;
	struct value first = next_value(&cursor);

	*event = (struct imap_event){.kind = IMAP_OTHER};
	event->text = mem_zero(1, text->len - 1 < MAIL_TEXT_MAX ? text->len - 1 : MAIL_TEXT_MAX);
	mail_text(event->text, text->len - 1 < MAIL_TEXT_MAX ? text->len - 1 : MAIL_TEXT_MAX,
		text->data + 2, text->len - 2);
	if (first.kind == VALUE_ATOM && isdigit((unsigned char)text->data[first.from])) {
		event->number = number32(&cursor, &first);
		numbered(&cursor, event);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(untagged); i++) {
		if (!value_is(&cursor, &first, untagged[i].word))
			continue;
		event->kind = untagged[i].kind;
		if (untagged[i].parse)
			untagged[i].parse(&cursor, event);
		return;
	}
}

const char *imap_event_name(enum imap_event_kind kind)
{
	static const char *const names[] = {
		[IMAP_OTHER] = "other",
		[IMAP_EXISTS] = "exists",
		[IMAP_RECENT] = "recent",
		[IMAP_EXPUNGE] = "expunge",
		[IMAP_VANISHED] = "vanished",
		[IMAP_FETCH] = "fetch",
		[IMAP_FLAGS] = "flags",
		[IMAP_LIST] = "list",
		[IMAP_STATUS] = "status",
		[IMAP_SEARCH] = "search",
		[IMAP_CODE] = "code",
		[IMAP_BYE] = "bye",
		[IMAP_CAPABILITY] = "capability",
	};

	return names[kind];
}

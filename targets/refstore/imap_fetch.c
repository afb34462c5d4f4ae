/* FETCH: each message is converted inside an operation of its own and sent outside of it. */
#include "imap.h"

#include "convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define ITEMS_MAX   32
#define SECTION_MAX 512 /* a list of header fields */

enum item_kind {
	ITEM_FLAGS,
	ITEM_UID,
	ITEM_DATE,
	ITEM_SIZE,
	ITEM_BODY,
};

struct item {
	enum item_kind kind;
	char name[SECTION_MAX + 32]; /* as it is answered: "BODY[HEADER]" */
	char section[SECTION_MAX];   /* between the brackets */
	bool peek, partial;
	unsigned long first, count;
};

struct items {
	struct item at[ITEMS_MAX];
	size_t count;
	bool bodies, seen;
};

static void add_item(struct items *items, enum item_kind kind, const char *name)
{
	struct item *item = &items->at[items->count++];

	*item = (struct item){.kind = kind};
	snprintf(item->name, sizeof(item->name), "%s", name);
}

static bool add_body(struct items *items, const char *word)
{
	const char *open = strchr(word, '['), *close = strrchr(word, ']');
	struct item *item = &items->at[items->count];
	char section[sizeof(item->section)];

	if (!open || !close || close < open || (size_t)(close - open) > sizeof(item->section) - 8)
		return false;
	add_item(items, ITEM_BODY, "");
	item->peek = !strncasecmp(word, "BODY.PEEK[", 10);
	if (!item->peek && strncasecmp(word, "BODY[", 5))
		return false;
	snprintf(section, sizeof(section), "%.*s", (int)(close - open - 1), open + 1);
	memcpy(item->section, section, sizeof(section));
	item->partial = sscanf(close + 1, "<%lu.%lu>", &item->first, &item->count) == 2;
	if (item->partial)
		snprintf(item->name, sizeof(item->name), "BODY[%s]<%lu>", section, item->first);
	else
		snprintf(item->name, sizeof(item->name), "BODY[%s]", section);
	items->bodies = true;
	items->seen |= !item->peek;
	return !*item->section || !strcasecmp(item->section, "HEADER") ||
	       !strcasecmp(item->section, "TEXT") ||
	       !strncasecmp(item->section, "HEADER.FIELDS (", 15);
}

static bool add_whole(struct items *items, const char *name, const char *section, bool peek)
{
	struct item *item = &items->at[items->count];

	add_item(items, ITEM_BODY, name);
	snprintf(item->section, sizeof(item->section), "%s", section);
	items->bodies = true;
	items->seen |= !peek;
	return true;
}

static bool add_word(struct items *items, const char *word)
{
	if (items->count + 4 > ITEMS_MAX)
		return false;
	if (!strcasecmp(word, "FLAGS"))
		add_item(items, ITEM_FLAGS, "FLAGS");
	else if (!strcasecmp(word, "UID"))
		add_item(items, ITEM_UID, "UID");
	else if (!strcasecmp(word, "INTERNALDATE"))
		add_item(items, ITEM_DATE, "INTERNALDATE");
	else if (!strcasecmp(word, "RFC822.SIZE"))
		add_item(items, ITEM_SIZE, "RFC822.SIZE");
	else if (!strcasecmp(word, "FAST"))
		return add_word(items, "FLAGS") && add_word(items, "INTERNALDATE") &&
		       add_word(items, "RFC822.SIZE");
	else if (!strcasecmp(word, "RFC822"))
		return add_whole(items, "RFC822", "", false);
	else if (!strcasecmp(word, "RFC822.HEADER"))
		return add_whole(items, "RFC822.HEADER", "HEADER", true);
	else if (!strcasecmp(word, "RFC822.TEXT"))
		return add_whole(items, "RFC822.TEXT", "TEXT", false);
	else
		return add_body(items, word);
	return true;
}

static bool parse_items(struct items *items, char *text)
{
	size_t len = strlen(text);
	int depth = 0;
	char *word;

	if (*text == '(' && text[len - 1] == ')') {
		text[len - 1] = '\0';
		text++;
	}
	for (word = text; *text; text++) {
		depth += *text == '[';
		depth -= *text == ']';
		if (*text != ' ' || depth)
			continue;
		*text = '\0';
		if (*word && !add_word(items, word))
			return false;
		word = text + 1;
	}
	return (!*word || add_word(items, word)) && items->count;
}

/* ---- sections ---- */

/* Where the body begins: behind the first empty line, or at the end. */
static size_t header_length(const struct bytes *mail)
{
	const char *at = mail->data, *end = mail->data + mail->len;

	while (at && at < end) {
		if (*at == '\n')
			return (size_t)(at + 1 - mail->data);
		if (*at == '\r' && at + 1 < end && at[1] == '\n')
			return (size_t)(at + 2 - mail->data);
		at = memchr(at, '\n', (size_t)(end - at));
		at = at ? at + 1 : NULL;
	}
	return mail->len;
}

static bool wanted_field(const char *list, const char *field, size_t len)
{
	size_t name = strcspn(list, " )");

	for (; *list && *list != ')'; list += name, list += *list == ' ') {
		name = strcspn(list, " )");
		if (name < len && field[name] == ':' && !strncasecmp(list, field, name))
			return true;
	}
	return false;
}

/* Some fields of the header, and the empty line. */
static void add_fields(struct bytes *out, const char *list, const char *header, const char *end)
{
	bool take = false;

	while (header < end) {
		const char *next = memchr(header, '\n', (size_t)(end - header));

		next = next ? next + 1 : end;
		if (*header != ' ' && *header != '\t')
			take = wanted_field(list, header, (size_t)(next - header));
		if (take)
			bytes_add(out, header, (size_t)(next - header));
		header = next;
	}
	bytes_add(out, "\r\n", 2);
}

static void add_section(struct bytes *out, const struct item *item, const struct bytes *mail)
{
	size_t header = header_length(mail), first = 0, end = mail->len;
	struct bytes fields = {0};
	const char *data = mail->data;

	if (!strcasecmp(item->section, "HEADER"))
		end = header;
	else if (!strcasecmp(item->section, "TEXT"))
		first = header;
	else if (*item->section) {
		add_fields(&fields, item->section + strlen("HEADER.FIELDS ("), data, data + header);
		data = fields.data;
		end = fields.len;
	}
	if (item->partial) {
		first = item->first > end - first ? end : first + item->first;
		end = item->count > end - first ? end : first + item->count;
	}
	bytes_addf(out, "%s {%zu}\r\n", item->name, end - first);
	bytes_add(out, data ? data + first : "", end - first);
	bytes_free(&fields);
}

static void add_date(struct bytes *out, uint32_t date)
{
	time_t when = date;
	char text[64];
	struct tm tm;

	gmtime_r(&when, &tm);
	strftime(text, sizeof(text), "INTERNALDATE \"%d-%b-%Y %H:%M:%S +0000\"", &tm);
	bytes_addf(out, "%s", text);
}

static void answer_item(struct bytes *out, const struct item *item, const struct view_item *message,
	const struct bytes *mail)
{
	if (item->kind == ITEM_FLAGS) {
		bytes_addf(out, "FLAGS ");
		imap_add_flags(out, message->flags);
	} else if (item->kind == ITEM_UID) {
		bytes_addf(out, "UID %u", message->uid);
	} else if (item->kind == ITEM_SIZE) {
		bytes_addf(out, "RFC822.SIZE %zu", message->size);
	} else if (item->kind == ITEM_DATE) {
		add_date(out, message->date);
	} else {
		add_section(out, item, mail);
	}
}

/* In an operation. A message that is gone is left out. */
static void answer(struct imap_session *session, const struct items *items, uint32_t number,
	const struct view_item *message, bool by_uid)
{
	struct content *content = NULL;
	struct bytes mail = {0};
	bool uid = false;

	if (items->bodies) {
		content = db_content(session->user, session->mailbox, message->uid);
		if (!content)
			return;
		mark("refstore/imap/fetch");
		convert_out(content->data, content->len, &mail);
		content_unref(content);
	}
	bytes_addf(&session->out, "* %u FETCH (", number);
	for (size_t i = 0; i < items->count; i++) {
		bytes_addf(&session->out, "%s", i ? " " : "");
		answer_item(&session->out, &items->at[i], message, &mail);
		uid |= items->at[i].kind == ITEM_UID;
	}
	if (by_uid && !uid)
		bytes_addf(&session->out, " UID %u", message->uid);
	bytes_addf(&session->out, ")\r\n");
	bytes_free(&mail);
}

const char *imap_fetch(struct imap_session *session, struct imap_args *args, size_t at, bool by_uid)
{
	struct view *shown = &session->shown;
	struct items items = {0};
	uint32_t max;

	if (args->count != at + 2 || !imap_set_ok(args->at[at]) ||
		!parse_items(&items, args->at[at + 1]))
		return IMAP_BAD;
	if (db_begin())
		return IMAP_UNAVAILABLE;
	imap_sync(session, false);
	db_end();
	max = by_uid && shown->count ? shown->items[shown->count - 1].uid : (uint32_t)shown->count;
	for (size_t i = 0; i < shown->count; i++) {
		struct view_item *message = &shown->items[i];

		if (!imap_in_set(args->at[at], by_uid ? message->uid : (uint32_t)i + 1, max))
			continue;
		if (db_begin())
			return IMAP_UNAVAILABLE;
		answer(session, &items, (uint32_t)i + 1, message, by_uid);
		if (items.seen && !session->readonly &&
			!db_flags(session->user, session->mailbox, message->uid, FLAGS_ADD,
				FLAG_SEEN))
			db_commit();
		db_end();
		imap_flush(session);
	}
	return "OK FETCH completed";
}

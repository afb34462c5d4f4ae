#include "api/maildrop.h"

#include "base/buf.h"
#include "base/json.h"

#include <math.h>
#include <string.h>

#define LOOK_BACK_MAX 64 /* sessions that were open side by side */

enum { ROOM_SESSION, ROOM_ITEM, ROOM_MESSAGE, ROOM_LOSS };

static void *room(struct maildrops *drops, int which, void *array, size_t count, size_t size)
{
	if (count < drops->room[which])
		return array;
	drops->room[which] = drops->room[which] ? drops->room[which] * 2 : 64;
	return mem_grow(array, drops->room[which], size);
}

static uint32_t text_id(struct maildrops *drops, const char *text)
{
	return intern_id(&drops->texts, text, strlen(text));
}

static uint32_t message_of(
	struct maildrops *drops, uint32_t user, const char *uidl, uint32_t session)
{
	uint32_t id = text_id(drops, uidl);
	uint32_t index = key_map_put(
		&drops->by_uidl, (uint64_t)user << 32 | id, (uint32_t)drops->message_count);

	if (index < drops->message_count)
		return index;
	drops->messages = room(drops, ROOM_MESSAGE, drops->messages, drops->message_count,
		sizeof(*drops->messages));
	drops->messages[drops->message_count++] = (struct maildrop_message){.user = user,
		.uidl = id,
		.first = session,
		.spared = UINT32_MAX,
		.quit = UINT32_MAX};
	return index;
}

static void add_login(struct maildrops *drops, const struct event *event)
{
	const json_t *data = event->data;
	uint64_t id = (uint64_t)json_get_int(data, "session", 0);
	uint32_t index = key_map_put(&drops->by_id, id, (uint32_t)drops->session_count);

	if (index < drops->session_count)
		return;
	drops->sessions = room(drops, ROOM_SESSION, drops->sessions, drops->session_count,
		sizeof(*drops->sessions));
	drops->sessions[drops->session_count++] = (struct maildrop_session){
		.user = text_id(drops, json_get_text(data, "user", "")),
		.since = json_get_real(data, "since", event->t),
		.t = event->t,
		.line = event->line,
		.entered = !strcmp(json_get_text(data, "outcome", ""), "OK"),
		.refused = json_get_bool(data, "in_use", false),
		.previous = UINT32_MAX,
		.list_t = NAN,
		.end_t = NAN,
		.idle_s = NAN,
	};
}

static void add_item(struct maildrops *drops, uint32_t index, const json_t *item)
{
	struct maildrop_session *session = &drops->sessions[index];
	const char *uidl = json_get_text(item, "uidl", "");
	const char *token = json_get_text(item, "token", "");
	const char *sha = json_get_text(item, "sha256", "");
	struct maildrop_item *entry;

	if (!*uidl)
		return;
	drops->items =
		room(drops, ROOM_ITEM, drops->items, drops->item_count, sizeof(*drops->items));
	entry = &drops->items[drops->item_count++];
	entry->message = message_of(drops, session->user, uidl, index);
	entry->identity = text_id(drops, *token ? token : sha);
	if (entry->identity && !drops->messages[entry->message].identity)
		drops->messages[entry->message].identity = entry->identity;
	session->item_count++;
}

static void add_list(struct maildrops *drops, const struct event *event, uint32_t index)
{
	struct maildrop_session *session = &drops->sessions[index];
	const json_t *item;
	size_t i;

	if (session->listed)
		return;
	session->listed = true;
	session->list_t = event->t;
	session->list_line = event->line;
	session->first_item = drops->item_count;
	json_array_foreach (json_object_get(event->data, "items"), i, item)
		add_item(drops, index, item);
}

static void add_mark(struct maildrops *drops, uint32_t index, const char *uidl)
{
	struct maildrop_session *session = &drops->sessions[index];
	struct maildrop_message *message =
		&drops->messages[message_of(drops, session->user, uidl, index)];

	session->marks++;
	if (session->end != MAILDROP_QUIT) {
		message->spared = index;
		return;
	}
	message->tried = true;
	if (session->quit_ok && message->quit == UINT32_MAX)
		message->quit = index;
}

static void add_end(
	struct maildrops *drops, const struct event *event, uint32_t index, enum maildrop_end end)
{
	struct maildrop_session *session = &drops->sessions[index];
	const json_t *uidl;
	size_t i;

	if (session->end != MAILDROP_OPEN)
		return;
	session->end = end;
	session->end_t = event->t;
	session->end_line = event->line;
	session->quit_ok =
		end == MAILDROP_QUIT && !strcmp(json_get_text(event->data, "outcome", ""), "OK");
	if (end == MAILDROP_CLOSED)
		session->idle_s = json_get_real(event->data, "idle_s", NAN);
	json_array_foreach (json_object_get(event->data, "marked"), i, uidl)
		if (json_is_string(uidl) && *json_string_value(uidl))
			add_mark(drops, index, json_string_value(uidl));
}

static void add_idle(struct maildrops *drops, const struct event *event, uint32_t index)
{
	drops->sessions[index].stood_idle = true;
	drops->sessions[index].idle_s = json_get_real(event->data, "idle_s", NAN);
}

static void add_event(struct maildrops *drops, const struct event *event)
{
	const char *what = json_get_text(event->data, "do", "");
	uint32_t index;

	if (!strcmp(what, "login")) {
		add_login(drops, event);
		return;
	}
	index = key_map_get(&drops->by_id, (uint64_t)json_get_int(event->data, "session", 0));
	if (index == UINT32_MAX)
		return;
	if (!strcmp(what, "list"))
		add_list(drops, event, index);
	else if (!strcmp(what, "quit"))
		add_end(drops, event, index, MAILDROP_QUIT);
	else if (!strcmp(what, "cut"))
		add_end(drops, event, index, MAILDROP_CUT);
	else if (!strcmp(what, "closed"))
		add_end(drops, event, index, MAILDROP_CLOSED);
	else if (!strcmp(what, "idle"))
		add_idle(drops, event, index);
}

/* ---- what was there before and is not any more ---- */

struct comparison {
	struct maildrops *drops;
	uint32_t *listed;     /* by message: 1 + the last session that listed it */
	struct key_map fresh; /* session and identity: under a UIDL never seen before */
	uint32_t *last;	      /* by user: the last session that listed, or UINT32_MAX */
};

static void find_losses(struct comparison *c, uint32_t index, bool unsure)
{
	struct maildrops *drops = c->drops;
	const struct maildrop_session *before = &drops->sessions[drops->sessions[index].previous];

	for (size_t i = 0; i < before->item_count; i++) {
		const struct maildrop_item *item = &drops->items[before->first_item + i];
		uint32_t identity = drops->messages[item->message].identity;
		struct maildrop_loss *loss;

		if (c->listed[item->message] == index + 1)
			continue;
		c->listed[item->message] = index + 1; /* one that is listed twice is lost once */
		drops->losses = room(
			drops, ROOM_LOSS, drops->losses, drops->loss_count, sizeof(*drops->losses));
		loss = &drops->losses[drops->loss_count++];
		*loss = (struct maildrop_loss){.session = index, .message = item->message};
		loss->moved = identity && key_map_get(&c->fresh,
						  (uint64_t)index << 32 | identity) != UINT32_MAX;
		loss->unsure = !loss->moved && (unsure || !identity);
	}
}

/* The last session that had listed when this one logged in; those that were open side by side saw
 * other instants. */
static uint32_t listed_before(const struct comparison *c, uint32_t index)
{
	const struct maildrop_session *session = &c->drops->sessions[index];
	uint32_t at = c->last[session->user];

	for (int i = 0; at != UINT32_MAX && i < LOOK_BACK_MAX; i++) {
		if (c->drops->sessions[at].list_t <= session->since)
			return at;
		at = c->drops->sessions[at].previous;
	}
	return UINT32_MAX;
}

static void compare(struct comparison *c, uint32_t index)
{
	struct maildrops *drops = c->drops;
	struct maildrop_session *session = &drops->sessions[index];
	bool unsure = false, fresh = false;

	session->previous = listed_before(c, index);
	for (size_t i = 0; i < session->item_count; i++) {
		const struct maildrop_item *item = &drops->items[session->first_item + i];

		c->listed[item->message] = index + 1;
		if (drops->messages[item->message].first != index)
			continue;
		fresh = true;
		if (item->identity)
			key_map_put(&c->fresh, (uint64_t)index << 32 | item->identity, 1);
		else
			unsure = true;
	}
	if (session->previous != UINT32_MAX)
		find_losses(c, index, unsure && fresh);
}

static void compare_all(struct maildrops *drops)
{
	struct comparison c = {
		.drops = drops,
		.listed = mem_zero(drops->message_count, sizeof(uint32_t)),
		.last = mem_zero(drops->texts.count + 1, sizeof(uint32_t)),
	};

	memset(c.last, 0xff, (drops->texts.count + 1) * sizeof(uint32_t));
	for (size_t i = 0; i < drops->session_count; i++) {
		if (!drops->sessions[i].listed)
			continue;
		compare(&c, (uint32_t)i);
		c.last[drops->sessions[i].user] = (uint32_t)i;
	}
	key_map_free(&c.fresh);
	free(c.listed);
	free(c.last);
}

static uint32_t find(const struct ledger *ledger, const char *text)
{
	return intern_find(&ledger->texts, text, strlen(text));
}

static bool removed_by_name(
	const struct ledger *ledger, const struct ledger_who *who, const char *identity)
{
	const struct ledger_mail *mail = ledger_mail(ledger, identity);
	const struct ledger_rcpt *rcpt = who ? ledger_rcpt_of(ledger, mail, who->address) : NULL;

	return rcpt && rcpt->removed;
}

enum maildrop_fate maildrop_fate(const struct maildrops *drops, const struct ledger *ledger,
	const struct maildrop_loss *loss, uint64_t *spent)
{
	const struct maildrop_message *message = &drops->messages[loss->message];
	uint32_t user = find(ledger, maildrop_text(drops, message->user));
	const struct ledger_who *who = user ? ledger_who(ledger, user) : NULL;

	if (message->tried)
		return FATE_DELETED;
	if (who && who->flags & WHO_REMOVED_ALL)
		return FATE_EXCUSED;
	if (removed_by_name(ledger, who, maildrop_text(drops, message->identity)))
		return FATE_EXCUSED;
	if (who && who->flags & WHO_MULTIPLIED)
		return FATE_UNSURE;
	if (loss->moved)
		return FATE_RENAMED;
	if (who && spent[who - ledger->whos] < who->removed) {
		spent[who - ledger->whos]++;
		return FATE_EXCUSED;
	}
	if (loss->unsure)
		return FATE_UNSURE;
	return message->spared == UINT32_MAX ? FATE_KEPT : FATE_SPARED;
}

void maildrops_build(const struct history *history, struct maildrops *ret)
{
	*ret = (struct maildrops){0};
	for (size_t i = 0; i < history->rare_count; i++)
		if (event_is(history->rare[i], "pop3"))
			add_event(ret, history->rare[i]);
	compare_all(ret);
}

void maildrops_free(struct maildrops *drops)
{
	intern_free(&drops->texts);
	key_map_free(&drops->by_id);
	key_map_free(&drops->by_uidl);
	free(drops->sessions);
	free(drops->items);
	free(drops->messages);
	free(drops->losses);
}

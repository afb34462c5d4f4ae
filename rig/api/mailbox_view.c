/* What one IMAP session knows of its mailbox. */
#include "api/imap_walk.h"

#include "base/buf.h"

#include <string.h>
#include <strings.h>

/* ---- slots ---- */

static void unsure(struct view *view)
{
	view->sure = false;
}

/* The UID of a slot became known. */
void view_learn(struct view *view)
{
	while (view->known < view->count && view->slots[view->known].uid)
		view->known++;
}

/* Its UID is for the caller to set, and then to view_learn(). */
static struct view_slot *slot_insert(struct view *view, size_t at)
{
	struct view_slot *slot;

	if (view->count == view->room) {
		view->room = view->room ? view->room * 2 : 16;
		view->slots = mem_grow(view->slots, view->room, sizeof(*view->slots));
	}
	slot = &view->slots[at];
	memmove(slot + 1, slot, (view->count - at) * sizeof(*slot));
	view->count++;
	view->known = at < view->known ? at : view->known;
	*slot = (struct view_slot){.floor = view->max_uid};
	return slot;
}

static void slot_remove(struct view *view, size_t at)
{
	struct view_slot *slot = &view->slots[at];

	view->unknown -= !slot->uid;
	view->count--;
	memmove(slot, slot + 1, (view->count - at) * sizeof(*slot));
	view->known -= at < view->known;
	view_learn(view);
}

size_t view_lower_bound(const struct view *view, uint32_t uid)
{
	size_t from = 0, to = view->known;

	while (from < to) {
		size_t middle = (from + to) / 2;

		if (view->slots[middle].uid < uid)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

struct view_slot *view_find(const struct view *view, uint32_t uid)
{
	size_t at;

	if (!uid || !view->count)
		return NULL;
	for (at = view->count; at-- > view->known;)
		if (view->slots[at].uid == uid)
			return &view->slots[at];
	at = view_lower_bound(view, uid);
	return at < view->known && view->slots[at].uid == uid ? &view->slots[at] : NULL;
}

uint32_t view_last_uid(const struct view *view)
{
	return view->count ? view->slots[view->count - 1].uid : 0;
}

void view_end(struct view *view)
{
	for (size_t i = 0; i < view->pending_count; i++)
		free(view->pending[i].touched);
	free(view->slots);
	free(view->told_gone);
}

/* ---- commands ---- */

struct view_pending *view_pending(struct view *view, uint32_t tag)
{
	for (size_t i = 0; i < view->pending_count; i++)
		if (view->pending[i].sent->text == tag)
			return &view->pending[i];
	return NULL;
}

/* FETCH, STORE and SEARCH by number leave numbers as they are; their UID forms need not. */
static bool keeps_numbers(const struct trace_command *command)
{
	return !command->uid && (command->verb == VERB_FETCH || command->verb == VERB_STORE ||
					command->verb == VERB_SEARCH);
}

const char *view_forbids_expunge(const struct view *view)
{
	size_t in_progress = 0;

	for (size_t i = 0; i < view->pending_count; i++) {
		if (!view->pending[i].in_progress)
			continue;
		in_progress++;
		if (!keeps_numbers(view->pending[i].command))
			return NULL;
	}
	return in_progress ? trace_verb_name((enum trace_verb)view->pending[0].command->verb)
			   : "no command";
}

static void forget(struct view *view)
{
	view->mailbox = 0;
	view->box = TRACE_NONE;
	view->count = view->unknown = view->known = 0;
	view->exists = view->uidvalidity = view->uidnext = view->max_uid = view->permanent = 0;
	view->modseq = view->shown_modseq = 0;
	view->selecting = view->listed = view->resync = false;
	view->select = NULL;
	view->told_gone_count = 0;
}

/* A resync goes on from what the same client's last session knew when it ended. */
static void begin_resync(
	struct imap_walk *walk, struct view *view, const struct trace_command *command)
{
	uint32_t before = view->session->previous;
	const struct view *old = before == TRACE_NONE ? NULL : &walk->views[before];

	if (!old || old == view || old->open || !old->sure || old->unknown ||
		old->mailbox != view->mailbox || old->uidvalidity != command->known_validity ||
		!old->uidvalidity || command->known_modseq > old->shown_modseq)
		return;
	view->resync = true;
	view->known_validity = command->known_validity;
	view->max_uid = old->max_uid;
	for (size_t i = 0; i < old->count; i++)
		*slot_insert(view, i) = old->slots[i];
	view_learn(view);
}

static void begin_select(struct imap_walk *walk, struct view *view, const struct trace_item *item,
	const struct trace_command *command)
{
	forget(view);
	view->mailbox = command->mailbox;
	view->selecting = true;
	view->sure = view->pending_count <= 1;
	view->read_only = command->verb == VERB_EXAMINE;
	view->select = item;
	if (command->qresync)
		begin_resync(walk, view, command);
}

static void sent(struct imap_walk *walk, struct view *view, const struct trace_item *item)
{
	const struct trace_command *command = walk_command(walk, item);
	struct view_pending *pending = view_pending(view, item->text);

	if (command->verb == VERB_DONE) {
		if (pending)
			pending->done_sent = true;
		return;
	}
	if (pending || view->pending_count == VIEW_PENDING_MAX) {
		unsure(view);
		return;
	}
	pending = &view->pending[view->pending_count++];
	*pending = (struct view_pending){
		.sent = item,
		.command = command,
		.in_progress = command->verb != VERB_APPEND,
		.highest_modseq = view->shown_modseq,
		.removes_in = TRACE_NONE,
	};
	if (command->verb == VERB_SELECT || command->verb == VERB_EXAMINE)
		begin_select(walk, view, item, command);
	truth_sent(walk, view, pending);
}

/* A .SILENT STORE tells its own client nothing: the client knows what it asked for. */
static void store_silently(
	struct imap_walk *walk, struct view *view, const struct view_pending *pending)
{
	const struct trace_command *command = pending->command;
	/* What becomes of other flags is the store's to say. */
	uint32_t flags = command->flags & (view->permanent ? view->permanent : UINT32_MAX);

	for (size_t i = 0; i < pending->in_view; i++) {
		struct view_slot *slot = view_find(view, walk->mails[pending->touched[i]].uid);

		if (!slot || !slot->flags)
			continue;
		if (command->op == '=')
			slot->flags = flags | FLAG_KNOWN;
		else if (command->op == '+')
			slot->flags |= flags;
		else
			slot->flags &= ~flags | FLAG_KNOWN;
	}
}

static void after_select(struct imap_walk *walk, struct view *view, bool ok)
{
	if (!ok || !view->uidvalidity)
		forget(view);
	view->selecting = false;
	if (!view->mailbox)
		return;
	/* What a resync left out is for its law to say; from here on nothing is certain. */
	if (view->resync && view->exists != view->count)
		unsure(view);
	view->changes_seen = walk->boxes[view->box].change_count;
}

static void remove_pending(struct view *view, struct view_pending *pending)
{
	size_t at = (size_t)(pending - view->pending);

	free(pending->touched);
	memmove(pending, pending + 1, (view->pending_count - at - 1) * sizeof(*pending));
	view->pending_count--;
}

static void done(struct imap_walk *walk, struct view *view, const struct trace_item *item)
{
	struct view_pending *pending = view_pending(view, item->text);
	bool ok = item->status == OUTCOME_OK;

	if (!pending)
		return;
	switch (pending->command->verb) {
	case VERB_SELECT:
	case VERB_EXAMINE:
		if (view->select == pending->sent)
			after_select(walk, view, ok);
		break;
	case VERB_STORE:
		if (ok && pending->command->silent && !pending->command->conditional)
			store_silently(walk, view, pending);
		break;
	case VERB_FETCH:
		view->listed = view->listed || (ok && pending->command->lists);
		break;
	default:
		break;
	}
	truth_done(walk, view, pending, item);
	if (ok && (pending->command->verb == VERB_CLOSE || pending->command->verb == VERB_UNSELECT))
		forget(view);
	remove_pending(view, pending);
}

/* ---- what it is told ---- */

static void exists(struct view *view, uint32_t number)
{
	view->exists = number;
	if (number < view->count && !view->resync)
		unsure(view);
	if (number > VIEW_MESSAGES_MAX) {
		unsure(view);
		return;
	}
	while (view->count < number && !(view->resync && view->selecting)) {
		slot_insert(view, view->count);
		view->unknown++;
	}
}

static void expunge(struct imap_walk *walk, struct view *view, const struct trace_item *item)
{
	uint32_t uid;

	if (view->selecting) /* of the mailbox before */
		return;
	if (!item->number || item->number > view->count) {
		unsure(view);
		return;
	}
	uid = view->slots[item->number - 1].uid;
	slot_remove(view, item->number - 1);
	view->exists = (uint32_t)view->count;
	if (uid)
		truth_gone(walk, view, uid, item);
	else
		truth_lost(walk, view);
}

/* In a resync FETCH goes by UID: numbers are those after it (RFC 7162, 3.2.5). */
static struct view_slot *resync_slot(struct view *view, const struct trace_item *item)
{
	struct view_slot *slot = view_find(view, item->uid);

	if (slot || !item->uid || view->count == VIEW_MESSAGES_MAX)
		return slot;
	slot = slot_insert(view, view_lower_bound(view, item->uid));
	slot->uid = item->uid;
	view_learn(view);
	return slot;
}

static struct view_slot *fetched_slot(struct view *view, const struct trace_item *item)
{
	if (view->resync && view->selecting)
		return resync_slot(view, item);
	if (!item->number || item->number > view->count) {
		unsure(view);
		return NULL;
	}
	return &view->slots[item->number - 1];
}

static bool in_order(const struct view *view, const struct view_slot *slot)
{
	const struct view_slot *end = view->slots + view->count;

	return (slot == view->slots || slot[-1].uid < slot->uid) &&
	       (slot + 1 == end || !slot[1].uid || slot[1].uid > slot->uid);
}

static void fetch(struct imap_walk *walk, struct view *view, const struct trace_item *item)
{
	struct view_slot *slot = fetched_slot(view, item);

	if (!slot)
		return;
	if (item->uid && slot->uid != item->uid) {
		if (slot->uid)
			unsure(view);
		view->unknown -= !slot->uid;
		slot->uid = item->uid;
		slot->line = item->line;
		view_learn(view);
		if (!in_order(view, slot))
			unsure(view);
	}
	if (slot->uid > view->max_uid)
		view->max_uid = slot->uid;
	if (item->flags)
		slot->flags = item->flags;
	if (item->modseq)
		slot->modseq = item->modseq;
	if (item->modseq > view->shown_modseq)
		view->shown_modseq = item->modseq;
	if (slot->uid && view->box != TRACE_NONE)
		truth_shown(walk, view, slot, item);
}

/* The store has another UIDVALIDITY: it is a plain SELECT. */
static void forget_resync(struct view *view)
{
	view->resync = false;
	view->count = view->known = 0;
	view->max_uid = 0;
	exists(view, view->exists);
}

static void code(struct imap_walk *walk, struct view *view, const struct trace_item *item)
{
	const char *text = trace_text(walk->trace, item->text);
	uint64_t number;

	if (!strncasecmp(text, "COPYUID ", 8))
		truth_moved(view, item);
	if (!view->mailbox)
		return;
	if (item->flags)
		view->permanent = item->flags;
	number = trace_code_number(text, "UIDVALIDITY");
	if (number && number <= UINT32_MAX) {
		if (view->resync && number != view->known_validity)
			forget_resync(view);
		view->uidvalidity = (uint32_t)number;
		view->box = walk_box(walk, view->session->user, view->mailbox, view->uidvalidity);
	}
	number = trace_code_number(text, "UIDNEXT");
	if (number && number <= UINT32_MAX)
		view->uidnext = (uint32_t)number;
	number = trace_code_number(text, "HIGHESTMODSEQ");
	if (number)
		view->modseq = number;
	if (number > view->shown_modseq)
		view->shown_modseq = number;
}

static void content(struct view *view, const struct trace_item *item)
{
	struct view_pending *pending = view_pending(view, item->text);

	if (!pending)
		return;
	pending->in_progress = true;
	pending->token = item->token;
	pending->sha = item->sha;
	pending->bytes = item->bytes;
}

void view_follow(struct imap_walk *walk, struct view *view, const struct trace_item *item)
{
	switch (item->kind) {
	case TRACE_OPEN:
		view->open = true;
		break;
	case TRACE_SENT:
		sent(walk, view, item);
		break;
	case TRACE_CONTENT:
		content(view, item);
		break;
	case TRACE_EXISTS:
		exists(view, item->number);
		break;
	case TRACE_EXPUNGE:
		expunge(walk, view, item);
		break;
	case TRACE_VANISHED:
		view_vanished(walk, view, item);
		break;
	case TRACE_FETCH:
		fetch(walk, view, item);
		break;
	case TRACE_CODE:
		code(walk, view, item);
		break;
	case TRACE_ENABLED:
		if (strcasestr(trace_text(walk->trace, item->text), "QRESYNC"))
			view->enabled_qresync = true;
		break;
	case TRACE_LOST:
		unsure(view);
		break;
	case TRACE_DONE:
		done(walk, view, item);
		break;
	case TRACE_CLOSED:
		view->open = false;
		break;
	default:
		break;
	}
}

/* What acknowledged commands make certain about the messages of a mailbox. */
#include "api/imap_walk.h"

#include "base/buf.h"

#include <string.h>
#include <strings.h>

#define COPYUID_MAX 4096 /* messages of one COPY or MOVE that are followed */

/* Nobody comes back from being gone: of a mailbox through which much passes only what is there is looked at. */
static void clear_live(const struct imap_walk *walk, struct box *box)
{
	size_t kept = 0;

	for (size_t i = 0; i < box->live_count; i++)
		if (walk->mails[box->live[i]].presence != PRESENCE_GONE)
			box->live[kept++] = box->live[i];
	box->live_count = kept;
}

static void add_change(struct imap_walk *walk, const struct change *change)
{
	struct box *box = &walk->boxes[walk->mails[change->mail].box];

	if (box->change_count == box->change_room) {
		box->change_room = box->change_room ? box->change_room * 2 : 64;
		box->changes = mem_grow(box->changes, box->change_room, sizeof(*box->changes));
	}
	box->changes[box->change_count++] = *change;
}

/* ---- a command begins ---- */

static bool may_be_deleted(const struct mail *mail)
{
	return !(mail_certain(mail, FLAG_DELETED) && !(mail->flags & FLAG_DELETED));
}

enum effect { EFFECT_NONE, EFFECT_FLAGS, EFFECT_REMOVES, EFFECT_REMOVES_DELETED };

static enum effect effect_of(const struct view *view, const struct trace_command *command)
{
	switch (command->verb) {
	case VERB_STORE:
		return EFFECT_FLAGS;
	case VERB_FETCH:
		return command->sets_seen ? EFFECT_FLAGS : EFFECT_NONE;
	case VERB_MOVE:
		return EFFECT_REMOVES;
	case VERB_EXPUNGE:
	case VERB_CLOSE:
		return view->read_only ? EFFECT_NONE : EFFECT_REMOVES_DELETED;
	default:
		return EFFECT_NONE;
	}
}

static void disturb(struct imap_walk *walk, struct mail *mail, enum effect effect,
	const struct trace_command *command)
{
	uint32_t mask = command->verb == VERB_FETCH ? FLAG_SEEN
			: command->op == '='	    ? UINT32_MAX
						    : command->flags;

	if (effect == EFFECT_FLAGS) {
		mail->contested = mail->contested || mail->stores;
		mail->stores++;
		mail->known &= ~mask;
		/* An EXPUNGE under way may find it deleted. */
		if (mask & FLAG_DELETED && walk->boxes[mail->box].removers)
			mail->doubt = mail->destroyed = true;
	} else {
		mail->removals++;
		mail->destroyed = mail->destroyed || effect == EFFECT_REMOVES_DELETED;
	}
}

static void touch(
	struct imap_walk *walk, struct view_pending *pending, uint32_t index, enum effect effect)
{
	struct mail *mail = &walk->mails[index];

	if (effect == EFFECT_REMOVES_DELETED && !may_be_deleted(mail))
		return;
	if (!(pending->touched_count & (pending->touched_count - 1)))
		pending->touched = mem_grow(pending->touched,
			pending->touched_count ? pending->touched_count * 2 : 1, sizeof(uint32_t));
	pending->touched[pending->touched_count++] = index;
	disturb(walk, mail, effect, pending->command);
}

static void touch_unless_shown(struct imap_walk *walk, struct view *view,
	struct view_pending *pending, uint32_t index, enum effect effect)
{
	if (!view->sure || !view_find(view, walk->mails[index].uid))
		touch(walk, pending, index, effect);
}

/* Messages that the session was not shown may be hit by a range all the same. */
static void touch_others(struct imap_walk *walk, struct view *view, struct view_pending *pending,
	const struct uid_set *set, enum effect effect)
{
	struct box *box = &walk->boxes[view->box];

	if (set && uid_set_size(set) <= box->live_count) {
		uint32_t uid;

		for (uint64_t at = 0; uid_set_next(set, at, &uid); at = (uint64_t)uid + 1) {
			const struct mail *mail = walk_mail_find(walk, view->box, uid);

			if (mail && mail->presence != PRESENCE_GONE)
				touch_unless_shown(walk, view, pending,
					(uint32_t)(mail - walk->mails), effect);
		}
		return;
	}
	clear_live(walk, box);
	for (size_t i = 0; i < box->live_count; i++)
		if (!set || uid_set_has(set, walk->mails[box->live[i]].uid))
			touch_unless_shown(walk, view, pending, box->live[i], effect);
}

static void touch_set(
	struct imap_walk *walk, struct view *view, struct view_pending *pending, enum effect effect)
{
	const struct trace_command *command = pending->command;
	const char *text = trace_text(walk->trace, command->set);
	cleanup(uid_set_free) struct uid_set set = {0};
	bool uid = command->uid, all = !command->set;
	bool open;

	if (!view->sure) { /* who knows which it means */
		touch_others(walk, view, pending, NULL, effect);
		return;
	}
	if (!all && uid_set_parse(&set, text, uid ? view_last_uid(view) : (uint32_t)view->count))
		return;
	for (size_t i = all ? 0 : view_set_next(view, &set, uid, 0); i < view->count;
		i = all ? i + 1 : view_set_next(view, &set, uid, i + 1))
		if (view->slots[i].uid)
			touch(walk, pending, walk_mail_index(walk, view->box, view->slots[i].uid),
				effect);
	pending->in_view = pending->touched_count;
	open = all || !uid || view->unknown || strpbrk(text, ":*");
	if (open && (all || !uid || set.open || set.count))
		touch_others(walk, view, pending, uid && !set.open && !all ? &set : NULL, effect);
}

void truth_sent(struct imap_walk *walk, struct view *view, struct view_pending *pending)
{
	const struct trace_command *command = pending->command;
	enum effect effect = effect_of(view, command);

	if (command->verb == VERB_DELETE || command->verb == VERB_RENAME)
		truth_wiped(walk, view->session->user, command->mailbox);
	if (effect == EFFECT_NONE || view->box == TRACE_NONE)
		return;
	if (effect != EFFECT_FLAGS) {
		struct box *box = &walk->boxes[view->box];

		pending->removes_in = view->box;
		box->removers += command->verb != VERB_MOVE;
		box->removing++;
		box->removing_line = pending->sent->line;
	}
	touch_set(walk, view, pending, effect);
}

/* ---- a command ends ---- */

static void settle_store(struct imap_walk *walk, struct view *view, struct view_pending *pending,
	const struct trace_item *done)
{
	const struct trace_command *command = pending->command;
	bool counts = done->status == OUTCOME_OK && command->verb == VERB_STORE && command->op &&
		      !command->conditional && view->sure;
	uint32_t mask = command->op == '=' ? UINT32_MAX : command->flags & ~FLAG_KNOWN;
	uint32_t permanent = view->permanent ? view->permanent : UINT32_MAX;

	for (size_t i = 0; i < pending->touched_count; i++) {
		struct mail *mail = &walk->mails[pending->touched[i]];
		struct change change = {.kind = CHANGE_FLAGS,
			.mail = pending->touched[i],
			.mask = mask & permanent & ~FLAG_KNOWN,
			.flags = command->op == '-' ? 0 : command->flags & permanent,
			.session = (uint32_t)(view - walk->views),
			.sent = pending->sent,
			.done = done};

		mail->stores--;
		if (counts && i < pending->in_view && !mail->contested && !mail->stores) {
			mail->known |= change.mask;
			mail->flags = (mail->flags & ~change.mask) | (change.flags & change.mask);
			mail->stored = done;
			add_change(walk, &change);
		}
		if (!mail->stores)
			mail->contested = false;
	}
}

static void settle_removal(
	struct imap_walk *walk, struct view_pending *pending, const struct trace_item *done)
{
	bool ok = done->status == OUTCOME_OK;

	for (size_t i = 0; i < pending->touched_count; i++) {
		struct mail *mail = &walk->mails[pending->touched[i]];
		/* A STORE that ended meanwhile may have come after the CLOSE did its work. */
		bool deleted = mail_certain(mail, FLAG_DELETED) && mail->flags & FLAG_DELETED &&
			       mail->stored && mail->stored->line < pending->sent->line;

		mail->removals--;
		if (pending->command->verb == VERB_CLOSE && ok && i < pending->in_view && deleted)
			mail->closed = done;
		/* What a CLOSE, a refused command, or one on messages not shown did is not told. */
		if (!ok || pending->command->verb == VERB_CLOSE || i >= pending->in_view)
			mail->doubt = true;
	}
}

/* What another session removed while it was being added may have been it. */
static void doubt_added(struct mail *mail, const struct box *box, uint32_t sent_line)
{
	if (box->removing || box->removing_line > sent_line)
		mail->doubt = mail->destroyed = true;
}

/* Of "7 12" or "7 3:5 12:14": the UIDVALIDITY; the rest is behind it. */
static uint32_t code_validity(const char **at)
{
	char *end;
	unsigned long number = strtoul(*at, &end, 10);

	*at = end + strspn(end, " ");
	return number <= UINT32_MAX ? (uint32_t)number : 0;
}

static void appended(struct imap_walk *walk, struct view *view, struct view_pending *pending,
	const struct trace_item *done)
{
	const char *code = trace_text(walk->trace, done->code);
	uint32_t validity, uid, box, index;
	size_t before = walk->mail_count;
	struct mail *mail;

	if (strncasecmp(code, "APPENDUID ", 10) != 0)
		return;
	code += 10;
	validity = code_validity(&code);
	uid = (uint32_t)strtoul(code, NULL, 10);
	if (!validity || !uid)
		return;
	box = walk_box(walk, view->session->user, pending->command->mailbox, validity);
	index = walk_mail_index(walk, box, uid);
	mail = &walk->mails[index];
	if (mail->presence == PRESENCE_UNKNOWN)
		mail->presence = PRESENCE_HERE;
	mail->added = done;
	if (!mail->content_line)
		mail->token = pending->token;
	if (index == before)
		doubt_added(mail, &walk->boxes[box], pending->sent->line);
	if (index == before && pending->command->flags) { /* nobody was shown it before */
		mail->known = FLAG_SYSTEM;
		mail->flags = pending->command->flags & FLAG_SYSTEM;
		mail->stored = done;
	}
	add_change(walk, &(struct change){.kind = CHANGE_ADDED,
				 .mail = index,
				 .session = (uint32_t)(view - walk->views),
				 .sent = pending->sent,
				 .done = done});
}

/* COPYUID pairs messages of the selected mailbox with those of the other (RFC 4315, 3). */
static void copied(struct imap_walk *walk, struct view *view, struct view_pending *pending,
	const struct trace_item *done, const char *code)
{
	auto_free uint32_t *from = mem_zero(2 * (size_t)COPYUID_MAX, sizeof(*from));
	uint32_t *to = from + COPYUID_MAX, validity, box;
	const char *at = code + 8;
	auto_free char *list = NULL;
	int froms, tos;

	validity = code_validity(&at);
	list = text_dup_n(at, strcspn(at, " "));
	froms = uid_list_parse(list, from, COPYUID_MAX);
	at += strlen(list);
	at += strspn(at, " ");
	tos = uid_list_parse(at, to, COPYUID_MAX);
	if (!validity || froms <= 0 || froms != tos || view->box == TRACE_NONE)
		return;
	box = walk_box(walk, view->session->user, pending->command->mailbox, validity);
	for (int i = 0; i < froms; i++) {
		size_t before = walk->mail_count;
		uint32_t index = walk_mail_index(walk, box, to[i]);
		struct mail *mail = &walk->mails[index];
		const struct mail *source = walk_mail_find(walk, view->box, from[i]);

		if (index == before)
			doubt_added(mail, &walk->boxes[box], pending->sent->line);
		if (mail->presence == PRESENCE_UNKNOWN)
			mail->presence = PRESENCE_HERE;
		mail->added = done;
		if (source && !mail->sha && !mail->content_line) {
			mail->token = source->token;
			mail->sha = source->sha;
			mail->bytes = source->bytes;
			mail->content_line = source->content_line;
		}
		add_change(walk, &(struct change){.kind = CHANGE_ADDED,
					 .mail = index,
					 .session = (uint32_t)(view - walk->views),
					 .sent = pending->sent,
					 .done = done});
	}
}

void truth_moved(struct view *view, const struct trace_item *item)
{
	for (size_t i = 0; i < view->pending_count; i++)
		if (view->pending[i].command->verb == VERB_MOVE) {
			view->pending[i].moved = item->text;
			return;
		}
}

/* What was told gone meanwhile is acknowledged now. */
static void acknowledge_gone(struct imap_walk *walk, struct view *view,
	const struct view_pending *pending, const struct trace_item *done)
{
	if (done->status != OUTCOME_OK)
		return;
	for (size_t i = 0; i < view->told_gone_count; i++) {
		struct mail *mail = &walk->mails[view->told_gone[i]];

		if (mail->removed)
			continue;
		mail->removed = done;
		add_change(walk, &(struct change){.kind = CHANGE_REMOVED,
					 .mail = view->told_gone[i],
					 .session = (uint32_t)(view - walk->views),
					 .sent = pending->sent,
					 .done = done});
	}
	view->told_gone_count = 0;
}

void truth_done(struct imap_walk *walk, struct view *view, struct view_pending *pending,
	const struct trace_item *done)
{
	const char *code = trace_text(walk->trace, pending->moved ? pending->moved : done->code);

	switch (effect_of(view, pending->command)) {
	case EFFECT_NONE:
		break;
	case EFFECT_FLAGS:
		settle_store(walk, view, pending, done);
		break;
	default:
		settle_removal(walk, pending, done);
		break;
	}
	if (pending->removes_in != TRACE_NONE) {
		struct box *box = &walk->boxes[pending->removes_in];

		box->removers -= pending->command->verb != VERB_MOVE;
		box->removing--;
		box->removing_line = done->line;
	}
	if (done->status == OUTCOME_OK && pending->command->verb == VERB_APPEND)
		appended(walk, view, pending, done);
	if (done->status == OUTCOME_OK && !strncasecmp(code, "COPYUID ", 8))
		copied(walk, view, pending, done, code);
	acknowledge_gone(walk, view, pending, done);
}

/* ---- what sessions are shown ---- */

void truth_gone(
	struct imap_walk *walk, struct view *view, uint32_t uid, const struct trace_item *item)
{
	uint32_t index;
	struct mail *mail;

	if (view->box == TRACE_NONE)
		return;
	index = walk_mail_index(walk, view->box, uid);
	mail = &walk->mails[index];
	mail->presence = PRESENCE_GONE;
	if (!mail->told_gone)
		mail->told_gone = item;
	if (mail->removed || !view->sure)
		return;
	if (view->told_gone_count == view->told_gone_room) {
		view->told_gone_room = view->told_gone_room ? view->told_gone_room * 2 : 16;
		view->told_gone =
			mem_grow(view->told_gone, view->told_gone_room, sizeof(*view->told_gone));
	}
	view->told_gone[view->told_gone_count++] = index;
}

void truth_lost(struct imap_walk *walk, const struct view *view)
{
	struct box *box;

	if (view->box == TRACE_NONE)
		return;
	box = &walk->boxes[view->box];
	clear_live(walk, box);
	for (size_t i = 0; i < box->live_count; i++) {
		struct mail *mail = &walk->mails[box->live[i]];

		if (!mail->doubt && !view_find(view, mail->uid))
			mail->doubt = true;
	}
}

void truth_shown(struct imap_walk *walk, struct view *view, const struct view_slot *slot,
	const struct trace_item *item)
{
	struct mail *mail = walk_mail(walk, view->box, slot->uid);

	if (mail->presence == PRESENCE_UNKNOWN)
		mail->presence = PRESENCE_HERE;
	if (!item->body || item->partial || mail->content_line)
		return;
	mail->token = item->token;
	mail->sha = item->sha;
	mail->bytes = item->bytes;
	mail->content_line = item->line;
}

void truth_wiped(struct imap_walk *walk, uint32_t user, uint32_t mailbox)
{
	for (size_t i = 0; i < walk->box_count; i++) {
		const struct box *box = &walk->boxes[i];

		if ((user && box->user != user) || (mailbox && box->mailbox != mailbox))
			continue;
		for (size_t j = 0; j < box->mail_count; j++) {
			walk->mails[box->mails[j]].doubt = true;
			walk->mails[box->mails[j]].flag_doubt = true;
			walk->mails[box->mails[j]].destroyed = true;
		}
	}
}

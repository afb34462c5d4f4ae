#include "api/imap_walk.h"

#include "base/buf.h"

#include <stdio.h>
#include <string.h>

void imap_walk_begin(struct imap_walk *walk, const struct history *history)
{
	*walk = (struct imap_walk){
		.trace = history->trace, .stop_line = history->trace->powerless_line};
	walk->views = mem_zero(walk->trace->session_count, sizeof(*walk->views));
	for (size_t i = 0; i < walk->trace->session_count; i++) {
		walk->views[i].session = &walk->trace->sessions[i];
		walk->views[i].box = TRACE_NONE;
	}
}

void imap_walk_end(struct imap_walk *walk)
{
	for (size_t i = 0; walk->views && i < walk->trace->session_count; i++)
		view_end(&walk->views[i]);
	free(walk->views);
	truth_free(walk);
	*walk = (struct imap_walk){0};
}

struct view *walk_view(struct imap_walk *walk, const struct trace_item *item)
{
	return item->session == TRACE_NONE ? NULL : &walk->views[item->session];
}

const struct trace_command *walk_command(
	const struct imap_walk *walk, const struct trace_item *item)
{
	return &walk->trace->commands[item->command];
}

/* The UIDs in front of the first that is not known stand in order. */
static size_t next_by_uid(const struct view *view, const struct uid_set *set, size_t at)
{
	uint32_t uid;

	while (at < view->known) {
		size_t wanted;

		if (!uid_set_next(set, view->slots[at].uid, &uid))
			break;
		if (uid == view->slots[at].uid)
			return at;
		wanted = view_lower_bound(view, uid);
		at = wanted > at ? wanted
				 : at + 1; /* out of order: the store is not to be trusted */
	}
	for (at = at > view->known ? at : view->known; at < view->count; at++)
		if (uid_set_has(set, view->slots[at].uid))
			break;
	return at;
}

size_t view_set_next(const struct view *view, const struct uid_set *set, bool uid, size_t at)
{
	uint32_t number;

	if (uid)
		return next_by_uid(view, set, at);
	if (!uid_set_next(set, (uint64_t)at + 1, &number) || number > view->count)
		return view->count;
	return number - 1;
}

static void follow(struct imap_walk *walk, const struct trace_item *item)
{
	struct view *view = walk_view(walk, item);

	if (!view)
		return;
	view_follow(walk, view, item);
	view->last = item;
}

const struct trace_item *imap_walk_next(struct imap_walk *walk)
{
	if (walk->at && walk->at <= walk->trace->count)
		follow(walk, &walk->trace->items[walk->at - 1]);
	if (walk->at >= walk->trace->count) {
		walk->at = walk->trace->count + 1; /* the last one is followed once */
		return NULL;
	}
	if (walk->stop_line && walk->trace->items[walk->at].line > walk->stop_line) {
		walk->at = walk->trace->count + 1;
		return NULL;
	}
	return &walk->trace->items[walk->at++];
}

/* ---- a view against the truth ---- */

const char *contradiction_name(enum contradiction contradiction)
{
	static const char *const names[] = {"agrees", "missing", "lingering", "stale"};

	return names[contradiction];
}

enum contradiction view_contradicts(
	const struct view *view, const struct mail *mail, uint32_t before)
{
	const struct view_slot *slot = view_find(view, mail->uid);
	uint32_t certain;

	if (mail->removed && mail->removed->line < before)
		return slot ? LINGERING : AGREES;
	if (!mail_is_here(mail))
		return AGREES;
	if (!slot)
		return mail->added && mail->added->line < before && !view->unknown ? MISSING
										   : AGREES;
	if (!slot->flags || !mail->stored || mail->stored->line >= before)
		return AGREES;
	certain = mail_certain(mail, ~(uint32_t)FLAG_KNOWN);
	return (slot->flags ^ mail->flags) & certain ? STALE : AGREES;
}

const char *contradiction_text(const struct imap_walk *walk, const struct view *view,
	const struct mail *mail, enum contradiction contradiction, char *out, size_t size)
{
	const struct view_slot *slot = view_find(view, mail->uid);
	char stored[128], shown[128];

	if (contradiction == MISSING) {
		snprintf(out, size, "UID %u, acknowledged, is missing", mail->uid);
	} else if (contradiction == LINGERING) {
		snprintf(out, size, "UID %u, expunged, is still there", mail->uid);
	} else {
		snprintf(out, size, "UID %u has the flags %s, and %s were stored", mail->uid,
			trace_flag_words(walk->trace, slot ? slot->flags & mail->known : 0, shown,
				sizeof(shown)),
			trace_flag_words(
				walk->trace, mail->flags & mail->known, stored, sizeof(stored)));
	}
	return out;
}

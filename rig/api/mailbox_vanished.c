/* What becomes of a session's view when messages vanish (RFC 7162, 3.2.10). */
#include "api/imap_walk.h"

/* How many of the `run` slots between the UIDs `after` and `end`, whose own were not shown, the set names. The last of
 * them go: those that stay have the lower floors. */
static size_t vanish_unshown(struct imap_walk *walk, struct view *view, const struct uid_set *set,
	uint32_t after, uint64_t end, size_t run, const struct trace_item *item)
{
	uint64_t from = (uint64_t)after + 1;
	uint32_t uid;
	size_t gone = 0;

	while (uid_set_next(set, from, &uid) && uid < end) {
		if (gone == run || walk->unseen == WALK_UNSEEN_MAX) {
			view->sure = false; /* it was shown neither UID nor number */
			break;
		}
		walk->unseen++;
		truth_gone(walk, view, uid, item);
		gone++;
		from = (uint64_t)uid + 1;
	}
	return gone;
}

static void vanish(struct imap_walk *walk, struct view *view, const struct uid_set *set,
	const struct trace_item *item)
{
	size_t kept = 0, run = 0; /* `run`: slots without UID since the last with one */
	uint32_t after = 0;

	for (size_t i = 0; i <= view->count; i++) {
		uint32_t uid = i < view->count ? view->slots[i].uid : 0;

		if (i < view->count && !uid) {
			view->slots[kept++] = view->slots[i];
			run++;
			continue;
		}
		if (!item->earlier) {
			size_t gone = vanish_unshown(
				walk, view, set, after, uid ? uid : UINT64_MAX, run, item);

			kept -= gone;
			view->unknown -= gone;
		}
		run = 0;
		after = uid;
		if (uid && uid_set_has(set, uid))
			truth_gone(walk, view, uid, item);
		else if (uid)
			view->slots[kept++] = view->slots[i];
	}
	view->count = kept;
	view->known = 0;
	view_learn(view);
}

void view_vanished(struct imap_walk *walk, struct view *view, const struct trace_item *item)
{
	cleanup(uid_set_free) struct uid_set set = {0};

	if (uid_set_parse(&set, trace_text(walk->trace, item->text), 0) ||
		(item->earlier && view->unknown)) {
		view->sure = false;
		return;
	}
	vanish(walk, view, &set, item);
	if (!view->selecting)
		view->exists = (uint32_t)view->count;
}

#include "run/cell/imap_shadow.h"

#include "api/uid_set.h"

#include <string.h>

void imap_shadow_free(struct imap_shadow *shadow)
{
	free(shadow->uids);
	*shadow = (struct imap_shadow){0};
}

static void drop(struct imap_shadow *shadow, size_t at)
{
	shadow->count--;
	memmove(&shadow->uids[at], &shadow->uids[at + 1],
		(shadow->count - at) * sizeof(*shadow->uids));
}

static void grow(struct imap_shadow *shadow, uint32_t count)
{
	if (count <= shadow->count || count > SHADOW_MAX)
		return;
	shadow->uids = mem_grow(shadow->uids, count, sizeof(*shadow->uids));
	memset(&shadow->uids[shadow->count], 0, (count - shadow->count) * sizeof(*shadow->uids));
	shadow->count = count;
}

/* Messages whose UID was not told stand between their neighbours' UIDs. */
static void vanish(struct imap_shadow *shadow, const char *text)
{
	cleanup(uid_set_free) struct uid_set set = {0};
	size_t kept = 0, run = 0; /* `run`: not told, since the last that was */
	uint64_t from = 1;

	if (!text || uid_set_parse(&set, text, 0))
		return;
	for (size_t i = 0; i <= shadow->count; i++) {
		uint32_t uid = i < shadow->count ? shadow->uids[i] : 0, gone;

		if (i < shadow->count && !uid) {
			shadow->uids[kept++] = 0;
			run++;
			continue;
		}
		for (; run && uid_set_next(&set, from, &gone) && (!uid || gone < uid); run--) {
			from = (uint64_t)gone + 1;
			kept--;
		}
		run = 0;
		from = (uint64_t)uid + 1;
		if (uid && !uid_set_has(&set, uid))
			shadow->uids[kept++] = uid;
	}
	shadow->count = kept;
}

void imap_shadow_follow(struct imap_shadow *shadow, const struct imap_reply *reply)
{
	for (size_t i = 0; i < reply->count; i++) {
		const struct imap_event *event = &reply->events[i];
		bool is_there = event->number && event->number <= shadow->count;

		if (event->kind == IMAP_EXISTS)
			grow(shadow, event->number);
		else if (event->kind == IMAP_EXPUNGE && is_there)
			drop(shadow, event->number - 1);
		else if (event->kind == IMAP_VANISHED && !event->earlier)
			vanish(shadow, event->set);
		else if (event->kind == IMAP_FETCH && event->uid && is_there)
			shadow->uids[event->number - 1] = event->uid;
	}
}

bool imap_shadow_gap(const struct imap_shadow *shadow, size_t *ret_from, size_t *ret_to)
{
	size_t from = 0, to = shadow->count;

	while (from < to && shadow->uids[from])
		from++;
	while (to > from && shadow->uids[to - 1])
		to--;
	*ret_from = from + 1;
	*ret_to = to;
	return from < to;
}

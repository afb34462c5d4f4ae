/* The mailboxes that a walk met, and their messages. */
#include "api/imap_walk.h"

#include "base/buf.h"

/* (user, mailbox) as one number; (that, UIDVALIDITY) is the key of a box. */
static uint32_t name_index(struct imap_walk *walk, uint32_t user, uint32_t mailbox)
{
	uint64_t key = (uint64_t)user << 32 | mailbox;
	uint32_t index = key_map_put(&walk->box_names, key, (uint32_t)walk->name_count);

	walk->name_count += index == walk->name_count;
	return index;
}

uint32_t walk_box(struct imap_walk *walk, uint32_t user, uint32_t mailbox, uint32_t uidvalidity)
{
	uint64_t key = (uint64_t)name_index(walk, user, mailbox) << 32 | uidvalidity;
	uint32_t index = key_map_put(&walk->box_keys, key, (uint32_t)walk->box_count);

	if (index < walk->box_count)
		return index;
	if (walk->box_count == walk->box_room) {
		walk->box_room = walk->box_room ? walk->box_room * 2 : 16;
		walk->boxes = mem_grow(walk->boxes, walk->box_room, sizeof(*walk->boxes));
	}
	walk->boxes[walk->box_count++] =
		(struct box){.user = user, .mailbox = mailbox, .uidvalidity = uidvalidity};
	return index;
}

struct mail *walk_mail_find(const struct imap_walk *walk, uint32_t box, uint32_t uid)
{
	uint32_t index = key_map_get(&walk->mail_keys, (uint64_t)box << 32 | uid);

	return index == UINT32_MAX ? NULL : &walk->mails[index];
}

/* When the rig removes mail by other means it says so only afterwards. */
static bool is_wiped(const struct imap_walk *walk, uint32_t user)
{
	return key_map_get(&walk->trace->wiped, user) != UINT32_MAX ||
	       key_map_get(&walk->trace->wiped, 0) != UINT32_MAX;
}

uint32_t walk_mail_index(struct imap_walk *walk, uint32_t box, uint32_t uid)
{
	uint64_t key = (uint64_t)box << 32 | uid;
	uint32_t index = key_map_put(&walk->mail_keys, key, (uint32_t)walk->mail_count);
	struct box *owner = &walk->boxes[box];
	bool wiped;

	if (index < walk->mail_count)
		return index;
	if (walk->mail_count == walk->mail_room) {
		walk->mail_room = walk->mail_room ? walk->mail_room * 2 : 256;
		walk->mails = mem_grow(walk->mails, walk->mail_room, sizeof(*walk->mails));
	}
	wiped = is_wiped(walk, owner->user);
	walk->mails[walk->mail_count++] =
		(struct mail){.uid = uid, .box = box, .doubt = wiped, .destroyed = wiped};
	if (owner->mail_count == owner->mail_room) {
		owner->mail_room = owner->mail_room ? owner->mail_room * 2 : 64;
		owner->mails = mem_grow(owner->mails, owner->mail_room, sizeof(*owner->mails));
		owner->live = mem_grow(owner->live, owner->mail_room, sizeof(*owner->live));
	}
	owner->mails[owner->mail_count++] = index;
	owner->live[owner->live_count++] = index;
	return index;
}

struct mail *walk_mail(struct imap_walk *walk, uint32_t box, uint32_t uid)
{
	uint32_t index = walk_mail_index(walk, box, uid); /* may move the array */

	return &walk->mails[index];
}

void truth_free(struct imap_walk *walk)
{
	for (size_t i = 0; i < walk->box_count; i++) {
		free(walk->boxes[i].mails);
		free(walk->boxes[i].live);
		free(walk->boxes[i].changes);
	}
	free(walk->boxes);
	free(walk->mails);
	key_map_free(&walk->box_names);
	key_map_free(&walk->box_keys);
	key_map_free(&walk->mail_keys);
}

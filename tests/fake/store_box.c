#include "tests/fake/store_private.h"

#include <string.h>
#include <strings.h>

bool fake_is_user(const struct fake *fake, const char *user, size_t len)
{
	for (const char *const *at = fake->opts.users; *at; at++)
		if (strlen(*at) == len && !memcmp(*at, user, len))
			return true;
	return false;
}

char *fake_user_of(const struct fake *fake, const char *address)
{
	size_t len = strcspn(address, "@");

	return fake_is_user(fake, address, len) ? text_dup_n(address, len) : NULL;
}

struct fake_box *fake_box_find(struct fake *fake, const char *user, const char *name)
{
	bool inbox = !strcasecmp(name, "INBOX");

	for (size_t i = 0; i < fake->box_count; i++) {
		struct fake_box *box = fake->boxes[i];

		if (!strcmp(box->user, user) &&
			(inbox ? !strcasecmp(box->name, name) : !strcmp(box->name, name)))
			return box;
	}
	return NULL;
}

struct fake_box *fake_box_make(struct fake *fake, const char *user, const char *name)
{
	struct fake_box *box = mem_zero(1, sizeof(*box));

	box->user = text_dup(user);
	box->name = text_dup(name);
	box->uidvalidity = 1000 + (uint32_t)fake->box_count;
	box->uidnext = 1;
	fake->boxes = mem_grow(fake->boxes, fake->box_count + 1, sizeof(*fake->boxes));
	fake->boxes[fake->box_count++] = box;
	return box;
}

uint32_t fake_box_add(struct fake_box *box, const char *bytes, size_t len, unsigned int flags)
{
	struct fake_mail *mail = mem_zero(1, sizeof(*mail));

	mail->uid = box->uidnext++;
	mail->flags = flags;
	mail->modseq = ++box->modseq;
	buf_add(&mail->text, bytes, len);
	box->mails = mem_grow(box->mails, box->count + 1, sizeof(*box->mails));
	box->mails[box->count++] = mail;
	return mail->uid;
}

struct fake_mail *fake_box_mail(struct fake_box *box, uint32_t uid)
{
	for (size_t i = 0; i < box->count; i++)
		if (box->mails[i]->uid == uid)
			return box->mails[i];
	return NULL;
}

static void mail_free(struct fake_mail *mail)
{
	buf_free(&mail->text);
	free(mail);
}

void fake_box_drop(struct fake_box *box, uint32_t uid)
{
	for (size_t i = 0; i < box->count; i++) {
		if (box->mails[i]->uid != uid)
			continue;
		mail_free(box->mails[i]);
		box->gone = mem_grow(box->gone, box->gone_count + 1, sizeof(*box->gone));
		box->gone[box->gone_count++] = (struct fake_gone){uid, ++box->modseq};
		memmove(&box->mails[i], &box->mails[i + 1],
			(box->count - i - 1) * sizeof(*box->mails));
		box->count--;
		return;
	}
}

void fake_box_free(struct fake_box *box)
{
	for (size_t i = 0; i < box->count; i++)
		mail_free(box->mails[i]);
	free(box->mails);
	free(box->gone);
	free(box->user);
	free(box->name);
	free(box);
}

static const char *other_user(const struct fake *fake, const char *user)
{
	for (const char *const *at = fake->opts.users; *at; at++)
		if (strcmp(*at, user) != 0)
			return *at;
	return user;
}

/* Is this user's mailbox the broken one, or does a bug make it so? */
static bool is_broken(struct fake *fake, const char *user)
{
	bool broken;

	pthread_mutex_lock(&fake->lock);
	broken = !strcmp(fake->broken, user) ||
		 (fake->broken[0] && fake_fires_locked(fake, FAKE_SPREADS, true));
	pthread_mutex_unlock(&fake->lock);
	return broken;
}

int fake_deliver(struct fake *fake, const char *user, const char *bytes, size_t len)
{
	struct buf text auto_buf = {0};
	bool hurt = false, corrupt, mixed, litters;
	int rc = fake_write_gate(fake, &hurt);
	struct fake_box *box;
	uint32_t uid;

	if (rc)
		return rc;
	litters = fake_fires(fake, FAKE_LITTER, hurt);
	if (litters)
		fake_die(fake, "/usr/lib/fake/deliver");
	if (fake->opts.on_log)
		fake->opts.on_log(fake->opts.arg,
			fake_fires(fake, FAKE_ALARMS, hurt) ? "panic: planted" : "info: delivered");
	if (is_broken(fake, user) || fake_sync_fails(fake))
		return 451;
	if (fake_fires(fake, FAKE_LIES, hurt))
		return 250;
	corrupt = fake_fires(fake, FAKE_CORRUPTS, hurt);
	mixed = fake_fires(fake, FAKE_MIXES_USERS, hurt);
	buf_addf(&text, "Delivered-To: %s\r\nReceived: by fake.store\r\n", user);
	buf_add(&text, bytes, len);
	if (corrupt && text.len > 3)
		text.data[text.len - 3] ^= 1;
	pthread_mutex_lock(&fake->lock);
	box = fake_box_find(fake, mixed ? other_user(fake, user) : user, "INBOX");
	uid = fake_box_add(box, text.data, text.len, 0);
	fake_box_mail(box, uid)->partial = fake_fires_locked(fake, FAKE_PARTIAL_FILE, hurt);
	box->litter |= litters;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
	return fake_fires(fake, FAKE_KEEPS_DEFERRED, hurt) ? 451 : 250;
}

void fake_boxes_restart(struct fake *fake)
{
	bool lowers;

	pthread_mutex_lock(&fake->lock);
	lowers = fake->starts++ && fake_fires_locked(fake, FAKE_LOWERS_VALID, false);
	for (size_t i = 0; i < fake->box_count && lowers; i++)
		fake->boxes[i]->uidvalidity -= 500;
	pthread_mutex_unlock(&fake->lock);
}

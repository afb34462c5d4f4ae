/* The mailboxes as the files of Maildirs, with what a planted bug makes of them. */
#include "tests/fake/store_private.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

struct teller {
	void (*each)(void *arg, const char *path, const char *bytes, size_t len);
	void *arg;
};

static void tell(const struct teller *teller, const struct fake_box *box, const char *where,
	uint32_t number, const char *info, const struct buf *text, size_t len)
{
	bool inbox = !strcasecmp(box->name, "INBOX");
	auto_free char *path = text_fmt("/srv/mail/%s/Maildir%s%s/%s/%" PRIu32 ".fake%s", box->user,
		inbox ? "" : "/.", inbox ? "" : box->name, where, number, info);

	teller->each(teller->arg, path, buf_text(text), len);
}

static void tell_mail(const struct teller *teller, const struct fake_box *box, size_t i)
{
	const struct fake_mail *mail = box->mails[i];
	bool seen = mail->flags & FLAG_SEEN;
	/* A name of its own, unless a bug gives it the one of the message before it. */
	uint32_t number = mail->renamed && i ? box->mails[i - 1]->uid : mail->uid;
	size_t len = mail->partial ? mail->text.len / 2 : mail->text.len;

	if (mail->hidden)
		return;
	tell(teller, box, seen ? "cur" : "new", number, seen ? ":2,S" : "", &mail->text, len);
	if (mail->doubled)
		tell(teller, box, "cur", number, ":2,", &mail->text, len);
}

void fake_files(struct fake *fake,
	void (*each)(void *arg, const char *path, const char *bytes, size_t len), void *arg)
{
	struct teller teller = {each, arg};
	struct buf half auto_buf = {0};

	buf_add_str(&half, "Delivered-To: u1\r\nX-Mail");
	pthread_mutex_lock(&fake->lock);
	for (size_t i = 0; i < fake->box_count; i++) {
		const struct fake_box *box = fake->boxes[i];

		for (size_t k = 0; k < box->count; k++)
			tell_mail(&teller, box, k);
		if (box->litter)
			tell(&teller, box, "new", 999999, "", &half, half.len);
	}
	pthread_mutex_unlock(&fake->lock);
}

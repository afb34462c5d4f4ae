#include "mail/imap.h"

#include <string.h>
#include <strings.h>

#define BATCH 50 /* messages of one FETCH: each has the whole reply time */

void imap_copies_free(struct imap_copies *copies)
{
	if (!copies)
		return;
	for (size_t i = 0; i < copies->count; i++) {
		free(copies->copies[i].mailbox);
		free(copies->copies[i].flags);
	}
	for (size_t i = 0; i < copies->mailboxes; i++)
		free(copies->boxes[i].name);
	free(copies->copies);
	free(copies->boxes);
	*copies = (struct imap_copies){0};
}

/* Why a command of the read-back did not end with OK. */
static int not_ok(const struct imap *imap, const struct imap_reply *reply, struct err *err)
{
	int code = imap->failure_rc ? imap->failure_rc : -EPROTO;

	return err_set(err, code, "%s: %s", reply->command,
		reply->failure[0] ? reply->failure : reply->text);
}

static int add_copy(struct imap_copies *copies, const struct imap *imap, const char *mailbox,
	const struct imap_event *event, struct err *err)
{
	struct imap_copy *copy;

	if (copies->count == IMAP_COPIES_MAX)
		return err_set(err, -E2BIG, "more than %d messages", IMAP_COPIES_MAX);
	if (!(copies->count & (copies->count - 1)))
		copies->copies = mem_grow(
			copies->copies, copies->count ? copies->count * 2 : 1, sizeof(*copy));
	copy = &copies->copies[copies->count++];
	*copy = (struct imap_copy){
		.mailbox = text_dup(mailbox),
		.uidvalidity = imap->uidvalidity,
		.uid = event->uid,
		.flags = text_dup(event->flags),
		.seen = *event->body,
	};
	return 0;
}

static int read_batch(struct imap *imap, struct imap_copies *copies, const char *mailbox,
	uint32_t first, uint32_t last, struct err *err)
{
	struct imap_reply reply auto_imap_reply = {0};
	int rc = 0;

	if (imap_command(imap, &reply, "UID FETCH %u:%u (UID FLAGS BODY.PEEK[])", first, last) !=
		MAIL_OK)
		return not_ok(imap, &reply, err);
	for (size_t i = 0; i < reply.count && !rc; i++) {
		const struct imap_event *event = &reply.events[i];

		if (event->kind == IMAP_FETCH && event->uid && event->body)
			rc = add_copy(copies, imap, mailbox, event, err);
	}
	return rc;
}

static int read_mailbox(
	struct imap *imap, struct imap_copies *copies, const char *mailbox, struct err *err)
{
	struct imap_reply reply auto_imap_reply = {0};
	uint32_t first = 0, last = 0, in_batch = 0;
	int rc = 0;

	if (imap_select(imap, mailbox, true, &reply) != MAIL_OK)
		return not_ok(imap, &reply, err);
	copies->boxes = mem_grow(copies->boxes, copies->mailboxes + 1, sizeof(*copies->boxes));
	copies->boxes[copies->mailboxes++] = (struct imap_box){
		.name = text_dup(mailbox),
		.uidvalidity = imap->uidvalidity,
		.uidnext = imap->uidnext,
		.messages = imap->exists,
		.highestmodseq = imap->highestmodseq,
	};
	if (!imap->exists)
		return 0;
	if (imap_send(imap, &reply, "UID FETCH 1:* (UID)") != MAIL_OK)
		return not_ok(imap, &reply, err);
	for (size_t i = 0; i < reply.count && !rc; i++) {
		const struct imap_event *event = &reply.events[i];

		if (event->kind != IMAP_FETCH || event->uid <= last)
			continue;
		if (!in_batch)
			first = event->uid;
		last = event->uid;
		if (++in_batch == BATCH) {
			rc = read_batch(imap, copies, mailbox, first, last, err);
			in_batch = 0;
		}
	}
	if (!rc && in_batch)
		rc = read_batch(imap, copies, mailbox, first, last, err);
	return rc;
}

static bool selectable(const struct imap_event *event)
{
	return event->kind == IMAP_LIST && event->name && event->name[0] &&
	       !(event->flags && (strcasestr(event->flags, "\\Noselect") ||
					 strcasestr(event->flags, "\\NonExistent")));
}

int imap_read_back(struct imap *imap, struct imap_copies *copies, struct err *err)
{
	struct imap_reply list auto_imap_reply = {0};
	size_t names = 0;
	int rc = 0;

	*copies = (struct imap_copies){0};
	if (imap_send(imap, &list, "LIST \"\" \"*\"") != MAIL_OK)
		return not_ok(imap, &list, err);
	for (size_t i = 0; i < list.count && !rc; i++) {
		if (!selectable(&list.events[i]))
			continue;
		if (++names > IMAP_MAILBOXES_MAX)
			return err_set(err, -E2BIG, "more than %d mailboxes", IMAP_MAILBOXES_MAX);
		rc = read_mailbox(imap, copies, list.events[i].name, err);
		if (rc)
			err_wrap(err, rc, "mailbox '%s'", list.events[i].name);
	}
	return rc;
}

int imap_read_back_user(int fd, const struct mail_opts *opts, const char *user,
	const char *password, struct imap_copies *copies, struct err *err)
{
	struct imap_reply reply auto_imap_reply = {0};
	struct imap imap;
	int rc;

	*copies = (struct imap_copies){0};
	imap_open(&imap, fd, opts);
	if (imap_greet(&imap, &reply) != MAIL_OK ||
		imap_login(&imap, user, password, &reply) != MAIL_OK)
		rc = not_ok(&imap, &reply, err);
	else
		rc = imap_read_back(&imap, copies, err);
	if (!rc)
		imap_logout(&imap, &reply);
	imap_close(&imap);
	return rc ? err_wrap(err, rc, "cannot read back user '%s'", user) : 0;
}

/* Commands of the IMAP client that are more than a line and its reply: APPEND, IDLE, pipelines. */
#include "mail/imap_private.h"

#include <assert.h>
#include <string.h>

/* Ask to append; TOLD_PLUS when the store wants the content, of which the watch is told then. */
static int append_begin(struct imap *imap, const char *mailbox, const char *flags,
	const struct message *message, struct imap_reply *reply)
{
	struct buf text auto_buf = {0};
	int told;

	buf_add_str(&text, "APPEND ");
	imap_quote(&text, mailbox);
	if (flags)
		buf_addf(&text, " (%s)", flags);
	buf_addf(&text, " {%zu}", message->text.len);
	if (!imap_begin(imap, reply, buf_text(&text)))
		return -ECANCELED;
	if (imap_send_line(imap, reply, buf_text(&text)))
		return -ECANCELED;
	reply->outcome = MAIL_NO; /* nothing is appended before the content is there */
	told = imap_collect(imap, reply, true);
	if (told == TOLD_TAGGED)
		imap_moment(imap, reply, imap->tag, reply->command, "/reply");
	if (told == TOLD_PLUS)
		imap_tell_sent(imap, buf_text(&text), message);
	return told;
}

enum mail_outcome imap_append(struct imap *imap, const char *mailbox, const char *flags,
	const struct message *message, struct imap_reply *reply)
{
	struct buf content auto_buf = {0};

	if (append_begin(imap, mailbox, flags, message, reply) != TOLD_PLUS)
		return reply->outcome;
	buf_add(&content, message->text.data, message->text.len);
	buf_add(&content, "\r\n", 2);
	if (imap_send_bytes(imap, reply, &content))
		return reply->outcome;
	return imap_finish(imap, reply, reply->command);
}

enum mail_outcome imap_append_cut(struct imap *imap, const char *mailbox,
	const struct message *message, size_t bytes, struct imap_reply *reply)
{
	struct buf content auto_buf = {0};

	assert(bytes <= message->text.len);
	if (append_begin(imap, mailbox, NULL, message, reply) != TOLD_PLUS)
		return reply->outcome;
	buf_add(&content, message->text.data, bytes);
	if (!bytes || !imap_send_bytes(imap, reply, &content))
		imap_dead(imap, reply, reply->command, -ECONNABORTED);
	return reply->outcome = MAIL_NO;
}

enum mail_outcome imap_idle(struct imap *imap, struct imap_reply *reply)
{
	int told;

	if (!imap_begin(imap, reply, "IDLE") || imap_send_line(imap, reply, "IDLE"))
		return reply->outcome;
	told = imap_collect(imap, reply, true);
	if (told == TOLD_PLUS) {
		imap->idle = true;
		reply->outcome = MAIL_OK;
	} else if (told == TOLD_TAGGED && reply->outcome == MAIL_OK) {
		reply->outcome = MAIL_NO; /* over before it began */
	}
	if (told >= 0)
		imap_moment(imap, reply, imap->tag, reply->command, "/reply");
	return reply->outcome;
}

int imap_idle_wait(struct imap *imap, struct imap_reply *reply, int64_t deadline_ns)
{
	char tag[IMAP_TAG_SIZE];
	int rc;

	if (!imap->idle)
		return -EPIPE;
	imap->line.deadline_ns = deadline_ns;
	rc = line_readable(&imap->line);
	if (!rc)
		return 0;
	imap->line.deadline_ns = mail_reply_deadline(&imap->opts);
	rc = rc < 0 ? rc : imap_one_response(imap, reply, tag);
	if (rc == TOLD_EVENT)
		return 1;
	if (rc == TOLD_TAGGED) { /* the server ended it of its own */
		imap->idle = false;
		return -EPIPE;
	}
	if (rc == TOLD_PLUS)
		return 0;
	imap_dead(imap, reply, "idle", rc);
	return rc;
}

enum mail_outcome imap_idle_done(struct imap *imap, struct imap_reply *reply)
{
	struct buf done auto_buf = {0};

	if (!imap->idle)
		return reply->outcome;
	imap->idle = false;
	reply->outcome = MAIL_MAYBE;
	if (imap_moment(imap, reply, imap->tag, "done", ""))
		return reply->outcome;
	imap->line.deadline_ns = mail_reply_deadline(&imap->opts);
	buf_add_str(&done, "DONE\r\n");
	imap_tell_sent(imap, "DONE", NULL);
	if (imap_send_bytes(imap, reply, &done))
		return reply->outcome;
	return imap_finish(imap, reply, "done");
}

/* The command that `tag` names, or -1. */
static int which(const struct imap *imap, const char *tag, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char name[IMAP_TAG_SIZE];

		snprintf(name, sizeof(name), "r%zu", imap->tag - count + 1 + i);
		if (!strcmp(name, tag))
			return (int)i;
	}
	return -1;
}

/* Until each of the last `count` commands has its reply. 0 or a negative errno. */
static int collect_all(
	struct imap *imap, struct imap_reply *reply, size_t count, enum mail_outcome *outcomes)
{
	bool done[IMAP_PIPELINE_MAX] = {0};
	char tag[IMAP_TAG_SIZE];

	for (size_t left = count; left;) {
		int told = imap_one_response(imap, reply, tag), at;

		if (told < 0)
			return told;
		if (told != TOLD_TAGGED)
			continue;
		at = which(imap, tag, count);
		if (at < 0 || done[at])
			return -EPROTO;
		done[at] = true;
		outcomes[at] = reply->outcome;
		left--;
	}
	return 0;
}

void imap_pipeline(struct imap *imap, const char *const *commands, size_t count,
	struct imap_reply *reply, enum mail_outcome *outcomes)
{
	struct buf bytes auto_buf = {0};
	int rc;

	assert(count && count <= IMAP_PIPELINE_MAX);
	for (size_t i = 0; i < count; i++)
		outcomes[i] = MAIL_NO;
	if (!imap_begin(imap, reply, commands[0]))
		return;
	for (size_t i = 0; i < count; i++) {
		buf_addf(&bytes, "r%u %s\r\n", ++imap->tag, commands[i]);
		imap_tell_sent(imap, commands[i], NULL);
	}
	for (size_t i = 0; i < count; i++)
		outcomes[i] = MAIL_MAYBE;
	if (imap_send_bytes(imap, reply, &bytes))
		return;
	rc = collect_all(imap, reply, count, outcomes);
	if (rc)
		imap_dead(imap, reply, reply->command, rc);
	else
		imap_moment(
			imap, reply, imap->tag - (unsigned int)count + 1, reply->command, "/reply");
}

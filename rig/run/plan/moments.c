#include "run/plan/moments.h"

#include "base/buf.h"
#include "base/units.h"
#include "net/dialogue.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* RFC 5321 and 2033; `reply` is the one to the final dot. */
static const char *const smtp[] = {
	"connected", "ehlo", "mail", "rcpt", "data", "dot", "reply", "quit", NULL};

/* RFC 9051 and 3501, without UID: "UID FETCH" is fetch. */
static const char *const imap[] = {"connected", "capability", "noop", "logout", "starttls",
	"authenticate", "login", "enable", "select", "examine", "create", "delete", "rename",
	"subscribe", "unsubscribe", "list", "lsub", "namespace", "status", "append", "idle", "done",
	"check", "close", "unselect", "expunge", "search", "fetch", "store", "copy", "move", NULL};

/* RFC 1939, 2449, 2595, 5034. */
static const char *const pop3[] = {"connected", "user", "pass", "apop", "auth", "capa", "stls",
	"stat", "list", "retr", "dele", "noop", "rset", "top", "uidl", "quit", NULL};

static const char *const http[] = {"get", NULL};

static const struct dialogue {
	const char *protocol;
	const char *const *moments;
	bool replies; /* each command has a moment "/reply" too */
} dialogues[] = {
	{"smtp", smtp, false},
	{"lmtp", smtp, false},
	{"imap", imap, true},
	{"pop3", pop3, true},
	{"http", http, true},
};

static bool in_list(const char *const *names, const char *name, size_t len)
{
	for (; *names; names++)
		if (strlen(*names) == len && !memcmp(*names, name, len))
			return true;
	return false;
}

const char *moment_protocol(size_t i)
{
	return i < ARRAY_SIZE(dialogues) ? dialogues[i].protocol : NULL;
}

void moment_names(size_t i, struct buf *out)
{
	for (const char *const *name = dialogues[i].moments; *name; name++)
		buf_addf(out, "%s%s", name == dialogues[i].moments ? "" : " ", *name);
	if (dialogues[i].replies)
		buf_add_str(out, " (commands also with /reply)");
}

static int refuse(size_t dialogue, const char *moment, struct err *err)
{
	auto_buf struct buf all = {0};

	moment_names(dialogue, &all);
	return err_set(err, -EINVAL, "'when: %.100s' is no moment of %s; there are: %s", moment,
		dialogues[dialogue].protocol, buf_text(&all));
}

int moment_check(const char *moment, struct err *err)
{
	const char *slash = strchr(moment, '/');
	size_t len = slash ? (size_t)(slash - moment) : 0;

	for (size_t i = 0; slash && i < ARRAY_SIZE(dialogues); i++) {
		const struct dialogue *dialogue = &dialogues[i];
		const char *name = slash + 1, *reply;

		if (strlen(dialogue->protocol) != len || memcmp(dialogue->protocol, moment, len))
			continue;
		if (in_list(dialogue->moments, name, strlen(name)))
			return 0;
		reply = strchr(name, '/');
		if (dialogue->replies && reply && !strcmp(reply, "/reply") &&
			strncmp(name, "connected/", 10) &&
			in_list(dialogue->moments, name, (size_t)(reply - name)))
			return 0;
		return refuse(i, moment, err);
	}
	return err_set(err, -EINVAL,
		"'when: %.100s' names no protocol; say smtp/data, with one of: smtp lmtp imap pop3 "
		"http",
		moment);
}

/* As rig/mail/imap.c numbers them: a letter and a number without leading zeros. */
static bool is_sent(const char *tag)
{
	size_t digits = tag[0] == 'r' ? strspn(tag + 1, "0123456789") : 0;

	return digits && !tag[1 + digits] && tag[1] != '0';
}

int moment_tag_check(const char *moment, const char *tag, struct err *err)
{
	size_t len = strcspn(moment, "/");

	if (strncmp(moment, "imap/", 5))
		return err_set(err, -EINVAL,
			"'tag: %.64s' with 'when: %.100s': commands of %.*s have no tags, only "
			"IMAP's; "
			"say which by 'nth'",
			tag, moment, (int)len, moment);
	if (!strcmp(moment, "imap/connected"))
		return err_set(err, -EINVAL,
			"'tag: %.64s' with 'when: imap/connected': no command has been sent then",
			tag);
	if (!dialogue_is_tag(tag, strlen(tag)))
		return err_set(err, -EINVAL,
			"'tag: %.64s' is no tag of IMAP (RFC 3501 section 9): without space, "
			"control "
			"character, ( ) { %% * \" \\ and +, at most %d characters",
			tag, DIALOGUE_TAG_MAX - 1);
	if (!is_sent(tag))
		return err_set(err, -EINVAL,
			"'tag: %.64s' can never come: the rig's clients call the commands of each "
			"session r1, r2 ... (r1 is LOGIN, with 'tls: starttls' STARTTLS)",
			tag);
	return 0;
}

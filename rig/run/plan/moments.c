#include "run/plan/moments.h"

#include "base/buf.h"
#include "base/units.h"

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

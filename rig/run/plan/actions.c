#include "run/plan/actions.h"

#include <stddef.h>
#include <string.h>

static const struct action_key smtp_keys[] = {
	{"to", true, NULL, "recipients: users of the target, or whole addresses"},
	{"from", false, NULL, "return path: a user, an address, or '<>' for none; LABEL@sink.rig"},
	{"notify", false, NULL, "which notifications are wanted (RFC 3461): never, failure"},
	{"sessions", false, "1", "connections at the same time"},
	{"messages", false, "20", "how many in all"},
	{"size", false, "2KiB", "bytes of each body"},
	{"mail", false, NULL,
		"generated, or real: of packaged corpora, each as long as it is; generated"},
	{"pace", false, NULL, "how fast in all; as fast as it goes"},
	{"tls", false, NULL, "starttls: go on in TLS before anything else is said; none"},
	{0},
};

static const struct action_key append_keys[] = {
	{"user", false, NULL, "whose INBOX; the target's first user"},
	{"users", false, NULL, "one each session, in turn"},
	{"sessions", false, "1", "connections at the same time"},
	{"messages", false, "10", "how many in all"},
	{"size", false, "2KiB", "bytes of each body"},
	{"mail", false, NULL,
		"generated, or real: of packaged corpora, each as long as it is; generated"},
	{"pace", false, NULL, "how fast in all; as fast as it goes"},
	{"tls", false, NULL, "starttls: go on in TLS before anything else is said; none"},
	{0},
};

static const struct action_key imap_keys[] = {
	{"user", false, NULL, "whose mailbox; the target's first user"},
	{"users", false, NULL, "one each session, in turn"},
	{"sessions", false, "1", "connections at the same time"},
	{"messages", false, NULL, "rounds in all; until everything else is over"},
	{"pace", false, NULL, "rounds in all; one each second"},
	{"send", false, NULL, "these commands, once, instead of following the mailbox"},
	{"tls", false, NULL, "starttls: go on in TLS before anything else is said; none"},
	{0},
};

static const struct action_key mixed_keys[] = {
	{"user", false, NULL, "whose mailboxes; the target's first user"},
	{"sessions", false, "3", "connections at the same time"},
	{"messages", false, "60", "commands in all, before the sessions compare what they see"},
	{"size", false, "2KiB", "bytes of each body"},
	{"pace", false, NULL, "commands in all; as fast as it goes"},
	{"tls", false, NULL, "starttls: go on in TLS before anything else is said; none"},
	{0},
};

static const struct action_key idle_keys[] = {
	{"user", false, NULL, "whose INBOX; the target's first user"},
	{"users", false, NULL, "one each session, in turn"},
	{"sessions", false, "1", "connections at the same time"},
	{"messages", false, NULL, "waits in all; until everything else is over"},
	{"pace", false, NULL, "waits in all; without it a client waits until the end"},
	{"mailbox", false, NULL, "which instead of INBOX"},
	{"tls", false, NULL, "starttls: go on in TLS before anything else is said; none"},
	{"leave", false, "done", "how a wait ends: done, or drop (the connection just ends)"},
	{0},
};

static const struct action_key pop3_keys[] = {
	{"user", false, NULL, "whose maildrop; the target's first user"},
	{"users", false, NULL, "one each session, in turn"},
	{"sessions", false, "1", "connections at the same time"},
	{"messages", false, NULL, "rounds in all; until everything else is over"},
	{"pace", false, NULL, "rounds in all; as fast as it goes"},
	{"for", false, NULL, "stand idle so long in each session; not at all"},
	{0},
};

static const struct action_key rounds_keys[] = {
	{"user", false, NULL, "whose mailbox; the target's first user"},
	{"sessions", false, "4",
		"of each round: IMAP with IDLE, POP3 and SMTP in turn; at most 16"},
	{"messages", false, "12", "rounds in all"},
	{"pace", false, NULL, "rounds in all; as fast as it goes"},
	{0},
};

static const struct action_key http_keys[] = {
	{"user", false, NULL, "on whose behalf"},
	{"sessions", false, "1", "connections at the same time"},
	{"messages", false, NULL, "requests in all; until everything else is over"},
	{"pace", false, NULL, "requests in all; as fast as it goes"},
	{0},
};

static const struct action_key no_keys[] = {{0}};

static const struct action_key user_keys[] = {
	{"user", false, NULL, "for this user"},
	{"users", false, NULL, "for each of these users, one after the other"},
	{0},
};

static const struct action_key mailbox_keys[] = {
	{"user", false, NULL, "of this user"},
	{"users", false, NULL, "of each of these users, one after the other"},
	{"mailbox", true, NULL, "the mailbox, as RIG_MAILBOX"},
	{0},
};

const struct action actions[] = {
	{"smtp", "clients that send mail to the store", .workload = true, .service = "smtp",
		.keys = smtp_keys},
	{"append", "an IMAP client that appends messages", .workload = true, .service = "imap",
		.keys = append_keys},
	{"imap", "IMAP clients that follow a mailbox, or send given commands", .workload = true,
		.service = "imap", .keys = imap_keys},
	{"imap-sessions",
		"IMAP clients that change one mailbox at the same time, come back, and compare "
		"what they see",
		.workload = true, .service = "imap", .keys = mixed_keys},
	{"imap-moves", "IMAP clients that move the same messages to and fro", .workload = true,
		.service = "imap", .keys = mixed_keys},
	{"idle", "IMAP clients that wait for changes of a mailbox", .workload = true,
		.service = "imap", .keys = idle_keys},
	{"pop3", "POP3 clients that list and retrieve a maildrop", .workload = true,
		.service = "pop3", .keys = pop3_keys},
	{"pop3-delete",
		"POP3 clients that retrieve and delete, and end by QUIT, by RSET and QUIT, or cut "
		"off",
		.workload = true, .service = "pop3", .keys = pop3_keys},
	{"rounds", "equal rounds of connect, subscribe and drop, with the store's level after each",
		.workload = true, .keys = rounds_keys},
	{"http", "web mail clients that ask for the start page", .workload = true,
		.service = "http", .keys = http_keys},
	{"dismount", "take the mailbox store off line", .command = "dismount", .keys = no_keys},
	{"mount", "take the mailbox store back on line", .command = "mount", .keys = no_keys},
	{"move-mailbox", "move mailboxes to another place", .command = "move_mailbox",
		.keys = user_keys},
	{"look-at-files",
		"stop the file systems for an instant and record each file of the mailboxes",
		.path = "mailbox", .keys = no_keys},
	{"mailbox-delete", "delete a mailbox", .command = "mailbox_delete", .keys = mailbox_keys},
	{"user-add", "make a user", .command = "user_add", .keys = user_keys},
	{"user-delete", "remove a user with all mail", .command = "user_delete", .keys = user_keys},
	{"queue-hold", "put every queued message on hold", .command = "queue_hold",
		.keys = no_keys},
	{"queue-release", "release what is on hold", .command = "queue_release", .keys = no_keys},
	{"stop", "stop the store by its own command", .command = "stop", .keys = no_keys},
	{"start", "start the store by its own command", .command = "start", .keys = no_keys},
	{"reload", "let the store read its configuration again", .command = "reload",
		.keys = no_keys},
	{"rotate-logs", "give the store new log files, as log rotation does",
		.command = "rotate_logs", .keys = no_keys},
	{"change-certificate", "give the store another certificate, and let it read that",
		.command = "change_certificate", .keys = no_keys},
	{0},
};

const struct action *action_find(const char *name)
{
	for (const struct action *action = actions; action->name; action++)
		if (!strcmp(action->name, name))
			return action;
	return NULL;
}

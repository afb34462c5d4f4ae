/*
 * Another session of the rig's own removes something while somebody is at work: the commands that clients have for
 * it, each by a name. What was removed cannot be put back: there is nothing to heal.
 */
#include "api/fault.h"
#include "mail/imap.h"

#include <string.h>

#define LINES_MAX 4

/* %b the mailbox, %s the set, %i where to. The first `prelude` lines remove nothing; a FETCH among them tells the
 * history which messages it is about. */
static const struct sequence {
	const char *name;
	size_t prelude;
	const char *lines[LINES_MAX];
} sequences[] = {
	{"expunge", 3,
		{"SELECT %b", "UID FETCH %s (BODY.PEEK[])",
			"UID STORE %s +FLAGS.SILENT (\\Deleted)", "UID EXPUNGE %s"}},
	{"close", 3,
		{"SELECT %b", "UID FETCH %s (BODY.PEEK[])",
			"UID STORE %s +FLAGS.SILENT (\\Deleted)", "CLOSE"}},
	{"move", 2, {"CREATE %i", "SELECT %b", "UID MOVE %s %i"}},
	{"rename", 0, {"RENAME %b %i"}},
	{"delete", 0, {"DELETE %b"}},
	{"recreate", 0, {"DELETE %b", "CREATE %b"}},
};

static const struct fault_param imap_params[] = {
	{"command", true,
		"expunge (STORE \\Deleted, UID EXPUNGE), close, move, rename, delete, or recreate "
		"(DELETE, CREATE)"},
	{"user", false, "whose mailbox (default: the target's first user)"},
	{"mailbox", false, "which (default INBOX)"},
	{"uids", false, "expunge, close, move: a set of UIDs (default 1)"},
	{"into", false, "move, rename: the other mailbox (default Elsewhere)"},
	{0},
};

static const struct fault_param pop3_params[] = {
	{"user", false, "whose maildrop (default: the target's first user)"},
	{"numbers", false, "a set of message numbers (default 1)"},
	{0},
};

static const struct sequence *sequence_of(const struct step *step)
{
	const char *name = step_param(step, "command");

	for (size_t i = 0; name && i < sizeof(sequences) / sizeof(sequences[0]); i++)
		if (!strcmp(sequences[i].name, name))
			return &sequences[i];
	return NULL;
}

static const char *param_or(const struct step *step, const char *key, const char *otherwise)
{
	const char *value = step_param(step, key);

	return value ? value : otherwise;
}

/* Only digits, commas, colons and stars: it stands in a command line as it is. */
static int check_set(const struct step *step, const char *key, struct err *err)
{
	const char *set = param_or(step, key, "1");

	if (!*set || set[strspn(set, "0123456789,:*")])
		return err_set(
			err, -EINVAL, "'%s: %s' is no set of numbers, such as 3 or 2:5", key, set);
	return 0;
}

static int check_service(const struct target *target, enum protocol protocol, struct err *err)
{
	return target_service_by(target, protocol)
		       ? 0
		       : err_set(err, -ENOTSUP, "no %s service", protocol_name(protocol));
}

static int check_imap(const struct step *step, const struct target *target, struct err *err)
{
	if (!sequence_of(step))
		return err_set(err, -EINVAL,
			"'command: %s' is none; there are: expunge close move rename delete "
			"recreate",
			param_or(step, "command", ""));
	if (check_set(step, "uids", err))
		return -EINVAL;
	return check_service(target, PROTOCOL_IMAP, err);
}

static int check_pop3(const struct step *step, const struct target *target, struct err *err)
{
	if (check_set(step, "numbers", err))
		return -EINVAL;
	return check_service(target, PROTOCOL_POP3, err);
}

static char *fill(const char *line, const struct step *step)
{
	struct buf text = {0};

	for (const char *p = line; *p; p++) {
		if (*p != '%')
			buf_addc(&text, *p);
		else if (*++p == 's')
			buf_add_str(&text, param_or(step, "uids", "1"));
		else if (*p == 'b')
			imap_quote(&text, param_or(step, "mailbox", "INBOX"));
		else
			imap_quote(&text, param_or(step, "into", "Elsewhere"));
	}
	return buf_steal(&text);
}

static int fire_imap(struct fault_run *run, struct err *err)
{
	const struct sequence *sequence = sequence_of(run->step);
	char *lines[LINES_MAX + 1] = {0};
	const struct deletion deletion = {.user = run->step->user,
		.mailbox = param_or(run->step, "mailbox", "INBOX"),
		.commands = (const char *const *)lines,
		.prelude = sequence->prelude};
	int rc;

	for (size_t i = 0; i < LINES_MAX && sequence->lines[i]; i++)
		lines[i] = fill(sequence->lines[i], run->step);
	rc = run->remove(run->arg, &deletion, &run->fired, err);
	for (size_t i = 0; lines[i]; i++)
		free(lines[i]);
	return rc;
}

static int fire_pop3(struct fault_run *run, struct err *err)
{
	const struct deletion deletion = {.user = run->step->user,
		.mailbox = "INBOX",
		.numbers = param_or(run->step, "numbers", "1")};

	return run->remove(run->arg, &deletion, &run->fired, err);
}

const struct fault fault_delete_by_imap = {
	.name = "delete-by-imap",
	.summary = "another IMAP session expunges, moves, renames or deletes, meanwhile",
	.family = FAMILY_CONCURRENT_DELETE,
	.needs = "an IMAP service",
	.params = imap_params,
	.check = check_imap,
	.fire = fire_imap,
	.instant = true,
	.poll = fault_nothing,
	.heal = fault_nothing,
};

const struct fault fault_delete_by_pop3 = {
	.name = "delete-by-pop3",
	.summary = "a POP3 session marks messages and quits, meanwhile",
	.family = FAMILY_CONCURRENT_DELETE,
	.needs = "a POP3 service",
	.params = pop3_params,
	.check = check_pop3,
	.fire = fire_pop3,
	.instant = true,
	.poll = fault_nothing,
	.heal = fault_nothing,
};

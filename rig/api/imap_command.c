/* A command line of the rig's own client, as far as the laws ask. */
#include "api/imap_trace.h"

#include "base/buf.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 1024

static const char *const verbs[] = {
	[VERB_OTHER] = "?",
	[VERB_APPEND] = "APPEND",
	[VERB_CAPABILITY] = "CAPABILITY",
	[VERB_CHECK] = "CHECK",
	[VERB_CLOSE] = "CLOSE",
	[VERB_COPY] = "COPY",
	[VERB_CREATE] = "CREATE",
	[VERB_DELETE] = "DELETE",
	[VERB_DONE] = "DONE",
	[VERB_ENABLE] = "ENABLE",
	[VERB_EXAMINE] = "EXAMINE",
	[VERB_EXPUNGE] = "EXPUNGE",
	[VERB_FETCH] = "FETCH",
	[VERB_IDLE] = "IDLE",
	[VERB_LOGOUT] = "LOGOUT",
	[VERB_MOVE] = "MOVE",
	[VERB_NOOP] = "NOOP",
	[VERB_RENAME] = "RENAME",
	[VERB_SEARCH] = "SEARCH",
	[VERB_SELECT] = "SELECT",
	[VERB_STATUS] = "STATUS",
	[VERB_STORE] = "STORE",
	[VERB_UNSELECT] = "UNSELECT",
};

const char *trace_verb_name(enum trace_verb verb)
{
	return (size_t)verb < ARRAY_SIZE(verbs) ? verbs[verb] : "?";
}

/* The next word, or quoted string without its quotes; false at the end. Long ones are cut. */
static bool word(const char **at, char out[static WORD_MAX])
{
	const char *p = *at + strspn(*at, " ");
	bool quoted = *p == '"';
	size_t n = 0;

	if (!*p)
		return false;
	p += quoted;
	for (; *p && (quoted ? *p != '"' : *p != ' '); p++) {
		if (quoted && *p == '\\' && p[1])
			p++;
		if (n + 1 < WORD_MAX)
			out[n++] = *p;
	}
	out[n] = '\0';
	*at = *p ? p + 1 : p;
	return true;
}

static uint32_t text_id(struct imap_trace *trace, const char *text)
{
	return intern_id(trace->texts, text, strlen(text));
}

/* INBOX is the same in any case (RFC 9051, 5.1). */
static uint32_t mailbox_id(struct imap_trace *trace, const char *name)
{
	return text_id(trace, strcasecmp(name, "INBOX") ? name : "INBOX");
}

static enum trace_verb find_verb(const char *name)
{
	for (size_t i = 1; i < ARRAY_SIZE(verbs); i++)
		if (!strcasecmp(verbs[i], name))
			return (enum trace_verb)i;
	return VERB_OTHER;
}

static void parse_store(struct imap_trace *trace, struct trace_command *command, const char *rest)
{
	const char *flags = strcasestr(rest, "FLAGS");

	command->conditional = strcasestr(rest, "UNCHANGEDSINCE");
	if (!flags)
		return;
	command->op = flags > rest && (flags[-1] == '+' || flags[-1] == '-') ? flags[-1] : '=';
	command->silent = !strncasecmp(flags, "FLAGS.SILENT", 12);
	command->flags = trace_flags(trace, flags + (command->silent ? 12 : 5));
}

static void parse_fetch(struct trace_command *command, const char *set, const char *rest)
{
	bool body = strcasestr(rest, "BODY[") || strcasestr(rest, "BINARY[") ||
		    strcasestr(rest, "RFC822.TEXT");

	for (const char *p = rest; (p = strcasestr(p, "RFC822")); p += 6)
		body = body || !p[6] || strchr(" )", p[6]);
	command->sets_seen = body;
	command->lists = !strcmp(set, "1:*") && strcasestr(rest, "FLAGS");
	command->vanished = strcasestr(rest, "VANISHED");
}

/* "(QRESYNC (67890007 20050715194045000 41:211))" (RFC 7162, 3.2.5) */
static void parse_select(struct trace_command *command, const char *rest)
{
	const char *at = strcasestr(rest, "QRESYNC");
	char *end;

	at = at ? strchr(at, '(') : NULL;
	if (!at)
		return;
	command->qresync = true;
	command->known_validity = (uint32_t)strtoul(at + 1, &end, 10);
	command->known_modseq = strtoull(end, NULL, 10);
}

static void parse_arguments(struct imap_trace *trace, struct trace_command *command, const char *at)
{
	char one[WORD_MAX];

	switch (command->verb) {
	case VERB_FETCH:
	case VERB_STORE:
	case VERB_COPY:
	case VERB_MOVE:
		if (!word(&at, one))
			return;
		command->set = text_id(trace, one);
		command->rest = text_id(trace, at);
		if (command->verb == VERB_FETCH)
			parse_fetch(command, one, at);
		else if (command->verb == VERB_STORE)
			parse_store(trace, command, at);
		else if (word(&at, one))
			command->mailbox = mailbox_id(trace, one);
		return;
	case VERB_EXPUNGE:
		if (command->uid && word(&at, one))
			command->set = text_id(trace, one);
		return;
	case VERB_SELECT:
	case VERB_EXAMINE:
	case VERB_APPEND:
	case VERB_STATUS:
	case VERB_CREATE:
	case VERB_DELETE:
	case VERB_RENAME:
		if (!word(&at, one))
			return;
		command->mailbox = mailbox_id(trace, one);
		if (command->verb == VERB_APPEND)
			command->flags = trace_flags(trace, at);
		parse_select(command, at);
		return;
	default:
		return;
	}
}

struct trace_command trace_command_parse(struct imap_trace *trace, const char *line)
{
	struct trace_command command = {0};
	char one[WORD_MAX];

	if (!word(&line, one))
		return command;
	if (!strcasecmp(one, "UID")) {
		command.uid = true;
		if (!word(&line, one))
			return command;
	}
	command.verb = (uint8_t)find_verb(one);
	parse_arguments(trace, &command, line);
	return command;
}

/* ---- flags ---- */

static const struct {
	const char *name;
	uint32_t bit;
} system_flags[] = {
	{"\\Seen", FLAG_SEEN},
	{"\\Answered", FLAG_ANSWERED},
	{"\\Flagged", FLAG_FLAGGED},
	{"\\Deleted", FLAG_DELETED},
	{"\\Draft", FLAG_DRAFT},
};

static uint32_t keyword_bit(struct imap_trace *trace, const char *name, size_t len)
{
	char lower[WORD_MAX];
	uint32_t id;

	if (len >= sizeof(lower))
		return 0;
	for (size_t i = 0; i < len; i++)
		lower[i] = (char)tolower((unsigned char)name[i]);
	id = intern_id(trace->texts, lower, len);
	for (size_t i = 0; i < trace->keyword_count; i++)
		if (trace->keywords[i] == id)
			return 32u << i;
	if (trace->keyword_count == TRACE_KEYWORDS_MAX)
		return 0;
	trace->keywords[trace->keyword_count] = id;
	return 32u << trace->keyword_count++;
}

static uint32_t flag_bit(struct imap_trace *trace, const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(system_flags); i++)
		if (strlen(system_flags[i].name) == len &&
			!strncasecmp(system_flags[i].name, name, len))
			return system_flags[i].bit;
	return *name == '\\' ? 0 : keyword_bit(trace, name, len);
}

uint32_t trace_flags(struct imap_trace *trace, const char *text)
{
	uint32_t flags = FLAG_KNOWN;

	for (;;) {
		size_t len;

		text += strspn(text, " ()");
		len = strcspn(text, " ()");
		if (!len || *text == '{') /* the literal of an APPEND */
			return flags;
		flags |= flag_bit(trace, text, len);
		text += len;
	}
}

const char *trace_flag_words(const struct imap_trace *trace, uint32_t flags, char *out, size_t size)
{
	size_t at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(system_flags) && at < size; i++)
		if (flags & system_flags[i].bit)
			at += (size_t)snprintf(
				out + at, size - at, "%s%s", at ? " " : "", system_flags[i].name);
	for (size_t i = 0; i < trace->keyword_count && at < size; i++)
		if (flags & 32u << i)
			at += (size_t)snprintf(out + at, size - at, "%s%.40s", at ? " " : "",
				intern_text(trace->texts, trace->keywords[i]));
	return at ? out : "none";
}

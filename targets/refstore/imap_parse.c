#include "imap.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define IDLE_OUT_MS (30 * 60 * 1000)
#define LITERALS    8u

struct literal {
	size_t at; /* in the text of the command, where it stands */
	struct bytes bytes;
};

struct text {
	struct bytes line;
	struct literal literals[LITERALS];
	size_t count;
};

/* The size of a literal that the line ends with, or -1; `sync`: the client waits for "+". */
static long literal_size(const char *line, bool *sync)
{
	const char *brace = strrchr(line, '{');
	char *end;
	long size;

	if (!brace || !isdigit((unsigned char)brace[1]))
		return -1;
	size = strtol(brace + 1, &end, 10);
	*sync = *end != '+';
	end += *end == '+';
	return strcmp(end, "}") ? -1 : size;
}

static int read_literal(struct imap_session *session, struct text *text, long size, bool sync)
{
	struct literal *literal = &text->literals[text->count];
	char *data;
	int rc;

	if (text->count == LITERALS || size > (long)MAIL_MAX_BYTES) {
		conn_printf(&session->conn, "* BYE the literal is too large\r\n");
		return -E2BIG;
	}
	if (sync)
		conn_printf(&session->conn, "+ go on\r\n");
	data = must_zero((size_t)size + 1);
	rc = conn_read(&session->conn, data, (size_t)size, IDLE_OUT_MS);
	text->line.len = (size_t)(strrchr(text->line.data, '{') - text->line.data);
	text->line.data[text->line.len] = '\0';
	literal->at = text->line.len;
	literal->bytes = (struct bytes){data, (size_t)size, (size_t)size + 1};
	text->count++;
	bytes_add(&text->line, "\"\"", 2); /* it takes the place of a string */
	return rc;
}

static int read_text(struct imap_session *session, struct text *text)
{
	char line[LINE_MAX_BYTES];

	for (;;) {
		int rc = conn_line(&session->conn, line, sizeof(line), IDLE_OUT_MS);
		bool sync;
		long size;

		if (rc < 0)
			return rc;
		if (memchr(line, '\0', (size_t)rc) || text->line.len > LINE_MAX_BYTES)
			return -EINVAL;
		bytes_add(&text->line, line, (size_t)rc);
		size = literal_size(line, &sync);
		if (size < 0)
			return 0;
		rc = read_literal(session, text, size, sync);
		if (rc)
			return rc;
	}
}

/* The end of a word, a string or a whole list. */
static const char *word_end(const char *at)
{
	int depth = 0;
	bool quoted = false;

	for (; *at; at++) {
		if (*at == '\\' && quoted && at[1])
			at++;
		else if (*at == '"')
			quoted = !quoted;
		else if (!quoted && strchr("([", *at))
			depth++;
		else if (!quoted && strchr(")]", *at))
			depth--;
		else if (!quoted && *at == ' ' && depth <= 0)
			break;
	}
	return at;
}

static void add_arg(
	struct imap_args *args, const struct text *text, const char *at, const char *end)
{
	size_t offset = (size_t)(at - text->line.data), len = 0;
	char *word = must_zero((size_t)(end - at) + 1);

	for (size_t i = 0; i < text->count; i++) {
		const struct bytes *bytes = &text->literals[i].bytes;

		if (text->literals[i].at != offset)
			continue;
		free(word);
		args->len[args->count] = bytes->len;
		args->at[args->count] = must_zero(bytes->len + 1);
		memcpy(args->at[args->count++], bytes->data, bytes->len);
		return;
	}
	if (*at == '"') {
		for (at++; at < end && *at != '"'; at++) {
			at += *at == '\\' && at + 1 < end;
			word[len++] = *at;
		}
	} else {
		len = (size_t)(end - at);
		memcpy(word, at, len);
	}
	args->len[args->count] = len;
	args->at[args->count++] = word;
}

int imap_read_command(struct imap_session *session, struct imap_args *args)
{
	struct text text = {0};
	int rc = read_text(session, &text);

	for (const char *at = rc ? "" : text.line.data; at && *at && args->count < IMAP_ARGS_MAX;) {
		const char *end = word_end(at);

		if (end > at)
			add_arg(args, &text, at, end);
		at = *end ? end + 1 : end;
	}
	for (size_t i = 0; i < text.count; i++)
		bytes_free(&text.literals[i].bytes);
	bytes_free(&text.line);
	return rc;
}

void imap_args_free(struct imap_args *args)
{
	for (size_t i = 0; i < args->count; i++)
		free(args->at[i]);
	*args = (struct imap_args){0};
}

/* ---- sets ---- */

bool imap_set_ok(const char *set)
{
	return *set && strspn(set, "0123456789:,*") == strlen(set);
}

static uint32_t set_number(const char **at, uint32_t max)
{
	char *end;
	unsigned long number;

	if (**at == '*') {
		++*at;
		return max;
	}
	number = strtoul(*at, &end, 10);
	*at = end;
	return number > UINT32_MAX ? UINT32_MAX : (uint32_t)number;
}

bool imap_in_set(const char *set, uint32_t number, uint32_t max)
{
	while (*set) {
		const char *before = set;
		uint32_t low = set_number(&set, max), high = low;

		if (*set == ':') {
			set++;
			high = set_number(&set, max);
		}
		if (number >= (low < high ? low : high) && number <= (low < high ? high : low))
			return true;
		set += *set == ',';
		if (set == before)
			return false;
	}
	return false;
}

/* ---- flags and strings ---- */

static const struct {
	const char *name;
	uint32_t flag;
} flag_names[] = {
	{"\\Seen", FLAG_SEEN},
	{"\\Answered", FLAG_ANSWERED},
	{"\\Flagged", FLAG_FLAGGED},
	{"\\Deleted", FLAG_DELETED},
	{"\\Draft", FLAG_DRAFT},
};
#define FLAG_NAMES (sizeof(flag_names) / sizeof(flag_names[0]))

uint32_t imap_flags(const char *list)
{
	uint32_t flags = 0;

	for (size_t i = 0; i < FLAG_NAMES; i++)
		if (strcasestr(list, flag_names[i].name))
			flags |= flag_names[i].flag;
	return flags;
}

void imap_add_flags(struct bytes *out, uint32_t flags)
{
	const char *blank = "";

	bytes_add(out, "(", 1);
	for (size_t i = 0; i < FLAG_NAMES; i++) {
		if (!(flags & flag_names[i].flag))
			continue;
		bytes_addf(out, "%s%s", blank, flag_names[i].name);
		blank = " ";
	}
	bytes_add(out, ")", 1);
}

void imap_quoted(struct bytes *out, const char *text)
{
	bytes_add(out, "\"", 1);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			bytes_add(out, "\\", 1);
		bytes_add(out, text, 1);
	}
	bytes_add(out, "\"", 1);
}

#include "net/ledger.h"

#include "base/clock.h"
#include "base/json.h"
#include "net/spool.h"
#include "net/transcript.h"

#include <inttypes.h>
#include <string.h>

#define APPENDS_MAX 64 /* IMAP APPENDs of one connection whose reply is awaited */

struct append {
	char tag[72];
	struct buf json;
};

/* What is known of one open connection. */
struct entry {
	struct spooled commands, messages; /* as JSON; as text `commands` alone */
	uint64_t command_count, message_count;
	uint64_t gaps, gap_bytes;
	bool tls, opened; /* TLS, and something inside it could be read */
	int64_t first_ns;
	struct append *appends; /* APPENDS_MAX of them, once there is one */
	size_t append_count;
};

struct wire_ledger {
	FILE *out;
	bool json;
	int64_t epoch_ns;
	uint64_t connections;
	struct spool *spool;
};

struct wire_ledger *wire_ledger_new(FILE *out, bool json)
{
	struct wire_ledger *ledger = mem_zero(1, sizeof(*ledger));

	ledger->out = out;
	ledger->json = json;
	ledger->spool = spool_new();
	if (json)
		fputs("{\"connections\":[", out);
	return ledger;
}

void wire_ledger_epoch(struct wire_ledger *ledger, int64_t ns)
{
	ledger->epoch_ns = ns;
}

/* ---- JSON, written by hand: a capture may hold millions of commands ---- */

static bool plain(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~' || *text == '"' || *text == '\\')
			return false;
	return true;
}

static void add_string(struct buf *out, const char *text)
{
	auto_json json_t *json = NULL;
	auto_free char *quoted = NULL;

	if (plain(text)) {
		buf_addc(out, '"');
		buf_add_str(out, text);
		buf_addc(out, '"');
		return;
	}
	json = json_text(text);
	quoted = json_dumps(json, JSON_ENCODE_ANY);
	buf_add_str(out, quoted ? quoted : "\"\"");
}

static void add_number(struct buf *out, uint64_t n)
{
	char digits[24], *at = digits + sizeof(digits);

	do
		*--at = (char)('0' + n % 10);
	while (n /= 10);
	buf_add(out, at, (size_t)(digits + sizeof(digits) - at));
}

static void add_key(struct buf *out, const char *key)
{
	buf_addc(out, '"');
	buf_add_str(out, key);
	buf_add(out, "\":", 2);
}

static void add_seconds(
	struct buf *out, const char *key, const struct wire_ledger *ledger, int64_t ns)
{
	int64_t us = (ns - ledger->epoch_ns) / 1000;
	uint64_t size = us < 0 ? (uint64_t)-us : (uint64_t)us;
	char fraction[8];

	add_key(out, key);
	if (us < 0)
		buf_addc(out, '-');
	add_number(out, size / 1000000);
	fraction[0] = '.';
	for (int i = 6; i > 0; i--, size /= 10)
		fraction[i] = (char)('0' + size % 10);
	buf_add(out, fraction, 7);
}

static void add_code(struct buf *out, int code, const char *status)
{
	add_key(out, "reply_code");
	if (code)
		add_number(out, (uint64_t)code);
	else if (status)
		add_string(out, status);
	else
		buf_add_str(out, "null");
}

static void add_command(
	const struct wire_ledger *ledger, struct entry *entry, const struct dialogue_event *event)
{
	struct buf *out = &entry->commands.tail;
	bool answered = event->kind == DIALOGUE_REPLY;

	if (entry->command_count++)
		buf_addc(out, ',');
	buf_addc(out, '{');
	add_key(out, "verb");
	add_string(out, event->verb);
	buf_addc(out, ',');
	if (event->tag) {
		add_key(out, "tag");
		add_string(out, event->tag);
		buf_addc(out, ',');
	}
	add_seconds(out, "sent_s", ledger, event->sent_ns);
	buf_addc(out, ',');
	add_code(out, answered ? event->code : 0, answered ? event->status : NULL);
	buf_addc(out, ',');
	if (answered)
		add_seconds(out, "reply_s", ledger, event->ns);
	else
		buf_add_str(out, "\"reply_s\":null");
	if (event->unknown)
		buf_add_str(out, ",\"unknown\":true");
	buf_addc(out, '}');
}

static void add_recipients(struct buf *out, const struct dialogue_message *message)
{
	bool first = true;

	add_key(out, "to");
	buf_addc(out, '[');
	for (size_t i = 0; i < message->to_count; i++) {
		if (message->to[i].rcpt_code >= 400)
			continue;
		if (!first)
			buf_addc(out, ',');
		first = false;
		add_string(out, message->to[i].address);
	}
	buf_addc(out, ']');
}

/* What became of each recipient, where one code does not say it. */
static void add_replies(struct buf *out, const struct dialogue_message *message)
{
	buf_add_str(out, ",\"recipients\":[");
	for (size_t i = 0; i < message->to_count; i++) {
		const struct dialogue_recipient *to = &message->to[i];

		buf_add_str(out, i ? ",{\"to\":" : "{\"to\":");
		add_string(out, to->address);
		buf_addf(out, ",\"result\":\"%s\"", dialogue_attempt_name(to->result));
		if (to->rcpt_code)
			buf_addf(out, ",\"rcpt_code\":%d", to->rcpt_code);
		if (to->code)
			buf_addf(out, ",\"reply_code\":%d", to->code);
		buf_addc(out, '}');
	}
	buf_addc(out, ']');
}

/* All of a message but its reply's code. */
static void add_message(
	const struct wire_ledger *ledger, struct buf *out, const struct dialogue_event *event)
{
	const struct dialogue_message *message = event->message;

	buf_addc(out, '{');
	add_key(out, "from");
	add_string(out, message->from);
	buf_addc(out, ',');
	add_recipients(out, message);
	buf_add_str(out, ",\"bytes\":");
	add_number(out, message->bytes);
	buf_add_str(out, ",\"sha256\":");
	if (message->sha256[0])
		add_string(out, message->sha256);
	else
		buf_add_str(out, "null");
	if (message->token[0]) {
		buf_add_str(out, ",\"token\":");
		add_string(out, message->token);
	}
	if (message->dot_ns) {
		buf_addc(out, ',');
		add_seconds(out, "dot_s", ledger, message->dot_ns);
	}
	if (!message->complete)
		buf_add_str(out, ",\"complete\":false");
	if (message->from_side == FLOW_SERVER)
		buf_add_str(out, ",\"from_server\":true");
	if (event->kind == DIALOGUE_RESULT)
		add_replies(out, message);
	if (event->unknown)
		buf_add_str(out, ",\"unknown\":true");
	buf_addc(out, ',');
}

static struct buf *next_message(struct entry *entry)
{
	if (entry->message_count++)
		buf_addc(&entry->messages.tail, ',');
	return &entry->messages.tail;
}

static void add_whole_message(
	const struct wire_ledger *ledger, struct entry *entry, const struct dialogue_event *event)
{
	struct buf *out = next_message(entry);

	add_message(ledger, out, event);
	add_code(out, event->message->code, event->message->status);
	buf_addc(out, '}');
}

/* ---- APPEND: its message is told before its reply ---- */

static void append_over(struct entry *entry, size_t i, const char *status)
{
	struct append *append = &entry->appends[i];
	struct buf *out = next_message(entry);

	buf_add(out, append->json.data, append->json.len);
	add_code(out, 0, status);
	buf_addc(out, '}');
	buf_free(&append->json);
	entry->append_count--;
	memmove(append, append + 1, (entry->append_count - i) * sizeof(*append));
}

static void append_replied(struct entry *entry, const char *tag, const char *status)
{
	for (size_t i = 0; i < entry->append_count;)
		if (!tag || !strcmp(entry->appends[i].tag, tag))
			append_over(entry, i, status);
		else
			i++;
}

static void append_begun(
	const struct wire_ledger *ledger, struct entry *entry, const struct dialogue_event *event)
{
	struct append *append;

	if (entry->append_count == APPENDS_MAX)
		append_over(entry, 0, NULL);
	if (!entry->appends)
		entry->appends = mem_zero(APPENDS_MAX, sizeof(*entry->appends));
	append = &entry->appends[entry->append_count++];
	*append = (struct append){0};
	snprintf(append->tag, sizeof(append->tag), "%s", event->tag ? event->tag : "");
	add_message(ledger, &append->json, event);
}

/* ---- events ---- */

static void on_message(
	const struct wire_ledger *ledger, struct entry *entry, const struct dialogue_event *event)
{
	bool smtp = event->protocol == DIALOGUE_PROTOCOL_SMTP ||
		    event->protocol == DIALOGUE_PROTOCOL_LMTP;

	if (event->protocol == DIALOGUE_PROTOCOL_IMAP && event->from == FLOW_CLIENT)
		append_begun(ledger, entry, event);
	else if (!smtp) /* SMTP's are told with their result */
		add_whole_message(ledger, entry, event);
}

static void note(
	const struct wire_ledger *ledger, struct entry *entry, const struct dialogue_event *event)
{
	switch (event->kind) {
	case DIALOGUE_REPLY:
		if (event->tag)
			append_replied(entry, event->tag, event->status);
		if (event->verb)
			add_command(ledger, entry, event);
		break;
	case DIALOGUE_UNANSWERED:
		if (event->tag)
			append_replied(entry, event->tag, NULL);
		add_command(ledger, entry, event);
		break;
	case DIALOGUE_MESSAGE:
		on_message(ledger, entry, event);
		break;
	case DIALOGUE_RESULT:
		add_whole_message(ledger, entry, event);
		break;
	default:
		break;
	}
}

static void print_json(
	struct wire_ledger *ledger, struct entry *entry, const struct dialogue_event *event)
{
	const char *protocol = dialogue_protocol_name(event->protocol);
	auto_buf struct buf out = {0};

	append_replied(entry, NULL, NULL);
	fputs(ledger->connections++ ? ",\n" : "\n", ledger->out);
	buf_addf(&out, protocol ? "{\"protocol\":\"%s\"" : "{\"protocol\":null", protocol);
	buf_addf(&out, ",\"client\":\"%s\",\"server\":\"%s\",", event->client, event->server);
	add_seconds(&out, "begin_s", ledger, entry->first_ns);
	buf_addc(&out, ',');
	add_seconds(&out, "end_s", ledger, event->ns);
	buf_add_str(&out, ",\"commands\":[");
	fwrite(out.data, 1, out.len, ledger->out);
	spool_print(ledger->spool, &entry->commands, ledger->out);
	fputs("],\"messages\":[", ledger->out);
	spool_print(ledger->spool, &entry->messages, ledger->out);
	fprintf(ledger->out, "],\"gaps\":%" PRIu64 ",\"gap_bytes\":%" PRIu64, entry->gaps,
		entry->gap_bytes);
	fprintf(ledger->out, ",\"midstream\":%s,\"tls\":%s,\"decrypted\":%s,\"ended\":\"%s\"}",
		event->midstream ? "true" : "false", entry->tls ? "true" : "false",
		entry->opened ? "true" : "false", flow_end_name(event->end));
}

static void print_text(
	struct wire_ledger *ledger, struct entry *entry, const struct dialogue_event *event)
{
	const char *protocol = dialogue_protocol_name(event->protocol);

	ledger->connections++;
	fprintf(ledger->out, "%s  %s to %s\n", protocol ? protocol : "no mail", event->client,
		event->server);
	spool_print(ledger->spool, &entry->commands, ledger->out);
	fputc('\n', ledger->out);
}

static struct entry *entry_of(const struct dialogue_event *event)
{
	struct entry *entry = *event->user;

	if (!entry) {
		entry = *event->user = mem_zero(1, sizeof(*entry));
		entry->first_ns = event->ns;
	}
	return entry;
}

void wire_ledger_event(void *arg, const struct dialogue_event *event)
{
	struct wire_ledger *ledger = arg;
	struct entry *entry = entry_of(event);

	if (event->kind == DIALOGUE_GAP) {
		entry->gaps++;
		entry->gap_bytes += event->bytes;
	}
	entry->opened |= entry->tls && event->kind == DIALOGUE_COMMAND;
	entry->tls |= event->kind == DIALOGUE_TLS;
	if (ledger->json)
		note(ledger, entry, event);
	else
		transcript_event(&entry->commands.tail, event, ledger->epoch_ns);
	spool_trim(ledger->spool, &entry->commands);
	spool_trim(ledger->spool, &entry->messages);
	if (event->kind != DIALOGUE_CLOSED)
		return;
	if (ledger->json)
		print_json(ledger, entry, event);
	else
		print_text(ledger, entry, event);
	free(entry->appends);
	free(entry);
	*event->user = NULL;
}

int wire_ledger_close(
	struct wire_ledger *ledger, const struct wire_ledger_end *end, struct err *err)
{
	auto_buf struct buf out = {0};
	int rc;

	if (ledger->json) {
		buf_addf(&out, "\n],\"frames\":%" PRIu64 ",\"dropped\":%" PRIu64 ",\"trouble\":",
			end->frames, end->dropped);
		if (end->trouble)
			add_string(&out, end->trouble);
		else
			buf_add_str(&out, "null");
		buf_add_str(&out, "}\n");
	} else {
		buf_addf(&out, "%" PRIu64 " connections, %" PRIu64 " frames%s%s\n",
			ledger->connections, end->frames, end->trouble ? "; " : "",
			end->trouble ? end->trouble : "");
	}
	fwrite(out.data, 1, out.len, ledger->out);
	rc = spool_error(ledger->spool, err);
	if (!rc && (fflush(ledger->out) || ferror(ledger->out)))
		rc = err_sys(err, errno ? errno : EIO, "cannot write the output");
	spool_free(ledger->spool);
	free(ledger);
	return rc;
}

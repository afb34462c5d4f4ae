#include "net/transcript.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

struct transcripts {
	char *dir;
	int64_t epoch_ns;
	uint64_t left_out; /* connections beyond TRANSCRIPT_FILES_MAX */
	int error;
	struct buf text; /* reused */
};

void text_escape(struct buf *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\\')
			buf_add(out, "\\\\", 2);
		else if (c >= ' ' && c <= '~')
			buf_addc(out, (char)c);
		else
			buf_addf(out, "\\x%02x", c);
	}
}

static void begin_line(
	struct buf *out, const struct dialogue_event *event, int64_t ns, const char *who)
{
	buf_addf(out, "%9.4f %s ", (double)ns / 1e9, who);
	if (event->unknown)
		buf_add_str(out, "(unknown) ");
}

static void add_command(struct buf *out, const struct dialogue_event *event)
{
	if (event->tag) {
		text_escape(out, event->tag);
		buf_addc(out, ' ');
	}
	text_escape(out, event->verb);
	if (event->args[0]) {
		buf_addc(out, ' ');
		text_escape(out, event->args);
	}
	if (!strcmp(event->verb, "PASS") || !strcmp(event->verb, "LOGIN") ||
		!strcmp(event->verb, "AUTH") || !strcmp(event->verb, "AUTHENTICATE"))
		buf_add_str(out, " (credentials left out)");
}

static void add_reply(struct buf *out, const struct dialogue_event *event)
{
	if (event->tag)
		text_escape(out, event->tag);
	if (event->tag)
		buf_addc(out, ' ');
	if (event->code)
		buf_addf(out, "%d ", event->code);
	else if (event->status && !(event->text && event->text[0] == '*'))
		buf_addf(out, "%s ", event->status);
	text_escape(out, event->text ? event->text : "");
}

static void add_message(struct buf *out, const struct dialogue_message *message)
{
	buf_addf(out, "(mail: %" PRIu64 " bytes", message->bytes);
	if (message->sha256[0])
		buf_addf(out, ", sha256 %s", message->sha256);
	else
		buf_add_str(out, ", not whole");
	if (message->token[0]) {
		buf_add_str(out, ", token ");
		text_escape(out, message->token);
	}
	buf_addc(out, ')');
}

static void add_attempt(struct buf *out, const struct attempt *attempt)
{
	buf_add_str(out, "<");
	text_escape(out, attempt->from);
	buf_add_str(out, "> to <");
	text_escape(out, attempt->to);
	buf_addf(out, ">: %s", dialogue_attempt_name(attempt->result));
	if (attempt->code)
		buf_addf(out, " %d", attempt->code);
	else if (attempt->rcpt_code >= 400)
		buf_addf(out, " (RCPT %d)", attempt->rcpt_code);
	if (attempt->dot_ns && attempt->reply_ns)
		buf_addf(out, ", %.4f s after the dot",
			(double)(attempt->reply_ns - attempt->dot_ns) / 1e9);
}

void transcript_event(struct buf *out, const struct dialogue_event *event, int64_t epoch_ns)
{
	bool client = event->from == FLOW_CLIENT;
	int64_t ns = event->ns - epoch_ns;

	if (event->kind == DIALOGUE_RESULT)
		return;
	begin_line(out, event, ns,
		event->kind == DIALOGUE_COMMAND || event->kind == DIALOGUE_REPLY ||
				event->kind == DIALOGUE_PUSH || event->kind == DIALOGUE_MESSAGE
			? (client ? "C:" : "S:")
			: "--");
	switch (event->kind) {
	case DIALOGUE_CONNECTED:
		buf_addf(out, "%s to %s%s", event->client, event->server,
			event->midstream ? ", open before the capture" : "");
		break;
	case DIALOGUE_REFUSED:
		buf_addf(out, "%s to %s: refused", event->client, event->server);
		break;
	case DIALOGUE_COMMAND:
		add_command(out, event);
		break;
	case DIALOGUE_REPLY:
		add_reply(out, event);
		break;
	case DIALOGUE_UNANSWERED:
		buf_add_str(out, event->verb[0] ? "no reply to " : "no greeting");
		add_command(out, event);
		break;
	case DIALOGUE_PUSH:
		text_escape(out, event->text);
		break;
	case DIALOGUE_MESSAGE:
		add_message(out, event->message);
		if (event->verb && event->verb[0] == '.') {
			buf_addc(out, '\n');
			begin_line(out, event, ns, "C:");
			buf_addc(out, '.');
		}
		break;
	case DIALOGUE_ATTEMPT:
		add_attempt(out, event->attempt);
		break;
	case DIALOGUE_TLS:
		buf_add_str(out, "encrypted from here");
		break;
	case DIALOGUE_GAP:
		buf_addf(out, "%" PRIu64 " bytes of the %s are missing in the capture",
			event->bytes, client ? "client" : "server");
		break;
	case DIALOGUE_CLOSED:
		buf_addf(out, "ended: %s", flow_end_name(event->end));
		break;
	case DIALOGUE_RESULT:
		break;
	}
	buf_addc(out, '\n');
}

/* ---- one file per connection ---- */

struct transcripts *transcripts_new(const char *dir, int64_t epoch_ns)
{
	struct transcripts *t = mem_zero(1, sizeof(*t));

	t->dir = text_dup(dir);
	t->epoch_ns = epoch_ns;
	return t;
}

static void append(struct transcripts *t, const struct dialogue_event *event)
{
	const char *protocol = dialogue_protocol_name(event->protocol);
	auto_free char *path = text_fmt("%s/%s-%04" PRIu64 ".txt", t->dir, protocol, event->conn);
	auto_close int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	size_t done = 0;

	if (fd < 0 && !t->error)
		t->error = -errno;
	while (fd >= 0 && done < t->text.len) {
		ssize_t n = write(fd, t->text.data + done, t->text.len - done);

		if (n > 0) {
			done += (size_t)n;
		} else if (errno != EINTR) {
			t->error = t->error ? t->error : -errno;
			return;
		}
	}
}

void transcripts_event(void *arg, const struct dialogue_event *event)
{
	struct transcripts *t = arg;

	if (!dialogue_protocol_name(event->protocol))
		return;
	if (event->conn > TRANSCRIPT_FILES_MAX) {
		t->left_out += event->kind == DIALOGUE_CLOSED;
		return;
	}
	buf_reset(&t->text);
	transcript_event(&t->text, event, t->epoch_ns);
	if (t->text.len)
		append(t, event);
}

int transcripts_close(struct transcripts *t, struct err *err)
{
	int rc;

	if (!t)
		return 0;
	rc = t->error;
	if (rc)
		err_sys(err, rc, "cannot write a transcript in '%s'", t->dir);
	else if (t->left_out)
		rc = err_set(err, -EOVERFLOW,
			"%" PRIu64 " connections beyond %d have no transcript", t->left_out,
			TRANSCRIPT_FILES_MAX);
	buf_free(&t->text);
	free(t->dir);
	free(t);
	return rc;
}

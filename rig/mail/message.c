#include "mail/message.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#define LINE_CHARS 72

static void add_date(struct buf *out, int64_t date_s)
{
	static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char *const months[] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t at = (time_t)date_s;
	struct tm tm = {0};

	gmtime_r(&at, &tm);
	buf_addf(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday,
		months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void make_token(struct rng *rng, char token[MESSAGE_TOKEN_SIZE])
{
	unsigned long long high = rng_u64(rng), low = rng_u64(rng);

	snprintf(token, MESSAGE_TOKEN_SIZE, "%016llx%016llx", high, low);
}

/* Lines of letters, some of which begin with dots, so that dot-stuffing is always at work. */
static void add_body(struct buf *out, struct rng *rng, size_t bytes)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyz      ABCDEFGHIJKLMNOPQRSTUVWXYZ,.-";

	while (bytes > 2) {
		size_t n = bytes - 2 < LINE_CHARS ? bytes - 2 : 1 + rng_below(rng, LINE_CHARS);
		char *at;

		if (bytes - n - 2 == 1) /* no room for a CRLF of its own */
			n = n > 1 ? n - 1 : n + 1;
		at = buf_reserve(out, n);
		for (size_t i = 0; i < n; i++)
			at[i] = letters[rng_below(rng, sizeof(letters) - 1)];
		if (rng_below(rng, 4) == 0)
			at[0] = '.';
		if (at[n - 1] == ' ') /* blanks at a line's end are legally lost on the way */
			at[n - 1] = 'x';
		out->len += n;
		buf_add(out, "\r\n", 2);
		bytes -= n + 2;
	}
	if (bytes)
		buf_add(out, "\r\n", 2);
}

void message_make(struct message *message, struct rng *rng, const struct message_spec *spec)
{
	size_t bytes = spec->body_bytes < MESSAGE_BODY_MIN ? MESSAGE_BODY_MIN : spec->body_bytes;
	struct buf *out = &message->text;

	assert(bytes <= MESSAGE_BODY_MAX);
	*message = (struct message){0};
	make_token(rng, message->token);
	add_date(out, spec->date_s);
	buf_addf(out, "From: <%s>\r\nTo: %s\r\nSubject: %s\r\n", spec->from, spec->to,
		spec->subject ? spec->subject : message->token);
	buf_addf(out, "Message-ID: <%s@mailrig>\r\nX-Mailrig-Token: %s\r\n", message->token,
		message->token);
	buf_add_str(out, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n");
	message->body_at = out->len;
	add_body(out, rng, bytes);
	hash_bytes(out->data + message->body_at, out->len - message->body_at, message->body_sha256);
}

static void add_lines(struct buf *out, const char *bytes, size_t len)
{
	while (len) {
		const char *lf = memchr(bytes, '\n', len);
		size_t all = lf ? (size_t)(lf - bytes) + 1 : len, text = lf ? all - 1 : all;

		if (text && bytes[text - 1] == '\r')
			text--;
		buf_add(out, bytes, text);
		buf_add(out, "\r\n", 2);
		bytes += all;
		len -= all;
	}
}

void message_wrap(struct message *message, struct rng *rng, const char *bytes, size_t len)
{
	struct buf *out = &message->text;
	const char *lf = memchr(bytes, '\n', len), *body;
	struct message_seen seen;

	*message = (struct message){0};
	make_token(rng, message->token);
	buf_addf(out, "X-Mailrig-Token: %s\r\n", message->token);
	if (lf && len >= 5 && !memcmp(bytes, "From ", 5)) {
		len -= (size_t)(lf - bytes) + 1;
		bytes = lf + 1;
	}
	add_lines(out, bytes, len);
	body = memmem(out->data, out->len, "\r\n\r\n", 4);
	if (!body)
		buf_add(out, "\r\n", 2);
	message->body_at = body ? (size_t)(body - out->data) + 4 : out->len;
	message_look(out->data, out->len, &seen);
	memcpy(message->body_sha256, seen.body_sha256, sizeof(seen.body_sha256));
}

void message_free(struct message *message)
{
	if (message)
		buf_free(&message->text);
}

void message_stuff(struct buf *out, const char *bytes, size_t len, bool *at_start)
{
	while (len) {
		const char *lf = memchr(bytes, '\n', len);
		size_t n = lf ? (size_t)(lf - bytes) + 1 : len;

		if (*at_start && bytes[0] == '.')
			buf_addc(out, '.');
		buf_add(out, bytes, n);
		*at_start = lf;
		bytes += n;
		len -= n;
	}
}

bool message_is_copy(const struct message_seen *seen, const char *token, const char *body_sha256)
{
	return seen->whole && !strcmp(seen->token, token) &&
	       !strcmp(seen->body_sha256, body_sha256);
}

#include "mail/pop3.h"

#include "base/clock.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

static void dead(struct pop3 *pop3, const char *doing, int rc)
{
	mail_failure(pop3->failure, doing, rc, &pop3->opts);
	pop3->alive = false;
	line_reset(&pop3->line);
}

static int moment(struct pop3 *pop3, const char *name, const char *suffix)
{
	char text[64];
	int rc;

	snprintf(text, sizeof(text), "%s%s", name, suffix);
	rc = mail_moment(&pop3->opts, "pop3", text, NULL);
	if (!rc)
		return 0;
	pop3->moment_rc = rc;
	dead(pop3, text, -ECANCELED);
	return -ECANCELED;
}

void pop3_open(struct pop3 *pop3, int fd, const struct mail_opts *opts)
{
	*pop3 = (struct pop3){
		.opts = *opts,
		.alive = true,
		.sent_ns = MAIL_NOT_REACHED,
		.reply_ns = MAIL_NOT_REACHED,
	};
	line_open(&pop3->line, fd, opts->group);
}

void pop3_close(struct pop3 *pop3)
{
	if (!pop3)
		return;
	pop3->alive = false;
	line_close(&pop3->line);
}

void pop3_items_free(struct pop3_items *items)
{
	if (!items)
		return;
	free(items->items);
	*items = (struct pop3_items){0};
}

/* The status line: OK or NO; MAYBE when it did not come or is none. */
static enum mail_outcome read_status(struct pop3 *pop3, const char *doing)
{
	struct buf text auto_buf = {0};
	int rc;

	pop3->line.deadline_ns = mail_reply_deadline(&pop3->opts);
	rc = line_read(&pop3->line, POP3_LINE_MAX, &text);
	if (!rc) {
		mail_text(pop3->reply, sizeof(pop3->reply), buf_text(&text), text.len);
		pop3->reply_ns = mail_now(&pop3->opts);
		if (!strncmp(buf_text(&text), "+OK", 3))
			return MAIL_OK;
		if (!strncmp(buf_text(&text), "-ERR", 4))
			return MAIL_NO;
		rc = -EPROTO;
	}
	dead(pop3, doing, rc);
	return MAIL_MAYBE;
}

static void command_name(const char *text, char out[static 32])
{
	size_t n = 0;

	for (; n < 31 && isalnum((unsigned char)text[n]); n++)
		out[n] = (char)tolower((unsigned char)text[n]);
	out[n] = '\0';
}

/* Send a line and read its status line; the moment after the reply is the caller's. */
static enum mail_outcome exchange(struct pop3 *pop3, const char *name, const char *text)
{
	struct buf line auto_buf = {0};
	size_t done = 0;
	int rc;

	pop3->reply[0] = '\0';
	pop3->sent_ns = pop3->reply_ns = MAIL_NOT_REACHED;
	if (!pop3->alive || strpbrk(text, "\r\n") || moment(pop3, name, ""))
		return MAIL_NO;
	buf_addf(&line, "%s\r\n", text);
	pop3->line.deadline_ns = mail_reply_deadline(&pop3->opts);
	rc = line_write(&pop3->line, line.data, line.len, &done);
	if (done < line.len) {
		dead(pop3, name, rc);
		return MAIL_NO;
	}
	pop3->sent_ns = mail_now(&pop3->opts);
	return read_status(pop3, name);
}

enum mail_outcome pop3_send(struct pop3 *pop3, const char *text)
{
	char name[32];
	enum mail_outcome outcome;

	command_name(text, name);
	outcome = exchange(pop3, name, text);
	if (outcome != MAIL_MAYBE && pop3->alive)
		moment(pop3, name, "/reply");
	return outcome;
}

typedef void line_fn(void *arg, struct buf *line);

/* A command with a multi-line answer; `each` sees every line, dots unstuffed, with its end. */
static enum mail_outcome multi(
	struct pop3 *pop3, const char *text, uint64_t max_bytes, line_fn *each, void *arg)
{
	char name[32];
	enum mail_outcome outcome;
	uint64_t bytes = 0;

	command_name(text, name);
	outcome = exchange(pop3, name, text);
	while (outcome == MAIL_OK) {
		struct buf line auto_buf = {0};
		int rc = line_read_raw(&pop3->line, LINE_MAX_BYTES, &line);

		bytes += line.len;
		if (rc || bytes > max_bytes) {
			dead(pop3, name, rc ? rc : -EMSGSIZE);
			return MAIL_MAYBE;
		}
		if (!strcmp(line.data, ".\r\n") || !strcmp(line.data, ".\n"))
			break;
		if (line.data[0] == '.')
			buf_consume(&line, 1);
		each(arg, &line);
	}
	if (outcome != MAIL_MAYBE && pop3->alive) {
		pop3->reply_ns = mail_now(&pop3->opts);
		moment(pop3, name, "/reply");
	}
	return outcome;
}

enum mail_outcome pop3_greet(struct pop3 *pop3)
{
	enum mail_outcome outcome;

	if (moment(pop3, "connected", ""))
		return MAIL_NO;
	outcome = read_status(pop3, "greeting");
	if (outcome != MAIL_OK)
		pop3->alive = false;
	return outcome;
}

enum mail_outcome pop3_login(struct pop3 *pop3, const char *user, const char *password)
{
	auto_free char *first = text_fmt("USER %s", user);
	auto_free char *second = text_fmt("PASS %s", password);
	enum mail_outcome outcome = pop3_send(pop3, first);

	return outcome == MAIL_OK ? pop3_send(pop3, second) : outcome;
}

enum mail_outcome pop3_stat(struct pop3 *pop3, uint32_t *ret_count, uint64_t *ret_bytes)
{
	enum mail_outcome outcome = pop3_send(pop3, "STAT");

	if (outcome == MAIL_OK &&
		sscanf(pop3->reply, "+OK %9" SCNu32 " %18" SCNu64, ret_count, ret_bytes) != 2) {
		dead(pop3, "stat", -EPROTO);
		return MAIL_MAYBE;
	}
	return outcome;
}

static struct pop3_item *more(struct pop3_items *items)
{
	if (items->count == POP3_MESSAGES_MAX)
		return NULL;
	if (!(items->count & (items->count - 1)))
		items->items = mem_grow(
			items->items, items->count ? items->count * 2 : 1, sizeof(*items->items));
	items->items[items->count] = (struct pop3_item){0};
	return &items->items[items->count++];
}

static void list_line(void *arg, struct buf *line)
{
	struct pop3_item *item = more(arg);

	if (item)
		sscanf(line->data, "%9" SCNu32 " %18" SCNu64, &item->number, &item->size_bytes);
}

static void uidl_line(void *arg, struct buf *line)
{
	struct pop3_item *item = more(arg);

	if (item)
		sscanf(line->data, "%9" SCNu32 " %70s", &item->number, item->uidl);
}

enum mail_outcome pop3_list(struct pop3 *pop3, struct pop3_items *items)
{
	*items = (struct pop3_items){0};
	return multi(pop3, "LIST", (uint64_t)POP3_MESSAGES_MAX * 40, list_line, items);
}

enum mail_outcome pop3_uidl(struct pop3 *pop3, struct pop3_items *items)
{
	*items = (struct pop3_items){0};
	return multi(pop3, "UIDL", (uint64_t)POP3_MESSAGES_MAX * 90, uidl_line, items);
}

static void scan_line(void *arg, struct buf *line)
{
	message_scan_add(arg, line->data, line->len);
}

enum mail_outcome pop3_retr(struct pop3 *pop3, uint32_t number, struct message_seen *ret)
{
	auto_free char *text = text_fmt("RETR %" PRIu32, number);
	struct message_scan *scan = message_scan_new();
	enum mail_outcome outcome = multi(pop3, text, MESSAGE_READ_MAX, scan_line, scan);

	message_scan_end(scan, ret);
	message_scan_free(scan);
	return outcome;
}

enum mail_outcome pop3_dele(struct pop3 *pop3, uint32_t number)
{
	auto_free char *text = text_fmt("DELE %" PRIu32, number);

	return pop3_send(pop3, text);
}

bool pop3_wait(struct pop3 *pop3, int64_t deadline_ns)
{
	if (!pop3->alive)
		return true;
	pop3->line.deadline_ns = deadline_ns;
	return line_readable(&pop3->line) != 0;
}

void pop3_reset(struct pop3 *pop3)
{
	pop3->alive = false;
	line_reset(&pop3->line);
}

enum mail_outcome pop3_quit(struct pop3 *pop3)
{
	enum mail_outcome outcome = pop3_send(pop3, "QUIT");

	pop3_close(pop3);
	return outcome;
}

#include "control.h"

#include "common.h"
#include "config.h"
#include "convert.h"
#include "db.h"
#include "move.h"
#include "notify.h"
#include "settings.h"
#include "task.h"
#include "wal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 4
#define FOR_EVER  (-1)

/* One request: its words, and what comes with a message. */
struct request {
	struct conn *conn;
	char *words[WORDS_MAX]; /* the last one holds the rest of the line */
	size_t count;
	char *rcpts[RCPTS_MAX];
	size_t rcpt_count;
	char *mail;
	size_t mail_len;
	struct bytes answer;
};

static void answer_rc(struct request *request, int rc)
{
	if (!rc)
		bytes_addf(&request->answer, "OK\n");
	else if (rc == -ENOENT)
		bytes_addf(&request->answer, "NO 550 5.1.1 no such user or mailbox\n");
	else if (rc == -EEXIST)
		bytes_addf(&request->answer, "NO 550 it exists\n");
	else if (rc == -ENOSPC)
		bytes_addf(&request->answer, "NO 452 4.3.1 the store is full\n");
	else
		bytes_addf(&request->answer, "NO 451 4.3.0 %s\n",
			rc == -EAGAIN ? "the store is not mounted or too busy" : strerror(-rc));
}

static uint32_t id_of(const struct request *request)
{
	return (uint32_t)strtoul(request->words[1], NULL, 10);
}

/* ---- what mail needs: tasks, inside an operation ---- */

static void submit(struct request *request)
{
	uint32_t id;
	int rc = db_submit(request->words[1], request->rcpts, request->rcpt_count, request->mail,
		request->mail_len, &id);

	if (rc)
		answer_rc(request, rc);
	else
		bytes_addf(&request->answer, "OK %u\n", id);
}

static void deliver(struct request *request)
{
	int rc = db_deliver(id_of(request), request->words[2], request->words[3]);

	if (!rc)
		notify_changed(request->words[3], "INBOX");
	answer_rc(request, rc);
}

static void done(struct request *request)
{
	answer_rc(request, db_transit_done(id_of(request), request->words[2]));
}

static void get(struct request *request)
{
	char from[ADDRESS_MAX];
	struct content *content = db_transit(id_of(request), from);
	struct bytes mail = {0};

	if (!content) {
		answer_rc(request, -ENOENT);
		return;
	}
	convert_out(content->data, content->len, &mail);
	bytes_addf(&request->answer, "OK %zu <%s>\n", mail.len, from);
	bytes_add(&request->answer, mail.data, mail.len);
	bytes_free(&mail);
	content_unref(content);
}

static void compose_bounce(
	struct bytes *out, const char *to, const struct request *request, const struct bytes *mail)
{
	size_t header = mail->len < 16384 ? mail->len : 16384;
	const char *end = memmem(mail->data, header, "\r\n\r\n", 4);

	bytes_addf(out,
		"From: Mail Delivery System <MAILER-DAEMON@store>\r\nTo: <%s>\r\n"
		"Subject: Undelivered mail\r\nAuto-Submitted: auto-replied\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=delivery-status; boundary=\"part\"\r\n"
		"\r\n--part\r\nContent-Type: text/plain\r\n\r\n"
		"Your mail could not be delivered to <%s>:\r\n%s\r\n"
		"\r\n--part\r\nContent-Type: message/delivery-status\r\n\r\n"
		"Reporting-MTA: dns; store\r\n\r\nFinal-Recipient: rfc822; %s\r\n"
		"Action: failed\r\nStatus: 5.0.0\r\n"
		"\r\n--part\r\nContent-Type: text/rfc822-headers\r\n\r\n",
		to, request->words[2], request->words[3], request->words[2]);
	bytes_add(out, mail->data, end ? (size_t)(end + 2 - mail->data) : 0);
	bytes_addf(out, "\r\n--part--\r\n");
}

/* A notification to the return path, if there is one, in place of the recipient. */
static void bounce(struct request *request)
{
	char from[ADDRESS_MAX], *to = from;
	struct content *content = db_transit(id_of(request), from);
	struct bytes mail = {0}, text = {0};
	uint32_t id = 0;
	int rc = 0;

	if (content && *from) {
		convert_out(content->data, content->len, &mail);
		compose_bounce(&text, from, request, &mail);
		rc = db_submit("", &to, 1, text.data, text.len, &id);
	}
	if (!rc)
		rc = db_transit_done(id_of(request), request->words[2]);
	if (rc)
		answer_rc(request, rc);
	else
		bytes_addf(&request->answer, "OK %u <%s>\n", id, content && *from ? from : "");
	content_unref(content);
	bytes_free(&mail);
	bytes_free(&text);
}

static void list(struct request *request)
{
	bytes_addf(&request->answer, "OK\n");
	db_transit_list(&request->answer);
	bytes_addf(&request->answer, ".\n");
}

static void user(struct request *request)
{
	answer_rc(request, db_has_user(request->words[1]) ? 0 : -ENOENT);
}

/* ---- what the administrator asks ---- */

static void user_add(struct request *request)
{
	answer_rc(request, db_user_add(request->words[1]));
}

static void user_delete(struct request *request)
{
	answer_rc(request, db_user_delete(request->words[1]));
}

static void mailbox_delete(struct request *request)
{
	answer_rc(request, db_mailbox_delete(request->words[1], request->words[2]));
}

static void move(struct request *request)
{
	answer_rc(request, move_mailbox(request->words[1]));
}

static void mount_it(struct request *request)
{
	answer_rc(request, db_mount());
}

static void dismount(struct request *request)
{
	answer_rc(request, db_dismount());
}

static void freeze(struct request *request)
{
	wal_freeze();
	answer_rc(request, 0);
}

static void thaw(struct request *request)
{
	wal_thaw();
	answer_rc(request, 0);
}

static void set(struct request *request)
{
	int rc = setting_set(request->words[1], request->words[2]);

	answer_rc(request, rc ? rc : settings_save(config_path("settings")));
}

static void status(struct request *request)
{
	bytes_addf(&request->answer,
		"OK frozen %d log_waiting %zu tasks_busy %u tasks_waiting %u registrations %u\n",
		wal_frozen(), wal_waiting(), tasks_busy(), tasks_waiting(), notify_registrations());
}

/* What only the store can count, a line each. */
static void figures(struct request *request)
{
	bytes_addf(&request->answer,
		"registrations %u\nlog_buffer_bytes %zu\ncommits_waiting %u\n"
		"conversions_waiting %u\ntasks_waiting %u\nOK\n",
		notify_registrations(), wal_waiting(), wal_committing(), conversions_waiting(),
		tasks_waiting());
}

static const struct {
	const char *name;
	size_t words;
	bool task, operation;
	void (*run)(struct request *request);
} commands[] = {
	{"SUBMIT", 4, true, true, submit},
	{"DELIVER", 4, true, true, deliver},
	{"DONE", 3, true, true, done},
	{"BOUNCE", 4, true, true, bounce},
	{"GET", 2, true, true, get},
	{"LIST", 1, true, true, list},
	{"USER", 2, true, true, user},
	{"USERADD", 2, false, true, user_add},
	{"USERDEL", 2, false, true, user_delete},
	{"MBOXDEL", 3, false, true, mailbox_delete},
	{"MOVE", 2, false, true, move},
	{"MOUNT", 1, false, false, mount_it},
	{"DISMOUNT", 1, false, false, dismount},
	{"FREEZE", 1, false, false, freeze},
	{"THAW", 1, false, false, thaw},
	{"SET", 3, false, false, set},
	{"STATUS", 1, false, false, status},
	{"FIGURES", 1, false, false, figures},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* ---- requests ---- */

static size_t command_of(const struct request *request)
{
	for (size_t i = 0; request->count && i < COMMANDS; i++)
		if (!strcmp(commands[i].name, request->words[0]) &&
			request->count == commands[i].words)
			return i;
	return COMMANDS;
}

static void run(void *arg)
{
	struct request *request = arg;
	size_t which = command_of(request);

	if (!commands[which].operation) {
		commands[which].run(request);
	} else if (db_begin()) {
		answer_rc(request, -EAGAIN);
	} else {
		commands[which].run(request);
		db_end();
	}
}

static void split(struct request *request, char *line, size_t max)
{
	while (*line && request->count < max) {
		request->words[request->count++] = line;
		line += request->count == max ? strlen(line) : strcspn(line, " ");
		if (*line)
			*line++ = '\0';
	}
}

/* What follows SUBMIT: the recipients and the message. */
static int read_mail(struct request *request)
{
	unsigned long count = strtoul(request->words[2], NULL, 10);
	unsigned long len = strtoul(request->words[3], NULL, 10);
	char line[ADDRESS_MAX];

	if (!count || count > RCPTS_MAX || len > MAIL_MAX_BYTES + LINE_MAX_BYTES)
		return -EINVAL;
	while (request->rcpt_count < count) {
		int rc = conn_line(request->conn, line, sizeof(line), FOR_EVER);

		if (rc < 0)
			return rc;
		request->rcpts[request->rcpt_count++] = must_copy(line);
	}
	request->mail_len = len;
	request->mail = must_zero(len + 1);
	return conn_read(request->conn, request->mail, len, FOR_EVER);
}

/* <FROM> without its brackets, which keep an empty one a word. */
static void strip_brackets(struct request *request)
{
	char *from = request->words[1];

	from[strcspn(from, ">")] = '\0';
	request->words[1] += *from == '<';
}

static int serve_one(struct conn *conn, char *line)
{
	struct request request = {.conn = conn};
	size_t which;
	int rc = 0;

	split(&request, line, WORDS_MAX);
	which = command_of(&request);
	if (which == COMMANDS) {
		bytes_addf(&request.answer, "NO 500 no such command\n");
	} else if (!strcmp(commands[which].name, "SUBMIT")) {
		strip_brackets(&request);
		rc = read_mail(&request);
	}
	if (!rc && which < COMMANDS) {
		if (!commands[which].task)
			run(&request);
		else if (task_call(run, &request))
			answer_rc(&request, -EAGAIN);
	}
	if (!rc)
		rc = conn_write(conn, request.answer.data, request.answer.len);
	for (size_t i = 0; i < request.rcpt_count; i++)
		free(request.rcpts[i]);
	free(request.mail);
	bytes_free(&request.answer);
	db_checkpoint_if_due();
	return rc;
}

void control_serve(int fd)
{
	struct conn *conn = must_zero(sizeof(*conn));
	char line[LINE_MAX_BYTES];

	conn_open(conn, fd);
	while (conn_line(conn, line, sizeof(line), FOR_EVER) >= 0 && !serve_one(conn, line))
		;
	conn_close(conn);
	free(conn);
}

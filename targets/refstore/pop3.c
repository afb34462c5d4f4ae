#include "pop3.h"

#include "common.h"
#include "convert.h"
#include "db.h"
#include "notify.h"
#include "task.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define AUTOLOGOUT_MS (10 * 60 * 1000)
#define DROPS_MAX     64

struct pop3 {
	struct conn conn;
	char user[ADDRESS_MAX];
	bool locked;
	struct view drop; /* flags: FLAG_DELETED marks what QUIT removes */
};

/* ---- the maildrop lock ---- */

static struct {
	pthread_mutex_t lock;
	char users[DROPS_MAX][ADDRESS_MAX];
} drops = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool drop_lock(const char *user)
{
	size_t free_slot = DROPS_MAX;

	pthread_mutex_lock(&drops.lock);
	for (size_t i = 0; i < DROPS_MAX; i++) {
		if (!strcasecmp(drops.users[i], user)) {
			free_slot = DROPS_MAX;
			break;
		}
		if (!*drops.users[i] && free_slot == DROPS_MAX)
			free_slot = i;
	}
	if (free_slot < DROPS_MAX)
		snprintf(drops.users[free_slot], ADDRESS_MAX, "%s", user);
	pthread_mutex_unlock(&drops.lock);
	return free_slot < DROPS_MAX;
}

static void drop_unlock(const char *user)
{
	pthread_mutex_lock(&drops.lock);
	for (size_t i = 0; i < DROPS_MAX; i++)
		if (!strcasecmp(drops.users[i], user))
			*drops.users[i] = '\0';
	pthread_mutex_unlock(&drops.lock);
}

/* ---- commands ---- */

static const char *pass(struct pop3 *pop3, const char *password)
{
	bool known = false;
	const char *wrong = "-ERR [AUTH] wrong name or password";

	if (db_begin())
		return "-ERR [SYS/TEMP] the store is not mounted";
	known = *pop3->user && db_has_user(pop3->user) && !strcmp(pop3->user, password);
	if (known && !drop_lock(pop3->user)) {
		known = false;
		wrong = "-ERR [IN-USE] the maildrop is locked";
	}
	pop3->locked = known && !db_view(pop3->user, "INBOX", &pop3->drop);
	db_end();
	for (size_t i = 0; i < pop3->drop.count; i++)
		pop3->drop.items[i].flags = 0;
	return known ? "+OK" : wrong;
}

static struct view_item *item_of(struct pop3 *pop3, const char *number)
{
	unsigned long n = strtoul(number, NULL, 10);
	struct view_item *item = n && n <= pop3->drop.count ? &pop3->drop.items[n - 1] : NULL;

	return item && !(item->flags & FLAG_DELETED) ? item : NULL;
}

static void answer_one(struct pop3 *pop3, size_t i, bool uidl, struct bytes *out)
{
	const struct view_item *item = &pop3->drop.items[i];

	if (uidl)
		bytes_addf(out, "%zu %u.%u\r\n", i + 1, pop3->drop.uidvalidity, item->uid);
	else
		bytes_addf(out, "%zu %zu\r\n", i + 1, item->size);
}

static void list(struct pop3 *pop3, const char *number, bool uidl, struct bytes *out)
{
	if (*number) {
		struct view_item *item = item_of(pop3, number);

		bytes_addf(out, item ? "+OK " : "-ERR no such message\r\n");
		if (item)
			answer_one(pop3, (size_t)(item - pop3->drop.items), uidl, out);
		return;
	}
	bytes_addf(out, "+OK\r\n");
	for (size_t i = 0; i < pop3->drop.count; i++)
		if (!(pop3->drop.items[i].flags & FLAG_DELETED))
			answer_one(pop3, i, uidl, out);
	bytes_addf(out, ".\r\n");
}

static void stat(struct pop3 *pop3, struct bytes *out)
{
	size_t count = 0, size = 0;

	for (size_t i = 0; i < pop3->drop.count; i++) {
		bool there = !(pop3->drop.items[i].flags & FLAG_DELETED);

		count += there;
		size += there ? pop3->drop.items[i].size : 0;
	}
	bytes_addf(out, "+OK %zu %zu\r\n", count, size);
}

static void add_stuffed(struct bytes *out, const struct bytes *mail)
{
	const char *at = mail->data, *end = mail->data + mail->len;

	while (at && at < end) {
		const char *next = memchr(at, '\n', (size_t)(end - at));

		next = next ? next + 1 : end;
		if (*at == '.')
			bytes_add(out, ".", 1);
		bytes_add(out, at, (size_t)(next - at));
		at = next;
	}
	if (mail->len && mail->data[mail->len - 1] != '\n')
		bytes_add(out, "\r\n", 2);
	bytes_add(out, ".\r\n", 3);
}

static void retr(struct pop3 *pop3, const char *number, struct bytes *out)
{
	struct view_item *item = item_of(pop3, number);
	struct content *content = NULL;
	struct bytes mail = {0};

	if (item && !db_begin()) {
		content = db_content(pop3->user, "INBOX", item->uid);
		if (content)
			convert_out(content->data, content->len, &mail);
		db_end();
	}
	bytes_addf(out, content ? "+OK\r\n" : "-ERR no such message\r\n");
	if (content)
		add_stuffed(out, &mail);
	content_unref(content);
	bytes_free(&mail);
}

static const char *quit(struct pop3 *pop3)
{
	if (!pop3->locked)
		return "+OK";
	if (db_begin())
		return "-ERR the store is not mounted, nothing was removed";
	for (size_t i = 0; i < pop3->drop.count; i++)
		if (pop3->drop.items[i].flags & FLAG_DELETED)
			db_expunge(pop3->user, "INBOX", pop3->drop.items[i].uid);
	db_commit();
	db_end();
	notify_changed(pop3->user, "INBOX");
	return "+OK";
}

static void transaction(struct pop3 *pop3, const char *word, const char *arg, struct bytes *out)
{
	struct view_item *item = item_of(pop3, arg);

	if (!strcasecmp(word, "STAT"))
		stat(pop3, out);
	else if (!strcasecmp(word, "LIST") || !strcasecmp(word, "UIDL"))
		list(pop3, arg, !strcasecmp(word, "UIDL"), out);
	else if (!strcasecmp(word, "RETR"))
		retr(pop3, arg, out);
	else if (!strcasecmp(word, "DELE") && item)
		item->flags |= FLAG_DELETED;
	else if (!strcasecmp(word, "RSET"))
		for (size_t i = 0; i < pop3->drop.count; i++)
			pop3->drop.items[i].flags = 0;
	else if (strcasecmp(word, "NOOP"))
		bytes_addf(out, "-ERR\r\n");
	if (!out->len)
		bytes_addf(out, "+OK\r\n");
}

/* False: the session is over. */
static bool command(struct pop3 *pop3, char *line)
{
	char *arg = line + strcspn(line, " ");
	struct bytes out = {0};
	bool go_on = strcasecmp(line, "QUIT") != 0;

	if (*arg)
		*arg++ = '\0';
	if (!strcasecmp(line, "CAPA"))
		bytes_addf(&out, "+OK\r\nUSER\r\nUIDL\r\n.\r\n");
	else if (!go_on)
		bytes_addf(&out, "%s\r\n", quit(pop3));
	else if (pop3->locked)
		transaction(pop3, line, arg, &out);
	else if (!strcasecmp(line, "USER"))
		bytes_addf(&out, "+OK\r\n");
	else if (!strcasecmp(line, "PASS"))
		bytes_addf(&out, "%s\r\n", pass(pop3, arg));
	else
		bytes_addf(&out, "-ERR log in first\r\n");
	if (!strcasecmp(line, "USER") && !pop3->locked)
		snprintf(pop3->user, sizeof(pop3->user), "%.*s", (int)sizeof(pop3->user) - 1, arg);
	if (conn_write(&pop3->conn, out.data, out.len))
		go_on = false;
	bytes_free(&out);
	return go_on;
}

void pop3_serve(int fd)
{
	struct pop3 *pop3 = must_zero(sizeof(*pop3));
	char line[1024];

	conn_open(&pop3->conn, fd);
	conn_printf(&pop3->conn, "+OK refstore ready\r\n");
	while (conn_line(&pop3->conn, line, sizeof(line), AUTOLOGOUT_MS) >= 0 &&
		command(pop3, line))
		;
	if (pop3->locked)
		drop_unlock(pop3->user);
	view_free(&pop3->drop);
	conn_close(&pop3->conn);
	free(pop3);
}

/* ---- web mail: one page, made by a task thread ---- */

static void web_page(void *arg)
{
	struct bytes *page = arg;
	bool mounted = !db_begin();

	if (mounted)
		db_end();
	bytes_addf(page, "<!doctype html><title>refstore</title><p>The store is %s.\n",
		mounted ? "mounted" : "not mounted");
}

void web_serve(int fd)
{
	struct conn *conn = must_zero(sizeof(*conn));
	char line[LINE_MAX_BYTES];
	struct bytes page = {0};
	int rc;

	conn_open(conn, fd);
	do
		rc = conn_line(conn, line, sizeof(line), AUTOLOGOUT_MS);
	while (rc > 0);
	if (!rc && !task_call(web_page, &page))
		conn_printf(conn,
			"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %zu\r\n"
			"Connection: close\r\n\r\n%s",
			page.len, page.data);
	bytes_free(&page);
	conn_close(conn);
	free(conn);
}

#include "imap.h"

#include "notify.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define CAPABILITIES "IMAP4rev1 IDLE UIDPLUS LITERAL+"
#define IDLE_MS	     (30 * 60 * 1000)

void imap_flush(struct imap_session *session)
{
	if (session->out.len && conn_write(&session->conn, session->out.data, session->out.len))
		session->over = true;
	session->out.len = 0;
}

/* ---- what changed ---- */

static void tell_flags(struct imap_session *session, size_t number, const struct view_item *item)
{
	bytes_addf(&session->out, "* %zu FETCH (UID %u FLAGS ", number, item->uid);
	imap_add_flags(&session->out, item->flags);
	bytes_addf(&session->out, ")\r\n");
}

/* What was shown and is still there, or must still be counted; the number that stays. */
static size_t keep_shown(struct imap_session *session, const struct view *now, bool expunges)
{
	struct view *shown = &session->shown;
	size_t kept = 0, j = 0;

	for (size_t i = 0; i < shown->count; i++) {
		struct view_item item = shown->items[i];

		while (j < now->count && now->items[j].uid < item.uid)
			j++;
		if (j == now->count || now->items[j].uid != item.uid) {
			if (expunges) {
				bytes_addf(&session->out, "* %zu EXPUNGE\r\n", kept + 1);
				continue;
			}
		} else {
			bool tell =
				now->items[j].modseq != item.modseq && !(item.flags & IMAP_UNTOLD);

			item = now->items[j];
			if (tell)
				tell_flags(session, kept + 1, &item);
		}
		shown->items[kept++] = item;
	}
	return kept;
}

void imap_sync(struct imap_session *session, bool expunges)
{
	struct view *shown = &session->shown, now;
	uint32_t last = shown->count ? shown->items[shown->count - 1].uid : 0;
	size_t before, first = 0;

	if (!session->selected || db_view(session->user, session->mailbox, &now))
		return;
	if (now.uidvalidity != shown->uidvalidity) { /* another mailbox of that name */
		bytes_addf(&session->out, "* BYE the mailbox was deleted\r\n");
		session->over = true;
		view_free(&now);
		return;
	}
	if (last < shown->uidnext - 1)
		last = shown->uidnext - 1;
	before = shown->count = keep_shown(session, &now, expunges);
	while (first < now.count && now.items[first].uid <= last)
		first++;
	if (first < now.count) {
		shown->items = realloc(
			shown->items, (before + now.count - first + 1) * sizeof(*shown->items));
		if (!shown->items)
			abort();
		memcpy(shown->items + before, now.items + first,
			(now.count - first) * sizeof(*shown->items));
		shown->count += now.count - first;
		bytes_addf(&session->out, "* %zu EXISTS\r\n", shown->count);
	}
	shown->uidnext = now.uidnext;
	view_free(&now);
}

/* ---- commands ---- */

static const char *login(struct imap_session *session, struct imap_args *args)
{
	bool known;

	if (args->count != 4 || strlen(args->at[2]) >= sizeof(session->user))
		return IMAP_BAD;
	if (db_begin())
		return IMAP_UNAVAILABLE;
	known = db_has_user(args->at[2]) && !strcmp(args->at[2], args->at[3]);
	db_end();
	if (!known)
		return "NO [AUTHENTICATIONFAILED] wrong name or password";
	snprintf(session->user, sizeof(session->user), "%s", args->at[2]);
	return "OK [CAPABILITY " CAPABILITIES "] logged in";
}

static const char *select_mailbox(struct imap_session *session, struct imap_args *args)
{
	bool examine = !strcasecmp(args->at[1], "EXAMINE");
	struct view *shown = &session->shown;
	int rc;

	if (args->count != 3 || strlen(args->at[2]) >= sizeof(session->mailbox))
		return IMAP_BAD;
	session->selected = false;
	view_free(shown);
	if (db_begin())
		return IMAP_UNAVAILABLE;
	rc = db_view(session->user, args->at[2], shown);
	db_end();
	if (rc)
		return "NO there is no such mailbox";
	snprintf(session->mailbox, sizeof(session->mailbox), "%s", args->at[2]);
	session->selected = true;
	session->readonly = examine;
	bytes_addf(&session->out,
		"* FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft)\r\n"
		"* OK [PERMANENTFLAGS (%s)] kept\r\n"
		"* %zu EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY %u] valid\r\n"
		"* OK [UIDNEXT %u] next\r\n",
		examine ? "" : "\\Seen \\Answered \\Flagged \\Deleted \\Draft", shown->count,
		shown->uidvalidity, shown->uidnext);
	return examine ? "OK [READ-ONLY] selected" : "OK [READ-WRITE] selected";
}

static const char *status(struct imap_session *session, struct imap_args *args)
{
	struct view view;
	uint32_t unseen = 0;
	int rc;

	if (args->count != 4)
		return IMAP_BAD;
	if (db_begin())
		return IMAP_UNAVAILABLE;
	rc = db_view(session->user, args->at[2], &view);
	db_end();
	if (rc)
		return "NO there is no such mailbox";
	for (size_t i = 0; i < view.count; i++)
		unseen += !(view.items[i].flags & FLAG_SEEN);
	bytes_addf(&session->out, "* STATUS ");
	imap_quoted(&session->out, args->at[2]);
	bytes_addf(&session->out,
		" (MESSAGES %zu RECENT 0 UIDNEXT %u UIDVALIDITY %u UNSEEN %u)\r\n", view.count,
		view.uidnext, view.uidvalidity, unseen);
	view_free(&view);
	return "OK STATUS completed";
}

struct listing {
	struct bytes *out;
	const char *pattern;
};

/* `*` and `%` match anything: there is no hierarchy. */
static bool matches(const char *pattern, const char *name)
{
	if (!*pattern)
		return !*name;
	if (*pattern == '*' || *pattern == '%')
		return matches(pattern + 1, name) || (*name && matches(pattern, name + 1));
	return *pattern == *name && matches(pattern + 1, name + 1);
}

static void list_one(void *arg, const char *mailbox)
{
	struct listing *listing = arg;

	if (!matches(listing->pattern, mailbox))
		return;
	bytes_addf(listing->out, "* LIST (\\HasNoChildren) \"/\" ");
	imap_quoted(listing->out, mailbox);
	bytes_addf(listing->out, "\r\n");
}

static const char *list(struct imap_session *session, struct imap_args *args)
{
	struct listing listing = {&session->out, args->count == 4 ? args->at[3] : ""};

	if (args->count != 4 || strlen(args->at[3]) > 64)
		return IMAP_BAD;
	if (!*args->at[3]) { /* RFC 3501, 6.3.8: the delimiter is asked for */
		bytes_addf(&session->out, "* LIST (\\Noselect) \"/\" \"\"\r\n");
		return "OK LIST completed";
	}
	if (db_begin())
		return IMAP_UNAVAILABLE;
	db_mailbox_list(session->user, list_one, &listing);
	db_end();
	return "OK LIST completed";
}

static const char *create_or_delete(struct imap_session *session, struct imap_args *args)
{
	bool create = !strcasecmp(args->at[1], "CREATE");
	int rc;

	if (args->count != 3 || !*args->at[2] || strlen(args->at[2]) >= MAILBOX_NAME_MAX)
		return IMAP_BAD;
	if (db_begin())
		return IMAP_UNAVAILABLE;
	rc = create ? db_mailbox_create(session->user, args->at[2])
		    : db_mailbox_delete(session->user, args->at[2]);
	db_end();
	return rc == -EEXIST ? "NO it exists" : rc ? "NO there is no such mailbox" : "OK completed";
}

static const char *search(struct imap_session *session, struct imap_args *args, size_t at, bool uid)
{
	const char *key = args->count == at + 1 ? args->at[at] : "";
	struct view *shown = &session->shown;
	uint32_t max =
		uid && shown->count ? shown->items[shown->count - 1].uid : (uint32_t)shown->count;
	bool all = !strcasecmp(key, "ALL"), unseen = !strcasecmp(key, "UNSEEN"),
	     deleted = !strcasecmp(key, "DELETED");

	if (!all && !unseen && !deleted && !imap_set_ok(key))
		return "BAD only ALL, UNSEEN, DELETED or a set";
	bytes_addf(&session->out, "* SEARCH");
	for (size_t i = 0; i < shown->count; i++) {
		const struct view_item *item = &shown->items[i];
		uint32_t number = uid ? item->uid : (uint32_t)i + 1;

		if (all || (unseen && !(item->flags & FLAG_SEEN)) ||
			(deleted && item->flags & FLAG_DELETED) ||
			(imap_set_ok(key) && imap_in_set(key, number, max)))
			bytes_addf(&session->out, " %u", number);
	}
	bytes_addf(&session->out, "\r\n");
	return "OK SEARCH completed";
}

/* ---- IDLE ---- */

static int idle_wait(struct imap_session *session, struct push_notify *push)
{
	struct pollfd wait[2] = {{.fd = session->conn.fd, .events = POLLIN},
		{.fd = notify_fd(push), .events = POLLIN}};
	uint64_t pushes;

	if (session->conn.at < session->conn.len)
		return 1;
	if (poll(wait, 2, IDLE_MS) <= 0)
		return -ETIMEDOUT;
	if (wait[1].revents && read(wait[1].fd, &pushes, sizeof(pushes)) > 0 && !db_begin()) {
		imap_sync(session, true);
		db_end();
		imap_flush(session);
	}
	return session->over ? -ECONNRESET : wait[0].revents != 0;
}

static const char *idle(struct imap_session *session)
{
	struct push_notify *push = notify_subscribe(session->user, session->mailbox);
	char line[64];
	int rc;

	if (!db_begin()) { /* what came before the registration */
		imap_sync(session, true);
		db_end();
	}
	bytes_addf(&session->out, "+ idling\r\n");
	imap_flush(session);
	do
		rc = idle_wait(session, push);
	while (!rc);
	rc = rc < 0 ? rc : conn_line(&session->conn, line, sizeof(line), IDLE_MS);
	if (rc < 0) {
		notify_dropped(push);
		session->over = true;
		return "BAD the connection broke";
	}
	notify_unsubscribe(push);
	return strcasecmp(line, "DONE") ? "BAD DONE is expected" : "OK IDLE completed";
}

/* ---- dispatch ---- */

static const char *selected_command(struct imap_session *session, struct imap_args *args)
{
	bool uid = !strcasecmp(args->at[1], "UID");
	size_t at = uid ? 3 : 2;
	const char *name = uid && args->count > 2 ? args->at[2] : args->at[1];

	if (!session->selected)
		return "BAD no mailbox is selected, or no such command";
	if (!strcasecmp(name, "FETCH"))
		return imap_fetch(session, args, at, uid);
	if (!strcasecmp(name, "STORE"))
		return imap_store(session, args, at, uid);
	if (!strcasecmp(name, "COPY"))
		return imap_copy(session, args, at, uid);
	if (!strcasecmp(name, "SEARCH"))
		return search(session, args, at, uid);
	if (!strcasecmp(name, "EXPUNGE") && (uid ? args->count == 4 : args->count == 2))
		return imap_expunge(session, uid ? args->at[3] : NULL);
	if (!strcasecmp(name, "IDLE"))
		return idle(session);
	if (!strcasecmp(name, "CLOSE") || !strcasecmp(name, "UNSELECT")) {
		const char *text = "OK closed";

		session->selected = false; /* expunges are not told */
		if (!session->readonly && !strcasecmp(name, "CLOSE"))
			text = imap_expunge(session, NULL);
		return text;
	}
	return "BAD no such command";
}

static const char *user_command(
	struct imap_session *session, struct imap_args *args, struct bytes *text)
{
	const char *name = args->at[1];

	if (!*session->user)
		return !strcasecmp(name, "LOGIN") ? login(session, args)
						  : "BAD log in first, or no such command";
	if (!strcasecmp(name, "SELECT") || !strcasecmp(name, "EXAMINE"))
		return select_mailbox(session, args);
	if (!strcasecmp(name, "STATUS"))
		return status(session, args);
	if (!strcasecmp(name, "LIST"))
		return list(session, args);
	if (!strcasecmp(name, "CREATE") || !strcasecmp(name, "DELETE"))
		return create_or_delete(session, args);
	if (!strcasecmp(name, "APPEND"))
		return imap_append(session, args, text);
	return selected_command(session, args);
}

static const char *any_command(
	struct imap_session *session, struct imap_args *args, struct bytes *text)
{
	const char *name = args->count > 1 ? args->at[1] : "";

	if (!strcasecmp(name, "CAPABILITY")) {
		bytes_addf(&session->out, "* CAPABILITY " CAPABILITIES "\r\n");
		return "OK CAPABILITY completed";
	}
	if (!strcasecmp(name, "LOGOUT")) {
		bytes_addf(&session->out, "* BYE\r\n");
		session->over = true;
		return "OK LOGOUT completed";
	}
	if (strcasecmp(name, "NOOP") && strcasecmp(name, "CHECK"))
		return *name ? user_command(session, args, text) : "BAD no command";
	if (db_begin())
		return IMAP_UNAVAILABLE;
	imap_sync(session, true);
	db_end();
	return "OK NOOP completed";
}

void imap_serve(int fd)
{
	struct imap_session *session = must_zero(sizeof(*session));
	struct imap_args args = {0};

	conn_open(&session->conn, fd);
	conn_printf(&session->conn, "* OK [CAPABILITY " CAPABILITIES "] refstore ready\r\n");
	while (!session->over && !imap_read_command(session, &args)) {
		struct bytes text = {0};
		const char *reply = any_command(session, &args, &text);

		bytes_addf(&session->out, "%.64s %s\r\n", args.count ? args.at[0] : "*", reply);
		imap_flush(session);
		bytes_free(&text);
		imap_args_free(&args);
	}
	imap_args_free(&args);
	view_free(&session->shown);
	bytes_free(&session->out);
	conn_close(&session->conn);
	free(session);
}

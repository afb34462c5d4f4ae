#include "smtp.h"

#include "config.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define RETRY_FIRST_MS 2000
#define RETRY_MAX_MS   8000
#define LIST_MS	       5000 /* that a listing waits for the store */
#define RESYNC_MS      500  /* while the store does not answer */
#define GIVE_UP_MS     (5LL * 24 * 3600 * 1000)
#define THREADS	       2 /* that deliver to the store */
#define REMOTE_THREADS 4 /* that deliver to the relay */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct message *list;
	bool resync;
	int64_t resync_ms;
	pthread_rwlock_t handling;
} queue = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.handling = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP,
};

void handling_begin(void)
{
	pthread_rwlock_rdlock(&queue.handling);
}

void handling_end(void)
{
	pthread_rwlock_unlock(&queue.handling);
}

void handling_stop(void)
{
	pthread_rwlock_wrlock(&queue.handling);
}

bool local_user(const char *address, char user[ADDRESS_MAX])
{
	const char *at = strrchr(address, '@');
	size_t len = strcspn(address, "+@");

	if (at && strcasecmp(at + 1, "store"))
		return false;
	if (!len || len >= ADDRESS_MAX)
		return false;
	memcpy(user, address, len);
	user[len] = '\0';
	return true;
}

/* ---- entries ---- */

void message_ref(struct message *message)
{
	pthread_mutex_lock(&queue.lock);
	message->refs++;
	pthread_mutex_unlock(&queue.lock);
}

void message_unref(struct message *message)
{
	bool last;

	pthread_mutex_lock(&queue.lock);
	last = --message->refs == 0;
	pthread_mutex_unlock(&queue.lock);
	if (!last)
		return;
	free(message->properties);
	free(message);
}

/* With the lock held. */
static bool has(uint32_t id, const char *rcpt)
{
	for (struct message *m = queue.list; m; m = m->next)
		if (m->id == id && !strcmp(m->properties->rcpt, rcpt))
			return true;
	return false;
}

static struct message *message_new(uint32_t id, const char *rcpt, const char *from)
{
	struct message *message = must_zero(sizeof(*message));
	char user[ADDRESS_MAX];

	message->properties = must_zero(sizeof(*message->properties));
	snprintf(message->properties->rcpt, ADDRESS_MAX, "%s", rcpt);
	snprintf(message->properties->from, ADDRESS_MAX, "%s", from);
	message->id = id;
	message->refs = 1;
	message->local = local_user(plain_address(rcpt), user);
	message->properties->since_ms = message->due_ms = now_ms();
	message->retry_ms = RETRY_FIRST_MS;
	return message;
}

void queue_add(uint32_t id, const char *rcpt, const char *from)
{
	struct message *message = message_new(id, rcpt, from), **link = &queue.list;

	pthread_mutex_lock(&queue.lock);
	if (has(id, rcpt)) {
		pthread_mutex_unlock(&queue.lock);
		message_unref(message);
		return;
	}
	message->busy = true; /* nobody takes it before it is tracked */
	while (*link)
		link = &(*link)->next;
	*link = message;
	pthread_mutex_unlock(&queue.lock);
	if (!message->local)
		track_queued(message);
	pthread_mutex_lock(&queue.lock);
	message->busy = false;
	pthread_cond_broadcast(&queue.work);
	pthread_mutex_unlock(&queue.lock);
}

static void remove_message(struct message *message)
{
	struct message **link = &queue.list;

	mark("refstore/queue/remove");
	pthread_mutex_lock(&queue.lock);
	while (*link != message)
		link = &(*link)->next;
	*link = message->next;
	pthread_mutex_unlock(&queue.lock);
	message_unref(message);
}

static void later(struct message *message)
{
	pthread_mutex_lock(&queue.lock);
	message->busy = false;
	message->due_ms = now_ms() + message->retry_ms;
	message->retry_ms *= 2;
	if (message->retry_ms > RETRY_MAX_MS)
		message->retry_ms = RETRY_MAX_MS;
	pthread_cond_broadcast(&queue.work);
	pthread_mutex_unlock(&queue.lock);
}

/* ---- delivery ---- */

static int done(struct message *message)
{
	char reply[LINE_MAX_BYTES];
	struct bytes line = {0};
	int code;

	bytes_addf(&line, "DONE %u %s", message->id, message->properties->rcpt);
	code = store_ask(line.data, NULL, reply, NULL);
	bytes_free(&line);
	return code;
}

static int bounce(struct message *message, const char *why)
{
	struct bytes line = {0};
	char reply[LINE_MAX_BYTES], to[LINE_MAX_BYTES];
	uint32_t id;
	int code;

	if (message->properties->rcpt[0] == NEVER)
		return done(message);
	bytes_addf(&line, "BOUNCE %u %s %.300s", message->id, message->properties->rcpt, why);
	code = store_ask(line.data, NULL, reply, NULL);
	bytes_free(&line);
	if (code == 250 && sscanf(reply, "OK %u <%[^>]>", &id, to) == 2 && id)
		queue_add(id, to, "");
	return code;
}

static int deliver_local(struct message *message)
{
	char reply[LINE_MAX_BYTES], user[ADDRESS_MAX];
	struct bytes line = {0};
	int code;

	local_user(plain_address(message->properties->rcpt), user);
	bytes_addf(&line, "DELIVER %u %s %s", message->id, message->properties->rcpt, user);
	code = store_ask(line.data, NULL, reply, NULL);
	bytes_free(&line);
	return code / 100 == 5 ? bounce(message, reply + 3) : code;
}

static int deliver_remote(struct message *message)
{
	char reply[LINE_MAX_BYTES];
	struct bytes line = {0}, mail = {0};
	int code;

	bytes_addf(&line, "GET %u", message->id);
	code = store_ask(line.data, NULL, reply, &mail);
	if (code == 250)
		code = remote_deliver(
			&mail, message->properties->from, message->properties->rcpt, reply);
	bytes_free(&mail);
	bytes_free(&line);
	if (code / 100 == 5)
		return bounce(message, reply);
	return code / 100 == 2 ? done(message) : code;
}

static void deliver(struct message *message)
{
	int code;

	handling_begin();
	code = message->local ? deliver_local(message) : deliver_remote(message);
	if (code / 100 != 2 && now_ms() - message->properties->since_ms > GIVE_UP_MS)
		code = bounce(message, "it could not be delivered for five days");
	handling_end();
	if (code / 100 == 2)
		remove_message(message);
	else
		later(message);
}

/* ---- what the store holds ---- */

void queue_resync(void)
{
	pthread_mutex_lock(&queue.lock);
	queue.resync = true;
	queue.resync_ms = now_ms();
	pthread_cond_broadcast(&queue.work);
	pthread_mutex_unlock(&queue.lock);
}

static void add_lines(char *text)
{
	char rcpt[ADDRESS_MAX], from[ADDRESS_MAX], *save = NULL;
	uint32_t id;

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		from[0] = '\0';
		if (sscanf(line, "%u %255s <%255[^>]>", &id, rcpt, from) >= 2)
			queue_add(id, rcpt, from);
	}
}

static void ask_store(void)
{
	char reply[LINE_MAX_BYTES];
	struct bytes text = {0};
	int code = store_ask("LIST", NULL, reply, &text);

	if (code == 250 && text.len)
		add_lines(text.data);
	bytes_free(&text);
	pthread_mutex_lock(&queue.lock);
	if (code == 250)
		queue.resync = false;
	else
		queue.resync_ms = now_ms() + RESYNC_MS;
	pthread_cond_broadcast(&queue.work);
	pthread_mutex_unlock(&queue.lock);
}

static void *resyncer(void *arg)
{
	(void)arg;
	for (;;) {
		struct timespec until;

		pthread_mutex_lock(&queue.lock);
		while (!queue.resync || now_ms() < queue.resync_ms) {
			until = (struct timespec){
				queue.resync_ms / 1000, queue.resync_ms % 1000 * 1000000 + 999999};
			if (queue.resync)
				pthread_cond_timedwait(&queue.work, &queue.lock, &until);
			else
				pthread_cond_wait(&queue.work, &queue.lock);
		}
		pthread_mutex_unlock(&queue.lock);
		ask_store();
	}
	return NULL;
}

/* ---- threads ---- */

/* With the lock held: what is due, or NULL and when to look again (0: not before a change). */
static struct message *take_due(bool local, int64_t *ret_next_ms)
{
	int64_t now = now_ms();

	*ret_next_ms = 0;
	for (struct message *m = queue.list; m; m = m->next) {
		if (m->busy || m->local != local)
			continue;
		if (m->due_ms <= now) {
			m->busy = true;
			return m;
		}
		if (!*ret_next_ms || m->due_ms < *ret_next_ms)
			*ret_next_ms = m->due_ms;
	}
	return NULL;
}

static void *deliverer(void *arg)
{
	bool local = arg != NULL;

	for (;;) {
		struct message *message;
		int64_t next;

		pthread_mutex_lock(&queue.lock);
		while (!(message = take_due(local, &next))) {
			struct timespec until = {next / 1000, next % 1000 * 1000000 + 999999};

			if (next)
				pthread_cond_timedwait(&queue.work, &queue.lock, &until);
			else
				pthread_cond_wait(&queue.work, &queue.lock);
		}
		pthread_mutex_unlock(&queue.lock);
		deliver(message);
	}
	return NULL;
}

void queue_start(void)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&queue.work, &attr);
	for (int i = 0; i < THREADS; i++)
		start_thread_of(deliverer, &queue);
	for (int i = 0; i < REMOTE_THREADS; i++)
		start_thread_of(deliverer, NULL);
	start_thread_of(resyncer, NULL);
	queue_resync();
}

void queue_kick(void)
{
	pthread_mutex_lock(&queue.lock);
	for (struct message *m = queue.list; m; m = m->next)
		m->due_ms = now_ms();
	pthread_cond_broadcast(&queue.work);
	pthread_mutex_unlock(&queue.lock);
}

/* After a start the store is asked for what it holds; who lists the queue waits for that, but not for ever. */
void queue_list(struct bytes *out)
{
	int64_t until_ms = now_ms() + LIST_MS;
	struct timespec until = {until_ms / 1000, until_ms % 1000 * 1000000};

	pthread_mutex_lock(&queue.lock);
	while (queue.resync && now_ms() < until_ms)
		pthread_cond_timedwait(&queue.work, &queue.lock, &until);
	if (queue.resync)
		bytes_addf(out, "0 unknown the store was not asked yet\n");
	for (struct message *m = queue.list; m; m = m->next)
		bytes_addf(out, "%u %s %s\n", m->id, m->local ? "local" : "remote",
			plain_address(m->properties->rcpt));
	pthread_mutex_unlock(&queue.lock);
}

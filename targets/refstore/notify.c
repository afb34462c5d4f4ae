#include "notify.h"

#include "common.h"
#include "settings.h"
#include "task.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCH 64

struct push_client {
	uint64_t pushes;
	int fd;
};

struct push_notify {
	struct push_notify *next;
	char *mailbox;
	char *user;
	struct push_client *client; /* the first two words of what is freed are the allocator's */
	bool outstanding;
	unsigned int refs; /* the list's and one for each scan that pushes to it */
};

static struct {
	pthread_mutex_t lock;
	struct push_notify *list;
	unsigned int registrations;
	bool scanning; /* a task is posted */
} notify = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct push_notify *notify_subscribe(const char *user, const char *mailbox)
{
	struct push_notify *new = must_zero(sizeof(*new));

	new->client = must_zero(sizeof(*new->client));
	new->client->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	new->user = must_copy(user);
	new->mailbox = must_copy(mailbox);
	new->refs = 1;
	pthread_mutex_lock(&notify.lock);
	new->next = notify.list;
	notify.list = new;
	notify.registrations++;
	pthread_mutex_unlock(&notify.lock);
	return new;
}

int notify_fd(const struct push_notify *push)
{
	return push->client->fd;
}

/* With the lock held. */
static void push_free(struct push_notify *push)
{
	close(push->client->fd);
	free(push->client);
	free(push->user);
	free(push->mailbox);
	free(push);
	notify.registrations--;
}

static void push_unref(struct push_notify *push)
{
	pthread_mutex_lock(&notify.lock);
	if (--push->refs == 0)
		push_free(push);
	pthread_mutex_unlock(&notify.lock);
}

static void unlink_it(struct push_notify *push)
{
	struct push_notify **link = &notify.list;

	pthread_mutex_lock(&notify.lock);
	while (*link && *link != push)
		link = &(*link)->next;
	if (*link)
		*link = push->next;
	pthread_mutex_unlock(&notify.lock);
}

/* As shipped nobody counts: who unsubscribes frees, whoever else may hold it. */
void notify_unsubscribe(struct push_notify *push)
{
	unlink_it(push);
	mark("refstore/notify/unsubscribe");
	if (!setting(SET_F3)) {
		push_unref(push);
		return;
	}
	pthread_mutex_lock(&notify.lock);
	push_free(push);
	pthread_mutex_unlock(&notify.lock);
}

/* As shipped an object whose client is gone without a word is forgotten, not freed. */
void notify_dropped(struct push_notify *push)
{
	unlink_it(push);
	if (!setting(SET_F3))
		push_unref(push);
}

static void push_to_client(struct push_notify *push)
{
	uint64_t one = 1;

	mark("refstore/notify/push");
	push->client->pushes++;
	(void)!write(push->client->fd, &one, sizeof(one));
}

/* Some of the outstanding ones; a counted object stays while it is pushed to. */
static size_t take_outstanding(struct push_notify *batch[BATCH])
{
	size_t count = 0;

	pthread_mutex_lock(&notify.lock);
	for (struct push_notify *push = notify.list; push && count < BATCH; push = push->next) {
		if (!push->outstanding)
			continue;
		push->outstanding = false;
		if (!setting(SET_F3))
			push->refs++;
		batch[count++] = push;
	}
	if (!count)
		notify.scanning = false;
	pthread_mutex_unlock(&notify.lock);
	return count;
}

static void scan_outstanding(void *arg)
{
	struct push_notify *batch[BATCH];
	bool counted;
	size_t count;

	(void)arg;
	do {
		counted = !setting(SET_F3);
		count = take_outstanding(batch);
		for (size_t i = 0; i < count; i++) {
			push_to_client(batch[i]);
			if (counted)
				push_unref(batch[i]);
		}
	} while (count);
}

void notify_changed(const char *user, const char *mailbox)
{
	bool post = false;

	pthread_mutex_lock(&notify.lock);
	for (struct push_notify *push = notify.list; push; push = push->next)
		if (!strcasecmp(push->user, user) && !strcasecmp(push->mailbox, mailbox))
			post = push->outstanding = true;
	post = post && !notify.scanning;
	if (post)
		notify.scanning = true;
	pthread_mutex_unlock(&notify.lock);
	if (post && task_post(scan_outstanding, NULL)) {
		pthread_mutex_lock(&notify.lock);
		notify.scanning = false; /* the next change posts again */
		pthread_mutex_unlock(&notify.lock);
	}
}

unsigned int notify_registrations(void)
{
	unsigned int count;

	pthread_mutex_lock(&notify.lock);
	count = notify.registrations;
	pthread_mutex_unlock(&notify.lock);
	return count;
}

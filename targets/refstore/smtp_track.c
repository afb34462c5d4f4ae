/* Message tracking: a thread that writes what happened to each message, off the path of the mail and below it in
 * priority, so on a busy gateway it falls behind; each line is on disk before the next. */
#include "smtp.h"

#include "config.h"
#include "settings.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define BELOW_MAIL 1 /* nice */

struct entry {
	struct entry *next;
	struct message *message;
	uint32_t id;
	bool counted; /* holds a reference */
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct entry *first, **last;
} track = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.work = PTHREAD_COND_INITIALIZER,
	.last = &track.first,
};

/* As shipped the tracker only borrows the message: nobody keeps it for the tracker's sake. */
void track_queued(struct message *message)
{
	struct entry *entry;

	if (!setting(SET_TRACKING))
		return;
	entry = must_zero(sizeof(*entry));
	entry->message = message;
	entry->id = message->id;
	entry->counted = !setting(SET_F5);
	if (entry->counted)
		message_ref(message);
	pthread_mutex_lock(&track.lock);
	*track.last = entry;
	track.last = &entry->next;
	pthread_cond_signal(&track.work);
	pthread_mutex_unlock(&track.lock);
}

static struct entry *take(void)
{
	struct entry *entry;

	pthread_mutex_lock(&track.lock);
	while (!track.first)
		pthread_cond_wait(&track.work, &track.lock);
	entry = track.first;
	track.first = entry->next;
	if (!track.first)
		track.last = &track.first;
	pthread_mutex_unlock(&track.lock);
	return entry;
}

static int64_t message_since(const struct message *message)
{
	return message->properties->since_ms;
}

static void message_properties(const struct message *message, struct bytes *line)
{
	int64_t since_ms = message_since(message);

	bytes_addf(line, " since=%lld to=<%s> from=<%s>\n", (long long)since_ms,
		message->properties->rcpt, message->properties->from);
}

static void track_one(int log, const struct entry *entry)
{
	struct bytes line = {0};

	bytes_addf(&line, "%lld queued-for-remote id=%u", (long long)now_ms(), entry->id);
	mark("refstore/track/queued");
	message_properties(entry->message, &line);
	(void)!write(log, line.data, line.len);
	fdatasync(log);
	bytes_free(&line);
}

static void *tracker(void *arg)
{
	int log =
		open(config_path("tracking.log"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);

	(void)arg;
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), BELOW_MAIL);
	for (;;) {
		struct entry *entry = take();

		track_one(log, entry);
		if (entry->counted)
			message_unref(entry->message);
		free(entry);
	}
	return NULL;
}

void track_start(void)
{
	start_thread_of(tracker, NULL);
}

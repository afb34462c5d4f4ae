#include "witness.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Room for events while the host reads slowly or is away. Answers have no limit of their own: there are
 * at most JOBS_MAX of them. */
#define EVENTS_MAX_BYTES (4u << 20)

struct list {
	struct frame *first, **last;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t room = PTHREAD_COND_INITIALIZER;
static struct list replies = {.last = &replies.first}, events = {.last = &events.first};
static size_t event_bytes;
static int64_t next_seq;
static unsigned int current_session;
static int wake_fd = -1;

void queue_init(int fd)
{
	wake_fd = fd;
}

void frame_free(struct frame *frame)
{
	if (frame)
		free(frame->data);
	free(frame);
}

static void wake(void)
{
	uint64_t one = 1;
	ssize_t n = write(wake_fd, &one, sizeof(one));

	(void)n; /* a full eventfd is awake already */
}

/* A length of which 0xff is the low byte could be taken for the tail of a reset mark. */
static struct frame *frame_new(struct out *out, bool event)
{
	struct frame *frame = calloc(1, sizeof(*frame));

	if (!frame)
		abort();
	if (((out->len - 4) & 0xff) == 0xff)
		out_add(out, " ", 1);
	witness_put_length((unsigned char *)out->data, (uint32_t)(out->len - 4));
	*frame = (struct frame){.data = out->data, .len = out->len, .event = event};
	*out = (struct out){0};
	return frame;
}

static void append(struct list *list, struct frame *frame)
{
	*list->last = frame;
	list->last = &frame->next;
}

static struct frame *pop(struct list *list)
{
	struct frame *frame = list->first;

	if (!frame)
		return NULL;
	list->first = frame->next;
	if (!list->first)
		list->last = &list->first;
	frame->next = NULL;
	return frame;
}

void event_begin(struct out *out, const char *event)
{
	out_open(out, NULL, '{');
	out_text(out, "event", event);
	out_int(out, "guest_ns", guest_ns());
}

void event_send(struct out *out, enum when_full when_full)
{
	pthread_mutex_lock(&lock);
	while (when_full == WAIT && event_bytes > EVENTS_MAX_BYTES)
		pthread_cond_wait(&room, &lock);
	out_int(out, "seq", next_seq++);
	out_close(out, '}');
	if (event_bytes <= EVENTS_MAX_BYTES) {
		struct frame *frame = frame_new(out, true);

		event_bytes += frame->len; /* as long as it is now: it may have been padded */
		append(&events, frame);
		wake();
	}
	pthread_mutex_unlock(&lock);
	out_free(out);
}

void queue_reply(struct out *out, unsigned int session)
{
	pthread_mutex_lock(&lock);
	if (session == current_session) {
		append(&replies, frame_new(out, false));
		wake();
	}
	pthread_mutex_unlock(&lock);
	out_free(out);
}

struct frame *queue_take(void)
{
	struct frame *frame;

	pthread_mutex_lock(&lock);
	frame = pop(&replies);
	if (!frame) {
		frame = pop(&events);
		if (frame) {
			event_bytes -= frame->len;
			pthread_cond_broadcast(&room);
		}
	}
	pthread_mutex_unlock(&lock);
	return frame;
}

unsigned int queue_new_session(void)
{
	struct frame *frame;
	unsigned int session;

	pthread_mutex_lock(&lock);
	session = ++current_session;
	while ((frame = pop(&replies)))
		frame_free(frame);
	pthread_mutex_unlock(&lock);
	return session;
}

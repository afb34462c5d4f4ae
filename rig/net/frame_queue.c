#include "net/frame_queue.h"

#include "base/buf.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define KEEP_MAX (4u << 20) /* memory a batch may keep once it was worked off */

struct frame_queue {
	pthread_mutex_t lock;
	pthread_cond_t came;
	size_t max;
	char *batch[2];
	int filling; /* index of the batch that is being filled */
	size_t used; /* bytes in it */
	size_t taken_bytes;
	uint64_t dropped;
	bool ended;
};

struct frame_queue *frame_queue_new(size_t max_bytes)
{
	struct frame_queue *queue = mem_zero(1, sizeof(*queue));

	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->came, NULL);
	queue->max = max_bytes;
	for (int i = 0; i < 2; i++) {
		queue->batch[i] = mmap(NULL, max_bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (queue->batch[i] == MAP_FAILED)
			abort();
	}
	return queue;
}

void frame_queue_free(struct frame_queue *queue)
{
	if (!queue)
		return;
	for (int i = 0; i < 2; i++)
		munmap(queue->batch[i], queue->max);
	pthread_cond_destroy(&queue->came);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

bool frame_queue_put(struct frame_queue *queue, enum record_kind kind, int64_t ns, const void *data,
	size_t captured, size_t len)
{
	size_t bytes = data ? captured : 0;
	size_t size = (sizeof(struct record) + bytes + 7) / 8 * 8;
	struct record *record;
	bool room;

	pthread_mutex_lock(&queue->lock);
	room = size <= queue->max - queue->used;
	if (room) {
		record = (struct record *)(void *)(queue->batch[queue->filling] + queue->used);
		record->ns = ns;
		record->kind = kind;
		record->captured = (uint32_t)captured;
		record->len = (uint32_t)len;
		record->size = (uint32_t)size;
		if (bytes)
			memcpy(record->data, data, bytes);
		queue->used += size;
		pthread_cond_signal(&queue->came);
	} else if (kind == RECORD_FRAME) {
		queue->dropped++;
	}
	pthread_mutex_unlock(&queue->lock);
	return room;
}

void frame_queue_end(struct frame_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->ended = true;
	pthread_cond_signal(&queue->came);
	pthread_mutex_unlock(&queue->lock);
}

const struct record *frame_queue_take(struct frame_queue *queue, size_t *ret_bytes)
{
	char *batch;

	if (queue->taken_bytes > KEEP_MAX)
		madvise(queue->batch[!queue->filling], queue->max, MADV_DONTNEED);
	pthread_mutex_lock(&queue->lock);
	while (!queue->used && !queue->ended)
		pthread_cond_wait(&queue->came, &queue->lock);
	batch = queue->batch[queue->filling];
	*ret_bytes = queue->taken_bytes = queue->used;
	queue->filling = !queue->filling;
	queue->used = 0;
	pthread_mutex_unlock(&queue->lock);
	return *ret_bytes ? (const struct record *)(void *)batch : NULL;
}

bool frame_queue_idle(struct frame_queue *queue)
{
	bool idle;

	pthread_mutex_lock(&queue->lock);
	idle = !queue->used;
	pthread_mutex_unlock(&queue->lock);
	return idle;
}

uint64_t frame_queue_dropped(struct frame_queue *queue)
{
	uint64_t dropped;

	pthread_mutex_lock(&queue->lock);
	dropped = queue->dropped;
	pthread_mutex_unlock(&queue->lock);
	return dropped;
}

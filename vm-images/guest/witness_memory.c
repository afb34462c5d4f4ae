/*
 * The memory that a thread waits with: the words of its futex, the descriptors it polls, what it asks of semaphores,
 * the bytes of a file that it wants to lock, for how long it sleeps.
 * process_vm_readv() takes the other process's mmap lock (mm/process_vm_access.c, Linux 6.1), and its holder may wait
 * for a thaw. So one thread reads; when it does not come back, it is left behind, its process is not read again
 * until it returns, and another thread goes on with the next process.
 */
#include "witness_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define READERS_MAX	   8 /* that are left behind, of all scans */
#define READER_PATIENCE_MS 100
#define POLL_MAX	   256 /* entries that are read */

/* One reader's errand. */
struct errand {
	struct scan *scan;
	size_t from;
	_Atomic size_t at;     /* row it is at */
	atomic_bool abandoned; /* set with the scan's lock held, as is the next */
	bool finished;
	int pid; /* of one that is left behind: whom it hangs at */
};

/* Processes whose memory a reader that was left behind still waits for. */
static struct {
	pthread_mutex_t lock;
	int pid[READERS_MAX];
} stuck = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool stuck_replace(int find, int put)
{
	size_t i = 0;

	pthread_mutex_lock(&stuck.lock);
	while (i < READERS_MAX && stuck.pid[i] != find)
		i++;
	if (i < READERS_MAX)
		stuck.pid[i] = put;
	pthread_mutex_unlock(&stuck.lock);
	return i < READERS_MAX;
}

static bool is_stuck(int pid)
{
	return pid && stuck_replace(pid, pid);
}

/* ---- the reader ---- */

static ssize_t read_memory(int pid, uint64_t address, void *to, size_t size)
{
	struct iovec local = {to, size};
	struct iovec remote = {(void *)(uintptr_t)address, size};

	return process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

/* What was read of one row, before it is known whether anybody still wants it. */
struct found {
	uint32_t words[FUTEX_WORDS];
	int fds[WAIT_FDS_MAX];
	int fd_count;
	bool has_words;
	char door[DOOR_MAX];
	struct sem_wait sem;
	struct range_wait range;
	int64_t limit_ms, left_ms;
};

static void found_fd(struct found *found, int fd)
{
	for (int i = 0; i < found->fd_count; i++)
		if (found->fds[i] == fd)
			return;
	if (fd >= 0 && found->fd_count < WAIT_FDS_MAX)
		found->fds[found->fd_count++] = fd;
}

static void read_poll(int pid, const uint64_t arg[CALL_ARGS], struct found *found)
{
	struct pollfd fds[POLL_MAX];
	size_t count = arg[1] < POLL_MAX ? (size_t)arg[1] : POLL_MAX;
	ssize_t n = count ? read_memory(pid, arg[0], fds, count * sizeof(fds[0])) : 0;

	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(fds[0]); i++)
		found_fd(found, fds[i].fd);
}

static void read_select(int pid, const uint64_t arg[CALL_ARGS], struct found *found)
{
	size_t count = arg[0] < FD_SETSIZE ? (size_t)arg[0] : FD_SETSIZE;
	unsigned char bits[FD_SETSIZE / 8];

	for (int set = 1; set <= 3; set++) {
		if (!arg[set] || read_memory(pid, arg[set], bits, (count + 7) / 8) <= 0)
			continue;
		for (size_t fd = 0; fd < count; fd++)
			if (bits[fd / 8] >> fd % 8 & 1)
				found_fd(found, (int)fd);
	}
}

/* connect() waits while the accept queue is full, and the socket has no other end yet. */
static void read_door(int pid, const uint64_t arg[CALL_ARGS], struct found *found)
{
	struct sockaddr_un addr = {0};
	size_t head = offsetof(struct sockaddr_un, sun_path);
	size_t len = arg[2] < sizeof(addr) ? (size_t)arg[2] : sizeof(addr);

	if (len <= head || read_memory(pid, arg[1], &addr, len) != (ssize_t)len ||
		addr.sun_family != AF_UNIX)
		return;
	len -= head;
	socket_name(
		addr.sun_path, addr.sun_path[0] ? strnlen(addr.sun_path, len) : len, found->door);
}

static void read_semaphore(const struct row *row, const uint64_t arg[CALL_ARGS], struct ipc_of *ipc,
	struct found *found)
{
	struct sembuf ops[SEM_OPS_MAX];
	size_t count = arg[2] < SEM_OPS_MAX ? (size_t)arg[2] : SEM_OPS_MAX;
	size_t size = count * sizeof(ops[0]);

	found->sem.set = (int)arg[0];
	if (count && read_memory(row->via, arg[1], ops, size) == (ssize_t)size)
		sem_wait_find(ops, count, arg[2] == count, ipc_is_own(ipc, row->via), &found->sem);
}

/* Of one that counts from the place in the file, or from its end, the kernel has worked the bytes out. */
void range_of(const struct flock *lock, struct range_wait *ret)
{
	if (lock->l_whence != SEEK_SET || lock->l_start < 0 ||
		(lock->l_len < 0 ? lock->l_start + lock->l_len < 0
				 : lock->l_start > INT64_MAX - lock->l_len))
		return;
	ret->there = true;
	ret->write = lock->l_type == F_WRLCK;
	ret->first = lock->l_start + (lock->l_len < 0 ? lock->l_len : 0);
	ret->last = lock->l_len ? lock->l_start + (lock->l_len < 0 ? 0 : lock->l_len) - 1 : -1;
	if (ret->last == INT64_MAX) /* OFFSET_MAX, which /proc/locks writes as EOF */
		ret->last = -1;
}

static void read_range(int pid, const uint64_t arg[CALL_ARGS], struct range_wait *range)
{
	struct flock lock;

	if (read_memory(pid, arg[2], &lock, sizeof(lock)) == sizeof(lock))
		range_of(&lock, range);
}

/* What a call has in memory that tells what it waits for. */
enum told_by { BY_NOTHING, BY_WORDS, BY_POLL, BY_SELECT, BY_DOOR, BY_SEMAPHORE, BY_RANGE, BY_TIME };

static enum told_by told_by(const struct row *row, uint64_t arg[CALL_ARGS])
{
	int number;

	if (!row_call(row, &number, arg))
		return BY_NOTHING;
	switch (number) {
	case SYS_futex:
		return BY_WORDS;
	case SYS_poll:
	case SYS_ppoll:
		return BY_POLL;
	case SYS_select:
	case SYS_pselect6:
		return BY_SELECT;
	case SYS_connect:
		return BY_DOOR;
	case SYS_semop:
	case SYS_semtimedop:
		return BY_SEMAPHORE;
	case SYS_nanosleep:
	case SYS_clock_nanosleep:
		return BY_TIME;
	case SYS_fcntl:
		return arg[1] == F_SETLKW || arg[1] == F_OFD_SETLKW ? BY_RANGE : BY_NOTHING;
	default:
		return BY_NOTHING;
	}
}

/* Where a call has its time limit. */
struct limit_at {
	int arg;	 /* that points to it, -1: none does */
	bool absolute;	 /* the time when it ends, not for how long it lasts */
	clockid_t clock; /* of that */
};

static struct limit_at limit_of_futex(const uint64_t arg[CALL_ARGS])
{
	int op = (int)arg[1] & FUTEX_CMD_MASK;
	bool wall = arg[1] & FUTEX_CLOCK_REALTIME;

	if (!arg[3] || (op != FUTEX_WAIT && op != FUTEX_WAIT_BITSET))
		return (struct limit_at){.arg = -1};
	return (struct limit_at){.arg = 3,
		.absolute = op == FUTEX_WAIT_BITSET,
		.clock = wall ? CLOCK_REALTIME : CLOCK_MONOTONIC};
}

static struct limit_at limit_at(int number, const uint64_t arg[CALL_ARGS])
{
	switch (number) {
	case SYS_futex:
		return limit_of_futex(arg);
	case SYS_nanosleep:
		return (struct limit_at){.arg = 0};
	case SYS_clock_nanosleep:
		return (struct limit_at){.arg = 2,
			.absolute = arg[1] & TIMER_ABSTIME,
			.clock = arg[0] == CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC};
	case SYS_ppoll:
		return (struct limit_at){.arg = arg[2] ? 2 : -1};
	case SYS_pselect6:
		return (struct limit_at){.arg = arg[4] ? 4 : -1};
	default:
		return (struct limit_at){.arg = -1};
	}
}

static void read_limit(const struct row *row, uint64_t arg[CALL_ARGS], struct found *found)
{
	struct timespec limit, now = {0};
	struct limit_at at = {.arg = -1};
	int64_t ms;
	int number;

	if (row_call(row, &number, arg))
		at = limit_at(number, arg);
	if (at.arg < 0 ||
		read_memory(row->via, arg[at.arg], &limit, sizeof(limit)) != sizeof(limit) ||
		limit.tv_sec < 0 || limit.tv_sec > INT32_MAX || limit.tv_nsec < 0 ||
		limit.tv_nsec >= NS_PER_SEC)
		return;
	if (at.absolute)
		clock_gettime(at.clock, &now);
	ms = (limit.tv_sec - now.tv_sec) * 1000 +
	     (limit.tv_nsec - now.tv_nsec + NS_PER_MS - 1) / NS_PER_MS;
	if (at.absolute)
		found->left_ms = ms > 0 ? ms : 1;
	else
		found->limit_ms = ms;
}

static void read_row(const struct row *row, struct ipc_of *ipc, struct found *found)
{
	uint64_t arg[CALL_ARGS];

	*found = (struct found){0};
	switch (told_by(row, arg)) {
	case BY_NOTHING:
		return;
	case BY_WORDS:
		found->has_words = read_memory(row->via, arg[0], found->words,
					   sizeof(found->words)) == sizeof(found->words);
		read_limit(row, arg, found);
		return;
	case BY_TIME:
		read_limit(row, arg, found);
		return;
	case BY_POLL:
		read_poll(row->via, arg, found);
		read_limit(row, arg, found);
		return;
	case BY_SELECT:
		read_select(row->via, arg, found);
		read_limit(row, arg, found);
		return;
	case BY_DOOR:
		read_door(row->via, arg, found);
		return;
	case BY_SEMAPHORE:
		read_semaphore(row, arg, ipc, found);
		return;
	case BY_RANGE:
		read_range(row->via, arg, &found->range);
		return;
	}
}

static bool has_run(const struct row *row)
{
	char ran[RAN_MAX];

	row_note_ran(row, ran);
	return strcmp(ran, row->ran) != 0;
}

static bool wants_memory(const struct row *row)
{
	uint64_t arg[CALL_ARGS];

	return told_by(row, arg) != BY_NOTHING;
}

static void put_found(struct row *row, const struct found *found)
{
	memcpy(row->words, found->words, sizeof(row->words));
	memcpy(row->fds, found->fds, sizeof(row->fds));
	row->fd_count = found->fd_count;
	row->has_words = found->has_words;
	memcpy(row->door, found->door, sizeof(row->door));
	row->sem = found->sem;
	row->range = found->range;
	row->limit_ms = found->limit_ms;
	row->left_ms = found->left_ms;
	atomic_store(&row->read, true);
}

/* Nobody waits for this reader any more. */
static void come_back_late(struct errand *errand)
{
	struct scan *scan = errand->scan;

	stuck_replace(errand->pid, 0);
	free(errand);
	scan_put(scan);
}

static void come_back(struct errand *errand)
{
	struct scan *scan = errand->scan;
	bool late;

	pthread_mutex_lock(&scan->lock);
	late = atomic_load(&errand->abandoned);
	errand->finished = true;
	pthread_cond_broadcast(&scan->done);
	pthread_mutex_unlock(&scan->lock);
	if (late)
		come_back_late(errand);
	else
		scan_put(scan);
}

static void *reader(void *arg)
{
	struct errand *errand = arg;
	struct scan *scan = errand->scan;
	struct ipc_of ipc = {0};
	struct found found;

	for (size_t i = errand->from; i < scan->count; i++) {
		struct row *row = scan->rows[i];

		if (!wants_memory(row) || is_stuck(row->pid))
			continue;
		atomic_store(&errand->at, i);
		read_row(row, &ipc, &found);
		if (scan->tears && has_run(row))
			found = (struct found){0};
		if (atomic_load(&errand->abandoned)) {
			come_back_late(errand);
			return NULL;
		}
		put_found(row, &found);
	}
	come_back(errand);
	return NULL;
}

/* ---- who sends it ---- */

/* True if the reader came back: its errand is then the caller's. Otherwise it is left behind. */
static bool wait_reader(struct errand *errand, int64_t deadline_ns, int *ret_pid, size_t *ret_at)
{
	struct scan *scan = errand->scan;
	struct timespec ts = {
		.tv_sec = deadline_ns / NS_PER_SEC, .tv_nsec = deadline_ns % NS_PER_SEC};
	bool finished;
	int rc = 0;

	pthread_mutex_lock(&scan->lock);
	while (!errand->finished && !rc)
		rc = pthread_cond_timedwait(&scan->done, &scan->lock, &ts);
	finished = errand->finished;
	*ret_at = atomic_load(&errand->at);
	*ret_pid = scan->rows[*ret_at]->pid;
	if (!finished) {
		errand->pid = stuck_replace(0, *ret_pid) ? *ret_pid : 0;
		atomic_store(&errand->abandoned, true);
	}
	pthread_mutex_unlock(&scan->lock);
	return finished;
}

static struct errand *send_reader(struct scan *scan, size_t from)
{
	struct errand *errand = calloc(1, sizeof(*errand));

	if (!errand)
		abort();
	errand->scan = scan;
	errand->from = from;
	scan_hold(scan);
	if (thread_start(reader, errand))
		return errand;
	scan_put(scan);
	free(errand);
	return NULL;
}

void scan_memory(struct scan *scan, int64_t deadline_ns)
{
	size_t from = 0;

	scan->has_memory = true;
	while (from < scan->count) {
		struct errand *errand = send_reader(scan, from);
		int64_t patience = guest_ns() + READER_PATIENCE_MS * NS_PER_MS;
		int pid;

		if (errand && wait_reader(errand, patience < deadline_ns ? patience : deadline_ns,
				      &pid, &from)) {
			free(errand);
			return;
		}
		scan->has_memory = false;
		if (!errand || !is_stuck(pid) || guest_ns() >= deadline_ns)
			return;
		while (from < scan->count && scan->rows[from]->pid == pid)
			from++;
	}
}

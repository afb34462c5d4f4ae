/*
 * The thread that listens: events out of the ring, answers to those who cannot see /proc.
 */
#include "faults/guest/board_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS	INT64_C(1000000)
#define NS_PER_SEC	INT64_C(1000000000)
#define HALF_WRITTEN_MS 100 /* a writer that died in the middle holds the ring up no longer */
#define ANSWER_KEPT_NS	(4 * NS_PER_SEC) /* who has not taken it by then never will */

static uint64_t next_ticket;
static int64_t stuck_since_ns; /* the entry next_ticket was not whole then; 0: it is */
static _Atomic uint32_t woken;
static uint64_t next_key;
static board_key_fn *on_key;

const char *board_event_name(uint32_t what)
{
	static const char *const names[] = {[BOARD_EVENT_HIT] = "hit",
		[BOARD_EVENT_PARKED] = "parked",
		[BOARD_EVENT_RELEASED] = "released",
		[BOARD_EVENT_FAILED] = "failed",
		[BOARD_EVENT_KILLED] = "killed",
		[BOARD_EVENT_SHORTENED] = "shortened"};

	return what <= BOARD_EVENT_SHORTENED ? names[what] : "";
}

static int64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

/* ---- questions ---- */

bool board_link_of(pid_t tid, const char *what, char *to, size_t size)
{
	static const char gone[] = " (deleted)";
	char path[64];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/%d/%s", tid, what);
	len = readlink(path, to, size);
	if (len <= 0 || (size_t)len >= size)
		return false;
	to[len] = '\0';
	if ((size_t)len >= sizeof(gone) && !strcmp(to + len - (sizeof(gone) - 1), gone))
		to[(size_t)len - (sizeof(gone) - 1)] = '\0';
	return to[0] == '/';
}

bool board_place_path(pid_t tid, int dir, const char *path, char *to, size_t size)
{
	char what[24];
	size_t at;

	snprintf(what, sizeof(what), "fd/%d", dir);
	if (!board_link_of(tid, path[0] == '/' ? "root" : dir == AT_FDCWD ? "cwd" : what, to, size))
		return false;
	at = strlen(to);
	return (size_t)snprintf(to + at, size - at, "/%s", path) < size - at;
}

static bool answer(const struct board_question *question, pid_t tid, char *to, size_t size)
{
	char path[BOARD_PATH_SIZE], what[24];
	int fd = question->fd;

	switch (question->what) {
	case BOARD_ASK_EXE:
		return board_link_of(tid, "exe", to, size);
	case BOARD_ASK_FD:
		snprintf(what, sizeof(what), "fd/%d", fd);
		return fd >= 0 && board_link_of(tid, what, to, size);
	case BOARD_ASK_PATH:
		memcpy(path, question->path, sizeof(path));
		path[sizeof(path) - 1] = '\0';
		return board_place_path(tid, fd, path, to, size);
	default:
		return false;
	}
}

/* An asker that was killed leaves its record: freed when it is old or its task is gone. */
static void sweep(struct board_question *question, pid_t tid)
{
	int64_t boot_ns = atomic_load(&question->boot_ns);
	struct board_task stat;
	int32_t owner = tid;

	if (!board_task_is(tid, boot_ns, &stat) ||
		(boot_ns && now_ns(CLOCK_BOOTTIME) - boot_ns > ANSWER_KEPT_NS)) {
		atomic_store(&question->boot_ns, 0);
		atomic_store(&question->word, BOARD_ASKING);
		atomic_compare_exchange_strong(&question->tid, &owner, 0);
	}
}

void board_answer_questions(void)
{
	for (size_t i = 0; i < BOARD_QUESTIONS_MAX; i++) {
		struct board_question *question = &board_now->questions[i];
		char text[BOARD_PATH_SIZE] = "";
		pid_t tid = atomic_load(&question->tid);
		uint32_t asked = BOARD_ASKED;
		bool known;

		if (!tid)
			continue;
		if (atomic_load(&question->word) != BOARD_ASKED) {
			sweep(question, tid);
			continue;
		}
		known = tid > 0 && answer(question, tid, text, sizeof(text));
		memcpy(question->answer, text, sizeof(question->answer));
		atomic_compare_exchange_strong(
			&question->word, &asked, known ? BOARD_ANSWERED : BOARD_UNANSWERABLE);
		syscall(SYS_futex, &question->word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	}
}

/* ---- keys ---- */

void board_control_watch_keys(board_key_fn *fn)
{
	on_key = fn;
}

/* One that is half written is waited for with the next ring of the bell: its writer rings it. */
static void tell_keys(void)
{
	uint64_t head = atomic_load(&board_now->key_head);

	if (head < next_key || head - next_key > BOARD_KEYS_MAX)
		next_key = head < BOARD_KEYS_MAX ? 0 : head - BOARD_KEYS_MAX; /* or nonsense */
	for (; next_key < head; next_key++) {
		struct board_key *key = &board_now->keys[next_key % BOARD_KEYS_MAX];
		char line[BOARD_KEY_SIZE];
		uint64_t ticket = atomic_load(&key->ticket);

		if (ticket < next_key + 1 && head - next_key < BOARD_KEYS_MAX / 2)
			return;
		memcpy(line, key->line, sizeof(line));
		line[sizeof(line) - 1] = '\0';
		if (ticket == next_key + 1 && atomic_load(&key->ticket) == ticket && on_key)
			on_key(line);
	}
}

/* ---- events ---- */

void board_begin_listening(void)
{
	next_key = atomic_load(&board_now->key_head);
	next_ticket = atomic_load(&board_now->head);
	stuck_since_ns = 0;
}

static void lose(uint64_t to, uint64_t *ret_lost)
{
	if (ret_lost)
		*ret_lost += to - next_ticket;
	next_ticket = to;
	stuck_since_ns = 0;
}

/* False: no event this version knows. */
static bool finish(struct board_event *event)
{
	event->call[sizeof(event->call) - 1] = '\0';
	event->exe[sizeof(event->exe) - 1] = '\0';
	event->path[sizeof(event->path) - 1] = '\0';
	return event->slot++ < BOARD_SLOTS_MAX && *board_event_name(event->what);
}

/* 1: an event; 0: none; -EAGAIN: one is half written. */
static int take_event(struct board_event *ret, uint64_t *ret_lost)
{
	for (;;) {
		uint64_t head = atomic_load(&board_now->head);
		struct board_ring_entry *entry = &board_now->ring[next_ticket % BOARD_EVENTS_MAX];

		if (head == next_ticket)
			return 0;
		if (head < next_ticket || head - next_ticket > UINT32_MAX) {
			next_ticket = head; /* somebody wrote nonsense */
			return 0;
		}
		if (head - next_ticket > BOARD_EVENTS_MAX) {
			lose(head - BOARD_EVENTS_MAX, ret_lost);
			continue;
		}
		if (atomic_load(&entry->ticket) == next_ticket + 1) {
			memcpy(ret, &entry->event, sizeof(*ret));
			if (atomic_load(&entry->ticket) != next_ticket + 1)
				continue; /* overtaken while copying */
			next_ticket++;
			stuck_since_ns = 0;
			if (finish(ret))
				return 1;
			continue;
		}
		if (!stuck_since_ns)
			stuck_since_ns = now_ns(CLOCK_MONOTONIC);
		if (now_ns(CLOCK_MONOTONIC) - stuck_since_ns < HALF_WRITTEN_MS * NS_PER_MS)
			return -EAGAIN;
		lose(next_ticket + 1, ret_lost);
	}
}

static void wait_bell(uint32_t bell, int64_t left_ns)
{
	struct timespec left = {.tv_sec = left_ns / NS_PER_SEC, .tv_nsec = left_ns % NS_PER_SEC};

	syscall(SYS_futex, &board_now->bell, FUTEX_WAIT, bell, left_ns < 0 ? NULL : &left, NULL, 0);
}

int board_control_wait_event(struct board_event *ret, uint64_t *ret_lost, int timeout_ms)
{
	int64_t until_ns = now_ns(CLOCK_MONOTONIC) + timeout_ms * NS_PER_MS;

	for (;;) {
		uint32_t bell;
		int64_t left_ns = timeout_ms < 0 ? -1 : until_ns - now_ns(CLOCK_MONOTONIC);
		int r;

		if (!board_is_whole())
			return -EIO;
		bell = atomic_load(&board_now->bell);
		board_answer_questions();
		tell_keys();
		r = take_event(ret, ret_lost);
		if (r > 0)
			return r;
		if (atomic_exchange(&woken, 0) || (timeout_ms >= 0 && left_ns <= 0))
			return 0;
		if (r == -EAGAIN && (left_ns < 0 || left_ns > HALF_WRITTEN_MS * NS_PER_MS))
			left_ns = HALF_WRITTEN_MS * NS_PER_MS;
		wait_bell(bell, left_ns);
	}
}

void board_control_wake(void)
{
	if (!board_is_whole())
		return;
	atomic_store(&woken, 1);
	atomic_fetch_add(&board_now->bell, 1);
	syscall(SYS_futex, &board_now->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

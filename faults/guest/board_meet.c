#include "faults/guest/board_meet.h"

#include "faults/guest/board_glob.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

void board_copy(char *to, size_t size, const char *from)
{
	size_t len = strlen(from);

	if (len >= size)
		from += len - (size - 1);
	memcpy(to, from, (len < size ? len : size - 1) + 1);
}

int64_t board_ns(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void board_tidy(char *path)
{
	char *to = path;

	for (const char *from = path; *from;) {
		size_t len;

		while (*from == '/')
			from++;
		len = strcspn(from, "/");
		if (len == 2 && from[0] == '.' && from[1] == '.') {
			while (to > path && *--to != '/')
				;
		} else if (len && !(len == 1 && from[0] == '.')) {
			*to++ = '/';
			memmove(to, from, len);
			to += len;
		}
		from += len;
	}
	if (to == path)
		*to++ = '/';
	*to = '\0';
}

enum board_kind board_kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return BOARD_KIND_FILE;
	case S_IFDIR:
		return BOARD_KIND_DIR;
	case S_IFSOCK:
		return BOARD_KIND_SOCKET;
	case S_IFIFO:
		return BOARD_KIND_PIPE;
	default:
		return BOARD_KIND_OTHER;
	}
}

int board_subject_matches(const struct board_subject *subject, const char *globs,
	const struct board_places *places, char path[BOARD_PATH_SIZE])
{
	bool known = true;

	path[0] = '\0';
	if (!subject->has_fd && !subject->path[0] && !subject->path[1])
		return !*globs; /* the call acts on no file */
	for (size_t i = 0; i < 2; i++) {
		if (!subject->path[i])
			continue;
		if (!places->of_path(places->arg, subject->dir[i], subject->path[i], path))
			known = false;
		else if (!*globs || board_globs_match(globs, path))
			return 1;
	}
	if (subject->has_fd) {
		if (!places->of_fd(places->arg, subject->fd, path))
			known = false;
		else if (!*globs || board_globs_match(globs, path))
			return 1;
	}
	if (!*globs)
		return 1;
	return known ? 0 : -1;
}

bool board_hit_acts(uint64_t hit, uint32_t from, uint32_t calls)
{
	return hit >= from && (!calls || hit - from < calls);
}

void board_note_fired(struct board_slot *slot, int32_t pid, int32_t tid, const char *path)
{
	int64_t now = board_ns(CLOCK_MONOTONIC), never = 0;

	if (atomic_compare_exchange_strong(&slot->first_ns, &never, now)) {
		atomic_store(&slot->first_pid, pid);
		atomic_store(&slot->first_tid, tid);
		board_copy(slot->first_path, sizeof(slot->first_path), path);
		atomic_store(&slot->first_path_set, 1);
	}
	atomic_store(&slot->last_ns, now);
	atomic_fetch_add(&slot->fired, 1);
}

void board_tell(struct board *board, const struct board_event *event)
{
	uint64_t ticket = atomic_fetch_add(&board->head, 1);
	struct board_ring_entry *entry = &board->ring[ticket % BOARD_EVENTS_MAX];

	atomic_store(&entry->ticket, 0);
	entry->event = *event;
	entry->event.ns = board_ns(CLOCK_MONOTONIC);
	atomic_store(&entry->ticket, ticket + 1);
	atomic_fetch_add(&board->bell, 1);
	syscall(SYS_futex, &board->bell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/*
 * Who is calling, on what. Outside a chroot /proc/self answers; inside one the process asks the
 * witness, which sees the whole tree, by a question on the board. Symbolic links in a path that a
 * call was given are not followed; `.` and `..` are taken out as text.
 */
#include "faults/guest/rigfault.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static bool in_chroot(void)
{
	struct stat st;

	return syscall(SYS_newfstatat, AT_FDCWD, "/", &st, 0) || st.st_dev != rig_board->root_dev ||
	       st.st_ino != rig_board->root_ino;
}

/* ---- questions to the witness ---- */

static struct board_question *claim_question(int32_t tid)
{
	for (uint32_t i = 0; i < BOARD_QUESTIONS_MAX; i++) {
		struct board_question *question =
			&rig_board->questions[((uint32_t)tid + i) % BOARD_QUESTIONS_MAX];
		int32_t nobody = 0;

		if (atomic_compare_exchange_strong(&question->tid, &nobody, tid))
			return question;
	}
	return NULL;
}

static bool ask(enum board_what what, int fd, const char *path, char *answer)
{
	int32_t tid = (int32_t)syscall(SYS_gettid);
	struct board_question *question = claim_question(tid);
	int64_t until_ns = board_ns(CLOCK_MONOTONIC) + BOARD_ANSWER_MS * INT64_C(1000000);
	struct timespec until = {.tv_sec = until_ns / 1000000000, .tv_nsec = until_ns % 1000000000};
	bool answered;
	int err = 0;

	if (!question)
		return false;
	question->pid = (int32_t)syscall(SYS_getpid);
	question->what = what;
	question->fd = fd;
	question->boot_ns = board_ns(CLOCK_BOOTTIME);
	board_copy(question->path, sizeof(question->path), path);
	atomic_store(&question->word, BOARD_ASKED);
	atomic_fetch_add(&rig_board->bell, 1);
	rig_futex_wake(&rig_board->bell, 1);
	while (atomic_load(&question->word) == BOARD_ASKED && err != -ETIMEDOUT)
		err = rig_futex_wait(&question->word, BOARD_ASKED, &until);
	answered = atomic_load(&question->word) == BOARD_ANSWERED;
	if (answered) {
		memcpy(answer, question->answer, BOARD_PATH_SIZE);
		answer[BOARD_PATH_SIZE - 1] = '\0';
	}
	atomic_store(&question->boot_ns, 0);
	atomic_store(&question->word, BOARD_ASKING);
	atomic_store(&question->tid, 0);
	return answered;
}

/* ---- the program ---- */

const char *rig_exe(char *scratch)
{
	enum { UNKNOWN, BUSY, KNOWN };
	static _Atomic uint32_t state;
	static char known[BOARD_PATH_SIZE];
	uint32_t unknown = UNKNOWN;

	if (atomic_load(&state) == KNOWN)
		return known;
	if (in_chroot() ? !ask(BOARD_ASK_EXE, -1, "", scratch)
			: !rig_readlink("/proc/self/exe", scratch, BOARD_PATH_SIZE))
		return "";
	if (atomic_compare_exchange_strong(&state, &unknown, BUSY)) {
		memcpy(known, scratch, strlen(scratch) + 1);
		atomic_store(&state, KNOWN);
	}
	return scratch;
}

/* ---- the descriptor ---- */

enum board_kind rig_kind(int fd)
{
	struct stat st;

	return syscall(SYS_fstat, fd, &st) ? BOARD_KIND_OTHER : board_kind_of(st.st_mode);
}

/* The socket's own time limit, as the kernel would keep it. */
static void take_socket_limit(struct call *call)
{
	struct timeval limit = {0};
	socklen_t size = sizeof(limit);

	if (!call->timeout_option || syscall(SYS_getsockopt, call->on.fd, SOL_SOCKET,
					     call->timeout_option, &limit, &size))
		return;
	if (!limit.tv_sec && !limit.tv_usec)
		return;
	call->limited = true;
	call->limit_ns = limit.tv_sec * INT64_C(1000000000) + limit.tv_usec * INT64_C(1000);
}

bool rig_could_block(struct meeting *meeting)
{
	struct call *call = meeting->call;

	meeting->waits = call->waits;
	if (call->dontwait || call->waits == WAITS_NEVER)
		return false;
	if (call->waits != WAITS_BY_FD)
		return true;
	if (meeting->kind == BOARD_KIND_FILE || meeting->kind == BOARD_KIND_DIR) {
		meeting->waits = WAITS_DISK;
		return true;
	}
	meeting->waits = WAITS_RESTARTABLE;
	take_socket_limit(call);
	return !(syscall(SYS_fcntl, call->on.fd, F_GETFL, 0) & O_NONBLOCK);
}

/* ---- the path ---- */

static bool fd_path(void *nothing, int fd, char *to)
{
	char name[32] = "/proc/self/fd/", *end = name + strlen(name), digits[12];
	size_t count = 0;

	(void)nothing;
	if (fd < 0)
		return false;
	if (in_chroot())
		return ask(BOARD_ASK_FD, fd, "", to);
	do
		digits[count++] = (char)('0' + fd % 10);
	while ((fd /= 10) != 0);
	while (count)
		*end++ = digits[--count];
	*end = '\0';
	return rig_readlink(name, to, BOARD_PATH_SIZE) != 0;
}

static bool absolute_path(void *nothing, int dir, const char *path, char *to)
{
	size_t len = strlen(path), at = 0;

	if (len >= BOARD_PATH_SIZE)
		return false;
	if (in_chroot()) {
		if (!ask(BOARD_ASK_PATH, dir, path, to))
			return false;
		board_tidy(to);
		return true;
	}
	if (path[0] != '/') {
		if (dir == AT_FDCWD ? !rig_readlink("/proc/self/cwd", to, BOARD_PATH_SIZE)
				    : !fd_path(nothing, dir, to))
			return false;
		at = strlen(to);
		if (at + 1 + len >= BOARD_PATH_SIZE)
			return false;
		to[at++] = '/';
	}
	memcpy(to + at, path, len + 1);
	board_tidy(to);
	return true;
}

int rig_path_matches(struct meeting *meeting, const char *globs)
{
	static const struct board_places places = {.of_fd = fd_path, .of_path = absolute_path};

	return board_subject_matches(&meeting->call->on, globs, &places, meeting->path);
}

/*
 * What runs before main(): map the board, say who we are. Nothing else, since every exec of the
 * guest pays for it. Without a board, or with one of another build, the library is inert.
 */
#include "faults/guest/rigfault.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint32_t nothing[BOARD_POINTS_MAX];

_Atomic uint32_t *rig_armed = nothing;
struct board *rig_board;
bool rig_by_hand;

extern void *__libc_stack_end; /* of ld.so: the stack as the kernel made it */

static struct board *map_board(const char *path)
{
	int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_NOCTTY, 0);
	struct board *board = MAP_FAILED;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (!syscall(SYS_fstat, fd, &st) && S_ISREG(st.st_mode) &&
		st.st_size == (off_t)BOARD_FILE_SIZE)
		board = (struct board *)syscall(/* NOLINT: mmap gives a number here */
			SYS_mmap, NULL, BOARD_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
	if (board == MAP_FAILED)
		return NULL;
	if (board->magic == BOARD_MAGIC && board->version == BOARD_VERSION &&
		board->size == sizeof(*board) && board->points == POINT_COUNT)
		return board;
	syscall(SYS_munmap, board, BOARD_FILE_SIZE);
	return NULL;
}

/* A task parked under our pid died in the exec that made us. */
static void drop_parks_of(int32_t pid)
{
	if (!atomic_load(&rig_board->parked))
		return;
	for (size_t i = 0; i < BOARD_PARKS_MAX; i++) {
		struct board_park *park = &rig_board->parks[i];

		if (atomic_load(&park->word) != BOARD_PARKED || park->pid != pid)
			continue;
		atomic_store(&park->boot_ns, 0);
		atomic_store(&park->word, BOARD_CLAIMED);
		atomic_store(&park->tid, 0);
	}
}

static void say_who_we_are(int32_t pid)
{
	struct board_process *process = &rig_board->processes[(uint32_t)pid % BOARD_PROCESSES_MAX];

	atomic_store_explicit(&process->boot_ns, board_ns(CLOCK_BOOTTIME), memory_order_relaxed);
	atomic_store_explicit(
		&process->stack, (uint64_t)(uintptr_t)__libc_stack_end, memory_order_relaxed);
	atomic_store_explicit(&process->pid, pid, memory_order_release);
	rig_frees_begin((struct frees *)(void *)((char *)rig_board + BOARD_FREES_AT), pid,
		__libc_stack_end);
}

static void after_fork(void)
{
	int keep = errno;

	rig_libfiu_after_fork();
	say_who_we_are((int32_t)syscall(SYS_getpid));
	errno = keep;
}

__attribute__((constructor)) static void start(void)
{
	int keep = errno;
	const char *path = secure_getenv(BOARD_ENV);
	int32_t pid = (int32_t)syscall(SYS_getpid);

	rig_by_hand = getenv("FIU_ENABLE") || getenv("FIU_CTRL_FIFO");
	rig_board = map_board(path ? path : BOARD_PATH);
	if (rig_board) {
		drop_parks_of(pid);
		say_who_we_are(pid);
		pthread_atfork(NULL, NULL, after_fork);
		rig_armed = rig_board->armed;
	}
	errno = keep;
}

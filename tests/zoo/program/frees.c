#include "tests/zoo/program/frees.h"

#include "faults/guest/rigfault.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

extern void *__libc_stack_end; /* of libc: the stack as the kernel made it */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);

static struct frees *frees;

static void begin(void)
{
	rig_frees_begin(frees, getpid(), __libc_stack_end);
}

void zoo_frees_begin(void)
{
	int fd = open(BOARD_PATH, O_RDWR | O_CLOEXEC);
	void *at = MAP_FAILED;
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && st.st_size == (off_t)BOARD_FILE_SIZE)
		at = mmap(NULL, sizeof(*frees), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			(off_t)BOARD_FREES_AT);
	if (fd >= 0)
		close(fd);
	if (at == MAP_FAILED)
		return;
	frees = at;
	begin();
	pthread_atfork(NULL, NULL, begin);
}

void *__wrap_malloc(size_t size)
{
	void *block = __real_malloc(size);

	rig_frees_again(block);
	return block;
}

void *__wrap_calloc(size_t count, size_t size)
{
	void *block = __real_calloc(count, size);

	rig_frees_again(block);
	return block;
}

/* None of the zoo's makes a block smaller than nothing. */
void *__wrap_realloc(void *block, size_t size)
{
	void *moved;

	rig_frees_note(block, __builtin_frame_address(0), true);
	moved = __real_realloc(block, size);
	if (moved == block || !moved)
		rig_frees_undo(block);
	else
		rig_frees_again(moved);
	return moved;
}

void __wrap_free(void *block)
{
	rig_frees_note(block, __builtin_frame_address(0), true);
	__real_free(block);
}

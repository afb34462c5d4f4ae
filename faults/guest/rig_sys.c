#include "faults/guest/rigfault.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Not FUTEX_PRIVATE: the word is shared between processes. `until` is CLOCK_MONOTONIC, NULL: for
 * ever. 0 or a negative errno. */
int rig_futex_wait(_Atomic uint32_t *word, uint32_t value, const struct timespec *until)
{
	int op = until ? FUTEX_WAIT_BITSET : FUTEX_WAIT;
	uint32_t bits = until ? FUTEX_BITSET_MATCH_ANY : 0;

	return syscall(SYS_futex, word, op, value, until, NULL, bits) ? -errno : 0;
}

void rig_futex_wake(_Atomic uint32_t *word, int tasks)
{
	syscall(SYS_futex, word, FUTEX_WAKE, tasks, NULL, NULL, 0);
}

size_t rig_readlink(const char *path, char *to, size_t size)
{
	static const char gone[] = " (deleted)";
	long len = syscall(SYS_readlinkat, AT_FDCWD, path, to, size);

	if (len <= 0 || (size_t)len >= size)
		return 0;
	to[len] = '\0';
	if ((size_t)len >= sizeof(gone) && !strcmp(to + len - (sizeof(gone) - 1), gone)) {
		len -= (long)sizeof(gone) - 1;
		to[len] = '\0';
	}
	return (size_t)len;
}

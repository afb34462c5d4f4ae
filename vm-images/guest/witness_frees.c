/*
 * What a dying process had freed lately, out of the free journal (faults/guest/frees.h) into a file of
 * text beside its core: RUN_DIR/cores/frees.PID. Written by the core helper, while the kernel still
 * holds the process, so that nobody else has taken its share of the journal by then. The rig reads it
 * (vm/free_journal.h), which knows this text and not the journal's memory:
 *
 *	free ADDRESS SIZE TID TWICE AGAIN HELD AGE_NS PC SP BP STACK
 *
 * one line an entry; addresses, registers and the stack's bytes in hex, the rest in decimal. TWICE: the
 * thread that freed it once more, or 0. AGAIN: 1 if the address was handed out again since. HELD: 1 if it is the first
 * free of this address since the rig held a thread of the process in a call.
 */
#include "witness.h"

#include "faults/guest/board.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

static bool read_share(const char *run_dir, int32_t pid, struct frees_process *share)
{
	char path[PATH_TEXT_MAX];
	off_t at = (off_t)(BOARD_FREES_AT + (uint32_t)pid % FREES_PROCESSES * sizeof(*share));
	int fd;
	bool ok;

	snprintf(path, sizeof(path), "%s/board", run_dir);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	ok = pread(fd, share, sizeof(*share), at) == (ssize_t)sizeof(*share);
	close(fd);
	return ok;
}

static void print_entry(FILE *to, const struct frees_entry *entry, bool again, bool held)
{
	uint32_t len = entry->stack_len < FREES_STACK ? entry->stack_len : FREES_STACK;

	fprintf(to,
		"free %" PRIx64 " %" PRIu64 " %d %d %d %d %" PRId64 " %" PRIx64 " %" PRIx64
		" %" PRIx64 " ",
		entry->address, entry->size, entry->tid, entry->twice, again, held,
		guest_ns() - entry->ns, entry->pc, entry->sp, entry->bp);
	for (uint32_t i = 0; i < len; i++)
		fprintf(to, "%02x", entry->stack[i]);
	fputc('\n', to);
}

void frees_save(const char *run_dir, int32_t pid)
{
	static struct frees_process share;
	char path[PATH_TEXT_MAX];
	bool kept;
	FILE *to;

	if (!read_share(run_dir, pid, &share))
		return;
	kept = frees_are_kept(&share, guest_ns());
	snprintf(path, sizeof(path), "%s/cores/frees.%d", run_dir, pid);
	to = fopen(path, "we");
	for (size_t i = 0; to && i < FREES_EACH; i++) {
		const struct frees_entry *entry = &share.entries[i];
		uint64_t index = share.index[i];

		if (index && (index & ~(uint64_t)FREES_AGAIN) == entry->address && !entry->busy &&
			entry->pid == pid)
			print_entry(to, entry, index & FREES_AGAIN,
				kept && entry->ns >= share.held_since);
	}
	if (to)
		fclose(to);
}

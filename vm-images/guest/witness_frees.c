/*
 * What a dying process had freed lately, out of the free journal (faults/guest/frees.h) into a file of
 * text beside its core: RUN_DIR/cores/frees.PID. Written by the core helper, while the kernel still
 * holds the process, so that nobody else has taken its share of the journal by then. The rig reads it
 * (vm/free_journal.h), which knows this text and not the journal's memory:
 *
 *	free ADDRESS SIZE TID TWICE AGAIN HELD HOLD REUSED AGE_NS PC SP BP STACK
 *
 *	hold TID NUMBER
 *	made ADDRESS TID AGE_NS PC SP BP STACK		in a file of its own, mades.PID
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

static void print_stack(FILE *to, const unsigned char *stack, uint32_t len, uint32_t most)
{
	for (uint32_t i = 0; i < len && i < most; i++)
		fprintf(to, "%02x", stack[i]);
	fputc('\n', to);
}

static void print_entry(
	FILE *to, const struct frees_entry *entry, bool again, bool held, int64_t now)
{
	fprintf(to,
		"free %" PRIx64 " %" PRIu64 " %d %d %d %d %u %u %" PRId64 " %" PRIx64 " %" PRIx64
		" %" PRIx64 " ",
		entry->address, entry->size, entry->tid, entry->twice, again, held, entry->hold,
		entry->reused, now - entry->ns, entry->pc, entry->sp, entry->bp);
	print_stack(to, entry->stack, entry->stack_len, FREES_STACK);
}

static void print_holds(FILE *to, const struct frees_process *share)
{
	for (size_t i = 0; i < FREES_HOLDS; i++)
		if (share->holds[i].tid > 0)
			fprintf(to, "hold %d %u\n", share->holds[i].tid, share->holds[i].number);
}

static void print_frees(FILE *to, const struct frees_process *share, int32_t pid, int64_t now)
{
	bool kept = frees_are_kept(share, now);

	print_holds(to, share);
	for (size_t i = 0; i < FREES_EACH; i++) {
		const struct frees_entry *entry = &share->entries[i];
		uint64_t index = share->index[i];

		if (index && (index & ~(uint64_t)FREES_AGAIN) == entry->address && !entry->busy &&
			entry->pid == pid)
			print_entry(to, entry, index & FREES_AGAIN,
				kept && entry->ns >= share->held_since, now);
	}
}

static bool was_freed(const struct frees_process *share, uint64_t address)
{
	for (uint32_t i = 0; i < FREES_PROBES; i++)
		if ((share->index[(frees_place(address) + i) % FREES_EACH] &
			    ~(uint64_t)FREES_AGAIN) == address)
			return true;
	return false;
}

static void print_mades(FILE *to, const struct frees_process *share, int32_t pid, int64_t now)
{
	for (size_t i = 0; i < MADES_EACH; i++) {
		const struct made_entry *entry = &share->mades[i];

		if (!share->made_index[i] ||
			(share->made_index[i] & ~(uint64_t)MADE_FREED) != entry->address ||
			entry->busy || entry->pid != pid || !was_freed(share, entry->address))
			continue;
		fprintf(to, "made %" PRIx64 " %d %" PRId64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " ",
			entry->address, entry->tid, now - entry->ns, entry->pc, entry->sp,
			entry->bp);
		print_stack(to, entry->stack, entry->stack_len, MADE_STACK);
	}
}

static void save(const char *run_dir, const char *name, int32_t pid,
	const struct frees_process *share,
	void (*print)(FILE *, const struct frees_process *, int32_t, int64_t))
{
	char path[PATH_TEXT_MAX];
	FILE *to;

	snprintf(path, sizeof(path), "%s/cores/%s.%d", run_dir, name, pid);
	to = fopen(path, "we");
	if (!to)
		return;
	print(to, share, pid, guest_ns());
	fclose(to);
}

void frees_save(const char *run_dir, int32_t pid)
{
	static struct frees_process share;

	if (!read_share(run_dir, pid, &share))
		return;
	save(run_dir, "frees", pid, &share, print_frees);
	save(run_dir, "mades", pid, &share, print_mades);
}

/*
 * The free journal of librigfault.so: what is written down of a process's frees, and that it survives the process.
 * The victim says what is right, the test reads the file.
 */
#include "tests/unit/preload_fixture.h"

#include "base/fs.h"
#include "vm/free_journal.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define BLOCK 5000 /* of a size that nobody else here asks for */

/* ---- victims ---- */

/* Not known to the compiler, which would leave out what nobody looks at. */
static void *volatile block;

/* Without the heap, which would have the block back. */
static void say_whose(int tid, const void *address)
{
	char line[64];
	int len = snprintf(line, sizeof(line), "%d %d %llx\n", getpid(), tid,
		(unsigned long long)(uintptr_t)address);

	(void)!write(STDOUT_FILENO, line, (size_t)len);
	kill(getpid(), SIGKILL);
}

static void say_and_die(const void *address)
{
	say_whose((int)syscall(SYS_gettid), address);
}

static int free_and_die(const char *arg)
{
	(void)arg;
	block = malloc(BLOCK);
	free(block);
	say_and_die(block);
	return VICTIM_WRONG;
}

static int keep_and_die(const char *arg)
{
	(void)arg;
	block = malloc(BLOCK);
	say_and_die(block);
	return VICTIM_WRONG;
}

/* Freed, handed out again, and freed no more. */
static int reuse_and_die(const char *arg)
{
	void *volatile second;

	(void)arg;
	block = malloc(BLOCK);
	second = block;
	for (int i = 0; i < 100; i++) {
		free(block);
		block = malloc(BLOCK);
		if (block == second)
			say_and_die(block);
	}
	return VICTIM_WRONG;
}

/* Freed, handed out again, and freed again: whoever still points there may mean the first. */
static int free_again_and_die(const char *arg)
{
	void *volatile first;

	(void)arg;
	block = malloc(BLOCK);
	first = block;
	free(block);
	for (int i = 0; i < 100; i++) {
		block = malloc(BLOCK);
		if (block != first)
			continue;
		free(block);
		say_and_die(block);
	}
	return VICTIM_WRONG;
}

static int move_and_die(const char *arg)
{
	void *volatile first;

	(void)arg;
	for (int i = 1; i < 1000; i++) {
		first = malloc(BLOCK);
		block = malloc(BLOCK); /* in the way */
		if (realloc(first, BLOCK * (size_t)i) != first)
			say_and_die(first);
	}
	return VICTIM_WRONG;
}

static int fork_and_die(const char *arg)
{
	pid_t pid = fork();
	int status;

	(void)arg;
	if (!pid)
		return free_and_die("");
	EXPECT(waitpid(pid, &status, 0) == pid);
	return VICTIM_OK;
}

static void *free_it(void *address)
{
	free(address);
	return (void *)(intptr_t)syscall(SYS_gettid);
}

static int free_in_thread(const char *arg)
{
	void *tid = NULL;
	pthread_t thread;

	(void)arg;
	block = malloc(BLOCK);
	EXPECT(!pthread_create(&thread, NULL, free_it, block) && !pthread_join(thread, &tid));
	say_whose((int)(intptr_t)tid, block);
	return VICTIM_WRONG;
}

static ucontext_t here, there;

static void free_near_the_end(void)
{
	free(block);
	setcontext(&here);
}

/* A stack that ends at a page without memory behind it, as a coroutine's may. */
static int free_at_the_end_of_a_stack(const char *arg)
{
	size_t size = 64 << 10;
	char *stack =
		mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)arg;
	EXPECT(stack != MAP_FAILED && !mprotect(stack + size, 4096, PROT_NONE));
	block = malloc(BLOCK);
	EXPECT(!getcontext(&there));
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = size;
	makecontext(&there, free_near_the_end, 0);
	EXPECT(!swapcontext(&here, &there));
	say_and_die(block);
	return VICTIM_WRONG;
}

static void *sync_in_thread(void *dir)
{
	return (void *)(intptr_t)fsync_file(dir, "mail1");
}

/* The test releases the second rule once the other thread is held. */
static bool await_go(void)
{
	return rmdir("/nothing/of/that/name") != 0;
}

/* A thread is held in fsync() meanwhile: the first free is the one that counts. */
static int free_beside_a_held_one(const char *dir)
{
	pthread_t thread, other;
	void *tid = NULL;

	block = malloc(BLOCK);
	EXPECT(!pthread_create(&thread, NULL, sync_in_thread, (void *)(uintptr_t)dir));
	EXPECT(await_go());
	EXPECT(!pthread_create(&other, NULL, free_it, block) && !pthread_join(other, &tid));
	for (int i = 0; i < 50; i++) {
		void *volatile again = malloc(BLOCK);

		free(again);
	}
	say_whose((int)(intptr_t)tid, block);
	return VICTIM_WRONG;
}

#define MANY (FREES_EACH + 1) /* so that two share a place */

/* Two blocks with one place in the journal, while a thread is held: the first of them is freed, and keeps that place;
 * the second gets smaller where it stands, and is free at no time. */
static int shrink_beside_a_held_one(const char *dir)
{
	static void *volatile blocks[MANY];
	pthread_t thread;

	EXPECT(!pthread_create(&thread, NULL, sync_in_thread, (void *)(uintptr_t)dir));
	EXPECT(await_go());
	for (unsigned int i = 0; i < MANY; i++)
		blocks[i] = malloc(BLOCK);
	for (unsigned int i = 0; i < MANY; i++) {
		for (unsigned int k = i + 1; k < MANY; k++) {
			if (frees_place((uintptr_t)blocks[i]) != frees_place((uintptr_t)blocks[k]))
				continue;
			free(blocks[i]);
			block = realloc(blocks[k], BLOCK / 4);
			EXPECT(block == blocks[k]);
			say_and_die(block);
		}
	}
	return VICTIM_WRONG;
}

static void *give_it(void *unused)
{
	(void)unused;
	block = malloc(BLOCK);
	return (void *)(intptr_t)syscall(SYS_gettid);
}

/* Given to a thread that has ended since, and freed by this one. */
static int give_in_thread(const char *arg)
{
	void *tid = NULL;
	pthread_t thread;

	(void)arg;
	EXPECT(!pthread_create(&thread, NULL, give_it, NULL) && !pthread_join(thread, &tid));
	free(block);
	say_whose((int)(intptr_t)tid, block);
	return VICTIM_WRONG;
}

/* Freed by this thread while the first is held; then held itself, and freed by another: that one is to be known too. */
static int free_in_two_holds(const char *dir)
{
	pthread_t thread, other;
	void *volatile first;
	void *tid = NULL;

	first = malloc(BLOCK);
	EXPECT(!pthread_create(&thread, NULL, sync_in_thread, (void *)(uintptr_t)dir));
	EXPECT(await_go());
	free(first);
	for (int i = 0; i < 100 && block != first; i++)
		block = malloc(BLOCK);
	EXPECT(block == first);
	EXPECT(mkdir("/nothing/of/that/name", 0700)); /* held once more */
	EXPECT(!pthread_create(&other, NULL, free_it, block) && !pthread_join(other, &tid));
	say_whose((int)(intptr_t)tid, block);
	return VICTIM_WRONG;
}

static const struct victim_kind kinds[] = {{"free_and_die", free_and_die},
	{"keep_and_die", keep_and_die}, {"reuse_and_die", reuse_and_die},
	{"free_again_and_die", free_again_and_die}, {"move_and_die", move_and_die},
	{"fork_and_die", fork_and_die}, {"free_in_thread", free_in_thread},
	{"give_in_thread", give_in_thread}, {"free_in_two_holds", free_in_two_holds},
	{"free_at_the_end_of_a_stack", free_at_the_end_of_a_stack},
	{"free_beside_a_held_one", free_beside_a_held_one},
	{"shrink_beside_a_held_one", shrink_beside_a_held_one}};

/* ---- the file ---- */

struct said {
	int pid, tid;
	unsigned long long address;
};

static struct said hear(struct victim *victim)
{
	struct said said = {0};

	CHECK_INT(
		sscanf(victim_line(victim), "%d %d %llx", &said.pid, &said.tid, &said.address), 3);
	return said;
}

static struct frees_process *share_of(int pid)
{
	static struct frees_process share;
	int fd = open(board_file, O_RDONLY | O_CLOEXEC);
	off_t at = (off_t)(BOARD_FREES_AT + (size_t)pid % FREES_PROCESSES * sizeof(share));

	CHECK_INT(pread(fd, &share, sizeof(share), at), sizeof(share));
	close(fd);
	return &share;
}

/* The entry of that address, or NULL; `ret_again`: handed out since. */
static const struct frees_entry *entry_of(const struct said *said, bool *ret_again)
{
	const struct frees_process *share = share_of(said->pid);

	for (size_t i = 0; i < FREES_EACH; i++) {
		const struct frees_entry *entry = &share->entries[i];

		if ((share->index[i] & ~(uint64_t)FREES_AGAIN) != said->address ||
			entry->address != said->address || entry->pid != said->pid)
			continue;
		*ret_again = share->index[i] & FREES_AGAIN;
		return entry;
	}
	return NULL;
}

/* Whether freed memory is handed out again, and a block that shrinks stays where it is. */
#ifdef __SANITIZE_ADDRESS__
static bool is_heap_of_glibc(void)
{
	check_skip("the sanitizer's heap keeps what was freed, and moves what shrinks");
	return false;
}
#else
static bool is_heap_of_glibc(void)
{
	return true;
}
#endif

/* Runs the victim to its death; its entry, or NULL. */
static const struct frees_entry *entry_after(const char *name, struct said *said, bool *again)
{
	struct victim victim;

	fresh_board();
	victim = victim_start(name, work);
	*said = hear(&victim);
	victim_end(&victim);
	return entry_of(said, again);
}

static void who_freed_a_block_is_known_after_the_process_has_gone(void)
{
	struct said said;
	bool again = true;
	const struct frees_entry *entry = entry_after("free_and_die", &said, &again);

	if (!CHECK(entry != NULL))
		return;
	CHECK_INT(entry->tid, said.tid);
	CHECK_INT(entry->twice, 0);
	CHECK(!again);
	CHECK(!entry->size || (entry->size >= BLOCK && entry->size < BLOCK + 64));
	CHECK(entry->pc != 0 && entry->sp > entry->pc);
	CHECK_INT(entry->stack_len, FREES_STACK);
}

static void a_block_that_was_not_freed_is_not_written_down(void)
{
	struct said said;
	bool again;

	CHECK(entry_after("keep_and_die", &said, &again) == NULL);
}

static void a_block_that_was_handed_out_again_says_so(void)
{
	const struct frees_entry *entry;
	struct said said;
	bool again = false;

	if (!is_heap_of_glibc())
		return;
	entry = entry_after("reuse_and_die", &said, &again);
	CHECK(entry && again);
}

static void where_a_block_was_freed_before_another_says_so(void)
{
	const struct frees_entry *entry;
	struct said said;
	bool again = true;

	if (!is_heap_of_glibc())
		return;
	entry = entry_after("free_again_and_die", &said, &again);
	CHECK(entry && !again && entry->reused);
}

static void a_block_that_moved_was_freed(void)
{
	struct said said;
	bool again = true;

	CHECK(entry_after("move_and_die", &said, &again) != NULL);
	CHECK(!again);
}

static void a_forked_child_has_a_share_of_its_own(void)
{
	struct said said;
	bool again;
	const struct frees_entry *entry = entry_after("fork_and_die", &said, &again);

	CHECK(entry && entry->pid == said.pid && entry->tid == said.pid);
}

static void the_thread_is_the_one_that_freed(void)
{
	struct said said;
	bool again;
	const struct frees_entry *entry = entry_after("free_in_thread", &said, &again);

	CHECK(entry && entry->tid == said.tid && entry->tid != said.pid);
}

/* The entry of who was given that block, or NULL. */
static const struct made_entry *made_of(const struct said *said)
{
	const struct frees_process *share = share_of(said->pid);

	for (uint32_t i = 0; i < 2; i++) {
		uint32_t place = mades_place(said->address) ^ i;

		if (share->made_index[place] == (said->address | MADE_FREED) &&
			share->mades[place].address == said->address)
			return &share->mades[place];
	}
	return NULL;
}

static void who_was_given_a_block_is_known_beside_who_freed_it(void)
{
	const struct frees_entry *freed;
	const struct made_entry *made;
	struct said said;
	bool again;

	freed = entry_after("give_in_thread", &said, &again);
	CHECK(freed && freed->tid == said.pid);
	made = made_of(&said);
	if (!CHECK(made != NULL))
		return;
	CHECK_INT(made->pid, said.pid);
	CHECK_INT(made->tid, said.tid);
	CHECK(made->pc != 0 && made->stack_len > 0 && made->stack_len <= MADE_STACK);
}

/* It can only be its own: nothing is written down. */
static void a_process_of_one_thread_pays_nothing_for_it(void)
{
	struct said said;
	bool again;

	CHECK(entry_after("free_and_die", &said, &again) != NULL);
	CHECK(made_of(&said) == NULL);
}

/* Two holds, less than a second apart. */
static void each_hold_has_a_first_free_of_its_own(void)
{
	const struct frees_process *share;
	struct board_event parked;
	struct victim victim;
	struct said said;
	size_t before = 0, since = 0;

	if (!is_heap_of_glibc())
		return;
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync");
	say("arm slot=2 point=posix/io/dir/rmdir");
	say("arm slot=3 point=posix/io/dir/mkdir");
	victim = victim_start("free_in_two_holds", work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, &parked));
	say("disarm slot=2");
	CHECK(await_event(BOARD_EVENT_PARKED, 3, &parked));
	say("disarm slot=3");
	said = hear(&victim);
	victim_end(&victim);
	share = share_of(said.pid);
	for (size_t i = 0; i < FREES_EACH; i++) {
		const struct frees_entry *entry = &share->entries[i];

		if (entry->address != said.address || entry->pid != said.pid)
			continue;
		before += entry->tid == said.pid && entry->hold < share->hold_count;
		since += entry->tid == said.tid && entry->hold == share->hold_count;
	}
	CHECK_INT(since, 1);
	CHECK_INT(before, 1);
}

static void a_free_at_the_end_of_a_stack_reads_no_further(void)
{
	struct said said;
	bool again;
	const struct frees_entry *entry = entry_after("free_at_the_end_of_a_stack", &said, &again);

	CHECK(entry && entry->stack_len > 0 && entry->stack_len < FREES_STACK);
}

static void while_a_thread_is_held_the_first_free_of_a_block_is_kept(void)
{
	const struct frees_entry *entry;
	struct board_event parked;
	struct said said;
	bool again;
	struct victim victim;

	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync");
	say("arm slot=2 point=posix/io/dir/rmdir");
	victim = victim_start("free_beside_a_held_one", work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, &parked));
	say("disarm slot=2");
	said = hear(&victim);
	victim_end(&victim);
	entry = entry_of(&said, &again);
	CHECK(entry && entry->tid == said.tid);
	CHECK(frees_are_kept(share_of(said.pid), entry ? entry->ns : 0));
	CHECK(entry && entry->ns >= share_of(said.pid)->held_since);
}

static void a_block_that_shrank_beside_a_held_thread_is_free_nowhere(void)
{
	struct board_event parked;
	struct victim victim;
	struct said said;
	bool again;

	if (!is_heap_of_glibc())
		return;
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync");
	say("arm slot=2 point=posix/io/dir/rmdir");
	victim = victim_start("shrink_beside_a_held_one", work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, &parked));
	say("disarm slot=2");
	said = hear(&victim);
	victim_end(&victim);
	CHECK(entry_of(&said, &again) == NULL);
}

/* The core helper, as the kernel runs it for a process that dies; its text is read as the rig reads it. */
static void the_core_helper_writes_it_down_for_the_rig(void)
{
	auto_free char *witness = text_fmt(
			       "%.*s/../guest/witness", (int)(strrchr(self, '/') - self), self),
		       *cores = NULL, *file = NULL, *mades = NULL, *pid = NULL;
	char *argv[] = {witness, (char *)"core", NULL, NULL, (char *)"9", NULL};
	struct free_journal journal = {0};
	const struct free_record *record;
	struct free_record made = {0};
	auto_buf struct buf text = {0};
	enum free_match match;
	struct err err = {0};
	struct said said;
	bool again;

	CHECK(entry_after("give_in_thread", &said, &again) != NULL);
	cores = path_join(work, "cores");
	pid = text_fmt("%d", said.pid);
	file = text_fmt("%s/frees.%d", cores, said.pid);
	mades = text_fmt("%s/mades.%d", cores, said.pid);
	argv[2] = (char *)work;
	argv[3] = pid;
	CHECK_INT(fs_mkdir_p(cores, &err), 0);
	proc_run(argv, deadline_in_ms(WAIT_MS), NULL, 0, &err);
	CHECK_INT(fs_read(file, FREE_TEXT_MAX, &text, &err), 0);
	free_journal_read(buf_text(&text), text.len, &journal);
	record = free_journal_find(&journal, said.address, true, 0, &match);
	CHECK(record && record->tid == said.pid && record->stack_len == FREES_STACK);
	CHECK(record && record->age_ns > -NS_PER_SEC && !record->held && !record->again);
	buf_reset(&text);
	CHECK_INT(fs_read(mades, FREE_TEXT_MAX, &text, &err), 0);
	CHECK(record && free_journal_made(&journal, record, buf_text(&text), text.len, &made));
	CHECK_INT(made.tid, said.tid);
	free_journal_free(&journal);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
		CHECK_CASE(who_freed_a_block_is_known_after_the_process_has_gone),
		CHECK_CASE(a_block_that_was_not_freed_is_not_written_down),
		CHECK_CASE(a_block_that_was_handed_out_again_says_so),
		CHECK_CASE(where_a_block_was_freed_before_another_says_so),
		CHECK_CASE(a_block_that_moved_was_freed),
		CHECK_CASE(a_forked_child_has_a_share_of_its_own),
		CHECK_CASE(the_thread_is_the_one_that_freed),
		CHECK_CASE(who_was_given_a_block_is_known_beside_who_freed_it),
		CHECK_CASE(a_process_of_one_thread_pays_nothing_for_it),
		CHECK_CASE(each_hold_has_a_first_free_of_its_own),
		CHECK_CASE(a_free_at_the_end_of_a_stack_reads_no_further),
		CHECK_CASE(the_core_helper_writes_it_down_for_the_rig),
		CHECK_CASE(while_a_thread_is_held_the_first_free_of_a_block_is_kept),
		CHECK_CASE(a_block_that_shrank_beside_a_held_thread_is_free_nowhere)};

	return preload_main(kinds, ARRAY_SIZE(kinds), cases, ARRAY_SIZE(cases), argc, argv);
}

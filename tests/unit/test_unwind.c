/* Stacks of a child that stands in a known place, read without touching it. */
#include "vm/unwind.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "tests/check/check.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES 32768
#define STATIC_BASE 0x400000 /* where ld puts a program that is not position-independent */

/* The child's way down; nothing here may be folded into its caller. A sanitizer's own read() would stand between, and
 * its frames are found by a register that is not given. */
__attribute__((noinline)) static int innermost(int fd)
{
	char c;

	return (int)syscall(SYS_read, fd, &c, 1) + 1;
}

__attribute__((noinline)) static int outermost(int fd)
{
	return innermost(fd) + 1;
}

/* Of two calls the last: it leaves no frame, and who called it did not call what stands. */
__attribute__((noinline)) static int goes_on(int fd)
{
	return innermost(fd);
}

__attribute__((noinline)) static int outer_of_pointer(int fd)
{
	int (*volatile call)(int) = goes_on;

	return call(fd) + 1;
}

/* Both go on to the C library: one by a call, one by a jump. */
static int calls_and_stays(int fd)
{
	return poll(NULL, 0, -1) + fd;
}

static int jumps_on(int fd)
{
	(void)fd;
	return poll(NULL, 0, -1);
}

__attribute__((noinline)) static int calls_who_jumps(int fd)
{
	int (*volatile call)(int) = jumps_on;

	return call(fd) + 1;
}

__attribute__((noinline)) static int calls_who_calls(int fd)
{
	int (*volatile call)(int) = calls_and_stays;

	return call(fd) + 1;
}

/* The path of another program of this build, seen from the tests' folder. */
static bool beside_this_program(char path[4096], const char *name)
{
	ssize_t len = readlink("/proc/self/exe", path, 4096 - 64);

	if (len <= 0)
		return false;
	path[len] = '\0';
	strcpy(strrchr(path, '/') + 1, name);
	return true;
}

struct child {
	pid_t pid;
	int ends[2];
	uint64_t sp, pc;
	char stack[STACK_BYTES];
	ssize_t stack_size;
	struct unwind_file files[64];
	size_t file_count;
};

static bool read_syscall(struct child *c, long number)
{
	auto_free char *path = text_fmt("/proc/%d/syscall", c->pid);
	FILE *file = fopen(path, "re");
	long got;
	bool found = file &&
		     fscanf(file, "%ld %*s %*s %*s %*s %*s %*s %" SCNx64 " %" SCNx64, &got, &c->sp,
			     &c->pc) == 3 &&
		     got == number;

	if (file)
		fclose(file);
	return found;
}

static void read_files(struct child *c)
{
	auto_free char *path = text_fmt("/proc/%d/maps", c->pid);
	FILE *file = fopen(path, "re");
	char line[1024], name[512];
	uint64_t start, offset;

	while (file && fgets(line, sizeof(line), file) && c->file_count < 64)
		if (sscanf(line, "%" SCNx64 "-%*x %*s %" SCNx64 " %*s %*s /%511s", &start, &offset,
			    name) == 3 &&
			!offset) {
			char *whole = text_fmt("/%s", name);

			c->files[c->file_count++] = (struct unwind_file){
				.base = start, .host_path = whole, .guest_path = text_dup(whole)};
		}
	if (file)
		fclose(file);
}

/* A child that has come to stand in the system call `number`: another program, or this very one, forked. */
static bool child_start(struct child *c, char *const *argv, int (*way)(int), long number)
{
	int64_t deadline = deadline_in_ms(10000);
	struct iovec local = {c->stack, sizeof(c->stack)}, remote;

	*c = (struct child){.ends = {-1, -1}};
	if (!CHECK(!pipe(c->ends)))
		return false;
	c->pid = fork();
	if (!c->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (argv && dup2(c->ends[0], STDIN_FILENO) == STDIN_FILENO)
			execv(argv[0], argv);
		_exit(argv ? 1 : way(c->ends[0]));
	}
	while (!read_syscall(c, number) && deadline_left_ms(deadline))
		poll(NULL, 0, 1);
	read_files(c);
	remote = (struct iovec){(void *)(uintptr_t)c->sp, sizeof(c->stack)};
	c->stack_size = process_vm_readv(c->pid, &local, 1, &remote, 1, 0);
	while (c->stack_size < 0 && remote.iov_len > 256) { /* the stack ends before */
		remote.iov_len /= 2;
		c->stack_size = process_vm_readv(c->pid, &local, 1, &remote, 1, 0);
	}
	return CHECK(c->stack_size > 0);
}

static bool child_open(struct child *c)
{
	return child_start(c, NULL, outermost, SYS_read);
}

static void child_close(struct child *c)
{
	if (c->pid > 0) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
	}
	close(c->ends[0]);
	close(c->ends[1]);
	for (size_t i = 0; i < c->file_count; i++) {
		free(c->files[i].host_path);
		free(c->files[i].guest_path);
	}
}

static struct unwind unwind_of(const struct child *c)
{
	return (struct unwind){
		.regs = {[UNWIND_SP] = c->sp, [UNWIND_PC] = c->pc},
		.known = 1u << UNWIND_SP | 1u << UNWIND_PC,
		.files = c->files,
		.file_count = c->file_count,
		.stack_base = c->sp,
		.stack = c->stack,
		.stack_size = (size_t)c->stack_size,
	};
}

static int place_of(const json_t *frames, const char *name)
{
	for (size_t i = 0; i < json_array_size(frames); i++)
		if (!strcmp(json_string_value(json_array_get(frames, i)), name))
			return (int)i;
	return -1;
}

static void the_functions_of_a_waiting_thread_are_named_innermost_first(void)
{
	static struct child c; /* its copy of a stack is not to lie on this one */
	auto_json json_t *frames = NULL;

	if (child_open(&c)) {
		struct unwind u = unwind_of(&c);

		frames = unwind_frames(&u, NULL, NULL);
		CHECK(place_of(frames, "innermost") > 0); /* read() is above it */
		CHECK_INT(place_of(frames, "outermost"), place_of(frames, "innermost") + 1);
		CHECK(place_of(frames, "check_main") > place_of(frames, "outermost"));
	}
	child_close(&c);
}

static void a_function_of_a_stripped_program_is_called_by_its_place(void)
{
	static char cat[] = "/bin/cat";
	char *argv[] = {cat, NULL};
	static struct child c;
	auto_json json_t *frames = NULL, *own = NULL, *again = NULL;
	json_t *one;
	size_t i, places = 0;

	if (child_start(&c, argv, NULL, SYS_read)) {
		struct unwind u = unwind_of(&c);

		frames = unwind_frames(&u, &own, NULL);
		again = unwind_frames(&u, NULL, NULL);
		json_array_foreach (frames, i, one)
			places += !strncmp(json_string_value(one), "cat+0x", 6);
		CHECK(places > 0);
		CHECK(json_equal(frames, again));
		/* What a signature is made of has no place in it. */
		CHECK(json_array_size(own) > 0);
		json_array_foreach (own, i, one)
			CHECK_STR(json_string_value(one), "cat");
	}
	child_close(&c);
}

static void what_does_not_fit_ends_the_frames_and_no_more(void)
{
	static struct child c; /* its copy of a stack is not to lie on this one */

	if (child_open(&c)) {
		struct unwind u = unwind_of(&c);
		auto_json json_t *no_stack = NULL, *no_files = NULL, *wild = NULL;

		memset(c.stack, 0xff, sizeof(c.stack));
		u.stack_size = 3;
		no_stack = unwind_frames(&u, NULL, NULL);
		CHECK(json_array_size(no_stack) <= 2);
		u.stack_size = (size_t)c.stack_size;
		wild = unwind_frames(&u, NULL, NULL);
		CHECK_INT(place_of(wild, "check_main"), -1);
		u.file_count = 0;
		no_files = unwind_frames(&u, NULL, NULL);
		CHECK(json_array_size(no_files) <= 1);
	}
	child_close(&c);
}

static struct {
	char before[8];
	struct {
		int first;
		pthread_mutex_t lock;
	} inner;
} planted;

static void a_variable_is_named_by_its_members(void)
{
	static struct child c;

	if (child_open(&c)) { /* it is mapped where its parent's is */
		struct unwind u = unwind_of(&c);
		auto_free char *lock =
			unwind_object(&u, (uint64_t)(uintptr_t)&planted.inner.lock + 4);
		auto_free char *whole = unwind_object(&u, (uint64_t)(uintptr_t)&planted.before);
		auto_free char *none = unwind_object(&u, (uint64_t)(uintptr_t)&c.sp ^ 1u << 30);

		CHECK_STR(lock, "planted.inner.lock");
		CHECK_STR(whole, "planted.before");
		CHECK(!none);
	}
	child_close(&c);
}

/* The zoo has a mutex called lock in many of its files. */
static void a_name_that_several_source_files_have_is_told_with_its_file(void)
{
	static char program[4096];
	struct unwind_file file = {
		.base = STATIC_BASE, .host_path = program, .guest_path = program};
	struct unwind u = {.files = &file, .file_count = 1};
	auto_free char *command = NULL, *line = NULL;
	FILE *symbols;
	size_t size = 0, seen = 0;

	if (!CHECK(beside_this_program(program, "../targets/zoo/zoo")))
		return;
	command = text_fmt("nm '%s'", program);
	symbols = popen(command, "re");
	while (symbols && getline(&line, &size, symbols) > 0) {
		uint64_t at;
		char kind, name[16], end;

		if (sscanf(line, "%" SCNx64 " %c %15s%c", &at, &kind, name, &end) != 4 ||
			strcmp(name, "lock") != 0)
			continue;
		auto_free char *told = unwind_object(&u, at);

		CHECK(told && !strncmp(told, "lock of ", strlen("lock of ")));
		seen++;
	}
	CHECK(symbols && !pclose(symbols));
	CHECK(seen > 1);
}

static void what_is_the_c_librarys_is_not_its_own(void)
{
	static struct child c;
	auto_json json_t *frames = NULL, *own = NULL;

	if (child_open(&c)) {
		struct unwind u = unwind_of(&c);

		frames = unwind_frames(&u, &own, NULL);
		CHECK(json_array_size(own) < json_array_size(frames));
		CHECK_INT(place_of(own, "innermost"), 0);
	}
	child_close(&c);
}

/* Built with a frame pointer, which the system call does not tell. */
static void what_is_called_by_a_pointer_or_has_jumped_on_has_its_callers(void)
{
	static struct child c;
	auto_json json_t *frames = NULL;

	if (child_start(&c, NULL, outer_of_pointer, SYS_read)) {
		struct unwind u = unwind_of(&c);

		frames = unwind_frames(&u, NULL, NULL);
		CHECK(place_of(frames, "innermost") > 0);
		CHECK_INT(place_of(frames, "outer_of_pointer"), place_of(frames, "innermost") + 1);
		CHECK(place_of(frames, "check_main") > 0);
		/* A place that no call returns to is none. */
		memset(c.stack, 0xff, sizeof(c.stack));
		json_cleanup(&frames);
		frames = unwind_frames(&u, NULL, NULL);
		CHECK_INT(place_of(frames, "outer_of_pointer"), -1);
	}
	child_close(&c);
}

static void who_called_one_that_left_no_frame_by_a_pointer_is_told(void)
{
	for (int jumps = 0; jumps < 2; jumps++) {
		static struct child c;
		auto_json json_t *frames = NULL, *own = NULL;
		bool jumped = !jumps;

		if (child_start(&c, NULL, jumps ? calls_who_jumps : calls_who_calls, SYS_poll)) {
			struct unwind u = unwind_of(&c);

			frames = unwind_frames(&u, &own, &jumped);
			CHECK_INT(place_of(own, "jumps_on"), -1);
			CHECK_INT(place_of(own, jumps ? "calls_who_jumps" : "calls_and_stays"), 0);
			CHECK_INT(jumped, jumps);
		}
		child_close(&c);
	}
}

/* The zoo's program is static: the C library's functions lie in its own file. */
static void the_c_library_in_a_static_program_is_not_its_own(void)
{
	static char program[4096];
	static char verb[] = "pause", ms[] = "100000";
	char *argv[] = {program, verb, ms, NULL};
	static struct child c;
	auto_json json_t *frames = NULL, *own = NULL;

	if (!CHECK(beside_this_program(program, "../targets/zoo/zoo")))
		return;
	if (child_start(&c, argv, NULL, SYS_poll)) {
		struct unwind u = unwind_of(&c);

		frames = unwind_frames(&u, &own, NULL);
		CHECK(place_of(frames, "main") > 0);
		CHECK(place_of(frames, "_start") > place_of(frames, "main") + 1);
		CHECK_INT(place_of(own, "main"), 0);
		CHECK_INT(place_of(own, "_start"), 1);
	}
	child_close(&c);
}

CHECK_MAIN(CHECK_CASE(a_name_that_several_source_files_have_is_told_with_its_file),
	CHECK_CASE(what_is_called_by_a_pointer_or_has_jumped_on_has_its_callers),
	CHECK_CASE(who_called_one_that_left_no_frame_by_a_pointer_is_told),
	CHECK_CASE(the_c_library_in_a_static_program_is_not_its_own),
	CHECK_CASE(a_variable_is_named_by_its_members),
	CHECK_CASE(what_is_the_c_librarys_is_not_its_own),
	CHECK_CASE(the_functions_of_a_waiting_thread_are_named_innermost_first),
	CHECK_CASE(a_function_of_a_stripped_program_is_called_by_its_place),
	CHECK_CASE(what_does_not_fit_ends_the_frames_and_no_more))

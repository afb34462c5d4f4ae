/*
 * Every interposed function with every errno its point may give: the rows of calls.h are walked, so
 * a new row is tested by existing. The program runs itself again with the preload in front; in that
 * process the main thread holds the board and the rules mean the other thread alone.
 */
#include "faults/guest/calls_names.h"

#include "tests/check/check.h"

#include "faults/guest/board_control.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/proc.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>

/* What the walk needs of a row: the call itself with arguments of zero, and what it must give. */
struct row {
	const char *name;
	bool (*gives)(
		long, long, long, long, long, long, long); /* the value and errno of `wanted` */
	uint32_t (*point)(long, long, long, long, long, long, long);
};

static int wanted;
static int got_errno;

#undef NEXT
#define NEXT(function)	NOT_CALLED
#define NOT_CALLED(arg) 0

#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-value"
#pragma GCC diagnostic ignored "-Wcast-function-type"
#pragma GCC diagnostic ignored "-Wnonnull"
#pragma GCC diagnostic ignored "-Wunused-result"

#define CALL(type, function, params, args, at_point, on_error, after, ...)                 \
	static __attribute__((no_sanitize("undefined"))) bool gives_##function params      \
	{                                                                                  \
		struct call call = {__VA_ARGS__};                                          \
		type got;                                                                  \
		type want;                                                                 \
                                                                                           \
		errno = ENOTUNIQ;                                                          \
		got = function args;                                                       \
		got_errno = errno;                                                         \
		call.err = wanted;                                                         \
		want = on_error;                                                           \
		return got == want && got_errno == (call.keeps_errno ? ENOTUNIQ : wanted); \
	}                                                                                  \
	static uint32_t point_##function params                                            \
	{                                                                                  \
		return at_point;                                                           \
	}
#define rig_stream_fd(stream) -1
#define rig_dir_fd(dir)	      -1
#include "faults/guest/calls.h"
#undef CALL

/* clang-format off */
#define CALL(type, function, ...)                                                                  \
	{#function, (bool (*)(long, long, long, long, long, long, long))gives_##function,          \
		(uint32_t (*)(long, long, long, long, long, long, long))point_##function},
/* clang-format on */
static const struct row rows[] = {
#include "faults/guest/calls.h"
};

/* ---- the process behind the preload ---- */

static _Atomic uint32_t turn; /* 0: the controller's; 1: the walker's; 2: over */
static _Atomic int32_t walker_tid;
static const struct row *now;
static bool right;

static void pass_turn(uint32_t to)
{
	atomic_store(&turn, to);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void await_turn(uint32_t not_while)
{
	while (atomic_load(&turn) == not_while)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, not_while, NULL, NULL, 0);
}

static void *walk(void *arg)
{
	atomic_store(&walker_tid, (int32_t)syscall(SYS_gettid));
	for (;;) {
		pass_turn(0);
		await_turn(0);
		if (atomic_load(&turn) == 2)
			return arg;
		right = now->gives(0, 0, 0, 0, 0, 0, 0);
	}
}

static bool try_row(const struct row *row, const struct board_point_row *point, int errnum)
{
	char line[256], reply[1024];

	snprintf(line, sizeof(line), "arm slot=1 point=%s errno=%s calls=all tid=%d", point->name,
		strerrorname_np(errnum), atomic_load(&walker_tid));
	if (board_control_command(line, reply, sizeof(reply))) {
		printf("%s: %s\n", line, reply);
		return false;
	}
	now = row;
	wanted = errnum;
	pass_turn(1);
	await_turn(1);
	board_control_command("disarm slot=1", reply, sizeof(reply));
	if (!right)
		printf("%s() at %s with %s: wrong value, or errno %s\n", row->name, point->name,
			strerrorname_np(errnum), strerrorname_np(got_errno));
	return right;
}

static int victim(void)
{
	char reply[1024];
	size_t tried = 0, wrong = 0;
	pthread_t thread;

	if (board_control_open(getenv(BOARD_ENV)))
		return 2;
	atomic_store(&turn, 1);
	pthread_create(&thread, NULL, walk, NULL);
	await_turn(1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint32_t at = rows[i].point(0, 0, 0, 0, 0, 0, 0);

		for (const int *err = board_point_rows[at].errnos; *err; err++, tried++)
			wrong += !try_row(&rows[i], &board_point_rows[at], *err);
	}
	pass_turn(2);
	pthread_join(thread, NULL);
	board_control_command("residue", reply, sizeof(reply));
	printf("%zu functions, %zu calls, %zu wrong, %s\n", ARRAY_SIZE(rows), tried, wrong, reply);
	fflush(stdout);
	return wrong || strcmp(reply, "{\"residue\":[]}") != 0;
}

/* ---- the test ---- */

static void every_function_fails_with_each_errno_of_its_point(void)
{
	auto_free char *board = text_fmt("%s/board", check_dir());
	char exe[4096] = {0}, *slash;
	auto_buf struct buf out = {0};
	struct err err = {0};

	CHECK(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	slash = strrchr(exe, '/');
	auto_free char *preload =
		text_fmt("LD_PRELOAD=%.*s/../guest/librigfault.so", (int)(slash - exe), exe);
	auto_free char *board_env = text_fmt(BOARD_ENV "=%s", board);
	CHECK_INT(board_control_open(board), 0);
	char *argv[] = {(char *)"env", preload, board_env,
		(char *)"ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0", exe,
		(char *)"victim", NULL};
	CHECK_INT(proc_run(argv, deadline_in_ms(60000), &out, 1 << 20, &err), 0);
	fputs(buf_text(&out), stdout);
	fputs(err.text, stdout);
	CHECK_HAS(buf_text(&out), " 0 wrong");
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
		CHECK_CASE(every_function_fails_with_each_errno_of_its_point)};

	if (argc == 2 && !strcmp(argv[1], "victim"))
		return victim();
	return check_main(__FILE__, cases, ARRAY_SIZE(cases), argc, argv);
}

/*
 * Victims for the tests of librigfault.so: this very program, run again with the preload in front
 * and the name of a victim as its argument. The test holds the board, as the witness does.
 */
#pragma once

#include "tests/check/check.h"
#include "tests/unit/victim.h"

#include "faults/guest/board_control.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#define VICTIM_OK    0
#define VICTIM_WRONG 1

struct victim_kind {
	const char *name;
	int (*run)(const char *arg); /* exit code */
};

static char board_reply_text[BOARD_REPLY_MAX];
static char self[4096];	 /* this program, as the board sees it */
static const char *work; /* the folder of this case */
static char board_file[512];

static inline void fresh_board(void)
{
	work = check_dir();
	snprintf(board_file, sizeof(board_file), "%s/board", work);
	CHECK_INT(board_control_open(board_file), 0);
}

static inline __attribute__((format(printf, 1, 2))) const char *say(const char *fmt, ...)
{
	auto_buf struct buf line = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&line, fmt, ap);
	va_end(ap);
	check_int(
		board_control_command(buf_text(&line), board_reply_text, sizeof(board_reply_text)),
		0, buf_text(&line), __FILE__, __LINE__);
	return board_reply_text;
}

static inline int64_t count_of(const char *key, unsigned int slot)
{
	auto_json json_t *json = json_loads(say("status slot=%u", slot), 0, NULL);

	return json_get_int(json, key, -1);
}

/* With `more` in front of what is preloaded, and one more variable; NULL: none. */
static inline struct victim victim_start_with(
	const char *name, const char *arg, const char *more, const char *variable)
{
	char dir[4096];
	int ends[2];
	struct err err = {0};

	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(self, '/') - self), self);
	auto_free char *preload = text_fmt("LD_PRELOAD=%s%s%s/../guest/librigfault.so",
		more ? more : "", more ? " " : "", dir);
	auto_free char *board = text_fmt(BOARD_ENV "=%s", board_file);
	char *argv[] = {self, (char *)"victim", (char *)name, (char *)(arg ? arg : ""), NULL};
	char *env[] = {preload, board,
		(char *)"ASAN_OPTIONS=verify_asan_link_order=0:detect_leaks=0",
		(char *)(variable ? variable : "NOTHING=1"), NULL};

	CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
	struct proc_spec spec = {.argv = argv,
		.env = env,
		.stdin_fd = -1,
		.stdout_fd = ends[1],
		.stderr_fd = STDERR_FILENO};
	struct victim victim = {.pid = proc_spawn(&spec, &err), .out = ends[0], .in = -1};
	CHECK(victim.pid > 0);
	close(ends[1]);
	return victim;
}

static inline struct victim victim_start(const char *name, const char *arg)
{
	return victim_start_with(name, arg, NULL, NULL);
}

/* The exit code, 128 + signal, or -ETIMEDOUT: it hung and was killed. */
static inline int victim_end(struct victim *victim)
{
	struct err err;
	int status = 0, rc = proc_wait(victim->pid, deadline_in_ms(WAIT_MS), &status, &err);

	if (rc)
		proc_end(victim->pid, 0);
	close(victim->out);
	if (rc)
		return rc;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static inline bool await_event(uint32_t what, unsigned int slot, struct board_event *ret)
{
	int64_t deadline = deadline_in_ms(WAIT_MS);
	struct board_event event = {0};

	while (board_control_wait_event(&event, NULL, deadline_left_ms(deadline)) > 0)
		if (event.what == what && event.slot == slot) {
			if (ret)
				*ret = event;
			return true;
		}
	check_str("nothing", board_event_name(what), "event", __FILE__, __LINE__);
	return false;
}

/* ---- in the victim ---- */

static inline void tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline void tell(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

#define EXPECT(condition)                                                                   \
	do {                                                                                \
		if (!(condition)) {                                                         \
			fprintf(stderr, "victim: %s:%d: not so: %s (errno %s)\n", __FILE__, \
				__LINE__, #condition, strerrorname_np(errno));              \
			return VICTIM_WRONG;                                                \
		}                                                                           \
	} while (0)

static inline int open_file(const char *dir, const char *name)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, O_RDWR | O_CREAT, 0600);
}

static inline int fsync_file(const char *dir, const char *name)
{
	int fd = open_file(dir, name), rc = fsync(fd);

	close(fd);
	return rc;
}

static inline int preload_main(const struct victim_kind *kinds, size_t kind_count,
	const struct check_case *cases, size_t count, int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "victim")) {
		for (size_t i = 0; i < kind_count; i++)
			if (!strcmp(kinds[i].name, argv[2]))
				return kinds[i].run(argv[3]);
		return 99;
	}
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
		return 98;
	return check_main(argv[0], cases, count, argc, argv);
}

/*
 * The tracer on a static program that makes its calls by their numbers (raw_calls.c): the board is held by the test,
 * as the witness does. Needs ptrace(2) of a child's child, which root has; else SKIP.
 */
#include "tests/check/check.h"
#include "tests/unit/victim.h"

#include "faults/guest/board_connector.h"
#include "faults/guest/board_control.h"
#include "faults/guest/board_syscalls.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 20

static char reply[BOARD_REPLY_MAX];
static char program[4096]; /* of the victim */
static const char *work;

static void fresh_board(void)
{
	auto_free char *path = NULL;

	work = check_dir();
	path = path_join(work, "board");
	CHECK_INT(board_control_open(path), 0);
}

static __attribute__((format(printf, 1, 2))) int say(const char *fmt, ...)
{
	auto_buf struct buf line = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&line, fmt, ap);
	va_end(ap);
	return board_control_command(buf_text(&line), reply, sizeof(reply));
}

/* A rule of slot 1 on the victim's program. */
static __attribute__((format(printf, 1, 2))) void arm(const char *fmt, ...)
{
	auto_buf struct buf line = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&line, fmt, ap);
	va_end(ap);
	if (!CHECK_INT(say("arm slot=1 exe=%s trace=%s %s", program, program, buf_text(&line)), 0))
		fprintf(stderr, "%s\n", reply);
}

static int64_t count_of(const char *key)
{
	auto_json json_t *json = NULL;

	CHECK_INT(say("status slot=1"), 0);
	json = json_loads(reply, 0, NULL);
	return json_get_int(json, key, -1);
}

static struct victim victim_start(void)
{
	char *argv[] = {program, NULL};
	struct err err = {0};
	struct victim victim;
	int in[2], out[2];

	CHECK_INT(pipe2(in, O_CLOEXEC), 0);
	CHECK_INT(pipe2(out, O_CLOEXEC), 0);
	struct proc_spec spec = {
		.argv = argv, .stdin_fd = in[0], .stdout_fd = out[1], .stderr_fd = STDERR_FILENO};
	victim = (struct victim){.pid = proc_spawn(&spec, &err), .out = out[0], .in = in[1]};
	close(in[0]);
	close(out[1]);
	CHECK(victim.pid > 0);
	CHECK_STR(victim_line(&victim), "ready");
	return victim;
}

static __attribute__((format(printf, 2, 3))) const char *tell(
	const struct victim *victim, const char *fmt, ...)
{
	auto_buf struct buf line = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&line, fmt, ap);
	va_end(ap);
	buf_addc(&line, '\n');
	if (write(victim->in, line.data, line.len) != (ssize_t)line.len)
		return "gone";
	return victim_line(victim);
}

/* 0: it ended by itself; else the signal, or -ETIMEDOUT. */
static int victim_end(struct victim *victim)
{
	struct err err;
	int status = 0, rc;

	close(victim->in);
	rc = proc_wait(victim->pid, deadline_in_ms(WAIT_MS), &status, &err);
	if (rc)
		proc_end(victim->pid, 0);
	close(victim->out);
	return rc ? rc : WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static const char *status_of(pid_t pid, const char *key)
{
	static char text[4096];
	auto_free char *path = text_fmt("/proc/%d/status", pid);
	auto_buf struct buf all = {0};
	const char *at;

	if (fs_read(path, sizeof(text), &all, NULL) || !(at = strstr(buf_text(&all), key)))
		return "gone";
	snprintf(text, sizeof(text), "%s", at + strlen(key) + strspn(at + strlen(key), "\t "));
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void check_healed(const struct victim *victim)
{
	CHECK_INT(say("disarm slot=1"), 0);
	CHECK_STR(status_of(victim->pid, "TracerPid:"), "0");
	CHECK_INT(say("residue"), 0);
	CHECK_STR(reply, "{\"residue\":[]}");
}

static void the_nth_call_on_a_path_fails_with_the_errno(void)
{
	struct board_event event = {0};
	struct victim victim;

	fresh_board();
	victim = victim_start();
	arm("point=posix/io/sync/fsync errno=EIO hit=2 path=%s/a", work);
	CHECK_STR(tell(&victim, "sync %s/b", work), "ok");
	CHECK_STR(tell(&victim, "sync %s/a", work), "ok");
	CHECK_STR(tell(&victim, "sync %s/x/../a", work), "no file"); /* no call of the point */
	CHECK_STR(tell(&victim, "sync %s/./a", work), "EIO");
	CHECK_STR(tell(&victim, "sync %s/a", work), "ok");
	CHECK_INT(count_of("met"), 4);
	CHECK_INT(count_of("hits"), 3);
	CHECK_INT(count_of("fired"), 1);
	CHECK_INT(count_of("pid"), victim.pid);
	CHECK_INT(count_of("tid"), victim.pid);
	CHECK(count_of("first_ns") > 0);
	CHECK_HAS(reply, "/a\"");
	CHECK_INT(board_control_wait_event(&event, NULL, WAIT_MS), 1);
	CHECK_STR(board_event_name(event.what), "failed");
	CHECK_STR(event.call, "fsync");
	CHECK_STR(event.exe, program);
	CHECK_INT(event.count, 2);
	check_healed(&victim);
	CHECK_STR(tell(&victim, "sync %s/a", work), "ok");
	CHECK_INT(victim_end(&victim), 0);
}

static void a_call_that_fails_is_not_made(void)
{
	auto_free char *from = NULL;
	struct victim victim;

	fresh_board();
	from = path_join(work, "a");
	victim = victim_start();
	tell(&victim, "sync %s", from);
	/* Two paths: the second is meant. */
	arm("point=posix/io/dir/rename errno=ENOSPC calls=all path=%s/b", work);
	CHECK_STR(tell(&victim, "rename %s %s/b", from, work), "ENOSPC");
	CHECK(fs_exists(from));
	CHECK_STR(tell(&victim, "rename %s %s/c", from, work), "ok");
	CHECK_INT(count_of("fired"), 1);
	check_healed(&victim);
	CHECK_INT(victim_end(&victim), 0);
}

static void a_process_is_killed_before_its_call_is_made(void)
{
	auto_free char *from = NULL;
	struct victim victim;

	fresh_board();
	from = path_join(work, "a");
	victim = victim_start();
	tell(&victim, "sync %s", from);
	arm("point=posix/io/dir/rename action=kill signal=SIGKILL");
	CHECK_STR(tell(&victim, "rename %s %s/b", from, work), "");
	CHECK(fs_exists(from));
	CHECK_INT(victim_end(&victim), SIGKILL);
	CHECK_INT(count_of("fired"), 1);
	CHECK_INT(say("disarm slot=1"), 0);
	CHECK_INT(say("residue"), 0);
	CHECK_STR(reply, "{\"residue\":[]}");
}

static void a_write_is_short_and_its_registers_are_whole(void)
{
	struct victim victim;

	fresh_board();
	victim = victim_start();
	arm("point=posix/io/rw/write action=short bytes=3 kind=file");
	CHECK_STR(tell(&victim, "write %s/a", work), "3 of 10");
	CHECK_STR(tell(&victim, "write %s/a", work), "10 of 10");
	CHECK_INT(count_of("fired"), 1);
	check_healed(&victim);
	CHECK_INT(victim_end(&victim), 0);
}

static void threads_and_children_are_followed_other_programs_are_not(void)
{
	struct victim victim;

	fresh_board();
	victim = victim_start();
	arm("point=posix/io/sync/fsync errno=EIO calls=all");
	CHECK_STR(tell(&victim, "thread %s/a", work), "EIO");
	CHECK_STR(tell(&victim, "fork %s/a", work), "not ok");
	CHECK_STR(tell(&victim, "exec"), "ok");
	CHECK_INT(count_of("fired"), 2);
	check_healed(&victim);
	CHECK_STR(tell(&victim, "thread %s/a", work), "ok");
	CHECK_STR(tell(&victim, "fork %s/a", work), "ok");
	CHECK_INT(victim_end(&victim), 0);
}

static void no_wait_is_cut_off_by_being_traced_or_let_go(void)
{
	struct victim victim;

	fresh_board();
	victim = victim_start();
	for (int i = 0; i < ROUNDS; i++) {
		arm("point=posix/io/sync/fsync errno=EIO");
		check_healed(&victim);
	}
	CHECK_STR(tell(&victim, "counts"), "0 0");
	CHECK_INT(victim_end(&victim), 0);
}

static bool becomes(pid_t pid, const char *state)
{
	for (int64_t until = deadline_in_ms(WAIT_MS); deadline_left_ms(until);
		poll(NULL, 0, 1)) /* nothing tells */
		if (!strncmp(status_of(pid, "State:"), state, strlen(state)))
			return true;
	return false;
}

static void signals_come_once_and_a_stopped_process_stays_stopped(void)
{
	struct victim victim;

	fresh_board();
	victim = victim_start();
	arm("point=posix/io/sync/fsync errno=EIO");
	for (int i = 1; i <= ROUNDS; i++) {
		int64_t until = deadline_in_ms(WAIT_MS);

		/* Any thread may be the one that takes it, while the first answers. Two at once would be one. */
		kill(victim.pid, SIGUSR1);
		while (atoi(tell(&victim, "counts")) < i && deadline_left_ms(until))
			;
	}
	CHECK_INT(atoi(tell(&victim, "counts")), ROUNDS);
	kill(victim.pid, SIGSTOP);
	CHECK(becomes(victim.pid, "t"));
	CHECK_INT(say("disarm slot=1"), 0);
	CHECK(becomes(victim.pid, "T"));
	arm("point=posix/io/sync/fsync errno=EIO");
	CHECK(becomes(victim.pid, "t"));
	kill(victim.pid, SIGCONT);
	CHECK_STR(tell(&victim, "sync %s/a", work), "EIO");
	check_healed(&victim);
	CHECK_INT(victim_end(&victim), 0);
}

static void who_is_traced_by_somebody_else_is_told_and_nothing_is_armed(void)
{
	struct victim other, victim;

	fresh_board();
	other = victim_start(); /* is seized first, and let go again */
	victim = victim_start();
	CHECK_INT(ptrace(PTRACE_SEIZE, victim.pid, NULL, NULL), 0);
	CHECK_INT(say("arm slot=1 point=posix/io/sync/fsync errno=EIO trace=%s", program), -EBUSY);
	CHECK_HAS(reply, "is traced by process");
	CHECK_INT(say("residue"), 0);
	CHECK_STR(reply, "{\"residue\":[]}");
	CHECK_STR(tell(&victim, "sync %s/a", work), "ok");
	CHECK_STR(tell(&other, "counts"), "0 0");
	CHECK_INT(victim_end(&other), 0);
	kill(victim.pid, SIGKILL);
	CHECK_INT(victim_end(&victim), SIGKILL);
}

static void a_tracer_that_is_killed_holds_nobody(void)
{
	struct victim victim;
	pid_t tracer;

	fresh_board();
	victim = victim_start();
	arm("point=posix/io/sync/fsync errno=EIO calls=all");
	CHECK_STR(tell(&victim, "sync %s/a", work), "EIO");
	tracer = (pid_t)atoi(status_of(victim.pid, "TracerPid:"));
	if (CHECK(tracer > 0 && tracer != getpid()))
		kill(tracer, SIGKILL);
	for (int64_t until = deadline_in_ms(WAIT_MS);
		deadline_left_ms(until) && strcmp(status_of(victim.pid, "TracerPid:"), "0") != 0;)
		poll(NULL, 0, 1);
	CHECK_STR(tell(&victim, "sync %s/a", work), "ok");
	check_healed(&victim);
	CHECK_INT(victim_end(&victim), 0);
}

static void a_process_that_begins_later_is_found(void)
{
	struct victim first, later;
	int fd = board_connector_open();

	if (fd < 0) {
		check_skip("the kernel does not tell here who begins a program");
		return;
	}
	close(fd);
	fresh_board();
	first = victim_start();
	arm("point=posix/io/sync/fsync errno=EIO calls=all");
	later = victim_start();
	/* Nothing tells when it is: on more than one processor it may have made a call by then. */
	for (int64_t until = deadline_in_ms(WAIT_MS);
		deadline_left_ms(until) && !count_of("fired");)
		tell(&later, "sync %s/a", work);
	CHECK_STR(tell(&later, "sync %s/a", work), "EIO");
	check_healed(&later);
	CHECK_INT(victim_end(&first), 0);
	CHECK_INT(victim_end(&later), 0);
}

static void what_cannot_be_seen_from_outside_is_refused(void)
{
	static const char *const rules[] = {"point=posix/io/sync/fsync", /* a park */
		"point=posix/stdio/oc/fopen errno=EIO", "point=store/log errno=EIO",
		"point=posix/io/sync/fsync errno=EIO caller=f",
		"point=posix/io/lock/lockf action=kill signal=SIGKILL"};

	fresh_board();
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		CHECK_INT(say("arm slot=1 trace=/x %s", rules[i]), -EINVAL);
	CHECK(board_syscall_at("posix/io/net/send", true));
	CHECK(!board_syscall_at("posix/io/net/sendmsg", true));
	CHECK(!board_syscall_at("store/log", false));
}

static void a_call_is_at_the_points_that_it_means(void)
{
	static const struct {
		uint64_t number, args[6];
		const char *points;
	} rows[] = {
		{SYS_unlinkat, {0, 0, 0}, "posix/io/dir/unlink"},
		{SYS_unlinkat, {0, 0, AT_REMOVEDIR}, "posix/io/dir/rmdir"},
		{SYS_fcntl, {0, F_SETLKW}, "posix/io/lock/fcntl"},
		{SYS_fcntl, {0, F_OFD_SETLK}, "posix/io/lock/fcntl"},
		{SYS_fcntl, {0, F_GETLK}, ""},
		{SYS_sendto, {0}, "posix/io/net/send posix/io/net/sendto"},
		{SYS_sendto, {0, 0, 0, 0, 1}, "posix/io/net/sendto"},
		{SYS_newfstatat, {0, 0, 0, AT_EMPTY_PATH}, "posix/io/stat/fstat"},
		{SYS_getpid, {0}, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct board_syscall *call = NULL;
		auto_buf struct buf points = {0};

		while ((call = board_syscall_next(call, rows[i].number, rows[i].args)))
			buf_addf(&points, "%s%s", points.len ? " " : "",
				board_point_rows[call->point].name);
		CHECK_STR(buf_text(&points), rows[i].points);
	}
}

static const struct check_case cases[] = {CHECK_CASE(the_nth_call_on_a_path_fails_with_the_errno),
	CHECK_CASE(a_call_that_fails_is_not_made),
	CHECK_CASE(a_process_is_killed_before_its_call_is_made),
	CHECK_CASE(a_write_is_short_and_its_registers_are_whole),
	CHECK_CASE(threads_and_children_are_followed_other_programs_are_not),
	CHECK_CASE(no_wait_is_cut_off_by_being_traced_or_let_go),
	CHECK_CASE(signals_come_once_and_a_stopped_process_stays_stopped),
	CHECK_CASE(who_is_traced_by_somebody_else_is_told_and_nothing_is_armed),
	CHECK_CASE(a_tracer_that_is_killed_holds_nobody),
	CHECK_CASE(a_process_that_begins_later_is_found),
	CHECK_CASE(what_cannot_be_seen_from_outside_is_refused),
	CHECK_CASE(a_call_is_at_the_points_that_it_means)};

int main(int argc, char **argv)
{
	ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 16);

	if (len <= 0)
		return 98;
	program[len] = '\0';
	strcpy(strrchr(program, '/') + 1, "raw_calls");
	return check_main(argv[0], cases, ARRAY_SIZE(cases), argc, argv);
}

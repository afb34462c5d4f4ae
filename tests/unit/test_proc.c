#include "tests/check/check.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/proc.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#define ARGV(...) ((char *const[]){__VA_ARGS__, NULL})
#define SOON	  deadline_in_ms(20000)

static void output_and_exit_code_come_back(void)
{
	auto_buf struct buf out = {0};
	struct err err = {0};

	CHECK_INT(proc_run(ARGV("sh", "-c", "echo one; echo two"), SOON, &out, 100, &err), 0);
	CHECK_STR(buf_text(&out), "one\ntwo\n");
	CHECK_STR(err.text, "");
	CHECK_INT(proc_run(ARGV("sh", "-c", "echo bad luck >&2; exit 7"), SOON, NULL, 0, &err), 7);
	CHECK_STR(err.text, "'sh' failed with code 7: bad luck");
	CHECK_INT(proc_run(ARGV("sh", "-c", "kill -9 $$"), SOON, NULL, 0, &err), 137);
	CHECK_STR(err.text, "'sh' was ended by signal 9");
}

static void a_program_that_is_not_there_is_the_parents_error(void)
{
	struct proc_spec spec = {.argv = ARGV("no-such-program-here"),
		.stdin_fd = -1,
		.stdout_fd = -1,
		.stderr_fd = -1};
	struct err err = {0};

	CHECK_INT(proc_spawn(&spec, &err), -ENOENT);
	CHECK_STR(err.text, "cannot run 'no-such-program-here': No such file or directory");
	spec.argv = ARGV("/etc/passwd");
	CHECK_INT(proc_spawn(&spec, &err), -EACCES);
	spec.argv = ARGV("true");
	spec.dir = "/no/such/dir";
	CHECK_INT(proc_spawn(&spec, &err), -ENOENT);
	CHECK_STR(err.text, "cannot run 'true' in '/no/such/dir': No such file or directory");
	CHECK_INT(waitpid(-1, NULL, WNOHANG), -1); /* nothing left to reap */
	CHECK_INT(errno, ECHILD);
}

static void a_program_that_does_not_end_is_ended(void)
{
	struct err err = {0};

	CHECK_INT(proc_run(ARGV("sleep", "1000"), deadline_in_ms(50), NULL, 0, &err), -ETIMEDOUT);
	CHECK_STR(err.text, "'sleep' did not end in time");
	CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
}

static void too_much_output_ends_the_program(void)
{
	auto_buf struct buf out = {0};
	struct err err = {0};

	CHECK_INT(proc_run(ARGV("yes"), SOON, &out, 100000, &err), -EFBIG);
	CHECK_STR(err.text, "'yes' printed more than 100000 bytes");
	CHECK(out.len <= 100000);
}

static void a_grandchild_that_keeps_the_pipe_open_is_not_waited_for(void)
{
	auto_buf struct buf out = {0};
	struct err err = {0};

	CHECK_INT(proc_run(ARGV("sh", "-c", "sleep 1000 & echo $!"), SOON, &out, 100, &err), 0);
	CHECK(atoi(buf_text(&out)) > 1);
	kill(atoi(buf_text(&out)), SIGKILL);
}

static void the_end_of_a_complaint_is_kept_and_made_printable(void)
{
	struct err err = {0};

	CHECK_INT(proc_run(ARGV("sh", "-c",
				   "yes filler | head -c 90000 >&2; "
				   "printf 'the\\033 end\\n' >&2; exit 1"),
			  SOON, NULL, 0, &err),
		1);
	CHECK_HAS(err.text, "the\\x1b end");
	CHECK(strlen(err.text) < 2000);
}

/* Descriptors above the standard ones that whoever started this test left open for every program.
 */
static int inherited_fds(void)
{
	int count = 0;

	for (int fd = 3; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) == 0;
	return count;
}

static void surroundings_are_the_ones_asked_for(void)
{
	auto_free char *file = path_join(check_dir(), "out");
	auto_close int out = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	auto_buf struct buf text = {0};
	auto_free char *want = NULL;
	struct err err = {0};
	int keep[] = {out, -1}, status = -1;
	auto_free char *script = text_fmt("pwd; echo $RIG_A $HOME; readlink /proc/self/fd/0; "
					  "ls /proc/self/fd | wc -l; echo kept >&%d",
		out);
	struct proc_spec spec = {
		.argv = ARGV("sh", "-c", script),
		.env = ARGV("RIG_A=a", "HOME=/here"),
		.dir = "/usr",
		.stdin_fd = -1,
		.stdout_fd = out,
		.stderr_fd = out,
		.keep_fds = keep,
	};
	pid_t pid = proc_spawn(&spec, &err);

	CHECK(pid > 0);
	CHECK_INT(getpgid(pid) == pid || getpgid(pid) == -1, 1);
	CHECK_INT(proc_wait(pid, SOON, &status, &err), 0);
	CHECK_INT(status, 0);
	CHECK_INT(fs_read(file, 1000, &text, &err), 0);
	/* 0, 1, 2, the kept one, and the folder that ls reads */
	want = text_fmt("/usr\na /here\n/dev/null\n%d\nkept\n", 5 + inherited_fds());
	CHECK_STR(buf_text(&text), want);
}

static void ignored_and_blocked_signals_are_not_inherited(void)
{
	auto_buf struct buf out = {0};
	unsigned long long blocked = 1, ignored = 1;
	struct err err = {0};
	sigset_t term;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	CHECK_INT(proc_run(ARGV("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"), SOON, &out,
			  200, &err),
		0);
	sigprocmask(SIG_UNBLOCK, &term, NULL);
	/* glibc's posix_spawn, and so make, leaves glibc's own signals 32 and 33 ignored. */
	CHECK(sscanf(buf_text(&out), "SigBlk: %llx SigIgn: %llx", &blocked, &ignored) == 2);
	CHECK_INT(blocked, 0);
	CHECK_INT(ignored & ~(3ull << 31), 0);
}

static void swapped_standard_descriptors_do_not_overwrite_each_other(void)
{
	auto_free char *one = path_join(check_dir(), "one"), *two = path_join(check_dir(), "two");
	auto_buf struct buf text = {0};
	struct proc_spec spec = {
		.argv = ARGV("sh", "-c", "echo out; echo err >&2"), .stdin_fd = -1};
	int keep_out = dup(1), keep_err = dup(2), status = -1;
	struct err err = {0};
	pid_t pid;

	fflush(NULL);
	dup2(open(one, O_RDWR | O_CREAT | O_CLOEXEC, 0600), 1);
	dup2(open(two, O_RDWR | O_CREAT | O_CLOEXEC, 0600), 2);
	spec.stdout_fd = 2;
	spec.stderr_fd = 1;
	pid = proc_spawn(&spec, &err);
	dup2(keep_out, 1);
	dup2(keep_err, 2);
	CHECK(pid > 0);
	CHECK_INT(proc_wait(pid, SOON, &status, &err), 0);
	fs_read(one, 100, &text, &err);
	fs_read(two, 100, &text, &err);
	CHECK_STR(buf_text(&text), "err\nout\n");
}

static pid_t spawn_shell(char *script, int out)
{
	struct proc_spec spec = {.argv = ARGV("sh", "-c", script),
		.stdin_fd = -1,
		.stdout_fd = out,
		.stderr_fd = -1};
	struct err err = {0};
	pid_t pid = proc_spawn(&spec, &err);

	CHECK(pid > 0);
	return pid;
}

static void waiting_ends_at_the_deadline_and_the_child_runs_on(void)
{
	struct err err = {0};
	pid_t pid = spawn_shell("exec sleep 1000", -1);
	int status = 0;

	CHECK_INT(proc_wait(pid, deadline_in_ms(20), &status, &err), -ETIMEDOUT);
	CHECK_INT(kill(pid, 0), 0);
	proc_end(pid, 5000);
	CHECK_INT(kill(pid, 0), -1);
	CHECK_INT(proc_wait(pid, SOON, &status, &err), -ESRCH);
	proc_end(pid, 5000); /* gone already: nothing happens */
	proc_end(-1, 0);
}

/* Reads the number of a process that a script has printed. */
static pid_t read_pid(int fd)
{
	char text[32] = "";
	size_t n = 0;

	while (n < sizeof(text) - 1 && !memchr(text, '\n', n)) {
		ssize_t got = io_read(fd, text + n, sizeof(text) - 1 - n, SOON);

		if (got <= 0)
			break;
		n += (size_t)got;
	}
	return atoi(text);
}

static void ending_a_child_ends_its_whole_group(void)
{
	int ends[2], pidfd;
	struct pollfd p = {.events = POLLIN};
	pid_t pid, grandchild;

	CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
	io_prepare(ends[0]);
	pid = spawn_shell("trap '' TERM; sleep 1000 & echo $!; wait", ends[1]);
	close(ends[1]);
	grandchild = read_pid(ends[0]);
	close(ends[0]);
	CHECK(grandchild > 1);
	pidfd = pidfd_open(grandchild, 0);
	CHECK(pidfd >= 0);
	proc_end(pid, 30);
	p.fd = pidfd;
	CHECK_INT(poll(&p, 1, 20000), 1); /* it ended too */
	close(pidfd);
}

static void a_child_does_not_outlive_its_parent(void)
{
	int ends[2], pidfd;
	struct pollfd p = {.events = POLLIN};
	pid_t middle, child;

	CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
	io_prepare(ends[0]);
	middle = fork();
	if (!middle) {
		spawn_shell("echo $$; exec sleep 1000", ends[1]);
		poll(NULL, 0, 60000);
		_exit(0);
	}
	close(ends[1]);
	child = read_pid(ends[0]);
	close(ends[0]);
	pidfd = pidfd_open(child, 0);
	CHECK(pidfd >= 0);
	kill(middle, SIGKILL);
	p.fd = pidfd;
	CHECK_INT(poll(&p, 1, 20000), 1);
	close(pidfd);
	waitpid(middle, NULL, 0);
}

CHECK_MAIN(CHECK_CASE(output_and_exit_code_come_back),
	CHECK_CASE(a_program_that_is_not_there_is_the_parents_error),
	CHECK_CASE(a_program_that_does_not_end_is_ended),
	CHECK_CASE(too_much_output_ends_the_program),
	CHECK_CASE(a_grandchild_that_keeps_the_pipe_open_is_not_waited_for),
	CHECK_CASE(the_end_of_a_complaint_is_kept_and_made_printable),
	CHECK_CASE(surroundings_are_the_ones_asked_for),
	CHECK_CASE(ignored_and_blocked_signals_are_not_inherited),
	CHECK_CASE(swapped_standard_descriptors_do_not_overwrite_each_other),
	CHECK_CASE(waiting_ends_at_the_deadline_and_the_child_runs_on),
	CHECK_CASE(ending_a_child_ends_its_whole_group),
	CHECK_CASE(a_child_does_not_outlive_its_parent))

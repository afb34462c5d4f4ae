#include "vm/qemu.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/proc.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TOOL_TIMEOUT_MS 30000
#define VERSION_MAX	160

static int make_pair(int *ret_ours, int *ret_theirs)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	*ret_ours = ends[0];
	*ret_theirs = ends[1];
	return io_prepare(ends[0]);
}

static void close_theirs(struct qemu_line *line)
{
	cleanup_fd(&line->qmp_fd);
	cleanup_fd(&line->qga_fd);
	cleanup_fd(&line->witness_fd);
}

static int spawn(const struct qemu_line *line, pid_t *ret_pid, struct err *err)
{
	auto_free char *log = path_join(line->dir, "qemu.log");
	auto_close int log_fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const int keep[] = {line->qmp_fd, line->qga_fd, line->witness_fd, line->tap_fd, -1};
	struct proc_spec spec = {.dir = line->dir,
		.stdin_fd = -1,
		.stdout_fd = log_fd,
		.stderr_fd = log_fd,
		.keep_fds = keep};
	char **argv;
	pid_t pid;

	if (log_fd < 0)
		return err_sys(err, errno, "cannot write '%s'", log);
	argv = qemu_argv(line);
	spec.argv = argv;
	pid = proc_spawn(&spec, err);
	qemu_argv_free(argv);
	if (pid < 0)
		return pid;
	*ret_pid = pid;
	return 0;
}

int qemu_start(struct qemu_line *line, struct qemu *ret, struct err *err)
{
	struct qemu qemu = QEMU_NONE;
	int rc;

	line->qmp_fd = line->qga_fd = line->witness_fd = -1;
	rc = make_pair(&qemu.qmp_fd, &line->qmp_fd);
	if (!rc)
		rc = make_pair(&qemu.qga_fd, &line->qga_fd);
	if (!rc)
		rc = make_pair(&qemu.witness_fd, &line->witness_fd);
	if (rc)
		err_sys(err, rc, "cannot make sockets for QEMU");
	else
		rc = spawn(line, &qemu.pid, err);
	close_theirs(line);
	if (rc) {
		qemu_kill(&qemu);
		return rc;
	}
	*ret = qemu;
	return 0;
}

void qemu_kill(struct qemu *qemu)
{
	if (qemu->pid > 0)
		proc_end(qemu->pid, 0);
	qemu->pid = -1;
	cleanup_fd(&qemu->qmp_fd);
	cleanup_fd(&qemu->qga_fd);
	cleanup_fd(&qemu->witness_fd);
}

bool qemu_ended(const struct qemu *qemu, const char *dir, int wait_ms, struct buf *out)
{
	auto_free char *log = path_join(dir, "qemu.log");
	auto_close int pidfd = qemu->pid > 0 ? pidfd_open(qemu->pid, 0) : -1;
	siginfo_t info = {0};

	if (pidfd < 0 || io_readable(pidfd, deadline_in_ms(wait_ms)) <= 0)
		return false;
	if (waitid(P_PID, (id_t)qemu->pid, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
		return false;
	if (info.si_code == CLD_EXITED)
		buf_addf(out, "QEMU ended with code %d: ", info.si_status);
	else
		buf_addf(out, "QEMU was ended by signal %d (%s): ", info.si_status,
			strsignal(info.si_status));
	qemu_file_tail(log, QEMU_LOG_MAX, out);
	while (out->len && strchr(": \n", out->data[out->len - 1]))
		out->data[--out->len] = '\0';
	return true;
}

int qemu_layer(const char *path, const char *base, const char *base_format, uint64_t size_bytes,
	struct err *err)
{
	/* A relative base would be looked for beside the layer. */
	auto_free char *whole = size_bytes ? text_dup(base) : realpath(base, NULL);
	auto_free char *size = text_fmt("%llu", (unsigned long long)size_bytes);
	char *argv[] = {QEMU_IMG_PROGRAM, "create", "-q", "-f", "qcow2", "-b", whole, "-F",
		(char *)(uintptr_t)base_format, (char *)(uintptr_t)path, NULL, NULL, NULL};
	int rc;

	if (!whole)
		return err_sys(err, errno, "cannot find disk image '%s'", base);
	if (size_bytes) {
		argv[10] = size;
		argv[11] = "-u";
	}
	rc = proc_run(argv, deadline_in_ms(TOOL_TIMEOUT_MS), NULL, 0, err);
	if (rc)
		return err_wrap(err, rc < 0 ? rc : -EIO, "cannot make disk layer '%s'", path);
	return 0;
}

/* QEMU 7.2, docs/interop/qcow2.txt: magic, version, ..., at byte 24 the size, big-endian. */
int64_t qemu_layer_size(const char *path, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char head[32];
	uint64_t size = 0;

	if (fd < 0)
		return err_sys(err, errno, "cannot open disk layer '%s'", path);
	if (pread(fd, head, sizeof(head), 0) != sizeof(head) || memcmp(head, "QFI\xfb", 4) != 0)
		return err_set(err, -EINVAL, "'%s' is no qcow2 layer", path);
	for (int i = 24; i < 32; i++)
		size = size << 8 | head[i];
	if (!size || size > INT64_MAX)
		return err_set(err, -EINVAL, "disk layer '%s' has no size", path);
	return (int64_t)size;
}

int qemu_version(char *ret, size_t size, struct err *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static char known[VERSION_MAX];
	static const char before[] = "QEMU emulator version ";
	char *argv[] = {QEMU_PROGRAM, "--version", NULL};
	auto_buf struct buf out = {0};
	const char *text;
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (!known[0]) {
		rc = proc_run(argv, deadline_in_ms(TOOL_TIMEOUT_MS), &out, 65536, err);
		text = strstr(buf_text(&out), before);
		if (!rc && !text)
			rc = err_set(err, -EPROTO, "'" QEMU_PROGRAM "' does not tell its version");
		if (!rc)
			snprintf(known, sizeof(known), "%.*s",
				(int)strcspn(text + strlen(before), "\n"), text + strlen(before));
	}
	if (!rc)
		snprintf(ret, size, "%s", known);
	pthread_mutex_unlock(&lock);
	return rc > 0 ? -EIO : rc;
}

void qemu_file_tail(const char *path, size_t max, struct buf *out)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	auto_free char *bytes = mem_zero(max + 1, 1);
	const char *at = bytes, *end;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		return;
	n = pread(fd, bytes, max, st.st_size > (off_t)max ? st.st_size - (off_t)max : 0);
	if (n <= 0)
		return;
	end = bytes + n;
	if (st.st_size > (off_t)max && (at = memchr(bytes, '\n', (size_t)n)))
		at++;
	for (at = at ? at : bytes; at < end;) {
		const char *line = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((line ? line : end) - at);

		buf_add_escaped(out, at, len && at[len - 1] == '\r' ? len - 1 : len);
		if (line)
			buf_addc(out, '\n');
		at += len + (line != NULL);
	}
}

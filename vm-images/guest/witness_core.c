/*
 * Core dumps. The kernel pipes the dump of a dying process into this program, called as
 * `witness core RUN_DIR PID SIGNAL` by core_pattern (core(5), Linux 6.1): that works for chrooted and
 * set-uid daemons (fs.suid_dumpable 2) and while all disks are frozen. The helper stores a bounded, sparse
 * core in RUN_DIR/cores (tmpfs) and tells the witness by a datagram; the witness makes it an
 * event. What the process freed lately is stored beside it (witness_frees.c).
 */
#include "witness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CORE_MAX	(256ll << 20) /* bytes of one dump, holes included: the stacks of 30 threads */
#define CORES_MAX	4	      /* files; later deaths are told without a core */
#define STORED_MAX	(16ll << 20) /* bytes of one core that are not zero */
#define CORE_TIMEOUT_MS 10000	     /* for the whole dump */
#define BLOCK		(64u << 10)
#define PAGE		4096u	  /* what is not zero is stored by it */
#define PIPE_BYTES	(1 << 20) /* fewer turns between the kernel and the helper */

/* What the helper tells; both ends are this program. */
struct death {
	int32_t pid, signal;
	int64_t began_ns; /* the dump */
	bool cut;
	char comm[32];
	char exe[256];
	char core[PATH_TEXT_MAX];
};

static int socket_at(const char *run_dir, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if ((size_t)snprintf(addr->sun_path, sizeof(addr->sun_path), "%s/core.sock", run_dir) >=
		sizeof(addr->sun_path))
		return -1;
	return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

/* ---- the helper ---- */

static size_t count_cores(const char *path)
{
	DIR *dir = opendir(path);
	size_t count = 0;

	for (struct dirent *entry; dir && (entry = readdir(dir));)
		count += !strncmp(entry->d_name, "core.", 5);
	if (dir)
		closedir(dir);
	return count;
}

/* Opens the file for the core; leaves death->core empty if there is no room. */
static int open_core(const char *run_dir, struct death *death)
{
	char dir[PATH_TEXT_MAX - 32];
	int fd;

	snprintf(dir, sizeof(dir), "%s/cores", run_dir);
	if (count_cores(dir) >= CORES_MAX)
		return -1;
	snprintf(death->core, sizeof(death->core), "%s/core.%d", dir, death->pid);
	fd = open(death->core, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		death->core[0] = '\0';
	return fd;
}

/* A whole block unless the dump ends or time is up. */
static size_t read_block(char *block, int64_t deadline_ns)
{
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
	size_t len = 0;
	ssize_t n = 1;

	while (len < BLOCK && n > 0 && poll(&p, 1, left_ms(deadline_ns)) > 0) {
		n = read(STDIN_FILENO, block + len, BLOCK - len);
		len += n > 0 ? (size_t)n : 0;
	}
	return len;
}

/* The pages of a block that are not zero. */
static bool store_pages(int fd, const char *block, size_t len, off_t at, off_t *stored)
{
	static const char zero[PAGE];

	for (size_t from = 0; from < len; from += PAGE) {
		size_t bytes = len - from < PAGE ? len - from : PAGE;

		if (!memcmp(block + from, zero, bytes))
			continue;
		*stored += (off_t)bytes;
		if (*stored > STORED_MAX ||
			pwrite(fd, block + from, bytes, at + (off_t)from) != (ssize_t)bytes)
			return false;
	}
	return true;
}

static bool store_core(int fd)
{
	static char block[BLOCK];
	int64_t deadline = guest_ns() + CORE_TIMEOUT_MS * NS_PER_MS;
	off_t at = 0, stored = 0;
	size_t len;

	fcntl(STDIN_FILENO, F_SETPIPE_SZ, PIPE_BYTES);
	while (at < CORE_MAX && (len = read_block(block, deadline)) > 0) {
		if (!store_pages(fd, block, len, at, &stored))
			return false;
		at += (off_t)len;
	}
	return !ftruncate(fd, at) && at < CORE_MAX && left_ms(deadline) > 0;
}

static void describe(struct death *death)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", death->pid);
	read_small(AT_FDCWD, path, death->comm, sizeof(death->comm));
	death->comm[strcspn(death->comm, "\n")] = '\0';
	read_exe(death->pid, death->exe, sizeof(death->exe));
}

int core_main(int argc, char **argv)
{
	struct death death = {0};
	struct sockaddr_un addr;
	int fd, to;

	if (argc < 3)
		return 64;
	signal(SIGPIPE, SIG_IGN);
	death.pid = atoi(argv[1]);
	death.signal = atoi(argv[2]);
	death.began_ns = guest_ns();
	describe(&death); /* now: the process is gone once the pipe is read */
	fd = open_core(argv[0], &death);
	if (fd >= 0)
		frees_save(argv[0], death.pid);
	death.cut = fd >= 0 && !store_core(fd);
	to = socket_at(argv[0], &addr);
	return to < 0 || sendto(to, &death, sizeof(death), 0, (struct sockaddr *)&addr,
				 sizeof(addr)) != sizeof(death);
}

/* ---- the witness's end ---- */

static int core_fd = -1;

static void *core_thread(void *arg)
{
	struct death death;

	(void)arg;
	for (;;) {
		auto_out out = {0};

		if (recv(core_fd, &death, sizeof(death), 0) != sizeof(death))
			continue;
		event_begin(&out, "died");
		out_int(&out, "pid", death.pid);
		out_bytes(&out, "comm", death.comm, strnlen(death.comm, sizeof(death.comm)));
		out_bytes(&out, "exe", death.exe, strnlen(death.exe, sizeof(death.exe)));
		out_int(&out, "signal", death.signal);
		out_bytes(&out, "core", death.core, strnlen(death.core, sizeof(death.core)));
		out_bool(&out, "cut", death.cut);
		out_int(&out, "took_ns", guest_ns() - death.began_ns);
		event_send(&out, WAIT);
	}
	return NULL;
}

int core_start(const char *run_dir)
{
	char path[PATH_TEXT_MAX];
	struct sockaddr_un addr;

	snprintf(path, sizeof(path), "%s/cores", run_dir);
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	core_fd = socket_at(run_dir, &addr);
	if (core_fd < 0)
		return -errno;
	unlink(addr.sun_path);
	if (bind(core_fd, (struct sockaddr *)&addr, sizeof(addr)) || chmod(addr.sun_path, 0600))
		return -errno;
	return thread_start(core_thread, NULL) ? 0 : -EAGAIN;
}

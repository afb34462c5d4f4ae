#include "tests/zoo/zoo.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#define SETTLE_MS 10000
#define PAUSE_MS  10

static bool slurp(const char *path, char *out, size_t size)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n = 0;

	while (fd >= 0 && len + 1 < size && (n = read(fd, out + len, size - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	return len > 0;
}

/* The fields of /proc/PID/task/TID/stat that a scan has, and the process group. */
static json_t *stat_of(int pid, int tid, pid_t *ret_group)
{
	auto_free char *path = text_fmt("/proc/%d/task/%d/stat", pid, tid);
	char text[1024], state, *end;
	unsigned long long user, kernel, start;
	int ppid;

	if (!slurp(path, text, sizeof(text)) || !(end = strrchr(text, ')')) ||
		sscanf(end + 1,
			" %c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d "
			"%*d %llu",
			&state, &ppid, ret_group, &user, &kernel, &start) != 6)
		return NULL;
	*end = '\0';
	return json_pack("{si si si ss ss# sI sI sI}", "pid", pid, "tid", tid, "ppid", ppid, "comm",
		strchr(text, '(') + 1, "state", &state, 1, "start", (json_int_t)start, "utime",
		(json_int_t)user, "stime", (json_int_t)kernel);
}

static void add_text(json_t *task, int pid, int tid, const char *name)
{
	auto_free char *path = text_fmt("/proc/%d/task/%d/%s", pid, tid, name);
	char text[2048];

	slurp(path, text, sizeof(text));
	if (strcmp(name, "stack") != 0)
		text[strcspn(text, "\n")] = '\0';
	json_object_set_new(task, name, json_string(text));
}

static void add_memory(json_t *task, int pid)
{
	unsigned long number, arg[3];
	struct pollfd polled;
	uint32_t words[5];
	struct iovec local, remote;

	if (sscanf(json_get_text(task, "syscall", ""), "%lu %lx %lx %lx", &number, &arg[0], &arg[1],
		    &arg[2]) != 4)
		return;
	remote.iov_base = (void *)arg[0]; /* NOLINT: an address in another process */
	if (number == SYS_futex) {
		local = (struct iovec){words, sizeof(words)};
		remote.iov_len = sizeof(words);
		if (process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)sizeof(words))
			json_object_set_new(task, "futex",
				json_pack("[IIIII]", (json_int_t)words[0], (json_int_t)words[1],
					(json_int_t)words[2], (json_int_t)words[3],
					(json_int_t)words[4]));
	} else if (number == SYS_poll && arg[1] == 1) {
		local = (struct iovec){&polled, sizeof(polled)};
		remote.iov_len = sizeof(polled);
		if (process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)sizeof(polled))
			json_object_set_new(task, "wait_fds", json_pack("[i]", polled.fd));
	}
}

static bool in_groups(pid_t group, const pid_t groups[2])
{
	return group > 0 && (group == groups[0] || group == groups[1]);
}

static void add_tasks(json_t *scan, int pid, const pid_t groups[2])
{
	auto_free char *path = text_fmt("/proc/%d/task", pid);
	auto_free char *exe_path = text_fmt("/proc/%d/exe", pid);
	char exe[1024] = "";
	DIR *dir = opendir(path);
	struct dirent *entry;
	pid_t group;

	if (readlink(exe_path, exe, sizeof(exe) - 1) < 0)
		exe[0] = '\0';
	while (dir && (entry = readdir(dir))) {
		int tid = atoi(entry->d_name);
		json_t *task = tid ? stat_of(pid, tid, &group) : NULL;

		if (task && in_groups(group, groups)) {
			if (exe[0])
				json_object_set_new(task, "exe", json_string(exe));
			add_text(task, pid, tid, "wchan");
			add_text(task, pid, tid, "syscall");
			add_text(task, pid, tid, "stack");
			add_memory(task, pid);
			json_array_append(json_object_get(scan, "tasks"), task);
		}
		json_decref(task);
	}
	if (dir)
		closedir(dir);
}

static void add_fd(json_t *scan, int pid, const char *number)
{
	auto_free char *path = text_fmt("/proc/%d/fd/%s", pid, number);
	char target[1024] = "";
	struct stat st, link;
	bool reads, writes;

	if (readlink(path, target, sizeof(target) - 1) < 0 || stat(path, &st) || lstat(path, &link))
		return;
	reads = link.st_mode & S_IRUSR;
	writes = link.st_mode & S_IWUSR;
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		json_array_append_new(json_object_get(scan, "fds"),
			json_pack("{si si sI ss ss}", "pid", pid, "fd", atoi(number), "ino",
				(json_int_t)st.st_ino, "kind",
				S_ISFIFO(st.st_mode) ? "pipe" : "socket", "mode",
				reads && writes ? "rw"
				: reads		? "r"
						: "w"));
	else if (S_ISREG(st.st_mode)) {
		auto_free char *inode = text_fmt("%02x:%02x:%llu", major(st.st_dev),
			minor(st.st_dev), (unsigned long long)st.st_ino);

		json_array_append_new(json_object_get(scan, "files"),
			json_pack("{si si ss ss}", "pid", pid, "fd", atoi(number), "path", target,
				"inode", inode));
	}
}

static void add_fds(json_t *scan, int pid)
{
	auto_free char *path = text_fmt("/proc/%d/fd", pid);
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			add_fd(scan, pid, entry->d_name);
	if (dir)
		closedir(dir);
}

json_t *zoo_scan(const pid_t groups[2])
{
	static char locks[256 << 10];
	json_t *scan = json_pack("{sI s[] s[] s[]}", "guest_ns", (json_int_t)clock_mono_ns(),
		"tasks", "files", "fds");
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t group;

	slurp("/proc/locks", locks, sizeof(locks));
	json_object_set_new(scan, "locks", json_string(locks));
	while (proc && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name);
		json_t *first = pid ? stat_of(pid, pid, &group) : NULL;

		if (first && in_groups(group, groups)) {
			add_tasks(scan, pid, groups);
			add_fds(scan, pid);
		}
		json_decref(first);
	}
	if (proc)
		closedir(proc);
	return scan;
}

static bool stands(const json_t *scan, bool spins)
{
	const json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (json_get_text(task, "state", "R")[0] == 'R' && !spins)
			return false;
	return true;
}

static bool same_waits(const json_t *a, const json_t *b)
{
	const json_t *one = json_object_get(a, "tasks"), *two = json_object_get(b, "tasks"), *task;
	size_t i;

	if (json_array_size(one) != json_array_size(two))
		return false;
	json_array_foreach (one, i, task) {
		const json_t *other = json_array_get(two, i);

		if (json_get_int(task, "tid", 0) != json_get_int(other, "tid", 1) ||
			strcmp(json_get_text(task, "syscall", ""),
				json_get_text(other, "syscall", "")))
			return false;
	}
	return true;
}

json_t *zoo_settled(const pid_t groups[2], const struct zoo_board *board, int stand, bool spins)
{
	int64_t deadline = deadline_in_ms(SETTLE_MS);
	json_t *last = NULL, *now;

	while (clock_mono_ns() < deadline) {
		poll(NULL, 0, PAUSE_MS);
		if (atomic_load(&board->ready) < stand)
			continue;
		now = zoo_scan(groups);
		if (last && stands(now, spins) && (spins || same_waits(last, now))) {
			json_decref(last);
			return now;
		}
		json_decref(last);
		last = now;
	}
	json_decref(last);
	return NULL;
}

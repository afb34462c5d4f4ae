/*
 * Who has the other end: for each descriptor that a thread waits for, every process that holds it or its
 * other end. Reads /proc/PID/fd and fdinfo only, which take no mmap lock; still in a thread that may be left
 * behind, because fdinfo of an epoll set takes a lock of that set.
 */
#include "witness_scan.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WANTED_MAX  8192
#define FDS_OUT_MAX 8192
#define FDINFO_MAX  8192
#define INFO_MAX    512 /* of a descriptor that is no epoll set */

#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202 /* ipc/mqueue.c */
#endif

/* Inodes of sockets and pipes about which somebody wants to know. Pipes and sockets share the numbers of
 * one counter (get_next_ino); a FIFO's is its file system's, so a stranger may be told too, no more. */
struct ends {
	struct scan *scan;
	struct sockets sockets;
	uint64_t *wanted;
	size_t wanted_count;
	struct proc_dir dir;
	bool fifos; /* somebody waits for one that has a path */
	struct orphans orphans;
};

static int compare_inos(const void *a, const void *b)
{
	const uint64_t *one = a, *two = b;

	return (*one > *two) - (*one < *two);
}

static void want(struct ends *ends, uint64_t ino)
{
	if (ino && ends->wanted_count < WANTED_MAX)
		ends->wanted[ends->wanted_count++] = ino;
}

static void sort_wanted(struct ends *ends)
{
	size_t kept = 0;

	if (ends->wanted_count)
		qsort(ends->wanted, ends->wanted_count, sizeof(*ends->wanted), compare_inos);
	for (size_t i = 0; i < ends->wanted_count; i++)
		if (!kept || ends->wanted[kept - 1] != ends->wanted[i])
			ends->wanted[kept++] = ends->wanted[i];
	ends->wanted_count = kept;
}

static bool is_wanted(const struct ends *ends, uint64_t ino)
{
	return ends->wanted_count && ino &&
	       bsearch(&ino, ends->wanted, ends->wanted_count, sizeof(ino), compare_inos);
}

/* ---- one descriptor ---- */

struct end {
	uint64_t ino;
	bool fifo;
	char kind[16];
};

/* A FIFO, or a POSIX message queue: a file of a file system of its own (mq_overview(7)). */
static bool look_at_file(int dir, const char *fd, struct end *ret)
{
	struct stat st;
	struct statfs fs;
	char path[64];

	if (fstatat(dir, fd, &st, 0) || (!S_ISFIFO(st.st_mode) && !S_ISREG(st.st_mode)))
		return false;
	if (S_ISREG(st.st_mode)) {
		if (st.st_blocks) /* it has none on any disk */
			return false;
		snprintf(path, sizeof(path), "/proc/self/fd/%d/%.16s", dir, fd);
		if (statfs(path, &fs) || fs.f_type != MQUEUE_MAGIC)
			return false;
	}
	snprintf(ret->kind, sizeof(ret->kind), S_ISFIFO(st.st_mode) ? "pipe" : "mqueue");
	ret->ino = st.st_ino;
	ret->fifo = true;
	return true;
}

/* "socket:[123]", "pipe:[123]". By hand: sscanf() takes as long as the reading. */
static bool read_numbered(const char *target, struct end *ret)
{
	const char *colon = target[0] == '/' ? NULL : strchr(target, ':');
	size_t len = colon ? (size_t)(colon - target) : 0;
	char *end;

	if (!len || len >= sizeof(ret->kind) || colon[1] != '[')
		return false;
	ret->ino = strtoull(colon + 2, &end, 10);
	if (end == colon + 2)
		return false;
	memcpy(ret->kind, target, len);
	ret->kind[len] = '\0';
	return true;
}

/* Those, "anon_inode:[eventfd]", or the path of what may be a FIFO or a message queue. */
static bool look_at(int dir, const char *fd, bool fifos, struct end *ret)
{
	char target[PATH_TEXT_MAX];
	ssize_t n = readlinkat(dir, fd, target, sizeof(target) - 1);

	*ret = (struct end){0};
	if (n <= 0)
		return false;
	target[n] = '\0';
	if (read_numbered(target, ret))
		return true;
	if (sscanf(target, "anon_inode:[%15[a-z]", ret->kind) == 1 ||
		sscanf(target, "anon_inode:%15[a-z]", ret->kind) == 1)
		return true;
	return fifos && target[0] == '/' && look_at_file(dir, fd, ret);
}

static const char *mode_of(int dir, const char *fd, const struct end *end)
{
	struct stat st;

	if ((strcmp(end->kind, "pipe") != 0 && strcmp(end->kind, "mqueue") != 0) ||
		fstatat(dir, fd, &st, AT_SYMLINK_NOFOLLOW))
		return "rw";
	return st.st_mode & S_IRUSR ? st.st_mode & S_IWUSR ? "rw" : "r" : "w";
}

/* Of a descriptor of a process, which: "Pid:	123" (proc(5)). */
static void tell_process(struct out *out, int dir, const char *fd)
{
	char path[64], info[INFO_MAX];
	const char *at;

	snprintf(path, sizeof(path), "../fdinfo/%.16s", fd);
	read_small(dir, path, info, sizeof(info));
	at = strstr(info, "\nPid:");
	if (at)
		out_int(out, "of", atoi(at + strlen("\nPid:")));
}

/* Of a timer, whether it will ring: "it_value: (3599, 99)", which is zero where it is not set (proc(5)). */
static void tell_timer(struct out *out, int dir, const char *fd)
{
	long long s = 0, ns = 0;
	char path[64], info[INFO_MAX];
	const char *at;

	snprintf(path, sizeof(path), "../fdinfo/%.16s", fd);
	read_small(dir, path, info, sizeof(info));
	at = strstr(info, "\nit_value:");
	if (at && sscanf(at, "\nit_value: (%lld, %lld)", &s, &ns) == 2)
		out_bool(out, "rings", s || ns);
}

static void tell(struct ends *ends, int dir, int pid, const char *fd, const struct end *end)
{
	struct out *out = &ends->scan->fds;

	if (ends->scan->fd_count++ >= FDS_OUT_MAX) {
		ends->scan->truncated = true;
		return;
	}
	out_open(out, NULL, '{');
	out_int(out, "pid", pid);
	out_int(out, "fd", atoi(fd));
	out_int(out, "ino", (int64_t)end->ino);
	out_text(out, "kind", end->kind);
	out_text(out, "mode", mode_of(dir, fd, end));
	if (!strcmp(end->kind, "pidfd"))
		tell_process(out, dir, fd);
	else if (!strcmp(end->kind, "timerfd"))
		tell_timer(out, dir, fd);
	out_close(out, '}');
}

/* ---- what threads wait for ---- */

static int fd_of_call(int number, const uint64_t arg[CALL_ARGS])
{
	static const int calls[] = {SYS_read, SYS_readv, SYS_recvfrom, SYS_recvmsg, SYS_recvmmsg,
		SYS_write, SYS_writev, SYS_sendto, SYS_sendmsg, SYS_sendmmsg, SYS_sendfile,
		SYS_accept, SYS_accept4, SYS_connect, SYS_mq_timedsend, SYS_mq_timedreceive,
		SYS_splice, SYS_tee, SYS_vmsplice};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i] == number)
			return (int)arg[0];
	return -1;
}

/* Members of an epoll set: "tfd:        5 events: ..." (proc(5)). */
static void read_epoll(struct row *row, int epfd)
{
	char path[64], *text = malloc(FDINFO_MAX);

	if (!text)
		abort();
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", row->via, epfd);
	read_small(AT_FDCWD, path, text, FDINFO_MAX);
	for (const char *at = text; (at = strstr(at, "tfd:")) && row->fd_count < WAIT_FDS_MAX; at++)
		row->fds[row->fd_count++] = atoi(at + strlen("tfd:"));
	free(text);
	atomic_store(&row->read, true);
}

static void want_fd(struct ends *ends, const struct row *row, int fd)
{
	int dir = proc_dir_of(&ends->dir, row->via, "fd");
	struct end end;
	char name[16];

	if (dir < 0)
		return;
	snprintf(name, sizeof(name), "%d", fd);
	if (look_at(dir, name, true, &end)) {
		ends->fifos |= end.fifo;
		if (end.ino)
			want(ends, end.ino);
		else
			tell(ends, dir, row->pid, name, &end);
	}
}

static void want_of_row(struct ends *ends, struct row *row)
{
	uint64_t arg[CALL_ARGS];
	int number, fd;

	if (!row_call(row, &number, arg))
		return;
	if (number == SYS_waitid && arg[0] == P_PIDFD)
		want_fd(ends, row, (int)arg[1]);
	if (number == SYS_splice || number == SYS_tee)
		want_fd(ends, row, (int)arg[number == SYS_tee ? 1 : 2]);
	if (number == SYS_epoll_wait || number == SYS_epoll_pwait)
		read_epoll(row, (int)arg[0]);
	fd = fd_of_call(number, arg);
	if (fd >= 0)
		want_fd(ends, row, fd);
	for (int i = 0; atomic_load(&row->read) && i < row->fd_count; i++)
		want_fd(ends, row, row->fds[i]);
}

/* The other end, the queue it stands in, whoever listens with somebody waiting, and what somebody outside has sent
 * that lies unread. */
static void want_peers(struct ends *ends)
{
	size_t own = ends->wanted_count;

	for (size_t i = 0; i < own; i++) {
		const struct sock *sock = sockets_find(&ends->sockets, ends->wanted[i]);

		if (sock) {
			want(ends, sock->peer);
			want(ends, sock->accept);
		}
	}
	for (size_t i = 0; i < ends->sockets.count; i++)
		if ((ends->sockets.at[i].listens && ends->sockets.at[i].backlog) ||
			(ends->sockets.at[i].outside && ends->sockets.at[i].unread))
			want(ends, ends->sockets.at[i].ino);
	sort_wanted(ends);
}

/* ---- all holders ---- */

static void tell_holders(struct ends *ends, int pid, int via)
{
	struct dirent *entry;
	struct end end;
	char path[32];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", via);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (!look_at(dirfd(dir), entry->d_name, ends->fifos, &end))
			held_look(ends->scan, &ends->orphans, dirfd(dir), pid, entry->d_name);
		else if (is_wanted(ends, end.ino) || !strcmp(end.kind, "fanotify"))
			tell(ends, dirfd(dir), pid, entry->d_name, &end);
	}
	if (dir)
		closedir(dir);
}

static void tell_socket(struct out *out, const struct sockets *all, const struct sock *sock)
{
	out_open(out, NULL, '{');
	out_int(out, "ino", (int64_t)sock->ino);
	out_text(out, "family", sock->unix_domain ? "unix" : sock->datagrams ? "udp" : "tcp");
	out_text(out, "state",
		sock->listens	    ? "listen"
		: sock->established ? "established"
				    : "other");
	if (sock->name[0])
		out_text(out, "name", sock->name);
	out_int(out, "peer", (int64_t)sock->peer);
	if (sock->accept)
		out_int(out, "accept", (int64_t)sock->accept);
	if (sock->outside)
		out_bool(out, "outside", true);
	if (sockets_is_accepted(all, sock))
		out_bool(out, "accepted", true);
	if (sock->listens)
		out_int(out, "backlog", sock->backlog);
	else if (sock->unread)
		out_int(out, "unread", sock->unread);
	out_close(out, '}');
}

static void read_ends(struct ends *ends)
{
	struct scan *scan = ends->scan;

	sockets_read(&ends->sockets);
	scan->no_peers = ends->sockets.no_peers;
	for (size_t i = 0; i < scan->count; i++)
		want_of_row(ends, scan->rows[i]);
	sort_wanted(ends);
	want_peers(ends);
	held_find(scan, &ends->orphans);
	for (size_t i = 0; i < scan->count; i++)
		if (scan->rows[i]->pid == scan->rows[i]->tid && scan->rows[i]->exe[0])
			tell_holders(ends, scan->rows[i]->pid, scan->rows[i]->via);
	for (size_t i = 0; i < ends->sockets.count; i++)
		if (is_wanted(ends, ends->sockets.at[i].ino))
			tell_socket(&scan->sockets, &ends->sockets, &ends->sockets.at[i]);
	scan->held_tore = scan->tears && !held_is_steady(scan, &ends->orphans);
	if (scan->held_tore)
		out_free(&scan->held);
}

/* ---- the thread ---- */

static void *ends_thread(void *arg)
{
	struct scan *scan = arg;
	struct ends ends = {.scan = scan, .dir.fd = -1};

	ends.wanted = malloc(WANTED_MAX * sizeof(*ends.wanted));

	if (!ends.wanted)
		abort();
	read_ends(&ends);
	if (ends.dir.fd >= 0)
		close(ends.dir.fd);
	free(ends.wanted);
	sockets_free(&ends.sockets);
	pthread_mutex_lock(&scan->lock);
	scan->has_ends = true;
	pthread_cond_broadcast(&scan->done);
	pthread_mutex_unlock(&scan->lock);
	scan_put(scan);
	return NULL;
}

void scan_ends(struct scan *scan, int64_t deadline_ns)
{
	struct timespec ts = {
		.tv_sec = deadline_ns / NS_PER_SEC, .tv_nsec = deadline_ns % NS_PER_SEC};

	scan_hold(scan);
	if (!thread_start(ends_thread, scan)) {
		scan_put(scan);
		return;
	}
	pthread_mutex_lock(&scan->lock);
	while (!scan->has_ends && !pthread_cond_timedwait(&scan->done, &scan->lock, &ts))
		;
	pthread_mutex_unlock(&scan->lock);
}

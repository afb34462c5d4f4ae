#include "tests/zoo/parts_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct zoo_board *zoo_board;
const char *zoo_dir;
static unsigned int draws;

int zoo_tid(void)
{
	return (int)syscall(SYS_gettid);
}

void zoo_must(bool right)
{
	if (!right)
		abort();
}

/* Near seeds are to draw quite other numbers: the finalizer of MurmurHash3. */
void zoo_seed(unsigned int seed)
{
	seed = (seed ^ seed >> 16) * 0x85ebca6bu;
	seed = (seed ^ seed >> 13) * 0xc2b2ae35u;
	draws = seed ^ seed >> 16;
}

/* A linear congruential generator: any will do, and the C library's is not the same everywhere. */
int zoo_vary(int low, int high)
{
	draws = draws * 1664525u + 1013904223u;
	return low + (int)((draws >> 16) % (unsigned int)(high - low + 1));
}

/* ---- the board ---- */

void zoo_stands(int count)
{
	atomic_store(&zoo_board->stand, count);
}

void zoo_ready(void)
{
	atomic_fetch_add(&zoo_board->ready, 1);
}

void zoo_blame(void)
{
	for (int i = 0, none = 0; i < ZOO_CULPRITS; i++, none = 0)
		if (atomic_compare_exchange_strong(&zoo_board->culprits[i], &none, zoo_tid()))
			return;
}

void zoo_stand(void)
{
	zoo_blame();
	zoo_ready();
}

/* Spins: a blocked thread would be seen to wait. */
void zoo_await(atomic_int *counter, int count)
{
	while (atomic_load(counter) < count)
		sched_yield();
}

/* Lets nobody go on before `count` are here. */
void zoo_meet(int count)
{
	atomic_fetch_add(&zoo_board->go, 1);
	zoo_await(&zoo_board->go, count);
}

void zoo_stand_for_ever(void)
{
	for (;;)
		pause();
}

/* ---- files ---- */

const char *zoo_path(const char *name)
{
	static _Thread_local char path[ZOO_PATH_MAX];

	zoo_must((size_t)snprintf(path, sizeof(path), "%s/%s", zoo_dir, name) < sizeof(path));
	return path;
}

int zoo_open_file(const char *name)
{
	int fd = open(zoo_path(name), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	zoo_must(fd >= 0);
	return fd;
}

int zoo_open_numbered(const char *name, long number)
{
	char text[64];

	snprintf(text, sizeof(text), "%s-%ld", name, number);
	return zoo_open_file(text);
}

int zoo_locked_file(const char *name, int how)
{
	int fd = zoo_open_file(name);

	zoo_must(!flock(fd, how));
	return fd;
}

bool zoo_posix_lock(int fd, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_len = 10};

	return !fcntl(fd, F_SETLKW, &lock);
}

/* ---- processes and threads ---- */

pid_t zoo_fork_run(void (*run)(long), long arg)
{
	pid_t pid = fork();

	zoo_must(pid >= 0);
	if (pid)
		return pid;
	run(arg);
	zoo_stand_for_ever();
}

void zoo_wait_for_children(void)
{
	while (wait(NULL) > 0 || errno == EINTR)
		;
	zoo_stand_for_ever();
}

void zoo_several(void (*run)(long), int count)
{
	zoo_stands(count);
	for (int i = 0; i < count; i++)
		zoo_fork_run(run, i);
	zoo_wait_for_children();
}

pthread_t zoo_thread_run(void *(*run)(void *), void *arg)
{
	pthread_t thread;

	zoo_must(!pthread_create(&thread, NULL, run, arg));
	return thread;
}

void *zoo_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	zoo_must(p != MAP_FAILED);
	return p;
}

sem_t *zoo_never(void)
{
	sem_t *sem = zoo_shared(sizeof(*sem));

	sem_init(sem, 1, 0);
	return sem;
}

/* ---- pipes and sockets ---- */

void zoo_pair(int pair[2])
{
	zoo_must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
}

void zoo_receive(int fd)
{
	char c;

	zoo_must(recv(fd, &c, 1, 0) <= 0);
}

void zoo_read(int fd)
{
	char c;

	zoo_must(read(fd, &c, 1) <= 0);
}

static socklen_t unix_address(const char *name, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	zoo_must((size_t)snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", zoo_path(name)) <
		 sizeof(addr->sun_path));
	return sizeof(*addr);
}

int zoo_listen_unix(const char *name, int backlog)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr;
	socklen_t len = unix_address(name, &addr);

	zoo_must(fd >= 0 && !bind(fd, (struct sockaddr *)&addr, len) && !listen(fd, backlog));
	return fd;
}

int zoo_connect_unix(const char *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr;
	socklen_t len = unix_address(name, &addr);

	zoo_must(fd >= 0 && !connect(fd, (struct sockaddr *)&addr, len));
	return fd;
}

int zoo_listen_tcp(int backlog, int *ret_port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);

	zoo_must(fd >= 0 && !bind(fd, (struct sockaddr *)&addr, len) && !listen(fd, backlog) &&
		 !getsockname(fd, (struct sockaddr *)&addr, &len));
	*ret_port = ntohs(addr.sin_port);
	return fd;
}

int zoo_connect_tcp(int port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port)};

	zoo_must(fd >= 0 && !connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	return fd;
}

static int listen_numbered(int number)
{
	char name[48];

	snprintf(name, sizeof(name), "idle-%d-%d", zoo_tid(), number);
	return zoo_listen_unix(name, 8);
}

void zoo_idle(void)
{
	struct pollfd fds[2] = {{.fd = listen_numbered(0), .events = POLLIN},
		{.fd = listen_numbered(1), .events = POLLIN}};

	poll(fds, 2, -1);
	zoo_stand_for_ever();
}

void zoo_idles(long any)
{
	(void)any;
	zoo_ready();
	zoo_idle();
}

int zoo_quiet_peer(void)
{
	int pair[2], status;
	pid_t pid;

	zoo_pair(pair);
	pid = fork();
	zoo_must(pid >= 0);
	if (!pid) {
		close(pair[0]);
		if (fork())
			_exit(0);
		zoo_idle();
	}
	close(pair[1]);
	zoo_must(waitpid(pid, &status, 0) == pid);
	return pair[0];
}

int zoo_sandbox(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(rules) / sizeof(rules[0]), rules};
	int fd;

	zoo_must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	fd = (int)syscall(
		SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	zoo_must(fd >= 0);
	return fd;
}

int zoo_on_terminal(void (*run)(int fd))
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), fd;
	pid_t pid;

	zoo_must(master >= 0 && !grantpt(master) && !unlockpt(master));
	pid = fork();
	zoo_must(pid >= 0);
	if (pid)
		return master;
	fd = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	zoo_must(fd >= 0);
	close(master);
	run(fd);
	zoo_stand_for_ever();
}

/* Room for all of them is asked for first, and the file put where it begins. */
void *zoo_map_apart(long number)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int fd = zoo_open_file("shm");
	void *p = mmap(NULL, (size_t)(number + 1) * ZOO_MAP_SIZE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	zoo_must(p != MAP_FAILED && !ftruncate(fd, (off_t)page));
	zoo_must(mmap(p, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == p);
	close(fd);
	return p;
}

/* ---- a queue behind a lock ---- */

static int meeting;

static void flock_victim(long i)
{
	int fd = zoo_open_file("held");

	(void)i;
	zoo_meet(meeting);
	zoo_ready();
	flock(fd, LOCK_EX);
}

void zoo_with_victims(void (*holder)(long), int victims)
{
	meeting = victims + 1;
	zoo_stands(meeting);
	zoo_fork_run(holder, meeting);
	for (int i = 0; i < victims; i++)
		zoo_fork_run(flock_victim, i);
	zoo_wait_for_children();
}

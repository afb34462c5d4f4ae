/* What a deep scan of the real witness says of waits whose evidence is in memory or in descriptors. */
#include "tests/unit/witness_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static pid_t child_begin(void)
{
	pid_t pid = fork();

	if (!pid)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void child_end(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
}

#define auto_child cleanup(child_end)

static bool part(const json_t *scan, const char *name)
{
	return json_get_bool(json_object_get(scan, "parts"), name, false);
}

/* A deep scan in which `tid` sleeps in system call `number` and that is whole, which on a busy machine not every one is;
 * the caller's, NULL if none came in time. */
static json_t *scan_in_call(struct bench *b, int tid, int number)
{
	auto_free char *call = text_fmt("%d ", number);
	int64_t deadline = soon();
	json_t *scan = NULL;

	while (deadline_left_ms(deadline)) {
		const json_t *task;

		if (!CHECK_INT(witness_scan_deep(b->w, soon(), &scan, NULL), 0))
			return NULL;
		task = task_of(scan, tid);
		if (part(scan, "memory") && part(scan, "fds") &&
			!strcmp(json_get_text(task, "state", ""), "S") &&
			!strncmp(json_get_text(task, "syscall", ""), call, strlen(call)))
			return scan;
		json_cleanup(&scan);
	}
	CHECK(!"seen in time");
	return NULL;
}

static const json_t *fd_row(const json_t *scan, int pid, int fd)
{
	json_t *row;
	size_t i;

	json_array_foreach (json_object_get(scan, "fds"), i, row)
		if (json_get_int(row, "pid", 0) == pid && json_get_int(row, "fd", -1) == fd)
			return row;
	return NULL;
}

static int64_t ino_of(const json_t *scan, int pid, int fd)
{
	return json_get_int(fd_row(scan, pid, fd), "ino", -1);
}

static const json_t *socket_row(const json_t *scan, int64_t ino)
{
	json_t *row;
	size_t i;

	json_array_foreach (json_object_get(scan, "sockets"), i, row)
		if (json_get_int(row, "ino", 0) == ino)
			return row;
	return NULL;
}

/* ---- memory ---- */

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void *want_mutex(void *tid)
{
	*(_Atomic int *)tid = (int)syscall(SYS_gettid);
	pthread_mutex_lock(&held);
	return NULL;
}

static void a_mutex_names_the_thread_that_holds_it(void)
{
	_Atomic int *tid =
		mmap(NULL, sizeof(*tid), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	auto_bench struct bench b = {0};
	auto_json json_t *scan = NULL;
	auto_child pid_t pid = -1;
	int64_t deadline = soon();
	const json_t *words;

	if (!bench_open(&b))
		return;
	pid = child_begin();
	if (!pid) {
		pthread_t thread;

		pthread_mutex_lock(&held);
		pthread_create(&thread, NULL, want_mutex, (void *)tid);
		for (;;)
			pause();
	}
	while (!*tid && deadline_left_ms(deadline))
		sched_yield();
	scan = scan_in_call(&b, *tid, SYS_futex);
	words = json_object_get(task_of(scan, *tid), "futex");
	CHECK_INT(json_array_size(words), 5);
	CHECK_INT(json_integer_value(json_array_get(words, 0)), 2);
	CHECK_INT(json_integer_value(json_array_get(words, 2)), pid);
	CHECK(part(scan, "memory"));
	CHECK(json_get_int(task_of(scan, pid), "utime", -1) >= 0);
	munmap((void *)tid, sizeof(*tid));
}

/* In a PID namespace of its own, where it is the first and the other thread the second. */
static void crosses_inside(void *tid)
{
	pthread_t thread;

	pthread_mutex_lock(&held);
	pthread_create(&thread, NULL, want_mutex, tid);
	for (;;)
		pause();
}

static pid_t namespace_begin(void *tid)
{
	pid_t pid = child_begin(), inside;

	if (pid)
		return pid;
	if (unshare(CLONE_NEWPID) && unshare(CLONE_NEWUSER | CLONE_NEWPID))
		_exit(1);
	inside = child_begin();
	if (!inside)
		crosses_inside(tid);
	for (;;)
		pause();
}

static const json_t *inside_of(const json_t *scan, int parent, int64_t number)
{
	json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (json_get_int(task, "ppid", 0) == parent &&
			json_get_int(task, "nstid", 0) == number)
			return task;
	return NULL;
}

static void a_thread_of_another_pid_namespace_tells_how_it_calls_itself(void)
{
	_Atomic int *tid =
		mmap(NULL, sizeof(*tid), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	auto_bench struct bench b = {0};
	auto_json json_t *scan = NULL;
	auto_child pid_t pid = -1;
	int64_t deadline = soon(), first;
	const json_t *task = NULL;

	if (!bench_open(&b))
		return;
	pid = namespace_begin((void *)tid);
	while (!*tid && deadline_left_ms(deadline) && !waitpid(pid, NULL, WNOHANG))
		sched_yield();
	if (!*tid) {
		pid = -1;
		check_skip("no PID namespace can be made");
		return;
	}
	while (!json_object_get(task, "futex") && deadline_left_ms(deadline)) {
		json_cleanup(&scan);
		if (!CHECK_INT(witness_scan_deep(b.w, soon(), &scan, NULL), 0))
			return;
		task = inside_of(scan, pid, *tid);
	}
	first = json_integer_value(json_array_get(json_object_get(task, "futex"), 2));
	CHECK_INT(*tid, 2);
	CHECK_INT(first, 1);
	CHECK(json_get_int(task, "pidns", 0) > 0);
	task = task_of(scan, (int)json_get_int(task, "pid", 0));
	CHECK_INT(json_get_int(task, "nstid", 0), first);
	CHECK(!json_object_get(task_of(scan, pid), "pidns"));
	CHECK(!json_object_get(task_of(scan, getpid()), "nstid"));
	munmap((void *)tid, sizeof(*tid));
}

static void wait_by_poll(const int fds[2])
{
	struct pollfd all[] = {
		{.fd = fds[0], .events = POLLIN}, {.fd = -1}, {.fd = fds[1], .events = POLLIN}};

	poll(all, ARRAY_SIZE(all), -1);
}

static void wait_by_select(const int fds[2])
{
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(fds[0], &in);
	FD_SET(fds[1], &in);
	select(64, &in, &out, NULL, NULL);
}

static void wait_by_epoll(const int fds[2])
{
	int set = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};

	epoll_ctl(set, EPOLL_CTL_ADD, fds[0], &event);
	epoll_ctl(set, EPOLL_CTL_ADD, fds[1], &event);
	epoll_wait(set, &event, 1, -1);
}

static void whoever_polls_tells_all_that_it_polls(void)
{
	static const struct {
		void (*wait)(const int fds[2]);
		int number;
	} rows[] = {{wait_by_poll, SYS_poll}, {wait_by_select, SYS_pselect6},
		{wait_by_epoll, SYS_epoll_wait}};
	auto_bench struct bench b = {0};
	int one[2], two[2];

	if (!bench_open(&b) || !CHECK(!pipe2(one, O_CLOEXEC) && !pipe2(two, O_CLOEXEC)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *scan = NULL;
		auto_child pid_t pid = child_begin();
		const json_t *fds;

		if (!pid) {
			rows[i].wait((int[]){one[0], two[0]});
			_exit(0);
		}
		scan = scan_in_call(&b, pid, rows[i].number);
		fds = json_object_get(task_of(scan, pid), "wait_fds");
		CHECK_INT(json_array_size(fds), 2);
		CHECK_INT(json_integer_value(json_array_get(fds, 0)) +
				  json_integer_value(json_array_get(fds, 1)),
			one[0] + two[0]);
		CHECK_STR(json_get_text(fd_row(scan, pid, two[0]), "kind", ""), "pipe");
	}
	for (int i = 0; i < 2; i++) {
		close(one[i]);
		close(two[i]);
	}
}

/* ---- descriptors ---- */

static void wait_in_read(int fd)
{
	char c;

	if (read(fd, &c, 1) < 0)
		_exit(1);
	_exit(0);
}

static void both_ends_of_a_pipe_are_told(void)
{
	auto_bench struct bench b = {0};
	auto_json json_t *scan = NULL;
	auto_child pid_t pid = -1;
	int ends[2];

	if (!bench_open(&b) || !CHECK(!pipe2(ends, O_CLOEXEC)))
		return;
	pid = child_begin();
	if (!pid) {
		close(ends[1]);
		wait_in_read(ends[0]);
	}
	scan = scan_in_call(&b, pid, SYS_read);
	CHECK(part(scan, "fds"));
	CHECK(json_get_int(task_of(scan, pid), "ran_ns", -1) > 0);
	CHECK_STR(json_get_text(fd_row(scan, pid, ends[0]), "mode", ""), "r");
	CHECK(!fd_row(scan, pid, ends[1]));
	CHECK_STR(json_get_text(fd_row(scan, getpid(), ends[1]), "mode", ""), "w");
	CHECK_INT(ino_of(scan, getpid(), ends[1]), ino_of(scan, pid, ends[0]));
	close(ends[0]);
	close(ends[1]);
}

/* The writer's end of a FIFO is opened by path. */
static void both_ends_of_a_fifo_are_told(void)
{
	auto_bench struct bench b = {0};
	auto_json json_t *scan = NULL;
	auto_free char *path = NULL;
	auto_child pid_t pid = -1;
	int fd;

	if (!bench_open(&b))
		return;
	path = bench_path(&b, "fifo");
	if (!CHECK(!mkfifo(path, 0600)))
		return;
	fd = open(path, O_RDWR | O_CLOEXEC);
	pid = child_begin();
	if (!pid) {
		close(fd);
		wait_in_read(open(path, O_RDONLY | O_CLOEXEC));
	}
	scan = scan_in_call(&b, pid, SYS_read);
	CHECK_STR(json_get_text(fd_row(scan, getpid(), fd), "kind", ""), "pipe");
	CHECK_STR(json_get_text(fd_row(scan, getpid(), fd), "mode", ""), "rw");
	close(fd);
}

static void the_other_end_of_a_unix_socket_is_told(void)
{
	auto_bench struct bench b = {0};
	auto_json json_t *scan = NULL;
	auto_child pid_t pid = -1;
	int ends[2];

	if (!bench_open(&b) || !CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)))
		return;
	pid = child_begin();
	if (!pid) {
		close(ends[1]);
		wait_in_read(ends[0]);
	}
	scan = scan_in_call(&b, pid, SYS_read);
	if (!part(scan, "sockets"))
		check_skip("this kernel does not tell the ends of unix sockets");
	else
		CHECK_INT(json_get_int(socket_row(scan, ino_of(scan, pid, ends[0])), "peer", 0),
			ino_of(scan, getpid(), ends[1]));
	close(ends[0]);
	close(ends[1]);
}

/* Without accept(): the client stands in the queue of `listener`. */
static void check_queued(struct bench *b, int listener, pid_t pid, int client)
{
	auto_json json_t *scan = scan_in_call(b, pid, SYS_read);
	const json_t *end = socket_row(scan, ino_of(scan, pid, client));
	int64_t queue = json_get_int(end, "accept", 0);

	if (!strcmp(json_get_text(end, "family", ""), "unix") && !part(scan, "sockets")) {
		check_skip("this kernel does not tell the ends of unix sockets");
		return;
	}
	CHECK(queue > 0);
	CHECK_INT(ino_of(scan, getpid(), listener), queue);
	CHECK_STR(json_get_text(socket_row(scan, queue), "state", ""), "listen");
	CHECK_INT(json_get_int(socket_row(scan, queue), "backlog", 0), 1);
}

static void a_connection_that_nobody_accepts_names_the_queue_it_stands_in(void)
{
	auto_bench struct bench b = {0};
	auto_free char *path = NULL;
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr *address[] = {(struct sockaddr *)&in, (struct sockaddr *)&un};
	socklen_t size[] = {sizeof(in), sizeof(un)};

	if (!bench_open(&b))
		return;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	path = bench_path(&b, "listener");
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	for (size_t i = 0; i < ARRAY_SIZE(address); i++) {
		auto_close int listener =
			socket(address[i]->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		auto_close int client =
			socket(address[i]->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		auto_child pid_t pid = -1;

		if (!CHECK(!bind(listener, address[i], size[i]) && !listen(listener, 5)))
			return;
		getsockname(listener, address[i], &size[i]);
		pid = child_begin();
		if (!pid) {
			close(listener);
			if (connect(client, address[i], size[i]))
				_exit(1);
			wait_in_read(client);
		}
		check_queued(&b, listener, pid, client);
	}
}

/* The child wants a range, by whose last byte or by whose first it is given. */
static void who_wants_bytes_of_a_file_says_which(void)
{
	static const struct {
		struct flock wants;
		int64_t first, last; /* -1: to the end */
	} rows[] = {
		{{.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20}, 10, 29},
		{{.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 30, .l_len = -20}, 10, 29},
		{{.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 5}, 5, -1},
	};
	auto_bench struct bench b = {0};
	auto_free char *path = NULL;
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (!bench_open(&b))
		return;
	path = bench_path(&b, "locked");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		auto_json json_t *scan = NULL;
		auto_child pid_t pid = -1;
		const json_t *range;

		CHECK(fd >= 0 && !fcntl(fd, F_OFD_SETLK, &all));
		pid = child_begin();
		if (!pid) {
			struct flock wants = rows[i].wants;
			int own = open(path, O_RDWR | O_CLOEXEC);

			fcntl(own, F_OFD_SETLKW, &wants);
			_exit(0);
		}
		scan = scan_in_call(&b, pid, SYS_fcntl);
		range = json_object_get(task_of(scan, pid), "range");
		CHECK_INT(json_get_int(range, "first", -1), rows[i].first);
		CHECK_INT(json_get_int(range, "last", -1), rows[i].last);
		CHECK_INT(json_get_bool(range, "write", false), rows[i].wants.l_type == F_WRLCK);
	}
}

/* 30.5 seconds, where it has a limit. */
static const struct timespec a_while = {.tv_sec = 30, .tv_nsec = 499900000};

static void sleep_a_while(void)
{
	nanosleep(&a_while, NULL);
}

static void poll_a_while(void)
{
	ppoll(NULL, 0, &a_while, NULL);
}

static void select_a_while(void)
{
	pselect(0, NULL, NULL, NULL, &a_while, NULL);
}

static void poll_for_ever(void)
{
	ppoll(NULL, 0, NULL, NULL);
}

static void who_sleeps_says_for_how_long(void)
{
	static const struct {
		void (*wait)(void);
		int number;
		int64_t limit_ms;
	} rows[] = {
		{sleep_a_while, SYS_clock_nanosleep, 30500},
		{poll_a_while, SYS_ppoll, 30500},
		{select_a_while, SYS_pselect6, 30500},
		{poll_for_ever, SYS_ppoll, 0},
	};
	auto_bench struct bench b = {0};

	if (!bench_open(&b))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_json json_t *scan = NULL;
		auto_child pid_t pid = child_begin();

		if (!pid) {
			rows[i].wait();
			_exit(0);
		}
		scan = scan_in_call(&b, pid, rows[i].number);
		CHECK_INT(json_get_int(task_of(scan, pid), "limit_ms", 0), rows[i].limit_ms);
	}
}

static bool is_accepted(const json_t *scan, pid_t pid, int fd)
{
	return json_get_bool(socket_row(scan, ino_of(scan, pid, fd)), "accepted", false);
}

/* Nobody waits at the door any more; that of the unix socket is gone. */
static void of_two_ends_the_one_that_was_called_is_told(void)
{
	auto_bench struct bench b = {0};
	auto_free char *path = NULL;
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr *address[] = {(struct sockaddr *)&in, (struct sockaddr *)&un};
	socklen_t size[] = {sizeof(in), sizeof(un)};

	if (!bench_open(&b))
		return;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	path = bench_path(&b, "listener");
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	for (size_t i = 0; i < ARRAY_SIZE(address); i++) {
		int family = address[i]->sa_family;
		auto_close int listener = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		auto_close int client = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		auto_close int served = -1;
		auto_json json_t *scan = NULL;
		auto_child pid_t pid = -1;

		if (!CHECK(!bind(listener, address[i], size[i]) && !listen(listener, 5)))
			return;
		getsockname(listener, address[i], &size[i]);
		CHECK(!connect(client, address[i], size[i]));
		served = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (family == AF_UNIX) {
			close(listener);
			listener = -1;
		}
		pid = child_begin();
		if (!pid)
			wait_in_read(client);
		scan = scan_in_call(&b, pid, SYS_read);
		if (family == AF_UNIX && !part(scan, "sockets"))
			continue; /* this kernel does not tell the ends of unix sockets */
		CHECK(is_accepted(scan, getpid(), served));
		CHECK(!is_accepted(scan, getpid(), client));
	}
}

static void a_tcp_connection_inside_the_machine_has_a_peer(void)
{
	auto_bench struct bench b = {0};
	auto_json json_t *scan = NULL;
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t size = sizeof(in);
	auto_close int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_close int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	auto_close int served = -1;
	auto_child pid_t pid = -1;

	if (!bench_open(&b))
		return;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!CHECK(!bind(listener, (struct sockaddr *)&in, size) && !listen(listener, 5)))
		return;
	getsockname(listener, (struct sockaddr *)&in, &size);
	CHECK(!connect(client, (struct sockaddr *)&in, size));
	served = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK_INT(send(client, "unread", 6, MSG_NOSIGNAL), 6);
	pid = child_begin();
	if (!pid) {
		close(served);
		wait_in_read(client);
	}
	scan = scan_in_call(&b, pid, SYS_read);
	CHECK_INT(json_get_int(socket_row(scan, ino_of(scan, pid, client)), "peer", 0),
		ino_of(scan, getpid(), served));
	CHECK_INT(json_get_int(socket_row(scan, ino_of(scan, getpid(), served)), "unread", -1), 6);
	CHECK_INT(json_get_int(socket_row(scan, ino_of(scan, pid, client)), "unread", -1), -1);
	CHECK(!json_get_bool(socket_row(scan, ino_of(scan, pid, client)), "outside", false));
	CHECK_HAS(json_get_text(socket_row(scan, ino_of(scan, pid, client)), "name", ""),
		"127.0.0.1:");
}

static void a_descriptor_of_a_process_tells_which(void)
{
	auto_bench struct bench b = {0};
	auto_json json_t *scan = NULL;
	auto_child pid_t pid = -1;
	struct pollfd fd = {.events = POLLIN};

	if (!bench_open(&b))
		return;
	fd.fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (!CHECK(fd.fd >= 0))
		return;
	pid = child_begin();
	if (!pid)
		for (;;)
			poll(&fd, 1, -1);
	scan = scan_in_call(&b, pid, SYS_poll);
	CHECK_STR(json_get_text(fd_row(scan, pid, fd.fd), "kind", ""), "pidfd");
	CHECK_INT(json_get_int(fd_row(scan, pid, fd.fd), "of", 0), getpid());
	close(fd.fd);
}

static void *reads_on(void *arg)
{
	const int *ends = arg;
	char c;

	while (read(ends[0], &c, 1) >= 0)
		;
	return arg;
}

/* Of a process whose first thread has ended /proc tells nothing but by another. */
static void a_process_whose_first_thread_has_ended_is_told_by_another(void)
{
	auto_bench struct bench b = {0};
	auto_json json_t *scan = NULL;
	auto_child pid_t pid = -1;
	int64_t deadline = soon();
	json_t *task = NULL;
	size_t i, told = 0;
	int ends[2];

	if (!bench_open(&b) || !CHECK(!pipe2(ends, O_CLOEXEC)))
		return;
	pid = child_begin();
	if (!pid) {
		pthread_t thread;

		pthread_create(&thread, NULL, reads_on, ends);
		syscall(SYS_exit, 0);
	}
	while (told < 2 && deadline_left_ms(deadline)) {
		json_cleanup(&scan);
		if (!CHECK_INT(witness_scan_deep(b.w, soon(), &scan, NULL), 0))
			return;
		told = 0;
		json_array_foreach (json_object_get(scan, "tasks"), i, task)
			told += json_get_int(task, "pid", 0) == pid &&
				(json_get_int(task, "tid", 0) != pid ||
					*json_get_text(task, "state", "") == 'Z') &&
				*json_get_text(task, "exe", "") && fd_row(scan, pid, ends[0]);
	}
	CHECK_INT(told, 2);
	CHECK_STR(json_get_text(fd_row(scan, pid, ends[1]), "mode", ""), "w");
	close(ends[0]);
	close(ends[1]);
}

static void a_plain_scan_has_nothing_of_this(void)
{
	auto_bench struct bench b = {0};
	auto_json json_t *scan = NULL;

	if (!bench_open(&b))
		return;
	CHECK_INT(witness_scan(b.w, true, soon(), &scan, NULL), 0);
	CHECK(!json_object_get(scan, "fds") && !json_object_get(scan, "parts"));
}

CHECK_MAIN(CHECK_CASE(a_mutex_names_the_thread_that_holds_it),
	CHECK_CASE(a_thread_of_another_pid_namespace_tells_how_it_calls_itself),
	CHECK_CASE(whoever_polls_tells_all_that_it_polls), CHECK_CASE(both_ends_of_a_pipe_are_told),
	CHECK_CASE(both_ends_of_a_fifo_are_told),
	CHECK_CASE(the_other_end_of_a_unix_socket_is_told),
	CHECK_CASE(a_connection_that_nobody_accepts_names_the_queue_it_stands_in),
	CHECK_CASE(who_wants_bytes_of_a_file_says_which), CHECK_CASE(who_sleeps_says_for_how_long),
	CHECK_CASE(of_two_ends_the_one_that_was_called_is_told),
	CHECK_CASE(a_tcp_connection_inside_the_machine_has_a_peer),
	CHECK_CASE(a_descriptor_of_a_process_tells_which),
	CHECK_CASE(a_process_whose_first_thread_has_ended_is_told_by_another),
	CHECK_CASE(a_plain_scan_has_nothing_of_this))

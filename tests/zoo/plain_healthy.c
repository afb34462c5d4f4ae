/*
 * Daemons of the kinds of plain.c and plain_more.c with which all is well: they wait in turn and get it, have
 * nothing to do, or wait long for what will come.
 */
#include "tests/zoo/stores_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SHORT_NS    2000000
#define PIECE	    4096
#define MESSAGE_MAX (64 << 20) /* is not sent before the end */
#define GREETING_MS (5 * 60 * 1000)
#define TARPIT_S    40

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static int workers, waiting, idle, port;

static void a_moment(long ns)
{
	const struct timespec moment = {.tv_nsec = ns};

	nanosleep(&moment, NULL);
}

/* ---- in turn ---- */

static void delivers_in_turn(long i)
{
	int fd = zoo_open_file("mailbox");

	zoo_ready();
	for (;;) {
		zoo_must(!flock(fd, LOCK_EX));
		a_moment(SHORT_NS * (1 + i % 2));
		flock(fd, LOCK_UN);
		a_moment(SHORT_NS / 10);
	}
}

static void deliveries_in_turn(void)
{
	store_open();
	for (int i = zoo_vary(3, 8); i > 0; i--)
		store_process("deliver", delivers_in_turn, i, 1);
	store_runs_beside_others();
}

static pthread_rwlock_t catalog = PTHREAD_RWLOCK_INITIALIZER;

static void *reads_in_turn(void *arg)
{
	store_called("reader");
	zoo_ready();
	for (;;) {
		pthread_rwlock_rdlock(&catalog);
		a_moment(SHORT_NS);
		pthread_rwlock_unlock(&catalog);
		a_moment(3 * SHORT_NS);
	}
	return arg;
}

static void *writes_in_turn(void *arg)
{
	store_called("writer");
	zoo_ready();
	for (;;) {
		pthread_rwlock_wrlock(&catalog);
		a_moment(4 * SHORT_NS);
		pthread_rwlock_unlock(&catalog);
		a_moment(3 * SHORT_NS);
	}
	return arg;
}

static void catalog_server(long listener)
{
	for (int i = 0; i < workers; i++)
		zoo_thread_run(i % 3 ? reads_in_turn : writes_in_turn, NULL);
	store_serve((int)listener, 0);
}

static void catalog_in_turn(void)
{
	store_open();
	workers = zoo_vary(3, 8);
	store_service("catalog", catalog_server, workers + 1);
	store_runs_beside_others();
}

/* Who has the dot-lock writes piece by piece; the others look again from time to time. */
static void writes_mbox(long i)
{
	char name[ZOO_PATH_MAX];
	int fd;

	snprintf(name, sizeof(name), "%s", zoo_path("mbox.lock"));
	zoo_ready();
	for (;;) {
		fd = open(name, O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0) {
			for (int piece = 0; piece < 10; piece++)
				a_moment(SHORT_NS);
			close(fd);
			unlink(name);
		}
		a_moment((20 + 3 * i) * SHORT_NS);
	}
}

static void dot_lock_in_turn(void)
{
	store_open();
	for (int i = zoo_vary(2, 5); i > 0; i--)
		store_process("mbox", writes_mbox, i, 1);
	store_runs_beside_others();
}

/* ---- slow, but it gets on ---- */

static void reads_slowly(long fd)
{
	char piece[PIECE];

	zoo_ready();
	while (read((int)fd, piece, sizeof(piece)) > 0)
		a_moment(5 * SHORT_NS);
}

static void writes_much(int fd)
{
	static const char piece[PIECE];

	zoo_ready();
	for (int i = 0; i < MESSAGE_MAX; i += PIECE)
		if (write(fd, piece, sizeof(piece)) < 0)
			break;
}

static int pipe_fds[2];

static void compresses_slowly(long i)
{
	(void)i;
	close(pipe_fds[1]);
	reads_slowly(pipe_fds[0]);
}

static void backs_up(long i)
{
	(void)i;
	close(pipe_fds[0]);
	zoo_locked_file("backup", LOCK_EX);
	writes_much(pipe_fds[1]);
}

static void slow_compressor(void)
{
	store_open();
	zoo_must(!pipe2(pipe_fds, O_CLOEXEC));
	store_process("gzip", compresses_slowly, 0, 1);
	store_process("backup", backs_up, 0, 1);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	store_runs_beside_others();
}

static void sends_slowly_read(long listener)
{
	writes_much(store_take((int)listener));
}

static void fetches_slowly(long i)
{
	int fd = zoo_connect_tcp(port);

	(void)i;
	zoo_must(send(fd, "request\n", 8, MSG_NOSIGNAL) == 8);
	reads_slowly(fd);
}

static void slow_lines(void)
{
	int listener, count;

	store_open();
	listener = zoo_listen_tcp(16, &port);
	count = zoo_vary(1, 4);
	for (int i = 0; i < count; i++) {
		store_process("pop3", sends_slowly_read, listener, 1);
		store_process("reader", fetches_slowly, i, 1);
	}
	close(listener);
	store_runs_beside_others();
}

/* ---- nothing to do ---- */

static void *waits_for_work(void *arg)
{
	store_called("worker");
	pthread_mutex_lock(&lock);
	zoo_ready();
	pthread_cond_wait(&work, &lock);
	return arg;
}

static void pool_of_nobody(long listener)
{
	for (int i = 0; i < workers; i++)
		zoo_thread_run(waits_for_work, NULL);
	zoo_ready();
	accept((int)listener, NULL, NULL);
}

static void all_threads_idle(void)
{
	store_open();
	workers = zoo_vary(2, 12);
	store_service("lmtp", pool_of_nobody, workers + 1);
	store_runs_beside_others();
}

static void accepts(long listener)
{
	zoo_ready();
	accept((int)listener, NULL, NULL);
}

static void supervises_prefork(long listener)
{
	for (int i = 0; i < workers; i++)
		zoo_fork_run(accepts, listener);
	zoo_ready();
	wait(NULL);
}

static void prefork_idle(void)
{
	store_open();
	workers = zoo_vary(2, 6);
	store_service("smtpd", supervises_prefork, workers + 1);
	store_runs_beside_others();
}

static sem_t *jobs;

static void waits_for_job(long i)
{
	(void)i;
	zoo_ready();
	sem_wait(jobs);
}

static void named_semaphore_idle(void)
{
	char name[64];

	store_open();
	snprintf(name, sizeof(name), "/zoo-plain-%d", (int)getpid());
	jobs = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
	zoo_must(jobs != SEM_FAILED && !sem_unlink(name));
	for (int i = zoo_vary(2, 6); i > 0; i--)
		store_process("worker", waits_for_job, i, 1);
	store_runs_beside_others();
}

/* Packets of jobs to each worker; whoever gives them out has none. */
static int job_pairs[STORE_FDS][2];

static void does_jobs(long i)
{
	char job[64];

	for (int w = 0; w <= i; w++) {
		close(job_pairs[w][0]);
		if (w < i)
			close(job_pairs[w][1]);
	}
	zoo_ready();
	zoo_must(recv(job_pairs[i][1], job, sizeof(job), 0) <= 0);
}

static void gives_out_jobs(long i)
{
	int ends[STORE_FDS];

	(void)i;
	for (int w = 0; w < workers; w++) {
		ends[w] = job_pairs[w][0];
		close(job_pairs[w][1]);
	}
	store_loop(ends, workers);
}

static void packet_workers_idle(void)
{
	store_open();
	workers = zoo_vary(2, 6);
	for (int i = 0; i < workers; i++) {
		zoo_must(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, job_pairs[i]));
		store_process("worker", does_jobs, i, 1);
	}
	store_process("schedule", gives_out_jobs, 0, 1);
	for (int i = 0; i < workers; i++) {
		close(job_pairs[i][0]);
		close(job_pairs[i][1]);
	}
	store_runs_beside_others();
}

static void reads_fifo(long i)
{
	int fd = open(zoo_path("log.fifo"), O_RDWR | O_CLOEXEC);

	(void)i;
	zoo_must(fd >= 0);
	store_step(0);
	zoo_ready();
	zoo_read(fd);
}

/* Has the log open, and nothing to say. */
static void session_with_log(long listener)
{
	int fd;

	store_after(0, 1);
	fd = open(zoo_path("log.fifo"), O_WRONLY | O_CLOEXEC);
	zoo_must(fd >= 0);
	store_serve((int)listener, 0);
}

static void fifo_log_quiet(void)
{
	store_open();
	zoo_must(!mkfifo(zoo_path("log.fifo"), 0600));
	store_process("logger", reads_fifo, 0, 1);
	store_service("imap", session_with_log, 1);
	if (zoo_vary(0, 1))
		store_service("pop3", session_with_log, 1);
	store_runs_beside_others();
}

/* ---- long waits ---- */

static void waits_for_greeting(long i)
{
	struct pollfd greeting = {.fd = zoo_connect_tcp(port), .events = POLLIN};

	(void)i;
	zoo_ready();
	poll(&greeting, 1, GREETING_MS);
}

/* Lets all wait before it greets them, so that those who only send much go away. */
static void greets_late(long listener)
{
	const struct timespec late = {.tv_sec = TARPIT_S};

	zoo_must(accept((int)listener, NULL, NULL) >= 0);
	zoo_ready();
	nanosleep(&late, NULL);
	zoo_stand_for_ever();
}

static void greeted_late(void)
{
	int listener, count;

	store_open();
	listener = zoo_listen_tcp(16, &port);
	count = zoo_vary(1, 4);
	for (int i = 0; i < count; i++) {
		store_process("tarpit", greets_late, listener, 1);
		store_process("smtp", waits_for_greeting, i, 1);
	}
	close(listener);
	store_runs_beside_others();
}

static void tries_host_later(long i)
{
	const struct timespec later = {.tv_sec = 300 + i};
	int fd = zoo_open_numbered("deferred", i);

	zoo_must(!flock(fd, LOCK_EX));
	zoo_ready();
	nanosleep(&later, NULL);
}

static void hosts_tried_later(void)
{
	store_open();
	for (int i = zoo_vary(1, 5); i > 0; i--)
		store_process("smtp", tries_host_later, i, 1);
	store_runs_beside_others();
}

/* ---- clients in IDLE ---- */

static void idles_by_tcp(long i)
{
	int fd = zoo_connect_tcp(port);
	char answer[2];

	(void)i;
	zoo_must(send(fd, "a1 IDLE\n", 8, MSG_NOSIGNAL) == 8);
	zoo_must(recv(fd, answer, sizeof(answer), MSG_WAITALL) == 2);
	zoo_ready();
	zoo_receive(fd);
}

static int take_idler(long listener)
{
	int fd = store_take((int)listener);

	zoo_must(send(fd, "+\n", 2, MSG_NOSIGNAL) == 2);
	return fd;
}

static void *session_of_idler(void *arg)
{
	int fd = take_idler((intptr_t)arg);

	store_called("session");
	store_step(0);
	zoo_ready();
	zoo_receive(fd);
	return arg;
}

static void server_of_idlers(long listener)
{
	int fds[STORE_FDS] = {(int)listener};

	for (int i = 0; i < workers; i++)
		zoo_thread_run(session_of_idler, (void *)(intptr_t)listener); /* NOLINT: a number */
	for (int i = 0; i < waiting; i++)
		fds[1 + i] = take_idler(listener);
	store_after(0, workers); /* none is left at the door */
	store_loop(fds, 1 + waiting);
}

static void clients_idle_by_tcp(void)
{
	int listener;

	store_open();
	workers = zoo_vary(0, 4); /* with a thread of theirs; the others in the loop */
	waiting = zoo_vary(1, 12);
	listener = zoo_listen_tcp(16, &port);
	store_process("imap", server_of_idlers, listener, workers + 1);
	close(listener);
	for (int i = 0; i < workers + waiting; i++)
		store_process("client", idles_by_tcp, i, 1);
	store_runs_beside_others();
}

/* ---- supervisors ---- */

static void works_on(long i)
{
	zoo_ready();
	for (;;)
		i++;
}

static void waits_for_work_done(long i)
{
	pid_t pid = zoo_fork_run(works_on, i);

	zoo_ready();
	waitpid(pid, NULL, 0);
}

static void waits_for_reindex(void)
{
	store_open();
	idle = zoo_vary(1, 2);
	for (int i = 0; i < idle; i++)
		store_process("agent", waits_for_work_done, i, 2);
	store_runs_beside_others();
}

static void stays(long listener)
{
	close((int)listener);
	zoo_idles(0);
}

/* All that a modern one listens to. */
static void hears_all(long listener)
{
	int fds[3] = {(int)listener};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fds[1] = signalfd(-1, &set, SFD_CLOEXEC);
	fds[2] = eventfd(0, EFD_CLOEXEC);
	for (int i = 0; i < workers; i++)
		zoo_fork_run(stays, listener);
	for (int i = 0; i < idle; i++)
		zoo_thread_run(waits_for_work, NULL);
	store_loop(fds, 3);
}

static void supervisor_of_events(void)
{
	store_open();
	workers = zoo_vary(1, 5);
	idle = zoo_vary(0, 3);
	store_service("supervise", hears_all, 1 + workers + idle);
	store_runs_beside_others();
}

const struct zoo_case zoo_plain_healthy[] = {
	{"deliveries-in-turn", NULL, "deliver", deliveries_in_turn, ZOO_HELD_OUT | ZOO_PROGRESSED,
		0},
	{"catalog-in-turn", NULL, "lookup", catalog_in_turn, ZOO_HELD_OUT | ZOO_PROGRESSED, 0},
	{"dot-lock-in-turn", NULL, "mbox", dot_lock_in_turn, ZOO_HELD_OUT | ZOO_PROGRESSED, 0},
	{"slow-compressor", NULL, "filter", slow_compressor, ZOO_HELD_OUT | ZOO_PROGRESSED, 0},
	{"slow-lines", NULL, "pop", slow_lines, ZOO_HELD_OUT | ZOO_PROGRESSED, 0},
	{"all-threads-idle", NULL, "store", all_threads_idle, ZOO_HELD_OUT, 0},
	{"prefork-idle", NULL, "receive", prefork_idle, ZOO_HELD_OUT, 0},
	{"named-semaphore-idle", NULL, "queue", named_semaphore_idle, ZOO_HELD_OUT, 0},
	{"packet-workers-idle", NULL, "queue", packet_workers_idle, ZOO_HELD_OUT, 0},
	{"fifo-log-quiet", NULL, "log", fifo_log_quiet, ZOO_HELD_OUT, 0},
	{"greeted-late", NULL, "relay", greeted_late, ZOO_HELD_OUT, 0},
	{"hosts-tried-later", NULL, "relay", hosts_tried_later, ZOO_HELD_OUT, 0},
	{"clients-idle-by-tcp", NULL, "session", clients_idle_by_tcp, ZOO_HELD_OUT, 0},
	{"waits-for-reindex", NULL, "agent", waits_for_reindex,
		ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED, 0},
	{"supervisor-of-events", NULL, "master", supervisor_of_events, ZOO_HELD_OUT, 0},
	{0},
};

/*
 * What comes to mind first: locks of every kind that are taken in another order, by threads and by processes,
 * written by somebody who had not read the diagnosis. How many wait behind them, who starts first and
 * which sessions are idle beside them is drawn; in which call a culprit stands is not.
 */
#include "tests/zoo/daemons_parts.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DOTLOCK_RETRY_S 2
#define RANGE		16
#define RING		3

static void neighbours(void)
{
	store_idle_sessions(zoo_vary(1, 4));
	if (zoo_vary(0, 1))
		store_prefork(zoo_vary(2, 4));
	store_anvil();
}

static void wants_flock(long i)
{
	(void)i;
	store_after(0, 2);
	store_wants_file("maildir", LOCK_EX);
}

static void both_are_there(void)
{
	store_step(0);
	store_after(0, 2);
	zoo_stand();
}

/* ---- RENAME has the tree and wants the mailbox, LIST the other way round ---- */

static void renames(long i)
{
	(void)i;
	pthread_rwlock_wrlock(&daemon_shared->rwlock);
	both_are_there();
	pthread_mutex_lock(&daemon_shared->mutex[0]);
}

static void lists(long i)
{
	(void)i;
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	both_are_there();
	pthread_rwlock_rdlock(&daemon_shared->rwlock);
}

static void selects(long by_tree)
{
	store_after(0, 2);
	zoo_ready();
	if (by_tree)
		pthread_rwlock_rdlock(&daemon_shared->rwlock);
	else
		pthread_mutex_lock(&daemon_shared->mutex[0]);
}

static void rename_and_list_crossed(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	crew_add("imap", renames, 0);
	crew_add("imap", lists, 0);
	for (int i = 0; i < more; i++)
		crew_add("imap", selects, zoo_vary(0, 1));
	crew_forks();
	neighbours();
	store_runs();
}

/* ---- two caches in shared memory, each with a robust mutex ---- */

static pthread_mutex_t *caches;

static void map_caches(void)
{
	pthread_mutexattr_t attr;

	caches = zoo_shared(2 * sizeof(*caches));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	for (int i = 0; i < 2; i++)
		zoo_must(!pthread_mutex_init(&caches[i], &attr));
}

static void moves_entry(long from)
{
	pthread_mutex_lock(&caches[from]);
	both_are_there();
	pthread_mutex_lock(&caches[!from]);
	pthread_mutex_unlock(&caches[!from]);
	pthread_mutex_unlock(&caches[from]);
}

static void looks_up(long in)
{
	store_after(0, 2);
	zoo_ready();
	pthread_mutex_lock(&caches[in]);
}

static void header_caches_crossed(void)
{
	int more = zoo_vary(0, 5);

	daemons_open();
	map_caches();
	crew_add("lmtp", moves_entry, 0);
	crew_add("imap", moves_entry, 1);
	for (int i = 0; i < more; i++)
		crew_add("pop3", looks_up, zoo_vary(0, 1));
	crew_forks();
	neighbours();
	store_runs();
}

/* ---- two mutexes of a process; one of them is recursive and taken twice ---- */

static pthread_mutex_t folder, message = PTHREAD_MUTEX_INITIALIZER;

static void make_folder(void)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	zoo_must(!pthread_mutex_init(&folder, &attr));
}

static void expunges(long i)
{
	(void)i;
	pthread_mutex_lock(&folder);
	pthread_mutex_lock(&folder);
	both_are_there();
	pthread_mutex_lock(&message);
}

static void copies(long i)
{
	(void)i;
	pthread_mutex_lock(&message);
	both_are_there();
	pthread_mutex_lock(&folder);
}

static void fetches(long of_folder)
{
	store_after(0, 2);
	zoo_ready();
	pthread_mutex_lock(of_folder ? &folder : &message);
}

static void two_locks_reversed_in_threads(void)
{
	int more = zoo_vary(1, 5);

	daemons_open();
	make_folder();
	crew_add("expunge", expunges, 0);
	crew_add("copy", copies, 0);
	for (int i = 0; i < more; i++)
		crew_add("fetch", fetches, zoo_vary(0, 1));
	crew_threads("imapd");
	neighbours();
	store_runs();
}

/* ---- POSIX semaphores used as locks, in threads ---- */

static sem_t permits[2];
static int asking;

static void takes_permits(long first)
{
	zoo_must(!sem_wait(&permits[first]));
	both_are_there();
	sem_wait(&permits[!first]);
}

static void hears_clients(long listener)
{
	store_after(0, 2);
	store_serve((int)listener, asking);
}

static void binary_semaphores_crossed(void)
{
	int listener;

	asking = zoo_vary(1, 4);
	daemons_open();
	for (int i = 0; i < 2; i++)
		sem_init(&permits[i], 0, 1);
	listener = zoo_listen_unix("convert", 16);
	crew_add("to-mime", takes_permits, 0);
	crew_add("from-mime", takes_permits, 1);
	crew_add("front", hears_clients, listener);
	crew_threads("convert");
	close(listener);
	store_askers("imap", "convert", asking);
	neighbours();
	store_runs();
}

/* ---- a backup waits until no writer is counted, and has what the writer wants ---- */

static int writers;

static void writes_mail(long i)
{
	struct sembuf up = {.sem_op = 1, .sem_flg = SEM_UNDO};

	(void)i;
	zoo_must(!semop(writers, &up, 1));
	store_step(1);
	store_after(2, 1);
	store_step(0);
	zoo_blame();
	store_wants_file("maildir", LOCK_EX);
}

static void backs_up(long i)
{
	struct sembuf none = {.sem_op = 0};

	(void)i;
	store_after(1, 1);
	zoo_locked_file("maildir", LOCK_EX);
	store_step(2);
	both_are_there();
	semop(writers, &none, 1);
}

static void backup_awaits_no_writers(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	writers = semget(IPC_PRIVATE, 1, 0600);
	zoo_must(writers >= 0);
	crew_add("lmtp", writes_mail, 0);
	crew_add("backup", backs_up, 0);
	for (int i = 0; i < more; i++)
		crew_add("imap", wants_flock, i);
	crew_forks();
	neighbours();
	store_runs();
}

/* ---- one believes in records, the other in flock() ---- */

static void has_record(long i)
{
	(void)i;
	zoo_must(zoo_posix_lock(zoo_open_file("inbox"), F_WRLCK));
	store_step(0);
	store_after(0, 2);
	zoo_blame();
	store_wants_file("maildir", LOCK_EX);
}

static void has_flock(long i)
{
	(void)i;
	zoo_locked_file("maildir", LOCK_EX);
	store_step(0);
	store_after(0, 2);
	zoo_blame();
	store_wants_range("inbox");
}

static void wants_record(long i)
{
	(void)i;
	store_after(0, 2);
	store_wants_range("inbox");
}

static void record_and_flock_crossed(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	crew_add("procmail", has_record, 0);
	crew_add("pop3d", has_flock, 0);
	for (int i = 0; i < more; i++)
		crew_add("imapd", zoo_vary(0, 1) ? wants_record : wants_flock, i);
	crew_forks();
	neighbours();
	store_runs();
}

/* ---- ranges of one file, by open file descriptions, in a ring ---- */

static bool locks_range(int fd, long number)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = number * RANGE, .l_len = RANGE};

	return !fcntl(fd, F_OFD_SETLKW, &lock);
}

static void goes_on_to_next(long me)
{
	int fd = zoo_open_file("cache");

	zoo_must(locks_range(fd, me));
	store_step(0);
	store_after(0, RING);
	zoo_stand();
	locks_range(fd, (me + 1) % RING);
}

static void reads_range(long number)
{
	int fd = zoo_open_file("cache");

	store_after(0, RING);
	zoo_ready();
	locks_range(fd, number);
}

static void ranges_in_ring(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	for (int i = 0; i < RING; i++)
		crew_add("indexer", goes_on_to_next, i);
	for (int i = 0; i < more; i++)
		crew_add("imap", reads_range, zoo_vary(0, RING - 1));
	crew_forks();
	neighbours();
	store_runs();
}

/* ---- a dot-lock with a pid in it, and a record, in another order ---- */

static int make_dot_lock(void)
{
	char text[16];
	int fd = open(zoo_path("inbox.lock"), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());

	if (fd < 0)
		return -1;
	zoo_must(write(fd, text, (size_t)len) == len);
	close(fd);
	return 0;
}

static void dot_lock_first(long i)
{
	(void)i;
	zoo_must(!make_dot_lock());
	store_step(0);
	store_after(0, 2);
	zoo_blame();
	store_wants_range("inbox");
}

static void record_first(long i)
{
	const struct timespec retry = {.tv_sec = DOTLOCK_RETRY_S};

	(void)i;
	zoo_must(zoo_posix_lock(zoo_open_file("inbox"), F_WRLCK));
	both_are_there();
	while (make_dot_lock())
		nanosleep(&retry, NULL);
}

static void dot_lock_and_record(void)
{
	int more = zoo_vary(0, 3);

	daemons_open();
	crew_add("mailx", dot_lock_first, 0);
	crew_add("deliver", record_first, 0);
	for (int i = 0; i < more; i++)
		crew_add("imapd", wants_record, i);
	crew_forks();
	neighbours();
	store_runs();
}

/* ---- flock, then socket, then mutex, across three processes ---- */

static void *indexes_one(void *arg)
{
	int fd = store_take((int)(long)arg);

	zoo_must(fd >= 0);
	store_called("index-worker");
	both_are_there();
	pthread_mutex_lock(&daemon_shared->mutex[1]);
	return NULL;
}

static void index_service(long listener)
{
	zoo_thread_run(indexes_one, (void *)listener); /* NOLINT: a number */
	store_idle_workers(2);
	store_after(0, 2);
	store_loop(NULL, 0);
}

static void delivers_indexed(long i)
{
	(void)i;
	zoo_locked_file("maildir", LOCK_EX);
	store_step(3);
	zoo_blame();
	store_await(store_ask("index"));
}

static void expires(long i)
{
	(void)i;
	pthread_mutex_lock(&daemon_shared->mutex[1]);
	store_after(3, 1);
	store_step(0);
	store_after(0, 2);
	zoo_blame();
	store_wants_file("maildir", LOCK_EX);
}

static void flock_socket_mutex_ring(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	store_service("index", index_service, 4);
	crew_add("deliver", delivers_indexed, 0);
	crew_add("expire", expires, 0);
	for (int i = 0; i < more; i++)
		crew_add("pop3d", wants_flock, i);
	crew_forks();
	neighbours();
	store_runs();
}

/* ---- a remote calls back over TCP for what the caller has locked ---- */

static pthread_mutex_t session_table = PTHREAD_MUTEX_INITIALIZER;
static int store_port, remote_port;

static int asks_by_tcp(int port)
{
	int fd = zoo_connect_tcp(port);

	zoo_must(send(fd, "request\n", 8, MSG_NOSIGNAL) == 8);
	return fd;
}

static void *greets(void *arg)
{
	int fd;

	store_called("greeter");
	fd = store_take((int)(long)arg);
	zoo_must(fd >= 0);
	zoo_stand();
	pthread_mutex_lock(&session_table);
	return NULL;
}

static void *wants_table(void *arg)
{
	store_called("session");
	store_after(0, 1);
	zoo_ready();
	pthread_mutex_lock(&session_table);
	return arg;
}

static int table_victims, remote_listener;

static void calls_remote(long listener)
{
	close(remote_listener);
	pthread_mutex_lock(&session_table);
	store_step(0);
	zoo_thread_run(greets, (void *)listener); /* NOLINT: a number */
	for (int i = 0; i < table_victims; i++)
		zoo_thread_run(wants_table, NULL);
	zoo_blame();
	store_await(asks_by_tcp(remote_port));
}

static void calls_back(long listener)
{
	int fd = store_take((int)listener);

	zoo_must(fd >= 0);
	zoo_blame();
	store_await(asks_by_tcp(store_port));
}

static void callback_needs_held_mutex(void)
{
	int here;

	daemons_open();
	table_victims = zoo_vary(0, 4);
	here = zoo_listen_tcp(8, &store_port);
	remote_listener = zoo_listen_tcp(8, &remote_port);
	store_process("imapd", calls_remote, here, 2 + table_victims);
	close(here);
	store_process("remote", calls_back, remote_listener, 1);
	close(remote_listener);
	neighbours();
	store_runs();
}

/* ---- a reader that wants to write waits for itself ---- */

static pthread_rwlock_t index_lock;

static void make_index_lock(void)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	zoo_must(!pthread_rwlock_init(&index_lock, &attr));
}

static void upgrades(long i)
{
	(void)i;
	pthread_rwlock_rdlock(&index_lock);
	store_step(0);
	zoo_stand();
	pthread_rwlock_wrlock(&index_lock);
}

/* The writer is there first, or they would get in. */
static void reads_index(long i)
{
	const struct timespec moment = {.tv_nsec = 100000000};

	(void)i;
	store_after(0, 1);
	nanosleep(&moment, NULL);
	zoo_ready();
	pthread_rwlock_rdlock(&index_lock);
}

static void upgrades_own_read_lock(void)
{
	int more = zoo_vary(1, 5);

	daemons_open();
	make_index_lock();
	crew_add("append", upgrades, 0);
	for (int i = 0; i < more; i++)
		crew_add("search", reads_index, i);
	crew_threads("imapd");
	neighbours();
	store_runs();
}

/* ---- a handler takes the mutex that its own thread has ---- */

static void writes_state(int sig)
{
	(void)sig;
	pthread_mutex_lock(&daemon_shared->mutex[2]);
}

static void is_told_to_save(long i)
{
	struct sigaction action = {.sa_handler = writes_state};

	(void)i;
	zoo_must(!sigaction(SIGUSR2, &action, NULL));
	pthread_mutex_lock(&daemon_shared->mutex[2]);
	store_step(0);
	zoo_stand();
	raise(SIGUSR2);
}

static void wants_state(long i)
{
	(void)i;
	store_after(0, 1);
	zoo_ready();
	pthread_mutex_lock(&daemon_shared->mutex[2]);
}

static void handler_wants_own_mutex(void)
{
	int more = zoo_vary(0, 5);

	daemons_open();
	crew_add("qmgr", is_told_to_save, 0);
	for (int i = 0; i < more; i++)
		crew_add("smtp", wants_state, i);
	crew_forks();
	neighbours();
	store_runs();
}

const struct zoo_case zoo_judged[] = {
	{"rename-and-list-crossed", "deadlock", "session", rename_and_list_crossed, ZOO_HELD_OUT,
		0},
	{"header-caches-crossed", "deadlock", "session", header_caches_crossed, ZOO_HELD_OUT, 0},
	{"two-locks-reversed-in-threads", "deadlock", "session", two_locks_reversed_in_threads,
		ZOO_HELD_OUT, 0},
	{"binary-semaphores-crossed", "lost-wakeup", "filter", binary_semaphores_crossed,
		ZOO_HELD_OUT, 0},
	{"backup-awaits-no-writers", "deadlock", "deliver", backup_awaits_no_writers, ZOO_HELD_OUT,
		0},
	{"record-and-flock-crossed", "deadlock", "deliver", record_and_flock_crossed, ZOO_HELD_OUT,
		0},
	{"ranges-in-ring", "deadlock", "index", ranges_in_ring, ZOO_HELD_OUT, 0},
	{"dot-lock-and-record", "deadlock", "mbox", dot_lock_and_record, ZOO_HELD_OUT, 0},
	{"flock-socket-mutex-ring", "deadlock", "store", flock_socket_mutex_ring, ZOO_HELD_OUT, 0},
	{"callback-needs-held-mutex", "deadlock", "session", callback_needs_held_mutex,
		ZOO_HELD_OUT, 0},
	{"upgrades-own-read-lock", "deadlock", "index", upgrades_own_read_lock, ZOO_HELD_OUT, 0},
	{"handler-wants-own-mutex", "deadlock", "queue", handler_wants_own_mutex, ZOO_HELD_OUT, 0},
	{0},
};

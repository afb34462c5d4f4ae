/*
 * The rest of judged.c: rings of three kinds, a lock that somebody wants twice, loops without an
 * end, deaths. Written by somebody who had not read the diagnosis.
 */
#include "tests/zoo/daemons_parts.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPORT_SIZE (1 << 20)

static pthread_mutex_t list = PTHREAD_MUTEX_INITIALIZER;

static void wants_list(long i)
{
	(void)i;
	store_after(0, 1);
	zoo_ready();
	pthread_mutex_lock(&list);
}

/* ---- a mutex in shared memory, then flock(), then a System V semaphore, across three processes ---- */

static int set;

static void make_set(void)
{
	struct sembuf up = {.sem_op = 1};

	set = semget(IPC_PRIVATE, 1, 0600);
	zoo_must(set >= 0 && !semop(set, &up, 1));
}

static void takes_set(void)
{
	struct sembuf down = {.sem_op = -1, .sem_flg = SEM_UNDO};

	semop(set, &down, 1);
}

static void all_three_are_there(void)
{
	store_step(3);
	store_after(3, 3);
	store_step(0);
}

static void mutex_then_flock(long i)
{
	(void)i;
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	all_three_are_there();
	zoo_blame();
	store_wants_file("held", LOCK_EX);
}

static void flock_then_semaphore(long i)
{
	(void)i;
	zoo_locked_file("held", LOCK_EX);
	all_three_are_there();
	zoo_stand();
	takes_set();
}

static void semaphore_then_mutex(long i)
{
	(void)i;
	takes_set();
	all_three_are_there();
	zoo_stand();
	pthread_mutex_lock(&daemon_shared->mutex[0]);
}

static void mutex_flock_semaphore_ring(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	make_set();
	crew_add("lmtp", mutex_then_flock, 0);
	crew_add("fts", flock_then_semaphore, 0);
	crew_add("quota", semaphore_then_mutex, 0);
	for (int i = 0; i < more; i++)
		crew_add("imap", zoo_vary(0, 1) ? daemon_wants_mutex : daemon_wants_held, 0);
	crew_forks();
	daemons_beside();
	store_runs();
}

/* ---- one reads a FIFO under a mutex; who writes to it wants the mutex first ---- */

static void reads_fifo_under_mutex(long i)
{
	int fd = open(zoo_path("jobs"), O_RDONLY | O_CLOEXEC);

	(void)i;
	zoo_must(fd >= 0);
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	store_step(0);
	zoo_stand();
	zoo_read(fd);
}

static void writes_fifo_under_mutex(long i)
{
	int fd = open(zoo_path("jobs"), O_WRONLY | O_CLOEXEC);

	(void)i;
	store_after(0, 1);
	zoo_stand();
	pthread_mutex_lock(&daemon_shared->mutex[0]);
	zoo_must(write(fd, "job", 3) == 3);
}

static void fifo_read_under_mutex(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	zoo_must(!mkfifo(zoo_path("jobs"), 0600));
	crew_add("jobd", reads_fifo_under_mutex, 0);
	crew_add("submit", writes_fifo_under_mutex, 0);
	for (int i = 0; i < more; i++)
		crew_add("imap", daemon_wants_mutex, 0);
	crew_forks();
	daemons_beside();
	store_runs();
}

/* ---- a reader wants to write, and nobody else wants the lock ---- */

static pthread_rwlock_t tree = PTHREAD_RWLOCK_INITIALIZER;
static int asking;

static void upgrades_for_client(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	pthread_rwlock_rdlock(&tree);
	zoo_stand();
	pthread_rwlock_wrlock(&tree);
}

static void reader_upgrades_alone(void)
{
	int listener, idle = zoo_vary(1, 4);

	daemons_open();
	listener = zoo_listen_unix("tree", 8);
	crew_add("append", upgrades_for_client, listener);
	for (int i = 0; i < idle; i++)
		crew_add("idle", zoo_idles, i);
	crew_threads("imapd");
	close(listener);
	store_askers("imap", "tree", 1);
	daemons_beside();
	store_runs();
}

/* ---- a signal was not blocked: its handler had it, and signalfd never hears ---- */

static void is_handled(int sig)
{
	(void)sig;
	atomic_fetch_add(&zoo_board->go, 1);
}

static void awaits_signal(long listener)
{
	struct sigaction action = {.sa_handler = is_handled};
	struct signalfd_siginfo info;
	sigset_t signals;
	int fd;

	for (int i = 0; i < asking; i++)
		zoo_must(store_take((int)listener) >= 0);
	zoo_must(!sigaction(SIGUSR1, &action, NULL));
	sigemptyset(&signals);
	sigaddset(&signals, SIGUSR1);
	fd = signalfd(-1, &signals, SFD_CLOEXEC);
	raise(SIGUSR1); /* "the mailbox is ready" */
	zoo_must(fd >= 0 && atomic_load(&zoo_board->go) == 1);
	zoo_stand();
	zoo_must(read(fd, &info, sizeof(info)) > 0);
}

static void signalfd_of_handled_signal(void)
{
	daemons_open();
	asking = zoo_vary(1, 4);
	store_service("notifyd", awaits_signal, 1);
	store_askers("imap", "notifyd", asking);
	daemons_beside();
	store_runs();
}

/* ---- a rename that cannot succeed is tried again under the lock, without a pause ---- */

static void renames_again(long i)
{
	char from[ZOO_PATH_MAX];

	(void)i;
	snprintf(from, sizeof(from), "%s", zoo_path("tmp-gone"));
	zoo_locked_file("held", LOCK_EX);
	store_step(0);
	zoo_stand();
	while (rename(from, zoo_path("new-mail")))
		;
}

static void renames_for_ever(void)
{
	int more = zoo_vary(0, 4);

	daemons_open();
	crew_add("deliver", renames_again, 0);
	for (int i = 0; i < more; i++)
		crew_add("imap", daemon_wants_held, i);
	crew_forks();
	daemons_beside();
	store_runs();
}

/* ---- two that let each other go first ---- */

static atomic_int *wanted;

static void lets_the_other_go_first(long me)
{
	zoo_stand();
	for (;;) {
		atomic_store(&wanted[me], 1);
		sched_yield();
		if (atomic_load(&wanted[!me]))
			atomic_store(&wanted[me], 0);
		sched_yield();
	}
}

static void polite_for_ever(void)
{
	daemons_open();
	wanted = zoo_shared(2 * sizeof(*wanted));
	for (int i = 0; i < 2; i++)
		store_process("compact", lets_the_other_go_first, i, 1);
	daemons_beside();
	store_runs();
}

/* ---- sends again at once what did not fit ---- */

static void sends_at_once(long listener)
{
	static const char part[4096];
	int fd = store_take((int)listener);

	zoo_must(fd >= 0);
	zoo_stand();
	for (;;)
		if (send(fd, part, sizeof(part), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
			continue;
}

static void asks_and_goes_away(long i)
{
	int fd = store_ask("imap-fetch");

	(void)i;
	zoo_must(fd >= 0);
	store_loop(NULL, 0);
}

static void sends_again_at_eagain(void)
{
	daemons_open();
	store_service("imap-fetch", sends_at_once, 1);
	store_process("client", asks_and_goes_away, 0, 1);
	daemons_beside();
	store_runs();
}

/* ---- a thread writes to its client under a lock, and the client does not read ---- */

static void fetches_under_lock(long listener)
{
	static const char mail[REPORT_SIZE];
	int fd = store_take((int)listener);

	pthread_mutex_lock(&list);
	store_step(0);
	zoo_stand();
	zoo_must(send(fd, mail, sizeof(mail), MSG_NOSIGNAL) > 0);
}

static void client_went_away(long i)
{
	int fd = store_ask("imap-big");

	(void)i;
	zoo_must(fd >= 0);
	store_loop(NULL, 0);
}

static void writes_to_client_under_lock(void)
{
	int listener, more = zoo_vary(1, 4);

	daemons_open();
	listener = zoo_listen_unix("imap-big", 8);
	crew_add("fetch", fetches_under_lock, listener);
	for (int i = 0; i < more; i++)
		crew_add("session", wants_list, i);
	crew_threads("imapd");
	close(listener);
	store_process("client", client_went_away, 0, 1);
	daemons_beside();
	store_runs();
}

/* ---- who has the range of an open file description is stopped ---- */

static bool locks_all(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return !fcntl(fd, F_OFD_SETLKW, &lock);
}

static void locks_and_stops(long i)
{
	(void)i;
	zoo_must(locks_all(zoo_open_file("control")));
	store_step(0);
	daemon_stops();
}

static void wants_control(long i)
{
	int fd = zoo_open_file("control");

	(void)i;
	store_after(0, 1);
	zoo_ready();
	locks_all(fd);
}

static void ofd_lock_of_stopped(void)
{
	int more = zoo_vary(1, 5);

	daemons_open();
	crew_add("doveadm", locks_and_stops, 0);
	for (int i = 0; i < more; i++)
		crew_add("imap", wants_control, i);
	crew_forks();
	daemons_beside();
	store_runs();
}

/* ---- deaths ---- */

struct mailbox {
	char name[64];
	int messages;
};

static int count_messages(const volatile struct mailbox *mailbox)
{
	return mailbox->messages;
}

static void status_of_nothing(long i)
{
	const struct mailbox *mailbox = (const struct mailbox *)(i * 8); /* NOLINT: meant */

	zoo_stand();
	zoo_must(count_messages(mailbox) >= 0);
}

static void check_record(volatile long type)
{
	if (type != 1)
		abort();
}

static void reads_broken_index(long type)
{
	zoo_stand();
	check_record(type);
}

static int parse_block(volatile char *outer)
{
	volatile char token[2048];

	if (!outer)
		return 0;
	token[0] = outer[0];
	return parse_block(token) + token[0];
}

static void *compiles_script(void *arg)
{
	volatile char script = 'i';

	store_called("sieve");
	zoo_stand();
	zoo_must(parse_block(&script) != 1);
	return arg;
}

static void lmtp_with_sieve(long i)
{
	(void)i;
	store_idle_workers(2);
	zoo_thread_run(compiles_script, NULL);
	zoo_idle();
}

static void one_dies(const char *name, void (*run)(long), int threads)
{
	daemons_open();
	daemons_beside();
	store_process(name, run, 0, threads);
	store_runs();
}

static void null_mailbox_dereferenced(void)
{
	one_dies("imap", status_of_nothing, 1);
}

static void aborts_at_corrupt_index(void)
{
	one_dies("indexer", reads_broken_index, 1);
}

static void sieve_nests_too_deep(void)
{
	one_dies("lmtp", lmtp_with_sieve, 3);
}

const struct zoo_case zoo_judged_ends[] = {
	{"mutex-flock-semaphore-ring", "deadlock", "store", mutex_flock_semaphore_ring,
		ZOO_HELD_OUT, 0},
	{"fifo-read-under-mutex", "deadlock", "queue", fifo_read_under_mutex, ZOO_HELD_OUT, 0},
	{"reader-upgrades-alone", "deadlock", "session", reader_upgrades_alone, ZOO_HELD_OUT, 0},
	{"signalfd-of-handled-signal", "lost-wakeup", "session", signalfd_of_handled_signal,
		ZOO_HELD_OUT, 0},
	{"renames-for-ever", "livelock", "deliver", renames_for_ever, ZOO_HELD_OUT | ZOO_SPINS, 0},
	{"polite-for-ever", "livelock", "store", polite_for_ever,
		ZOO_HELD_OUT | ZOO_SPINS | ZOO_ALONE, 0},
	{"sends-again-at-eagain", "livelock", "session", sends_again_at_eagain,
		ZOO_HELD_OUT | ZOO_SPINS, 0},
	{"writes-to-client-under-lock", "lost-wakeup", "session", writes_to_client_under_lock,
		ZOO_HELD_OUT, 0},
	{"ofd-lock-of-stopped", "stopped", "store", ofd_lock_of_stopped, ZOO_HELD_OUT, 0},
	{"null-mailbox-dereferenced", "crash", "session", null_mailbox_dereferenced,
		ZOO_HELD_OUT | ZOO_DIES, 1},
	{"aborts-at-corrupt-index", "crash", "index", aborts_at_corrupt_index,
		ZOO_HELD_OUT | ZOO_DIES, 1},
	{"sieve-nests-too-deep", "crash", "filter", sieve_nests_too_deep, ZOO_HELD_OUT | ZOO_DIES,
		1},
	{0},
};

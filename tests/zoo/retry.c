/*
 * Stores that ask for a lock and do not wait for it: they are refused, sleep, and ask again. Written by somebody who
 * had not read the diagnosis.
 */
#include "tests/zoo/retry_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMBERS_MAX 4

static pthread_mutex_t cache = PTHREAD_MUTEX_INITIALIZER;
static int members, first, kind;

/* ---- an empty dot-lock whose maker has it open, and waits for its content filter ---- */

static void keeps_lock_open(long i)
{
	int peer = zoo_quiet_peer();

	(void)i;
	zoo_must(open(zoo_path("inbox.lock"), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) >= 0);
	store_step(0);
	zoo_stand();
	zoo_receive(peer);
}

static void after_lock(long how)
{
	store_after(0, 1);
	retry_wants_dot("inbox.lock", (enum retry_dot)how);
}

static void wants_no_lock(long i)
{
	(void)i;
	store_after(0, 1);
	retry_wants_gone("inbox.lock");
}

/* Of those who deliver, and of those who only look. */
static void inbox_victims(enum retry_dot how)
{
	for (int i = zoo_vary(1, 3); i > 0; i--)
		store_process("deliver", after_lock, how, 1);
	for (int i = zoo_vary(0, 2); i > 0; i--)
		store_process("pop3d", wants_no_lock, i, 1);
}

static void dot_lock_empty_but_open(void)
{
	bool late = zoo_vary(0, 1);

	retry_open();
	kind = zoo_vary(RETRY_DOT_FILE, RETRY_DOT_LINK);
	if (!late)
		store_process("procmail", keeps_lock_open, 0, 1);
	inbox_victims((enum retry_dot)kind);
	if (late)
		store_process("procmail", keeps_lock_open, 0, 1);
	retry_runs();
}

/* ---- "0" in a dot-lock, whose maker has the mailbox too and is stopped ---- */

static void locks_twice_and_stops(long i)
{
	(void)i;
	zoo_must(retry_dot("inbox.lock", RETRY_DOT_FILE, "0"));
	retry_locked_file("inbox", (enum retry_lock)kind);
	store_step(0);
	zoo_stand();
	raise(SIGSTOP);
}

static void dot_lock_of_zero_stopped(void)
{
	retry_open();
	kind = zoo_vary(0, RETRY_LOCKS - 1);
	store_process("procmail", locks_twice_and_stops, 0, 1);
	inbox_victims(RETRY_DOT_FILE);
	retry_runs();
}

/* ---- the lock is a symbolic link that names one who died; nobody looks whether it lives ---- */

static void locks_and_dies(long i)
{
	(void)i;
	zoo_must(retry_dot("index.lock", RETRY_DOT_TARGET, retry_pid()));
	_exit(1);
}

static void takes_then_wants_index(long listener)
{
	store_take((int)listener);
	zoo_blame();
	retry_wants_dot("index.lock", RETRY_DOT_TARGET);
}

static void symlink_lock_of_the_dead(void)
{
	char name[RETRY_NAME];
	pid_t pid;

	retry_open();
	pid = zoo_fork_run(locks_and_dies, 0);
	zoo_must(waitpid(pid, NULL, 0) == pid);
	for (int i = zoo_vary(1, 3); i > 0; i--) {
		snprintf(name, sizeof(name), "lmtp-%d", i);
		store_service(name, takes_then_wants_index, 1);
		store_askers("smtp", name, zoo_vary(1, 2));
	}
	retry_runs();
}

/* ---- lock folders in a ring ---- */

static void moves_mail(long me)
{
	zoo_must(retry_dot(retry_numbered("folder", me), RETRY_DOT_FOLDER, retry_pid()));
	store_step(0);
	store_after(0, members);
	zoo_blame();
	retry_wants_dot(retry_numbered("folder", (me + 1) % members), RETRY_DOT_FOLDER);
}

static void lists_folder(long which)
{
	store_after(0, members);
	retry_wants_gone(retry_numbered("folder", which));
}

static void lock_folders_in_ring(void)
{
	retry_open();
	members = zoo_vary(2, MEMBERS_MAX);
	first = zoo_vary(0, members - 1);
	for (int i = 0; i < members; i++)
		store_process("imapd", moves_mail, (i + first) % members, 1);
	for (int i = zoo_vary(0, 2); i > 0; i--)
		store_process("imapd", lists_folder, zoo_vary(0, members - 1), 1);
	retry_runs();
}

/* ---- one has the file's lock and watches the dot-lock, one the other way round ---- */

static void locks_file_first(long i)
{
	(void)i;
	retry_locked_file("mbox", (enum retry_lock)kind);
	store_step(0);
	store_after(0, 2);
	zoo_blame();
	retry_wants_gone("mbox.lock");
}

static void locks_dot_first(long i)
{
	(void)i;
	zoo_must(retry_dot("mbox.lock", RETRY_DOT_LINK, retry_pid()));
	store_step(0);
	store_after(0, 2);
	zoo_blame();
	retry_wants_lock("mbox", (enum retry_lock)kind);
}

static void delivers_into_mbox(long i)
{
	(void)i;
	store_after(0, 2);
	retry_wants_dot("mbox.lock", RETRY_DOT_LINK);
}

static void flock_tried_dot_lock_watched(void)
{
	retry_open();
	kind = RETRY_FLOCK;
	first = zoo_vary(0, 1);
	store_process("mutt", first ? locks_file_first : locks_dot_first, 0, 1);
	store_process("imapd", first ? locks_dot_first : locks_file_first, 0, 1);
	for (int i = zoo_vary(0, 2); i > 0; i--)
		store_process("deliver", delivers_into_mbox, i, 1);
	retry_runs();
}

/* ---- an open file's lock and a mutex that are tried, and flock() between that is waited in ---- */

static void *scans_index(void *arg)
{
	pthread_mutex_lock(&cache);
	store_step(0);
	store_after(0, 3);
	zoo_blame();
	retry_wants_lock("index", RETRY_OPEN_FILE);
	return arg;
}

static void *rewrites_list(void *arg)
{
	zoo_locked_file("uidlist", LOCK_EX);
	store_step(0);
	store_after(0, 3);
	zoo_blame();
	retry_wants_mutex(&cache);
	return arg;
}

static void *wants_cache(void *arg)
{
	store_after(0, 3);
	retry_wants_mutex(&cache);
	return arg;
}

static void store_of_threads(long victims)
{
	zoo_thread_run(scans_index, NULL);
	zoo_thread_run(rewrites_list, NULL);
	for (long i = 0; i < victims; i++)
		zoo_thread_run(wants_cache, NULL);
	store_loop(NULL, 0);
}

static void indexes(long i)
{
	(void)i;
	retry_locked_file("index", RETRY_OPEN_FILE);
	store_step(0);
	store_after(0, 3);
	zoo_blame();
	store_wants_file("uidlist", LOCK_EX);
}

static void three_kinds_tried_and_awaited(void)
{
	int victims = zoo_vary(0, 3);

	retry_open();
	first = zoo_vary(0, 1);
	if (first)
		store_process("indexer", indexes, 0, 1);
	store_process("imap", store_of_threads, victims, 3 + victims);
	if (!first)
		store_process("indexer", indexes, 0, 1);
	retry_runs();
}

/* ---- semaphores asked for with IPC_NOWAIT ---- */

static int set;

static bool take_semaphore(long number)
{
	struct sembuf take = {(unsigned short)number, -1, IPC_NOWAIT | SEM_UNDO};

	return !semop(set, &take, 1);
}

static void holds_and_asks(long me)
{
	zoo_must(take_semaphore(me));
	store_step(0);
	store_after(0, members);
	zoo_stand();
	while (!take_semaphore((me + 1) % members))
		retry_rest();
}

static void asks_semaphore(long which)
{
	store_after(0, members);
	zoo_ready();
	while (!take_semaphore(which))
		retry_rest();
}

static void semop_tried_crosswise(void)
{
	retry_open();
	members = zoo_vary(2, 3);
	set = semget(IPC_PRIVATE, members, 0600);
	zoo_must(set >= 0);
	for (int i = 0; i < members; i++)
		zoo_must(!semctl(set, i, SETVAL, 1));
	for (int i = 0; i < members; i++)
		store_process("journal", holds_and_asks, i, 1);
	for (int i = zoo_vary(0, 2); i > 0; i--)
		store_process("reader", asks_semaphore, zoo_vary(0, members - 1), 1);
	retry_runs();
}

/* ---- mutexes tried, none given back ---- */

static pthread_mutex_t folders[MEMBERS_MAX];

static void *copies(void *arg)
{
	long me = (long)(intptr_t)arg;

	pthread_mutex_lock(&folders[me]);
	store_step(0);
	store_after(0, members);
	zoo_blame();
	retry_wants_mutex(&folders[(me + 1) % members]);
	return arg;
}

static void *wants_folder(void *arg)
{
	store_after(0, members);
	zoo_ready();
	pthread_mutex_lock(&folders[(long)(intptr_t)arg]);
	return arg;
}

static void copier(long victims)
{
	for (int i = 0; i < members; i++)
		pthread_mutex_init(&folders[i], NULL);
	for (int i = 0; i < members; i++)
		zoo_thread_run(copies, (void *)(intptr_t)i);
	for (long i = 0; i < victims; i++)
		zoo_thread_run(wants_folder, (void *)(intptr_t)(i % members));
	store_loop(NULL, 0);
}

/* A mutex in memory is asked for without a call: all that is seen is that who has it sleeps. */
static void trylocks_held_crosswise(void)
{
	int victims = zoo_vary(0, 3);

	retry_open();
	members = zoo_vary(2, MEMBERS_MAX);
	store_process("james", copier, victims, members + victims + 1);
	retry_runs();
}

/* ---- an alarm interrupts who waits; it begins anew ---- */

static void on_alarm(int number)
{
	(void)number;
}

static void wants_until_alarm(long me)
{
	struct itimerval again = {.it_interval.tv_usec = 300000, .it_value.tv_usec = 300000};
	struct sigaction action = {.sa_handler = on_alarm};
	int fd;

	zoo_locked_file(retry_numbered("mailbox", me), LOCK_EX);
	fd = zoo_open_file(retry_numbered("mailbox", (me + 1) % members));
	store_step(0);
	store_after(0, members);
	zoo_must(!sigaction(SIGALRM, &action, NULL) && !setitimer(ITIMER_REAL, &again, NULL));
	zoo_stand();
	while (flock(fd, LOCK_EX) && errno == EINTR)
		;
}

static void reads_mailbox(long which)
{
	store_after(0, members);
	retry_wants_lock(retry_numbered("mailbox", which), RETRY_FLOCK);
}

static void alarms_interrupt_both(void)
{
	retry_open();
	members = zoo_vary(2, 3);
	for (int i = 0; i < members; i++)
		store_process("exim", wants_until_alarm, i, 1);
	for (int i = zoo_vary(0, 2); i > 0; i--)
		store_process("pop3d", reads_mailbox, zoo_vary(0, members - 1), 1);
	retry_runs();
}

/* ---- four: a dot-lock, a record, flock(), and a reply ---- */

static void has_dot_wants_record(long i)
{
	(void)i;
	zoo_must(retry_dot("user.lock", RETRY_DOT_LINK, retry_pid()));
	store_step(0);
	store_after(0, 4);
	zoo_blame();
	retry_wants_lock("mailboxes.db", RETRY_RECORD);
}

static void has_record_wants_flock(long i)
{
	(void)i;
	retry_locked_file("mailboxes.db", RETRY_RECORD);
	store_step(0);
	store_after(0, 4);
	zoo_blame();
	retry_wants_lock("cyrus.cache", RETRY_FLOCK);
}

static void has_flock_wants_quota(long i)
{
	(void)i;
	retry_locked_file("cyrus.cache", RETRY_FLOCK);
	store_step(0);
	zoo_blame();
	store_await(store_ask("quota"));
}

static void quota_wants_dot(long listener)
{
	store_take((int)listener);
	store_step(0);
	store_after(0, 4);
	zoo_blame();
	retry_wants_dot("user.lock", RETRY_DOT_LINK);
}

static void wants_mailboxes(long i)
{
	(void)i;
	store_after(0, 4);
	store_wants_range("mailboxes.db");
}

static void four_tried_and_asked(void)
{
	static void (*const runs[])(long) = {
		has_dot_wants_record, has_record_wants_flock, has_flock_wants_quota};

	retry_open();
	first = zoo_vary(0, 2);
	store_service("quota", quota_wants_dot, 1);
	for (int i = 0; i < 3; i++)
		store_process("lmtpd", runs[(i + first) % 3], i, 1);
	for (int i = zoo_vary(0, 2); i > 0; i--)
		store_process("reconstruct", wants_mailboxes, i, 1);
	retry_runs();
}

/* ---- who empties the log's pipe tries the mutex that a writer to it has ---- */

static int log_pipe[2];

static void *logs_under_mutex(void *arg)
{
	pthread_mutex_lock(&cache);
	store_step(0);
	zoo_stand();
	zoo_must(write(log_pipe[1], "stored\n", 7) == 7);
	return arg;
}

static void *empties_log(void *arg)
{
	char text[512];

	store_called("log");
	store_after(0, 1);
	zoo_blame();
	retry_wants_mutex(&cache);
	zoo_must(read(log_pipe[0], text, sizeof(text)) > 0);
	return arg;
}

static void *saves(void *arg)
{
	store_after(0, 1);
	zoo_ready();
	pthread_mutex_lock(&cache);
	return arg;
}

static void *tries_cache(void *arg)
{
	store_after(0, 1);
	retry_wants_mutex(&cache);
	return arg;
}

static void logger(long victims)
{
	static const char block[4096];

	zoo_must(!pipe2(log_pipe, O_CLOEXEC | O_NONBLOCK));
	while (write(log_pipe[1], block, sizeof(block)) > 0)
		;
	zoo_must(!fcntl(log_pipe[1], F_SETFL, 0));
	zoo_thread_run(empties_log, NULL);
	for (long i = 0; i < victims; i++)
		zoo_thread_run(i % 2 ? tries_cache : saves, NULL);
	zoo_thread_run(logs_under_mutex, NULL);
	store_loop(NULL, 0);
}

static void log_reader_tries_mutex(void)
{
	int victims = zoo_vary(0, 4);

	retry_open();
	store_process("store", logger, victims, 3 + victims);
	retry_runs();
}

const struct zoo_case zoo_retry[] = {
	{"dot-lock-empty-but-open", "lost-wakeup", "procmail", dot_lock_empty_but_open, 0, 0},
	{"dot-lock-of-zero-stopped", "stopped", "procmail", dot_lock_of_zero_stopped, 0, 0},
	{"symlink-lock-of-the-dead", "lost-wakeup", "lmtp", symlink_lock_of_the_dead, 0, 0},
	{"lock-folders-in-ring", "deadlock", "imapd", lock_folders_in_ring, 0, 0},
	{"file-lock-tried-dot-lock-watched", "deadlock", "mbox", flock_tried_dot_lock_watched, 0,
		0},
	{"three-kinds-tried-and-awaited", "deadlock", "imap", three_kinds_tried_and_awaited, 0, 0},
	{"semop-tried-crosswise", "deadlock", "journal", semop_tried_crosswise, 0, 0},
	{"trylocks-held-crosswise", "slow", "james", trylocks_held_crosswise, 0, 0},
	{"alarms-interrupt-both", "deadlock", "exim", alarms_interrupt_both, 0, 0},
	{"four-tried-and-asked", "deadlock", "lmtpd", four_tried_and_asked, 0, 0},
	{"log-reader-tries-mutex", "deadlock", "store", log_reader_tries_mutex, 0, 0},
	{0},
};

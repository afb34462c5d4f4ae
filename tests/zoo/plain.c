/*
 * The locks that everybody uses, each in a small daemon that uses it wrongly: mutexes, rwlocks, semaphores,
 * conditions, locks of files, and rings of several of them. Written by somebody who had not read the diagnosis.
 */
#include "tests/zoo/stores_parts.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RING_MAX 4

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int waiting, idle, members;

/* Whom nothing of it concerns. */
static void beside_others(void)
{
	store_idle_sessions(zoo_vary(0, 3));
	if (zoo_vary(0, 1))
		store_prefork(zoo_vary(2, 4));
	if (zoo_vary(0, 1))
		store_anvil();
	store_runs();
}

static void *wants_mutex(void *arg)
{
	store_called("worker");
	store_after(0, members);
	zoo_ready();
	pthread_mutex_lock(arg);
	return arg;
}

static void init_shared(pthread_mutex_t *mutex, int type)
{
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_settype(&attr, type);
	zoo_must(!pthread_mutex_init(mutex, &attr));
}

/* ---- one moves a message from A to B, the other from B to A ---- */

static pthread_mutex_t mailboxes[RING_MAX];
static int from, to;

static void *moves(void *arg)
{
	pthread_mutex_t *source = arg;

	store_called("worker");
	pthread_mutex_lock(source);
	store_step(0);
	store_after(0, 2);
	zoo_stand();
	pthread_mutex_lock(&mailboxes[source == &mailboxes[from] ? to : from]);
	return arg;
}

static void mailbox_server(long listener)
{
	for (int i = 0; i < RING_MAX; i++)
		pthread_mutex_init(&mailboxes[i], NULL);
	store_idle_workers(idle);
	for (int i = 0; i < waiting; i++)
		zoo_thread_run(wants_mutex, &mailboxes[i % 2 ? to : from]);
	zoo_thread_run(moves, &mailboxes[from]);
	zoo_thread_run(moves, &mailboxes[to]);
	store_serve((int)listener, waiting + 2);
}

static void moves_both_ways(void)
{
	store_open();
	members = 2;
	waiting = zoo_vary(0, 4);
	idle = zoo_vary(0, 3);
	from = zoo_vary(0, RING_MAX - 1);
	to = (from + zoo_vary(1, RING_MAX - 1)) % RING_MAX;
	store_service("imap", mailbox_server, 3 + waiting + idle);
	store_askers("client", "imap", waiting + 2);
	beside_others();
}

/* ---- each of several processes has its slot and wants the next ---- */

static pthread_mutex_t *slots;

static void takes_two_slots(long me)
{
	zoo_must(!pthread_mutex_lock(&slots[me]));
	store_step(0);
	store_after(0, members);
	zoo_stand();
	pthread_mutex_lock(&slots[(me + 1) % members]);
}

static void takes_slot(long i)
{
	wants_mutex(&slots[i % members]);
}

static void slots_in_ring(void)
{
	int first;

	store_open();
	members = zoo_vary(2, RING_MAX);
	waiting = zoo_vary(0, 4);
	first = zoo_vary(0, members - 1);
	slots = zoo_shared(RING_MAX * sizeof(*slots));
	for (int i = 0; i < members; i++)
		init_shared(&slots[i], PTHREAD_MUTEX_ERRORCHECK);
	for (int i = 0; i < waiting; i++)
		store_process("reader", takes_slot, i, 1);
	for (int i = 0; i < members; i++)
		store_process("indexer", takes_two_slots, (first + i) % members, 1);
	beside_others();
}

/* ---- who has the shared mutex is stopped ---- */

static void stops_with_slot(long i)
{
	zoo_must(!pthread_mutex_lock(&slots[i]));
	store_step(0);
	zoo_stand();
	raise(SIGSTOP);
}

static void slot_of_stopped(void)
{
	store_open();
	members = 1;
	waiting = zoo_vary(1, 5);
	slots = zoo_shared(sizeof(*slots));
	init_shared(slots, zoo_vary(0, 1) ? PTHREAD_MUTEX_NORMAL : PTHREAD_MUTEX_RECURSIVE);
	for (int i = 0; i < waiting; i++)
		store_process("reader", takes_slot, i, 1);
	store_process("indexer", stops_with_slot, 0, 1);
	beside_others();
}

/* ---- what reports an error of the log is itself logged ---- */

static void *logs_its_own_error(void *arg)
{
	store_called("worker");
	pthread_mutex_lock(&lock);
	store_step(0);
	zoo_stand();
	pthread_mutex_lock(&lock);
	return arg;
}

static void logging_server(long listener)
{
	store_idle_workers(idle);
	for (int i = 0; i < waiting; i++)
		zoo_thread_run(wants_mutex, &lock);
	zoo_thread_run(logs_its_own_error, NULL);
	store_serve((int)listener, waiting + 1);
}

static void log_of_log_error(void)
{
	store_open();
	members = 1;
	waiting = zoo_vary(0, 4);
	idle = zoo_vary(0, 2);
	store_service("lmtp", logging_server, 2 + waiting + idle);
	store_askers("smtp", "lmtp", waiting + 1);
	beside_others();
}

/* ---- a catalogue under an rwlock ---- */

static pthread_rwlock_t catalog;

static void init_catalog(void)
{
	pthread_rwlockattr_t attr;

	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&catalog, &attr);
}

static void *changes_catalog(void *arg)
{
	store_called("writer");
	store_after(0, members);
	store_step(1);
	zoo_ready();
	pthread_rwlock_wrlock(&catalog);
	return arg;
}

/* Behind a writer that waits, which is preferred. */
static void *reads_catalog(void *arg)
{
	const struct timespec moment = {.tv_nsec = 50000000};

	store_called("reader");
	store_after(1, 1);
	nanosleep(&moment, NULL);
	zoo_ready();
	pthread_rwlock_rdlock(&catalog);
	return arg;
}

/* Nobody reads these reports any more. */
static void *reports_catalog(void *arg)
{
	store_called("reporter");
	pthread_rwlock_rdlock(&catalog);
	store_step(0);
	zoo_stand();
	open(zoo_path("reports"), O_WRONLY | O_CLOEXEC);
	return arg;
}

static void catalog_server(long listener)
{
	init_catalog();
	store_idle_workers(idle);
	zoo_thread_run(reports_catalog, NULL);
	zoo_thread_run(changes_catalog, NULL);
	for (int i = 0; i < waiting; i++)
		zoo_thread_run(i % 2 ? changes_catalog : reads_catalog, NULL);
	store_serve((int)listener, waiting);
}

static void catalog_reader_reports(void)
{
	store_open();
	members = 1;
	waiting = zoo_vary(1, 4);
	idle = zoo_vary(0, 2);
	zoo_must(!mkfifo(zoo_path("reports"), 0600));
	store_service("catalog", catalog_server, 3 + waiting + idle);
	store_askers("imap", "catalog", waiting);
	beside_others();
}

static void *changes_then_counts(void *arg)
{
	store_called("writer");
	pthread_rwlock_wrlock(&catalog);
	store_step(0);
	store_after(0, 2);
	zoo_stand();
	pthread_mutex_lock(&lock);
	return arg;
}

static void *counts_then_reads(void *arg)
{
	store_called("counter");
	pthread_mutex_lock(&lock);
	store_step(0);
	store_after(0, 2);
	zoo_stand();
	pthread_rwlock_rdlock(&catalog);
	return arg;
}

static void counting_server(long listener)
{
	init_catalog();
	for (int i = 0; i < waiting; i++)
		zoo_thread_run(i % 2 ? wants_mutex : changes_catalog, &lock);
	zoo_thread_run(changes_then_counts, NULL);
	zoo_thread_run(counts_then_reads, NULL);
	store_serve((int)listener, waiting + 2);
}

static void catalog_and_counter(void)
{
	store_open();
	members = 2;
	waiting = zoo_vary(0, 4);
	store_service("catalog", counting_server, 3 + waiting);
	store_askers("imap", "catalog", waiting + 2);
	beside_others();
}

/* ---- a named semaphore counts the slots of deliveries; some ended without giving theirs back ---- */

static sem_t *delivery_slots;

static void open_slots(int count)
{
	char name[64];

	snprintf(name, sizeof(name), "/zoo-plain-%d", (int)getpid());
	delivery_slots = sem_open(name, O_CREAT | O_EXCL, 0600, (unsigned int)count);
	zoo_must(delivery_slots != SEM_FAILED && !sem_unlink(name));
}

static void ends_with_slot(long i)
{
	sem_wait(delivery_slots);
	_exit((int)i);
}

static void wants_slot(long listener)
{
	zoo_must(store_take((int)listener) >= 0);
	zoo_stand();
	sem_wait(delivery_slots);
}

static void delivery_slots_gone(void)
{
	char name[32];
	int count = zoo_vary(1, 3);

	store_open();
	open_slots(count);
	for (int i = 0; i < count; i++)
		zoo_must(waitpid(zoo_fork_run(ends_with_slot, 75), NULL, 0) > 0);
	waiting = zoo_vary(1, 4);
	for (int i = 0; i < waiting; i++) {
		snprintf(name, sizeof(name), "deliver-%d", i);
		store_service(name, wants_slot, 1);
		store_askers("smtp", name, 1);
	}
	beside_others();
}

/* ---- the consumer keeps the queue locked while it waits for an item ---- */

static sem_t items;

static void *consumes_under_lock(void *arg)
{
	store_called("consumer");
	pthread_mutex_lock(&lock);
	store_step(0);
	zoo_stand();
	sem_wait(&items);
	return arg;
}

static void queue_server(long listener)
{
	sem_init(&items, 0, 0);
	store_idle_workers(idle);
	zoo_thread_run(consumes_under_lock, NULL);
	for (int i = 0; i < waiting; i++)
		zoo_thread_run(wants_mutex, &lock);
	store_serve((int)listener, waiting);
}

static void item_awaited_under_lock(void)
{
	store_open();
	members = 1;
	waiting = zoo_vary(1, 5);
	idle = zoo_vary(0, 3);
	store_service("queue", queue_server, 2 + waiting + idle);
	store_askers("smtp", "queue", waiting);
	beside_others();
}

/* ---- told before it waits: the committer looks at nothing but the signal ---- */

static pthread_cond_t flushed = PTHREAD_COND_INITIALIZER, to_flush = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t flush_lock = PTHREAD_MUTEX_INITIALIZER;

static void *flusher(void *arg)
{
	store_called("flusher");
	pthread_cond_signal(&flushed);
	store_step(0);
	pthread_mutex_lock(&flush_lock);
	zoo_stand(); /* which of the two has the journal's lock nobody can see */
	pthread_cond_wait(&to_flush, &flush_lock);
	return arg;
}

static void *commits_too_late(void *arg)
{
	store_called("committer");
	zoo_locked_file("journal", LOCK_EX);
	store_after(0, 1);
	store_step(1);
	pthread_mutex_lock(&lock);
	zoo_stand();
	pthread_cond_wait(&flushed, &lock);
	return arg;
}

static void commit_server(long listener)
{
	zoo_thread_run(flusher, NULL);
	store_idle_workers(idle);
	zoo_thread_run(commits_too_late, NULL);
	store_serve((int)listener, 1);
}

static void wants_journal(long i)
{
	(void)i;
	store_after(1, 1);
	store_wants_file("journal", LOCK_EX);
}

static void flushed_before_waited(void)
{
	store_open();
	idle = 2 * zoo_vary(0, 1);
	store_service("store", commit_server, 3 + idle);
	store_askers("client", "store", 1);
	for (int i = zoo_vary(0, 4); i > 0; i--)
		store_process("backup", wants_journal, i, 1);
	beside_others();
}

/* ---- a library locks the mailbox again, in a thread of who has it ---- */

static void *locks_mailbox_again(void *arg)
{
	int fd = zoo_open_file("mailbox");

	store_called("indexer");
	zoo_stand();
	flock(fd, LOCK_EX);
	return arg;
}

static void delivers_and_indexes(long i)
{
	pthread_t thread;

	(void)i;
	zoo_locked_file("mailbox", LOCK_EX);
	store_step(0);
	thread = zoo_thread_run(locks_mailbox_again, NULL);
	zoo_stand();
	pthread_join(thread, NULL);
}

static void wants_mailbox(long i)
{
	store_after(0, members);
	store_wants_file("mailbox", i % 2 ? LOCK_SH : LOCK_EX);
}

static void index_locks_again(void)
{
	store_open();
	members = 1;
	for (int i = zoo_vary(0, 4); i > 0; i--)
		store_process("pop3", wants_mailbox, i, 1);
	store_process("deliver", delivers_and_indexes, 0, 2);
	beside_others();
}

/* ---- fcntl() and a mutex in shared memory ---- */

static void record_then_slot(long i)
{
	(void)i;
	zoo_must(zoo_posix_lock(zoo_open_file("record"), F_WRLCK));
	store_step(0);
	store_after(0, 2);
	zoo_stand();
	pthread_mutex_lock(slots);
}

static void slot_then_record(long i)
{
	int fd = zoo_open_file("record");

	(void)i;
	pthread_mutex_lock(slots);
	store_step(0);
	store_after(0, 2);
	zoo_stand();
	zoo_posix_lock(fd, F_WRLCK);
}

static void wants_either(long i)
{
	store_after(0, 2);
	if (i % 2)
		takes_slot(0);
	store_wants_range("record");
}

static void record_and_slot(void)
{
	bool turned = zoo_vary(0, 1);

	store_open();
	members = 1; /* of slots */
	slots = zoo_shared(sizeof(*slots));
	init_shared(slots, PTHREAD_MUTEX_NORMAL);
	for (int i = zoo_vary(0, 4); i > 0; i--)
		store_process("quota", wants_either, i, 1);
	store_process("deliver", turned ? slot_then_record : record_then_slot, 0, 1);
	store_process("expire", turned ? record_then_slot : slot_then_record, 0, 1);
	beside_others();
}

/* ---- a dot-lock is held through a filter that never sees the end of the message ---- */

static int message[2], answer[2];

static void filter_reads_on(long i)
{
	char text[256];

	(void)i;
	store_called("filter");
	close(message[1]);
	close(answer[0]);
	zoo_must(read(message[0], text, sizeof(text)) > 0);
	zoo_stand();
	zoo_read(message[0]);
}

static void filters_under_dot_lock(long i)
{
	zoo_must(open(zoo_path("mbox.lock"), O_CREAT | O_EXCL | O_CLOEXEC, 0600) >= 0);
	store_step(0);
	zoo_must(!pipe2(message, O_CLOEXEC) && !pipe2(answer, O_CLOEXEC));
	zoo_fork_run(filter_reads_on, i);
	close(message[0]);
	close(answer[1]);
	zoo_must(write(message[1], "From: bob\n\n", 11) == 11);
	zoo_stand();
	zoo_read(answer[0]);
}

static void wants_dot_lock(long i)
{
	const struct timespec again = {.tv_sec = 1 + i % 3};

	store_after(0, 1);
	zoo_ready();
	while (open(zoo_path("mbox.lock"), O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0)
		nanosleep(&again, NULL);
}

static void dot_lock_through_filter(void)
{
	store_open();
	for (int i = zoo_vary(1, 4); i > 0; i--)
		store_process("mbox", wants_dot_lock, i, 1);
	store_process("mbox", filters_under_dot_lock, 0, 2);
	beside_others();
}

/* ---- mutex, flock and socket ---- */

static void *saves_mailbox(void *arg)
{
	int fd = zoo_open_file("mailbox");

	store_called("saver");
	pthread_mutex_lock(&lock);
	store_step(0);
	store_after(0, 2);
	zoo_stand();
	flock(fd, LOCK_EX);
	return arg;
}

static void *answers_expunge(void *arg)
{
	store_called("answers");
	zoo_must(store_take((int)(intptr_t)arg) >= 0);
	store_after(0, 2);
	zoo_stand();
	pthread_mutex_lock(&lock);
	return arg;
}

static void saving_server(long listener)
{
	store_idle_workers(idle);
	for (int i = 0; i < waiting; i++)
		zoo_thread_run(wants_mutex, &lock);
	zoo_thread_run(saves_mailbox, NULL);
	answers_expunge((void *)(intptr_t)listener); /* NOLINT: a number */
}

static void expunges(long i)
{
	(void)i;
	zoo_locked_file("mailbox", LOCK_EX);
	store_step(0);
	zoo_blame();
	store_await(store_ask("store"));
}

static void expunge_asks_saver(void)
{
	store_open();
	members = 2;
	waiting = zoo_vary(0, 3);
	idle = zoo_vary(0, 2);
	store_service("store", saving_server, 2 + waiting + idle);
	store_process("expunge", expunges, 0, 1);
	for (int i = zoo_vary(0, 3); i > 0; i--)
		store_process("pop3", wants_mailbox, i, 1);
	beside_others();
}

/* ---- fcntl(), a child and its pipe ---- */

static int feed[2];

static void digests(long i)
{
	(void)i;
	store_called("digest");
	close(feed[1]);
	zoo_stand();
	zoo_read(feed[0]);
}

static void digests_under_lock(long i)
{
	pid_t pid;

	zoo_must(zoo_posix_lock(zoo_open_file("spool"), F_WRLCK));
	store_step(0);
	pid = zoo_fork_run(digests, i);
	close(feed[0]);
	close(feed[1]);
	zoo_stand();
	waitpid(pid, NULL, 0);
}

static void feeds_from_spool(long i)
{
	(void)i;
	close(feed[0]);
	store_after(0, 1);
	zoo_blame();
	store_wants_range("spool");
}

static void wants_spool(long i)
{
	(void)i;
	store_after(0, 1);
	store_wants_range("spool");
}

static void digest_waits_for_feeder(void)
{
	store_open();
	for (int i = zoo_vary(0, 3); i > 0; i--)
		store_process("pickup", wants_spool, i, 1);
	zoo_must(!pipe2(feed, O_CLOEXEC));
	store_process("agent", digests_under_lock, 0, 2);
	store_process("feeder", feeds_from_spool, 0, 1);
	close(feed[0]);
	close(feed[1]);
	beside_others();
}

const struct zoo_case zoo_plain[] = {
	{"moves-both-ways", "deadlock", "session", moves_both_ways, ZOO_HELD_OUT, 0},
	{"slots-in-ring", "deadlock", "index", slots_in_ring, ZOO_HELD_OUT, 0},
	{"slot-of-stopped", "stopped", "index", slot_of_stopped, ZOO_HELD_OUT, 0},
	{"log-of-log-error", "deadlock", "deliver", log_of_log_error, ZOO_HELD_OUT, 0},
	{"catalog-reader-reports", "lost-wakeup", "lookup", catalog_reader_reports, ZOO_HELD_OUT,
		0},
	{"catalog-and-counter", "deadlock", "lookup", catalog_and_counter, ZOO_HELD_OUT, 0},
	{"delivery-slots-gone", "lost-wakeup", "deliver", delivery_slots_gone, ZOO_HELD_OUT, 0},
	{"item-awaited-under-lock", "lost-wakeup", "queue", item_awaited_under_lock, ZOO_HELD_OUT,
		0},
	{"flushed-before-waited", "lost-wakeup", "store", flushed_before_waited, ZOO_HELD_OUT, 0},
	{"index-locks-again", "deadlock", "deliver", index_locks_again, ZOO_HELD_OUT, 0},
	{"record-and-slot", "deadlock", "expire", record_and_slot, ZOO_HELD_OUT, 0},
	{"dot-lock-through-filter", "deadlock", "mbox", dot_lock_through_filter, ZOO_HELD_OUT, 0},
	{"expunge-asks-saver", "deadlock", "store", expunge_asks_saver, ZOO_HELD_OUT, 0},
	{"digest-waits-for-feeder", "deadlock", "agent", digest_waits_for_feeder, ZOO_HELD_OUT, 0},
	{0},
};

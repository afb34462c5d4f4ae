/*
 * Whole small mail stores at work whose replies are overdue, because who owes them does what it has to do, and does it
 * slowly.
 */
#include "tests/zoo/services_parts.h"

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLICE_MS 3
#define TRIES_MS (300 * 1000) /* RFC 5321, 4.5.3.2: minutes for a reply */
#define LAG_MS	 100
#define CHUNK	 4096

static int sessions, others;

static void loops(long listener)
{
	int fd = (int)listener;

	store_loop(&fd, 1);
}

/* Piece by piece into that file. */
static void copies_for_ever(const char *name)
{
	static const char chunk[CHUNK];
	int fd = zoo_open_file(name);

	for (off_t at = 0;; at = (at + CHUNK) % (256 * CHUNK)) {
		zoo_must(pwrite(fd, chunk, sizeof(chunk), at) == (ssize_t)sizeof(chunk));
		services_rest(SLICE_MS);
	}
}

/* ---- a delivery writes a large message under the mailbox's lock ---- */

static void delivers_in_pieces(long i)
{
	(void)i;
	zoo_locked_file("inbox", LOCK_EX);
	store_step(0);
	zoo_stand();
	copies_for_ever("tmp-message");
}

static void wants_inbox(void)
{
	store_after(0, 1);
	store_wants_file("inbox", LOCK_EX);
}

static void delivery_in_pieces(void)
{
	services_open();
	services_sessions("pop3", wants_inbox, zoo_vary(1, 4));
	store_process("procmail", delivers_in_pieces, 0, 1);
	services_run();
}

/* ---- the scanner unpacks an archive ---- */

static void unpacks(long listener)
{
	store_take((int)listener);
	zoo_stand();
	for (volatile uint64_t sum = 0;; sum = sum * 3 + 1)
		;
}

static void *passes_to_scanner(void *arg)
{
	store_called("scan");
	services_asks("clamd");
	return arg;
}

static void *scanned_before(void *arg)
{
	struct pollfd fd = {.fd = (int)(long)arg, .events = POLLIN};

	store_called("scan");
	services_reply(fd.fd);
	zoo_ready();
	poll(&fd, 1, TRIES_MS);
	return NULL;
}

static void milter(long listener)
{
	for (int i = 0; i < sessions; i++) {
		int fd = store_take((int)listener);

		zoo_thread_run(i == others ? passes_to_scanner : scanned_before, (void *)(long)fd);
	}
	loops(listener);
}

/* Its message was answered; the connection is kept. */
static void was_scanned(long i)
{
	int fd = services_dial("milter");
	char reply;

	(void)i;
	zoo_must(recv(fd, &reply, 1, 0) == 1);
	store_step(0);
	store_loop(&fd, 1);
}

static void is_scanned_last(void)
{
	store_after(0, others);
	services_asks("milter");
}

static void archive_unpacked(void)
{
	sessions = zoo_vary(1, 4);
	others = sessions - 1;
	services_open();
	store_service("milter", milter, sessions + 1);
	store_service("clamd", unpacks, 1);
	for (int i = 0; i < others; i++)
		store_process("smtp-in", was_scanned, i, 1);
	services_sessions("smtp-in", is_scanned_last, 1);
	services_run();
}

/* ---- a replica that lags ---- */

static void asks_store(void)
{
	services_asks("store");
}

static int to_replica[2];
static pthread_mutex_t journal = PTHREAD_MUTEX_INITIALIZER;

static void *replicates(void *arg)
{
	static const char block[CHUNK];

	store_called("replicate");
	pthread_mutex_lock(&journal);
	store_step(0);
	zoo_ready();
	while (write(to_replica[1], block, sizeof(block)) > 0)
		;
	return arg;
}

static void *appends(void *arg)
{
	store_called("append");
	store_after(0, 1);
	zoo_ready();
	pthread_mutex_lock(&journal);
	return arg;
}

static void primary(long listener)
{
	close(to_replica[0]);
	zoo_thread_run(replicates, NULL);
	services_serve((int)listener, appends, sessions);
}

static void applies(long i)
{
	char block[CHUNK];

	(void)i;
	close(to_replica[1]);
	zoo_stand();
	while (read(to_replica[0], block, sizeof(block)) > 0)
		services_rest(LAG_MS);
}

static void replica_lags(void)
{
	sessions = zoo_vary(1, 4);
	services_open();
	zoo_must(!pipe2(to_replica, O_CLOEXEC));
	store_process("replica", applies, 0, 1);
	store_service("store", primary, sessions + 2);
	close(to_replica[0]);
	close(to_replica[1]);
	services_sessions("imap", asks_store, sessions);
	services_run();
}

/* ---- a backup copies a mailbox that somebody wants to expunge ---- */

static void backs_up(long i)
{
	(void)i;
	zoo_locked_file("mailbox", LOCK_SH);
	store_step(0);
	zoo_stand();
	copies_for_ever("backup");
}

static void expunges(void)
{
	store_after(0, 1);
	store_wants_file("mailbox", LOCK_EX);
}

static void expunge_behind_backup(void)
{
	services_open();
	services_sessions("imap", expunges, zoo_vary(1, 4));
	store_process("backup", backs_up, 0, 1);
	services_run();
}

#define AT_WORK (ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED)

const struct zoo_case zoo_services_slow[] = {
	{"delivery-in-pieces", "slow", "mbox", delivery_in_pieces, AT_WORK, 0},
	{"archive-unpacked", "slow", "filter", archive_unpacked, AT_WORK, 0},
	{"replica-lags", "slow", "store", replica_lags, AT_WORK, 0},
	{"expunge-behind-backup", "slow", "session", expunge_behind_backup, AT_WORK, 0},
	{0},
};

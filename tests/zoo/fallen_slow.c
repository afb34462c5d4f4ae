/*
 * Stores that crawl: replies are overdue although somebody is at work or will be again. To blame is who takes his time
 * with what the others need. And some that look so, and get nowhere.
 */
#include "tests/zoo/services_parts.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS	   450
#define REST_MS	   600
#define HOLD_MS	   400
#define ITEM_MS	   60
#define BYTE_MS	   20
#define LOOK_MS	   40
#define CHUNK	   4096
#define CHUNKS	   256
#define BATCH	   (1 << 20) /* more than the buffers of a socket */
#define RECIPIENTS (1 << 20)
#define SLOTS	   4

static int others, peers;

/* ---- one client for each tick of a loop that is told of no input ---- */

static void answers_one_each_tick(long listener)
{
	struct pollfd wakeup = {.fd = zoo_quiet_peer(), .events = POLLIN};
	int fd;

	zoo_stand();
	for (;;) {
		poll(&wakeup, 1, TICK_MS);
		fd = store_take((int)listener);
		services_answer(fd);
	}
}

static void one_client_each_tick(void)
{
	services_open();
	store_service("postscreen", answers_one_each_tick, 1);
	services_ask_again("smtpd", "postscreen", zoo_vary(12, 16));
	services_run();
}

/* ---- a delivery agent that rests after each message ---- */

static void delivers_and_rests(long listener)
{
	int fd, mailbox = zoo_open_file("inbox");

	zoo_stand();
	for (;;) {
		fd = store_take((int)listener);
		zoo_must(pwrite(mailbox, "From \n", 6, 0) == 6);
		services_answer(fd);
		services_rest(REST_MS);
	}
}

static void rests_after_each_message(void)
{
	services_open();
	store_service("lmtp", delivers_and_rests, 1);
	services_ask_again("qmgr", "lmtp", zoo_vary(10, 15));
	services_run();
}

/* ---- many agents, one lock, and each is slow with it ---- */

static void delivers_in_its_turn(long listener)
{
	int fd, lock = zoo_open_file("spool.lock");

	zoo_stand();
	for (;;) {
		fd = store_take((int)listener);
		zoo_must(!flock(lock, LOCK_EX));
		services_rest(HOLD_MS);
		zoo_must(!flock(lock, LOCK_UN));
		services_answer(fd);
	}
}

static void convoy_of_slow_agents(void)
{
	services_open();
	others = zoo_vary(3, 6);
	services_pool("local", delivers_in_its_turn, others);
	services_ask_again("qmgr", "local", others + zoo_vary(8, 12));
	services_run();
}

/* ---- one who consumes for many who produce ---- */

static pthread_mutex_t ring_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ring_grew = PTHREAD_COND_INITIALIZER, ring_shrank = PTHREAD_COND_INITIALIZER;
static int ring[SLOTS], in_ring;

static void put(int fd)
{
	pthread_mutex_lock(&ring_lock);
	while (in_ring == SLOTS)
		pthread_cond_wait(&ring_shrank, &ring_lock);
	ring[in_ring++] = fd;
	pthread_cond_signal(&ring_grew);
	pthread_mutex_unlock(&ring_lock);
}

static int take(void)
{
	int fd;

	pthread_mutex_lock(&ring_lock);
	while (!in_ring)
		pthread_cond_wait(&ring_grew, &ring_lock);
	fd = ring[0];
	in_ring--;
	for (int i = 0; i < in_ring; i++)
		ring[i] = ring[i + 1];
	pthread_cond_signal(&ring_shrank);
	pthread_mutex_unlock(&ring_lock);
	return fd;
}

static void *produces(void *arg)
{
	int listener = (int)(long)arg;

	store_called("receive");
	zoo_ready();
	for (;;)
		put(store_take(listener));
	return arg;
}

static void *consumes(void *arg)
{
	int fd;

	store_called("index");
	zoo_stand();
	for (;;) {
		fd = take();
		services_rest(ITEM_MS);
		services_answer(fd);
	}
	return arg;
}

static void queue_of_one_consumer(long listener)
{
	zoo_thread_run(consumes, NULL);
	for (int i = 0; i < others; i++)
		zoo_thread_run(produces, (void *)listener);
	store_loop(NULL, 0);
}

static void one_consumer_for_many(void)
{
	others = zoo_vary(3, 6);
	services_open();
	store_service("fts", queue_of_one_consumer, others + 2);
	services_ask_again("imap", "fts", others + SLOTS + zoo_vary(5, 8));
	services_run();
}

/* ---- a full log whose reader takes a byte at a time ---- */

static void reads_by_bytes(long fd)
{
	char byte;

	zoo_stand();
	while (read((int)fd, &byte, 1) == 1)
		services_rest(BYTE_MS);
}

static void logs_a_line(void)
{
	zoo_ready();
	store_log_line();
}

static void log_read_by_bytes(void)
{
	services_open();
	store_log(reads_by_bytes, 1);
	store_fill_log();
	services_sessions("imap", logs_a_line, zoo_vary(1, 5));
	services_run();
}

/* ---- a checkpoint that syncs page after page, with the journal's lock ---- */

static void syncs_page_by_page(long i)
{
	static const char page[CHUNK];
	int fd = zoo_open_file("store.db");

	(void)i;
	zoo_locked_file("journal", LOCK_EX);
	store_step(0);
	zoo_stand();
	for (off_t at = 0;; at = (at + CHUNK) % (CHUNKS * CHUNK))
		zoo_must(pwrite(fd, page, CHUNK, at) == CHUNK && !fsync(fd));
}

static void wants_journal(void)
{
	store_after(0, 1);
	store_wants_file("journal", LOCK_EX);
}

static void checkpoint_syncs_each_page(void)
{
	services_open();
	services_sessions("imap", wants_journal, zoo_vary(1, 4));
	store_process("checkpoint", syncs_page_by_page, 0, 1);
	services_run();
}

/* ---- each failure doubles the time to the next try; what was down is up again ---- */

static void comes_up(long i)
{
	int listener;

	(void)i;
	store_after(0, 1);
	listener = zoo_listen_unix("greylist", 8);
	store_loop(&listener, 1);
}

static void tries_ever_later(long listener)
{
	int rest_ms = 1;

	store_take((int)listener);
	for (int tries = 0; tries < 6; tries++, rest_ms *= 2) {
		zoo_must(access(zoo_path("greylist"), F_OK) && errno == ENOENT);
		services_rest(rest_ms);
	}
	store_step(0);
	zoo_stand();
	for (rest_ms = 4096 * 1000;; rest_ms *= 2) {
		services_rest(rest_ms);
		if (!access(zoo_path("greylist"), F_OK))
			break;
	}
}

static void asks_policy(void)
{
	services_asks("policy");
}

static void next_try_in_an_hour(void)
{
	services_open();
	store_process("greylist", comes_up, 0, 1);
	store_service("policy", tries_ever_later, 1);
	services_sessions("smtpd", asks_policy, zoo_vary(1, 5));
	services_run();
}

/* ---- a client that reads a byte at a time from a session that has its maildrop locked ---- */

static void sends_under_lock(long listener)
{
	static const char message[BATCH];
	int fd = store_take((int)listener);

	zoo_locked_file("maildrop", LOCK_EX);
	store_step(0);
	zoo_stand();
	zoo_must(send(fd, message, sizeof(message), MSG_NOSIGNAL) > 0);
}

static void receives_by_bytes(long i)
{
	int fd = services_dial("pop3");
	char byte;

	(void)i;
	zoo_stand();
	while (recv(fd, &byte, 1, 0) == 1)
		services_rest(BYTE_MS);
}

static void wants_maildrop(void)
{
	store_after(0, 1);
	store_wants_file("maildrop", LOCK_EX);
}

static void client_sips_from_locked_drop(void)
{
	services_open();
	store_service("pop3", sends_under_lock, 1);
	store_process("client", receives_by_bytes, 0, 1);
	services_sessions("lmtp", wants_maildrop, zoo_vary(1, 4));
	services_run();
}

/* ---- senders look for a token of their rate, and who refills the bucket does not ---- */

static atomic_int *tokens;

static void wants_token(void)
{
	zoo_stand();
	for (;;) {
		int have = atomic_load(tokens);

		if (have && atomic_compare_exchange_strong(tokens, &have, have - 1))
			break;
		services_rest(LOOK_MS);
	}
}

static void refills_no_more(long listener)
{
	int fd = (int)listener;

	zoo_blame();
	store_loop(&fd, 1);
}

static void bucket_not_refilled(void)
{
	services_open();
	tokens = zoo_shared(sizeof(*tokens));
	store_service("rate", refills_no_more, 1);
	services_sessions("smtp", wants_token, zoo_vary(1, 5));
	services_run();
}

/* ---- two replicas, each of which begins again as soon as the other's version is newer ---- */

static atomic_int *versions;

static void merges_for_ever(long self)
{
	int seen;

	store_step(0);
	store_after(0, 2);
	zoo_stand();
	for (;;) {
		seen = atomic_load(&versions[!self]);
		atomic_store(&versions[self], seen % INT32_MAX + 1);
		for (volatile int i = 0; i < INT32_MAX; i++)
			if (atomic_load(&versions[!self]) != seen)
				break;
	}
}

static void versions_overtake_each_other(void)
{
	services_open();
	versions = zoo_shared(2 * sizeof(*versions));
	store_process("dsync", merges_for_ever, 0, 1);
	store_process("dsync", merges_for_ever, 1, 1);
	services_run();
}

/* ---- a search of a list that the search itself makes longer, under the lock of all ---- */

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static volatile int list[RECIPIENTS];

/* An alias leads to the next, which leads to one more: each is looked for in what was found so far. */
static void *expands_aliases(void *arg)
{
	store_called("expand");
	pthread_mutex_lock(&list_lock);
	store_step(0);
	zoo_stand();
	for (int found = 1;; found = found % (RECIPIENTS - 1) + 1) {
		int at = 0;

		while (at < found && list[at] != found)
			at++;
		list[found] = found;
	}
	return arg;
}

static void *wants_list(void *arg)
{
	store_called("deliver");
	store_after(0, 1);
	zoo_ready();
	pthread_mutex_lock(&list_lock);
	return arg;
}

static void expands_for_all(long listener)
{
	zoo_thread_run(expands_aliases, NULL);
	services_serve((int)listener, wants_list, peers);
}

static void aliases_without_end(void)
{
	peers = zoo_vary(1, 6);
	services_open();
	store_service("lmtp", expands_for_all, peers + 2);
	services_askers("smtp", "lmtp", peers);
	services_run();
}

#define AT_WORK (ZOO_HELD_OUT | ZOO_SPINS)
#define ANSWERS (ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED)

const struct zoo_case zoo_fallen_slow[] = {
	{"one-client-each-tick", "slow", "screen", one_client_each_tick, ANSWERS, 0},
	{"rests-after-each-message", "slow", "deliver", rests_after_each_message, ANSWERS, 0},
	{"convoy-of-slow-agents", "slow", "deliver", convoy_of_slow_agents, ANSWERS, 0},
	{"one-consumer-for-many", "slow", "index", one_consumer_for_many, ANSWERS | ZOO_ALONE, 0},
	{"log-read-by-bytes", "slow", "log", log_read_by_bytes, AT_WORK | ZOO_ALONE, 0},
	{"checkpoint-syncs-each-page", "livelock", "store", checkpoint_syncs_each_page,
		AT_WORK | ZOO_ALONE, 0},
	{"next-try-in-an-hour", "slow", "policy", next_try_in_an_hour, ZOO_HELD_OUT, 0},
	{"client-sips-from-locked-drop", "slow", "session", client_sips_from_locked_drop,
		AT_WORK | ZOO_ALONE, 0},
	{"bucket-not-refilled", "slow", "relay", bucket_not_refilled, ZOO_HELD_OUT, 0},
	{"versions-overtake-each-other", "livelock", "replica", versions_overtake_each_other,
		AT_WORK, 0},
	{"aliases-without-end", "livelock", "deliver", aliases_without_end, AT_WORK, 0},
	{0},
};

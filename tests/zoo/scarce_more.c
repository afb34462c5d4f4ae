/*
 * Stores whose workers run out, and what they ask outside: pools that wait for themselves and for clients who say
 * no more, servers that do not answer, and a processor that another has.
 */
#include "tests/zoo/scarce_parts.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRY_MS	  300
#define HOUR_MS	  (3600 * 1000)
#define KEEP_MS	  (300 * 1000)
#define UPSTREAMS 3
#define SLOTS	  4
#define ROOMY	  1024 /* of a backlog */

static int others, late, port;

/* ---- workers that ask through the door at the front, which asks them ---- */

static void renders_by_asking(long listener)
{
	store_take((int)listener);
	zoo_blame();
	services_asks("front");
}

static void *passes_on(void *arg)
{
	store_called("front");
	services_asks("render");
	return arg;
}

static void front_door(long listener)
{
	services_serve((int)listener, passes_on, 2 * others);
}

static void starts_front(void)
{
	store_service("front", front_door, 2 * others + 1);
}

static void starts_render(void)
{
	services_pool("render", renders_by_asking, others);
}

static void starts_front_clients(void)
{
	services_askers("client", "front", others);
}

static void callback_through_front_door(void)
{
	services_open();
	others = zoo_vary(2, 5);
	services_start(
		(void (*const[])(void)){starts_front, starts_render, starts_front_clients, NULL});
	services_run();
}

/* ---- two pools that ask each other ---- */

/* All have a client before the first of them asks: else some would have a worker of the other pool. */
static void asks_when_all_are_taken(long listener, const char *service)
{
	store_take((int)listener);
	zoo_blame();
	store_step(1);
	store_after(1, others + late);
	services_asks(service);
}

static void asks_search(long listener)
{
	asks_when_all_are_taken(listener, "search");
}

static void asks_index(long listener)
{
	asks_when_all_are_taken(listener, "index");
}

static void starts_index(void)
{
	services_pool("index", asks_search, others);
}

static void starts_search(void)
{
	services_pool("search", asks_index, late);
}

static void starts_clients_of_both(void)
{
	services_askers("imap", "index", others + zoo_vary(0, 2));
	services_askers("imap", "search", late + zoo_vary(0, 2));
}

static void two_pools_ask_each_other(void)
{
	services_open();
	others = zoo_vary(2, 4);
	late = zoo_vary(2, 4);
	services_start(
		(void (*const[])(void)){starts_index, starts_search, starts_clients_of_both, NULL});
	services_run();
}

/* ---- connections that are kept alive have all workers ---- */

static void keeps_alive(long listener)
{
	struct pollfd next = {.fd = store_take((int)listener), .events = POLLIN};

	services_reply(next.fd);
	zoo_stand();
	poll(&next, 1, KEEP_MS);
}

static int asks_by_tcp(void)
{
	int fd = zoo_connect_tcp(port);

	zoo_must(send(fd, "request\n", 8, MSG_NOSIGNAL) == 8);
	return fd;
}

static void browses(long count)
{
	struct pollfd fds[STORE_FDS];
	char reply;

	for (long i = 0; i < count; i++) {
		fds[i] = (struct pollfd){.fd = asks_by_tcp(), .events = POLLIN};
		zoo_must(recv(fds[i].fd, &reply, 1, 0) == 1);
	}
	store_step(0);
	zoo_ready();
	poll(fds, (nfds_t)count, -1);
}

static void browses_too_late(long i)
{
	(void)i;
	store_after(0, 1);
	store_await(asks_by_tcp());
}

static void kept_alive_have_all_workers(void)
{
	int listener, count = zoo_vary(2, 5);

	services_open();
	listener = zoo_listen_tcp(32, &port);
	for (int i = 0; i < count; i++)
		store_process("web", keeps_alive, listener, 1);
	close(listener);
	store_process("browser", browses, count, 1);
	for (int i = zoo_vary(1, 5); i > 0; i--)
		store_process("client", browses_too_late, i, 1);
	services_run();
}

/* ---- a resolver that asks for ever a server that is not there ---- */

static void resolves_for_ever(long listener)
{
	int own, dead = scarce_dead_port(), fd = scarce_udp(&own);

	store_take((int)listener);
	zoo_stand();
	do
		scarce_send(fd, dead);
	while (!scarce_answered(fd, TRY_MS));
}

static void asks_resolver(void)
{
	services_asks("resolver");
}

static void resolver_asks_nobody(void)
{
	services_open();
	store_service("resolver", resolves_for_ever, 1);
	services_sessions("smtpd", asks_resolver, zoo_vary(1, 6));
	services_run();
}

/* ---- a door of one place, whose keeper wants a file of one who is stopped ---- */

static void stops_with_config(long i)
{
	(void)i;
	zoo_locked_file("dovecot.conf", LOCK_EX);
	store_step(0);
	zoo_stand();
	raise(SIGSTOP);
}

static void rereads_config(long listener)
{
	store_after(0, 1);
	store_wants_file("dovecot.conf", LOCK_SH);
	store_take((int)listener);
}

static void knocks(long i)
{
	int fd;

	(void)i;
	store_after(0, 1);
	zoo_ready();
	fd = zoo_connect_unix("narrow");
	zoo_must(send(fd, "request\n", 8, MSG_NOSIGNAL) == 8);
	zoo_receive(fd);
}

static void narrow_door_behind_stopped(void)
{
	int listener;

	services_open();
	listener = zoo_listen_unix("narrow", 1);
	store_process("director", rereads_config, listener, 1);
	close(listener);
	for (int i = zoo_vary(3, 7); i > 0; i--)
		store_process("client", knocks, i, 1);
	store_process("doveadm", stops_with_config, 0, 1);
	services_run();
}

/* ---- who takes from a queue of so many places has ended; the queue is full ---- */

static struct queue {
	pthread_mutex_t lock;
	pthread_cond_t shrank;
	int full;
} * queue;

static void takes_no_more(long i)
{
	(void)i;
	pthread_mutex_lock(&queue->lock);
	queue->full--;
	pthread_cond_signal(&queue->shrank);
	pthread_mutex_unlock(&queue->lock);
	_exit(0);
}

static void puts_in_queue(void)
{
	pthread_mutex_lock(&queue->lock);
	zoo_stand();
	while (queue->full == SLOTS)
		pthread_cond_wait(&queue->shrank, &queue->lock);
	queue->full++;
	pthread_mutex_unlock(&queue->lock);
}

static void open_queue(void)
{
	pthread_condattr_t attr;

	queue = zoo_shared(sizeof(*queue));
	services_shared_mutex(&queue->lock);
	pthread_condattr_init(&attr);
	pthread_condattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	zoo_must(!pthread_cond_init(&queue->shrank, &attr));
	queue->full = SLOTS;
}

static void consumer_of_queue_left(void)
{
	services_open();
	open_queue();
	zoo_must(waitpid(zoo_fork_run(takes_no_more, 0), NULL, 0) > 0);
	queue->full = SLOTS;
	services_sessions("smtpd", puts_in_queue, zoo_vary(1, 6));
	services_run();
}

/* ---- the slots of a scoreboard are held by sessions whose clients say nothing ---- */

static bool has_slot(int fd, int slot)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = slot, .l_len = 1};

	return !fcntl(fd, F_SETLK, &lock);
}

static void keeps_slot(long slot)
{
	int fd = zoo_open_file("scoreboard"), peer = zoo_quiet_peer();

	zoo_must(has_slot(fd, (int)slot));
	store_step(0);
	zoo_stand();
	zoo_receive(peer);
}

static void looks_for_slot(void)
{
	int fd = zoo_open_file("scoreboard");

	store_after(0, others);
	zoo_ready();
	for (int slot = 0; !has_slot(fd, slot); slot = (slot + 1) % others)
		if (slot == others - 1)
			services_rest(TRY_MS);
}

static void slot_locks_of_the_silent(void)
{
	services_open();
	others = zoo_vary(2, 5);
	for (int i = 0; i < others; i++)
		store_process("pop3", keeps_slot, i, 1);
	services_sessions("pop3", looks_for_slot, zoo_vary(1, 5));
	services_run();
}

/* ---- a proxy that gives each server a while and then asks the next; they all nap ---- */

static void upstream_naps(long listener)
{
	zoo_stand();
	services_rest(HOUR_MS);
	store_take((int)listener);
}

static void tries_upstreams(long listener)
{
	char name[32];
	int fd;

	store_take((int)listener);
	zoo_ready();
	for (int i = 0;; i = (i + 1) % others) {
		snprintf(name, sizeof(name), "upstream-%d", i);
		fd = services_dial(name);
		if (scarce_answered(fd, TRY_MS))
			break;
		close(fd);
	}
}

static void asks_proxy(void)
{
	services_asks("proxy");
}

static void upstreams_nap(void)
{
	char name[32];

	services_open();
	others = zoo_vary(1, UPSTREAMS);
	for (int i = 0; i < others; i++) {
		int listener;

		snprintf(name, sizeof(name), "upstream-%d", i);
		listener = zoo_listen_unix(name, ROOMY);
		store_process("upstream", upstream_naps, listener, 1);
		close(listener);
	}
	store_service("proxy", tries_upstreams, 1);
	services_sessions("imap-login", asks_proxy, zoo_vary(1, 4));
	services_run();
}

/* ---- who has the lock gets no processor beside one who burns it ---- */

static pthread_mutex_t *lock;

static void on_first_processor(int policy)
{
	const struct sched_param param = {0};
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	zoo_must(!sched_setaffinity(0, sizeof(first), &first) &&
		 !sched_setscheduler(0, policy, &param));
}

static void burns(long i)
{
	on_first_processor(SCHED_OTHER);
	store_after(0, 1);
	zoo_stand();
	for (volatile long turns = i;; turns++)
		;
}

static void works_when_idle(long i)
{
	on_first_processor(SCHED_IDLE);
	pthread_mutex_lock(lock);
	store_step(0);
	zoo_stand();
	for (volatile long turns = i; turns < INT64_MAX; turns++)
		;
	pthread_mutex_unlock(lock);
}

static void wants_lock(void)
{
	store_after(0, 1);
	zoo_ready();
	pthread_mutex_lock(lock);
}

static void holder_without_processor(void)
{
	services_open();
	lock = zoo_shared(sizeof(*lock));
	services_shared_mutex(lock);
	store_process("expire", works_when_idle, 0, 1);
	for (int i = zoo_vary(1, 2); i > 0; i--)
		store_process("spamc", burns, i, 1);
	services_sessions("lmtp", wants_lock, zoo_vary(1, 4));
	services_run();
}

#define AT_WORK (ZOO_HELD_OUT | ZOO_SPINS)

const struct zoo_case zoo_scarce_more[] = {
	{"callback-through-front-door", "lost-wakeup", "render", callback_through_front_door,
		ZOO_HELD_OUT, 0},
	{"two-pools-ask-each-other", "deadlock", "search", two_pools_ask_each_other, ZOO_HELD_OUT,
		0},
	{"kept-alive-have-all-workers", "exhaustion", "web", kept_alive_have_all_workers,
		ZOO_HELD_OUT, 0},
	{"resolver-asks-nobody", "slow", "resolver", resolver_asks_nobody, AT_WORK, 0},
	{"narrow-door-behind-stopped", "stopped", "director", narrow_door_behind_stopped,
		ZOO_HELD_OUT, 0},
	{"consumer-of-queue-left", "lost-wakeup", "queue", consumer_of_queue_left, ZOO_HELD_OUT, 0},
	{"slot-locks-of-the-silent", "lost-wakeup", "session", slot_locks_of_the_silent, AT_WORK,
		0},
	{"upstreams-nap", "slow", "proxy", upstreams_nap, AT_WORK, 0},
	{"holder-without-processor", "livelock", "deliver", holder_without_processor,
		AT_WORK | ZOO_ALONE, 0},
	{0},
};

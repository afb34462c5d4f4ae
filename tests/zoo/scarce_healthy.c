/*
 * Healthy stores at the end of what they have: it ran out once and was got over, or is given back in time, or is not
 * wanted by anybody.
 */
#include "tests/zoo/scarce_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#define WORK_MS	   15
#define TRY_MS	   60
#define SWEEP_MS   50
#define KEEP_MS	   (300 * 1000)
#define ENTRY	   512
#define ROOM	   8192
#define PIPE_SMALL 4096

static int others;

/* ---- no descriptor was left; what was open for nothing is closed ---- */

static void gets_over_emfile(long listener)
{
	int first = zoo_open_file("spool"), last = first, fd;

	scarce_descriptors(others);
	while ((fd = open(zoo_path("spool"), O_RDONLY | O_CLOEXEC)) >= 0)
		last = fd;
	zoo_must(accept((int)listener, NULL, NULL) < 0 && errno == EMFILE);
	for (fd = first; fd <= last; fd++)
		close(fd);
	zoo_ready();
	for (;;) {
		fd = store_take((int)listener);
		services_rest(WORK_MS);
		services_answer(fd);
	}
}

static void emfile_got_over(void)
{
	services_open();
	others = zoo_vary(4, 16);
	store_service("mailbox", gets_over_emfile, 1);
	services_ask_again("client", "mailbox", zoo_vary(1, 4));
	services_run();
}

/* ---- a door of one place that is full for a moment, again and again ---- */

static void answers_at_once(long listener)
{
	int fd;

	zoo_ready();
	for (;;) {
		fd = store_take((int)listener);
		services_rest(1);
		services_answer(fd);
	}
}

static void narrow_door_turns(void)
{
	int listener;

	services_open();
	listener = zoo_listen_unix("policy", 1);
	store_process("policy", answers_at_once, listener, 1);
	close(listener);
	services_ask_again("client", "policy", zoo_vary(4, 7));
	services_run();
}

/* ---- a proxy between servers and clients of whom none says anything ---- */

static void keeps_connections(long listener)
{
	store_serve((int)listener, others);
}

static void proxies_nothing(long listener)
{
	int fds[STORE_FDS], count = 0;

	fds[count++] = (int)listener;
	for (int i = 0; i < others; i++)
		fds[count++] = services_dial("upstream");
	for (int i = 0; i < others; i++)
		fds[count++] = store_take((int)listener);
	store_loop(fds, count);
}

static void long_polls(long i)
{
	struct pollfd news = {.fd = services_dial("proxy"), .events = POLLIN};

	(void)i;
	zoo_ready();
	poll(&news, 1, KEEP_MS);
}

static void long_polls_of_idle_proxy(void)
{
	services_open();
	others = zoo_vary(1, 6);
	store_service("upstream", keeps_connections, 1);
	store_service("proxy", proxies_nothing, 1);
	for (int i = 0; i < others; i++)
		store_process("client", long_polls, i, 1);
	services_run();
}

/* ---- more workers than slots, which are given back after a moment ---- */

static sem_t *slots;

static void works_in_slot(long listener)
{
	int fd;

	zoo_ready();
	for (;;) {
		fd = store_take((int)listener);
		zoo_must(!sem_wait(slots));
		services_rest(WORK_MS);
		zoo_must(!sem_post(slots));
		services_answer(fd);
	}
}

static void slots_turn_over(void)
{
	int count = zoo_vary(1, 3);

	services_open();
	slots = zoo_shared(sizeof(*slots));
	zoo_must(!sem_init(slots, 1, (unsigned int)count));
	services_pool("convert", works_in_slot, count + zoo_vary(1, 3));
	services_ask_again("client", "convert", count + zoo_vary(4, 6));
	services_run();
}

/* ---- no room, until the next sweep ---- */

static void writes_when_there_is_room(long listener)
{
	int fd, queue = zoo_open_file("queue");

	scarce_room(ROOM);
	zoo_ready();
	for (;;) {
		fd = store_take((int)listener);
		while (!scarce_append(queue, ENTRY))
			services_rest(WORK_MS);
		services_answer(fd);
	}
}

static void sweeps(long i)
{
	int queue = zoo_open_file("queue");

	(void)i;
	zoo_ready();
	for (;;) {
		services_rest(SWEEP_MS);
		zoo_must(!ftruncate(queue, 0));
	}
}

static void room_after_the_sweep(void)
{
	services_open();
	store_service("cleanup", writes_when_there_is_room, 1);
	store_process("sweep", sweeps, 0, 1);
	services_ask_again("client", "cleanup", zoo_vary(1, 4));
	services_run();
}

/* ---- a small pipe, full and read ---- */

static void reads_in_time(long fd)
{
	char text[ENTRY];

	zoo_ready();
	while (read((int)fd, text, sizeof(text)) > 0)
		services_rest(1);
}

static void logs_on_and_on(long i)
{
	(void)i;
	zoo_ready();
	for (;;)
		store_log_line();
}

static void small_pipe_is_read(void)
{
	services_open();
	store_log(reads_in_time, 1);
	zoo_must(fcntl(store_log_fd, F_SETPIPE_SZ, PIPE_SMALL) > 0);
	for (int i = zoo_vary(2, 5); i > 0; i--)
		store_process("imap", logs_on_and_on, i, 1);
	services_run();
}

/* ---- connections are kept alive, and a worker is left for the next ---- */

static int port;

static void keeps_alive(long listener)
{
	struct pollfd next = {.events = POLLIN};

	zoo_ready();
	next.fd = store_take((int)listener);
	services_reply(next.fd);
	poll(&next, 1, KEEP_MS);
}

static void browses(long i)
{
	struct pollfd next = {.fd = zoo_connect_tcp(port), .events = POLLIN};
	char reply;

	(void)i;
	zoo_must(send(next.fd, "request\n", 8, MSG_NOSIGNAL) == 8 &&
		 recv(next.fd, &reply, 1, 0) == 1);
	zoo_ready();
	poll(&next, 1, -1);
}

static void kept_alive_and_one_worker_left(void)
{
	int listener, count = zoo_vary(1, 5);

	services_open();
	listener = zoo_listen_tcp(32, &port);
	for (int i = count + zoo_vary(1, 2); i > 0; i--)
		store_process("web", keeps_alive, listener, 1);
	close(listener);
	for (int i = 0; i < count; i++)
		store_process("browser", browses, i, 1);
	services_run();
}

/* ---- the first server of names is gone, the second answers ---- */

static int names_port;

static void knows_names(long fd)
{
	struct sockaddr_storage from;
	socklen_t len;
	char name;

	zoo_ready();
	for (;;) {
		len = sizeof(from);
		zoo_must(recvfrom((int)fd, &name, 1, 0, (struct sockaddr *)&from, &len) == 1 &&
			 sendto((int)fd, &name, 1, 0, (struct sockaddr *)&from, len) == 1);
	}
}

static void asks_second(long listener)
{
	int own, client, dead = scarce_dead_port(), fd = scarce_udp(&own);

	zoo_ready();
	for (;;) {
		client = store_take((int)listener);
		scarce_send(fd, dead);
		zoo_must(!scarce_answered(fd, TRY_MS));
		scarce_send(fd, names_port);
		zoo_must(scarce_answered(fd, -1));
		services_answer(client);
	}
}

static void second_server_answers(void)
{
	int fd;

	services_open();
	fd = scarce_udp(&names_port);
	store_process("named", knows_names, fd, 1);
	close(fd);
	store_service("resolver", asks_second, 1);
	services_ask_again("client", "resolver", zoo_vary(1, 3));
	services_run();
}

/* ---- those who commit stand in line at a slow disk, which answers ---- */

static void commits_in_line(long listener)
{
	int fd, lock = zoo_open_file("commit.lock");
	int disk = open(ZOO_DISK_DIR "/commits", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	zoo_must(disk >= 0);
	zoo_ready();
	for (;;) {
		fd = store_take((int)listener);
		zoo_must(!flock(lock, LOCK_EX) && pwrite(disk, "commit", 6, 0) == 6 &&
			 !fsync(disk) && !flock(lock, LOCK_UN));
		services_answer(fd);
	}
}

static void commits_line_up_at_slow_disk(void)
{
	int count = zoo_vary(2, 4);

	services_open();
	services_pool("store", commits_in_line, count);
	services_ask_again("client", "store", count);
	services_run();
}

#define ANSWERS (ZOO_HELD_OUT | ZOO_SPINS | ZOO_PROGRESSED)

const struct zoo_case zoo_scarce_healthy[] = {
	{"emfile-got-over", NULL, "mailbox", emfile_got_over, ANSWERS, 0},
	{"narrow-door-turns", NULL, "policy", narrow_door_turns, ANSWERS, 0},
	{"long-polls-of-idle-proxy", NULL, "proxy", long_polls_of_idle_proxy, ZOO_HELD_OUT, 0},
	{"slots-turn-over", NULL, "convert", slots_turn_over, ANSWERS, 0},
	{"room-after-the-sweep", NULL, "queue", room_after_the_sweep, ANSWERS, 0},
	{"small-pipe-is-read", NULL, "log", small_pipe_is_read, ANSWERS, 0},
	{"kept-alive-and-one-worker-left", NULL, "web", kept_alive_and_one_worker_left,
		ZOO_HELD_OUT, 0},
	{"second-server-answers", NULL, "resolver", second_server_answers, ANSWERS, 0},
	{"commits-line-up-at-slow-disk", NULL, "store", commits_line_up_at_slow_disk,
		ANSWERS | ZOO_SLOW_DISK, 0},
	{0},
};

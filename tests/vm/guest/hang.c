/*
 * Hangs for the time warp's tests, each until somebody ends it:
 *	hang pool SECONDS COUNT		COUNT threads wait for SECONDS, then the process ends
 *	hang ever			two threads wait for each other's lock, and the first one for them
 *	hang ticks SECONDS		a thread wakes up every so often and waits again in the same place
 *	hang peer ADDRESS PORT SECONDS	a thread waits for an answer of a peer; another one sends it a byte
 *					every SECONDS, which ends the connection if the peer resets it
 *	hang serve PORT SECONDS		answers "250 late" to each connection, SECONDS after its first byte
 * Prints "ready" once all of that waits, or is about to.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define THREADS_MAX 64

static int seconds, peer_fd = -1;
static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t both;

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

static void start(pthread_t *ret, void *(*fn)(void *), void *arg)
{
	if (pthread_create(ret, NULL, fn, arg))
		exit(1);
}

static void *wait_once(void *arg)
{
	poll(NULL, 0, seconds * 1000);
	return arg;
}

static int pool(int count)
{
	pthread_t threads[THREADS_MAX];

	for (int i = 0; i < count && i < THREADS_MAX; i++)
		start(&threads[i], wait_once, NULL);
	ready();
	for (int i = 0; i < count && i < THREADS_MAX; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static void *crossed(void *arg)
{
	pthread_mutex_t *mine = arg ? &second : &first, *other = arg ? &first : &second;

	pthread_mutex_lock(mine);
	pthread_barrier_wait(&both);
	pthread_mutex_lock(other);
	return NULL;
}

static int ever(void)
{
	pthread_t threads[2];

	pthread_barrier_init(&both, NULL, 2);
	start(&threads[0], crossed, NULL);
	start(&threads[1], crossed, &both);
	ready();
	return pthread_join(threads[0], NULL);
}

static void __attribute__((noreturn)) ticks(void)
{
	ready();
	for (;;)
		poll(NULL, 0, seconds * 1000);
}

static void *send_bytes(void *arg)
{
	for (;;) {
		poll(NULL, 0, seconds * 1000);
		if (send(peer_fd, "x", 1, MSG_NOSIGNAL) < 0)
			return arg;
	}
}

static int peer(const char *address, int port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	pthread_t sender;
	char c;

	inet_pton(AF_INET, address, &to.sin_addr);
	peer_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(peer_fd, (struct sockaddr *)&to, sizeof(to))) {
		perror("connect");
		return 1;
	}
	start(&sender, send_bytes, NULL);
	ready();
	return read(peer_fd, &c, 1) < 0 ? 2 : 0;
}

static int serve(int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char c;

	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 8))
		return 1;
	ready();
	for (;;) {
		int client = accept(fd, NULL, NULL);

		if (read(client, &c, 1) == 1) {
			poll(NULL, 0, seconds * 1000);
			if (write(client, "250 late\r\n", 10) != 10)
				return 1;
		}
		poll(NULL, 0, -1);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	seconds = argc > 2 ? atoi(argv[argc - 1]) : 0;
	if (!strcmp(what, "pool") && argc == 4) {
		seconds = atoi(argv[2]);
		return pool(atoi(argv[3]));
	}
	if (!strcmp(what, "ever"))
		return ever();
	if (!strcmp(what, "ticks") && argc == 3)
		ticks();
	if (!strcmp(what, "peer") && argc == 5)
		return peer(argv[2], atoi(argv[3]));
	if (!strcmp(what, "serve") && argc == 4)
		return serve(atoi(argv[2]));
	return 64;
}

/*
 * A store of N threads that all wait, for the benchmark of a scan: in processes of sixteen, three of each in a ring of
 * mutexes, five behind one of them, the rest at sockets. `threads N`: returns once all have come to stand.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <linux/futex.h>
#include <unistd.h>

#define PER_PROCESS 16
#define RING	    3
#define QUEUE	    8 /* the ring, and who stands behind it */

static atomic_int *ready; /* of all processes */
static pthread_mutex_t ring[RING] = {
	PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
static pthread_barrier_t held;

static void stand(void)
{
	atomic_fetch_add(ready, 1);
	syscall(SYS_futex, ready, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void *work(void *arg)
{
	int at = (int)(intptr_t)arg, ends[2];
	char byte;

	if (at < RING)
		pthread_mutex_lock(&ring[at]);
	if (at < QUEUE)
		pthread_barrier_wait(&held);
	stand();
	if (at < QUEUE)
		pthread_mutex_lock(&ring[(at + 1) % RING]);
	else if (!socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		(void)!read(ends[0], &byte, 1);
	return arg;
}

static void run_process(void)
{
	pthread_t thread;

	pthread_barrier_init(&held, NULL, QUEUE);
	for (int i = 1; i < PER_PROCESS; i++)
		if (pthread_create(&thread, NULL, work, (void *)(intptr_t)i))
			_exit(1);
	work(NULL);
	_exit(0);
}

int main(int argc, char **argv)
{
	int want = argc > 1 ? atoi(argv[1]) : 0, now;

	ready = mmap(
		NULL, sizeof(*ready), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (ready == MAP_FAILED || want < PER_PROCESS)
		return 64;
	for (int i = 0; i < want / PER_PROCESS; i++)
		if (!fork()) {
			setsid();
			run_process();
		}
	while ((now = atomic_load(ready)) < want / PER_PROCESS * PER_PROCESS)
		syscall(SYS_futex, ready, FUTEX_WAIT, now, NULL, NULL, 0);
	return 0;
}

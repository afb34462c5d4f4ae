/*
 * A process that is stuck with its own mmap lock, for VM tests: run with a file of a frozen file system.
 * One thread writes to a shared mapping of it and waits for the thaw, holding the lock for reading
 * (do_page_mkwrite, Linux 6.1); then the other asks for it for writing. From there on whoever else wants it
 * waits behind them, for example a reader of /proc/PID/cmdline, or of the words that a third thread waits
 * with. Ends after the thaw with status 0.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE 4096

static atomic_int writer_tid;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void *write_to_mapping(void *mapping)
{
	writer_tid = gettid();
	memset(mapping, 'x', SIZE);
	return NULL;
}

static void *wait_for_mutex(void *arg)
{
	pthread_mutex_lock(&held);
	return arg;
}

/* It waits for the thaw, and not for a page of the file, for which it would let go of the lock. No allocation, which
 * might want the lock. */
static bool waits_for_thaw(int tid)
{
	char path[64], text[64] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/wchan", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	return !strcmp(text, "percpu_rwsem_wait");
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	void *mapping = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	pthread_t writer, waiter;

	pthread_mutex_lock(&held);
	if (mapping == MAP_FAILED || pthread_create(&waiter, NULL, wait_for_mutex, NULL) ||
		pthread_create(&writer, NULL, write_to_mapping, mapping))
		return 1;
	while (!writer_tid || !waits_for_thaw(writer_tid))
		poll(NULL, 0, 1);
	if (mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
		return 1;
	return pthread_join(writer, NULL);
}

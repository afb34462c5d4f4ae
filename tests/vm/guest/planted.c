/*
 * Planted troubles for VM tests: `planted mutex`, two threads of which each holds what the other wants;
 * `planted flock DIR`, two processes likewise with locks on files of DIR. Neither ends.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static pthread_mutex_t locks[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
static pthread_barrier_t both;

static void *take_both(void *first)
{
	int own = *(int *)first;

	pthread_mutex_lock(&locks[own]);
	pthread_barrier_wait(&both);
	pthread_mutex_lock(&locks[!own]);
	return NULL;
}

static int cross_mutexes(void)
{
	static int first[2] = {0, 1};
	pthread_t threads[2];

	pthread_barrier_init(&both, NULL, 2);
	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, take_both, &first[i]))
			return 1;
	return pthread_join(threads[0], NULL);
}

static int open_in(const char *dir, char name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/lock.%c", dir, name);
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

/* A byte each way, so that both hold their first lock before either asks for its second. */
static int cross_locks(const char *dir)
{
	int there[2], back[2], parent, own, other;
	char byte = 'x';

	if (pipe2(there, O_CLOEXEC) || pipe2(back, O_CLOEXEC) || (parent = fork()) < 0)
		return 1;
	own = open_in(dir, parent ? 'a' : 'b');
	other = open_in(dir, parent ? 'b' : 'a');
	if (own < 0 || other < 0 || flock(own, LOCK_EX) ||
		write(parent ? there[1] : back[1], &byte, 1) != 1 ||
		read(parent ? back[0] : there[0], &byte, 1) != 1)
		return 1;
	return flock(other, LOCK_EX);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "mutex"))
		return cross_mutexes();
	if (argc == 3 && !strcmp(argv[1], "flock"))
		return cross_locks(argv[2]);
	return 64;
}

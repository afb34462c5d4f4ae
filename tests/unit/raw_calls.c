/*
 * A store that no preload reaches, for the test of the tracer: static, and it makes its calls by their numbers. A line
 * of its input is a word and one or two paths; for each it prints one line. It waits for input in epoll_wait(), with
 * four more threads that do nothing else, and counts how often such a wait was cut off.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define IDLE 4

static atomic_int cut_off, signals;

static void count_signal(int sig)
{
	(void)sig;
	signals++;
}

static int epoll_on(int fd)
{
	struct epoll_event event = {.events = EPOLLIN};
	int poll = epoll_create1(EPOLL_CLOEXEC);

	if (fd >= 0)
		epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
	return poll;
}

static void wait_on(int poll)
{
	struct epoll_event event;

	while (syscall(SYS_epoll_wait, poll, &event, 1, -1) < 0)
		cut_off++;
}

static void *idle(void *arg)
{
	wait_on(epoll_on(-1));
	return arg;
}

static const char *result(long rc)
{
	return rc < 0 ? strerrorname_np(errno) : "ok";
}

static const char *sync_file(const char *path)
{
	int fd = (int)syscall(SYS_open, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	const char *text = fd < 0 ? "no file" : result(syscall(SYS_fsync, fd));

	close(fd);
	return text;
}

static void *sync_in_thread(void *path)
{
	return (void *)(intptr_t)sync_file(path);
}

static const char *sync_by_thread(char *path)
{
	pthread_t thread;
	void *text = NULL;

	pthread_create(&thread, NULL, sync_in_thread, path);
	pthread_join(thread, &text);
	return text;
}

static const char *sync_by_child(const char *path)
{
	pid_t pid = fork();
	int status = 0;

	if (!pid)
		_exit(strcmp(sync_file(path), "ok") != 0 ? 1 : 0);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status) ? "ok" : "not ok";
}

static const char *other_program(void)
{
	char *argv[] = {(char *)"true", NULL}, *env[] = {NULL};
	pid_t pid = vfork();
	int status = 0;

	if (!pid) {
		execve("/bin/true", argv, env);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && !WEXITSTATUS(status) ? "ok" : "not ok";
}

/* The count in a register of its own, which a system call keeps: it is looked at afterwards. */
static void write_ten(const char *path)
{
	long fd = syscall(SYS_open, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), rc;
	unsigned long count = 10;

	__asm__ volatile("syscall"
			 : "=a"(rc), "+d"(count)
			 : "0"(SYS_write), "D"(fd), "S"("0123456789")
			 : "rcx", "r11", "memory");
	printf("%ld of %lu\n", rc, count);
	close((int)fd);
}

static void obey(const char *word, char *path, const char *to)
{
	if (!strcmp(word, "sync"))
		puts(sync_file(path));
	else if (!strcmp(word, "thread"))
		puts(sync_by_thread(path));
	else if (!strcmp(word, "fork"))
		puts(sync_by_child(path));
	else if (!strcmp(word, "exec"))
		puts(other_program());
	else if (!strcmp(word, "write"))
		write_ten(path);
	else if (!strcmp(word, "rename"))
		puts(result(syscall(SYS_renameat2, AT_FDCWD, path, AT_FDCWD, to, 0)));
	else if (!strcmp(word, "counts"))
		printf("%d %d\n", signals, cut_off);
	else
		puts("what?");
	fflush(stdout);
}

int main(void)
{
	struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
	char line[2048], word[16], path[1024], to[1024];
	int input = epoll_on(STDIN_FILENO);
	pthread_t thread;

	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < IDLE; i++)
		pthread_create(&thread, NULL, idle, NULL);
	puts("ready");
	fflush(stdout);
	setvbuf(stdin, NULL, _IONBF, 0);
	for (;;) {
		wait_on(input);
		if (!fgets(line, sizeof(line), stdin))
			return 0;
		path[0] = to[0] = '\0';
		if (sscanf(line, "%15s %1023s %1023s", word, path, to) > 0)
			obey(word, path, to);
	}
}

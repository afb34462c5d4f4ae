/* Troubles between processes: pipes, sockets, children. */
#include "tests/zoo/parts_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- pipes ---- */

static int pipes[2][2];

static void pipe_reader(long i)
{
	close(pipes[i][1]);
	close(pipes[1 - i][0]);
	zoo_meet(2);
	zoo_stand();
	zoo_read(pipes[i][0]);
}

static void pipe_cycle(void)
{
	zoo_must(!pipe2(pipes[0], O_CLOEXEC) && !pipe2(pipes[1], O_CLOEXEC));
	zoo_stands(2);
	zoo_fork_run(pipe_reader, 0);
	zoo_fork_run(pipe_reader, 1);
	for (int i = 0; i < 4; i++)
		close(pipes[i / 2][i % 2]);
	zoo_wait_for_children();
}

static void pipe_self(void)
{
	zoo_must(!pipe2(pipes[0], O_CLOEXEC));
	zoo_stands(1);
	zoo_stand();
	zoo_read(pipes[0][0]);
}

static void full_pipe_writer(long i)
{
	static char block[1 << 20];

	(void)i;
	close(pipes[0][0]);
	zoo_locked_file("full", LOCK_EX);
	zoo_meet(2);
	zoo_stand();
	zoo_must(write(pipes[0][1], block, sizeof(block)) <= 0);
}

static void full_pipe_reader(long i)
{
	int fd = zoo_open_file("full");

	(void)i;
	close(pipes[0][1]);
	zoo_meet(2);
	zoo_stand();
	flock(fd, LOCK_EX);
}

static void full_pipe(void)
{
	zoo_must(!pipe2(pipes[0], O_CLOEXEC));
	zoo_stands(2);
	zoo_fork_run(full_pipe_writer, 0);
	zoo_fork_run(full_pipe_reader, 0);
	close(pipes[0][0]);
	close(pipes[0][1]);
	zoo_wait_for_children();
}

/* ---- sockets ---- */

static void silent_socket(void)
{
	int fd = zoo_quiet_peer();

	zoo_stands(1);
	zoo_stand();
	zoo_receive(fd);
}

static int port, clients;

static void tcp_client_of_stopped(long i)
{
	int fd = zoo_connect_tcp(port);

	(void)i;
	zoo_meet(1 + clients);
	zoo_ready();
	zoo_receive(fd);
}

static void stopped_server(long listener)
{
	int fds[8];

	for (int i = 0; i < clients; i++)
		fds[i] = accept((int)listener, NULL, NULL);
	zoo_must(clients == 0 || fds[0] >= 0);
	zoo_meet(1 + clients);
	zoo_stand();
	raise(SIGSTOP);
}

static void tcp_server_stopped(void)
{
	int listener = zoo_listen_tcp(8, &port);

	clients = zoo_vary(1, 4);
	zoo_stands(1 + clients);
	zoo_fork_run(stopped_server, listener);
	close(listener);
	for (int i = 0; i < clients; i++)
		zoo_fork_run(tcp_client_of_stopped, i);
	zoo_wait_for_children();
}

/* Each waits for the other to speak first. */
static void tcp_speaker(long fd)
{
	zoo_meet(2);
	zoo_stand();
	zoo_receive((int)fd);
}

static void tcp_caller(long i)
{
	(void)i;
	tcp_speaker(zoo_connect_tcp(port));
}

static void tcp_answerer(long listener)
{
	int fd = accept((int)listener, NULL, NULL);

	close((int)listener);
	tcp_speaker(fd);
}

static void tcp_cycle(void)
{
	int listener = zoo_listen_tcp(1, &port);

	zoo_stands(2);
	zoo_fork_run(tcp_answerer, listener);
	close(listener);
	zoo_fork_run(tcp_caller, 0);
	zoo_wait_for_children();
}

/* The client waits for an answer, and holds the lock that the server wants to answer. */
static void unix_client(long i)
{
	int fd = zoo_connect_unix("server");

	(void)i;
	zoo_locked_file("mailbox", LOCK_EX);
	zoo_meet(2);
	zoo_stand();
	zoo_receive(fd);
}

static void unix_server(long listener)
{
	int fd = accept((int)listener, NULL, NULL), mailbox = zoo_open_file("mailbox");

	zoo_must(fd >= 0);
	close((int)listener);
	zoo_meet(2);
	zoo_stand();
	flock(mailbox, LOCK_EX);
}

static void socket_and_lock(void)
{
	int listener = zoo_listen_unix("server", 1);

	zoo_stands(2);
	zoo_fork_run(unix_server, listener);
	close(listener);
	zoo_fork_run(unix_client, 0);
	zoo_wait_for_children();
}

/* ---- children ---- */

static void child_of_lock(int held)
{
	int fd = zoo_open_file("parent");

	close(held);
	zoo_stand();
	flock(fd, LOCK_EX);
	_exit(0);
}

static void parent_and_child(void)
{
	int fd;
	pid_t child;

	zoo_stands(2);
	fd = zoo_locked_file("parent", LOCK_EX);
	child = fork();
	if (!child)
		child_of_lock(fd);
	zoo_stand();
	waitpid(child, NULL, 0);
}

static void at_once(long i)
{
	(void)i;
	zoo_ready();
	_exit(0);
}

static void child_not_reaped(void)
{
	sem_t *never = zoo_never();

	zoo_stands(2);
	zoo_fork_run(at_once, 0);
	zoo_stand();
	sem_wait(never);
}

static void stopped_child(long i)
{
	(void)i;
	zoo_stand();
	raise(SIGSTOP);
}

static void child_stopped(void)
{
	pid_t child;

	zoo_stands(2);
	child = zoo_fork_run(stopped_child, 0);
	zoo_ready();
	waitpid(child, NULL, 0);
}

/* A filter whose parent writes all before it reads anything. */
static void echo_child(long i)
{
	static char block[1 << 20];

	(void)i;
	close(pipes[0][1]);
	close(pipes[1][0]);
	zoo_must(read(pipes[0][0], block, 4096) > 0);
	zoo_meet(2);
	zoo_stand();
	zoo_must(write(pipes[1][1], block, sizeof(block)) <= 0);
}

static void filter_cycle(void)
{
	static char block[1 << 20];

	zoo_must(!pipe2(pipes[0], O_CLOEXEC) && !pipe2(pipes[1], O_CLOEXEC));
	zoo_stands(2);
	zoo_fork_run(echo_child, 0);
	close(pipes[0][0]);
	close(pipes[1][1]);
	zoo_must(write(pipes[0][1], block, 8192) == 8192);
	zoo_meet(2);
	zoo_stand();
	zoo_must(write(pipes[0][1], block, sizeof(block)) <= 0);
}

const struct zoo_case zoo_peers[] = {
	{"pipe-cycle", "deadlock", "queue", pipe_cycle, 0, 0},
	{"pipe-self", "deadlock", "queue", pipe_self, 0, 0},
	{"full-pipe", "deadlock", "queue", full_pipe, 0, 0},
	{"filter-cycle", "deadlock", "agent", filter_cycle, 0, 0},
	{"tcp-cycle", "deadlock", "session", tcp_cycle, 0, 0},
	{"socket-and-lock", "deadlock", "session", socket_and_lock, 0, 0},
	{"parent-and-child", "deadlock", "agent", parent_and_child, 0, 0},
	{"silent-socket", "lost-wakeup", "session", silent_socket, 0, 0},
	{"child-not-reaped", "lost-wakeup", "agent", child_not_reaped, 0, 0},
	{"child-stopped", "stopped", "agent", child_stopped, 0, 0},
	{"tcp-server-stopped", "stopped", "lookup", tcp_server_stopped, 0, 0},
	{0},
};

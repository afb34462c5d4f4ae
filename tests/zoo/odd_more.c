/* More of those of odd.c: what stands in calls that are seldom stood in. */
#include "tests/zoo/parts_private.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define RING_MAX 4
#define MUCH	 (4 << 20)

static int victims, ends[2];

static void wants_cache(long i)
{
	int fd = zoo_open_file("cache");

	(void)i;
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	flock(fd, LOCK_EX);
}

static void with_cache_victims(void)
{
	for (int i = 0; i < victims; i++)
		zoo_fork_run(wants_cache, i);
}

/* ---- deadlocks ---- */

static void sends_mailbox(long i)
{
	int fd = zoo_open_file("mailbox");

	(void)i;
	close(ends[1]);
	zoo_must(!ftruncate(fd, MUCH) && !flock(fd, LOCK_EX));
	zoo_meet(1);
	zoo_stand();
	sendfile(ends[0], fd, NULL, MUCH);
}

static void locks_before_it_reads(long i)
{
	int fd = zoo_open_file("mailbox");

	(void)i;
	close(ends[0]);
	zoo_await(&zoo_board->go, 1);
	zoo_stand();
	flock(fd, LOCK_SH);
	zoo_receive(ends[1]);
}

static void sendfile_under_lock(void)
{
	zoo_pair(ends);
	zoo_stands(2);
	zoo_fork_run(sends_mailbox, 0);
	zoo_fork_run(locks_before_it_reads, 0);
	close(ends[0]);
	close(ends[1]);
	zoo_idle();
}

static int ring[RING_MAX][2], members;

static void splices_on(long me)
{
	int next = (int)(me + 1) % members;

	for (int i = 0; i < members; i++) {
		if (i != me)
			close(ring[i][0]);
		if (i != next)
			close(ring[i][1]);
	}
	zoo_meet(members);
	zoo_stand();
	splice(ring[me][0], NULL, ring[next][1], NULL, MUCH, 0);
}

static void splicers_in_ring(void)
{
	members = zoo_vary(2, RING_MAX);
	for (int i = 0; i < members; i++)
		zoo_must(!pipe2(ring[i], O_CLOEXEC));
	zoo_stands(members);
	for (int i = 0; i < members; i++)
		zoo_fork_run(splices_on, i);
	for (int i = 0; i < members; i++) {
		close(ring[i][0]);
		close(ring[i][1]);
	}
	zoo_idle();
}

/* Neither has accepted: the connections have no process at their other ends yet. */
static void asks_other_first(long me)
{
	static const char *const names[] = {"lookup", "policy"};
	int fd;

	zoo_listen_unix(names[me], 8);
	zoo_meet(2);
	fd = zoo_connect_unix(names[!me]);
	zoo_must(send(fd, "question", 8, 0) == 8);
	zoo_stand();
	zoo_receive(fd);
}

static void asks_lookup(long i)
{
	int fd;

	(void)i;
	zoo_await(&zoo_board->go, 2);
	fd = zoo_connect_unix("lookup");
	zoo_ready();
	zoo_receive(fd);
}

static void servers_ask_each_other(void)
{
	victims = zoo_vary(0, 3);
	zoo_stands(2 + victims);
	for (int i = 0; i < 2; i++)
		zoo_fork_run(asks_other_first, i);
	for (int i = 0; i < victims; i++)
		zoo_fork_run(asks_lookup, i);
	zoo_idle();
}

static socklen_t address_of(const char *name, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%.100s", zoo_path(name));
	return sizeof(*addr);
}

static void tells_other(long me)
{
	static const char *const names[] = {"notify", "quota"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un addr;
	socklen_t len = address_of(names[me], &addr);

	zoo_must(fd >= 0 && !bind(fd, (struct sockaddr *)&addr, len));
	zoo_meet(2);
	len = address_of(names[!me], &addr);
	zoo_must(!connect(fd, (struct sockaddr *)&addr, len));
	while (send(fd, "changed", 7, MSG_DONTWAIT) > 0)
		;
	zoo_meet(4);
	zoo_stand();
	send(fd, "changed", 7, 0);
}

static void datagrams_both_full(void)
{
	zoo_stands(2);
	zoo_fork_run(tells_other, 0);
	zoo_fork_run(tells_other, 1);
	zoo_idle();
}

static void writes_to_terminal(int fd)
{
	static const char much[MUCH];

	zoo_stand();
	zoo_must(write(fd, much, sizeof(much)) < 0);
}

/* As expect does, but it does not read. A scan does not tell who has a terminal's other end. */
static void terminal_not_read(void)
{
	zoo_stands(2);
	zoo_on_terminal(writes_to_terminal);
	zoo_stand();
	wait(NULL);
}

static atomic_int *listener_number;

static void is_sandboxed(long i)
{
	int fd;

	(void)i;
	zoo_locked_file("spool", LOCK_EX);
	fd = zoo_sandbox();
	atomic_store(listener_number, fd);
	zoo_await(&zoo_board->go, 1);
	close(fd);
	zoo_stand();
	syscall(SYS_renameat2, AT_FDCWD, "tmp", AT_FDCWD, "new", 0);
}

/* Who decides about the other's calls wants the other's lock first. A scan does not tell who decides. */
static void sandbox_not_served(void)
{
	int file = zoo_open_file("spool"), pidfd, listener;
	struct seccomp_notif request = {0};

	zoo_stands(2);
	listener_number = zoo_shared(sizeof(*listener_number));
	pidfd = (int)syscall(SYS_pidfd_open, zoo_fork_run(is_sandboxed, 0), 0);
	zoo_await(listener_number, 1);
	listener = (int)syscall(SYS_pidfd_getfd, pidfd, atomic_load(listener_number), 0);
	zoo_must(listener >= 0);
	close(pidfd);
	zoo_meet(1);
	zoo_must(!ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request));
	zoo_stand();
	flock(file, LOCK_EX);
}

/* ---- events that nobody will signal ---- */

static void leaves_daemon(long i)
{
	(void)i;
	close(ends[0]);
	if (fork())
		_exit(0);
	zoo_stand();
	zoo_idle();
}

/* The script has ended long ago; what it began in the background has its output still. Who reads to the end is not told
 * from who waits for more: the reader may be blamed. */
static void daemon_keeps_pipe(void)
{
	zoo_must(!pipe2(ends, O_CLOEXEC));
	zoo_stands(2);
	waitpid(zoo_fork_run(leaves_daemon, 0), NULL, 0);
	close(ends[1]);
	zoo_stand();
	zoo_read(ends[0]);
}

static int make_udp(struct sockaddr_in *addr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*addr);

	*addr = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	zoo_must(fd >= 0 && !bind(fd, (struct sockaddr *)addr, len) &&
		 !getsockname(fd, (struct sockaddr *)addr, &len));
	return fd;
}

static void drops_question(long fd)
{
	struct pollfd fds[2] = {{.fd = (int)fd, .events = POLLIN}, {.events = POLLIN}};
	char question[16];

	fds[1].fd = zoo_listen_unix("control", 8);
	zoo_must(recv((int)fd, question, sizeof(question), 0) > 0);
	zoo_meet(1);
	zoo_ready();
	poll(fds, 2, -1);
}

/* It asks by UDP, under a lock and without a timeout. */
static void datagram_reply_lost(void)
{
	struct sockaddr_in addr;
	int service, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	victims = zoo_vary(1, 3);
	zoo_stands(2 + victims);
	with_cache_victims();
	service = make_udp(&addr);
	zoo_fork_run(drops_question, service);
	close(service);
	zoo_locked_file("cache", LOCK_EX);
	zoo_must(!connect(fd, (struct sockaddr *)&addr, sizeof(addr)) &&
		 send(fd, "question", 8, 0) == 8);
	zoo_await(&zoo_board->go, 1);
	zoo_stand();
	zoo_receive(fd);
}

static void send_descriptor(int to, int fd)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec text = {.iov_base = "x", .iov_len = 1};
	struct msghdr message = {.msg_iov = &text,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	*(int *)(void *)CMSG_DATA(header) = fd;
	zoo_must(sendmsg(to, &message, 0) == 1);
}

/* It reads to the end, and the other end is in a message that it has sent itself and nobody takes. */
static void descriptor_in_flight(void)
{
	int helper[2];

	victims = zoo_vary(1, 3);
	zoo_stands(1 + victims);
	with_cache_victims();
	zoo_pair(helper);
	zoo_must(!pipe2(ends, O_CLOEXEC));
	send_descriptor(helper[0], ends[1]);
	close(ends[1]);
	zoo_locked_file("cache", LOCK_EX);
	zoo_meet(1);
	zoo_stand();
	zoo_read(ends[0]);
}

/* Two commands came at once; it took one, and is told of new bytes only. */
static void reads_one_of_two(long i)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};
	int set = epoll_create1(EPOLL_CLOEXEC);
	char c;

	(void)i;
	close(ends[1]);
	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event));
	event.data.fd = zoo_listen_unix("imap", 8);
	zoo_must(!epoll_ctl(set, EPOLL_CTL_ADD, event.data.fd, &event));
	zoo_await(&zoo_board->go, 1);
	zoo_must(epoll_wait(set, &event, 1, -1) == 1 && recv(ends[0], &c, 1, 0) == 1 &&
		 send(ends[0], &c, 1, 0) == 1);
	zoo_stand();
	epoll_wait(set, &event, 1, -1);
}

static void sends_two(long i)
{
	char c;

	(void)i;
	close(ends[0]);
	zoo_must(send(ends[1], "ab", 2, 0) == 2);
	zoo_meet(1);
	zoo_must(recv(ends[1], &c, 1, 0) == 1);
	zoo_ready();
	zoo_receive(ends[1]);
}

static void edge_left_unread(void)
{
	zoo_pair(ends);
	zoo_stands(2);
	zoo_fork_run(reads_one_of_two, 0);
	zoo_fork_run(sends_two, 0);
	close(ends[0]);
	close(ends[1]);
	zoo_idle();
}

static atomic_int signalled;

static void notes_signal(int number)
{
	(void)number;
	atomic_store(&signalled, 1);
}

static void signals_too_early(long parent)
{
	close(ends[1]);
	zoo_must(!kill((pid_t)parent, SIGUSR1));
	zoo_ready();
	zoo_read(ends[0]);
}

/* It looked, the signal came, it went to sleep. */
static void signal_before_pause(void)
{
	zoo_must(!pipe2(ends, O_CLOEXEC) && signal(SIGUSR1, notes_signal) != SIG_ERR);
	zoo_stands(2);
	zoo_fork_run(signals_too_early, getpid());
	close(ends[0]);
	zoo_await(&signalled, 1);
	zoo_stand();
	pause();
}

static void scans_on_open(long i)
{
	int peer = zoo_quiet_peer(),
	    fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
	struct fanotify_event_metadata event;

	(void)i;
	zoo_must(fd >= 0 &&
		 !fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN_PERM, AT_FDCWD, zoo_path("message")));
	zoo_meet(1);
	zoo_must(read(fd, &event, sizeof(event)) == sizeof(event));
	zoo_stand();
	zoo_receive(peer);
}

static void opens_message(long i)
{
	(void)i;
	zoo_await(&zoo_board->go, 1);
	zoo_ready();
	zoo_open_file("message");
}

/* Nobody opens the message before the scanner for viruses has said yes. */
static void scanner_never_answers(void)
{
	victims = zoo_vary(1, 3);
	close(zoo_open_file("message"));
	zoo_stands(1 + victims);
	zoo_fork_run(scans_on_open, 0);
	for (int i = 0; i < victims; i++)
		zoo_fork_run(opens_message, i);
	zoo_idle();
}

const struct zoo_case zoo_odd_more[] = {
	{"sendfile-under-lock", "deadlock", "proxy", sendfile_under_lock, 0, 0},
	{"splicers-in-ring", "deadlock", "proxy", splicers_in_ring, 0, 0},
	{"servers-ask-each-other", "deadlock", "lookup", servers_ask_each_other, 0, 0},
	{"datagrams-both-full", "deadlock", "agent", datagrams_both_full, 0, 0},
	{"terminal-not-read", "lost-wakeup", "agent", terminal_not_read, 0, 0},
	{"sandbox-not-served", "lost-wakeup", "filter", sandbox_not_served, 0, 0},
	{"daemon-keeps-pipe", "lost-wakeup", "update", daemon_keeps_pipe, 0, 0},
	{"datagram-reply-lost", "lost-wakeup", "lookup", datagram_reply_lost, 0, 0},
	{"descriptor-in-flight", "lost-wakeup", "deliver", descriptor_in_flight, 0, 0},
	{"edge-left-unread", "lost-wakeup", "session", edge_left_unread, 0, 0},
	{"signal-before-pause", "lost-wakeup", "master", signal_before_pause, 0, 0},
	{"scanner-never-answers", "lost-wakeup", "scan", scanner_never_answers, 0, 0},
	{0},
};

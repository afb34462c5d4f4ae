/*
 * A park waits as the kernel would: handlers, SA_RESTART, time limits and calls that cannot block.
 */
#include "tests/unit/preload_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

/* ---- victims ---- */

static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
	(void)sig;
	handled++;
}

/* A handler for SIGALRM, which comes again and again: one comes while the call is parked. */
static void alarm_on(int flags)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
	struct itimerval again = {{.tv_usec = 5000}, {.tv_usec = 5000}};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &again, NULL);
}

static void alarm_off(void)
{
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
}

static int open_lock(const char *dir)
{
	auto_free char *path = text_fmt("%s/lock", dir);

	return open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static int flock_interrupted(const char *dir)
{
	alarm_on(0);
	EXPECT(flock(open_lock(dir), LOCK_EX) == -1 && errno == EINTR);
	EXPECT(handled);
	return VICTIM_OK;
}

static int fcntl_interrupted(const char *dir)
{
	struct flock lock = {.l_type = F_WRLCK};

	alarm_on(0);
	EXPECT(fcntl(open_lock(dir), F_SETLKW, &lock) == -1 && errno == EINTR);
	return VICTIM_OK;
}

/* Says how often the handler ran while the call was parked, from the handler itself. */
static void say_handled(int sig)
{
	(void)sig;
	if (++handled == 3)
		(void)!write(STDOUT_FILENO, "handled\n", 8);
}

static void alarm_saying(int flags)
{
	struct sigaction action = {.sa_handler = say_handled, .sa_flags = flags};

	alarm_on(flags);
	sigaction(SIGALRM, &action, NULL);
}

static int flock_restarted(const char *dir)
{
	alarm_saying(SA_RESTART);
	EXPECT(flock(open_lock(dir), LOCK_EX) == 0);
	alarm_off();
	tell("locked");
	return VICTIM_OK;
}

static int mutex_goes_on(const char *arg)
{
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	(void)arg;
	alarm_saying(0);
	EXPECT(pthread_mutex_lock(&mutex) == 0);
	alarm_off();
	tell("locked");
	return VICTIM_OK;
}

static int poll_interrupted(const char *arg)
{
	int ends[2];

	(void)arg;
	EXPECT(!pipe2(ends, O_CLOEXEC));
	struct pollfd fd = {.fd = ends[0], .events = POLLIN};
	alarm_on(SA_RESTART);
	EXPECT(poll(&fd, 1, -1) == -1 && errno == EINTR);
	return VICTIM_OK;
}

static int ppoll_lets_its_signals_through(const char *arg)
{
	sigset_t blocked, none;

	(void)arg;
	sigemptyset(&none);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	alarm_on(SA_RESTART);
	EXPECT(ppoll(NULL, 0, NULL, &none) == -1 && errno == EINTR);
	EXPECT(handled);
	return VICTIM_OK;
}

static int fsync_holds_signals(const char *dir)
{
	int fd = open_lock(dir);

	alarm_saying(0);
	handled = 0;
	EXPECT(fsync(fd) == 0);
	tell("%s", handled ? "late" : "never");
	alarm_off();
	return VICTIM_OK;
}

static int nothing_that_cannot_block(const char *dir)
{
	int ends[2], sockets[2], fd = open_lock(dir);
	struct flock lock = {.l_type = F_WRLCK}, unlock = {.l_type = F_UNLCK};
	struct pollfd none = {.fd = -1};
	char byte;

	EXPECT(!pipe2(ends, O_CLOEXEC | O_NONBLOCK));
	EXPECT(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
	EXPECT(read(ends[0], &byte, 1) == -1 && errno == EAGAIN);
	EXPECT(recv(sockets[0], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	EXPECT(send(sockets[0], "x", 1, MSG_DONTWAIT) == 1);
	EXPECT(flock(fd, LOCK_EX | LOCK_NB) == 0 && flock(fd, LOCK_UN) == 0);
	EXPECT(fcntl(fd, F_SETLK, &lock) == 0 && fcntl(fd, F_SETLKW, &unlock) == 0);
	EXPECT(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	EXPECT(lockf(fd, F_TLOCK, 0) == 0 && lockf(fd, F_ULOCK, 0) == 0);
	EXPECT(poll(&none, 1, 0) == 0);
	EXPECT(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	return VICTIM_OK;
}

static int poll_ends_in_time(const char *arg)
{
	struct pollfd none = {.fd = -1};

	(void)arg;
	EXPECT(poll(&none, 1, 30) == 0);
	return VICTIM_OK;
}

static int epoll_sees_what_came(const char *arg)
{
	struct epoll_event event = {.events = EPOLLIN};
	int ends[2], epoll = epoll_create1(EPOLL_CLOEXEC);

	(void)arg;
	EXPECT(!pipe2(ends, O_CLOEXEC) && !epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event));
	EXPECT(write(ends[1], "x", 1) == 1);
	EXPECT(epoll_wait(epoll, &event, 1, 30) == 1);
	return VICTIM_OK;
}

static int recv_keeps_the_sockets_limit(const char *arg)
{
	struct timeval limit = {.tv_usec = 30000};
	int sockets[2];
	char byte;

	(void)arg;
	EXPECT(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
	EXPECT(!setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)));
	EXPECT(recv(sockets[0], &byte, 1, 0) == -1 && errno == EAGAIN);
	return VICTIM_OK;
}

static int connect_interrupted(const char *dir)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s/none", dir);
	alarm_on(0);
	EXPECT(connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1 && errno == EINTR);
	return VICTIM_OK;
}

static sigjmp_buf away;

static void jump(int sig)
{
	siglongjmp(away, sig);
}

/* A store's own time limit by a long jump; then it is parked once more. */
static int flock_jumped_out_of(const char *dir)
{
	struct itimerval once = {.it_value.tv_usec = 100000};
	int fd = open_lock(dir);

	signal(SIGALRM, jump);
	if (!sigsetjmp(away, 1)) {
		setitimer(ITIMER_REAL, &once, NULL);
		flock(fd, LOCK_EX);
		return VICTIM_WRONG;
	}
	EXPECT(flock(fd, LOCK_EX) == 0);
	return VICTIM_OK;
}

static const struct victim_kind kinds[] = {{"flock", flock_interrupted},
	{"fcntl", fcntl_interrupted}, {"restart", flock_restarted}, {"mutex", mutex_goes_on},
	{"poll", poll_interrupted}, {"ppoll", ppoll_lets_its_signals_through},
	{"fsync", fsync_holds_signals}, {"nonblock", nothing_that_cannot_block},
	{"limit", poll_ends_in_time}, {"epoll", epoll_sees_what_came},
	{"rcvtimeo", recv_keeps_the_sockets_limit}, {"connect", connect_interrupted},
	{"jump", flock_jumped_out_of}};

/* ---- cases ---- */

/* Parked at `point`, the victim ends by itself. */
static void ends_by_itself(const char *point, const char *victim_name)
{
	fresh_board();
	say("arm slot=1 point=%s", point);
	struct victim victim = victim_start(victim_name, work);
	check_int(victim_end(&victim), VICTIM_OK, victim_name, __FILE__, __LINE__);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	CHECK(await_event(BOARD_EVENT_RELEASED, 1, NULL));
	CHECK_INT(count_of("fired", 1), 1);
	CHECK_INT(count_of("parked", 1), 0);
}

static void a_handler_without_sa_restart_gives_eintr(void)
{
	ends_by_itself("posix/io/lock/flock", "flock");
	ends_by_itself("posix/io/lock/fcntl", "fcntl");
	ends_by_itself("posix/io/net/connect", "connect");
}

static void poll_gives_eintr_after_any_handler(void)
{
	ends_by_itself("posix/io/net/poll", "poll");
}

static void ppoll_waits_with_its_own_mask(void)
{
	ends_by_itself("posix/io/net/poll", "ppoll");
}

/* Parked, its handler runs three times, and it stays until released. */
static void goes_on_waiting(const char *point, const char *victim_name)
{
	fresh_board();
	say("arm slot=1 point=%s", point);
	struct victim victim = victim_start(victim_name, work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	CHECK_STR(victim_line(&victim), "handled");
	CHECK_INT(count_of("parked", 1), 1);
	CHECK_STR(say("release slot=1"), "{\"released\":1}");
	CHECK_STR(victim_line(&victim), "locked");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
}

static void a_handler_with_sa_restart_does_not_end_a_lock(void)
{
	goes_on_waiting("posix/io/lock/flock", "restart");
}

static void a_mutex_waits_through_any_handler(void)
{
	goes_on_waiting("posix/pthread/mutex_lock", "mutex");
}

static void a_handler_waits_until_fsync_is_over(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync");
	struct victim victim = victim_start("fsync", work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	/* Three of its alarms: none may be heard before the release. */
	CHECK_INT(io_readable(victim.out, deadline_in_ms(30)), 0);
	say("release slot=1");
	CHECK_STR(victim_line(&victim), "late");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
}

static void calls_that_cannot_block_are_not_parked(void)
{
	static const char *const points[] = {"posix/io/rw/read", "posix/io/net/recv",
		"posix/io/net/send", "posix/io/lock/flock", "posix/io/lock/fcntl",
		"posix/io/lock/lockf", "posix/io/net/poll", "posix/proc/waitpid"};

	fresh_board();
	for (unsigned int i = 0; i < ARRAY_SIZE(points); i++)
		say("arm slot=%u point=%s calls=all kind=file,pipe,socket", i + 1, points[i]);
	say("arm slot=7 point=posix/io/net/poll calls=all");
	say("arm slot=8 point=posix/proc/waitpid calls=all");
	struct victim victim = victim_start("nonblock", work);
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	for (unsigned int i = 0; i < ARRAY_SIZE(points); i++) {
		check_int(count_of("fired", i + 1), 0, points[i], __FILE__, __LINE__);
		CHECK(count_of("met", i + 1) > 0);
	}
}

static void a_calls_own_time_limit_ends_the_park(void)
{
	ends_by_itself("posix/io/net/poll", "limit");
	ends_by_itself("posix/io/net/epoll_wait", "epoll");
	ends_by_itself("posix/io/net/recv", "rcvtimeo");
}

static void a_park_left_by_a_long_jump_is_counted_once(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/lock/flock calls=all");
	struct victim victim = victim_start("jump", work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	CHECK_INT(count_of("parked", 1), 1);
	say("release slot=1");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK_INT(count_of("parked", 1), 0);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
		CHECK_CASE(a_handler_without_sa_restart_gives_eintr),
		CHECK_CASE(poll_gives_eintr_after_any_handler),
		CHECK_CASE(ppoll_waits_with_its_own_mask),
		CHECK_CASE(a_handler_with_sa_restart_does_not_end_a_lock),
		CHECK_CASE(a_mutex_waits_through_any_handler),
		CHECK_CASE(a_handler_waits_until_fsync_is_over),
		CHECK_CASE(calls_that_cannot_block_are_not_parked),
		CHECK_CASE(a_calls_own_time_limit_ends_the_park),
		CHECK_CASE(a_park_left_by_a_long_jump_is_counted_once)};

	return preload_main(kinds, ARRAY_SIZE(kinds), cases, ARRAY_SIZE(cases), argc, argv);
}

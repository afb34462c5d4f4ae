/*
 * Stores that run dry: of descriptors, room, processes, tokens, places in a queue. To blame is who used it up, or
 * who holds on to what the others need while he waits for more.
 */
#include "tests/zoo/scarce_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define REST_MS	     250
#define HOUR_MS	     (3600 * 1000)
#define LINE	     512
#define ROOM	     8192
#define PIPE_SMALL   4096
#define LETTERS	     4
#define UNPRIVILEGED 65534

static int others;

static void asks_mailbox(void)
{
	services_asks("mailbox");
}

static void wants_spool(void)
{
	store_after(0, 1);
	store_wants_file("spool.lock", LOCK_EX);
}

/* ---- each message leaves a descriptor open; the door is tried again after a rest ---- */

static void leaks_and_rests(long listener)
{
	scarce_descriptors(others);
	while (open(zoo_path("spool"), O_RDONLY | O_CLOEXEC) >= 0)
		;
	zoo_stand();
	while (accept((int)listener, NULL, NULL) < 0) {
		zoo_must(errno == EMFILE);
		services_rest(REST_MS);
	}
}

static void door_rests_at_emfile(void)
{
	services_open();
	others = zoo_vary(4, 20);
	store_service("mailbox", leaks_and_rests, 1);
	services_sessions("imap", asks_mailbox, zoo_vary(1, 5));
	services_run();
}

/* ---- a message that does not fit is written again and again, with the spool's lock ---- */

static void writes_full_spool(long i)
{
	int fd = zoo_open_file("queue");

	(void)i;
	zoo_locked_file("spool.lock", LOCK_EX);
	store_step(0);
	scarce_room(ROOM);
	while (scarce_append(fd, LINE))
		;
	zoo_stand();
	while (!scarce_append(fd, LINE))
		services_rest(REST_MS);
}

static void starts_writer(void)
{
	store_process("cleanup", writes_full_spool, 0, 1);
}

static void starts_spool_sessions(void)
{
	services_sessions("smtpd", wants_spool, zoo_vary(1, 5));
}

static void full_spool_tried_under_lock(void)
{
	services_open();
	services_start((void (*const[])(void)){starts_writer, starts_spool_sessions, NULL});
	services_run();
}

/* ---- a full spool, and who would clear it wants the lock of who asks for that ---- */

static void clears_on_demand(long listener)
{
	int lock = zoo_open_file("spool.lock");

	store_take((int)listener);
	zoo_stand();
	flock(lock, LOCK_EX);
}

static void asks_for_room(long i)
{
	int fd = zoo_open_file("queue");

	(void)i;
	zoo_locked_file("spool.lock", LOCK_EX);
	store_step(0);
	scarce_room(ROOM);
	while (scarce_append(fd, LINE))
		;
	zoo_blame();
	services_asks("sweep");
}

static void starts_asker_for_room(void)
{
	store_process("cleanup", asks_for_room, 0, 1);
}

static void starts_sweep(void)
{
	store_service("sweep", clears_on_demand, 1);
}

static void room_asked_for_under_lock(void)
{
	services_open();
	services_start((void (*const[])(void)){
		starts_asker_for_room, starts_sweep, starts_spool_sessions, NULL});
	services_run();
}

/* ---- a master that may have no more processes, and looks again and again ---- */

static void forks_in_vain(long listener)
{
	const struct rlimit none = {0, 0};

	for (int i = 0; i < others; i++)
		store_take((int)listener);
	zoo_must(!setrlimit(RLIMIT_NPROC, &none));
	/* The limit is not root's. */
	zoo_must(geteuid() || !setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED));
	zoo_stand();
	while (fork() < 0) {
		zoo_must(errno == EAGAIN);
		services_rest(REST_MS);
	}
}

static void no_more_processes(void)
{
	services_open();
	others = zoo_vary(1, 5);
	store_service("spawn", forks_in_vain, 1);
	services_askers("client", "spawn", others + zoo_vary(0, 3));
	services_run();
}

/* ---- a POSIX queue is full, and who empties it wants the lock of who fills it ---- */

static mqd_t letters;

static void posts_under_lock(long i)
{
	(void)i;
	zoo_locked_file("spool.lock", LOCK_EX);
	store_step(0);
	zoo_stand();
	mq_send(letters, "m", 1, 0);
}

static void collects_under_lock(long i)
{
	int lock = zoo_open_file("spool.lock");
	char letter;

	(void)i;
	store_after(0, 1);
	zoo_stand();
	flock(lock, LOCK_EX);
	mq_receive(letters, &letter, 1, NULL);
}

static void posts(void)
{
	zoo_ready();
	mq_send(letters, "m", 1, 0);
}

static void letter_box_full_under_lock(void)
{
	struct mq_attr attr = {.mq_maxmsg = LETTERS, .mq_msgsize = 1};
	char name[32];

	services_open();
	snprintf(name, sizeof(name), "/zoo-%d", getpid());
	letters = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attr);
	zoo_must(letters >= 0 && !mq_unlink(name));
	for (int i = 0; i < LETTERS; i++)
		zoo_must(!mq_send(letters, "m", 1, 0));
	services_sessions("smtpd", posts, zoo_vary(0, 3));
	store_process("post", posts_under_lock, 0, 1);
	store_process("collect", collects_under_lock, 0, 1);
	services_sessions("pop3", wants_spool, zoo_vary(1, 3));
	services_run();
}

/* ---- a pipe of one page whose reader naps between two batches ---- */

static void naps_between_batches(long fd)
{
	char batch[LINE];

	zoo_stand();
	for (;;) {
		services_rest(HOUR_MS);
		zoo_must(read((int)fd, batch, sizeof(batch)) > 0);
	}
}

static void logs_a_line(void)
{
	zoo_ready();
	store_log_line();
}

static void reader_of_small_pipe_naps(void)
{
	services_open();
	store_log(naps_between_batches, 1);
	zoo_must(fcntl(store_log_fd, F_SETPIPE_SZ, PIPE_SMALL) > 0);
	store_fill_log();
	services_sessions("imap", logs_a_line, zoo_vary(1, 6));
	services_run();
}

/* ---- all tokens of a pipe are in the hands of one who is stopped ---- */

static int tokens[2];

static void open_tokens(int count)
{
	zoo_must(!pipe2(tokens, O_CLOEXEC));
	for (int i = 0; i < count; i++)
		zoo_must(write(tokens[1], "+", 1) == 1);
}

static void takes_token(void)
{
	char token;

	zoo_must(read(tokens[0], &token, 1) == 1);
}

static void stops_with_tokens(long count)
{
	for (long i = 0; i < count; i++)
		takes_token();
	store_step(0);
	zoo_stand();
	raise(SIGSTOP);
}

static void wants_a_token(void)
{
	store_after(0, 1);
	zoo_ready();
	takes_token();
}

static void tokens_of_the_stopped(void)
{
	int count = zoo_vary(1, 4);

	services_open();
	open_tokens(count);
	services_sessions("smtp", wants_a_token, zoo_vary(1, 5));
	store_process("compact", stops_with_tokens, count, 1);
	services_run();
}

/* ---- each has one token of a pipe and wants a second ---- */

static void wants_second_token(void)
{
	takes_token();
	store_step(0);
	store_after(0, others);
	zoo_stand();
	takes_token();
}

static void wants_first_token(void)
{
	store_after(0, others);
	zoo_ready();
	takes_token();
}

static void two_tokens_each(void)
{
	services_open();
	others = zoo_vary(2, 5);
	open_tokens(others);
	services_sessions("convert", wants_second_token, others);
	services_sessions("convert", wants_first_token, zoo_vary(0, 3));
	services_run();
}

/* ---- a terminal is full: its reader, a session and the log wait for each other ---- */

static int terminal, console;

static void open_terminal(void)
{
	struct termios mode;

	console = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	zoo_must(console >= 0 && !grantpt(console) && !unlockpt(console));
	terminal = open(ptsname(console), O_RDWR | O_NOCTTY | O_CLOEXEC);
	zoo_must(terminal >= 0 && !tcgetattr(terminal, &mode));
	cfmakeraw(&mode);
	zoo_must(!tcsetattr(terminal, TCSANOW, &mode));
}

static void writes_to_terminal(long fd)
{
	static const char line[LINE];

	(void)fd;
	close(console);
	zoo_must(!fcntl(terminal, F_SETFL, O_NONBLOCK));
	while (write(terminal, line, sizeof(line)) > 0)
		;
	zoo_must(errno == EAGAIN && !fcntl(terminal, F_SETFL, 0));
	zoo_stand();
	for (;;)
		zoo_must(write(terminal, line, sizeof(line)) > 0);
}

static void shows_with_history(long i)
{
	int lock = zoo_open_file("history");

	(void)i;
	close(terminal);
	store_after(0, 1);
	zoo_stand();
	flock(lock, LOCK_EX);
}

static void logs_with_history(void)
{
	zoo_locked_file("history", LOCK_EX);
	store_step(0);
	zoo_stand();
	store_log_line();
}

static void console_behind_history(void)
{
	services_open();
	open_terminal();
	store_log(writes_to_terminal, 1);
	store_process("console", shows_with_history, 0, 1);
	close(terminal);
	close(console);
	store_fill_log();
	services_sessions("imap", logs_with_history, 1);
	services_sessions("pop3", logs_a_line, zoo_vary(0, 3));
	services_run();
}

/* ---- the quota is locked by one whose grandchild wants it ---- */

static void wants_quota_below(long i)
{
	int fd = zoo_open_file("quota");

	(void)i;
	zoo_stand();
	zoo_posix_lock(fd, F_WRLCK);
}

static void reads_from_below(long i)
{
	int answer[2];

	zoo_must(!pipe2(answer, O_CLOEXEC));
	zoo_fork_run(wants_quota_below, i);
	close(answer[1]);
	zoo_stand();
	zoo_read(answer[0]);
}

static void waits_with_quota(long i)
{
	zoo_must(zoo_posix_lock(zoo_open_file("quota"), F_WRLCK));
	store_step(0);
	zoo_stand();
	waitpid(zoo_fork_run(reads_from_below, i), NULL, 0);
}

static void wants_quota(void)
{
	store_after(0, 1);
	store_wants_range("quota");
}

static void starts_quota(void)
{
	store_process("lmtp", waits_with_quota, 0, 3);
}

static void starts_quota_sessions(void)
{
	services_sessions("imap", wants_quota, zoo_vary(1, 4));
}

static void quota_asked_by_grandchild(void)
{
	services_open();
	services_start((void (*const[])(void)){starts_quota, starts_quota_sessions, NULL});
	services_run();
}

#define AT_WORK (ZOO_HELD_OUT | ZOO_SPINS)

const struct zoo_case zoo_scarce[] = {
	{"door-rests-at-emfile", "slow", "mailbox", door_rests_at_emfile, AT_WORK, 0},
	{"full-spool-tried-under-lock", "slow", "queue", full_spool_tried_under_lock, AT_WORK, 0},
	{"room-asked-for-under-lock", "deadlock", "queue", room_asked_for_under_lock, ZOO_HELD_OUT,
		0},
	{"no-more-processes", "slow", "master", no_more_processes, AT_WORK, 0},
	{"letter-box-full-under-lock", "lost-wakeup", "post", letter_box_full_under_lock,
		ZOO_HELD_OUT, 0},
	{"reader-of-small-pipe-naps", "slow", "log", reader_of_small_pipe_naps, ZOO_HELD_OUT, 0},
	{"tokens-of-the-stopped", "stopped", "relay", tokens_of_the_stopped, ZOO_HELD_OUT, 0},
	{"two-tokens-each", "lost-wakeup", "convert", two_tokens_each, ZOO_HELD_OUT, 0},
	{"console-behind-history", "lost-wakeup", "log", console_behind_history, ZOO_HELD_OUT, 0},
	{"quota-asked-by-grandchild", "deadlock", "quota", quota_asked_by_grandchild, ZOO_HELD_OUT,
		0},
	{0},
};

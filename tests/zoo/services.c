/*
 * Whole small mail stores with one trouble each, by somebody who had not read the diagnosis: a thread pool with
 * its queue, a prefork master, and a store of many daemons with their sockets. The victims are several hops from
 * the culprit.
 */
#include "tests/zoo/services_parts.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int sessions, others, workers, hit;

static void loops(long listener)
{
	int fd = (int)listener;

	store_loop(&fd, 1);
}

static void wants_uidlist(void)
{
	store_after(0, 1);
	store_wants_file("uidlist", LOCK_EX);
}

static void delivers(long i)
{
	(void)i;
	wants_uidlist();
}

/* ---- a pool whose workers went to sleep past their jobs ---- */

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_grew = PTHREAD_COND_INITIALIZER, job_done = PTHREAD_COND_INITIALIZER;
static int queued;

/* Does not look at the queue first. */
static void *sleeps_past_job(void *arg)
{
	store_called("worker");
	store_after(1, sessions);
	pthread_mutex_lock(&queue_lock);
	zoo_must(queued == sessions);
	zoo_stand();
	pthread_cond_wait(&queue_grew, &queue_lock);
	return arg;
}

static void *handles(void *arg)
{
	long number = (long)arg;

	store_called("handler");
	if (number == hit) {
		zoo_locked_file("uidlist", LOCK_EX);
		store_step(0);
	}
	pthread_mutex_lock(&queue_lock);
	queued++;
	pthread_cond_signal(&queue_grew);
	store_step(1);
	zoo_stand();
	pthread_cond_wait(&job_done, &queue_lock);
	return arg;
}

static void pool_store(long listener)
{
	for (int i = 0; i < workers; i++)
		zoo_thread_run(sleeps_past_job, NULL);
	for (long i = 0; i < sessions; i++) {
		store_take((int)listener);
		zoo_thread_run(handles, (void *)i);
	}
	loops(listener);
}

static void asks_store(void)
{
	services_asks("store");
}

static void starts_pool(void)
{
	store_service("store", pool_store, workers + sessions + 1);
}

static void starts_readers(void)
{
	services_sessions("imap", asks_store, sessions);
}

static void starts_deliveries(void)
{
	for (int i = 0; i < others; i++)
		store_process("lmtp", delivers, i, 1);
}

static void pool_sleeps_past_its_jobs(void)
{
	static void (*const starts[])(void) = {
		starts_pool, starts_readers, starts_deliveries, NULL};

	sessions = zoo_vary(2, 4);
	others = zoo_vary(0, 3);
	workers = zoo_vary(2, 5);
	hit = zoo_vary(0, sessions - 1);
	services_open();
	services_start(starts);
	services_run();
}

/* ---- dict answers all but one, who holds the quota ---- */

static void dict_forgets(long listener)
{
	int fds[STORE_FDS] = {(int)listener}, count = others + 1;

	for (int i = 1; i <= count; i++) {
		char request[8];

		fds[i] = accept4((int)listener, NULL, NULL, SOCK_CLOEXEC);
		zoo_must(recv(fds[i], request, sizeof(request), MSG_WAITALL) == 8);
		if (request[0] != 'f')
			services_reply(fds[i]);
	}
	zoo_blame();
	store_loop(fds, count + 1);
}

/* Only what it asks shows that this is the one. */
static int asks_dict(const char *request)
{
	int fd = zoo_connect_unix("dict");

	zoo_must(send(fd, request, 8, MSG_NOSIGNAL) == 8);
	return fd;
}

static void updates_quota(long i)
{
	zoo_must(zoo_posix_lock(zoo_open_file("quota"), F_WRLCK));
	store_step(0);
	(void)i;
	store_await(asks_dict("forgets\n"));
}

static void was_answered(long i)
{
	int fd = asks_dict("request\n");
	char reply;

	(void)i;
	zoo_must(recv(fd, &reply, 1, 0) == 1);
	store_loop(&fd, 1);
}

static void wants_quota(void)
{
	store_after(0, 1);
	store_wants_range("quota");
}

static void dict_forgets_quota(void)
{
	sessions = zoo_vary(1, 3);
	others = zoo_vary(0, 4);
	hit = zoo_vary(0, others);
	services_open();
	store_service("dict", dict_forgets, 1);
	for (int i = 0; i <= others; i++)
		store_process("lmtp", i == hit ? updates_quota : was_answered, i, 1);
	services_sessions("imap", wants_quota, sessions);
	services_run();
}

/* ---- anvil took its listener out of the loop and never put it back ---- */

static void anvil_is_full(long listener)
{
	int fds[STORE_FDS];

	for (int i = 0; i < others; i++) {
		fds[i] = store_take((int)listener);
		services_reply(fds[i]);
	}
	store_step(0);
	zoo_blame();
	store_loop(fds, others);
}

static void is_counted(long i)
{
	int fd = services_dial("anvil");
	char reply;

	(void)i;
	zoo_must(recv(fd, &reply, 1, 0) == 1);
	store_loop(&fd, 1);
}

static void auth_asks_anvil(long listener)
{
	store_take((int)listener);
	store_after(0, 1);
	services_asks("anvil");
}

static void asks_auth(void)
{
	services_asks("auth");
}

static void starts_anvil(void)
{
	store_service("anvil", anvil_is_full, 1);
}

static void starts_counted(void)
{
	for (int i = 0; i < others; i++)
		store_process("pop3", is_counted, i, 1);
}

static void starts_auth(void)
{
	store_service("auth", auth_asks_anvil, 1);
}

static void starts_logins(void)
{
	services_sessions("login", asks_auth, sessions);
}

static void anvil_accepts_no_more(void)
{
	static void (*const starts[])(void) = {
		starts_anvil, starts_counted, starts_auth, starts_logins, NULL};

	sessions = zoo_vary(1, 4);
	others = zoo_vary(1, 5);
	services_open();
	services_start(starts);
	services_run();
}

/* ---- auth's worker and dict want each other's files ---- */

static void worker_crosses(long listener)
{
	int quota = zoo_open_file("quota");

	store_take((int)listener);
	zoo_locked_file("passwd", LOCK_EX);
	store_step(0);
	store_after(0, 2);
	zoo_stand();
	zoo_posix_lock(quota, F_WRLCK);
}

static void dict_crosses(long listener)
{
	int passwd = zoo_open_file("passwd");

	store_take((int)listener);
	zoo_must(zoo_posix_lock(zoo_open_file("quota"), F_WRLCK));
	store_step(0);
	store_after(0, 2);
	zoo_stand();
	flock(passwd, LOCK_SH);
}

static void auth_asks_worker(long listener)
{
	store_take((int)listener);
	services_asks("auth-worker");
}

static void starts_auth_and_worker(void)
{
	store_service("auth", auth_asks_worker, 1);
	store_service("auth-worker", worker_crosses, 1);
}

static void starts_dict(void)
{
	store_service("dict", dict_crosses, 1);
}

static void starts_lmtp(void)
{
	services_askers("lmtp", "dict", others);
}

static void auth_worker_and_dict(void)
{
	static void (*const starts[])(void) = {
		starts_auth_and_worker, starts_dict, starts_logins, starts_lmtp, NULL};

	sessions = zoo_vary(1, 4);
	others = zoo_vary(1, 4);
	services_open();
	services_start(starts);
	services_run();
}

/* ---- the log waits for its file, which a rotation keeps ---- */

static void rotates(long i)
{
	int postrotate = zoo_quiet_peer();

	(void)i;
	zoo_locked_file("mail.log", LOCK_EX);
	store_step(0);
	zoo_stand();
	zoo_receive(postrotate);
}

static void log_wants_file(long fd)
{
	(void)fd;
	store_after(0, 1);
	store_wants_file("mail.log", LOCK_EX);
}

static void logs_a_line(void)
{
	zoo_ready();
	store_log_line();
}

static void logs_under_lock(void)
{
	zoo_locked_file("uidlist", LOCK_EX);
	store_step(1);
	logs_a_line();
}

static void wants_uidlist_later(void)
{
	store_after(1, 1);
	store_wants_file("uidlist", LOCK_EX);
}

static void rotation_keeps_the_log(void)
{
	bool first = zoo_vary(0, 1);

	sessions = zoo_vary(0, 3);
	others = zoo_vary(1, 3);
	services_open();
	if (first)
		store_process("logrotate", rotates, 0, 1);
	store_log(log_wants_file, 1);
	store_fill_log();
	if (!first)
		store_process("logrotate", rotates, 0, 1);
	services_sessions("pop3", logs_a_line, sessions);
	services_sessions("lmtp", logs_under_lock, 1);
	services_sessions("imap", wants_uidlist_later, others);
	services_run();
}

/* ---- a helper inherited the lock of the accept socket ---- */

static void spamd(void)
{
	store_called("spamd");
	store_step(0);
	zoo_stand();
	zoo_idle();
}

/* The child served its hundred clients and ends; its helper has the lock's descriptor too. */
static void ends_with_helper(long i)
{
	(void)i;
	zoo_locked_file("mx.accept", LOCK_EX);
	if (!fork())
		spamd();
	_exit(0);
}

static void accepts_in_turn(long listener)
{
	int fd = zoo_open_file("mx.accept");

	store_after(0, 1);
	zoo_ready();
	flock(fd, LOCK_EX);
	store_take((int)listener);
}

static void helper_inherits_accept_lock(void)
{
	int children = zoo_vary(1, 6), listener;

	services_open();
	sessions = zoo_vary(1, 5);
	listener = zoo_listen_unix("mx", 16);
	hit = zoo_vary(0, children);
	for (int i = 0; i < children; i++) {
		if (i == hit)
			waitpid(store_process("mx", ends_with_helper, i, 1), NULL, 0);
		store_process("mx", accepts_in_turn, listener, 1);
	}
	if (hit == children)
		waitpid(store_process("mx", ends_with_helper, 0, 1), NULL, 0);
	close(listener);
	services_askers("client", "mx", sessions);
	services_run();
}

/* ---- a child ended with the scoreboard's mutex ---- */

static pthread_mutex_t *scoreboard;

static void ends_with_scoreboard(long i)
{
	(void)i;
	pthread_mutex_lock(scoreboard);
	_exit(1);
}

static void counts_a_client(long listener)
{
	store_take((int)listener);
	zoo_stand();
	pthread_mutex_lock(scoreboard);
}

static void counts_under_lock(long listener)
{
	store_take((int)listener);
	zoo_locked_file("greylist", LOCK_EX);
	store_step(0);
	zoo_stand();
	pthread_mutex_lock(scoreboard);
}

static void wants_greylist(long listener)
{
	store_take((int)listener);
	store_after(0, 1);
	store_wants_file("greylist", LOCK_EX);
}

static void scoreboard_of_the_dead(void)
{
	int children = zoo_vary(0, 3), listener;

	services_open();
	sessions = zoo_vary(1, 4);
	scoreboard = zoo_shared(sizeof(*scoreboard));
	services_shared_mutex(scoreboard);
	waitpid(store_process("mx", ends_with_scoreboard, 0, 0), NULL, 0);
	listener = zoo_listen_unix("mx", 16);
	store_process("mx", counts_under_lock, listener, 1);
	for (int i = 0; i < children; i++)
		store_process("mx", counts_a_client, listener, 1);
	for (int i = 0; i < sessions; i++)
		store_process("mx", wants_greylist, listener, 1);
	close(listener);
	services_askers("client", "mx", children + sessions + 1 + zoo_vary(0, 2));
	services_run();
}

const struct zoo_case zoo_services[] = {
	{"pool-sleeps-past-its-jobs", "exhaustion", "store", pool_sleeps_past_its_jobs,
		ZOO_HELD_OUT, 0},
	{"dict-forgets-quota", "lost-wakeup", "session", dict_forgets_quota, ZOO_HELD_OUT, 0},
	{"anvil-accepts-no-more", "lost-wakeup", "session", anvil_accepts_no_more, ZOO_HELD_OUT, 0},
	{"auth-worker-and-dict", "deadlock", "auth", auth_worker_and_dict, ZOO_HELD_OUT, 0},
	{"rotation-keeps-the-log", "lost-wakeup", "log", rotation_keeps_the_log, ZOO_HELD_OUT, 0},
	{"helper-inherits-accept-lock", "lost-wakeup", "receive", helper_inherits_accept_lock,
		ZOO_HELD_OUT, 0},
	{"scoreboard-of-the-dead", "lost-wakeup", "receive", scoreboard_of_the_dead, ZOO_HELD_OUT,
		0},
	{0},
};

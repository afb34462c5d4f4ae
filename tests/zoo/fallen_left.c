/*
 * Ends that are no crash: a status, a signal that leaves no core, a thread that returns. Who was waited for is gone,
 * and nobody is told. To blame is whoever of the living could have told them; where there is none, who waits, and
 * beside him who went.
 */
#include "tests/zoo/services_parts.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int others, peers;

/* ---- SIGPIPE: the reply to a client that has hung up, sent with a shared lock held ---- */

static pthread_mutex_t *user_lock;

static void replies_to_the_gone(long i)
{
	int pair[2];

	(void)i;
	zoo_pair(pair);
	close(pair[0]);
	zoo_must(!pthread_mutex_lock(user_lock));
	zoo_blame();
	zoo_must(write(pair[1], "* BYE\r\n", 7) == 7);
}

static void wants_user(long i)
{
	(void)i;
	zoo_stand();
	pthread_mutex_lock(user_lock);
}

static void reply_to_the_gone_under_lock(void)
{
	peers = zoo_vary(1, 5);
	services_open();
	user_lock = zoo_shared(sizeof(*user_lock));
	services_shared_mutex(user_lock);
	waitpid(store_process("imap", replies_to_the_gone, 0, 0), NULL, 0);
	for (int i = 0; i < peers; i++)
		store_process("imap", wants_user, i, 1);
	services_run();
}

/* ---- the only child behind a door ends with a status, and its master does not look after it ---- */

static void ends_at_once(long listener)
{
	(void)listener;
	store_called("policyd");
	_exit(1);
}

static void master_of_one(long i)
{
	int listener = zoo_listen_unix("policy", 32);
	pid_t pid = zoo_fork_run(ends_at_once, listener);
	siginfo_t info;

	(void)i;
	/* It ends before this stands; that it did is left for later. */
	zoo_must(!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	zoo_blame();
	store_loop(&listener, 0);
}

static void asks_policy(void)
{
	services_asks("policy");
}

static void only_child_ended(void)
{
	services_open();
	store_process("policy-master", master_of_one, 0, 1);
	services_sessions("smtpd", asks_policy, zoo_vary(3, 7));
	services_run();
}

/* ---- the thread that writes the log returns at an error: commits wait for its word ---- */

static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t log_flushed = PTHREAD_COND_INITIALIZER;
static bool flushed;

static void *gives_up_flushing(void *arg)
{
	store_called("flush");
	return arg;
}

static void *commits(void *arg)
{
	store_called("commit");
	pthread_mutex_lock(&log_lock);
	zoo_stand();
	while (!flushed)
		pthread_cond_wait(&log_flushed, &log_lock);
	pthread_mutex_unlock(&log_lock);
	return arg;
}

static void commits_for_all(long listener)
{
	pthread_t flusher = zoo_thread_run(gives_up_flushing, NULL);

	zoo_must(!pthread_join(flusher, NULL));
	services_serve((int)listener, commits, peers);
}

/* Several, and no idle workers beside them: which of the two waits for work cannot be told from outside. */
static void flusher_returned(void)
{
	peers = zoo_vary(2, 5);
	services_open();
	store_service("store", commits_for_all, peers + 1);
	services_askers("imap", "store", peers);
	services_run();
}

/* ---- a worker of a pool is killed with the only job in hand ---- */

struct pool {
	sem_t jobs, done;
};

static struct pool *pool;

static void takes_job_and_is_killed(long i)
{
	(void)i;
	while (sem_wait(&pool->jobs))
		;
	raise(SIGKILL);
}

static void takes_jobs(long i)
{
	(void)i;
	store_after(1, 1);
	zoo_ready();
	sem_wait(&pool->jobs);
	sem_post(&pool->done);
}

static void awaits_job(long i)
{
	(void)i;
	sem_post(&pool->jobs);
	store_after(1, 1);
	zoo_stand();
	sem_wait(&pool->done);
}

static void job_died_with_its_worker(void)
{
	pid_t pid;

	services_open();
	others = zoo_vary(1, 4);
	pool = zoo_shared(sizeof(*pool));
	zoo_must(!sem_init(&pool->jobs, 1, 0) && !sem_init(&pool->done, 1, 0));
	for (int i = 0; i < others; i++)
		store_process("convert", takes_jobs, i, 1);
	store_process("imap", awaits_job, 0, 1);
	pid = store_process("convert", takes_job_and_is_killed, 0, 0);
	zoo_must(waitpid(pid, NULL, 0) == pid);
	store_step(1);
	services_run();
}

const struct zoo_case zoo_fallen_left[] = {
	{"reply-to-the-gone-under-lock", "lost-wakeup", "session", reply_to_the_gone_under_lock,
		ZOO_HELD_OUT, 0},
	{"only-child-ended", "lost-wakeup", "policy", only_child_ended, ZOO_HELD_OUT, 0},
	{"flusher-returned", "exhaustion", "store", flusher_returned, ZOO_HELD_OUT, 0},
	{"job-died-with-its-worker", "lost-wakeup", "convert", job_died_with_its_worker,
		ZOO_HELD_OUT, 0},
	{0},
};

/*
 * Small mail stores in which somebody crashes and others wait for him, or nobody does. Written without knowledge of
 * the diagnosis. Who is to blame is who crashed, and beside him who took away what he used.
 */
#include "tests/zoo/services_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE	    4096
#define INDEX_PAGES 16
#define MESSAGE_SIZE \
	5000 /* too big for a cache of the thread's, too small for a mapping of its own */

static int others, peers;

/* All others stand: who dies with them has let them come so far. */
static void others_stand(void)
{
	zoo_await(&zoo_board->stand, 1);
	zoo_await(&zoo_board->ready, atomic_load(&zoo_board->stand) - 1);
}

/* ---- who listens for a service that dies: its door stays open and nobody answers behind it ---- */

static void (*behind_door)(long);
static const char *door;

static void holds_door(long i)
{
	int listener = zoo_listen_unix(door, 32);

	(void)i;
	zoo_fork_run(behind_door, listener);
	store_loop(&listener, 0);
}

static void store_door(const char *name, void (*run)(long))
{
	door = name;
	behind_door = run;
	store_process("supervise", holds_door, 0, 2);
}

static void asserts_at_request(long listener)
{
	store_called("auth");
	store_take((int)listener);
	zoo_stand();
	abort();
}

static void asks_auth(void)
{
	services_asks("auth");
}

static void auth_asserts_behind_open_door(void)
{
	services_open();
	store_door("auth", asserts_at_request);
	services_sessions("imap-login", asks_auth, zoo_vary(2, 6));
	services_run();
}

/* ---- the service that two others ask: it wrote into what it had mapped to read ---- */

static void writes_to_mapped_record(long listener)
{
	volatile char *record = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	store_called("ldap-cache");
	store_take((int)listener);
	zoo_must(record != MAP_FAILED);
	zoo_stand();
	record[0] = 'x';
}

/* Asks once for all its askers. */
static void auth_through_directory(long listener)
{
	int fds[STORE_FDS];

	for (int i = 0; i < peers; i++)
		fds[i] = store_take((int)listener);
	fds[peers] = services_dial("directory"); /* whom the crash throws out */
	store_await(services_dial("directory"));
	store_loop(fds, 0);
}

static void directory_crashes_two_hops_away(void)
{
	peers = zoo_vary(2, 5);
	services_open();
	store_door("directory", writes_to_mapped_record);
	store_service("auth", auth_through_directory, 1);
	services_sessions("pop3-login", asks_auth, peers);
	services_run();
}

/* ---- an index file is cut while a session of many reads it ---- */

static volatile const char *index_map;

static void *reads_index(void *arg)
{
	int sum = 0;

	store_called("fetch");
	store_step(0);
	store_after(1, 1);
	others_stand();
	zoo_stand();
	for (int i = 0; i < INDEX_PAGES; i++)
		sum += index_map[i * PAGE];
	zoo_must(sum == 0);
	return arg;
}

static void serves_mapped(long listener)
{
	int fd = zoo_open_file("index.cache");

	zoo_must(!ftruncate(fd, INDEX_PAGES * PAGE));
	index_map = mmap(NULL, INDEX_PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	zoo_must(index_map != MAP_FAILED);
	store_idle_workers(others);
	zoo_thread_run(reads_index, NULL);
	store_serve((int)listener, peers);
}

static void compacts(long i)
{
	(void)i;
	store_after(0, 1);
	zoo_must(!ftruncate(zoo_open_file("index.cache"), 0));
	zoo_blame();
	store_step(1);
	store_loop(NULL, 0);
}

static void compacted_under_its_reader(void)
{
	others = zoo_vary(1, 5);
	peers = zoo_vary(1, 4);
	services_open();
	store_service("imapd", serves_mapped, others + 2);
	store_process("compact", compacts, 0, 1);
	services_askers("client", "imapd", peers);
	services_run();
}

/* ---- a table of functions with a gap ---- */

struct filter_calls {
	int (*begin)(int fd);
	int (*end)(int fd);
};

static int begins(int fd)
{
	return fd;
}

static volatile struct filter_calls calls = {.begin = begins};

static void filters_by_table(long listener)
{
	int fd = store_take((int)listener);

	zoo_must(calls.begin(fd) == fd);
	zoo_stand();
	zoo_must(calls.end(fd) == fd);
}

static void asks_filter(void)
{
	services_asks("spamd");
}

static void filter_has_no_end(void)
{
	services_open();
	store_service("spamd", filters_by_table, 1);
	services_sessions("lmtp", asks_filter, 1);
	services_run();
}

/* ---- a message of the cache, freed by its session and by who expunges it ---- */

static char *cached;

static void *frees_message(void *arg)
{
	store_called(arg ? "expunge" : "session");
	zoo_blame();
	store_after(arg ? 2 : 1, 1);
	if (arg)
		others_stand();
	zoo_ready();
	free(cached);
	store_step(2);
	return NULL;
}

static void two_that_free(long listener)
{
	char *behind;
	int fd = (int)listener;

	cached = malloc(MESSAGE_SIZE);
	behind = malloc(MESSAGE_SIZE);
	zoo_must(cached && behind);
	store_idle_workers(others);
	zoo_thread_run(frees_message, NULL);
	zoo_thread_run(frees_message, behind);
	store_step(1); /* a thread that begins later could be given what was freed */
	store_loop(&fd, 1);
}

static void freed_by_session_and_expunge(void)
{
	others = zoo_vary(0, 4);
	services_open();
	store_service("imapd", two_that_free, others + 3);
	services_run();
}

/* ---- a handler of SIGHUP reads the configuration that is not read yet ---- */

static struct {
	volatile int *level;
} config;

static void reloads(int signal)
{
	*config.level = signal;
}

static void reloads_in_handler(long i)
{
	(void)i;
	zoo_must(signal(SIGHUP, reloads) != SIG_ERR);
	zoo_blame();
	store_step(0);
	zoo_ready();
	pause();
}

static pid_t reloaded;

static void tells_to_reload(long i)
{
	(void)i;
	store_after(0, 1);
	zoo_must(!kill(reloaded, SIGHUP));
	store_loop(NULL, 0);
}

static void reload_before_configured(void)
{
	services_open();
	reloaded = store_process("milter", reloads_in_handler, 0, 1);
	store_process("logrotate", tells_to_reload, 0, 1);
	services_run();
}

/* ---- a converter in a sandbox makes a call that the sandbox does not know ---- */

static void shut_in(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(rules) / sizeof(rules[0]), rules};

	zoo_must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
		 !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static void converts_in_sandbox(long listener)
{
	store_take((int)listener);
	shut_in();
	zoo_stand();
	syscall(SYS_renameat2, -1, "tmp", -1, "new", 0);
}

static void asks_converter(void)
{
	services_asks("convert");
}

static void converter_leaves_its_sandbox(void)
{
	services_open();
	store_service("convert", converts_in_sandbox, 1);
	services_sessions("imap", asks_converter, 1);
	store_idle_sessions(zoo_vary(0, 4));
	services_run();
}

/* ---- a MIME tree without end is walked under a lock that others want ---- */

static pthread_mutex_t *cache_lock;

static int walk_parts(volatile char *above)
{
	volatile char part[PAGE];

	if (!above)
		return 0;
	part[0] = above[0];
	return walk_parts(part) + part[0];
}

static void walks_under_lock(long wait_for)
{
	volatile char top = 'x';

	zoo_must(!pthread_mutex_lock(cache_lock));
	store_step(0);
	store_after(1, (int)wait_for);
	zoo_stand();
	zoo_must(walk_parts(&top) == 1);
}

static void wants_cache(long i)
{
	(void)i;
	store_after(0, 1);
	store_step(1);
	zoo_ready();
	pthread_mutex_lock(cache_lock);
}

static void mime_tree_under_shared_lock(void)
{
	peers = zoo_vary(1, 5);
	services_open();
	cache_lock = zoo_shared(sizeof(*cache_lock));
	services_shared_mutex(cache_lock);
	store_process("indexer", walks_under_lock, peers, 1);
	for (int i = 0; i < peers; i++)
		store_process("imap", wants_cache, i, 1);
	services_run();
}

/* ---- the owner of a robust lock crashes, and who gets it finds what he left and gives up ---- */

static void crashes_as_owner(long i)
{
	volatile int *nowhere = (volatile int *)(intptr_t)(24 + i); /* NOLINT: meant */

	zoo_must(!pthread_mutex_lock(cache_lock));
	store_step(0);
	store_after(1, 1);
	zoo_stand();
	*nowhere = 1;
}

static void inherits_and_asserts(long i)
{
	(void)i;
	store_after(0, 1);
	store_step(1);
	zoo_ready();
	zoo_must(pthread_mutex_lock(cache_lock) != EOWNERDEAD);
}

static void robust_mutex(void)
{
	pthread_mutexattr_t attr;

	cache_lock = zoo_shared(sizeof(*cache_lock));
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	zoo_must(!pthread_mutex_init(cache_lock, &attr));
}

static void heir_of_the_dead_asserts(void)
{
	services_open();
	robust_mutex();
	store_process("lmtp", crashes_as_owner, 0, 1);
	store_process("imap", inherits_and_asserts, 0, 1);
	store_idle_sessions(zoo_vary(1, 4));
	services_run();
}

/* ---- a child dies before it answers, and a daemon begun beside it keeps the pipe open ---- */

static int answer[2];

static int mean(volatile int sum, volatile int count)
{
	return sum / count;
}

static void divides(long i)
{
	store_called("score");
	close(answer[0]);
	store_after(0, 1);
	zoo_stand();
	zoo_must(mean(7, (int)i) > 0);
}

static void helper_idles(long i)
{
	store_called("helper");
	(void)i;
	close(answer[0]);
	store_loop(NULL, 0);
}

static void awaits_score(long i)
{
	(void)i;
	zoo_must(!pipe2(answer, O_CLOEXEC));
	for (int n = 0; n < others; n++)
		zoo_fork_run(helper_idles, n);
	zoo_fork_run(divides, 0);
	close(answer[1]);
	store_step(0);
	zoo_ready();
	zoo_read(answer[0]);
}

static void score_dies_pipe_stays(void)
{
	others = zoo_vary(1, 3);
	services_open();
	store_process("deliver", awaits_score, 0, 2 + others);
	services_run();
}

/* ---- restarted until its supervisor does so no more ---- */

#define BEGUN  4
#define HOUR_S 3600

static void trips_over_spool(long listener)
{
	store_called("scan");
	(void)listener;
	zoo_stand();
	__builtin_trap();
}

static void ends_with_status(long listener)
{
	store_called("dict");
	(void)listener;
	zoo_blame();
	_exit(78); /* EX_CONFIG of sysexits.h */
}

static void restarts_to_limit(long status)
{
	int listener = zoo_listen_unix("scan", 32);

	for (int i = 0; i < BEGUN; i++)
		zoo_must(waitpid(zoo_fork_run(status ? ends_with_status : trips_over_spool, i),
				 NULL, 0) > 0);
	zoo_ready();
	poll(NULL, 0, HOUR_S * 1000);
	close(listener);
}

static void asks_scan(void)
{
	services_asks("scan");
}

static void scan_crashes_to_its_limit(void)
{
	services_open();
	store_process("supervise", restarts_to_limit, 0, 1 + BEGUN);
	services_sessions("smtpd", asks_scan, zoo_vary(1, 5));
	services_run();
}

static void dict_exits_to_its_limit(void)
{
	services_open();
	store_process("supervise", restarts_to_limit, 1, 1);
	services_sessions("lmtp", asks_scan, zoo_vary(1, 5));
	services_run();
}

#define DIES (ZOO_HELD_OUT | ZOO_DIES)

const struct zoo_case zoo_fallen[] = {
	{"auth-asserts-behind-open-door", "crash", "login", auth_asserts_behind_open_door, DIES, 1},
	{"directory-crashes-two-hops-away", "crash", "login", directory_crashes_two_hops_away, DIES,
		1},
	{"compacted-under-its-reader", "crash", "imapd", compacted_under_its_reader, DIES, 1},
	{"filter-has-no-end", "crash", "lmtp", filter_has_no_end, DIES, 1},
	{"freed-by-session-and-expunge", "crash", "imapd", freed_by_session_and_expunge, DIES, 1},
	{"reload-before-configured", "crash", "milter", reload_before_configured, DIES, 1},
	{"converter-leaves-its-sandbox", "crash", "session", converter_leaves_its_sandbox, DIES, 1},
	{"mime-tree-under-shared-lock", "crash", "index", mime_tree_under_shared_lock, DIES, 1},
	{"heir-of-the-dead-asserts", "crash", "store", heir_of_the_dead_asserts, DIES, 2},
	{"score-dies-pipe-stays", "crash", "deliver", score_dies_pipe_stays, DIES, 1},
	{"scan-crashes-to-its-limit", "crash-loop", "scan", scan_crashes_to_its_limit, DIES, BEGUN},
	{"dict-exits-to-its-limit", "crash-loop", "dict", dict_exits_to_its_limit,
		ZOO_HELD_OUT | ZOO_EXITS, 0},
	{0},
};

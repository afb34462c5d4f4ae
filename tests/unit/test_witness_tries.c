/* What threads that sleep ask for again and again, as the real witness sees real processes. */
#include "run/bed/tries.h"

#include "tests/unit/witness_fixture.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define FOLLOW_MS FIXTURE_WAIT_MS /* it ends sooner: when all have turned */
#define SHORT_MS  300

/* How one of them looks; it never gets it. */
static bool takes_flock(int dir)
{
	static int fd = -1;

	if (fd < 0)
		fd = openat(dir, "index", O_RDWR | O_CLOEXEC);
	return !flock(fd, LOCK_EX | LOCK_NB);
}

static bool takes_range(int dir)
{
	static int fd = -1;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 20};

	if (fd < 0)
		fd = openat(dir, "index", O_RDWR | O_CLOEXEC);
	return !fcntl(fd, F_SETLK, &lock);
}

static bool makes_file(int dir)
{
	return openat(dir, "mbox.lock", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) >= 0;
}

static bool makes_link(int dir)
{
	return !linkat(dir, "index", dir, "mbox.lock", 0);
}

static bool looks_whether_it_is_gone(int dir)
{
	struct stat st;

	return fstatat(dir, "index", &st, 0) || fstatat(dir, "mbox.lock", &st, AT_SYMLINK_NOFOLLOW);
}

static bool looks_at_another_file(int dir)
{
	struct stat st;

	return fstatat(dir, "index", &st, 0) != 0;
}

static bool takes_open_file_lock(int dir)
{
	static int fd = -1;
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

	if (fd < 0)
		fd = openat(dir, "index", O_RDWR | O_CLOEXEC);
	return !fcntl(fd, F_OFD_SETLK, &lock);
}

static bool makes_folder(int dir)
{
	return !mkdirat(dir, "folder.lock", 0700);
}

static bool makes_symlink(int dir)
{
	return !symlinkat("host.1", dir, "link.lock");
}

static bool waits_for_its_end(int dir)
{
	(void)dir;
	return kill(getppid(), 0) != 0;
}

static int set = -1;

static bool takes_semaphore(int dir)
{
	struct sembuf ops[] = {{0, 1, IPC_NOWAIT}, {1, -1, IPC_NOWAIT}};

	(void)dir;
	return !semop(set, ops, 2);
}

/* At more than are kept of one turn. */
static bool looks_around_and_makes_file(int dir)
{
	static const char around[64] = "././././././././././././././././././././index";
	struct stat st;

	for (size_t i = 0; i < 40; i += 2)
		if (fstatat(dir, around + i, &st, 0))
			return true;
	return makes_file(dir);
}

/* As a condition variable is waited for with a time limit. */
static bool waits_in_memory(int dir)
{
	static int word;
	const struct timespec limit = {.tv_nsec = 20000000};

	(void)dir;
	return !syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &limit);
}

static bool opens_what_is_there(int dir)
{
	int fd = openat(dir, "index", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);

	close(fd);
	return fd < 0;
}

static pid_t sleeper_begin(bool (*gets)(int dir), const char *path, long ms)
{
	const struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
	pid_t pid = fork();
	int dir;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	do
		nanosleep(&rest, NULL);
	while (!gets || !gets(dir));
	_exit(0);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A folder with a file that this process has locked, and dot-locks that it has made. */
static char *place_make(const char *name, int *ret_fd)
{
	char *dir = path_join(check_dir(), name);
	auto_free char *index = path_join(dir, "index"), *lock = path_join(dir, "mbox.lock");
	auto_free char *folder = path_join(dir, "folder.lock"),
		       *inside = path_join(folder, "owner"), *link = path_join(dir, "link.lock");
	auto_free char *says = text_fmt("%d host\n", (int)getpid());
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	CHECK_INT(fs_mkdir_p(folder, NULL), 0);
	CHECK_INT(fs_write_atomic(inside, says, strlen(says), NULL), 0);
	CHECK_INT(symlink(says, link), 0);
	CHECK_INT(fs_write_atomic(lock, says, strlen(says), NULL), 0);
	*ret_fd = open(index, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK_INT(flock(*ret_fd, LOCK_EX), 0);
	CHECK_INT(fcntl(*ret_fd, F_SETLK, &all), 0);
	return dir;
}

/* NULL, and skipped, where the kernel does not let calls be followed. */
static json_t *tries_of(struct bench *b, const int *tids, size_t count, int ms)
{
	json_t *tries = NULL;
	struct err err = {0};

	if (witness_tries(b->w, tids, count, ms, soon(), &tries, &err)) {
		check_skip("%s", err.text);
		return NULL;
	}
	return tries;
}

static bool is_made_between(const json_t *one, int64_t from_ns, int64_t to_ns)
{
	int64_t made_ns = json_get_int(one, "made_ns", 0);

	return made_ns >= from_ns - NS_PER_SEC && made_ns <= to_ns;
}

/* Of the open file that it has locked, as fdinfo writes it. */
static bool tells_lock_of(const json_t *one, int pid)
{
	const json_t *held;
	size_t i;

	json_array_foreach (json_object_get(one, "held"), i, held)
		if (json_get_int(held, "pid", 0) == pid &&
			strstr(json_get_text(held, "lock", ""), "FLOCK"))
			return true;
	return false;
}

static void what_a_sleeper_asks_for_again_and_again_is_told(void)
{
	static const struct {
		bool (*gets)(int dir);
		const char *kind, *path; /* NULL: it asks for nothing */
		int64_t first, last;
	} rows[] = {
		{takes_flock, "flock", "/index", 0, -1},
		{takes_range, "posix", "/index", 100, 119},
		{takes_open_file_lock, "ofd", "/index", 0, -1},
		{makes_folder, "file", "/folder.lock", 0, -1},
		{makes_symlink, "file", "/link.lock", 0, -1},
		{makes_file, "file", "/mbox.lock", 0, -1},
		{makes_link, "file", "/mbox.lock", 0, -1},
		{looks_whether_it_is_gone, "file", "/mbox.lock", 0, -1},
		{looks_around_and_makes_file, "file", "/mbox.lock", 0, -1},
		{looks_at_another_file, "nothing", NULL, 0, -1},
		{opens_what_is_there, "nothing", NULL, 0, -1},
		{waits_in_memory, "nothing", NULL, 0, -1},
	};
	int64_t began_ns = clock_mono_ns();
	int tids[ARRAY_SIZE(rows)], fd = -1;
	auto_free char *dir = place_make("asked", &fd);
	auto_free char *pid = text_fmt("%d host\n", (int)getpid());
	auto_json json_t *tries = NULL;
	auto_bench struct bench b = {0};
	const json_t *one;
	size_t i;

	if (!bench_open(&b))
		return;
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		tids[i] = sleeper_begin(rows[i].gets, dir, 5);
	tries = tries_of(&b, tids, ARRAY_SIZE(rows), FOLLOW_MS);
	CHECK(!tries || json_array_size(tries) == ARRAY_SIZE(rows));
	json_array_foreach (tries, i, one) {
		size_t row = 0;

		while (row < ARRAY_SIZE(rows) && tids[row] != json_get_int(one, "tid", 0))
			row++;
		if (!CHECK(row < ARRAY_SIZE(rows)))
			continue;
		CHECK_STR(json_get_text(one, "kind", ""), rows[row].kind);
		if (!rows[row].path)
			continue;
		CHECK_HAS(json_get_text(one, "path", ""), rows[row].path);
		CHECK(strchr(json_get_text(one, "inode", ""), ':') != NULL);
		CHECK_INT(json_get_int(one, "first", 0), rows[row].first);
		CHECK_INT(json_get_int(one, "last", -1), rows[row].last);
		CHECK(strcmp(rows[row].kind, "file") != 0 ||
			is_made_between(one, began_ns, clock_mono_ns()));
		if (!strcmp(rows[row].kind, "file"))
			CHECK_STR(json_get_text(one, "says", ""), pid);
		else
			CHECK_INT(json_get_bool(one, "write", false),
				strcmp(rows[row].kind, "ofd") != 0);
		if (!strcmp(rows[row].kind, "ofd"))
			CHECK(tells_lock_of(one, getpid()));
	}
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		end(tids[i]);
	close(fd);
}

static void a_semaphore_and_a_process_that_are_asked_for_are_told(void)
{
	int tids[2], fd = -1;
	auto_free char *dir = place_make("others", &fd);
	auto_json json_t *tries = NULL;
	auto_bench struct bench b = {0};
	const json_t *sem;

	if (!bench_open(&b))
		return;
	set = semget(IPC_PRIVATE, 2, 0600);
	CHECK(set >= 0);
	tids[0] = sleeper_begin(takes_semaphore, dir, 5);
	tids[1] = sleeper_begin(waits_for_its_end, dir, 5);
	tries = tries_of(&b, tids, 2, FOLLOW_MS);
	CHECK(!tries || json_array_size(tries) == 2);
	if (json_array_size(tries) == 2) {
		sem = json_object_get(json_array_get(tries, 0), "sem");
		CHECK_STR(json_get_text(json_array_get(tries, 0), "kind", ""), "semaphore");
		CHECK_INT(json_get_int(sem, "id", -1), set);
		CHECK_INT(json_get_int(sem, "num", -1), 1);
		CHECK_INT(json_get_int(sem, "value", -1), 0);
		CHECK_STR(json_get_text(json_array_get(tries, 1), "kind", ""), "process");
		CHECK_INT(json_get_int(json_array_get(tries, 1), "pid", 0), getpid());
	}
	end(tids[0]);
	end(tids[1]);
	semctl(set, 0, IPC_RMID);
	close(fd);
}

static void who_has_a_dot_lock_open_is_told(void)
{
	int fd = -1, lock;
	auto_free char *dir = place_make("open", &fd);
	auto_free char *path = path_join(dir, "mbox.lock");
	auto_json json_t *tries = NULL;
	auto_bench struct bench b = {0};
	int tid;

	if (!bench_open(&b))
		return;
	tid = sleeper_begin(makes_file, dir, 5);
	lock = open(path, O_RDONLY | O_CLOEXEC);
	tries = tries_of(&b, &tid, 1, FOLLOW_MS);
	if (tries) {
		const json_t *by = json_object_get(json_array_get(tries, 0), "open_by");

		CHECK_INT(json_array_size(by), 1);
		CHECK_INT(json_integer_value(json_array_get(by, 0)), getpid());
	}
	end(tid);
	close(lock);
	close(fd);
}

/* Whether a hang ends by itself is not told by them. */
static void who_is_in_the_tries_of_a_scan_wakes_by_himself(void)
{
	auto_json json_t *scan = json_pack("{s[{si}{si}]}", "tries", "tid", 7, "tid", 9);
	auto_json json_t *none = json_object();

	CHECK(tries_has(scan, 7) && tries_has(scan, 9));
	CHECK(!tries_has(scan, 8) && !tries_has(none, 7));
}

/* A look that is long over, at whoever sleeps for longer than that, is none. */
static void who_sleeps_on_or_is_not_there_asks_for_nothing(void)
{
	int fd = -1, tids[2] = {0, 1 << 30};
	auto_free char *dir = place_make("asleep", &fd);
	auto_json json_t *tries = NULL, *none = NULL;
	auto_bench struct bench b = {0};
	struct err err = {0};

	if (!bench_open(&b))
		return;
	tids[0] = sleeper_begin(makes_file, dir, 3600000);
	tries = tries_of(&b, tids, 2, SHORT_MS);
	CHECK(!tries || !json_array_size(tries));
	CHECK(witness_tries(b.w, (int[]){0}, 1, SHORT_MS, soon(), &none, &err) < 0);
	CHECK_HAS(err.text, "tries: ");
	CHECK_INT(witness_ping(b.w, soon(), NULL, NULL), 0);
	end(tids[0]);
	close(fd);
}

CHECK_MAIN(CHECK_CASE(what_a_sleeper_asks_for_again_and_again_is_told),
	CHECK_CASE(a_semaphore_and_a_process_that_are_asked_for_are_told),
	CHECK_CASE(who_has_a_dot_lock_open_is_told),
	CHECK_CASE(who_is_in_the_tries_of_a_scan_wakes_by_himself),
	CHECK_CASE(who_sleeps_on_or_is_not_there_asks_for_nothing))

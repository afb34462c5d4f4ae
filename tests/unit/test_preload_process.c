/*
 * Rules that meet threads, children, chroots and a store's own points, and who is on the board.
 */
#include "tests/unit/preload_fixture.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>

/* ---- victims ---- */

static int sync_once(const char *dir)
{
	int fd = open_file(dir, "mail1");

	errno = ENOTUNIQ;
	EXPECT(!fsync(fd));
	EXPECT(errno == ENOTUNIQ);
	return VICTIM_OK;
}

static void *sync_in_thread(void *dir)
{
	return (void *)(intptr_t)fsync_file(dir, "mail1");
}

static int sync_in_threads(const char *dir)
{
	pthread_t threads[4];
	void *rc = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		EXPECT(!pthread_create(&threads[i], NULL, sync_in_thread, (void *)(uintptr_t)dir));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		EXPECT(!pthread_join(threads[i], &rc) && !rc);
	return VICTIM_OK;
}

static _Atomic bool stop_syncing;

static void *sync_on(void *arg)
{
	while (!stop_syncing)
		fsync(-1);
	return arg;
}

/* Threads keep asking libfiu while children are forked. Each child asks too, and of one point that its
 * parent never met, which libfiu must write down there. */
static int fork_many(const char *arg)
{
	pthread_t threads[4];
	int status;

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		EXPECT(!pthread_create(&threads[i], NULL, sync_on, NULL));
	for (int i = 0; i < 200; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(fsync(-1) == -1 && errno == EBADF && rmdir("/") == -1 ? 0 : 9);
		EXPECT(waitpid(pid, &status, 0) == pid && status == 0);
	}
	stop_syncing = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		EXPECT(!pthread_join(threads[i], NULL));
	return VICTIM_OK;
}

static int sync_after_close_all(const char *dir)
{
	EXPECT(!close_range(0, ~0U, 0));
	return fsync_file(dir, "mail1") ? VICTIM_WRONG : VICTIM_OK;
}

static int sync_in_chroot(const char *dir)
{
	int fd;

	EXPECT(!chdir(dir) && !chroot(".") && !chdir("/"));
	EXPECT(!chmod("/", 0755) && !mkdir("/box", 0777) && !chmod("/box", 0777));
	EXPECT(!setgid(65534) && !setuid(65534));
	fd = open("box/mail1", O_RDWR | O_CREAT, 0600);
	EXPECT(fd >= 0 && !fsync(fd));
	EXPECT(!rename("/box/mail1", "box/mail2"));
	EXPECT(!access("/", F_OK));
	return VICTIM_OK;
}

static int (*fail_here)(const char *);
static void *(*fail_info)(void);

static bool find_fiu(void)
{
	void *fail = dlsym(RTLD_DEFAULT, "fiu_fail"), *info = dlsym(RTLD_DEFAULT, "fiu_failinfo");

	memcpy(&fail_here, &fail, sizeof(fail_here));
	memcpy(&fail_info, &info, sizeof(fail_info));
	return fail && info;
}

static int own_point(const char *arg)
{
	(void)arg;
	EXPECT(find_fiu());
	EXPECT(fail_here("teststore/other") == 0);
	EXPECT(fail_here("teststore/point") == 0);
	errno = ENOTUNIQ;
	EXPECT(fail_here("teststore/point") == 1);
	EXPECT(errno == ENOTUNIQ && (intptr_t)fail_info() == ENOSPC);
	EXPECT(fail_here("teststore/point") == 0);
	return VICTIM_OK;
}

static int by_hand(const char *arg)
{
	(void)arg;
	EXPECT(find_fiu());
	EXPECT(fail_here("teststore/byhand") == 1);
	EXPECT((intptr_t)fail_info() == 28);
	EXPECT(fail_here("teststore/other") == 0);
	return VICTIM_OK;
}

/* Parent and child, until they are killed. */
static int say_and_stay(const char *arg)
{
	(void)arg;
	if (!fork())
		tell("%d %d", getppid(), getpid());
	pause();
	return VICTIM_OK;
}

static void *exec_when_told(void *dir)
{
	char *argv[] = {
		(char *)"/proc/self/exe", (char *)"victim", (char *)"nothing", (char *)"", NULL};
	auto_free char *go = text_fmt("%s/go", (const char *)dir);

	while (access(go, F_OK))
		sched_yield();
	execv(argv[0], argv);
	return NULL;
}

/* The main thread is parked when another one calls exec: the new program has its thread id. */
static int exec_while_parked(const char *dir)
{
	pthread_t thread;

	EXPECT(!pthread_create(&thread, NULL, exec_when_told, (void *)(uintptr_t)dir));
	fsync_file(dir, "mail1");
	return VICTIM_WRONG;
}

static int nothing(const char *arg)
{
	(void)arg;
	tell("here");
	pause();
	return VICTIM_OK;
}

static const struct victim_kind kinds[] = {{"sync_once", sync_once},
	{"sync_in_threads", sync_in_threads}, {"fork_many", fork_many},
	{"sync_after_close_all", sync_after_close_all}, {"sync_in_chroot", sync_in_chroot},
	{"own_point", own_point}, {"by_hand", by_hand}, {"say_and_stay", say_and_stay},
	{"exec_while_parked", exec_while_parked}, {"nothing", nothing}};

/* ---- cases ---- */

static void one_of_several_threads_is_parked(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync hit=2");
	struct victim victim = victim_start("sync_in_threads", work);
	struct board_event event = {0};
	CHECK(await_event(BOARD_EVENT_PARKED, 1, &event));
	CHECK(event.tid != event.pid);
	CHECK_INT(count_of("parked", 1), 1);
	say("release slot=1");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK_INT(count_of("hits", 1), 4);
}

static void two_processes_are_parked_and_released_together(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync calls=all");
	struct victim a = victim_start("sync_once", work), b = victim_start("sync_once", work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	CHECK_INT(count_of("parked", 1), 2);
	CHECK_STR(say("release slot=1"), "{\"released\":2}");
	CHECK_INT(victim_end(&a), VICTIM_OK);
	CHECK_INT(victim_end(&b), VICTIM_OK);
}

static void a_task_killed_while_parked_leaves_no_count(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync calls=all");
	struct victim victim = victim_start("sync_once", work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	CHECK_INT(kill(victim.pid, SIGKILL), 0);
	CHECK_INT(victim_end(&victim), 128 + SIGKILL);
	CHECK_INT(count_of("parked", 1), 0);
	CHECK_STR(say("disarm slot=1"), "{\"released\":0}");
	CHECK_STR(say("residue"), "{\"residue\":[]}");
}

static void a_task_parked_across_exec_leaves_no_count(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync path=%s/mail1", work);
	struct victim victim = victim_start("exec_while_parked", work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	CHECK_INT(count_of("parked", 1), 1);
	auto_free char *go = text_fmt("%s/go", work);
	CHECK(fclose(fopen(go, "w")) == 0);
	CHECK_STR(victim_line(&victim), "here");
	CHECK_INT(count_of("parked", 1), 0);
	kill(victim.pid, SIGKILL);
	CHECK_INT(victim_end(&victim), 128 + SIGKILL);
}

static void two_hundred_children_forked_while_armed_all_end(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync errno=EIO hit=1000000000 calls=all");
	say("arm slot=2 point=posix/io/dir/rmdir action=watch hit=1000000000");
	struct victim victim = victim_start("fork_many", work);
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK(count_of("hits", 1) > 200);
	CHECK_INT(count_of("hits", 2), 200);
}

static void a_process_that_closed_all_is_still_parked(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync path=%s/*", work);
	struct victim victim = victim_start("sync_after_close_all", work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	say("disarm slot=1");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
}

static void a_process_in_a_chroot_is_found_by_its_whole_path(void)
{
	struct board_event event = {0};

	if (geteuid()) {
		check_skip("chroot needs root");
		return;
	}
	fresh_board();
	say("arm slot=1 point=posix/io/dir/rename action=watch exe=%s path=%s/box/mail2", self,
		work);
	say("arm slot=2 point=posix/io/oc/open action=watch path=%s/box/*", work);
	say("arm slot=3 point=posix/io/dir/rename action=watch path=/box/*");
	say("arm slot=4 point=posix/io/stat/access action=watch");
	say("arm slot=5 point=posix/io/sync/fsync action=watch kind=file path=%s/box/mail1", work);
	struct victim victim = victim_start("sync_in_chroot", work);
	CHECK(await_event(BOARD_EVENT_HIT, 2, &event));
	auto_free char *path = text_fmt("%s/box/mail1", work);
	CHECK_STR(event.path, path);
	CHECK(await_event(BOARD_EVENT_HIT, 5, &event));
	CHECK_STR(event.path, path);
	CHECK(await_event(BOARD_EVENT_HIT, 1, &event));
	CHECK_STR(event.exe, self);
	CHECK(await_event(BOARD_EVENT_HIT, 4, NULL));
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK_INT(count_of("hits", 3), 0);
	CHECK_INT(count_of("missed", 1), 0);
}

static void a_stores_own_point_fails_when_armed_only(void)
{
	fresh_board();
	say("arm slot=1 point=teststore/point errno=ENOSPC hit=2");
	struct victim victim = victim_start("own_point", NULL);
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK_INT(count_of("hits", 1), 3);
	CHECK_INT(count_of("fired", 1), 1);
}

static void a_stores_own_point_can_be_parked(void)
{
	fresh_board();
	say("arm slot=1 point=teststore/point");
	say("arm slot=2 point=teststore/point errno=ENOSPC hit=2");
	struct victim victim = victim_start("own_point", NULL);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	say("release slot=1");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
}

static void fiu_run_works_by_hand(void)
{
	static const char run_preload[] = "/usr/lib/fiu/fiu_run_preload.so";

	if (access(run_preload, R_OK)) {
		check_skip("no %s", run_preload);
		return;
	}
	fresh_board();
	struct victim victim = victim_start_with("by_hand", NULL, run_preload,
		"FIU_ENABLE=enable name=teststore/byhand,failinfo=28");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
}

static bool lists(const char *reply, int pid)
{
	auto_json json_t *json = json_loads(reply, 0, NULL);
	json_t *at;
	size_t i;

	json_array_foreach (json_object_get(json, "processes"), i, at)
		if (json_integer_value(at) == pid)
			return true;
	return false;
}

static void live_processes_are_listed_forked_ones_too(void)
{
	int parent = 0, child = 0;

	fresh_board();
	struct victim victim = victim_start("say_and_stay", NULL);
	CHECK_INT(sscanf(victim_line(&victim), "%d %d", &parent, &child), 2);
	CHECK(lists(say("processes"), parent));
	CHECK(lists(say("processes"), child));
	CHECK(!lists(say("processes"), getpid()));
	kill(child, SIGKILL);
	kill(parent, SIGKILL);
	CHECK_INT(victim_end(&victim), 128 + SIGKILL);
	CHECK(!lists(say("processes"), parent));
}

static void a_program_the_preload_is_not_in_is_not_listed(void)
{
	fresh_board();
	struct board_process fake = {0};
	int fd = open(board_file, O_RDWR | O_CLOEXEC);
	off_t at = (off_t)(offsetof(struct board, processes) +
			   (size_t)getpid() % BOARD_PROCESSES_MAX * sizeof(fake));

	/* This very process, with the stack of a program it ran before. */
	fake = (struct board_process){.pid = getpid(), .boot_ns = INT64_MAX, .stack = 4096};
	CHECK_INT(pwrite(fd, &fake, sizeof(fake), at), sizeof(fake));
	CHECK(!lists(say("processes"), getpid()));
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {CHECK_CASE(one_of_several_threads_is_parked),
		CHECK_CASE(two_processes_are_parked_and_released_together),
		CHECK_CASE(a_task_killed_while_parked_leaves_no_count),
		CHECK_CASE(a_task_parked_across_exec_leaves_no_count),
		CHECK_CASE(two_hundred_children_forked_while_armed_all_end),
		CHECK_CASE(a_process_that_closed_all_is_still_parked),
		CHECK_CASE(a_process_in_a_chroot_is_found_by_its_whole_path),
		CHECK_CASE(a_stores_own_point_fails_when_armed_only),
		CHECK_CASE(a_stores_own_point_can_be_parked), CHECK_CASE(fiu_run_works_by_hand),
		CHECK_CASE(live_processes_are_listed_forked_ones_too),
		CHECK_CASE(a_program_the_preload_is_not_in_is_not_listed)};

	return preload_main(kinds, ARRAY_SIZE(kinds), cases, ARRAY_SIZE(cases), argc, argv);
}

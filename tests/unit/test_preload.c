/*
 * Rules that meet a live process: which calls they mean, and what they do.
 */
#include "tests/unit/preload_fixture.h"

#include <signal.h>
#include <sys/stat.h>

/* ---- victims ---- */

/* "other" in between: it must not count. */
static int sync_five(const char *dir)
{
	char name[16];

	for (int i = 1; i <= 5; i++) {
		EXPECT(!fsync_file(dir, "other"));
		snprintf(name, sizeof(name), "mail%d", i);
		EXPECT(!fsync_file(dir, name));
		tell("%d", i);
	}
	return VICTIM_OK;
}

static int sync_once(const char *dir)
{
	int fd = open_file(dir, "mail1");

	errno = ENOTUNIQ;
	EXPECT(!fsync(fd));
	EXPECT(errno == ENOTUNIQ);
	return VICTIM_OK;
}

/* Exported, as a library's functions are; see rules.mk. */
int sync_as_commit(const char *dir, const char *name);
__attribute__((noinline)) int sync_as_commit(const char *dir, const char *name)
{
	int fd = open_file(dir, name), rc = fsync(fd);

	close(fd);
	return rc;
}

static int sync_in_and_out(const char *dir)
{
	for (int i = 0; i < 3; i++) {
		tell("out %d", fsync_file(dir, "mail1"));
		tell("in %d", sync_as_commit(dir, "mail1"));
	}
	return VICTIM_OK;
}

static int sync_relative(const char *dir)
{
	EXPECT(!chdir(dir) && !mkdir("sub", 0700));
	errno = 0; /* a sanitizer's start leaves one behind */
	EXPECT(!rename("mail1", "sub/../mail2") && errno == 0);
	return VICTIM_OK;
}

static int sync_until_failed(const char *dir)
{
	for (int i = 1; i <= 10; i++)
		if (fsync_file(dir, "mail1")) {
			tell("%d %s", i, strerrorname_np(errno));
			return VICTIM_OK;
		}
	return VICTIM_WRONG;
}

static int write_ten(const char *dir)
{
	int fd = open_file(dir, "mail1");

	tell("%zd", write(fd, "0123456789", 10));
	tell("%zd", write(fd, "0123456789", 10));
	return VICTIM_OK;
}

static int remove_it(const char *dir)
{
	auto_free char *path = text_fmt("%s/mail1", dir);
	int fd = open_file(dir, "mail1");

	EXPECT(fd >= 0 && remove(path) == -1 && errno == EBUSY);
	EXPECT(remove(path) == -1 && errno == EROFS);
	EXPECT(openat(AT_FDCWD, path, O_RDONLY) == -1 && errno == EMFILE);
	EXPECT(remove(path) == 0);
	return VICTIM_OK;
}

static _Noreturn int open_for_ever(const char *dir)
{
	for (;;)
		close(open_file(dir, "mail1"));
}

static const struct victim_kind kinds[] = {{"sync_five", sync_five}, {"sync_once", sync_once},
	{"sync_in_and_out", sync_in_and_out}, {"sync_relative", sync_relative},
	{"sync_until_failed", sync_until_failed}, {"write_ten", write_ten},
	{"remove_it", remove_it}, {"open_for_ever", open_for_ever}};

/* ---- cases ---- */

static void the_nth_hit_of_a_program_and_path_is_parked_until_released(void)
{
	struct board_event event = {0};

	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync exe=%s path=%s/mail* hit=3", self, work);
	struct victim victim = victim_start("sync_five", work);
	CHECK_STR(victim_line(&victim), "1");
	CHECK_STR(victim_line(&victim), "2");
	CHECK(await_event(BOARD_EVENT_PARKED, 1, &event));
	auto_free char *path = text_fmt("%s/mail3", work);
	CHECK_STR(event.path, path);
	CHECK_STR(event.exe, self);
	CHECK_STR(event.call, "fsync");
	CHECK_INT(event.count, 3);
	CHECK_INT(event.pid, victim.pid);
	CHECK_INT(count_of("parked", 1), 1);
	CHECK_HAS(say("status slot=1"), path);
	CHECK_HAS(say("residue"), "is parked in fsync()");
	CHECK_STR(say("release slot=1"), "{\"released\":1}");
	CHECK(await_event(BOARD_EVENT_RELEASED, 1, NULL));
	CHECK_STR(victim_line(&victim), "3");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK_INT(count_of("parked", 1), 0);
	CHECK_INT(count_of("met", 1), 10);
	CHECK_INT(count_of("hits", 1), 5);
	CHECK_INT(count_of("fired", 1), 1);
	CHECK_INT(count_of("missed", 1), 0);
	CHECK_INT(count_of("pid", 1), victim.pid);
	CHECK(count_of("first_ns", 1) > 0);
	CHECK_INT(count_of("first_ns", 1), count_of("last_ns", 1));
}

static void disarming_lets_the_parked_go_and_later_hits_pass(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync path=%s/mail* calls=all", work);
	struct victim victim = victim_start("sync_five", work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	CHECK_STR(say("disarm slot=1"), "{\"released\":1}");
	CHECK_STR(say("disarm slot=1"), "{\"released\":0}");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK_INT(count_of("fired", 1), 1);
	CHECK_STR(say("residue"), "{\"residue\":[]}");
}

static void arming_a_slot_again_lets_its_parked_go(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync path=%s/mail1", work);
	struct victim victim = victim_start("sync_once", work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	say("arm slot=1 point=posix/io/dir/link");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
}

static void another_program_another_path_another_kind_and_task_pass(void)
{
	static const char *const filters[] = {"exe=/usr/bin/other,/usr/sbin/**", "path=/srv/**",
		"kind=socket,pipe", "pid=1", "tid=1", "hit=100"};

	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		fresh_board();
		say("arm slot=1 point=posix/io/sync/fsync %s", filters[i]);
		struct victim victim = victim_start("sync_once", work);
		check_int(victim_end(&victim), VICTIM_OK, filters[i], __FILE__, __LINE__);
		CHECK_INT(count_of("fired", 1), 0);
		CHECK_INT(count_of("hits", 1), i == 5);
	}
}

static void a_call_without_a_rule_leaves_no_mark(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/dir/link");
	struct victim victim = victim_start("sync_five", work);
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK_INT(count_of("met", 1), 0);
}

static void a_relative_path_is_matched_whole(void)
{
	struct board_event event = {0};

	fresh_board();
	auto_free char *path = text_fmt("%s/mail1", work);
	CHECK(fclose(fopen(path, "w")) == 0);
	say("arm slot=1 point=posix/io/dir/rename action=watch path=%s/mail2", work);
	struct victim victim = victim_start("sync_relative", work);
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK(await_event(BOARD_EVENT_HIT, 1, &event));
	CHECK_HAS(event.path, "/mail2");
}

static void an_errno_comes_at_the_nth_call(void)
{
	fresh_board();
	say("arm slot=2 point=posix/io/sync/fsync errno=ENOSPC hit=4");
	struct victim victim = victim_start("sync_until_failed", work);
	CHECK_STR(victim_line(&victim), "4 ENOSPC");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK(await_event(BOARD_EVENT_FAILED, 2, NULL));
}

static void a_park_and_then_an_errno_make_one_slow_failure(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync");
	say("arm slot=2 point=posix/io/sync/fsync errno=EIO");
	struct victim victim = victim_start("sync_until_failed", work);
	CHECK(await_event(BOARD_EVENT_PARKED, 1, NULL));
	CHECK_INT(count_of("fired", 2), 0);
	say("release slot=1");
	CHECK_STR(victim_line(&victim), "1 EIO");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
}

static void only_calls_of_the_named_function_are_meant(void)
{
	static const char *const lines[] = {"out 0", "in 0", "out 0", "in -1", "out 0", "in 0"};

	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync errno=EIO caller=sync_as_commit hit=2");
	say("arm slot=2 point=posix/io/sync/fsync errno=EIO caller=no_such_function");
	struct victim victim = victim_start("sync_in_and_out", work);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		CHECK_STR(victim_line(&victim), lines[i]);
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK_INT(count_of("hits", 1), 3);
	CHECK_INT(count_of("fired", 1), 1);
	CHECK_INT(count_of("strangers", 1), 0);
	CHECK_INT(count_of("hits", 2), 0);
	CHECK_INT(count_of("strangers", 2), 5); /* not of the call that had failed by then */
}

static void remove_is_an_unlink_too(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/dir/unlink errno=EBUSY path=%s/mail1", work);
	say("arm slot=2 point=posix/stdio/remove errno=EROFS hit=2 path=%s/mail1", work);
	say("arm slot=3 point=posix/io/oc/open errno=EMFILE hit=2 path=%s/mail1", work);
	struct victim victim = victim_start("remove_it", work);
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK_INT(count_of("hits", 1), 2);
}

static void a_write_can_be_short(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/rw/write action=short bytes=4 kind=file");
	struct victim victim = victim_start("write_ten", work);
	CHECK_STR(victim_line(&victim), "4");
	CHECK_STR(victim_line(&victim), "10");
	CHECK_INT(victim_end(&victim), VICTIM_OK);
}

static void a_process_can_be_killed_at_a_point(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/oc/open action=kill signal=SIGSEGV hit=50 path=%s/*", work);
	struct victim victim = victim_start("open_for_ever", work);
	int rc = victim_end(&victim);

	CHECK(rc == 128 + SIGSEGV || rc == 1); /* a sanitizer turns it into an exit */
	CHECK(await_event(BOARD_EVENT_KILLED, 1, NULL));
}

static void without_a_board_everything_works(void)
{
	fresh_board();
	unlink(board_file);
	struct victim victim = victim_start("sync_five", work);
	CHECK_INT(victim_end(&victim), VICTIM_OK);
	CHECK_INT(truncate(board_file, 0), -1);
	CHECK(fclose(fopen(board_file, "w")) == 0);
	victim = victim_start("sync_five", work);
	CHECK_INT(victim_end(&victim), VICTIM_OK);
}

int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
		CHECK_CASE(the_nth_hit_of_a_program_and_path_is_parked_until_released),
		CHECK_CASE(disarming_lets_the_parked_go_and_later_hits_pass),
		CHECK_CASE(arming_a_slot_again_lets_its_parked_go),
		CHECK_CASE(another_program_another_path_another_kind_and_task_pass),
		CHECK_CASE(a_call_without_a_rule_leaves_no_mark),
		CHECK_CASE(a_relative_path_is_matched_whole),
		CHECK_CASE(an_errno_comes_at_the_nth_call),
		CHECK_CASE(a_park_and_then_an_errno_make_one_slow_failure),
		CHECK_CASE(only_calls_of_the_named_function_are_meant),
		CHECK_CASE(remove_is_an_unlink_too), CHECK_CASE(a_write_can_be_short),
		CHECK_CASE(a_process_can_be_killed_at_a_point),
		CHECK_CASE(without_a_board_everything_works)};

	return preload_main(kinds, ARRAY_SIZE(kinds), cases, ARRAY_SIZE(cases), argc, argv);
}

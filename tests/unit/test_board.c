/*
 * The board's control without any process behind it: globs, lines, what is refused, what a reply
 * holds, and a board that somebody wrote nonsense into.
 */
#include "tests/check/check.h"

#include "faults/guest/board_control.h"
#include "faults/guest/board_glob.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char reply[BOARD_REPLY_MAX];
static char board_path[256];

static void fresh_board(void)
{
	snprintf(board_path, sizeof(board_path), "%s/board", check_dir());
	CHECK_INT(board_control_open(board_path), 0);
}

static int say(const char *line)
{
	return board_control_command(line, reply, sizeof(reply));
}

static json_t *ask(const char *line)
{
	json_t *json = NULL;

	if (CHECK_INT(say(line), 0))
		json = json_loads(reply, JSON_REJECT_DUPLICATES, NULL);
	CHECK(json != NULL);
	return json;
}

static int64_t number(const char *line, const char *key)
{
	auto_json json_t *json = ask(line);

	return json_get_int(json, key, -1);
}

/* The board as a hostile process has it. */
static struct board *as_a_process(void)
{
	auto_close int fd = open(board_path, O_RDWR | O_CLOEXEC);
	void *at = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(at != MAP_FAILED);
	return at;
}

static void globs_keep_to_components(void)
{
	static const struct {
		const char *glob, *path;
		bool match;
	} rows[] = {
		{"/a", "/a", true},
		{"/a", "/ab", false},
		{"/a", "/", false},
		{"", "", true},
		{"/*", "/a", true},
		{"/*", "/a/b", false},
		{"/**", "/a/b", true},
		{"/**", "/", true},
		{"**", "/a/b", true},
		{"/srv/mail/*/Maildir/**", "/srv/mail/u1/Maildir/new/1.2", true},
		{"/srv/mail/*/Maildir/**", "/srv/mail/x/u1/Maildir/new/1", false},
		{"/srv/**/new/*", "/srv/mail/u1/Maildir/new/1", true},
		{"/srv/**/new/*", "/srv/mail/u1/Maildir/new/a/1", false},
		{"/srv/**/new/*", "/srv/new/1", true},
		{"/srv/**/new", "/srv/anew", false},
		{"/a/**/b", "/a/b", true},
		{"/a/**/b", "/a/x/y/b", true},
		{"/a/**/b", "/a/xb", false},
		{"/a**b", "/a/x/yb", true},
		{"*.log", "a.log", true},
		{"/x/*a*b", "/x/aab", true},
		{"/x/*a*b", "/x/ab/b", false},
		{"/x/**a*b/c", "/x/a/ab/c", true},
		{"/?", "/a", true},
		{"/?", "//", false},
		{"/a?c", "/abc", true},
		{"/x/*/z", "/x//z", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_free char *what = text_fmt("%s on %s", rows[i].glob, rows[i].path);

		check_int(board_glob_match(rows[i].glob, rows[i].path), rows[i].match, what,
			__FILE__, __LINE__);
	}
}

static void a_list_of_globs_matches_if_one_does(void)
{
	CHECK(board_globs_match("/a,/b", "/b"));
	CHECK(board_globs_match("/a,/b", "/a"));
	CHECK(!board_globs_match("/a,/b", "/a,/b"));
	CHECK(!board_globs_match("/a,/b", "/c"));
	CHECK(board_globs_match("/x/*,/y/**", "/y/1/2"));
}

static void many_stars_end_in_time(void)
{
	char glob[BOARD_RULE_SIZE], path[BOARD_PATH_SIZE];

	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	glob[0] = '/';
	for (size_t i = 1; i + 4 < sizeof(glob); i += 4)
		memcpy(glob + i, "**a*", 5);
	strcpy(glob + strlen(glob) - 1, "b");
	CHECK(!board_glob_match(glob, path));
}

static void a_wrong_line_is_refused_and_named(void)
{
	static const struct {
		const char *line;
		int rc;
		const char *says;
	} rows[] = {
		{"", -EINVAL, "a line is arm"},
		{"fire slot=1", -EINVAL, "a line is arm"},
		{"arm", -EINVAL, "'slot'"},
		{"arm slot=0 point=posix/io/sync/fsync", -EINVAL, "'slot'"},
		{"arm slot=33 point=posix/io/sync/fsync", -EINVAL, "'slot'"},
		{"arm slot=1x point=posix/io/sync/fsync", -EINVAL, "'slot'"},
		{"arm slot=1", -EINVAL, "'point'"},
		{"arm slot=1 point=posix/io/sync/fsink", -ENOENT, "posix/io/sync/fsink"},
		{"arm slot=1 point=posix/*", -EINVAL, "'point'"},
		{"arm slot=1 point=posix/io/sync/fsync caller=a-b", -EINVAL, "'caller'"},
		{"arm slot=1 point=posix/io/sync/fsync nth=2", -EINVAL, "'nth=2'"},
		{"arm slot=1 point=posix/io/sync/fsync action=melt", -EINVAL, "'action'"},
		{"arm slot=1 point=posix/io/sync/fsync action=fail", -EINVAL, "'errno'"},
		{"arm slot=1 point=posix/io/sync/fsync errno=ENOSUCH", -EINVAL, "'errno'"},
		{"arm slot=1 point=posix/io/sync/fsync errno=EEXIST", -EINVAL,
			"'posix/io/sync/fsync' cannot give EEXIST"},
		{"arm slot=1 point=posix/io/sync/fsync action=kill signal=KILL", -EINVAL,
			"'signal'"},
		{"arm slot=1 point=posix/io/sync/fsync action=kill", -EINVAL, "'signal'"},
		{"arm slot=1 point=posix/io/sync/fsync action=short bytes=1", -EINVAL,
			"cannot be short"},
		{"arm slot=1 point=posix/io/rw/write action=short bytes=0", -EINVAL, "'bytes'"},
		{"arm slot=1 point=posix/io/rw/write action=short", -EINVAL, "'bytes'"},
		{"arm slot=1 point=posix/io/net/socket", -EINVAL, "never blocks"},
		{"arm slot=1 point=posix/io/sync/fsync hit=0", -EINVAL, "'hit'"},
		{"arm slot=1 point=posix/io/sync/fsync calls=some", -EINVAL, "'calls'"},
		{"arm slot=1 point=posix/io/sync/fsync pid=-1", -EINVAL, "'pid'"},
		{"arm slot=1 point=posix/io/sync/fsync kind=fish", -EINVAL, "'kind'"},
		{"arm slot=1 point=posix/io/sync/fsync path=", -EINVAL, "'path'"},
		{"arm slot=1 point=posix/io/sync/fsync path=%0", -EINVAL, "'path'"},
		{"arm slot=1 point=posix/io/sync/fsync path=/a%00b", -EINVAL, "'path'"},
		{"disarm", -EINVAL, "'slot'"},
		{"disarm slot=1 now=1", -EINVAL, "'now=1'"},
		{"release slot=x", -EINVAL, "'slot'"},
		{"status slot=99", -EINVAL, "slot"},
		{"points all", -EINVAL, "takes nothing"},
	};

	fresh_board();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		check_int(say(rows[i].line), rows[i].rc, rows[i].line, __FILE__, __LINE__);
		CHECK_HAS(reply, rows[i].says);
	}
	CHECK_INT(say("residue"), 0);
	CHECK_STR(reply, "{\"residue\":[]}");
}

static void arming_and_disarming_are_idempotent(void)
{
	fresh_board();
	CHECK_INT(number("disarm slot=1", "released"), 0);
	CHECK_INT(number("arm slot=1 point=posix/io/sync/fsync", "slot"), 1);
	CHECK_INT(number("arm slot=1 point=posix/io/dir/rename", "slot"), 1);
	say("residue");
	CHECK_STR(
		reply, "{\"residue\":[\"slot 1 of the board is armed on 'posix/io/dir/rename'\"]}");
	CHECK_INT(number("release slot=1", "released"), 0);
	CHECK_INT(number("disarm slot=1", "released"), 0);
	CHECK_INT(number("disarm slot=1", "released"), 0);
	say("residue");
	CHECK_STR(reply, "{\"residue\":[]}");
}

static void a_rule_refused_leaves_the_old_one(void)
{
	fresh_board();
	say("arm slot=1 point=posix/io/sync/fsync");
	CHECK_INT(say("arm slot=1 point=posix/io/sync/fsync hit=x"), -EINVAL);
	CHECK_INT(say("status slot=1"), 0);
	CHECK_HAS(reply, "\"armed\":true");
}

static void stores_points_share_a_table_and_give_back_their_place(void)
{
	char line[80];

	fresh_board();
	for (unsigned int i = 0; i < BOARD_NAMES_MAX; i++) {
		snprintf(line, sizeof(line), "arm slot=%u point=store/p%u", i + 1, i);
		CHECK_INT(say(line), 0);
	}
	CHECK_INT(number("disarm slot=7", "released"), 0);
	CHECK_INT(number("arm slot=7 point=store/another errno=EIO", "slot"), 7);
	CHECK_INT(number("arm slot=8 point=store/another", "slot"), 8);
	say("status slot=8");
	CHECK_HAS(reply, "\"point\":\"store/another\"");
	CHECK_INT(say("arm slot=7 point=store/p0"), 0);
}

static void every_point_is_listed_with_errnos_it_takes(void)
{
	json_t *point, *name;
	size_t i, j, errnos = 0;
	char line[200];

	fresh_board();
	auto_json json_t *all = ask("points");
	json_array_foreach (json_object_get(all, "points"), i, point) {
		CHECK(json_array_size(json_object_get(point, "errnos")) > 0);
		json_array_foreach (json_object_get(point, "errnos"), j, name) {
			snprintf(line, sizeof(line), "arm slot=1 point=%s errno=%s",
				json_get_text(point, "name", ""), json_string_value(name));
			check_int(say(line), 0, line, __FILE__, __LINE__);
			errnos++;
		}
	}
	CHECK_INT(i, POINT_COUNT);
	CHECK(errnos > 300);
}

static void hostile_bytes_are_escaped(void)
{
	fresh_board();
	struct board *board = as_a_process();

	say("arm slot=1 point=posix/io/sync/fsync");
	strcpy(board->slots[0].first_path, "/a\"b\\c\n\xff");
	atomic_store(&board->slots[0].first_path_set, 1);
	auto_json json_t *json = ask("status slot=1");
	CHECK_STR(json_get_text(json, "path", ""), "/a\"b\\c\\x0a\\xff");
	munmap(board, sizeof(*board));
}

static void a_board_of_noise_is_survived(void)
{
	static const char *const lines[] = {"status", "status slot=3", "residue", "processes",
		"release slot=2", "disarm slot=1", "arm slot=4 point=store/x",
		"arm slot=5 point=posix/io/sync/fsync"};
	struct rng rng;
	struct board_event event;

	fresh_board();
	struct board *board = as_a_process();
	rng = rng_stream(7, "noise");
	for (size_t round = 0; round < 20; round++) {
		for (size_t i = 32; i < sizeof(*board) / 64; i++)
			((uint64_t *)board)[i] = round % 2 ? rng_u64(&rng) : rng_below(&rng, 512);
		for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
			int rc = say(lines[i]);
			json_t *json = rc ? NULL : json_loads(reply, 0, NULL);

			CHECK(rc == -ENOSPC || json != NULL);
			json_decref(json);
		}
		CHECK(board_control_wait_event(&event, NULL, 0) >= 0);
	}
	memset(board->parks, 0xff, sizeof(board->parks));
	memset(board->questions, 0xff, sizeof(board->questions));
	memset(board->processes, 0xff, sizeof(board->processes));
	CHECK_INT(say("status"), 0);
	CHECK_INT(say("processes"), 0);
	CHECK(board_control_wait_event(&event, NULL, 0) >= 0);
	munmap(board, sizeof(*board));
}

static void a_board_that_was_cut_is_refused(void)
{
	struct board_event event;

	fresh_board();
	CHECK_INT(truncate(board_path, 100), 0);
	CHECK_INT(say("status"), -EIO);
	CHECK_INT(board_control_wait_event(&event, NULL, 0), -EIO);
	CHECK_INT(board_control_open(board_path), 0);
	CHECK_INT(say("status"), 0);
}

static void a_board_is_for_everybody_and_taken_over_whole(void)
{
	mode_t mask = umask(077);
	struct stat st;

	fresh_board();
	umask(mask);
	CHECK_INT(stat(board_path, &st), 0);
	CHECK_INT(st.st_mode & 07777, 0666);
	say("arm slot=2 point=posix/io/sync/fsync");
	CHECK_INT(board_control_open(board_path), 0);
	say("status slot=2");
	CHECK_HAS(reply, "\"armed\":true");
	board_control_close();
	board_control_close();
	CHECK_INT(say("status"), -EIO);
}

static void put_event(struct board *board, uint64_t ticket, uint32_t slot)
{
	struct board_ring_entry *entry = &board->ring[ticket % BOARD_EVENTS_MAX];

	entry->event = (struct board_event){.what = BOARD_EVENT_PARKED, .slot = slot};
	memset(entry->event.path, 'x', sizeof(entry->event.path));
	atomic_store(&entry->ticket, ticket + 1);
}

static void events_come_in_order_and_losses_are_counted(void)
{
	struct board_event event;
	uint64_t lost = 0;

	fresh_board();
	struct board *board = as_a_process();
	CHECK_INT(board_control_wait_event(&event, &lost, 0), 0);
	for (uint64_t i = 0; i < BOARD_EVENTS_MAX + 10; i++)
		put_event(board, i, (uint32_t)(i % BOARD_SLOTS_MAX));
	atomic_store(&board->head, BOARD_EVENTS_MAX + 10);
	CHECK_INT(board_control_wait_event(&event, &lost, 0), 1);
	CHECK_INT(lost, 10);
	CHECK_INT(event.slot, 10 % BOARD_SLOTS_MAX + 1);
	CHECK_INT(strlen(event.path), BOARD_TEXT_SIZE - 1);
	CHECK_INT(board_control_wait_event(&event, &lost, 0), 1);
	CHECK_INT(event.slot, 11 % BOARD_SLOTS_MAX + 1);
	munmap(board, sizeof(*board));
}

static void a_writer_that_died_half_way_costs_its_own_event_only(void)
{
	struct board_event event;
	uint64_t lost = 0;

	fresh_board();
	struct board *board = as_a_process();
	CHECK_INT(board_control_wait_event(&event, &lost, 0), 0);
	put_event(board, 1, 4);
	atomic_store(&board->head, 2);
	CHECK_INT(board_control_wait_event(&event, &lost, 10000), 1);
	CHECK_INT(event.slot, 5);
	CHECK_INT(lost, 1);
	munmap(board, sizeof(*board));
}

static void *wake(void *arg)
{
	board_control_wake();
	return arg;
}

static void a_waiter_can_be_woken(void)
{
	struct board_event event;
	pthread_t thread;

	fresh_board();
	pthread_create(&thread, NULL, wake, NULL);
	CHECK_INT(board_control_wait_event(&event, NULL, -1), 0);
	pthread_join(thread, NULL);
}

static void random_lines_are_answered_or_refused(void)
{
	static const char *const words[] = {"arm", "disarm", "release", "status", "points",
		"slot=1", "slot=32", "slot=", "point=posix/io/sync/fsync", "point=a/b",
		"action=park", "action=fail", "errno=EIO", "errno=", "hit=3", "calls=all",
		"path=/a*", "exe=%41", "%", "=", " ", "kind=file,,", "kind=,", "pid=2147483648",
		"\x80\xff", "bytes=1", "signal=SIG", "signal=S", "point=%70osix/io/rw/read",
		"residue"};
	struct rng rng;

	fresh_board();
	rng = rng_stream(1, "lines");
	for (size_t round = 0; round < 20000; round++) {
		auto_buf struct buf line = {0};
		json_t *json;
		int rc;

		for (uint64_t n = rng_below(&rng, 8); n; n--)
			buf_addf(&line, "%s%s", words[rng_below(&rng, ARRAY_SIZE(words))],
				rng_below(&rng, 8) ? " " : "");
		for (uint64_t n = rng_below(&rng, 4); n && line.len; n--)
			line.data[rng_below(&rng, line.len)] = (char)(1 + rng_below(&rng, 255));
		rc = board_control_command(buf_text(&line), reply, 256 + rng_below(&rng, 4096));
		json = rc ? NULL : json_loads(reply, 0, NULL);
		if (rc ? !reply[0] : !json) {
			check_str(reply, "an answer", buf_text(&line), __FILE__, __LINE__);
			return;
		}
		json_decref(json);
	}
	CHECK(true);
}

CHECK_MAIN(CHECK_CASE(globs_keep_to_components), CHECK_CASE(a_list_of_globs_matches_if_one_does),
	CHECK_CASE(many_stars_end_in_time), CHECK_CASE(a_wrong_line_is_refused_and_named),
	CHECK_CASE(arming_and_disarming_are_idempotent),
	CHECK_CASE(a_rule_refused_leaves_the_old_one),
	CHECK_CASE(stores_points_share_a_table_and_give_back_their_place),
	CHECK_CASE(every_point_is_listed_with_errnos_it_takes),
	CHECK_CASE(hostile_bytes_are_escaped), CHECK_CASE(a_board_of_noise_is_survived),
	CHECK_CASE(a_board_that_was_cut_is_refused),
	CHECK_CASE(a_board_is_for_everybody_and_taken_over_whole),
	CHECK_CASE(events_come_in_order_and_losses_are_counted),
	CHECK_CASE(a_writer_that_died_half_way_costs_its_own_event_only),
	CHECK_CASE(a_waiter_can_be_woken), CHECK_CASE(random_lines_are_answered_or_refused))

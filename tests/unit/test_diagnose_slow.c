/* Who works by turns while others wait, and who waits for work beside them: each rule both ways. */
#include "tests/unit/scan_fixture.h"

#define SEND(fd)     "44 0x" #fd " 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define EVENT(at)    "202 0x" #at " 0x189 0x0 0x0 0x0 0xffffffff 0x1 0x2"
#define SHARED(at)   "202 0x" #at " 0x109 0x0 0x0 0x0 0xffffffff 0x1 0x2"
#define POLL_ONE     "7 0x7f00 0x1 0x1c2 0x0 0x0 0x0 0x1 0x2" /* 0.45 s */
#define HELD_BY(pid) "1: FLOCK ADVISORY WRITE " #pid " a 0 EOF\n"

static const char wanted[] = HELD_BY(20) "1: -> FLOCK ADVISORY WRITE 10 a 0 EOF\n";

/* Of two instants. All have had as much of the processor at both, but for those that `moved` says, up to 0; who of them
 * sleeps now stood behind a lock then. */
static void check_turns(
	struct scan_parts *s, const char *locks, const int *moved, const char *class, int first)
{
	auto_json json_t *now = scan_end(s, locks), *then = NULL;
	struct diagnosis got;
	json_t *task;
	size_t i;

	json_array_foreach (json_object_get(now, "tasks"), i, task) {
		json_object_set_new(task, "ran_ns", json_integer(1000000));
		json_object_set_new(task, "queued_ns", json_integer(0));
	}
	then = json_deep_copy(now);
	json_array_foreach (json_object_get(then, "tasks"), i, task)
		for (const int *at = moved; *at; at++)
			if (json_get_int(task, "tid", 0) == *at) {
				json_object_set_new(task, "ran_ns", json_integer(500000));
				if (!strcmp(json_get_text(task, "syscall", ""), SLEEP))
					json_object_set_new(task, "syscall", json_string(FLOCK(9)));
			}
	diagnose_instants(now, then, false, &got);
	CHECK_STR(got.hang_class ? got.hang_class : "healthy", class);
	CHECK_INT(got.culprit_count ? got.culprits[0].tid : 0, first);
	diagnosis_free(&got);
}

/* A session sends to a client that reads by turns, and has a lock that another wants. */
static void who_sends_to_one_who_sleeps_by_turns_is_slow(void)
{
	static const struct {
		int moved[2];
		const char *class;
	} rows[] = {{{30, 0}, "slow"}, {{0}, "lost-wakeup"}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_parts s = scan_begin();

		add_process(&s, 10, "/x/lmtp", FLOCK(4));
		add_process(&s, 20, "/x/session", SEND(5));
		add_process(&s, 30, "/x/client", SLEEP);
		add_fd(&s, 20, 5, "socket", 200);
		add_fd(&s, 30, 4, "socket", 100);
		add_pair(&s, 100, 200, true);
		check_turns(&s, wanted, rows[i].moved, rows[i].class, 20);
	}
}

/* Four that wait for room in a queue, and one that takes out of it; of two it is not known which. */
static void who_brings_an_event_that_comes_again_and_again_is_slow(void)
{
	static const struct {
		int workers, moved[4];
		const char *class;
		int first;
	} rows[] = {{1, {31, 23, 0}, "slow", 31}, {2, {31, 32, 23, 0}, "slow", 22},
		{1, {31, 0}, "exhaustion", 22}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_parts s = scan_begin();

		add_thread(&s, 20, 20, "/x/fts", LOOP);
		for (int tid = 22; tid < 26; tid++)
			add_thread(&s, 20, tid, "/x/fts", EVENT(5000));
		for (int tid = 31; tid < 31 + rows[i].workers; tid++)
			json_object_set_new(add_thread(&s, 20, tid, "/x/fts", SLEEP), "comm",
				json_string("index"));
		check_turns(&s, "", rows[i].moved, rows[i].class, rows[i].first);
	}
}

/* It took a turn, and was asleep when it was looked at: it owes the answer, and to those at its door. */
static void a_server_that_sleeps_by_turns_is_slow(void)
{
	for (int at_door = 0; at_door < 2; at_door++) {
		struct scan_parts s = scan_begin();

		add_process(&s, 10, "/x/lmtp", RECV(4));
		add_process(&s, 20, "/x/server", SLEEP);
		add_fd(&s, 10, 4, "socket", 100);
		add_fd(&s, 20, 3, "socket", 90);
		add_fd(&s, 20, 5, "socket", 200);
		add_door(&s, 90, "/run/door", at_door);
		if (at_door)
			add_at_door(&s, 100, 90);
		else
			add_pair(&s, 100, 200, true);
		check_turns(&s, "", (const int[]){20, 0}, "slow", 20);
	}
}

/* It has gone on, and is waited for; the other sleeps for nobody. */
static void who_is_waited_for_comes_before_one_who_sleeps_for_nobody(void)
{
	struct scan_parts s = scan_begin();

	add_process(&s, 10, "/x/lmtp", RECV(4));
	add_poller(&s, 20, "/x/server", POLL_ONE, 5);
	add_process(&s, 30, "/x/cleaner", SLEEP);
	add_process(&s, 40, "/x/quiet", LOOP);
	add_fd(&s, 10, 4, "socket", 100);
	add_fd(&s, 20, 3, "socket", 90);
	add_fd(&s, 20, 5, "socket", 200);
	add_fd(&s, 40, 5, "socket", 300);
	add_pair(&s, 300, 200, false);
	add_door(&s, 90, "/run/door", 1);
	add_at_door(&s, 100, 90);
	check_turns(&s, "", (const int[]){20, 0}, "slow", 20);
}

/* Of a server that rests for so long each time, asleep at both instants. Caller frees. */
static char *signature_of_rest(int limit_ms, bool moved)
{
	struct scan_parts s = scan_begin();
	auto_json json_t *now = NULL, *then = NULL;
	struct diagnosis got;
	char *signature;
	json_t *task;

	add_process(&s, 10, "/x/lmtp", RECV(4));
	task = add_process(&s, 20, "/x/server", SLEEP);
	json_object_set_new(task, "limit_ms", json_integer(limit_ms));
	json_object_set_new(task, "own", json_pack("[s]", "rests"));
	json_object_set_new(task, "ran_ns", json_integer(1000000));
	add_fd(&s, 10, 4, "socket", 100);
	add_fd(&s, 20, 5, "socket", 200);
	add_pair(&s, 100, 200, true);
	now = scan_end(&s, "");
	then = json_deep_copy(now);
	json_object_set_new(task, "ran_ns", json_integer(moved ? 2000000 : 1000000));
	diagnose_instants(now, then, false, &got);
	CHECK_STR(got.hang_class ? got.hang_class : "healthy", "slow");
	signature = text_dup(got.signature);
	diagnosis_free(&got);
	return signature;
}

/* Whether it takes a turn between the two is chance. */
static void who_rests_has_one_signature_whether_it_was_seen_to_move(void)
{
	static const int limits_ms[] = {600, 3600 * 1000};

	for (size_t i = 0; i < ARRAY_SIZE(limits_ms); i++) {
		auto_free char *still = signature_of_rest(limits_ms[i], false);
		auto_free char *moved = signature_of_rest(limits_ms[i], true);

		CHECK_STR(moved, still);
	}
}

/* A resolver that asks once more each time its limit has come, and its client: whether one has come since the other
 * instant or not. */
static void who_asks_again_and_again_is_slow(void)
{
	static const struct {
		int moved[2];
	} rows[] = {{{20, 0}}, {{0}}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_parts s = scan_begin();

		add_process(&s, 10, "/x/session", RECV(4));
		add_poller(&s, 20, "/x/resolver", POLL_ONE, 5);
		add_fd(&s, 10, 4, "socket", 100);
		add_fd(&s, 20, 3, "socket", 90);
		add_fd(&s, 20, 5, "socket", 200);
		add_door(&s, 90, "/run/door", 1);
		add_at_door(&s, 100, 90);
		check_turns(&s, "", rows[i].moved, "slow", 20);
	}
}

/* A proxy that gives its upstream so long, and one that sleeps. */
static void who_sleeps_at_the_end_of_a_poll_is_missed(void)
{
	struct scan_parts s = scan_begin();

	add_process(&s, 10, "/x/session", RECV(4));
	add_poller(&s, 20, "/x/proxy", POLL_ONE, 5);
	add_process(&s, 30, "/x/upstream", SLEEP);
	add_fd(&s, 10, 4, "socket", 100);
	add_fd(&s, 20, 4, "socket", 200);
	add_fd(&s, 20, 5, "socket", 300);
	add_fd(&s, 30, 4, "socket", 400);
	add_pair(&s, 100, 200, true);
	add_door(&s, 400, "/run/upstream", 1);
	add_at_door(&s, 300, 400);
	check_turns(&s, "", (const int[]){20, 0}, "slow", 30);
}

/* Workers that read their orders, whose master has ended: all ends are their own. With one that does not read, he may
 * be the one who should write. */
static void readers_of_a_pipe_that_nobody_else_has_wait_for_nobody(void)
{
	static const int nobody[] = {0};

	for (int master = 0; master < 2; master++) {
		struct scan_parts s = scan_begin();

		add_process(&s, 10, "/x/client", RECV(4));
		add_fd(&s, 10, 4, "socket", 100);
		add_at_door(&s, 100, 90);
		add_door(&s, 90, "/run/door", 1);
		for (int pid = 20; pid < 23; pid++) {
			add_process(&s, pid, "/x/worker", READ(6));
			add_fd(&s, pid, 3, "socket", 90);
			add_fd(&s, pid, 6, "pipe", 300);
		}
		if (master) {
			add_process(&s, 30, "/x/master", FLOCK(4));
			add_fd(&s, 30, 6, "pipe", 300);
		}
		check_turns(&s, "", nobody, "lost-wakeup", master ? 30 : 20);
	}
}

/* At one word of the memory that they have in common; one alone at another is the likelier one to be left waiting. */
static void processes_at_one_event_are_workers_without_work(void)
{
	static const int nobody[] = {0};
	static const char *const others[] = {SHARED(9000), SHARED(9100)};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct scan_parts s = scan_begin();

		add_process(&s, 20, "/x/a-worker", SHARED(9000));
		add_process(&s, 21, "/x/a-worker", others[i]);
		add_process(&s, 30, "/x/session", SHARED(9200));
		check_turns(&s, "", nobody, "lost-wakeup", i ? 20 : 30);
	}
}

CHECK_MAIN(CHECK_CASE(who_sends_to_one_who_sleeps_by_turns_is_slow),
	CHECK_CASE(who_brings_an_event_that_comes_again_and_again_is_slow),
	CHECK_CASE(a_server_that_sleeps_by_turns_is_slow),
	CHECK_CASE(who_is_waited_for_comes_before_one_who_sleeps_for_nobody),
	CHECK_CASE(who_rests_has_one_signature_whether_it_was_seen_to_move),
	CHECK_CASE(who_asks_again_and_again_is_slow),
	CHECK_CASE(who_sleeps_at_the_end_of_a_poll_is_missed),
	CHECK_CASE(readers_of_a_pipe_that_nobody_else_has_wait_for_nobody),
	CHECK_CASE(processes_at_one_event_are_workers_without_work))

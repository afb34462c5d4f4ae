/* Who called and who was called: of the two ends of a connection the one that is late, each rule both ways. */
#include "tests/unit/scan_fixture.h"

#define ASKS   10
#define SERVER 20
#define DOOR   90 /* a listening socket of the server's */
#define NAME   "/run/door"

/* One that waits for an answer of an idle process; `accepted`: which it called. */
static struct scan_parts asks_server(bool accepted)
{
	struct scan_parts s = scan_begin();

	add_process(&s, ASKS, "/x/asks", RECV(4));
	add_fd(&s, ASKS, 4, "socket", 100);
	add_process(&s, SERVER, "/x/server", LOOP);
	add_fd(&s, SERVER, 3, "socket", DOOR);
	add_fd(&s, SERVER, 5, "socket", 200);
	add_door(&s, DOOR, NAME, 0);
	add_pair(&s, 100, 200, accepted);
	return s;
}

/* Of a pair nobody knows who owes whom; a client that was idle would be no culprit. */
static void an_idle_server_that_took_the_request_is_late(void)
{
	struct scan_parts called = asks_server(true), pair = asks_server(false);

	check_first(scan_end(&called, ""), "lost-wakeup", "server");
	check_first(scan_end(&pair, ""), "lost-wakeup", "asks");
}

/* The request lies unread for longer than the loop waits at a time: it has looked since, and not at that. */
static void a_loop_whose_time_limit_has_come_and_gone_is_not_slow(void)
{
	static const struct {
		const char *loop, *hang_class;
	} rows[] = {
		{"232 0x3 0x7f00 0x8 0x1f4 0x0 0x0 0x1 0x2", "lost-wakeup"}, /* 0.5 s of 9 */
		{"232 0x3 0x7f00 0x8 0x7530 0x0 0x0 0x1 0x2", "slow"},	     /* 30 s */
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_parts s = scan_begin();

		add_process(&s, ASKS, "/x/asks", RECV(4));
		add_fd(&s, ASKS, 4, "socket", 100);
		add_process(&s, SERVER, "/x/server", rows[i].loop);
		add_fd(&s, SERVER, 5, "socket", 200);
		json_object_set_new(add_pair(&s, 100, 200, true), "unread", json_integer(7));
		check_first(scan_end(&s, ""), rows[i].hang_class, "server");
	}
}

/* The same with one who reads what it is sent next. */
static void who_both_read_at_one_connection_are_at_rest_until_something_is_owed(void)
{
	static const struct {
		bool accepted, owed;
		const char *hang_class;
	} rows[] = {{true, false, "healthy"}, {true, true, "deadlock"}, {false, false, "deadlock"}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_parts s = scan_begin();
		auto_json json_t *scan = NULL, *owed = json_pack("[{sf}]", "age_s", 9.0);
		struct diagnosis got;

		add_process(&s, ASKS, "/x/asks", RECV(4));
		add_process(&s, SERVER, "/x/server", RECV(5));
		add_fd(&s, ASKS, 4, "socket", 100);
		add_fd(&s, SERVER, 5, "socket", 200);
		add_door(&s, DOOR, NAME, 0);
		add_pair(&s, 100, 200, rows[i].accepted);
		scan = scan_end(&s, "");
		diagnose(&(struct diagnose_input){.scan = scan,
				 .earlier = scan,
				 .owed = rows[i].owed ? owed : NULL,
				 .owed_limit_s = 2},
			&got);
		CHECK_STR(got.hang_class ? got.hang_class : "healthy", rows[i].hang_class);
		diagnosis_free(&got);
	}
}

/* ... and then too where they stood so when all was well, or where another is the likelier cause. */
static void two_who_read_at_one_connection_are_not_blamed_before_others(void)
{
	static const struct {
		const char *third; /* of another process, which nobody serves */
		bool as_healthy;
		const char *role;
	} rows[] = {
		{READ(4), false, "asks"},
		{READ(4), true, "third"},
		{FLOCK(4), false, "third"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct scan_parts s = scan_begin();
		auto_json json_t *scan = NULL, *healthy = NULL,
				 *owed = json_pack("[{sf}]", "age_s", 9.0);
		struct diagnosis got;

		add_process(&s, ASKS, "/x/asks", RECV(4));
		add_process(&s, SERVER, "/x/server", RECV(5));
		add_fd(&s, ASKS, 4, "socket", 100);
		add_fd(&s, SERVER, 5, "socket", 200);
		add_pair(&s, 100, 200, true);
		scan = scan_end(&s, "");
		healthy = json_deep_copy(scan);
		add_process(&s, 30, "/x/third", rows[i].third);
		diagnose(&(struct diagnose_input){.scan = scan,
				 .earlier = scan,
				 .healthy = rows[i].as_healthy ? healthy : NULL,
				 .owed = owed,
				 .owed_limit_s = 2},
			&got);
		CHECK_STR(got.culprit_count ? got.culprits[0].role : "nobody", rows[i].role);
		diagnosis_free(&got);
	}
}

static void it_is_said_what_that_server_owes(void)
{
	struct scan_parts s = asks_server(true);
	auto_json json_t *scan = scan_end(&s, "");
	struct diagnosis got;

	diagnose_scan(scan, false, &got);
	CHECK_HAS(got.title, "`server` (process 20): it was asked, owes the answer");
	CHECK_INT(got.behind, 1);
	diagnosis_free(&got);
}

/* ... unless it called another, who is at something else: that one may be why. */
static void a_server_that_waits_for_one_it_called_is_behind_that_one(void)
{
	for (int called = 0; called < 2; called++) {
		struct scan_parts s = asks_server(true);

		add_process(&s, 30, "/x/agent", RECV(4));
		add_fd(&s, 30, 4, "socket", 300);
		add_fd(&s, 30, 5, "socket", called ? 400 : 401);
		add_fd(&s, SERVER, 6, "socket", 500);
		add_pair(&s, 500, 400, false);
		add_process(&s, 31, "/x/relay", LOOP);
		add_fd(&s, 31, 6, "socket", 301);
		add_pair(&s, 300, 301, false);
		check_first(scan_end(&s, ""), "lost-wakeup", called ? "agent" : "server");
	}
}

/* One at the door of a loop; `polls`: what that loop waits for. */
static json_t *at_door(json_t *polls)
{
	struct scan_parts s = scan_begin();

	add_process(&s, ASKS, "/x/asks", RECV(4));
	add_fd(&s, ASKS, 4, "socket", 100);
	json_object_set_new(add_process(&s, SERVER, "/x/server", LOOP), "wait_fds", polls);
	add_fd(&s, SERVER, 3, "socket", DOOR);
	add_fd(&s, SERVER, 6, "eventfd", 0);
	add_fd(&s, SERVER, 7, "eventpoll", 0);
	add_door(&s, DOOR, NAME, 1);
	add_at_door(&s, 100, DOOR);
	return scan_end(&s, "");
}

static void a_loop_that_does_not_ask_for_its_door_is_late(void)
{
	check_first(at_door(json_pack("[ii]", 6, 8)), "lost-wakeup", "server");
	check_first(at_door(json_pack("[ii]", 3, 6)), "lost-wakeup", "asks");
	check_first(
		at_door(json_pack("[ii]", 6, 7)), "lost-wakeup", "asks"); /* perhaps in the set */
	check_first(at_door(json_array()), "lost-wakeup", "asks");
}

/* A service of threads: one serves a client that idles, another is at work; who asked it waits for that one. */
static void who_waits_for_an_idle_client_is_not_the_one_that_others_wait_for(void)
{
	for (int named = 0; named < 2; named++) {
		struct scan_parts s = scan_begin();
		auto_json json_t *scan = NULL;
		struct diagnosis got;

		add_thread(&s, SERVER, SERVER, "/x/server", RECV(5));
		add_thread(&s, SERVER, SERVER + 1, "/x/server", "running");
		add_process(&s, ASKS, "/x/asks", RECV(4));
		add_process(&s, 30, "/x/idles", LOOP);
		add_fd(&s, SERVER, 3, "socket", DOOR);
		add_fd(&s, SERVER, 5, "socket", 200);
		add_fd(&s, SERVER, 6, "socket", 201);
		add_fd(&s, ASKS, 4, "socket", 101);
		add_fd(&s, 30, 4, "socket", 100);
		add_door(&s, DOOR, NAME, 0);
		add_pair(&s, 100, 200, named);
		add_pair(&s, 101, 201, false);
		scan = scan_end(&s, "");
		diagnose_scan(scan, true, &got);
		CHECK_STR(got.hang_class, named ? "slow" : "lost-wakeup");
		CHECK_INT(got.culprits[0].tid, named ? SERVER + 1 : SERVER);
		diagnosis_free(&got);
	}
}

/* Two workers at a lock have the door that one stands at; `other`: what the second waits for. */
static json_t *several_at_door(const char *other)
{
	struct scan_parts s = scan_begin();

	add_process(&s, ASKS, "/x/asks", RECV(4));
	add_fd(&s, ASKS, 4, "socket", 100);
	add_at_door(&s, 100, DOOR);
	add_door(&s, DOOR, NAME, 1);
	add_process(&s, 21, "/x/one", FLOCK(4));
	add_process(&s, 22, "/x/two", other);
	add_process(&s, 23, "/x/keeps", LOOP);
	add_fd(&s, 21, 3, "socket", DOOR);
	add_fd(&s, 22, 3, "socket", DOOR);
	add_fd(&s, 22, 8, "eventfd", 0);
	return scan_end(&s, "1: FLOCK ADVISORY WRITE 23 a:0:1 0 EOF\n"
			    "1: -> FLOCK ADVISORY WRITE 21 a:0:1 0 EOF\n"
			    "1: -> FLOCK ADVISORY WRITE 22 a:0:1 0 EOF\n");
}

static void behind(json_t *taken, size_t want)
{
	auto_json json_t *scan = taken;
	struct diagnosis got;

	diagnose_scan(scan, false, &got);
	CHECK_STR(got.culprits[0].role, "keeps");
	CHECK_INT(got.behind, want);
	diagnosis_free(&got);
}

/* Any of several would do: where all of them wait for the same one, so does who waits for them. */
static void of_several_that_wait_for_the_same_one_it_waits_for_that_one(void)
{
	behind(several_at_door(FLOCK(4)), 3);
	behind(several_at_door(READ(8)), 1);
}

/* ... and is no reader of a log, who has several that write to it and may have nothing to read. */
static void who_stands_at_a_door_that_several_have_is_missed(void)
{
	struct scan_parts s = scan_begin();

	add_process(&s, ASKS, "/x/asks", RECV(4));
	add_fd(&s, ASKS, 4, "socket", 100);
	add_at_door(&s, 100, DOOR);
	add_door(&s, DOOR, NAME, 1);
	add_process(&s, 21, "/x/one", LOOP);
	add_process(&s, 22, "/x/two", LOOP);
	add_fd(&s, 21, 3, "socket", DOOR);
	add_fd(&s, 22, 3, "socket", DOOR);
	add_process(&s, 23, "/x/sleeps", SLEEP);
	check_first(scan_end(&s, ""), "lost-wakeup", "asks");
}

/* Two threads that hang alike, in either order; those who asked their process wait for one of them, nobody knows
 * which. */
static void of_two_that_hang_alike_the_same_one_is_named_in_any_order(void)
{
	static const char *const locks[] = {"", "1: FLOCK ADVISORY WRITE 20 a:0:1 0 EOF\n"
						"1: -> FLOCK ADVISORY WRITE 10 a:0:1 0 EOF\n"};
	static const char event[] = "202 0x7f00 0x80 0x0 0x0 0x0 0x0 0x1 0x2",
			  other[] = "202 0x9f00 0x80 0x0 0x0 0x0 0x0 0x1 0x2";

	for (int row = 0; row < 4; row++) {
		bool order = row & 1, locked = row & 2;
		struct scan_parts s = asks_server(true);
		auto_json json_t *scan = NULL;
		struct diagnosis got;

		json_array_clear(s.tasks);
		add_process(&s, ASKS, "/x/asks", locked ? FLOCK(4) : RECV(4));
		add_thread(&s, SERVER, SERVER, "/x/server", LOOP);
		json_object_set_new(
			add_thread(&s, SERVER, SERVER + 1, "/x/server", order ? event : other),
			"comm", json_string(order ? "one" : "two"));
		json_object_set_new(
			add_thread(&s, SERVER, SERVER + 2, "/x/server", order ? other : event),
			"comm", json_string(order ? "two" : "one"));
		scan = scan_end(&s, locks[locked]);
		diagnose_scan(scan, false, &got);
		CHECK_INT(got.culprits[0].tid, order ? SERVER + 1 : SERVER + 2);
		diagnosis_free(&got);
	}
}

/* The stacks of others that hang alike are not read: what that one is called then is no reason to name another. */
static void whose_stack_was_read_stays_the_first(void)
{
	static const char event[] = "202 0x7f00 0x80 0x0 0x0 0x0 0x0 0x1 0x2";

	for (int which = 0; which < 2; which++) {
		struct scan_parts s = scan_begin();
		auto_json json_t *scan = NULL;
		struct diagnosis got;

		for (int i = 0; i < 2; i++) {
			json_t *task = add_process(&s, SERVER + i, i ? "/x/b" : "/x/a", event);

			if (i != which)
				continue;
			json_object_set_new(task, "frames", json_pack("[ss]", "wait", "puts"));
			json_object_set_new(task, "own", json_pack("[s]", "puts"));
		}
		scan = scan_end(&s, "");
		diagnose_scan(scan, false, &got);
		CHECK_INT(got.culprits[0].tid, SERVER + which);
		diagnosis_free(&got);
	}
}

/* 10 sends to an idle client; `locked`: with a lock that 30 wants. */
static json_t *sends_to_client(bool accepted, bool locked)
{
	struct scan_parts s = scan_begin();

	add_process(&s, ASKS, "/x/sends", "44 0x4 0x0 0x0 0x0 0x0 0x0 0x1 0x2");
	add_process(&s, SERVER, "/x/client", LOOP);
	add_process(&s, 30, "/x/wants", FLOCK(4));
	add_fd(&s, ASKS, 4, "socket", 200);
	add_fd(&s, SERVER, 5, "socket", 100);
	add_pair(&s, 100, 200, accepted);
	json_object_set_new(json_array_get(s.sockets, 0), "unread", json_integer(900));
	return scan_end(&s, locked ? "1: FLOCK ADVISORY WRITE 10 a:0:1 0 EOF\n"
				     "1: -> FLOCK ADVISORY WRITE 30 a:0:1 0 EOF\n"
				   : "1: FLOCK ADVISORY WRITE 20 a:0:1 0 EOF\n"
				     "1: -> FLOCK ADVISORY WRITE 30 a:0:1 0 EOF\n");
}

static void who_sends_to_its_client_under_a_lock_keeps_the_others(void)
{
	check_first(sends_to_client(true, true), "lost-wakeup", "sends");
	check_first(sends_to_client(false, true), "lost-wakeup", "client");
	check_first(sends_to_client(true, false), "lost-wakeup", "client");
}

/* It holds a lock that another wants, and works; whether it is met at a sleep or at work is chance. */
static void signature_of_worker(const char *state, const char *now, char out[SIGNATURE_SIZE])
{
	static const char locks[] = "1: FLOCK ADVISORY WRITE 20 a:0:1 0 EOF\n"
				    "1: -> FLOCK ADVISORY WRITE 10 a:0:1 0 EOF\n";
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);
	json_t *scans[2];
	struct diagnosis got;

	for (int i = 0; i < 2; i++) {
		struct scan_parts s = scan_begin();
		json_t *task;

		add_process(&s, ASKS, "/x/asks", FLOCK(4));
		task = add_process(&s, SERVER, "/x/works", now);
		json_object_set_new(task, "state", json_string(state));
		json_object_set_new(task, "ran_ns", json_integer(1000000 * (1 + i)));
		json_object_set_new(task, "queued_ns", json_integer(0));
		scans[i] = scan_end(&s, locks);
		json_object_set_new(scans[i], "guest_ns", json_integer(1000000000 * (1 + i)));
	}
	diagnose(&(struct diagnose_input){.scan = scans[1],
			 .earlier = scans[0],
			 .owed = owed,
			 .owed_limit_s = 2,
			 .progressed = true},
		&got);
	CHECK_STR(got.hang_class, "slow");
	CHECK_STR(got.culprits[0].role, "works");
	snprintf(out, SIGNATURE_SIZE, "%s", got.signature);
	diagnosis_free(&got);
	json_decref(scans[0]);
	json_decref(scans[1]);
}

static void who_works_has_one_signature_wherever_it_is_met(void)
{
	char works[SIGNATURE_SIZE], sleeps[SIGNATURE_SIZE], between[SIGNATURE_SIZE];

	signature_of_worker("R", "running", works);
	signature_of_worker("S", SLEEP, sleeps);
	signature_of_worker("S", "running", between); /* woken once its state was read */
	CHECK_STR(works, sleeps);
	CHECK_STR(works, between);
}

CHECK_MAIN(CHECK_CASE(an_idle_server_that_took_the_request_is_late),
	CHECK_CASE(it_is_said_what_that_server_owes),
	CHECK_CASE(a_loop_whose_time_limit_has_come_and_gone_is_not_slow),
	CHECK_CASE(who_both_read_at_one_connection_are_at_rest_until_something_is_owed),
	CHECK_CASE(two_who_read_at_one_connection_are_not_blamed_before_others),
	CHECK_CASE(a_loop_that_does_not_ask_for_its_door_is_late),
	CHECK_CASE(who_waits_for_an_idle_client_is_not_the_one_that_others_wait_for),
	CHECK_CASE(of_several_that_wait_for_the_same_one_it_waits_for_that_one),
	CHECK_CASE(a_server_that_waits_for_one_it_called_is_behind_that_one),
	CHECK_CASE(who_stands_at_a_door_that_several_have_is_missed),
	CHECK_CASE(of_two_that_hang_alike_the_same_one_is_named_in_any_order),
	CHECK_CASE(whose_stack_was_read_stays_the_first),
	CHECK_CASE(who_sends_to_its_client_under_a_lock_keeps_the_others),
	CHECK_CASE(who_works_has_one_signature_wherever_it_is_met))

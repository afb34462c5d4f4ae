/* Whom a pool waits for all together: when it is the pool that is exhausted, and when somebody else is late. */
#include "tests/unit/scan_fixture.h"

#define WORKERS 3
#define FIRST	10 /* of the workers */
#define SERVER	20
#define CLIENT	30 /* the first of theirs */
#define DOOR	90 /* a listening socket */

/* Workers, threads or processes, that read what the server shall send, and how much of what they sent it has not
 * read. */
static json_t *pool_at_server(bool threads, int unread)
{
	struct scan_parts s = scan_begin();

	if (threads)
		add_thread(&s, FIRST - 1, FIRST - 1, "/x/worker", LOOP);
	for (int i = 0; i < WORKERS; i++) {
		int pid = threads ? FIRST - 1 : FIRST + i;

		add_thread(&s, pid, FIRST + i, "/x/worker",
			i == 0	 ? RECV(4)
			: i == 1 ? RECV(5)
				 : RECV(6));
		add_fd(&s, pid, 4 + i, "socket", 100 + i);
		add_fd(&s, SERVER, 5 + i, "socket", 200 + i);
		json_object_set_new(
			add_pair(&s, 100 + i, 200 + i, false), "unread", json_integer(unread));
	}
	add_process(&s, SERVER, "/x/server", LOOP);
	return scan_end(&s, "");
}

/* Workers whose connections stand at the server's door, each with a client of its own; `others`: connections that
 * nobody accepts but those. */
static struct scan_parts pool_at_door(int others)
{
	struct scan_parts s = scan_begin();

	for (int i = 0; i < WORKERS; i++) {
		add_process(&s, FIRST + i, "/x/worker", RECV(4));
		add_process(&s, CLIENT + i, "/x/client", RECV(4));
		add_fd(&s, FIRST + i, 4, "socket", 100 + i);
		add_fd(&s, FIRST + i, 5, "socket", 300 + i);
		add_fd(&s, CLIENT + i, 4, "socket", 400 + i);
		add_pair(&s, 400 + i, 300 + i, false);
		add_at_door(&s, 100 + i, DOOR);
	}
	add_process(&s, SERVER, "/x/server", LOOP);
	add_fd(&s, SERVER, 3, "socket", DOOR);
	add_door(&s, DOOR, "/run/door", WORKERS);
	if (others)
		add_door(&s, DOOR + 1, "/run/other", others);
	return s;
}

static void who_left_the_requests_of_a_pool_unread_is_named_first(void)
{
	check_first(pool_at_server(true, 7), "exhaustion", "server");
	check_first(pool_at_server(true, 0), "exhaustion", "worker");
}

/* Processes alike are a pool where it is not known that somebody else is late for them all. */
static void clients_of_one_that_is_late_are_no_pool(void)
{
	auto_json json_t *stopped = pool_at_server(false, 0);
	json_t *server = json_array_get(json_object_get(stopped, "tasks"), WORKERS);

	check_first(pool_at_server(false, 7), "lost-wakeup", "server");
	check_first(pool_at_server(false, 0), "exhaustion", "worker");
	json_object_set_new(server, "state", json_string("T"));
	check_first(json_incref(stopped), "stopped", "server");
}

/* Of threads too: one stopped process is the cause of it all. */
static void a_pool_at_one_that_is_stopped_waits_for_that_one(void)
{
	auto_json json_t *scan = pool_at_server(true, 0);
	json_t *server = json_array_get(json_object_get(scan, "tasks"), WORKERS + 1);

	json_object_set_new(server, "state", json_string("T"));
	check_first(json_incref(scan), "stopped", "server");
}

/* Processes alike that asked an idle server, which took the requests; each with a client at `kind`, "" for none but a
 * socket without another end, as for a log. */
static json_t *ask_server(const char *kind)
{
	struct scan_parts s = scan_begin();

	for (int i = 0; i < WORKERS; i++) {
		add_process(&s, FIRST + i, "/x/worker", RECV(4));
		add_fd(&s, FIRST + i, 4, "socket", 100 + i);
		add_fd(&s, SERVER, 5 + i, "socket", 200 + i);
		add_pair(&s, 100 + i, 200 + i, true);
		if (!*kind) {
			add_fd(&s, FIRST + i, 5, "socket", 300 + i);
			add_pair(&s, 300 + i, 0, false);
			add_fd(&s, CLIENT, 5, "timerfd", 0);
			continue;
		}
		add_fd(&s, FIRST + i, 5, kind, 300 + i);
		add_fd(&s, CLIENT, 5 + i, kind, strcmp(kind, "pipe") ? 400 + i : 300 + i);
		add_pair(&s, 400 + i, 300 + i, false);
	}
	add_process(&s, CLIENT, "/x/client", LOOP);
	add_process(&s, SERVER, "/x/server", LOOP);
	add_door(&s, DOOR, "/run/server", 0);
	add_door(&s, DOOR + 1, "/run/other", 3);
	return scan_end(&s, "");
}

/* Nothing but what they asked keeps them from anything: connections at the door of another are no work of theirs. */
static void who_only_asks_is_no_worker(void)
{
	check_first(ask_server(""), "lost-wakeup", "server");
	check_first(ask_server("socket"), "exhaustion", "worker");
	check_first(ask_server("pipe"), "exhaustion", "worker");
}

/* The connections that nobody accepts are its own: they are no work that waits for it. */
static void connections_of_the_pool_at_a_door_are_no_work_of_its(void)
{
	struct scan_parts own = pool_at_door(0), others = pool_at_door(1);

	check_first(scan_end(&own, ""), "lost-wakeup", "worker");
	check_first(scan_end(&others, ""), "exhaustion", "worker");
}

/* ... where it is a door of somebody else. */
static void connections_at_its_own_door_are_work_of_its(void)
{
	struct scan_parts s = pool_at_door(0);

	add_fd(&s, FIRST, 3, "socket", DOOR);
	check_first(scan_end(&s, ""), "exhaustion", "worker");
}

CHECK_MAIN(CHECK_CASE(who_left_the_requests_of_a_pool_unread_is_named_first),
	CHECK_CASE(clients_of_one_that_is_late_are_no_pool),
	CHECK_CASE(a_pool_at_one_that_is_stopped_waits_for_that_one),
	CHECK_CASE(who_only_asks_is_no_worker),
	CHECK_CASE(connections_of_the_pool_at_a_door_are_no_work_of_its),
	CHECK_CASE(connections_at_its_own_door_are_work_of_its))

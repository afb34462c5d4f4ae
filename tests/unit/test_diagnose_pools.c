/* Whom a pool waits for all together: when it is the pool that is exhausted, and when somebody else is late. */
#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "tests/check/check.h"

#include <string.h>

#define WORKERS 3
#define FIRST	10 /* of the workers */
#define SERVER	20
#define CLIENT	30 /* the first of theirs */
#define DOOR	90 /* a listening socket */
#define LOOP	"232 0x3 0x7f00 0x8 0xffffffff 0x0 0x0 0x1 0x2"
#define RECV	"45 0x4 0x0 0x0 0x0 0x0 0x0 0x1 0x2"

static json_t *task(int pid, const char *exe, const char *state, const char *syscall)
{
	return json_pack("{si si si ss ss ss si ss}", "pid", pid, "tid", pid, "ppid", 1, "comm",
		exe + 3, "exe", exe, "state", state, "start", 1, "syscall", syscall);
}

static void add_fd(json_t *fds, int pid, int fd, int ino)
{
	json_array_append_new(
		fds, json_pack("{sisisiss}", "pid", pid, "fd", fd, "ino", ino, "kind", "socket"));
}

static void add_pair(json_t *sockets, int one, int other, int unread)
{
	json_array_append_new(sockets, json_pack("{sisi}", "ino", one, "peer", other));
	json_array_append_new(
		sockets, json_pack("{sisisi}", "ino", other, "peer", one, "unread", unread));
}

struct store {
	json_t *tasks, *fds, *sockets;
};

static struct store store_open(void)
{
	return (struct store){json_array(), json_array(), json_array()};
}

static json_t *scan_of(struct store *s)
{
	return json_pack("{so so so}", "tasks", s->tasks, "fds", s->fds, "sockets", s->sockets);
}

/* Workers that read what the server shall send, and how much of what they sent it has not read. */
static json_t *pool_at_server(int unread)
{
	struct store s = store_open();

	for (int i = 0; i < WORKERS; i++) {
		json_array_append_new(s.tasks, task(FIRST + i, "/x/worker", "S", RECV));
		add_fd(s.fds, FIRST + i, 4, 100 + i);
		add_fd(s.fds, SERVER, 5 + i, 200 + i);
		add_pair(s.sockets, 100 + i, 200 + i, unread);
	}
	json_array_append_new(s.tasks, task(SERVER, "/x/server", "S", LOOP));
	return scan_of(&s);
}

/* Workers whose connections stand at the server's door, each with a client of its own; `others`: connections that
 * nobody accepts but those. */
static json_t *pool_at_door(int others)
{
	struct store s = store_open();

	for (int i = 0; i < WORKERS; i++) {
		json_array_append_new(s.tasks, task(FIRST + i, "/x/worker", "S", RECV));
		json_array_append_new(s.tasks, task(CLIENT + i, "/x/client", "S", RECV));
		add_fd(s.fds, FIRST + i, 4, 100 + i);
		add_fd(s.fds, FIRST + i, 5, 300 + i);
		add_fd(s.fds, CLIENT + i, 4, 400 + i);
		add_pair(s.sockets, 400 + i, 300 + i, 0);
		json_array_append_new(
			s.sockets, json_pack("{sisi}", "ino", 100 + i, "accept", DOOR));
	}
	json_array_append_new(s.tasks, task(SERVER, "/x/server", "S", LOOP));
	add_fd(s.fds, SERVER, 3, DOOR);
	json_array_append_new(s.sockets, json_pack("{sisssssi}", "ino", DOOR, "state", "listen",
						 "name", "/run/door", "backlog", WORKERS));
	if (others)
		json_array_append_new(
			s.sockets, json_pack("{sisssssi}", "ino", DOOR + 1, "state", "listen",
					   "name", "/run/other", "backlog", others));
	return scan_of(&s);
}

static void run(const json_t *scan, struct diagnosis *ret)
{
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);

	diagnose(
		&(struct diagnose_input){
			.scan = scan, .earlier = scan, .owed = owed, .owed_limit_s = 2},
		ret);
}

static void check_exhausted(json_t *taken, bool exhausted)
{
	auto_json json_t *scan = taken;
	struct diagnosis got;

	run(scan, &got);
	CHECK(got.hang_class != NULL);
	CHECK_INT(got.hang_class && !strcmp(got.hang_class, "exhaustion"), exhausted);
	diagnosis_free(&got);
}

static void who_left_the_requests_of_a_pool_unread_is_late(void)
{
	auto_json json_t *scan = pool_at_server(7);
	struct diagnosis got;

	run(scan, &got);
	CHECK_STR(got.hang_class, "exhaustion");
	CHECK_INT(got.culprit_count, 1 + WORKERS);
	CHECK_STR(got.culprits[0].role, "server");
	diagnosis_free(&got);
}

static void whose_requests_were_read_comes_before_who_read_them(void)
{
	auto_json json_t *scan = pool_at_server(0);
	struct diagnosis got;

	run(scan, &got);
	CHECK_STR(got.hang_class, "exhaustion");
	CHECK_STR(got.culprits[0].role, "worker");
	diagnosis_free(&got);
}

/* The connections that nobody accepts are its own: they are no work that waits for it. */
static void connections_of_the_pool_at_a_door_are_no_work_of_its(void)
{
	check_exhausted(pool_at_door(0), false);
	check_exhausted(pool_at_door(1), true);
}

/* ... where it is a door of somebody else. */
static void connections_at_its_own_door_are_work_of_its(void)
{
	auto_json json_t *scan = pool_at_door(0);

	add_fd(json_object_get(scan, "fds"), FIRST, 3, DOOR);
	check_exhausted(json_incref(scan), true);
}

CHECK_MAIN(CHECK_CASE(who_left_the_requests_of_a_pool_unread_is_late),
	CHECK_CASE(whose_requests_were_read_comes_before_who_read_them),
	CHECK_CASE(connections_of_the_pool_at_a_door_are_no_work_of_its),
	CHECK_CASE(connections_at_its_own_door_are_work_of_its))

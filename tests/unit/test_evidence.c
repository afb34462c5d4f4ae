/* The scan as tables: what the fields about descriptors and sockets make of a wait. */
#include "diagnose/evidence.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "tests/check/check.h"

#include <string.h>

/* A thread that polls descriptor 4 without a limit, and what the scan says of that. */
static json_t *polling(const json_t *socket)
{
	return json_pack("{ss s[{sisissssss s[i]}] s[] s[{sisisiss}] s[O]}", "locks", "", "tasks",
		"pid", 10, "tid", 10, "state", "S", "exe", "/x/a", "syscall",
		"7 0x7ffe 0x1 0xffffffff 0x0 0x0 0x0 0x7ffd 0x7fff", "wait_fds", 4, "files", "fds",
		"pid", 10, "fd", 4, "ino", 104, "kind", "socket", "sockets", socket);
}

static void who_polls_the_one_socket_that_listens_waits_for_work(void)
{
	auto_json json_t *socket =
		json_pack("{siss si}", "ino", 104, "state", "listen", "backlog", 3);
	auto_json json_t *scan = polling(socket);
	struct evidence e;

	evidence_read(scan, NULL, NULL, &e);
	CHECK_INT(e.tasks[0].wait.kind, WAIT_ACCEPT);
	CHECK_INT(e.tasks[0].wait.fd, 4);
	CHECK_INT(e.sockets[0].backlog, 3);
	evidence_free(&e);
}

static void who_polls_a_connection_is_told_where_its_other_end_is(void)
{
	auto_json json_t *inside = json_pack(
		"{sisssisi}", "ino", 104, "state", "established", "peer", 205, "accept", 300);
	auto_json json_t *outside =
		json_pack("{sisssb}", "ino", 104, "state", "established", "outside", 1);
	auto_json json_t *one = polling(inside), *other = polling(outside);
	struct evidence e;

	evidence_read(one, NULL, NULL, &e);
	CHECK_INT(e.tasks[0].wait.kind, WAIT_POLL);
	CHECK(!e.tasks[0].outside);
	CHECK_INT(evidence_socket(&e, 104)->accept, 300);
	CHECK_INT(evidence_socket(&e, 104)->peer, 205);
	evidence_free(&e);
	evidence_read(other, NULL, NULL, &e);
	CHECK_INT(e.tasks[0].wait.kind, WAIT_POLL);
	CHECK(e.tasks[0].outside);
	evidence_free(&e);
}

static void descriptors_are_found_in_whatever_order_they_are_told(void)
{
	auto_json json_t *scan = json_pack("{s[{sisisi}{sisisi}{sisisi}] s[{si}{si}]}", "fds",
		"pid", 20, "fd", 5, "ino", 205, "pid", 10, "fd", 7, "ino", 107, "pid", 10, "fd", 4,
		"ino", 104, "sockets", "ino", 205, "ino", 104);
	struct evidence e;

	evidence_read(scan, NULL, NULL, &e);
	CHECK_INT(evidence_fd(&e, 10, 7)->ino, 107);
	CHECK_INT(evidence_fd(&e, 20, 5)->ino, 205);
	CHECK(!evidence_fd(&e, 20, 4) && !evidence_fd(&e, 10, -1));
	CHECK_INT(evidence_socket(&e, 104)->ino, 104);
	CHECK(!evidence_socket(&e, 107));
	evidence_free(&e);
}

static void what_the_witness_could_not_get_is_kept_apart_from_what_is_not_there(void)
{
	auto_json json_t *asked =
		json_pack("{s{sbsbsb}}", "parts", "memory", 0, "fds", 1, "sockets", 0);
	auto_json json_t *not_asked = json_object();
	struct evidence e;

	evidence_read(asked, NULL, NULL, &e);
	CHECK(e.no_memory && !e.no_fds && e.no_sockets);
	evidence_free(&e);
	evidence_read(not_asked, NULL, NULL, &e);
	CHECK(!e.no_memory && !e.no_fds && !e.no_sockets);
	evidence_free(&e);
}

CHECK_MAIN(CHECK_CASE(who_polls_the_one_socket_that_listens_waits_for_work),
	CHECK_CASE(who_polls_a_connection_is_told_where_its_other_end_is),
	CHECK_CASE(descriptors_are_found_in_whatever_order_they_are_told),
	CHECK_CASE(what_the_witness_could_not_get_is_kept_apart_from_what_is_not_there))

/* What scans of real processes show of locks: the zoo's golden files, each with what is to be seen in it. */
#include "tests/check/check.h"

#include "base/buf.h"
#include "base/json.h"
#include "diagnose/lock_look.h"

#include <string.h>

#define GOLDEN_MAX (1u << 20)

struct sight {
	const char *file;
	size_t cycles, members, held;
};

static void each_scan_shows_its_cycles_and_no_other(void)
{
	static const struct sight sights[] = {
		{"flock-three", 1, 3, 0},
		/* A file lock is a process's: any thread of it may be the one, so two are enough. */
		{"mixed-three", 1, 2, 0},
		{"mutex-abba", 1, 2, 0},
		{"idle-store", 0, 0, 0},
		{"frozen-store", 0, 0, 0},
		{"parked-in-fsync", 0, 0, 0},
		{"queue-behind-stopped", 0, 0, 0},
		{"queue-behind-event", 0, 0, 0},
	};

	for (size_t i = 0; i < sizeof(sights) / sizeof(*sights); i++) {
		auto_free char *path = text_fmt("tests/golden/diagnose/%s.json", sights[i].file);
		auto_json json_t *golden = json_load_path(path, GOLDEN_MAX, NULL);
		auto_json json_t *look = lock_look(json_object_get(golden, "scan"), NULL, NULL);
		const json_t *cycles = json_object_get(look, "cycles");

		if (!CHECK_INT(json_array_size(cycles), sights[i].cycles) ||
			!CHECK_INT(json_array_size(json_array_get(cycles, 0)), sights[i].members) ||
			!CHECK_INT(json_array_size(json_object_get(look, "held")), sights[i].held))
			fprintf(stderr, "in '%s'\n", sights[i].file);
	}
}

/* The scan of two processes at one flock, the holder of which polls descriptor 7, its socket to a client. */
static json_t *held_scan(bool outside, bool exclusive)
{
	auto_free char *locks = text_fmt("1: FLOCK  ADVISORY  %s 10 fe:10:7 0 EOF\n"
					 "1: -> FLOCK  ADVISORY  WRITE 20 fe:10:7 0 EOF\n",
		exclusive ? "WRITE" : "READ ");

	return json_pack("{sI s[{si si si ss ss ss ss ss s[i]} {si si si ss ss ss ss ss}]"
			 " ss s[{si si si ss ss}] s[{si ss ss sb}]}",
		"guest_ns", (json_int_t)1, "tasks", "pid", 10, "tid", 10, "ppid", 1, "comm", "imap",
		"state", "S", "exe", "/usr/lib/imap", "wchan", "do_sys_poll", "syscall",
		"7 0x1 0x1 0xffffffff 0x0 0x0 0x0 0x0 0x0", "wait_fds", 7, "pid", 20, "tid", 20,
		"ppid", 1, "comm", "lmtp", "state", "S", "exe", "/usr/lib/lmtp", "wchan",
		"locks_lock_inode_wait", "syscall", "73 0x5 0x2 0x0 0x0 0x0 0x0 0x0 0x0", "locks",
		locks, "fds", "pid", 10, "fd", 7, "ino", 99, "kind", "socket", "mode", "rw",
		"sockets", "ino", 99, "family", "tcp", "state", "established", "outside",
		(int)outside);
}

static void a_lock_held_for_a_client_is_seen(void)
{
	static const struct {
		const char *name;
		bool outside, exclusive;
		size_t held;
	} rows[] = {
		{"its holder waits for a client", true, true, 1},
		{"its holder waits for somebody inside", false, true, 0},
		{"it is shared", true, false, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		auto_json json_t *scan = held_scan(rows[i].outside, rows[i].exclusive);
		auto_json json_t *look = NULL;
		const json_t *held;

		if (!CHECK(scan != NULL))
			return;
		look = lock_look(scan, NULL, NULL);
		held = json_object_get(look, "held");
		if (!CHECK_INT(json_array_size(held), rows[i].held))
			fprintf(stderr, "in '%s'\n", rows[i].name);
		if (rows[i].held)
			CHECK_STR(json_get_text(json_array_get(held, 0), "role", "?"), "imap");
	}
}

static void nonsense_shows_nothing(void)
{
	auto_json json_t *nothing = lock_look(NULL, NULL, NULL);
	auto_json json_t *odd = json_pack("{s[i s {}] si}", "tasks", 1, "x", "locks", 3);
	auto_json json_t *look = lock_look(odd, NULL, NULL);

	CHECK_INT(json_array_size(json_object_get(nothing, "cycles")), 0);
	CHECK_INT(json_array_size(json_object_get(look, "held")), 0);
}

CHECK_MAIN(CHECK_CASE(each_scan_shows_its_cycles_and_no_other),
	CHECK_CASE(a_lock_held_for_a_client_is_seen), CHECK_CASE(nonsense_shows_nothing))

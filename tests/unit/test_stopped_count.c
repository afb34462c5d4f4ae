#include "base/cleanup.h"
#include "run/bed/stopped_count.h"
#include "tests/check/check.h"

/* Two sockets of a stopped process beside other descriptors; the tables as Linux 6.1 and iproute2 6.1 write them. */
#define FDS                                                                   \
	"total 0\n"                                                           \
	"lrwx------ 1 root root 64 Nov 22 03:00 0 -> /dev/null\n"             \
	"lrwx------ 1 root root 64 Nov 22 03:00 7 -> 'socket:[4711]'\n"       \
	"lrwx------ 1 root root 64 Nov 22 03:00 8 -> socket:[4712]\n"         \
	"==\n"                                                                \
	"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when " \
	"retrnsmt   uid  timeout inode\n"
#define TCP(state, rx, inode)                                      \
	"   3: 0F02000A:0018 0202000A:A1B2 " state " 00000000:" rx \
	" 02:000005D8 00000000     0        0 " inode " 2 0000000000000000 20 4 30 10 -1\n"

static void sockets_that_keep_somebody_waiting_are_counted(void)
{
	static const char *const owed[] = {"10.0.2.2:41394"}; /* 0xA1B2 */
	static const struct {
		const char *text;
		size_t owed;
		uint32_t waiting;
	} cases[] = {
		{FDS TCP("01", "00000000", "4711") "==\n", 0, 0},
		{FDS TCP("01", "00000010", "4711") "==\n", 0, 1}, /* bytes nobody reads */
		{FDS TCP("0A", "00000002", "4711") "==\n", 0, 1}, /* a listener's backlog */
		{FDS TCP("01", "00000010", "9999") "==\n", 0, 0}, /* somebody else's */
		{FDS TCP("01", "00000000", "4711") "==\n", 1, 1}, /* read, and the reply is owed */
		{FDS TCP("0A", "00000000", "4711") "==\n", 1, 0}, /* a listener owes none */
		{FDS "==\nu_str ESTAB 5 0 * 4712 * 4713\n", 0, 1},
		{FDS "==\nu_str LISTEN 1 128 /run/dovecot/auth 4712 * 0\n", 0, 1},
		{FDS "==\nu_str ESTAB 0 0 * 4712 * 4713\nu_str ESTAB 7 0 * 4713 * 4712\n", 0, 0},
		{FDS TCP("01", "00000010", "4711") "==\nu_str ESTAB 5 0 * 4712 * 4713\n", 0, 2},
		{"", 0, 0},
		{"==\n==\nu_str", 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!CHECK_INT(
			    stopped_sockets(cases[i].text, owed, cases[i].owed), cases[i].waiting))
			fprintf(stderr, "case %zu\n", i);
}

static void waiters_behind_a_stopped_holder_are_counted(void)
{
	static const char locks[] = "1: FLOCK  ADVISORY  WRITE 359 00:13:11691 0 EOF\n"
				    "1: -> FLOCK  ADVISORY  WRITE 360 00:13:11691 0 EOF\n"
				    "1: -> FLOCK  ADVISORY  WRITE 361 00:13:11691 0 EOF\n"
				    "2: POSIX  ADVISORY  READ 370 fd:01:42 0 EOF\n"
				    "2: -> POSIX  ADVISORY  WRITE 371 fd:01:42 0 EOF\n"
				    "nonsense\n";
	static const int first[] = {359}, waiter[] = {360}, both[] = {370, 359};

	CHECK_INT(stopped_lock_waiters(locks, first, 1), 2);
	CHECK_INT(stopped_lock_waiters(locks, waiter, 1), 0);
	CHECK_INT(stopped_lock_waiters(locks, both, 2), 3);
	CHECK_INT(stopped_lock_waiters("", both, 2), 0);
}

CHECK_MAIN(CHECK_CASE(sockets_that_keep_somebody_waiting_are_counted),
	CHECK_CASE(waiters_behind_a_stopped_holder_are_counted))

#include "tests/unit/oracle_table.h"

#define SENT		      WORK SEND(1, "m1", "u1@store") TRY("edge", "m1", "u1@store", "2yz")
#define GOT(to, result, code) TRY_AT("inner", "m1", to, result, code, 3, 4)

static void a_promise_is_a_copy(void)
{
	static const struct row rows[] = {
		{"taken, and no copy", SENT GOT("u1@store", "2yz", 250) READ("u1") END,
			RULING_BROKEN, "no copy", .role = "inner lmtp-message 2yz lost", .line = 4},
		{"taken, and half a copy",
			SENT GOT("u1@store", "2yz", 250) READ("u1") PARTIAL("m1", "u1") END,
			RULING_BROKEN, "damaged"},
		{"taken, and a copy",
			SENT GOT("u1@store", "2yz", 250) READ("u1") COPY("m1", "u1") END,
			RULING_HOLDS},
		{"taken, and removed by the rig",
			SENT GOT("u1@store", "2yz", 250) "{\"t\":5,\"ev\":\"excused\",\"user\":"
							 "\"u1\",\"token\":\"m1\"}\n" READ("u1")
								 END,
			RULING_HOLDS, .excused = 1},
		{"taken while the mailbox was being read",
			SENT PHASE(3, "read-back") GOT("u1@store", "2yz", 250) READ("u1") END,
			RULING_NOT_APPLICABLE},
		{"taken before it was read",
			SENT GOT("u1@store", "2yz", 250) PHASE(5, "read-back") READ("u1") END,
			RULING_BROKEN, "no copy"},
		{"the mailbox was not read", SENT GOT("u1@store", "2yz", 250) END,
			RULING_CANNOT_TELL, "not read back"},
		{"refused before the dot: nothing is promised",
			SENT TRY("inner", "m1", "u1@store", "5yz") READ("u1") END,
			RULING_NOT_APPLICABLE},
		{"cut short", SENT GOT("u1@store", "2yz", 250), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("L2", rows);
}

static void a_refusal_is_no_copy(void)
{
	static const struct row rows[] = {
		{"refused and kept",
			SENT GOT("u1@store", "4yz", 451) READ("u1") COPY("m1", "u1") END,
			RULING_BROKEN, "left a copy", .role = "inner lmtp-message 4yz kept"},
		{"refused for good and kept",
			SENT GOT("u1@store", "5yz", 550) READ("u1") COPY("m1", "u1") END,
			RULING_BROKEN, "left a copy"},
		{"refused, then taken while the mailbox was being read",
			SENT TRY_AT("inner", "m1", "u1@store", "4yz", 451, 2, 3) PHASE(
				4, "read-back") TRY_AT("inner", "m1", "u1@store", "2yz", 250, 4, 5)
				READ("u1") COPY("m1", "u1") END,
			RULING_HOLDS},
		{"refused and kept, then taken",
			SENT GOT("u1@store", "4yz", 451) GOT("u1@store", "2yz", 250) READ("u1")
				COPY("m1", "u1") COPY("m1", "u1") END,
			RULING_BROKEN, "2 copies, 1 explained"},
		{"refused, then taken",
			SENT GOT("u1@store", "4yz", 451) GOT("u1@store", "2yz", 250) READ("u1")
				COPY("m1", "u1") END,
			RULING_HOLDS},
		{"refused, and a reply was lost",
			SENT GOT("u1@store", "4yz", 451) GOT("u1@store", "none", 0) READ("u1")
				COPY("m1", "u1") END,
			RULING_HOLDS},
		{"the rig copied it",
			SENT GOT("u1@store", "4yz", 451) GOT("u1@store", "2yz", 250)
				OP(5, 9, "imap-uid-copy", "u1") DONE(6, 9, "OK") READ("u1")
					COPY("m1", "u1") COPY("m1", "u1") END,
			RULING_CANNOT_TELL, "copied"},
	};

	CHECK_TABLE("L2", rows);
}

#define HURT(from, to, fault, user)                                                              \
	"{\"t\":" #from ",\"ev\":\"fault\",\"step\":\"s\",\"fault\":" Q(                         \
		fault) ",\"state\":\"in-force\",\"user\":" Q(user) "}\n"                         \
								   "{\"t\":" #to                 \
								   ",\"ev\":\"fault\",\"step\":" \
								   "\"s\",\"fault\":" Q(         \
									   fault) ",\"state\":"  \
										  "\"healed\"}\n"
#define TWO  WORK SEND(1, "m1", "u1@store") TRY("edge", "m1", "u2@store", "2yz")
#define LATE GOT("u2@store", "4yz", 451) TRY_AT("inner", "m1", "u2@store", "2yz", 250, 30, 31)
#define USUAL                                                               \
	WORK SEND(1, "m1", "u1@store") TRY("edge", "m1", "u2@store", "2yz") \
		GOT("u2@store", "2yz", 250) END
#define KEPT READ("u2") COPY("m1", "u2") END

static void ones_trouble_is_nobody_elses(void)
{
	static const struct row rows[] = {
		{"another is refused", TWO HURT(2, 9, "errno", "u1") LATE KEPT, RULING_BROKEN,
			"'u1' alone", .baseline = USUAL, .role = "inner lmtp-message bystander"},
		{"the hurt one is refused", TWO HURT(2, 9, "errno", "u2") LATE KEPT, RULING_HOLDS,
			.baseline = USUAL},
		{"another is taken", TWO HURT(2, 9, "errno", "u1") GOT("u2@store", "2yz", 250) KEPT,
			RULING_HOLDS, .baseline = USUAL},
		{"after the heal", TWO HURT(1, 2, "errno", "u1") LATE KEPT, RULING_HOLDS,
			.baseline = USUAL},
		{"the process was killed: a shared cause", TWO HURT(2, 9, "kill", "u1") LATE KEPT,
			RULING_HOLDS, .baseline = USUAL},
		{"another fault hurts all",
			TWO HURT(2, 9, "errno", "u1") FAULT(2, "f", "in-force") LATE KEPT,
			RULING_HOLDS, .baseline = USUAL},
		{"it was refused in the baseline too", TWO HURT(2, 9, "errno", "u1") LATE KEPT,
			RULING_HOLDS,
			.baseline = WORK SEND(1, "m1", "u1@store") GOT("u2@store", "4yz", 451) END},
		{"no baseline", TWO HURT(2, 9, "errno", "u1") LATE KEPT, RULING_CANNOT_TELL,
			"baseline"},
	};

	CHECK_TABLE("L2", rows);
}

CHECK_MAIN(CHECK_CASE(a_promise_is_a_copy), CHECK_CASE(a_refusal_is_no_copy),
	CHECK_CASE(ones_trouble_is_nobody_elses))

#include "tests/unit/oracle_table.h"

#define DIED(signal, more)                                          \
	WORK "{\"t\":5,\"ev\":\"died\",\"program\":\"/usr/libexec/" \
	     "imap\",\"pid\":7,\"signal\":" signal more "}\n"

static void a_crash_is_blamed(void)
{
	static const struct row rows[] = {
		{"SIGSEGV", DIED("11", ""), RULING_BROKEN, "'imap' died of SIGSEGV"},
		{"SIGBUS", DIED("7", ""), RULING_BROKEN, "SIGBUS"},
		{"SIGILL", DIED("4", ""), RULING_BROKEN},
		{"SIGFPE", DIED("8", ""), RULING_BROKEN},
		{"SIGABRT", DIED("6", ""), RULING_BROKEN},
		{"SIGSYS", DIED("31", ""), RULING_BROKEN},
		{"by name", DIED("\"SIGSEGV\"", ""), RULING_BROKEN, "SIGSEGV"},
		{"by short name", DIED("\"SEGV\"", ""), RULING_BROKEN, "SIGSEGV"},
		{"its own panic line",
			WORK "{\"t\":5,\"ev\":\"died\",\"program\":\"imap\",\"text\":\"Panic: file "
			     "x.c\"}\n",
			RULING_BROKEN, "Panic: file"},
		{"a segmentation fault while the rig stops the store",
			DIED("11", ",\"by_rig\":true"), RULING_BROKEN},
	};

	CHECK_TABLE("H5", rows);
}

static void an_ordinary_end_is_not(void)
{
	static const struct row rows[] = {
		{"nobody died", WORK END, RULING_HOLDS},
		{"SIGTERM", DIED("15", ""), RULING_HOLDS},
		{"SIGKILL", DIED("9", ""), RULING_HOLDS},
		{"SIGABRT sent by the rig", DIED("6", ",\"by_rig\":true"), RULING_HOLDS},
		{"SIGKILL with a text is no panic", DIED("9", ",\"text\":\"killed\""),
			RULING_HOLDS},
		{"SIGTERM by name with a text is none", DIED("\"SIGTERM\"", ",\"text\":\"ended\""),
			RULING_HOLDS},
		{"the kernel wanted memory", DIED("9", ",\"oom\":true"), RULING_CANNOT_TELL,
			"memory"},
		{"nothing ran", STARVED(1), RULING_NOT_APPLICABLE},
	};

	CHECK_TABLE("H5", rows);
}

static void every_deletion_is_answered(void)
{
	static const struct row rows[] = {
		{"it was", WORK OP(3, 1, "imap-uid-expunge", "u1") DONE(4, 1, "NO") END,
			RULING_HOLDS},
		{"it was not", WORK OP(3, 1, "imap-uid-expunge", "u1") END, RULING_BROKEN,
			"never answered"},
		{"a queue entry", WORK OP(3, 1, "queue-delete", "") END, RULING_BROKEN},
		{"a fetch is no deletion", WORK OP(3, 1, "imap-fetch", "u1") END, RULING_HOLDS},
		{"a fault was in force all the time",
			WORK FAULT(2, "freeze-fs", "in-force") OP(3, 1, "imap-expunge", "u1") END,
			RULING_CANNOT_TELL},
	};

	CHECK_TABLE("H5", rows);
}

CHECK_MAIN(CHECK_CASE(a_crash_is_blamed), CHECK_CASE(an_ordinary_end_is_not),
	CHECK_CASE(every_deletion_is_answered))

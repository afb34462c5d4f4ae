/* The queue at the end of whole cells on the fake store: what is not told is not known, and nobody's fault. */
#include "tests/unit/cell_fixture.h"

#define TARGET(commands, drain)                                                                \
	"summary: the fake store\n"                                                            \
	"image: none\n"                                                                        \
	"ready_within: 20s\n"                                                                  \
	"users: [u1]\n"                                                                        \
	"services:\n"                                                                          \
	"  - {name: smtp, protocol: smtp, port: 25}\n"                                         \
	"  - {name: imap, protocol: imap, port: 143}\n"                                        \
	"commands: {start: fake-start, stop: fake-stop, queue_list: fake-queue" commands "}\n" \
	"timers: {retry_first: 300ms, retry_longest: 300ms}\n"                                 \
	"objectives: {recover: 2s, drain: " drain ", stop: 20s}\n"

static const char scenario_yaml[] = "claim: nothing is lost\n"
				    "workload:\n"
				    "  - {as: mail, do: smtp, messages: 6, size: 1KiB, to: [u1]}\n";

/* A queue that is listed is waited for until it is empty, however slow the host; one that never is, a second. */
static const struct queue_case {
	const char *name, *target;
	int unlisted;
	bool loses;
	const char *verdict, *s1, *s7;
} queue_cases[] = {
	{"listed at once", TARGET("", "20s"), 0, false, "PASS", "holds", "holds"},
	{"counted, and empty as listed", TARGET(", queue_count: fake-count", "20s"), 0, false,
		"PASS", "holds", "holds"},
	{"too long for the first two looks alone", TARGET("", "20s"), 2, false, "PASS", "holds",
		"holds"},
	{"counted as empty, and never listed", TARGET(", queue_count: fake-count", "1s"), -1, false,
		"UNKNOWN", "holds", "cannot-tell"},
	{"never listed: how it drained is not known, what is in the mailboxes is", TARGET("", "1s"),
		-1, false, "UNKNOWN", "holds", "cannot-tell"},
	{"never listed: what is missing may be in it", TARGET("", "1s"), -1, true, "UNKNOWN",
		"cannot-tell", "cannot-tell"},
	{"listed: what is missing is lost", TARGET("", "20s"), 0, true, "FAIL", "broken", "holds"},
};

static void a_queue_too_long_to_be_listed_breaks_no_cell(void)
{
	struct fixture_cell cells[ARRAY_SIZE(queue_cases)] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(queue_cases); i++) {
		cells[i].wish = (struct bed_fake_wish){.unlisted = queue_cases[i].unlisted,
			.bug = FAKE_LOSES,
			.nth = queue_cases[i].loses ? 2 : 0};
		fixture_cell_start(
			&cells[i], fixture_plan_on(queue_cases[i].target, scenario_yaml));
	}
	for (size_t i = 0; i < ARRAY_SIZE(queue_cases); i++) {
		const struct result *result = &cells[i].result;
		bool ok;

		pthread_join(cells[i].thread, NULL);
		ok = CHECK_INT(cells[i].rc, 0);
		ok = CHECK_STR(verdict_name(result->verdict), queue_cases[i].verdict) && ok;
		ok = CHECK_STR(fixture_ruling(result, "S1"), queue_cases[i].s1) && ok;
		ok = CHECK_STR(fixture_ruling(result, "S7"), queue_cases[i].s7) && ok;
		if (!ok)
			fprintf(stderr, "%s: %s\n", queue_cases[i].name, result->reason);
		fixture_cell_free(&cells[i]);
	}
}

CHECK_MAIN(CHECK_CASE(a_queue_too_long_to_be_listed_breaks_no_cell))

/* The figures of a drain, from small histories: what they are is counted by hand beside each. */
#include "run/drain.h"
#include "tests/check/check.h"

#include "base/buf.h"
#include "base/json.h"

#define HEALED(name)                                                   \
	"{\"t\":5.0,\"ev\":\"fault\",\"step\":\"x\",\"fault\":\"" name \
	"\",\"state\":\"healed\",\"count\":3}\n"
#define ACCEPTED(t, token)                                                               \
	"{\"t\":" t ",\"ev\":\"attempt\",\"hop\":\"edge\",\"conn\":1,\"token\":\"" token \
	"\",\"to\":\"u1@store\",\"result\":\"2yz\",\"code\":250}\n"
#define TRIED(t, conn, token)                                                                    \
	"{\"t\":" t ",\"ev\":\"attempt\",\"hop\":\"inner\",\"conn\":" conn ",\"token\":\"" token \
	"\",\"to\":\"u1@store\",\"result\":\"2yz\",\"code\":250,\"dot_t\":" t "}\n"
#define COPY(user, uid, token)                                                          \
	"{\"t\":20.0,\"ev\":\"copy\",\"user\":\"" user                                  \
	"\",\"mailbox\":\"INBOX\",\"uidvalidity\":1,\"uid\":" uid ",\"token\":\"" token \
	"\",\"sha256\":\"x\",\"bytes\":1,\"whole\":true}\n"
#define DRAINED(t, empty)                                  \
	"{\"t\":" t ",\"ev\":\"drained\",\"empty\":" empty \
	",\"took_s\":1.0,\"depth\":0,\"limit_s\":9.0}\n"

static const struct {
	const char *what, *lines;
	int64_t empty_ms, burst, tries, duplicates, reordered;
} drains[] = {
	{"nothing came", HEALED("mta-busy") DRAINED("5.25", "true"), 250, 0, 0, 0, 0},
	{"the queue stayed full", HEALED("mta-busy") DRAINED("9.0", "false"), -1, 0, 0, 0, 0},
	{"three within a second, one later, one before the heal does not count",
		TRIED("4.0", "1", "a") HEALED("mta-busy") TRIED("6.0", "2", "a") TRIED("6.5", "3",
			"b") TRIED("6.9", "4", "c") TRIED("7.2", "5", "d") DRAINED("8.0", "true"),
		3000, 3, 4, 0, 0},
	{"one try for two recipients is one",
		HEALED("mta-busy") TRIED("6.0", "2", "a") TRIED("6.0", "2", "a"), -1, 1, 1, 0, 0},
	{"a copy too many, once for one of two users",
		HEALED("mta-busy") COPY("u1", "1", "a") COPY("u1", "2", "a") COPY("u2", "1", "a"),
		-1, 0, 0, 1, 0},
	{"b came before a in the mailbox although a was accepted first",
		ACCEPTED("1.0", "a") ACCEPTED("2.0", "b") ACCEPTED("3.0", "c") HEALED("mta-busy")
			COPY("u1", "1", "b") COPY("u1", "2", "a") COPY("u1", "3", "c")
				COPY("u2", "1", "a") COPY("u2", "2", "b"),
		-1, 0, 0, 0, 1},
};

static void each_figure_is_what_the_history_says(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(drains); i++) {
		struct err err = {0};
		struct history *history = history_from_lines(drains[i].lines, &err);
		auto_json json_t *got = history ? drain_measure(history) : NULL;

		if (!CHECK(got != NULL) ||
			!CHECK_INT(json_get_int(got, "empty_ms", 0), drains[i].empty_ms) ||
			!CHECK_INT(json_get_int(got, "burst_1s", -1), drains[i].burst) ||
			!CHECK_INT(json_get_int(got, "tries", -1), drains[i].tries) ||
			!CHECK_INT(json_get_int(got, "duplicates", -1), drains[i].duplicates) ||
			!CHECK_INT(json_get_int(got, "reordered", -1), drains[i].reordered))
			fprintf(stderr, "%s: %s\n", drains[i].what, err.text);
		history_free(history);
	}
}

static void without_a_disabled_agent_there_is_no_drain(void)
{
	struct history *history =
		history_from_lines(HEALED("freeze-fs") DRAINED("6.0", "true"), NULL);

	CHECK(drain_measure(history) == NULL);
	history_free(history);
}

CHECK_MAIN(CHECK_CASE(each_figure_is_what_the_history_says),
	CHECK_CASE(without_a_disabled_agent_there_is_no_drain))

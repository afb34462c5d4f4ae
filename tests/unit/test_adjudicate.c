/* What the events of a branch say about a hang. Times are reasoned: waited before the save + until the event. */
#include "tests/check/check.h"

#include "base/clock.h"
#include "base/json.h"
#include "run/bed/adjudicate.h"

#include <string.h>

struct step {
	const char *name;
	double at_s;
	const char *json;
};

#define EVENTS_MAX 6

static const struct {
	const char *says;
	size_t owed;
	double owed_s;
	const char *tasks; /* as in the answer of `watch` */
	struct step events[EVENTS_MAX];
	const char *stopped;
	const char *recovery;
	int64_t after_s; /* -1: none */
	const char *event;
} rows[] = {
	{"a pool whose first thread is free serves a client", 2, 1.6,
		"[{\"tid\":7,\"waited_ns\":2000000000}]",
		{{"watched", 3000, "{}"},
			{"left", 8998, "{\"tid\":7,\"comm\":\"store\",\"exe\":\"/usr/bin/store\"}"},
			{"sent", 8998.7, "{\"port\":25,\"bytes\":8,\"text\":\"250 ok\\r\\n\"}"}},
		NULL, "after_guest_s", 9000,
		"thread 7 of `store` leaves its wait; 0.7 s later port 25 answers '250 ok'"},
	{"a thread that is told after the answer it gave is its cause", 1, 1.6,
		"[{\"tid\":7,\"waited_ns\":2000000000},{\"tid\":8,\"waited_ns\":0}]",
		{{"sent", 8998.7, "{\"port\":25,\"bytes\":8,\"text\":\"250 ok\\r\\n\"}"},
			{"left", 8998.8, "{\"tid\":8,\"comm\":\"store\"}"},
			{"left", 8998, "{\"tid\":7,\"comm\":\"store\"}"}},
		NULL, "after_guest_s", 9000,
		"thread 7 of `store` leaves its wait; 0.7 s later port 25 answers '250 ok'"},
	{"a thread that moved long before, or after the answer, gave it not", 1, 1.6,
		"[{\"tid\":7,\"waited_ns\":2000000000}]",
		{{"sent", 8998.4, "{\"port\":25,\"bytes\":8,\"text\":\"250 ok\\r\\n\"}"},
			{"left", 600, "{\"tid\":7,\"comm\":\"store\"}"}, {"watched", 9000, "{}"}},
		NULL, "after_guest_s", 9000, "port 25 answers '250 ok'"},
	{"an answer that no watched thread gave counts from when it was owed", 1, 10, "[]",
		{{"sent", 3590, "{\"port\":25,\"bytes\":9,\"text\":\"451 error\"}"}}, NULL,
		"after_guest_s", 3600, "port 25 answers '451 error'"},
	{"the end of a connection is an end of the wait", 1, 0, "[]",
		{{"sent", 300, "{\"port\":143,\"bytes\":0,\"end\":true,\"text\":\"\"}"}}, NULL,
		"after_guest_s", 300, "port 143 closes the connection"},
	{"without a debt the thread is all there is", 0, 0, "[{\"tid\":7,\"waited_ns\":500000000}]",
		{{"ended", 99.5, "{\"tid\":7,\"comm\":\"a\",\"exe\":\"\"}"}}, NULL, "after_guest_s",
		100, "thread 7 of `a` ends"},
	{"a thread that goes on to another wait serves nobody", 1, 0,
		"[{\"tid\":7,\"waited_ns\":0}]",
		{{"left", 600, "{\"tid\":7,\"comm\":\"a\"}"}, {"watched", 900, "{}"}}, NULL,
		"permanent", -1, "nothing moved in 6.0 h of guest time"},
	{"the thread that counts is the one shortly before the answer", 1, 0,
		"[{\"tid\":7,\"waited_ns\":0},{\"tid\":8,\"waited_ns\":1000000000}]",
		{{"left", 600, "{\"tid\":7,\"comm\":\"a\"}"}, {"watched", 900, "{}"},
			{"left", 1199, "{\"tid\":8,\"comm\":\"a\"}"},
			{"sent", 1199.5, "{\"port\":25,\"bytes\":3,\"text\":\"250\"}"}},
		NULL, "after_guest_s", 1200,
		"thread 8 of `a` leaves its wait; 0.5 s later port 25 answers '250'"},
	{"nothing but the clock", 1, 5, "[]", {{"watched", 10800, "{}"}}, NULL, "permanent", -1,
		"nothing moved in 6.0 h of guest time"},
	{"what was not seen to its end is not judged", 1, 5, "[]", {{"watched", 300, "{}"}},
		"the host is slow", "not-judged", -1, "the host is slow"},
	{"log lines and kernel messages end no wait", 1, 5, "[]",
		{{"log", 50, "{\"line\":\"x\"}"}, {"kernel", 60, "{\"line\":\"hung task\"}"}}, NULL,
		"permanent", -1, "nothing moved in 6.0 h of guest time"},
	{"events that lie", 1, 5, "[1,{\"tid\":\"x\"},{\"tid\":7,\"waited_ns\":-1}]",
		{{"left", 40, "{\"tid\":7,\"comm\":3}"},
			{"sent", 41, "{\"port\":-1,\"bytes\":\"x\",\"text\":{}}"}},
		NULL, "after_guest_s", 45, NULL},
};

static void a_row(size_t i)
{
	auto_json json_t *tasks = json_loads(rows[i].tasks, 0, NULL), *result = NULL;
	struct adjudication a = {.owed = rows[i].owed, .owed_s = rows[i].owed_s, .tasks = tasks};
	bool stop = false;

	for (size_t k = 0; k < EVENTS_MAX && rows[i].events[k].name; k++) {
		const struct step *step = &rows[i].events[k];
		auto_json json_t *json = json_loads(step->json, 0, NULL);

		CHECK(json && !stop);
		stop = adjudication_event(
			&a, step->name, json, (int64_t)(step->at_s * (double)NS_PER_SEC));
	}
	CHECK_INT(stop, rows[i].after_s >= 0);
	result = adjudication_result(&a, 6 * 3600, rows[i].stopped);
	CHECK_INT(json_get_int(result, "after_guest_s", -1), rows[i].after_s);
	if (!CHECK_STR(json_get_text(result, "recovery", ""), rows[i].recovery))
		fprintf(stderr, "%s\n", rows[i].says);
	if (rows[i].event)
		CHECK_STR(json_get_text(result, "event", ""), rows[i].event);
	adjudication_free(&a);
}

static void the_first_recovery_is_told_with_its_cause(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		a_row(i);
}

static void a_store_with_longer_timers_is_given_more_time(void)
{
	static const struct {
		struct timers timers;
		double want_s;
	} limits[] = {
		{{-1, -1, -1, -1, -1}, 6 * 3600},
		{{.retry_longest_ms = 4000000, .agent_silent_ms = 600000}, 6 * 3600},
		{{.stuck_worker_ms = 36000000}, 43200},		 /* 10 h and a fifth */
		{{.agent_silent_ms = 9000000}, 6 * 3600},	 /* 2.5 h: well inside */
		{{.retry_longest_ms = 864000000000}, 48 * 3600}, /* nobody waits that long */
	};

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		CHECK(adjudication_limit_s(&limits[i].timers) == limits[i].want_s);
}

static void what_tells_how_it_is_answers_nobody(void)
{
	static const struct {
		const char *text;
		bool informs;
	} texts[] = {
		{"* OK Waiting for authentication process to respond..\r\n", true},
		{"* OK still here\r\n* no [ALERT] soon\r\n", true},
		{"* BAD you\r\n* OK\r\n", false}, /* the second is cut short: who knows */
		{"* OK Waiting\r\na1 OK logged in\r\n", false},
		{"* BYE too late\r\n", false},
		{"* 5 EXISTS\r\n", false},
		{"a1 NO no\r\n", false},
		{"250 ok\r\n", false},
		{"+OK\r\n", false},
		{"+ go on\r\n", false},
		{"\r\n", false},
		{"", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!CHECK_INT(adjudication_informs(texts[i].text), texts[i].informs))
			fprintf(stderr, "%s\n", texts[i].text);
}

CHECK_MAIN(CHECK_CASE(what_tells_how_it_is_answers_nobody),
	CHECK_CASE(the_first_recovery_is_told_with_its_cause),
	CHECK_CASE(a_store_with_longer_timers_is_given_more_time))

/* What is noticed from outside, read from histories that say it. */
#include "tests/check/check.h"

#include "api/symptoms.h"
#include "base/fs.h"
#include "base/json.h"

#include <string.h>

static json_t *symptoms(const char *text)
{
	auto_free char *path = path_join(check_dir(), "history.jsonl");
	struct history *history = NULL;
	json_t *lines = NULL;

	CHECK_INT(fs_write_atomic(path, text, strlen(text), NULL), 0);
	if (CHECK_INT(history_load(path, &history, NULL), 0))
		lines = symptoms_of(history);
	history_free(history);
	return lines;
}

static const char *line(const json_t *lines, size_t i)
{
	const char *text = json_string_value(json_array_get(lines, i));

	return text ? text : "";
}

#define BEGIN(t, id, op) "{\"t\":" t ",\"ev\":\"begin\",\"id\":" id ",\"op\":\"" op "\"}\n"
#define END(t, id, op) \
	"{\"t\":" t ",\"ev\":\"end\",\"id\":" id ",\"op\":\"" op "\",\"outcome\":\"OK\"}\n"
#define PHASE(t, name) "{\"t\":" t ",\"ev\":\"phase\",\"name\":\"" name "\"}\n"

static void a_service_that_answers_soon_has_no_symptom(void)
{
	auto_json json_t *lines = symptoms(BEGIN("0.0", "1", "http-get") END("0.5", "1", "http-get")
			BEGIN("8.0", "2", "http-get") END("8.4", "2", "http-get")
				PHASE("9.0", "stop"));

	CHECK_INT(json_array_size(lines), 0);
}

/* Two wait from 1.0 on, none is answered before 4.0; the answer at 0.2 was before. */
static void a_silence_is_from_the_first_that_waits_to_the_next_answer(void)
{
	auto_json json_t *lines = symptoms(BEGIN("0.0", "1", "smtp") END("0.2", "1", "smtp")
			BEGIN("1.0", "2", "smtp") BEGIN("2.0", "3", "smtp") END("4.0", "2", "smtp")
				END("4.1", "3", "smtp") PHASE("9.0", "stop"));

	CHECK_INT(json_array_size(lines), 1);
	CHECK_STR(line(lines, 0), "smtp: silent for 3.0 s from 1.0 s on, 2 waiting");
}

static void a_silence_may_last_to_the_end(void)
{
	auto_json json_t *lines = symptoms(BEGIN("1.0", "1", "web")
			PHASE("6.0", "stop") "{\"t\":26.0,\"ev\":\"stop\",\"ended\":false,\"took_"
					     "s\":20.0,\"left\":[{},{}]}\n");

	CHECK_INT(json_array_size(lines), 2);
	CHECK_STR(line(lines, 0), "web: silent for 5.0 s from 1.0 s on, to the end, 1 waiting");
	CHECK_STR(line(lines, 1), "stop: timed out after 20.0 s, 2 processes left");
}

/* The first never came as far as a reply, the second did, the third still waits. */
static void mail_without_a_reply_is_counted(void)
{
	auto_json json_t *lines = symptoms(
		"{\"t\":0.0,\"ev\":\"begin\",\"id\":1,\"op\":\"smtp\",\"service\":\"smtp\","
		"\"token\":\"a\","
		"\"from\":\"x@y\",\"to\":[\"u1@store\"]}\n"
		"{\"t\":0.4,\"ev\":\"end\",\"id\":1,\"op\":\"smtp\",\"token\":\"a\",\"code\":0,"
		"\"outcome\":\"NO\",\"text\":\"connection reset by the store\"}\n"
		"{\"t\":0.5,\"ev\":\"begin\",\"id\":2,\"op\":\"smtp\",\"service\":\"smtp\","
		"\"token\":\"b\","
		"\"from\":\"x@y\",\"to\":[\"u1@store\"]}\n"
		"{\"t\":0.7,\"ev\":\"end\",\"id\":2,\"op\":\"smtp\",\"token\":\"b\",\"code\":550,"
		"\"outcome\":\"NO\"}\n"
		"{\"t\":0.8,\"ev\":\"begin\",\"id\":3,\"op\":\"smtp\",\"service\":\"smtp\","
		"\"token\":\"c\","
		"\"from\":\"x@y\",\"to\":[\"u1@store\"]}\n" PHASE("1.0", "drain"));

	CHECK_INT(json_array_size(lines), 1);
	CHECK_STR(line(lines, 0),
		"mail: 1 of 2 offered got no reply, the connection ended; from 0.4 to 0.4 s");
}

static void a_queue_is_told_over_time_if_there_was_anything_in_it(void)
{
	auto_json json_t *grows = symptoms("{\"t\":1.0,\"ev\":\"queue\",\"depth\":0}\n"
					   "{\"t\":2.0,\"ev\":\"queue\",\"depth\":3}\n"
					   "{\"t\":3.0,\"ev\":\"queue\",\"depth\":3}\n"
					   "{\"t\":4.0,\"ev\":\"queue\",\"depth\":7}\n");
	auto_json json_t *empty = symptoms("{\"t\":1.0,\"ev\":\"queue\",\"depth\":0}\n");

	CHECK_STR(line(grows, 0), "queue: 0 at 1.0 s, 3 at 2.0 s, 7 at 4.0 s; 7 at most");
	CHECK_INT(json_array_size(empty), 0);
}

/* What moved, or stood there; what was never anything is not told. */
static void the_figures_of_the_store_are_told_over_time(void)
{
#define FIGURES(t, text) "{\"t\":" t ",\"ev\":\"figures\",\"figures\":{" text "}}\n"
	auto_json json_t *lines =
		symptoms(FIGURES("1.0", "\"stays\":7,\"grows\":0,\"never\":0,\"odd\":\"x\"")
				FIGURES("2.0", "\"stays\":7,\"grows\":3,\"never\":0")
					FIGURES("9.0", "\"stays\":7,\"grows\":0,\"never\":0"));

	CHECK_INT(json_array_size(lines), 2);
	CHECK_STR(line(lines, 0), "figure stays: 7 at 1.0 s, still 7 at 9.0 s");
	CHECK_STR(line(lines, 1), "figure grows: 0 at 1.0 s, 3 at 2.0 s, 0 at 9.0 s");
}

/* An administrator says that the web page is dead, not that an operation of the rig is. */
static void a_silent_service_is_called_by_its_protocol(void)
{
	auto_json json_t *lines = symptoms(BEGIN("1.0", "1", "http-get")
			BEGIN("1.0", "2", "smtp-message") PHASE("6.0", "stop"));

	CHECK_STR(line(lines, 0),
		"web page (http-get): silent for 5.0 s from 1.0 s on, to the end, 1 waiting");
	CHECK_HAS(line(lines, 1), "SMTP (smtp-message): silent");
}

static void deaths_are_counted_by_program_and_the_rigs_own_are_none(void)
{
	auto_json json_t *lines = symptoms(
		"{\"t\":1.5,\"ev\":\"died\",\"exe\":\"/x/smtpd\",\"signal\":11}\n"
		"{\"t\":1.6,\"ev\":\"died\",\"exe\":\"/x/imapd\",\"signal\":9,\"by_rig\":true}\n"
		"{\"t\":1.7,\"ev\":\"died\",\"exe\":\"/x/imapd\",\"signal\":0}\n"
		"{\"t\":3.5,\"ev\":\"died\",\"exe\":\"/x/smtpd\",\"signal\":6}\n");

	CHECK_INT(json_array_size(lines), 1);
	CHECK_STR(line(lines, 0), "smtpd: died 2 times, at 1.5, 3.5 s");
}

static void what_is_told_is_bounded(void)
{
	auto_buf struct buf text = {0};
	auto_json json_t *lines = NULL;

	for (int i = 0; i < 300; i++)
		buf_addf(&text,
			"{\"t\":%d.0,\"ev\":\"begin\",\"id\":%d,\"op\":\"op-%d\"}\n"
			"{\"t\":%d.1,\"ev\":\"died\",\"exe\":\"/x/%d\",\"signal\":11}\n",
			i, i, i, i, i);
	lines = symptoms(buf_text(&text));
	CHECK(json_array_size(lines) <= SYMPTOMS_MAX);
}

CHECK_MAIN(CHECK_CASE(a_service_that_answers_soon_has_no_symptom),
	CHECK_CASE(a_silence_is_from_the_first_that_waits_to_the_next_answer),
	CHECK_CASE(a_silence_may_last_to_the_end), CHECK_CASE(mail_without_a_reply_is_counted),
	CHECK_CASE(a_queue_is_told_over_time_if_there_was_anything_in_it),
	CHECK_CASE(the_figures_of_the_store_are_told_over_time),
	CHECK_CASE(a_silent_service_is_called_by_its_protocol),
	CHECK_CASE(deaths_are_counted_by_program_and_the_rigs_own_are_none),
	CHECK_CASE(what_is_told_is_bounded))

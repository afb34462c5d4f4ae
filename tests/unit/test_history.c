#include "api/history.h"
#include "api/ledger.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "tests/check/check.h"

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>

static int64_t now_ns;

static int64_t clock_of_test(void *arg)
{
	(void)arg;
	return now_ns;
}

static char *new_path(void)
{
	return path_join(check_dir(), "history.jsonl");
}

static void what_is_recorded_comes_back(void)
{
	auto_free char *path = new_path();
	struct recorder *recorder = NULL;
	struct history *history = NULL;
	struct err err = {{0}};

	CHECK_INT(recorder_open(&recorder, path, clock_of_test, NULL, &err), 0);
	now_ns = -1500000000;
	CHECK_INT(history_add(recorder, "phase", "{ss}", "name", "set-up"), 1);
	now_ns = 2000001999;
	CHECK_INT(history_add(recorder, "met", "{ss si}", "step", "snapshot", "n", 3), 2);
	CHECK_INT(
		history_add_at(recorder, 1999999000, "log", json_pack("{ss}", "line", "a\nb")), 3);
	CHECK_INT(recorder_close(recorder, &err), 0);
	CHECK_INT(history_load(path, &history, &err), 0);
	if (!CHECK(history && history->count == 3))
		return;
	CHECK_STR(history->events[0].kind, "phase");
	CHECK(fabs(history->events[0].t + 1.5) < 1e-9);
	CHECK(fabs(history->events[1].t - 2.000001) < 1e-9);
	CHECK_INT(history->events[1].line, 2);
	CHECK_INT(json_get_int(history->events[1].data, "n", 0), 3);
	CHECK_STR(json_get_text(history->events[2].data, "line", ""), "a\nb");
	CHECK(event_is(&history->events[2], "log"));
	history_free(history);
}

static void a_line_begins_with_its_time_and_kind(void)
{
	auto_free char *path = new_path();
	auto_buf struct buf text = {0};
	struct recorder *recorder = NULL;

	CHECK_INT(recorder_open(&recorder, path, clock_of_test, NULL, NULL), 0);
	now_ns = 1234567891;
	history_add(recorder, "note", "{ss}", "text", "x");
	CHECK_INT(recorder_close(recorder, NULL), 0);
	CHECK_INT(fs_read(path, 4096, &text, NULL), 0);
	CHECK_STR(buf_text(&text), "{\"t\":1.234567,\"ev\":\"note\",\"text\":\"x\"}\n");
}

static void what_cannot_be_recorded_is_rig_trouble(void)
{
	auto_free char *path = new_path();
	auto_free char *long_text = mem_zero(HISTORY_LINE_MAX + 1, 1);
	struct recorder *recorder = NULL;
	struct history *history = NULL;

	memset(long_text, 'x', HISTORY_LINE_MAX);
	CHECK_INT(recorder_open(&recorder, path, clock_of_test, NULL, NULL), 0);
	history_add(recorder, "log", "{ss}", "line", "no \xff UTF-8");
	history_add(recorder, "log", "{ss}", "line", long_text);
	history_add_at(recorder, 0, "log", json_array());
	CHECK_INT(recorder_close(recorder, NULL), 0);
	CHECK_INT(history_load(path, &history, NULL), 0);
	if (!CHECK(history && history->count == 3))
		return;
	for (size_t i = 0; i < 3; i++) {
		CHECK_STR(history->events[i].kind, "rig");
		CHECK_HAS(json_get_text(history->events[i].data, "text", ""), "'log' line");
	}
	CHECK_INT(history_first_trouble(history), 1);
	history_free(history);
}

static void *record_many(void *arg)
{
	struct recorder *recorder = arg;

	for (int i = 0; i < 500; i++)
		history_add(recorder, "met", "{sI}", "id", (json_int_t)history_new_id(recorder));
	return NULL;
}

static void many_threads_record_whole_lines(void)
{
	auto_free char *path = new_path();
	struct recorder *recorder = NULL;
	struct history *history = NULL;
	bool seen[2001] = {false};
	pthread_t threads[4];

	CHECK_INT(recorder_open(&recorder, path, clock_of_test, NULL, NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, record_many, recorder);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(recorder_close(recorder, NULL), 0);
	CHECK_INT(history_load(path, &history, NULL), 0);
	CHECK_INT(history->count, 2000);
	for (size_t i = 0; i < history->count; i++) {
		int64_t id = json_get_int(history->events[i].data, "id", 0);

		CHECK(id > 0 && id <= 2000 && !seen[id]);
		seen[id] = true;
	}
	history_free(history);
}

static void an_unwritable_file_is_an_error(void)
{
	struct recorder *recorder = NULL;
	struct err err = {{0}};

	CHECK(recorder_open(&recorder, "/nowhere/history", clock_of_test, NULL, &err) < 0);
	CHECK_HAS(err.text, "'/nowhere/history'");
	if (access("/dev/full", W_OK))
		return;
	CHECK_INT(recorder_open(&recorder, "/dev/full", clock_of_test, NULL, &err), 0);
	history_add(recorder, "note", "{}");
	history_add(recorder, "note", "{}");
	CHECK_INT(recorder_close(recorder, &err), -ENOSPC);
	CHECK_HAS(err.text, "cannot write '/dev/full'");
	CHECK_INT(recorder_close(NULL, NULL), 0);
}

static int load_text(const char *text, struct history **ret, struct err *err)
{
	auto_free char *path = new_path();

	fs_write_atomic(path, text, strlen(text), NULL);
	return history_load(path, ret, err);
}

static void half_a_last_line_never_was(void)
{
	struct history *history = NULL;

	CHECK_INT(load_text("{\"t\":1,\"ev\":\"note\"}\n{\"t\":2,\"ev\":\"no", &history, NULL), 0);
	CHECK_INT(history->count, 1);
	history_free(history);
	CHECK_INT(load_text("", &history, NULL), 0);
	CHECK_INT(history->count, 0);
	CHECK(!history_reached_end(history));
	history_free(history);
}

static void a_bad_line_is_named(void)
{
	static const struct {
		const char *line, *says;
	} rows[] = {
		{"nonsense", "line 2 is no JSON"},
		{"", "line 2 is no JSON"},
		{"[1]", "line 2 has no \"t\""},
		{"7", "line 2"},
		{"{\"t\":1}", "no \"ev\""},
		{"{\"ev\":\"x\"}", "no \"t\""},
		{"{\"t\":\"1\",\"ev\":\"x\"}", "no \"t\""},
		{"{\"t\":1,\"ev\":7}", "no \"ev\""},
		{"{\"t\":1,\"ev\":\"\"}", "no \"ev\""},
		{"{\"t\":1,\"t\":2,\"ev\":\"x\"}", "duplicate"},
		{"{\"t\":1,\"ev\":\"x\",\"a\":\"\\u0000\"}", "line 2"},
		{"{\"t\":1e999,\"ev\":\"x\"}", "line 2"},
		{"{\"t\":1,\"ev\":\"x\"} {}", "line 2"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_free char *text = text_fmt("{\"t\":1,\"ev\":\"a\"}\n%s\n", rows[i].line);
		struct history *history = NULL;
		struct err err = {{0}};

		CHECK_INT(load_text(text, &history, &err), -EINVAL);
		CHECK_HAS(err.text, rows[i].says);
		CHECK(history_from_lines(text, &err) == NULL);
	}
}

static void a_line_without_end_is_refused(void)
{
	auto_free char *text = mem_zero(HISTORY_LINE_MAX + 100, 1);
	struct history *history = NULL;
	struct err err = {{0}};

	memset(text, ' ', HISTORY_LINE_MAX + 99);
	CHECK_INT(load_text(text, &history, &err), -EFBIG);
	CHECK_HAS(err.text, "line 1 is longer");
	text[HISTORY_LINE_MAX + 50] = '\n';
	CHECK_INT(load_text(text, &history, &err), -EFBIG);
	CHECK_INT(history_load("/nowhere/h", &history, &err), -ENOENT);
}

static void a_long_history_keeps_what_laws_need(void)
{
	struct buf text = {0};
	struct history *history;

	for (uint32_t i = 0; i < HISTORY_OBJECTS_MAX; i++)
		buf_add_str(&text, "{\"t\":0,\"ev\":\"x\"}\n");
	buf_add_str(&text, "{\"t\":1,\"ev\":\"copy\",\"user\":\"u1\",\"token\":\"m1\"}\n"
			   "{\"t\":1,\"ev\":\"stop\",\"ended\":true}\n");
	history = history_from_lines(buf_text(&text), NULL);
	buf_free(&text);
	if (!CHECK(history))
		return;
	CHECK(history->events[HISTORY_OBJECTS_MAX].data == NULL);
	CHECK_STR(history->events[HISTORY_OBJECTS_MAX].kind, "copy");
	CHECK(history->events[HISTORY_OBJECTS_MAX + 1].data != NULL);
	CHECK(ledger_mail(history->ledger, "m1") != NULL);
	history_free(history);
}

/* Lines lie across the pieces that a file is read in, and each is added once the next is read. */
static void many_lines_are_added_in_their_order(void)
{
	struct buf text = {0};
	struct history *history = NULL;
	struct err err = {{0}};
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < 5000; i++)
		buf_addf(&text, "{\"t\":%u,\"ev\":\"%s\",\"id\":%u,\"outcome\":\"OK\"}\n", i,
			i % 2 ? "end" : "begin", i / 2);
	CHECK_INT(load_text(buf_text(&text), &history, &err), 0);
	buf_free(&text);
	if (!CHECK(history) || !CHECK_INT(history->count, 5000) ||
		!CHECK_INT(history->ledger->op_count, 2500))
		return;
	for (uint32_t i = 0; i < 5000; i++) {
		const struct ledger_op *op = &history->ledger->ops[i / 2];

		wrong += history->events[i].t != i || history->events[i].line != i + 1 ||
			 !event_is(&history->events[i], i % 2 ? "end" : "begin") ||
			 (i % 2 ? op->end_line : op->begin_line) != i + 1;
	}
	CHECK_INT(wrong, 0);
	history_free(history);
}

static void outcomes_have_names(void)
{
	CHECK_STR(outcome_name(OUTCOME_MAYBE), "MAYBE");
	CHECK_INT(outcome_from_name("NO"), OUTCOME_NO);
	CHECK_INT(outcome_from_name("no"), -EINVAL);
	history_free(NULL);
}

static void what_is_not_bulk_is_found_without_the_bulk(void)
{
	static const char text[] = "{\"t\":0,\"ev\":\"phase\",\"name\":\"workload\"}\n"
				   "{\"t\":1,\"ev\":\"begin\",\"id\":1}\n"
				   "{\"t\":2,\"ev\":\"imap\",\"s\":1}\n"
				   "{\"t\":3,\"ev\":\"died\",\"signal\":11}\n"
				   "{\"t\":4,\"ev\":\"copy\"}\n"
				   "{\"t\":5,\"ev\":\"unheard-of\"}\n";
	static const uint32_t lines[] = {1, 4, 6};
	struct history *history = history_from_lines(text, NULL);

	CHECK_INT(history->count, 6);
	if (CHECK_INT(history->rare_count, ARRAY_SIZE(lines)))
		for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
			CHECK_INT(history->rare[i]->line, lines[i]);
			CHECK(history->rare[i] == &history->events[lines[i] - 1]);
		}
	history_free(history);
}

CHECK_MAIN(CHECK_CASE(what_is_recorded_comes_back),
	CHECK_CASE(a_line_begins_with_its_time_and_kind),
	CHECK_CASE(what_cannot_be_recorded_is_rig_trouble),
	CHECK_CASE(many_threads_record_whole_lines), CHECK_CASE(an_unwritable_file_is_an_error),
	CHECK_CASE(half_a_last_line_never_was), CHECK_CASE(a_bad_line_is_named),
	CHECK_CASE(a_line_without_end_is_refused), CHECK_CASE(a_long_history_keeps_what_laws_need),
	CHECK_CASE(many_lines_are_added_in_their_order),
	CHECK_CASE(what_is_not_bulk_is_found_without_the_bulk), CHECK_CASE(outcomes_have_names))

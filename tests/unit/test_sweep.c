/* A sweep of write boundaries: which states are chosen, and what of a recorded history binds the store at one. */
#include "tests/unit/cell_fixture.h"

#include "run/sweep.h"

static const char scenario[] = "claim: a boundary is a power cut\n"
			       "workload:\n"
			       "  - {as: w, do: smtp, messages: 1, to: [u1]}\n";

/* One mail, its dot at 1 s, its answer at 2 s; the recording's own end is of no interest. */
static const char past_lines[] =
	"{\"t\":0,\"ev\":\"phase\",\"name\":\"set-up\"}\n"
	"{\"t\":0,\"ev\":\"phase\",\"name\":\"workload\"}\n"
	"{\"t\":0.5,\"ev\":\"begin\",\"id\":1,\"who\":\"w.1\",\"op\":\"smtp-message\",\"service\":"
	"\"smtp\","
	"\"token\":\"m1\",\"from\":\"w@sink.rig\",\"to\":[\"u1@store\"],\"sha256\":\"aa\"}\n"
	"{\"t\":2,\"ev\":\"attempt\",\"hop\":\"edge\",\"conn\":1,\"token\":\"m1\",\"from\":"
	"\"w@sink.rig\",\"to\":\"u1@store\",\"result\":\"2yz\",\"code\":250,\"dot_t\":1,"
	"\"reply_t\":2}\n"
	"{\"t\":2.1,\"ev\":\"end\",\"id\":1,\"who\":\"w.1\",\"op\":\"smtp-message\",\"outcome\":"
	"\"OK\",\"code\":250}\n"
	"{\"t\":3,\"ev\":\"phase\",\"name\":\"drain\"}\n"
	"{\"t\":4,\"ev\":\"stop\",\"ended\":true,\"took_s\":1,\"status\":0,\"forced\":false,"
	"\"text\":\"\",\"left\":[]}\n"
	"{\"t\":5,\"ev\":\"phase\",\"name\":\"end\"}\n";

/* The cell that an empty store gets after that past, cut at `at_s`. */
static void judge_at(double at_s, const char *verdict, const char *reason)
{
	const char *dir = check_dir();
	struct history *past = history_from_lines(past_lines, NULL);
	struct plan *plan = fixture_plan(scenario);
	struct bed_fake_wish wish = {0};
	struct result result = {0};
	struct err err = {{0}};

	CHECK_INT(plan_save(plan, dir, &err), 0);
	CHECK_INT(cell_run_after(plan, dir, past, at_s, bed_fake_open, &wish, &err), 0);
	if (CHECK_INT(judge_cell(dir, &result, &err), 0)) {
		CHECK_STR(verdict_name(result.verdict), verdict);
		CHECK_HAS(result.reason, reason);
		CHECK_INT(result.fired, 1);
		CHECK_STR(fixture_ruling(&result, "U4"), "holds");
	}
	result_free(&result);
	plan_free(plan);
	history_free(past);
}

/* Two mails, accepted before the cut at 3 s, that one connection of the queue hands over at 2.5 and after 4 s. */
static const char handed_over[] =
	"{\"t\":0,\"ev\":\"phase\",\"name\":\"workload\"}\n"
	"{\"t\":0.5,\"ev\":\"begin\",\"id\":1,\"who\":\"w.1\",\"op\":\"smtp-message\",\"service\":"
	"\"smtp\",\"token\":\"m1\",\"from\":\"w@sink.rig\",\"to\":[\"u1@store\"],\"sha256\":\"aa\"}"
	"\n"
	"{\"t\":0.6,\"ev\":\"begin\",\"id\":2,\"who\":\"w.1\",\"op\":\"smtp-message\",\"service\":"
	"\"smtp\",\"token\":\"m2\",\"from\":\"w@sink.rig\",\"to\":[\"u1@store\"],\"sha256\":\"ab\"}"
	"\n"
	"{\"t\":5,\"ev\":\"attempt\",\"hop\":\"inner\",\"conn\":5,\"token\":\"m1\",\"from\":"
	"\"w@sink.rig\",\"to\":\"u1@store\",\"result\":\"2yz\",\"code\":250,\"dot_t\":2.5,"
	"\"reply_t\":4}\n"
	"{\"t\":5,\"ev\":\"attempt\",\"hop\":\"inner\",\"conn\":5,\"token\":\"m2\",\"from\":"
	"\"w@sink.rig\",\"to\":\"u1@store\",\"result\":\"2yz\",\"code\":250,\"dot_t\":4.5,"
	"\"reply_t\":5}\n";

static void what_the_queue_had_not_tried_yet_was_not_left_out(void)
{
	const char *dir = check_dir();
	auto_free char *path = path_join(dir, "history.jsonl");
	struct history *past = history_from_lines(handed_over, NULL);
	struct plan *plan = fixture_plan(scenario);
	auto_buf struct buf text = {0};
	struct bed_fake_wish wish = {0};
	struct err err = {{0}};

	CHECK_INT(plan_save(plan, dir, &err), 0);
	CHECK_INT(cell_run_after(plan, dir, past, 3, bed_fake_open, &wish, &err), 0);
	CHECK_INT(fs_read(path, 1u << 20, &text, &err), 0);
	CHECK_HAS(buf_text(&text), "\"dot_t\":2.5");
	CHECK(!strstr(buf_text(&text),
		"\"token\":\"m2\",\"from\":\"w@sink.rig\",\"to\":\"u1@store\",\"result\""));
	plan_free(plan);
	history_free(past);
}

static void what_was_answered_before_a_boundary_binds_the_store(void)
{
	judge_at(2.5, "FAIL", "'m1' was accepted for 'u1'");
}

static void what_was_answered_after_it_does_not(void)
{
	judge_at(1.5, "PASS", "");
	judge_at(0.2, "PASS", "");
}

/* ---- which states ---- */

static double time_of(const char *dir, uint32_t number)
{
	auto_free char *folder = sweep_dir(dir, number);
	auto_free char *path = path_join(folder, "boundary.json");
	auto_json json_t *json = json_load_path(path, 1u << 16, NULL);

	return json_number_value(json_array_get(json_object_get(json, "view"), 0));
}

/* The bed was there for 100 s when the workload began. */
static int choose(const char *views, uint32_t max, const char *dir, uint32_t *ret_states)
{
	auto_free char *machine = path_join(dir, "recording/machine");
	auto_free char *path = path_join(machine, "views.json");
	auto_free char *history = path_join(dir, "recording/history.jsonl");
	static const char line[] = "{\"t\":0,\"ev\":\"bed\",\"bed\":\"fake\",\"origin_s\":100.0}\n";
	struct plan *plan = fixture_plan(scenario);
	struct err err = {{0}};
	int count;

	CHECK_INT(fs_mkdir_p(machine, &err), 0);
	CHECK_INT(fs_write_atomic(path, views, strlen(views), &err), 0);
	CHECK_INT(fs_write_atomic(history, line, strlen(line), &err), 0);
	count = sweep_plan_boundaries(plan, dir, max, ret_states, &err);
	CHECK(count >= 0 || *err.text);
	plan_free(plan);
	return count;
}

static void equal_states_are_one_and_the_last_view_of_each_counts(void)
{
	const char *dir = check_dir();
	uint32_t states = 0;

	/* Before the workload; then 10, 10, 20, 30 bytes. */
	CHECK_INT(choose("[[99.0,5,5],[100.5,10,5],[100.7,10,5],[101.0,20,5],[101.5,20,9]]", 8, dir,
			  &states),
		3);
	CHECK_INT(states, 3);
	CHECK_INT((int)(time_of(dir, 1) * 10 + 0.5), 7);
	CHECK_INT((int)(time_of(dir, 2) * 10 + 0.5), 10);
	CHECK_INT((int)(time_of(dir, 3) * 10 + 0.5), 15);
}

static void too_many_states_are_spread_evenly_and_the_last_is_one(void)
{
	const char *dir = check_dir();
	uint32_t states = 0;

	CHECK_INT(choose("[[101,1],[102,2],[103,3],[104,4],[105,5],[106,6]]", 3, dir, &states), 3);
	CHECK_INT(states, 6);
	CHECK_INT(time_of(dir, 1), 2);
	CHECK_INT(time_of(dir, 2), 4);
	CHECK_INT(time_of(dir, 3), 6);
}

static void a_recording_without_writes_is_an_error(void)
{
	uint32_t states = 0;

	CHECK_INT(choose("[]", 3, check_dir(), &states), -ENODATA);
	CHECK_INT(choose("[[99,4]]", 3, check_dir(), &states), -ENODATA);
	CHECK_INT(choose("[7,[],[1],{}]", 3, check_dir(), &states), -ENODATA);
}

CHECK_MAIN(CHECK_CASE(what_was_answered_before_a_boundary_binds_the_store),
	CHECK_CASE(what_was_answered_after_it_does_not),
	CHECK_CASE(what_the_queue_had_not_tried_yet_was_not_left_out),
	CHECK_CASE(equal_states_are_one_and_the_last_view_of_each_counts),
	CHECK_CASE(too_many_states_are_spread_evenly_and_the_last_is_one),
	CHECK_CASE(a_recording_without_writes_is_an_error))

/* Plans from the repository's own scenarios and targets, and the settings that a run gives a target. */
#include "tests/check/check.h"

#include "base/fs.h"
#include "base/json.h"
#include "run/bed/bed_prepare.h"
#include "run/judge.h"
#include "run/plan/plan.h"

#include <string.h>

static int make(struct plan_list *ret, struct buf *complaints, const char *target,
	const char *const *settings)
{
	const char *const scenarios[] = {"freeze-fs-during-delivery", NULL};
	const char *const targets[] = {target, NULL};
	struct plan_request request = {
		.root = ".",
		.scenarios = scenarios,
		.targets = targets,
		.seed = 1,
		.settings = settings,
	};
	struct err err = {0};

	return plan_make(&request, ret, complaints, &err);
}

static const char *const shipped[] = {"f1=shipped", "tracking=0", NULL};

static void settings_are_kept_in_a_saved_plan(void)
{
	auto_buf struct buf complaints = {0};
	struct plan_list plans = {0};
	const char *dir = check_dir();
	struct plan *loaded = NULL;
	struct err err = {0};

	CHECK_INT(make(&plans, &complaints, "refstore", shipped), 0);
	if (!CHECK_INT(plans.count, 1))
		return;
	CHECK_STR(plans.at[0]->skip ? plans.at[0]->skip : "", "");
	plans.at[0]->again = true;
	CHECK_INT(plan_save(plans.at[0], dir, &err), 0);
	if (!CHECK_INT(plan_load(dir, &loaded, &err), 0))
		return;
	CHECK(loaded->again);
	if (CHECK_INT(loaded->target->settings.count, 2)) {
		CHECK_STR(loaded->target->settings.at[0], "f1=shipped");
		CHECK_STR(loaded->target->settings.at[1], "tracking=0");
	}
	plan_free(loaded);
	plan_list_free(&plans);
}

static void other_settings_are_another_template_and_another_baseline(void)
{
	auto_buf struct buf complaints = {0};
	struct plan_list set = {0}, bare = {0};
	struct plan *one, *other;
	auto_free char *key = NULL, *bare_key = NULL;

	CHECK_INT(make(&set, &complaints, "refstore", shipped), 0);
	CHECK_INT(make(&bare, &complaints, "refstore", NULL), 0);
	one = plan_baseline(set.at[0]);
	other = plan_baseline(bare.at[0]);
	CHECK(strcmp(one->id, other->id) != 0);
	key = bed_prepare_key(set.at[0]->target);
	bare_key = bed_prepare_key(bare.at[0]->target);
	CHECK(strcmp(key, bare_key) != 0);
	plan_free(one);
	plan_free(other);
	plan_list_free(&set);
	plan_list_free(&bare);
}

/* "late_again" waits for "late", which waits for nothing: without them "gateway" begins when "late" would have. */
static void a_workload_that_waits_for_a_step_begins_without_it_too(void)
{
	static const char text[] =
		"claim: x\nworkload:\n"
		"  - {as: burst, do: smtp, messages: 4, to: [u1]}\n"
		"  - {as: gateway, do: smtp, after: late_again, delay: 1s, messages: 4, to: [u1]}\n"
		"steps:\n"
		"  - {as: late, do: freeze-fs, path: mail, when: smtp/data, for: 1s}\n"
		"  - {as: late_again, do: freeze-fs, path: mail, after: late, delay: 2s, for: "
		"1s}\n";
	auto_free char *file = path_join(check_dir(), "waits.yaml");
	const char *const scenarios[] = {file, NULL}, *const targets[] = {"postfix-dovecot", NULL};
	struct plan_request request = {
		.root = ".", .scenarios = scenarios, .targets = targets, .seed = 1};
	struct plan *(*const without[])(const struct plan *) = {plan_baseline, plan_control};
	auto_buf struct buf complaints = {0};
	struct plan_list plans = {0};
	struct err err = {0};

	CHECK_INT(fs_write_atomic(file, text, strlen(text), &err), 0);
	CHECK_INT(plan_make(&request, &plans, &complaints, &err), 0);
	CHECK_STR(buf_text(&complaints), "");
	for (size_t i = 0; plans.count == 1 && i < ARRAY_SIZE(without); i++) {
		struct plan *plan = without[i](plans.at[0]), *loaded = NULL;
		const char *dir = check_dir();

		CHECK_INT(plan_save(plan, dir, &err), 0);
		if (CHECK_INT(plan_load(dir, &loaded, &err), 0)) {
			const struct trigger *trigger = &loaded->scenario->workload[1].trigger;

			CHECK_STR(trigger->moment ? trigger->moment : "", "smtp/data");
			CHECK_INT(trigger->delay_ms, 3000);
		} else {
			fprintf(stderr, "%s\n", err.text);
		}
		plan_free(loaded);
		plan_free(plan);
	}
	CHECK_INT(plans.count, 1);
	plan_list_free(&plans);
}

static void a_target_that_cannot_be_configured_is_skipped_by_name(void)
{
	auto_buf struct buf complaints = {0};
	struct plan_list plans = {0};

	CHECK_INT(make(&plans, &complaints, "postfix-dovecot", shipped), 0);
	if (CHECK_INT(plans.count, 1))
		CHECK_STR(plans.at[0]->skip ? plans.at[0]->skip : "",
			"no configure: it has no planted defects, so there is nothing to switch");
	plan_list_free(&plans);
}

static int make_one(struct plan_list *ret, struct buf *complaints, const char *yaml)
{
	auto_free char *path = path_join(check_dir(), "worded.yaml");
	const char *const scenarios[] = {path, NULL};
	const char *const targets[] = {"postfix-dovecot", "refstore", NULL};
	struct plan_request request = {
		.root = ".", .scenarios = scenarios, .targets = targets, .seed = 1};
	struct err err = {0};

	CHECK_INT(fs_write_atomic(path, yaml, strlen(yaml), &err), 0);
	return plan_make(&request, ret, complaints, &err);
}

#define WORDED(step) "claim: x\nsteps:\n  - {as: held, do: park, at: 0s, for: 1s, " step "}\n"

static void a_point_named_by_a_word_is_each_targets_own(void)
{
	auto_buf struct buf complaints = {0};
	struct plan_list plans = {0};
	const struct step *step;

	if (!CHECK_INT(make_one(&plans, &complaints, WORDED("point: fetch, role: pop")), 0))
		return;
	step = &plans.at[0]->scenario->steps[0];
	CHECK_STR(step->point, "posix/io/oc/open");
	CHECK_STR(step->path, "message");
	CHECK_STR(step->role, "pop"); /* the step's own word stays */
	step = &plans.at[1]->scenario->steps[0];
	CHECK_STR(step->point, "refstore/imap/fetch");
	CHECK(!step->path);
	plan_list_free(&plans);
}

static void a_word_that_a_target_does_not_map_is_a_skip_with_its_reason(void)
{
	auto_buf struct buf complaints = {0};
	struct plan_list plans = {0};

	if (!CHECK_INT(make_one(&plans, &complaints, WORDED("point: unsubscribe")), 0))
		return;
	CHECK_HAS(plans.at[0]->skip ? plans.at[0]->skip : "",
		"no point 'unsubscribe': an IMAP session of Dovecot is one thread");
	CHECK(!plans.at[1]->skip);
	plan_list_free(&plans);
}

static void a_target_that_the_scenario_does_not_name_is_a_skip_even_if_it_is_asked_for(void)
{
	auto_buf struct buf complaints = {0};
	struct plan_list plans = {0};

	if (!CHECK_INT(
		    make_one(&plans, &complaints, WORDED("point: fetch") "targets: [refstore]\n"),
		    0))
		return;
	CHECK_STR(plans.at[0]->skip ? plans.at[0]->skip : "", "it is written for 'refstore' alone");
	CHECK(!plans.at[1]->skip);
	plan_list_free(&plans);
}

static void a_word_that_nobody_knows_is_refused_with_its_line(void)
{
	auto_buf struct buf complaints = {0};
	struct plan_list plans = {0};

	CHECK_INT(make_one(&plans, &complaints, WORDED("point: fetsch")), -EINVAL);
	CHECK_HAS(buf_text(&complaints), "worded.yaml:3: 'point: fetsch' does not exist");
	plan_list_free(&plans);
}

/* What only the table of calls knows: refused when it is planned, with the line, like any other mistake. */
static void what_a_call_cannot_do_is_refused_with_its_line(void)
{
	static const struct {
		const char *step, *complaint;
	} cases[] = {
		{"do: park, point: posix/io/sync/fsink",
			"'point: posix/io/sync/fsink' does not exist"},
		{"do: errno, point: posix/io/sync/fsync, errno: ENOTDIR",
			"'errno: ENOTDIR' is nothing that 'posix/io/sync/fsync' can return"},
		{"do: errno, point: posix/io/sync/fsync, errno: ENOSUCH",
			"'errno: ENOSUCH' is no errno"},
		{"do: park, point: posix/io/net/socket", "never blocks, so it cannot be parked"},
		{"do: short, point: posix/io/dir/rename", "transfers no count of bytes"},
		{"do: park, point: posix/io/sync/fsync, caller: 'a b'", "is no name of a function"},
		{"do: park, point: posix/io/rw/read, kind: sockett",
			"'kind: sockett' is none of file, dir, socket, pipe and other"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *text =
			text_fmt("claim: x\nworkload:\n  - {do: smtp, to: [u1]}\nsteps:\n"
				 "  - {as: it, %s, at: 0s, for: 1s}\n",
				cases[i].step);
		auto_buf struct buf complaints = {0};
		struct plan_list plans = {0};

		CHECK_INT(make_one(&plans, &complaints, text), -EINVAL);
		CHECK_HAS(buf_text(&complaints), "worded.yaml:5: ");
		CHECK_HAS(buf_text(&complaints), cases[i].complaint);
		plan_list_free(&plans);
	}
}

static void what_is_no_setting_is_refused_before_anything_starts(void)
{
	static const char *const bad[] = {"f1", "=x", "f1=", "f 1=x", "f1=$(reboot)", "F1=x"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const char *const settings[] = {bad[i], NULL};
		auto_buf struct buf complaints = {0};
		struct plan_list plans = {0};

		CHECK_INT(make(&plans, &complaints, "refstore", settings), -EINVAL);
		CHECK_HAS(buf_text(&complaints), "is no setting: say NAME=VALUE");
		plan_list_free(&plans);
	}
}

/* A history that says nothing, judged in a folder of its own. */
/* `lines` of a cell on the reference store; the result is the caller's. */
static void judge_lines(
	const char *name, const char *const *settings, const char *lines, struct result *ret)
{
	auto_free char *dir = path_join(check_dir(), name);
	auto_free char *path = path_join(dir, "history.jsonl");
	auto_buf struct buf complaints = {0};
	struct plan_list plans = {0};
	struct err err = {0};

	make(&plans, &complaints, "refstore", settings);
	CHECK_INT(fs_mkdir_p(dir, &err), 0);
	CHECK_INT(plan_save(plans.at[0], dir, &err), 0);
	CHECK_INT(fs_write_atomic(path, lines, strlen(lines), &err), 0);
	CHECK_INT(judge_cell(dir, ret, &err), 0);
	plan_list_free(&plans);
}

static char *judged(const char *name, const char *const *settings)
{
	struct result result = {0};
	json_t *json;
	char *text;

	judge_lines(name, settings, "{\"t\":0.0,\"ev\":\"phase\",\"name\":\"end\"}\n", &result);
	json = result_to_json(&result);
	json_object_del(json, "path");
	text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(json);
	result_free(&result);
	return text;
}

/* Its cell ends there, with nothing read back: of a starved host that says nothing, else it is what H2 forbids. */
static void a_stop_that_never_ended_is_unknown_only_where_the_host_was_starved(void)
{
#define LIFE "{\"t\":0,\"ev\":\"phase\",\"name\":\"workload\"}\n"
#define STOP                                                                                  \
	"{\"t\":9,\"ev\":\"phase\",\"name\":\"stop\"}\n"                                      \
	"{\"t\":60,\"ev\":\"stop\",\"ended\":false,\"took_s\":51,\"status\":0,\"text\":\"\"," \
	"\"killed\":[],\"left\":[]}\n"
#define LOST "{\"t\":30,\"ev\":\"rig\",\"trouble\":\"starved\",\"text\":\"\",\"lost_s\":40}\n"
	static const struct {
		const char *what, *lines;
		enum verdict verdict;
	} rows[] = {
		{"starved", LIFE LOST STOP, VERDICT_UNKNOWN},
		{"quiet", LIFE STOP, VERDICT_FAIL},
		{"cut off", LIFE LOST, VERDICT_BROKEN},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct result result = {0};

		judge_lines(rows[i].what, NULL, rows[i].lines, &result);
		if (!check_int(result.verdict, rows[i].verdict, rows[i].what, __FILE__, __LINE__))
			fprintf(stderr, "%s\n", result.reason);
		result_free(&result);
	}
}

static void the_judge_does_not_see_how_the_store_was_set(void)
{
	auto_free char *set = judged("set", shipped), *bare = judged("bare", NULL);

	CHECK_STR(set, bare);
	CHECK(!strstr(set, "shipped"));
}

CHECK_MAIN(CHECK_CASE(settings_are_kept_in_a_saved_plan),
	CHECK_CASE(other_settings_are_another_template_and_another_baseline),
	CHECK_CASE(a_workload_that_waits_for_a_step_begins_without_it_too),
	CHECK_CASE(a_target_that_cannot_be_configured_is_skipped_by_name),
	CHECK_CASE(a_point_named_by_a_word_is_each_targets_own),
	CHECK_CASE(a_word_that_a_target_does_not_map_is_a_skip_with_its_reason),
	CHECK_CASE(a_target_that_the_scenario_does_not_name_is_a_skip_even_if_it_is_asked_for),
	CHECK_CASE(a_word_that_nobody_knows_is_refused_with_its_line),
	CHECK_CASE(what_a_call_cannot_do_is_refused_with_its_line),
	CHECK_CASE(what_is_no_setting_is_refused_before_anything_starts),
	CHECK_CASE(a_stop_that_never_ended_is_unknown_only_where_the_host_was_starved),
	CHECK_CASE(the_judge_does_not_see_how_the_store_was_set))

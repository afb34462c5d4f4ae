/* A whole cell on the fake store, baseline and judgement included: what a campaign does, for one law. */
#pragma once

#include "tests/check/check.h"

#include "base/fs.h"
#include "base/json.h"
#include "run/cell/cell.h"
#include "run/judge.h"
#include "run/plan/scenario_load.h"
#include "run/plan/target_load.h"
#include "tests/fake/bed_fake.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

static const char fixture_target[] =
	"summary: the fake store\n"
	"image: none\n"
	"ready_within: 20s\n"
	"users: [u1, u2]\n"
	"services:\n"
	"  - {name: smtp, protocol: smtp, port: 25}\n"
	"  - {name: lmtp, protocol: lmtp, port: 24, seen: relay}\n"
	"  - {name: imap, protocol: imap, port: 143}\n"
	"  - {name: pop3, protocol: pop3, port: 110}\n"
	"disks:\n"
	"  - {name: mail, mount: /srv/mail, size: 64MiB}\n"
	"commands: {start: fake-start, stop: fake-stop, queue_list: fake-queue}\n"
	"agents:\n"
	"  - {name: delivery, stop: fake-hold, start: fake-release, needed_by: [delivery]}\n"
	"paths:\n"
	"  mailbox: ['/srv/mail/{user}/Maildir/**']\n"
	"logs:\n"
	"  - {path: /var/log/fake.log, alarm: 'panic: '}\n"
	"timers: {retry_first: 1s, retry_longest: 2s, agent_silent: 500ms}\n"
	"objectives: {recover: 2s, drain: 4s, stop: 2s}\n";

/* Exits the test where either text is wrong. */
static inline struct plan *fixture_plan_on(const char *target, const char *scenario)
{
	struct plan *plan = mem_zero(1, sizeof(*plan));
	auto_buf struct buf complaints = {0};
	struct err err = {{0}};

	plan->kind = PLAN_CELL;
	plan->id = text_dup("test.fake.1");
	plan->seed = plan->slot = 1;
	if (scenario_parse("test.yaml", scenario, strlen(scenario), &plan_vocabulary, &complaints,
		    &plan->scenario, &err) ||
		target_parse("target.yaml", NULL, target, strlen(target), oracles, &complaints,
			&plan->target, &err)) {
		fprintf(stderr, "%s%s\n", buf_text(&complaints), err.text);
		abort();
	}
	free(plan->target->name);
	plan->target->name = text_dup("fake");
	return plan;
}

static inline struct plan *fixture_plan(const char *scenario)
{
	return fixture_plan_on(fixture_target, scenario);
}

/* A cell without a baseline, in a thread of its own: cells wait most of their time, so a test lets many live at once. */
struct fixture_cell {
	struct bed_fake_wish wish; /* the caller's, before the start */
	struct result result;
	struct plan *plan;
	char *dir;
	pthread_t thread;
	int rc; /* of the run, or else of the judgement */
};

static inline void *fixture_cell_live(void *arg)
{
	struct fixture_cell *cell = arg;
	struct err err = {{0}};

	cell->rc = cell_run(cell->plan, cell->dir, bed_fake_open, &cell->wish, &err);
	if (!cell->rc)
		cell->rc = judge_cell(cell->dir, &cell->result, &err);
	return NULL;
}

/* Takes over the plan. */
static inline void fixture_cell_start(struct fixture_cell *cell, struct plan *plan)
{
	struct err err = {{0}};

	cell->plan = plan;
	cell->dir = path_join(check_dir(), "cell");
	mkdir(cell->dir, 0777);
	CHECK_INT(plan_save(plan, cell->dir, &err), 0);
	if (pthread_create(&cell->thread, NULL, fixture_cell_live, cell))
		abort();
}

static inline void fixture_cell_free(struct fixture_cell *cell)
{
	result_free(&cell->result);
	plan_free(cell->plan);
	free(cell->dir);
}

static inline bool fixture_has(const json_t *line, json_t *members)
{
	const char *key;
	json_t *value;

	json_object_foreach (members, key, value)
		if (!json_equal(json_object_get(line, key), value))
			return false;
	return true;
}

/* How many lines of a finished cell's history have all these members: `fmt` and the rest as of json_pack(). */
static inline size_t fixture_lines(const char *dir, const char *fmt, ...)
{
	auto_free char *path = path_join(dir, "history.jsonl");
	auto_json json_t *members = NULL;
	struct history *history = NULL;
	size_t count = 0;
	va_list ap;

	va_start(ap, fmt);
	members = json_vpack_ex(NULL, 0, fmt, ap);
	va_end(ap);
	if (!CHECK(members) || !CHECK_INT(history_load(path, &history, NULL), 0))
		return 0;
	for (size_t i = 0; i < history->count; i++)
		count += fixture_has(history->events[i].data, members);
	history_free(history);
	return count;
}

/* Baseline, cell, judgement: as a campaign does it. Frees the plan. */
static inline void fixture_run_plan(
	struct plan *plan, struct bed_fake_wish *wish, struct result *ret)
{
	const char *top = check_dir();
	auto_free char *dir = path_join(top, "cell");
	auto_free char *base = path_join(top, "base");
	struct plan *baseline = plan_baseline(plan);
	struct err err = {{0}};

	mkdir(dir, 0777);
	mkdir(base, 0777);
	plan->baseline = text_dup("../base");
	CHECK_INT(plan_save(baseline, base, &err), 0);
	CHECK_INT(plan_save(plan, dir, &err), 0);
	CHECK_INT(cell_run(baseline, base, bed_fake_open, wish, &err), 0);
	wish->closed = 0;
	CHECK_INT(cell_run(plan, dir, bed_fake_open, wish, &err), 0);
	CHECK_INT(wish->closed, 1);
	if (!CHECK_INT(judge_cell(dir, ret, &err), 0))
		fprintf(stderr, "%s\n", err.text);
	plan_free(baseline);
	plan_free(plan);
}

static inline void fixture_run(const char *scenario, struct bed_fake_wish *wish, struct result *ret)
{
	fixture_run_plan(fixture_plan(scenario), wish, ret);
}

static inline const char *fixture_ruling(const struct result *result, const char *law)
{
	return json_get_text(json_object_get(result->laws, law), "ruling", "none");
}

/* A healthy store passes, and each of these laws, one a character pair ("P1 P2"), had something to judge. */
static inline void expect_holds(const char *scenario, const char *laws)
{
	struct bed_fake_wish wish = {0};
	struct result result = {0};

	fixture_run(scenario, &wish, &result);
	CHECK_STR(verdict_name(result.verdict), "PASS");
	CHECK_STR(result.reason, "");
	for (const char *at = laws; *at; at += at[2] ? 3 : 2) {
		char law[3] = {at[0], at[1]};

		if (!CHECK_STR(fixture_ruling(&result, law), "holds"))
			fprintf(stderr, "of %s\n", law);
	}
	result_free(&result);
}

/* The planted bug is a finding of that law. */
static inline void expect_broken(
	const char *scenario, enum fake_bug bug, unsigned int nth, const char *law)
{
	struct bed_fake_wish wish = {.bug = bug, .nth = nth};
	struct result result = {0};

	fixture_run(scenario, &wish, &result);
	CHECK_STR(verdict_name(result.verdict), "FAIL");
	if (!CHECK_STR(fixture_ruling(&result, law), "broken"))
		fprintf(stderr, "reason: %s; %s: %s\n", result.reason, law,
			json_get_text(json_object_get(result.laws, law), "text", ""));
	result_free(&result);
}

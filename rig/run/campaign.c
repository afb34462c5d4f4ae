#include "run/campaign.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"
#include "run/bed/adjudicate.h"
#include "run/bed/bed_vm.h"
#include "run/campaign_folder.h"
#include "run/judge.h"
#include "run/known.h"
#include "run/supervise.h"

#include <assert.h>
#include <string.h>

#define PREPARE_LIMIT_MS (20 * 60 * 1000) /* an image and a template from nothing */
#define CELL_SLACK_MS	 (5 * 60 * 1000)  /* above what the plan itself may take */
#define VERDICT_MAX	 (4u << 20)

enum task_kind { TASK_PREPARE, TASK_BASELINE, TASK_CELL, TASK_AGAIN, TASK_CONTROL };
enum task_state { TASK_WAITING, TASK_RUNNING, TASK_DONE };

struct task {
	enum task_kind kind;
	enum task_state state;
	struct plan *plan; /* borrowed for cells, owned otherwise */
	bool owns_plan;
	char *dir;
	struct task *after;   /* must be done first, or NULL */
	struct task *cell;    /* of AGAIN and CONTROL */
	size_t number;	      /* of cells, from 1 */
	uint32_t starved;     /* times that it was run in vain */
	uint32_t open;	      /* repetitions and control not yet done */
	struct result result; /* of cells, once judged */
	bool judged;
	char *failed; /* PREPARE: why it could not */
};

struct runner {
	const struct campaign_request *request;
	const struct campaign_tell *tell;
	struct campaign *campaign;
	struct task **tasks;
	size_t count;
	bool stop;
	int64_t deadline_ns;
};

/* ---- tasks ---- */

static struct task *add_task(struct runner *r, enum task_kind kind, struct plan *plan, char *dir)
{
	struct task *task = mem_zero(1, sizeof(*task));

	task->kind = kind;
	task->plan = plan;
	task->dir = dir;
	task->owns_plan = kind != TASK_CELL;
	r->tasks = mem_grow(r->tasks, r->count + 1, sizeof(*r->tasks));
	r->tasks[r->count++] = task;
	return task;
}

static struct task *find_task(struct runner *r, enum task_kind kind, const char *dir)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->tasks[i]->kind == kind && !strcmp(r->tasks[i]->dir, dir))
			return r->tasks[i];
	return NULL;
}

/* What tells the templates of one target with different settings apart; "" without any. */
static char *settings_mark(const struct target *target)
{
	auto_buf struct buf text = {0};
	char hex[HASH_HEX_SIZE];

	if (!target->settings.count)
		return text_dup("");
	for (size_t i = 0; i < target->settings.count; i++)
		buf_addf(&text, "%s ", target->settings.at[i]);
	hash_bytes(buf_text(&text), text.len, hex);
	return text_fmt("-%.8s", hex);
}

static struct task *prepare_task(struct runner *r, const struct plan *plan)
{
	auto_free char *variant = settings_mark(plan->target);
	auto_free char *dir =
		text_fmt("%s/template-%s%s", r->campaign->dir, plan->target->name, variant);
	struct task *task = find_task(r, TASK_PREPARE, dir);

	if (!task)
		task = add_task(r, TASK_PREPARE, plan_baseline(plan), text_dup(dir));
	return task;
}

static struct task *baseline_task(struct runner *r, const struct plan *plan)
{
	struct plan *baseline = plan_baseline(plan);
	auto_free char *dir = text_fmt("%s/baseline/%s", r->campaign->dir, baseline->id);
	struct task *task = find_task(r, TASK_BASELINE, dir);

	if (task) {
		plan_free(baseline);
		return task;
	}
	task = add_task(r, TASK_BASELINE, baseline, text_dup(dir));
	task->after = prepare_task(r, plan);
	return task;
}

static void add_cell(struct runner *r, struct plan *plan, size_t number)
{
	bool alone = r->request->no_twins && !plan->scenario->step_count;
	struct task *baseline = plan->skip || alone ? NULL : baseline_task(r, plan);
	struct task *task = add_task(r, TASK_CELL, plan, path_join(r->campaign->dir, plan->id));

	task->number = number;
	task->after = !plan->skip && alone ? prepare_task(r, plan) : baseline;
	if (baseline) {
		free(plan->baseline);
		plan->baseline = text_fmt("../baseline/%s", baseline->plan->id);
	}
}

/* ---- results ---- */

static int64_t plan_limit_ms(const struct plan *plan)
{
	struct objectives o =
		objectives_resolve(&plan->scenario->objectives, &plan->target->objectives);
	int64_t retry = plan->target->timers.retry_longest_ms;

	return plan->scenario->deadline_ms + o.recover_ms + o.drain_ms + (retry > 0 ? retry : 0) +
	       o.stop_ms + plan->target->ready_within_ms + ADJUDICATE_HOST_MS + CELL_SLACK_MS;
}

static void blank_result(
	const struct task *task, enum verdict verdict, const char *reason, struct result *ret)
{
	*ret = (struct result){
		.id = text_dup(task->plan->id),
		.scenario = text_dup(task->plan->scenario->name),
		.target = text_dup(task->plan->target->name),
		.seed = task->plan->seed,
		.slot = task->plan->slot,
		.verdict = verdict,
		.reason = text_dup(reason),
		.detect_ms = -1,
		.recover_ms = -1,
		.drain_ms = -1,
		.wall_ms = -1,
		.recovers_after_s = -1,
		.path = text_dup(task->dir),
		.order = verdict == VERDICT_SKIP ? NULL : plan_order_unreached(task->plan),
	};
}

static int read_verdict(const char *dir, struct result *ret)
{
	auto_free char *path = path_join(dir, "verdict.json");
	auto_json json_t *json = json_load_path(path, VERDICT_MAX, NULL);

	return json ? result_from_json(json, ret, NULL) : -ENOENT;
}

/* What a worker left; a cell that started and left no verdict is BROKEN. */
static void collect(struct task *task, const struct job_end *end)
{
	auto_free char *reason = NULL, *branches = path_join(task->dir, BED_VM_BRANCHES);

	fs_remove_tree(branches, NULL); /* of a worker that was killed: hundreds of MB */
	if (!read_verdict(task->dir, &task->result)) {
		task->result.wall_ms = end->wall_ms;
	} else {
		if (end->timed_out)
			reason = text_fmt("the cell did not end within %lld s and was ended",
				(long long)(plan_limit_ms(task->plan) / 1000));
		else if (end->status > 128)
			reason = text_fmt("the worker died of signal %d", end->status - 128);
		else
			reason = text_fmt(
				"the worker ended with %d and left no verdict", end->status);
		blank_result(task, VERDICT_BROKEN, reason, &task->result);
		task->result.wall_ms = end->wall_ms;
	}
	task->judged = true;
	free(task->result.path);
	task->result.path = text_dup(task->dir);
	task->result.number = (uint32_t)task->number;
}

static void publish(struct runner *r, struct task *task)
{
	struct campaign *c = r->campaign;

	if (known_covers(r->request->known, &task->result))
		task->result.state = FINDING_KNOWN;
	if (task->kind == TASK_CELL)
		judge_save(task->dir, &task->result, NULL);
	if (c->count == c->room) {
		c->room = c->room ? c->room * 2 : 64;
		c->cells = mem_grow(c->cells, c->room, sizeof(*c->cells));
	}
	c->cells[c->count++] = task->result;
	if (r->tell->cell)
		r->tell->cell(r->tell->arg, &c->cells[c->count - 1]);
	task->result = (struct result){0};
}

/* ---- what follows what ---- */

static bool same_finding(const struct result *a, const struct result *b)
{
	if (a->verdict != b->verdict || !a->finding_count || !b->finding_count)
		return false;
	return !strcmp(a->findings[0].signature, b->findings[0].signature);
}

static void add_follow(struct runner *r, struct task *cell, enum task_kind kind, const char *name)
{
	struct plan *plan = kind == TASK_CONTROL ? plan_control(cell->plan) : plan_copy(cell->plan);
	struct task *task = add_task(r, kind, plan, path_join(cell->dir, name));

	task->cell = cell;
	plan->again = kind == TASK_AGAIN;
	free(plan->baseline);
	plan->baseline = cell->plan->baseline ? text_fmt("../%s", cell->plan->baseline) : NULL;
	cell->open++;
}

static void after_fail(struct runner *r, struct task *cell)
{
	/* Without faults a scenario that has none is what it was. */
	if (!r->request->no_control && cell->plan->scenario->step_count)
		add_follow(r, cell, TASK_CONTROL, "control");
	for (uint32_t i = 1; i <= r->request->retries; i++) {
		auto_free char *name = text_fmt("again-%u", i);

		add_follow(r, cell, TASK_AGAIN, name);
	}
	if (r->request->until_fail)
		r->stop = true;
	if (!cell->open)
		publish(r, cell);
}

static void follow_done(struct runner *r, struct task *task)
{
	struct task *cell = task->cell;

	if (task->kind == TASK_CONTROL) {
		cell->result.control = text_dup(verdict_name(task->result.verdict));
	} else {
		cell->result.tries++;
		cell->result.hits += same_finding(&cell->result, &task->result);
	}
	result_free(&task->result);
	if (--cell->open == 0)
		publish(r, cell);
}

static void baseline_done(struct runner *r, struct task *task)
{
	task->number = 0;
	if (task->result.verdict == VERDICT_BROKEN)
		task->failed = text_fmt("baseline: %s", task->result.reason);
	if (task->result.verdict != VERDICT_PASS)
		publish(r, task);
}

static bool out_of_time(const struct runner *r)
{
	return r->stop || clock_mono_ns() >= r->deadline_ns;
}

/* Nothing can be told of a cell whose guest got no processor: that says nothing of the store, nor of the rig. */
static bool runs_again(struct runner *r, struct task *task)
{
	const struct result *result = &task->result;

	if (task->kind != TASK_CELL || result->verdict != VERDICT_UNKNOWN || !result->starved ||
		task->starved >= r->request->starved_again || out_of_time(r) ||
		fs_remove_tree(task->dir, NULL))
		return false;
	task->starved++;
	r->campaign->spoilt++;
	task->state = TASK_WAITING;
	task->judged = false;
	result_free(&task->result);
	task->result = (struct result){0};
	return true;
}

static void task_done(void *arg, const struct job *job, const struct job_end *end)
{
	struct runner *r = arg;
	struct task *task = job->arg;

	task->state = TASK_DONE;
	if (task->kind == TASK_PREPARE) {
		auto_free char *path = path_join(task->dir, "failed");
		struct buf why = {0};

		if (end->status && fs_read(path, 4096, &why, NULL))
			buf_addf(&why, "the template of '%s' could not be made (%d)",
				task->plan->target->name, end->status);
		task->failed = end->status ? buf_steal(&why) : NULL;
		buf_free(&why);
		return;
	}
	collect(task, end);
	if (runs_again(r, task))
		return;
	if (task->kind == TASK_BASELINE)
		baseline_done(r, task);
	else if (task->kind != TASK_CELL)
		follow_done(r, task);
	else if (task->result.verdict == VERDICT_FAIL)
		after_fail(r, task);
	else
		publish(r, task);
}

/* ---- what runs next ---- */

/* A cell that cannot run gets its verdict without running. */
static void settle_without_running(
	struct runner *r, struct task *task, enum verdict verdict, const char *reason)
{
	struct err err = {0};

	task->state = TASK_DONE;
	if (task->kind == TASK_BASELINE || task->kind == TASK_PREPARE) {
		task->failed = text_dup(reason);
		return;
	}
	blank_result(task, verdict, reason, &task->result);
	task->result.number = (uint32_t)task->number;
	if (!fs_mkdir_p(task->dir, &err))
		plan_save(task->plan, task->dir, &err);
	publish(r, task);
}

static bool ready(struct runner *r, struct task *task)
{
	if (task->state != TASK_WAITING)
		return false;
	if (task->kind == TASK_CELL && task->plan->skip) {
		settle_without_running(r, task, VERDICT_SKIP, task->plan->skip);
		return false;
	}
	if (task->after && task->after->state != TASK_DONE)
		return false;
	if (task->after && task->after->failed) {
		settle_without_running(r, task, VERDICT_BROKEN, task->after->failed);
		return false;
	}
	return !(task->kind == TASK_CELL && out_of_time(r));
}

static bool next_task(void *arg, struct job *ret)
{
	static const char *const what[] = {"template", "cell", "cell", "cell", "cell"};
	struct runner *r = arg;

	for (size_t i = 0; i < r->count; i++) {
		struct task *task = r->tasks[i];
		struct err err = {0};

		if (!ready(r, task))
			continue;
		if (campaign_space(r->campaign->dir, &err) || fs_mkdir_p(task->dir, &err) ||
			plan_save(task->plan, task->dir, &err)) {
			settle_without_running(r, task, VERDICT_BROKEN, err.text);
			continue;
		}
		task->state = TASK_RUNNING;
		*ret = (struct job){
			.what = what[task->kind],
			.dir = task->dir,
			.limit_ms = task->kind == TASK_PREPARE ? PREPARE_LIMIT_MS
							       : plan_limit_ms(task->plan),
			.arg = task,
		};
		return true;
	}
	return false;
}

/* ---- the end ---- */

static void finish(struct runner *r)
{
	for (size_t i = 0; i < r->count; i++) {
		struct task *task = r->tasks[i];

		if (task->kind != TASK_CELL)
			continue;
		if (task->state == TASK_WAITING)
			settle_without_running(r, task, VERDICT_MISS, "it never started");
		else if (task->open)
			publish(r, task); /* interrupted among its repetitions */
	}
}

static int by_number(const void *a, const void *b)
{
	const struct result *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static void free_tasks(struct runner *r)
{
	for (size_t i = 0; i < r->count; i++) {
		struct task *task = r->tasks[i];

		if (task->owns_plan)
			plan_free(task->plan);
		result_free(&task->result);
		free(task->failed);
		free(task->dir);
		free(task);
	}
	free(r->tasks);
}

int campaign_run(const struct campaign_request *request, const struct campaign_tell *tell,
	struct campaign *ret, struct err *err)
{
	static const struct supervise_ops ops = {.next = next_task, .done = task_done};
	struct runner r = {.request = request, .tell = tell, .campaign = ret};
	int64_t began = clock_mono_ns();
	int rc;

	*ret = (struct campaign){.began_ns = clock_real_ns()};
	r.deadline_ns = deadline_in_ms(request->time_budget_ms);
	rc = campaign_folder(ret, request->results, err);
	if (rc)
		return rc;
	if (tell->began)
		tell->began(tell->arg, ret->dir);
	for (size_t i = 0; i < request->plans->count; i++)
		add_cell(&r, request->plans->at[i], i + 1);
	rc = supervise(request->jobs, &ops, &r, err);
	ret->interrupted = rc == -EINTR;
	finish(&r);
	qsort(ret->cells, ret->count, sizeof(*ret->cells), by_number);
	ret->wall_ms = (clock_mono_ns() - began) / NS_PER_MS;
	free_tasks(&r);
	return rc == -EINTR ? 0 : rc;
}

void campaign_free(struct campaign *campaign)
{
	for (size_t i = 0; i < campaign->count; i++)
		result_free(&campaign->cells[i]);
	free(campaign->cells);
	free(campaign->name);
	free(campaign->dir);
	*campaign = (struct campaign){0};
}

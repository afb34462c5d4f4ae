#include "run/score/score_zoo_cell.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "run/bed/closer.h"
#include "vm/clone.h"
#include "vm/qmp.h"
#include "vm/witness.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define ATTACH_MS  60000
#define RUN_MS	   60000
#define ASK_MS	   30000
#define BETWEEN_MS 600 /* of the two scans, guest time */
#define DEATH_MS   20000
#define OWED_LIMIT 2.0
#define OWED_LATE  5.0 /* seconds that a reply is owed for when something is wrong */
#define OWED_SOON  0.3
#define PROGRAM	   "/run/rig/target/zoo"
#define COPIES	   "/run/zoo/" /* the program under the names of its roles */

static const char *const ours[] = {"/run/rig/", "/usr/sbin/qemu-ga", NULL};

/* What is at hand while a cell runs. */
struct running {
	const struct zoo_cell *cell;
	struct machine *machine;
	struct witness *witness;
	pthread_mutex_t lock; /* `died`, `exited` */
	pthread_cond_t more;
	json_t *died, *exited;
	json_t *planted; /* what the program said */
	json_t *healthy, *earlier, *now;
};

static void on_event(void *arg, const char *name, const json_t *json, int64_t arrived_ns)
{
	struct running *r = arg;
	bool exited = !strcmp(name, "exited");
	json_t *copy;

	(void)arrived_ns;
	if (!exited && strcmp(name, "died") != 0)
		return;
	copy = json_deep_copy(json);
	if (exited)
		json_object_set_new(copy, "age_s", json_real(0));
	pthread_mutex_lock(&r->lock);
	json_array_append_new(exited ? r->exited : r->died, copy);
	pthread_cond_signal(&r->more);
	pthread_mutex_unlock(&r->lock);
}

/* ---- in the guest ---- */

static int run_zoo(struct running *r, const char *line, json_t **ret, struct err *err)
{
	struct witness_command command = {.line = line, .timeout_ms = RUN_MS, .daemons = true};
	struct witness_result result = {0};
	int rc = witness_run(r->witness, &command, &result, err);

	if (!rc && (result.status || result.timed_out))
		rc = err_set(err, -EIO, "'%s' ended with %d: %s", line, result.status,
			buf_text(&result.output));
	if (!rc && ret) {
		*ret = json_loads(buf_text(&result.output), 0, NULL);
		if (!json_get_bool(*ret, "settled", false))
			rc = err_set(err, -ETIMEDOUT, "'%s' did not come to stand: %s", line,
				buf_text(&result.output));
	}
	buf_free(&result.output);
	return rc;
}

static int plant(struct running *r, const struct zoo_truth *truth, json_t **ret, struct err *err)
{
	auto_free char *line = text_fmt(PROGRAM " run %s %u", truth->name, r->cell->seed);

	return run_zoo(r, line, ret, err);
}

static int let_pass(struct running *r, int ms, struct err *err)
{
	auto_free char *line = text_fmt(PROGRAM " pause %d", ms);

	return run_zoo(r, line, NULL, err);
}

static int scan(struct running *r, json_t **ret, struct err *err)
{
	return witness_scan_deep(r->witness, deadline_in_ms(ASK_MS), ret, err);
}

static int slow_disk(struct running *r, struct err *err)
{
	auto_free char *path = text_fmt("/objects/throttle-%s", r->cell->disk);

	return qmp_execute(machine_qmp(r->machine), "qom-set",
		json_pack("{s:s, s:s, s:{s:i}}", "path", path, "property", "limits", "value",
			"iops-total", 1),
		deadline_in_ms(ASK_MS), NULL, err);
}

static int wait_for_ends(struct running *r, struct err *err)
{
	const bool exits = r->cell->truth->exits;
	const json_t *told = exits ? r->exited : r->died;
	const int want = exits ? 1 : r->cell->truth->deaths;
	const int64_t deadline_ns = deadline_in_ms(DEATH_MS);
	int have, rc = 0;

	pthread_mutex_lock(&r->lock);
	while ((have = (int)json_array_size(told)) < want && !rc)
		rc = cond_wait(&r->more, &r->lock, deadline_ns);
	pthread_mutex_unlock(&r->lock);
	return have >= want ? 0 : err_set(err, -ETIMEDOUT, "%d of %d ends were told", have, want);
}

/* ---- the evidence ---- */

static int hurt_disk(struct running *r, struct err *err)
{
	const struct zoo_truth *truth = r->cell->truth;
	int rc = 0;

	if (truth->slow_disk)
		rc = slow_disk(r, err);
	if (!rc && (truth->frozen || truth->thawed))
		rc = run_zoo(r, PROGRAM " disk", NULL, err);
	if (!rc && (truth->frozen || truth->thawed))
		rc = witness_freeze(r->witness, r->cell->mount, 0, deadline_in_ms(ASK_MS), err);
	return rc;
}

static int gather(struct running *r, struct err *err)
{
	const struct zoo_truth *truth = r->cell->truth;
	auto_json json_t *neighbour = NULL;
	int rc = r->cell->neighbour ? plant(r, r->cell->neighbour, &neighbour, err) : 0;

	if (!rc)
		rc = scan(r, &r->healthy, err);
	if (!rc)
		rc = hurt_disk(r, err);
	if (!rc)
		rc = plant(r, truth, &r->planted, err);
	if (!rc && (truth->deaths || truth->exits))
		rc = wait_for_ends(r, err);
	if (!rc)
		rc = scan(r, &r->earlier, err);
	if (!rc)
		rc = let_pass(r, BETWEEN_MS, err);
	return rc ? rc : scan(r, &r->now, err);
}

static int open_clone(struct running *r, struct err *err)
{
	const struct machine_options options = {.dir = r->cell->dir};
	int rc = clone_open(r->cell->template, &options, &r->machine, err);

	return rc ? rc
		  : witness_attach(machine_take_witness_fd(r->machine), on_event, r,
			    deadline_in_ms(ATTACH_MS), &r->witness, err);
}

/* ---- the verdict ---- */

/* With a `closer` source as the watch of a cell does: what is suspected is looked at once more, with its functions. */
static void ask(const struct running *r, const struct stack_source *closer, struct diagnosis *ret)
{
	const struct zoo_truth *truth = r->cell->truth;
	bool late = truth->overdue || (truth->hang_class && !truth->stopping);
	int parked = (int)json_get_int(r->planted, "parked", 0);
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", late ? OWED_LATE : OWED_SOON);
	const struct diagnose_input input = {
		.scan = r->now,
		.earlier = r->earlier,
		.healthy = r->healthy,
		.owed = owed,
		.owed_limit_s = OWED_LIMIT,
		.stopping = truth->stopping,
		.progressed = truth->progressed,
		.frozen = truth->frozen,
		.starved = truth->starved,
		.parked = &parked,
		.parked_count = parked != 0,
		.died = truth->deaths ? r->died : NULL,
		.exited = r->exited,
		.ours = ours,
	};

	if (closer)
		closer_look(closer, &input, r->now);
	diagnose(&input, ret);
}

static void add_cores(const struct running *r, const struct stack_source *source)
{
	json_t *died;
	size_t i;

	json_array_foreach (r->died, i, died) {
		json_t *core = NULL;
		struct err err = {0};

		if (!*json_get_text(died, "core", ""))
			continue;
		if (core_read(source, json_get_text(died, "core", ""), &core, &err))
			log_line("zoo: %s", err.text);
		json_object_update_missing(died, core);
		json_decref(core);
	}
}

static bool is_to_blame(const struct running *r, int tid)
{
	const json_t *culprits = json_object_get(r->planted, "culprits");

	for (size_t i = 0; i < json_array_size(culprits); i++)
		if (tid && json_integer_value(json_array_get(culprits, i)) == tid)
			return true;
	return false;
}

static void save(const struct running *r, const struct diagnosis *diagnosis)
{
	auto_free char *path = path_join(r->cell->dir, "cell.json");
	auto_json json_t *json = json_pack("{ss ss* so sO* sO* sO* sO* sO* sO*}", "case",
		r->cell->truth->name, "neighbour",
		r->cell->neighbour ? r->cell->neighbour->name : NULL, "diagnosis",
		diagnosis_to_json(diagnosis), "planted", r->planted, "died", r->died, "exited",
		r->exited, "healthy", r->healthy, "earlier", r->earlier, "scan", r->now);

	json_dump_file(json, path, JSON_INDENT(1));
}

static void judge(const struct running *r, struct zoo_outcome *ret)
{
	const struct zoo_truth *truth = r->cell->truth;
	auto_free char *program = text_fmt("%s/build/targets/zoo/zoo", r->cell->spec->root);
	const struct stack_source source = {.witness = r->witness,
		.spec = r->cell->spec,
		.copies = COPIES,
		.copies_of = program};
	struct diagnosis diagnosis;

	if (truth->deaths)
		add_cores(r, &source);
	ask(r, truth->deaths ? NULL : &source, &diagnosis);
	*ret = (struct zoo_outcome){.want_class = truth->hang_class,
		.got_class = diagnosis.hang_class,
		.finding = diagnosis.finding,
		.first_right =
			diagnosis.culprit_count && is_to_blame(r, diagnosis.culprits[0].tid)};
	snprintf(ret->name, sizeof(ret->name), "%s", truth->name);
	if (truth->hang_class)
		snprintf(ret->culprit, sizeof(ret->culprit), "%s", truth->name);
	snprintf(ret->signature, sizeof(ret->signature), "%s", diagnosis.signature);
	save(r, &diagnosis);
	diagnosis_free(&diagnosis);
}

static void init(struct running *r, const struct zoo_cell *cell)
{
	*r = (struct running){.cell = cell, .died = json_array(), .exited = json_array()};
	cond_init(&r->more);
	pthread_mutex_init(&r->lock, NULL);
}

int zoo_cell_run(const struct zoo_cell *cell, struct zoo_outcome *ret, struct err *err)
{
	struct running r;
	int rc;

	init(&r, cell);
	rc = open_clone(&r, err);
	if (!rc)
		rc = gather(&r, err);
	if (!rc)
		judge(&r, ret);
	witness_close(r.witness);
	machine_close(r.machine);
	json_decref(r.died);
	json_decref(r.exited);
	json_decref(r.planted);
	json_decref(r.healthy);
	json_decref(r.earlier);
	json_decref(r.now);
	pthread_cond_destroy(&r.more);
	pthread_mutex_destroy(&r.lock);
	return rc;
}

/* A suspected hang on a branch of the machine: who is watched, and how far it is run on. */
#include "run/adjudicate.h"
#include "run/bed_vm_core.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "diagnose/diagnose.h"
#include "run/rig_programs.h"
#include "vm/warp.h"
#include "vm/witness_wire.h"

#include <string.h>

#define SCAN_MS	  30000
#define OPEN_MS	  60000
#define HOST_MS	  120000 /* for one hang; what was not seen by then is not judged */
#define TICK_S	  300
#define OWED_MAX  WATCH_CONNS_MAX
#define TASKS_MAX CULPRITS_MAX

struct trial {
	struct vm_bed *bed;
	struct adjudication judging;
	struct owed owed[OWED_MAX];
	struct warp_conn conns[OWED_MAX];
	struct warp_task tasks[TASKS_MAX];
	struct warp_watch watch;
	json_t *scan, *before; /* before: the machine's own answer to `watch` */
	char *branch, *dir;
	int64_t saved_guest_ns, began_ns;
	struct branch_size size;
	double guest_s;
};

static double seconds(int64_t ns)
{
	return (double)ns / (double)NS_PER_SEC;
}

/* ---- who waits ---- */

/* "10.0.2.15:25" */
static bool is_guest(const char *endpoint, uint16_t *ret_port)
{
	size_t len = strlen(NETWORK_GUEST_ADDRESS ":");

	if (strncmp(endpoint, NETWORK_GUEST_ADDRESS ":", len))
		return false;
	*ret_port = (uint16_t)strtoul(endpoint + len, NULL, 10);
	return true;
}

/* The replies that the store owes to others. */
static void find_owed(struct trial *t)
{
	size_t count = wire_owed(t->bed->wire, t->owed, OWED_MAX);
	int64_t now_ns = vm_bed_clock(t->bed, clock_mono_ns());

	for (size_t i = 0; i < count && i < OWED_MAX; i++) {
		struct warp_conn *conn = &t->conns[t->watch.conn_count];
		double age_s = seconds(now_ns - t->owed[i].since_ns);

		if (!is_guest(t->owed[i].server, &conn->port))
			continue;
		conn->peer = t->owed[i].client;
		t->watch.conn_count++;
		if (age_s > t->judging.owed_s)
			t->judging.owed_s = age_s;
	}
	t->watch.conns = t->conns;
	t->judging.owed = t->watch.conn_count;
}

static json_t *owed_json(const struct trial *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->watch.conn_count; i++)
		json_array_append_new(
			list, json_pack("{ss si so sf}", "server", NETWORK_GUEST_ADDRESS, "port",
				      t->conns[i].port, "client", json_text(t->conns[i].peer),
				      "age_s", t->judging.owed_s));
	return list;
}

static const json_t *scanned(const json_t *scan, int tid)
{
	json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (json_get_int(task, "tid", -1) == tid)
			return task;
	return NULL;
}

/* Whom the diagnosis of this instant suspects. */
static void find_tasks(struct trial *t, bool stopping)
{
	auto_json json_t *owed = owed_json(t);
	const struct diagnose_input input = {.scan = t->scan,
		.owed = owed,
		.stopping = stopping,
		.target = t->bed->bed.target,
		.ours = rig_programs};
	struct diagnosis diagnosis = {0};

	diagnose(&input, &diagnosis);
	for (size_t i = 0; i < diagnosis.culprit_count && i < TASKS_MAX; i++) {
		const struct culprit *culprit = &diagnosis.culprits[i];
		const json_t *task = scanned(t->scan, culprit->tid);

		if (task)
			t->tasks[t->watch.task_count++] = (struct warp_task){.pid = culprit->pid,
				.tid = culprit->tid,
				.start = json_get_int(task, "start", 0),
				.syscall = json_get_text(task, "syscall", NULL)};
	}
	diagnosis_free(&diagnosis);
	t->watch.tasks = t->tasks;
}

static int look(struct trial *t, bool stopping, struct err *err)
{
	struct witness *witness = t->bed->witness;
	int64_t deadline_ns = deadline_in_ms(SCAN_MS);
	int rc = witness_scan_deep(witness, deadline_ns, &t->scan, err);

	if (rc)
		return rc;
	find_owed(t);
	find_tasks(t, stopping);
	rc = warp_look(witness, &t->watch, deadline_ns, &t->before, err);
	if (!rc)
		rc = witness_ping(witness, deadline_ns, &t->saved_guest_ns, err);
	t->judging.tasks = json_object_get(t->before, "tasks");
	return rc;
}

/* ---- the branch ---- */

static bool on_event(void *arg, const char *name, const json_t *json, int64_t elapsed_ns)
{
	struct trial *t = arg;

	return adjudication_event(&t->judging, name, json, elapsed_ns);
}

/* NULL: run on to the limit; else why not. Three hours and doubling: most ends of hangs are early. */
static const char *run_on(struct trial *t, struct warp *warp, double limit_s, struct err *err)
{
	int64_t deadline_ns = deadline_in_ms(HOST_MS);
	double until_s = ADJUDICATE_FIRST_S;
	enum warp_end end;

	for (;;) {
		until_s = until_s < limit_s ? until_s : limit_s;
		end = warp_run(warp, (int64_t)(until_s * (double)NS_PER_SEC), deadline_ns, err);
		t->guest_s = seconds(warp_elapsed_ns(warp));
		if (end != WARP_REACHED)
			break;
		if (until_s >= limit_s)
			return NULL;
		until_s *= 2;
	}
	if (end == WARP_LATE)
		err_set(err, -ETIMEDOUT,
			"only %.0f s of guest time passed in %d s: the guest is not idle",
			t->guest_s, HOST_MS / 1000);
	return end == WARP_STOPPED ? NULL : err->text;
}

static int run_branch(struct trial *t, json_t **ret, struct err *err)
{
	const struct warp_options options = {.spec = machine_spec(t->bed->machine),
		.branch = t->branch,
		.dir = t->dir,
		.saved_guest_ns = t->saved_guest_ns,
		.tick_ns = TICK_S * NS_PER_SEC,
		.watch = t->watch,
		.fn = on_event,
		.arg = t,
		.deadline_ns = deadline_in_ms(OPEN_MS)};
	double limit_s = adjudication_limit_s(&t->bed->bed.target->timers);
	struct warp *warp = NULL;
	struct err why = {0};
	const char *stopped;
	int rc = warp_open(&options, &warp, err);

	if (rc)
		return rc;
	stopped = run_on(t, warp, limit_s, &why);
	*ret = adjudication_result(&t->judging, t->guest_s, stopped);
	warp_close(warp);
	return 0;
}

static int try_it(struct trial *t, bool stopping, json_t **ret, struct err *err)
{
	int rc = branch_can(machine_spec(t->bed->machine), BRANCH_WARP, err);

	if (!rc)
		rc = look(t, stopping, err);
	if (!rc && !t->watch.conn_count && !t->watch.task_count)
		rc = err_set(err, -ENODATA, "nothing was found that waits");
	if (!rc)
		rc = machine_pause(t->bed->machine, err);
	if (!rc)
		rc = branch_save(t->bed->machine, t->branch, &t->size, err);
	return rc ? rc : run_branch(t, ret, err);
}

/* The machine stands still meanwhile: what is judged is this moment, and the cell goes on from it. */
int vm_adjudicate(struct bed *bed, bool stopping, json_t **ret, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;
	struct trial *t = mem_zero(1, sizeof(*t));
	struct err why = {0}, trouble = {0};
	json_t *result = NULL;
	bool was_paused = machine_is_paused(b->machine);
	int rc;

	t->bed = b;
	t->began_ns = clock_mono_ns();
	t->branch = path_join(b->dir, "branch");
	t->dir = path_join(b->dir, "warp");
	if (try_it(t, stopping, &result, &why))
		result = json_pack(
			"{ss so}", "recovery", "not-judged", "event", json_text(why.text));
	rc = was_paused ? 0 : machine_resume(b->machine, err);
	json_object_update_new(result,
		json_pack("{sf sf sf sI}", "guest_s", t->guest_s, "host_s",
			seconds(clock_mono_ns() - t->began_ns), "still_s",
			seconds(t->size.still_ns), "branch_bytes", (json_int_t)t->size.bytes));
	if (rc)
		json_decref(result);
	else
		*ret = result;
	if (fs_remove_tree(t->branch, &trouble) || fs_remove_tree(t->dir, &trouble))
		log_line("adjudicate: %s", trouble.text);
	adjudication_free(&t->judging);
	json_decref(t->scan);
	json_decref(t->before);
	free(t->branch);
	free(t->dir);
	free(t);
	return rc;
}

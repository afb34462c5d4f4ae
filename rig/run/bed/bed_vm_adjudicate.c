/* Branches of the machine, each saved at a suspected hang: who is watched there, and how far it is run on. */
#include "run/bed/adjudicate.h"
#include "run/bed/bed_vm.h"
#include "run/bed/bed_vm_core.h"
#include "run/bed/tries.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "diagnose/diagnose.h"
#include "vm/warp.h"
#include "vm/witness_wire.h"

#include <string.h>

#define LOOK_MS	      10000
#define OPEN_MS	      60000
#define SLICE_MS      1000
#define CRAWL_MS      30000 /* of the host, after which less than CRAWL_GUEST_S are no idle guest */
#define CRAWL_GUEST_S 300
#define TICK_S	      60
#define OWED_MIN_S    0.5
#define OWED_MAX      WATCH_CONNS_MAX
#define TASKS_MAX     CULPRITS_MAX

/* A branch, and what was known of those who waited when it was saved. */
struct vm_branch {
	struct vm_branch *next;
	struct vm_bed *bed;
	char *name, *dir;
	struct adjudication judging;
	struct owed owed[OWED_MAX];
	struct warp_conn conns[OWED_MAX];
	bool greetings[OWED_MAX]; /* what that connection is owed is the banner */
	struct warp_task tasks[TASKS_MAX];
	struct warp_watch watch;
	json_t *scan, *before; /* before: the machine's own answer to `watch` */
	int64_t saved_guest_ns;
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
static void find_owed(struct vm_branch *t)
{
	size_t count = wire_owed(t->bed->wire, t->owed, OWED_MAX);
	int64_t now_ns = vm_bed_clock(t->bed, clock_mono_ns());

	for (size_t i = 0; i < count && i < OWED_MAX; i++) {
		struct warp_conn *conn = &t->conns[t->watch.conn_count];
		double age_s = seconds(now_ns - t->owed[i].since_ns);

		/* A client that idles waits for work; what was asked this instant does not hang yet. */
		if (age_s < OWED_MIN_S || !is_guest(t->owed[i].server, &conn->port) ||
			!strcasecmp(t->owed[i].verb, "IDLE"))
			continue;
		conn->peer = t->owed[i].client;
		t->greetings[t->watch.conn_count] = !t->owed[i].verb[0];
		t->watch.conn_count++;
		if (age_s > t->judging.owed_s)
			t->judging.owed_s = age_s;
	}
	t->watch.conns = t->conns;
	t->judging.owed = t->watch.conn_count;
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

static void take_tasks(struct vm_branch *t, const int *tids, size_t count)
{
	for (size_t i = 0; i < count && i < TASKS_MAX; i++) {
		const json_t *task = scanned(t->scan, tids[i]);

		if (task && !tries_has(t->scan, tids[i]))
			t->tasks[t->watch.task_count++] =
				(struct warp_task){.pid = (int)json_get_int(task, "pid", 0),
					.tid = tids[i],
					.start = json_get_int(task, "start", 0),
					.syscall = json_get_text(task, "syscall", NULL)};
	}
	t->watch.tasks = t->tasks;
}

static int look(struct vm_branch *t, struct err *err)
{
	struct witness *witness = t->bed->witness;
	int64_t deadline_ns = deadline_in_ms(LOOK_MS);
	int rc;

	if (!t->watch.conn_count && !t->watch.task_count)
		return err_set(err, -ENODATA, "nothing was found that waits");
	rc = warp_look(witness, &t->watch, deadline_ns, &t->before, err);
	if (!rc)
		rc = witness_ping(witness, deadline_ns, &t->saved_guest_ns, err);
	t->judging.tasks = json_object_get(t->before, "tasks");
	return rc;
}

/* ---- save ---- */

static void free_branch(struct vm_branch *t)
{
	struct err trouble = {0};

	if (fs_remove_tree(t->dir, &trouble))
		log_line("adjudicate: %s", trouble.text);
	adjudication_free(&t->judging);
	json_decref(t->scan);
	json_decref(t->before);
	free(t->name);
	free(t->dir);
	free(t);
}

void vm_branches_close(struct vm_bed *b)
{
	auto_free char *dir = path_join(b->dir, BED_VM_BRANCHES);
	struct err trouble = {0};

	while (b->branches) {
		struct vm_branch *next = b->branches->next;

		free_branch(b->branches);
		b->branches = next;
	}
	if (fs_remove_tree(dir, &trouble))
		log_line("adjudicate: %s", trouble.text);
}

static int check_can(struct vm_bed *b, struct err *err)
{
	if (b->halted || vm_power_off(b))
		return err_set(err, -EBUSY, "the machine does not run");
	if (b->power)
		return err_set(err, -EOPNOTSUPP, "what the disks take is recorded in this cell");
	return branch_can(machine_spec(b->machine), BRANCH_WARP, err);
}

int vm_branch(struct bed *bed, const char *name, const json_t *scan, const int *tids, size_t count,
	json_t **ret, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;
	struct vm_branch *t = mem_zero(1, sizeof(*t));
	auto_free char *saved = NULL;
	int rc = check_can(b, err);

	t->bed = b;
	t->name = text_dup(name);
	t->dir = text_fmt("%s/" BED_VM_BRANCHES "/%s", b->dir, name);
	t->scan = json_incref((json_t *)scan);
	saved = path_join(t->dir, "saved");
	find_owed(t);
	take_tasks(t, tids, count);
	if (!rc)
		rc = look(t, err);
	if (!rc)
		rc = branch_save(b->machine, saved, &t->size, err);
	if (rc) {
		free_branch(t);
		return rc;
	}
	t->next = b->branches;
	b->branches = t;
	*ret = json_pack("{sf sI}", "still_s", seconds(t->size.still_ns), "branch_bytes",
		(json_int_t)t->size.bytes);
	return 0;
}

/* ---- the branch ---- */

/* Where the greeting is owed, it is the answer. */
static bool owes_greeting(const struct vm_branch *t, const char *peer)
{
	for (size_t i = 0; i < t->watch.conn_count; i++)
		if (!strcmp(t->conns[i].peer, peer))
			return t->greetings[i];
	return false;
}

static bool on_event(void *arg, const char *name, const json_t *json, int64_t elapsed_ns)
{
	struct vm_branch *t = arg;

	if (!strcmp(name, "sent") && json_get_int(json, "bytes", 0) > 0 &&
		adjudication_informs(json_get_text(json, "text", "")) &&
		!owes_greeting(t, json_get_text(json, "peer", "")))
		return false;
	return adjudication_event(&t->judging, name, json, elapsed_ns);
}

/* A guest that is not idle will not get far, however long it is given. */
static bool crawls(struct warp *warp, int64_t began_ns)
{
	return clock_mono_ns() - began_ns > CRAWL_MS * NS_PER_MS &&
	       warp_elapsed_ns(warp) < CRAWL_GUEST_S * NS_PER_SEC;
}

/* In slices, so that an interrupt is noticed. */
static enum warp_end run_until(struct warp *warp, double until_s, int64_t began_ns,
	int64_t deadline_ns, const struct bed_patience *patience, struct err *err)
{
	enum warp_end end;

	do {
		int64_t slice_ns = deadline_in_ms(SLICE_MS);

		if (patience->over()) {
			err_set(err, -EINTR, "the run was interrupted");
			return WARP_ENDED;
		}
		end = warp_run(warp, (int64_t)(until_s * (double)NS_PER_SEC),
			slice_ns < deadline_ns ? slice_ns : deadline_ns, err);
	} while (end == WARP_LATE && clock_mono_ns() < deadline_ns && !crawls(warp, began_ns));
	return end;
}

/* NULL: run on to the limit; else why not. Three hours and doubling: most ends of hangs are early. */
static const char *run_on(struct vm_branch *t, struct warp *warp, double limit_s,
	const struct bed_patience *patience, struct err *err)
{
	int64_t began_ns = clock_mono_ns(), deadline_ns = deadline_in_ms(patience->host_ms);
	double until_s = ADJUDICATE_FIRST_S;
	enum warp_end end;

	for (;;) {
		until_s = until_s < limit_s ? until_s : limit_s;
		end = run_until(warp, until_s, began_ns, deadline_ns, patience, err);
		t->guest_s = seconds(warp_elapsed_ns(warp));
		if (end != WARP_REACHED)
			break;
		if (until_s >= limit_s)
			return NULL;
		until_s *= 2;
	}
	if (end == WARP_LATE)
		err_set(err, -ETIMEDOUT,
			"nothing moved in %.0f s of guest time, and no more passed in %.0f s",
			t->guest_s, seconds(clock_mono_ns() - began_ns));
	return end == WARP_STOPPED ? NULL : err->text;
}

static int run_branch(
	struct vm_branch *t, const struct bed_patience *patience, json_t **ret, struct err *err)
{
	auto_free char *saved = path_join(t->dir, "saved"), *own = path_join(t->dir, "warp");
	const struct warp_options options = {.spec = machine_spec(t->bed->machine),
		.branch = saved,
		.dir = own,
		.saved_guest_ns = t->saved_guest_ns,
		.tick_ns = TICK_S * NS_PER_SEC,
		.watch = t->watch,
		.fn = on_event,
		.arg = t,
		.deadline_ns =
			deadline_in_ms(patience->host_ms < OPEN_MS ? patience->host_ms : OPEN_MS)};
	double limit_s = adjudication_limit_s(&t->bed->bed.target->timers);
	struct warp *warp = NULL;
	struct err why = {0};
	const char *stopped;
	int rc = warp_open(&options, &warp, err);

	if (rc)
		return rc;
	stopped = run_on(t, warp, limit_s, patience, &why);
	warp_close(warp); /* no events any more */
	*ret = adjudication_result(&t->judging, t->guest_s, stopped);
	return 0;
}

static struct vm_branch *take_branch(struct vm_bed *b, const char *name)
{
	for (struct vm_branch **at = &b->branches; *at; at = &(*at)->next)
		if (!strcmp((*at)->name, name)) {
			struct vm_branch *found = *at;

			*at = found->next;
			return found;
		}
	return NULL;
}

/* The machine stands still meanwhile: the host's processors are for the branch. */
int vm_adjudicate(struct bed *bed, const char *name, const struct bed_patience *patience,
	json_t **ret, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;
	struct vm_branch *t = take_branch(b, name);
	int64_t began_ns = clock_mono_ns();
	bool paused;
	int rc;

	if (!t)
		return err_set(err, -ENOENT, "there is no branch '%s'", name);
	paused = !machine_is_paused(b->machine) && !machine_pause(b->machine, NULL);
	rc = run_branch(t, patience, ret, err);
	if (paused && machine_resume(b->machine, NULL))
		log_line("adjudicate: the machine does not go on");
	if (!rc)
		json_object_update_new(*ret, json_pack("{sf sf}", "guest_s", t->guest_s, "host_s",
						     seconds(clock_mono_ns() - began_ns)));
	free_branch(t);
	return rc;
}

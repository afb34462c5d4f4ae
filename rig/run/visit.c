#include "run/visit.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "run/bed/bed_vm.h"
#include "run/bed/bed_vm_core.h"
#include "run/cell/cell.h"
#include "vm/branch.h"
#include "vm/clone.h"

#include <string.h>

#define ATTACH_MS 60000

/* One visit of this process: a bed's operations have no argument of their own. */
static struct {
	enum visit_at at;
	visit_fn fn;
	void *arg;
	atomic_bool came;
	const struct bed_ops *real;
	struct bed_ops ops;
} visit;

/* ---- a copy of a cell's machine ---- */

static int enter(struct vm_bed *b, const char *dir, const char *evidence, struct err *err)
{
	auto_free char *own = path_join(dir, "inside");
	const struct machine_options options = {.dir = own};
	struct visit_place place = {.spec = b->spec,
		.evidence = evidence,
		.cell_s = (double)vm_bed_clock(b, clock_mono_ns()) / (double)NS_PER_SEC};
	int rc = branch_open(
		machine_spec(b->machine), dir, BRANCH_REAL_TIME, &options, &place.machine, err);

	if (!rc)
		rc = witness_attach(machine_take_witness_fd(place.machine), NULL, NULL,
			deadline_in_ms(ATTACH_MS), &place.witness, err);
	if (!rc)
		visit.fn(visit.arg, &place);
	witness_close(place.witness);
	machine_close(place.machine);
	return rc;
}

/* The original stands still: its clients would give up on it, and the host's processors are for the copy. */
static void enter_copy(struct vm_bed *b, const char *evidence)
{
	auto_free char *dir = text_fmt("%s/visit", b->dir);
	struct err err = {0};
	bool paused = !machine_is_paused(b->machine) && !machine_pause(b->machine, NULL);
	int rc = branch_save(b->machine, dir, NULL, &err);

	if (!rc)
		rc = enter(b, dir, evidence, &err);
	if (rc) {
		log_line("visit: %s", err.text);
		atomic_store(&visit.came, false);
	}
	if (fs_remove_tree(dir, &err))
		log_line("visit: %s", err.text);
	if (paused && machine_resume(b->machine, NULL))
		log_line("visit: the machine does not go on");
	cell_interrupt();
}

static bool is_the_moment(const char *dir)
{
	static const char heal[] = "-before-heal";
	const char *name = strrchr(dir, '/') ? strrchr(dir, '/') + 1 : dir;
	size_t len = strlen(name);

	if (visit.at == VISIT_ONSET)
		return !strncmp(name, "hang-", strlen("hang-"));
	return len > strlen(heal) && !strcmp(name + len - strlen(heal), heal);
}

static int evidence(struct bed *bed, const char *dir, struct err *err)
{
	int rc = visit.real->evidence(bed, dir, err);

	if (is_the_moment(dir) && !atomic_exchange(&visit.came, true))
		enter_copy((struct vm_bed *)bed, rc ? NULL : dir);
	return rc;
}

static int open_bed(struct bed **ret, const struct plan *plan, const char *dir,
	bed_event_fn on_event, void *event_arg, void *arg, struct err *err)
{
	int rc = bed_vm_open(ret, plan, dir, on_event, event_arg, arg, err);

	if (rc)
		return rc;
	visit.real = (*ret)->ops;
	visit.ops = *visit.real;
	visit.ops.evidence = evidence;
	visit.ops.branch = NULL; /* nobody asks here how it ends */
	visit.ops.adjudicate = NULL;
	(*ret)->ops = &visit.ops;
	return 0;
}

int visit_cell(const struct plan *plan, const char *dir, enum visit_at at, visit_fn fn, void *arg,
	bool *ret_came, struct err *err)
{
	int rc;

	visit.at = at;
	visit.fn = fn;
	visit.arg = arg;
	atomic_store(&visit.came, false);
	rc = cell_run(plan, dir, open_bed, NULL, err);
	*ret_came = atomic_load(&visit.came);
	return rc;
}

/* ---- a fresh clone ---- */

static int enter_clone(struct bed_spec *spec, const struct template *template, const char *dir,
	visit_fn fn, void *arg, struct err *err)
{
	const struct machine_options options = {.dir = dir};
	struct visit_place place = {.spec = spec};
	int rc = clone_open(template, &options, &place.machine, err);

	if (!rc)
		rc = witness_attach(machine_take_witness_fd(place.machine), NULL, NULL,
			deadline_in_ms(ATTACH_MS), &place.witness, err);
	if (!rc)
		fn(arg, &place);
	witness_close(place.witness);
	machine_close(place.machine);
	return rc;
}

int visit_target(const struct target *target, const char *dir,
	void (*say)(void *arg, const char *line), visit_fn fn, void *arg, struct err *err)
{
	struct bed_spec *spec = NULL;
	struct template *template = NULL;
	int rc = bed_spec_new(target, say, NULL, &spec, err);

	if (!rc)
		rc = bed_spec_template(spec, &template, err);
	if (!rc)
		rc = enter_clone(spec, template, dir, fn, arg, err);
	template_close(template);
	bed_spec_free(spec);
	return rc;
}

/*
 * The power of a machine, cut and given back. A bed whose cell cuts the power runs on disks that log what they
 * take (vm/write_log.h); the cut picks, from the logs up to its instant, what its model leaves.
 *
 * Before anything is logged that counts, the guest writes out all that its template left in memory: a cut must
 * not lose what was installed before the cell began.
 *
 * QEMU dies with the thread that started it, and the step that heals the cut ends long before the bed: the
 * machine that boots again belongs to a thread of its own, which lives until the bed is closed.
 */
#include "run/bed/bed_vm_core.h"

#include "base/clock.h"
#include "api/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rng.h"
#include "run/bed/bed_vm.h"
#include "vm/clone.h"

#include <pthread.h>
#include <stdatomic.h>

#define SYNC_MS 60000
#define BOOT_MS 180000 /* of a system that has its journals to replay, on a busy host */

struct vm_power {
	struct vm_bed *bed;
	struct write_watch *watch;
	struct write_view view;	 /* of the cut */
	struct write_view saved; /* by vm_save_disks() */
	struct power_cut cut;
	atomic_bool off;
	bool was_cut, restored;
	struct power_loss loss;

	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t changed;
	pthread_t keeper;
	bool started, booted, closing;
	int rc;
	struct err err;
	struct witness *dead; /* of before the cut, for whoever is talking to it */
};

static struct vm_bed *of(struct bed *bed)
{
	return (struct vm_bed *)bed;
}

bool vm_power_wanted(const struct plan *plan)
{
	for (size_t i = 0; i < plan->scenario->step_count; i++) {
		const struct fault *fault = fault_find(plan->scenario->steps[i].what);

		if (fault && (fault->darkens || fault->darkens_late))
			return true;
	}
	return false;
}

bool vm_power_off(struct vm_bed *b)
{
	return b->power && atomic_load(&b->power->off);
}

void vm_power_look(struct vm_bed *b)
{
	if (b->power && b->power->watch && !atomic_load(&b->power->off))
		write_watch_look(b->power->watch);
}

/* ---- open and close ---- */

static int watch_disks(struct vm_bed *b, struct err *err)
{
	const struct machine_spec *spec = machine_spec(b->machine);
	char *paths[MACHINE_DISKS_MAX] = {0};
	int rc;

	for (size_t i = 0; i < spec->disk_count; i++)
		paths[i] = machine_write_log_path(machine_dir(b->machine), &spec->disks[i]);
	rc = write_watch_open((const char *const *)paths, spec->disk_count, &b->power->watch, err);
	for (size_t i = 0; i < spec->disk_count; i++)
		free(paths[i]);
	return rc;
}

static int write_out(struct vm_bed *b, struct err *err)
{
	struct witness_command command = {.line = "sync", .timeout_ms = SYNC_MS};
	struct witness_result result = {0};
	int rc = witness_run(b->witness, &command, &result, err);

	if (!rc && (result.timed_out || result.status))
		rc = err_set(err, -EIO, "the guest could not write its disks out");
	buf_free(&result.output);
	return rc;
}

int vm_power_open(struct vm_bed *b, struct err *err)
{
	struct vm_power *power = mem_zero(1, sizeof(*power));
	int rc;

	power->bed = b;
	pthread_mutex_init(&power->lock, NULL);
	cond_init(&power->changed);
	b->power = power;
	rc = write_out(b, err);
	return rc ? rc : watch_disks(b, err);
}

/* ---- a recording for a sweep ---- */

int vm_power_record(struct vm_bed *b, struct err *err)
{
	auto_free char *path = text_fmt("%s/machine/" BED_VM_VIEWS, b->dir);
	auto_json json_t *views = json_array();
	size_t disks;
	struct write_view view;

	if (!b->power || !b->power->watch || !b->machine)
		return err_set(err, -ENOENT, "nothing was recorded");
	disks = machine_spec(b->machine)->disk_count;
	for (size_t i = 0; write_watch_at(b->power->watch, i, &view); i++) {
		json_t *one = json_array();

		json_array_append_new(
			one, json_real((double)vm_bed_clock(b, view.mono_ns) / (double)NS_PER_SEC));
		for (size_t k = 0; k < disks; k++)
			json_array_append_new(one, json_integer((json_int_t)view.bytes[k]));
		json_array_append_new(views, one);
	}
	return json_save_path(path, views, err);
}

void vm_power_close(struct vm_bed *b)
{
	struct vm_power *power = b->power;

	if (!power)
		return;
	atomic_store(&power->off, true);
	write_watch_close(power->watch);
	power->watch = NULL;
	if (power->started) {
		/* The machine dies with the thread, so it is closed first. */
		witness_close(b->witness);
		b->witness = NULL;
		legs_close(b->legs);
		b->legs = NULL;
		vm_close_machine(b);
		pthread_mutex_lock(&power->lock);
		power->closing = true;
		pthread_cond_broadcast(&power->changed);
		pthread_mutex_unlock(&power->lock);
		pthread_join(power->keeper, NULL);
	}
	witness_close(power->dead);
	pthread_cond_destroy(&power->changed);
	pthread_mutex_destroy(&power->lock);
	free(power);
	b->power = NULL;
}

/* ---- a snapshot of the data disks ---- */

int vm_save_disks(struct bed *bed, int64_t *ret_at_ns, struct err *err)
{
	struct vm_bed *b = of(bed);
	struct vm_power *power = b->power;
	struct err why = {0};
	int rc, thawed;

	if (!power || power->was_cut)
		return err_set(err, -EINVAL, "this bed was not opened for a snapshot");
	rc = bed->ops->freeze(bed, NULL, err);
	*ret_at_ns = vm_bed_clock(b, clock_mono_ns());
	if (!rc) /* nothing is later while the file systems stand still */
		write_watch_since(power->watch, clock_mono_ns(), &power->saved);
	thawed = bed->ops->thaw(bed, &why);
	if (!rc && thawed)
		rc = err_set(err, thawed, "after the snapshot: %s", why.text);
	return rc;
}

/* ---- the cut ---- */

int vm_cut_power(struct bed *bed, const struct power_cut *cut, int64_t *ret_at_ns, struct err *err)
{
	struct vm_bed *b = of(bed);
	struct vm_power *power = b->power;
	int64_t at_mono = cut->at_ns == INT64_MAX ? CLOCK_NEVER : vm_bed_moment(b, cut->at_ns);
	int rc = 0;

	if (!power)
		return err_set(err, -EINVAL, "this bed was not opened for a power cut");
	if (cut->put_back && !power->saved.mono_ns)
		return err_set(err, -EINVAL, "there is no snapshot to be put back");
	if (power->was_cut)
		return power->restored ? err_set(err, -EALREADY, "the power of a cell is cut once")
				       : 0;
	if (cut->put_back && !power->was_cut)
		rc = write_out(b, err); /* what is not put back must not lose anything */
	if (rc)
		return rc;
	power->was_cut = true;
	power->cut = *cut;
	atomic_store(&power->off, true);
	rc = machine_cut(b->machine, err);
	write_watch_since(power->watch, at_mono, &power->view);
	/* What was seen after QEMU's end is of its end: the clock stands still since. */
	*ret_at_ns = vm_bed_clock(b, power->view.mono_ns);
	return rc;
}

/* ---- the power's return ---- */

/* How far the log of that disk counts. */
static uint64_t kept_bytes(const struct vm_power *power, size_t disk)
{
	const struct vm_bed *b = power->bed;
	const char *name = machine_spec(b->machine)->disks[disk].name;

	return power->cut.put_back && target_disk(b->bed.target, name) ? power->saved.bytes[disk]
								       : power->view.bytes[disk];
}

static enum write_keep keep_of(enum power_model model)
{
	static const enum write_keep keeps[] = {
		[POWER_GUEST_DIES] = WRITE_KEEP_ALL,
		[POWER_CACHE_LOST] = WRITE_KEEP_FLUSHED,
		[POWER_ANY_PREFIX] = WRITE_KEEP_PREFIX,
		[POWER_ANY_SUBSET] = WRITE_KEEP_SUBSET,
	};

	return keeps[model];
}

static int make_layers(struct vm_power *power, struct err *err)
{
	const struct machine_spec *spec = machine_spec(power->bed->machine);
	struct write_cut cuts[MACHINE_DISKS_MAX];
	struct write_tally tallies[MACHINE_DISKS_MAX] = {0};
	int rc;

	/* Each disk has its own cache, and loses what it loses. */
	for (size_t i = 0; i < spec->disk_count; i++) {
		struct rng rng = rng_stream(power->cut.seed, spec->disks[i].name);

		cuts[i] = (struct write_cut){.bytes = kept_bytes(power, i),
			.keep = keep_of(power->cut.model),
			.seed = rng_u64(&rng)};
	}
	rc = clone_cut_layers(power->bed->template, power->bed->machine, cuts, tallies, err);
	for (size_t i = 0; i < spec->disk_count; i++) {
		log_line("power cut: disk '%s': %zu writes, %zu flushes, %zu not flushed, %zu lost",
			spec->disks[i].name, tallies[i].writes, tallies[i].flushes,
			tallies[i].unflushed, tallies[i].lost);
		power->loss.writes += tallies[i].writes;
		power->loss.flushes += tallies[i].flushes;
		power->loss.lost += tallies[i].lost;
	}
	return rc;
}

/* The witness of the new boot takes the place of the old one, whose callers get errors until the end. */
static int attach(struct vm_power *power, struct err *err)
{
	struct vm_bed *b = power->bed;
	struct witness *fresh = NULL;
	int rc = witness_attach(machine_take_witness_fd(b->machine), vm_on_witness, b,
		deadline_in_ms(BOOT_MS), &fresh, err);

	if (rc) {
		machine_check(b->machine, rc == -ETIMEDOUT ? NULL : err);
		return err_wrap(err, rc, "the system did not come up after the power cut");
	}
	power->dead = b->witness;
	b->witness = fresh;
	b->clock_known = false;
	return vm_tail_logs(b, err);
}

static int boot_again(struct vm_power *power, struct err *err)
{
	int64_t began = clock_mono_ns();
	int rc = make_layers(power, err);

	log_line("power cut: disks laid out in %lld ms",
		(long long)((clock_mono_ns() - began) / NS_PER_MS));
	began = clock_mono_ns();
	if (!rc)
		rc = machine_power_on(power->bed->machine, err);
	if (!rc)
		rc = attach(power, err);
	power->loss.boot_s = (double)(clock_mono_ns() - began) / (double)NS_PER_SEC;
	return rc;
}

static void *keep_machine(void *arg)
{
	struct vm_power *power = arg;
	struct err err = {0};
	int rc = boot_again(power, &err);

	pthread_mutex_lock(&power->lock);
	power->booted = true;
	power->rc = rc;
	power->err = err;
	pthread_cond_broadcast(&power->changed);
	while (!power->closing)
		cond_wait(&power->changed, &power->lock, CLOCK_NEVER);
	pthread_mutex_unlock(&power->lock);
	return NULL;
}

int vm_restore_power(struct bed *bed, struct power_loss *ret, struct err *err)
{
	struct vm_power *power = of(bed)->power;
	int rc;

	*ret = (struct power_loss){0};
	if (!power || !power->was_cut)
		return 0;
	if (!power->started) {
		rc = pthread_create(&power->keeper, NULL, keep_machine, power);
		if (rc)
			return err_sys(err, rc, "cannot start a thread for the machine");
		power->started = true;
	}
	pthread_mutex_lock(&power->lock);
	while (!power->booted)
		cond_wait(&power->changed, &power->lock, CLOCK_NEVER);
	rc = power->rc;
	if (rc && err)
		*err = power->err;
	pthread_mutex_unlock(&power->lock);
	*ret = power->loss;
	if (!rc) {
		atomic_store(&power->off, false);
		power->restored = true;
	}
	return rc;
}

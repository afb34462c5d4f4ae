#include "vm/branch.h"

#include "base/clock.h"
#include "base/fs.h"
#include "vm/machine_priv.h"

#include <sys/stat.h>

#define SPACE_MIN (INT64_C(64) << 20) /* beside the memory */

/* ---- save ----------------------------------------------------------------------------------------- */

static int check_space(const struct machine_spec *spec, const char *dir, struct err *err)
{
	int64_t free_bytes = fs_free_bytes(dir, err);

	if (free_bytes < 0)
		return (int)free_bytes;
	if (free_bytes < (int64_t)spec->memory_bytes + SPACE_MIN)
		return err_set(err, -ENOSPC,
			"only %lld MiB are free for '%s', a branch may need %llu",
			(long long)free_bytes >> 20, dir,
			(unsigned long long)(spec->memory_bytes + SPACE_MIN) >> 20);
	return 0;
}

/* `from` and `to` are folders. */
static int copy_layers(
	const struct machine_spec *spec, const char *from, const char *to, struct err *err)
{
	for (size_t i = 0; i < spec->disk_count; i++) {
		auto_free char *source = machine_layer_path(from, &spec->disks[i]);
		auto_free char *copy = machine_layer_path(to, &spec->disks[i]);
		int rc = spec->disks[i].readonly ? 0 : fs_copy(source, copy, err);

		if (rc)
			return rc;
	}
	return 0;
}

static uint64_t file_bytes(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : (uint64_t)st.st_size;
}

static uint64_t folder_bytes(const struct machine_spec *spec, const char *dir)
{
	auto_free char *state = path_join(dir, "state");
	uint64_t sum = file_bytes(state);

	for (size_t i = 0; i < spec->disk_count; i++) {
		auto_free char *path = machine_layer_path(dir, &spec->disks[i]);

		sum += file_bytes(path);
	}
	return sum;
}

/*
 * The machine stands still. QEMU ends the stream by giving up its disks: it writes out what it holds of
 * the layers and lets go of them, and takes them back with the next `cont` (QEMU 7.2, bdrv_inactivate_all(),
 * qmp_cont()). In between they are whole.
 */
static int copy_all(struct machine *machine, const char *dir, struct err *err)
{
	auto_free char *state = path_join(dir, "state");
	int rc = machine_save(machine, state, false, err);

	return rc ? rc : copy_layers(machine_spec(machine), machine_dir(machine), dir, err);
}

int branch_save(struct machine *machine, const char *dir, struct branch_size *ret, struct err *err)
{
	const struct machine_spec *spec = machine_spec(machine);
	int64_t still_ns = machine_paused_ns(machine);
	bool was_paused = machine_is_paused(machine);
	struct err trouble = {0};
	int rc = fs_mkdir_p(dir, err), back = 0;

	if (!rc)
		rc = check_space(spec, dir, err);
	if (!rc)
		rc = machine_pause(machine, err);
	if (rc)
		return rc;
	rc = copy_all(machine, dir, err);
	if (!was_paused)
		back = machine_resume(machine, &trouble);
	if (!rc && back)
		rc = err_set(err, back, "%s", trouble.text);
	if (rc)
		return err_wrap(err, rc, "cannot save a branch");
	if (ret)
		*ret = (struct branch_size){.bytes = folder_bytes(spec, dir),
			.still_ns = machine_paused_ns(machine) - still_ns};
	return 0;
}

/* ---- open ----------------------------------------------------------------------------------------- */

int branch_can(const struct machine_spec *spec, enum branch_pace pace, struct err *err)
{
	if (pace == BRANCH_WARP && spec->accel->kvm)
		return err_set(err, -EOPNOTSUPP,
			"time can be skipped with TCG only, and this machine runs with KVM");
	return 0;
}

static int go_on(struct machine *machine, const char *dir, enum branch_pace pace, struct err *err)
{
	const struct machine_launch launch = {
		.memory_kind = QEMU_MEMORY_PLAIN, .incoming = true, .warp = pace == BRANCH_WARP};
	auto_free char *state = path_join(dir, "state");
	int rc = copy_layers(machine_spec(machine), dir, machine_dir(machine), err);

	if (!rc)
		rc = machine_launch(machine, &launch, err);
	if (!rc)
		rc = machine_load(machine, state, false, err);
	return rc ? rc : machine_go(machine, err);
}

int branch_open(const struct machine_spec *spec, const char *dir, enum branch_pace pace,
	const struct machine_options *options, struct machine **ret, struct err *err)
{
	struct machine *machine = NULL;
	int rc = branch_can(spec, pace, err);

	if (!rc)
		rc = machine_new(spec, options, true, &machine, err);
	if (!rc)
		rc = go_on(machine, dir, pace, err);
	if (rc) {
		machine_close(machine);
		return err_wrap(err, rc, "cannot open a branch");
	}
	*ret = machine;
	return 0;
}

#include "vm/clone.h"

#include "base/fs.h"
#include "vm/machine_priv.h"
#include "vm/replay.h"

/* An empty layer was made with the template; a copy of 200 KiB is cheaper than a run of qemu-img. */
static int copy_layers(const struct template *tmpl, struct machine *machine, struct err *err)
{
	const struct machine_spec *spec = template_machine(tmpl);

	for (size_t i = 0; i < spec->disk_count; i++) {
		auto_free char *to = machine_layer_path(machine_dir(machine), &spec->disks[i]);
		auto_free char *from = NULL;
		int rc;

		if (spec->disks[i].readonly)
			continue;
		from = text_fmt("%s/blank-%s.qcow2", template_dir(tmpl), spec->disks[i].name);
		rc = fs_copy(from, to, err);
		if (rc)
			return rc;
	}
	return 0;
}

static int resume_state(const struct template *tmpl, struct machine *machine, struct err *err)
{
	auto_free char *memory = path_join(template_dir(tmpl), "ram");
	auto_free char *state = path_join(template_dir(tmpl), "state");
	bool shared = template_ignores_shared(tmpl);
	const struct machine_launch launch = {
		.memory_kind = shared ? QEMU_MEMORY_PRIVATE : QEMU_MEMORY_PLAIN,
		.memory = shared ? memory : NULL,
		.incoming = true};
	int rc = machine_launch(machine, &launch, err);

	if (!rc)
		rc = machine_load(machine, state, shared, err);
	if (!rc)
		rc = machine_go(machine, err);
	return rc;
}

static int boot_cold(const struct template *tmpl, struct machine *machine, struct err *err)
{
	const struct machine_launch launch = {.memory_kind = QEMU_MEMORY_PLAIN};

	(void)tmpl;
	return machine_launch(machine, &launch, err);
}

static int open_with(int (*start)(const struct template *, struct machine *, struct err *),
	const struct template *tmpl, const struct machine_options *options, struct machine **ret,
	struct err *err)
{
	struct machine *machine = NULL;
	int rc = machine_new(template_machine(tmpl), options, false, &machine, err);

	if (!rc)
		rc = copy_layers(tmpl, machine, err);
	if (!rc)
		rc = start(tmpl, machine, err);
	if (rc) {
		machine_close(machine);
		return err_wrap(err, rc, "cannot start a clone");
	}
	*ret = machine;
	return 0;
}

int clone_open(const struct template *tmpl, const struct machine_options *options,
	struct machine **ret, struct err *err)
{
	return open_with(resume_state, tmpl, options, ret, err);
}

int clone_boot(const struct template *tmpl, const struct machine_options *options,
	struct machine **ret, struct err *err)
{
	return open_with(boot_cold, tmpl, options, ret, err);
}

/* ---- after a power cut ---------------------------------------------------------------------------- */

static int take_entry(void *arg, const struct write_entry *entry, struct err *err)
{
	return replay_entry(arg, entry, err);
}

static int cut_layer(struct machine *machine, const char *log_dir, const struct machine_disk *disk,
	const struct write_cut *cut, struct write_tally *tally, struct err *err)
{
	auto_free char *layer = machine_layer_path(machine_dir(machine), disk);
	auto_free char *path = machine_write_log_path(log_dir, disk);
	int64_t size = qemu_layer_size(layer, err);
	struct write_log *log = NULL;
	struct replay *replay = NULL;
	int rc = size < 0 ? (int)size : write_log_open(path, (uint64_t)size, &log, err), closed;

	if (!rc)
		rc = replay_open(layer, &replay, err);
	if (!rc)
		rc = write_log_cut(log, cut, take_entry, replay, tally, err);
	closed = replay_close(replay, rc ? NULL : err);
	write_log_close(log);
	return rc ? rc : closed;
}

static int cut_layers(const struct template *tmpl, struct machine *machine, const char *log_dir,
	const struct write_cut *cuts, struct write_tally *tallies, struct err *err)
{
	const struct machine_spec *spec = template_machine(tmpl);
	int rc = copy_layers(tmpl, machine, err);

	for (size_t i = 0; i < spec->disk_count && !rc; i++) {
		struct write_tally tally = {0};

		if (spec->disks[i].readonly)
			continue;
		rc = cut_layer(machine, log_dir, &spec->disks[i], &cuts[i], &tally, err);
		if (tallies)
			tallies[i] = tally;
	}
	return rc ? err_wrap(err, rc, "cannot make the disks of after the power cut") : 0;
}

int clone_cut_layers(const struct template *tmpl, struct machine *machine,
	const struct write_cut *cuts, struct write_tally *tallies, struct err *err)
{
	return cut_layers(tmpl, machine, machine_dir(machine), cuts, tallies, err);
}

int clone_boot_cut(const struct template *tmpl, const struct machine_options *options,
	const char *log_dir, const struct write_cut *cuts, struct machine **ret, struct err *err)
{
	struct machine *machine = NULL;
	int rc = machine_new(template_machine(tmpl), options, false, &machine, err);

	if (!rc)
		rc = cut_layers(tmpl, machine, log_dir, cuts, NULL, err);
	if (!rc)
		rc = boot_cold(tmpl, machine, err);
	if (rc) {
		machine_close(machine);
		return rc;
	}
	*ret = machine;
	return 0;
}

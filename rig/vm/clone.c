#include "vm/clone.h"

#include "base/fs.h"
#include "vm/machine_priv.h"

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
	int rc = machine_new(template_machine(tmpl), options, &machine, err);

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

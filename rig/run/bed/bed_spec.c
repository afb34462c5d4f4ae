#include "run/bed/bed_spec.h"

#include "base/clock.h"
#include "base/fs.h"
#include "run/bed/bed_legs.h"
#include "run/bed/bed_prepare.h"
#include "run/plan/plan.h"

#include <string.h>

#define IMAGE_MS    (15 * 60 * 1000)
#define TEMPLATE_MS (15 * 60 * 1000)
#define BUILT_DIR   "build/guest" /* where make leaves the guest's programs */

static void on_image(void *arg, const struct image_progress *progress)
{
	struct bed_spec *spec = arg;
	auto_free char *line = NULL;

	if (!spec->say)
		return;
	line = progress->steps ? text_fmt("image %s: %u of %u: %s", spec->target->image,
					 progress->step, progress->steps, progress->what)
			       : text_fmt("image %s: %s", spec->target->image, progress->what);
	spec->say(spec->arg, line);
}

static void on_template(void *arg, const char *what)
{
	struct bed_spec *spec = arg;
	auto_free char *line = NULL;

	if (!spec->say)
		return;
	line = text_fmt("template %s: %s", spec->target->name, what);
	spec->say(spec->arg, line);
}

/* ---- image, payload, disks ---- */

static int find_image(struct bed_spec *spec, struct err *err)
{
	auto_free char *guest = path_join(spec->root, BUILT_DIR);
	auto_free char *programs = text_fmt("%s/build/targets/%s", spec->root, spec->target->name);
	struct image_request request = {
		.root = spec->root,
		.name = spec->target->image,
		.deadline_ns = deadline_in_ms(IMAGE_MS),
		.cancel_fd = -1,
		.progress = on_image,
		.arg = spec,
	};
	struct image_payload payload = {
		.image = &spec->image,
		.guest_dir = guest,
		.target_dir = spec->target->dir,
		.programs_dir = programs,
	};
	int rc = image_ensure(&request, &spec->image, err);

	if (!rc)
		rc = image_payload(&payload, &spec->initrd, spec->payload_id, err);
	return rc ? rc : accel_probe(spec->image.kernel, spec->initrd, &spec->accel, err);
}

/* Empty file systems, made once: every template starts from the same bytes. */
static int blank_disk(struct bed_spec *spec, const struct disk *disk, char **ret, struct err *err)
{
	auto_free char *cache = fs_cache_dir();
	auto_free char *dir = path_join(cache, "disks");
	char *path = text_fmt("%s/%s-%llu%s.img", dir, disk->name,
		(unsigned long long)disk->size_bytes, disk->quota ? "-quota" : "");
	auto_free char *fresh = text_fmt("%s.%d", path, (int)getpid());
	int rc = fs_mkdir_p(dir, err);

	*ret = path;
	if (rc || fs_exists(path))
		return rc;
	rc = image_disk(spec->root, fresh, disk->name, disk->size_bytes, disk->quota, err);
	if (!rc && rename(fresh, path))
		rc = err_sys(err, errno, "cannot make '%s'", path);
	if (rc)
		unlink(fresh);
	return rc;
}

static int add_disks(struct bed_spec *spec, struct err *err)
{
	const struct target *target = spec->target;
	size_t count = 0;
	int rc = 0;

	if (target->disk_count + 1 > MACHINE_DISKS_MAX)
		return err_set(err, -E2BIG, "target '%s' has more than %d disks", target->name,
			MACHINE_DISKS_MAX - 1);
	spec->disks[count++] = (struct machine_disk){
		.name = "system", .base = spec->image.disk, .base_format = "raw"};
	for (size_t i = 0; i < target->disk_count && !rc; i++) {
		rc = blank_disk(spec, &target->disks[i], &spec->disk_paths[count], err);
		spec->disks[count] = (struct machine_disk){
			.name = target->disks[i].name,
			.base = spec->disk_paths[count],
			.base_format = "raw",
		};
		count++;
	}
	spec->machine.disks = spec->disks;
	spec->machine.disk_count = count;
	return rc;
}

static int add_words(struct bed_spec *spec, struct err *err)
{
	struct image_mount mounts[MACHINE_DISKS_MAX];
	struct image_boot boot = {
		.hostname = "store",
		.address = NETWORK_GUEST_ADDRESS "/24",
		.names = network_names,
		.mounts = mounts,
		.mount_count = spec->target->disk_count,
		.preload = true,
	};

	for (size_t i = 0; i < spec->target->disk_count; i++)
		mounts[i] = (struct image_mount){
			spec->target->disks[i].name, spec->target->disks[i].mount};
	return image_append(&boot, &spec->append, err);
}

/* ---- network and wire ---- */

static enum dialogue_protocol wire_protocol(enum protocol protocol)
{
	switch (protocol) {
	case PROTOCOL_SMTP:
		return DIALOGUE_PROTOCOL_SMTP;
	case PROTOCOL_LMTP:
		return DIALOGUE_PROTOCOL_LMTP;
	case PROTOCOL_IMAP:
		return DIALOGUE_PROTOCOL_IMAP;
	case PROTOCOL_POP3:
		return DIALOGUE_PROTOCOL_POP3;
	case PROTOCOL_HTTP:
	case PROTOCOL_ADMIN:
		break;
	}
	return DIALOGUE_PROTOCOL_NONE;
}

static int add_network(struct bed_spec *spec, struct err *err)
{
	const struct target *target = spec->target;
	size_t count = 0;

	if (target->service_count > NETWORK_SERVICES_MAX)
		return err_set(err, -E2BIG, "target '%s' has more than %d services", target->name,
			NETWORK_SERVICES_MAX);
	for (size_t i = 0; i < target->service_count; i++) {
		const struct service *service = &target->services[i];

		if (service->seen == SEEN_HIDDEN)
			continue;
		spec->services[count] = service->port;
		spec->wire_ports[count++] = (struct dialogue_port){
			service->port, wire_protocol(service->protocol), service->name};
	}
	spec->wire_port_count = count;
	spec->machine.network = (struct network_spec){
		.kind = NETWORK_AUTO,
		.services = spec->services,
		.service_count = count,
		.servers = spec->servers,
		.server_count = legs_servers(target, spec->servers, NETWORK_SERVERS_MAX),
	};
	return 0;
}

/* ---- all ---- */

static void add_parts(struct bed_spec *spec)
{
	auto_free char *target = bed_prepare_key(spec->target);

	spec->parts[0] = text_fmt("image=%s", spec->image.id);
	spec->parts[1] = text_fmt("kernel=%s", spec->image.kernel_id);
	spec->parts[2] = text_fmt("payload=%s", spec->payload_id);
	spec->parts[3] = text_fmt("target=%s", target);
	spec->template = (struct template_spec){
		.machine = &spec->machine,
		.parts = (const char *const *)spec->parts,
		.prepare = bed_prepare,
		.arg = spec,
		.say = on_template,
	};
}

int bed_spec_new(const struct target *target, void (*say)(void *arg, const char *line), void *arg,
	struct bed_spec **ret, struct err *err)
{
	struct bed_spec *spec = mem_zero(1, sizeof(*spec));
	int rc = 0;

	spec->target = target;
	spec->say = say;
	spec->arg = arg;
	spec->root = plan_root(err);
	if (!spec->root)
		rc = -ENOENT;
	if (!rc)
		rc = find_image(spec, err);
	if (!rc)
		rc = add_disks(spec, err);
	if (!rc)
		rc = add_words(spec, err);
	if (!rc)
		rc = add_network(spec, err);
	if (rc) {
		bed_spec_free(spec);
		return rc;
	}
	spec->machine.kernel = spec->image.kernel;
	spec->machine.initrd = spec->initrd;
	spec->machine.append = spec->append;
	spec->machine.memory_bytes = target->memory_bytes;
	spec->machine.cpus = target->cpus;
	spec->machine.accel = &spec->accel;
	add_parts(spec);
	*ret = spec;
	return 0;
}

int bed_spec_cached(const struct target *target, struct err *err)
{
	auto_free char *root = plan_root(err), *cache = fs_cache_dir(), *path = NULL;
	char key[IMAGE_KEY_SIZE];
	int rc = root ? image_key(root, target->image, key, err) : -ENOENT;

	if (rc)
		return rc;
	path = text_fmt("%s/images/%s/image.json", cache, key);
	return fs_exists(path)
		       ? 0
		       : err_set(err, -ENOENT, "the image is not built yet: mailrig image build %s",
				 target->image);
}

void bed_spec_free(struct bed_spec *spec)
{
	if (!spec)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(spec->parts); i++)
		free(spec->parts[i]);
	for (size_t i = 0; i < ARRAY_SIZE(spec->disk_paths); i++)
		free(spec->disk_paths[i]);
	image_close(&spec->image);
	free(spec->initrd);
	free(spec->append);
	free(spec->root);
	free(spec);
}

int bed_spec_template(struct bed_spec *spec, struct template **ret, struct err *err)
{
	return template_open(&spec->template, deadline_in_ms(TEMPLATE_MS), ret, err);
}

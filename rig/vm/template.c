#include "vm/template.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/json.h"
#include "vm/machine_priv.h"
#include "vm/qmp.h"
#include "vm/template_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define FORMAT	     1 /* of the folder; a change makes every key new */
#define JSON_MAX     (1u << 20)
#define COMMAND_MS   20000
#define SPACE_MIN    (UINT64_C(256) << 20) /* beside the memory */
#define HASHED_FILES 8

struct template
{
	const struct template_spec *spec;
	char key[HASH_HEX_SIZE];
	char *dir;
	json_t *json;
	int held; /* keeps it from being trimmed */
	bool built_now;
};

/* ---- the key -------------------------------------------------------------------------------------- */

/* Content hashes of the kernel and the initrd; remembered as long as the file looks the same, since every
 * clone asks. An unreadable file hashes as its name: the build will say what is wrong. */
static void add_file(struct hash *hash, const char *path)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct {
		struct stat st;
		char hex[HASH_HEX_SIZE];
	} known[HASHED_FILES];
	static unsigned int next;
	struct stat st = {0};
	char hex[HASH_HEX_SIZE] = "";

	pthread_mutex_lock(&lock);
	if (!stat(path, &st))
		for (size_t i = 0; i < HASHED_FILES; i++)
			if (known[i].hex[0] && known[i].st.st_ino == st.st_ino &&
				known[i].st.st_dev == st.st_dev &&
				known[i].st.st_size == st.st_size &&
				!memcmp(&known[i].st.st_mtim, &st.st_mtim, sizeof(st.st_mtim)))
				memcpy(hex, known[i].hex, sizeof(hex));
	if (!hex[0] && !hash_file(path, hex, NULL)) {
		known[next].st = st;
		memcpy(known[next].hex, hex, sizeof(hex));
		next = (next + 1) % HASHED_FILES;
	}
	pthread_mutex_unlock(&lock);
	hash_add_str(hash, hex[0] ? hex : path);
}

static void addf(struct hash *hash, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void addf(struct hash *hash, const char *fmt, ...)
{
	auto_buf struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	hash_add_str(hash, buf_text(&text));
}

/* The device list is the command line with all paths left out: what is in the files is the caller's to say. */
static void add_devices(struct hash *hash, const struct machine_spec *spec)
{
	struct machine_spec nameless = *spec;
	struct machine_disk disks[MACHINE_DISKS_MAX];
	const struct qemu_line line = {.spec = &nameless,
		.dir = ".",
		.netdev = network_kind_name(network_resolve(spec->network.kind)),
		.tap_fd = -1,
		.qmp_fd = -1,
		.qga_fd = -1,
		.witness_fd = -1};
	char **argv;

	nameless.kernel = nameless.initrd = "";
	nameless.disks = disks;
	for (size_t i = 0; i < spec->disk_count; i++) {
		disks[i] = spec->disks[i];
		disks[i].base = "";
	}
	argv = qemu_argv(&line);
	for (size_t i = 0; argv[i]; i++)
		hash_add_str(hash, argv[i]);
	qemu_argv_free(argv);
}

void template_key(const struct template_spec *spec, char ret[HASH_HEX_SIZE])
{
	struct hash *hash = hash_new();

	addf(hash, "format %d, memory in state: %d", FORMAT, spec->memory_in_state);
	hash_add_str(hash, spec->machine->accel->qemu);
	if (spec->machine->accel->kvm) /* -cpu host is another processor on another host */
		hash_add_str(hash, spec->machine->accel->cpu);
	add_file(hash, spec->machine->kernel);
	add_file(hash, spec->machine->initrd);
	for (const char *const *part = spec->parts; part && *part; part++)
		hash_add_str(hash, *part);
	add_devices(hash, spec->machine);
	hash_hex(hash, ret);
	hash_free(hash);
}

/* ---- where ------------------------------------------------------------------------------------------ */

static char *templates_dir(void)
{
	auto_free char *cache = fs_cache_dir();

	return path_join(cache, "templates");
}

static char *key_path(const char *prefix, const char *key, const char *suffix)
{
	auto_free char *dir = templates_dir();

	return text_fmt("%s/%s%s%s", dir, prefix, key, suffix);
}

static json_t *load_json(const char *dir, struct err *err)
{
	auto_free char *path = path_join(dir, "template.json"); /* written last */

	return json_load_path(path, JSON_MAX, err);
}

/* Whole, and the images below its disks are still where they were. */
static bool usable(const char *dir)
{
	auto_json json_t *json = fs_exists(dir) ? load_json(dir, NULL) : NULL;
	json_t *disk;
	size_t i;

	if (json_get_int(json, "format", 0) != FORMAT)
		return false;
	json_array_foreach (json_object_get(json, "disks"), i, disk)
		if (!fs_exists(json_get_text(disk, "base", "")))
			return false;
	return true;
}

bool template_cached(const struct template_spec *spec)
{
	char key[HASH_HEX_SIZE];
	auto_free char *dir = NULL;

	template_key(spec, key);
	dir = key_path("", key, "");
	return usable(dir);
}

/* ---- building ----------------------------------------------------------------------------------------- */

static void say(const struct template_spec *spec, const char *what)
{
	if (spec->say)
		spec->say(spec->arg, what);
}

/* Empty layers for clones to copy. They name the folder as it will be called. */
static int make_blanks(
	const struct template_spec *spec, const char *dir, const char *final_dir, struct err *err)
{
	for (size_t i = 0; i < spec->machine->disk_count; i++) {
		const struct machine_disk *disk = &spec->machine->disks[i];
		auto_free char *here = machine_layer_path(dir, disk);
		auto_free char *later = machine_layer_path(final_dir, disk);
		auto_free char *blank = text_fmt("%s/blank-%s.qcow2", dir, disk->name);
		int64_t size;
		int rc;

		if (disk->readonly)
			continue;
		size = qemu_layer_size(here, err);
		if (size < 0)
			return (int)size;
		rc = qemu_layer(blank, later, "qcow2", (uint64_t)size, err);
		if (rc)
			return rc;
	}
	return 0;
}

static json_t *describe_disk(const struct machine_disk *disk)
{
	auto_free char *base = realpath(disk->base, NULL);

	return json_pack("{s:s, s:o, s:b}", "name", disk->name, "base",
		json_text(base ? base : disk->base), "readonly", disk->readonly);
}

static int write_json(const struct template_spec *spec, const char *key, const char *dir,
	bool ignores_shared, int64_t saved_ns, struct err *err)
{
	const struct machine_spec *machine = spec->machine;
	auto_free char *path = path_join(dir, "template.json");
	struct machine_options options = {.dir = dir};
	auto_buf struct buf line = {0};
	auto_json json_t *json = NULL;
	json_t *parts = json_array(), *disks = json_array();

	for (const char *const *part = spec->parts; part && *part; part++)
		json_array_append_new(parts, json_text(*part));
	for (size_t i = 0; i < machine->disk_count; i++)
		json_array_append_new(disks, describe_disk(&machine->disks[i]));
	machine_command_line(machine, &options, &line);
	json = json_pack("{s:i, s:s, s:I, s:b, s:s, s:s, s:s, s:I, s:i, s:o, s:o, s:o}", "format",
		FORMAT, "key", key, "saved_real_ns", (json_int_t)saved_ns, "ignores_shared",
		ignores_shared, "accelerator", machine->accel->name, "qemu", machine->accel->qemu,
		"network", network_kind_name(network_resolve(machine->network.kind)),
		"memory_bytes", (json_int_t)machine->memory_bytes, "cpus", (int)machine->cpus,
		"parts", parts, "disks", disks, "command_line", json_text(buf_text(&line)));
	return json_save_path(path, json, err);
}

/* A crash of the host must not leave a renamed folder with empty files in it. */
static int sync_files(const char *dir, struct err *err)
{
	DIR *list = opendir(dir);
	struct dirent *entry;
	int rc = list ? 0 : -errno;

	while (!rc && (entry = readdir(list))) {
		auto_close int fd = openat(dirfd(list), entry->d_name, O_RDONLY | O_CLOEXEC);

		if (entry->d_type != DT_REG)
			continue;
		if (fd < 0 || fsync(fd))
			rc = -errno;
	}
	if (!rc && fsync(dirfd(list)))
		rc = -errno;
	if (list)
		closedir(list);
	return rc ? err_sys(err, rc, "cannot write '%s' to disk", dir) : 0;
}

/* From the prepared machine to files; QEMU is at its end after this. */
static int save(const struct template_spec *spec, struct machine *machine, const char *key,
	const char *final_dir, struct err *err)
{
	const char *dir = machine_dir(machine);
	auto_free char *state = path_join(dir, "state");
	auto_free char *memory = path_join(dir, "ram");
	bool ignore_shared = false;
	int64_t saved_ns;
	int rc;

	say(spec, "saving");
	rc = machine_pause(machine, err);
	saved_ns = clock_real_ns();
	if (!rc && !spec->memory_in_state)
		rc = machine_can_ignore_shared(machine, &ignore_shared, err);
	if (!rc)
		rc = machine_save(machine, state, ignore_shared, err);
	if (rc)
		return rc;
	machine_kill(machine);
	if (!ignore_shared)
		unlink(memory);
	rc = make_blanks(spec, dir, final_dir, err);
	if (!rc)
		rc = write_json(spec, key, dir, ignore_shared, saved_ns, err);
	return rc ? rc : sync_files(dir, err);
}

static int boot_and_save(const struct template_spec *spec, const char *key, const char *dir,
	const char *final_dir, struct err *err)
{
	auto_free char *memory = path_join(dir, "ram");
	const struct machine_options options = {.dir = dir};
	const struct machine_launch launch = {.memory_kind = QEMU_MEMORY_SHARED, .memory = memory};
	struct machine *machine = NULL;
	int rc;

	say(spec, "booting");
	rc = machine_new(spec->machine, &options, false, &machine, err);
	if (!rc)
		rc = machine_fresh_layers(machine, err);
	if (!rc)
		rc = machine_launch(machine, &launch, err);
	if (!rc && spec->prepare)
		rc = spec->prepare(machine, spec->arg, err);
	if (!rc)
		rc = save(spec, machine, key, final_dir, err);
	machine_close(machine);
	return rc;
}

static int check_space(const struct machine_spec *machine, const char *dir, struct err *err)
{
	int64_t free_bytes = fs_free_bytes(dir, err);
	uint64_t need = machine->memory_bytes + SPACE_MIN;

	if (free_bytes < 0)
		return (int)free_bytes;
	if ((uint64_t)free_bytes < need)
		return err_set(err, -ENOSPC,
			"only %lld MiB are free for '%s', a template needs %llu",
			(long long)free_bytes >> 20, dir, (unsigned long long)need >> 20);
	return 0;
}

/* Under the key's lock. */
static int build(const struct template_spec *spec, const char *key, struct err *err)
{
	auto_free char *final_dir = key_path("", key, "");
	auto_free char *dir = key_path(".building-", key, "");
	int rc;

	rc = fs_remove_tree(dir, err); /* of a build that was interrupted */
	if (!rc)
		rc = fs_mkdir_p(dir, err);
	if (!rc)
		rc = machine_check_host(spec->machine, dir, err);
	if (!rc)
		rc = check_space(spec->machine, dir, err);
	if (!rc)
		rc = boot_and_save(spec, key, dir, final_dir, err);
	if (!rc && rename(dir, final_dir))
		rc = err_sys(err, errno, "cannot rename '%s'", dir);
	if (rc)
		fs_remove_tree(dir, NULL);
	return rc ? err_wrap(err, rc, "cannot make the template") : 0;
}

/* ---- life --------------------------------------------------------------------------------------------- */

/* What cannot be removed stays; whether there is room is asked before the build. */
static void make_room(const char *all, uint64_t bytes)
{
	template_cache_trim(
		all, bytes < TEMPLATES_KEEP_BYTES ? TEMPLATES_KEEP_BYTES - bytes : 0, NULL);
}

static bool take(struct template *tmpl)
{
	if (tmpl->held >= 0)
		close(tmpl->held);
	tmpl->held = template_hold(tmpl->dir);
	return tmpl->held >= 0 && usable(tmpl->dir);
}

static int build_locked(struct template *tmpl, int64_t deadline_ns, struct err *err)
{
	auto_free char *all = templates_dir();
	auto_free char *lock_path = key_path("", tmpl->key, ".lock");
	auto_close int lock = -1;
	int rc = fs_mkdir_p(all, err);

	if (rc)
		return rc;
	lock = fs_lock(lock_path, deadline_ns, err);
	if (lock < 0)
		return lock;
	if (take(tmpl)) /* another rig has just made it */
		return 0;
	rc = template_forget(tmpl->spec, err);
	if (rc)
		return rc;
	make_room(all, tmpl->spec->machine->memory_bytes);
	rc = build(tmpl->spec, tmpl->key, err);
	if (!rc && !take(tmpl))
		rc = err_set(err, -EIO, "the template '%s' cannot be read back", tmpl->dir);
	tmpl->built_now = !rc;
	return rc;
}

int template_open(const struct template_spec *spec, int64_t deadline_ns, struct template **ret,
	struct err *err)
{
	struct template *tmpl = mem_zero(1, sizeof(*tmpl));
	int rc = 0;

	tmpl->spec = spec;
	tmpl->held = -1;
	template_key(spec, tmpl->key);
	tmpl->dir = key_path("", tmpl->key, "");
	if (!take(tmpl))
		rc = build_locked(tmpl, deadline_ns, err);
	if (!rc) {
		tmpl->json = load_json(tmpl->dir, err);
		rc = tmpl->json ? 0 : -EIO;
	}
	if (rc) {
		template_close(tmpl);
		return rc;
	}
	*ret = tmpl;
	return 0;
}

void template_close(struct template *tmpl)
{
	if (!tmpl)
		return;
	if (tmpl->held >= 0)
		close(tmpl->held);
	json_decref(tmpl->json);
	free(tmpl->dir);
	free(tmpl);
}

int template_forget(const struct template_spec *spec, struct err *err)
{
	auto_free char *all = templates_dir();
	char key[HASH_HEX_SIZE];

	template_key(spec, key);
	return template_cache_remove(all, key, err);
}

const char *template_dir(const struct template *tmpl)
{
	return tmpl->dir;
}

const struct machine_spec *template_machine(const struct template *tmpl)
{
	return tmpl->spec->machine;
}

const json_t *template_json(const struct template *tmpl)
{
	return tmpl->json;
}

bool template_built_now(const struct template *tmpl)
{
	return tmpl->built_now;
}

bool template_ignores_shared(const struct template *tmpl)
{
	return json_get_bool(tmpl->json, "ignores_shared", false);
}

int64_t template_clock_offset_ns(const struct template *tmpl)
{
	return clock_real_ns() - json_get_int(tmpl->json, "saved_real_ns", 0);
}

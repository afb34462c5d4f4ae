#include "tests/vm/tiny_witness.h"

#include "tests/check/check.h"
#include "tests/unit/witness_fixture.h"
#include "tests/vm/tiny_guest.h"

#include <fcntl.h>

#define PATIENCE   deadline_in_ms(60000)
#define DISK_BYTES (INT64_C(64) << 20)
#define FILE_MAX   (64u << 20)

static const char init_script[] =
	"#!/bin/busybox sh\n"
	"b=/bin/busybox\n"
	"$b mount -t devtmpfs dev /dev; $b mount -t proc proc /proc; $b mount -t sysfs sys /sys\n"
	"while read -r m; do $b insmod /lib/modules/$m; done </lib/modules/order\n"
	"$b ip link set lo up; $b ip link set eth0 up\n"
	"$b ip addr add " NETWORK_GUEST_ADDRESS "/24 dev eth0\n"
	"while [ ! -b /dev/vda ] || [ ! -b /dev/vdb ]; do $b sleep 0.02; done\n"
	"$b mkdir -p /root; $b mount -t ext4 -o noatime /dev/vda /root; cd /root\n"
	"$b mkdir -p bin dev proc sys run data tmp; $b cp $b bin/; $b --install -s /root/bin\n"
	"$b mount -t ext4 -o noatime /dev/vdb data; $b mount -t tmpfs run run; $b mkdir run/rig\n"
	"$b cp /rig/* run/rig/\n"
	"printf '#!/bin/sh\\ncd /run/rig; ./witness & while :; do wait; done\\n' >bin/init2\n"
	"$b chmod 755 bin/init2; $b dd if=/dev/zero of=data/file bs=4096 count=1; $b sync\n"
	"for m in dev proc sys; do $b mount --move /$m $m; done\n"
	"exec $b switch_root /root /bin/init2\n";

/* One file in cpio's "newc" format (cpio(5)). */
static void add_cpio(
	struct buf *out, const char *name, unsigned int mode, const char *bytes, size_t len)
{
	static unsigned int ino = 1000;

	buf_addf(out, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", ino++, mode,
		0, 0, 1, 0, len, 0, 0, 0, 0, strlen(name) + 1, 0);
	buf_add(out, name, strlen(name) + 1);
	while (out->len % 4)
		buf_addc(out, '\0');
	buf_add(out, bytes, len);
	while (out->len % 4)
		buf_addc(out, '\0');
}

static int add_program(struct buf *out, const char *name, const char *path, struct err *err)
{
	auto_free char *inside = text_fmt("rig/%s", name);
	auto_buf struct buf bytes = {0};
	int rc = fs_read(path, FILE_MAX, &bytes, err);

	if (!rc)
		add_cpio(out, inside, 0100755, bytes.data, bytes.len);
	return rc;
}

static int make_initrd(
	const char *initrd, const char *base, const char *const *programs, struct err *err)
{
	auto_free char *witness = witness_program();
	auto_buf struct buf all = {0};
	int rc = fs_read(base, FILE_MAX, &all, err);

	while (all.len % 4)
		buf_addc(&all, '\0');
	add_cpio(&all, "witness-init", 0100755, init_script, strlen(init_script));
	add_cpio(&all, "rig", 040755, "", 0);
	if (!rc)
		rc = add_program(&all, "witness", witness, err);
	for (; !rc && *programs; programs++) {
		auto_free char *name =
			text_fmt("../tests/guest/%s", *programs); /* for a bench too */
		auto_free char *path = built_file(name);

		rc = add_program(&all, *programs, path, err);
	}
	add_cpio(&all, "TRAILER!!!", 0, "", 0);
	return rc ? rc : fs_write_atomic(initrd, all.data, all.len, err);
}

static int make_disk(struct machine_disk *disk, const char *dir, const char *name, struct err *err)
{
	char *path = text_fmt("%s/%s.img", dir, name);
	char *argv[] = {"/sbin/mke2fs", "-q", "-t", "ext4", path, NULL};
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	*disk = (struct machine_disk){.name = name, .base = path, .base_format = "raw"};
	if (fd < 0 || ftruncate(fd, DISK_BYTES))
		return err_sys(err, errno, "cannot make '%s'", path);
	return proc_run(argv, PATIENCE, NULL, 0, err) ? -EIO : 0;
}

static int prepare(struct machine *machine, void *arg, struct err *err)
{
	struct witness *w = NULL;
	int rc = witness_attach(machine_take_witness_fd(machine), NULL, NULL, PATIENCE, &w, err);

	(void)arg;
	witness_close(w);
	return rc;
}

static int open_guest(struct tiny_witness *guest, enum network_kind kind,
	const char *const *programs, struct err *err)
{
	static const uint16_t services[] = {TINY_WITNESS_PORT};
	static const struct network_server servers[] = {{"sink.rig", 25}};
	static const char *const parts[] = {"test=witness", NULL};
	auto_free char *cache = path_join(guest->dir, "cache"), *base = NULL;
	int rc = tiny_guest_image(&guest->kernel, &base, err);

	if (rc)
		return rc;
	rc = make_initrd(guest->initrd, base, programs, err);
	if (!rc)
		rc = make_disk(&guest->disks[0], guest->dir, "system", err);
	if (!rc)
		rc = make_disk(&guest->disks[1], guest->dir, "mail", err);
	if (!rc)
		rc = accel_probe(guest->kernel, base, &guest->accel, err);
	setenv("MAILRIG_CACHE", cache, 1); /* the template goes with the disks below it */
	guest->machine = (struct machine_spec){.kernel = guest->kernel,
		.initrd = guest->initrd,
		.append = "quiet rdinit=/witness-init ipv6.disable=1",
		.memory_bytes = UINT64_C(192) << 20,
		.cpus = 1,
		.disks = guest->disks,
		.disk_count = ARRAY_SIZE(guest->disks),
		.network = {.kind = kind,
			.services = services,
			.service_count = ARRAY_SIZE(services),
			.servers = servers,
			.server_count = ARRAY_SIZE(servers)},
		.accel = &guest->accel};
	guest->spec = (struct template_spec){
		.machine = &guest->machine, .parts = parts, .prepare = prepare};
	return rc ? rc : template_open(&guest->spec, PATIENCE, &guest->template, err);
}

int tiny_witness_open(
	struct tiny_witness *guest, enum network_kind kind, const char *const *programs)
{
	struct err err = {0};

	*guest = (struct tiny_witness){.dir = text_dup(check_dir())};
	guest->initrd = path_join(guest->dir, "initrd");
	if (!open_guest(guest, kind, programs, &err))
		return 0;
	fprintf(stderr, "no guest to ask: %s\n", err.text);
	tiny_witness_close(guest);
	return -1;
}

void tiny_witness_close(struct tiny_witness *guest)
{
	template_close(guest->template);
	for (size_t i = 0; i < ARRAY_SIZE(guest->disks); i++)
		free((char *)(uintptr_t)guest->disks[i].base);
	free(guest->kernel);
	free(guest->initrd);
	free(guest->dir);
	*guest = (struct tiny_witness){0};
}

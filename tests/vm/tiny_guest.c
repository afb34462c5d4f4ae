#include "tests/vm/tiny_guest.h"

#include "tests/check/check.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "vm/image.h"

#include <fcntl.h>
#include <string.h>

#define PATIENCE     deadline_in_ms(30000)
#define IMAGE_MS     600000
#define DISK_BYTES   (INT64_C(64) << 20)
#define INITRD_MAX   (64u << 20)
#define PORT_PATTERN "/sys/class/virtio-ports/*"

static const char init_script[] =
	"#!/bin/busybox sh\n"
	"/bin/busybox --install -s /bin; export PATH=/bin\n"
	"mkdir -p /tmp /etc /www; mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t "
	"sysfs sys /sys\n"
	"while read -r m; do insmod /lib/modules/$m; done </lib/modules/order\n"
	"ip link set lo up; ip link set eth0 up; ip addr add " NETWORK_GUEST_ADDRESS
	"/24 dev eth0\n"
	"cp /names /etc/hosts; echo hello from the guest >/www/hello\n"
	"httpd -p 80 -h /www\n"
	"while [ ! -b /dev/vdb ]; do sleep 0.02; done\n"
	"port=\n"
	"while [ -z \"$port\" ]; do\n"
	"	for p in " PORT_PATTERN
	"; do [ \"$(cat $p/name)\" = org.mailrig.witness.0 ] && port=/dev/${p##*/}; done\n"
	"	sleep 0.02\n"
	"done 2>/dev/null\n"
	"echo tiny guest is up\n"
	"while :; do setsid sh <>$port >&0 2>&1; sleep 0.1; done\n";

/* ---- the initrd ---------------------------------------------------------------------------------------- */

static void pad4(struct buf *out)
{
	while (out->len % 4)
		buf_addc(out, '\0');
}

/* One file in cpio's "newc" format (cpio(5)). */
static void add_cpio(struct buf *out, const char *name, unsigned int mode, const char *text)
{
	static unsigned int ino = 1;

	buf_addf(out, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", ino++, mode,
		0, 0, 1, 0, strlen(text), 0, 0, 0, 0, strlen(name) + 1, 0);
	buf_add(out, name, strlen(name) + 1);
	pad4(out);
	buf_add_str(out, text);
	pad4(out);
}

static int make_initrd(struct tiny_guest *guest, const char *base, struct err *err)
{
	auto_buf struct buf all = {0}, names = {0}, ours = {0};
	int rc = fs_read(base, INITRD_MAX, &all, err);

	if (rc)
		return rc;
	for (const struct network_name *at = network_names; at->name; at++)
		buf_addf(&names, "%s %s\n", at->address, at->name);
	add_cpio(&ours, "tiny-init", 0100755, init_script);
	add_cpio(&ours, "names", 0100644, buf_text(&names));
	add_cpio(&ours, "TRAILER!!!", 0, "");
	pad4(&all);
	buf_add(&all, ours.data, ours.len);
	return fs_write_atomic(guest->initrd, all.data, all.len, err);
}

static int make_disk(struct machine_disk *disk, const char *dir, const char *name, struct err *err)
{
	char *path = text_fmt("%s/%s.img", dir, name);
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	*disk = (struct machine_disk){.name = name, .base = path, .base_format = "raw"};
	if (fd < 0 || ftruncate(fd, DISK_BYTES))
		return err_sys(err, errno, "cannot make '%s'", path);
	return 0;
}

/* ---- the guest ------------------------------------------------------------------------------------------ */

int tiny_guest_image(char **ret_kernel, char **ret_initrd, struct err *err)
{
	const struct image_request request = {.root = ".", /* tests run in the repository */
		.name = "bookworm-postfix-dovecot",
		.deadline_ns = deadline_in_ms(IMAGE_MS),
		.cancel_fd = -1};
	struct image image = {0};
	int rc = image_ensure(&request, &image, err);

	if (rc)
		return rc;
	*ret_kernel = text_dup(image.kernel);
	*ret_initrd = text_dup(image.initrd);
	image_close(&image);
	return 0;
}

/* The image and the probe's answer are kept where all find them; a template goes with the disks below it. */
static void choose_cache(const char *own)
{
	static bool asked;
	static char *shared;

	if (!asked)
		shared = text_dup(getenv("MAILRIG_CACHE"));
	asked = true;
	if (own || shared)
		setenv("MAILRIG_CACHE", own ? own : shared, 1);
	else
		unsetenv("MAILRIG_CACHE");
}

static int open_guest(struct tiny_guest *guest, struct err *err)
{
	auto_free char *cache = path_join(guest->dir, "cache");
	auto_free char *base = NULL;
	int rc;

	choose_cache(NULL);
	rc = tiny_guest_image(&guest->kernel, &base, err);
	if (!rc)
		rc = make_initrd(guest, base, err);
	if (!rc)
		rc = make_disk(&guest->disks[0], guest->dir, "system", err);
	if (!rc)
		rc = make_disk(&guest->disks[1], guest->dir, "mail", err);
	if (!rc)
		rc = accel_probe(guest->kernel, guest->initrd, &guest->accel, err);
	choose_cache(cache);
	return rc;
}

int tiny_guest_open(struct tiny_guest *guest, unsigned int memory_mib)
{
	struct err err = {0};

	*guest = (struct tiny_guest){
		.dir = text_dup(check_dir()), .memory_bytes = (uint64_t)memory_mib << 20};
	guest->initrd = path_join(guest->dir, "initrd");
	if (!open_guest(guest, &err))
		return 0;
	fprintf(stderr, "no tiny guest: %s\n", err.text);
	tiny_guest_close(guest);
	return -1;
}

void tiny_guest_close(struct tiny_guest *guest)
{
	for (size_t i = 0; i < ARRAY_SIZE(guest->disks); i++)
		free((char *)(uintptr_t)guest->disks[i].base);
	tiny_shell_close(&guest->shell);
	free(guest->kernel);
	free(guest->initrd);
	free(guest->dir);
	*guest = (struct tiny_guest){0};
}

struct machine_spec tiny_guest_machine(const struct tiny_guest *guest, enum network_kind kind)
{
	static const uint16_t services[] = {TINY_GUEST_PORT, TINY_GUEST_CLOSED_PORT};
	static const struct network_server servers[] = {{"lmtp.rig", 24}, {"sink.rig", 25}};

	return (struct machine_spec){.kernel = guest->kernel,
		.initrd = guest->initrd,
		.append = "quiet rdinit=/tiny-init ipv6.disable=1",
		.memory_bytes = guest->memory_bytes,
		.cpus = 1,
		.disks = guest->disks,
		.disk_count = ARRAY_SIZE(guest->disks),
		.network = {.kind = kind,
			.services = services,
			.service_count = ARRAY_SIZE(services),
			.servers = servers,
			.server_count = ARRAY_SIZE(servers)},
		.accel = &guest->accel};
}

static int prepare(struct machine *machine, void *arg, struct err *err)
{
	struct tiny_shell *shell = arg;
	auto_buf struct buf console = {0};
	auto_free char *said = NULL;

	tiny_shell_open(shell, machine_take_witness_fd(machine));
	tiny_shell_wait(shell);
	said = tiny_shell_ask(shell,
		"echo yes >/tmp/prepared; "
		"echo prepared | dd of=/dev/vda conv=fsync 2>/dev/null; echo ok");
	if (!strcmp(said, "ok\n"))
		return 0;
	machine_console_tail(machine, &console);
	return err_set(
		err, -EIO, "the tiny guest said '%s'; its console: %s", said, buf_text(&console));
}

struct template_spec tiny_guest_spec(struct tiny_guest *guest, const struct machine_spec *machine)
{
	static const char *const parts[] = {"test=tiny", NULL};

	tiny_shell_close(&guest->shell);
	return (struct template_spec){
		.machine = machine, .parts = parts, .prepare = prepare, .arg = &guest->shell};
}

int tiny_guest_template(
	struct tiny_guest *guest, enum network_kind kind, struct template **ret, struct err *err)
{
	guest->machines[kind] = tiny_guest_machine(guest, kind);
	guest->specs[kind] = tiny_guest_spec(guest, &guest->machines[kind]);
	return template_open(&guest->specs[kind], PATIENCE, ret, err);
}

/* ---- its shell ------------------------------------------------------------------------------------------ */

void tiny_shell_open(struct tiny_shell *shell, int fd)
{
	*shell = (struct tiny_shell){.fd = fd};
}

void tiny_shell_close(struct tiny_shell *shell)
{
	cleanup_fd(&shell->fd);
	buf_free(&shell->in);
}

void tiny_shell_send(struct tiny_shell *shell, const char *line)
{
	auto_free char *text = text_fmt("%s\n", line);

	io_write_all(shell->fd, text, strlen(text), PATIENCE, NULL);
}

/* What came before `mark`, or NULL at the deadline. */
static char *read_until(struct tiny_shell *shell, const char *mark, int64_t deadline_ns)
{
	char *at;

	while (!(at = shell->in.len ? strstr(shell->in.data, mark) : NULL)) {
		ssize_t n = io_read(shell->fd, buf_reserve(&shell->in, 4096), 4096, deadline_ns);

		if (n <= 0)
			return NULL;
		shell->in.len += (size_t)n;
		shell->in.data[shell->in.len] = '\0';
	}
	at = text_dup_n(shell->in.data, (size_t)(at - shell->in.data));
	buf_consume(&shell->in, strlen(at) + strlen(mark));
	return at;
}

char *tiny_shell_ask(struct tiny_shell *shell, const char *line)
{
	auto_free char *mark = text_fmt("END-%u\n", ++shell->asked);
	auto_free char *text = text_fmt("{ %s; } ; echo END-%u", line, shell->asked);
	char *said;

	tiny_shell_send(shell, text);
	said = read_until(shell, mark, PATIENCE);
	return said ? said : text_fmt("(no answer; so far: %s)", buf_text(&shell->in));
}

void tiny_shell_wait(struct tiny_shell *shell)
{
	int64_t deadline_ns = PATIENCE;

	while (deadline_left_ms(deadline_ns)) {
		auto_free char *mark = text_fmt("END-%u\n", ++shell->asked);
		auto_free char *line = text_fmt("echo END-%u", shell->asked);
		auto_free char *said = NULL;

		tiny_shell_send(shell, line);
		said = read_until(shell, mark, deadline_in_ms(500));
		if (said)
			return;
	}
}

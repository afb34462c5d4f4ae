/*
 * The shipped image and target from the kernel's start to the last banner, twice: the second boot is the one
 * after a power cut. Shows what every target may rely on, and how long it takes.
 */
#include "tests/check/check.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "vm/image.h"
#include "vm/machine.h"
#include "vm/witness.h"

#include <poll.h>
#include <string.h>

#define LIMIT_S	    900 /* the image may have to be built */
#define IMAGE_MS    600000
#define GUEST_MS    120000
#define BANNER_MS   60000
#define QUEUE_TRIES 100
#define DISK_BYTES  (UINT64_C(64) << 20)
#define TARGET	    "targets/postfix-dovecot"
#define PROGRAMS    "build/targets/postfix-dovecot"
#define START	    "./helper start && dovecot && postfix start" /* as target.yaml has it */

static const uint16_t ports[] = {25, 24, 143, 110};

/* Booted by the first case, used by the others in their order. */
static struct store {
	struct image image;
	struct accel accel;
	struct machine_disk disks[3];
	struct machine_spec spec;
	struct machine *machine;
	struct witness *witness;
	int64_t began_ns;
} store;

static char *temp(const char *name)
{
	return path_join(check_dir(), name);
}

static int attach(struct err *err)
{
	return witness_attach(machine_take_witness_fd(store.machine), NULL, NULL,
		deadline_in_ms(GUEST_MS), &store.witness, err);
}

static int add_disk(size_t i, const char *name, struct err *err)
{
	char *path = temp(name);

	store.disks[i] = (struct machine_disk){.name = name, .base = path, .base_format = "raw"};
	return image_disk(".", path, name, DISK_BYTES, false, err);
}

static int open_store(struct err *err)
{
	static const struct image_mount mounts[] = {
		{"mail", "/srv/mail"}, {"queue", "/var/spool/postfix"}};
	static const struct network_server servers[] = {{"lmtp.rig", 24}, {"sink.rig", 25}};
	const struct image_boot boot = {.hostname = "store",
		.address = NETWORK_GUEST_ADDRESS "/24",
		.names = network_names,
		.mounts = mounts,
		.mount_count = ARRAY_SIZE(mounts),
		.preload = true};
	const struct image_request request = {.root = ".",
		.name = "bookworm-postfix-dovecot",
		.cancel_fd = -1,
		.deadline_ns = deadline_in_ms(IMAGE_MS)};
	const struct image_payload payload = {.image = &store.image,
		.guest_dir = "build/guest",
		.target_dir = TARGET,
		.programs_dir = PROGRAMS};
	char *initrd = NULL, *append = NULL, *dir = temp("machine");
	char id[HASH_HEX_SIZE];
	int rc = image_ensure(&request, &store.image, err);

	rc = rc ? rc : image_payload(&payload, &initrd, id, err);
	rc = rc ? rc : image_append(&boot, &append, err);
	rc = rc ? rc : add_disk(1, "mail", err);
	rc = rc ? rc : add_disk(2, "queue", err);
	rc = rc ? rc : accel_probe(store.image.kernel, initrd, &store.accel, err);
	store.disks[0] = (struct machine_disk){
		.name = "system", .base = store.image.disk, .base_format = "raw"};
	store.began_ns = clock_mono_ns();
	store.spec = (struct machine_spec){.kernel = store.image.kernel,
		.initrd = initrd,
		.append = append,
		.memory_bytes = UINT64_C(256) << 20,
		.cpus = 1,
		.disks = store.disks,
		.disk_count = ARRAY_SIZE(store.disks),
		.network = {.kind = NETWORK_USER,
			.services = ports,
			.service_count = ARRAY_SIZE(ports),
			.servers = servers,
			.server_count = ARRAY_SIZE(servers)},
		.accel = &store.accel};
	rc = rc ? rc
		: machine_boot(
			  &store.spec, &(struct machine_options){.dir = dir}, &store.machine, err);
	return rc ? rc : attach(err);
}

/* Ends the test where going on would show nothing. */
static void must(int rc, const struct err *err)
{
	auto_buf struct buf console = {0};

	if (!rc)
		return;
	if (store.machine)
		machine_console_tail(store.machine, &console);
	fprintf(stderr, "%s\n%s\n", err->text, buf_text(&console));
	abort();
}

/* Exit status; what it said goes to `out`. */
static int run(const char *line, struct buf *out)
{
	static const char *const env[] = {"RIG_USERS=u1 u2", NULL};
	auto_free char *in_dir = text_fmt("cd /run/rig/target && %s", line);
	const struct witness_command command = {
		.line = in_dir, .env = env, .timeout_ms = GUEST_MS, .daemons = true};
	struct witness_result result = {0};
	struct err err = {0};

	must(witness_run(store.witness, &command, &result, &err), &err);
	if (out)
		buf_add(out, buf_text(&result.output), result.output.len);
	else if (result.status)
		fprintf(stderr, "%s: %s\n", line, buf_text(&result.output));
	buf_free(&result.output);
	return result.status;
}

static bool has_banner(uint16_t port)
{
	auto_close int fd = network_connect(
		machine_network(store.machine), port, deadline_in_ms(BANNER_MS), NULL);
	char c;

	return fd >= 0 && io_read(fd, &c, 1, deadline_in_ms(BANNER_MS)) == 1;
}

static double seconds_since_boot(void)
{
	return (double)(clock_mono_ns() - store.began_ns) / NS_PER_SEC;
}

static void boots_to_the_last_banner(void)
{
	struct err err = {0};

	must(open_store(&err), &err);
	printf("%s: witness %.1f s", store.accel.name, seconds_since_boot());
	CHECK_INT(run("./provision", NULL), 0);
	printf(", provisioned %.1f s", seconds_since_boot());
	CHECK_INT(run(START, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
		CHECK(has_banner(ports[i]));
	printf(", banners %.1f s\n", seconds_since_boot());
}

static void names_come_from_files_alone(void)
{
	CHECK_INT(run("test \"$(hostname)\" = store && getent hosts store lmtp.rig sink.rig", NULL),
		0);
	CHECK_INT(run("test ! -s /etc/resolv.conf && grep -qx 'hosts: files' /etc/nsswitch.conf",
			  NULL),
		0);
	CHECK_INT(run("test -z \"$(ip route show default)\"", NULL), 0);
	CHECK_INT(run("getent hosts elsewhere.example.org", NULL), 2); /* at once: not a name */
}

static void data_disks_are_found_by_label(void)
{
	CHECK_INT(run("test \"$(findmnt -no FSTYPE,LABEL /srv/mail)\" = 'ext4   mail' || "
		      "mount | grep ' on /srv/mail type ext4'",
			  NULL),
		0);
	CHECK_INT(run("mount | grep ' on /var/spool/postfix type ext4'", NULL), 0);
}

/* Else a fault for everybody would stop the agent that heals it. */
static void the_preload_is_in_the_store_and_not_in_the_guest_agent(void)
{
	if (!fs_exists("build/guest/librigfault.so")) {
		check_skip("there is no build/guest/librigfault.so");
		return;
	}
	CHECK_INT(run("grep -q librigfault /proc/$(pidof master)/maps", NULL), 0);
	CHECK_INT(run("grep -q qemu-ga /proc/$(pidof qemu-ga)/maps", NULL), 0);
	CHECK_INT(run("grep -q librigfault /proc/$(pidof qemu-ga)/maps", NULL), 1);
}

static void users_and_queue_can_be_handled(void)
{
	auto_buf struct buf out = {0};

	CHECK_INT(run("./user-add u7 && ./user-add u7 && "
		      "test $(grep -c ^u7: /etc/dovecot/users) = 1",
			  NULL),
		0);
	CHECK_INT(run("./user-delete u7 && ! grep ^u7 /etc/dovecot/users /etc/postfix/recipients",
			  NULL),
		0);
	CHECK_INT(run("postconf -e defer_transports=smtp && postfix reload &&"
		      "printf 'Subject: x\\n\\n' | sendmail a@example.org b@example.org",
			  NULL),
		0);
	for (int i = 0; i < QUEUE_TRIES && !strstr(buf_text(&out), " deferred "); i++) {
		buf_reset(&out);
		CHECK_INT(run("sleep 0.1; ./queue-list", &out), 0);
	}
	CHECK_HAS(buf_text(&out), " deferred a@example.org b@example.org\n");
	CHECK_INT(run("postsuper -d ALL && test -z \"$(./queue-list)\"", NULL), 0);
}

/* What provision leaves out to save time must not be missed by Postfix's own check. */
static void postfix_finds_nothing_to_say(void)
{
	CHECK_INT(run("postfix check && ! grep -E 'warning: |error: |fatal: ' /var/log/maillog",
			  NULL),
		0);
}

static void comes_back_after_a_power_cut(void)
{
	struct err err = {0};

	CHECK_INT(run("sync; touch /srv/mail/written", NULL), 0);
	witness_close(store.witness);
	store.witness = NULL;
	machine_kill(store.machine);
	store.began_ns = clock_mono_ns();
	must(machine_restart(store.machine, NULL, &err), &err);
	must(attach(&err), &err);
	CHECK_INT(run(START, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
		CHECK(has_banner(ports[i]));
	printf("%s: banners after a power cut %.1f s\n", store.accel.name, seconds_since_boot());
	names_come_from_files_alone();
	data_disks_are_found_by_label();
}

static void stops_without_force(void)
{
	auto_buf struct buf out = {0};

	CHECK_INT(run("postfix quick-stop; doveadm stop", NULL), 0);
	CHECK_INT(run("ps -e -o user=,comm= | grep -E 'postfix|dove|master|vmail'", &out), 1);
	CHECK_STR(buf_text(&out), "");
	CHECK_INT(run("grep 'with force' /var/log/maillog", NULL), 1);
	witness_close(store.witness);
	machine_close(store.machine);
	image_close(&store.image);
}

static void enough_time(void)
{
	check_alarm(LIMIT_S);
}

CHECK_MAIN(CHECK_CASE(enough_time), CHECK_CASE(boots_to_the_last_banner),
	CHECK_CASE(names_come_from_files_alone), CHECK_CASE(data_disks_are_found_by_label),
	CHECK_CASE(the_preload_is_in_the_store_and_not_in_the_guest_agent),
	CHECK_CASE(users_and_queue_can_be_handled), CHECK_CASE(postfix_finds_nothing_to_say),
	CHECK_CASE(comes_back_after_a_power_cut), CHECK_CASE(stops_without_force))

/*
 * The witness in a real guest: an ext4 root, an ext4 data disk, busybox, and an init that runs the
 * witness as the image's does. One template, a clone for each case.
 */
#include "tests/unit/witness_fixture.h"
#include "tests/vm/tiny_guest.h"

#include "diagnose/diagnose.h"
#include "vm/clone.h"

#include <fcntl.h>
#include <signal.h>

#define PATIENCE   deadline_in_ms(60000)
#define DISK_BYTES (INT64_C(64) << 20)
#define FILE_MAX   (64u << 20)
#define PINGS	   50

static const char init_script[] =
	"#!/bin/busybox sh\n"
	"b=/bin/busybox\n"
	"$b mount -t devtmpfs dev /dev; $b mount -t proc proc /proc; $b mount -t sysfs sys /sys\n"
	"while read -r m; do $b insmod /lib/modules/$m; done </lib/modules/order\n"
	"while [ ! -b /dev/vda ] || [ ! -b /dev/vdb ]; do $b sleep 0.02; done\n"
	"$b mkdir -p /root; $b mount -t ext4 -o noatime /dev/vda /root; cd /root\n"
	"$b mkdir -p bin dev proc sys run data tmp; $b cp $b bin/; $b --install -s /root/bin\n"
	"$b mount -t ext4 -o noatime /dev/vdb data; $b mount -t tmpfs run run; $b mkdir run/rig\n"
	"$b cp /witness /stuck_mmap /planted run/rig/\n"
	"printf '#!/bin/sh\\ncd /run/rig; ./witness & while :; do wait; done\\n' >bin/init2\n"
	"$b chmod 755 bin/init2; $b dd if=/dev/zero of=data/file bs=4096 count=1; $b sync\n"
	"for m in dev proc sys; do $b mount --move /$m $m; done\n"
	"exec $b switch_root /root /bin/init2\n";

static char *dir, *initrd, *kernel;
static struct accel accel;
static struct machine_disk disks[2];
static struct machine_spec machine_spec_of_guest;
static struct template_spec template_spec_of_guest;
static struct template *tmpl;

/* ---- the guest ---- */

/* One file in cpio's "newc" format (cpio(5)). */
static void add_cpio(struct buf *out, const char *name, const char *bytes, size_t len)
{
	static unsigned int ino = 1000;

	buf_addf(out, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X", ino++,
		0100755, 0, 0, 1, 0, len, 0, 0, 0, 0, strlen(name) + 1, 0);
	buf_add(out, name, strlen(name) + 1);
	while (out->len % 4)
		buf_addc(out, '\0');
	buf_add(out, bytes, len);
	while (out->len % 4)
		buf_addc(out, '\0');
}

static int add_program(struct buf *out, const char *name, const char *path, struct err *err)
{
	auto_buf struct buf bytes = {0};
	int rc = fs_read(path, FILE_MAX, &bytes, err);

	if (!rc)
		add_cpio(out, name, bytes.data, bytes.len);
	return rc;
}

static int make_initrd(const char *base, struct err *err)
{
	auto_free char *witness = witness_program();
	auto_free char *stuck = built_file("guest/stuck_mmap");
	auto_free char *planted = built_file("guest/planted");
	auto_buf struct buf all = {0};
	int rc = fs_read(base, FILE_MAX, &all, err);

	while (all.len % 4)
		buf_addc(&all, '\0');
	add_cpio(&all, "witness-init", init_script, strlen(init_script));
	if (!rc)
		rc = add_program(&all, "witness", witness, err);
	if (!rc)
		rc = add_program(&all, "stuck_mmap", stuck, err);
	if (!rc)
		rc = add_program(&all, "planted", planted, err);
	add_cpio(&all, "TRAILER!!!", "", 0);
	return rc ? rc : fs_write_atomic(initrd, all.data, all.len, err);
}

static int make_disk(struct machine_disk *disk, const char *name, struct err *err)
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

static int open_guest(struct err *err)
{
	static const char *const parts[] = {"test=witness", NULL};
	auto_free char *cache = path_join(dir, "cache"), *base = NULL;
	int rc = tiny_guest_image(&kernel, &base, err);

	if (rc)
		return rc;
	rc = make_initrd(base, err);
	if (!rc)
		rc = make_disk(&disks[0], "system", err);
	if (!rc)
		rc = make_disk(&disks[1], "mail", err);
	if (!rc)
		rc = accel_probe(kernel, base, &accel, err);
	setenv("MAILRIG_CACHE", cache, 1); /* the template goes with the disks below it */
	machine_spec_of_guest = (struct machine_spec){.kernel = kernel,
		.initrd = initrd,
		.append = "quiet rdinit=/witness-init ipv6.disable=1",
		.memory_bytes = UINT64_C(192) << 20,
		.cpus = 1,
		.disks = disks,
		.disk_count = ARRAY_SIZE(disks),
		.network = {.kind = NETWORK_USER},
		.accel = &accel};
	template_spec_of_guest = (struct template_spec){
		.machine = &machine_spec_of_guest, .parts = parts, .prepare = prepare};
	return rc ? rc : template_open(&template_spec_of_guest, PATIENCE, &tmpl, err);
}

/* ---- a clone ---- */

struct store {
	struct bench b;
	struct witness *w; /* the bench's */
	struct machine *machine;
};

static bool open_store(struct store *s)
{
	struct machine_options options = {0};
	struct err err = {0};
	int rc;

	*s = (struct store){0};
	bench_init(&s->b);
	options.dir = s->b.dir;
	rc = clone_open(tmpl, &options, &s->machine, &err);
	if (!rc)
		rc = witness_attach(machine_take_witness_fd(s->machine), keep_event, &s->b,
			PATIENCE, &s->b.w, &err);
	if (rc)
		fprintf(stderr, "%s\n", err.text);
	s->w = s->b.w;
	return CHECK_INT(rc, 0);
}

static void close_store(struct store *s)
{
	bench_close(&s->b);
	machine_close(s->machine);
}

#define auto_store cleanup(close_store)

/* Runs a line; its output, which the caller frees. */
static char *run(struct store *s, const char *line, bool daemons)
{
	struct witness_result r = {0};
	struct err err = {0};

	if (!CHECK_INT(witness_run(s->w,
			       &(struct witness_command){
				       .line = line, .timeout_ms = 30000, .daemons = daemons},
			       &r, &err),
		    0))
		fprintf(stderr, "%s\n", err.text);
	return buf_steal(&r.output);
}

static void ping_often(struct store *s)
{
	for (int i = 0; i < PINGS; i++)
		if (!CHECK_INT(witness_ping(s->w, deadline_in_ms(5000), NULL, NULL), 0))
			return;
}

/* Scans until `pid` has a task whose `key` begins with `text` (NULL: until pid is gone). The scan is the caller's. */
static json_t *scan_until(struct store *s, int pid, const char *key, const char *text)
{
	int64_t deadline = PATIENCE;
	json_t *scan = NULL, *task;

	while (deadline_left_ms(deadline)) {
		bool there = false, found = false;
		size_t i;

		json_cleanup(&scan);
		if (!CHECK_INT(witness_scan(s->w, true, deadline_in_ms(10000), &scan, NULL), 0))
			return NULL;
		json_array_foreach (json_object_get(scan, "tasks"), i, task) {
			bool mine = json_get_int(task, "pid", 0) == pid;

			there |= mine;
			found |= mine && text &&
				 !strncmp(json_get_text(task, key, ""), text, strlen(text));
		}
		if (text ? found : !there)
			return scan;
	}
	fprintf(stderr, "process %d never had %s '%s'\n", pid, key ? key : "an end",
		text ? text : "");
	CHECK(!"seen in time");
	return scan;
}

static void scan_and_drop(struct store *s, int pid)
{
	auto_json json_t *gone = scan_until(s, pid, NULL, NULL);
}

/* Somebody's words of a futex are in the scan: those of `pid`, or with 0 of any process. */
static bool has_futex(const json_t *scan, int pid)
{
	json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (json_object_get(task, "futex") && (!pid || json_get_int(task, "pid", 0) == pid))
			return true;
	return false;
}

static void check_residue(struct store *s, const char *want)
{
	auto_json json_t *residue = NULL;

	CHECK_INT(witness_residue(s->w, PATIENCE, &residue, NULL), 0);
	if (want)
		CHECK_STR(json_string_value(json_array_get(residue, 0)), want);
	CHECK_INT(json_array_size(residue), want ? 1 : 0);
}

/* ---- the cases ---- */

static void a_clones_witness_answers_though_the_template_had_another_host(void)
{
	auto_store struct store s;
	auto_free char *said = NULL;

	if (!open_store(&s))
		return;
	ping_often(&s);
	said = run(&s, "echo \"$(cat /proc/$PPID/oom_score_adj) $(cat /proc/self/oom_score_adj)\"",
		false);
	CHECK_STR(said, "-1000 0\n");
}

static void it_answers_while_data_and_root_are_frozen(void)
{
	auto_store struct store s;
	auto_free char *pid = NULL;
	auto_free char *said = NULL;
	auto_json json_t *blocked = NULL, *gone = NULL;
	struct buf text = {0};

	if (!open_store(&s))
		return;
	CHECK_INT(witness_tail(s.w, "/data/log", PATIENCE, NULL), 0);
	CHECK_INT(witness_freeze(s.w, "/data", 0, PATIENCE, NULL), 0);
	CHECK_INT(witness_freeze(s.w, "/", 0, PATIENCE, NULL), 0);
	ping_often(&s);
	/* The shell comes from the frozen root; its child waits for the frozen data disk. */
	pid = run(&s, "echo hello >>/data/log & echo $!", true);
	blocked = scan_until(&s, atoi(pid), "state", "D");
	ping_often(&s);
	said = run(&s, "logger -t store frozen", false);
	CHECK(bench_wait(&s.b, "log", "path", "/dev/log") != NULL);
	CHECK_INT(witness_read(s.w, "/bin/init2", 100, PATIENCE, &text, NULL), 0);
	CHECK_HAS(buf_text(&text), "#!/bin/sh");
	CHECK_INT(witness_thaw(s.w, "/", PATIENCE, NULL), 0);
	check_residue(&s, "'/data' is still frozen");
	CHECK_INT(witness_thaw(s.w, "/data", PATIENCE, NULL), 0);
	check_residue(&s, NULL);
	CHECK(bench_wait(&s.b, "log", "line", "hello") != NULL);
	gone = scan_until(&s, atoi(pid), NULL, NULL);
	buf_free(&text);
}

static void it_answers_while_a_process_is_stuck_with_its_mmap_lock(void)
{
	auto_store struct store s;
	auto_json json_t *scan = NULL, *deep = NULL;
	auto_free char *pid = NULL;
	auto_free char *path = NULL;
	struct buf text = {0};
	struct err err = {0};

	if (!open_store(&s))
		return;
	CHECK_INT(witness_freeze(s.w, "/data", 0, PATIENCE, NULL), 0);
	pid = run(&s, "/run/rig/stuck_mmap /data/file & echo $!", true);
	scan = scan_until(&s, atoi(pid), "wchan", "vm_mmap_pgoff");
	CHECK(scan && !json_array_size(json_object_get(scan, "unreadable")));
	path = text_fmt("/proc/%d/cmdline", atoi(pid));
	/* That it cannot be read shows that the lock is stuck, and who is asked gives up in time. */
	CHECK_INT(witness_read(s.w, path, 100, deadline_in_ms(2000), &text, &err), -EREMOTEIO);
	CHECK_HAS(err.text, "unreadable");
	ping_often(&s);
	/* The words its third thread waits with cannot be had; everything else can, and the second scan does
	 * not try again. */
	deep = json_array();
	for (int i = 0; i < 2; i++) {
		json_t *one = NULL;

		CHECK_INT(witness_scan_deep(s.w, deadline_in_ms(5000), &one, NULL), 0);
		CHECK(json_is_true(json_object_get(json_object_get(one, "parts"), "fds")));
		CHECK_INT(json_array_size(json_object_get(one, "unreadable")), 0);
		CHECK(!has_futex(one, atoi(pid)));
		CHECK(has_futex(one, 0)); /* of somebody else */
		json_array_append_new(deep, one);
	}
	CHECK(json_is_false(
		json_object_get(json_object_get(json_array_get(deep, 0), "parts"), "memory")));
	CHECK(json_get_int(json_array_get(deep, 1), "took_ns", 0) <
		json_get_int(json_array_get(deep, 0), "took_ns", 0));
	CHECK_INT(witness_thaw(s.w, "/data", PATIENCE, NULL), 0);
	scan_and_drop(&s, atoi(pid));
	check_residue(&s, NULL);
	buf_free(&text);
}

/* ---- planted troubles, diagnosed from the scan of the whole machine ---- */

/* Diagnoses until a deadlock is seen; its culprits are all of the planted program. */
static void check_deadlock(struct store *s, const char *line, const char *wait)
{
	static const char *const rigs[] = {"/run/rig/witness", NULL};
	auto_free char *said = run(s, line, true);
	int64_t deadline = PATIENCE;
	struct diagnosis d = {0};

	do {
		auto_json json_t *scan = NULL;

		diagnosis_free(&d);
		if (!CHECK_INT(witness_scan_deep(s->w, deadline_in_ms(10000), &scan, NULL), 0))
			return;
		diagnose(&(struct diagnose_input){.scan = scan, .ours = rigs}, &d);
	} while (!d.hang_class && deadline_left_ms(deadline));
	CHECK_STR(d.hang_class ? d.hang_class : "none", "deadlock");
	CHECK_INT(d.culprit_count, 2);
	for (size_t i = 0; i < d.culprit_count; i++) {
		CHECK_STR(d.culprits[i].role, "planted");
		CHECK_HAS(d.culprits[i].says, wait);
	}
	CHECK_STR(d.unknown_count ? d.unknown[0] : "nothing unknown", "nothing unknown");
	diagnosis_free(&d);
}

static void crossed_mutexes_of_a_guest_are_a_deadlock(void)
{
	auto_store struct store s;

	if (open_store(&s))
		check_deadlock(&s, "/run/rig/planted mutex &", "mutex");
}

static void crossed_flocks_of_a_guest_are_a_deadlock(void)
{
	auto_store struct store s;

	if (open_store(&s))
		check_deadlock(&s, "/run/rig/planted flock /data &", "FLOCK lock on data/lock");
}

static void a_crash_is_told_while_all_is_frozen(void)
{
	auto_store struct store s;
	auto_free char *said = NULL;
	const json_t *died;

	if (!open_store(&s))
		return;
	CHECK_INT(witness_freeze(s.w, "/data", 0, PATIENCE, NULL), 0);
	CHECK_INT(witness_freeze(s.w, "/", 0, PATIENCE, NULL), 0);
	said = run(&s, "sh -c 'kill -SEGV $$'", false);
	died = bench_wait(&s.b, "died", "comm", "sh");
	CHECK_INT(json_get_int(died, "signal", 0), SIGSEGV);
	CHECK_STR(json_get_text(died, "exe", ""), "/bin/busybox");
	CHECK_HAS(json_get_text(died, "core", ""), "/run/rig/cores/core.");
	CHECK_INT(witness_thaw(s.w, "/", PATIENCE, NULL), 0);
	CHECK_INT(witness_thaw(s.w, "/data", PATIENCE, NULL), 0);
}

static void who_was_killed_is_told_and_who_ended_otherwise_is_not(void)
{
	auto_store struct store s;
	auto_free char *spared = NULL, *victim = NULL, *line = NULL, *said = NULL;
	auto_json json_t *gone = NULL, *first = NULL, *second = NULL;
	const json_t *one;

	if (!open_store(&s))
		return;
	spared = run(&s, "sleep 1000 & echo $!", true);
	victim = run(&s, "sleep 1000 & echo $!", true);
	CHECK_INT(witness_exits(s.w, true, PATIENCE, NULL, NULL), 0);
	line = text_fmt("kill -TERM %d; kill -KILL %d", atoi(spared), atoi(victim));
	said = run(&s, line, false);
	gone = scan_until(&s, atoi(victim), NULL, NULL);
	CHECK_INT(witness_exits(s.w, false, PATIENCE, &first, NULL), 0);
	one = json_array_get(first, 0);
	CHECK_INT(json_array_size(first), 1);
	CHECK_INT(json_get_int(one, "pid", 0), atoi(victim));
	CHECK_STR(json_get_text(one, "comm", ""), "sleep");
	CHECK_INT(witness_exits(s.w, false, PATIENCE, &second, NULL), 0);
	CHECK_INT(json_array_size(second), 0);
}

/* Two clones of one template have the same entropy pool. */
static void seeds_tell_clones_apart_and_the_clock_is_set(void)
{
	auto_store struct store a, b;
	auto_free char *one = NULL, *other = NULL, *year = NULL;
	static const char draw[] = "head -c 16 /dev/urandom | hexdump";

	if (!open_store(&a) | !open_store(&b))
		return;
	CHECK_INT(witness_seed(a.w, "seed of the first clone", 23, PATIENCE, NULL), 0);
	CHECK_INT(witness_seed(b.w, "seed of the other clone", 23, PATIENCE, NULL), 0);
	one = run(&a, draw, false);
	other = run(&b, draw, false);
	CHECK(strlen(one) > 16 && strcmp(one, other));
	CHECK_INT(witness_set_clock(a.w, INT64_C(2000000000) * NS_PER_SEC, PATIENCE, NULL), 0);
	year = run(&a, "date +%Y", false);
	CHECK_STR(year, "2033\n");
}

/* A timer or a poll would show as a context switch of some thread of the witness. */
static void an_idle_witness_does_not_wake_up(void)
{
	static const char count[] = "p=$PPID; n=0; sum() { cat /proc/$p/task/*/status | "
				    "awk '/ctxt/ {n += $2} END {print n}'; }; "
				    "a=$(sum); sleep 2; b=$(sum); echo $((b - a))";
	auto_free char *said = NULL;
	auto_store struct store s;

	if (!open_store(&s))
		return;
	said = run(&s, count, false);
	CHECK_STR(said, "0\n");
}

static const struct check_case cases[] = {
	CHECK_CASE(a_clones_witness_answers_though_the_template_had_another_host),
	CHECK_CASE(it_answers_while_data_and_root_are_frozen),
	CHECK_CASE(it_answers_while_a_process_is_stuck_with_its_mmap_lock),
	CHECK_CASE(crossed_mutexes_of_a_guest_are_a_deadlock),
	CHECK_CASE(crossed_flocks_of_a_guest_are_a_deadlock),
	CHECK_CASE(a_crash_is_told_while_all_is_frozen),
	CHECK_CASE(who_was_killed_is_told_and_who_ended_otherwise_is_not),
	CHECK_CASE(seeds_tell_clones_apart_and_the_clock_is_set),
	CHECK_CASE(an_idle_witness_does_not_wake_up),
};

int main(int argc, char **argv)
{
	struct err err = {0};
	int rc;

	check_alarm(600);
	dir = text_dup(check_dir());
	initrd = path_join(dir, "initrd");
	rc = open_guest(&err);
	if (rc) {
		fprintf(stderr, "no guest to ask: %s\n", err.text);
		return 1;
	}
	rc = check_main(__FILE__, cases, ARRAY_SIZE(cases), argc, argv);
	template_close(tmpl);
	for (size_t i = 0; i < ARRAY_SIZE(disks); i++)
		free((char *)(uintptr_t)disks[i].base);
	free(initrd);
	free(dir);
	return rc;
}

#include "tests/check/check.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/proc.h"
#include "vm/qemu.h"
#include "vm/qmp.h"

#include <string.h>
#include <unistd.h>

static const struct accel tcg = {.name = "tcg"}, kvm = {.name = "kvm", .kvm = true};

static const struct machine_disk disks[] = {
	{.name = "system", .base = "/images/root.img", .base_format = "raw"},
	{.name = "mail", .base = "/x", .base_format = "raw", .cache = MACHINE_CACHE_UNSAFE},
	{.name = "payload", .base = "/images/it's, all", .base_format = "raw", .readonly = true},
};

static struct machine_spec spec_of(const struct accel *accel)
{
	return (struct machine_spec){.kernel = "/k",
		.initrd = "/i",
		.append = "quiet rig.mount=mail:/srv/mail",
		.memory_bytes = UINT64_C(256) << 20,
		.cpus = 1,
		.disks = disks,
		.disk_count = ARRAY_SIZE(disks),
		.accel = accel};
}

static struct qemu_line line_of(const struct machine_spec *spec)
{
	return (struct qemu_line){.spec = spec,
		.dir = "/run/a,b",
		.netdev = "user,id=net0",
		.tap_fd = -1,
		.qmp_fd = 11,
		.qga_fd = 12,
		.witness_fd = 13};
}

/* The whole line, blank-separated. */
static char *joined(const struct qemu_line *line)
{
	struct buf out = {0};
	char **argv = qemu_argv(line);

	for (size_t i = 0; argv[i]; i++)
		buf_addf(&out, "%s%s", i ? " " : "", argv[i]);
	qemu_argv_free(argv);
	return buf_steal(&out);
}

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

/* ---- the command line ------------------------------------------------------------------------------ */

static void the_full_set_of_devices_is_always_there(void)
{
	static const char *const wanted[] = {"-machine q35", "-nodefaults", "-no-user-config",
		"-action panic=pause,reboot=shutdown,shutdown=pause", "-m 256", "-smp 1",
		"-accel tcg,thread=multi -cpu max,la57=off,smap=off,erms=off",
		"-kernel /k -initrd /i",
		"-append console=ttyS0 panic=-1 no_timer_check quiet rig.mount=mail:/srv/mail -",
		"-device virtio-blk-pci,id=disk-system,drive=system,serial=system,write-cache=on",
		"-device virtio-blk-pci,id=disk-mail,drive=mail,serial=mail,write-cache=on",
		"-device virtio-blk-pci,id=disk-payload,drive=payload,serial=payload ",
		"\"qom-type\":\"throttle-group\",\"id\":\"throttle-mail\"", "-netdev user,id=net0",
		"virtio-net-pci,id=nic0,netdev=net0,romfile=,mac=", "-chardev socket,id=qmp,fd=11",
		"-chardev socket,id=qga,fd=12", "-chardev socket,id=witness,fd=13",
		"nr=1,chardev=qga,name=org.qemu.guest_agent.0",
		"nr=2,chardev=witness,name=org.mailrig.witness.0", "-device virtio-rng-pci",
		"-device pvpanic", "-device vmcoreinfo", "-serial chardev:console"};
	struct machine_spec spec = spec_of(&tcg);
	struct qemu_line line = line_of(&spec);
	auto_free char *text = joined(&line);

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		CHECK_HAS(text, wanted[i]);
}

static void only_unsafe_disks_ignore_a_flush(void)
{
	static const struct {
		const char *node;
		bool no_flush;
	} rows[] = {{"system-image", false}, {"mail-image", true}, {"payload", false}};
	struct machine_spec spec = spec_of(&tcg);
	struct qemu_line line = line_of(&spec);
	char **argv = qemu_argv(&line);
	size_t found = 0;

	for (size_t i = 0; argv[i]; i++) {
		auto_json json_t *json = argv[i][0] == '{' ? json_loads(argv[i], 0, NULL) : NULL;
		const char *node = json_get_text(json, "node-name", "");

		for (size_t j = 0; j < ARRAY_SIZE(rows); j++) {
			const json_t *file = json_object_get(json, "file");

			if (strcmp(rows[j].node, node) != 0)
				continue;
			found++;
			CHECK_INT(json_get_bool(json_object_get(json, "cache"), "no-flush", true),
				rows[j].no_flush);
			if (json_object_get(file, "cache"))
				CHECK_INT(json_get_bool(json_object_get(file, "cache"), "no-flush",
						  !rows[j].no_flush),
					rows[j].no_flush);
		}
	}
	CHECK_INT(found, ARRAY_SIZE(rows));
	qemu_argv_free(argv);
}

/* In the branch the devices are those of the machine that was saved; its time and its network are not. */
static void a_branch_skips_idle_time_on_a_network_with_nobody_on_it(void)
{
	static const struct {
		const char *netdev;
		bool warp;
		const char *wanted[4];
	} rows[] = {
		{"user,id=net0,restrict=on", true,
			{"-accel tcg,thread=single -icount shift=3,sleep=off -cpu ",
				"-netdev user,id=net0,restrict=on -netdev hubport,id=hole,hubid=0 "
				"-netdev hubport,id=drain,hubid=0 ",
				"virtio-net-pci,id=nic0,netdev=hole,romfile=,mac=",
				"filter-dump,id=capture,netdev=hole,file=/c"}},
		{NULL, false,
			{"-accel tcg,thread=multi -cpu ", "-netdev hubport,id=hole,hubid=0 ",
				"netdev=hole,romfile=", "\"no-flush\":true"}},
	};
	struct machine_spec spec = spec_of(&tcg);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct qemu_line line = line_of(&spec);
		auto_free char *text = NULL;

		line.netdev = rows[i].netdev;
		line.warp = rows[i].warp;
		line.isolated = true;
		line.capture = "/c";
		text = joined(&line);
		for (size_t j = 0; j < ARRAY_SIZE(rows[i].wanted); j++)
			CHECK_HAS(text, rows[i].wanted[j]);
		CHECK(!has(text, "netdev=net0"));
		CHECK_INT(has(text, "icount"), rows[i].warp);
	}
}

static void memory_is_shared_for_a_template_and_private_for_a_clone(void)
{
	static const struct {
		enum qemu_memory kind;
		const char *memory, *want;
	} rows[] = {
		{QEMU_MEMORY_PLAIN, NULL, "memory-backend-ram,id=mem,size=268435456 "},
		{QEMU_MEMORY_SHARED, "/t/ram", "size=268435456,mem-path=/t/ram,share=on "},
		{QEMU_MEMORY_PRIVATE, "/t/r,am", "size=268435456,mem-path=/t/r,,am,share=off "},
	};
	struct machine_spec spec = spec_of(&kvm);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct qemu_line line = line_of(&spec);
		auto_free char *text = NULL;

		line.memory_kind = rows[i].kind;
		line.memory = rows[i].memory;
		line.incoming = rows[i].kind == QEMU_MEMORY_PRIVATE;
		text = joined(&line);
		CHECK_HAS(text, rows[i].want);
		CHECK_HAS(text, "-accel kvm -cpu host");
		CHECK_INT(has(text, "-S -incoming defer"), line.incoming);
	}
}

static void commas_in_paths_cannot_become_options(void)
{
	struct machine_spec spec = spec_of(&tcg);
	struct qemu_line line = line_of(&spec);
	auto_free char *text = NULL;

	line.capture = "/c,id=evil";
	line.qmp_fd = -1;
	text = joined(&line);
	CHECK_HAS(text, "netdev=net0,file=/c,,id=evil ");
	CHECK_HAS(text, "path=/run/a,,b/console.log,append=on");
	CHECK_HAS(text, "socket,id=qmp,path=/run/a,,b/qmp.sock,server=on,wait=off");
	CHECK_HAS(text, "\"filename\":\"/run/a,b/system.qcow2\""); /* JSON needs none of that */
}

static void the_shell_gives_back_what_was_quoted(void)
{
	struct machine_spec spec = spec_of(&tcg);
	struct qemu_line line = line_of(&spec);
	char **argv = qemu_argv(&line);
	char *sh[] = {"sh", "-c", NULL, NULL};
	auto_buf struct buf script = {0}, quoted = {0}, got = {0};
	auto_free char *want = joined(&line);

	qemu_argv_shell(argv, &quoted);
	buf_addf(&script, "printf '%%s ' %s", buf_text(&quoted));
	sh[2] = script.data;
	CHECK_INT(proc_run(sh, deadline_in_ms(10000), &got, 65536, NULL), 0);
	if (got.len)
		got.data[got.len - 1] = '\0';
	CHECK_STR(buf_text(&got), want);
	CHECK_HAS(buf_text(&quoted), " \\\n\t-machine q35");
	qemu_argv_free(argv);
}

/* ---- the program ------------------------------------------------------------------------------------- */

static bool no_qemu(void)
{
	struct err err = {0};
	char version[160];

	if (!qemu_version(version, sizeof(version), &err))
		return false;
	check_skip("no QEMU: %s", err.text);
	return true;
}

static void a_layer_keeps_the_size_of_its_base(void)
{
	const char *dir = check_dir();
	auto_free char *base = path_join(dir, "base"), *layer = path_join(dir, "layer");
	auto_free char *later = path_join(dir, "later"), *blank = path_join(dir, "blank");
	struct err err = {0};

	if (no_qemu())
		return;
	CHECK_INT(fs_write_atomic(base, "", 0, NULL), 0);
	CHECK_INT(truncate(base, 5 << 20), 0);
	CHECK_INT(qemu_layer(layer, base, "raw", 0, &err), 0);
	CHECK_INT(qemu_layer_size(layer, &err), 5 << 20);
	CHECK_INT(
		qemu_layer(blank, later, "qcow2", 7 << 20, &err), 0); /* there is no `later` yet */
	CHECK_INT(qemu_layer_size(blank, &err), 7 << 20);
	CHECK(qemu_layer(layer, later, "raw", 0, &err) < 0);
	CHECK_HAS(err.text, "later");
	CHECK_INT(qemu_layer_size(base, &err), -EINVAL);
	CHECK_INT(qemu_layer_size(later, &err), -ENOENT);
}

static void a_line_that_qemu_refuses_is_an_error_with_its_words(void)
{
	struct machine_spec spec = spec_of(&tcg);
	struct qemu_line line = line_of(&spec);
	auto_buf struct buf words = {0};
	struct qemu qemu = QEMU_NONE;
	struct qmp *qmp = NULL;

	if (no_qemu())
		return;
	spec.disk_count = 0;
	line.dir = check_dir();
	line.netdev = "nonsense,id=net0";
	CHECK_INT(qemu_start(&line, &qemu, NULL), 0);
	CHECK_INT(qmp_open(qemu.qmp_fd, NULL, NULL, deadline_in_ms(30000), &qmp, NULL), -EPIPE);
	qemu.qmp_fd = -1;
	CHECK(qemu_ended(&qemu, line.dir, 10000, &words));
	CHECK_HAS(buf_text(&words), "QEMU ended with code 1: ");
	CHECK_HAS(buf_text(&words), "nonsense");
	qemu_kill(&qemu);
	qemu_kill(&qemu);
	CHECK(!qemu_ended(&qemu, line.dir, 0, &words));
}

static void a_missing_program_is_one_sentence(void)
{
	auto_free char *path = text_dup(getenv("PATH"));
	struct machine_spec spec = spec_of(&tcg);
	struct qemu_line line = line_of(&spec);
	struct qemu qemu = QEMU_NONE;
	struct err err = {0};

	setenv("PATH", check_dir(), 1);
	line.dir = check_dir();
	CHECK_INT(qemu_start(&line, &qemu, &err), -ENOENT);
	CHECK_STR(err.text, "cannot run 'qemu-system-x86_64': No such file or directory");
	CHECK_INT(machine_check_host(&spec, line.dir, &err), -ENOENT);
	CHECK_HAS(err.text, "there is no 'qemu-system-x86_64'");
	setenv("PATH", path, 1);
}

static void what_a_machine_needs_is_checked_before_anything_starts(void)
{
	auto_free char *here = realpath("/proc/self/exe", NULL);
	struct machine_spec spec = spec_of(&tcg);
	struct err err = {0};

	if (no_qemu())
		return;
	CHECK_INT(machine_check_host(&spec, check_dir(), &err), -ENOENT);
	CHECK_HAS(err.text, "the kernel '/k'");
	spec.kernel = here;
	CHECK_INT(machine_check_host(&spec, check_dir(), &err), -ENOENT);
	CHECK_HAS(err.text, "the initrd '/i'");
	spec.initrd = here;
	CHECK_INT(machine_check_host(&spec, check_dir(), &err), -ENOENT);
	CHECK_HAS(err.text, "the disk image '/images/root.img'");
	spec.disk_count = 0;
	CHECK_INT(machine_check_host(&spec, check_dir(), &err), 0);
}

static void a_tail_begins_at_a_line_and_is_escaped(void)
{
	auto_free char *path = path_join(check_dir(), "log");
	static const struct {
		const char *text;
		size_t max;
		const char *want;
	} rows[] = {
		{"", 10, ""},
		{"one\r\ntwo\r\n", 100, "one\ntwo\n"},
		{"one\ntwo\nthree", 8, "three"},
		{"one\ntwo\nthree\n", 10, "three\n"},
		{"0123456789", 4, "6789"},
		{"a\x1b[31m\xff", 100, "a\\x1b[31m\\xff"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf struct buf out = {0};

		fs_write_atomic(path, rows[i].text, strlen(rows[i].text), NULL);
		qemu_file_tail(path, rows[i].max, &out);
		CHECK_STR(buf_text(&out), rows[i].want);
	}
	unlink(path);
	qemu_file_tail(path, 10, &(struct buf){0});
}

CHECK_MAIN(CHECK_CASE(the_full_set_of_devices_is_always_there),
	CHECK_CASE(only_unsafe_disks_ignore_a_flush),
	CHECK_CASE(a_branch_skips_idle_time_on_a_network_with_nobody_on_it),
	CHECK_CASE(memory_is_shared_for_a_template_and_private_for_a_clone),
	CHECK_CASE(commas_in_paths_cannot_become_options),
	CHECK_CASE(the_shell_gives_back_what_was_quoted),
	CHECK_CASE(a_layer_keeps_the_size_of_its_base),
	CHECK_CASE(a_line_that_qemu_refuses_is_an_error_with_its_words),
	CHECK_CASE(a_missing_program_is_one_sentence),
	CHECK_CASE(what_a_machine_needs_is_checked_before_anything_starts),
	CHECK_CASE(a_tail_begins_at_a_line_and_is_escaped))

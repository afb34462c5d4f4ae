#include "vm/accel.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "base/proc.h"
#include "vm/qemu.h"

#include <fcntl.h>
#include <string.h>
#include <sys/utsname.h>

#define PROBE_MS       15000 /* a KVM that works needs less than one second */
#define LOCK_MS	       60000
#define CPUINFO_MAX    (4u << 20)
#define CACHE_FILE_MAX 65536
#define PROBE_OUT_MAX  (1u << 20)
/* Linux, init/main.c, run_init_process(): the kernel is done and starts its first program. */
#define BOOTED "Run /init as init process"

const char *accel_argument(const struct accel *accel)
{
	return accel->kvm ? "kvm" : "tcg,thread=multi";
}

/* Without what costs an emulated processor most and no program can see: a fifth level of page tables, the kernel's
 * guard around each byte it takes from a program, and copies byte by byte that count as fast. A tenth of a cell. */
const char *accel_cpu(const struct accel *accel)
{
	return accel->kvm ? "host" : "max,la57=off,smap=off,erms=off";
}

static void choose(struct accel *accel, bool kvm, const char *why)
{
	accel->kvm = kvm;
	snprintf(accel->name, sizeof(accel->name), "%s", kvm ? "kvm" : "tcg");
	snprintf(accel->why, sizeof(accel->why), "%s", why);
}

/* "Intel(R) Xeon(R) ..., Linux 6.1.0-18-amd64" */
static void describe_cpu(struct accel *accel)
{
	auto_buf struct buf info = {0};
	struct utsname host = {0};
	const char *model;
	size_t len = 0;

	uname(&host);
	fs_read("/proc/cpuinfo", CPUINFO_MAX, &info, NULL);
	model = strstr(buf_text(&info), "model name");
	if (model)
		model = strchr(model, ':');
	if (model) {
		model += strspn(model, ": \t");
		len = strcspn(model, "\n");
	}
	snprintf(accel->cpu, sizeof(accel->cpu), "%.*s, %s %s", len > 80 ? 80 : (int)len,
		len ? model : "", host.sysname, host.release);
}

/* Read the console until the kernel is up: 0, or -ETIMEDOUT, or -EPIPE when QEMU ended before. */
static int await_boot(int fd)
{
	int64_t deadline_ns = deadline_in_ms(PROBE_MS);
	auto_buf struct buf out = {0};

	for (;;) {
		ssize_t n = io_read(fd, buf_reserve(&out, 4096), 4096, deadline_ns);

		if (n <= 0)
			return n ? (int)n : -EPIPE;
		out.len += (size_t)n;
		out.data[out.len] = '\0';
		if (memmem(out.data, out.len, BOOTED, strlen(BOOTED)))
			return 0;
		if (out.len > PROBE_OUT_MAX)
			return -EPIPE;
	}
}

static int boot_under_kvm(const char *kernel, const char *initrd, struct err *err)
{
	char *argv[] = {QEMU_PROGRAM, "-nodefaults", "-no-user-config", "-display", "none",
		"-no-reboot", "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-m", "256",
		"-serial", "stdio", "-append", "console=ttyS0 panic=-1", "-kernel",
		(char *)(uintptr_t)kernel, "-initrd", (char *)(uintptr_t)initrd, NULL};
	struct proc_spec spec = {.argv = argv, .stdin_fd = -1, .stderr_fd = -1};
	auto_close int in = -1, out = -1;
	int ends[2], rc;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return err_sys(err, errno, "cannot make a pipe");
	in = ends[0];
	out = ends[1];
	io_prepare(in);
	spec.stdout_fd = out;
	pid = proc_spawn(&spec, err);
	if (pid < 0)
		return pid;
	cleanup_fd(&out);
	rc = await_boot(in);
	proc_end(pid, 0);
	return rc;
}

static void probe(const char *kernel, const char *initrd, struct accel *ret)
{
	int64_t start_ns = clock_mono_ns();
	int rc = boot_under_kvm(kernel, initrd, NULL);
	char why[ACCEL_TEXT_MAX];

	if (!rc)
		snprintf(why, sizeof(why), "a kernel booted under KVM in %.1f s",
			(double)(clock_mono_ns() - start_ns) / (double)NS_PER_SEC);
	else if (rc == -ETIMEDOUT)
		snprintf(why, sizeof(why), "a kernel did not boot under KVM within %d s",
			PROBE_MS / 1000);
	else
		snprintf(why, sizeof(why), "QEMU cannot use KVM here");
	choose(ret, !rc, why);
	log_line("accelerator: %s, %s", ret->name, ret->why);
}

static char *cache_path(const struct accel *accel)
{
	auto_free char *cache = fs_cache_dir();
	struct hash *hash = hash_new();
	char hex[HASH_HEX_SIZE];

	hash_add_str(hash, accel->qemu);
	hash_add_str(hash, accel->cpu);
	hash_hex(hash, hex);
	hash_free(hash);
	return text_fmt("%s/accel/%.16s.json", cache, hex);
}

static bool load_answer(const char *path, struct accel *ret)
{
	auto_json json_t *json =
		fs_exists(path) ? json_load_path(path, CACHE_FILE_MAX, NULL) : NULL;
	const char *name = json_get_text(json, "accelerator", "");

	if (strcmp(name, "kvm") != 0 && strcmp(name, "tcg") != 0)
		return false;
	choose(ret, !strcmp(name, "kvm"), json_get_text(json, "why", ""));
	ret->cached = true;
	return true;
}

static int save_answer(const char *path, const struct accel *accel, struct err *err)
{
	auto_json json_t *json = json_pack("{s:s, s:o, s:o, s:o}", "accelerator", accel->name,
		"why", json_text(accel->why), "qemu", json_text(accel->qemu), "host",
		json_text(accel->cpu));

	return json_save_path(path, json, err);
}

/* One rig probes, others wait for its answer. */
static int probe_once(const char *kernel, const char *initrd, struct accel *ret, struct err *err)
{
	auto_free char *path = cache_path(ret);
	auto_free char *lock_path = text_fmt("%s.lock", path);
	auto_free char *dir = text_dup_n(path, (size_t)(strrchr(path, '/') - path));
	auto_close int lock = -1;
	int rc;

	if (load_answer(path, ret))
		return 0;
	rc = fs_mkdir_p(dir, err);
	if (rc)
		return rc;
	lock = fs_lock(lock_path, deadline_in_ms(LOCK_MS), err);
	if (lock < 0)
		return lock;
	if (load_answer(path, ret))
		return 0;
	probe(kernel, initrd, ret);
	return save_answer(path, ret, err);
}

static int load_remembered(struct accel *ret, struct err *err)
{
	auto_free char *path = cache_path(ret);

	return load_answer(path, ret) ? 0 : err_set(err, -ENOENT, "not probed yet");
}

int accel_probe(const char *kernel, const char *initrd, struct accel *ret, struct err *err)
{
	const char *wish = getenv("MAILRIG_ACCEL");
	auto_close int kvm = -1;
	int rc;

	*ret = (struct accel){0};
	rc = qemu_version(ret->qemu, sizeof(ret->qemu), err);
	if (rc)
		return rc;
	describe_cpu(ret);
	if (wish && *wish) {
		if (strcmp(wish, "kvm") != 0 && strcmp(wish, "tcg") != 0)
			return err_set(
				err, -EINVAL, "'MAILRIG_ACCEL=%s' is neither kvm nor tcg", wish);
		choose(ret, !strcmp(wish, "kvm"), "MAILRIG_ACCEL says so");
		return 0;
	}
	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0) { /* may change at any time, so it is not worth remembering */
		char why[ACCEL_TEXT_MAX];

		snprintf(why, sizeof(why), "cannot open '/dev/kvm': %s", strerror(errno));
		choose(ret, false, why);
		return 0;
	}
	if (!kernel)
		return load_remembered(ret, err);
	return probe_once(kernel, initrd, ret, err);
}

#include "vm/qemu.h"

#include "base/json.h"
#include "vm/witness_wire.h"
#include "vm/write_log.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

/*
 * no_timer_check: the kernel asks whether its timer ticks, for ten ticks by the count of its processor's cycles
 * (Linux 6.1, arch/x86/kernel/apic/io_apic.c, check_timer()). Emulated on a busy host that count runs on while
 * the guest has no turn, and the boot ends in "IO-APIC + timer doesn't work!". Under KVM Linux leaves it out itself.
 */
#define APPEND "console=ttyS0 panic=-1 no_timer_check"

/* The vector while it grows. */
struct args {
	char **at;
	size_t count;
};

static void add_text(struct args *args, char *text)
{
	args->at = mem_grow(args->at, args->count + 2, sizeof(*args->at));
	args->at[args->count++] = text;
	args->at[args->count] = NULL;
}

static void add(struct args *args, const char *option, const char *value)
{
	add_text(args, text_dup(option));
	if (value)
		add_text(args, text_dup(value));
}

static void addf(struct args *args, const char *option, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void addf(struct args *args, const char *option, const char *fmt, ...)
{
	auto_buf struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	add(args, option, buf_text(&text));
}

static void add_json(struct args *args, const char *option, json_t *owned)
{
	auto_json json_t *json = owned;

	assert(json);
	add_text(args, text_dup(option));
	add_text(args, json_dumps(json, JSON_COMPACT));
	assert(args->at[args->count - 1]);
}

/* In QEMU's key=value syntax a comma in a value is doubled. */
static char *commas(const char *value)
{
	struct buf out = {0};

	for (; *value; value++) {
		buf_addc(&out, *value);
		if (*value == ',')
			buf_addc(&out, ',');
	}
	return buf_steal(&out);
}

static void add_memory(struct args *args, const struct qemu_line *line)
{
	auto_free char *path = line->memory ? commas(line->memory) : NULL;
	uint64_t size = line->spec->memory_bytes;

	add(args, "-machine", "q35,usb=off,vmport=off,sata=off,smm=off,memory-backend=mem");
	if (line->memory_kind == QEMU_MEMORY_PLAIN)
		addf(args, "-object", "memory-backend-ram,id=mem,size=%llu",
			(unsigned long long)size);
	else
		addf(args, "-object", "memory-backend-file,id=mem,size=%llu,mem-path=%s,share=%s",
			(unsigned long long)size, path,
			line->memory_kind == QEMU_MEMORY_SHARED ? "on" : "off");
	addf(args, "-m", "%llu", (unsigned long long)(size >> 20));
	addf(args, "-smp", "%u", line->spec->cpus);
	if (line->warp) {
		/* QEMU 7.2, docs/devel/tcg-icount.rst: 8 ns an instruction, and a clock that jumps to
		 * the next timer whenever the processor is idle. */
		add(args, "-accel", "tcg,thread=single");
		add(args, "-icount", "shift=3,sleep=off");
	} else {
		add(args, "-accel", accel_argument(line->spec->accel));
	}
	add(args, "-cpu", accel_cpu(line->spec->accel));
}

/* What a branch writes is thrown away: nobody waits for the host's disk. */
static json_t *cache_of(const struct machine_disk *disk, const struct qemu_line *line)
{
	bool unsafe = disk->cache == MACHINE_CACHE_UNSAFE || line->isolated;

	return json_pack("{s:b, s:b}", "direct", 0, "no-flush", unsafe && !disk->readonly);
}

static void add_readonly_disk(
	struct args *args, const struct machine_disk *disk, const struct qemu_line *line)
{
	add_json(args, "-blockdev",
		json_pack("{s:s, s:s, s:b, s:o, s:o}", "driver", disk->base_format, "node-name",
			disk->name, "read-only", 1, "cache", cache_of(disk, line), "file",
			json_pack("{s:s, s:s}", "driver", "file", "filename", disk->base)));
}

/* The log is the rig's own: whether it outlives the host does not matter, what the disk flushes does. */
static void add_write_log(
	struct args *args, const struct machine_disk *disk, const char *dir, const char *image)
{
	auto_free char *path = text_fmt("%s/%s.writes", dir, disk->name);
	auto_free char *node = text_fmt("%s-writes", disk->name);
	json_t *log = json_pack(
		"{s:s, s:s, s:{s:b}}", "driver", "file", "filename", path, "cache", "no-flush", 1);

	add_json(args, "-blockdev",
		json_pack("{s:s, s:s, s:s, s:o, s:i, s:s}", "driver", "blklogwrites", "node-name",
			node, "file", image, "log", log, "log-sector-size", WRITE_LOG_SECTOR,
			"discard", "unmap"));
}

/* file <- qcow2 (<- blklogwrites) <- throttle: the group has no limits and is there so that a disk can be
 * slowed or stopped later, as nothing may be added to a clone. */
static void add_layered_disk(
	struct args *args, const struct machine_disk *disk, const struct qemu_line *line)
{
	auto_free char *path = text_fmt("%s/%s.qcow2", line->dir, disk->name);
	auto_free char *image = text_fmt("%s-image", disk->name);
	auto_free char *group = text_fmt("throttle-%s", disk->name);
	auto_free char *below =
		text_fmt("%s-%s", disk->name, line->log_writes ? "writes" : "image");
	json_t *file = json_pack("{s:s, s:s, s:s, s:o}", "driver", "file", "filename", path,
		"discard", "unmap", "cache", cache_of(disk, line));

	add_json(args, "-object",
		json_pack("{s:s, s:s}", "qom-type", "throttle-group", "id", group));
	add_json(args, "-blockdev",
		json_pack("{s:s, s:s, s:s, s:o, s:o}", "driver", "qcow2", "node-name", image,
			"discard", "unmap", "cache", cache_of(disk, line), "file", file));
	if (line->log_writes)
		add_write_log(args, disk, line->dir, image);
	add_json(args, "-blockdev",
		json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", "throttle", "node-name",
			disk->name, "throttle-group", group, "file", below, "discard", "unmap"));
}

static void add_disks(struct args *args, const struct qemu_line *line)
{
	for (size_t i = 0; i < line->spec->disk_count; i++) {
		const struct machine_disk *disk = &line->spec->disks[i];

		if (disk->readonly)
			add_readonly_disk(args, disk, line);
		else
			add_layered_disk(args, disk, line);
		addf(args, "-device", "virtio-blk-pci,id=disk-%s,drive=%s,serial=%s%s", disk->name,
			disk->name, disk->name, disk->readonly ? "" : ",write-cache=on");
	}
}

static void add_network(struct args *args, const struct qemu_line *line)
{
	auto_free char *capture = line->capture ? commas(line->capture) : NULL;
	const char *netdev = line->isolated ? "hole" : "net0";

	/* A spare back-end has no NIC: it is there because its state is in the stream. */
	if (line->netdev)
		add(args, "-netdev", line->netdev);
	/* A hub takes a frame only if one of its other ports does, and a port without a peer drops it: alone,
	 * the NIC's own port would let the guest's queue fill up (QEMU 7.2, net/hub.c, net/net.c). */
	if (line->isolated) {
		add(args, "-netdev", "hubport,id=hole,hubid=0");
		add(args, "-netdev", "hubport,id=drain,hubid=0");
	}
	/* The pcap's snap length stays at 64 KiB, more than any frame here: no offloads, see network.c. */
	if (capture)
		addf(args, "-object", "filter-dump,id=capture,netdev=%s,file=%s", netdev, capture);
	addf(args, "-device", "virtio-net-pci,id=nic0,netdev=%s,romfile=,mac=" NETWORK_GUEST_MAC,
		netdev);
}

static void add_socket(struct args *args, const char *id, int fd, const char *dir)
{
	auto_free char *path = commas(dir);

	if (fd >= 0)
		addf(args, "-chardev", "socket,id=%s,fd=%d", id, fd);
	else
		addf(args, "-chardev", "socket,id=%s,path=%s/%s.sock,server=on,wait=off", id, path,
			id);
}

static void add_ports(struct args *args, const struct qemu_line *line)
{
	auto_free char *dir = commas(line->dir);

	addf(args, "-chardev", "file,id=console,path=%s/console.log,append=on", dir);
	add(args, "-serial", "chardev:console");
	add_socket(args, "qmp", line->qmp_fd, line->dir);
	add(args, "-mon", "chardev=qmp,mode=control");
	add(args, "-device", "virtio-serial-pci,id=serial0");
	add_socket(args, "qga", line->qga_fd, line->dir);
	add(args, "-device",
		"virtserialport,bus=serial0.0,nr=1,chardev=qga,name=org.qemu.guest_agent.0");
	add_socket(args, "witness", line->witness_fd, line->dir);
	add(args, "-device",
		"virtserialport,bus=serial0.0,nr=2,chardev=witness,name=" WITNESS_PORT_NAME);
}

static void add_small_devices(struct args *args)
{
	add(args, "-object", "rng-random,id=rng0,filename=/dev/urandom");
	add(args, "-device", "virtio-rng-pci,rng=rng0");
	add(args, "-device", "pvpanic");
	add(args, "-device", "vmcoreinfo");
}

char **qemu_argv(const struct qemu_line *line)
{
	const char *append = line->spec->append;
	struct args args = {0};

	add(&args, QEMU_PROGRAM, NULL);
	add(&args, "-name", "mailrig,debug-threads=on");
	add(&args, "-nodefaults", NULL);
	add(&args, "-no-user-config", NULL);
	add(&args, "-display", "none");
	/* Whatever ends the guest leaves the machine there, stopped, to be looked at. */
	add(&args, "-action", "panic=pause,reboot=shutdown,shutdown=pause");
	add_memory(&args, line);
	add(&args, "-kernel", line->spec->kernel);
	add(&args, "-initrd", line->spec->initrd);
	addf(&args, "-append", APPEND "%s%s", append ? " " : "", append ? append : "");
	add_disks(&args, line);
	add_network(&args, line);
	add_ports(&args, line);
	add_small_devices(&args);
	if (line->incoming) {
		add(&args, "-S", NULL);
		add(&args, "-incoming", "defer");
	}
	return args.at;
}

void qemu_argv_free(char **argv)
{
	for (size_t i = 0; argv && argv[i]; i++)
		free(argv[i]);
	free(argv);
}

static bool plain(const char *text)
{
	if (!*text)
		return false;
	for (; *text; text++)
		if (!isalnum((unsigned char)*text) && !strchr("_-+=:,./@%", *text))
			return false;
	return true;
}

void qemu_argv_shell(char *const *argv, struct buf *out)
{
	for (size_t i = 0; argv[i]; i++) {
		if (i)
			buf_add_str(out, argv[i][0] == '-' ? " \\\n\t" : " ");
		if (plain(argv[i])) {
			buf_add_str(out, argv[i]);
			continue;
		}
		buf_addc(out, '\'');
		for (const char *c = argv[i]; *c; c++)
			if (*c == '\'')
				buf_add_str(out, "'\\''");
			else
				buf_addc(out, *c);
		buf_addc(out, '\'');
	}
	buf_addc(out, '\n');
}

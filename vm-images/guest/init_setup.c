#include "init.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICE_WAIT_MS 5000

/* ext4 super block (Documentation/filesystems/ext4/super.rst): magic and volume name. */
#define EXT4_SUPER	1024
#define EXT4_MAGIC_AT	0x38
#define EXT4_MAGIC	0xEF53
#define EXT4_LABEL_AT	0x78
#define EXT4_LABEL_SIZE 16

/* ---- file systems ------------------------------------------------------------------------------
 */

static void mount_on(const char *what, const char *where, const char *type, const char *options)
{
	mkdir(where, 0755);
	if (mount(what, where, type, 0, options))
		die("cannot mount '%s' on '%s': %s", what, where, strerror(errno));
}

void mount_pseudo(void)
{
	mount_on("devpts", "/dev/pts", "devpts", "gid=5,mode=620,ptmxmode=666");
	mount_on("shm", "/dev/shm", "tmpfs", "mode=1777");
	mkdir("/run/lock", 0755);
	chmod("/run/lock", 01777);		    /* past the umask */
	(void)!symlink("/proc/self/fd", "/dev/fd"); /* what udev would add to devtmpfs */
	(void)!symlink("fd/0", "/dev/stdin");
	(void)!symlink("fd/1", "/dev/stdout");
	(void)!symlink("fd/2", "/dev/stderr");
	/* Mounts made later must reach the guest agent's namespace too, or it would freeze a stale
	 * set. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL))
		die("cannot share the mounts: %s", strerror(errno));
}

static bool has_label(const char *device, const char *label)
{
	unsigned char super[EXT4_SUPER];
	char name[EXT4_LABEL_SIZE + 1] = "";
	int fd = open(device, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, super, sizeof(super), EXT4_SUPER);

	if (fd >= 0)
		close(fd);
	if (n != sizeof(super))
		return false;
	if ((super[EXT4_MAGIC_AT] | super[EXT4_MAGIC_AT + 1] << 8) != EXT4_MAGIC)
		return false;
	memcpy(name, super + EXT4_LABEL_AT, EXT4_LABEL_SIZE);
	return strcmp(name, label) == 0;
}

/* Fills `device` with the disk of that label. */
static bool find_disk(const char *label, char *device, size_t size)
{
	DIR *dir = opendir("/sys/block");
	bool found = false;

	for (struct dirent *e; dir && !found && (e = readdir(dir));) {
		if (strncmp(e->d_name, "vd", 2))
			continue;
		snprintf(device, size, "/dev/%.32s", e->d_name);
		found = has_label(device, label);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* ---- devices appear on their own time: wait for the kernel's uevents, not by the clock
 * ------------ */

static int uevent_open(void)
{
	struct sockaddr_nl name = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)))
		die("cannot listen for devices: %s", strerror(errno));
	return fd;
}

/* One more look after each uevent until it is found; false at the deadline. */
bool wait_device(find_device *find, const char *name, char *device, size_t size)
{
	int fd = uevent_open();
	int64_t deadline = now_ms() + DEVICE_WAIT_MS;
	bool ok;

	while (!(ok = find(name, device, size)) && now_ms() < deadline) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		char event[2048];

		if (poll(&wait, 1, (int)(deadline - now_ms())) > 0)
			(void)!read(fd, event, sizeof(event));
	}
	close(fd);
	return ok;
}

void mount_disks(const struct boot *boot)
{
	for (size_t i = 0; i < boot->mount_count; i++) {
		const struct pair *m = &boot->mounts[i];
		char device[64];

		if (!wait_device(find_disk, m->name, device, sizeof(device)))
			die("no disk has the label '%s'", m->name);
		mount_on(device, m->value, "ext4", NULL);
	}
}

/* ---- names and network
 * --------------------------------------------------------------------------- */

/* Names come from files alone: DNS would be an accident of the host (and delays of many seconds).
 */
static void only_files_for_hosts(void)
{
	char old[INIT_FILE_MAX / 2], text[INIT_FILE_MAX] = "";
	char *save = NULL;
	size_t len = 0;

	read_text("/etc/nsswitch.conf", old, sizeof(old));
	for (char *line = strtok_r(old, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strncmp(line, "hosts:", 6))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\n", line);
	snprintf(text + len, sizeof(text) - len, "hosts: files\n");
	write_text("/etc/nsswitch.conf", text);
}

void set_names(const struct boot *boot)
{
	char text[INIT_FILE_MAX];
	size_t len;

	if (sethostname(boot->hostname, strlen(boot->hostname)))
		die("cannot be called '%s': %s", boot->hostname, strerror(errno));
	len = (size_t)snprintf(
		text, sizeof(text), "127.0.0.1 localhost\n%s %s\n", boot->address, boot->hostname);
	for (size_t i = 0; i < boot->host_count && len < sizeof(text); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s %s\n",
			boot->hosts[i].value, boot->hosts[i].name);
	write_text("/etc/hosts", text);
	snprintf(text, sizeof(text), "%s\n", boot->hostname);
	write_text("/etc/hostname", text);
	write_text("/etc/resolv.conf", "");
	only_files_for_hosts();
}

static void set_ip(struct ifreq *ifr, in_addr_t address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = address};

	memcpy(&ifr->ifr_addr, &in, sizeof(in));
}

static void link_up(const char *name, const char *address, int prefix)
{
	struct ifreq ifr = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc;

	strncpy(ifr.ifr_name, name, IFNAMSIZ - 1);
	set_ip(&ifr, inet_addr(address));
	rc = ioctl(fd, SIOCSIFADDR, &ifr);
	set_ip(&ifr, htonl(~UINT32_C(0) << (32 - prefix)));
	rc = rc ? rc : ioctl(fd, SIOCSIFNETMASK, &ifr);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	rc = rc ? rc : ioctl(fd, SIOCSIFFLAGS, &ifr);
	if (rc)
		die("cannot give '%s' the address %s: %s", name, address, strerror(errno));
	close(fd);
}

static bool has_interface(const char *name, char *path, size_t size)
{
	snprintf(path, size, "/sys/class/net/%s", name);
	return !access(path, F_OK);
}

void set_network(const struct boot *boot)
{
	char path[64];

	link_up("lo", "127.0.0.1", 8);
	if (wait_device(has_interface, "eth0", path, sizeof(path)))
		link_up("eth0", boot->address, boot->prefix);
	else
		say("there is no network card");
}

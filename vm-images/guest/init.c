/*
 * PID 1 of a guest: what must stand before the store, and nothing of the store itself.
 *
 * The initrd mounted the root file system, put the rig's own code into a tmpfs at /run/rig, and
 * executed this program from there; so it, the witness and the preload stay readable while every
 * disk is frozen. Every boot takes the same path, also the one after a power cut: whatever an
 * earlier boot left is replaced.
 *
 * Order: pseudo file systems, data disks (found by ext4 label), names, network, the witness (it
 * owns /dev/log, so it comes before anything that logs), the preload, the QEMU guest agent. After
 * that PID 1 waits for children in one blocking call, so that an idle guest is idle. The store is
 * started by the rig through the witness.
 *
 * Words of the kernel command line (rig/vm/image.h makes them):
 *	rig.hostname=NAME  rig.ip=A.B.C.D/BITS  rig.preload=0
 *	rig.host=NAME:ADDRESS  rig.mount=LABEL:PATH	(both any number of times)
 *
 * A failure is one line on the console and the end of PID 1: the kernel then panics, which the rig
 * sees.
 */
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESTARTS_MAX 5
#define AGENT_PORT   "org.qemu.guest_agent.0"
#define AGENT	     "/usr/sbin/qemu-ga"
#define AGENT_HOOK   "/etc/qemu/fsfreeze-hook"
#define WITNESS	     "/run/rig/witness"
#define PRELOAD	     "/run/rig/librigfault.so"
#define PRELOAD_LIST "/etc/ld.so.preload"
#define TARGET_DIR   "/run/rig/target"

struct service {
	const char *name;
	void (*exec)(void);
	pid_t pid;
	int starts;
};

/* Fills `device` with the virtio-serial port of that name. */
static bool find_port(const char *name, char *device, size_t size)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	bool found = false;

	for (struct dirent *e; dir && !found && (e = readdir(dir));) {
		char path[128], got[128];

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%.32s/name", e->d_name);
		got[read_text(path, got, sizeof(got))] = '\0';
		got[strcspn(got, "\n")] = '\0';
		snprintf(device, size, "/dev/%.32s", e->d_name);
		found = !strcmp(got, name) && !access(device, F_OK);
	}
	if (dir)
		closedir(dir);
	return found;
}

static void exec_witness(void)
{
	if (chdir(TARGET_DIR) == 0 || chdir("/") == 0)
		execl(WITNESS, WITNESS, (char *)NULL);
}

/*
 * The guest agent must not load the preload: a fault armed for everybody would stop the agent that
 * heals it. In a mount namespace of its own the list is empty, for its hooks and commands as well.
 */
static void exec_agent(void)
{
	char device[64];

	if (!find_port(AGENT_PORT, device, sizeof(device)))
		return;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		return;
	if (!access(PRELOAD_LIST, F_OK) && mount("/dev/null", PRELOAD_LIST, NULL, MS_BIND, NULL))
		return;
	/* State and log on tmpfs: the agent writes while it holds the disks frozen. */
	execl(AGENT, AGENT, "-m", "virtio-serial", "-p", device, "-t", "/run", "-f",
		"/run/qemu-ga.pid", "-l", "/run/qemu-ga.log",
		access(AGENT_HOOK, X_OK) ? (char *)NULL : "-F" AGENT_HOOK, (char *)NULL);
}

static void start(struct service *service)
{
	if (service->starts++ > RESTARTS_MAX)
		die("'%s' ended %d times", service->name, RESTARTS_MAX);
	service->pid = fork();
	if (service->pid < 0)
		die("cannot fork: %s", strerror(errno));
	if (service->pid == 0) {
		setsid();
		service->exec();
		say("cannot run '%s': %s", service->name, strerror(errno));
		_exit(127);
	}
}

static void set_preload(const struct boot *boot)
{
	if (boot->preload && !access(PRELOAD, R_OK))
		write_text(PRELOAD_LIST, PRELOAD "\n");
	else if (unlink(PRELOAD_LIST) && errno != ENOENT)
		die("cannot remove '%s': %s", PRELOAD_LIST, strerror(errno));
}

/* For ever: take over orphans, and bring back a service of the rig that ended. */
static void reap(struct service *services, size_t count)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, 0);

		if (pid < 0)
			pause(); /* no children at all; a signal nobody handles never comes */
		for (size_t i = 0; i < count; i++) {
			if (pid != services[i].pid)
				continue;
			say("'%s' ended with status 0x%x", services[i].name, (unsigned int)status);
			start(&services[i]);
		}
	}
}

int main(void)
{
	static struct boot boot;
	struct service services[2];
	size_t count = 0;
	const struct rlimit cores = {RLIM_INFINITY, RLIM_INFINITY};
	char device[64];

	umask(022);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	unsetenv("TERM");
	setrlimit(RLIMIT_CORE, &cores);
	boot_read(&boot);
	mount_pseudo();
	mount_disks(&boot);
	set_names(&boot);
	set_network(&boot);
	if (!access(WITNESS, X_OK)) {
		services[count] = (struct service){.name = "witness", .exec = exec_witness};
		start(&services[count++]);
	}
	set_preload(&boot);
	if (!access(AGENT, X_OK) && wait_device(find_port, AGENT_PORT, device, sizeof(device))) {
		services[count] = (struct service){.name = "qemu-ga", .exec = exec_agent};
		start(&services[count++]);
	}
	say("init: ready%s", boot.preload ? "" : ", no preload");
	reap(services, count);
}

/*
 * PID 1 of a guest, in three parts: the command line and the console (init_boot.c), file systems, names
 * and network (init_setup.c), the rig's services (init.c). One thread. What fails ends PID 1 with one line
 * on the console: the kernel then panics, and the rig sees that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INIT_PAIRS_MAX	 16
#define INIT_CMDLINE_MAX 4096  /* COMMAND_LINE_SIZE of x86 is 2048 */
#define INIT_FILE_MAX	 16384 /* bytes of a configuration file that is looked at */

struct pair {
	const char *name;
	const char *value;
};

/* What the kernel command line says; the words point into `cmdline`. */
struct boot {
	char cmdline[INIT_CMDLINE_MAX];
	const char *hostname;
	const char *address;
	int prefix;
	bool preload;
	struct pair hosts[INIT_PAIRS_MAX];
	size_t host_count;
	struct pair mounts[INIT_PAIRS_MAX];
	size_t mount_count;
};

int64_t now_ms(void); /* since the kernel started */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
size_t read_text(const char *path, char *out, size_t size); /* NUL-terminated; "" if unreadable */
void write_text(const char *path, const char *text);
void boot_read(struct boot *boot);

/* Fills `device` with the path of what is called `name`; false while there is none. */
typedef bool find_device(const char *name, char *device, size_t size);
bool wait_device(find_device *find, const char *name, char *device, size_t size);

void mount_pseudo(void);
void mount_disks(const struct boot *boot);
void set_names(const struct boot *boot);
void set_network(const struct boot *boot);

/*
 * A guest of nothing but an initrd, for tests and benchmarks of the machine: busybox and the modules of the
 * image's initrd, and an init that brings up the network, an HTTP server with /hello, and a shell on the
 * witness's port. Two disks of 64 MiB: "system" and "mail". Preparing it writes a mark into
 * memory (/tmp/prepared) and onto the first disk.
 */
#pragma once

#include "base/buf.h"
#include "vm/template.h"

#include <stdint.h>

#define TINY_GUEST_PORT	       80
#define TINY_GUEST_CLOSED_PORT 81

/* The shell on the witness's port. */
struct tiny_shell {
	int fd;
	unsigned int asked;
	struct buf in;
};

struct tiny_guest {
	char *kernel, *initrd, *dir;
	struct accel accel;
	uint64_t memory_bytes;
	struct machine_disk disks[2];
	struct machine_spec machines[3]; /* by network kind */
	struct template_spec specs[3];
	struct tiny_shell
		shell; /* the template's: open until after it is saved, or its shell would end */
};

/* Kernel and initrd (busybox, modules) of the image that the rig ships, built if need be. Caller frees. */
int tiny_guest_image(char **ret_kernel, char **ret_initrd, struct err *err);

/* Makes initrd and disks in a folder of its own, and from here on $MAILRIG_CACHE lies there. Prints and
 * returns non-zero on failure: there is nothing to test then. */
int tiny_guest_open(struct tiny_guest *guest, unsigned int memory_mib);
void tiny_guest_close(struct tiny_guest *guest);

struct machine_spec tiny_guest_machine(const struct tiny_guest *guest, enum network_kind kind);
struct template_spec tiny_guest_spec(struct tiny_guest *guest, const struct machine_spec *machine);
int tiny_guest_template(
	struct tiny_guest *guest, enum network_kind kind, struct template **ret, struct err *err);

void tiny_shell_open(struct tiny_shell *shell, int fd);
void tiny_shell_close(struct tiny_shell *shell);
void tiny_shell_send(struct tiny_shell *shell, const char *line);
void tiny_shell_wait(struct tiny_shell *shell); /* until it answers, whatever was lost before */
char *tiny_shell_ask(struct tiny_shell *shell, const char *line); /* its output; caller frees */

/*
 * What a target's machine is made of: image, payload, disks, kernel words, network, and the template of it
 * all. One of these per worker; template, clones and --dry-run build on the same. Private to rig/run.
 */
#pragma once

#include "api/target.h"
#include "net/dialogue.h"
#include "vm/image.h"
#include "vm/template.h"

struct bed_spec {
	const struct target *target;
	char *root; /* the repository */
	struct image image;
	char *initrd;
	char payload_id[HASH_HEX_SIZE];
	char *append;
	struct accel accel;
	struct machine_disk disks[MACHINE_DISKS_MAX];
	char *disk_paths[MACHINE_DISKS_MAX];
	uint16_t services[NETWORK_SERVICES_MAX];
	struct network_server servers[NETWORK_SERVERS_MAX];
	struct dialogue_port wire_ports[NETWORK_SERVICES_MAX];
	size_t wire_port_count;
	struct machine_spec machine;
	char *parts[8];
	struct template_spec template;
	void (*say)(void *arg, const char *line);
	void *arg;
};

/* Image and payload from the cache, or built now; `say` may be NULL. */
int bed_spec_new(const struct target *target, void (*say)(void *arg, const char *line), void *arg,
	struct bed_spec **ret, struct err *err);
/* -ENOENT with a sentence where the image would have to be built first. */
int bed_spec_cached(const struct target *target, struct err *err);
void bed_spec_free(struct bed_spec *spec);

/* The template of this spec, from the cache or built now. */
int bed_spec_template(struct bed_spec *spec, struct template **ret, struct err *err);

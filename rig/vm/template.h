/*
 * A template: a booted, provisioned, warmed-up machine saved to disk, from which clones start in
 * milliseconds. Templates live in the rig's cache, templates/<key>/, addressed by what they were
 * made of: the machine's specification, the caller's parts (image, target, preload ...), QEMU's
 * version, accelerator, network back-end and device list. They are made under a lock in a folder
 * beside, and renamed when complete and on disk: an interrupted build leaves nothing that anybody
 * would use. Before a build the least recently used ones go that are too many (template_cache.h); an
 * open template is held and stays.
 *
 * In the folder: ram (the guest's memory, a shared mapping; clones map it privately and never
 * change it), state (QEMU's device state), <disk>.qcow2 (what the template wrote),
 * blank-<disk>.qcow2 (an empty layer over that, copied by each clone), console.log, template.json.
 *
 * Memory in a file that the state leaves out is QEMU's capability x-ignore-shared. Where QEMU lacks
 * it the state holds the memory too: the same files, slower to load.
 */
#pragma once

#include "base/err.h"
#include "base/hash.h"
#include "vm/machine.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct template;

struct template_spec {
	const struct machine_spec *machine;
	const char *const *parts; /* "name=value": whatever else the template depends on;
				     NULL-terminated, or NULL */

	/* Bring the booted machine into the state that is to be saved: wait for it, provision,
	 * start, warm up. Must leave no TCP connection open. QMP, guest agent, witness and network
	 * are the machine's. A witness descriptor that it closes is, for the guest, a host that
	 * went away and comes back in each clone. */
	int (*prepare)(struct machine *machine, void *arg, struct err *err);
	void *arg;
	void (*say)(
		void *arg, const char *what); /* progress, one phrase ("booting"); NULL: quiet */
	bool memory_in_state; /* do not use x-ignore-shared even where QEMU has it */
};

/* The key alone, as the folder is named; says what would be used or built. */
void template_key(const struct template_spec *spec, char ret[HASH_HEX_SIZE]);
bool template_cached(const struct template_spec *spec);

/* From the cache, or built now (`deadline_ns` bounds waiting for another builder, and prepare()
 * should keep its own). The spec is borrowed for the template's life. */
int template_open(const struct template_spec *spec, int64_t deadline_ns, struct template **ret,
	struct err *err);
void template_close(struct template *tmpl);

/* Remove an unusable template from the cache; the next template_open() builds it anew. */
int template_forget(const struct template_spec *spec, struct err *err);

const char *template_dir(const struct template *tmpl);
const struct machine_spec *template_machine(const struct template *tmpl);
const json_t *template_json(const struct template *tmpl); /* template.json, borrowed */
bool template_built_now(const struct template *tmpl);
bool template_ignores_shared(const struct template *tmpl);

/* What the guest's wall clock lags behind the host's in a clone that starts now: the age of the
 * template. */
int64_t template_clock_offset_ns(const struct template *tmpl);

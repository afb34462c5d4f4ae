/*
 * Memory that runs out for some processes: they are moved into a cgroup of their own, whose bound counts what they take
 * from then on (Linux, Documentation/admin-guide/cgroup-v2.rst: memory.max, memory.events). What they have stays
 * charged where it was, so the bound is what they may still take.
 */
#include "run/bed/bed_vm_core.h"

#include <inttypes.h>
#include <string.h>

#define CGROUP	  "/run/rig/cgroup"
#define BOUND	  CGROUP "/bound" /* residue if it is there */
#define MEMORY_MS 30000

static int shell(struct vm_bed *b, const char *line, struct buf *ret_said, struct err *err)
{
	struct command_result result = {0};
	int rc = b->bed.ops->run(&b->bed, line, NULL, MEMORY_MS, false, &result, err);

	if (!rc && (result.timed_out || result.status))
		rc = err_set(err, -EIO, "the memory of the guest's processes: %s",
			result.output.len ? buf_text(&result.output) : "no reason was given");
	if (!rc && ret_said)
		buf_add(ret_said, result.output.data, result.output.len);
	buf_free(&result.output);
	return rc;
}

static int bound(struct vm_bed *b, const char *const *programs, uint64_t bytes, struct err *err)
{
	auto_buf struct buf pids = {0};
	auto_free char *line = NULL;
	int rc = vm_pids_of(b, programs, &pids, err);

	if (rc || !pids.len)
		return rc;
	line = text_fmt("exec 2>&1; set -e; mkdir -p " CGROUP "; mountpoint -q " CGROUP
			" || mount -t cgroup2 none " CGROUP "; cd " CGROUP
			"; echo +memory >cgroup.subtree_control; mkdir -p bound"
			"; echo %" PRIu64 " >bound/memory.max"
			"; for p in %s; do echo $p >bound/cgroup.procs || [ ! -d /proc/$p ]; done",
		bytes, buf_text(&pids));
	return shell(b, line, NULL, err);
}

/* A process that was ended leaves its cgroup when it is reaped. */
static int unbound(struct vm_bed *b, struct err *err)
{
	return shell(b,
		"exec 2>&1; cd " BOUND " 2>/dev/null || exit 0; echo max >memory.max"
		"; while grep -q . cgroup.procs; do for p in $(cat cgroup.procs)"
		"; do echo $p >../cgroup.procs || [ ! -d /proc/$p ]; done; done"
		"; cd ..; until rmdir bound 2>/dev/null; do [ -d bound ] || break; done"
		"; echo -memory >cgroup.subtree_control; cd / && umount " CGROUP,
		NULL, err);
}

int vm_bound_memory(struct bed *bed, const char *const *programs, uint64_t bytes, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;

	return programs ? bound(b, programs, bytes, err) : unbound(b, err);
}

int vm_memory_met(struct bed *bed, uint64_t *ret, struct err *err)
{
	auto_buf struct buf said = {0};
	int rc = shell((struct vm_bed *)bed,
		"[ ! -d " BOUND " ] || awk '$1 == \"max\" { print $2 }' " BOUND "/memory.events",
		&said, err);

	*ret = rc ? 0 : strtoull(buf_text(&said), NULL, 10);
	return rc;
}

int vm_memory_residue(struct vm_bed *b, json_t *ret, struct err *err)
{
	auto_buf struct buf said = {0};
	int rc = shell(b, "[ ! -d " BOUND " ] || echo bound", &said, err);

	if (!rc && said.len)
		json_array_append_new(
			ret, json_string("the memory of some processes is still bounded"));
	return rc;
}

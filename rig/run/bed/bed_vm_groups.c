/*
 * What runs out for some processes together, memory or processes: they are moved into a cgroup of their own that has a
 * bound (Linux, Documentation/admin-guide/cgroup-v2.rst: memory.max, pids.max, *.events), and whom they beget is in
 * it too. Memory that they have stays charged where it was, so its bound is what they may still take; each task counts
 * wherever it came from, so the bound of processes is how many there are and those that may still be made.
 */
#include "run/bed/bed_vm_core.h"

#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

#define CGROUP	"/run/rig/cgroup"
#define TAKE_MS 30000

/* One kind of bound: a folder of CGROUP, which is residue if it is there. */
struct group {
	const char *name, *controller;
	const char *bound; /* how it is put in force, with $n for the number that is asked for */
	const char *left;  /* the residue */
};

static const struct group memory = {"bound", "memory", "echo $n >bound/memory.max",
	"the memory of some processes is still bounded"};
static const struct group tasks = {"few", "pids",
	"echo $(($(cat few/pids.current) + n)) >few/pids.max",
	"the number of some processes is still bounded"};

static int shell(struct vm_bed *b, const char *line, struct buf *ret_said, struct err *err)
{
	struct command_result result = {0};
	int rc = b->bed.ops->run(&b->bed, line, NULL, TAKE_MS, false, &result, err);

	if (!rc && (result.timed_out || result.status))
		rc = err_set(err, -EIO, "what the guest's processes may have: %s",
			result.output.len ? buf_text(&result.output) : "no reason was given");
	if (!rc && ret_said)
		buf_add(ret_said, result.output.data, result.output.len);
	buf_free(&result.output);
	return rc;
}

/* Memory is bounded before they come, for what they have is not counted; tasks are, so they come first. */
static int bound(struct vm_bed *b, const struct group *group, const char *const *programs,
	uint64_t n, struct err *err)
{
	bool first = group == &memory;
	auto_buf struct buf pids = {0};
	auto_free char *line = NULL;
	int rc = vm_pids_of(b, programs, &pids, err);

	if (rc || !pids.len)
		return rc;
	line = text_fmt("exec 2>&1; set -e; n=%" PRIu64 "; mkdir -p " CGROUP
			"; mountpoint -q " CGROUP " || mount -t cgroup2 none " CGROUP "; cd " CGROUP
			"; echo +%s >cgroup.subtree_control; mkdir -p %s; %s"
			"; for p in %s; do echo $p >%s/cgroup.procs || [ ! -d /proc/$p ]; done; %s",
		n, group->controller, group->name, first ? group->bound : ":", buf_text(&pids),
		group->name, first ? ":" : group->bound);
	return shell(b, line, NULL, err);
}

/* A process that was ended leaves its cgroup when it is reaped. Others may be in force, and one that holds a thread. */
static int unbound(struct vm_bed *b, const struct group *group, struct err *err)
{
	auto_free char *line = text_fmt(
		"exec 2>&1; cd " CGROUP "/%s 2>/dev/null || exit 0; echo max >%s.max; while grep "
		"-q . cgroup.procs; do for p in $(cat cgroup.procs)"
		"; do echo $p >../cgroup.procs || [ ! -d /proc/$p ]; done; done"
		"; cd ..; until rmdir %s 2>/dev/null; do [ -d %s ] || break; done"
		"; echo -%s >cgroup.subtree_control; cd /; set -- " CGROUP
		"/*/; [ -d \"$1\" ] || umount " CGROUP,
		group->name, group->controller, group->name, group->name, group->controller);

	return shell(b, line, NULL, err);
}

/* So often somebody wanted more than there was, as the kernel counts it. */
static int count_met(struct vm_bed *b, const struct group *group, uint64_t *ret, struct err *err)
{
	auto_buf struct buf said = {0};
	auto_free char *line =
		text_fmt("[ ! -d " CGROUP "/%s ] || awk '$1 == \"max\" { print $2 }' " CGROUP
			 "/%s/%s.events",
			group->name, group->name, group->controller);
	int rc = shell(b, line, &said, err);

	*ret = rc ? 0 : strtoull(buf_text(&said), NULL, 10);
	return rc;
}

int vm_bound_memory(struct bed *bed, const char *const *programs, uint64_t bytes, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;

	return programs ? bound(b, &memory, programs, bytes, err) : unbound(b, &memory, err);
}

int vm_memory_met(struct bed *bed, uint64_t *ret, struct err *err)
{
	return count_met((struct vm_bed *)bed, &memory, ret, err);
}

int vm_bound_tasks(struct bed *bed, const char *const *programs, uint64_t spare, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;

	return programs ? bound(b, &tasks, programs, spare, err) : unbound(b, &tasks, err);
}

int vm_tasks_met(struct bed *bed, uint64_t *ret, struct err *err)
{
	return count_met((struct vm_bed *)bed, &tasks, ret, err);
}

int vm_groups_residue(struct vm_bed *b, json_t *ret, struct err *err)
{
	static const struct group *const groups[] = {&memory, &tasks};
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(groups) && !rc; i++) {
		auto_free char *path = text_fmt(CGROUP "/%s", groups[i]->name);
		bool there = false;

		rc = witness_there(b->witness, path, deadline_in_ms(TAKE_MS), &there, err);
		if (!rc && there)
			json_array_append_new(ret, json_string(groups[i]->left));
	}
	return rc;
}

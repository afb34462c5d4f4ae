/* Whose user stacks are worth the time they take. */
#include "run/watch.h"

#include "diagnose/diagnose.h"
#include "run/rig_programs.h"

static size_t add_tid(int tid, int tids[BED_STACKS_MAX], size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (tids[i] == tid)
			return count;
	if (count < BED_STACKS_MAX)
		tids[count++] = tid;
	return count;
}

/* What else runs in that process: who should have woken the culprit is told by its stack. */
static size_t add_process(const json_t *scan, int pid, int tids[BED_STACKS_MAX], size_t count)
{
	json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (json_get_int(task, "pid", 0) == pid)
			count = add_tid((int)json_get_int(task, "tid", 0), tids, count);
	return count;
}

size_t watch_suspects(const struct cell *cell, const json_t *healthy, const json_t *scan,
	int tids[BED_STACKS_MAX])
{
	struct diagnosis diagnosis;
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 1.0);
	size_t count = 0;

	diagnose(&(struct diagnose_input){.scan = scan,
			 .healthy = healthy,
			 .owed = owed,
			 .frozen = json_get_bool(scan, "frozen", false),
			 .target = cell->target,
			 .ours = rig_programs},
		&diagnosis);
	for (size_t i = 0; i < diagnosis.culprit_count; i++)
		count = add_tid(diagnosis.culprits[i].tid, tids, count);
	if (count)
		count = add_process(scan, diagnosis.culprits[0].pid, tids, count);
	diagnosis_free(&diagnosis);
	return count;
}

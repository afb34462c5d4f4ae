/* Whose user stacks are worth the time they take. */
#include "run/watch/watch.h"

#include "diagnose/diagnose.h"
#include "run/rig_programs.h"
#include "run/bed/stacks.h"

size_t watch_suspects(const struct cell *cell, const json_t *healthy, const json_t *scan,
	int tids[BED_STACKS_MAX])
{
	struct diagnosis diagnosis;
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 1.0);
	size_t count;

	diagnose(&(struct diagnose_input){.scan = scan,
			 .healthy = healthy,
			 .owed = owed,
			 .frozen = json_get_bool(scan, "frozen", false),
			 .target = cell->target,
			 .ours = rig_programs},
		&diagnosis);
	count = stacks_wanted(&diagnosis, scan, tids);
	diagnosis_free(&diagnosis);
	return count;
}

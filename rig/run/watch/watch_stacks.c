/* Whose user stacks are worth the time they take. */
#include "run/watch/watch_core.h"

#include "run/rig_programs.h"
#include "run/bed/stacks.h"

void watch_suspects(
	const struct cell *cell, const struct diagnose_input *seen, struct bed_stacks *ret)
{
	struct diagnose_input input = *seen;
	struct diagnosis diagnosis;
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 1.0);

	input.owed = owed;
	input.frozen = json_get_bool(seen->scan, "frozen", false);
	input.target = cell->target;
	input.ours = rig_programs;
	diagnose(&input, &diagnosis);
	stacks_wanted(&diagnosis, seen->scan, ret);
	diagnosis_free(&diagnosis);
}

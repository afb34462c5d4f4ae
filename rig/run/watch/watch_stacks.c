/* What is worth the time of another look: calls of those who sleep, and user stacks. */
#include "run/watch/watch_core.h"

#include "base/log.h"
#include "run/bed/stacks.h"
#include "run/rig_programs.h"

static void judge(const struct cell *cell, const struct diagnose_input *seen, struct diagnosis *ret)
{
	struct diagnose_input input = *seen;
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 1.0);

	input.owed = owed;
	input.frozen = json_get_bool(seen->scan, "frozen", false);
	input.target = cell->target;
	input.ours = rig_programs;
	diagnose(&input, ret);
}

/* Of an instant alone it is not known who goes on. */
static bool add_tries(const struct cell *cell, const struct diagnose_input *seen,
	const struct diagnosis *diagnosis, json_t *scan)
{
	return seen->earlier && diagnosis->sleeper_count && bed_has(cell->bed, tries) &&
	       cell->bed->ops->tries(cell->bed, scan, diagnosis->sleepers, diagnosis->sleeper_count,
		       diagnosis->follow_ms);
}

bool watch_look_closer(const struct cell *cell, const struct diagnose_input *seen, json_t *scan)
{
	struct diagnosis diagnosis;
	struct bed_stacks wanted = {0};
	struct err err = {0};
	bool tries;

	judge(cell, seen, &diagnosis);
	tries = add_tries(cell, seen, &diagnosis, scan);
	if (tries) {
		diagnosis_free(&diagnosis);
		judge(cell, seen, &diagnosis);
	}
	if (bed_has(cell->bed, stacks))
		stacks_wanted(&diagnosis, scan, &wanted);
	diagnosis_free(&diagnosis);
	if (wanted.count && cell->bed->ops->stacks(cell->bed, scan, &wanted, &err))
		log_line("watch: %s", err.text);
	return tries || wanted.count;
}

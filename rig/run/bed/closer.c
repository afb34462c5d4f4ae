#include "run/bed/closer.h"

#include "run/bed/tries.h"

#include <assert.h>

void closer_look(
	const struct stack_source *source, const struct diagnose_input *input, json_t *scan)
{
	struct diagnosis diagnosis;
	struct bed_stacks wanted;

	assert(input->scan == scan);
	diagnose(input, &diagnosis);
	if (tries_add(source->witness, scan, diagnosis.sleepers, diagnosis.sleeper_count,
		    diagnosis.follow_ms)) {
		diagnosis_free(&diagnosis);
		diagnose(input, &diagnosis);
	}
	stacks_wanted(&diagnosis, scan, &wanted);
	stacks_add(source, scan, &wanted);
	diagnosis_free(&diagnosis);
}

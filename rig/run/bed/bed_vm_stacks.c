/* Stacks, cores and what is asked for of the bed's own machine (run/bed/stacks.h). */
#include "run/bed/bed_vm_core.h"
#include "run/bed/stacks.h"
#include "run/bed/tries.h"

#include <errno.h>

int vm_stacks(struct bed *bed, json_t *scan, const struct bed_stacks *wanted, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;
	const struct stack_source source = {.witness = b->witness, .spec = b->spec};

	if (b->halted)
		return err_set(err, -EBUSY, "the machine is halted and no stack can be read");
	stacks_add(&source, scan, wanted);
	return 0;
}

bool vm_tries(struct bed *bed, json_t *scan, const int *tids, size_t count, int ms)
{
	struct vm_bed *b = (struct vm_bed *)bed;

	return !b->halted && tries_add(b->witness, scan, tids, count, ms);
}

int vm_core(struct bed *bed, const char *path, json_t **ret, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;
	const struct stack_source source = {.witness = b->witness, .spec = b->spec};

	return core_read(&source, path, ret, err);
}

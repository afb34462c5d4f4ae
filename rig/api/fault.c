#include "api/fault.h"

#include "base/cleanup.h"

#include <string.h>

static const char *const family_names[] = {
	[FAMILY_FREEZE] = "freeze",
	[FAMILY_DISABLED_MTA] = "disabled-mta",
	[FAMILY_CONCURRENT_DELETE] = "concurrent-delete",
	[FAMILY_ERRNO] = "errno",
	[FAMILY_POWER] = "power",
};

const char *fault_family_name(enum fault_family family)
{
	return (size_t)family < ARRAY_SIZE(family_names) ? family_names[family] : "?";
}

const struct fault *fault_find(const char *name)
{
	for (const struct fault *const *fault = faults; *fault; fault++)
		if (!strcmp((*fault)->name, name))
			return *fault;
	return NULL;
}

int fault_poll_pending(struct fault_run *run, struct err *err)
{
	uint32_t pending = run->pending(run->arg);

	(void)err;
	if (pending > run->fired)
		run->fired = pending;
	return 0;
}

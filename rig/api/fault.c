#include "api/fault.h"

#include "base/cleanup.h"

#include <errno.h>
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

bool fault_is_silence(const char *name)
{
	return strstr(name, "silent");
}

int fault_any_target(const struct step *step, const struct target *target, struct err *err)
{
	(void)step;
	(void)target;
	(void)err;
	return 0;
}

int fault_poll_pending(struct fault_run *run, struct err *err)
{
	uint32_t pending = run->pending(run->arg);

	(void)err;
	if (pending > run->fired)
		run->fired = pending;
	return 0;
}

static const char *const model_names[] = {
	[POWER_GUEST_DIES] = "guest-dies",
	[POWER_CACHE_LOST] = "cache-lost",
	[POWER_ANY_PREFIX] = "any-prefix",
	[POWER_ANY_SUBSET] = "any-subset",
};

const char *power_model_name(enum power_model model)
{
	return (size_t)model < ARRAY_SIZE(model_names) ? model_names[model] : "?";
}

int power_model_from_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(model_names); i++)
		if (!strcmp(model_names[i], name))
			return (int)i;
	return -EINVAL;
}

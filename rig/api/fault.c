#include "api/fault.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/units.h"

#include <errno.h>
#include <string.h>

#define SPARE_MAX 1024

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

static const struct {
	enum fault_is is;
	const char *name;
} is_names[] = {
	{FAULT_SILENT, "silent"},
	{FAULT_DRIPS, "drips"},
	{FAULT_KILLS, "kills"},
	{FAULT_CUTS_POWER, "cuts-power"},
	{FAULT_REMOVES, "removes"},
	{FAULT_HALTS, "halts"},
	{FAULT_DELIVERY, "delivery"},
	{FAULT_QUOTA, "quota"},
};

unsigned int fault_is_in(const struct fault *fault, const struct step *step)
{
	bool quota = step->errno_name && !strcmp(step->errno_name, "EDQUOT");

	return fault->is | (quota ? FAULT_QUOTA : 0);
}

void fault_is_say(unsigned int is, json_t *line)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(is_names); i++)
		if (is & is_names[i].is)
			json_array_append_new(list, json_string(is_names[i].name));
	json_object_set_new(line, "is", list);
}

unsigned int fault_is_read(const json_t *line)
{
	const json_t *list = json_object_get(line, "is");
	const struct fault *fault = fault_find(json_get_text(line, "fault", ""));
	unsigned int is = 0;
	const json_t *one;
	size_t at;

	if (!json_is_array(list))
		return fault ? fault->is : 0;
	json_array_foreach (list, at, one)
		for (size_t i = 0; i < ARRAY_SIZE(is_names); i++)
			if (json_is_string(one) &&
				!strcmp(json_string_value(one), is_names[i].name))
				is |= is_names[i].is;
	return is;
}

int fault_any_target(const struct step *step, const struct target *target, struct err *err)
{
	(void)step;
	(void)target;
	(void)err;
	return 0;
}

int fault_nothing(struct fault_run *run, struct err *err)
{
	(void)run;
	(void)err;
	return 0;
}

void fault_met(struct fault_run *run, uint64_t met)
{
	if (met > run->fired)
		run->fired = met;
}

int fault_poll_count(struct fault_run *run,
	int (*count)(struct bed *bed, uint64_t *ret, struct err *err), struct err *err)
{
	uint64_t met = 0;
	int rc = count(run->bed, &met, err);

	if (!rc)
		fault_met(run, met);
	return rc;
}

int fault_poll_pending(struct fault_run *run, struct err *err)
{
	(void)err;
	fault_met(run, run->pending(run->arg));
	return 0;
}

int fault_check_role(const struct step *step, const struct target *target, struct err *err)
{
	if (!target_role(target, step->role))
		return err_set(err, -ENOTSUP, "no role '%s'", step->role);
	return 0;
}

void fault_programs(const struct fault_run *run, const char *ret[ROLE_PROGRAMS_MAX + 1])
{
	role_programs(target_role(run->target, run->step->role), ret);
}

int fault_spare(const struct step *step, uint64_t *ret, struct err *err)
{
	const char *text = step_param(step, "spare");

	*ret = 0;
	return text ? parse_count("spare", text, SPARE_MAX, ret, err) : 0;
}

int fault_check_spare(const struct step *step, const struct target *target, struct err *err)
{
	uint64_t spare;

	return fault_spare(step, &spare, err) ? -EINVAL : fault_check_role(step, target, err);
}

int fault_check_disk(const struct step *step, const struct target *target, struct err *err)
{
	const char *what = step_param(step, "what");

	if (what && strcmp(what, "inodes") && strcmp(what, "bytes"))
		return err_set(err, -EINVAL, "'what: %s' is neither bytes nor inodes", what);
	if (!target_disk(target, step->path))
		return err_set(err, -ENOTSUP, "no disk '%s'", step->path);
	return 0;
}

enum disk_fill fault_disk_fill(const struct step *step)
{
	const char *what = step_param(step, "what");

	return what && !strcmp(what, "inodes") ? DISK_INODES : DISK_BYTES;
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

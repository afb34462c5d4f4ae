#include "api/call_rule.h"

#include <stdio.h>
#include <string.h>

struct rule_texts { /* what the rule's pointers point to */
	const char *programs[CALL_PROGRAMS_MAX + 1];
	const char *traced[CALL_PROGRAMS_MAX + 1];
	const char *globs[CALL_GLOBS_MAX + 1];
	char *owned[CALL_GLOBS_MAX];
};

/* A store's own points begin with its name. */
static bool of_target(const char *point, const struct target *target)
{
	size_t len = strcspn(point, "/");

	return strlen(target->name) == len && !strncmp(point, target->name, len);
}

static bool function_name(const char *name)
{
	static const char bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_.$@";

	return *name && strlen(name) < CALL_NAME_MAX && !name[strspn(name, bytes)];
}

static bool kind_of_descriptor(const char *kind)
{
	static const char *const kinds[] = {"file", "dir", "socket", "pipe", "other"};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i], kind))
			return true;
	return false;
}

/* A point of a store, or a word for one that this target does not map. */
static bool may_exist(const char *point)
{
	if (strchr(point, '/'))
		return strncmp(point, "posix/", 6) && strncmp(point, "libc/", 5);
	return target_point_known(point);
}

int call_rule_check(
	const struct step *step, const struct target *target, bool known, struct err *err)
{
	const char *kind = step_param(step, "kind");

	if (!known && !may_exist(step->point))
		return err_set(err, -EINVAL, "'point: %s' does not exist", step->point);
	if (kind && !kind_of_descriptor(kind))
		return err_set(err, -EINVAL,
			"'kind: %s' is none of file, dir, socket, pipe and other", kind);
	if (step->caller && !function_name(step->caller))
		return err_set(err, -EINVAL, "'caller: %s' is no name of a function", step->caller);
	if (step->role && !target_role(target, step->role))
		return err_set(err, -ENOTSUP, "no role '%s'", step->role);
	if (!known && !of_target(step->point, target))
		return err_set(err, -ENOTSUP, "no point '%s'", step->point);
	if (step->path && step->path[0] != '/' && !target_paths(target, step->path))
		return err_set(err, -ENOTSUP, "no path '%s'", step->path);
	return 0;
}

/* `{user}` becomes the user that the step, or the step it is about, names; else any. */
static char *fill_user(const char *glob, const char *user)
{
	static const char mark[] = "{user}";
	const char *at = strstr(glob, mark);

	if (!at)
		return text_dup(glob);
	return text_fmt(
		"%.*s%s%s", (int)(at - glob), glob, user ? user : "*", at + sizeof(mark) - 1);
}

static const char *user_of(const struct fault_run *run)
{
	if (run->step->user)
		return run->step->user;
	return run->about ? run->about->user : NULL;
}

size_t call_rule_globs(const struct fault_run *run, char *ret[static CALL_GLOBS_MAX])
{
	const struct path_set *set = target_paths(run->target, run->step->path);
	size_t count = 0;

	if (!set)
		ret[count++] = text_dup(run->step->path);
	for (size_t i = 0; set && i < set->globs.count && count < CALL_GLOBS_MAX; i++)
		ret[count++] = fill_user(set->globs.at[i], user_of(run));
	return count;
}

static void add_globs(const struct fault_run *run, struct call_rule *rule, struct rule_texts *texts)
{
	size_t count = call_rule_globs(run, texts->owned);

	for (size_t i = 0; i < count; i++)
		texts->globs[i] = texts->owned[i];
	rule->globs = texts->globs;
}

static size_t list_programs(
	const struct fault_run *run, const struct text_list *but, struct rule_texts *texts)
{
	size_t count = 0;

	for (size_t i = 0; i < run->target->role_count; i++) {
		const struct role *role = &run->target->roles[i];

		if (run->step->role && strcmp(run->step->role, role->name))
			continue;
		for (size_t k = 0; k < role->programs.count && count < CALL_PROGRAMS_MAX; k++)
			if (!text_list_has(but, role->programs.at[k]))
				texts->programs[count++] = role->programs.at[k];
	}
	return count;
}

bool call_rule_traced(const struct step *step)
{
	const struct fault *fault = step->what ? fault_find(step->what) : NULL;

	return fault && fault->traced && step->role && step->point && !step->caller &&
	       fault->traced(step->point);
}

static void add_traced(
	const struct text_list *unreached, struct call_rule *rule, struct rule_texts *texts)
{
	size_t count = 0;

	for (size_t i = 0; texts->programs[i]; i++)
		if (text_list_has(unreached, texts->programs[i]))
			texts->traced[count++] = texts->programs[i];
	if (count)
		rule->traced = texts->traced;
}

/* Without a role: whatever is the store's. The rig's own commands in the guest are never meant, and who has no calls
 * that could be reached only where nobody else is: then the bed says so. */
static void add_programs(
	const struct fault_run *run, struct call_rule *rule, struct rule_texts *texts)
{
	const struct text_list nobody = {0}, *unreached = &run->target->unreached;
	bool traced = call_rule_traced(run->step);
	size_t count = list_programs(run, traced ? &nobody : unreached, texts);

	if (!count)
		count = list_programs(run, &nobody, texts);
	if (count)
		rule->programs = texts->programs;
	if (traced)
		add_traced(unreached, rule, texts);
}

static void make_rule(const struct fault_run *run, const char *action, struct call_rule *ret,
	struct rule_texts *texts)
{
	const struct step *step = run->step;

	*ret = (struct call_rule){
		.slot = run->slot,
		.point = step->point,
		.action = action,
		.errno_name = step->errno_name,
		.caller = step->caller,
		.kind = step_param(step, "kind"),
		.hit = step->hit,
		.calls = step->calls,
	};
	add_programs(run, ret, texts);
	if (step->path)
		add_globs(run, ret, texts);
}

int call_rule_fire(struct fault_run *run, const char *action, struct err *err)
{
	struct rule_texts texts = {0};
	struct call_rule rule;
	int rc;

	make_rule(run, action, &rule, &texts);
	rc = run->bed->ops->arm(run->bed, &rule, &run->in_guest_ns, err);
	for (size_t i = 0; i < CALL_GLOBS_MAX; i++)
		free(texts.owned[i]);
	return rc;
}

/* Why nothing fired: the calls may pass the library by, or be others than meant. */
static void say_unfired(struct fault_run *run, const struct call_status *status)
{
	if (!status->met)
		snprintf(run->text, sizeof(run->text),
			"no program meant came to '%.60s' by a call that the preload reaches%s",
			run->step->point, call_rule_traced(run->step) ? " or ptrace shows" : "");
	else if (status->strangers)
		snprintf(run->text, sizeof(run->text),
			"%llu calls, by programs that export no function '%.60s'",
			(unsigned long long)status->strangers, run->step->caller);
	else if (status->missed)
		snprintf(run->text, sizeof(run->text), "%llu calls whose path could not be known",
			(unsigned long long)status->missed);
	else
		snprintf(run->text, sizeof(run->text),
			"%llu calls came to '%.60s', %llu of them meant, and it waited for number "
			"%u",
			(unsigned long long)status->met, run->step->point,
			(unsigned long long)status->hits, run->step->hit);
}

int call_rule_poll(struct fault_run *run, struct err *err)
{
	struct call_status status;
	int rc = run->bed->ops->call_status(run->bed, run->slot, &status, err);

	if (!rc && status.fired > run->fired)
		run->fired = status.fired;
	run->text[0] = '\0';
	if (!rc && !run->fired)
		say_unfired(run, &status);
	return rc;
}

int call_rule_heal(struct fault_run *run, struct err *err)
{
	return run->bed->ops->disarm(run->bed, run->slot, err);
}

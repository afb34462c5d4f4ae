/* Which cells: names and globs, all targets that can, and why the others cannot. */
#include "run/plan/plan.h"

#include "api/fault.h"
#include "base/fs.h"
#include "base/units.h"
#include "run/plan/actions.h"
#include "run/plan/fallback.h"
#include "run/plan/mail_source.h"
#include "run/plan/orders.h"
#include "run/plan/scenario_load.h"
#include "run/plan/target_load.h"
#include "run/plan/target_reach.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#define NAMES_MAX 4096

/* ---- the names in the repository ---- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int plan_names(const char *root, enum plan_names kind, struct text_list *ret, struct err *err)
{
	bool scenarios = kind == PLAN_SCENARIOS;
	auto_free char *dir = path_join(root, scenarios ? "tests/scenarios" : "targets");
	DIR *stream = opendir(dir);

	*ret = (struct text_list){0};
	if (!stream)
		return err_sys(err, errno, "cannot read '%s'", dir);
	for (struct dirent *entry; (entry = readdir(stream)) && ret->count < NAMES_MAX;) {
		auto_free char *name = text_dup(entry->d_name);
		char *dot = strrchr(name, '.');
		auto_free char *yaml = NULL;

		if (!fs_name_ok(name) || (scenarios && (!dot || strcmp(dot, ".yaml"))))
			continue;
		if (scenarios)
			*dot = '\0';
		yaml = scenarios ? NULL : text_fmt("%s/%s/target.yaml", dir, name);
		if (yaml && !fs_exists(yaml))
			continue;
		ret->at = mem_grow(ret->at, ret->count + 1, sizeof(*ret->at));
		ret->at[ret->count++] = text_dup(name);
	}
	closedir(stream);
	if (ret->count)
		qsort(ret->at, ret->count, sizeof(*ret->at), by_text);
	return 0;
}

/* ---- making a plan ---- */

struct maker {
	const struct plan_request *request;
	struct text_list scenario_names, target_names;
	struct scenario **scenarios;
	size_t scenario_count;
	struct plan_list *list;
	struct buf *complaints;
	uint32_t mistakes;
	struct target_reach reach[TARGET_REACH_MAX]; /* of the target that is planned now */
	size_t reach_count;			     /* 0: not known yet, so nothing is refused */
};

static void complain_unknown(
	struct maker *m, const char *what, const char *name, const struct text_list *known)
{
	const char **names = mem_zero(known->count + 1, sizeof(*names));
	const char *near;

	for (size_t i = 0; i < known->count; i++)
		names[i] = known->at[i];
	near = nearest_name(name, names);
	buf_addf(m->complaints, "no %s '%s'", what, name);
	if (near)
		buf_addf(m->complaints, "; did you mean '%s'?", near);
	else
		buf_addf(m->complaints, "; see: mailrig list %ss", what);
	buf_addc(m->complaints, '\n');
	m->mistakes++;
	free(names);
}

static void load_scenario(struct maker *m, const char *path)
{
	struct scenario *scenario = NULL;
	struct err err = {0};
	int rc = scenario_load(path, &plan_vocabulary, m->complaints, &scenario, &err);

	if (rc) {
		if (rc != -EINVAL)
			buf_addf(m->complaints, "%s\n", err.text);
		m->mistakes++;
		return;
	}
	m->scenarios = mem_grow(m->scenarios, m->scenario_count + 1, sizeof(*m->scenarios));
	m->scenarios[m->scenario_count++] = scenario;
}

static void find_scenarios(struct maker *m, const char *word)
{
	bool found = false;

	if (strchr(word, '/') || strstr(word, ".yaml")) {
		load_scenario(m, word);
		return;
	}
	for (size_t i = 0; i < m->scenario_names.count; i++) {
		auto_free char *path = NULL;

		if (fnmatch(word, m->scenario_names.at[i], 0))
			continue;
		found = true;
		path = text_fmt(
			"%s/tests/scenarios/%s.yaml", m->request->root, m->scenario_names.at[i]);
		load_scenario(m, path);
	}
	if (!found)
		complain_unknown(m, "scenario", word, &m->scenario_names);
}

static bool speaks(const struct target *target, const char *service)
{
	return target_service_by(target, (enum protocol)protocol_from_name(service));
}

static bool offers_tls(const struct target *target, const char *service)
{
	return target_service_by(target, (enum protocol)protocol_from_name(service))->starttls;
}

static void fill(char **at, const char *text)
{
	if (!*at && text)
		*at = text_dup(text);
}

/* A point named by a word becomes the target's own; what the step says itself stays. */
static void name_points(struct plan *plan)
{
	for (size_t i = 0; i < plan->scenario->step_count; i++) {
		struct step *step = &plan->scenario->steps[i];
		const struct named_point *named =
			step->point ? target_point(plan->target, step->point) : NULL;

		if (!named)
			continue;
		free(step->point);
		step->point = text_dup(named->point);
		fill(&step->role, named->role);
		fill(&step->path, named->path);
		fill(&step->caller, named->caller);
	}
}

/* The target's own word on it stands behind: no X: why it has none. */
static char *with_reason(char *skip, const struct target *target)
{
	const char *what = skip && !strncmp(skip, "no ", 3) ? skip + 3 : skip;
	const char *why = what ? target_lack(target, what) : NULL;
	char *whole = why ? text_fmt("%s: %s", skip, why) : NULL;

	if (!whole)
		return skip;
	free(skip);
	return whole;
}

/* Why this target cannot take this scenario, or NULL. */
static char *why_not(struct maker *m, const struct scenario *scenario, const struct target *target)
{
	if (scenario->targets.count && !text_list_has(&scenario->targets, target->name))
		return text_fmt("it is written for '%s' alone", scenario->targets.at[0]);
	if (target->settings.count && !target_command(target, "configure"))
		return text_dup("no configure");
	for (size_t i = 0; i < scenario->step_count + scenario->workload_count; i++) {
		const struct step *step = i < scenario->step_count
						  ? &scenario->steps[i]
						  : &scenario->workload[i - scenario->step_count];
		const struct fault *fault = fault_find(step->what);
		const struct action *action = action_find(step->what);
		struct err err = {0};
		char *reach;
		int rc = 0;

		if (fault && fault->check)
			rc = fault->check(step, target, &err);
		if (rc == -EINVAL) {
			buf_addf(
				m->complaints, "%s:%d: %s\n", scenario->file, step->line, err.text);
			m->mistakes++;
			return NULL;
		}
		if (rc)
			return text_dup(err.text);
		reach = fault && !fallback_is_traced(m->reach, m->reach_count, step)
				? target_reach_why_not(m->reach, m->reach_count, step, fault)
				: NULL;
		if (reach)
			return reach;
		if (mail_source_lacks(step))
			return text_dup("no real mail here; run make corpus");
		if (action && action->path && !target_paths(target, action->path))
			return text_fmt("no paths.%s", action->path);
		if (action && action->command && !target_command(target, action->command))
			return text_fmt("no %s", action->command);
		if (action && action->service && !speaks(target, action->service))
			return text_fmt("no %s service", action->service);
		if (step_wants_tls(step) && !offers_tls(target, action->service))
			return text_fmt("no tls of the %s service", action->service);
	}
	return NULL;
}

/* SCENARIO.TARGET.SLOT, then the order's number and the turn, where there are several. */
static char *cell_id(const struct plan *shape, uint32_t order, uint32_t turn)
{
	auto_free char *first =
		text_fmt("%s.%s.%u", shape->scenario->name, shape->target->name, shape->slot);
	auto_free char *second = order ? text_fmt("%s.order-%u", first, order) : text_dup(first);

	return turn > 1 ? text_fmt("%s.%u", second, turn) : text_dup(second);
}

/* `order`: the n-th of those that the sides can meet in, from 1; 0: as written. */
static void add_plan(struct maker *m, const struct scenario *scenario, const struct target *target,
	uint32_t slot, uint32_t order, uint32_t turn)
{
	struct plan shape = {.kind = PLAN_CELL, .slot = slot};
	struct plan *plan;
	char *why;

	shape.scenario = (struct scenario *)scenario;
	shape.target = (struct target *)target;
	shape.seed = m->request->seed + slot - 1;
	shape.id = cell_id(&shape, order, turn);
	plan = plan_copy(&shape);
	name_points(plan);
	fallback_find(plan, m->reach, m->reach_count);
	why = with_reason(why_not(m, plan->scenario, target), target);
	if (plan->skip)
		free(why);
	else
		plan->skip = why;
	if (order)
		orders_nth(scenario, order - 1, &plan->order);
	free(shape.id);
	m->list->at = mem_grow(m->list->at, m->list->count + 1, sizeof(*m->list->at));
	m->list->at[m->list->count++] = plan;
}

static bool wants(
	const struct scenario *scenario, const struct plan_request *request, const char *target)
{
	if (request->targets) {
		for (size_t i = 0; request->targets[i]; i++)
			if (!strcmp(request->targets[i], target))
				return true;
		return false;
	}
	for (size_t i = 0; i < scenario->targets.count; i++)
		if (!strcmp(scenario->targets.at[i], target))
			return true;
	return !scenario->targets.count;
}

/* Every turn of a slot in every order. */
static void plan_slot(struct maker *m, const struct scenario *scenario, const struct target *target,
	uint32_t slot)
{
	uint32_t turns = m->request->repeat ? m->request->repeat : 1;
	uint32_t last = scenario->orders == ORDERS_ALL ? orders_count(scenario) : 0;

	for (uint32_t order = last ? 1 : 0; order <= last; order++)
		for (uint32_t turn = 1; turn <= turns; turn++)
			if (m->list->count < PLAN_CELLS_MAX)
				add_plan(m, scenario, target, slot, order, turn);
}

static void plan_target(struct maker *m, const struct target *target)
{
	const struct plan_request *request = m->request;
	int rc;

	target_reach_free(m->reach, m->reach_count);
	rc = target_reach(target, request->root, m->reach, &m->reach_count, NULL);
	if (rc && rc != -ENOENT) {
		target_reach_free(m->reach, m->reach_count);
		m->reach_count = 0;
	}
	for (size_t i = 0; i < m->scenario_count; i++) {
		const struct scenario *scenario = m->scenarios[i];
		uint32_t seeds = request->seeds ? request->seeds : scenario->seeds;

		if (!wants(scenario, request, target->name))
			continue;
		for (uint32_t slot = 1; slot <= seeds; slot++)
			plan_slot(m, scenario, target, slot);
	}
}

static void take_settings(const struct plan_request *request, struct target *target)
{
	struct text_list *list = &target->settings;

	for (size_t i = 0; request->settings && request->settings[i]; i++) {
		list->at = mem_grow(list->at, list->count + 1, sizeof(*list->at));
		list->at[list->count++] = text_dup(request->settings[i]);
	}
}

static void load_targets(struct maker *m)
{
	for (size_t i = 0; i < m->target_names.count; i++) {
		auto_free char *dir =
			text_fmt("%s/targets/%s", m->request->root, m->target_names.at[i]);
		struct target *target = NULL;
		struct err err = {0};
		int rc = target_load(dir, oracles, m->complaints, &target, &err);

		if (rc) {
			if (rc != -EINVAL)
				buf_addf(m->complaints, "%s\n", err.text);
			m->mistakes++;
			continue;
		}
		take_settings(m->request, target);
		plan_target(m, target);
		target_free(target);
	}
}

/* NAME=VALUE of letters, digits, '_', '-' and '.': it goes through the guest's shell. */
static bool setting_ok(const char *setting)
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
	static const char value[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
	size_t len = strspn(setting, name);

	return len && setting[len] == '=' && setting[len + 1] &&
	       !setting[len + 1 + strspn(setting + len + 1, value)];
}

static void check_settings(struct maker *m)
{
	size_t count = 0;

	for (; m->request->settings && m->request->settings[count]; count++)
		if (!setting_ok(m->request->settings[count])) {
			buf_addf(m->complaints, "'%s' is no setting: say NAME=VALUE\n",
				m->request->settings[count]);
			m->mistakes++;
		}
	if (count > PLAN_SETTINGS_MAX) {
		buf_addf(m->complaints, "more than %u settings\n", PLAN_SETTINGS_MAX);
		m->mistakes++;
	}
}

static void check_names(struct maker *m)
{
	for (size_t i = 0; m->request->targets && m->request->targets[i]; i++)
		if (!text_list_has(&m->target_names, m->request->targets[i]))
			complain_unknown(m, "target", m->request->targets[i], &m->target_names);
	for (size_t i = 0; i < m->scenario_count; i++)
		for (size_t k = 0; k < m->scenarios[i]->targets.count; k++)
			if (!text_list_has(&m->target_names, m->scenarios[i]->targets.at[k]))
				complain_unknown(m, "target", m->scenarios[i]->targets.at[k],
					&m->target_names);
}

/* The order in which people named the scenarios, not that of the targets. */
static int by_scenario(const void *a, const void *b)
{
	const struct plan *x = *(struct plan *const *)a, *y = *(struct plan *const *)b;
	int order = strcmp(x->scenario->name, y->scenario->name);

	return order ? order : strcmp(x->id, y->id);
}

int plan_make(const struct plan_request *request, struct plan_list *ret, struct buf *complaints,
	struct err *err)
{
	struct maker m = {.request = request, .list = ret, .complaints = complaints};
	int rc;

	*ret = (struct plan_list){0};
	rc = plan_names(request->root, PLAN_SCENARIOS, &m.scenario_names, err);
	if (!rc)
		rc = plan_names(request->root, PLAN_TARGETS, &m.target_names, err);
	if (rc)
		goto out;
	for (size_t i = 0; request->scenarios[i]; i++)
		find_scenarios(&m, request->scenarios[i]);
	check_names(&m);
	check_settings(&m);
	load_targets(&m);
	if (ret->count)
		qsort(ret->at, ret->count, sizeof(*ret->at), by_scenario);
	if (m.mistakes)
		rc = err_set(err, -EINVAL, "nothing was started");
out:
	target_reach_free(m.reach, m.reach_count);
	for (size_t i = 0; i < m.scenario_count; i++)
		scenario_free(m.scenarios[i]);
	free(m.scenarios);
	text_list_free(&m.scenario_names);
	text_list_free(&m.target_names);
	if (rc)
		plan_list_free(ret);
	return rc;
}

/* ---- where the repository is ---- */

static bool is_root(const char *dir)
{
	auto_free char *mark = path_join(dir, "tests/scenarios");
	auto_free char *targets = path_join(dir, "targets");

	return fs_exists(mark) && fs_exists(targets);
}

static char *search_up(char *dir)
{
	while (*dir && !is_root(dir)) {
		char *slash = strrchr(dir, '/');

		if (!slash || slash == dir)
			break;
		*slash = '\0';
	}
	if (is_root(dir))
		return dir;
	free(dir);
	return NULL;
}

char *plan_root(struct err *err)
{
	const char *env = getenv("MAILRIG_ROOT");
	char *found = NULL, *exe = realpath("/proc/self/exe", NULL);

	if (env && *env) {
		free(exe);
		if (is_root(env))
			return text_dup(env);
		err_set(err, -ENOENT, "MAILRIG_ROOT '%s' holds no tests/scenarios and targets",
			env);
		return NULL;
	}
	if (exe)
		found = search_up(exe);
	if (!found)
		found = search_up(realpath(".", NULL));
	if (!found)
		err_set(err, -ENOENT, "cannot find the repository: set MAILRIG_ROOT");
	return found;
}

#include "cmd.h"

#include "api/fault.h"
#include "api/oracle.h"
#include "base/json.h"
#include "report/exporter.h"
#include "run/plan/actions.h"
#include "run/plan/moments.h"
#include "run/plan/plan.h"
#include "run/plan/scenario_load.h"
#include "run/plan/target_load.h"

#include <stdio.h>
#include <string.h>

const char usage_list[] =
	"usage: mailrig list [KIND] [--json]\n\n"
	"What there is. KIND: scenarios targets faults points moments actions oracles objectives\n"
	"exporters (default: scenarios). --json prints an array of objects with `name` and "
	"`summary`.\n";

static json_t *item(const char *name, const char *summary)
{
	return json_pack("{so so}", "name", json_text(name), "summary", json_text(summary));
}

static json_t *list_faults(void)
{
	json_t *list = json_array();

	for (const struct fault *const *fault = faults; *fault; fault++) {
		json_t *one = item((*fault)->name, (*fault)->summary), *params = json_array();

		for (const struct fault_param *p = (*fault)->params; p && p->key; p++)
			json_array_append_new(
				params, json_pack("{ss sb ss}", "name", p->key, "required",
						p->required, "summary", p->summary));
		json_object_set_new(
			one, "family", json_string(fault_family_name((*fault)->family)));
		json_object_set_new(one, "needs", json_string((*fault)->needs));
		json_object_set_new(one, "params", params);
		json_array_append_new(list, one);
	}
	return list;
}

/*
 * Which calls a step may name, and the faults that take each; then the words that targets map to calls of theirs. A
 * store's own points are its target's business.
 */
static json_t *list_points(void)
{
	auto_json json_t *takers = json_object();
	json_t *list = json_array(), *names;
	const char *point;

	for (const struct fault *const *fault = faults; *fault; fault++)
		for (size_t i = 0; (*fault)->point && (point = (*fault)->point(i)); i++) {
			names = json_object_get(takers, point);
			if (!names)
				json_object_set_new(takers, point, names = json_array());
			json_array_append_new(names, json_string((*fault)->name));
		}
	json_object_foreach (takers, point, names) {
		auto_buf struct buf summary = {0};
		size_t i;
		const json_t *name;

		json_array_foreach (names, i, name)
			buf_addf(&summary, "%s%s", i ? " " : "", json_string_value(name));
		json_array_append_new(list, item(point, buf_text(&summary)));
	}
	for (const struct point_word *word = target_point_words; word->name; word++)
		json_array_append_new(list, item(word->name, word->summary));
	return list;
}

static json_t *list_moments(void)
{
	json_t *list = json_array();
	const char *protocol;

	for (size_t i = 0; (protocol = moment_protocol(i)); i++) {
		auto_buf struct buf names = {0};

		moment_names(i, &names);
		json_array_append_new(list, item(protocol, buf_text(&names)));
	}
	return list;
}

static json_t *list_oracles(void)
{
	json_t *list = json_array();

	for (const struct oracle *const *oracle = oracles; *oracle; oracle++) {
		json_t *one = item((*oracle)->law, (*oracle)->summary);

		json_object_set_new(one, "title", json_string((*oracle)->name));
		json_object_set_new(one, "source", json_string((*oracle)->source));
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *list_actions(void)
{
	json_t *list = json_array();

	for (const struct action *action = actions; action->name; action++) {
		json_t *one = item(action->name, action->summary), *params = json_array();

		for (const struct action_key *key = action->keys; key->key; key++)
			json_array_append_new(
				params, json_pack("{ss sb ss}", "name", key->key, "required",
						key->required, "summary", key->summary));
		json_object_set_new(one, "workload", json_boolean(action->workload));
		json_object_set_new(one, "params", params);
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *list_exporters(void)
{
	json_t *list = json_array();

	for (const struct exporter *const *exporter = exporters; *exporter; exporter++)
		json_array_append_new(list, item((*exporter)->name, (*exporter)->summary));
	return list;
}

static json_t *list_objectives(void)
{
	static const struct objectives none = {-1, -1, -1, -1, -1, -1, 0};
	struct objectives o = objectives_resolve(&none, &none);
	const struct {
		const char *name, *summary;
		int64_t ms;
	} rows[] = {
		{"reply", "a reply is owed no longer than this", o.reply_ms},
		{"recover", "after a heal every pending operation ends within this", o.recover_ms},
		{"drain", "the queue is empty within this, after the store's own next retry",
			o.drain_ms},
		{"stop", "the store's stop command ends within this", o.stop_ms},
		{"idle_push", "a change is shown to other sessions within this", o.idle_push_ms},
		{"slowdown_floor", "shorter than this is never called slow", o.slowdown_floor_ms},
	};
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		json_t *one = item(rows[i].name, rows[i].summary);

		json_object_set_new(one, "default_ms", json_integer(rows[i].ms));
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *list_files(enum plan_names kind, struct err *err)
{
	auto_free char *root = plan_root(err);
	struct text_list names = {0};
	json_t *list = NULL;

	if (!root || plan_names(root, kind, &names, err))
		return NULL;
	list = json_array();
	for (size_t i = 0; i < names.count; i++) {
		struct buf complaints = {0};
		auto_free char *path =
			kind == PLAN_SCENARIOS
				? text_fmt("%s/tests/scenarios/%s.yaml", root, names.at[i])
				: text_fmt("%s/targets/%s", root, names.at[i]);
		struct scenario *scenario = NULL;
		struct target *target = NULL;

		if (kind == PLAN_SCENARIOS)
			scenario_load(path, &plan_vocabulary, &complaints, &scenario, NULL);
		else
			target_load(path, oracles, &complaints, &target, NULL);
		json_array_append_new(list,
			item(names.at[i], scenario ? scenario->claim
					  : target
						  ? target->summary
						  : "cannot be loaded: see mailrig run --dry-run"));
		scenario_free(scenario);
		target_free(target);
		buf_free(&complaints);
	}
	text_list_free(&names);
	return list;
}

static json_t *list_kind(const char *kind, struct err *err)
{
	static const struct {
		const char *name;
		json_t *(*make)(void);
	} kinds[] = {
		{"faults", list_faults},
		{"points", list_points},
		{"moments", list_moments},
		{"oracles", list_oracles},
		{"actions", list_actions},
		{"exporters", list_exporters},
		{"objectives", list_objectives},
	};

	if (!strcmp(kind, "scenarios") || !strcmp(kind, "targets"))
		return list_files(!strcmp(kind, "scenarios") ? PLAN_SCENARIOS : PLAN_TARGETS, err);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(kind, kinds[i].name))
			return kinds[i].make();
	err_set(err, -EINVAL,
		"no kind '%s'; there are: scenarios targets faults points moments actions "
		"oracles objectives exporters",
		kind);
	return NULL;
}

static void print_text(const json_t *list)
{
	const json_t *one, *param;
	size_t i, k;

	json_array_foreach (list, i, one) {
		const char *family = json_get_text(one, "family", NULL);
		const char *source = json_get_text(one, "source", NULL);

		printf("%-26s %s", json_get_text(one, "name", ""),
			json_get_text(one, "summary", ""));
		if (family)
			printf("  [%s; needs %s]", family, json_get_text(one, "needs", "nothing"));
		if (source)
			printf("  [%s]", source);
		if (json_object_get(one, "default_ms"))
			printf("  [default %lld ms]",
				(long long)json_get_int(one, "default_ms", 0));
		putchar('\n');
		json_array_foreach (json_object_get(one, "params"), k, param)
			printf("    %-10s %s%s\n", json_get_text(param, "name", ""),
				json_get_text(param, "summary", ""),
				json_get_bool(param, "required", false) ? " (required)" : "");
	}
}

int cmd_list(int argc, char **argv)
{
	const char *kind = "scenarios";
	auto_json json_t *list = NULL;
	struct err err = {0};
	int json = 0, words = 0;

	if (cmd_wants_help(argc, argv, usage_list))
		return EXIT_OK;
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			json = 1;
		else if (argv[i][0] == '-' || words++)
			return cmd_misused("list", "'%s' is not understood", argv[i]);
		else
			kind = argv[i];
	}
	list = list_kind(kind, &err);
	if (!list)
		return cmd_fail(EXIT_USAGE, &err);
	if (json) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		print_text(list);
	}
	return EXIT_OK;
}

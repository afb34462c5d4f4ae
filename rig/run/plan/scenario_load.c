#include "run/plan/scenario_load.h"

#include "base/fs.h"
#include "base/json.h"
#include "run/plan/orders.h"
#include "run/plan/scenario_parts.h"

#include <string.h>

#define DEADLINE_DEFAULT_MS 60000
#define SEEDS_MAX	    1000
#define SESSIONS_MAX	    128
#define MESSAGES_MAX	    1000000
#define NTH_MAX		    1000000
#define MESSAGE_BYTES_MAX   (64u << 20)

const char *const orders_names[] = {"as-written", "all", NULL};

/* ---- what a `do` is ---- */

bool find_do(const struct vocabulary *vocabulary, const char *name, const struct fault **ret_fault,
	const struct action **ret_action)
{
	*ret_fault = NULL;
	*ret_action = action_find(name);
	for (const struct fault *const *fault = vocabulary->faults; fault && *fault; fault++)
		if (!strcmp((*fault)->name, name))
			*ret_fault = *fault;
	return *ret_fault || *ret_action;
}

bool do_declares(const struct fault *fault, const struct action *action, const char *key)
{
	if (fault)
		for (const struct fault_param *p = fault->params; p && p->key; p++)
			if (!strcmp(p->key, key))
				return true;
	if (action)
		for (const struct action_key *k = action->keys; k->key; k++)
			if (!strcmp(k->key, key))
				return true;
	return false;
}

/* A key that is no key of every step, but declared by this step's `do`. */
static bool extra_key(const void *arg, const struct node *map, const char *key)
{
	const struct node *what = node_get(map, "do");
	const struct fault *fault = NULL;
	const struct action *action = NULL;

	if (!what || what->kind != NODE_SCALAR || !find_do(arg, what->text, &fault, &action))
		return false;
	return do_declares(fault, action, key);
}

static const char *otherwise(const struct action *action, const char *key, const char *text)
{
	if (text || !action)
		return text;
	for (const struct action_key *k = action->keys; k->key; k++)
		if (!strcmp(k->key, key))
			return k->otherwise;
	return NULL;
}

/* ---- values ---- */

void take_words(char *const *words, unsigned int count, struct text_list *ret)
{
	ret->at = mem_zero(count, sizeof(*ret->at));
	ret->count = count;
	for (unsigned int i = 0; i < count; i++)
		ret->at[i] = text_dup(words[i]);
}

/* `[all]` is the way to write the default. */
static void take_words_or_all(char *const *words, unsigned int count, struct text_list *ret)
{
	if (count != 1 || strcmp(words[0], "all") != 0)
		take_words(words, count, ret);
}

struct objectives objectives_take(
	const struct raw_objectives *raw, const struct node *map, struct mistakes *mistakes)
{
	struct yaml_place at = {map, mistakes};
	struct objectives o = {
		.reply_ms = TIME_UNSET,
		.recover_ms = TIME_UNSET,
		.drain_ms = TIME_UNSET,
		.stop_ms = TIME_UNSET,
		.idle_push_ms = TIME_UNSET,
		.slowdown_floor_ms = TIME_UNSET,
	};

	if (!raw)
		return o;
	take_duration(at, "reply", raw->reply, &o.reply_ms);
	take_duration(at, "recover", raw->recover, &o.recover_ms);
	take_duration(at, "drain", raw->drain, &o.drain_ms);
	take_duration(at, "stop", raw->stop, &o.stop_ms);
	take_duration(at, "idle_push", raw->idle_push, &o.idle_push_ms);
	take_duration(at, "slowdown_floor", raw->slowdown_floor, &o.slowdown_floor_ms);
	take_count(at, "slowdown", raw->slowdown, 1, 1000, &o.slowdown);
	return o;
}

static void take_errno(struct yaml_place at, const char *text, char **ret)
{
	const char *names[256] = {0};
	auto_free char *hint = NULL;
	size_t count = 0;

	if (!text)
		return;
	for (int i = 1; i < 200; i++)
		if (strerrorname_np(i))
			names[count++] = strerrorname_np(i);
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(names[i], text)) {
			take_text(text, ret);
			return;
		}
	}
	hint = did_you_mean(text, names);
	mistakes_add(at.mistakes, node_line_of(at.map, "errno"), "'errno: %s' is no errno%s", text,
		hint);
}

static void take_trigger(struct yaml_place at, const struct raw_step *raw, struct trigger *trigger)
{
	trigger->at_ms = 0;
	trigger->nth = 1;
	take_duration(at, "at", raw->at, &trigger->at_ms);
	trigger->within_ms = WITHIN_DEFAULT_MS;
	take_duration(at, "delay", raw->delay, &trigger->delay_ms);
	take_duration(at, "within", raw->within, &trigger->within_ms);
	take_count(at, "nth", raw->nth, 1, NTH_MAX, &trigger->nth);
	take_count(at, "session", raw->session, 1, SESSIONS_MAX, &trigger->session);
	take_text(raw->when, &trigger->moment);
	take_text(raw->tag, &trigger->tag);
	take_regex(at, "log", raw->log, &trigger->log);
}

/* Keys that no step has of itself: what its plug-in declared. */
static void take_params(const struct node *map, struct text_list *ret)
{
	for (size_t i = 0; i < map->count; i++) {
		const cyaml_schema_field_t *field = step_fields;

		while (field->key && strcmp(field->key, map->keys[i].name) != 0)
			field++;
		if (field->key)
			continue;
		ret->at = mem_grow(ret->at, ret->count + 1, sizeof(*ret->at));
		ret->at[ret->count++] = text_fmt("%s=%s", map->keys[i].name, map->items[i]->text);
	}
}

static void take_place(const struct raw_step *raw, struct yaml_place at, struct step *step)
{
	take_text(raw->role, &step->role);
	take_text(raw->path, &step->path);
	take_text(raw->point, &step->point);
	take_text(raw->caller, &step->caller);
	take_text(raw->step, &step->step);
	take_text(raw->until, &step->until);
	take_text(raw->agent, &step->agent);
	take_text(raw->user, &step->user);
	take_errno(at, raw->errno_name, &step->errno_name);
	step->hit = step->calls = 1;
	take_count(at, "hit", raw->hit, 1, NTH_MAX, &step->hit);
	take_count(at, "calls", raw->calls, 1, NTH_MAX, &step->calls);
	step->for_ms = TIME_UNSET;
	take_duration(at, "for", raw->heal_after, &step->for_ms);
}

static void take_step(
	const struct raw_step *raw, struct scenario_source *source, struct step_source *from)
{
	struct yaml_place at = {from->map, source->mistakes};
	const struct action *action = from->action;
	struct step *step = from->step;

	step->line = from->map->line;
	take_text(raw->as, &step->label);
	step->what = text_dup(raw->what ? raw->what : "");
	take_trigger(at, raw, &step->trigger);
	take_place(raw, at, step);
	take_count(at, "sessions", otherwise(action, "sessions", raw->sessions), 1, SESSIONS_MAX,
		&step->sessions);
	take_count(at, "messages", otherwise(action, "messages", raw->messages), 1, MESSAGES_MAX,
		&step->messages);
	take_size(at, "size", otherwise(action, "size", raw->size), 1, MESSAGE_BYTES_MAX,
		&step->size_bytes);
	take_rate(at, "pace", raw->pace, &step->pace_per_s);
	take_words(raw->users, raw->users_count, &step->users);
	take_words(raw->to, raw->to_count, &step->to);
	take_words(raw->send, raw->send_count, &step->send);
	take_params(from->map, &step->params);
}

static void take_steps(struct scenario_source *source, const struct raw_step *raw,
	unsigned int count, const struct node *list, bool workload, struct step *steps)
{
	for (unsigned int i = 0; i < count; i++) {
		struct step_source *from = &source->steps[source->count++];

		from->step = &steps[i];
		from->map = list->items[i];
		from->noun = workload ? "workload" : "step";
		if (raw[i].what)
			find_do(source->vocabulary, raw[i].what, &from->fault, &from->action);
		take_step(&raw[i], source, from);
	}
}

/* ---- the whole ---- */

static void check_laws(const struct scenario_source *source, const struct node *root)
{
	const struct text_list *wanted = &source->scenario->oracles;
	const struct oracle *const *law = source->vocabulary->oracles;
	const char *names[256] = {0};
	size_t count = 0;

	for (; law && *law && count < ARRAY_SIZE(names) - 1; law++)
		names[count++] = (*law)->law;
	for (size_t i = 0; source->vocabulary->oracles && i < wanted->count; i++) {
		auto_free char *hint = NULL;
		bool known = false;

		for (size_t j = 0; j < count; j++)
			known = known || !strcmp(names[j], wanted->at[i]);
		if (known)
			continue;
		hint = did_you_mean(wanted->at[i], names);
		mistakes_add(source->mistakes, node_line_of(root, "oracles"),
			"'oracles': no law is called '%s'%s", wanted->at[i], hint);
	}
}

static void check_orders(const struct scenario *scenario, struct yaml_place at)
{
	size_t sides = orders_sides(scenario, NULL);

	if (sides < 2 || sides > ORDER_SIDES_MAX)
		mistakes_add(at.mistakes, node_line_of(at.map, "orders"),
			"'orders: all' needs 2 to %d sides and there %s %zu: a side is a step that "
			"a "
			"park step names with 'step', or one that happens 'while' a park",
			ORDER_SIDES_MAX, sides == 1 ? "is" : "are", sides);
}

static struct scenario *take_scenario(const struct raw_scenario *raw, const struct node *root,
	const struct vocabulary *vocabulary, struct mistakes *mistakes)
{
	struct scenario *scenario = mem_zero(1, sizeof(*scenario));
	struct step_source sources[2 * SCENARIO_STEPS_MAX] = {0};
	struct scenario_source source = {scenario, vocabulary, mistakes, sources, 0};
	struct yaml_place at = {root, mistakes};
	int orders = ORDERS_AS_WRITTEN;

	take_text(raw->claim, &scenario->claim);
	scenario->deadline_ms = DEADLINE_DEFAULT_MS;
	scenario->seeds = 1;
	take_duration(at, "deadline", raw->deadline, &scenario->deadline_ms);
	take_choice(at, "orders", raw->orders, orders_names, &orders);
	take_count(at, "seeds", raw->seeds, 1, SEEDS_MAX, &scenario->seeds);
	scenario->orders = (enum orders)orders;
	scenario->objectives =
		objectives_take(raw->objectives, node_get(root, "objectives"), mistakes);
	take_words_or_all(raw->oracles, raw->oracles_count, &scenario->oracles);
	take_words_or_all(raw->targets, raw->targets_count, &scenario->targets);
	scenario->workload = mem_zero(raw->workload_count, sizeof(struct step));
	scenario->workload_count = raw->workload_count;
	scenario->steps = mem_zero(raw->steps_count, sizeof(struct step));
	scenario->step_count = raw->steps_count;
	take_steps(&source, raw->workload, raw->workload_count, node_get(root, "workload"), true,
		scenario->workload);
	take_steps(&source, raw->steps, raw->steps_count, node_get(root, "steps"), false,
		scenario->steps);
	if (!node_get(root, "workload") && !node_get(root, "steps"))
		mistakes_add(mistakes, root->line, "there is neither 'workload' nor 'steps'");
	check_laws(&source, root);
	for (size_t i = 0; i < source.count; i++)
		scenario_check_keys(&source, &sources[i]);
	scenario_check_labels(&source);
	scenario_check_triggers(&source);
	scenario_check_waits(&source);
	if (orders == ORDERS_ALL && !mistakes->count)
		check_orders(scenario, at);
	return scenario;
}

/* From a tree, which is cut down to what is right in it. */
static int load_tree(struct node *root, const struct vocabulary *vocabulary,
	struct mistakes *mistakes, struct scenario **ret, struct err *err)
{
	const struct yaml_shape shape = {&scenario_schema, scenario_rules, extra_key, vocabulary};
	void *raw = NULL;
	int rc;

	yaml_check(root, &shape, mistakes);
	if (root->kind != NODE_MAP)
		return 0;
	rc = yaml_raw_load(root, &scenario_schema, &raw, NULL, err);
	if (rc)
		return rc;
	*ret = take_scenario(raw, root, vocabulary, mistakes);
	yaml_raw_free(&scenario_schema, raw, 0);
	return 0;
}

/* The file's name without folder and .yaml. Caller frees. */
static char *name_of(const char *file)
{
	const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
	size_t len = strlen(name);

	if (len > 5 && !strcmp(name + len - 5, ".yaml"))
		len -= 5;
	return text_dup_n(name, len);
}

int scenario_parse(const char *file, const char *text, size_t len,
	const struct vocabulary *vocabulary, struct buf *complaints, struct scenario **ret,
	struct err *err)
{
	cleanup(mistakes_free) struct mistakes mistakes = {.file = file};
	struct node *root = node_parse(text, len, &mistakes);
	struct scenario *scenario = NULL;
	int rc = root ? load_tree(root, vocabulary, &mistakes, &scenario, err) : 0;

	node_free(root);
	rc = mistakes_result(&mistakes, rc, complaints, err);
	if (rc) {
		scenario_free(scenario);
		return rc;
	}
	scenario->name = name_of(file);
	scenario->file = text_dup(file);
	*ret = scenario;
	return 0;
}

int scenario_load(const char *path, const struct vocabulary *vocabulary, struct buf *complaints,
	struct scenario **ret, struct err *err)
{
	auto_buf struct buf text = {0};
	int rc = fs_read(path, SCENARIO_FILE_MAX, &text, err);

	if (rc)
		return rc;
	return scenario_parse(path, buf_text(&text), text.len, vocabulary, complaints, ret, err);
}

int scenario_from_json(const json_t *json, const struct vocabulary *vocabulary,
	struct scenario **ret, struct err *err)
{
	auto_json json_t *plain = json_copy((json_t *)json);
	cleanup(mistakes_free) struct mistakes mistakes = {.file = "plan"};
	const char *name = json_get_text(json, "name", ""), *file = json_get_text(json, "file", "");
	struct scenario *scenario = NULL;
	struct node *root;
	int rc = 0;

	if (!json_is_object(json))
		return err_set(err, -EINVAL, "the saved scenario is no object");
	json_object_del(plain, "name");
	json_object_del(plain, "file");
	/* A baseline of nothing but steps has neither. */
	if (!json_object_get(plain, "workload"))
		json_object_set_new(plain, "workload", json_array());
	root = node_from_json(plain, &mistakes);
	if (root)
		rc = load_tree(root, vocabulary, &mistakes, &scenario, err);
	node_free(root);
	if (!rc && mistakes.count)
		rc = err_set(err, -EINVAL, "saved scenario '%s': %s", name, mistakes.at[0].text);
	if (rc) {
		scenario_free(scenario);
		return rc;
	}
	scenario->name = text_dup(name);
	scenario->file = text_dup(file);
	*ret = scenario;
	return 0;
}

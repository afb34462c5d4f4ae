#include "run/yaml/yaml_check.h"

#include "base/units.h"
#include "run/yaml/yaml_write.h"

#include <errno.h>
#include <regex.h>
#include <string.h>

#define KEYS_MAX	  64 /* of one map's schema */
#define REGEX_LEN_MAX	  512
#define REGEX_REPEATS_MAX 1000

/* ---- sentences ---- */

char *names_text(const char *const *names)
{
	struct buf buf = {0};

	for (; *names; names++)
		buf_addf(&buf, " %s", *names);
	return buf_steal(&buf);
}

char *did_you_mean(const char *word, const char *const *names)
{
	const char *nearest = nearest_name(word, names);

	return nearest ? text_fmt("; did you mean '%s'?", nearest) : text_dup("");
}

char *yaml_title(const struct node *entry, const char *noun, size_t index)
{
	static const char *const naming[] = {"as", "name", "signature", "path", "law", "do"};

	for (size_t i = 0; i < ARRAY_SIZE(naming); i++) {
		const struct node *name = node_get(entry, naming[i]);

		if (name && name->kind == NODE_SCALAR && *name->text)
			return text_fmt("%s '%s'", noun, name->text);
	}
	return text_fmt("%s %zu", noun, index + 1);
}

/* ---- structure ---- */

struct walk {
	const struct yaml_shape *shape;
	struct mistakes *mistakes;
};

static const struct yaml_rule *rule_of(const struct walk *walk, const cyaml_schema_value_t *schema)
{
	const struct yaml_rule *rule = walk->shape->rules;

	while (rule->fields && rule->fields != schema->mapping.fields)
		rule++;
	return rule;
}

static const cyaml_schema_field_t *field_of(const cyaml_schema_field_t *fields, const char *key)
{
	for (; fields->key; fields++)
		if (!strcmp(fields->key, key))
			return fields;
	return NULL;
}

static void tell_unknown(const struct walk *walk, const cyaml_schema_field_t *fields,
	const struct node_key *key, const char *where)
{
	const char *names[KEYS_MAX + 1];
	auto_free char *hint = NULL;
	size_t count = 0;

	for (; fields->key && count < KEYS_MAX; fields++)
		names[count++] = fields->key;
	names[count] = NULL;
	hint = did_you_mean(key->name, names);
	mistakes_add(walk->mistakes, key->line, "unknown key '%s'%s%s%s", key->name,
		*where ? " in " : "", where, hint);
}

static const struct node_key *first_of(const struct node *map, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (!strcmp(map->keys[i].name, map->keys[index].name))
			return &map->keys[i];
	return NULL;
}

static bool check_value(struct walk *walk, struct node *node, const cyaml_schema_value_t *schema,
	const char *what, const char *where);

/* One key of a map: false when it is to be cut out. */
static bool check_key(struct walk *walk, struct node *map, size_t i,
	const cyaml_schema_field_t *fields, const char *where)
{
	const struct node_key *key = &map->keys[i], *first = first_of(map, i);
	const cyaml_schema_field_t *field = field_of(fields, key->name);
	static const cyaml_schema_value_t any_text = {
		.type = CYAML_STRING, .string = {.min = 1, .max = YAML_SCALAR_MAX}};

	if (first) {
		mistakes_add(walk->mistakes, key->line,
			"key '%s' is given twice%s%s (first in line %d)", key->name,
			*where ? " in " : "", where, first->line);
		return false;
	}
	if (field)
		return check_value(walk, map->items[i], &field->value, key->name, where);
	if (walk->shape->extra_key && walk->shape->extra_key(walk->shape->arg, map, key->name))
		return check_value(walk, map->items[i], &any_text, key->name, where);
	tell_unknown(walk, fields, key, where);
	return false;
}

static void check_required(
	struct walk *walk, const struct node *map, const struct yaml_rule *rule, const char *where)
{
	for (const char *const *key = rule->required; key && *key; key++)
		if (!node_get(map, *key))
			mistakes_add(walk->mistakes, map->line, "%s%s has no '%s'",
				*where ? "" : "the file", where, *key);
}

static void check_map(struct walk *walk, struct node *map, const cyaml_schema_value_t *schema,
	const struct yaml_rule *rule, const char *where)
{
	/* Before anything is cut out: a key that is there and wrong is not missing too. */
	check_required(walk, map, rule, where);
	for (size_t i = 0; i < map->count;) {
		if (check_key(walk, map, i, schema->mapping.fields, where))
			i++;
		else
			node_drop(map, i);
	}
}

static void check_list(struct walk *walk, struct node *list, const cyaml_schema_value_t *schema,
	const char *what, const char *where)
{
	const cyaml_schema_value_t *entry = schema->sequence.entry;

	if (list->count > schema->sequence.max) {
		mistakes_add(walk->mistakes, list->line,
			"'%s' has %zu entries; at most %u are read", what, list->count,
			schema->sequence.max);
		while (list->count > schema->sequence.max)
			node_drop(list, list->count - 1);
	}
	for (size_t i = 0, number = 0; i < list->count; number++) {
		struct node *item = list->items[i];
		const struct yaml_rule *rule =
			entry->type == CYAML_MAPPING ? rule_of(walk, entry) : NULL;
		auto_free char *title =
			rule && rule->noun ? yaml_title(item, rule->noun, number) : NULL;

		if (check_value(walk, item, entry, title ? "" : what, title ? title : where))
			i++;
		else
			node_drop(list, i);
	}
}

static const char *const kind_names[] = {
	[NODE_SCALAR] = "a single value", [NODE_LIST] = "a list", [NODE_MAP] = "a map of keys"};

static enum node_kind wanted_kind(const cyaml_schema_value_t *schema)
{
	return schema->type == CYAML_MAPPING	? NODE_MAP
	       : schema->type == CYAML_SEQUENCE ? NODE_LIST
						: NODE_SCALAR;
}

/* "'for' in step 'a'", "'seeds'", "step 2", "the file". */
static char *subject_text(const char *what, const char *where)
{
	if (!*what)
		return text_dup(*where ? where : "the file");
	return text_fmt("'%s'%s%s", what, *where ? " in " : "", where);
}

/* `what` is the key, `where` the map it stands in ("" for the document). False: cut it out. */
static bool check_value(struct walk *walk, struct node *node, const cyaml_schema_value_t *schema,
	const char *what, const char *where)
{
	enum node_kind wanted = wanted_kind(schema);
	auto_free char *own_title = NULL, *subject = NULL;
	const struct yaml_rule *rule;

	if (node->kind == NODE_SCALAR && !*node->text) {
		subject = subject_text(what, where);
		mistakes_add(walk->mistakes, node->line, "%s has no value", subject);
		return false;
	}
	if (node->kind != wanted) {
		subject = subject_text(what, where);
		mistakes_add(walk->mistakes, node->line, "%s must be %s, not %s", subject,
			kind_names[wanted], kind_names[node->kind]);
		return false;
	}
	if (wanted == NODE_LIST)
		check_list(walk, node, schema, what, where);
	if (wanted == NODE_MAP) {
		rule = rule_of(walk, schema);
		if (!rule->noun && *what)
			own_title = text_fmt("'%s'", what);
		check_map(walk, node, schema, rule, own_title ? own_title : where);
	}
	return true;
}

void yaml_check(struct node *root, const struct yaml_shape *shape, struct mistakes *mistakes)
{
	struct walk walk = {.shape = shape, .mistakes = mistakes};

	check_value(&walk, root, shape->schema, "", "");
}

/* ---- libcyaml ---- */

static const cyaml_config_t config = {
	.mem_fn = cyaml_mem,
	.log_level = CYAML_LOG_ERROR,
	.flags = CYAML_CFG_IGNORE_UNKNOWN_KEYS, /* the extra keys */
};

int yaml_raw_load(const struct node *root, const cyaml_schema_value_t *schema, void **ret_data,
	unsigned int *ret_count, struct err *err)
{
	auto_buf struct buf text = {0};
	cyaml_err_t rc;

	node_dump(root, &text);
	rc = cyaml_load_data(
		(const uint8_t *)buf_text(&text), text.len, &config, schema, ret_data, ret_count);
	if (rc != CYAML_OK)
		return err_set(
			err, -EPROTO, "libcyaml refuses what was checked: %s", cyaml_strerror(rc));
	return 0;
}

void yaml_raw_free(const cyaml_schema_value_t *schema, void *data, unsigned int count)
{
	if (data)
		cyaml_free(&config, schema, data, count);
}

/* ---- values ---- */

void take_text(const char *text, char **ret)
{
	if (text) {
		free(*ret);
		*ret = text_dup(text);
	}
}

static void told(struct yaml_place at, const char *key, int rc, const struct err *err)
{
	if (rc)
		mistakes_add(at.mistakes, node_line_of(at.map, key), "%s", err->text);
}

void take_duration(struct yaml_place at, const char *key, const char *text, int64_t *ret_ms)
{
	struct err err;

	if (text)
		told(at, key, parse_duration_ms(key, text, ret_ms, &err), &err);
}

void take_size(struct yaml_place at, const char *key, const char *text, uint64_t min, uint64_t max,
	uint64_t *ret_bytes)
{
	auto_free char *least = size_text(min), *most = size_text(max);
	uint64_t bytes = min;
	struct err err;
	int rc = text ? parse_size_bytes(key, text, &bytes, &err) : 0;

	if (!text)
		return;
	if (!rc && (bytes < min || bytes > max))
		rc = err_set(&err, -EINVAL, "'%s: %s' is too %s; from %s to %s", key, text,
			bytes < min ? "small" : "large", least, most);
	told(at, key, rc, &err);
	if (!rc)
		*ret_bytes = bytes;
}

void take_rate(struct yaml_place at, const char *key, const char *text, double *ret_per_s)
{
	struct err err;

	if (text)
		told(at, key, parse_rate(key, text, ret_per_s, &err), &err);
}

void take_percent(struct yaml_place at, const char *key, const char *text, double *ret_ratio)
{
	struct err err;

	if (text)
		told(at, key, parse_percent(key, text, ret_ratio, &err), &err);
}

void take_count(struct yaml_place at, const char *key, const char *text, uint32_t min, uint32_t max,
	uint32_t *ret)
{
	uint64_t count = min;
	struct err err;
	int rc = text ? parse_count(key, text, max, &count, &err) : 0;

	if (!text)
		return;
	if (!rc && count < min)
		rc = err_set(&err, -EINVAL, "'%s: %s' is less than %u", key, text, min);
	told(at, key, rc, &err);
	if (!rc)
		*ret = (uint32_t)count;
}

void take_choice(struct yaml_place at, const char *key, const char *text,
	const char *const *choices, int *ret)
{
	auto_free char *hint = NULL, *all = NULL;

	if (!text)
		return;
	for (int i = 0; choices[i]; i++) {
		if (!strcmp(choices[i], text)) {
			*ret = i;
			return;
		}
	}
	hint = did_you_mean(text, choices);
	all = names_text(choices);
	mistakes_add(at.mistakes, node_line_of(at.map, key),
		"'%s: %s' is no choice; there are:%s%s", key, text, all, hint);
}

/* regcomp() copies what is repeated: nested counts multiply until memory is gone. */
static bool repeats_too_much(const char *text)
{
	unsigned long product = 1;

	for (const char *p = strchr(text, '{'); p; p = strchr(p + 1, '{')) {
		char *end = NULL;
		unsigned long low = strtoul(p + 1, &end, 10), high = low;

		if (*end == ',')
			high = strtoul(end + 1, NULL, 10);
		high = high > low ? high : low;
		if (high > REGEX_REPEATS_MAX || product * (high ? high : 1) > REGEX_REPEATS_MAX)
			return true;
		product *= high ? high : 1;
	}
	return false;
}

void take_regex(struct yaml_place at, const char *key, const char *text, char **ret)
{
	char why[128];
	regex_t regex;
	int rc;

	if (!text)
		return;
	if (strlen(text) > REGEX_LEN_MAX || repeats_too_much(text)) {
		mistakes_add(at.mistakes, node_line_of(at.map, key),
			"'%s' is too large an expression: at most %d characters and %d repeats",
			key, REGEX_LEN_MAX, REGEX_REPEATS_MAX);
		return;
	}
	rc = regcomp(&regex, text, REG_EXTENDED | REG_NOSUB);
	if (rc) {
		regerror(rc, &regex, why, sizeof(why));
		mistakes_add(at.mistakes, node_line_of(at.map, key),
			"'%s: %s' is no extended regular expression: %s", key, text, why);
		return;
	}
	regfree(&regex);
	take_text(text, ret);
}

/* Trees from text, by the events of libyaml, and from JSON. */
#include "run/yaml/yaml_tree.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* ---- from text ---- */

struct reading {
	yaml_parser_t parser;
	struct mistakes *mistakes;
	size_t nodes;
	bool failed; /* no more events: syntax, or a limit */
};

static int line_of(const yaml_mark_t *mark)
{
	return (int)mark->line + 1;
}

static bool next_event(struct reading *reading, yaml_event_t *event)
{
	yaml_parser_t *parser = &reading->parser;
	const char *problem;

	if (reading->failed)
		return false;
	if (yaml_parser_parse(parser, event))
		return true;
	problem = parser->problem ? parser->problem : "out of memory";
	mistakes_add(reading->mistakes, line_of(&parser->problem_mark), "no YAML: %s%s%s", problem,
		parser->context ? " " : "", parser->context ? parser->context : "");
	reading->failed = true;
	return false;
}

static struct node *too_much(struct reading *reading, int line, const char *what, size_t max)
{
	mistakes_add(reading->mistakes, line, "more than %zu %s", max, what);
	reading->failed = true;
	return NULL;
}

/* The words of the YAML 1.1 types bool and null: other readers do not see the text that stands here. */
static bool is_yaml11_word(const char *text)
{
	static const char *const words[] = {"yes", "no", "on", "off", "true", "false", "null", "~"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcasecmp(text, words[i]))
			return true;
	return false;
}

/* Line breaks of YAML 1.1 that fold away, the byte order mark, and the two that are no characters. */
static bool is_odd_character(const char *three_bytes)
{
	static const char odd[][4] = {
		"\xe2\x80\xa8", "\xe2\x80\xa9", "\xef\xbb\xbf", "\xef\xbf\xbe", "\xef\xbf\xbf"};

	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		if (!memcmp(three_bytes, odd[i], 3))
			return true;
	return false;
}

static bool is_clean_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_char(text + i, len - i);
		unsigned char c = (unsigned char)text[i];

		if (!n || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			return false;
		if (n == 2 && c == 0xc2 && (unsigned char)text[i + 1] < 0xa0)
			return false; /* C1 */
		if (n == 3 && is_odd_character(text + i))
			return false;
		i += n;
	}
	return true;
}

static struct node *scalar_node(struct reading *reading, const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;
	size_t len = event->data.scalar.length;
	int line = line_of(&event->start_mark);
	auto_buf struct buf shown = {0};
	struct node *node;

	if (len > YAML_SCALAR_MAX)
		return too_much(reading, line, "bytes in one value", YAML_SCALAR_MAX);
	if (!is_clean_text(text, len)) {
		mistakes_add(reading->mistakes, line, "'%.*s' holds a control character",
			(int)(len < 40 ? len : 40), text);
		buf_add_escaped(&shown, text, len); /* so that it is wrong once, not missing too */
		text = buf_text(&shown);
		len = shown.len;
	}
	if (event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && is_yaml11_word(text))
		mistakes_add(reading->mistakes, line,
			"'%s' is a boolean or null to other YAML readers; quote it or take another "
			"word",
			text);
	node = node_new(NODE_SCALAR, line);
	node->text = text_dup_n(text, len);
	return node;
}

static struct node *read_node(struct reading *reading, yaml_event_t *event, unsigned int depth);

/* NULL without a new failure means: a mistake was told, leave this one out. */
static struct node *next_node(struct reading *reading, unsigned int depth, bool *ret_end)
{
	yaml_event_t event;
	struct node *node = NULL;

	*ret_end = true;
	if (!next_event(reading, &event))
		return NULL;
	if (event.type != YAML_SEQUENCE_END_EVENT && event.type != YAML_MAPPING_END_EVENT) {
		*ret_end = false;
		node = read_node(reading, &event, depth);
	}
	yaml_event_delete(&event);
	return node;
}

static void read_items(struct reading *reading, struct node *list, unsigned int depth)
{
	bool end = false;

	for (;;) {
		struct node *item = next_node(reading, depth, &end);

		if (end)
			return;
		if (item)
			node_append(list, NULL, 0, item);
	}
}

static void read_pairs(struct reading *reading, struct node *map, unsigned int depth)
{
	bool end = false;

	for (;;) {
		struct node *key = next_node(reading, depth, &end), *value;

		if (end)
			return;
		value = next_node(reading, depth, &end);
		if (key && key->kind != NODE_SCALAR)
			mistakes_add(reading->mistakes, key->line, "a key must be a single word");
		if (key && key->kind == NODE_SCALAR && value) {
			node_append(map, key->text, key->line, value);
			key->text = NULL;
			value = NULL;
		}
		node_free(key);
		node_free(value);
		if (end)
			return;
	}
}

static const char *extra_of(const yaml_event_t *event)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return "an alias";
	case YAML_SCALAR_EVENT:
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
		break;
	default:
		break;
	}
	return anchor ? "an anchor" : tag ? "a tag" : NULL;
}

static struct node *read_node(struct reading *reading, yaml_event_t *event, unsigned int depth)
{
	int line = line_of(&event->start_mark);
	const char *extra = extra_of(event);
	struct node *node;

	if (++reading->nodes > YAML_NODES_MAX)
		return too_much(reading, line, "values", YAML_NODES_MAX);
	if (depth == YAML_DEPTH_MAX)
		return too_much(reading, line, "levels of lists and maps", YAML_DEPTH_MAX);
	if (extra)
		mistakes_add(reading->mistakes, line, "%s is not read here; write it out", extra);
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return scalar_node(reading, event);
	case YAML_SEQUENCE_START_EVENT:
		node = node_new(NODE_LIST, line);
		read_items(reading, node, depth + 1);
		return node;
	case YAML_MAPPING_START_EVENT:
		node = node_new(NODE_MAP, line);
		read_pairs(reading, node, depth + 1);
		return node;
	default:
		return NULL; /* an alias */
	}
}

/* One document and nothing behind it. */
static struct node *read_document(struct reading *reading)
{
	struct node *root = NULL;
	yaml_event_t event;
	bool done = false, again = false;

	while (!done && next_event(reading, &event)) {
		if (event.type == YAML_DOCUMENT_START_EVENT && again) {
			mistakes_add(reading->mistakes, line_of(&event.start_mark),
				"a second document begins here; one file holds one");
			done = true;
		} else if (event.type == YAML_DOCUMENT_START_EVENT) {
			again = true;
		} else if (event.type == YAML_STREAM_END_EVENT) {
			done = true;
		} else if (event.type != YAML_STREAM_START_EVENT &&
			   event.type != YAML_DOCUMENT_END_EVENT) {
			root = read_node(reading, &event, 0);
		}
		yaml_event_delete(&event);
	}
	if (!root && !reading->failed && !reading->mistakes->count)
		mistakes_add(reading->mistakes, 1, "the file is empty");
	return root;
}

struct node *node_parse(const char *text, size_t len, struct mistakes *mistakes)
{
	struct reading reading = {.mistakes = mistakes};
	struct node *root;

	if (len > SCENARIO_FILE_MAX) {
		mistakes_add(mistakes, 1, "the file is larger than %u bytes", SCENARIO_FILE_MAX);
		return NULL;
	}
	if (!yaml_parser_initialize(&reading.parser))
		abort();
	yaml_parser_set_input_string(&reading.parser, (const unsigned char *)text, len);
	yaml_parser_set_encoding(&reading.parser, YAML_UTF8_ENCODING);
	root = read_document(&reading);
	yaml_parser_delete(&reading.parser);
	if (reading.failed) {
		node_free(root); /* half a document is none */
		return NULL;
	}
	return root;
}

/* ---- from JSON ---- */

struct conversion {
	struct mistakes *mistakes;
	size_t nodes;
};

static struct node *from_json(
	struct conversion *conversion, const json_t *json, unsigned int depth);

static struct node *scalar_from_json(const json_t *json)
{
	const char *text = json_string_value(json);
	struct node *node;

	if (text && (!is_clean_text(text, json_string_length(json)) ||
			    json_string_length(json) > YAML_SCALAR_MAX))
		return NULL;
	if (!text && !json_is_integer(json))
		return NULL;
	node = node_new(NODE_SCALAR, 0);
	node->text = text ? text_dup(text) : text_fmt("%lld", (long long)json_integer_value(json));
	return node;
}

static struct node *map_from_json(
	struct conversion *conversion, const json_t *json, unsigned int depth)
{
	struct node *map = node_new(NODE_MAP, 0), *item;
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)json, key, value) {
		if (!strcmp(key, "line") && json_is_integer(value) &&
			json_integer_value(value) > 0 && json_integer_value(value) < INT32_MAX) {
			map->line = (int)json_integer_value(value);
			continue;
		}
		item = from_json(conversion, value, depth + 1);
		if (item)
			node_append(map, text_dup(key), 0, item);
	}
	for (size_t i = 0; i < map->count; i++)
		map->keys[i].line = map->line;
	return map;
}

static struct node *from_json(struct conversion *conversion, const json_t *json, unsigned int depth)
{
	struct node *node = NULL, *item;
	json_t *value;
	size_t i;

	if (++conversion->nodes > YAML_NODES_MAX || depth == YAML_DEPTH_MAX) {
		mistakes_add(conversion->mistakes, 0, "too large or too deep");
		return NULL;
	}
	if (json_is_object(json))
		return map_from_json(conversion, json, depth);
	if (!json_is_array(json)) {
		node = scalar_from_json(json);
		if (!node)
			mistakes_add(
				conversion->mistakes, 0, "a value is neither text nor a count");
		return node;
	}
	node = node_new(NODE_LIST, 0);
	json_array_foreach ((json_t *)json, i, value) {
		item = from_json(conversion, value, depth + 1);
		if (item)
			node_append(node, NULL, 0, item);
	}
	return node;
}

struct node *node_from_json(const json_t *json, struct mistakes *mistakes)
{
	struct conversion conversion = {.mistakes = mistakes};

	return from_json(&conversion, json, 0);
}

#include "run/yaml/yaml_tree.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SENTENCE_MAX 600 /* bytes, escaped */

/* ---- mistakes ---- */

void mistakes_add(struct mistakes *mistakes, int line, const char *fmt, ...)
{
	auto_buf struct buf raw = {0};
	struct buf text = {0};
	va_list ap;

	if (mistakes->count == MISTAKES_MAX) {
		mistakes->more = true;
		return;
	}
	va_start(ap, fmt);
	buf_addv(&raw, fmt, ap);
	va_end(ap);
	buf_add_escaped(&text, buf_text(&raw), raw.len < SENTENCE_MAX ? raw.len : SENTENCE_MAX);
	if (raw.len > SENTENCE_MAX)
		buf_add_str(&text, "...");
	mistakes->at = mem_grow(mistakes->at, mistakes->count + 1, sizeof(*mistakes->at));
	mistakes->at[mistakes->count++] = (struct mistake){.line = line, .text = buf_steal(&text)};
}

void mistakes_print(const struct mistakes *mistakes, struct buf *out)
{
	auto_free char *told = mem_zero(mistakes->count, 1);

	/* The least line not told yet, the first of its line first: few enough for this. */
	for (size_t n = 0; n < mistakes->count; n++) {
		size_t best = SIZE_MAX;

		for (size_t i = 0; i < mistakes->count; i++)
			if (!told[i] && (best == SIZE_MAX ||
						mistakes->at[i].line < mistakes->at[best].line))
				best = i;
		told[best] = 1;
		buf_addf(out, "%s:%d: %s\n", mistakes->file, mistakes->at[best].line,
			mistakes->at[best].text);
	}
	if (mistakes->more)
		buf_addf(out, "%s: and more\n", mistakes->file);
}

int mistakes_result(
	const struct mistakes *mistakes, int rc, struct buf *complaints, struct err *err)
{
	mistakes_print(mistakes, complaints);
	if (rc || !mistakes->count)
		return rc;
	return err_set(err, -EINVAL, "'%s' has %zu mistake%s", mistakes->file, mistakes->count,
		mistakes->count == 1 ? "" : "s");
}

void mistakes_free(struct mistakes *mistakes)
{
	for (size_t i = 0; i < mistakes->count; i++)
		free(mistakes->at[i].text);
	free(mistakes->at);
	mistakes->at = NULL;
	mistakes->count = 0;
}

/* ---- nodes ---- */

struct node *node_new(enum node_kind kind, int line)
{
	struct node *node = mem_zero(1, sizeof(*node));

	node->kind = kind;
	node->line = line;
	return node;
}

void node_free(struct node *node)
{
	if (!node)
		return;
	for (size_t i = 0; i < node->count; i++) {
		node_free(node->items[i]);
		if (node->keys)
			free(node->keys[i].name);
	}
	free(node->items);
	free(node->keys);
	free(node->text);
	free(node);
}

void node_append(struct node *node, char *key, int key_line, struct node *item)
{
	node->items = mem_grow(node->items, node->count + 1, sizeof(struct node *));
	node->items[node->count] = item;
	if (key) {
		node->keys = mem_grow(node->keys, node->count + 1, sizeof(*node->keys));
		node->keys[node->count] = (struct node_key){.name = key, .line = key_line};
	}
	node->count++;
}

void node_drop(struct node *node, size_t index)
{
	size_t behind = node->count - index - 1;

	node_free(node->items[index]);
	memmove(&node->items[index], &node->items[index + 1], behind * sizeof(struct node *));
	if (node->keys) {
		free(node->keys[index].name);
		memmove(&node->keys[index], &node->keys[index + 1], behind * sizeof(*node->keys));
	}
	node->count--;
}

static size_t find_key(const struct node *map, const char *key)
{
	for (size_t i = 0; map && map->kind == NODE_MAP && i < map->count; i++)
		if (!strcmp(map->keys[i].name, key))
			return i;
	return SIZE_MAX;
}

const struct node *node_get(const struct node *map, const char *key)
{
	size_t i = find_key(map, key);

	return i == SIZE_MAX ? NULL : map->items[i];
}

int node_line_of(const struct node *map, const char *key)
{
	size_t i = find_key(map, key);

	return i != SIZE_MAX ? map->keys[i].line : map ? map->line : 0;
}

/* Everything but printable ASCII is escaped, so that no reader's idea of a printable character matters. */
static void dump_text(const char *text, struct buf *out)
{
	buf_addc(out, '"');
	for (const char *p = text; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			buf_addf(out, "\\x%02x", c);
		else
			buf_addc(out, *p);
	}
	buf_addc(out, '"');
}

void node_dump(const struct node *node, struct buf *out)
{
	if (node->kind == NODE_SCALAR) {
		dump_text(node->text, out);
		return;
	}
	buf_addc(out, node->kind == NODE_MAP ? '{' : '[');
	for (size_t i = 0; i < node->count; i++) {
		if (i)
			buf_add_str(out, ",\n");
		if (node->kind == NODE_MAP) {
			dump_text(node->keys[i].name, out);
			buf_add_str(out, ": ");
		}
		node_dump(node->items[i], out);
	}
	buf_addc(out, node->kind == NODE_MAP ? '}' : ']');
}

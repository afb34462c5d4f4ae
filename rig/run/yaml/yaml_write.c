#include "run/yaml/yaml_write.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

/* ---- quantities ---- */

void put_text(json_t *object, const char *key, const char *text)
{
	if (text)
		json_object_set_new(object, key, json_text(text));
}

struct scale {
	const char *unit;
	uint64_t factor;
};

/* With the largest unit that keeps the value whole. */
static char *scaled_text(uint64_t value, const struct scale *scales, size_t count)
{
	size_t i = 0;

	while (i < count - 1 && value % scales[i].factor)
		i++;
	return text_fmt("%llu%s", (unsigned long long)(value / scales[i].factor), scales[i].unit);
}

void put_duration(json_t *object, const char *key, int64_t ms)
{
	static const struct scale scales[] = {
		{"d", 86400000}, {"h", 3600000}, {"min", 60000}, {"s", 1000}, {"ms", 1}};
	auto_free char *text = NULL;

	if (ms < 0)
		return;
	text = ms ? scaled_text((uint64_t)ms, scales, ARRAY_SIZE(scales)) : text_dup("0s");
	put_text(object, key, text);
}

char *size_text(uint64_t bytes)
{
	static const struct scale scales[] = {
		{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}};

	return scaled_text(bytes, scales, ARRAY_SIZE(scales));
}

void put_size(json_t *object, const char *key, uint64_t bytes)
{
	auto_free char *text = size_text(bytes);

	if (bytes)
		put_text(object, key, text);
}

void put_rate(json_t *object, const char *key, double per_s)
{
	static const struct scale scales[] = {{"/s", 1}, {"/min", 60}, {"/h", 3600}};

	for (size_t i = 0; per_s > 0 && i < ARRAY_SIZE(scales); i++) {
		double number = per_s * (double)scales[i].factor, off;
		uint64_t whole = (uint64_t)(number + 0.5);

		/* It was read as a whole number of one of these; division left an error of an ulp. */
		off = number > (double)whole ? number - (double)whole : (double)whole - number;
		if (off > 1e-9 * number && i < ARRAY_SIZE(scales) - 1)
			continue;
		json_object_set_new(object, key,
			json_sprintf("%llu%s", (unsigned long long)whole, scales[i].unit));
		return;
	}
}

void put_count(json_t *object, const char *key, uint64_t count)
{
	if (count)
		json_object_set_new(object, key, json_integer((json_int_t)count));
}

void put_list_of_words(json_t *object, const char *key, char *const *words, size_t count)
{
	json_t *list = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_text(words[i]));
	json_object_set_new(object, key, list);
}

void put_words(json_t *object, const char *key, char *const *words, size_t count)
{
	if (count)
		put_list_of_words(object, key, words, count);
}

/* ---- YAML ---- */

static bool left_out(const char *key, const json_t *value)
{
	return !strcmp(key, "line") && json_is_integer(value);
}

static bool is_special_word(const char *text)
{
	static const char *const words[] = {
		"y", "n", "yes", "no", "on", "off", "true", "false", "null"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcasecmp(text, words[i]))
			return true;
	return false;
}

/* Unquoted only what no reader of any version can take for something else. */
static bool is_plain(const char *text)
{
	if (!isalpha((unsigned char)text[0]) && text[0] != '/' && strncmp(text, "./", 2) != 0)
		return false;
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_-./@+ ", *p))
			return false;
	return text[strlen(text) - 1] != ' ' && !is_special_word(text);
}

/* 3s, 10/s, 64KiB, 1%: digits and a unit are text to every reader. */
static bool is_quantity(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits &&
	       (!strcmp(text + digits, "%") || !strncmp(text + digits, "/", 1) ||
		       (isalpha((unsigned char)text[digits]) &&
			       !strchr("eExXoObB_", text[digits]))) &&
	       strspn(text + digits, "abcdefghijklmnopqrstuvwxyzBGKMi/%") == strlen(text + digits);
}

static bool needs_double_quotes(const char *text)
{
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20)
			return true;
	return false;
}

static void write_text(const char *text, struct buf *out)
{
	bool twice = needs_double_quotes(text);

	if (is_plain(text) || is_quantity(text)) {
		buf_add_str(out, text);
		return;
	}
	buf_addc(out, twice ? '"' : '\'');
	for (const char *p = text; *p; p++) {
		if (twice && *p == '\n')
			buf_add_str(out, "\\n");
		else if (twice && (unsigned char)*p < 0x20)
			buf_addf(out, "\\x%02x", (unsigned char)*p);
		else if (twice && (*p == '"' || *p == '\\'))
			buf_addf(out, "\\%c", *p);
		else if (!twice && *p == '\'')
			buf_add_str(out, "''");
		else
			buf_addc(out, *p);
	}
	buf_addc(out, twice ? '"' : '\'');
}

static void write_flow(const json_t *json, struct buf *out)
{
	const char *key, *comma = "";
	json_t *value;
	size_t i;

	if (json_is_string(json)) {
		write_text(json_string_value(json), out);
	} else if (json_is_integer(json)) {
		buf_addf(out, "%lld", (long long)json_integer_value(json));
	} else if (json_is_array(json)) {
		buf_addc(out, '[');
		json_array_foreach ((json_t *)json, i, value) {
			buf_add_str(out, i ? ", " : "");
			write_flow(value, out);
		}
		buf_addc(out, ']');
	} else {
		assert(json_is_object(json));
		buf_addc(out, '{');
		json_object_foreach ((json_t *)json, key, value) {
			if (left_out(key, value))
				continue;
			buf_addf(out, "%s%s: ", comma, key);
			write_flow(value, out);
			comma = ", ";
		}
		buf_addc(out, '}');
	}
}

static bool is_list_of_objects(const json_t *json)
{
	return json_is_array(json) && json_is_object(json_array_get(json, 0));
}

static void write_entry(const json_t *value, struct buf *out)
{
	const char *key;
	json_t *item;
	size_t i;

	if (is_list_of_objects(value)) {
		buf_addc(out, '\n');
		json_array_foreach ((json_t *)value, i, item) {
			buf_add_str(out, "  - ");
			write_flow(item, out);
			buf_addc(out, '\n');
		}
	} else if (json_is_object(value)) {
		buf_addc(out, '\n');
		json_object_foreach ((json_t *)value, key, item) {
			if (left_out(key, item))
				continue;
			buf_addf(out, "  %s: ", key);
			write_flow(item, out);
			buf_addc(out, '\n');
		}
	} else {
		buf_addc(out, ' ');
		write_flow(value, out);
		buf_addc(out, '\n');
	}
}

void yaml_write(const json_t *object, struct buf *out)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)object, key, value) {
		if (left_out(key, value))
			continue;
		buf_addf(out, "%s:", key);
		write_entry(value, out);
	}
}

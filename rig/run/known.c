#include "run/known.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "run/yaml/yaml_check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct raw_known {
	char *signature, *target, *reason, *link, *until;
};

#define TEXT(key, member)       \
	CYAML_FIELD_STRING_PTR( \
		key, CYAML_FLAG_OPTIONAL, struct raw_known, member, 1, YAML_SCALAR_MAX)

static const cyaml_schema_field_t fields[] = {
	TEXT("signature", signature),
	TEXT("target", target),
	TEXT("reason", reason),
	TEXT("link", link),
	TEXT("until", until),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t entry_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_known, fields)};
static const cyaml_schema_value_t list_schema = {
	CYAML_VALUE_SEQUENCE(CYAML_FLAG_POINTER, struct raw_known, &entry_schema, 0, KNOWN_MAX)};

static const char *const required[] = {"signature", "target", "reason", "until", NULL};
static const struct yaml_rule rules[] = {{fields, "entry", required}, {0}};

static bool is_leap_year(unsigned int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* YYYY-MM-DD, a day of the calendar. */
static bool date_ok(const char *text)
{
	static const unsigned int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	unsigned int year, month, day, last;

	for (size_t i = 0; i < 10; i++)
		if (i == 4 || i == 7 ? text[i] != '-' : text[i] < '0' || text[i] > '9')
			return false;
	if (text[10] || sscanf(text, "%4u-%2u-%2u", &year, &month, &day) != 3)
		return false;
	if (year < 2000 || month < 1 || month > 12 || day < 1)
		return false;
	last = days[month - 1] + (month == 2 && is_leap_year(year));
	return day <= last;
}

/* CLASS-HEX, or LAW-HEX: a word, a hyphen, eight digits. */
static bool signature_ok(const char *text)
{
	const char *hyphen = strrchr(text, '-');

	return hyphen && hyphen > text && strlen(hyphen + 1) == 8 &&
	       strspn(hyphen + 1, "0123456789abcdef") == 8;
}

static void take_entry(const struct raw_known *raw, const struct node *map, struct known_list *list,
	struct mistakes *mistakes)
{
	struct known *known = &list->at[list->count++];

	known->line = map->line;
	take_text(raw->signature, &known->signature);
	take_text(raw->target, &known->target);
	take_text(raw->reason, &known->reason);
	take_text(raw->link, &known->link);
	take_text(raw->until, &known->until);
	if (raw->signature && !signature_ok(raw->signature))
		mistakes_add(mistakes, node_line_of(map, "signature"),
			"'signature: %s' is none; it looks like deadlock-1a2b3c4d", raw->signature);
	if (raw->until && !date_ok(raw->until))
		mistakes_add(mistakes, node_line_of(map, "until"),
			"'until: %s' is no date; say 2099-12-31", raw->until);
	for (struct known *first = list->at; raw->signature && raw->target && first < known;
		first++)
		if (first->signature && first->target &&
			!strcmp(first->signature, raw->signature) &&
			!strcmp(first->target, raw->target))
			mistakes_add(mistakes, map->line,
				"'%s' on '%s' is listed twice (first in line %d)", raw->signature,
				raw->target, first->line);
}

static int load_tree(
	struct node *root, struct mistakes *mistakes, struct known_list *list, struct err *err)
{
	const struct yaml_shape shape = {&list_schema, rules, NULL, NULL};
	struct raw_known *raw = NULL;
	unsigned int count = 0;
	int rc;

	yaml_check(root, &shape, mistakes);
	if (root->kind != NODE_LIST)
		return 0;
	rc = yaml_raw_load(root, &list_schema, (void **)&raw, &count, err);
	if (rc)
		return rc;
	list->at = mem_zero(count, sizeof(*list->at));
	for (unsigned int i = 0; i < count; i++)
		take_entry(&raw[i], root->items[i], list, mistakes);
	yaml_raw_free(&list_schema, raw, count);
	return 0;
}

int known_parse(const char *file, const char *text, size_t len, struct buf *complaints,
	struct known_list *ret, struct err *err)
{
	cleanup(mistakes_free) struct mistakes mistakes = {.file = file};
	struct node *root = node_parse(text, len, &mistakes);
	struct known_list list = {0};
	int rc = root ? load_tree(root, &mistakes, &list, err) : 0;

	node_free(root);
	rc = mistakes_result(&mistakes, rc, complaints, err);
	if (rc)
		known_list_free(&list);
	else
		*ret = list;
	return rc;
}

int known_load(const char *path, struct buf *complaints, struct known_list *ret, struct err *err)
{
	auto_buf struct buf text = {0};
	int rc = fs_read(path, SCENARIO_FILE_MAX, &text, err);

	if (rc)
		return rc;
	return known_parse(path, buf_text(&text), text.len, complaints, ret, err);
}

void known_list_free(struct known_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->at[i].signature);
		free(list->at[i].target);
		free(list->at[i].reason);
		free(list->at[i].link);
		free(list->at[i].until);
	}
	free(list->at);
	*list = (struct known_list){0};
}

const struct known *known_find(
	const struct known_list *list, const char *signature, const char *target, const char *today)
{
	for (const struct known *known = list->at; known < list->at + list->count; known++)
		if (!strcmp(known->signature, signature) && !strcmp(known->target, target) &&
			strcmp(today, known->until) <= 0)
			return known;
	return NULL;
}

bool known_covers(const struct known_list *list, const struct result *result)
{
	time_t now = (time_t)(clock_real_ns() / NS_PER_SEC);
	char today[16];
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(today, sizeof(today), "%Y-%m-%d", &tm);
	for (size_t i = 0; i < result->finding_count; i++)
		if (!list ||
			!known_find(list, result->findings[i].signature, result->target, today))
			return false;
	return result->finding_count > 0;
}

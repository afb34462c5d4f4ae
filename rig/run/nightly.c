#include "run/nightly.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "run/plan/scenario_parts.h"

#include <errno.h>

#define SEEDS_MAX	  1000
#define RETRIES_MAX	  1000
#define RETRIES_DEFAULT	  5
#define BUDGET_DEFAULT_MS (INT64_C(6) * 3600 * 1000)
#define WORDS_MAX	  256
#define BROKEN_DEFAULT	  0.01

struct raw_nightly {
	char **scenarios, **targets;
	unsigned int scenarios_count, targets_count;
	char *seeds, *time_budget, *retries, *fail_on, *max_broken, *canary;
};

#define TEXT(key, member)       \
	CYAML_FIELD_STRING_PTR( \
		key, CYAML_FLAG_OPTIONAL, struct raw_nightly, member, 1, YAML_SCALAR_MAX)
#define WORDS(key, member)                                                                      \
	CYAML_FIELD_SEQUENCE(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_nightly, \
		member, &word, 0, WORDS_MAX)

static const cyaml_schema_value_t word = {
	CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, YAML_SCALAR_MAX)};

static const cyaml_schema_field_t fields[] = {
	WORDS("scenarios", scenarios),
	WORDS("targets", targets),
	TEXT("seeds", seeds),
	TEXT("time_budget", time_budget),
	TEXT("retries", retries),
	TEXT("fail_on", fail_on),
	TEXT("max_broken", max_broken),
	TEXT("canary", canary),
	CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_nightly, fields)};
static const struct yaml_rule rules[] = {{fields, NULL, NULL}, {0}};

static struct nightly *take_nightly(
	const struct raw_nightly *raw, const struct node *root, struct mistakes *mistakes)
{
	static const char *const fail_on[] = {"new", "any", NULL};
	static char every[] = "*";
	static char *const all[] = {every};
	struct yaml_place at = {root, mistakes};
	struct nightly *nightly = mem_zero(1, sizeof(*nightly));
	int any = 0;

	nightly->seeds = 1;
	nightly->time_budget_ms = BUDGET_DEFAULT_MS;
	nightly->retries = RETRIES_DEFAULT;
	nightly->max_broken = BROKEN_DEFAULT;
	take_words(raw->scenarios_count ? raw->scenarios : all,
		raw->scenarios_count ? raw->scenarios_count : 1, &nightly->scenarios);
	take_words(raw->targets, raw->targets_count, &nightly->targets);
	take_count(at, "seeds", raw->seeds, 1, SEEDS_MAX, &nightly->seeds);
	take_duration(at, "time_budget", raw->time_budget, &nightly->time_budget_ms);
	take_count(at, "retries", raw->retries, 0, RETRIES_MAX, &nightly->retries);
	take_choice(at, "fail_on", raw->fail_on, fail_on, &any);
	take_percent(at, "max_broken", raw->max_broken, &nightly->max_broken);
	take_text(raw->canary, &nightly->canary);
	nightly->fail_on_any = any;
	return nightly;
}

static int load_tree(
	struct node *root, struct mistakes *mistakes, struct nightly **ret, struct err *err)
{
	const struct yaml_shape shape = {&schema, rules, NULL, NULL};
	void *raw = NULL;
	int rc;

	yaml_check(root, &shape, mistakes);
	if (root->kind != NODE_MAP)
		return 0;
	rc = yaml_raw_load(root, &schema, &raw, NULL, err);
	if (rc)
		return rc;
	*ret = take_nightly(raw, root, mistakes);
	yaml_raw_free(&schema, raw, 0);
	return 0;
}

int nightly_parse(const char *file, const char *text, size_t len, struct buf *complaints,
	struct nightly **ret, struct err *err)
{
	cleanup(mistakes_free) struct mistakes mistakes = {.file = file};
	struct node *root = node_parse(text, len, &mistakes);
	struct nightly *nightly = NULL;
	int rc = root ? load_tree(root, &mistakes, &nightly, err) : 0;

	node_free(root);
	rc = mistakes_result(&mistakes, rc, complaints, err);
	if (rc)
		nightly_free(nightly);
	else
		*ret = nightly;
	return rc;
}

int nightly_load(const char *path, struct buf *complaints, struct nightly **ret, struct err *err)
{
	auto_buf struct buf text = {0};
	int rc = fs_read(path, SCENARIO_FILE_MAX, &text, err);

	if (rc)
		return rc;
	return nightly_parse(path, buf_text(&text), text.len, complaints, ret, err);
}

void nightly_free(struct nightly *nightly)
{
	if (!nightly)
		return;
	text_list_free(&nightly->scenarios);
	text_list_free(&nightly->targets);
	free(nightly->canary);
	free(nightly);
}

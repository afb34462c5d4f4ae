/*
 * Any bytes as a scenario, a target, a list of known findings and a night. They load or are refused with
 * at least one sentence; what loads is the same after a trip through JSON and through its own print.
 * Seeds: tests/golden/yaml.
 */
#include "base/json.h"
#include "run/known.h"
#include "run/nightly.h"
#include "run/plan/scenario_load.h"
#include "run/plan/target_load.h"
#include "tests/unit/yaml_words.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One sentence a line, printable, and none without one. */
static void check_told(int rc, const struct buf *complaints)
{
	assert(rc == 0 || rc == -EINVAL);
	assert((rc == 0) == (complaints->len == 0));
	for (size_t i = 0; i < complaints->len; i++)
		assert((unsigned char)complaints->data[i] >= 0x20 || complaints->data[i] == '\n');
}

/* Lines and the file's name are not the document's. */
static void forget_places(json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;

	json_object_del(json, "file");
	json_object_del(json, "dir");
	json_object_del(json, "name");
	json_object_foreach (json, key, value) {
		json_t *entry;

		json_array_foreach (value, i, entry)
			json_object_del(entry, "line");
	}
}

static void check_same(json_t *one, json_t *other)
{
	forget_places(one);
	forget_places(other);
	assert(json_equal(one, other));
	json_decref(one);
	json_decref(other);
}

static void try_scenario(const char *text, size_t len)
{
	auto_buf struct buf complaints = {0}, print = {0};
	struct scenario *scenario = NULL, *again = NULL;
	struct err err = {0};
	int rc = scenario_parse("x.yaml", text, len, &words, &complaints, &scenario, &err);

	check_told(rc, &complaints);
	if (rc)
		return;
	scenario_print(scenario, NULL, &print);
	rc = scenario_parse(
		"x.yaml", buf_text(&print), print.len, &words, &complaints, &again, &err);
	assert(!rc);
	check_same(scenario_to_json(scenario, NULL), scenario_to_json(again, NULL));
	scenario_free(scenario);
	scenario_free(again);
}

static void try_target(const char *text, size_t len)
{
	auto_buf struct buf complaints = {0}, print = {0};
	auto_json json_t *json = NULL;
	struct target *target = NULL, *again = NULL;
	struct err err = {0};
	int rc = target_parse("x.yaml", NULL, text, len, NULL, &complaints, &target, &err);

	check_told(rc, &complaints);
	if (rc)
		return;
	json = target_to_json(target);
	rc = target_from_json(json, &again, &err);
	assert(!rc);
	check_same(target_to_json(target), target_to_json(again));
	target_free(again);
	target_print(target, &print);
	rc = target_parse(
		"x.yaml", NULL, buf_text(&print), print.len, NULL, &complaints, &again, &err);
	assert(!rc);
	check_same(target_to_json(target), target_to_json(again));
	target_free(target);
	target_free(again);
}

static void try_lists(const char *text, size_t len)
{
	auto_buf struct buf complaints = {0};
	struct nightly *nightly = NULL;
	struct known_list known = {0};
	struct err err = {0};

	check_told(known_parse("x.yaml", text, len, &complaints, &known, &err), &complaints);
	known_list_free(&known);
	buf_reset(&complaints);
	check_told(nightly_parse("x.yaml", text, len, &complaints, &nightly, &err), &complaints);
	nightly_free(nightly);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	try_scenario(text, size);
	try_target(text, size);
	try_lists(text, size);
	return 0;
}

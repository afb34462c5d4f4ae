/* What `run --json` prints: {"cells":[...],"totals":{...}}. Keys are only ever added. */
#include "report/exporter.h"

#include "base/json.h"

#include <ctype.h>
#include <string.h>

/* {"cells":6,"pass":3,"skip":2,...,"findings":1,"new":1} */
static json_t *totals_of(const struct campaign_results *campaign)
{
	size_t verdicts[VERDICT_COUNT] = {0}, findings = 0, fresh = 0;
	json_t *totals = json_object();

	for (size_t i = 0; i < campaign->count; i++) {
		const struct result *cell = &campaign->cells[i];

		verdicts[cell->verdict]++;
		if (cell->verdict != VERDICT_FAIL)
			continue;
		findings++;
		fresh += cell->state == FINDING_NEW;
	}
	json_object_set_new(totals, "cells", json_integer((json_int_t)campaign->count));
	for (int i = 0; i < VERDICT_COUNT; i++) {
		char key[16];

		snprintf(key, sizeof(key), "%s", verdict_name((enum verdict)i));
		for (char *p = key; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		json_object_set_new(totals, key, json_integer((json_int_t)verdicts[i]));
	}
	json_object_set_new(totals, "findings", json_integer((json_int_t)findings));
	json_object_set_new(totals, "new", json_integer((json_int_t)fresh));
	return totals;
}

static int write_json(const struct campaign_results *campaign, struct buf *out, struct err *err)
{
	auto_json json_t *json = json_object();
	auto_free char *text = NULL;
	json_t *cells = json_array();

	for (size_t i = 0; i < campaign->count; i++)
		json_array_append_new(cells, result_to_json(&campaign->cells[i]));
	json_object_set_new(
		json, "campaign", campaign->name ? json_text(campaign->name) : json_null());
	json_object_set_new(
		json, "mailrig", campaign->version ? json_text(campaign->version) : json_null());
	json_object_set_new(json, "began_ns", json_integer(campaign->began_ns));
	json_object_set_new(json, "wall_ms", json_integer(campaign->wall_ms));
	json_object_set_new(json, "cells", cells);
	json_object_set_new(json, "totals", totals_of(campaign));
	text = json_dumps(json, JSON_INDENT(1));
	if (!text)
		return err_set(err, -EINVAL, "campaign '%s' cannot be written as JSON",
			campaign->name ? campaign->name : "");
	buf_addf(out, "%s\n", text);
	return 0;
}

const struct exporter exporter_json = {
	.name = "json",
	.summary = "the object that run --json prints: cells and totals",
	.file_name = "results.json",
	.write = write_json,
};

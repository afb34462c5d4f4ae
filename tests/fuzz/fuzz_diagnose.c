/*
 * A scan, as a hostile guest may write it: graph, classes, words and the drawing. Whatever the evidence: a title, a class
 * that has a name or none, bounded lists, and the same answer twice.
 */
#include "diagnose/diagnose.h"
#include "report/graph_svg.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void run(const json_t *json, struct diagnosis *ret)
{
	static const int parked[] = {1, 10};
	const json_t *scan = json_object_get(json, "scan");

	diagnose(&(struct diagnose_input){.scan = scan ? scan : json,
			 .earlier = json_object_get(json, "earlier"),
			 .healthy = json_object_get(json, "healthy"),
			 .owed = json_object_get(json, "owed"),
			 .died = json_object_get(json, "died"),
			 .exited = json_object_get(json, "exited"),
			 .kernel = json_object_get(json, "kernel"),
			 .since = json_object_get(json, "since"),
			 .dot_locks = json_object_get(json, "dot_locks"),
			 .before = json_object_get(json, "before"),
			 .known = parked,
			 .known_count = json_object_get(json, "before") ? 1 : 0,
			 .stopping = true,
			 .parked = parked,
			 .parked_count = 2},
		ret);
	assert(ret->title && ret->culprit_count <= CULPRITS_MAX);
	assert(ret->evidence_count <= EVIDENCE_LINE_MAX && ret->unknown_count <= EVIDENCE_LINE_MAX);
	assert(!ret->hang_class == !ret->signature[0]);
	assert(!ret->hang_class == !ret->graph);
}

/* Markup in the drawing is its own: everything of the guest is escaped. */
static void draw(const struct diagnosis *diagnosis)
{
	struct buf svg = {0};

	if (diagnosis->graph && graph_svg(diagnosis->graph, &svg))
		assert(!strstr(svg.data, "<script"));
	buf_free(&svg);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	json_t *json = json_loadb((const char *)bytes, len, JSON_ALLOW_NUL, NULL);
	struct diagnosis one, two;

	if (!json)
		return 0;
	run(json, &one);
	run(json, &two);
	assert(!strcmp(one.signature, two.signature) && !strcmp(one.title, two.title));
	json_decref(diagnosis_to_json(&one));
	draw(&one);
	diagnosis_free(&one);
	diagnosis_free(&two);
	json_decref(json);
	return 0;
}

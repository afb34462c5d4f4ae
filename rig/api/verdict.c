#include "api/verdict.h"

#include "base/buf.h"
#include "base/json.h"

#include <string.h>

#define FINDINGS_MAX 1024 /* of one cell */
#define LAWS_MAX     64	  /* of one finding */

static const char *const verdict_names[VERDICT_COUNT] = {
	[VERDICT_PASS] = "PASS",
	[VERDICT_SKIP] = "SKIP",
	[VERDICT_UNKNOWN] = "UNKNOWN",
	[VERDICT_BROKEN] = "BROKEN",
	[VERDICT_FAIL] = "FAIL",
	[VERDICT_MISS] = "MISS",
};

static const char *const state_names[] = {
	[FINDING_NEW] = "new",
	[FINDING_KNOWN] = "known",
};

static const char *const hang_classes[] = {"deadlock", "lost-wakeup", "exhaustion", "livelock",
	"stopped", "blocked-on-fault", "crash", "crash-loop", "slow"};

const char *verdict_name(enum verdict verdict)
{
	return (size_t)verdict < VERDICT_COUNT ? verdict_names[verdict] : "?";
}

int verdict_from_name(const char *name)
{
	for (int i = 0; i < VERDICT_COUNT; i++)
		if (!strcmp(verdict_names[i], name))
			return i;
	return -EINVAL;
}

/* MISS says that nothing ran; it yields to whatever did, but for a pass. */
enum verdict verdict_worse(enum verdict a, enum verdict b)
{
	static const int rank[VERDICT_COUNT] = {
		[VERDICT_PASS] = 0,
		[VERDICT_SKIP] = 1,
		[VERDICT_MISS] = 2,
		[VERDICT_UNKNOWN] = 3,
		[VERDICT_BROKEN] = 4,
		[VERDICT_FAIL] = 5,
	};

	return rank[a] >= rank[b] ? a : b;
}

const char *finding_state_name(enum finding_state state)
{
	return (size_t)state < ARRAY_SIZE(state_names) ? state_names[state] : "?";
}

const char *hang_class_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(hang_classes); i++)
		if (!strcmp(hang_classes[i], name))
			return hang_classes[i];
	return NULL;
}

bool finding_recovery(const struct finding *finding, struct buf *out)
{
	const json_t *r = finding->recovery;
	const char *recovery = json_get_text(r, "recovery", ""),
		   *event = json_get_text(r, "recovery_event", "");
	bool in_force = json_get_bool(r, "recovery_in_force", false);

	if (!strcmp(recovery, "permanent"))
		buf_addf(out, "permanent%s (searched %lld guest s)",
			in_force ? " while the fault is in force" : "",
			(long long)json_get_int(r, "searched_s", 0));
	else if (!strcmp(recovery, "after_guest_s"))
		buf_addf(out, "slow, recovers after about %lld guest s: %s",
			(long long)json_get_int(r, "recovers_after_s", 0), event);
	else if (*recovery)
		buf_addf(out, "not judged: %s", event);
	return *recovery;
}

bool law_is_of_hangs(const char *law)
{
	static const char *const laws[] = {"H1", "H2", "H3", "H4", "H6"};

	for (size_t i = 0; i < ARRAY_SIZE(laws); i++)
		if (!strcmp(law, laws[i]))
			return true;
	return false;
}

bool finding_has_law(const struct finding *finding, const char *law)
{
	for (size_t i = 0; i < finding->law_count; i++)
		if (!strcmp(finding->laws[i], law))
			return true;
	return false;
}

bool finding_is_crash(const struct finding *finding)
{
	return finding->hang_class && !strncmp(finding->hang_class, "crash", strlen("crash"));
}

bool finding_is_hang(const struct finding *finding)
{
	if (finding->hang_class)
		return !finding_is_crash(finding);
	return finding->law_count && law_is_of_hangs(finding->laws[0]);
}

void finding_free(struct finding *finding)
{
	json_decref(finding->diagnosis);
	json_decref(finding->recovery);
	free(finding->undiagnosed);
	for (size_t i = 0; i < finding->law_count; i++)
		free(finding->laws[i]);
	free(finding->laws);
	free(finding->lines);
	free(finding->title);
}

void result_free(struct result *result)
{
	if (!result)
		return;
	free(result->id);
	free(result->scenario);
	free(result->target);
	free(result->target_version);
	free(result->image);
	free(result->reason);
	free(result->control);
	free(result->accelerator);
	free(result->fallback);
	free(result->recovery);
	free(result->recovery_event);
	free(result->path);
	for (size_t i = 0; i < result->finding_count; i++)
		finding_free(&result->findings[i]);
	free(result->findings);
	json_decref(result->laws);
	json_decref(result->drain);
	json_decref(result->symptoms);
	json_decref(result->order);
	*result = (struct result){0};
}

/* ---- to JSON ---- */

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_text(text) : json_null();
}

static json_t *measured(int64_t value)
{
	return value < 0 ? json_null() : json_integer(value);
}

static json_t *finding_to_json(const struct finding *finding)
{
	json_t *laws = json_array(), *lines = json_array(), *json;

	for (size_t i = 0; i < finding->law_count; i++)
		json_array_append_new(laws, json_text(finding->laws[i]));
	for (size_t i = 0; i < finding->line_count; i++)
		json_array_append_new(lines, json_integer(finding->lines[i]));
	json = json_pack("{so so so so so sb sb sO* so*}", "signature",
		text_or_null(finding->signature), "class", text_or_null(finding->hang_class),
		"laws", laws, "title", text_or_null(finding->title), "lines", lines, "suspect",
		(int)finding->suspect, "baseline", (int)finding->baseline, "diagnosis",
		finding->diagnosis, "undiagnosed",
		finding->undiagnosed ? json_text(finding->undiagnosed) : NULL);
	if (finding->recovery)
		json_object_update_missing(json, finding->recovery);
	return json;
}

bool result_has_signature(const struct result *result, const char *signature)
{
	for (size_t i = 0; i < result->finding_count; i++)
		if (!strcmp(result->findings[i].signature, signature))
			return true;
	return false;
}

/* The cell is called after its first finding that rig trouble did not precede, else its first. */
const struct finding *result_finding(const struct result *result)
{
	for (size_t i = 0; i < result->finding_count; i++)
		if (!result->findings[i].suspect)
			return &result->findings[i];
	return result->finding_count ? result->findings : NULL;
}

static json_t *identity(const struct result *result)
{
	const struct finding *first = result_finding(result);

	return json_pack("{so so so so so sI sI sI ss so so so so}", "id", text_or_null(result->id),
		"scenario", text_or_null(result->scenario), "target", text_or_null(result->target),
		"target_version", text_or_null(result->target_version), "image",
		text_or_null(result->image), "seed", (json_int_t)result->seed, "slot",
		(json_int_t)result->slot, "number", (json_int_t)result->number, "verdict",
		verdict_name(result->verdict), "reason",
		json_text(result->reason ? result->reason : ""), "class",
		text_or_null(first ? first->hang_class : NULL), "signature",
		text_or_null(first ? first->signature : NULL), "state",
		first ? json_string(finding_state_name(result->state)) : json_null());
}

json_t *result_to_json(const struct result *result)
{
	json_t *json = identity(result), *findings = json_array(), *measures;
	json_t *hits = result->tries ? json_pack("[II]", (json_int_t)result->hits,
					       (json_int_t)result->tries)
				     : json_null();

	for (size_t i = 0; i < result->finding_count; i++)
		json_array_append_new(findings, finding_to_json(&result->findings[i]));
	measures = json_pack("{so so so so so so so so so so so sb so}", "findings", findings,
		"fired", measured(result->fired), "residue", measured(result->residue), "detect_ms",
		measured(result->detect_ms), "recover_ms", measured(result->recover_ms), "drain_ms",
		measured(result->drain_ms), "recovers_after_s", measured(result->recovers_after_s),
		"hits", hits, "control", text_or_null(result->control), "wall_ms",
		measured(result->wall_ms), "accelerator", text_or_null(result->accelerator),
		"starved", (int)result->starved, "path", text_or_null(result->path));
	if (!json || !measures || json_object_update_missing(json, measures))
		abort();
	json_decref(measures);
	json_object_set_new(json, "recovery", text_or_null(result->recovery));
	json_object_set_new(json, "recovery_event", text_or_null(result->recovery_event));
	if (result->fallback)
		json_object_set_new(json, "fallback", json_text(result->fallback));
	if (result->laws)
		json_object_set(json, "laws", result->laws);
	if (result->drain)
		json_object_set(json, "drain", result->drain);
	if (result->order)
		json_object_set(json, "order", result->order);
	if (result->symptoms)
		json_object_set(json, "symptoms", result->symptoms);
	return json;
}

/* ---- from JSON ---- */

static char *text_at(const json_t *json, const char *key)
{
	return text_dup(json_get_text(json, key, NULL));
}

static json_t *recovery_from_json(const json_t *json)
{
	static const char *const keys[] = {"recovery", "recovery_event", "recovers_after_s",
		"searched_s", "recovery_in_force", "recovery_from"};
	json_t *recovery;

	if (!*json_get_text(json, "recovery", ""))
		return NULL;
	recovery = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_object_get(json, keys[i]))
			json_object_set(recovery, keys[i], json_object_get(json, keys[i]));
	return recovery;
}

static void finding_from_json(const json_t *json, struct finding *ret)
{
	const json_t *laws = json_object_get(json, "laws"), *lines = json_object_get(json, "lines");
	size_t law_count = json_array_size(laws), line_count = json_array_size(lines);

	*ret = (struct finding){
		.hang_class = hang_class_find(json_get_text(json, "class", "")),
		.title = text_at(json, "title"),
		.laws = mem_zero(LAWS_MAX, sizeof(char *)),
		.lines = mem_zero(FINDING_LINES_MAX, sizeof(uint32_t)),
		.suspect = json_get_bool(json, "suspect", false),
		.baseline = json_get_bool(json, "baseline", false),
		.diagnosis = json_incref(json_object_get(json, "diagnosis")),
		.undiagnosed = text_at(json, "undiagnosed"),
		.recovery = recovery_from_json(json),
	};
	snprintf(
		ret->signature, sizeof(ret->signature), "%s", json_get_text(json, "signature", ""));
	for (size_t i = 0; i < law_count && ret->law_count < LAWS_MAX; i++)
		if (json_is_string(json_array_get(laws, i)))
			ret->laws[ret->law_count++] =
				text_dup(json_string_value(json_array_get(laws, i)));
	for (size_t i = 0; i < line_count && ret->line_count < FINDING_LINES_MAX; i++)
		ret->lines[ret->line_count++] =
			(uint32_t)json_integer_value(json_array_get(lines, i));
}

static void texts_from_json(const json_t *json, struct result *ret)
{
	ret->id = text_at(json, "id");
	ret->scenario = text_at(json, "scenario");
	ret->target = text_at(json, "target");
	ret->target_version = text_at(json, "target_version");
	ret->image = text_at(json, "image");
	ret->reason = text_at(json, "reason");
	ret->control = text_at(json, "control");
	ret->accelerator = text_at(json, "accelerator");
	ret->fallback = text_at(json, "fallback");
	ret->recovery = text_at(json, "recovery");
	ret->recovery_event = text_at(json, "recovery_event");
	ret->path = text_at(json, "path");
	ret->drain = json_deep_copy(json_object_get(json, "drain"));
	ret->symptoms = json_deep_copy(json_object_get(json, "symptoms"));
	ret->order = json_deep_copy(json_object_get(json, "order"));
}

static void numbers_from_json(const json_t *json, struct result *ret)
{
	const json_t *hits = json_object_get(json, "hits");

	ret->seed = (uint64_t)json_get_int(json, "seed", 0);
	ret->slot = (uint32_t)json_get_int(json, "slot", 0);
	ret->number = (uint32_t)json_get_int(json, "number", 0);
	ret->fired = json_get_int(json, "fired", -1);
	ret->residue = json_get_int(json, "residue", -1);
	ret->detect_ms = json_get_int(json, "detect_ms", -1);
	ret->recover_ms = json_get_int(json, "recover_ms", -1);
	ret->drain_ms = json_get_int(json, "drain_ms", -1);
	ret->wall_ms = json_get_int(json, "wall_ms", -1);
	ret->recovers_after_s = json_get_int(json, "recovers_after_s", -1);
	ret->hits = (uint32_t)json_integer_value(json_array_get(hits, 0));
	ret->tries = (uint32_t)json_integer_value(json_array_get(hits, 1));
	ret->starved = json_get_bool(json, "starved", false);
}

int result_from_json(const json_t *json, struct result *result, struct err *err)
{
	const json_t *findings = json_object_get(json, "findings");
	const char *word = json_get_text(json, "verdict", NULL),
		   *id = json_get_text(json, "id", "");
	size_t count = json_array_size(findings);
	int verdict = word ? verdict_from_name(word) : -EINVAL;

	if (!*id)
		return err_set(err, -EINVAL, "a result has no \"id\"");
	if (verdict < 0)
		return err_set(err, -EINVAL, "result '%s' has no verdict that is one", id);
	if (count > FINDINGS_MAX)
		return err_set(
			err, -EINVAL, "result '%s' has more than %d findings", id, FINDINGS_MAX);
	*result = (struct result){
		.verdict = (enum verdict)verdict,
		.findings = mem_zero(count, sizeof(struct finding)),
		.laws = json_incref(json_object_get(json, "laws")),
	};
	if (!strcmp(json_get_text(json, "state", "new"), finding_state_name(FINDING_KNOWN)))
		result->state = FINDING_KNOWN;
	texts_from_json(json, result);
	numbers_from_json(json, result);
	for (size_t i = 0; i < count; i++)
		finding_from_json(json_array_get(findings, i), &result->findings[i]);
	result->finding_count = count;
	return 0;
}

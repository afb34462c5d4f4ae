#include "report/story.h"

#include "api/history.h"
#include "api/oracle.h"
#include "api/verdict.h"
#include "base/fs.h"
#include "base/json.h"
#include "report/story_parts.h"

#include <ctype.h>
#include <string.h>

#define VERDICT_MAX (4u << 20)
#define TEXT_SHOWN  110
#define PLAN_MAX    (4u << 20)

/* Bytes of a guest on somebody's terminal: printable ASCII and no more than a line. */
void story_plain(struct buf *out, const char *text)
{
	size_t shown = 0;

	for (const char *p = text; *p && *p != '\n'; p++, shown++) {
		if (shown == TEXT_SHOWN) {
			buf_add_str(out, "...");
			return;
		}
		buf_addc(out, *p >= 0x20 && *p < 0x7f ? *p : '?');
	}
}

void story_wrap(struct buf *out, const char *text, size_t indent, size_t column)
{
	bool first = true;

	for (const char *word = text + strspn(text, " \n"); *word;) {
		size_t len = strcspn(word, " \n");

		if (!first && column + 1 + len > STORY_COLUMNS) {
			buf_addf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (!first) {
			buf_addc(out, ' ');
			column++;
		}
		for (size_t i = 0; i < len; i++)
			buf_addc(out, word[i] > 0x20 && word[i] < 0x7f ? word[i] : '?');
		column += len;
		first = false;
		word += len;
		word += strspn(word, " \n");
	}
	buf_addc(out, '\n');
}

static const char *text_or(const char *text, const char *otherwise)
{
	return text && *text ? text : otherwise;
}

static void head(const struct result *r, struct buf *out)
{
	const struct finding *first = result_finding(r);

	buf_addf(out, "%s  %s", verdict_name(r->verdict), first ? first->signature : "no finding");
	if (first)
		buf_addf(out, "  %s", r->state == FINDING_KNOWN ? "KNOWN" : "NEW");
	buf_addf(out, "  %s, ", r->id);
	for (const char *p = text_or(r->accelerator, "no accelerator"); *p; p++)
		buf_addc(out, (char)toupper((unsigned char)*p));
	buf_addf(out, "\n%s%s%s%s%.8s, seed %llu, fired %lld, residue %lld\n",
		text_or(r->target, "?"), r->target_version ? " " : "",
		text_or(r->target_version, ""), r->image ? ", image " : "", text_or(r->image, ""),
		(unsigned long long)r->seed, (long long)r->fired, (long long)r->residue);
	if (first && first->diagnosis) {
		buf_add_str(out, "\n  ");
		story_wrap(out, text_or(first->title, "?"), 2, 2);
	} else if (r->reason && *r->reason) {
		buf_add_str(out, "\n  ");
		story_wrap(out, r->reason, 2, 2);
	}
}

/* What was tried: the scenario's own sentence, and the target's settings where it has any. */
static void tell_claim(const char *dir, const struct result *r, struct buf *out)
{
	auto_free char *path = path_join(dir, "plan.json");
	auto_json json_t *plan = fs_exists(path) ? json_load_path(path, PLAN_MAX, NULL) : NULL;
	const json_t *settings = json_object_get(plan, "settings");
	const char *claim = json_get_text(json_object_get(plan, "scenario"), "claim", "");
	auto_buf struct buf text = {0};
	json_t *setting;
	size_t i;

	if (!*claim)
		return;
	buf_addf(&text, "Claim of %s: %s", text_or(r->scenario, "?"), claim);
	json_array_foreach ((json_t *)settings, i, setting)
		if (json_is_string(setting))
			buf_addf(&text, "%s%s", i ? ", " : " Set: ", json_string_value(setting));
	buf_add_str(out, "\n  ");
	story_wrap(out, buf_text(&text), 2, 2);
}

static void tell_order(const json_t *order, struct buf *out)
{
	const json_t *wanted = json_object_get(order, "wanted");
	const char *waited = json_get_text(order, "waited", NULL);

	if (!order)
		return;
	buf_add_str(out, "\nORDER  ");
	for (size_t i = 0; i < json_array_size(wanted); i++) {
		const char *side = json_string_value(json_array_get(wanted, i));

		buf_add_str(out, i ? ", then " : "");
		story_plain(out, side ? side : "?");
	}
	if (json_get_bool(order, "covered", false)) {
		buf_add_str(out, ": covered\n");
	} else {
		buf_add_str(out, ": NOT REACHED: ");
		story_plain(out, json_get_text(order, "why", "?"));
		buf_addc(out, '\n');
	}
	if (waited) {
		buf_add_str(out, "  ");
		story_plain(out, waited);
		buf_add_str(out, " was not done before the next was let go\n");
	}
}

/* ---- how sure ---- */

static bool lost_frames(const struct history *history)
{
	for (size_t i = 0; i < history->count; i++)
		if (event_is(&history->events[i], "rig") &&
			!strcmp(json_get_text(history->events[i].data, "trouble", ""),
				"capture-lost"))
			return true;
	return false;
}

/* Again, and without the faults: whether it comes from what this cell did. */
static void tell_again(const struct result *r, struct buf *out)
{
	if (r->tries)
		buf_addf(out, "  same seed again            %u of %u give this signature\n",
			r->hits, r->tries);
	else
		buf_add_str(out, "  same seed again            not tried\n");
	buf_add_str(out, "  same seed, without faults  ");
	story_plain(out, r->control ? r->control : "not tried");
	buf_addc(out, '\n');
}

static void tell_sure(const struct result *r, const struct finding *first,
	const struct history *history, struct buf *out)
{
	const json_t *d = first->diagnosis, *onset = json_object_get(d, "onset_s");
	size_t unknown = json_array_size(json_object_get(d, "unknown"));

	buf_add_str(out, "\nHOW SURE\n");
	tell_again(r, out);
	if (json_array_size(onset) == 2)
		buf_addf(out, "  onset                      between %.3f s and %.3f s\n",
			json_number_value(json_array_get(onset, 0)),
			json_number_value(json_array_get(onset, 1)));
	if (json_object_get(d, "detected_s"))
		buf_addf(out, "  noticed by the rig         at %.3f s\n",
			json_get_real(d, "detected_s", 0));
	if (unknown || first->undiagnosed)
		buf_addf(out, "  what could not be told     %zu (see NOT KNOWN)\n",
			unknown + (first->undiagnosed != NULL));
	else if (d)
		buf_add_str(out, "  what could not be told     nothing\n");
	buf_addf(out, "  frames lost to the capture %s\n", lost_frames(history) ? "some" : "none");
	if (r->starved)
		buf_add_str(out,
			"  the host                   was starved at times: see RIG in the "
			"timeline\n");
}

static void tell_drain(const json_t *drain, struct buf *out)
{
	int64_t empty_ms = json_get_int(drain, "empty_ms", -1);
	auto_buf struct buf text = {0};

	if (!drain)
		return;
	buf_add_str(out, "\nDRAIN  after the agent was back\n  ");
	if (empty_ms < 0)
		buf_add_str(&text, "the queue was not seen empty");
	else
		buf_addf(&text, "the queue was empty after %.1f s", (double)empty_ms / 1000);
	if (json_get_int(drain, "tries", 0))
		buf_addf(&text, "; %lld tries, at most %lld within a second",
			(long long)json_get_int(drain, "tries", 0),
			(long long)json_get_int(drain, "burst_1s", 0));
	buf_addf(&text, "; %lld duplicates, %lld out of order",
		(long long)json_get_int(drain, "duplicates", 0),
		(long long)json_get_int(drain, "reordered", 0));
	story_wrap(out, buf_text(&text), 2, 2);
}

static void tell_symptoms(const json_t *symptoms, struct buf *out)
{
	json_t *line;
	size_t i;

	if (json_array_size(symptoms))
		buf_add_str(out, "\nSYMPTOMS   what is noticed from outside; guest seconds\n");
	json_array_foreach ((json_t *)symptoms, i, line) {
		buf_add_str(out, "  ");
		story_wrap(out, json_is_string(line) ? json_string_value(line) : "?", 4, 2);
	}
}

static int load_result(const char *dir, json_t **ret_json, struct result *ret, struct err *err)
{
	auto_free char *path = path_join(dir, "verdict.json");

	*ret_json = json_load_path(path, VERDICT_MAX, err);
	return *ret_json ? result_from_json(*ret_json, ret, err) : -ENOENT;
}

static void tell_history(const struct result *r, const struct history *history, struct buf *out)
{
	const struct finding *first = result_finding(r);

	for (size_t i = 0; i < r->finding_count; i++)
		if (r->findings[i].diagnosis)
			story_causes(&r->findings[i], history, out);
	tell_symptoms(r->symptoms, out);
	story_clients(first, history, out);
	story_recovery(r, history, out);
	if (first)
		tell_sure(r, first, history, out);
	story_timeline(history, r, out);
	tell_drain(r->drain, out);
	story_laws(r, history, out);
	story_unknown(r, out);
}

int story_write(const char *dir, struct buf *out, struct err *err)
{
	auto_free char *path = path_join(dir, "history.jsonl");
	struct history *history = NULL;
	auto_json json_t *verdict = NULL;
	struct result result = {0};
	int rc = load_result(dir, &verdict, &result, err);

	if (rc)
		return rc;
	head(&result, out);
	tell_claim(dir, &result, out);
	if (result.fallback) {
		buf_add_str(out, "\nFALLBACK\n  ");
		story_wrap(out, result.fallback, 2, 2);
	}
	tell_order(result.order, out);
	if (fs_exists(path))
		rc = history_load(path, &history, err);
	if (!rc && history)
		tell_history(&result, history, out);
	history_free(history);
	result_free(&result);
	return rc;
}

/*
 * JUnit XML in the dialect that Jenkins reads (xunit-plugin, junit-10.xsd): one suite a target, one
 * case a cell, named SCENARIO[SLOT], so that the name stays from night to night while the seed does
 * not. FAIL is a failure. BROKEN, MISS and UNKNOWN are errors: none of them tested anything, and none
 * may look green. SKIP is skipped.
 */
#include "report/exporter.h"

#include "api/intern.h"
#include "base/clock.h"
#include "report/markup.h"

#include <string.h>
#include <time.h>

struct counts {
	size_t tests, failures, errors, skipped;
	int64_t wall_ms;
};

static const char *text_or(const char *text, const char *otherwise)
{
	return text && *text ? text : otherwise;
}

static bool is_error(enum verdict verdict)
{
	return verdict == VERDICT_BROKEN || verdict == VERDICT_MISS || verdict == VERDICT_UNKNOWN;
}

static void count_cell(struct counts *counts, const struct result *cell)
{
	counts->tests++;
	counts->failures += cell->verdict == VERDICT_FAIL;
	counts->errors += is_error(cell->verdict);
	counts->skipped += cell->verdict == VERDICT_SKIP;
	counts->wall_ms += cell->wall_ms > 0 ? cell->wall_ms : 0;
}

static void add_attribute(struct buf *out, const char *name, const char *value)
{
	buf_addf(out, " %s=\"", name);
	markup_add(out, value);
	buf_addc(out, '"');
}

static void add_seconds(struct buf *out, int64_t wall_ms)
{
	buf_addf(out, " time=\"%.3f\"", wall_ms > 0 ? (double)wall_ms / 1000 : 0.0);
}

static void add_timestamp(struct buf *out, int64_t began_ns)
{
	time_t seconds = began_ns / NS_PER_SEC;
	struct tm tm;
	char text[32];

	if (gmtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		add_attribute(out, "timestamp", text);
}

static void add_property(struct buf *out, const char *name, const char *value)
{
	if (!value || !*value)
		return;
	buf_add_str(out, "      <property");
	add_attribute(out, "name", name);
	add_attribute(out, "value", value);
	buf_add_str(out, "/>\n");
}

/* What the findings and laws say, or why there is nothing to say. */
static void add_result(struct buf *out, const struct result *cell)
{
	bool known = cell->verdict == VERDICT_FAIL && cell->state == FINDING_KNOWN;
	auto_free char *message = text_fmt(
		"%s%s", known ? "known: " : "", text_or(cell->reason, verdict_name(cell->verdict)));
	const struct finding *finding = result_finding(cell);
	const char *element = cell->verdict == VERDICT_FAIL ? "failure"
			      : is_error(cell->verdict)	    ? "error"
							    : "skipped";

	if (cell->verdict == VERDICT_PASS)
		return;
	buf_addf(out, "      <%s", element);
	if (cell->verdict == VERDICT_FAIL)
		add_attribute(out, "type",
			finding ? text_or(finding->hang_class, finding->signature) : "FAIL");
	else if (cell->verdict != VERDICT_SKIP)
		add_attribute(out, "type", verdict_name(cell->verdict));
	add_attribute(out, "message", message);
	buf_add_str(out, "/>\n");
}

static void add_finding(struct buf *out, const struct finding *finding)
{
	auto_buf struct buf recovery = {0};

	buf_add_str(out, "finding: ");
	markup_add(out, text_or(finding->signature, "?"));
	if (finding->suspect)
		buf_add_str(out, " (suspect: rig trouble came before it)");
	if (finding->baseline)
		buf_add_str(out, " (in the baseline, without a fault)");
	buf_addc(out, '\n');
	buf_add_str(out, "breaks:");
	for (size_t i = 0; i < finding->law_count; i++) {
		buf_addc(out, ' ');
		markup_add(out, finding->laws[i]);
	}
	buf_addc(out, '\n');
	markup_add(out, text_or(finding->title, ""));
	buf_addc(out, '\n');
	if (finding_recovery(finding, &recovery)) {
		buf_add_str(out, "recovery: ");
		markup_add(out, buf_text(&recovery));
		buf_addc(out, '\n');
	}
}

static void add_output(struct buf *out, const struct result *cell)
{
	buf_addf(out, "      <system-out>verdict: %s\n", verdict_name(cell->verdict));
	buf_add_str(out, "reason: ");
	markup_add(out, text_or(cell->reason, "-"));
	buf_addf(out, "\nseed: %llu\n", (unsigned long long)cell->seed);
	if (cell->fired >= 0)
		buf_addf(out, "fired: %lld\n", (long long)cell->fired);
	if (cell->residue >= 0)
		buf_addf(out, "residue: %lld\n", (long long)cell->residue);
	for (size_t i = 0; i < cell->finding_count; i++)
		add_finding(out, &cell->findings[i]);
	if (cell->finding_count)
		buf_addf(out, "state: %s\n", finding_state_name(cell->state));
	if (cell->path && cell->verdict != VERDICT_SKIP && cell->verdict != VERDICT_MISS) {
		buf_add_str(out, "mailrig repro ");
		markup_add(out, cell->path);
		buf_addc(out, '\n');
	}
	buf_add_str(out, "</system-out>\n");
}

/* A campaign may hold the same scenario, target and slot more than once (--repeat). */
static void add_name(struct buf *out, const struct result *cell, struct intern *names,
	struct key_map *uses, uint32_t *counts)
{
	auto_free char *name =
		text_fmt("%s[%u]", text_or(cell->scenario, "?"), (unsigned int)cell->slot);
	auto_free char *whole = text_fmt("%s/%s", text_or(cell->target, "?"), name);
	uint32_t id = intern_id(names, whole, strlen(whole));
	uint32_t index = key_map_put(uses, id, (uint32_t)uses->used);
	auto_free char *again = NULL;

	if (counts[index]++)
		again = text_fmt("%s#%u", name, counts[index]);
	add_attribute(out, "name", again ? again : name);
}

struct names {
	struct intern intern;
	struct key_map uses;
	uint32_t *counts; /* one a cell at the most */
};

static void add_cell(struct buf *out, const struct result *cell, struct names *names)
{
	auto_free char *class = text_fmt("mailrig.%s", text_or(cell->target, "?"));

	buf_add_str(out, "    <testcase");
	add_attribute(out, "classname", class);
	add_name(out, cell, &names->intern, &names->uses, names->counts);
	add_seconds(out, cell->wall_ms);
	buf_add_str(out, ">\n");
	add_result(out, cell);
	add_output(out, cell);
	buf_add_str(out, "    </testcase>\n");
}

static void add_counts(struct buf *out, const struct counts *counts, bool is_suite)
{
	buf_addf(out, " tests=\"%zu\" failures=\"%zu\" errors=\"%zu\"", counts->tests,
		counts->failures, counts->errors);
	if (is_suite)
		buf_addf(out, " skipped=\"%zu\"", counts->skipped);
	add_seconds(out, counts->wall_ms);
}

static bool is_first_of_target(const struct campaign_results *campaign, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(text_or(campaign->cells[k].target, "?"),
			    text_or(campaign->cells[i].target, "?")))
			return false;
	return true;
}

static void add_suite(struct buf *out, const struct campaign_results *campaign,
	const struct result *first, struct names *names)
{
	const char *target = text_or(first->target, "?");
	struct counts counts = {0};

	for (size_t i = 0; i < campaign->count; i++)
		if (!strcmp(text_or(campaign->cells[i].target, "?"), target))
			count_cell(&counts, &campaign->cells[i]);
	buf_add_str(out, "  <testsuite");
	add_attribute(out, "name", target);
	add_counts(out, &counts, true);
	add_timestamp(out, campaign->began_ns);
	buf_add_str(out, ">\n    <properties>\n");
	add_property(out, "campaign", campaign->name);
	add_property(out, "mailrig", campaign->version);
	add_property(out, "accelerator", first->accelerator);
	add_property(out, "target_version", first->target_version);
	add_property(out, "image", first->image);
	buf_add_str(out, "    </properties>\n");
	for (size_t i = 0; i < campaign->count; i++)
		if (!strcmp(text_or(campaign->cells[i].target, "?"), target))
			add_cell(out, &campaign->cells[i], names);
	buf_add_str(out, "  </testsuite>\n");
}

static int write_junit(const struct campaign_results *campaign, struct buf *out, struct err *err)
{
	struct names names = {.counts = mem_zero(campaign->count, sizeof(uint32_t))};
	auto_free char *name = text_fmt("mailrig %s", text_or(campaign->name, ""));
	struct counts counts = {0};

	(void)err;
	for (size_t i = 0; i < campaign->count; i++)
		count_cell(&counts, &campaign->cells[i]);
	buf_add_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites");
	add_attribute(out, "name", name);
	add_counts(out, &counts, false);
	buf_add_str(out, ">\n");
	for (size_t i = 0; i < campaign->count; i++)
		if (is_first_of_target(campaign, i))
			add_suite(out, campaign, &campaign->cells[i], &names);
	buf_add_str(out, "</testsuites>\n");
	intern_free(&names.intern);
	key_map_free(&names.uses);
	free(names.counts);
	return 0;
}

const struct exporter exporter_junit = {
	.name = "junit",
	.summary = "JUnit XML as Jenkins, GitLab and others read it",
	.file_name = "junit.xml",
	.write = write_junit,
};

/* One static page a campaign: totals, findings, every cell with links into its folder. No scripts. */
#include "report/exporter.h"

#include "report/graph_svg.h"
#include "report/markup.h"

#include <string.h>

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
	"<meta name=\"color-scheme\" content=\"light dark\"/>\n";

static const char style[] =
	"<style>\n"
	":root{color-scheme:light dark;--ink:#1a1a1a;--paper:#fff;--faint:#666;--rule:#ccc;"
	"--fail:#b00020;--pass:#1b6e2e;--broken:#7a3fa0;--unknown:#8a5a00}\n"
	"@media (prefers-color-scheme:dark){:root{--ink:#e4e4e4;--paper:#161616;--faint:#a0a0a0;"
	"--rule:#444;--fail:#ff7b8a;--pass:#7fd492;--broken:#d3a6f2;--unknown:#f0c060}}\n"
	"body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);"
	"max-width:72rem;margin:2rem auto;padding:0 1rem}\n"
	"table{border-collapse:collapse;width:100%}\n"
	"th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--rule);"
	"vertical-align:top}\n"
	"td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
	"td.w{white-space:nowrap}td.t{overflow-wrap:anywhere}\n"
	"a{color:inherit}.f{color:var(--faint)}code,.v{font-family:ui-monospace,monospace}\n"
	".v{font-weight:700}.FAIL{color:var(--fail)}.PASS{color:var(--pass)}"
	".BROKEN,.MISS{color:var(--broken)}.UNKNOWN{color:var(--unknown)}.SKIP{color:var(--faint)}"
	"\n"
	"section{border-left:4px solid var(--fail);padding-left:1rem;margin:1rem 0}\n"
	"section.known{border-color:var(--rule)}\n"
	"figure{margin:.5rem 0;overflow-x:auto}\n"
	"</style>\n</head>\n<body>\n";

static const char *text_or(const char *text, const char *otherwise)
{
	return text && *text ? text : otherwise;
}

static bool has_folder(const struct result *cell)
{
	return cell->path && *cell->path && cell->verdict != VERDICT_SKIP &&
	       cell->verdict != VERDICT_MISS;
}

/* The page lies beside the cells' folders. */
static void add_link(struct buf *out, const struct result *cell, const char *file, const char *text)
{
	const char *slash = strrchr(cell->path, '/');

	buf_add_str(out, "<a href=\"");
	markup_add_url(out, slash ? slash + 1 : cell->path);
	buf_addc(out, '/');
	markup_add_url(out, file);
	buf_add_str(out, "\">");
	markup_add(out, text);
	buf_add_str(out, "</a>");
}

static void add_totals(struct buf *out, const struct campaign_results *campaign)
{
	static const enum verdict order[VERDICT_COUNT] = {VERDICT_FAIL, VERDICT_PASS, VERDICT_SKIP,
		VERDICT_UNKNOWN, VERDICT_BROKEN, VERDICT_MISS};
	size_t counts[VERDICT_COUNT] = {0};

	for (size_t i = 0; i < campaign->count; i++)
		counts[campaign->cells[i].verdict]++;
	buf_addf(out, "<p>%zu cells", campaign->count);
	for (size_t i = 0; i < VERDICT_COUNT; i++)
		buf_addf(out, " &#183; <span class=\"v %s\">%zu %s</span>", verdict_name(order[i]),
			counts[order[i]], verdict_name(order[i]));
	buf_addf(
		out, " &#183; %.0f s <span class=\"f\">mailrig ", (double)campaign->wall_ms / 1000);
	markup_add(out, campaign->version);
	buf_add_str(out, "</span></p>\n");
}

static bool has_unknown(const json_t *graph)
{
	const json_t *nodes = json_object_get(graph, "nodes");

	for (size_t i = 0; i < json_array_size(nodes); i++)
		if (json_object_get(json_array_get(nodes, i), "unknown"))
			return true;
	return false;
}

/* Who waits for whom, where the finding is a hang or crash that was diagnosed. */
static void add_graph(struct buf *out, const struct finding *finding)
{
	const json_t *graph = json_object_get(finding->diagnosis, "graph");
	auto_buf struct buf svg = {0};

	if (!graph_svg(graph, &svg))
		return;
	buf_add_str(out, "<figure>");
	buf_add_str(out, svg.data);
	buf_add_str(out, "<figcaption class=\"f\">");
	if (json_array_size(json_object_get(graph, "edges")))
		buf_add_str(out, "each waits for the one that its arrow points at; ");
	if (json_array_size(json_object_get(graph, "freed")))
		buf_add_str(out, "dashed: to the one that had freed what it used; ");
	buf_add_str(out, "red: who causes it");
	if (has_unknown(graph))
		buf_add_str(out, "; (?): who should end the wait is not known");
	buf_add_str(out, "</figcaption></figure>\n");
}

/* What is noticed from outside, once a cell. */
static void add_symptoms(struct buf *out, const struct result *cell)
{
	json_t *line;
	size_t i;

	if (!json_array_size(cell->symptoms))
		return;
	buf_add_str(out, "<ul class=\"f\">\n");
	json_array_foreach (cell->symptoms, i, line) {
		buf_add_str(out, "<li>");
		markup_add(out, json_is_string(line) ? json_string_value(line) : "?");
		buf_add_str(out, "</li>\n");
	}
	buf_add_str(out, "</ul>\n");
}

/* What decided it, line by line, for who wants to see it. */
static void add_evidence(struct buf *out, const struct finding *finding)
{
	const json_t *lines = json_object_get(finding->diagnosis, "evidence");
	json_t *line;
	size_t i;

	if (!json_array_size(lines))
		return;
	buf_add_str(out, "<details><summary>who causes it, line by line</summary><ol>\n");
	json_array_foreach ((json_t *)lines, i, line) {
		buf_add_str(out, "<li>");
		markup_add(out, json_is_string(line) ? json_string_value(line) : "?");
		buf_add_str(out, "</li>\n");
	}
	buf_add_str(out, "</ol></details>\n");
}

static bool same_finding(const struct result *a, const struct finding *one, const struct result *b,
	const struct finding *other)
{
	return !strcmp(text_or(one->signature, "?"), text_or(other->signature, "?")) &&
	       !strcmp(text_or(a->target, ""), text_or(b->target, ""));
}

static const struct finding *finding_like(
	const struct result *cell, const struct result *of, const struct finding *finding)
{
	for (size_t i = 0; i < cell->finding_count; i++)
		if (same_finding(of, finding, cell, &cell->findings[i]))
			return &cell->findings[i];
	return NULL;
}

/* The other cells that have it, each once. */
static void add_others(struct buf *out, const struct campaign_results *campaign,
	const struct result *cell, const struct finding *finding)
{
	const char *between = "<p class=\"f\">also in ";

	for (const struct result *at = cell + 1; at < campaign->cells + campaign->count; at++) {
		if (!finding_like(at, cell, finding))
			continue;
		buf_add_str(out, between);
		between = ", ";
		if (has_folder(at))
			add_link(out, at, "", text_or(at->id, "?"));
		else
			markup_add(out, text_or(at->id, "?"));
	}
	if (*between == ',')
		buf_add_str(out, "</p>\n");
}

static void add_finding(struct buf *out, const struct campaign_results *campaign,
	const struct result *cell, const struct finding *finding)
{
	bool known = cell->state == FINDING_KNOWN;
	auto_buf struct buf recovery = {0};

	buf_addf(out, "<section%s>\n<h3><code>", known ? " class=\"known\"" : "");
	markup_add(out, text_or(finding->signature, "?"));
	buf_addf(out, "</code> <span class=\"f\">%s%s%s</span></h3>\n<p>", known ? "known" : "new",
		finding->suspect ? ", suspect: rig trouble came before it" : "",
		finding->baseline ? ", without any fault" : "");
	markup_add(out, text_or(finding->title, text_or(cell->reason, "")));
	buf_add_str(out, "</p>\n");
	if (finding_recovery(finding, &recovery)) {
		buf_add_str(out, "<p>recovery: ");
		markup_add(out, buf_text(&recovery));
		buf_add_str(out, "</p>\n");
	}
	if (finding == cell->findings)
		add_symptoms(out, cell);
	add_graph(out, finding);
	add_evidence(out, finding);
	buf_add_str(out, "<p class=\"f\">");
	markup_add(out, text_or(cell->scenario, "?"));
	buf_add_str(out, " on ");
	markup_add(out, text_or(cell->target, "?"));
	buf_add_str(out, " &#183; breaks");
	for (size_t i = 0; i < finding->law_count; i++) {
		buf_addc(out, ' ');
		markup_add(out, finding->laws[i]);
	}
	if (cell->tries)
		buf_addf(out, " &#183; again %u of %u", cell->hits, cell->tries);
	if (cell->control) {
		buf_add_str(out, " &#183; without the fault: ");
		markup_add(out, cell->control);
	}
	buf_add_str(out, "</p>\n");
	add_others(out, campaign, cell, finding);
	if (has_folder(cell)) {
		buf_add_str(out, "<p><code>mailrig repro ");
		markup_add(out, cell->path);
		buf_add_str(out, "</code></p>\n");
	}
	buf_add_str(out, "</section>\n");
}

static bool told_before(const struct campaign_results *campaign, const struct result *cell,
	const struct finding *finding)
{
	for (const struct result *at = campaign->cells; at < cell; at++)
		if (finding_like(at, cell, finding))
			return true;
	return finding_like(cell, cell, finding) != finding;
}

static void add_findings(struct buf *out, const struct campaign_results *campaign)
{
	size_t count = 0;

	for (size_t i = 0; i < campaign->count; i++)
		count += campaign->cells[i].finding_count;
	if (!count)
		return;
	buf_addf(out, "<h2>Findings</h2>\n");
	for (size_t i = 0; i < campaign->count; i++)
		for (size_t k = 0; k < campaign->cells[i].finding_count; k++)
			if (!told_before(
				    campaign, &campaign->cells[i], &campaign->cells[i].findings[k]))
				add_finding(out, campaign, &campaign->cells[i],
					&campaign->cells[i].findings[k]);
}

/* In which the sides that met were let go. */
static void add_order(struct buf *out, const struct result *cell)
{
	const json_t *sides = json_object_get(cell->order, "wanted"), *side;
	const char *between = "<br/><span class=\"f\">";
	size_t i;

	json_array_foreach (sides, i, side) {
		buf_add_str(out, between);
		between = ", then ";
		markup_add(out, json_is_string(side) ? json_string_value(side) : "?");
	}
	if (*between == ',')
		buf_addf(out, "%s</span>",
			json_is_true(json_object_get(cell->order, "covered")) ? ""
									      : ": not covered");
}

static void add_cell(struct buf *out, const struct result *cell)
{
	const struct finding *finding = result_finding(cell);

	buf_addf(out, "<tr><td class=\"v %s\">%s</td><td class=\"n\">", verdict_name(cell->verdict),
		verdict_name(cell->verdict));
	if (cell->wall_ms >= 0 && cell->verdict != VERDICT_SKIP)
		buf_addf(out, "%.1f s", (double)cell->wall_ms / 1000);
	buf_add_str(out, "</td><td class=\"w\">");
	markup_add(out, text_or(cell->scenario, "?"));
	buf_addf(out, " <span class=\"f\">%u</span>", (unsigned int)cell->slot);
	add_order(out, cell);
	if (cell->fallback) {
		buf_add_str(out, "<br/><span class=\"f\">");
		markup_add(out, cell->fallback);
		buf_add_str(out, "</span>");
	}
	buf_add_str(out, "</td><td class=\"w\">");
	markup_add(out, text_or(cell->target, "?"));
	buf_add_str(out, "</td><td class=\"n\">");
	if (cell->fired >= 0)
		buf_addf(out, "%lld", (long long)cell->fired);
	buf_add_str(out, "</td><td class=\"t\">");
	if (finding) {
		buf_add_str(out, "<code>");
		markup_add(out, finding->signature);
		buf_add_str(out, "</code> ");
	}
	markup_add(out, cell->reason);
	buf_add_str(out, "</td><td class=\"w\">");
	if (has_folder(cell)) {
		add_link(out, cell, "", "files");
		buf_addc(out, ' ');
		add_link(out, cell, "history.jsonl", "history");
		buf_addc(out, ' ');
		add_link(out, cell, "verdict.json", "verdict");
	}
	buf_add_str(out, "</td></tr>\n");
}

static int write_html(const struct campaign_results *campaign, struct buf *out, struct err *err)
{
	(void)err;
	buf_add_str(out, head);
	buf_add_str(out, "<title>mailrig ");
	markup_add(out, campaign->name);
	buf_addf(out, "</title>\n%s<h1>", style);
	markup_add(out, text_or(campaign->name, "mailrig"));
	buf_add_str(out, "</h1>\n");
	add_totals(out, campaign);
	add_findings(out, campaign);
	buf_add_str(out,
		"<h2>Cells</h2>\n<table>\n<thead><tr><th>Verdict</th><th>Time</th>"
		"<th>Scenario</th><th>Target</th><th>Fired</th><th>Reason</th><th></th></tr>"
		"</thead>\n<tbody>\n");
	for (size_t i = 0; i < campaign->count; i++)
		add_cell(out, &campaign->cells[i]);
	buf_add_str(out, "</tbody>\n</table>\n</body>\n</html>\n");
	return 0;
}

const struct exporter exporter_html = {
	.name = "html",
	.summary = "one static page: totals, findings, every cell with links to its files",
	.file_name = "index.html",
	.write = write_html,
};

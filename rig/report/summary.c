#include "report/summary.h"

#include "base/json.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define LEAD_COLUMNS   13 /* verdict and time of a cell's line */
#define BLOCK_COLUMNS  80
#define INDENT_COLUMNS 8

static const char *text_or(const char *text, const char *otherwise)
{
	return text && *text ? text : otherwise;
}

static void add_text(struct buf *out, const char *text)
{
	buf_add_escaped(out, text, strlen(text));
}

static void add_spaces(struct buf *out, size_t count)
{
	while (count--)
		buf_addc(out, ' ');
}

static const char *plural(size_t count)
{
	return count == 1 ? "" : "s";
}

/* ---- header ---- */

void summary_header(const struct summary_plan *plan, struct buf *out)
{
	size_t product = plan->scenarios * plan->targets * (plan->seeds ? plan->seeds : 1);
	const char *by = product == plan->cells ? " x " : ", ";

	buf_addf(out, "mailrig %s   %zu cell%s%s%zu scenario%s%s%zu target%s", plan->version,
		plan->cells, plural(plan->cells), product == plan->cells ? " = " : ", ",
		plan->scenarios, plural(plan->scenarios), by, plan->targets, plural(plan->targets));
	if (plan->seeds > 1)
		buf_addf(out, "%s%zu seeds", by, plan->seeds);
	buf_addf(out, "   %zu job%s   ", plan->jobs, plural(plan->jobs));
	for (const char *p = text_or(plan->accelerator, "?"); *p; p++)
		buf_addc(out, (char)toupper((unsigned char)*p));
	buf_add_str(
		out, !strcmp(text_or(plan->accelerator, ""), "kvm") ? "\n\n" : " (see doctor)\n\n");
}

/* ---- one cell ---- */

void summary_widen(struct summary *summary, const char *scenario, const char *target)
{
	if (strlen(scenario) > summary->scenario_width)
		summary->scenario_width = strlen(scenario);
	if (strlen(target) > summary->target_width)
		summary->target_width = strlen(target);
}

/* "FAIL   14.9 s": the time stands at the right edge, without its decimals where they do not fit. */
static void add_lead(struct buf *out, const struct result *cell)
{
	const char *word = verdict_name(cell->verdict);
	size_t room = LEAD_COLUMNS - strlen(word);
	double seconds = (double)cell->wall_ms / 1000;
	char time[32] = "";

	if (cell->wall_ms >= 0 && cell->verdict != VERDICT_SKIP && cell->verdict != VERDICT_MISS) {
		snprintf(time, sizeof(time), "%.1f s", seconds);
		if (strlen(time) >= room)
			snprintf(time, sizeof(time), "%.0f s", seconds);
	}
	buf_addf(out, "  %s%s%*s  ", word, strlen(time) >= room ? " " : "", (int)room, time);
}

static void add_column(struct buf *out, const char *text, size_t width)
{
	size_t before = out->len;

	add_text(out, text);
	add_spaces(out, out->len - before < width ? width - (out->len - before) : 0);
}

/* "reader, expunge": the order in which the sides were let go. */
static void add_order(struct buf *out, const struct result *cell)
{
	const json_t *wanted = json_object_get(cell->order, "wanted");

	for (size_t i = 0; i < json_array_size(wanted); i++) {
		buf_add_str(out, i ? ", " : "");
		add_text(out, text_or(json_string_value(json_array_get(wanted, i)), "?"));
	}
}

static void add_tail(struct buf *out, const struct result *cell)
{
	const struct finding *finding = result_finding(cell);

	if (cell->verdict == VERDICT_PASS) {
		if (cell->fired >= 0)
			buf_addf(out, "fired %lld", (long long)cell->fired);
		if (cell->fallback)
			buf_add_str(out, "  by a fallback");
		if (cell->order)
			buf_add_str(out, "  order ");
		add_order(out, cell);
		return;
	}
	if (cell->verdict != VERDICT_FAIL || !finding) {
		add_text(out, text_or(cell->reason, ""));
		return;
	}
	if (finding->hang_class)
		buf_addf(out, "%s ", finding->hang_class);
	for (size_t i = 0; i < finding->law_count; i++) {
		if (i || finding->hang_class)
			buf_addc(out, ' ');
		add_text(out, finding->laws[i]);
	}
	if (finding->baseline)
		buf_add_str(out, "  without any fault");
}

/* Cut to the terminal's width at a whole character. */
static void cut_line(struct buf *out, size_t start, size_t width)
{
	size_t at = start, columns = 0;

	if (!width)
		return;
	while (at < out->len && columns < width) {
		size_t n = utf8_char(out->data + at, out->len - at);

		at += n ? n : 1;
		columns++;
	}
	if (at < out->len) {
		out->len = at;
		out->data[at] = '\0';
	}
}

void summary_cell(const struct summary *summary, const struct result *cell, struct buf *out)
{
	auto_free char *name = summary->slots ? text_fmt("%s[%u]", text_or(cell->scenario, "?"),
							(unsigned int)cell->slot)
					      : text_dup(text_or(cell->scenario, "?"));
	size_t start = out->len;

	add_lead(out, cell);
	add_column(out, name, summary->scenario_width + (summary->slots ? strlen("[1]") : 0));
	buf_add_str(out, "   ");
	add_column(out, text_or(cell->target, "?"), summary->target_width);
	buf_add_str(out, "  ");
	add_tail(out, cell);
	while (out->len > start && out->data[out->len - 1] == ' ')
		out->len--;
	cut_line(out, start, summary->width);
	buf_addc(out, '\n');
}

/* ---- findings ---- */

static bool is_same(const struct result *a, const struct result *b)
{
	return !strcmp(result_finding(a)->signature, result_finding(b)->signature) &&
	       !strcmp(text_or(a->target, ""), text_or(b->target, ""));
}

static bool is_finding(const struct result *cell)
{
	return cell->verdict == VERDICT_FAIL && result_finding(cell);
}

static bool is_first(const struct result *cells, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (is_finding(&cells[k]) && is_same(&cells[k], &cells[i]))
			return false;
	return true;
}

/* Words between `INDENT_COLUMNS` and the block's edge; a longer word stands alone. */
static void add_wrapped(struct buf *out, const char *text)
{
	auto_buf struct buf clean = {0};
	size_t column = 0;

	add_text(&clean, text);
	for (const char *word = buf_text(&clean); *word;) {
		size_t len = strcspn(word, " ");

		if (!column) {
			add_spaces(out, INDENT_COLUMNS);
			column = INDENT_COLUMNS;
		} else if (column + 1 + len >= BLOCK_COLUMNS) {
			buf_addc(out, '\n');
			add_spaces(out, INDENT_COLUMNS);
			column = INDENT_COLUMNS;
		} else {
			buf_addc(out, ' ');
			column++;
		}
		buf_add(out, word, len);
		column += len;
		word += len + strspn(word + len, " ");
	}
	if (column)
		buf_addc(out, '\n');
}

static void add_breaks(struct buf *out, const struct result *cell)
{
	const struct finding *finding = result_finding(cell);

	buf_add_str(out, "        breaks  ");
	for (size_t i = 0; i < finding->law_count; i++) {
		buf_addc(out, ' ');
		add_text(out, finding->laws[i]);
	}
	if (finding->baseline)
		buf_add_str(out, ", without any fault: in the baseline");
	else if (cell->detect_ms >= 0)
		buf_addf(out, ", %.1f s after its onset", (double)cell->detect_ms / 1000);
	buf_addc(out, '\n');
}

static void add_again(struct buf *out, const struct result *cell)
{
	if (!cell->tries && !cell->control)
		return;
	buf_add_str(out, "        again    ");
	if (cell->tries)
		buf_addf(out, "%u of %u with the same seed%s", cell->hits, cell->tries,
			cell->control ? "; " : "");
	if (cell->control) {
		buf_add_str(out, "without the fault: ");
		add_text(out, cell->control);
	}
	buf_addc(out, '\n');
}

/* Of the first finding that was run on, as the cell's own recovery. */
static bool while_in_force(const struct result *cell)
{
	for (size_t i = 0; i < cell->finding_count; i++)
		if (cell->findings[i].recovery)
			return json_get_bool(
				cell->findings[i].recovery, "recovery_in_force", false);
	return false;
}

static void add_ends(struct buf *out, const struct result *cell)
{
	long long seconds = cell->recovers_after_s;

	if (seconds >= 120)
		buf_addf(out, "        ends     by itself after %lld min (guest time)\n",
			seconds / 60);
	else if (seconds >= 0)
		buf_addf(out, "        ends     by itself after %lld s (guest time)\n", seconds);
	else if (!strcmp(text_or(cell->recovery, ""), "permanent")) {
		buf_addf(out, "        ends     not by itself%s: ",
			while_in_force(cell) ? " while the fault is in force" : "");
		add_text(out, text_or(cell->recovery_event, "nothing moved"));
		buf_addc(out, '\n');
	}
}

/* A cell is named by its number where it has one. */
static char *cell_word(const struct result *cell)
{
	struct buf word = {0};

	if (cell->number)
		buf_addf(&word, "%u", (unsigned int)cell->number);
	else
		add_text(&word, text_or(cell->id, "?"));
	return buf_steal(&word);
}

static void add_others(struct buf *out, const struct result *cells, size_t count, size_t i)
{
	size_t others = 0;

	for (size_t k = i + 1; k < count; k++) {
		auto_free char *word = NULL;

		if (!is_finding(&cells[k]) || !is_same(&cells[k], &cells[i]))
			continue;
		word = cell_word(&cells[k]);
		buf_addf(out, "%s%s", others++ ? " " : "        also in  ", word);
	}
	if (others)
		buf_addc(out, '\n');
}

static void add_block(struct buf *out, const struct result *cells, size_t count, size_t i)
{
	const struct result *cell = &cells[i];
	const struct finding *finding = result_finding(cell);
	auto_free char *word = cell_word(cell);

	buf_addf(out, "  %-6s", cell->state == FINDING_KNOWN ? "KNOWN" : "NEW");
	add_text(out, finding->signature);
	buf_add_str(out, "   ");
	add_text(out, text_or(cell->scenario, "?"));
	buf_add_str(out, " on ");
	add_text(out, text_or(cell->target, "?"));
	if (cell->target_version && *cell->target_version) {
		buf_addc(out, ' ');
		add_text(out, cell->target_version);
	}
	buf_addc(out, '\n');
	add_wrapped(out, text_or(finding->title, text_or(cell->reason, "")));
	add_breaks(out, cell);
	add_again(out, cell);
	add_ends(out, cell);
	add_others(out, cells, count, i);
	buf_addf(out,
		"        story    mailrig show %s        inside it   mailrig shell %s --at "
		"%s\n\n",
		word, word, finding_is_hang(finding) ? "onset" : "heal");
}

void summary_findings(const struct result *cells, size_t count, struct buf *out)
{
	auto_buf struct buf blocks = {0};
	size_t findings = 0, start = out->len;

	for (size_t i = 0; i < count; i++) {
		if (!is_finding(&cells[i]) || !is_first(cells, i))
			continue;
		add_block(&blocks, cells, count, i);
		findings++;
	}
	if (!findings)
		return;
	buf_addc(out, '\n');
	start = out->len;
	buf_addf(out, "-- %zu finding%s ", findings, plural(findings));
	while (out->len - start < BLOCK_COLUMNS)
		buf_addc(out, '-');
	buf_addc(out, '\n');
	buf_add(out, buf_text(&blocks), blocks.len);
}

/* ---- totals ---- */

struct tally {
	size_t verdicts[VERDICT_COUNT];
	size_t ran, fired, clean;
};

static void count_cell(struct tally *tally, const struct result *cell)
{
	tally->verdicts[cell->verdict]++;
	if (cell->verdict == VERDICT_SKIP || cell->verdict == VERDICT_MISS)
		return;
	tally->ran++;
	tally->fired += cell->fired > 0;
	tally->clean += cell->residue == 0;
}

static void add_fired(struct buf *out, const struct tally *tally)
{
	if (!tally->ran)
		return;
	if (tally->fired == tally->ran)
		buf_add_str(out, "every fault that was armed fired");
	else
		buf_addf(out, "faults fired in %zu of %zu", tally->fired, tally->ran);
	buf_addf(out, "; residue 0 in %zu of %zu\n", tally->clean, tally->ran);
}

/* ---- order matrices ---- */

static bool same_matrix(const struct result *a, const struct result *b)
{
	return a->order && b->order &&
	       !strcmp(text_or(a->scenario, ""), text_or(b->scenario, "")) &&
	       !strcmp(text_or(a->target, ""), text_or(b->target, ""));
}

static bool same_order(const struct result *a, const struct result *b)
{
	return same_matrix(a, b) &&
	       json_equal(json_object_get(a->order, "wanted"), json_object_get(b->order, "wanted"));
}

/* The line of the matrix whose first cell is `first`. An order counts once, and only if some cell had it. */
static void add_matrix(struct buf *out, const struct result *cells, size_t count, size_t first)
{
	auto_buf struct buf not_reached = {0};
	size_t orders = 0, covered = 0;

	for (size_t i = first; i < count; i++) {
		bool seen = !same_matrix(&cells[i], &cells[first]), had = false;

		for (size_t k = first; k < i && !seen; k++)
			seen = same_order(&cells[k], &cells[i]);
		for (size_t k = i; k < count && !had; k++)
			had = same_order(&cells[k], &cells[i]) &&
			      json_is_true(json_object_get(cells[k].order, "covered"));
		orders += !seen;
		covered += !seen && had;
		if (seen || had)
			continue;
		buf_add_str(&not_reached, not_reached.len ? "; " : ", not reached: ");
		add_order(&not_reached, &cells[i]);
	}
	buf_add_str(out, "orders of ");
	add_text(out, text_or(cells[first].scenario, "?"));
	buf_add_str(out, " on ");
	add_text(out, text_or(cells[first].target, "?"));
	buf_addf(out, ": %zu of %zu covered%s\n", covered, orders, buf_text(&not_reached));
}

static void add_matrices(struct buf *out, const struct result *cells, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		bool first = cells[i].order != NULL;

		for (size_t k = 0; k < i && first; k++)
			first = !same_matrix(&cells[k], &cells[i]);
		if (first)
			add_matrix(out, cells, count, i);
	}
}

/* The finding to look at first: a new one before a known one. */
static const struct result *to_repeat(const struct result *cells, size_t count)
{
	const struct result *first = NULL;

	for (size_t i = 0; i < count; i++) {
		if (cells[i].verdict != VERDICT_FAIL)
			continue;
		if (cells[i].state == FINDING_NEW)
			return &cells[i];
		first = first ? first : &cells[i];
	}
	return first;
}

void summary_totals(
	const struct result *cells, size_t count, const struct summary_end *end, struct buf *out)
{
	static const enum verdict order[VERDICT_COUNT] = {VERDICT_FAIL, VERDICT_PASS, VERDICT_SKIP,
		VERDICT_UNKNOWN, VERDICT_BROKEN, VERDICT_MISS};
	const struct result *repeat = to_repeat(cells, count);
	struct tally tally = {0};

	for (size_t i = 0; i < count; i++)
		count_cell(&tally, &cells[i]);
	if (!repeat)
		buf_addc(out, '\n');
	buf_addf(out, "%zu cell%s", count, plural(count));
	for (size_t i = 0; i < VERDICT_COUNT; i++)
		buf_addf(out, "   %zu %s", tally.verdicts[order[i]], verdict_name(order[i]));
	buf_addf(out, "       %.0f s\n", (double)end->wall_ms / 1000);
	add_fired(out, &tally);
	add_matrices(out, cells, count);
	if (end->path) {
		add_text(out, end->path);
		for (const char *const *file = end->files; file && *file; file++)
			buf_addf(out, "   %s", *file);
		buf_addc(out, '\n');
	}
	if (repeat) {
		buf_add_str(out, "mailrig repro ");
		add_text(out, text_or(repeat->path, text_or(repeat->id, "?")));
		buf_addc(out, '\n');
	}
}

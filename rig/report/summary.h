/*
 * What a campaign says on the terminal: a header, a line for each cell as it ends, a block for each
 * finding, the totals, and, on a finding, one line to paste. Plain text into a buffer; printing it is
 * the caller's. Everything that came from a guest or a file is escaped.
 */
#pragma once

#include "api/verdict.h"
#include "base/buf.h"

struct summary {
	size_t width;	       /* columns of the terminal; 0: not a terminal, lines are never cut */
	size_t scenario_width; /* of the widest cell to come: see summary_widen() */
	size_t target_width;
	bool slots; /* more than one seed: cells are told apart by [slot] */
};

/* Before the first line: make room for a cell of this name. */
void summary_widen(struct summary *summary, const char *scenario, const char *target);

struct summary_plan {
	const char *version;
	const char *accelerator; /* "tcg" */
	size_t cells, scenarios, targets, seeds, jobs;
};

/* "mailrig 0.4.0   6 cells = 3 scenarios x 2 targets   2 jobs   TCG (see doctor)" and an empty line. */
void summary_header(const struct summary_plan *plan, struct buf *out);

void summary_cell(const struct summary *summary, const struct result *cell, struct buf *out);

/* One block for each signature and target, in the order of the cells. Nothing without a finding. */
void summary_findings(const struct result *cells, size_t count, struct buf *out);

struct summary_end {
	int64_t wall_ms;
	const char *path;	  /* results/2026-11-22.1 */
	const char *const *files; /* written there, NULL-terminated; NULL: none */
};

/* Totals, what fired, where it lies; the last line is "mailrig repro ..." on a finding. */
void summary_totals(
	const struct result *cells, size_t count, const struct summary_end *end, struct buf *out);

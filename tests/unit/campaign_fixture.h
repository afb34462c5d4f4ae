/*
 * Campaigns for the tests of the reports: the one of the manual (six cells, one finding), one whose
 * every text is hostile, and an empty one. Golden files lie under tests/golden/ and are compared byte
 * for byte; MAILRIG_GOLDEN=write writes them anew, for a person to read before committing.
 */
#pragma once

#include "base/buf.h"
#include "base/fs.h"
#include "report/exporter.h"
#include "tests/check/check.h"

#include <stdlib.h>
#include <string.h>

#define UNMEASURED                                                                     \
	.fired = -1, .residue = -1, .detect_ms = -1, .recover_ms = -1, .drain_ms = -1, \
	.wall_ms = -1, .recovers_after_s = -1
#define NAMES(s, t)                                                                        \
	.id = (char *)s "." t ".1", .scenario = (char *)s, .target = (char *)t, .slot = 1, \
	.accelerator = (char *)"tcg", .path = (char *)"results/2026-11-22.1/" s "." t ".1"

static char *manual_laws[] = {(char *)"H3"};
static struct finding manual_findings[] = {{
	.signature = "exhaustion-a41f0c92",
	.hang_class = "exhaustion",
	.title = (char *)"All 8 task threads of `store` wait for an MTA that is disabled; local "
			 "delivery, SMTP and web mail, which do not need it, stand behind them.",
	.laws = manual_laws,
	.law_count = 1,
}};

static const struct result manual_cells[] = {
	{NAMES("freeze-commit-dismount", "postfix-dovecot"), UNMEASURED, .verdict = VERDICT_SKIP,
		.reason = (char *)"no dismount", .number = 1},
	{NAMES("mta-disabled-mailbox-move", "postfix-dovecot"), UNMEASURED, .verdict = VERDICT_SKIP,
		.reason = (char *)"no move_mailbox", .number = 2},
	{NAMES("freeze-commit-dismount", "refstore"), .verdict = VERDICT_PASS, .number = 3,
		.fired = 2, .wall_ms = 4600, .target_version = (char *)"1.0.2"},
	{NAMES("freeze-fs-during-delivery", "refstore"), .verdict = VERDICT_PASS, .number = 4,
		.fired = 6, .wall_ms = 3900, .target_version = (char *)"1.0.2"},
	{NAMES("mta-disabled-mailbox-move", "refstore"), .verdict = VERDICT_FAIL, .number = 5,
		.reason = (char *)"H3: reply to m35 owed for 2.0 s", .fired = 8, .wall_ms = 14900,
		.detect_ms = 2020, .recovers_after_s = 9000, .hits = 5, .tries = 5,
		.control = (char *)"PASS", .target_version = (char *)"1.0.2", .seed = 1,
		.findings = manual_findings, .finding_count = 1},
	{NAMES("freeze-fs-during-delivery", "postfix-dovecot"), .verdict = VERDICT_PASS,
		.number = 6, .fired = 7, .wall_ms = 13100},
};

#define HOSTILE "\"<]]>&'\x1b[2J\x01\xff\xef\xbf\xbf\xc2\x9b\n\t--><!-- \xe2\x82\xac"

static char *hostile_laws[] = {(char *)HOSTILE};
static struct finding hostile_findings[] = {
	{.signature = HOSTILE, .title = (char *)HOSTILE, .laws = hostile_laws, .law_count = 1},
	{.signature = "S1-00000000", .title = NULL, .suspect = true, .baseline = true},
};
static const struct result hostile_cells[] = {
	{.id = (char *)HOSTILE,
		.scenario = (char *)HOSTILE,
		.target = (char *)HOSTILE,
		.target_version = (char *)HOSTILE,
		.image = (char *)HOSTILE,
		.verdict = VERDICT_FAIL,
		.reason = (char *)HOSTILE,
		.control = (char *)HOSTILE,
		.tries = 1,
		.accelerator = (char *)HOSTILE,
		.path = (char *)"results/x/" HOSTILE,
		.findings = hostile_findings,
		.finding_count = 2,
		.wall_ms = INT64_MAX / 2,
		.seed = UINT64_MAX,
		.slot = UINT32_MAX,
		.state = FINDING_KNOWN},
	{NAMES("s", "t"), UNMEASURED, .verdict = VERDICT_BROKEN, .reason = (char *)"QEMU gone"},
	{NAMES("s", "t"), UNMEASURED, .verdict = VERDICT_UNKNOWN, .reason = (char *)"never fired"},
	{NAMES("s", "t"), UNMEASURED, .verdict = VERDICT_MISS, .reason = (char *)"no time left"},
	{UNMEASURED, .verdict = VERDICT_FAIL},
};

#define CAMPAIGN(cells_, count_)                                                                 \
	{                                                                                        \
		.name = "2026-11-22.1", .version = "0.4.0",                                      \
		.began_ns = INT64_C(1795392000) * 1000000000, .wall_ms = 68000, .cells = cells_, \
		.count = count_                                                                  \
	}
static const struct campaign_results manual = CAMPAIGN(manual_cells, ARRAY_SIZE(manual_cells));
static const struct campaign_results hostile = CAMPAIGN(hostile_cells, ARRAY_SIZE(hostile_cells));
static const struct campaign_results empty = CAMPAIGN(manual_cells, 0);

/* The first line that differs, not two whole files. */
static inline void check_lines(const char *got, const char *want)
{
	while (*got && *want) {
		size_t g = strcspn(got, "\n"), w = strcspn(want, "\n");
		auto_free char *got_line = text_dup_n(got, g), *want_line = text_dup_n(want, w);

		if (!CHECK_STR(got_line, want_line))
			return;
		got += g + (got[g] == '\n');
		want += w + (want[w] == '\n');
	}
	CHECK_STR(got, want);
}

static inline void check_golden(const char *path, const struct buf *got)
{
	auto_buf struct buf want = {0};
	const char *mode = getenv("MAILRIG_GOLDEN");

	if (mode && !strcmp(mode, "write"))
		fs_write_atomic(path, buf_text(got), got->len, NULL);
	if (CHECK_INT(fs_read(path, 1 << 20, &want, NULL), 0))
		check_lines(buf_text(got), buf_text(&want));
}

#include "report/exit_code.h"

struct tally {
	size_t ran, broken, findings, undecided, skipped;
};

static void count_cell(struct tally *tally, const struct result *cell, bool any)
{
	tally->ran += cell->verdict != VERDICT_SKIP && cell->verdict != VERDICT_MISS;
	tally->broken += cell->verdict == VERDICT_BROKEN;
	tally->findings += cell->verdict == VERDICT_FAIL && (any || cell->state == FINDING_NEW);
	tally->undecided += cell->verdict == VERDICT_UNKNOWN || cell->verdict == VERDICT_MISS;
	tally->skipped += cell->verdict == VERDICT_SKIP;
}

static bool too_broken(const struct tally *tally, double max_ratio)
{
	return max_ratio >= 0 && tally->broken &&
	       (double)tally->broken > max_ratio * (double)tally->ran;
}

enum campaign_exit campaign_exit_code(
	const struct result *cells, size_t count, const struct exit_options *options)
{
	struct tally tally = {0};

	for (size_t i = 0; i < count; i++)
		count_cell(&tally, &cells[i], options->fail_on_any);
	if (options->canary_missed || too_broken(&tally, options->max_broken_ratio))
		return CAMPAIGN_TROUBLE;
	if (tally.findings)
		return CAMPAIGN_FINDING;
	if (tally.broken)
		return CAMPAIGN_TROUBLE;
	if (options->interrupted)
		return CAMPAIGN_INTERRUPTED;
	if (tally.undecided || (count && tally.skipped == count))
		return CAMPAIGN_UNTOLD;
	return count ? CAMPAIGN_OK : CAMPAIGN_NOTHING;
}

/*
 * The exit code of a campaign: what a script, a make rule and a CI job go by. The first that applies:
 *
 *	16   the canary was not found, or more rig trouble than `max_broken`
 *	1    a finding that is not known (`fail_on: any`: any finding)
 *	16   other rig trouble
 *	2    UNKNOWN or MISS, or every cell SKIP
 *	4    nothing was selected
 *	0
 *
 * Interrupted: as above while something was found (1, 16), else 130. (64, usage, never gets here.)
 */
#pragma once

#include "api/verdict.h"

enum campaign_exit {
	CAMPAIGN_OK = 0,
	CAMPAIGN_FINDING = 1,
	CAMPAIGN_UNTOLD = 2,
	CAMPAIGN_NOTHING = 4,
	CAMPAIGN_TROUBLE = 16,
	CAMPAIGN_INTERRUPTED = 130,
};

struct exit_options {
	bool fail_on_any;	 /* known findings count too */
	double max_broken_ratio; /* of the cells that ran; negative: no limit */
	bool interrupted;
	bool canary_missed; /* one was planted and not found */
};

enum campaign_exit campaign_exit_code(
	const struct result *cells, size_t count, const struct exit_options *options);

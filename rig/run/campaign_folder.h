/* Where a campaign's results land: RESULTS/DATE.N, and the link RESULTS/latest to it. */
#pragma once

#include "base/err.h"
#include "run/campaign.h"

/* Makes the folder and sets the campaign's `name` and `dir`, which the campaign owns. -ENOSPC where there is
 * no room for results. */
int campaign_folder(struct campaign *campaign, const char *results, struct err *err);

/* 0 if results still fit into `dir`, else -ENOSPC: a full disk would take the verdict with it, so it is asked
 * before anything starts. */
int campaign_space(const char *dir, struct err *err);

/* The groups of cases, and what begins one. Private to tests/zoo/. */
#pragma once

#include "tests/zoo/parts.h"

#include <stdint.h>

extern const struct zoo_case zoo_file_locks[], zoo_mutexes[], zoo_events[], zoo_peers[],
	zoo_pools[], zoo_deaths[], zoo_idlers[], zoo_workers[], zoo_held_out[],
	zoo_held_out_healthy[], zoo_strangers[], zoo_strangers_more[], zoo_strangers_healthy[],
	zoo_unseen[], zoo_unseen_more[], zoo_unseen_calls[], zoo_unseen_healthy[], zoo_afresh[],
	zoo_afresh_served[], zoo_afresh_rings[], zoo_afresh_more[], zoo_afresh_ends[],
	zoo_afresh_healthy[], zoo_stores[], zoo_stores_more[], zoo_stores_healthy[], zoo_odd[],
	zoo_odd_more[], zoo_odd_busy[], zoo_odd_healthy[], zoo_services[], zoo_services_more[],
	zoo_services_filters[], zoo_services_slow[], zoo_services_healthy[], zoo_plain[],
	zoo_plain_more[], zoo_plain_ends[], zoo_plain_healthy[], zoo_daemons[], zoo_daemons_more[],
	zoo_daemons_healthy[], zoo_judged[], zoo_judged_more[], zoo_judged_ends[],
	zoo_judged_healthy[], zoo_tries[], zoo_retry[], zoo_retry_more[], zoo_retry_healthy[],
	zoo_fallen[], zoo_fallen_left[], zoo_fallen_master[], zoo_fallen_slow[],
	zoo_fallen_healthy[], zoo_scarce[], zoo_scarce_more[], zoo_scarce_healthy[];

void zoo_seed(unsigned int seed); /* of zoo_vary() */

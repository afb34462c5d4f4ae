#include "run/bed/tries.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#define ASK_MS 6000 /* beyond that */

bool tries_add(struct witness *witness, json_t *scan, const int *tids, size_t count, int ms)
{
	json_t *tries = NULL;
	struct err err = {0};

	if (!count)
		return false;
	if (witness_tries(witness, tids, count, ms, deadline_in_ms(ms + ASK_MS), &tries, &err)) {
		log_line("what those who sleep ask for is not known: %s", err.text);
		return false;
	}
	json_object_set_new(scan, "tries", tries);
	return json_array_size(tries) > 0;
}

bool tries_has(const json_t *scan, int tid)
{
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(scan, "tries"), i, one)
		if (json_get_int(one, "tid", 0) == tid)
			return true;
	return false;
}

#include "run/minimise.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

/* A change is a number: first the steps, then the workloads, then NUMBERS of each workload. */
static const char *const numbers[] = {"messages", "sessions", "repeat"};
#define NUMBERS ARRAY_SIZE(numbers)

struct minimiser {
	json_t *best, *candidate;
	size_t change; /* the one that is tried next */
	int pass;
	bool kept; /* in this pass */
};

struct minimiser *minimiser_new(const json_t *scenario)
{
	struct minimiser *m = mem_zero(1, sizeof(*m));

	m->best = json_deep_copy(scenario);
	return m;
}

void minimiser_free(struct minimiser *m)
{
	if (!m)
		return;
	json_decref(m->best);
	json_decref(m->candidate);
	free(m);
}

const json_t *minimiser_best(const struct minimiser *m)
{
	return m->best;
}

/* ---- what may go ---- */

static bool names(const json_t *entry, const char *label)
{
	static const char *const keys[] = {"after", "while", "until", "step"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strcmp(json_get_text(entry, keys[i], ""), label))
			return true;
	return false;
}

static bool is_waited_for(const json_t *scenario, const char *label)
{
	static const char *const arrays[] = {"workload", "steps"};
	json_t *entry;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(arrays); k++)
		json_array_foreach (json_object_get(scenario, arrays[k]), i, entry)
			if (*label && names(entry, label))
				return true;
	return false;
}

static json_t *without(const json_t *scenario, const char *array, size_t at, char **ret_what)
{
	const json_t *entry = json_array_get(json_object_get(scenario, array), at);
	const char *label = json_get_text(entry, "as", "");
	json_t *smaller;

	if (is_waited_for(scenario, label))
		return NULL;
	smaller = json_deep_copy(scenario);
	json_array_remove(json_object_get(smaller, array), at);
	*ret_what = text_fmt("without %s '%s' (%s)", !strcmp(array, "steps") ? "step" : "workload",
		label, json_get_text(entry, "do", "?"));
	return smaller;
}

static json_t *halved(const json_t *scenario, size_t at, const char *key, char **ret_what)
{
	const json_t *entry = json_array_get(json_object_get(scenario, "workload"), at);
	int64_t count = json_get_int(entry, key, 0);
	json_t *smaller;

	if (count < 2)
		return NULL;
	smaller = json_deep_copy(scenario);
	json_object_set_new(json_array_get(json_object_get(smaller, "workload"), at), key,
		json_integer(count / 2));
	*ret_what = text_fmt("%s of '%s': %lld instead of %lld", key,
		json_get_text(entry, "as", ""), (long long)count / 2, (long long)count);
	return smaller;
}

/* NULL: that change is none. */
static json_t *changed(const json_t *scenario, size_t change, char **ret_what)
{
	size_t steps = json_array_size(json_object_get(scenario, "steps")),
	       loads = json_array_size(json_object_get(scenario, "workload"));

	if (change < steps)
		return without(scenario, "steps", steps - 1 - change, ret_what);
	change -= steps;
	if (change < loads)
		return loads > 1 ? without(scenario, "workload", loads - 1 - change, ret_what)
				 : NULL;
	change -= loads;
	return halved(scenario, change / NUMBERS, numbers[change % NUMBERS], ret_what);
}

static size_t change_count(const json_t *scenario)
{
	return json_array_size(json_object_get(scenario, "steps")) +
	       json_array_size(json_object_get(scenario, "workload")) * (1 + NUMBERS);
}

/* ---- one after the other ---- */

json_t *minimiser_next(struct minimiser *m, char **ret_what)
{
	json_decref(m->candidate);
	m->candidate = NULL;
	for (;;) {
		for (; m->change < change_count(m->best); m->change++) {
			m->candidate = changed(m->best, m->change, ret_what);
			if (m->candidate)
				return json_incref(m->candidate);
		}
		if (!m->kept || ++m->pass >= MINIMISE_PASSES_MAX)
			return NULL;
		m->kept = false;
		m->change = 0;
	}
}

/* A change that was kept may be made again at the same place: the next entry has moved up, the number be halved. */
void minimiser_tell(struct minimiser *m, bool still)
{
	if (!m->candidate)
		return;
	if (!still) {
		m->change++;
		return;
	}
	json_decref(m->best);
	m->best = json_incref(m->candidate);
	m->kept = true;
}

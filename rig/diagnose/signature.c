#include "diagnose/signature.h"

#include "base/hash.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

#define FAULTS_MAX 64 /* different ones in one cell */
#define HEX_DIGITS 8
#define PREFIX_MAX (SIGNATURE_SIZE - HEX_DIGITS - 2)

void signature_make(const char *prefix, const char *const *parts, char out[SIGNATURE_SIZE])
{
	struct hash *hash = hash_new();
	char hex[HASH_HEX_SIZE];

	hash_add_str(hash, prefix);
	for (; *parts; parts++)
		hash_add_str(hash, *parts);
	hash_hex(hash, hex);
	hash_free(hash);
	snprintf(out, SIGNATURE_SIZE, "%.*s-%.*s", PREFIX_MAX, prefix, HEX_DIGITS, hex);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of the faults in the history, sorted, each once. */
static size_t fault_names(const struct history *history, const char *names[FAULTS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < history->rare_count && count < FAULTS_MAX; i++) {
		const struct event *event = history->rare[i];
		const char *name;
		bool known = false;

		if (!event_is(event, "fault"))
			continue;
		name = json_get_text(event->data, "fault", "?");
		for (size_t k = 0; k < count && !known; k++)
			known = !strcmp(names[k], name);
		if (!known)
			names[count++] = name;
	}
	if (count)
		qsort(names, count, sizeof(*names), compare_names);
	else
		names[count++] = "none";
	return count;
}

void signature_of_law(const char *law, const struct history *history,
	const struct judgement *judgement, char out[SIGNATURE_SIZE])
{
	const char *parts[FAULTS_MAX + 2];
	size_t count = fault_names(history, parts);

	parts[count++] = judgement->role;
	parts[count] = NULL;
	signature_make(law, parts, out);
}

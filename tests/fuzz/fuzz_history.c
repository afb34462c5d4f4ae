/*
 * A history, as a hostile file may hold it: it is refused by line, or every law rules on it, twice the same
 * way and within its bounds.
 */
#include "api/oracle.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const struct target target;
	struct oracle_context context = {
		.target = &target, .objectives = objectives_resolve(NULL, NULL)};
	char *text = strndup((const char *)bytes, len);
	struct err err;
	struct history *history = history_from_lines(text, &err);

	for (const struct oracle *const *oracle = oracles; history && *oracle; oracle++) {
		struct judgement one, two;

		oracle_judge(*oracle, history, &context, &one);
		oracle_judge(*oracle, history, &context, &two);
		assert(one.line_count <= JUDGEMENT_LINES_MAX);
		assert(one.ruling == two.ruling && !strcmp(one.text, two.text));
	}
	history_free(history);
	free(text);
	return 0;
}

#include "api/oracle.h"

#include "base/cleanup.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const ruling_names[] = {
	[RULING_NOT_APPLICABLE] = "not-applicable",
	[RULING_HOLDS] = "holds",
	[RULING_CANNOT_TELL] = "cannot-tell",
	[RULING_BROKEN] = "broken",
};

const char *ruling_name(enum ruling ruling)
{
	return (size_t)ruling < ARRAY_SIZE(ruling_names) ? ruling_names[ruling] : "?";
}

const struct oracle *oracle_find(const char *law)
{
	for (const struct oracle *const *oracle = oracles; *oracle; oracle++)
		if (!strcmp((*oracle)->law, law))
			return *oracle;
	return NULL;
}

/* The stronger ruling wins and starts anew with its own text and lines. True if this is its first. */
static bool raise_to(struct judgement *judgement, enum ruling ruling)
{
	if (judgement->ruling >= ruling)
		return false;
	judgement->ruling = ruling;
	judgement->text[0] = '\0';
	judgement->line_count = 0;
	return true;
}

static void keep_line(struct judgement *judgement, uint32_t line)
{
	if (line && judgement->line_count < JUDGEMENT_LINES_MAX)
		judgement->lines[judgement->line_count++] = line;
}

void judgement_break(struct judgement *judgement, uint32_t line, const char *fmt, ...)
{
	va_list ap;

	judgement->breaches++;
	if (raise_to(judgement, RULING_BROKEN)) {
		va_start(ap, fmt);
		vsnprintf(judgement->text, sizeof(judgement->text), fmt, ap);
		va_end(ap);
	}
	keep_line(judgement, line);
}

void judgement_cannot_tell(struct judgement *judgement, uint32_t line, const char *fmt, ...)
{
	va_list ap;

	if (judgement->ruling > RULING_CANNOT_TELL)
		return;
	if (raise_to(judgement, RULING_CANNOT_TELL)) {
		va_start(ap, fmt);
		vsnprintf(judgement->text, sizeof(judgement->text), fmt, ap);
		va_end(ap);
	}
	keep_line(judgement, line);
}

void judgement_holds(struct judgement *judgement)
{
	raise_to(judgement, RULING_HOLDS);
}

void judgement_line(struct judgement *judgement, uint32_t line)
{
	if (judgement->ruling == RULING_BROKEN)
		keep_line(judgement, line);
}

/* Does the target declare that this law is legally not kept here? Only with a scope: a law is never
 * switched off whole. */
static bool excepted(const struct oracle_context *context, const char *law, const char *scope)
{
	const struct target *target = context->target;

	for (size_t i = 0; target && i < target->exception_count; i++) {
		const struct exception *exception = &target->exceptions[i];

		if (exception->law && !strcmp(exception->law, law) && exception->only &&
			*exception->only && strstr(scope, exception->only))
			return true;
	}
	return false;
}

bool oracle_breach(const struct oracle_context *context, const char *law,
	struct judgement *judgement, const char *scope, uint32_t line, const char *fmt, ...)
{
	char text[sizeof(judgement->text)];
	va_list ap;

	if (excepted(context, law, scope)) {
		judgement->excused++;
		judgement_holds(judgement);
		return false;
	}
	if (judgement->ruling != RULING_BROKEN)
		snprintf(judgement->role, sizeof(judgement->role), "%s", scope);
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	judgement_break(judgement, line, "%s", text);
	return true;
}

void oracle_judge(const struct oracle *oracle, const struct history *history,
	const struct oracle_context *context, struct judgement *ret)
{
	*ret = (struct judgement){0};
	if (!history->count)
		return;
	if (oracle->needs_end && !history_reached_end(history)) {
		snprintf(ret->text, sizeof(ret->text), "%s",
			"the cell was cut short before everything was read back");
		return;
	}
	oracle->judge(history, context, ret);
}

/* H5: no crash, and every deletion is answered. */
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/cleanup.h"
#include "base/json.h"

#include <math.h>
#include <signal.h>
#include <string.h>

struct fatal {
	int number;
	const char *name;
	bool own; /* only a fault of the process itself raises it: never a parent's doing */
};

static const struct fatal fatals[] = {
	{SIGSEGV, "SIGSEGV", true},
	{SIGBUS, "SIGBUS", true},
	{SIGILL, "SIGILL", true},
	{SIGFPE, "SIGFPE", true},
	{SIGABRT, "SIGABRT", false},
	{SIGSYS, "SIGSYS", false},
};

/* The signal may be recorded by number or by name. */
static const struct fatal *fatal_signal(const json_t *died)
{
	int64_t number = json_get_int(died, "signal", 0);
	const char *name = json_get_text(died, "signal", "");

	if (!strncmp(name, "SIG", 3))
		name += 3;
	for (size_t i = 0; i < ARRAY_SIZE(fatals); i++)
		if (fatals[i].number == number || !strcmp(fatals[i].name + 3, name))
			return &fatals[i];
	return NULL;
}

/* Said so itself: a line of the log that matches the target's panic pattern. */
static bool is_panic(const json_t *died)
{
	const char *text = json_get_text(died, "text", "");

	return *text && !json_get_int(died, "signal", 0) && !*json_get_text(died, "signal", "");
}

static const char *base_name(const char *program)
{
	const char *slash = strrchr(program, '/');

	return slash ? slash + 1 : program;
}

static void judge_death(
	const struct oracle_context *context, struct judgement *ret, const struct event *event)
{
	const json_t *died = event->data;
	const char *program = base_name(json_get_text(died, "program", "?"));
	const struct fatal *fatal = fatal_signal(died);
	bool by_rig = json_get_bool(died, "by_rig", false);
	char scope[64];

	if (json_get_bool(died, "oom", false)) {
		judgement_cannot_tell(ret, event->line,
			"'%s' was ended by the kernel for want of memory: the rig gave too little",
			program);
		return;
	}
	if (!(fatal && (fatal->own || !by_rig)) && !(is_panic(died) && !by_rig))
		return;
	snprintf(scope, sizeof(scope), "%.40s %s", program, fatal ? fatal->name : "panic");
	oracle_breach(context, "H5", ret, scope, event->line, "'%s' died of %s%s%.200s", program,
		fatal ? fatal->name : "its own panic", *json_get_text(died, "text", "") ? ": " : "",
		json_get_text(died, "text", ""));
}

static bool is_deletion(const struct ledger *ledger, const struct ledger_op *op)
{
	const char *name = ledger_text(ledger, op->op);

	return strstr(name, "expunge") || strstr(name, "delete");
}

static void judge_deletions(
	const struct ledger *ledger, const struct oracle_context *context, struct judgement *ret)
{
	double limit = (double)context->objectives.recover_ms / 1000;

	for (size_t i = 0; i < ledger->op_count; i++) {
		const struct ledger_op *op = &ledger->ops[i];
		double waited;

		if (op->end_line || !is_deletion(ledger, op))
			continue;
		waited = ledger_free_seconds(ledger, op->begin, ledger->settle_t);
		if (waited < limit || ledger_starved(ledger, op->begin, ledger->settle_t))
			judgement_cannot_tell(ret, op->begin_line,
				"a deletion was not answered, but the rig waited only %.1f s",
				waited);
		else
			oracle_breach(context, "H5", ret, ledger_text(ledger, op->op),
				op->begin_line,
				"'%s' was never answered, though no fault was in force for %.1f s",
				ledger_text(ledger, op->op), waited);
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	if (history->ledger->worked)
		judgement_holds(ret);
	for (size_t i = 0; i < history->rare_count; i++)
		if (event_is(history->rare[i], "died"))
			judge_death(context, ret, history->rare[i]);
	judge_deletions(history->ledger, context, ret);
}

const struct oracle oracle_h5 = {
	.law = "H5",
	.name = "no crash",
	.summary =
		"no process dies of a fatal signal or of its own panic; deleting anything at any "
		"time is answered",
	.source = "Q272274, KB 910618",
	.judge = judge,
};

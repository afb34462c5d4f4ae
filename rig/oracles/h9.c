/* H9: no alarm in the logs that the same workload does not raise without a fault. */
#include "api/ledger.h"
#include "api/oracle.h"

#include "base/buf.h"
#include "base/json.h"

#include <ctype.h>
#include <regex.h>
#include <string.h>
#include <time.h>

#define LOG_LINE_MAX 2048 /* of a line that is looked at */
#define ALARMS_MAX   16	  /* logs of one target that have one */

struct alarm {
	const char *path;
	regex_t regex;
};

struct pass {
	const struct oracle_context *context;
	struct judgement *judgement;
	struct alarm alarms[ALARMS_MAX];
	size_t count;
	bool is_baseline;    /* no fault was armed: what it says is what the workload says */
	uint32_t cut_line;   /* from here on the power had been cut; 0: it never was */
	struct intern usual; /* alarm lines of the baseline, without what changes from run to run */
};

static const struct alarm *alarm_of(const struct pass *pass, const json_t *log, char *line)
{
	const char *path = json_get_text(log, "path", "");

	snprintf(line, LOG_LINE_MAX, "%.*s", LOG_LINE_MAX - 1, json_get_text(log, "line", ""));
	for (size_t i = 0; i < pass->count; i++)
		if (!strcmp(pass->alarms[i].path, path) &&
			!regexec(&pass->alarms[i].regex, line, 0, NULL, 0))
			return &pass->alarms[i];
	return NULL;
}

/* "<Vh4V/NhgucEKAAIC>": the bytes of what stands in angle brackets, with them; 0: none does. */
static size_t bracketed(const char *at)
{
	size_t len = *at == '<' ? strcspn(at, "> \t") : 0;

	return len && at[len] == '>' ? len + 1 : 0;
}

/* RFC 3164 4.1.2: "Nov  2 21:55:56" has a name and a blank that the next month has not. Of other forms the month is a
 * number. */
static void drop_stamp(char *line)
{
	struct tm when = {0};
	const char *rest = strptime(line, "%b %d %T", &when);

	if (rest)
		memmove(line, rest, strlen(rest) + 1);
}

/* Numbers, queue IDs and times change from run to run: a word with a digit in it is one mark, and so is what stands
 * in angle brackets: sessions, message IDs. */
static size_t plain(char *line)
{
	size_t out = 0;

	drop_stamp(line);
	for (size_t i = 0; line[i];) {
		size_t len = bracketed(line + i);
		bool digit = len;

		while (!bracketed(line + i) && isalnum((unsigned char)line[i + len])) {
			digit = digit || isdigit((unsigned char)line[i + len]);
			len++;
		}
		if (digit) {
			line[out++] = '#';
		} else {
			len = len ? len : 1;
			memmove(line + out, line + i, len);
			out += len;
		}
		i += len;
	}
	line[out] = '\0';
	return out;
}

static void learn(struct pass *pass, const struct history *baseline)
{
	char line[LOG_LINE_MAX];

	for (size_t i = 0; baseline && i < baseline->rare_count; i++)
		if (event_is(baseline->rare[i], "log") &&
			alarm_of(pass, baseline->rare[i]->data, line))
			intern_id(&pass->usual, line, plain(line));
}

/* After a power cut a store may say what it found and mends: law U4 judges whether that was enough. Its end is
 * an alarm also then. */
static bool tells_of_repair(const struct pass *pass, const struct event *event, const char *text)
{
	return pass->cut_line && event->line > pass->cut_line && !strcasestr(text, "panic") &&
	       !strcasestr(text, "fatal") && !strcasestr(text, "killed");
}

static void judge_line(struct pass *pass, const struct event *event)
{
	char line[LOG_LINE_MAX], *text;
	const struct alarm *alarm = alarm_of(pass, event->data, line);
	size_t len;

	judgement_holds(pass->judgement);
	if (!alarm || pass->is_baseline)
		return;
	text = text_dup(line);
	len = plain(line);
	if (!pass->context->baseline)
		judgement_cannot_tell(pass->judgement, event->line,
			"an alarm in '%s', and no baseline to compare it with: %.200s", alarm->path,
			text);
	else if (tells_of_repair(pass, event, text))
		pass->judgement->excused++;
	else if (!intern_find(&pass->usual, line, len))
		oracle_breach(pass->context, "H9", pass->judgement, line, event->line,
			"an alarm in '%s' that the baseline does not have: %.200s", alarm->path,
			text);
	free(text);
}

static void compile_alarms(struct pass *pass, const struct target *target)
{
	for (size_t i = 0; target && i < target->log_count && pass->count < ALARMS_MAX; i++) {
		struct alarm *alarm = &pass->alarms[pass->count];

		if (!target->logs[i].alarm)
			continue;
		alarm->path = target->logs[i].path;
		if (regcomp(&alarm->regex, target->logs[i].alarm, REG_EXTENDED | REG_NOSUB))
			judgement_cannot_tell(pass->judgement, 0,
				"the alarm of '%s' is no regular expression", alarm->path);
		else
			pass->count++;
	}
}

static void judge(
	const struct history *history, const struct oracle_context *context, struct judgement *ret)
{
	struct pass pass = {
		.context = context,
		.judgement = ret,
		.is_baseline = !context->baseline && !history->ledger->fault_lines,
	};
	const struct ledger_force *cut = ledger_power_cut(history->ledger);

	pass.cut_line = cut ? cut->from_line : 0;

	compile_alarms(&pass, context->target);
	learn(&pass, context->baseline);
	for (size_t i = 0; pass.count && i < history->rare_count; i++)
		if (event_is(history->rare[i], "log"))
			judge_line(&pass, history->rare[i]);
	for (size_t i = 0; i < pass.count; i++)
		regfree(&pass.alarms[i].regex);
	intern_free(&pass.usual);
}

const struct oracle oracle_h9 = {
	.law = "H9",
	.name = "no new alarm",
	.summary = "no line of a log matches the target's `alarm` that the baseline did not have",
	.source = "target.yaml: logs",
	.judge = judge,
};

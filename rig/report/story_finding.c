/* A hang or crash in words: who causes it, what decided that, what the clients saw of it, what is not known. */
#include "report/story_parts.h"

#include "api/ledger.h"
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_COLUMN 5
#define OPS_MAX	      24 /* kinds of operations in the table */

/* ---- who causes it ---- */

static void point(struct buf *out, size_t number, const char *text)
{
	buf_addf(out, " %2zu  ", number);
	story_wrap(out, text, NUMBER_COLUMN, NUMBER_COLUMN);
}

/* The same but for numbers: how long each has waited, and will. */
static bool alike(const json_t *a, const json_t *b)
{
	static const char numbers[] = "0123456789.";
	const char *one = json_get_text(a, "says", ""), *two = json_get_text(b, "says", "");

	if (json_get_int(a, "pid", 0) != json_get_int(b, "pid", 0))
		return false;
	while (*one && *two) {
		one += strspn(one, numbers);
		two += strspn(two, numbers);
		if (*one != *two)
			return false;
		one += *one != '\0';
		two += *two != '\0';
	}
	return *one == *two;
}

/* A culprit that no evidence line speaks of, and the threads that stand just as it does: those of `rest` that are
 * like it become null. */
static void tell_culprit(struct buf *out, size_t number, const json_t *culprit, json_t *rest)
{
	long long pid = (long long)json_get_int(culprit, "pid", 0),
		  tid = (long long)json_get_int(culprit, "tid", 0);
	auto_buf struct buf text = {0};
	auto_buf struct buf more = {0};
	json_t *other;
	size_t i;

	json_array_foreach (rest, i, other) {
		if (!json_is_object(other) || !alike(culprit, other))
			continue;
		buf_addf(&more, ", %lld", (long long)json_get_int(other, "tid", 0));
		json_array_set_new(rest, i, json_null());
	}
	buf_addf(&text, "`%s`, ", json_get_text(culprit, "role", "?"));
	if (pid == tid)
		buf_addf(&text, "process %lld", pid);
	else
		buf_addf(&text, "thread%s %lld%s of process %lld", more.len ? "s" : "", tid,
			buf_text(&more), pid);
	buf_addf(&text, ": %s", json_get_text(culprit, "says", ""));
	point(out, number, buf_text(&text));
}

static void tell_class(const char *hang_class, struct buf *out)
{
	static const struct {
		const char *name, *says;
	} rows[] = {
		{"deadlock", "A cycle: each waits for what the next one holds. None of these waits "
			     "has a "
			     "time limit, so it never ends by itself."},
		{"lost-wakeup", "Whoever should end this wait is not known to exist, or waits for "
				"something else."},
		{"exhaustion", "No cycle. The pool is spent: all of its workers stand in one wait "
			       "while work "
			       "is waiting."},
		{"livelock", "No wait: the processor is burnt and nothing gets on."},
		{"stopped", "It is stopped, and nobody continues it."},
		{"blocked-on-fault",
			"It needs what this cell's fault took away: it is not blamed. Those who "
			"stand behind it do not need it."},
		{"slow", "No cycle, and no wait without an end of its own."},
	};

	for (size_t i = 0; hang_class && i < ARRAY_SIZE(rows); i++)
		if (!strcmp(rows[i].name, hang_class)) {
			buf_add_str(out, "  ");
			story_wrap(out, rows[i].says, 2, 2);
		}
}

/* "`role` (thread 12 of process 10), ..." of an evidence line names a culprit, who is then not told twice. */
static bool told_by_evidence(const json_t *lines, const json_t *culprit)
{
	auto_free char *thread =
		text_fmt("(thread %lld of", (long long)json_get_int(culprit, "tid", 0));
	auto_free char *process =
		text_fmt("(process %lld)", (long long)json_get_int(culprit, "pid", 0));
	json_t *line;
	size_t i;

	json_array_foreach ((json_t *)lines, i, line) {
		const char *text = json_string_value(line);

		if (text && (strstr(text, thread) || strstr(text, process)))
			return true;
	}
	return false;
}

static void tell_evidence(const json_t *diagnosis, struct buf *out)
{
	const json_t *lines = json_object_get(diagnosis, "evidence"),
		     *culprits = json_object_get(diagnosis, "culprits");
	auto_json json_t *rest = json_array();
	size_t number = 0, i;
	json_t *one;

	json_array_foreach ((json_t *)lines, i, one)
		point(out, ++number, json_is_string(one) ? json_string_value(one) : "?");
	json_array_foreach ((json_t *)culprits, i, one)
		if (!told_by_evidence(lines, one))
			json_array_append(rest, one);
	json_array_foreach (rest, i, one)
		if (json_is_object(one)) {
			auto_json json_t *culprit = json_incref(one);

			json_array_set_new(rest, i, json_null());
			tell_culprit(out, ++number, culprit, rest);
		}
}

/* Broken while a fault was in force: the last one that came into force before the evidence was taken and was not
 * healed by then. */
static const struct ledger_force *in_force_at(const struct history *history, double t)
{
	const struct ledger *ledger = history->ledger;

	for (size_t i = 0; i < ledger->force_count; i++)
		if (ledger->forces[i].from <= t &&
			(isnan(ledger->forces[i].to) || ledger->forces[i].to >= t))
			return &ledger->forces[i];
	return NULL;
}

static void tell_why(const struct finding *finding, const struct history *history, struct buf *out)
{
	double at = json_get_real(finding->diagnosis, "detected_s", NAN);
	const struct ledger_force *force = isnan(at) ? NULL : in_force_at(history, at);
	auto_free char *text = NULL;

	if (!force)
		return;
	text = text_fmt(
		"'%s' (%s%s%s) had been in force since %.2f s. What needs what it takes away "
		"is blocked-on-fault and not blamed; %s",
		ledger_text(history->ledger, force->step),
		ledger_text(history->ledger, force->fault), force->agent ? " of " : "",
		force->agent ? ledger_text(history->ledger, force->agent) : "", force->from,
		finding_has_law(finding, "H3")
			? "those who broke H3 do not need it (needed_by in the target's file)."
			: "this had not ended when it was healed, or does not need it.");
	buf_add_str(out, "\nWHY THIS IS A FINDING ALTHOUGH THE FAULT IS STILL IN FORCE\n  ");
	story_wrap(out, text, 2, 2);
}

void story_causes(const struct finding *finding, const struct history *history, struct buf *out)
{
	const json_t *d = finding->diagnosis;
	long long behind = (long long)json_get_int(d, "behind", 0);

	buf_addf(out, "\nWHO CAUSES IT   %s, breaks", finding->signature);
	for (size_t i = 0; i < finding->law_count; i++)
		buf_addf(out, " %s", finding->laws[i]);
	buf_addf(out, "%s%s\n", finding->suspect ? ", suspect" : "",
		finding->baseline ? ", phase=baseline" : "");
	tell_evidence(d, out);
	tell_class(finding->hang_class, out);
	if (behind)
		buf_addf(out, "  %lld more thread%s behind.\n", behind,
			behind == 1 ? " waits" : "s wait");
	buf_add_str(out, "  Seen in ");
	if (strcmp(json_get_text(d, "from", ""), "history.jsonl") != 0)
		buf_add_str(out, "evidence/");
	story_plain(out, json_get_text(d, "from", "?"));
	buf_addc(out, '\n');
	tell_why(finding, history, out);
}

/* ---- what the clients saw ---- */

struct seen {
	uint32_t op; /* text */
	double *before, *after;
	size_t before_count, after_count, refused, never;
};

static int compare_reals(const void *a, const void *b)
{
	const double *one = a, *two = b;

	return (*one > *two) - (*one < *two);
}

static void add_median(struct buf *out, double *values, size_t count)
{
	if (!count) {
		buf_addf(out, "%11s%6s", "-", "");
		return;
	}
	qsort(values, count, sizeof(*values), compare_reals);
	buf_addf(out, "%8.0f ms x%-4zu", values[count / 2] * 1000, count);
}

static struct seen *seen_of(struct seen *all, size_t *count, uint32_t op, size_t ops)
{
	for (size_t i = 0; i < *count; i++)
		if (all[i].op == op)
			return &all[i];
	if (*count == OPS_MAX)
		return NULL;
	all[*count] = (struct seen){.op = op,
		.before = mem_zero(ops, sizeof(double)),
		.after = mem_zero(ops, sizeof(double))};
	return &all[(*count)++];
}

static void weigh_op(struct seen *seen, const struct ledger_op *op, double divide)
{
	bool mail = op->mail != LEDGER_NONE;

	if (!op->end_line || op->gave_up || op->outcome == OUTCOME_MAYBE ||
		(op->outcome == OUTCOME_NO && mail && !op->code))
		seen->never++; /* also where the connection ended instead */
	else if (op->outcome == OUTCOME_NO)
		seen->refused++;
	else if (op->end <= divide)
		seen->before[seen->before_count++] = op->end - op->begin;
	else
		seen->after[seen->after_count++] = op->end - op->begin;
}

/* When it began to matter to clients, and what that is. */
struct divide {
	double t;
	const char *what;
};

static double first_death(const struct history *history)
{
	for (size_t i = 0; i < history->count; i++)
		if (event_is(&history->events[i], "died") &&
			!json_get_bool(history->events[i].data, "by_rig", false) &&
			json_get_int(history->events[i].data, "signal", 0))
			return history->events[i].t;
	return INFINITY;
}

/* The onset where it is known, of a crash the first death, else the moment at which a fault first was in force. */
static struct divide divide_at(const struct finding *finding, const struct history *history)
{
	const json_t *onset = finding ? json_object_get(finding->diagnosis, "onset_s") : NULL;
	struct divide divide = {INFINITY, "a fault is in force"};

	if (json_array_size(onset) == 2)
		return (struct divide){json_number_value(json_array_get(onset, 1)), "the onset"};
	if (finding && finding_is_crash(finding))
		return (struct divide){first_death(history), "the first crash"};
	for (size_t i = 0; i < history->ledger->force_count; i++)
		if (history->ledger->forces[i].from < divide.t)
			divide.t = history->ledger->forces[i].from;
	return divide;
}

void story_clients(const struct finding *finding, const struct history *history, struct buf *out)
{
	const struct ledger *ledger = history->ledger;
	struct divide divide = divide_at(finding, history);
	struct seen all[OPS_MAX];
	size_t count = 0;

	if (!isfinite(divide.t) || !ledger->op_count)
		return;
	for (size_t i = 0; i < ledger->op_count; i++) {
		struct seen *seen = seen_of(all, &count, ledger->ops[i].op, ledger->op_count);

		if (seen)
			weigh_op(seen, &ledger->ops[i], divide.t);
	}
	buf_addf(out,
		"\nWHAT THE CLIENTS SAW   median answer and count; %s at %.2f s\n"
		"                    answered before    from then on    refused  no answer\n",
		divide.what, divide.t);
	for (size_t i = 0; i < count; i++) {
		buf_addf(out, "  %-18.18s", ledger_text(ledger, all[i].op));
		add_median(out, all[i].before, all[i].before_count);
		add_median(out, all[i].after, all[i].after_count);
		buf_addf(out, "%9zu%11zu\n", all[i].refused, all[i].never);
		free(all[i].before);
		free(all[i].after);
	}
}

/* ---- what is not known ---- */

static void add_unknown(struct buf *out, bool *any, const char *text)
{
	buf_add_str(out, *any ? "  " : "\nNOT KNOWN\n  ");
	*any = true;
	story_wrap(out, text, 2, 2);
}

void story_unknown(const struct result *result, struct buf *out)
{
	bool any = false;
	json_t *line;
	size_t k;

	for (size_t i = 0; i < result->finding_count; i++) {
		json_array_foreach (
			json_object_get(result->findings[i].diagnosis, "unknown"), k, line)
			add_unknown(
				out, &any, json_is_string(line) ? json_string_value(line) : "?");
		if (result->findings[i].undiagnosed) {
			auto_free char *text = text_fmt("who causes %s: %s",
				result->findings[i].signature, result->findings[i].undiagnosed);

			add_unknown(out, &any, text);
		}
	}
}

#include "report/compare.h"

#include "api/history.h"
#include "api/ledger.h"
#include "api/verdict.h"
#include "base/fs.h"
#include "base/json.h"
#include "report/story_parts.h"

#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (4u << 20)
#define KINDS_MAX      24 /* of operations */
#define ONLY_MAX       12 /* events of one side */
#define PLAN_MAX       40 /* lines of what was asked for */

struct side {
	const char *dir;
	json_t *plan;
	struct result result;
	struct history *history; /* NULL: it left none */
};

/* ---- loading ---- */

static int side_load(const char *dir, struct side *ret, struct err *err)
{
	auto_free char *verdict = path_join(dir, "verdict.json");
	auto_free char *plan = path_join(dir, "plan.json");
	auto_free char *history = path_join(dir, "history.jsonl");
	auto_json json_t *json = json_load_path(verdict, FILE_MAX_BYTES, err);
	int rc;

	ret->dir = dir;
	if (!json)
		return -ENOENT;
	rc = result_from_json(json, &ret->result, err);
	if (!rc && fs_exists(history))
		rc = history_load(history, &ret->history, err);
	if (rc)
		return rc;
	ret->plan = json_load_path(plan, FILE_MAX_BYTES, err);
	return ret->plan ? 0 : -ENOENT;
}

static void side_free(struct side *side)
{
	json_decref(side->plan);
	history_free(side->history);
	result_free(&side->result);
}

/* ---- what came of it ---- */

static const char *signature_of(const struct side *side)
{
	const struct finding *first = result_finding(&side->result);

	return first ? first->signature : "no finding";
}

static const char *class_of(const struct side *side)
{
	const struct finding *first = result_finding(&side->result);

	return first && first->hang_class ? first->hang_class : "-";
}

static void tell_head(const struct side *side, char name, struct buf *out)
{
	buf_addf(out, "%c  %-7s  %-24s  ", name, verdict_name(side->result.verdict),
		signature_of(side));
	story_plain(out, side->result.id ? side->result.id : "?");
	if (side->result.reason && *side->result.reason) {
		buf_add_str(out, "\n   ");
		story_wrap(out, side->result.reason, 3, 3);
	} else {
		buf_addc(out, '\n');
	}
}

/* ---- what was asked for ---- */

/* Keys that say where something was written, not what. */
static bool is_place(const char *key)
{
	return !strcmp(key, "line") || !strcmp(key, "file") || !strcmp(key, "dir") ||
	       !strcmp(key, "mailrig") || !strcmp(key, "id") || !strcmp(key, "baseline");
}

static void tell_value(const json_t *value, struct buf *out)
{
	auto_free char *text =
		value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII)
		      : NULL;

	story_plain(out, text ? text : "nothing");
}

struct telling {
	struct buf *out;
	int lines;
};

static void tell_change(struct telling *t, const char *path, const json_t *a, const json_t *b)
{
	if (++t->lines > PLAN_MAX)
		return;
	buf_add_str(t->out, "  ");
	story_plain(t->out, path);
	buf_add_str(t->out, "\n    A  ");
	tell_value(a, t->out);
	buf_add_str(t->out, "\n    B  ");
	tell_value(b, t->out);
	buf_addc(t->out, '\n');
}

static void compare_json(struct telling *t, const char *path, const json_t *a, const json_t *b);

static void compare_objects(struct telling *t, const char *path, const json_t *a, const json_t *b)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)a, key, value) {
		auto_free char *below = text_fmt("%s%s%s", path, *path ? "." : "", key);

		if (!is_place(key))
			compare_json(t, below, value, json_object_get(b, key));
	}
	json_object_foreach ((json_t *)b, key, value) {
		auto_free char *below = text_fmt("%s%s%s", path, *path ? "." : "", key);

		if (!is_place(key) && !json_object_get(a, key))
			compare_json(t, below, NULL, value);
	}
}

/* Arrays of one length element by element, others as a whole. */
static void compare_json(struct telling *t, const char *path, const json_t *a, const json_t *b)
{
	if (json_is_object(a) && json_is_object(b)) {
		compare_objects(t, path, a, b);
		return;
	}
	if (json_is_array(a) && json_is_array(b) && json_array_size(a) == json_array_size(b)) {
		for (size_t i = 0; i < json_array_size(a); i++) {
			auto_free char *below = text_fmt("%s[%zu]", path, i + 1);

			compare_json(t, below, json_array_get(a, i), json_array_get(b, i));
		}
		return;
	}
	if (!a || !b || !json_equal((json_t *)a, (json_t *)b))
		tell_change(t, path, a, b);
}

static void tell_plans(const struct side *a, const struct side *b, struct buf *out)
{
	struct telling t = {.out = out};

	buf_add_str(out, "\nASKED FOR\n");
	compare_json(&t, "", a->plan, b->plan);
	if (!t.lines)
		buf_add_str(out, "  the same\n");
	else if (t.lines > PLAN_MAX)
		buf_addf(out, "  ... %d more in plan.json\n", t.lines - PLAN_MAX);
}

/* ---- laws ---- */

static const char *ruling(const struct side *side, const char *law)
{
	return json_get_text(json_object_get(side->result.laws, law), "ruling", "not-applicable");
}

static void tell_laws(const struct side *a, const struct side *b, struct buf *out)
{
	const char *law;
	json_t *one;
	bool any = false;

	json_object_foreach (a->result.laws, law, one) {
		if (!strcmp(ruling(a, law), ruling(b, law)))
			continue;
		if (!any)
			buf_add_str(out, "\nLAWS       A               B\n");
		any = true;
		buf_addf(out, "  %-7.7s  %-14.14s  %.14s\n", law, ruling(a, law), ruling(b, law));
	}
}

/* ---- operations ---- */

struct kind {
	const char *op;
	double *took[2];
	size_t count[2], never[2];
};

static int compare_reals(const void *a, const void *b)
{
	const double *one = a, *two = b;

	return (*one > *two) - (*one < *two);
}

static struct kind *kind_of(struct kind *kinds, size_t *count, const char *op)
{
	for (size_t i = 0; i < *count; i++)
		if (!strcmp(kinds[i].op, op))
			return &kinds[i];
	if (*count == KINDS_MAX)
		return NULL;
	kinds[*count] = (struct kind){.op = op};
	return &kinds[(*count)++];
}

static void weigh(const struct side *side, int which, struct kind *kinds, size_t *count)
{
	const struct ledger *ledger = side->history ? side->history->ledger : NULL;

	for (size_t i = 0; ledger && i < ledger->op_count; i++) {
		const struct ledger_op *op = &ledger->ops[i];
		struct kind *kind = kind_of(kinds, count, ledger_text(ledger, op->op));

		if (!kind)
			continue;
		if (!op->end_line || op->gave_up) {
			kind->never[which]++;
			continue;
		}
		if (!kind->took[which])
			kind->took[which] = mem_zero(ledger->op_count, sizeof(double));
		kind->took[which][kind->count[which]++] = op->end - op->begin;
	}
}

static void tell_took(struct kind *kind, int which, struct buf *out)
{
	size_t count = kind->count[which];

	if (count) {
		qsort(kind->took[which], count, sizeof(double), compare_reals);
		buf_addf(out, "%8.0f ms x%-4zu", kind->took[which][count / 2] * 1000, count);
	} else {
		buf_addf(out, "%11s%6s", "-", "");
	}
	if (kind->never[which])
		buf_addf(out, " %4zu no end", kind->never[which]);
	else
		buf_addf(out, "%12s", "");
	free(kind->took[which]);
}

static void tell_operations(const struct side *a, const struct side *b, struct buf *out)
{
	struct kind kinds[KINDS_MAX];
	size_t count = 0;

	weigh(a, 0, kinds, &count);
	weigh(b, 1, kinds, &count);
	if (count)
		buf_addf(out, "\nOPERATIONS  median%9sA%28sB\n", "", "");
	for (size_t i = 0; i < count; i++) {
		buf_addf(out, "  %-18.18s", kinds[i].op);
		tell_took(&kinds[i], 0, out);
		tell_took(&kinds[i], 1, out);
		while (out->len && out->data[out->len - 1] == ' ')
			out->data[--out->len] = '\0';
		buf_addc(out, '\n');
	}
}

/* ---- events ---- */

/* What an event says without its time and numbers; false: it is of no interest here. */
static bool key_of(const struct event *event, struct buf *ret)
{
	static const char *const texts[] = {"name", "step", "fault", "state", "what", "program",
		"outcome", "op", "trouble", "why", NULL};
	static const char *const kinds[] = {"phase", "fault", "call", "died", "rig", "suspected",
		"stop", "start", "recovered", "adjudged", "missed", "never", NULL};
	bool known = event_is(event, "end") &&
		     strcmp(json_get_text(event->data, "outcome", "OK"), "OK") != 0;

	buf_reset(ret);
	for (const char *const *kind = kinds; *kind && !known; kind++)
		known = event_is(event, *kind);
	if (!known)
		return false;
	buf_add_str(ret, event->kind);
	for (const char *const *text = texts; *text; text++)
		if (*json_get_text(event->data, *text, ""))
			buf_addf(ret, " %s", json_get_text(event->data, *text, ""));
	return true;
}

static bool has_key(const struct history *history, size_t until, const char *key)
{
	auto_buf struct buf other = {0};

	for (size_t i = 0; history && i < until; i++)
		if (key_of(&history->events[i], &other) && !strcmp(buf_text(&other), key))
			return true;
	return false;
}

static void tell_only(const struct side *side, const struct side *other, char name, struct buf *out)
{
	size_t count = side->history ? side->history->count : 0, told = 0;
	size_t others = other->history ? other->history->count : 0;
	auto_buf struct buf key = {0};

	for (size_t i = 0; i < count && told < ONLY_MAX; i++) {
		const struct event *event = &side->history->events[i];

		if (!key_of(event, &key) || has_key(other->history, others, buf_text(&key)) ||
			has_key(side->history, i, buf_text(&key)))
			continue;
		if (!told++)
			buf_addf(out, "\nONLY IN %c  guest seconds\n", name);
		buf_addf(out, "  %8.3f  ", event->t);
		story_plain(out, buf_text(&key));
		buf_addc(out, '\n');
	}
}

int compare_write(const char *a, const char *b, struct buf *out, bool *ret_same, struct err *err)
{
	struct side one = {0}, two = {0};
	int rc = side_load(a, &one, err);

	if (!rc)
		rc = side_load(b, &two, err);
	if (!rc) {
		tell_head(&one, 'A', out);
		tell_head(&two, 'B', out);
		tell_plans(&one, &two, out);
		tell_laws(&one, &two, out);
		tell_operations(&one, &two, out);
		tell_only(&one, &two, 'A', out);
		tell_only(&two, &one, 'B', out);
		*ret_same = one.result.verdict == two.result.verdict &&
			    !strcmp(class_of(&one), class_of(&two)) &&
			    !strcmp(signature_of(&one), signature_of(&two));
	}
	side_free(&one);
	side_free(&two);
	return rc;
}

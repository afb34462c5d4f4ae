/* What is right in each place and wrong in the whole: keys that a `do` does not use, labels, triggers. */
#include "base/units.h"
#include "run/plan/moments.h"
#include "run/plan/scenario_parts.h"

#include <ctype.h>
#include <string.h>

#define LABEL_LEN_MAX 64
#define LABELS_MAX    (2 * SCENARIO_STEPS_MAX)
#define DO_NAMES_MAX  256

/* ---- keys ---- */

static const char *const trigger_keys[] = {"at", "when", "log", "while", "after", NULL};
static const char *const every_step[] = {"as", "do", "at", "when", "tag", "nth", "session", "log",
	"while", "after", "delay", "within", NULL};
static const char *const every_fault[] = {"for", "until", NULL};

static bool in_names(const char *const *names, const char *name)
{
	for (; *names; names++)
		if (!strcmp(*names, name))
			return true;
	return false;
}

static bool has(const struct step_source *step, const char *key)
{
	return node_get(step->map, key) != NULL;
}

static int line_of(const struct step_source *step, const char *key)
{
	return node_line_of(step->map, key);
}

static char *title_of(const struct step_source *step)
{
	return yaml_title(step->map, step->noun, 0);
}

static void tell_unknown_do(const struct scenario_source *source, const struct step_source *step)
{
	const char *names[DO_NAMES_MAX + 1] = {0};
	auto_free char *hint = NULL;
	size_t count = 0;

	for (const struct fault *const *f = source->vocabulary->faults;
		f && *f && count < DO_NAMES_MAX; f++)
		names[count++] = (*f)->name;
	for (const struct action *a = actions; a->name && count < DO_NAMES_MAX; a++)
		names[count++] = a->name;
	hint = did_you_mean(step->step->what, names);
	mistakes_add(source->mistakes, line_of(step, "do"),
		"'do: %s' is no fault, action or workload%s", step->step->what, hint);
}

static void tell_unused(
	const struct scenario_source *source, const struct step_source *step, const char *key)
{
	auto_buf struct buf uses = {0};
	auto_free char *title = title_of(step);

	if (step->fault)
		for (const struct fault_param *p = step->fault->params; p && p->key; p++)
			buf_addf(&uses, " %s", p->key);
	else
		for (const struct action_key *k = step->action->keys; k->key; k++)
			buf_addf(&uses, " %s", k->key);
	mistakes_add(source->mistakes, line_of(step, key),
		"'do: %s' does not use '%s' in %s; it %s%s", step->step->what, key, title,
		uses.len ? "uses:" : "has no keys of its own", buf_text(&uses));
}

static void check_needed(
	const struct scenario_source *source, const struct step_source *step, const char *key)
{
	auto_free char *title = title_of(step);

	if (!has(step, key))
		mistakes_add(source->mistakes, step->map->line, "'do: %s' needs '%s' in %s",
			step->step->what, key, title);
}

static void check_all_needed(const struct scenario_source *source, const struct step_source *step)
{
	const struct action *action = step->action;

	if (step->fault) {
		for (const struct fault_param *p = step->fault->params; p && p->key; p++)
			if (p->required)
				check_needed(source, step, p->key);
		return;
	}
	for (const struct action_key *k = action->keys; k->key; k++)
		if (k->required)
			check_needed(source, step, k->key);
	/* A workload has a user of its own choice, what an action does to whom must be said. */
	if (!action->workload && do_declares(NULL, action, "users") && !has(step, "users"))
		check_needed(source, step, "user");
}

bool workload_is_open_ended(const struct step_source *step)
{
	return step->action && step->action->workload && !step->step->messages &&
	       !has(step, "messages") && !has(step, "send");
}

static void check_mail(const struct scenario_source *source, const struct step_source *step)
{
	const char *mail = step_param(step->step, "mail");

	if (mail && step->action && strcmp(mail, "generated") && strcmp(mail, "real"))
		mistakes_add(source->mistakes, line_of(step, "mail"),
			"'mail: %s' is no choice; there are: generated real", mail);
}

static void check_tls(const struct scenario_source *source, const struct step_source *step)
{
	const char *tls = step_param(step->step, "tls");

	if (tls && step->action && strcmp(tls, "none") && strcmp(tls, "starttls"))
		mistakes_add(source->mistakes, line_of(step, "tls"),
			"'tls: %s' is no choice; there are: none starttls", tls);
}

static void check_place(const struct scenario_source *source, const struct step_source *step)
{
	auto_free char *title = title_of(step);
	bool in_workload = !strcmp(step->noun, "workload");

	if (in_workload && !(step->action && step->action->workload))
		mistakes_add(source->mistakes, line_of(step, "do"),
			"'do: %s' is %s and belongs into 'steps'", step->step->what,
			step->fault ? "a fault" : "an action");
	if (!in_workload && workload_is_open_ended(step))
		mistakes_add(source->mistakes, step->map->line,
			"%s would never end: give 'messages'%s, or move it into 'workload'", title,
			do_declares(NULL, step->action, "send") ? " or 'send'" : "");
	if (has(step, "user") && has(step, "users"))
		mistakes_add(source->mistakes, line_of(step, "users"),
			"%s has both 'user' and 'users'; keep one", title);
}

void scenario_check_keys(const struct scenario_source *source, const struct step_source *step)
{
	if (!step->fault && !step->action) {
		if (has(step, "do"))
			tell_unknown_do(source, step);
		return;
	}
	for (size_t i = 0; i < step->map->count; i++) {
		const char *key = step->map->keys[i].name;

		if (!in_names(every_step, key) && !(step->fault && in_names(every_fault, key)) &&
			!do_declares(step->fault, step->action, key))
			tell_unused(source, step, key);
	}
	check_all_needed(source, step);
	check_mail(source, step);
	check_tls(source, step);
	check_place(source, step);
}

/* ---- labels ---- */

static bool label_ok(const char *label)
{
	size_t len = strlen(label);

	if (len > LABEL_LEN_MAX || !isalpha((unsigned char)label[0]))
		return false;
	for (const char *p = label; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("_-", *p))
			return false;
	return true;
}

static const struct step_source *find_label(
	const struct scenario_source *source, const char *label, const struct step_source *before)
{
	for (const struct step_source *s = source->steps; s < source->steps + source->count; s++) {
		if (s == before)
			break;
		if (s->step->label && !strcmp(s->step->label, label))
			return s;
	}
	return NULL;
}

static void check_label(const struct scenario_source *source, const struct step_source *step)
{
	const char *label = step->step->label;
	const struct step_source *first = find_label(source, label, step);

	if (!label_ok(label))
		mistakes_add(source->mistakes, line_of(step, "as"),
			"'as: %s' is no label: letters, digits, _ and -, at most %d, a letter "
			"first",
			label, LABEL_LEN_MAX);
	if (first)
		mistakes_add(source->mistakes, line_of(step, "as"),
			"label '%s' is given twice (first in line %d)", label,
			line_of(first, "as"));
}

static size_t unlabelled(const struct scenario_source *source, const char *what)
{
	size_t count = 0;

	for (size_t i = 0; i < source->count; i++)
		count +=
			!has(&source->steps[i], "as") && !strcmp(source->steps[i].step->what, what);
	return count;
}

/* The `do` name, numbered where it is not unique; never one that somebody wrote. */
static void make_label(const struct scenario_source *source, struct step *step)
{
	const char *what = *step->what ? step->what : "step";

	if (unlabelled(source, step->what) == 1 && !find_label(source, what, NULL)) {
		step->label = text_dup(what);
		return;
	}
	for (unsigned int n = 1; !step->label; n++) {
		auto_free char *label = text_fmt("%s-%u", what, n);

		if (!find_label(source, label, NULL)) {
			step->label = label;
			label = NULL;
		}
	}
}

void scenario_check_labels(const struct scenario_source *source)
{
	for (size_t i = 0; i < source->count; i++)
		if (source->steps[i].step->label)
			check_label(source, &source->steps[i]);
	for (size_t i = 0; i < source->count; i++)
		if (!source->steps[i].step->label)
			make_label(source, source->steps[i].step);
}

/* A label that another step names: told if nobody has it. */
static void check_named(const struct scenario_source *source, const struct step_source *step,
	const char *key, const char *verb)
{
	const struct node *named = node_get(step->map, key);
	const char *names[LABELS_MAX + 1] = {0}, *label = named ? named->text : NULL;
	auto_free char *hint = NULL;

	if (!label || find_label(source, label, NULL))
		return;
	for (size_t i = 0; i < source->count; i++)
		names[i] = source->steps[i].step->label;
	hint = did_you_mean(label, names);
	mistakes_add(source->mistakes, line_of(step, key),
		"'%s' %s '%s', and no step has that label%s", step->step->label, verb, label, hint);
}

/* ---- triggers ---- */

static void check_single(const struct scenario_source *source, const struct step_source *step)
{
	const char *first = NULL;

	for (const char *const *key = trigger_keys; *key; key++) {
		auto_free char *title = NULL;

		if (!has(step, *key))
			continue;
		if (first) {
			title = title_of(step);
			mistakes_add(source->mistakes, line_of(step, *key),
				"%s has both '%s' and '%s'; keep one", title, first, *key);
			return;
		}
		first = *key;
	}
}

/* Only the wire tells it: the rig's own clients do not. */
static bool told_by_wire(const char *moment)
{
	const char *slash = strchr(moment, '/');

	return !strncmp(moment, "lmtp/", 5) || (slash && strstr(slash, "/reply"));
}

/* Does anybody in this scenario speak the protocol? The queue's own LMTP is no client's. */
static bool is_spoken(const struct scenario_source *source, const char *moment)
{
	size_t len = strcspn(moment, "/");

	if (!strncmp(moment, "lmtp", len))
		return true;
	for (size_t i = 0; i < source->count; i++) {
		const char *what = source->steps[i].step->what;
		bool imap = !strcmp(what, "append") || !strcmp(what, "idle");
		const char *speaks = imap ? "imap" : what;

		/* "pop3", and its kin: "pop3-delete" */
		if (!strncmp(speaks, moment, len) && (!speaks[len] || speaks[len] == '-'))
			return true;
	}
	return false;
}

/* A moment that is right, and yet can never come. */
static void check_reach(const struct scenario_source *source, const struct step_source *step)
{
	const char *moment = step->step->trigger.moment;
	struct err err;

	if (has(step, "within") && (!told_by_wire(moment) || !step->fault))
		mistakes_add(source->mistakes, line_of(step, "within"),
			"'within' is for a fault at a moment that the wire tells (a reply, lmtp/); "
			"in 'when: %s' nothing races",
			moment);
	if (has(step, "tag") && moment_tag_check(moment, step->step->trigger.tag, &err))
		mistakes_add(source->mistakes, line_of(step, "tag"), "%s", err.text);
	if (!is_spoken(source, moment))
		mistakes_add(source->mistakes, line_of(step, "when"),
			"'when: %s' can never come: no workload or step speaks %.*s", moment,
			(int)strcspn(moment, "/"), moment);
}

static void check_moment(const struct scenario_source *source, const struct step_source *step)
{
	auto_free char *title = title_of(step);
	struct err err;

	if (has(step, "when") && moment_check(step->step->trigger.moment, &err))
		mistakes_add(source->mistakes, line_of(step, "when"), "%s", err.text);
	else if (has(step, "when"))
		check_reach(source, step);
	if (has(step, "tag") && !has(step, "when"))
		mistakes_add(source->mistakes, line_of(step, "tag"), "%s has 'tag' and no 'when'",
			title);
	if (has(step, "nth") && !has(step, "when") && !has(step, "log"))
		mistakes_add(source->mistakes, line_of(step, "nth"),
			"%s has 'nth' and neither 'when' nor 'log' to count", title);
	if (has(step, "within") && !has(step, "when"))
		mistakes_add(source->mistakes, line_of(step, "within"),
			"%s has 'within' and no 'when'", title);
	if (has(step, "session") && !has(step, "when"))
		mistakes_add(source->mistakes, line_of(step, "session"),
			"%s has 'session' and no 'when'", title);
}

/* None was written: a workload begins at once, a step after the one above, or while it, if that is a
 * fault. */
static void imply_trigger(const struct scenario_source *source, size_t i)
{
	struct trigger *trigger = &source->steps[i].step->trigger;
	const struct step_source *above = i ? &source->steps[i - 1] : NULL;

	trigger->implied = true;
	trigger->kind = TRIGGER_AT;
	if (!above || !strcmp(source->steps[i].noun, "workload") ||
		strcmp(above->noun, "step") != 0)
		return;
	trigger->kind = above->fault ? TRIGGER_WHILE : TRIGGER_AFTER;
	trigger->label = text_dup(above->step->label);
}

static void settle_trigger(const struct scenario_source *source, size_t i)
{
	const struct step_source *step = &source->steps[i];
	struct trigger *trigger = &step->step->trigger;
	const struct node *label = NULL;

	if (has(step, "at")) {
		trigger->kind = TRIGGER_AT;
	} else if (has(step, "when")) {
		trigger->kind = TRIGGER_MOMENT;
	} else if (has(step, "log")) {
		trigger->kind = TRIGGER_LOG;
	} else if (has(step, "while")) {
		trigger->kind = TRIGGER_WHILE;
		label = node_get(step->map, "while");
	} else if (has(step, "after")) {
		trigger->kind = TRIGGER_AFTER;
		label = node_get(step->map, "after");
	} else {
		imply_trigger(source, i);
	}
	if (label)
		trigger->label = text_dup(label->text);
}

void scenario_check_triggers(const struct scenario_source *source)
{
	for (size_t i = 0; i < source->count; i++) {
		const struct step_source *step = &source->steps[i];

		check_named(source, step, "while", "waits for");
		check_named(source, step, "after", "waits for");
		check_named(source, step, "until", "lasts until");
		check_named(source, step, "step", "acts on the work of");
		check_single(source, step);
		check_moment(source, step);
		settle_trigger(source, i);
	}
}

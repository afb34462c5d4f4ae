/*
 * Steps that can never begin. Each step has a begin and an end; an edge says which must come first:
 *
 *	begin(a) <- end(b)	a: after b
 *	begin(a) <- begin(b)	a: while b, or a is a call fault that acts on the work of b
 *	end(a)   <- begin(a)
 *	end(a)   <- end(b)	a: until b, and no `for`
 *
 * A cycle is a mistake, and so is waiting for an end that only the faults-off phase brings.
 */
#include "run/plan/scenario_parts.h"

#include <string.h>

#define MOMENTS_MAX (4 * SCENARIO_STEPS_MAX) /* begin and end of every step and workload */

enum colour { WHITE, GREY, BLACK };

struct search {
	const struct scenario_source *source;
	enum colour colour[MOMENTS_MAX];
	size_t path[MOMENTS_MAX];
	size_t depth;
	bool found; /* one cycle is told, not each of its rotations */
};

static size_t begin_of(size_t step)
{
	return 2 * step;
}

static size_t end_of(size_t step)
{
	return 2 * step + 1;
}

static bool index_of(const struct scenario_source *source, const char *label, size_t *ret)
{
	for (size_t i = 0; label && i < source->count; i++) {
		if (!strcmp(source->steps[i].step->label, label)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static bool waits_for_work(const struct step_source *step)
{
	return step->fault && step->fault->waits && step->step->step;
}

/* Asked of the file, not of the value: a key that is there and wrong is told once, as wrong. */
static bool has(const struct step_source *step, const char *key)
{
	return node_get(step->map, key) != NULL;
}

static bool lasts_until_only(const struct step_source *step)
{
	return step->fault && has(step, "until") && !has(step, "for");
}

/* What must come before `moment`: at most two. */
static size_t before(const struct scenario_source *source, size_t moment, size_t ret[2])
{
	const struct step_source *step = &source->steps[moment / 2];
	const struct trigger *trigger = &step->step->trigger;
	size_t count = 0, other;

	if (moment % 2) {
		ret[count++] = begin_of(moment / 2);
		if (lasts_until_only(step) && index_of(source, step->step->until, &other))
			ret[count++] = end_of(other);
		return count;
	}
	if (waits_for_work(step) && index_of(source, step->step->step, &other))
		ret[count++] = begin_of(other);
	/* Without a trigger of its own such a fault is armed by that work alone. */
	if (waits_for_work(step) && trigger->implied)
		return count;
	if (index_of(source, trigger->label, &other))
		ret[count++] = trigger->kind == TRIGGER_AFTER ? end_of(other) : begin_of(other);
	return count;
}

static void tell_cycle(struct search *search, size_t from)
{
	const struct scenario_source *source = search->source;
	size_t first = 0, last = search->path[search->depth - 1];
	auto_buf struct buf text = {0};

	while (search->path[first] != from)
		first++;
	for (size_t i = first; i < search->depth; i++) {
		size_t at = search->path[i];
		size_t next = i + 1 < search->depth ? search->path[i + 1] : from;

		if (at / 2 == next / 2)
			continue; /* its end waits for its own begin */
		buf_addf(&text, "%s'%s' %s '%s'", text.len ? ", " : "",
			source->steps[at / 2].step->label, at % 2 ? "lasts until" : "waits for",
			source->steps[next / 2].step->label);
	}
	if (!text.len)
		buf_addf(&text, "'%s' waits for itself", source->steps[last / 2].step->label);
	mistakes_add(source->mistakes, source->steps[from / 2].map->line,
		"%s: this can never begin", buf_text(&text));
	search->found = true;
}

/* Depth is bounded by MOMENTS_MAX. */
static void visit(struct search *search, size_t moment)
{
	size_t next[2] = {0, 0};
	size_t count = before(search->source, moment, next);

	search->colour[moment] = GREY;
	search->path[search->depth++] = moment;
	for (size_t i = 0; i < count && !search->found; i++) {
		if (search->colour[next[i]] == GREY)
			tell_cycle(search, next[i]);
		else if (search->colour[next[i]] == WHITE)
			visit(search, next[i]);
	}
	search->depth--;
	search->colour[moment] = BLACK;
}

/* Why this step is never over before the faults-off phase, or NULL. */
static const char *never_over(const struct step_source *step)
{
	if (step->fault && !step->fault->instant && !has(step, "for") && !has(step, "until"))
		return "has neither 'for' nor 'until': it is in force until the faults-off phase";
	if (!strcmp(step->noun, "workload") && workload_is_open_ended(step))
		return "runs until everything else is over: give it 'messages'";
	return NULL;
}

static void check_ends(const struct scenario_source *source, const struct step_source *step)
{
	const struct trigger *trigger = &step->step->trigger;
	const char *why;
	size_t other;

	if (trigger->kind == TRIGGER_AFTER && !(waits_for_work(step) && trigger->implied) &&
		index_of(source, trigger->label, &other)) {
		why = never_over(&source->steps[other]);
		if (why)
			mistakes_add(source->mistakes, node_line_of(step->map, "after"),
				"'%s' starts after '%s', and '%s' %s", step->step->label,
				trigger->label, trigger->label, why);
	}
	if (lasts_until_only(step) && index_of(source, step->step->until, &other)) {
		why = never_over(&source->steps[other]);
		if (why)
			mistakes_add(source->mistakes, node_line_of(step->map, "until"),
				"'%s' lasts until '%s', and '%s' %s", step->step->label,
				step->step->until, step->step->until, why);
	}
}

/* A parked call may hold the very lock that the step needs which is to end the parking. */
static void check_held(const struct scenario_source *source, const struct step_source *step)
{
	const struct trigger *trigger;
	size_t other;

	if (!step->fault || !step->fault->waits || !lasts_until_only(step) ||
		!index_of(source, step->step->until, &other))
		return;
	trigger = &source->steps[other].step->trigger;
	if (trigger->kind == TRIGGER_WHILE && !strcmp(trigger->label, step->step->label))
		mistakes_add(source->mistakes, step->map->line,
			"'%s' lasts until '%s' and '%s' needs the lock '%s' may hold: give 'for' "
			"as "
			"well",
			step->step->label, step->step->until, step->step->until, step->step->label);
}

void scenario_check_waits(const struct scenario_source *source)
{
	struct search search = {.source = source};

	for (size_t i = 0; i < 2 * source->count && !search.found; i++)
		if (search.colour[i] == WHITE)
			visit(&search, i);
	for (size_t i = 0; i < source->count; i++) {
		check_ends(source, &source->steps[i]);
		check_held(source, &source->steps[i]);
	}
}

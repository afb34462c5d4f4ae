/*
 * The order matrix at work: every side is brought to stand at its point, then they are let go one after the other in
 * the order that the plan wants, each once the one before it is done.
 *
 * A side that is let go and is not done soon may wait for what the next one holds: its call was made first all the
 * same, so the next is let go, and the history says who waited. If not all come to stand at their points, since one
 * holds what another needs to get there, the order is not reached: everybody goes on, and nothing is counted.
 */
#include "run/cell/cell_core.h"

#include "base/clock.h"

#include <string.h>

#define MEET_MS \
	12000 /* for the others to come, once the first stands at its point; its `for` is less */
#define DONE_MS 6000 /* for one that was let go to be done, before the next is */

static struct order_side *side_of(struct step_run *step)
{
	struct order *order = &step->cell->order;

	for (size_t i = 0; i < order->count; i++)
		if (order->sides[i].step == step || order->sides[i].park == step)
			return &order->sides[i];
	return NULL;
}

void order_prepare(struct cell *cell)
{
	const struct text_list *wanted = &cell->plan->order;

	for (size_t i = 0; i < wanted->count && i < ORDER_SIDES_MAX; i++) {
		const struct step *park = orders_park(cell->plan->scenario, wanted->at[i]);
		struct step_run *step = cell_step(cell, wanted->at[i]);

		if (step)
			cell->order.sides[cell->order.count++] = (struct order_side){
				.step = step, .park = park ? cell_step(cell, park->label) : NULL};
	}
}

static bool all_there(const struct order *order)
{
	for (size_t i = 0; i < order->count; i++)
		if (!order->sides[i].there)
			return false;
	return true;
}

static const char *label_of(const struct order_side *side)
{
	return side->step->step->label;
}

/* Is the side before this one done, or given up waiting for? */
static bool before_is_done(struct cell *cell, size_t at)
{
	struct order *order = &cell->order;
	const struct order_side *before = at ? &order->sides[at - 1] : NULL;

	if (!before ||
		(step_is_over(before->step) && (!before->park || step_is_over(before->park))))
		return true;
	if (cell_now(cell) < before->free_ns + DONE_MS * NS_PER_MS)
		return false;
	snprintf(order->waited, sizeof(order->waited), "%s", label_of(before));
	return true;
}

static int64_t meet_ms(const struct order_side *side)
{
	int64_t for_ms = side->park ? side->park->step->for_ms : TIME_UNSET;

	return for_ms != TIME_UNSET && for_ms < MEET_MS ? for_ms : MEET_MS;
}

/* Lock held. */
static bool may_go(struct cell *cell, struct order_side *side)
{
	struct order *order = &cell->order;
	size_t at = (size_t)(side - order->sides);

	if (!all_there(order)) {
		order->given_up = order->given_up ||
				  cell_now(cell) >= order->first_ns + meet_ms(side) * NS_PER_MS;
		return order->given_up;
	}
	if (!order->given_up && (at != order->next || !before_is_done(cell, at)))
		return false;
	order->next = at + 1;
	return true;
}

/* Lock held on entry and exit. */
static void wait_turn(struct cell *cell, struct order_side *side)
{
	struct order *order = &cell->order;

	if (!order->first_ns)
		order->first_ns = cell_now(cell);
	side->there = true;
	if (order->given_up && !*order->late)
		snprintf(order->late, sizeof(order->late), "%s", label_of(side));
	pthread_cond_broadcast(&cell->changed);
	while (!step_must_end(side->step) && !may_go(cell, side))
		cell_wait(cell, CLOCK_NEVER);
	side->free = true;
	side->free_ns = cell_now(cell);
	history_add(cell->recorder, "note", "{so}", "text",
		json_sprintf("order: %s goes on", label_of(side)));
	pthread_cond_broadcast(&cell->changed);
}

bool order_holds(struct step_run *park)
{
	struct order_side *side = side_of(park);

	if (side && !side->free)
		wait_turn(park->cell, side);
	return false;
}

void order_gate(struct step_run *step)
{
	struct cell *cell = step->cell;
	struct order_side *side = side_of(step);

	if (!side || side->park)
		return;
	pthread_mutex_lock(&cell->lock);
	if (!side->free)
		wait_turn(cell, side);
	pthread_mutex_unlock(&cell->lock);
}

/* Why the order did not come about, or NULL. */
static char *why_not(const struct order *order)
{
	for (size_t i = 0; i < order->count; i++)
		if (!order->sides[i].there)
			return text_fmt("'%s' never stood at its point while the others did",
				label_of(&order->sides[i]));
	if (order->given_up)
		return text_fmt("'%s' came to its point only when another was let go", order->late);
	if (order->next != order->count)
		return text_fmt("'%s' was not let go", label_of(&order->sides[order->next]));
	return NULL;
}

void order_record(struct cell *cell)
{
	const struct order *order = &cell->order;
	auto_free char *why = why_not(order);
	json_t *wanted = json_array(), *line;

	for (size_t i = 0; i < order->count; i++)
		json_array_append_new(wanted, json_string(label_of(&order->sides[i])));
	line = json_pack("{so sb}", "wanted", wanted, "covered", (int)!why);
	if (why)
		json_object_set_new(line, "why", json_text(why));
	if (*order->waited)
		json_object_set_new(line, "waited", json_text(order->waited));
	if (order->count)
		history_add_at(cell->recorder, cell_now(cell), "order", line);
	else
		json_decref(line);
}

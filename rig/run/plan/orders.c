#include "run/plan/orders.h"

#include "base/buf.h"

#include <string.h>

static bool is_park(const struct step *step)
{
	return step && !strcmp(step->what, "park");
}

const struct step *orders_park(const struct scenario *scenario, const char *side)
{
	for (size_t i = 0; i < scenario->step_count; i++) {
		const struct step *step = &scenario->steps[i];

		if (is_park(step) && step->step && !strcmp(step->step, side))
			return step;
	}
	return NULL;
}

static bool is_side(const struct scenario *scenario, const struct step *step)
{
	const struct step *awaited = NULL;

	if (is_park(step))
		return false;
	if (orders_park(scenario, step->label))
		return true;
	if (step->trigger.kind == TRIGGER_WHILE)
		awaited = scenario_step(scenario, step->trigger.label);
	return is_park(awaited);
}

size_t orders_sides(const struct scenario *scenario, const char *ret[ORDER_SIDES_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < scenario->step_count; i++) {
		if (!is_side(scenario, &scenario->steps[i]))
			continue;
		if (ret && count < ORDER_SIDES_MAX)
			ret[count] = scenario->steps[i].label;
		count++;
	}
	return count;
}

uint32_t orders_count(const struct scenario *scenario)
{
	size_t sides = orders_sides(scenario, NULL);
	uint32_t count = 1;

	if (sides < 2 || sides > ORDER_SIDES_MAX)
		return 0;
	for (uint32_t i = 2; i <= sides; i++)
		count *= i;
	return count;
}

/* The digits of n in the factorial number system choose one of those that are left, in turn. */
void orders_nth(const struct scenario *scenario, uint32_t n, struct text_list *ret)
{
	const char *left[ORDER_SIDES_MAX] = {0};
	size_t sides = orders_sides(scenario, left);
	uint32_t rest = orders_count(scenario);

	for (size_t count = sides; rest && count; count--) {
		size_t at;

		rest /= (uint32_t)count;
		at = n / rest % count;
		ret->at = mem_grow(ret->at, ret->count + 1, sizeof(*ret->at));
		ret->at[ret->count++] = text_dup(left[at]);
		memmove(&left[at], &left[at + 1], (count - at - 1) * sizeof(left[0]));
		n %= rest;
	}
}

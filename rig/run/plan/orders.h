/*
 * The order matrix: `orders: all` runs a scenario once for each order in which its sides can be let go, after all of
 * them were brought to stand at a named point at the same time. Pure; plan time.
 *
 * A side is a step whose work is held there: by a park step that names it (`step:`), or, where it has no park of its
 * own and happens `while:` one, by the rig's own client, which stands still before the last it has to do.
 */
#pragma once

#include "api/scenario.h"

#define ORDER_SIDES_MAX 4 /* 24 orders */

/* Labels of the sides, as they are written. Their number, also above ORDER_SIDES_MAX; `ret` (or NULL) has room for
 * that many, borrowed. */
size_t orders_sides(const struct scenario *scenario, const char *ret[ORDER_SIDES_MAX]);

/* How many orders there are; 0 if there are fewer than two sides. */
uint32_t orders_count(const struct scenario *scenario);

/* The n-th order, from 0: labels, each side once. Adds to `ret`. */
void orders_nth(const struct scenario *scenario, uint32_t n, struct text_list *ret);

/* The park step that holds that side, or NULL: the rig's own client does. */
const struct step *orders_park(const struct scenario *scenario, const char *side);

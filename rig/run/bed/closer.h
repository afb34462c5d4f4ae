/* The closer look at a machine that stands, as a watch takes it of a suspected hang. */
#pragma once

#include "diagnose/diagnose.h"
#include "run/bed/stacks.h"

/* Gives `scan`, which is the input's own, what is worth the time by what is said of it without: what those who sleep
 * ask for, then user stacks. The source's witness must answer. */
void closer_look(
	const struct stack_source *source, const struct diagnose_input *input, json_t *scan);

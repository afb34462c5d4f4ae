/* Measured values of one kind, at most VALUES_MAX, and a line that says how they are spread. */
#pragma once

#include "tests/bench/spread.h"

#include <stddef.h>
#include <stdio.h>

#define VALUES_MAX 1000

struct values {
	double at[VALUES_MAX];
	size_t count;
};

static inline void values_add(struct values *values, double value)
{
	if (values->count < VALUES_MAX)
		values->at[values->count++] = value;
}

/* Puts them in order. */
static inline void values_print(
	const char *what, const char *accelerator, const char *unit, struct values *v)
{
	if (!v->count) {
		printf("%-46s  none was seen\n", what);
		return;
	}
	spread_sort(v->at, v->count);
	printf("%-46s  %-4s  min %7.3f  p50 %7.3f  p95 %7.3f  max %7.3f %s (%zu)\n", what,
		accelerator, v->at[0], v->at[v->count / 2], v->at[(v->count - 1) * 95 / 100],
		v->at[v->count - 1], unit, v->count);
}

static inline size_t values_above(const struct values *values, double limit)
{
	size_t count = 0;

	for (size_t i = 0; i < values->count; i++)
		count += values->at[i] > limit;
	return count;
}

/* Measured values in order, so that the first is the least and the middle one the median. */
#pragma once

#include <stdlib.h>

static inline int spread_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline void spread_sort(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), spread_compare);
}

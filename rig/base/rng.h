/*
 * Chance, reproducible. One seed per cell, one stream per component, so that a new draw in one
 * component does not move the others. Generator: xoshiro256** (Blackman, Vigna 2018), seeded
 * through splitmix64. Not for secrets. A stream belongs to one thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct rng {
	uint64_t s[4];
};

/* The stream of `component` ("smtp.writers.1") under the cell's seed. */
struct rng rng_stream(uint64_t seed, const char *component);
uint64_t rng_u64(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t n); /* 0 .. n-1, n > 0, unbiased */
void rng_bytes(struct rng *rng, void *out, size_t len);

/*
 * The part of the wait-for graph that a diagnosis is about, for people: the culprits, what they wait for, and those
 * who wait for them. Bounded: PICTURE_NODES_MAX, the rest is counted. Private to rig/diagnose/.
 *
 *	{"nodes":[{"who":"`role` process 7","what":"flock lock on ...","state":"S","culprit":bool,
 *	"count":N of the same kind,"unknown":"why its holder is not known"}],
 *	"edges":[[waiter, holder], ...] by index,"freed"?:[[who crashed, who had freed what it used], ...],"left_out":N}
 */
#pragma once

#include "diagnose/case.h"

#define PICTURE_NODES_MAX 24

json_t *picture_of(const struct diagnosing *d); /* a new reference */

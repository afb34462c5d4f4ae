/*
 * A wait-for graph as a drawing: who waits stands left of whom it waits for, culprits are marked, a cycle bends
 * back, and a dashed arrow leads from who crashed to who had freed what it used. Pure; the JSON (diagnose/picture.h)
 * may be anybody's: bounded, escaped, and what is no graph draws nothing.
 */
#pragma once

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

#define GRAPH_SVG_NODES_MAX 64
#define GRAPH_SVG_EDGES_MAX 256

/* Adds one <svg> element (SVG 1.1, to stand inside HTML); false: there is no node to draw. */
bool graph_svg(const json_t *graph, struct buf *out);

/* How the edges of a wait-for graph come about. Private to graph.c. */
#pragma once

#include "diagnose/graph.h"

/* Gives a waiting line of /proc/locks its thread. */
void graph_match_waiter(struct graph *g, const struct file_lock *lock);
/* Adds what `task` needs to go on; of all tasks in their order. */
void graph_add_needs(struct graph *g, size_t task);
/* The first thread of a process has ended before the others: it holds nothing, and the process lives. */
bool graph_leader_ended(const struct evidence *e, size_t task);

/*
 * What somebody outside the store notices, whatever causes it: a service that falls silent, a queue and
 * the figures of the store over time, services that end, a stop that takes too long. Lines for people,
 * made from the history of a cell; nothing is judged by them. Pure.
 */
#pragma once

#include "api/history.h"

#include <jansson.h>

#define SYMPTOMS_MAX 24 /* lines */

/* An array of texts, of what is bounded in number and length; new reference. */
json_t *symptoms_of(const struct history *history);

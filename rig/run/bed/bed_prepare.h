/*
 * From a booted machine to a store that is ready: provision, start, every banner, one delivery and one
 * login per user, so that caches and daemons are warm when the template is saved. Private to rig/run.
 */
#pragma once

#include "api/target.h"
#include "base/err.h"

struct machine;

int bed_prepare(struct machine *machine, void *spec, struct err *err); /* template_spec.prepare */

/* What of target.yaml the template depends on, hashed. Caller frees. */
char *bed_prepare_key(const struct target *target);

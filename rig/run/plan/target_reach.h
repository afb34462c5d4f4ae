/*
 * Which programs of a target's roles the fault library reaches (vm/reach.h): from the image and the built programs,
 * before anything runs. Blocking. Nothing is known where the image is not built yet.
 */
#pragma once

#include "api/scenario.h"
#include "base/err.h"
#include "vm/reach.h"

struct target_reach {		    /* one program */
	const char *role, *program; /* of the target */
	enum reach reach;
};

#define TARGET_REACH_MAX 256

/* All programs of all roles, each once; how many in `*ret_count`. -ENOENT: the image is not built. */
int target_reach(const struct target *target, const char *root, struct target_reach *ret,
	size_t *ret_count, struct err *err);

/* Why a fault on calls cannot reach what the step means, or NULL. Caller frees. */
char *target_reach_why_not(const struct target_reach *known, size_t count, const struct step *step);

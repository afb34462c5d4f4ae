/*
 * Which programs of a target's roles the fault library reaches, and at which points (vm/reach.h): from the image and
 * the built programs, before anything runs. Blocking. Where the image is not built yet the built programs alone are
 * known. What the programs of an image call is read once, and kept beside it; so is what they were seen to load.
 */
#pragma once

#include "api/fault.h"
#include "base/err.h"
#include "vm/reach.h"

struct target_reach {		    /* one program of a role */
	const char *role, *program; /* of the target */
	enum reach reach;
	struct reach_calls calls;
	uint32_t loaded; /* libraries that were seen in its processes */
};

#define TARGET_REACH_MAX 256

/* All programs of all roles, each once a role; how many in `*ret_count`. -ENOENT: the image is not built, and of
 * its programs nothing is known. The array is to be target_reach_free()d in any case. */
int target_reach(const struct target *target, const char *root, struct target_reach *ret,
	size_t *ret_count, struct err *err);
void target_reach_free(struct target_reach *known, size_t count);

/*
 * What the target's live processes had loaded when they were warm, a library each line: PROGRAM FILE, as the guest
 * says. Kept beside the image, and part of what target_reach() tells from then on: what comes by dlopen(3) (plug-ins,
 * NSS, character sets, dictionaries) is in no table of the program.
 */
int target_reach_keep_loaded(
	const struct target *target, const char *root, const char *listing, struct err *err);

enum reach_point {
	POINT_OWN,	 /* the program calls it itself */
	POINT_LIBRARY,	 /* a library does that it is linked with */
	POINT_NOT,	 /* neither */
	POINT_NOT_KNOWN, /* the program is reached, its tables cannot be read */
};
enum reach_point target_reach_point(
	const struct target_reach *one, const struct fault *fault, const char *point);

/* It, or a library that it has, makes system calls by their numbers (syscall(2)), which pass all points by: one clause
 * that says so, or NULL. */
const char *target_reach_raw(const struct target_reach *one);

/* Why a fault on calls cannot reach what the step means, or NULL. Caller frees. */
char *target_reach_why_not(const struct target_reach *known, size_t count, const struct step *step,
	const struct fault *fault);

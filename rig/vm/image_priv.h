/*
 * Between the image_*.c files alone: the cache's layout and the build.
 */
#pragma once

#include "vm/image.h"

#define IMAGE_JSON_MAX (1u << 20)

char *image_cache_path(const char *name); /* a path below the rig's cache; caller frees */
char *image_recipe_dir(const char *root, const char *name);

/* Hold the lock of images/: its descriptor. Calls `waiting` (may be NULL) if somebody else has it. */
int image_lock(int64_t deadline_ns, void (*waiting)(void *arg), void *arg, struct err *err);

/* Run build.sh into images/<key>/; the lock is held, and stays held by whatever the build may leave. */
int image_build(const struct image_request *request, const char *key, int lock_fd, struct err *err);

/* Remove a folder of the cache, also one that a build left with files of subordinate users. */
int image_remove_dir(const char *root, const char *path, struct err *err);

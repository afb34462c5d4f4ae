/*
 * Globs of absolute paths, for the preload and the witness alike: pure, no allocation, safe in a
 * signal handler. `*` is any bytes but '/', `?` one such byte, `**` any bytes, and a `**` with a
 * '/' behind it any number of whole components, none included. No classes, no escapes.
 * Time is at most |glob| * |path|^2.
 */
#pragma once

#include <stdbool.h>

bool board_glob_match(const char *glob, const char *path);
bool board_globs_match(const char *globs, const char *path); /* any of a list, commas between */

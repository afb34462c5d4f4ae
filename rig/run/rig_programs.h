/* Which programs of the guest are the rig's own, never the store's: what is scanned, counted or blamed leaves them out.
 * A target's programs, also those that the payload brings (/run/rig/target/), are the store's. */
#pragma once

#include <stdbool.h>

/* Beginnings of whole paths, NULL-terminated, as diagnose_input.ours wants them. */
extern const char *const rig_programs[];

bool is_rig_program(const char *exe); /* a whole path; "" (a kernel thread) is none */

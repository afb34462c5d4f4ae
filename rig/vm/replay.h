/*
 * Writing to a disk layer of a machine that is off: what a power cut left on the medium is put there entry
 * by entry. The layer is served by a qemu-nbd of its own (libnbd, over a socket made before it starts), which
 * knows its format; it ends with replay_close(). One thread.
 */
#pragma once

#include "base/err.h"
#include "vm/write_log.h"

struct replay;

int replay_open(const char *layer, struct replay **ret, struct err *err);
/* A write, or a discard, which leaves zeros. */
int replay_entry(struct replay *replay, const struct write_entry *entry, struct err *err);
/* Everything is in the layer when this returns 0. NULL is no error. */
int replay_close(struct replay *replay, struct err *err);

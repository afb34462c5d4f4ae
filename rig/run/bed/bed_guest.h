/*
 * What a bed asks of the witness and the guest agent, in the bed's words: call rules as lines for the
 * board, freezes by both agents, processes. Private to rig/run/bed/bed_*.c.
 */
#pragma once

#include "api/bed.h"
#include "vm/machine.h"
#include "vm/witness.h"

/* Freeze by the guest agent, or by the witness where the agent has a freeze in force. Thaw by
 * both agents and ask both: zero mounts frozen is proved. */
int guest_freeze(struct machine *machine, struct witness *witness, const char *const *mounts,
	struct err *err);
int guest_thaw(struct machine *machine, struct witness *witness, const struct target *target,
	struct err *err);
int guest_blocked_tasks(struct witness *witness, uint32_t *ret, struct err *err);

int guest_arm(struct witness *witness, const struct call_rule *rule, struct err *err);
/* Each live process of these programs but the `traced` has the board mapped; -ENXIO names the first that has not. */
int guest_check_board(struct witness *witness, const char *const *programs,
	const char *const *traced, struct err *err);
int guest_disarm(struct witness *witness, unsigned int slot, struct err *err);
int guest_call_status(
	struct witness *witness, unsigned int slot, struct call_status *ret, struct err *err);

int guest_processes(struct witness *witness, json_t *ret, struct err *err);
int guest_watch_kills(struct witness *witness, bool on, json_t *ret, struct err *err);
int guest_residue(struct machine *machine, struct witness *witness, json_t *ret, struct err *err);

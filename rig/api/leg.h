/*
 * What the faults of the disabled-mta family share: the leg in front of a service that the rig's forwarder
 * stands in (`seen: relay`), and the count of what met it.
 */
#pragma once

#include "api/fault.h"

int leg_check(const struct step *step, const struct target *target, struct err *err);
int leg_fire(struct fault_run *run, const struct leg_change *change, struct err *err);
int leg_pass(struct fault_run *run, enum leg_heal heal, struct err *err);

/* Requests that were refused or left waiting since leg_mark(): connections of the leg and operations; and
 * actions that the target says need the agent. */
int leg_poll(struct fault_run *run, struct err *err);
void leg_mark(struct fault_run *run);
uint64_t leg_met(const struct fault_run *run); /* the same since the cell began */

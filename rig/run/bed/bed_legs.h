/*
 * What the rig itself serves to a guest: the forwarder in front of each service that is `seen: relay`
 * (guest -> lmtp.rig -> rig -> guest), and the sink for mail that leaves the store. Private to rig/run.
 */
#pragma once

#include "api/bed.h"
#include "vm/machine.h"

#include <jansson.h>

#define LEGS_MAX  4
#define SINK_PORT 25

struct legs;

/* The servers a network of this target must offer; returns how many. The names live as long as the program. */
size_t legs_servers(const struct target *target, struct network_server *out, size_t max);
const char *legs_relay_name(const struct service *service); /* "lmtp.rig" */

int legs_open(struct legs **ret, const struct target *target, struct machine *machine,
	int64_t (*clock_ns)(void *arg), void *arg, struct err *err);
void legs_close(struct legs *legs);

int legs_set(struct legs *legs, const struct service *service, const struct leg_change *change,
	struct err *err);
uint64_t legs_met(struct legs *legs, const struct service *service);
/* By sink_mode_name(); `delay_ms` as sink_set_delay(). */
int legs_sink_set(struct legs *legs, const char *mode, int64_t delay_ms, struct err *err);
uint64_t legs_sink_met(struct legs *legs);
json_t *legs_sunk(struct legs *legs); /* `sunk` objects of history.h; new reference */
void legs_residue(struct legs *legs, json_t *sentences);

/*
 * A tap device in a network namespace of its own. A forked helper without memory of its own makes the
 * namespace (as an ordinary user together with a user namespace), the device and the addresses, hands
 * the device over, and then makes sockets in there on demand: the rig itself never leaves its namespaces,
 * so its threads and children are not concerned. The helper ends when the rig's end of its socket does,
 * which also happens when the rig is killed; the namespace goes with the last descriptor.
 */
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct network_tap;

/* `addresses`: dotted quads of the rig's side in a /24, the first one is where connections come from. */
int network_tap_open(
	const char *const *addresses, size_t count, struct network_tap **ret, struct err *err);
void network_tap_close(struct network_tap *tap);
int network_tap_device(const struct network_tap *tap); /* stays the tap's */

/* Sockets inside, io_prepare()d: one bound to the first address and unconnected, one that listens. */
int network_tap_socket(struct network_tap *tap, struct err *err);
int network_tap_listen(
	struct network_tap *tap, const char *address, uint16_t port, struct err *err);

/*
 * The guest's one network interface, behind two back-ends that look the same from inside:
 *
 *	guest		10.0.2.15/24, no default route: nothing it sends leaves the host
 *	rig		10.0.2.2, from where network_connect() comes
 *	rig's servers	10.0.2.4 and up, one address a name, see network_names[]
 *
 * `user` is QEMU's user-mode network (slirp, restrict=on): works for everybody. network_connect()
 *goes through a forward on a free loopback port; a server of the rig is reached through a small
 *relay process per connection. It cannot show a refused connection: slirp accepts first and closes
 *then. `tap` is a tap device in a network namespace of its own, held by a helper process that dies
 *with the rig: real RST, nothing between. It needs root, or user namespaces and an open
 * /dev/net/tun.
 *
 * Machine states do not cross back-ends (slirp's state is part of the stream): a template's key
 *holds the kind. Everything is declared before the machine starts; a server that nobody listens for
 *is refused (tap) or accepted and closed (user).
 *
 * network_connect() and
 *network_listen() may be called by any thread at once. Descriptors they return belong to the
 *caller.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define NETWORK_GUEST_ADDRESS "10.0.2.15"
#define NETWORK_RIG_ADDRESS   "10.0.2.2"
#define NETWORK_GUEST_MAC     "52:54:00:12:34:56"
#define NETWORK_SERVICES_MAX  32
#define NETWORK_SERVERS_MAX   16

enum network_kind { NETWORK_AUTO, NETWORK_TAP, NETWORK_USER };
const char *network_kind_name(enum network_kind kind); /* "auto" "tap" "user" */

/* What the guest's /etc/hosts must say about the rig; ended by a NULL name. */
struct network_name {
	const char *name;
	const char *address;
};
extern const struct network_name network_names[];

struct network_server {
	const char *name; /* one of network_names[] */
	uint16_t port;
};

struct network_spec {
	enum network_kind kind;	  /* AUTO: $MAILRIG_NETWORK, else tap where possible, else user */
	const uint16_t *services; /* guest ports that network_connect() will ask for */
	size_t service_count;
	const struct network_server *servers; /* what network_listen() will be asked for */
	size_t server_count;
	const char
		*relay; /* program that has `relay SOCKET` (see relay.h); NULL: this very program */
};

struct network;

/* 0 if this host can do it, else a negative errno and why not. AUTO is always possible. */
int network_probe(enum network_kind kind, struct err *err);

/* What AUTO means on this host: NETWORK_TAP or NETWORK_USER. Anything else is returned as it is. */
enum network_kind network_resolve(enum network_kind kind);

/* `dir` is the machine's private folder (QEMU's working directory); sockets of the relay live
 * there. */
int network_open(
	const struct network_spec *spec, const char *dir, struct network **ret, struct err *err);
void network_close(struct network *network);

enum network_kind network_kind(const struct network *network);

/*
 * A connection to `port` of the guest, as a client at 10.0.2.2. -EINVAL for a port that was not
 * declared. tap: -ECONNREFUSED when nobody listens. user: a closed port shows as end of stream.
 */
int network_connect(struct network *network, uint16_t port, int64_t deadline_ns, struct err *err);

/*
 * A listening socket that the guest reaches as `name`:`port`; accept() on it. Closing it takes the server
 * away, calling again brings it back; one at a time for each server. -EINVAL for what was not declared.
 */
int network_listen(struct network *network, const char *name, uint16_t port, struct err *err);

/* For machine.c. The -netdev argument (id net0) for a resolved kind; tap_fd -1 is for showing only. */
void network_netdev(
	const struct network_spec *spec, enum network_kind kind, int tap_fd, struct buf *out);
/* The same for a machine without a network that loads the state of one that had it: what the stream asks
 * for, connected to nobody; nothing for tap, whose state is not in the stream. */
void network_spare(enum network_kind kind, struct buf *out);
int network_tap_fd(const struct network *network); /* -1 for user */
/* The forwards' ports, out of the monitor's `info usernet`, once QEMU runs. */
int network_learn(struct network *network, const char *info_usernet, struct err *err);

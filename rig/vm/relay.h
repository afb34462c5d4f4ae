/*
 * `mailrig relay SOCKET`: standard input and output to a unix stream socket and back, until both
 * sides have ended. QEMU's user-mode network starts one per connection from the guest to a server
 * of the rig (guestfwd ... cmd:). It ends with QEMU, prints nothing, and fails when nobody listens.
 */
#pragma once

int cmd_relay(int argc, char **argv); /* argv[0] is "relay"; exit code */

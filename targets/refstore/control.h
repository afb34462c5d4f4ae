/* The store's control socket: see store.c. */
#pragma once

void control_serve(int fd);

/*
 * How what the stores of scarce*.c live on is used up: descriptors, room in files, and who would answer by UDP.
 * Private to them.
 */
#pragma once

#include "tests/zoo/services_parts.h"

#include <sys/types.h>

void scarce_descriptors(int more);	 /* this process may open so many more and no others */
void scarce_room(size_t bytes);		 /* no file of this process grows beyond */
bool scarce_append(int fd, size_t size); /* false: no room */
int scarce_udp(int *ret_port);		 /* on loopback */
int scarce_dead_port(void);		 /* at which nobody listens */
void scarce_send(int fd, int port);	 /* a question */
bool scarce_answered(int fd, int timeout_ms);

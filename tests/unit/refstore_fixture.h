/* The reference store's real programs, run on loopback in a folder of their own. For one test binary each. */
#pragma once

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/proc.h"
#include "tests/check/check.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PROGRAMS   "build/targets/refstore"
#define COMMAND_MS 20000
#define SOON_MS	   10000

/* The store's ports are offset + 25, 80, 110 and 143: a block of their own for each process. */
#define PORTS_FIRST 20000 /* 20000 to 29999: below what the kernel gives away by itself */
#define PORTS_BLOCK 200
#define PORTS_END   30000

static const int store_ports[] = {25, 143, 110, 80};
static int offset;

/* Run refctl; its status, or negative. The output in `out` if it is not NULL. */
static inline int refctl(struct buf *out, const char *verb, const char *a, const char *b)
{
	char *argv[] = {(char *)PROGRAMS "/refctl", (char *)verb, (char *)a, (char *)b, NULL};
	auto_buf struct buf own = {0};

	return proc_run(argv, deadline_in_ms(COMMAND_MS), out ? out : &own, 65536, NULL);
}

static inline int connect_to(int port)
{
	int64_t deadline = deadline_in_ms(SOON_MS);
	int fd;

	while ((fd = io_connect_tcp("127.0.0.1", (uint16_t)(port + offset), deadline, NULL)) < 0 &&
		deadline_left_ms(deadline))
		poll(NULL, 0, 10); /* nothing tells when a port begins to listen */
	return fd;
}

static inline void wait_ready(void)
{
	char c;

	for (size_t i = 0; i < sizeof(store_ports) / sizeof(store_ports[0]); i++) {
		int fd = connect_to(store_ports[i]);

		CHECK(fd >= 0);
		/* The manager listens before the SMTP service is there: its banner says that it is. */
		if (fd >= 0 && store_ports[i] == 25)
			CHECK_INT(io_read(fd, &c, 1, deadline_in_ms(SOON_MS)), 1);
		if (fd >= 0)
			close(fd);
	}
}

static inline void start(void)
{
	char *argv[] = {(char *)PROGRAMS "/refstore-manager", NULL};
	auto_buf struct buf out = {0};

	CHECK_INT(proc_run(argv, deadline_in_ms(COMMAND_MS), &out, 65536, NULL), 0);
	wait_ready();
}

static inline void set_env(const char *name, const char *value)
{
	setenv(name, value, 1);
}

static inline int listen_on(int port)
{
	return io_listen_tcp("127.0.0.1", (uint16_t)port, NULL, NULL);
}

/* Whether the block at `at` is this process's now. Listening on its first port holds it until this
 * process ends; a store that outlived its own test may still have one of the others. */
static inline bool take_ports(int at)
{
	int held = listen_on(at), fd = held;

	for (size_t i = 0; fd >= 0 && i < sizeof(store_ports) / sizeof(store_ports[0]); i++) {
		fd = listen_on(at + store_ports[i]);
		if (fd >= 0)
			close(fd);
	}
	if (fd < 0 && held >= 0)
		close(held);
	return fd >= 0;
}

static inline void find_ports(void)
{
	for (int at = PORTS_FIRST; !offset && at < PORTS_END; at += PORTS_BLOCK)
		if (take_ports(at))
			offset = at;
	CHECK(offset);
}

static inline void fresh_store(void)
{
	char number[16], mail[4096];

	find_ports();
	snprintf(number, sizeof(number), "%d", offset);
	snprintf(mail, sizeof(mail), "%s/mail", check_dir());
	set_env("REFSTORE_DIR", check_dir());
	set_env("REFSTORE_MAIL", mail);
	set_env("REFSTORE_ADDRESS", "127.0.0.1");
	set_env("REFSTORE_PORT_OFFSET", number);
	set_env("REFSTORE_RELAY_HOST", "127.0.0.1");
	set_env("REFSTORE_RELAY_PORT", "1"); /* nobody listens */
	start();
	CHECK_INT(refctl(NULL, "useradd", "u1", NULL), 0);
}

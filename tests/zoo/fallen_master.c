/*
 * A master that ends: its workers have its door, and wait for orders by a pipe that they keep open themselves. It is to
 * blame where it crashed; of one that was killed nothing is left but who waits.
 */
#include "tests/zoo/services_parts.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static int workers, orders[2];
static void (*awaits)(void); /* zoo_ready(), or zoo_stand() where the workers are to blame */

static void awaits_orders(long listener)
{
	(void)listener;
	store_called("worker");
	store_step(0);
	awaits();
	zoo_read(orders[0]);
}

static void begin_workers(long listener)
{
	zoo_must(!pipe2(orders, O_CLOEXEC));
	for (int i = 0; i < workers; i++)
		zoo_fork_run(awaits_orders, listener);
	store_after(0, workers);
}

static void asserts(long listener)
{
	begin_workers(listener);
	store_take((int)listener);
	zoo_stand();
	abort();
}

static void is_killed(long listener)
{
	begin_workers(listener);
	raise(SIGKILL);
}

static void master_asserts_workers_stay(void)
{
	workers = zoo_vary(2, 5);
	awaits = zoo_ready;
	services_open();
	store_service("mx", asserts, workers + 1);
	services_askers("client", "mx", zoo_vary(2, 4));
	services_run();
}

static void master_killed_workers_stay(void)
{
	workers = zoo_vary(2, 5);
	awaits = zoo_stand;
	services_open();
	store_service("mx", is_killed, workers);
	services_askers("client", "mx", zoo_vary(1, 4));
	services_run();
}

const struct zoo_case zoo_fallen_master[] = {
	{"master-asserts-workers-stay", "crash", "master", master_asserts_workers_stay,
		ZOO_HELD_OUT | ZOO_DIES, 1},
	{"master-killed-workers-stay", "lost-wakeup", "master", master_killed_workers_stay,
		ZOO_HELD_OUT, 0},
	{0},
};

#include "net/flow_table.h"

#include "base/buf.h"
#include "base/clock.h"

#include <string.h>
#include <sys/random.h>

#define BUCKETS 32768 /* a power of two */

void flow_table_init(struct flow_table *table)
{
	*table = (struct flow_table){0};
	table->buckets = mem_zero(BUCKETS, sizeof(*table->buckets));
	if (getrandom(&table->seed, sizeof(table->seed), 0) != sizeof(table->seed))
		table->seed = (uint64_t)clock_mono_ns();
}

void flow_table_free(struct flow_table *table)
{
	for (int state = 0; state < CONN_STATES; state++)
		while (table->list[state].oldest)
			flow_table_remove(table, table->list[state].oldest);
	free(table->buckets);
	table->buckets = NULL;
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ h >> 29;
}

static uint64_t hash_endpoint(uint64_t seed, const struct endpoint *endpoint)
{
	uint64_t words[2];

	memcpy(words, endpoint->addr, sizeof(words));
	return mix(mix(mix(seed, words[0]), words[1]), endpoint->port);
}

/* Symmetric, so that both directions meet in one bucket. */
static size_t bucket_of(
	const struct flow_table *table, const struct endpoint *a, const struct endpoint *b)
{
	uint64_t h = hash_endpoint(table->seed, a) + hash_endpoint(table->seed, b);

	return mix(h, table->seed) & (BUCKETS - 1);
}

static bool same(const struct endpoint *a, const struct endpoint *b)
{
	return !memcmp(a, b, sizeof(*a));
}

struct conn *flow_table_find(
	const struct flow_table *table, const struct endpoint *a, const struct endpoint *b)
{
	struct conn *conn = table->buckets[bucket_of(table, a, b)];

	while (conn) {
		const struct endpoint *side = conn->flow.side;

		if ((same(&side[0], a) && same(&side[1], b)) ||
			(same(&side[0], b) && same(&side[1], a)))
			return conn;
		conn = conn->bucket_next;
	}
	return NULL;
}

static void unlink_from_list(struct flow_table *table, struct conn *conn)
{
	struct conn_list *list = &table->list[conn->state];

	list->count--;
	if (conn->older)
		conn->older->newer = conn->newer;
	else
		list->oldest = conn->newer;
	if (conn->newer)
		conn->newer->older = conn->older;
	else
		list->newest = conn->older;
}

static void link_newest(struct flow_table *table, struct conn *conn)
{
	struct conn_list *list = &table->list[conn->state];

	list->count++;
	conn->newer = NULL;
	conn->older = list->newest;
	if (list->newest)
		list->newest->newer = conn;
	else
		list->oldest = conn;
	list->newest = conn;
}

void flow_table_touch(struct flow_table *table, struct conn *conn, enum conn_state state)
{
	if (conn->state == state && table->list[state].newest == conn)
		return;
	unlink_from_list(table, conn);
	conn->state = state;
	link_newest(table, conn);
}

struct conn *flow_table_add(struct flow_table *table, const struct endpoint *client,
	const struct endpoint *server, enum conn_state state)
{
	struct conn *conn = mem_zero(1, sizeof(*conn));
	struct conn **bucket = &table->buckets[bucket_of(table, client, server)];

	conn->flow.side[FLOW_CLIENT] = *client;
	conn->flow.side[FLOW_SERVER] = *server;
	conn->state = state;
	conn->bucket_next = *bucket;
	*bucket = conn;
	link_newest(table, conn);
	table->count++;
	return conn;
}

void flow_table_remove(struct flow_table *table, struct conn *conn)
{
	struct conn **at = &table->buckets[bucket_of(
		table, &conn->flow.side[FLOW_CLIENT], &conn->flow.side[FLOW_SERVER])];

	while (*at != conn)
		at = &(*at)->bucket_next;
	*at = conn->bucket_next;
	unlink_from_list(table, conn);
	held_clear(&conn->half[0].held);
	held_clear(&conn->half[1].held);
	table->count--;
	free(conn);
}

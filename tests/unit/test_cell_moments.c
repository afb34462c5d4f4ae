/*
 * Which of the moments that the wire tells trigger a step: the N-th connection of its protocol, as they began since
 * the workload did.
 */
#include "tests/check/check.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "run/cell/cell_core.h"

#define ORIGIN_NS (10 * NS_PER_SEC)

static int64_t clock_of_test(struct bed *bed)
{
	(void)bed;
	return ORIGIN_NS + NS_PER_SEC;
}

static int flushed(struct bed *bed, int64_t deadline_ns, struct err *err)
{
	(void)bed;
	(void)deadline_ns;
	(void)err;
	return 0;
}

struct sighting {
	const char *moment, *hop; /* NULL: behind the rig's forwarder */
	int conn;
	double at_s; /* of the workload */
};

static void see(struct cell *cell, const struct sighting *seen)
{
	int64_t at_ns = ORIGIN_NS + (int64_t)(seen->at_s * (double)NS_PER_SEC);
	auto_json json_t *json = json_pack("{ss si sI}", "moment", seen->moment, "conn", seen->conn,
		"cell_ns", (json_int_t)at_ns);

	if (seen->hop)
		json_object_set_new(json, "hop", json_string(seen->hop));
	moment_seen(cell, json);
}

/* Whether it fired at the last of what the wire told, and not before. */
static bool fires_at_last(
	const char *when, uint32_t session, uint32_t nth, const struct sighting *seen)
{
	static const struct bed_ops ops = {.clock_ns = clock_of_test, .wire_flush = flushed};
	auto_free char *path = path_join(check_dir(), "moments.jsonl");
	struct bed bed = {.ops = &ops};
	struct step step = {.label = (char *)"it",
		.trigger = {.kind = TRIGGER_MOMENT,
			.moment = (char *)when,
			.session = session,
			.nth = nth}};
	struct cell *cell = calloc(1, sizeof(*cell));
	bool before = false, fired;

	cell->bed = &bed;
	cell->origin_ns = ORIGIN_NS;
	cell->step_count = 1;
	cell->steps[0] = (struct step_run){.cell = cell, .step = &step, .state = STEP_WAITING};
	pthread_mutex_init(&cell->lock, NULL);
	cond_init(&cell->changed);
	CHECK_INT(recorder_open(&cell->recorder, path, cell_clock, cell, NULL), 0);
	for (; seen->moment; seen++) {
		before = cell->steps[0].triggered;
		see(cell, seen);
	}
	fired = cell->steps[0].triggered;
	CHECK_INT(recorder_close(cell->recorder, NULL), 0);
	pthread_cond_destroy(&cell->changed);
	pthread_mutex_destroy(&cell->lock);
	free(cell);
	return fired && !before;
}

#define EDGE(conn, name, at)                   \
	{                                      \
		"smtp/" name, "edge", conn, at \
	}

static void the_nth_connection_on_the_wire_is_the_session_of_that_number(void)
{
	/* the second connection is answered before the first */
	static const struct sighting second[] = {EDGE(71, "connected", 0.1),
		EDGE(72, "connected", 0.2), EDGE(71, "ehlo", 0.3), EDGE(72, "reply", 0.4), {0}};
	static const struct sighting first[] = {EDGE(71, "connected", 0.1),
		EDGE(72, "connected", 0.2), EDGE(72, "reply", 0.3), EDGE(71, "reply", 0.4), {0}};

	CHECK(fires_at_last("smtp/reply", 2, 1, second));
	CHECK(!fires_at_last("smtp/reply", 1, 1, second));
	CHECK(fires_at_last("smtp/reply", 1, 1, first));
	CHECK(!fires_at_last("smtp/reply", 2, 1, first)); /* one moment too early */
	CHECK(!fires_at_last("smtp/reply", 3, 1, first));
	CHECK(fires_at_last("smtp/reply", 0, 2, first)); /* any */
	CHECK(fires_at_last("smtp/reply", 0, 1, second));
}

static void nth_counts_the_moments_of_that_session_alone(void)
{
	static const struct sighting seen[] = {EDGE(5, "connected", 0), EDGE(9, "connected", 0.1),
		EDGE(9, "reply", 0.2), EDGE(5, "reply", 0.3), EDGE(9, "reply", 0.4), {0}};

	CHECK(fires_at_last("smtp/reply", 2, 2, seen));
	CHECK(!fires_at_last("smtp/reply", 1, 2, seen));
}

/* What began before the workload, what the store sends on, another protocol, the far side of the rig's forwarder, and
 * a connection whose beginning nobody saw. */
static void other_connections_are_not_counted(void)
{
	static const struct sighting smtp[] = {EDGE(1, "connected", -0.5),
		{"smtp/connected", "outbound", 2, 0.1}, {"imap/connected", "edge", 3, 0.2},
		EDGE(4, "mail", 0.3), EDGE(5, "connected", 0.4), EDGE(1, "reply", 0.5),
		{"smtp/reply", "outbound", 2, 0.6}, EDGE(4, "reply", 0.7), EDGE(5, "reply", 0.8),
		{0}};
	static const struct sighting lmtp[] = {{"lmtp/connected", "inner", 1, 0.1},
		{"lmtp/connected", NULL, 2, 0.1}, {"lmtp/connected", "inner", 3, 0.2},
		{"lmtp/reply", NULL, 2, 0.3}, {"lmtp/reply", "inner", 1, 0.4},
		{"lmtp/reply", "inner", 3, 0.5}, {0}};

	CHECK(fires_at_last("smtp/reply", 1, 1, smtp));
	CHECK(!fires_at_last("smtp/reply", 2, 1, smtp));
	CHECK(fires_at_last("lmtp/reply", 2, 1, lmtp));
	CHECK(!fires_at_last("lmtp/reply", 3, 1, lmtp));
}

/* More than can be told apart: those beyond are nobody's, and the first are still known. */
static void of_too_many_connections_the_first_are_known(void)
{
	struct sighting *seen = calloc(CELL_CONNS_EACH + 4, sizeof(*seen));

	for (int i = 0; i <= CELL_CONNS_EACH; i++)
		seen[i] = (struct sighting)EDGE(i + 1, "connected", 0.1);
	seen[CELL_CONNS_EACH + 1] = (struct sighting)EDGE(CELL_CONNS_EACH + 1, "reply", 0.2);
	seen[CELL_CONNS_EACH + 2] = (struct sighting)EDGE(CELL_CONNS_EACH, "reply", 0.3);
	CHECK(fires_at_last("smtp/reply", CELL_CONNS_EACH, 1, seen));
	CHECK(!fires_at_last("smtp/reply", CELL_CONNS_EACH + 1, 1, seen));
	free(seen);
}

CHECK_MAIN(CHECK_CASE(the_nth_connection_on_the_wire_is_the_session_of_that_number),
	CHECK_CASE(nth_counts_the_moments_of_that_session_alone),
	CHECK_CASE(other_connections_are_not_counted),
	CHECK_CASE(of_too_many_connections_the_first_are_known))

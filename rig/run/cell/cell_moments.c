/* What triggers steps: moments of a dialogue, told by the rig's own client or seen on the wire, and lines of a log. */
#include "run/cell/cell_core.h"

#include "base/clock.h"

#include <regex.h>
#include <string.h>

#define FOLLOW_MS 2000 /* for the wire to tell what a client has read */

/* What happened in a dialogue. */
struct moment {
	const char *name, *tag; /* tag: of its IMAP command, or NULL */
	uint32_t session; /* of the rig's clients, or of the connections on the wire; 0: none */
	const char *source;
	int64_t at_ns;
};

static bool is_of(const struct trigger *trigger, const char *name, const char *tag)
{
	return trigger->kind == TRIGGER_MOMENT && !strcmp(trigger->moment, name) &&
	       (!trigger->tag || (tag && !strcmp(trigger->tag, tag)));
}

static bool moment_matches(const struct step_run *step, const struct moment *moment)
{
	const struct trigger *trigger = &step->step->trigger;

	return step->state == STEP_WAITING && !step->triggered &&
	       is_of(trigger, moment->name, moment->tag) &&
	       (!trigger->session || trigger->session == moment->session);
}

static void record(struct cell *cell, const struct step_run *step, const struct moment *moment)
{
	json_t *line = json_pack("{ss ss si ss}", "name", moment->name, "step", step->step->label,
		"session", (int)moment->session, "source", moment->source);

	if (moment->tag)
		json_object_set_new(line, "tag", json_text(moment->tag));
	history_add_at(cell->recorder, cell_now(cell), "moment", line);
}

/* Lock held. The step that this moment triggers, or NULL. */
static struct step_run *moment_trigger(struct cell *cell, const struct moment *moment)
{
	struct step_run *hit = NULL;

	for (size_t i = 0; i < cell->step_count; i++) {
		struct step_run *step = &cell->steps[i];

		if (!moment_matches(step, moment))
			continue;
		if (++step->moments_seen < step->step->trigger.nth)
			continue;
		step->triggered = true;
		step->moment_ns = moment->at_ns;
		step->by_wire = !strcmp(moment->source, "wire");
		hit = step;
		record(cell, step, moment);
	}
	if (hit)
		pthread_cond_broadcast(&cell->changed);
	return hit;
}

/* What a server says, and whatever the store's own client does, is told by the wire alone; the rest by the rig's own
 * clients, and exactly. Nothing is told twice. The wire reads no HTTP. */
static bool told_by_wire(const struct cell *cell, const char *name)
{
	size_t len = strlen(name), end = strlen("/reply");

	if (!strncmp(name, "lmtp/", 5))
		return true;
	/* The client's "+" (mail/imap.h); the wire would tell of the tagged reply after DONE. */
	if (!strcmp(name, "imap/idle/reply"))
		return false;
	return bed_has(cell->bed, wire_flush) && strncmp(name, "http/", 5) != 0 && len > end &&
	       !strcmp(name + len - end, "/reply");
}

/* An armed call fault waits for the very work that stands still here: armed is enough. Lock held. */
static void stand_still(struct cell *cell, const struct step_run *step)
{
	while (!step_is_over(step) && step->state < STEP_ARMED &&
		!step_must_end((struct step_run *)step))
		cell_wait(cell, CLOCK_NEVER);
}

/* Lock held. A step that is to begin, or has just begun, by such a moment; NULL: none. */
static struct step_run *begins_by(struct cell *cell, const char *name, const char *tag)
{
	for (size_t i = 0; i < cell->step_count; i++) {
		struct step_run *step = &cell->steps[i];

		if (step->state < STEP_ARMED && is_of(&step->step->trigger, name, tag))
			return step;
	}
	return NULL;
}

/* The client has read what the wire tells of, and says nothing more until the fault it triggers is there. */
static void follow_wire(struct cell *cell, const char *name, const char *tag)
{
	struct step_run *step;
	struct err err = {0};

	pthread_mutex_lock(&cell->lock);
	step = begins_by(cell, name, tag);
	pthread_mutex_unlock(&cell->lock);
	if (!step || cell->bed->ops->wire_flush(cell->bed, deadline_in_ms(FOLLOW_MS), &err))
		return;
	pthread_mutex_lock(&cell->lock);
	if (step->triggered)
		stand_still(cell, step);
	pthread_mutex_unlock(&cell->lock);
}

void moment_exact(struct cell *cell, uint32_t session, const char *name, const char *tag)
{
	struct moment moment = {name, tag, session, "client", 0};
	struct step_run *step;

	if (told_by_wire(cell, name)) {
		follow_wire(cell, name, tag);
		return;
	}
	pthread_mutex_lock(&cell->lock);
	moment.at_ns = cell_now(cell);
	step = moment_trigger(cell, &moment);
	if (step)
		stand_still(cell, step);
	pthread_mutex_unlock(&cell->lock);
}

/* To the store, or from its queue to the delivery agent: the rig's forwarder dials on, and servers of the rig's are
 * dialled by the store. */
static bool is_counted(const json_t *event)
{
	const char *hop = json_get_text(event, "hop", "");

	return !strcmp(hop, "edge") || !strcmp(hop, "inner");
}

/* Which connection of its protocol it is, 1.., of those that began since the workload did; 0: none of the first so
 * many. Lock held. */
static uint32_t wire_session(struct cell *cell, const struct moment *moment, const json_t *event)
{
	uint64_t conn = (uint64_t)json_get_int(event, "conn", 0);
	size_t len = strcspn(moment->name, "/");
	uint32_t number = 0;

	for (size_t i = 0; i < cell->wire_conn_count; i++) {
		const struct wire_conn *at = &cell->wire_conns[i];

		number += !strncmp(at->protocol, moment->name, len) && !at->protocol[len];
		if (at->conn == conn)
			return number;
	}
	if (strcmp(moment->name + len, "/connected") || !is_counted(event) || !cell->origin_ns ||
		moment->at_ns < 0 || number == CELL_CONNS_EACH ||
		cell->wire_conn_count == CELL_CONNS_MAX)
		return 0;
	cell->wire_conns[cell->wire_conn_count].conn = conn;
	snprintf(cell->wire_conns[cell->wire_conn_count++].protocol, WIRE_PROTOCOL_MAX, "%.*s",
		(int)len, moment->name);
	return number + 1;
}

void moment_seen(struct cell *cell, const json_t *event)
{
	struct moment moment = {
		.name = json_get_text(event, "moment", ""),
		.tag = json_get_text(event, "tag", NULL),
		.source = "wire",
		.at_ns = json_get_int(event, "cell_ns", 0) - cell->origin_ns,
	};

	pthread_mutex_lock(&cell->lock);
	moment.session = wire_session(cell, &moment, event);
	if (told_by_wire(cell, moment.name))
		moment_trigger(cell, &moment);
	pthread_mutex_unlock(&cell->lock);
}

void log_seen(struct cell *cell, const char *line)
{
	pthread_mutex_lock(&cell->lock);
	for (size_t i = 0; i < cell->step_count; i++) {
		struct step_run *step = &cell->steps[i];
		const struct trigger *trigger = &step->step->trigger;
		regex_t regex;

		if (trigger->kind != TRIGGER_LOG || step->triggered ||
			step->state != STEP_WAITING ||
			regcomp(&regex, trigger->log, REG_EXTENDED | REG_NOSUB))
			continue;
		if (!regexec(&regex, line, 0, NULL, 0) && ++step->moments_seen >= trigger->nth) {
			step->triggered = true;
			pthread_cond_broadcast(&cell->changed);
		}
		regfree(&regex);
	}
	pthread_mutex_unlock(&cell->lock);
}

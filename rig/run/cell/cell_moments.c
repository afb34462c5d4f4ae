/* What triggers steps: moments of a dialogue, told by the rig's own client or seen on the wire, and lines of a log. */
#include "run/cell/cell_core.h"

#include "base/clock.h"

#include <regex.h>
#include <string.h>

#define FOLLOW_MS 2000 /* for the wire to tell what a client has read */

static bool moment_matches(const struct step_run *step, uint32_t session, const char *name)
{
	const struct trigger *trigger = &step->step->trigger;

	return step->state == STEP_WAITING && trigger->kind == TRIGGER_MOMENT && !step->triggered &&
	       !strcmp(trigger->moment, name) &&
	       (!trigger->session || !session || trigger->session == session);
}

/* Lock held. The step that this moment triggers, or NULL. */
static struct step_run *moment_trigger(
	struct cell *cell, uint32_t session, const char *name, const char *source, int64_t at_ns)
{
	struct step_run *hit = NULL;

	for (size_t i = 0; i < cell->step_count; i++) {
		struct step_run *step = &cell->steps[i];

		if (!moment_matches(step, session, name))
			continue;
		if (++step->moments_seen < step->step->trigger.nth)
			continue;
		step->triggered = true;
		step->moment_ns = at_ns;
		step->by_wire = !strcmp(source, "wire");
		hit = step;
		history_add(cell->recorder, "moment", "{ss ss si ss}", "name", name, "step",
			step->step->label, "session", (int)session, "source", source);
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
static struct step_run *begins_by(struct cell *cell, const char *name)
{
	for (size_t i = 0; i < cell->step_count; i++) {
		struct step_run *step = &cell->steps[i];

		if (step->step->trigger.kind == TRIGGER_MOMENT && step->state < STEP_ARMED &&
			!strcmp(step->step->trigger.moment, name))
			return step;
	}
	return NULL;
}

/* The client has read what the wire tells of, and says nothing more until the fault it triggers is there. */
static void follow_wire(struct cell *cell, const char *name)
{
	struct step_run *step;
	struct err err = {0};

	pthread_mutex_lock(&cell->lock);
	step = begins_by(cell, name);
	pthread_mutex_unlock(&cell->lock);
	if (!step || cell->bed->ops->wire_flush(cell->bed, deadline_in_ms(FOLLOW_MS), &err))
		return;
	pthread_mutex_lock(&cell->lock);
	if (step->triggered)
		stand_still(cell, step);
	pthread_mutex_unlock(&cell->lock);
}

void moment_exact(struct cell *cell, uint32_t session, const char *name)
{
	struct step_run *step;

	if (told_by_wire(cell, name)) {
		follow_wire(cell, name);
		return;
	}
	pthread_mutex_lock(&cell->lock);
	step = moment_trigger(cell, session, name, "client", cell_now(cell));
	if (step)
		stand_still(cell, step);
	pthread_mutex_unlock(&cell->lock);
}

void moment_seen(struct cell *cell, const json_t *event)
{
	const char *name = json_get_text(event, "moment", "");

	if (!told_by_wire(cell, name))
		return;
	pthread_mutex_lock(&cell->lock);
	moment_trigger(cell, 0, name, "wire", json_get_int(event, "cell_ns", 0) - cell->origin_ns);
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

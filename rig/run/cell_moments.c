/* What triggers steps: moments of a dialogue, told by the rig's own client or seen on the wire, and lines of a log. */
#include "run/cell_core.h"

#include "base/clock.h"

#include <regex.h>
#include <string.h>

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
		hit = step;
		history_add(cell->recorder, "moment", "{ss ss si ss}", "name", name, "step",
			step->step->label, "session", (int)session, "source", source);
	}
	if (hit)
		pthread_cond_broadcast(&cell->changed);
	return hit;
}

void moment_exact(struct cell *cell, uint32_t session, const char *name)
{
	struct step_run *step;

	pthread_mutex_lock(&cell->lock);
	step = moment_trigger(cell, session, name, "client", cell_now(cell));
	/* An armed call fault waits for the very work that stands still here: armed is enough. */
	while (step && !step_is_over(step) && step->state < STEP_ARMED && !step_must_end(step))
		cell_wait(cell, CLOCK_NEVER);
	pthread_mutex_unlock(&cell->lock);
}

/* The rig's own clients tell these themselves, and exactly; the wire would count them twice. */
static bool told_by_client(const char *name, const char *service)
{
	const char *moment = strchr(name, '/');

	if (!strcmp(service, "lmtp"))
		return false;
	return !moment || strcmp(moment, "/reply");
}

void moment_seen(struct cell *cell, const json_t *event)
{
	const char *name = json_get_text(event, "moment", "");

	if (told_by_client(name, json_get_text(event, "service", "")))
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

#include "run/cell/cell_core.h"

#include "base/clock.h"

#include <assert.h>
#include <string.h>

#define FORGET_SHARE 8 /* a faster operation shortens the usual by an eighth of the difference */
#define USUAL_MAX_NS NS_PER_SEC
#define DELAYED_NS   (2 * NS_PER_SEC)

/* Lock held. NULL: no room for another kind. */
static struct op_kind *kind_of(struct cell *cell, const char *name)
{
	size_t i = 0;

	while (i < OP_KINDS_MAX && cell->kinds[i].name[0] &&
		strncmp(cell->kinds[i].name, name, OP_NAME_MAX - 1) != 0)
		i++;
	if (i == OP_KINDS_MAX)
		return NULL;
	snprintf(cell->kinds[i].name, sizeof(cell->kinds[i].name), "%s", name);
	return &cell->kinds[i];
}

static void note_took(int64_t *usual_ns, int64_t took_ns)
{
	*usual_ns =
		took_ns > *usual_ns ? took_ns : *usual_ns - (*usual_ns - took_ns) / FORGET_SHARE;
}

/* Lock held. */
static void slot_take(struct cell *cell, uint64_t id, const char *name, const json_t *object)
{
	const struct op_kind *kind = kind_of(cell, name);
	size_t i = 0;

	while (i < CELL_OPS_MAX && cell->ops[i].id)
		i++;
	if (i == CELL_OPS_MAX)
		return;
	cell->ops[i] = (struct op_slot){.id = id, .began_ns = cell_now(cell)};
	cell->ops[i].idle = op_waits_for_work(name, json_get_text(object, "command", ""));
	cell->ops[i].usual_ns = kind ? kind->usual_ns : cell->op_usual_ns;
	snprintf(cell->ops[i].name, sizeof(cell->ops[i].name), "%s", name);
}

/* Lock held. */
static void slot_give(struct cell *cell, uint64_t id, bool ok)
{
	for (size_t i = 0; i < CELL_OPS_MAX; i++) {
		int64_t took = cell_now(cell) - cell->ops[i].began_ns;

		if (cell->ops[i].id != id)
			continue;
		took = took < USUAL_MAX_NS ? took : USUAL_MAX_NS;
		if (ok && !cell->ops[i].idle) {
			struct op_kind *kind = kind_of(cell, cell->ops[i].name);

			note_took(&cell->op_usual_ns, took);
			if (kind)
				note_took(&kind->usual_ns, took);
		}
		cell->ops[i].id = 0;
	}
}

uint64_t op_begin(struct cell *cell, const char *who, const char *name, json_t *object)
{
	uint64_t id = history_new_id(cell->recorder);

	json_object_set_new(object, "id", json_integer((json_int_t)id));
	json_object_set_new(object, "who", json_string(who));
	json_object_set_new(object, "op", json_string(name));
	pthread_mutex_lock(&cell->lock);
	slot_take(cell, id, name, object);
	pthread_mutex_unlock(&cell->lock);
	history_add_at(cell->recorder, cell_now(cell), "begin", object);
	pthread_mutex_lock(&cell->lock);
	cell->pending++;
	pthread_mutex_unlock(&cell->lock);
	return id;
}

static enum outcome outcome_of(enum mail_outcome outcome)
{
	return outcome == MAIL_OK ? OUTCOME_OK : outcome == MAIL_NO ? OUTCOME_NO : OUTCOME_MAYBE;
}

void op_end(struct cell *cell, uint64_t id, const char *who, const char *name,
	enum mail_outcome outcome, json_t *object)
{
	bool cut;

	pthread_mutex_lock(&cell->lock);
	cell->progress_ns = cell_now(cell);
	cut = cell->cut;
	cell->refused += outcome != MAIL_OK && !cut;
	assert(cell->pending > 0);
	cell->pending--;
	cell->ops_ended++;
	slot_give(cell, id, outcome == MAIL_OK);
	pthread_cond_broadcast(&cell->changed);
	pthread_mutex_unlock(&cell->lock);
	/* What came back only because the rig cut its own client did not come back. */
	if (cut && outcome != MAIL_OK) {
		json_decref(object);
		return;
	}
	json_object_set_new(object, "id", json_integer((json_int_t)id));
	json_object_set_new(object, "who", json_string(who));
	json_object_set_new(object, "op", json_string(name));
	json_object_set_new(object, "outcome", json_string(outcome_name(outcome_of(outcome))));
	history_add_at(cell->recorder, cell_now(cell), "end", object);
}

uint32_t op_pending(void *arg)
{
	struct cell *cell = arg;
	uint32_t pending;

	pthread_mutex_lock(&cell->lock);
	pending = (uint32_t)cell->pending;
	pthread_mutex_unlock(&cell->lock);
	return pending;
}

uint32_t op_delayed(void *arg)
{
	struct cell *cell = arg;
	uint32_t delayed = 0;

	pthread_mutex_lock(&cell->lock);
	for (size_t i = 0; i < CELL_OPS_MAX; i++) {
		const struct op_slot *op = &cell->ops[i];
		int64_t age = cell_now(cell) - op->began_ns;

		delayed += op->id && !op->idle && age >= DELAYED_NS && age >= 2 * cell->op_usual_ns;
	}
	pthread_mutex_unlock(&cell->lock);
	return delayed;
}

uint32_t op_refused(void *arg)
{
	struct cell *cell = arg;
	uint32_t refused;

	pthread_mutex_lock(&cell->lock);
	refused = cell->refused;
	pthread_mutex_unlock(&cell->lock);
	return refused;
}

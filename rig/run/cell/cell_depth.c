/*
 * What the store has to say of itself while it works: how much stands in its queue, and the figures that only it
 * can count. Asked in passing, for people; nothing is judged by it but whether work is waiting.
 */
#include "run/cell/cell_core.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS	    2000
#define FIGURES_MAX 64 /* that a target tells of itself */

uint64_t cell_count_lines(const char *text)
{
	uint64_t count = 0;

	for (const char *p = text; *p; p++)
		count += *p == '\n';
	return count;
}

json_t *cell_read_figures(const char *text)
{
	json_t *figures = json_object();

	for (const char *line = text; line && *line && json_object_size(figures) < FIGURES_MAX;) {
		const char *end = strchr(line, '\n');
		char name[64];
		long long value;

		if (sscanf(line, "%63[a-z0-9_] %lld", name, &value) == 2)
			json_object_set_new(figures, name, json_integer(value));
		line = end ? end + 1 : NULL;
	}
	return figures;
}

/* Under a freeze whoever asks is one more that waits. */
static bool may_ask(struct cell *cell)
{
	bool may;

	pthread_mutex_lock(&cell->lock);
	may = !cell->broken && !cell->dark && !cell->faults_off && !cell->asks_queue;
	for (size_t i = 0; i < cell->step_count; i++) {
		const struct step_run *step = &cell->steps[i];

		if (step->fault && step->state == STEP_IN_FORCE)
			may &= !(step->fault->is & FAULT_HALTS);
	}
	cell->asks_queue |= may;
	pthread_mutex_unlock(&cell->lock);
	return may;
}

static void asked(struct cell *cell)
{
	pthread_mutex_lock(&cell->lock);
	cell->asks_queue = false;
	pthread_cond_broadcast(&cell->changed);
	pthread_mutex_unlock(&cell->lock);
}

/* Output of a helper command; NULL: the target has none of that name, or it did not tell at once. */
static char *ask(struct cell *cell, const char *name)
{
	const char *line = target_command(cell->target, name);
	struct command_result result = {0};
	int rc = line ? cell->bed->ops->run(cell->bed, line, NULL, ASK_MS, false, &result, NULL)
		      : -1;
	char *text = !rc && !result.timed_out && !result.status ? text_dup(buf_text(&result.output))
								: NULL;

	buf_free(&result.output);
	return text;
}

void cell_figures(struct cell *cell)
{
	auto_free char *text = ask(cell, "figures");
	json_t *figures, *one;
	const char *name;

	if (!text)
		return;
	figures = cell_read_figures(text);
	json_object_foreach (figures, name, one)
		cell->asks_again |= json_integer_value(one) != 0;
	history_add(cell->recorder, "figures", "{so}", "figures", figures);
}

void cell_queue_depth(struct cell *cell)
{
	auto_free char *text = NULL;
	bool counts;

	if ((!target_command(cell->target, "queue_list") &&
		    !target_command(cell->target, "figures")) ||
		!may_ask(cell))
		return;
	counts = target_command(cell->target, "queue_count") != NULL;
	text = ask(cell, counts ? "queue_count" : "queue_list");
	if (text)
		history_add(cell->recorder, "queue", "{sI}", "depth",
			(json_int_t)(counts ? strtoull(text, NULL, 10) : cell_count_lines(text)));
	cell_figures(cell);
	asked(cell);
}

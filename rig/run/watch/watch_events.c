/* What the watch hears of: threads that call faults hold, and deaths whose cores are to be read. */
#include "run/watch/watch.h"

#include "base/log.h"

#include <string.h>

#define CORES_MAX 8 /* that wait to be read */

void watch_read_cores(struct cell *cell)
{
	while (json_array_size(cell->cores)) {
		auto_json json_t *died = json_incref(json_array_get(cell->cores, 0));
		json_t *core = NULL;
		struct err err = {0};

		json_array_remove(cell->cores, 0);
		pthread_mutex_unlock(&cell->lock);
		if (cell->bed->ops->core(cell->bed, json_get_text(died, "core", ""), &core, &err)) {
			log_line("watch: %s", err.text);
		} else {
			json_object_set_new(
				core, "pid", json_integer(json_get_int(died, "pid", 0)));
			history_add_at(cell->recorder, cell_now(cell), "core", core);
		}
		cell_queue_depth(cell); /* of a service that is back */
		pthread_mutex_lock(&cell->lock);
	}
}

void watch_died(struct cell *cell, const json_t *event)
{
	pthread_mutex_lock(&cell->lock);
	if (cell->watch && bed_has(cell->bed, core) && *json_get_text(event, "core", "") &&
		json_array_size(cell->cores) < CORES_MAX)
		json_array_append(cell->cores, (json_t *)event);
	pthread_cond_broadcast(&cell->watch_tick);
	pthread_mutex_unlock(&cell->lock);
}

void watch_call(struct cell *cell, const json_t *event)
{
	const char *what = json_get_text(event, "what", "");
	int tid = (int)json_get_int(event, "tid", 0), find, put;

	if (tid <= 0 || (strcmp(what, "parked") != 0 && strcmp(what, "released") != 0))
		return;
	find = !strcmp(what, "parked") ? 0 : tid;
	put = find ? 0 : tid;
	pthread_mutex_lock(&cell->lock);
	for (size_t i = 0; i < CELL_PARKED_MAX; i++)
		if (cell->parked[i] == find) {
			cell->parked[i] = put;
			break;
		}
	pthread_mutex_unlock(&cell->lock);
}

/* What the scan of a piece of evidence shows of locks goes into the history, for the law that asks for it. */
#include "base/fs.h"
#include "diagnose/lock_look.h"
#include "run/cell/cell_core.h"
#include "run/rig_programs.h"

#define SCAN_MAX (64u << 20)

void waits_record(struct cell *cell, const char *name, const char *dir)
{
	auto_free char *path = path_join(dir, "scan.json");
	auto_json json_t *scan = json_load_path(path, SCAN_MAX, NULL);
	json_t *look;

	if (!scan)
		return;
	look = lock_look(scan, cell->target, rig_programs);
	json_object_set_new(look, "name", json_string(name));
	history_add_at(cell->recorder, cell_now(cell), "waits", look);
}

#include "run/sweep.h"

#include "api/history.h"
#include "base/fs.h"
#include "base/json.h"
#include "run/bed/bed_vm.h"
#include "run/cell/cell.h"

#include <string.h>

#define VIEWS_MAX (256u << 20)
#define FILE_MAX  (1u << 20)
#define RECORDING "recording"

char *sweep_dir(const char *dir, uint32_t boundary)
{
	return text_fmt("%s/%04u", dir, boundary);
}

static int save_plan(const struct plan *plan, const char *dir, struct err *err)
{
	int rc = fs_mkdir_p(dir, err);

	return rc ? rc : plan_save(plan, dir, err);
}

/* ---- the recording ---- */

int sweep_plan_recording(const struct plan *plan, const char *dir, struct err *err)
{
	auto_free char *folder = path_join(dir, RECORDING);
	/* The workload alone: a history without faults is what the boundaries are compared with, too. */
	struct plan *recording = plan_baseline(plan);
	int rc;

	free(recording->id);
	recording->id = text_fmt("%s." RECORDING, plan->id);
	rc = save_plan(recording, folder, err);
	plan_free(recording);
	return rc;
}

int sweep_record(const struct plan *plan, const char *dir, struct err *err)
{
	struct bed_vm_wish wish = {.record = true};

	return cell_run(plan, dir, bed_vm_open, &wish, err);
}

/* ---- boundaries ---- */

static bool same_disks(const json_t *a, const json_t *b)
{
	if (!a || json_array_size(a) != json_array_size(b))
		return false;
	for (size_t i = 1; i < json_array_size(a); i++)
		if (!json_equal(json_array_get(a, i), json_array_get(b, i)))
			return false;
	return true;
}

/* Views are on the bed's clock, what was said is on the cell's, which begins with the workload: by so much later. */
static int read_origin(const char *dir, double *ret_s, struct err *err)
{
	auto_free char *path = text_fmt("%s/" RECORDING "/history.jsonl", dir);
	struct history *past = NULL;
	int rc = history_load(path, &past, err);

	*ret_s = 0;
	for (size_t i = 0; !rc && i < past->count; i++)
		if (event_is(&past->events[i], "bed"))
			*ret_s = json_get_real(past->events[i].data, "origin_s", 0);
	history_free(past);
	return rc;
}

/* The last view of each state: as much as possible had been said by then. Those of before the workload are of
 * no interest; borrowed. */
static json_t *different_states(const json_t *views, double origin_s)
{
	json_t *states = json_array();
	json_t *view;
	size_t i;

	json_array_foreach (views, i, view) {
		size_t count = json_array_size(states);

		if (!json_is_array(view) || json_array_size(view) < 2 ||
			json_array_size(view) > BED_VM_DISKS_MAX + 1 ||
			json_number_value(json_array_get(view, 0)) < origin_s)
			continue;
		json_array_set_new(
			view, 0, json_real(json_number_value(json_array_get(view, 0)) - origin_s));
		if (count && same_disks(json_array_get(states, count - 1), view))
			json_array_set(states, count - 1, view);
		else
			json_array_append(states, view);
	}
	return states;
}

static int plan_boundary(const struct plan *plan, const char *dir, uint32_t number,
	const json_t *view, struct err *err)
{
	auto_free char *folder = sweep_dir(dir, number);
	auto_free char *path = path_join(folder, "boundary.json");
	auto_json json_t *json = json_pack("{ss sO}", "recording", "../" RECORDING, "view", view);
	struct plan *cell = plan_baseline(plan);
	int rc;

	cell->kind = PLAN_CELL;
	free(cell->id);
	cell->id = text_fmt("%s.%04u", plan->id, number);
	free(cell->baseline);
	cell->baseline = text_dup("../" RECORDING);
	rc = save_plan(cell, folder, err);
	plan_free(cell);
	return rc ? rc : json_save_path(path, json, err);
}

int sweep_plan_boundaries(const struct plan *plan, const char *dir, uint32_t max,
	uint32_t *ret_states, struct err *err)
{
	auto_free char *path = text_fmt("%s/" RECORDING "/machine/" BED_VM_VIEWS, dir);
	auto_json json_t *views = json_load_path(path, VIEWS_MAX, err);
	auto_json json_t *states = NULL;
	size_t count, chosen;
	double origin_s;
	int rc;

	if (!views)
		return -EIO;
	rc = read_origin(dir, &origin_s, err);
	if (rc)
		return rc;
	states = different_states(views, origin_s);
	count = json_array_size(states);
	chosen = count < max ? count : max;
	if (!count)
		return err_set(err, -ENODATA, "the disks took nothing while the scenario ran");
	for (size_t i = 0; i < chosen && !rc; i++)
		rc = plan_boundary(plan, dir, (uint32_t)i + 1,
			json_array_get(states, (i + 1) * count / chosen - 1), err);
	*ret_states = (uint32_t)count;
	return rc ? rc : (int)chosen;
}

static int load_boundary(const char *dir, struct bed_vm_wish *ret, char **ret_past,
	double *ret_at_s, struct err *err)
{
	auto_free char *path = path_join(dir, "boundary.json");
	auto_json json_t *json = json_load_path(path, FILE_MAX, err);
	const json_t *view = json_object_get(json, "view");
	auto_free char *recording = path_join(dir, json_get_text(json, "recording", "?"));

	if (!json)
		return -EIO;
	if (json_array_size(view) < 2 || json_array_size(view) > BED_VM_DISKS_MAX + 1)
		return err_set(err, -EINVAL, "'%s' is no boundary", path);
	*ret_at_s = json_number_value(json_array_get(view, 0));
	for (size_t i = 1; i < json_array_size(view); i++)
		ret->bytes[i - 1] = (uint64_t)json_integer_value(json_array_get(view, i));
	*ret_past = path_join(recording, "history.jsonl");
	ret->after = path_join(recording, "machine");
	return 0;
}

int sweep_boundary(const struct plan *plan, const char *dir, struct err *err)
{
	struct bed_vm_wish wish = {0};
	struct history *past = NULL;
	auto_free char *path = NULL;
	double at_s = 0;
	int rc = load_boundary(dir, &wish, &path, &at_s, err);

	if (!rc)
		rc = history_load(path, &past, err);
	if (!rc)
		rc = cell_run_after(plan, dir, past, at_s, bed_vm_open, &wish, err);
	history_free(past);
	free((char *)(uintptr_t)wish.after);
	return rc;
}

/* What the bed saves of an instant: scans by the witness, and replies owed on the wire. */
#include "run/bed/bed_vm_core.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"

#define OWED_MAX 256
#define SCAN_MS	 30000

int vm_scan(struct bed *bed, bool deep, json_t **ret, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;
	int rc;

	if (b->halted || vm_power_off(b))
		return err_set(err, -EBUSY, "the machine does not run and can not be scanned");
	rc = deep ? witness_scan_deep(b->witness, deadline_in_ms(SCAN_MS), ret, err)
		  : witness_scan(b->witness, true, deadline_in_ms(SCAN_MS), ret, err);
	if (!rc)
		json_object_set_new(*ret, "frozen", json_boolean(b->frozen));
	return rc;
}

static int save_owed(struct vm_bed *b, const char *dir, struct err *err)
{
	auto_free char *path = path_join(dir, "owed.json");
	auto_json json_t *list = json_array();
	struct owed *owed = mem_zero(OWED_MAX, sizeof(*owed));
	int64_t now = vm_bed_clock(b, clock_mono_ns());
	size_t count = wire_owed(b->wire, owed, OWED_MAX);

	for (size_t i = 0; i < count && i < OWED_MAX; i++)
		json_array_append_new(list,
			json_pack("{ss ss ss ss so so sf}", "protocol",
				dialogue_protocol_name(owed[i].protocol), "client", owed[i].client,
				"server", owed[i].server, "verb", owed[i].verb, "args",
				json_text(owed[i].args), "token", json_text(owed[i].token), "age_s",
				(double)(now - owed[i].since_ns) / (double)NS_PER_SEC));
	free(owed);
	return json_save_path(path, list, err);
}

static void print_task(struct buf *out, const json_t *task)
{
	buf_addf(out, "%lld/%lld %s  %s  state %s  in %s\n  syscall %s\n",
		(long long)json_get_int(task, "pid", 0), (long long)json_get_int(task, "tid", 0),
		json_get_text(task, "comm", "?"), json_get_text(task, "exe", ""),
		json_get_text(task, "state", "?"), json_get_text(task, "wchan", "?"),
		json_get_text(task, "syscall", "?"));
	if (*json_get_text(task, "stack", ""))
		buf_addf(out, "%s", json_get_text(task, "stack", ""));
	buf_addc(out, '\n');
}

static int write_text(const char *dir, const char *name, const struct buf *text, struct err *err)
{
	auto_free char *path = path_join(dir, name);

	return fs_write_atomic(path, buf_text(text), text->len, err);
}

static int save_scan(const char *dir, const json_t *scan, struct err *err)
{
	auto_free char *path = path_join(dir, "scan.json");
	auto_buf struct buf tasks = {0}, locks = {0};
	json_t *task;
	size_t i;
	int rc;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (*json_get_text(task, "exe", ""))
			print_task(&tasks, task);
	buf_add_str(&locks, json_get_text(scan, "locks", ""));
	rc = json_save_path(path, scan, err);
	if (!rc)
		rc = write_text(dir, "tasks.txt", &tasks, err);
	return rc ? rc : write_text(dir, "locks.txt", &locks, err);
}

int vm_evidence(struct bed *bed, const char *dir, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;
	auto_json json_t *scan = NULL;
	int rc = fs_mkdir_p(dir, err);

	if (!rc)
		rc = save_owed(b, dir, err);
	/* A halted guest has nothing to say; what is owed is known from the wire. */
	if (rc || b->halted || vm_power_off(b))
		return rc;
	rc = vm_scan(bed, true, &scan, err);
	if (rc) {
		vm_beyond_help(b, dir);
		return rc;
	}
	rc = save_scan(dir, scan, err);
	return rc ? rc : vm_around(b, dir, scan, err);
}

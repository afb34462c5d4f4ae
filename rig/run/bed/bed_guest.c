#include "run/bed/bed_guest.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "run/rig_programs.h"
#include "vm/qga.h"

#include <ctype.h>
#include <poll.h>
#include <string.h>

#define ASK_MS	      10000 /* one question to an agent of the guest */
#define FREEZE_MS     60000 /* sync of a busy file system comes first */
#define EVIDENCE_MS   30000
#define START_MS      2000 /* from a program's beginning to its constructors' end */
#define START_LOOK_MS 50

static int64_t soon(void)
{
	return deadline_in_ms(ASK_MS);
}

/* ---- freeze ---- */

/* While it has a freeze in force the agent refuses the next (qga/commands-posix.c, QEMU 7.2); another requestor would
 * not care. */
static int freeze_more(struct witness *witness, const char *const *mounts, struct err *err)
{
	int rc = 0;

	for (; *mounts && !rc; mounts++)
		rc = witness_freeze(witness, *mounts, 0, deadline_in_ms(FREEZE_MS), err);
	return rc;
}

int guest_freeze(struct machine *machine, struct witness *witness, const char *const *mounts,
	struct err *err)
{
	unsigned int count = 0;
	bool frozen = false;
	int rc = qga_frozen(machine_qga(machine), soon(), &frozen, err);

	if (!rc && frozen)
		return freeze_more(witness, mounts, err);
	if (!rc)
		rc = qga_freeze(
			machine_qga(machine), mounts, deadline_in_ms(FREEZE_MS), &count, err);
	if (!rc && !count)
		rc = err_set(err, -EIO, "the guest agent froze no file system");
	return rc;
}

int guest_thaw(struct machine *machine, struct witness *witness, const struct target *target,
	struct err *err)
{
	unsigned int count = 0;
	bool frozen = true;
	int rc = qga_thaw(machine_qga(machine), deadline_in_ms(FREEZE_MS), &count, err);

	for (size_t i = 0; i < target->disk_count; i++) {
		int one = witness_thaw(witness, target->disks[i].mount, soon(), rc ? NULL : err);

		rc = rc ? rc : one;
	}
	if (!rc)
		rc = witness_thaw(witness, "/", soon(), err);
	if (!rc)
		rc = qga_frozen(machine_qga(machine), soon(), &frozen, err);
	if (!rc && frozen)
		rc = err_set(err, -EBUSY, "the guest agent still says frozen after the thaw");
	return rc;
}

/* Linux 6.1: writers to a frozen file system wait in percpu_rwsem_wait() below __sb_start_write(). */
static bool stuck_on_freeze(const json_t *task)
{
	const char *wchan = json_get_text(task, "wchan", "");
	const char *stack = json_get_text(task, "stack", "");

	return !strcmp(json_get_text(task, "state", ""), "D") &&
	       (strstr(wchan, "percpu_rwsem_wait") || strstr(wchan, "sb_start_write") ||
		       strstr(stack, "sb_start_write"));
}

int guest_blocked_tasks(struct witness *witness, uint32_t *ret, struct err *err)
{
	auto_json json_t *scan = NULL;
	json_t *task;
	size_t i;
	int rc = witness_scan(witness, true, deadline_in_ms(EVIDENCE_MS), &scan, err);

	*ret = 0;
	if (rc)
		return rc;
	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		*ret += stuck_on_freeze(task);
	return 0;
}

/* ---- the board ---- */

/* Blanks, commas and percent signs would end a value. */
static void add_escaped(struct buf *line, const char *text)
{
	for (const char *p = text; *p; p++) {
		if (isgraph((unsigned char)*p) && !strchr("%,", *p))
			buf_addc(line, *p);
		else
			buf_addf(line, "%%%02X", (unsigned char)*p);
	}
}

static void add_list(struct buf *line, const char *key, const char *const *list)
{
	if (!list || !list[0])
		return;
	buf_addf(line, " %s=", key);
	for (size_t i = 0; list[i]; i++) {
		if (i)
			buf_addc(line, ',');
		add_escaped(line, list[i]);
	}
}

int guest_arm(struct witness *witness, const struct call_rule *rule, struct err *err)
{
	auto_buf struct buf line = {0};

	buf_addf(&line, "arm slot=%u point=", rule->slot);
	add_escaped(&line, rule->point);
	buf_addf(&line, " action=%s", rule->action);
	if (rule->errno_name) {
		buf_add_str(&line, " errno=");
		add_escaped(&line, rule->errno_name);
	}
	if (rule->caller) {
		buf_add_str(&line, " caller=");
		add_escaped(&line, rule->caller);
	}
	if (rule->kind)
		buf_addf(&line, " kind=%s", rule->kind);
	if (!strcmp(rule->action, "kill"))
		buf_add_str(&line, " signal=SIGKILL");
	if (!strcmp(rule->action, "short"))
		buf_addf(&line, " bytes=%d", CALL_SHORT_BYTES);
	add_list(&line, "exe", rule->programs);
	add_list(&line, "trace", rule->traced);
	add_list(&line, "path", rule->globs);
	buf_addf(&line, " hit=%u calls=%u", rule->hit ? rule->hit : 1,
		rule->calls ? rule->calls : 1);
	return witness_board(witness, line.data, soon(), NULL, err);
}

static bool has_pid(const json_t *pids, json_int_t pid)
{
	json_t *one;
	size_t i;

	json_array_foreach (pids, i, one)
		if (json_integer_value(one) == pid)
			return true;
	return false;
}

static bool runs(const json_t *task, const char *const *programs)
{
	const char *exe = json_get_text(task, "exe", "");

	for (; programs && *programs; programs++)
		if (!strcmp(exe, *programs))
			return json_get_int(task, "pid", 0) == json_get_int(task, "tid", -1);
	return false;
}

/* A process that has just begun its program maps the board a moment later: seen on a busy host. One that ended
 * meanwhile needs none. */
static bool maps_board_soon(struct witness *witness, json_int_t pid)
{
	auto_free char *stat = text_fmt("/proc/%lld/stat", (long long)pid);
	int64_t deadline = deadline_in_ms(START_MS);

	for (;;) {
		auto_json json_t *board = NULL;
		auto_buf struct buf text = {0};

		if (witness_read(witness, stat, 64, soon(), &text, NULL))
			return true;
		if (witness_board(witness, "processes", soon(), &board, NULL))
			return false;
		if (has_pid(json_object_get(board, "processes"), pid))
			return true;
		if (!deadline_left_ms(deadline))
			return false;
		poll(NULL, 0, START_LOOK_MS); /* nothing tells when a constructor is through */
	}
}

/* The scan comes first: a process of the later list that has just begun is no matter, one of the earlier list that
 * has ended by then is asked for again before it is blamed. */
int guest_check_board(struct witness *witness, const char *const *programs,
	const char *const *traced, struct err *err)
{
	auto_json json_t *scan = NULL, *board = NULL;
	json_t *task;
	size_t i;
	int rc = witness_scan(witness, false, deadline_in_ms(EVIDENCE_MS), &scan, err);

	if (!rc)
		rc = witness_board(witness, "processes", soon(), &board, err);
	if (rc || json_get_bool(board, "cut", false))
		return rc;
	json_array_foreach (json_object_get(scan, "tasks"), i, task) {
		json_int_t pid = json_get_int(task, "pid", 0);

		if (!runs(task, programs) || runs(task, traced) ||
			has_pid(json_object_get(board, "processes"), pid) ||
			maps_board_soon(witness, pid))
			continue;
		return err_set(err, -ENXIO,
			"process %lld ('%s') has no fault board: the preload does not reach it "
			"(static, or started without it); stop it by freeze-process, or use "
			"freeze-disk",
			(long long)pid, json_get_text(task, "exe", "?"));
	}
	return 0;
}

int guest_disarm(struct witness *witness, unsigned int slot, struct err *err)
{
	auto_free char *line = text_fmt("disarm slot=%u", slot);

	return witness_board(witness, line, soon(), NULL, err);
}

int guest_call_status(
	struct witness *witness, unsigned int slot, struct call_status *ret, struct err *err)
{
	auto_free char *line = text_fmt("status slot=%u", slot);
	auto_json json_t *json = NULL;
	int rc = witness_board(witness, line, soon(), &json, err);

	*ret = (struct call_status){0};
	if (rc)
		return rc;
	ret->hits = (uint64_t)json_get_int(json, "hits", 0);
	ret->met = (uint64_t)json_get_int(json, "met", 0);
	ret->missed = (uint64_t)json_get_int(json, "missed", 0);
	ret->strangers = (uint64_t)json_get_int(json, "strangers", 0);
	ret->fired = (uint64_t)json_get_int(json, "fired", 0);
	ret->parked = (uint32_t)json_get_int(json, "parked", 0);
	ret->pid = (int32_t)json_get_int(json, "pid", 0);
	ret->tid = (int32_t)json_get_int(json, "tid", 0);
	snprintf(ret->path, sizeof(ret->path), "%s", json_get_text(json, "path", ""));
	return 0;
}

/* ---- processes and residue ---- */

/* Kernel threads have no program; the rig's own are not the store's. */
static bool of_the_store(const json_t *task)
{
	const char *exe = json_get_text(task, "exe", "");

	return *exe && json_get_int(task, "pid", 0) == json_get_int(task, "tid", -1) &&
	       json_get_int(task, "pid", 0) != 1 && !is_rig_program(exe);
}

int guest_processes(struct witness *witness, json_t *ret, struct err *err)
{
	auto_json json_t *scan = NULL;
	json_t *task;
	size_t i;
	int rc = witness_scan(witness, false, deadline_in_ms(EVIDENCE_MS), &scan, err);

	if (rc)
		return rc;
	json_array_foreach (json_object_get(scan, "tasks"), i, task) {
		auto_free char *text = NULL;

		if (!of_the_store(task))
			continue;
		text = text_fmt("%s (pid %lld, %s)", json_get_text(task, "exe", "?"),
			(long long)json_get_int(task, "pid", 0), json_get_text(task, "state", "?"));
		json_array_append_new(ret, json_text(text));
	}
	return 0;
}

int guest_watch_kills(struct witness *witness, bool on, json_t *ret, struct err *err)
{
	auto_json json_t *killed = NULL;
	json_t *one;
	size_t i;
	int rc = witness_exits(witness, on, soon(), &killed, err);

	json_array_foreach (killed, i, one) {
		auto_free char *text = text_fmt("%s (pid %lld)", json_get_text(one, "comm", "?"),
			(long long)json_get_int(one, "pid", 0));

		json_array_append_new(ret, json_text(text));
	}
	return rc;
}

int guest_residue(struct machine *machine, struct witness *witness, json_t *ret, struct err *err)
{
	auto_json json_t *sentences = NULL;
	bool frozen = false;
	int rc = witness_residue(witness, soon(), &sentences, err);

	if (rc)
		return rc;
	json_array_extend(ret, sentences);
	rc = qga_frozen(machine_qga(machine), soon(), &frozen, err);
	if (!rc && frozen)
		json_array_append_new(ret, json_string("the guest agent says frozen"));
	return rc;
}

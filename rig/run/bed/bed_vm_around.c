/*
 * What stands around a hang and is in no scan: dot-locks and whom they name, and the kernel's own list of tasks that
 * are blocked (sysrq-w), asked for only where the scan has such a task. Both need a shell in the guest, so they come
 * after the scan, with a short deadline, and what does not come is said. Of a machine that does not answer at all
 * QEMU still tells the processor's registers and, if $MAILRIG_DUMP is set, its memory.
 */
#include "run/bed/bed_vm_core.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "diagnose/dot_lock.h"
#include "vm/qmp.h"

#include <stdlib.h>
#include <string.h>

#define ASK_MS	 1500 /* each: a disk that does not answer may hold the shell up */
#define QMP_MS	 10000
#define DUMP_MS	 120000
#define DUMP_ENV "MAILRIG_DUMP"

static bool ask(struct vm_bed *b, const char *line, struct witness_result *ret)
{
	const struct witness_command command = {.line = line, .timeout_ms = ASK_MS};
	struct err err = {0};

	*ret = (struct witness_result){0};
	if (!witness_run(b->witness, &command, ret, &err) && !ret->timed_out)
		return true;
	log_line("evidence: '%.60s' gave nothing: %s", line,
		ret->timed_out ? "it took too long" : err.text);
	return false;
}

/* ---- dot-locks ---- */

static void dot_lock_line(const struct target *target, struct buf *line)
{
	buf_add_str(line, "now=$(date +%s); find");
	for (size_t i = 0; i < target->path_count; i++)
		for (size_t k = 0; k < target->paths[i].globs.count; k++)
			vm_add_root(line, target->paths[i].globs.at[k]);
	buf_addf(line,
		" -maxdepth 6 -type f '(' -name '*.lock' -o -name '*.lck' ')' -printf '%%T@ "
		"%%p\\n' "
		"2>/dev/null | head -n %d | while read -r t p; do c=$(head -c 32 \"$p\" | tr -cd "
		"0-9A-Za-z.:@-); printf '%%s %%s %%s\\n' $((now-${t%%.*})) \"${c:--}\" \"$p\"; "
		"done",
		DOT_LOCKS_MAX);
}

static void add_dot_locks(struct vm_bed *b, json_t *around, json_t *unknown)
{
	auto_buf struct buf line = {0};
	struct witness_result result;

	if (!b->bed.target->path_count)
		return;
	dot_lock_line(b->bed.target, &line);
	if (ask(b, buf_text(&line), &result))
		json_object_set_new(around, "dot_locks",
			dot_locks_read(buf_text(&result.output), result.output.len));
	else
		json_array_append_new(unknown, json_string("dot-locks: the files could not be "
							   "looked at in time"));
	buf_free(&result.output);
}

/* ---- what the kernel says is blocked ---- */

static bool any_blocked(const json_t *scan)
{
	json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (*json_get_text(task, "state", "?") == 'D')
			return true;
	return false;
}

static int save_blocked(struct vm_bed *b, const char *dir, json_t *unknown, struct err *err)
{
	static const char line[] = "m=rig-$$-$(date +%s); echo \"<7>$m\" >/dev/kmsg; "
				   "echo w >/proc/sysrq-trigger; dmesg | sed \"1,/$m/d\"";
	auto_free char *path = path_join(dir, "blocked.txt");
	struct witness_result result;
	int rc = 0;

	if (ask(b, line, &result))
		rc = fs_write_atomic(path, buf_text(&result.output), result.output.len, err);
	else
		json_array_append_new(unknown,
			json_string("blocked tasks: the kernel's list did not come in time"));
	buf_free(&result.output);
	return rc;
}

int vm_around(struct vm_bed *b, const char *dir, const json_t *scan, struct err *err)
{
	auto_free char *path = path_join(dir, "around.json");
	json_t *unknown = json_array();
	auto_json json_t *around = json_pack("{so}", "unknown", unknown);
	int rc;

	if (strstr(dir, "-before-heal")) /* nothing is suspected yet, and the heal waits for this */
		return 0;
	add_dot_locks(b, around, unknown);
	rc = any_blocked(scan) ? save_blocked(b, dir, unknown, err) : 0;
	return rc ? rc : json_save_path(path, around, err);
}

/* ---- a machine that does not answer ---- */

static void save_registers(struct vm_bed *b, const char *dir)
{
	auto_free char *path = path_join(dir, "registers.txt");
	json_t *said = NULL;
	struct err err = {0};
	const char *text;

	if (qmp_execute(machine_qmp(b->machine), "human-monitor-command",
		    json_pack("{ss}", "command-line", "info registers -a"), deadline_in_ms(QMP_MS),
		    &said, &err)) {
		log_line("evidence: no registers: %s", err.text);
		return;
	}
	text = json_string_value(said);
	if (text && fs_write_atomic(path, text, strlen(text), &err))
		log_line("evidence: %s", err.text);
	json_decref(said);
}

int vm_dump_memory(struct machine *machine, const char *path, struct err *err)
{
	auto_free char *here =
		path[0] == '/' ? NULL : realpath(".", NULL); /* QEMU has a folder of its own */
	auto_free char *protocol = text_fmt("file:%s%s%s", here ? here : "", here ? "/" : "", path);

	return qmp_execute(machine_qmp(machine), "dump-guest-memory",
		json_pack("{sb ss ss}", "paging", 0, "protocol", protocol, "format", "kdump-zlib"),
		deadline_in_ms(DUMP_MS), NULL, err);
}

void vm_beyond_help(struct vm_bed *b, const char *dir)
{
	auto_free char *path = path_join(dir, "memory.kdump");
	struct err err = {0};

	save_registers(b, dir);
	if (getenv(DUMP_ENV) && vm_dump_memory(b->machine, path, &err))
		log_line("evidence: no dump of the memory: %s", err.text);
}

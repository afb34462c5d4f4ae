#include "vm/machine_priv.h"

#include "base/clock.h"
#include "base/json.h"
#include "vm/qmp.h"

#include <fcntl.h>
#include <string.h>

#define ASK_MS	    20000
#define STREAM_MS   120000
#define NO_THROTTLE (INT64_C(1) << 40) /* bytes per second; QEMU's default is made for networks */

int machine_can_ignore_shared(struct machine *machine, bool *ret, struct err *err)
{
	auto_json json_t *known = NULL;
	json_t *one;
	size_t i;
	int rc = qmp_execute(machine_qmp(machine), "query-migrate-capabilities", NULL,
		deadline_in_ms(ASK_MS), &known, err);

	if (rc)
		return rc;
	*ret = false;
	json_array_foreach (known, i, one)
		if (!strcmp(json_get_text(one, "capability", ""), "x-ignore-shared"))
			*ret = true;
	return 0;
}

/* Both sides must have the same set. A clone was loaded with x-ignore-shared and still has it when it is
 * saved itself. */
static int set_capabilities(struct machine *machine, bool ignore_shared, struct err *err)
{
	json_t *list = json_pack("[{s:s, s:b}]", "capability", "events", "state", 1);
	struct qmp *qmp = machine_qmp(machine);
	bool known = true;
	int rc = ignore_shared ? 0 : machine_can_ignore_shared(machine, &known, err);

	if (rc) {
		json_decref(list);
		return rc;
	}
	if (known)
		json_array_append_new(list, json_pack("{s:s, s:b}", "capability", "x-ignore-shared",
						    "state", (int)ignore_shared));
	return qmp_execute(qmp, "migrate-set-capabilities",
		json_pack("{s:o}", "capabilities", list), deadline_in_ms(ASK_MS), NULL, err);
}

/* Until QEMU says that the stream is through. */
static int await_stream(struct machine *machine, uint64_t mark, const char *path, struct err *err)
{
	struct qmp *qmp = machine_qmp(machine);
	int64_t deadline_ns = deadline_in_ms(STREAM_MS);

	for (;;) {
		auto_json json_t *event = NULL;
		const char *status;
		int rc = qmp_wait_event(qmp, "MIGRATION", &mark, deadline_ns, &event, err);

		if (rc)
			return rc;
		status = json_get_text(json_object_get(event, "data"), "status", "");
		if (!strcmp(status, "completed"))
			return 0;
		if (!strcmp(status, "failed") || !strcmp(status, "cancelled"))
			return err_set(err, -EIO, "the state '%s' could not be moved", path);
	}
}

/* `verb` "migrate" or "migrate-incoming"; QEMU gets a descriptor, so no helper program and no path. */
static int stream(struct machine *machine, const char *verb, const char *path, int fd,
	bool ignore_shared, struct err *err)
{
	struct qmp *qmp = machine_qmp(machine);
	uint64_t mark = qmp_mark(qmp);
	int rc;

	rc = set_capabilities(machine, ignore_shared, err);
	if (!rc)
		rc = qmp_execute_fd(qmp, "getfd", json_pack("{s:s}", "fdname", "state"), fd,
			deadline_in_ms(ASK_MS), NULL, err);
	if (!rc)
		rc = qmp_execute(qmp, verb, json_pack("{s:s}", "uri", "fd:state"),
			deadline_in_ms(ASK_MS), NULL, err);
	if (!rc)
		rc = await_stream(machine, mark, path, err);
	return rc;
}

/* "completed" is told a moment before QEMU takes commands like `cont` again (QEMU 7.2, migration.c,
 * migration_iteration_finish()), and nothing is told then. */
static int await_saved(struct machine *machine, struct err *err)
{
	int64_t deadline_ns = deadline_in_ms(ASK_MS);

	for (;;) {
		auto_json json_t *state = NULL;
		int rc = qmp_execute(
			machine_qmp(machine), "query-status", NULL, deadline_ns, &state, err);

		if (rc || strcmp(json_get_text(state, "status", ""), "finish-migrate"))
			return rc;
		if (!deadline_left_ms(deadline_ns))
			return err_set(err, -ETIMEDOUT, "QEMU does not end the saving");
	}
}

int machine_save(struct machine *machine, const char *path, bool ignore_shared, struct err *err)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc;

	if (fd < 0)
		return err_sys(err, errno, "cannot write '%s'", path);
	rc = qmp_execute(machine_qmp(machine), "migrate-set-parameters",
		json_pack("{s:I}", "max-bandwidth", (json_int_t)NO_THROTTLE),
		deadline_in_ms(ASK_MS), NULL, err);
	if (!rc)
		rc = stream(machine, "migrate", path, fd, ignore_shared, err);
	if (!rc)
		rc = await_saved(machine, err);
	return rc;
}

int machine_load(struct machine *machine, const char *path, bool ignore_shared, struct err *err)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct err ended = {0};
	int rc;

	if (fd < 0)
		return err_sys(err, errno, "cannot read '%s'", path);
	rc = stream(machine, "migrate-incoming", path, fd, ignore_shared, err);
	/* A state that does not fit ends QEMU, and it says why. */
	if (rc == -EPIPE &&
		machine_wait_end(machine, deadline_in_ms(ASK_MS), &ended) != -ETIMEDOUT && err)
		*err = ended;
	return rc ? err_wrap(err, rc, "cannot load the state '%s'", path) : 0;
}

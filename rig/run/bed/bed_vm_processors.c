/*
 * How long the machine's processors stood in the host's run queue: Linux, /proc/PID/task/TID/schedstat (the second
 * number, nanoseconds; Documentation/scheduler/sched-stats.rst) of QEMU's threads for them, whose numbers QMP tells
 * (query-cpus-fast). With one thread for all processors that is one thread.
 */
#include "run/bed/bed_vm_core.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "vm/qmp.h"

#include <inttypes.h>
#include <stdio.h>

#define ASK_MS	      2000
#define SCHEDSTAT_MAX 256

static int ask_threads(struct vm_bed *b, pid_t pid, struct err *err)
{
	auto_json json_t *cpus = NULL;
	json_t *cpu;
	size_t i;
	int rc = qmp_execute(machine_qmp(b->machine), "query-cpus-fast", NULL,
		deadline_in_ms(ASK_MS), &cpus, err);

	if (rc)
		return rc;
	b->processor_count = 0;
	json_array_foreach (cpus, i, cpu) {
		int tid = (int)json_get_int(cpu, "thread-id", 0);
		bool known = false;

		for (size_t k = 0; k < b->processor_count; k++)
			known |= b->processors[k] == tid;
		if (tid > 0 && !known && b->processor_count < VM_PROCESSORS_MAX)
			b->processors[b->processor_count++] = tid;
	}
	b->processors_of = pid;
	return 0;
}

int vm_processor_wait(struct bed *bed, uint64_t *ret_ns, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;
	pid_t pid = machine_pid(b->machine);
	uint64_t sum = 0, waited;
	int rc = 0;

	if (pid <= 0 || vm_power_off(b))
		return err_set(err, -ENODEV, "the machine is off");
	pthread_mutex_lock(&b->processors_lock);
	if (b->processors_of != pid)
		rc = ask_threads(b, pid, err);
	for (size_t i = 0; i < b->processor_count && !rc; i++) {
		auto_free char *path =
			text_fmt("/proc/%d/task/%d/schedstat", (int)pid, b->processors[i]);
		auto_buf struct buf text = {0};

		rc = fs_read(path, SCHEDSTAT_MAX, &text, err);
		if (!rc && sscanf(buf_text(&text), "%*u %" SCNu64, &waited) != 1)
			rc = err_set(err, -EBADMSG, "'%s' is not as it should be", path);
		sum += rc ? 0 : waited;
	}
	pthread_mutex_unlock(&b->processors_lock);
	if (!rc)
		*ret_ns = sum;
	return rc;
}

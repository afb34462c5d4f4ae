/* What the bed makes of the witness's events. */
#include "tests/check/check.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "run/bed/bed_vm_core.h"
#include "vm/machine_priv.h"

struct heard {
	int lines, deaths;
	json_t *died; /* the last */
};

static void hear(void *arg, enum bed_event event, const json_t *json)
{
	struct heard *heard = arg;

	heard->lines += event == BED_KERNEL;
	if (event != BED_DIED)
		return;
	heard->deaths++;
	json_cleanup(&heard->died);
	heard->died = json_deep_copy(json);
}

static void whom_the_kernel_ends_for_want_of_memory_has_died(void)
{
	static const struct {
		const char *line;
		bool died;
	} rows[] = {
		{"Out of memory: Killed process 185 (imap) total-vm:9kB, anon-rss:5kB, UID:0",
			true},
		/* the limit may be the rig's */
		{"Memory cgroup out of memory: Killed process 185 (imap) total-vm:9kB", false},
		{"imap invoked oom-killer: gfp_mask=0x140cca", false},
		{"usb 1-1: Killed process 185 (imap)", false},
	};
	struct machine machine = {.lock = PTHREAD_MUTEX_INITIALIZER};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct heard heard = {0};
		struct vm_bed bed = {.machine = &machine, .fn = hear, .arg = &heard};
		auto_json json_t *json = json_pack("{ss si}", "line", rows[i].line, "guest_ns", 7);

		vm_on_witness(&bed, "kernel", json, 1000);
		CHECK_INT(heard.lines, 1);
		if (!CHECK_INT(heard.deaths, rows[i].died))
			printf("in row %zu\n", i);
		if (rows[i].died) {
			CHECK_STR(json_get_text(heard.died, "program", ""), "imap");
			CHECK_INT(json_get_int(heard.died, "pid", 0), 185);
			CHECK_INT(json_get_int(heard.died, "signal", 0), 9);
			CHECK(json_get_bool(heard.died, "oom", false));
			CHECK_INT(json_get_int(heard.died, "cell_ns", 0), 1000);
		}
		json_cleanup(&heard.died);
	}
}

CHECK_MAIN(CHECK_CASE(whom_the_kernel_ends_for_want_of_memory_has_died))

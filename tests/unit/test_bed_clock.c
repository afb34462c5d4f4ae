/* The bed's clock leaves the rig's own pauses out, and a moment is found again by what the clock showed. */
#include "tests/check/check.h"

#include "run/bed/bed_vm_core.h"
#include "vm/machine_priv.h"

/* Runs from 1000 on; paused 1100 to 1130, 1200 to 1250 and 1400 to 1500. */
static struct machine_pause pauses[] = {{1100, 1130}, {1200, 1250}, {1400, 1500}};

static const struct {
	const char *name;
	int64_t mono_ns, bed_ns;
	int64_t first_ns; /* that shows it */
} rows[] = {
	{"before any pause", 1050, 50, 1050},
	{"as the first begins", 1100, 100, 1100},
	{"in the middle of it", 1115, 100, 1100},
	{"as it ends", 1130, 100, 1100},
	{"after one of three: not less what came later", 1180, 150, 1180},
	{"after two of three", 1300, 220, 1300},
	{"in the last", 1450, 320, 1400},
	{"after all", 1600, 420, 1600},
};

static void moments_are_found_again(void)
{
	struct machine machine = {.lock = PTHREAD_MUTEX_INITIALIZER,
		.pauses = pauses,
		.pause_count = ARRAY_SIZE(pauses),
		.paused_ns = 180};
	struct vm_bed bed = {.machine = &machine, .origin_ns = 1000};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t shown_ns = vm_bed_clock(&bed, rows[i].mono_ns);
		int64_t moment_ns = vm_bed_moment(&bed, rows[i].bed_ns);

		CHECK_INT(shown_ns, rows[i].bed_ns);
		CHECK_INT(moment_ns, rows[i].first_ns);
		if (shown_ns != rows[i].bed_ns || moment_ns != rows[i].first_ns)
			fprintf(stderr, "in '%s'\n", rows[i].name);
	}
}

static void the_clock_stands_still_once_the_power_is_cut(void)
{
	struct machine machine = {.lock = PTHREAD_MUTEX_INITIALIZER,
		.pauses = pauses,
		.pause_count = ARRAY_SIZE(pauses),
		.paused_ns = 180,
		.still_since_ns = 1700};
	struct vm_bed bed = {.machine = &machine, .origin_ns = 1000};

	CHECK_INT(vm_bed_clock(&bed, 1700), 520);
	CHECK_INT(vm_bed_clock(&bed, 1900), 520);
	CHECK_INT(vm_bed_clock(&bed, 1300), 220);
	CHECK_INT(vm_bed_moment(&bed, 220), 1300);
}

CHECK_MAIN(CHECK_CASE(moments_are_found_again),
	CHECK_CASE(the_clock_stands_still_once_the_power_is_cut))

#include "tests/fake/bed_fake_hurts.h"

static struct fake_hurts *hurts_of(struct bed *bed)
{
	return (struct fake_hurts *)bed;
}

static int bed_halt(struct bed *bed, bool halted, struct err *err)
{
	(void)err;
	hurts_of(bed)->halted = halted;
	return 0;
}

static int bed_stop_processes(struct bed *bed, const char *const *programs, enum stop_how how,
	bool stopped, struct err *err)
{
	(void)how;
	(void)err;
	hurts_of(bed)->stopped = stopped && programs[0];
	return 0;
}

static int bed_stopped(
	struct bed *bed, const char *const *programs, struct stopped_status *ret, struct err *err)
{
	(void)programs;
	(void)err;
	*ret = (struct stopped_status){hurts_of(bed)->stopped, hurts_of(bed)->stopped};
	return 0;
}

static int bed_slow_disk(struct bed *bed, const struct disk *disk, bool slow, struct err *err)
{
	(void)disk;
	(void)err;
	hurts_of(bed)->slowed = slow;
	return 0;
}

static int bed_disk_requests(
	struct bed *bed, const struct disk *disk, uint64_t *ret, struct err *err)
{
	(void)disk;
	(void)err;
	*ret = ++hurts_of(bed)->requests;
	return 0;
}

static int bed_fill_disk(
	struct bed *bed, const struct disk *disk, enum disk_fill what, bool full, struct err *err)
{
	(void)disk;
	(void)what;
	(void)err;
	hurts_of(bed)->filled = full;
	return 0;
}

static int bed_bound_memory(
	struct bed *bed, const char *const *programs, uint64_t bytes, struct err *err)
{
	(void)bytes;
	(void)err;
	hurts_of(bed)->bounded = programs != NULL;
	return 0;
}

static int bed_memory_met(struct bed *bed, uint64_t *ret, struct err *err)
{
	(void)err;
	*ret = hurts_of(bed)->bounded;
	return 0;
}

static int bed_bound_tasks(
	struct bed *bed, const char *const *programs, uint64_t spare, struct err *err)
{
	(void)spare;
	(void)err;
	hurts_of(bed)->few = programs != NULL;
	return 0;
}

static int bed_tasks_met(struct bed *bed, uint64_t *ret, struct err *err)
{
	(void)err;
	*ret = hurts_of(bed)->few;
	return 0;
}

static int bed_bound_descriptors(struct bed *bed, unsigned int slot, const char *const *programs,
	uint64_t spare, struct err *err)
{
	(void)slot;
	(void)spare;
	(void)err;
	hurts_of(bed)->short_of_fds = programs != NULL;
	return 0;
}

static int bed_descriptors_met(struct bed *bed, unsigned int slot, uint64_t *ret, struct err *err)
{
	(void)slot;
	(void)err;
	*ret = hurts_of(bed)->short_of_fds;
	return 0;
}

static int bed_bound_quota(struct bed *bed, const struct disk *disk, enum disk_fill what,
	bool bounded, struct err *err)
{
	(void)disk;
	(void)what;
	(void)err;
	hurts_of(bed)->over_quota = bounded;
	return 0;
}

static int bed_quota_met(struct bed *bed, const struct disk *disk, uint64_t *ret, struct err *err)
{
	(void)disk;
	(void)err;
	*ret = hurts_of(bed)->over_quota;
	return 0;
}

static int bed_hurt_link(struct bed *bed, const struct link_hurt *hurt, struct err *err)
{
	(void)err;
	hurts_of(bed)->lossy = hurt->delay_ms || hurt->loss > 0;
	return 0;
}

static int bed_cut_link(struct bed *bed, bool cut, struct err *err)
{
	(void)err;
	hurts_of(bed)->cut = cut;
	return 0;
}

static int bed_shift_clock(struct bed *bed, int64_t shift_ns, struct err *err)
{
	(void)err;
	hurts_of(bed)->astray = shift_ns != 0;
	return 0;
}

void fake_hurts_ops(struct bed_ops *ops)
{
	ops->halt = bed_halt;
	ops->stop_processes = bed_stop_processes;
	ops->stopped = bed_stopped;
	ops->slow_disk = bed_slow_disk;
	ops->disk_requests = bed_disk_requests;
	ops->fill_disk = bed_fill_disk;
	ops->bound_memory = bed_bound_memory;
	ops->memory_met = bed_memory_met;
	ops->bound_tasks = bed_bound_tasks;
	ops->tasks_met = bed_tasks_met;
	ops->bound_descriptors = bed_bound_descriptors;
	ops->descriptors_met = bed_descriptors_met;
	ops->bound_quota = bed_bound_quota;
	ops->quota_met = bed_quota_met;
	ops->hurt_link = bed_hurt_link;
	ops->cut_link = bed_cut_link;
	ops->shift_clock = bed_shift_clock;
}

void fake_hurts_residue(const struct fake_hurts *hurts, json_t *ret)
{
	const struct {
		bool is;
		const char *text;
	} list[] = {
		{hurts->halted, "halted"},
		{hurts->stopped, "processes are stopped"},
		{hurts->slowed, "a disk is slow"},
		{hurts->filled, "a disk is full"},
		{hurts->bounded, "memory is bounded"},
		{hurts->few, "processes are bounded"},
		{hurts->short_of_fds, "descriptors are bounded"},
		{hurts->over_quota, "a quota is used up"},
		{hurts->lossy, "the link is hurt"},
		{hurts->cut, "the link is cut"},
		{hurts->astray, "the clock is off"},
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (list[i].is)
			json_array_append_new(ret, json_string(list[i].text));
}

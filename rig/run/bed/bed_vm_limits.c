/* What the guest's kernel grants, taken away: descriptors of processes, quotas of users. The witness does it, and
 * says what is left of it (witness_residue()). */
#include "run/bed/bed_vm_core.h"

#include "base/clock.h"

#define ASK_MS 30000

static struct vm_bed *of(struct bed *bed)
{
	return (struct vm_bed *)bed;
}

int vm_bound_descriptors(struct bed *bed, unsigned int slot, const char *const *programs,
	uint64_t spare, struct err *err)
{
	return witness_bound_descriptors(
		of(bed)->witness, slot, programs, spare, deadline_in_ms(ASK_MS), err);
}

int vm_descriptors_met(struct bed *bed, unsigned int slot, uint64_t *ret, struct err *err)
{
	uint64_t bound = 0;

	*ret = 0;
	return witness_descriptors_met(
		of(bed)->witness, slot, deadline_in_ms(ASK_MS), &bound, ret, err);
}

int vm_bound_quota(struct bed *bed, const struct disk *disk, enum disk_fill what, bool bounded,
	struct err *err)
{
	const char *word = what == DISK_INODES ? "inodes" : "bytes";

	return witness_bound_quota(
		of(bed)->witness, disk->mount, bounded ? word : NULL, deadline_in_ms(ASK_MS), err);
}

int vm_quota_met(struct bed *bed, const struct disk *disk, uint64_t *ret, struct err *err)
{
	uint64_t owners = 0;

	*ret = 0;
	return witness_quota_met(
		of(bed)->witness, disk->mount, deadline_in_ms(ASK_MS), &owners, ret, err);
}

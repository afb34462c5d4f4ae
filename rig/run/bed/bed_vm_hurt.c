/*
 * What hurts a machine as a whole: its CPUs, a disk, its cable, its clock. Every heal is
 * proved by asking QEMU or the guest, never by what the rig remembers.
 */
#include "run/bed/bed_vm_core.h"

#include "api/store_command.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "vm/qmp.h"

#include <inttypes.h>
#include <string.h>

#define ASK_MS		10000
#define QUEUE_MS	30000 /* to list a queue that may be long */
#define CARRIER_MS	10000
#define LINK		"eth0"
#define CLOCK_SLACK_NS	NS_PER_SEC /* reading two clocks of the guest takes time */
#define SLOW_REQUESTS_S 1	   /* QEMU takes whole numbers; see vm_slow_disk() */

static struct vm_bed *of(struct bed *bed)
{
	return (struct vm_bed *)bed;
}

static int64_t soon(void)
{
	return deadline_in_ms(ASK_MS);
}

static int ask_qemu(
	struct vm_bed *b, const char *command, json_t *arguments, json_t **ret, struct err *err)
{
	return qmp_execute(machine_qmp(b->machine), command, arguments, soon(), ret, err);
}

/* ---- the whole machine ---- */

static int is_running(struct vm_bed *b, bool *ret, struct err *err)
{
	auto_json json_t *status = NULL;
	int rc = ask_qemu(b, "query-status", NULL, &status, err);

	if (!rc)
		*ret = json_get_bool(status, "running", false);
	return rc;
}

/* QMP itself, not machine_pause(): that is the rig's own pause, which the cell clock leaves out. */
int vm_halt(struct bed *bed, bool halted, struct err *err)
{
	struct vm_bed *b = of(bed);
	bool running = halted;
	int rc = machine_check(b->machine, err);

	if (!rc)
		rc = ask_qemu(b, halted ? "stop" : "cont", NULL, NULL, err);
	if (!rc)
		rc = is_running(b, &running, err);
	if (!rc && running == halted)
		rc = err_set(err, -EBUSY, "QEMU says that the machine %s",
			running ? "runs still" : "does not run");
	if (!rc)
		b->halted = halted;
	return rc;
}

/* ---- disks ---- */

static char *throttle_path(const struct disk *disk)
{
	return text_fmt("/objects/throttle-%s", disk->name);
}

static int disk_limit(struct vm_bed *b, const struct disk *disk, int64_t *ret, struct err *err)
{
	auto_free char *path = throttle_path(disk);
	auto_json json_t *limits = NULL;
	int rc = ask_qemu(b, "qom-get", json_pack("{s:s, s:s}", "path", path, "property", "limits"),
		&limits, err);

	if (!rc)
		*ret = json_get_int(limits, "iops-total", -1);
	return rc;
}

/*
 * One request a second and not fewer: QEMU 7.2 (block/throttle-groups.c, throttle_group_set_limits()) does not
 * look at requests that wait already when limits change, so the first of them ends its old wait first.
 */
int vm_slow_disk(struct bed *bed, const struct disk *disk, bool slow, struct err *err)
{
	auto_free char *path = throttle_path(disk);
	int64_t want = slow ? SLOW_REQUESTS_S : 0, is = -1;
	int rc = ask_qemu(of(bed), "qom-set",
		json_pack("{s:s, s:s, s:{s:I}}", "path", path, "property", "limits", "value",
			"iops-total", (json_int_t)want),
		NULL, err);

	if (!rc)
		rc = disk_limit(of(bed), disk, &is, err);
	if (!rc && is != want)
		rc = err_set(err, -EBUSY, "QEMU limits disk '%s' to %" PRId64 " requests a second",
			disk->name, is);
	return rc;
}

/* /sys/block/DEV/stat: reads completed, ..., writes completed (5th), ..., in flight (9th). */
int vm_disk_requests(struct bed *bed, const struct disk *disk, uint64_t *ret, struct err *err)
{
	auto_free char *line = text_fmt("for d in /sys/block/vd*; do "
					"[ \"$(cat $d/serial)\" = '%s' ] || continue; "
					"awk '{ print $1 + $5 + $9 }' $d/stat; done",
		disk->name);
	struct command_result result = {0};
	int rc = bed->ops->run(bed, line, NULL, ASK_MS, false, &result, err);

	if (!rc && (result.timed_out || result.status || !result.output.len))
		rc = err_set(err, -EIO, "the counts of disk '%s' could not be read", disk->name);
	if (!rc)
		*ret = strtoull(buf_text(&result.output), NULL, 10);
	buf_free(&result.output);
	return rc;
}

#define FILL_NAME ".rig-fill" /* in the root of the disk; residue if it is there */
#define FILL_MS	  120000

/* A shell line in the guest that must work; `what` names it in the error. */
static int must_run(
	struct vm_bed *b, const char *line, int64_t ms, const char *what, struct err *err)
{
	struct command_result result = {0};
	int rc = b->bed.ops->run(&b->bed, line, NULL, ms, false, &result, err);

	if (!rc && (result.timed_out || result.status))
		rc = err_set(err, -EIO, "%s: %s", what,
			result.output.len ? buf_text(&result.output) : "no reason was given");
	buf_free(&result.output);
	return rc;
}

int vm_fill_disk(
	struct bed *bed, const struct disk *disk, enum disk_fill what, bool full, struct err *err)
{
	/* Nine tenths at once. What ext4 keeps for its metadata stays free: that nobody can write is what counts. */
	static const char bytes[] =
		"[ -e bytes ] || fallocate -l $(($(stat -f -c '%f / 10 * 9 * %S' .))) bytes"
		"; for i in 1 2 3; do cat /dev/zero >rest$i 2>/dev/null || true; sync -f .; done"
		"; ! dd if=/dev/zero of=probe bs=4096 count=1 conv=fsync 2>/dev/null";
	static const char inodes[] =
		"perl -e 'for ($i = 0; open F, \">$$.$i\"; $i++) {}'; [ $(stat -f -c %d .) -eq 0 ]";
	auto_free char *line = NULL;

	if (full)
		line = text_fmt("exec 2>&1; set -e; d='%s/" FILL_NAME "'; mkdir -p $d; cd $d; %s",
			disk->mount, what == DISK_BYTES ? bytes : inodes);
	else
		line = text_fmt("exec 2>&1; rm -rf '%s/" FILL_NAME "'", disk->mount);
	return must_run(of(bed), line, FILL_MS,
		full ? "the disk could not be filled" : "the disk could not be emptied", err);
}

/* ---- the network's quality ---- */

/* Asked of the kernel itself: tc is what hurts the link, and takes a tenth of a second to answer. */
static int ask_link(struct vm_bed *b, bool *ret_up, bool *ret_hurt, struct err *err)
{
	return witness_link(b->witness, LINK, soon(), ret_up, ret_hurt, err);
}

int vm_hurt_link(struct bed *bed, const struct link_hurt *hurt, struct err *err)
{
	bool wanted = hurt->delay_ms || hurt->loss > 0, is = !wanted, up = false;
	auto_free char *line =
		wanted ? text_fmt("tc qdisc replace dev " LINK " root netem delay %" PRId64
				  "ms loss %.3f%% limit 10000 2>&1",
				 hurt->delay_ms, hurt->loss * 100)
		       : text_dup("! tc qdisc show dev " LINK " | grep -q netem || "
				  "tc qdisc del dev " LINK " root 2>&1");
	int rc = must_run(of(bed), line, ASK_MS, "the guest's link could not be changed", err);

	if (!rc)
		rc = ask_link(of(bed), &up, &is, err);
	if (!rc && is != wanted)
		rc = err_set(err, -EBUSY, "the guest's link is %s hurt", is ? "still" : "not");
	return rc;
}

/* ---- the cable ---- */

int vm_cut_link(struct bed *bed, bool cut, struct err *err)
{
	int64_t limit = deadline_in_ms(CARRIER_MS);
	bool up = cut, hurt = false;
	int rc = ask_qemu(of(bed), "set_link",
		json_pack("{s:s, s:b}", "name", "nic0", "up", (int)!cut), NULL, err);

	while (!rc && up == cut) {
		rc = ask_link(of(bed), &up, &hurt, err);
		if (!rc && up == cut && clock_mono_ns() > limit)
			rc = err_set(err, -ETIMEDOUT, "the guest's link is still %s",
				up ? "up" : "down");
	}
	return rc;
}

/* ---- the wall clock ---- */

/* How far the guest's wall clock is ahead of its monotonic one; off by as long as a command takes. */
static int clock_offset(struct vm_bed *b, int64_t *ret_offset, int64_t *ret_mono, struct err *err)
{
	struct command_result result = {0};
	int64_t before = 0;
	int rc = b->bed.ops->run(&b->bed, "date +%s%N", NULL, ASK_MS, false, &result, err);

	if (!rc)
		rc = witness_ping(b->witness, soon(), ret_mono, err);
	if (!rc && (result.timed_out || result.status))
		rc = err_set(err, -EIO, "the guest's clock could not be read");
	if (!rc) {
		before = strtoll(buf_text(&result.output), NULL, 10);
		*ret_offset = before - *ret_mono;
	}
	buf_free(&result.output);
	return rc;
}

static int clock_astray(struct vm_bed *b, int64_t shift_ns, int64_t *ret, struct err *err)
{
	int64_t offset = 0, mono = 0;
	int rc = clock_offset(b, &offset, &mono, err);

	if (!rc)
		*ret = offset - (b->clock_offset_ns + shift_ns);
	return rc;
}

int vm_shift_clock(struct bed *bed, int64_t shift_ns, struct err *err)
{
	struct vm_bed *b = of(bed);
	int64_t mono = 0, astray = 0;
	int rc = 0;

	if (!b->clock_known && !shift_ns)
		return 0;
	if (!b->clock_known)
		rc = clock_offset(b, &b->clock_offset_ns, &mono, err);
	if (!rc)
		b->clock_known = true;
	if (!rc)
		rc = witness_ping(b->witness, soon(), &mono, err);
	if (!rc)
		rc = witness_set_clock(
			b->witness, mono + b->clock_offset_ns + shift_ns, soon(), err);
	if (!rc)
		rc = clock_astray(b, shift_ns, &astray, err);
	if (!rc && llabs(astray) > CLOCK_SLACK_NS)
		rc = err_set(err, -EBUSY, "the guest's clock is %.1f s from where it was put",
			(double)astray / (double)NS_PER_SEC);
	return rc;
}

/* ---- what is left ---- */

static void add_sentence(json_t *ret, char *sentence)
{
	json_array_append_new(ret, json_text(sentence));
	free(sentence);
}

static int fill_residue(struct vm_bed *b, const struct disk *disk, json_t *ret, struct err *err)
{
	auto_free char *path = path_join(disk->mount, FILL_NAME);
	bool there = false;
	int rc = witness_there(b->witness, path, soon(), &there, err);

	if (!rc && there)
		add_sentence(ret, text_fmt("disk '%s' is still filled", disk->name));
	return rc;
}

static int disks_residue(struct vm_bed *b, json_t *ret, struct err *err)
{
	int rc = 0;

	for (size_t i = 0; i < b->bed.target->disk_count && !rc; i++) {
		const struct disk *disk = &b->bed.target->disks[i];
		int64_t limit = 0;

		rc = disk_limit(b, disk, &limit, err);
		if (!rc && limit)
			add_sentence(ret, text_fmt("disk '%s' is still slowed", disk->name));
		if (!rc)
			rc = fill_residue(b, disk, ret, err);
	}
	return rc;
}

/* A store whose queue can be put on hold is asked for what nobody released. One that does not run has its say later. */
static int queue_residue(struct vm_bed *b, json_t *ret, struct err *err)
{
	const char *line = target_command(b->bed.target, "queue_list");
	struct command_result result = {0};
	uint64_t held = 0;
	int rc;

	if (!line || !target_command(b->bed.target, "queue_hold"))
		return 0;
	rc = b->bed.ops->run(&b->bed, line, NULL, QUEUE_MS, false, &result, err);
	if (!rc && !result.timed_out && !result.status)
		held = store_count_state(buf_text(&result.output), "hold");
	else if (!rc)
		log_line(
			"residue: the queue was not listed, so nobody knows what is on hold in it");
	buf_free(&result.output);
	if (held)
		add_sentence(ret, text_fmt("%llu messages are still on hold in the queue",
					  (unsigned long long)held));
	return rc;
}

int vm_hurt_residue(struct vm_bed *b, json_t *ret, struct err *err)
{
	bool running = true, up = true, hurt = false;
	int64_t astray = 0;
	int rc;

	if (vm_power_off(b)) {
		add_sentence(ret, text_dup("the power is still cut"));
		return 0;
	}
	rc = is_running(b, &running, err);
	if (!rc && !running)
		add_sentence(ret, text_dup("the machine is still halted"));
	if (!rc)
		rc = disks_residue(b, ret, err);
	if (!rc)
		rc = ask_link(b, &up, &hurt, err);
	if (!rc && !up)
		add_sentence(ret, text_dup("the link is still cut"));
	if (!rc && hurt)
		add_sentence(ret, text_dup("the link still delays or loses packets"));
	if (!rc)
		rc = queue_residue(b, ret, err);
	if (!rc && b->clock_known)
		rc = clock_astray(b, 0, &astray, err);
	if (!rc && llabs(astray) > CLOCK_SLACK_NS)
		add_sentence(ret, text_fmt("the clock is still off by %.1f s",
					  (double)astray / (double)NS_PER_SEC));
	return rc;
}

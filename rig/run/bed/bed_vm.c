#include "run/bed/bed_vm.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/rng.h"
#include "run/bed/bed_guest.h"
#include "run/bed/bed_vm_core.h"
#include "vm/clone.h"

#include <string.h>

#define WITNESS_MS   30000
#define COLD_BOOT_MS 180000 /* with journals to replay, on a busy host */
#define SEED_BYTES   256

static struct vm_bed *of(struct bed *bed)
{
	return (struct vm_bed *)bed;
}

/* ---- clock ---- */

static int64_t vm_clock(struct bed *bed)
{
	return vm_bed_clock(of(bed), clock_mono_ns());
}

static int64_t legs_clock(void *arg)
{
	return vm_clock(arg);
}

static int64_t wire_clock(void *arg, int64_t mono_ns)
{
	return vm_bed_clock(arg, mono_ns);
}

/* ---- operations ---- */

static int vm_connect(
	struct bed *bed, const struct service *service, int64_t deadline_ns, struct err *err)
{
	return network_connect(machine_network(of(bed)->machine), service->port, deadline_ns, err);
}

static int vm_run(struct bed *bed, const char *line, const char *const *env, int64_t timeout_ms,
	bool daemons, struct command_result *ret, struct err *err)
{
	struct witness_command command = {.line = line,
		.dir = "/run/rig/target",
		.env = env,
		.timeout_ms = timeout_ms,
		.daemons = daemons};
	struct witness_result result = {0};
	int rc = witness_run(of(bed)->witness, &command, &result, err);

	if (rc)
		return rc;
	*ret = (struct command_result){.status = result.status,
		.timed_out = result.timed_out,
		.cut = result.cut,
		.output = result.output};
	return 0;
}

static int vm_pause(struct bed *bed, struct err *err)
{
	return machine_pause(of(bed)->machine, err);
}

static int vm_resume(struct bed *bed, struct err *err)
{
	return machine_resume(of(bed)->machine, err);
}

static int vm_freeze(struct bed *bed, const char *const *mounts, struct err *err)
{
	const char *all[16] = {0};

	for (size_t i = 0; i < bed->target->disk_count && i < ARRAY_SIZE(all) - 1; i++)
		all[i] = bed->target->disks[i].mount;
	of(bed)->frozen = true; /* also while it begins, and where it fails half-way */
	return guest_freeze(of(bed)->machine, of(bed)->witness, mounts ? mounts : all, err);
}

static int vm_freeze_by_hand(
	struct bed *bed, const char *mount, int64_t thaw_after_ms, struct err *err)
{
	of(bed)->frozen = true;
	return witness_freeze(
		of(bed)->witness, mount, thaw_after_ms, deadline_in_ms(WITNESS_MS), err);
}

static int vm_thaw(struct bed *bed, struct err *err)
{
	int rc = guest_thaw(of(bed)->machine, of(bed)->witness, bed->target, err);

	if (!rc)
		of(bed)->frozen = false;
	return rc;
}

static int vm_frozen(struct bed *bed, uint32_t *ret, struct err *err)
{
	return guest_blocked_tasks(of(bed)->witness, ret, err);
}

static int vm_arm(
	struct bed *bed, const struct call_rule *rule, int64_t *ret_at_ns, struct err *err)
{
	int rc = guest_arm(of(bed)->witness, rule, err);

	*ret_at_ns = vm_clock(bed);
	/* Afterwards, so that it costs the rule no time: a scan takes ten times as long as the arming. */
	if (!rc && rule->programs)
		rc = guest_check_board(of(bed)->witness, rule->programs, rule->traced, err);
	return rc; /* the fault's heal disarms it, as always */
}

static int vm_disarm(struct bed *bed, unsigned int slot, struct err *err)
{
	return guest_disarm(of(bed)->witness, slot, err);
}

static int vm_call_status(
	struct bed *bed, unsigned int slot, struct call_status *ret, struct err *err)
{
	return guest_call_status(of(bed)->witness, slot, ret, err);
}

static int vm_leg_set(struct bed *bed, const struct service *service,
	const struct leg_change *change, struct err *err)
{
	return legs_set(of(bed)->legs, service, change, err);
}

static uint64_t vm_leg_met(struct bed *bed, const struct service *service)
{
	return legs_met(of(bed)->legs, service) + of(bed)->refused;
}

static int vm_unlink(struct bed *bed, const char *path, struct err *err)
{
	return witness_unlink(of(bed)->witness, path, deadline_in_ms(WITNESS_MS), err);
}

static int vm_sink_set(struct bed *bed, const char *mode, int64_t delay_ms, struct err *err)
{
	return legs_sink_set(of(bed)->legs, mode, delay_ms, err);
}

static uint64_t vm_sink_met(struct bed *bed)
{
	return legs_sink_met(of(bed)->legs);
}

static int vm_residue(struct bed *bed, json_t **ret, struct err *err)
{
	struct vm_bed *b = of(bed);
	json_t *sentences = json_array();
	int rc = guest_residue(b->machine, b->witness, sentences, err);

	legs_residue(b->legs, sentences);
	if (!rc)
		rc = vm_hurt_residue(b, sentences, err);
	if (!rc && !vm_power_off(b))
		rc = vm_groups_residue(b, sentences, err);
	if (!rc)
		rc = vm_stop_residue(b, sentences, err);
	if (rc)
		json_decref(sentences);
	else
		*ret = sentences;
	return rc;
}

static int vm_processes(struct bed *bed, json_t *ret, struct err *err)
{
	return guest_processes(of(bed)->witness, ret, err);
}

static int vm_watch_kills(struct bed *bed, bool on, json_t *ret, struct err *err)
{
	return guest_watch_kills(of(bed)->witness, on, ret, err);
}

static int vm_sunk(struct bed *bed, json_t **ret, struct err *err)
{
	(void)err;
	*ret = legs_sunk(of(bed)->legs);
	return 0;
}

static uint64_t vm_frames_lost(struct bed *bed)
{
	return wire_dropped(of(bed)->wire);
}

static const char *vm_describe(struct bed *bed)
{
	return of(bed)->spec->accel.name;
}

static int vm_wire_flush(struct bed *bed, int64_t deadline_ns, struct err *err)
{
	int rc = wire_flush(of(bed)->wire, deadline_ns);

	return rc ? err_set(err, rc, "the capture could not be read to its end") : 0;
}

static void vm_mark(struct bed *bed, const char *text)
{
	wire_mark(of(bed)->wire, text);
}

static void vm_close(struct bed *bed)
{
	struct vm_bed *b = of(bed);
	struct err err = {0};

	b->closing = true;
	if (b->recording && vm_power_record(b, &err))
		log_line("power: %s", err.text);
	vm_power_close(b);
	vm_branches_close(b);
	witness_close(b->witness);
	legs_close(b->legs);
	vm_close_machine(b);
	if (wire_close(b->wire, &err))
		log_line("wire: %s", err.text);
	if (transcripts_close(b->transcripts, &err))
		log_line("transcripts: %s", err.text);
	template_close(b->template);
	bed_spec_free(b->spec);
	free(b->groups);
	free(b->dir);
	pthread_mutex_destroy(&b->processors_lock);
	free(b);
}

static const struct bed_ops vm_ops = {
	.name = "vm",
	.connect = vm_connect,
	.run = vm_run,
	.clock_ns = vm_clock,
	.pause = vm_pause,
	.resume = vm_resume,
	.freeze = vm_freeze,
	.freeze_by_hand = vm_freeze_by_hand,
	.thaw = vm_thaw,
	.frozen = vm_frozen,
	.arm = vm_arm,
	.disarm = vm_disarm,
	.call_status = vm_call_status,
	.leg_set = vm_leg_set,
	.leg_met = vm_leg_met,
	.unlink = vm_unlink,
	.halt = vm_halt,
	.stop_processes = vm_stop_processes,
	.stopped = vm_stopped,
	.save_disks = vm_save_disks,
	.cut_power = vm_cut_power,
	.restore_power = vm_restore_power,
	.slow_disk = vm_slow_disk,
	.disk_requests = vm_disk_requests,
	.fill_disk = vm_fill_disk,
	.bound_memory = vm_bound_memory,
	.memory_met = vm_memory_met,
	.bound_tasks = vm_bound_tasks,
	.tasks_met = vm_tasks_met,
	.bound_descriptors = vm_bound_descriptors,
	.descriptors_met = vm_descriptors_met,
	.bound_quota = vm_bound_quota,
	.quota_met = vm_quota_met,
	.hurt_link = vm_hurt_link,
	.cut_link = vm_cut_link,
	.shift_clock = vm_shift_clock,
	.sink_set = vm_sink_set,
	.sink_met = vm_sink_met,
	.scan = vm_scan,
	.evidence = vm_evidence,
	.stacks = vm_stacks,
	.tries = vm_tries,
	.core = vm_core,
	.branch = vm_branch,
	.adjudicate = vm_adjudicate,
	.residue = vm_residue,
	.processes = vm_processes,
	.watch_kills = vm_watch_kills,
	.sunk = vm_sunk,
	.measure = vm_measure,
	.processor_wait = vm_processor_wait,
	.files = vm_files,
	.frames_lost = vm_frames_lost,
	.describe = vm_describe,
	.wire_flush = vm_wire_flush,
	.mark = vm_mark,
	.close = vm_close,
};

/* ---- open ---- */

static int open_wire(struct vm_bed *b, const char *comment, char **ret_fifo, struct err *err)
{
	static const struct wire_name names[] = {
		{NETWORK_GUEST_ADDRESS, "store"},
		{NETWORK_RIG_ADDRESS, "client.rig"},
		{NULL, NULL},
	};
	auto_free char *capture = path_join(b->dir, "capture.pcapng");
	auto_free char *dir = path_join(b->dir, "transcripts");
	char *fifo = path_join(b->dir, "wire.fifo");
	struct wire_config config = {
		.fifo_path = fifo,
		.capture_path = capture,
		.ports = b->spec->wire_ports,
		.port_count = b->spec->wire_port_count,
		.only_ports = true,
		.filter = b->bed.target->capture,
		.fn = vm_on_dialogue,
		.arg = b,
		.clock_ns = wire_clock,
		.clock_arg = b,
		.names = names,
		.comment = comment,
	};

	*ret_fifo = fifo;
	if (fs_mkdir_p(dir, err))
		return -EIO;
	b->transcripts = transcripts_new(dir, 0);
	return wire_open(&b->wire, &config, err);
}

static int open_machine(struct vm_bed *b, const struct plan *plan, const char *fifo,
	const struct bed_vm_wish *wish, struct err *err)
{
	auto_free char *dir = path_join(b->dir, "machine");
	struct write_cut cuts[MACHINE_DISKS_MAX] = {0};
	struct machine_options options = {.dir = dir,
		.capture = fifo,
		.log_writes = b->recording || vm_power_wanted(plan),
		.on_event = vm_on_machine,
		.arg = b};

	if (!wish || !wish->after)
		return clone_open(b->template, &options, &b->machine, err);
	for (size_t i = 0; i < BED_VM_DISKS_MAX; i++)
		cuts[i] = (struct write_cut){.bytes = wish->bytes[i], .keep = WRITE_KEEP_ALL};
	return clone_boot_cut(b->template, &options, wish->after, cuts, &b->machine, err);
}

/* Two clones of one template would draw the same random numbers. */
static int seed_guest(struct vm_bed *b, uint64_t seed, struct err *err)
{
	struct rng rng = rng_stream(seed, "guest entropy");
	unsigned char bytes[SEED_BYTES];

	rng_bytes(&rng, bytes, sizeof(bytes));
	return witness_seed(b->witness, bytes, sizeof(bytes), deadline_in_ms(WITNESS_MS), err);
}

int vm_tail_logs(struct vm_bed *b, struct err *err)
{
	const struct target *target = b->bed.target;
	auto_free char *logs = path_join(b->dir, "logs");
	int rc = fs_mkdir_p(logs, err);

	for (size_t i = 0; i < target->log_count && !rc; i++)
		rc = witness_tail(
			b->witness, target->logs[i].path, deadline_in_ms(WITNESS_MS), err);
	return rc;
}

int bed_vm_open(struct bed **ret, const struct plan *plan, const char *dir, bed_event_fn on_event,
	void *event_arg, void *arg, struct err *err)
{
	struct vm_bed *b = mem_zero(1, sizeof(*b));
	const struct bed_vm_wish *wish = arg;
	auto_free char *fifo = NULL;
	int rc;

	pthread_mutex_init(&b->processors_lock, NULL);
	b->recording = wish && wish->record;
	b->bed = (struct bed){.ops = &vm_ops, .target = plan->target};
	b->fn = on_event;
	b->arg = event_arg;
	b->dir = text_dup(dir);
	b->origin_ns = clock_mono_ns();
	*ret = &b->bed; /* the caller closes what is half built */
	rc = bed_spec_new(plan->target, NULL, NULL, &b->spec, err);
	if (!rc)
		rc = bed_spec_template(b->spec, &b->template, err);
	if (!rc)
		rc = open_wire(b, plan->id, &fifo, err);
	if (!rc)
		rc = open_machine(b, plan, fifo, wish, err);
	if (!rc)
		rc = witness_attach(machine_take_witness_fd(b->machine), vm_on_witness, b,
			deadline_in_ms(wish && wish->after ? COLD_BOOT_MS : WITNESS_MS),
			&b->witness, err);
	if (!rc)
		rc = seed_guest(b, plan->seed, err);
	if (!rc)
		rc = legs_open(&b->legs, plan->target, b->machine, legs_clock, b, err);
	if (!rc)
		rc = vm_tail_logs(b, err);
	if (!rc && (b->recording || vm_power_wanted(plan)))
		rc = vm_power_open(b, err);
	b->origin_ns = clock_mono_ns(); /* the clock of cell and transcripts begins now */
	return rc;
}

int bed_vm_prepare(const struct target *target, void (*say)(void *arg, const char *line), void *arg,
	struct err *err)
{
	struct bed_spec *spec = NULL;
	struct template *template = NULL;
	int rc = bed_spec_new(target, say, arg, &spec, err);

	if (!rc)
		rc = bed_spec_template(spec, &template, err);
	template_close(template);
	bed_spec_free(spec);
	return rc;
}

int bed_vm_command_line(const struct target *target, struct buf *out, struct err *err)
{
	struct machine_options options = {.dir = "CELL/machine", .capture = "CELL/wire.fifo"};
	struct bed_spec *spec = NULL;
	int rc = bed_spec_cached(target, err);

	if (!rc)
		rc = bed_spec_new(target, NULL, NULL, &spec, err);
	if (!rc)
		machine_command_line(&spec->machine, &options, out);
	bed_spec_free(spec);
	return rc;
}

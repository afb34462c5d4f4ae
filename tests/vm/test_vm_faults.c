/*
 * Every fault keeps the contract of api/fault.h on a real clone: healed unarmed, armed twice and healed twice, and
 * healed after what it was aimed at was killed, it leaves nothing, and the store serves afterwards. The fake bed has
 * the same walk (tests/unit/test_faults.c). All of them take minutes: without CHECK_LONG one of each mechanism.
 */
#include "tests/vm/faults_fixture.h"
#include "tests/vm/removals_fixture.h"

#include "vm/relay.h"

#define ALARM_S	  1500
#define SAVED_MAX (16u << 20)

/* Starts a process of the role "lookup" where none lives: they end when they were idle, and are killed here. */
#define WAKE_LOOKUP "doveadm user u1"

static const char *const sample[] = {"park", "freeze-process", "freeze-fs", "mta-silent",
	"descriptors-full", "quota-full", NULL};

/* A value for each key that a fault requires; the last column where one fault wants its own. */
static const struct {
	const char *key, *value, *fault;
} values[] = {
	{"point", "posix/io/rw/write", "short"},
	{"point", "posix/io/sync/fsync", NULL},
	{"errno", "EIO", NULL},
	{"role", "lookup", "freeze-thread"}, /* of which one lives, see WAKE_LOOKUP */
	{"role", "lookup", "freeze-process"},
	{"role", "lookup", "freeze-group"},
	{"role", "lookup", "memory-full"},
	{"role", "lookup", "descriptors-full"},
	{"role", "manage", "processes-full"},
	{"role", "deliver", NULL},
	{"path", "mail", NULL},
	{"agent", "mta", "mta-crashed"},
	{"agent", "delivery", NULL},
	{"by", "-1h", NULL},
	{"model", "cache-lost", NULL},
	{"mode", "busy", NULL},
};

static const char *value_of(const char *key, const char *fault)
{
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (!strcmp(values[i].key, key) &&
			(!values[i].fault || !strcmp(values[i].fault, fault)))
			return values[i].value;
	return "";
}

/* Seeded: what is in force is found by the very search that must find nothing afterwards. */
static void something_is_left(const struct fault *fault)
{
	static const char *const seen_elsewhere[] = {"freeze-machine", /* nobody there answers */
		"mta-disabled", "mta-crashed",
		"mta-switched-off", /* the store's own start and setting */
		"mta-held",	    /* has a case of its own: the queue is empty here */
		"unlink-socket", NULL};
	auto_json json_t *left = NULL;
	struct err err = {0};

	for (size_t i = 0; seen_elsewhere[i]; i++)
		if (!strcmp(seen_elsewhere[i], fault->name))
			return;
	if (CHECK_INT(bed->ops->residue(bed, &left, &err), 0) && CHECK(json_array_size(left) > 0))
		return;
	fprintf(stderr, "%s is in force, and the audit does not see it: %s\n", fault->name,
		err.text);
}

/* ---- one use ---- */

static struct scenario *scenario_of(const struct fault *fault)
{
	auto_buf struct buf text = {0}, complaints = {0};
	struct scenario *scenario = NULL;
	struct err err = {0};

	buf_addf(&text,
		"claim: x\nworkload:\n  - {do: smtp, to: [u1]}\nsteps:\n  - {as: it, do: %s, at: "
		"0s",
		fault->name);
	for (const struct fault_param *p = fault->params; p && p->key; p++)
		if (p->required)
			buf_addf(&text, ", %s: '%s'", p->key, value_of(p->key, fault->name));
	buf_add_str(&text, "}\n");
	if (!CHECK_INT(scenario_parse("test.yaml", text.data, text.len, &plan_vocabulary,
			       &complaints, &scenario, &err),
		    0))
		fprintf(stderr, "%s: %s%s\n", fault->name, buf_text(&complaints), err.text);
	return scenario;
}

static void live(const struct fault *fault, struct fault_run *run)
{
	const char *name = fault->name;

	does(name, "heal unarmed", fault->heal, run);
	nothing_is_left(name, "healed unarmed");
	says(WAKE_LOOKUP);
	does(name, "arm", fault->fire, run);
	does(name, "arm again", fault->fire, run);
	something_is_left(fault);
	does(name, "count", fault->poll, run);
	does(name, "heal", fault->heal, run);
	does(name, "heal again", fault->heal, run);
	nothing_is_left(name, "armed and healed twice");
	it_serves(name);
	if (!strcmp(name, "freeze-machine")) /* nobody there can be told to kill */
		return;
	does(name, "arm", fault->fire, run);
	kill_targets(fault);
	does(name, "count after the kill", fault->poll, run);
	does(name, "heal after the kill", fault->heal, run);
	nothing_is_left(name, "healed after its target was killed");
	it_serves(name);
}

static void walk(const struct fault *fault)
{
	struct scenario *scenario = scenario_of(fault);
	struct fault_run run = {.bed = bed,
		.target = bed->target,
		.slot = SLOT,
		.pending = none,
		.delayed = none,
		.refused = none,
		.acted = none_acted,
		.due_ns = INT64_MAX,
		.at_ns = -1};
	int64_t began_ns = clock_mono_ns();
	struct err err = {0};
	int rc;

	if (!scenario)
		return;
	run.step = &scenario->steps[0];
	rc = fault->check(run.step, bed->target, &err);
	if (rc == -ENOTSUP)
		printf("%-20s not taken: %s\n", fault->name, err.text);
	else if (CHECK_INT(rc, 0))
		live(fault, &run);
	if (!rc)
		printf("%-20s %lld ms\n", fault->name,
			(long long)((clock_mono_ns() - began_ns) / NS_PER_MS));
	fflush(stdout);
	scenario_free(scenario);
}

/* The power has a bed of its own. */
static bool is_walked(const struct fault *fault)
{
	if (fault->is & FAULT_CUTS_POWER)
		return false;
	if (getenv("CHECK_LONG"))
		return true;
	for (size_t i = 0; sample[i]; i++)
		if (!strcmp(sample[i], fault->name))
			return true;
	return false;
}

static void mail_left_on_hold_is_residue(void)
{
	auto_json json_t *left = NULL;
	struct err err = {0};

	check_alarm(ALARM_S);
	if (open_bed("freeze-fs-during-delivery")) {
		says("./defer lmtp smtp; printf 'Subject: x\\n\\nx\\n' | sendmail -f a@sink.rig "
		     "u1@store; postqueue -f; postsuper -h ALL");
		CHECK_INT(bed->ops->residue(bed, &left, &err), 0);
		CHECK_HAS(json_string_value(json_array_get(left, 0)), "still on hold");
		says("postsuper -H ALL; ./defer");
		nothing_is_left("a hold", "released");
	}
	close_bed();
}

static void walk_all(void)
{
	for (const struct fault *const *at = faults; *at; at++) {
		if (!is_walked(*at))
			continue;
		if ((*at)->family == FAMILY_CONCURRENT_DELETE)
			walk_removals(*at);
		else
			walk(*at);
	}
}

static void armed_and_healed_in_every_way_a_fault_leaves_nothing(void)
{
	check_alarm(ALARM_S);
	if (open_bed("freeze-fs-during-delivery"))
		walk_all();
	close_bed();
}

static void the_power_is_cut_and_restored_twice_and_nothing_is_left(void)
{
	const struct fault *fault = fault_find("power-cut");
	struct scenario *scenario = NULL;
	struct fault_run run = {.slot = SLOT, .due_ns = INT64_MAX, .at_ns = -1};

	check_alarm(ALARM_S);
	scenario = scenario_of(fault);
	if (scenario && open_bed("power-cut-guest-dies")) {
		run.bed = bed;
		run.target = bed->target;
		run.step = &scenario->steps[0];
		does(fault->name, "heal unarmed", fault->heal, &run);
		does(fault->name, "arm", fault->fire, &run);
		does(fault->name, "arm again", fault->fire, &run);
		does(fault->name, "heal", fault->heal, &run);
		does(fault->name, "heal again", fault->heal, &run);
		nothing_is_left(fault->name, "cut and restored twice");
		CHECK_INT(run.fired, 1);
	}
	close_bed();
	scenario_free(scenario);
}

/* ---- evidence while nothing else answers ---- */

#define STUCK "setsid sh -c 'echo x >/srv/mail/stuck' </dev/null >/dev/null 2>&1 &"

/* Until somebody waits for the thaw. */
static bool somebody_is_stuck(void)
{
	int64_t deadline_ns = deadline_in_ms(COMMAND_MS);
	uint32_t blocked = 0;
	int rc = 0;

	while (!rc && !blocked && deadline_left_ms(deadline_ns))
		rc = bed->ops->frozen(bed, &blocked, NULL);
	return blocked > 0;
}

static json_t *saved(const char *dir, const char *name)
{
	auto_free char *path = path_join(dir, name);

	return json_load_path(path, SAVED_MAX, NULL);
}

static const json_t *task_in(const json_t *scan, const char *state, const char *stack)
{
	json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (!strcmp(json_get_text(task, "state", ""), state) &&
			strstr(json_get_text(task, "stack", ""), stack))
			return task;
	return NULL;
}

static void check_evidence(const char *dir)
{
	auto_json json_t *scan = saved(dir, "scan.json"), *owed = saved(dir, "owed.json"),
			 *around = saved(dir, "around.json");
	auto_free char *blocked = path_join(dir, "blocked.txt");
	const json_t *stuck = task_in(scan, "D", "percpu_rwsem_wait"), *part;
	const struct bed_stacks wanted = {.tids = {(int)json_get_int(stuck, "tid", 0)}, .count = 1};
	struct err err = {0};
	const char *name;

	CHECK(wanted.tids[0] > 0);
	CHECK(json_object_size(json_object_get(scan, "parts")) > 0);
	json_object_foreach (json_object_get(scan, "parts"), name, part)
		if (!CHECK(json_is_true(part)))
			fprintf(stderr, "'%s' was not read\n", name);
	CHECK_INT(json_array_size(json_object_get(scan, "unreadable")), 0);
	CHECK(json_is_array(owed));
	CHECK(json_is_array(json_object_get(around, "dot_locks")));
	CHECK_INT(json_array_size(json_object_get(around, "unknown")), 0);
	CHECK(fs_exists(blocked));
	CHECK_INT(bed->ops->stacks(bed, scan, &wanted, &err), 0);
	CHECK(json_array_size(json_object_get(stuck, "frames")) > 0);
}

/* Stopped, because init begins it again when it is dead; it answers as little. */
static void evidence_is_had_while_every_disk_is_frozen_and_the_agent_does_not_answer(void)
{
	auto_free char *dir = NULL;
	struct err err = {0};

	check_alarm(ALARM_S);
	if (open_bed("freeze-fs-during-delivery")) {
		const struct target *target = bed->target;

		dir = path_join(check_dir(), "evidence");
		says("kill -STOP $(pidof qemu-ga)");
		for (size_t i = 0; i < target->disk_count; i++)
			CHECK_INT(
				bed->ops->freeze_by_hand(bed, target->disks[i].mount, 0, &err), 0);
		CHECK_INT(bed->ops->freeze_by_hand(bed, "/", 0, &err), 0);
		says(STUCK);
		CHECK(somebody_is_stuck());
		if (CHECK_INT(bed->ops->evidence(bed, dir, &err), 0))
			check_evidence(dir);
		says("kill -CONT $(pidof qemu-ga)");
		CHECK_INT(bed->ops->thaw(bed, &err), 0);
		nothing_is_left("a freeze", "thawed");
	}
	close_bed();
}

/* QEMU's relay is this program again. */
int main(int argc, char **argv)
{
	static const struct check_case cases[] = {
		CHECK_CASE(armed_and_healed_in_every_way_a_fault_leaves_nothing),
		CHECK_CASE(
			evidence_is_had_while_every_disk_is_frozen_and_the_agent_does_not_answer),
		/* half a minute each: */
		CHECK_CASE(mail_left_on_hold_is_residue),
		CHECK_CASE(the_power_is_cut_and_restored_twice_and_nothing_is_left),
	};

	if (argc > 1 && !strcmp(argv[1], "relay"))
		return cmd_relay(argc - 1, argv + 1);
	return check_main(
		__FILE__, cases, getenv("CHECK_LONG") ? ARRAY_SIZE(cases) : 2, argc, argv);
}

/* Every fault keeps the contract of api/fault.h: walked on the fake bed, so a new fault is tested by existing. */
#include "tests/check/check.h"

#include "api/store_command.h"
#include "base/json.h"
#include "run/plan/plan.h"
#include "run/plan/scenario_load.h"
#include "run/plan/target_load.h"
#include "tests/fake/bed_fake.h"

#include <ctype.h>
#include <string.h>

#define SLOT_HELD 1
#define SLOT	  2

static const char target_yaml[] =
	"summary: the fake store\n"
	"image: none\n"
	"ready_within: 20s\n"
	"users: [u1, u2]\n"
	"services:\n"
	"  - {name: smtp, protocol: smtp, port: 25}\n"
	"  - {name: lmtp, protocol: lmtp, port: 24, seen: relay}\n"
	"  - {name: imap, protocol: imap, port: 143}\n"
	"  - {name: pop3, protocol: pop3, port: 110}\n"
	"disks:\n"
	"  - {name: mail, mount: /srv/mail, size: 64MiB, quota: users}\n"
	"  - {name: plain, mount: /srv/plain, size: 64MiB}\n"
	"commands: {start: fake-start, stop: fake-stop, queue_list: fake-queue, queue_hold: "
	"fake-hold,\n"
	"  queue_delete: fake-release,\n"
	"  revive: fake-release,\n"
	"  queue_release: fake-release, freeze: fake-hold, thaw: fake-release}\n"
	"agents:\n"
	"  - {name: delivery, stop: fake-hold, start: fake-release, crash: fake-hold, needed_by: "
	"[delivery],\n"
	"     switch_off: fake-hold, switch_on: fake-release}\n"
	"  - {name: door, stop: fake-hold, start: fake-release, socket: /run/door.sock, needed_by: "
	"[delivery]}\n"
	"roles: {deliver: [/usr/bin/deliver]}\n"
	"paths: {mailbox: ['/srv/mail/{user}/**']}\n"
	"timers: {retry_first: 1s, retry_longest: 2s}\n";

/* A value for each key that a fault may require; the last column where one fault wants its own. */
static const struct {
	const char *key, *value, *fault;
} values[] = {
	{"point", "posix/io/rw/write", "short"},
	{"command", "queue-delete", "delete-by-tool"},
	{"command", "expunge", NULL},
	{"point", "posix/io/sync/fsync", NULL},
	{"errno", "EIO", NULL},
	{"role", "deliver", NULL},
	{"path", "mail", NULL},
	{"agent", "door", "unlink-socket"},
	{"agent", "delivery", NULL},
	{"by", "-1h", NULL},
	{"model", "cache-lost", NULL},
	{"mode", "busy", NULL},
};

static const char *value_of(const char *key, const char *fault)
{
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		if (!strcmp(values[i].key, key) &&
			(!values[i].fault || !strcmp(values[i].fault, fault)))
			return values[i].value;
	return NULL;
}

struct use { /* one use of a fault on a fake bed, beside a parked call that it may look at */
	struct plan plan;
	struct bed_fake_wish wish;
	struct bed *bed;
	struct fault_run held, run;
};

static uint32_t three(void *arg)
{
	(void)arg;
	return 3;
}

static int removes_one(
	void *arg, const struct deletion *deletion, uint64_t *ret_removed, struct err *err)
{
	(void)arg;
	(void)err;
	CHECK(deletion->commands || deletion->numbers || deletion->command || deletion->file);
	(*ret_removed)++;
	return 0;
}

static void hear_nothing(void *arg, enum bed_event event, const json_t *json)
{
	(void)arg;
	(void)event;
	(void)json;
}

/* The loader itself says whether each parameter is a key that a step may have. */
static bool load(struct use *use, const struct fault *fault)
{
	auto_buf struct buf text = {0}, complaints = {0};
	struct err err = {0};
	int rc;

	buf_addf(&text,
		"claim: x\nworkload:\n  - {do: smtp, to: [u1]}\nsteps:\n"
		"  - {as: held, do: park, point: posix/io/sync/fsync, at: 0s}\n"
		"  - {as: it, do: %s, while: held",
		fault->name);
	for (const struct fault_param *p = fault->params; p && p->key; p++)
		if (p->required)
			buf_addf(&text, ", %s: '%s'", p->key, value_of(p->key, fault->name));
	buf_add_str(&text, "}\n");
	rc = scenario_parse("test.yaml", text.data, text.len, &plan_vocabulary, &complaints,
		&use->plan.scenario, &err);
	if (!rc)
		rc = target_parse("target.yaml", NULL, target_yaml, sizeof(target_yaml) - 1,
			oracles, &complaints, &use->plan.target, &err);
	if (!CHECK_INT(rc, 0))
		fprintf(stderr, "%s: %s%s\n", fault->name, buf_text(&complaints), err.text);
	return !rc;
}

static void prepare_run(struct use *use, struct fault_run *run, size_t step, unsigned int slot)
{
	*run = (struct fault_run){
		.bed = use->bed,
		.target = use->plan.target,
		.step = &use->plan.scenario->steps[step],
		.slot = slot,
		.pending = three,
		.delayed = three,
		.refused = three,
		.remove = removes_one,
	};
}

static bool begin(struct use *use, const struct fault *fault)
{
	struct err err = {0};

	*use = (struct use){.plan = {.kind = PLAN_CELL}};
	if (!load(use, fault) || !CHECK_INT(bed_fake_open(&use->bed, &use->plan, check_dir(),
						    hear_nothing, NULL, &use->wish, &err),
					 0))
		return false;
	prepare_run(use, &use->held, 0, SLOT_HELD);
	prepare_run(use, &use->run, 1, SLOT);
	use->run.held = &use->held;
	return true;
}

static void end(struct use *use)
{
	if (use->bed)
		use->bed->ops->close(use->bed);
	scenario_free(use->plan.scenario);
	target_free(use->plan.target);
}

static void residue_is_none(struct use *use, const char *fault)
{
	auto_json json_t *left = NULL;
	struct err err = {0};

	CHECK_INT(use->bed->ops->residue(use->bed, &left, &err), 0);
	if (!CHECK_INT(json_array_size(left), 0))
		fprintf(stderr, "%s left: %s\n", fault, json_string_value(json_array_get(left, 0)));
}

static void each_fault(void (*body)(struct use *use, const struct fault *fault))
{
	for (const struct fault *const *at = faults; *at; at++) {
		struct use use;

		if (begin(&use, *at))
			body(&use, *at);
		end(&use);
	}
}

/* ---- what a fault is ---- */

static bool name_ok(const char *name)
{
	for (const char *p = name; *p; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '-')
			return false;
	return *name && fault_find(name);
}

static void a_fault_is_whole(void)
{
	for (const struct fault *const *at = faults; *at; at++) {
		const struct fault *fault = *at;

		CHECK(name_ok(fault->name));
		CHECK(fault_find(fault->name) == fault);
		CHECK(fault->summary && *fault->summary && !isupper(fault->summary[0]));
		CHECK(fault->needs && *fault->needs);
		CHECK_HAS("freeze disabled-mta concurrent-delete errno power",
			fault_family_name(fault->family));
		CHECK(fault->check && fault->fire && fault->poll && fault->heal);
		CHECK(!(fault->waits && fault->instant));
		for (const struct fault_param *p = fault->params; p && p->key; p++)
			CHECK(p->summary && *p->summary);
	}
}

static void check_takes(struct use *use, const struct fault *fault)
{
	struct err err = {0};

	if (!CHECK_INT(fault->check(use->run.step, use->plan.target, &err), 0))
		fprintf(stderr, "%s: %s\n", fault->name, err.text);
}

static void a_target_that_has_all_can_take_it(void)
{
	each_fault(check_takes);
}

/* `by` is a duration, and of what is late. */
static void a_next_hop_says_how_late_it_is(void)
{
	static const struct {
		const char *keys, *complaint; /* NULL: it is taken */
	} cases[] = {
		{"mode: banner-late, by: 900ms", NULL},
		{"mode: drip, by: 5ms", NULL},
		{"mode: banner-late", NULL},
		{"mode: banner-late, by: 3", "'by: 3' has no unit; say 3s"},
		{"mode: refuse, by: 1s", "and 'refuse' is neither"},
	};
	const struct fault *fault = fault_find("next-hop-fails");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *text =
			text_fmt("claim: x\nworkload:\n  - {do: smtp, to: [u1]}\nsteps:\n"
				 "  - {do: next-hop-fails, at: 0s, %s}\n",
				cases[i].keys);
		auto_buf struct buf complaints = {0};
		struct scenario *scenario = NULL;
		struct err err = {0};

		if (!CHECK_INT(scenario_parse("test.yaml", text, strlen(text), &plan_vocabulary,
				       &complaints, &scenario, &err),
			    0))
			continue;
		CHECK_INT(fault->check(&scenario->steps[0], NULL, &err) != 0,
			cases[i].complaint != NULL);
		if (cases[i].complaint)
			CHECK_HAS(err.text, cases[i].complaint);
		scenario_free(scenario);
	}
}

/* What is wrong with a limit is said before anything runs. */
static void a_limit_says_what_it_cannot_be(void)
{
	static const struct {
		const char *fault, *keys;
		int rc;
		const char *complaint;
	} cases[] = {
		{"descriptors-full", "role: deliver", 0, NULL},
		{"descriptors-full", "role: deliver, spare: 7", 0, NULL},
		{"descriptors-full", "role: deliver, spare: 7s", -EINVAL, "'spare: 7s'"},
		{"descriptors-full", "role: deliver, spare: 100000", -EINVAL, "more than 1024"},
		{"descriptors-full", "role: filter", -ENOTSUP, "no role 'filter'"},
		{"quota-full", "path: mail, what: inodes", 0, NULL},
		{"quota-full", "path: mail, what: blocks", -EINVAL, "neither bytes nor inodes"},
		{"quota-full", "path: queue", -ENOTSUP, "no disk 'queue'"},
		{"quota-full", "path: plain", -ENOTSUP, "disk 'plain' has no quota"},
	};
	auto_buf struct buf complaints = {0};
	struct target *target = NULL;
	struct err err = {0};

	CHECK_INT(target_parse("target.yaml", NULL, target_yaml, sizeof(target_yaml) - 1, oracles,
			  &complaints, &target, &err),
		0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_free char *text =
			text_fmt("claim: x\nworkload:\n  - {do: smtp, to: [u1]}\nsteps:\n"
				 "  - {do: %s, at: 0s, %s}\n",
				cases[i].fault, cases[i].keys);
		struct scenario *scenario = NULL;

		err = (struct err){0};
		if (!CHECK_INT(scenario_parse("test.yaml", text, strlen(text), &plan_vocabulary,
				       &complaints, &scenario, &err),
			    0))
			continue;
		CHECK_INT(fault_find(cases[i].fault)->check(&scenario->steps[0], target, &err),
			cases[i].rc);
		if (cases[i].complaint)
			CHECK_HAS(err.text, cases[i].complaint);
		scenario_free(scenario);
	}
	target_free(target);
}

static void check_points(struct use *use, const struct fault *fault)
{
	struct step step = *use->run.step;
	const char *point;
	size_t count = 0;

	for (; fault->point && (point = fault->point(count)); count++) {
		struct err err = {0};

		step.point = (char *)point;
		if (fault->check(&step, use->plan.target, &err)) /* not each errno is each call's */
			CHECK_HAS(err.text, "is nothing that");
	}
	CHECK_INT(count > 0, step.point != NULL);
}

static void it_takes_each_point_that_it_names(void)
{
	each_fault(check_points);
}

static void an_errno_of_a_quota_is_a_quota_used_up(void)
{
	const struct fault *fault = fault_find("errno");

	CHECK_INT(fault_is_in(fault, &(struct step){.errno_name = (char *)"EDQUOT"}), FAULT_QUOTA);
	CHECK_INT(fault_is_in(fault, &(struct step){.errno_name = (char *)"EIO"}), 0);
	CHECK_INT(fault_is_in(fault_find("kill"), &(struct step){0}), FAULT_KILLS);
}

/* A fault that must be told a part of the target cannot do without that part. */
static bool needs_a_part(const struct fault *fault)
{
	for (const struct fault_param *p = fault->params; p && p->key; p++)
		if (p->required && (!strcmp(p->key, "role") || !strcmp(p->key, "agent") ||
					   !strcmp(p->key, "path")))
			return true;
	return false;
}

static void check_empty(struct use *use, const struct fault *fault)
{
	struct target empty = {0};
	struct err err = {0};
	int rc = fault->check(use->run.step, &empty, &err);

	CHECK(rc == -ENOTSUP || (rc == 0 && !needs_a_part(fault)));
	CHECK(rc == 0 || *err.text);
}

static void an_empty_target_is_a_skip_with_a_reason(void)
{
	each_fault(check_empty);
}

/* ---- what it is to the laws ---- */

static void says_what_it_is(const struct fault *fault)
{
	auto_json json_t *line = json_pack("{ss}", "fault", fault->name);

	CHECK_INT(fault_is_read(line), fault->is); /* a line of before that had the key */
	fault_is_say(fault->is, line);
	json_object_set_new(line, "fault", json_string("renamed"));
	CHECK_INT(fault_is_read(line), fault->is);
}

static void what_it_is_comes_back_from_the_history(void)
{
	auto_json json_t *strange =
		json_pack("{ss s[ssi]}", "fault", "park", "is", "kills", "no-such-thing", 5);

	for (const struct fault *const *at = faults; *at; at++)
		says_what_it_is(*at);
	CHECK_INT(fault_is_read(strange), FAULT_KILLS);
	CHECK_INT(fault_find("kill")->is, FAULT_KILLS);
	CHECK(fault_find("mta-silent")->is & FAULT_SILENT);
	CHECK(fault_find("mta-drips")->is & FAULT_DRIPS);
	CHECK_INT(fault_find("power-cut")->is, FAULT_CUTS_POWER);
}

/* ---- what a queue says ---- */

static void entries_of_the_queue_are_counted_by_their_state(void)
{
	static const char listing[] =
		"A1 hold u1@store\nA2\nA3 active hold\nA4 holding u1\nA5 hold";

	CHECK_INT(store_count_state(listing, "hold"), 2); /* A1, and A5 of nobody */
	CHECK_INT(store_count_state("A1 hold \nA2\nA3 hold u2\n", "hold"), 2);
	CHECK_INT(store_count_state("A2\nA3 hold u2\n", "hold"), 1); /* A2 has no state */
	CHECK_INT(store_count_state("", "hold"), 0);
}

/* ---- its life ---- */

static void live_twice(struct use *use, const struct fault *fault)
{
	struct err err = {0};
	uint64_t fired;

	CHECK_INT(fault_find("park")->fire(&use->held, &err), 0);
	for (int i = 0; i < 2; i++)
		if (!CHECK_INT(fault->fire(&use->run, &err), 0))
			fprintf(stderr, "%s: %s\n", fault->name, err.text);
	CHECK_INT(fault->poll(&use->run, &err), 0);
	fired = use->run.fired;
	for (int i = 0; i < 2; i++)
		if (!CHECK_INT(fault->heal(&use->run, &err), 0))
			fprintf(stderr, "%s: %s\n", fault->name, err.text);
	CHECK_INT(fault->poll(&use->run, &err), 0);
	CHECK(use->run.fired >= fired);
	CHECK(!fault->waits || fired);
	CHECK_INT(fault_find("park")->heal(&use->held, &err), 0);
	residue_is_none(use, fault->name);
}

static void fired_twice_and_healed_twice_it_leaves_nothing(void)
{
	each_fault(live_twice);
}

static void heal_unfired(struct use *use, const struct fault *fault)
{
	struct err err = {0};

	CHECK_INT(fault->poll(&use->run, &err), 0);
	if (fault->waits) /* a rule on calls says why it met none */
		CHECK_HAS(use->run.text, "came to");
	if (!CHECK_INT(fault->heal(&use->run, &err), 0))
		fprintf(stderr, "%s: %s\n", fault->name, err.text);
	residue_is_none(use, fault->name);
}

static void healed_without_having_fired_it_does_no_harm(void)
{
	each_fault(heal_unfired);
}

static void rename_command(struct target *target, const char *name, const char *line)
{
	for (size_t i = 0; i < target->command_count; i++) {
		if (strcmp(target->commands[i].name, name) != 0)
			continue;
		free(target->commands[i].line);
		target->commands[i].line = text_dup(line);
	}
}

/* The fake store knows no such command, so the heal fails where it runs it. */
static void after_a_kill_the_operator_revives_what_nobody_starts_again(void)
{
	struct err err = {0};
	struct use use;

	if (begin(&use, fault_find("kill"))) {
		rename_command(use.plan.target, "revive", "fake-revive");
		CHECK_INT(fault_find("kill")->heal(&use.run, &err), 0); /* nobody was killed */
		use.run.fired = 1;
		CHECK_INT(fault_find("kill")->heal(&use.run, &err), -EIO);
		CHECK_HAS(err.text, "'revive' ended with 127");
	}
	end(&use);
}

static int guest_refuses(
	void *arg, const struct deletion *deletion, uint64_t *ret_removed, struct err *err)
{
	(void)arg;
	(void)ret_removed;
	return err_set(err, -EREMOTEIO, "cannot unlink '%s'", deletion->file);
}

static int status_of_look; /* at the file: 0, it is gone */

static int looks(struct bed *bed, const char *line, const char *const *env, int64_t timeout_ms,
	bool daemons, struct command_result *ret, struct err *err)
{
	(void)bed;
	(void)line;
	(void)timeout_ms;
	(void)daemons;
	(void)err;
	CHECK_HAS(env[0], "RIG_FILE=/");
	*ret = (struct command_result){.status = status_of_look};
	return 0;
}

/* A file that is still there was not removed, which the cell must hear of. */
static void a_file_that_went_by_itself_is_no_trouble_and_not_counted(void)
{
	const struct fault *fault = fault_find("unlink"), *park = fault_find("park");
	struct bed_ops ops;
	struct err err = {0};
	struct use use;

	if (begin(&use, fault) && CHECK_INT(park->fire(&use.held, &err), 0)) {
		const struct bed_ops *own = use.bed->ops;

		ops = *own;
		ops.run = looks;
		use.bed->ops = &ops;
		use.run.remove = guest_refuses;
		for (status_of_look = 0; status_of_look < 2; status_of_look++)
			CHECK_INT(fault->fire(&use.run, &err), status_of_look ? -EREMOTEIO : 0);
		CHECK_INT(use.run.fired, 0);
		use.bed->ops = own;
		CHECK_INT(park->heal(&use.held, &err), 0);
	}
	end(&use);
}

static void heal_a_dead_store(struct use *use, const struct fault *fault)
{
	struct command_result result = {0};
	struct err err = {0};

	CHECK_INT(fault_find("park")->fire(&use->held, &err), 0);
	CHECK_INT(fault->fire(&use->run, &err), 0);
	CHECK_INT(use->bed->ops->run(use->bed, "fake-die", NULL, 1000, false, &result, &err), 0);
	CHECK_INT(fault->poll(&use->run, &err), 0);
	CHECK_INT(fault->heal(&use->run, &err), 0);
	CHECK_INT(fault_find("park")->heal(&use->held, &err), 0);
	residue_is_none(use, fault->name);
}

static void healed_after_the_store_died_it_leaves_nothing(void)
{
	each_fault(heal_a_dead_store);
}

CHECK_MAIN(CHECK_CASE(a_fault_is_whole), CHECK_CASE(a_target_that_has_all_can_take_it),
	CHECK_CASE(a_next_hop_says_how_late_it_is), CHECK_CASE(a_limit_says_what_it_cannot_be),
	CHECK_CASE(it_takes_each_point_that_it_names),
	CHECK_CASE(an_errno_of_a_quota_is_a_quota_used_up),
	CHECK_CASE(an_empty_target_is_a_skip_with_a_reason),
	CHECK_CASE(what_it_is_comes_back_from_the_history),
	CHECK_CASE(entries_of_the_queue_are_counted_by_their_state),
	CHECK_CASE(fired_twice_and_healed_twice_it_leaves_nothing),
	CHECK_CASE(healed_without_having_fired_it_does_no_harm),
	CHECK_CASE(after_a_kill_the_operator_revives_what_nobody_starts_again),
	CHECK_CASE(a_file_that_went_by_itself_is_no_trouble_and_not_counted),
	CHECK_CASE(healed_after_the_store_died_it_leaves_nothing))

/* The life of a cell on the fake store: each verdict for its own reason, and never another. */
#include "tests/unit/cell_fixture.h"

static const char target_yaml[] = "summary: the fake store\n"
				  "image: none\n"
				  "ready_within: 20s\n"
				  "users: [u1, u2]\n"
				  "services:\n"
				  "  - {name: smtp, protocol: smtp, port: 25}\n"
				  "  - {name: lmtp, protocol: lmtp, port: 24, seen: relay}\n"
				  "  - {name: imap, protocol: imap, port: 143}\n"
				  "disks:\n"
				  "  - {name: mail, mount: /srv/mail, size: 64MiB}\n"
				  "commands: {start: fake-start, stop: fake-stop, queue_list: "
				  "fake-queue, user_add: fake-queue, dismount: fake-stop, mount: "
				  "fake-start}\n"
				  "timers: {retry_first: 1s, retry_longest: 2s}\n"
				  "objectives: {recover: 2s, drain: 4s, stop: 2s}\n";

static const char *more_yaml = ""; /* of the target */

static const char workload_yaml[] =
	"claim: nothing is lost\n"
	"workload:\n"
	"  - {as: writers, do: smtp, sessions: 2, messages: 8, to: [u1, u2]}\n";

static const char freeze_yaml[] =
	"steps:\n"
	"  - {as: snapshot, do: freeze-fs, when: smtp/data, nth: 3, for: 200ms}\n";

static const char refuse_yaml[] =
	"steps:\n"
	"  - {as: gone, do: mta-refuses, when: smtp/data, nth: 3, for: 200ms}\n";

static const char reply_yaml[] =
	"steps:\n"
	"  - {as: snapshot, do: freeze-fs, when: smtp/reply, nth: 3, for: 200ms}\n";

static const char patient_yaml[] =
	"steps:\n"
	"  - {as: snapshot, do: freeze-fs, when: smtp/reply, nth: 3, within: 20s, for: 200ms}\n";

static const char never_yaml[] = "steps:\n"
				 "  - {as: snapshot, do: freeze-fs, when: smtp/data, nth: 500}\n";

/* What is appended is in its mailbox when it is answered: nothing is left that could meet the freeze. */
static const char idle_yaml[] = "claim: nothing is lost\n"
				"workload:\n"
				"  - {as: writers, do: append, messages: 4, user: u1}\n"
				"steps:\n"
				"  - {as: snapshot, do: freeze-fs, after: writers, for: 50ms}\n";

/* One session and its first message: nothing else can be waiting in the freeze. */
static const char lone_yaml[] = "claim: nobody waits for ever\n"
				"workload:\n"
				"  - {as: writers, do: smtp, messages: 4, to: [u1]}\n"
				"steps:\n"
				"  - {as: snapshot, do: freeze-fs, when: smtp/data, for: 200ms}\n";

/* `steps` of the usual workload, or a whole scenario. */
static struct plan *make_plan(const char *steps)
{
	bool whole = !strncmp(steps, "claim:", 6);
	auto_free char *text = text_fmt("%s%s", whole ? "" : workload_yaml, steps);
	auto_free char *target = text_fmt("%s%s", target_yaml, more_yaml);

	return fixture_plan_on(target, text);
}

static void run(const char *steps, struct bed_fake_wish *wish, struct result *ret)
{
	fixture_run_plan(make_plan(steps), wish, ret);
}

static void expect(
	const char *steps, struct bed_fake_wish wish, enum verdict verdict, const char *reason)
{
	struct result result = {0};

	run(steps, &wish, &result);
	CHECK_STR(verdict_name(result.verdict), verdict_name(verdict));
	CHECK_HAS(result.reason, reason);
	result_free(&result);
}

static void a_healthy_store_passes_a_freeze(void)
{
	struct bed_fake_wish wish = {0};
	struct result result = {0};

	run(freeze_yaml, &wish, &result);
	CHECK_STR(verdict_name(result.verdict), "PASS");
	CHECK_STR(result.reason, "");
	CHECK(result.fired > 0);
	CHECK_INT(result.residue, 0);
	CHECK(result.recover_ms >= 0);
	result_free(&result);
}

static void a_healthy_store_passes_a_dead_delivery_agent(void)
{
	expect(refuse_yaml, (struct bed_fake_wish){0}, VERDICT_PASS, "");
}

static void a_fault_too_late_for_its_moment_on_the_wire_counts_as_not_fired(void)
{
	struct bed_fake_wish late = {.wire_late_ms = 5000};

	expect(reply_yaml, late, VERDICT_UNKNOWN, "after its moment");
	expect(patient_yaml, late, VERDICT_PASS, "");
	expect(reply_yaml, (struct bed_fake_wish){0}, VERDICT_PASS, "");
}

static void a_healthy_store_passes_without_any_fault(void)
{
	expect("", (struct bed_fake_wish){0}, VERDICT_PASS, "");
}

/* The store would be gone, and would be blamed for it. */
static void what_a_command_of_the_store_starts_lives_on(void)
{
	expect("steps:\n"
	       "  - {as: gone, do: dismount, after: writers}\n"
	       "  - {as: back, do: mount, after: gone}\n"
	       "  - {do: imap, after: back, user: u1, send: [SELECT INBOX]}\n",
		(struct bed_fake_wish){0}, VERDICT_PASS, "");
}

static void a_lost_mail_is_a_finding_of_s1(void)
{
	expect(freeze_yaml, (struct bed_fake_wish){.bug = FAKE_LOSES, .nth = 1}, VERDICT_FAIL,
		"S1");
}

static void a_kept_refused_mail_is_a_finding_of_s2(void)
{
	expect(freeze_yaml, (struct bed_fake_wish){.bug = FAKE_KEEPS_REFUSED, .nth = 1},
		VERDICT_FAIL, "S2");
}

static void a_doubled_mail_is_a_finding_of_s3(void)
{
	expect(freeze_yaml, (struct bed_fake_wish){.bug = FAKE_DUPLICATES, .nth = 1}, VERDICT_FAIL,
		"S3");
}

static void a_queue_that_stands_still_is_a_finding_of_s7(void)
{
	expect(refuse_yaml, (struct bed_fake_wish){.bug = FAKE_QUEUE_STUCK, .nth = 1}, VERDICT_FAIL,
		"S7");
}

static void a_hang_after_the_thaw_is_a_finding_of_h1(void)
{
	expect(lone_yaml, (struct bed_fake_wish){.bug = FAKE_HANGS_AT_THAW, .nth = 1}, VERDICT_FAIL,
		"H1");
}

static void a_stop_that_hangs_is_a_finding_of_h2(void)
{
	expect(freeze_yaml, (struct bed_fake_wish){.bug = FAKE_STOP_HANGS, .nth = 1}, VERDICT_FAIL,
		"H2");
}

/* The same hang, the same store: only the host is another. */
static void what_is_late_on_a_starved_host_is_unknown_and_says_so(void)
{
	struct bed_fake_wish wish = {.bug = FAKE_HANGS_AT_THAW, .nth = 1, .starves = true};
	struct result result = {0};

	run(lone_yaml, &wish, &result);
	CHECK_STR(verdict_name(result.verdict), "UNKNOWN");
	CHECK_HAS(result.reason, "cannot be told: ");
	CHECK_HAS(result.reason, "starved");
	CHECK(result.starved);
	result_free(&result);
}

static void a_starved_host_alone_is_nothing(void)
{
	expect(freeze_yaml, (struct bed_fake_wish){.starves = true}, VERDICT_PASS, "");
}

static void a_stop_by_force_is_a_finding_of_h2(void)
{
	expect(freeze_yaml, (struct bed_fake_wish){.stops_by_force = true}, VERDICT_FAIL,
		"H2: the stop ended");
}

static void a_death_by_signal_is_a_finding_of_h5(void)
{
	expect(freeze_yaml, (struct bed_fake_wish){.bug = FAKE_DIES, .nth = 1}, VERDICT_FAIL, "H5");
}

static void a_fault_that_met_nothing_is_unknown(void)
{
	expect(idle_yaml, (struct bed_fake_wish){0}, VERDICT_UNKNOWN, "fired 0");
}

/* An agent whose way of being disabled hurts nothing here: what meets it are the actions that need it. */
static const char agent_yaml[] =
	"agents:\n"
	"  - {name: gate, stop: fake-queue, start: fake-queue, needed_by: [user_add]}\n";

#define GATE       \
	"steps:\n" \
	"  - {as: no_gate, do: mta-disabled, agent: gate, at: 0s, for: 500ms}\n"

static void an_action_that_needs_a_disabled_agent_has_met_it(void)
{
	static const char met[] = GATE "  - {do: user-add, users: [a, b], while: no_gate}\n";

	more_yaml = agent_yaml;
	expect(met, (struct bed_fake_wish){0}, VERDICT_PASS, "");
	expect(GATE, (struct bed_fake_wish){0}, VERDICT_UNKNOWN, "fired 0");
	more_yaml = "";
}

static void watchers_who_come_and_go_harm_no_healthy_store(void)
{
	static const char watchers[] =
		"claim: who waits for changes is told of them\n"
		"workload:\n"
		"  - {as: writers, do: smtp, messages: 8, pace: 20/s, to: [u1]}\n"
		"  - {as: polite, do: idle, user: u1, sessions: 2, messages: 4, pace: 20/s}\n"
		"  - {as: rude, do: idle, user: u1, messages: 4, pace: 20/s, leave: drop}\n"
		"  - {as: patient, do: idle, user: u1}\n";

	expect(watchers, (struct bed_fake_wish){0}, VERDICT_PASS, "");
}

/* The workload and the time of a recovery are long over by then. */
static void a_step_that_waits_for_its_time_alone_has_it(void)
{
	static const char late[] =
		"steps:\n"
		"  - {as: late, do: imap, at: 600ms, user: u1, send: [SELECT INBOX]}\n"
		"  - {as: later, do: imap, after: late, delay: 400ms, user: u1, send: [NOOP]}\n"
		"objectives: {recover: 50ms}\n";

	expect(late, (struct bed_fake_wish){0}, VERDICT_PASS, "");
}

static void a_moment_that_never_came_is_unknown(void)
{
	expect(never_yaml, (struct bed_fake_wish){0}, VERDICT_UNKNOWN, "snapshot");
}

static void a_bed_that_does_not_open_is_broken(void)
{
	expect(freeze_yaml, (struct bed_fake_wish){.fails_to_open = true}, VERDICT_BROKEN,
		"there is no machine");
}

static void a_failed_heal_is_broken(void)
{
	expect(freeze_yaml, (struct bed_fake_wish){.fails_to_thaw = true}, VERDICT_BROKEN, "thaw");
}

static void residue_is_broken(void)
{
	expect(freeze_yaml, (struct bed_fake_wish){.leaves_residue = true}, VERDICT_BROKEN,
		"still armed");
}

/* fixture_run_plan() sees each bed closed, once. */
static void after_a_broken_cell_the_next_starts_clean(void)
{
	static const struct bed_fake_wish broken[] = {
		{.fails_to_thaw = true}, {.leaves_residue = true}};

	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		struct result result = {0};
		struct bed_fake_wish wish = {0};

		expect(freeze_yaml, broken[i], VERDICT_BROKEN, "");
		run(freeze_yaml, &wish, &result);
		CHECK_STR(verdict_name(result.verdict), "PASS");
		CHECK_INT(result.residue, 0);
		result_free(&result);
	}
}

static void a_panic_is_broken(void)
{
	expect(freeze_yaml, (struct bed_fake_wish){.panics_at_freeze = true}, VERDICT_BROKEN,
		"kernel panic");
}

static void trouble_before_a_finding_makes_it_suspect(void)
{
	struct bed_fake_wish wish = {.bug = FAKE_STOP_HANGS, .nth = 1, .fails_to_thaw = true};
	struct result result = {0};

	run(freeze_yaml, &wish, &result);
	CHECK_STR(verdict_name(result.verdict), "BROKEN");
	if (CHECK(result.finding_count > 0))
		CHECK(result.findings[0].suspect);
	result_free(&result);
}

static void no_law_is_blamed_where_frames_were_lost(void)
{
	struct bed_fake_wish wish = {.bug = FAKE_LOSES, .nth = 1, .loses_frames = true};
	struct result result;

	run(freeze_yaml, &wish, &result);
	CHECK_STR(verdict_name(result.verdict), "BROKEN");
	CHECK_HAS(result.reason, "frames");
	CHECK(result.finding_count && result.findings[0].suspect);
	result_free(&result);
}

static void the_same_seed_gives_the_same_signature(void)
{
	struct bed_fake_wish wish = {.bug = FAKE_LOSES, .nth = 1};
	struct result first = {0}, second = {0};

	run(freeze_yaml, &wish, &first);
	run(freeze_yaml, &wish, &second);
	if (CHECK(first.finding_count > 0 && second.finding_count > 0))
		CHECK_STR(second.findings[0].signature, first.findings[0].signature);
	result_free(&first);
	result_free(&second);
}

/* Without the fault nothing ends by itself: who is compared with it must have begun, and gone round. */
static void a_baseline_of_clients_who_never_end_lasts_some_rounds(void)
{
	struct plan *plan = make_plan("claim: a freeze is survived\n"
				      "workload:\n"
				      "  - {as: reader, do: imap, pace: 4/s, user: u1}\n"
				      "steps:\n"
				      "  - {as: snapshot, do: freeze-fs, at: 1s, for: 200ms}\n");
	struct fixture_cell cell = {0};

	fixture_cell_start(&cell, plan_baseline(plan));
	pthread_join(cell.thread, NULL);
	CHECK_INT(cell.rc, 0);
	CHECK_STR(verdict_name(cell.result.verdict), "PASS");
	CHECK(fixture_lines(cell.dir, "{ss ss}", "ev", "begin", "op", "imap-noop") > 1);
	fixture_cell_free(&cell);
	plan_free(plan);
}

static void a_control_has_no_fault_left(void)
{
	struct plan *plan = make_plan(
		"steps:\n"
		"  - {as: snapshot, do: freeze-fs, when: smtp/data, nth: 3, for: 1s}\n"
		"  - {as: other, do: imap, while: snapshot, user: u1, send: [SELECT INBOX]}\n");
	struct plan *control = plan_control(plan);

	CHECK_INT(control->kind, PLAN_CONTROL);
	if (CHECK_INT(control->scenario->step_count, 1)) {
		CHECK_STR(control->scenario->steps[0].label, "other");
		CHECK_STR(control->scenario->steps[0].trigger.moment, "smtp/data");
		CHECK_INT(control->scenario->steps[0].trigger.nth, 3);
	}
	plan_free(control);
	plan_free(plan);
}

CHECK_MAIN(CHECK_CASE(a_healthy_store_passes_a_freeze),
	CHECK_CASE(a_healthy_store_passes_a_dead_delivery_agent),
	CHECK_CASE(a_fault_too_late_for_its_moment_on_the_wire_counts_as_not_fired),
	CHECK_CASE(a_healthy_store_passes_without_any_fault),
	CHECK_CASE(what_a_command_of_the_store_starts_lives_on),
	CHECK_CASE(a_lost_mail_is_a_finding_of_s1),
	CHECK_CASE(a_kept_refused_mail_is_a_finding_of_s2),
	CHECK_CASE(a_doubled_mail_is_a_finding_of_s3),
	CHECK_CASE(a_queue_that_stands_still_is_a_finding_of_s7),
	CHECK_CASE(a_hang_after_the_thaw_is_a_finding_of_h1),
	CHECK_CASE(a_stop_that_hangs_is_a_finding_of_h2),
	CHECK_CASE(what_is_late_on_a_starved_host_is_unknown_and_says_so),
	CHECK_CASE(a_starved_host_alone_is_nothing), CHECK_CASE(a_stop_by_force_is_a_finding_of_h2),
	CHECK_CASE(a_death_by_signal_is_a_finding_of_h5),
	CHECK_CASE(a_fault_that_met_nothing_is_unknown),
	CHECK_CASE(an_action_that_needs_a_disabled_agent_has_met_it),
	CHECK_CASE(watchers_who_come_and_go_harm_no_healthy_store),
	CHECK_CASE(a_step_that_waits_for_its_time_alone_has_it),
	CHECK_CASE(a_moment_that_never_came_is_unknown),
	CHECK_CASE(a_bed_that_does_not_open_is_broken), CHECK_CASE(a_failed_heal_is_broken),
	CHECK_CASE(residue_is_broken), CHECK_CASE(after_a_broken_cell_the_next_starts_clean),
	CHECK_CASE(a_panic_is_broken), CHECK_CASE(trouble_before_a_finding_makes_it_suspect),
	CHECK_CASE(no_law_is_blamed_where_frames_were_lost),
	CHECK_CASE(the_same_seed_gives_the_same_signature),
	CHECK_CASE(a_baseline_of_clients_who_never_end_lasts_some_rounds),
	CHECK_CASE(a_control_has_no_fault_left))

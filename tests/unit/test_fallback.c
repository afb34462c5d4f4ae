/*
 * What takes the place of a call fault that reaches nobody: the table, in a plan, and in a whole cell on the fake store.
 */
#include "tests/unit/cell_fixture.h"

#include "api/call_rule.h"
#include "run/plan/fallback.h"

static const char target_yaml[] =
	"summary: the fake store\n"
	"image: none\n"
	"users: [u1]\n"
	"services:\n"
	"  - {name: smtp, protocol: smtp, port: 25}\n"
	"  - {name: imap, protocol: imap, port: 143}\n"
	"disks:\n"
	"  - {name: mail, mount: /srv/mail, size: 64MiB}\n"
	"  - {name: queue, mount: /srv/queue, size: 64MiB}\n"
	"commands: {start: fake-start, stop: fake-stop, queue_list: fake-queue}\n"
	"roles: {deliver: [/bin/deliver]}\n"
	"paths: {mailbox: ['/srv/mail/{user}/new/*', '/srv/mail/{user}/cur/*'],\n"
	"  index: ['/srv/mail/{user}/index', '/srv/queue/index'], queue: ['/srv/queueing/*']}\n";

#define FAIL	"  - {as: held, do: errno, at: 1s, role: deliver, errno: EIO, point: "
#define SHORTEN "  - {as: held, do: short, at: 1s, role: deliver, point: "
#define KILL	"  - {as: held, do: kill, at: 1s, role: deliver, point: "
#define PARK	"  - {as: held, do: park, role: deliver, for: 200ms, when: smtp/dot, point: "

static const struct fallback_case {
	const char *step, *now, *place, *why;
} fallback_cases[] = {
	{PARK "posix/io/net/recv}", "freeze-process", "deliver", NULL},
	{PARK "posix/io/rw/read}", "freeze-process", "deliver", NULL},
	{PARK "posix/proc/waitpid}", "freeze-process", "deliver", NULL},
	/* Its files are on one disk: there each such call stands still, and nothing else of the process does. */
	{PARK "posix/io/sync/fsync, path: mailbox}", "freeze-disk", "mail", NULL},
	{PARK "posix/io/dir/rename, path: mailbox}", "freeze-fs", "mail", NULL},
	{PARK "posix/io/rw/write, path: /srv/queue/a}", "freeze-fs", "queue", NULL},
	/* No file is named: whichever it is, the process stands still. */
	{PARK "posix/io/sync/fsync}", "freeze-process", "deliver", NULL},
	{PARK "posix/io/sync/fsync, path: index}", NULL, NULL, "on no disk of their own"},
	{PARK "posix/io/sync/fsync, path: queue}", NULL, NULL, "on no disk of their own"},
	{PARK "posix/io/oc/open, path: mailbox}", NULL, NULL, "the file of a call"},
	{PARK "posix/io/net/recv, hit: 2}", NULL, NULL, "counts calls"},
	{PARK "posix/io/net/recv, calls: 2}", NULL, NULL, "counts calls"},
	{PARK "posix/io/net/recv, caller: main}", NULL, NULL, "which function"},
	{PARK "posix/io/net/recv, kind: socket}", NULL, NULL, "the descriptor"},
	{PARK "posix/io/net/recv, step: mail}", NULL, NULL, "whose work"},
	{PARK "fake/commit}", NULL, NULL, "a point of the store's own"},
	{"  - {as: held, do: park, role: deliver, for: 1s, point: posix/io/net/recv}", NULL, NULL,
		"no moment of its own"},
	{"  - {as: held, do: park, at: 1s, for: 1s, point: posix/io/net/recv}", NULL, NULL,
		"whom to stop"},
	/* By ptrace it stays what it is, and as exact. */
	{FAIL "posix/io/rw/write, hit: 2, calls: 3, path: index, kind: file}", "ptrace", "index",
		NULL},
	{SHORTEN "posix/io/net/send}", "ptrace", "deliver", NULL},
	{KILL "posix/io/dir/rename, path: mailbox}", "ptrace", "mailbox", NULL},
	{FAIL "posix/io/rw/write, caller: main}", NULL, NULL, "which function"},
	{FAIL "posix/stdio/oc/fopen}", NULL, NULL, "a function of libc"},
	{KILL "posix/pthread/mutex_lock}", NULL, NULL, "a function of libc"},
	{KILL "fake/commit}", NULL, NULL, "a point of the store's own"},
	{"  - {as: held, do: kill, at: 1s, point: posix/io/rw/write}", NULL, NULL, "no role"},
};

static struct plan *make(const char *step)
{
	auto_free char *yaml = text_fmt("claim: nothing is lost\n"
					"workload:\n"
					"  - {as: mail, do: smtp, messages: 4, to: [u1]}\n"
					"steps:\n%s\n",
		step);

	return fixture_plan_on(target_yaml, yaml);
}

static void what_means_the_same_takes_its_place_and_nothing_else_does(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(fallback_cases); i++) {
		const struct fallback_case *c = &fallback_cases[i];
		struct plan *plan = make(c->step);
		struct step *step = &plan->scenario->steps[0];
		const char *now = NULL;
		struct err err = {{0}};
		int rc = fallback_take(step, plan->scenario, plan->target, &now, &err);
		bool ok = CHECK_INT(rc, c->now ? 0 : -ENOTSUP);

		if (c->now && !rc) {
			ok = CHECK_STR(now, c->now) && ok;
			ok = CHECK_STR(step->path ? step->path : step->role, c->place) && ok;
			if (!strcmp(c->now, "ptrace"))
				ok = CHECK(step->point && step->role) && ok;
			else
				ok = CHECK_STR(step->what, c->now) &&
				     CHECK(!step->point && !step->path != !step->role) && ok;
			ok = CHECK_STR(step->label, "held") && ok;
		} else {
			ok = CHECK_HAS(err.text, c->why ? c->why : "nothing") && ok;
			ok = CHECK(step->point != NULL) && ok;
		}
		if (!ok)
			fprintf(stderr, "%s\n", c->step);
		plan_free(plan);
	}
}

/* The policy service of this target is static, and so it is known before its image is built. */
static void a_static_program_of_a_role_is_told_when_it_is_planned(void)
{
	const char *const scenarios[] = {
		"policy-calls-fail", "policy-parked", "policy-stuck", NULL};
	const char *const targets[] = {"postfix-dovecot", NULL};
	struct plan_request request = {.scenarios = scenarios, .targets = targets, .seed = 1};
	auto_buf struct buf complaints = {0};
	struct plan_list list = {0};
	struct err err = {{0}};
	auto_free char *root = plan_root(&err), *cache = path_join(check_dir(), "cache");

	setenv("MAILRIG_CACHE", cache, 1);
	request.root = root;
	CHECK_INT(plan_make(&request, &list, &complaints, &err), 0);
	unsetenv("MAILRIG_CACHE");
	if (CHECK_INT(list.count, 3) && CHECK_INT(list.at[1]->fallback.count, 1)) {
		struct plan *again = plan_copy(list.at[1]);

		CHECK(!list.at[1]->skip);
		CHECK_HAS(again->fallback.at[0],
			"freeze-process for 'held' (park at posix/io/net/recv): "
			"'/run/rig/target/policy' cannot be reached by 'park': static");
		CHECK_STR(again->scenario->steps[0].what, "freeze-process");
		CHECK_STR(again->scenario->steps[0].role, "policy");
		CHECK_STR(again->target->unreached.at[0], "/run/rig/target/policy");
		CHECK_INT(list.at[2]->fallback.count, 0);
		CHECK(!list.at[0]->skip);
		CHECK_INT(list.at[0]->fallback.count, 1);
		CHECK_HAS(list.at[0]->fallback.at[0],
			"ptrace for 'reset' (errno at posix/io/net/recv): "
			"'/run/rig/target/policy' cannot be reached by 'errno': static");
		CHECK_STR(list.at[0]->scenario->steps[0].what, "errno");
		plan_free(again);
	}
	plan_list_free(&list);
}

static void a_fallback_is_in_the_result_of_its_cell(void)
{
	struct plan *plan = make(PARK "posix/io/net/recv}");
	struct fixture_cell cell = {0};
	const char *now;

	CHECK_INT(
		fallback_take(&plan->scenario->steps[0], plan->scenario, plan->target, &now, NULL),
		0);
	plan->fallback.at = mem_grow(NULL, 1, sizeof(char *));
	plan->fallback.at[plan->fallback.count++] = text_dup("freeze-process for 'held'");
	fixture_cell_start(&cell, plan);
	pthread_join(cell.thread, NULL);
	CHECK_STR(verdict_name(cell.result.verdict), "PASS");
	CHECK(cell.result.fired > 0);
	CHECK_INT(cell.result.residue, 0);
	CHECK_STR(cell.result.fallback, "freeze-process for 'held'");
	fixture_cell_free(&cell);
}

/* ---- rules that mean more than one program ---- */

static size_t programs_meant, programs_traced;

static int count_programs(
	struct bed *bed, const struct call_rule *rule, int64_t *ret_at_ns, struct err *err)
{
	(void)bed;
	(void)ret_at_ns;
	(void)err;
	for (programs_meant = 0; rule->programs && rule->programs[programs_meant];)
		programs_meant++;
	for (programs_traced = 0; rule->traced && rule->traced[programs_traced];)
		programs_traced++;
	return 0;
}

static void who_cannot_be_reached_is_meant_only_where_nobody_else_is(void)
{
	char mta[] = "/bin/mta", policy[] = "/bin/policy", *programs[] = {mta, policy},
	     *far[] = {policy};
	char receive[] = "receive", asked[] = "policy";
	struct role roles[] = {{.name = receive, .programs = {programs, 2}},
		{.name = asked, .programs = {far, 1}}};
	struct target target = {.roles = roles, .role_count = 2, .unreached = {far, 1}};
	const struct bed_ops ops = {.arm = count_programs};
	struct bed bed = {.ops = &ops, .target = &target};
	struct step step = {.point = (char *)"posix/io/net/recv", .hit = 1, .calls = 1};
	struct fault_run run = {.bed = &bed, .target = &target, .step = &step};

	CHECK_INT(call_rule_fire(&run, "park", NULL), 0);
	CHECK_INT(programs_meant, 1); /* any of the store's: /bin/mta */
	step.role = receive;
	CHECK_INT(call_rule_fire(&run, "park", NULL), 0);
	CHECK_INT(programs_meant, 1);
	step.role = asked; /* the bed will say that it has no board */
	CHECK_INT(call_rule_fire(&run, "park", NULL), 0);
	CHECK_INT(programs_meant, 1);
	CHECK_INT(programs_traced, 0);
	target.unreached.count = 0;
	step.role = NULL;
	CHECK_INT(call_rule_fire(&run, "park", NULL), 0);
	CHECK_INT(programs_meant, 3);
}

static void who_cannot_be_reached_is_traced_where_its_role_is_meant(void)
{
	char mta[] = "/bin/mta", policy[] = "/bin/policy", *programs[] = {mta, policy},
	     *far[] = {policy}, receive[] = "receive", what[] = "kill";
	struct role roles[] = {{.name = receive, .programs = {programs, 2}}};
	struct target target = {.roles = roles, .role_count = 1, .unreached = {far, 1}};
	const struct bed_ops ops = {.arm = count_programs};
	struct bed bed = {.ops = &ops, .target = &target};
	struct step step = {.what = what,
		.role = receive,
		.point = (char *)"posix/io/net/recv",
		.hit = 1,
		.calls = 1};
	struct fault_run run = {.bed = &bed, .target = &target, .step = &step};

	CHECK_INT(call_rule_fire(&run, "kill", NULL), 0);
	CHECK_INT(programs_meant, 2);
	CHECK_INT(programs_traced, 1);
	step.role = NULL; /* any of the store's, and nobody else is looked at */
	CHECK_INT(call_rule_fire(&run, "kill", NULL), 0);
	CHECK_INT(programs_meant, 1);
	CHECK_INT(programs_traced, 0);
	step.role = receive;
	step.caller = receive;
	CHECK_INT(call_rule_fire(&run, "kill", NULL), 0);
	CHECK_INT(programs_meant, 1);
	CHECK_INT(programs_traced, 0);
}

CHECK_MAIN(CHECK_CASE(what_means_the_same_takes_its_place_and_nothing_else_does),
	CHECK_CASE(a_static_program_of_a_role_is_told_when_it_is_planned),
	CHECK_CASE(a_fallback_is_in_the_result_of_its_cell),
	CHECK_CASE(who_cannot_be_reached_is_meant_only_where_nobody_else_is),
	CHECK_CASE(who_cannot_be_reached_is_traced_where_its_role_is_meant))

#include "api/fault.h"
#include "api/scenario.h"
#include "api/target.h"
#include "base/buf.h"
#include "tests/check/check.h"

#include <errno.h>
#include <string.h>

#define OWNED(text) text_dup(text)

static struct text_list list_of(const char *a, const char *b)
{
	struct text_list list = {mem_zero(2, sizeof(char *)), 2};

	list.at[0] = OWNED(a);
	list.at[1] = OWNED(b);
	return list;
}

#define ONE(field, counter, ...)                                                   \
	(target->field = mem_zero(1, sizeof(*target->field)), target->counter = 1, \
		target->field[0] = (__typeof__(*target->field))__VA_ARGS__)

static struct target *new_target(void)
{
	struct target *target = mem_zero(1, sizeof(*target));

	target->name = OWNED("t");
	target->users = list_of("u1", "u2");
	ONE(disks, disk_count, {.name = OWNED("mail"), .mount = OWNED("/srv")});
	ONE(services, service_count, {.name = OWNED("in"), .protocol = PROTOCOL_LMTP});
	ONE(commands, command_count, {.name = OWNED("stop"), .line = OWNED("stop it")});
	ONE(agents, agent_count, {.name = OWNED("mta"), .needed_by = list_of("smtp", "x")});
	ONE(roles, role_count, {.name = OWNED("read"), .programs = list_of("/a", "/b")});
	ONE(paths, path_count, {.name = OWNED("queue"), .globs = list_of("/q", "/r")});
	ONE(logs, log_count, {.path = OWNED("/var/log/mail"), .alarm = OWNED("panic")});
	ONE(exceptions, exception_count, {.law = OWNED("M2"), .because = OWNED("so")});
	return target;
}

static void what_a_target_has_is_found_by_name(void)
{
	struct target *target = new_target();

	CHECK_STR(target_command(target, "stop"), "stop it");
	CHECK(target_command(target, "start") == NULL);
	CHECK(target_service(target, "in") == target->services);
	CHECK(target_service(target, "out") == NULL);
	CHECK(target_service_by(target, PROTOCOL_LMTP) == target->services);
	CHECK(target_service_by(target, PROTOCOL_IMAP) == NULL);
	CHECK(target_agent(target, "mta") == target->agents);
	CHECK(target_agent(target, "no") == NULL);
	CHECK(target_role(target, "read") == target->roles);
	CHECK(target_role(target, "write") == NULL);
	CHECK(target_paths(target, "queue") == target->paths);
	CHECK(target_paths(target, "mail") == NULL);
	CHECK(text_list_has(&target->users, "u2"));
	CHECK(!text_list_has(&target->users, "u3"));
	target_free(target);
	target_free(NULL);
}

static void the_nearest_objective_wins(void)
{
	const struct objectives unset = {
		TIME_UNSET, TIME_UNSET, TIME_UNSET, TIME_UNSET, TIME_UNSET, TIME_UNSET, 0};
	const struct objectives target = {.stop_ms = 7000, .idle_push_ms = 1000, .slowdown = 3};
	const struct objectives scenario = {.stop_ms = 9000, .reply_ms = TIME_UNSET};
	struct objectives got = objectives_resolve(&scenario, &target);

	CHECK_INT(got.stop_ms, 9000);
	CHECK_INT(got.idle_push_ms, 1000);
	CHECK_INT(got.slowdown, 3);
	CHECK_INT(got.reply_ms, 30000);
	got = objectives_resolve(&unset, NULL);
	CHECK_INT(got.reply_ms, 30000);
	CHECK_INT(got.recover_ms, 10000);
	CHECK_INT(got.drain_ms, 60000);
	CHECK_INT(got.stop_ms, 20000);
	CHECK_INT(got.idle_push_ms, 5000);
	CHECK_INT(got.slowdown, 5);
	CHECK_INT(got.slowdown_floor_ms, 2000);
}

static void a_step_is_found_by_its_label(void)
{
	struct scenario *scenario = mem_zero(1, sizeof(*scenario));

	scenario->workload = mem_zero(1, sizeof(struct step));
	scenario->workload_count = 1;
	scenario->workload[0] = (struct step){.label = OWNED("mail"), .to = list_of("u1", "u2")};
	scenario->steps = mem_zero(1, sizeof(struct step));
	scenario->step_count = 1;
	scenario->steps[0] =
		(struct step){.label = OWNED("held"), .trigger = {.moment = OWNED("smtp/dot")}};
	CHECK(scenario_step(scenario, "held") == scenario->steps);
	CHECK(scenario_step(scenario, "mail") == scenario->workload);
	CHECK(scenario_step(scenario, "gone") == NULL);
	scenario_free(scenario);
	scenario_free(NULL);
}

static void names_come_from_one_table(void)
{
	CHECK_STR(protocol_name(PROTOCOL_ADMIN), "admin");
	CHECK_INT(protocol_from_name("pop3"), PROTOCOL_POP3);
	CHECK_INT(protocol_from_name("nntp"), -EINVAL);
	CHECK_STR(protocol_name((enum protocol)99), "?");
	CHECK_STR(seen_name(SEEN_RELAY), "relay");
	CHECK_STR(trigger_kind_name(TRIGGER_MOMENT), "when");
	CHECK_STR(fault_family_name(FAMILY_DISABLED_MTA), "disabled-mta");
	CHECK_STR(fault_family_name((enum fault_family)99), "?");
}

static void every_fault_is_found_under_its_name(void)
{
	for (const struct fault *const *fault = faults; *fault; fault++)
		CHECK(fault_find((*fault)->name) == *fault);
	CHECK(fault_find("no-such-fault") == NULL);
}

CHECK_MAIN(CHECK_CASE(what_a_target_has_is_found_by_name), CHECK_CASE(the_nearest_objective_wins),
	CHECK_CASE(a_step_is_found_by_its_label), CHECK_CASE(names_come_from_one_table),
	CHECK_CASE(every_fault_is_found_under_its_name))

/*
 * The loaders of scenarios, targets, known findings and nights against tests/golden/yaml: every file of
 * good/ loads, every file of bad/ gives exactly the sentences of the .txt beside it. With UPDATE_GOLDEN
 * in the environment the .txt files are written instead; read them before they are kept.
 */
#include "tests/check/check.h"

#include "base/fs.h"
#include "run/known.h"
#include "run/nightly.h"
#include "run/plan/scenario_load.h"
#include "run/plan/target_load.h"
#include "run/yaml/yaml_tree.h"
#include "tests/unit/yaml_words.h"

#include <dirent.h>
#include <string.h>

#define GOLDEN "tests/golden/yaml"

static int parse_scenario(const char *file, const char *dir, const struct buf *text,
	struct buf *complaints, struct err *err)
{
	struct scenario *scenario = NULL;
	int rc =
		scenario_parse(file, buf_text(text), text->len, &words, complaints, &scenario, err);

	(void)dir;
	scenario_free(scenario);
	return rc;
}

static int parse_target(const char *file, const char *dir, const struct buf *text,
	struct buf *complaints, struct err *err)
{
	struct target *target = NULL;
	int rc = target_parse(
		file, dir, buf_text(text), text->len, words.oracles, complaints, &target, err);

	target_free(target);
	return rc;
}

static int parse_known(const char *file, const char *dir, const struct buf *text,
	struct buf *complaints, struct err *err)
{
	struct known_list list = {0};
	int rc = known_parse(file, buf_text(text), text->len, complaints, &list, err);

	(void)dir;
	known_list_free(&list);
	return rc;
}

static int parse_nightly(const char *file, const char *dir, const struct buf *text,
	struct buf *complaints, struct err *err)
{
	struct nightly *nightly = NULL;
	int rc = nightly_parse(file, buf_text(text), text->len, complaints, &nightly, err);

	(void)dir;
	nightly_free(nightly);
	return rc;
}

typedef int parse_fn(const char *file, const char *dir, const struct buf *text,
	struct buf *complaints, struct err *err);

static void check_bad(const char *dir, const char *name, parse_fn *parse)
{
	auto_free char *path = path_join(dir, name);
	auto_free char *expect = text_fmt("%.*s.txt", (int)(strlen(path) - 5), path);
	auto_buf struct buf text = {0}, want = {0}, got = {0};
	struct err err = {0};

	CHECK_INT(fs_read(path, 2 * SCENARIO_FILE_MAX, &text, &err), 0);
	CHECK_INT(parse(name, dir, &text, &got, &err), -EINVAL);
	CHECK_HAS(err.text, "mistake");
	if (getenv("UPDATE_GOLDEN"))
		CHECK_INT(fs_write_atomic(expect, buf_text(&got), got.len, &err), 0);
	CHECK_INT(fs_read(expect, 1 << 20, &want, &err), 0);
	CHECK_STR(buf_text(&got), buf_text(&want));
}

static void check_bad_dir(const char *dir, parse_fn *parse)
{
	DIR *d = opendir(dir);
	size_t count = 0;

	CHECK(d != NULL);
	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		size_t len = strlen(e->d_name);

		if (len < 5 || strcmp(e->d_name + len - 5, ".yaml") != 0)
			continue;
		check_bad(dir, e->d_name, parse);
		count++;
	}
	CHECK(count > 0);
	if (d)
		closedir(d);
}

static void every_mistake_of_a_scenario_is_told_with_its_line(void)
{
	check_bad_dir(GOLDEN "/bad/scenario", parse_scenario);
}

static void every_mistake_of_a_target_is_told_with_its_line(void)
{
	check_bad_dir(GOLDEN "/bad/target", parse_target);
}

static void every_mistake_of_known_and_nightly_is_told_with_its_line(void)
{
	check_bad_dir(GOLDEN "/bad/known", parse_known);
	check_bad_dir(GOLDEN "/bad/nightly", parse_nightly);
}

static struct scenario *good_scenario(const char *name)
{
	auto_free char *path = text_fmt(GOLDEN "/good/%s.yaml", name);
	auto_buf struct buf complaints = {0};
	struct scenario *scenario = NULL;
	struct err err = {0};

	CHECK_INT(scenario_load(path, &words, &complaints, &scenario, &err), 0);
	CHECK_STR(buf_text(&complaints), "");
	CHECK_STR(err.text, "");
	return scenario;
}

static struct target *good_target(const char *name)
{
	auto_free char *dir = text_fmt(GOLDEN "/good/%s", name);
	auto_buf struct buf complaints = {0};
	struct target *target = NULL;
	struct err err = {0};

	CHECK_INT(target_load(dir, words.oracles, &complaints, &target, &err), 0);
	CHECK_STR(buf_text(&complaints), "");
	CHECK_STR(err.text, "");
	return target;
}

static void a_moment_and_a_duration_become_a_trigger_and_a_fault(void)
{
	struct scenario *s = good_scenario("freeze-commit-dismount");
	const struct step *freeze, *dismount, *reader;

	if (!s)
		return;
	CHECK_STR(s->name, "freeze-commit-dismount");
	CHECK_HAS(s->file, "good/freeze-commit-dismount.yaml");
	CHECK_INT(s->workload_count, 2);
	CHECK_INT(s->step_count, 2);
	freeze = scenario_step(s, "snapshot");
	CHECK_STR(freeze->what, "freeze-store");
	CHECK_INT(freeze->trigger.kind, TRIGGER_MOMENT);
	CHECK_STR(freeze->trigger.moment, "smtp/data");
	CHECK_INT(freeze->trigger.nth, 5);
	CHECK_INT(freeze->trigger.session, 0);
	CHECK_INT(freeze->for_ms, 3000);
	CHECK_INT(freeze->line, 9);
	CHECK(!freeze->trigger.implied);
	dismount = scenario_step(s, "dismount");
	CHECK_INT(dismount->trigger.kind, TRIGGER_AFTER);
	CHECK_STR(dismount->trigger.label, "snapshot");
	CHECK_INT(dismount->trigger.delay_ms, 500);
	CHECK_INT(dismount->for_ms, TIME_UNSET);
	reader = scenario_step(s, "reader");
	CHECK_INT(reader->sessions, 1);
	CHECK_INT(reader->messages, 0);
	CHECK(reader->pace_per_s == 2);
	CHECK_STR(reader->user, "u1");
	CHECK_INT(reader->trigger.kind, TRIGGER_AT);
	CHECK_INT(reader->trigger.at_ms, 0);
	CHECK_INT(s->objectives.recover_ms, 5000);
	CHECK_INT(s->objectives.reply_ms, TIME_UNSET);
	CHECK_INT(s->deadline_ms, 60000);
	CHECK_INT(s->orders, ORDERS_AS_WRITTEN);
	CHECK_INT(s->seeds, 1);
	scenario_free(s);
}

static void a_call_fault_keeps_where_it_acts(void)
{
	struct scenario *s = good_scenario("expunge-during-fetch");
	const struct step *held;

	if (!s)
		return;
	held = scenario_step(s, "held");
	CHECK_STR(held->role, "read");
	CHECK_STR(held->point, "posix/io/oc/open");
	CHECK_STR(held->path, "mailbox");
	CHECK_STR(held->step, "reader");
	CHECK_STR(held->until, "expunge");
	CHECK_INT(held->hit, 3);
	CHECK_INT(held->calls, 1);
	CHECK_INT(held->for_ms, 5000);
	CHECK(held->trigger.implied);
	CHECK_INT(s->orders, ORDERS_ALL);
	CHECK_STR(scenario_step(s, "expunge")->send.at[1], "UID STORE 3 +FLAGS.SILENT (\\Deleted)");
	scenario_free(s);
}

static void unwritten_labels_and_triggers_follow_the_step_above(void)
{
	static const char text[] = "claim: c\n"
				   "workload:\n"
				   "  - {do: smtp, to: [u1]}\n"
				   "  - {do: smtp, to: [u1], as: smtp-1}\n"
				   "  - {do: smtp, to: [u1]}\n"
				   "steps:\n"
				   "  - {do: freeze-store, for: 1s}\n"
				   "  - {do: dismount}\n"
				   "  - {do: mount}\n";
	struct scenario *s = NULL;
	struct buf complaints = {0};
	struct err err = {0};

	CHECK_INT(scenario_parse("x/y.yaml", text, strlen(text), &words, &complaints, &s, &err), 0);
	CHECK_STR(buf_text(&complaints), "");
	if (!s)
		return;
	CHECK_STR(s->name, "y");
	CHECK_STR(s->workload[0].label, "smtp-2");
	CHECK_STR(s->workload[1].label, "smtp-1");
	CHECK_STR(s->workload[2].label, "smtp-3");
	CHECK_STR(s->steps[0].label, "freeze-store");
	CHECK_INT(s->steps[0].trigger.kind, TRIGGER_AT);
	CHECK_INT(s->steps[1].trigger.kind, TRIGGER_WHILE);
	CHECK_STR(s->steps[1].trigger.label, "freeze-store");
	CHECK_INT(s->steps[2].trigger.kind, TRIGGER_AFTER);
	CHECK_STR(s->steps[2].trigger.label, "dismount");
	CHECK(s->steps[2].trigger.implied);
	CHECK_INT(s->workload[0].messages, 20);
	CHECK_INT(s->workload[0].size_bytes, 2048);
	CHECK_INT(s->workload[0].sessions, 1);
	scenario_free(s);
	buf_free(&complaints);
}

static void what_a_plugin_declares_beyond_the_common_keys_is_kept(void)
{
	static const char text[] = "claim: c\n"
				   "steps:\n"
				   "  - {do: mta-disabled, agent: mta, heal: late, for: 1s}\n"
				   "  - {do: mailbox-delete, user: u1, mailbox: 'A b'}\n";
	struct scenario *s = NULL;
	struct buf complaints = {0};
	struct err err = {0};

	CHECK_INT(scenario_parse("y.yaml", text, strlen(text), &words, &complaints, &s, &err), 0);
	CHECK_STR(buf_text(&complaints), "");
	if (!s)
		return;
	CHECK_INT(s->steps[0].params.count, 1);
	CHECK_STR(s->steps[0].params.at[0], "heal=late");
	CHECK_STR(step_param(&s->steps[1], "mailbox"), "A b");
	CHECK_STR(step_param(&s->steps[1], "mail"), NULL);
	scenario_free(s);
	buf_free(&complaints);
}

static void a_target_is_loaded_whole(void)
{
	struct target *t = good_target("postfix-dovecot");
	const struct agent *agent;

	if (!t)
		return;
	CHECK_STR(t->name, "postfix-dovecot");
	CHECK_STR(t->dir, GOLDEN "/good/postfix-dovecot");
	CHECK_INT(t->memory_bytes, 256 << 20);
	CHECK_INT(t->disk_count, 2);
	CHECK_INT(t->disks[1].size_bytes, 512 << 20);
	CHECK_INT(t->service_count, 4);
	CHECK_INT(target_service(t, "lmtp")->seen, SEEN_RELAY);
	CHECK_INT(target_service(t, "imap")->seen, SEEN_NIC);
	CHECK_INT(target_service_by(t, PROTOCOL_POP3)->port, 110);
	CHECK_STR(target_command(t, "stop"), "postfix stop; doveadm stop");
	CHECK(target_command(t, "freeze") == NULL);
	agent = target_agent(t, "delivery");
	CHECK_STR(agent->switch_off, "./defer-lmtp yes");
	CHECK_STR(agent->needed_by.at[0], "delivery");
	CHECK_INT(agent->line, 34);
	CHECK_INT(target_role(t, "lookup")->programs.count, 3);
	CHECK_STR(target_paths(t, "mailbox")->globs.at[0], "/srv/mail/{user}/Maildir/**");
	CHECK_INT(t->timers.give_up_ms, 5 * 86400000LL);
	CHECK_INT(t->sessions_per_user, 10);
	CHECK_INT(t->log_count, 2);
	CHECK_STR(t->logs[0].alarm, "(panic|fatal): |with force");
	CHECK_INT(t->objectives.idle_push_ms, 5000);
	CHECK_STR(t->exceptions[0].see, "maildir_copy_with_hardlinks");
	CHECK_INT(t->survives_power_cut.count, 3);
	target_free(t);
}

static void the_least_target_has_the_defaults(void)
{
	struct target *t = good_target("my-store");

	if (!t)
		return;
	CHECK_INT(t->memory_bytes, 256 << 20);
	CHECK_INT(t->cpus, 1);
	CHECK_INT(t->ready_within_ms, 60000);
	CHECK_INT(t->timers.retry_longest_ms, TIME_UNSET);
	CHECK_INT(t->disk_count, 0);
	target_free(t);
}

static void what_is_not_there_is_an_error_of_reading(void)
{
	struct buf complaints = {0};
	struct scenario *s = NULL;
	struct target *t = NULL;
	struct known_list known;
	struct err err = {0};

	CHECK_INT(scenario_load("/no/such.yaml", &words, &complaints, &s, &err), -ENOENT);
	CHECK_STR(err.text, "cannot open '/no/such.yaml': No such file or directory");
	CHECK_INT(target_load("/no/such", NULL, &complaints, &t, &err), -ENOENT);
	CHECK_INT(known_load("/no/such.yaml", &complaints, &known, &err), -ENOENT);
	CHECK_STR(buf_text(&complaints), "");
}

static void a_file_beyond_the_limit_is_refused(void)
{
	auto_buf struct buf text = {0}, complaints = {0};
	struct scenario *s = NULL;
	struct err err = {0};

	buf_add_str(&text, "claim: '");
	while (text.len < SCENARIO_FILE_MAX)
		buf_addc(&text, 'x');
	buf_add_str(&text, "'\n");
	CHECK_INT(scenario_parse("x.yaml", text.data, text.len, &words, &complaints, &s, &err),
		-EINVAL);
	CHECK_STR(buf_text(&complaints), "x.yaml:1: the file is larger than 262144 bytes\n");
	buf_reset(&complaints);
	text.data[20000] = '\'';
	CHECK_INT(
		scenario_parse("x.yaml", text.data, 20001, &words, &complaints, &s, &err), -EINVAL);
	CHECK_STR(buf_text(&complaints), "x.yaml:1: more than 8192 bytes in one value\n");
}

static void endless_mistakes_are_cut_off(void)
{
	auto_buf struct buf text = {0}, complaints = {0};
	struct scenario *s = NULL;
	struct err err = {0};

	buf_add_str(&text, "claim: c\n");
	for (int i = 0; i < 500; i++)
		buf_addf(&text, "key%d: x\n", i);
	CHECK_INT(scenario_parse("x.yaml", text.data, text.len, &words, &complaints, &s, &err),
		-EINVAL);
	CHECK_HAS(buf_text(&complaints), "x.yaml:201: unknown key 'key199'\nx.yaml: and more\n");
}

static void known_findings_are_known_until_their_date(void)
{
	struct known_list list = {0};
	auto_buf struct buf complaints = {0};
	struct err err = {0};
	const char *const sig = "lost-wakeup-5be7710d";

	CHECK_INT(known_load(GOLDEN "/good/known.yaml", &complaints, &list, &err), 0);
	CHECK_STR(buf_text(&complaints), "");
	CHECK_INT(list.count, 2);
	CHECK(known_find(&list, sig, "postfix-dovecot", "2026-11-22") != NULL);
	CHECK(known_find(&list, sig, "postfix-dovecot", "2027-03-31") != NULL);
	CHECK(known_find(&list, sig, "postfix-dovecot", "2027-04-01") == NULL);
	CHECK(known_find(&list, sig, "refstore", "2026-11-22") == NULL);
	CHECK(known_find(&list, "deadlock-00000000", "refstore", "2026-11-22") == NULL);
	CHECK_STR(list.at[1].link, "https://example.org/bug/17");
	known_list_free(&list);
}

static void a_result_is_known_if_each_of_its_findings_is_listed(void)
{
	static const char text[] =
		"- {signature: S3-aaaaaaaa, target: refstore, reason: r, until: 2099-12-31}\n"
		"- {signature: L2-bbbbbbbb, target: refstore, reason: r, until: 2099-12-31}\n"
		"- {signature: H1-cccccccc, target: refstore, reason: r, until: 2020-12-31}\n";
	static const struct {
		const char *name, *target, *signatures[3];
		bool known;
	} rows[] = {
		{"both", "refstore", {"S3-aaaaaaaa", "L2-bbbbbbbb"}, true},
		{"one of two", "refstore", {"S3-aaaaaaaa", "L2-00000000"}, false},
		{"another target", "postfix-dovecot", {"S3-aaaaaaaa"}, false},
		{"past its date", "refstore", {"H1-cccccccc"}, false},
		{"no finding", "refstore", {NULL}, false},
	};
	struct known_list list = {0};
	auto_buf struct buf complaints = {0};

	CHECK_INT(known_parse("known.yaml", text, sizeof(text) - 1, &complaints, &list, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct finding findings[2] = {0};
		struct result result = {.target = (char *)rows[i].target, .findings = findings};

		for (const char *const *at = rows[i].signatures; *at; at++)
			snprintf(findings[result.finding_count++].signature, SIGNATURE_SIZE, "%s",
				*at);
		if (!CHECK_INT(known_covers(&list, &result), rows[i].known))
			fprintf(stderr, "%s\n", rows[i].name);
		CHECK(!known_covers(NULL, &result));
	}
	known_list_free(&list);
}

/* Without it no run begins: a signature that two people listed stops them all. */
static void the_list_of_this_repository_is_whole(void)
{
	struct known_list list = {0};
	auto_buf struct buf complaints = {0};
	struct err err = {0};

	CHECK_INT(known_load("tests/known.yaml", &complaints, &list, &err), 0);
	CHECK_STR(buf_text(&complaints), "");
	CHECK(list.count > 0);
	known_list_free(&list);
}

static void a_night_has_its_values_and_defaults(void)
{
	struct nightly *n = NULL;
	auto_buf struct buf complaints = {0};
	struct err err = {0};

	CHECK_INT(nightly_load(GOLDEN "/good/nightly.yaml", &complaints, &n, &err), 0);
	CHECK_STR(buf_text(&complaints), "");
	if (!n)
		return;
	CHECK_STR(n->scenarios.at[0], "*");
	CHECK_INT(n->targets.count, 2);
	CHECK_INT(n->seeds, 3);
	CHECK_INT(n->time_budget_ms, 6 * 3600000);
	CHECK_INT(n->retries, 5);
	CHECK(!n->fail_on_any);
	CHECK(n->max_broken == 0.01);
	CHECK_STR(n->canary, "freeze-commit-dismount");
	nightly_free(n);
	n = NULL;
	CHECK_INT(nightly_parse("n.yaml", "fail_on: any\n", 13, &complaints, &n, &err), 0);
	if (!n)
		return;
	CHECK(n->fail_on_any);
	CHECK_STR(n->scenarios.at[0], "*");
	CHECK_INT(n->seeds, 1);
	CHECK_INT(n->retries, 5);
	nightly_free(n);
}

CHECK_MAIN(CHECK_CASE(every_mistake_of_a_scenario_is_told_with_its_line),
	CHECK_CASE(every_mistake_of_a_target_is_told_with_its_line),
	CHECK_CASE(every_mistake_of_known_and_nightly_is_told_with_its_line),
	CHECK_CASE(a_moment_and_a_duration_become_a_trigger_and_a_fault),
	CHECK_CASE(a_call_fault_keeps_where_it_acts),
	CHECK_CASE(unwritten_labels_and_triggers_follow_the_step_above),
	CHECK_CASE(what_a_plugin_declares_beyond_the_common_keys_is_kept),
	CHECK_CASE(a_target_is_loaded_whole), CHECK_CASE(the_least_target_has_the_defaults),
	CHECK_CASE(what_is_not_there_is_an_error_of_reading),
	CHECK_CASE(a_file_beyond_the_limit_is_refused), CHECK_CASE(endless_mistakes_are_cut_off),
	CHECK_CASE(known_findings_are_known_until_their_date),
	CHECK_CASE(a_result_is_known_if_each_of_its_findings_is_listed),
	CHECK_CASE(the_list_of_this_repository_is_whole),
	CHECK_CASE(a_night_has_its_values_and_defaults))

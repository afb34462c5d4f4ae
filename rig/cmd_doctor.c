#include "cmd.h"

#include "api/fault.h"
#include "api/oracle.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/clock.h"
#include "run/plan/plan.h"
#include "run/plan/target_load.h"
#include "run/plan/target_reach.h"
#include "vm/accel.h"
#include "vm/network.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char usage_doctor[] = "usage: mailrig doctor [--target NAME] [--json]\n\n"
			    "What this host can do, and what will be skipped and why. With a "
			    "target: what each key that its\n"
			    "target.yaml leaves out costs.\n";

#define SPACE_WANTED (INT64_C(4) << 30) /* an image while it is built, a template, some cells */

static void add(json_t *list, const char *name, bool ok, const char *text)
{
	json_array_append_new(list,
		json_pack("{ss sb so}", "name", name, "ok", (int)ok, "text", json_text(text)));
}

/* ---- the host ---- */

static void check_program(json_t *list, const char *program, const char *package)
{
	char *argv[] = {(char *)program, "--version", NULL};
	auto_buf struct buf out = {0};
	struct err err = {0};
	auto_free char *text = NULL;
	int rc = proc_run(argv, deadline_in_ms(10000), &out, 65536, &err);

	if (out.data)
		out.data[strcspn(out.data, "\n")] = '\0';
	text = rc ? text_fmt("cannot be run; install the package '%s'", package)
		  : text_dup(buf_text(&out));
	add(list, program, rc == 0, text);
}

static void check_accelerator(json_t *list)
{
	struct accel accel = {0};
	struct err err = {0};
	auto_free char *text = NULL;

	if (accel_probe(NULL, NULL, &accel, &err))
		text = text_dup(
			"kvm or tcg: whether a kernel boots under kvm is tried at the first run");
	else
		text = text_fmt("%s: %s", accel.name, accel.why);
	add(list, "accelerator", true, text);
}

static void check_network(json_t *list)
{
	struct err err = {0};
	int rc = network_probe(NETWORK_TAP, &err);
	auto_free char *text = rc ? text_fmt("user-mode; no tap: %s", err.text)
				  : text_dup("tap in a private network namespace");

	add(list, "network", true, text);
}

static void check_space(json_t *list)
{
	auto_free char *dir = fs_cache_dir(), *text = NULL;
	struct err err = {0};
	int64_t bytes;

	if (fs_mkdir_p(dir, &err)) {
		add(list, "cache", false, err.text);
		return;
	}
	bytes = fs_free_bytes(dir, &err);
	text = bytes < 0 ? text_dup(err.text)
			 : text_fmt("%s, %lld MiB free", dir, (long long)(bytes >> 20));
	add(list, "cache", bytes >= SPACE_WANTED, text);
}

static json_t *check_host(void)
{
	json_t *list = json_array();

	check_program(list, "qemu-system-x86_64", "qemu-system-x86");
	check_program(list, "qemu-img", "qemu-utils");
	check_program(list, "mmdebstrap", "mmdebstrap");
	check_accelerator(list);
	check_network(list);
	check_space(list);
	return list;
}

/* ---- a target ---- */

static size_t faults_lost(const char *key)
{
	size_t count = 0;

	for (const struct fault *const *fault = faults; *fault; fault++)
		for (const struct fault_param *p = (*fault)->params; p && p->key; p++)
			count += !strcmp(p->key, key);

	return count;
}

static void cost(json_t *list, bool there, const char *key, const char *what)
{
	if (!there)
		add(list, key, false, what);
}

static void check_keys(json_t *list, const struct target *t)
{
	auto_free char *roles =
		text_fmt("no roles: %zu faults that act on calls cannot be aimed at a role",
			faults_lost("role"));
	bool relay = false, quota = false;

	for (size_t i = 0; i < t->disk_count; i++)
		quota |= t->disks[i].quota;
	for (size_t i = 0; i < t->service_count; i++)
		relay |= t->services[i].seen == SEEN_RELAY;
	cost(list, t->role_count, "roles", roles);
	cost(list, t->path_count, "paths",
		"no paths: faults that act on calls cannot be aimed at files");
	cost(list, t->point_count, "points",
		"no points: scenarios that call a place by a word (list points) are SKIP");
	cost(list, t->disk_count, "disks", "no disks: freeze-fs is SKIP");
	cost(list, quota, "disks.quota", "no disk has quota: users: quota-full is SKIP");
	cost(list, relay, "services",
		"no service is seen: relay: mta-refuses and mta-silent are SKIP, the inner hop "
		"cannot be told");
	cost(list, t->agent_count, "agents", "no agents: mta-disabled is SKIP");
	cost(list, target_command(t, "queue_list") != NULL, "commands.queue_list",
		"no commands.queue_list: S7 cannot be judged");
	cost(list, target_command(t, "freeze") != NULL, "commands.freeze",
		"no commands.freeze: freeze-store is SKIP");
	cost(list, t->timers.retry_longest_ms != TIME_UNSET, "timers.retry_longest",
		"no timers.retry_longest: S7 waits the drain objective alone");
	cost(list, t->log_count, "logs",
		"no logs: H9 cannot be judged, and nothing outlives a freeze");
	cost(list, target_service_by(t, PROTOCOL_IMAP) != NULL, "services",
		"no imap service: nothing can be read back, S1 to S3 cannot be judged");
}

/* The fault that may name the most points. */
static const struct fault *widest_fault(void)
{
	const struct fault *widest = NULL;
	size_t most = 0;

	for (const struct fault *const *fault = faults; *fault; fault++) {
		size_t count = 0;

		while ((*fault)->function && (*fault)->point && (*fault)->point(count))
			count++;
		if (count > most) {
			most = count;
			widest = *fault;
		}
	}
	return widest;
}

static void say_points(const struct target_reach *one, struct buf *text)
{
	const struct fault *fault = widest_fault();
	auto_buf struct buf never = {0};
	size_t own = 0, library = 0;
	const char *point;

	for (size_t i = 0; fault && (point = fault->point(i)); i++) {
		enum reach_point reach = target_reach_point(one, fault, point);

		own += reach == POINT_OWN;
		library += reach == POINT_LIBRARY;
		if (reach == POINT_NOT)
			buf_addf(&never, " %s", point);
	}
	buf_addf(text, "; comes to %zu points itself, to %zu more by its libraries", own, library);
	if (one->loaded)
		buf_addf(text, ", %u as its processes had them loaded", one->loaded);
	if (!one->calls.known)
		buf_add_str(text, ", and what else cannot be told");
	else if (never.len)
		buf_addf(text, "; never to:%s", buf_text(&never));
	if (target_reach_raw(one))
		buf_addf(text, "; %s", target_reach_raw(one));
}

/* Where the preload reaches nobody: at how many of its points ptrace does which fault instead. */
static void say_traced(struct buf *text)
{
	const char *with = "; by ptrace", *point;

	for (size_t f = 0; faults[f]; f++) {
		size_t seen = 0, count = 0;

		if (!faults[f]->traced)
			continue;
		for (; (point = faults[f]->point(count)); count++)
			seen += faults[f]->traced(point);
		buf_addf(text, "%s %s at %zu of %zu points", with, faults[f]->name, seen, count);
		with = ",";
	}
}

/* What the fault library reaches of each program of a role, before anything runs. */
static void check_reach(json_t *list, const struct target *target, const char *root)
{
	auto_free struct target_reach *known = mem_zero(TARGET_REACH_MAX, sizeof(*known));
	struct err err = {0};
	size_t count = 0;

	if (target_reach(target, root, known, &count, &err))
		add(list, "reach", false, err.text);
	for (size_t i = 0; i < count; i++) {
		auto_buf struct buf text = {0};

		buf_addf(&text, "%s (%s): %s", known[i].program, known[i].role,
			reach_text(known[i].reach));
		if (known[i].reach == REACH_CALLS)
			say_points(&known[i], &text);
		else if (known[i].reach == REACH_STATIC || known[i].reach == REACH_OWN)
			say_traced(&text);
		add(list, "reach", known[i].reach == REACH_CALLS, buf_text(&text));
	}
	target_reach_free(known, count);
}

static json_t *check_target(const char *name, struct err *err)
{
	auto_free char *root = plan_root(err);
	auto_free char *dir = root ? text_fmt("%s/targets/%s", root, name) : NULL;
	auto_buf struct buf complaints = {0};
	struct target *target = NULL;
	json_t *list;

	if (!dir)
		return NULL;
	if (target_load(dir, oracles, &complaints, &target, err)) {
		if (complaints.len)
			err_set(err, -EINVAL, "%.*s", (int)complaints.len - 1, complaints.data);
		return NULL;
	}
	list = json_array();
	add(list, "target", true, target->summary);
	check_keys(list, target);
	check_reach(list, target, root);
	target_free(target);
	return list;
}

int cmd_doctor(int argc, char **argv)
{
	const char *target = NULL;
	auto_json json_t *list = NULL;
	bool json = false, healthy = true;
	struct err err = {0};
	json_t *one;
	size_t i;

	if (cmd_wants_help(argc, argv, usage_doctor))
		return EXIT_OK;
	for (int k = 1; k < argc; k++) {
		if (!strcmp(argv[k], "--json"))
			json = true;
		else if (!strcmp(argv[k], "--target") && k + 1 < argc)
			target = argv[++k];
		else
			return cmd_misused("doctor", "'%s' is not understood", argv[k]);
	}
	list = target ? check_target(target, &err) : check_host();
	if (!list)
		return cmd_fail(EXIT_USAGE, &err);
	json_array_foreach (list, i, one) {
		healthy &= json_get_bool(one, "ok", false);
		if (!json)
			printf("%-5s %-22s %s\n",
				json_get_bool(one, "ok", false) ? "ok"
				: target			? "costs"
								: "NO",
				json_get_text(one, "name", ""), json_get_text(one, "text", ""));
	}
	if (json) {
		json_dumpf(list, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	return healthy || target ? EXIT_OK : EXIT_TROUBLE;
}

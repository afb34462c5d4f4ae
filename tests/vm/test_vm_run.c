/* `mailrig run` as its users call it, on real clones: verdicts, files, exit codes, and what is left behind. */
#include "tests/check/check.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define PROGRAM	   "build/mailrig"
#define RUN_MS	   (30 * 60 * 1000) /* an image from nothing included */
#define GONE_MS	   30000
#define OUTPUT_MAX (16u << 20)
#define STARTED_MS (20 * 60 * 1000)
#define TRIES	   3

static int run(struct buf *out, char *const *argv)
{
	struct err err = {0};
	int rc;

	check_alarm(RUN_MS / 1000);
	rc = proc_run(argv, deadline_in_ms(RUN_MS), out, OUTPUT_MAX, &err);

	if (rc < 0)
		fprintf(stderr, "%s: %s\n", argv[1], err.text);
	return rc;
}

static bool any_starved(const char *results)
{
	auto_free char *path = text_fmt("%s/latest/results.json", results);
	auto_json json_t *json = json_load_path(path, OUTPUT_MAX, NULL);
	json_t *cell;
	size_t i;

	json_array_foreach (json_object_get(json, "cells"), i, cell)
		if (json_get_bool(cell, "starved", false))
			return true;
	return false;
}

/* A campaign into `results` with a finding, or that cannot tell, on a host that starved its machines is run again. */
static int run_cells(struct buf *out, char *const *argv, const char *results)
{
	int rc = run(out, argv);

	for (int tries = 1; tries < TRIES && rc && any_starved(results); tries++) {
		fprintf(stderr, "exit code %d, and the host starved the machines; again\n%s\n", rc,
			buf_text(out));
		buf_reset(out);
		rc = run(out, argv);
	}
	return rc;
}

static void the_three_families_get_a_verdict_each(void)
{
	static const char *const files[] = {"plan.json", "history.jsonl", "verdict.json",
		"capture.pcapng", "transcripts", "machine/console.log", "logs/maillog", "evidence",
		NULL};
	const char *results = check_dir();
	char *argv[] = {PROGRAM, "run", "freeze-fs-during-delivery", "delivery-agent-refuses",
		"expunge-during-fetch", "policy-calls-fail", "--target", "postfix-dovecot",
		"--jobs", "2", "--json", "--results", (char *)results, NULL};
	auto_buf struct buf out = {0};
	auto_json json_t *json = NULL;
	json_t *cell;
	size_t i, by_ptrace = 0;
	int rc;

	rc = run_cells(&out, argv, results);
	CHECK(rc == 0 || rc == 1);
	json = json_loads(buf_text(&out), 0, NULL);
	/* expunge-during-fetch is one cell for each of its two orders */
	if (!CHECK_INT(json_array_size(json_object_get(json, "cells")), 5)) {
		fprintf(stderr, "%s\n", buf_text(&out));
		return;
	}
	json_array_foreach (json_object_get(json, "cells"), i, cell) {
		const char *verdict = json_get_text(cell, "verdict", "");
		const char *path = json_get_text(cell, "path", "");

		CHECK(!strcmp(verdict, "PASS") || !strcmp(verdict, "FAIL"));
		CHECK(json_get_int(cell, "fired", 0) > 0);
		CHECK_INT(json_get_int(cell, "residue", -1), 0);
		CHECK_STR(json_get_text(cell, "target", ""), "postfix-dovecot");
		/* The policy service is static: no preload is in it. */
		if (!strcmp(json_get_text(cell, "scenario", ""), "policy-calls-fail")) {
			CHECK_HAS(json_get_text(cell, "fallback", ""), "ptrace for 'reset'");
			by_ptrace += (size_t)json_get_int(cell, "fired", 0);
		}
		for (size_t k = 0; files[k]; k++) {
			auto_free char *file = path_join(path, files[k]);

			if (!CHECK(fs_exists(file)))
				fprintf(stderr, "no %s\n", file);
		}
	}
	CHECK_INT(by_ptrace, 2);
}

static void one_can_stand_inside_a_target(void)
{
	char *argv[] = {PROGRAM, "shell", "refstore", "--command", "hostname; exit 3", "--command",
		".tasks", "--results", (char *)check_dir(), NULL};
	auto_buf struct buf out = {0};

	CHECK_INT(run(&out, argv), 0);
	CHECK_HAS(buf_text(&out), "store\n(status 3)\n");
	CHECK_HAS(buf_text(&out), "refstore-store");
}

static void acknowledged_mail_survives_a_power_cut(void)
{
	const char *results = check_dir();
	char *argv[] = {PROGRAM, "run", "power-cut-after-acknowledgement", "--target", "refstore",
		"--json", "--results", (char *)results, NULL};
	auto_buf struct buf out = {0};
	auto_json json_t *json = NULL;
	const json_t *cell;

	CHECK_INT(run_cells(&out, argv, results), 0);
	json = json_loads(buf_text(&out), 0, NULL);
	cell = json_array_get(json_object_get(json, "cells"), 0);
	CHECK_STR(json_get_text(cell, "verdict", ""), "PASS");
	CHECK_INT(json_get_int(cell, "fired", 0), 1);
	CHECK_INT(json_get_int(cell, "residue", -1), 0);
}

static void wireshark_opens_the_capture_and_sees_the_mail(void)
{
	const char *results = check_dir();
	char *run_argv[] = {PROGRAM, "run", "fsync-parked-in-delivery", "--target",
		"postfix-dovecot", "--results", (char *)results, NULL};
	auto_free char *capture = text_fmt(
		"%s/latest/fsync-parked-in-delivery.postfix-dovecot.1/capture.pcapng", results);
	char *tshark[] = {"tshark", "-r", capture, "-Y", "smtp.req.command == \"DATA\"", "-T",
		"fields", "-e", "frame.number", NULL};
	auto_buf struct buf out = {0}, seen = {0};
	size_t lines = 0;

	CHECK_INT(run_cells(&out, run_argv, results), 0);
	CHECK_HAS(buf_text(&out), "PASS");
	CHECK_INT(run(&seen, tshark), 0);
	for (const char *p = buf_text(&seen); *p; p++)
		lines += *p == '\n';
	CHECK(lines >= 10); /* ten messages at the edge */
}

static void a_finished_cell_can_be_run_again(void)
{
	const char *results = check_dir();
	char *run_argv[] = {PROGRAM, "run", "unlink-during-fetch", "--target", "postfix-dovecot",
		"--results", (char *)results, NULL};
	auto_free char *cell = text_fmt("%s/latest/unlink-during-fetch.postfix-dovecot.1", results);
	char *repro[] = {PROGRAM, "repro", cell, "--results", (char *)results, NULL};
	auto_buf struct buf out = {0}, again = {0};

	CHECK_INT(run_cells(&out, run_argv, results), 0);
	CHECK_INT(run_cells(&again, repro, results), 0);
	CHECK_HAS(buf_text(&again), "1 of 1 the same");
}

/* ---- what is left behind ---- */

/* QEMU processes whose command line names `dir`; each gets `sig`, if it is not 0. */
static size_t signal_machines(const char *dir, int sig)
{
	DIR *proc = opendir("/proc");
	size_t count = 0;

	for (struct dirent *e; proc && (e = readdir(proc));) {
		auto_free char *path = text_fmt("/proc/%s/cmdline", e->d_name);
		auto_buf struct buf line = {0};

		if (e->d_name[0] < '0' || e->d_name[0] > '9' || fs_read(path, 1 << 20, &line, NULL))
			continue;
		for (size_t i = 0; i < line.len; i++)
			if (!line.data[i])
				line.data[i] = ' ';
		if (!strstr(buf_text(&line), "qemu-system") || !strstr(buf_text(&line), dir))
			continue;
		count++;
		if (sig)
			kill((pid_t)atoi(e->d_name), sig);
	}
	if (proc)
		closedir(proc);
	return count;
}

static size_t machines_of(const char *dir)
{
	return signal_machines(dir, 0);
}

/* Nothing tells that a process of somebody else came or went, so look again and again. */
static bool wait_machines(const char *dir, bool some, int64_t ms)
{
	int64_t deadline = deadline_in_ms(ms);

	while ((machines_of(dir) > 0) != some) {
		if (!deadline_left_ms(deadline))
			return false;
		poll(NULL, 0, 100);
	}
	return true;
}

static pid_t start_run(const char *results)
{
	char *argv[] = {PROGRAM, "run", "freeze-fs-during-delivery", "--target", "postfix-dovecot",
		"--results", (char *)results, NULL};
	struct proc_spec spec = {.argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
	struct err err = {0};
	pid_t pid = proc_spawn(&spec, &err);

	if (!CHECK(pid > 0))
		fprintf(stderr, "%s\n", err.text);
	return pid;
}

static void no_machine_outlives_a_killed_rig(void)
{
	const char *results = check_dir();
	pid_t pid = start_run(results);
	int status;

	check_alarm(RUN_MS / 1000);
	CHECK(wait_machines(results, true, STARTED_MS));
	kill(pid, SIGKILL);
	CHECK_INT(proc_wait(pid, deadline_in_ms(GONE_MS), &status, NULL), 0);
	CHECK(wait_machines(results, false, GONE_MS));
}

/* Until a file of the run holds `text`. */
static bool wait_text(const char *path, const char *text, int64_t ms)
{
	int64_t deadline = deadline_in_ms(ms);

	while (deadline_left_ms(deadline)) {
		auto_buf struct buf bytes = {0};

		if (!fs_read(path, OUTPUT_MAX, &bytes, NULL) && strstr(buf_text(&bytes), text))
			return true;
		poll(NULL, 0, 20);
	}
	return false;
}

static const char *verdict_of(const json_t *results, const char *scenario, const char **ret_reason)
{
	const json_t *cell;
	size_t i;

	json_array_foreach (json_object_get(results, "cells"), i, cell) {
		if (strcmp(json_get_text(cell, "scenario", ""), scenario) ||
			!json_get_int(cell, "number", 0))
			continue;
		*ret_reason = json_get_text(cell, "reason", "");
		return json_get_text(cell, "verdict", "");
	}
	return "missing";
}

static void a_machine_that_dies_is_broken_and_the_other_cell_goes_on(void)
{
	const char *results = check_dir(), *reason = "";
	char *argv[] = {PROGRAM, "run", "unlink-during-fetch", "fsync-parked-in-delivery",
		"--target", "postfix-dovecot", "--results", (char *)results, NULL};
	struct proc_spec spec = {.argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1};
	auto_free char *cell = path_join("", "unlink-during-fetch.postfix-dovecot.1/machine");
	auto_free char *history =
		text_fmt("%s/latest/unlink-during-fetch.postfix-dovecot.1/history.jsonl", results);
	auto_free char *json_path = text_fmt("%s/latest/results.json", results);
	auto_json json_t *json = NULL;
	struct err err = {0};
	pid_t pid = proc_spawn(&spec, &err);
	int status = 0;

	check_alarm(RUN_MS / 1000);
	CHECK(wait_text(history, "\"imap-append\"", STARTED_MS));
	CHECK_INT(signal_machines(cell, SIGKILL), 1);
	CHECK_INT(proc_wait(pid, deadline_in_ms(STARTED_MS), &status, NULL), 0);
	CHECK_INT(WEXITSTATUS(status), 16);
	json = json_load_path(json_path, OUTPUT_MAX, &err);
	CHECK_STR(verdict_of(json, "unlink-during-fetch", &reason), "BROKEN");
	/* Whoever hears of it first tells: the one that waits for QEMU, or the witness's line. */
	if (!CHECK(strstr(reason, "QEMU was ended by signal 9") || strstr(reason, "gone")))
		fprintf(stderr, "the reason is '%s'\n", reason);
	CHECK(!strcmp(verdict_of(json, "fsync-parked-in-delivery", &reason), "PASS") ||
		strstr(reason, "starved"));
}

static void an_interrupted_run_ends_its_machines_and_keeps_what_it_learnt(void)
{
	const char *results = check_dir();
	pid_t pid = start_run(results);
	auto_free char *json = text_fmt("%s/latest/results.json", results);
	int status = 0;

	check_alarm(RUN_MS / 1000);
	CHECK(wait_machines(results, true, STARTED_MS));
	kill(pid, SIGINT);
	CHECK_INT(proc_wait(pid, deadline_in_ms(60000), &status, NULL), 0);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 130);
	CHECK(wait_machines(results, false, GONE_MS));
	CHECK(fs_exists(json));
}

static void without_qemu_it_says_one_sentence_and_16(void)
{
	char *argv[] = {"env", "PATH=/nowhere", PROGRAM, "run", "freeze-fs-during-delivery",
		"--target", "postfix-dovecot", "--results", (char *)check_dir(), NULL};
	auto_buf struct buf out = {0};

	CHECK_INT(run(&out, argv), 16);
	CHECK_HAS(buf_text(&out), "qemu-system-x86_64");
}

static void an_unknown_scenario_names_the_nearest(void)
{
	char *argv[] = {"sh", "-c", PROGRAM " run freeze-fs-during-deliverie 2>&1", NULL};
	auto_buf struct buf out = {0};

	CHECK_INT(run(&out, argv), 64);
	CHECK_HAS(buf_text(&out), "did you mean 'freeze-fs-during-delivery'?");
}

CHECK_MAIN(CHECK_CASE(the_three_families_get_a_verdict_each),
	CHECK_CASE(one_can_stand_inside_a_target),
	CHECK_CASE(acknowledged_mail_survives_a_power_cut),
	CHECK_CASE(wireshark_opens_the_capture_and_sees_the_mail),
	CHECK_CASE(a_finished_cell_can_be_run_again), CHECK_CASE(no_machine_outlives_a_killed_rig),
	CHECK_CASE(a_machine_that_dies_is_broken_and_the_other_cell_goes_on),
	CHECK_CASE(an_interrupted_run_ends_its_machines_and_keeps_what_it_learnt),
	CHECK_CASE(without_qemu_it_says_one_sentence_and_16),
	CHECK_CASE(an_unknown_scenario_names_the_nearest))

/*
 * A real clone of postfix-dovecot for the tests that walk faults on it, and what they ask of it. One test program uses
 * it at a time: the bed is the file's own.
 */
#pragma once

#include "tests/check/check.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "run/bed/bed_vm.h"
#include "run/plan/scenario_load.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define COMMAND_MS 60000
/* Postfix starts a service whose processes were killed again after service_throttle_time, 60 s. */
#define SERVES_MS 180000
#define SLOT_HELD 1
#define SLOT	  2

/* Of the programs that faults here are aimed at; their masters start others. */
#define KILL_TARGETS                                                                    \
	"for p in /proc/[0-9]*; do case $(readlink $p/exe) in "                         \
	"/usr/lib/dovecot/lmtp|/usr/lib/dovecot/imap|/usr/lib/dovecot/pop3|"            \
	"/usr/lib/postfix/sbin/smtpd|/usr/lib/postfix/sbin/lmtp|"                       \
	"/usr/lib/postfix/sbin/cleanup|/usr/lib/postfix/sbin/trivial-rewrite) kill -9 " \
	"${p#/proc/};; esac; done 2>/dev/null; :"

static struct plan_list plans;
static struct bed *bed;

static void hear_nothing(void *arg, enum bed_event event, const json_t *json)
{
	(void)arg;
	(void)event;
	(void)json;
}

/* ---- the bed ---- */

static bool open_bed(const char *scenario)
{
	const char *const scenarios[] = {scenario, NULL};
	const char *const targets[] = {"postfix-dovecot", NULL};
	struct plan_request request = {
		.scenarios = scenarios, .targets = targets, .seed = 1, .repeat = 1};
	auto_buf struct buf complaints = {0};
	struct err err = {0};
	auto_free char *root = plan_root(&err);
	int rc;

	request.root = root;
	signal(SIGPIPE, SIG_IGN);
	rc = plan_make(&request, &plans, &complaints, &err);
	if (!rc)
		rc = bed_vm_prepare(plans.at[0]->target, NULL, NULL, &err);
	if (!rc)
		rc = bed_vm_open(&bed, plans.at[0], check_dir(), hear_nothing, NULL, NULL, &err);
	if (!CHECK_INT(rc, 0))
		fprintf(stderr, "%s%s\n", buf_text(&complaints), err.text);
	return !rc;
}

static void close_bed(void)
{
	if (bed)
		bed->ops->close(bed);
	bed = NULL;
	plan_list_free(&plans);
}

/* The store greets: what was done to it is gone. */
static void it_serves(const char *fault)
{
	struct err err = {0};
	int64_t deadline_ns = deadline_in_ms(SERVES_MS);
	int fd = bed->ops->connect(bed, &bed->target->services[0], deadline_ns, &err);
	char first = 0;

	if (fd >= 0)
		io_read(fd, &first, 1, deadline_ns);
	if (!CHECK(first == '2'))
		fprintf(stderr, "after %s: no greeting %s\n", fault, err.text);
	if (fd >= 0)
		close(fd);
}

static void nothing_is_left(const char *fault, const char *life)
{
	auto_json json_t *left = NULL;
	struct err err = {0};
	int rc = bed->ops->residue(bed, &left, &err);

	if (CHECK_INT(rc, 0) && CHECK_INT(json_array_size(left), 0))
		return;
	fprintf(stderr, "%s, %s: %s%s\n", fault, life, err.text,
		left ? json_string_value(json_array_get(left, 0)) : "");
}

/* ---- one use ---- */

static uint32_t none(void *arg)
{
	(void)arg;
	return 0;
}

static uint32_t none_acted(void *arg, const struct text_list *commands)
{
	(void)arg;
	(void)commands;
	return 0;
}

typedef int (*fault_fn)(struct fault_run *run, struct err *err);

static void does(const char *fault, const char *what, fault_fn fn, struct fault_run *run)
{
	struct err err = {0};

	if (!CHECK_INT(fn(run, &err), 0))
		fprintf(stderr, "%s, %s: %s\n", fault, what, err.text);
}

static void kill_targets(const struct fault *fault)
{
	struct command_result result = {0};
	struct err err = {0};

	if (!CHECK_INT(bed->ops->run(bed, KILL_TARGETS, NULL, COMMAND_MS, true, &result, &err), 0))
		fprintf(stderr, "%s, kill: %s\n", fault->name, err.text);
	buf_free(&result.output);
}

static void says(const char *line)
{
	struct command_result result = {0};
	struct err err = {0};

	if (!CHECK_INT(bed->ops->run(bed, line, NULL, COMMAND_MS, true, &result, &err), 0) ||
		!CHECK_INT(result.status, 0))
		fprintf(stderr, "%s: %s\n%s\n", line, err.text, buf_text(&result.output));
	buf_free(&result.output);
}

/*
 * Ends without a signal of their own: a program that its parent begins again and again and that gives up each time,
 * and a process that the kernel ended because memory ran out (mm/oom_kill.c, Linux 6.1). Both are told only where
 * work waits and no thread stands in a way that would explain it better: a helper may fail because of a hang.
 */
#include "diagnose/oom.h"
#include "diagnose/suspect.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX    4096
#define LINE_SAID    200
#define LIVED_MAX_MS 10000 /* who lived longer had begun its work */
#define FRESH_S	     60	   /* a loop goes on: its last turn was not longer ago */
#define PAGE_KIB     4
#define KIB_PER_MIB  1024

static struct culprit *blame(struct diagnosing *d, int pid, const char *name, char *says)
{
	struct culprit *culprit = &d->out->culprits[d->out->culprit_count++];

	*culprit = (struct culprit){.pid = pid, .tid = pid, .says = says};
	snprintf(culprit->role, sizeof(culprit->role), "%s", name);
	return culprit;
}

static void set_title(struct diagnosing *d, char *text)
{
	struct buf escaped = {0};

	buf_add_escaped(&escaped, text, strlen(text));
	free(text);
	free(d->out->title);
	d->out->title = buf_steal(&escaped);
}

/* ---- again and again ---- */

static bool is_loop(const json_t *exited)
{
	return json_get_int(exited, "count", 0) >= CRASHES_FOR_LOOP &&
	       json_get_int(exited, "lived_ms", LIVED_MAX_MS) < LIVED_MAX_MS &&
	       json_get_real(exited, "age_s", FRESH_S) < FRESH_S;
}

/* The one that came back most often, as it was told last. */
static const json_t *worst_loop(const json_t *exited)
{
	const json_t *worst = NULL;

	for (size_t i = 0; i < json_array_size(exited) && i < LINES_MAX; i++) {
		const json_t *one = json_array_get(exited, i);

		if (is_loop(one) && (!worst || json_get_int(one, "count", 0) >=
						       json_get_int(worst, "count", 0)))
			worst = one;
	}
	return worst;
}

static bool has_open(const struct evidence *e, int pid, uint64_t ino)
{
	for (size_t i = 0; i < e->fd_count; i++)
		if (e->fds[i].pid == pid && e->fds[i].ino == ino)
			return true;
	return false;
}

/* What the suspect connected to is the door of whoever begins the one that fails; or it is that one itself, which
 * does so no more for a while. */
static bool stands_behind(const struct diagnosing *d, const struct suspect *s, int pid)
{
	const struct task *t = &d->now.tasks[s->task];
	const struct socket_end *door = graph_door(&d->graph, s->task);

	return (door && has_open(&d->now, pid, door->ino)) ||
	       (t->pid == pid && t->wait.kind == WAIT_SLEEP);
}

bool find_exit_loop(struct diagnosing *d, const struct suspect *suspect)
{
	const json_t *loop = worst_loop(d->in->exited);
	const char *name = json_get_text(loop, "comm", "?"),
		   *line = json_get_text(loop, "line", NULL);
	const char *parent = json_get_text(loop, "parent", "?");
	int status = (int)json_get_int(loop, "status", 0);
	int ppid = (int)json_get_int(loop, "ppid", 0);
	long long count = (long long)json_get_int(loop, "count", 0);
	auto_free char *part = NULL;

	if (!loop)
		return false;
	say_evidence(d,
		"`%s` ended with status %d %lld times, the last one (process %d) after %.3f s, and "
		"`%s` (process %d) began it again each time",
		name, status, count, (int)json_get_int(loop, "pid", 0),
		(double)json_get_int(loop, "lived_ms", 0) / 1000, parent, ppid);
	if (line)
		say_evidence(d, "its last line in a log: %.*s", LINE_SAID, line);
	/* One that stands explains more than a loop beside it. */
	if (suspect->weight >= WEIGHT_UNANSWERED && !stands_behind(d, suspect, ppid))
		return false;
	part = text_fmt("%s: status %d", name, status);
	set_title(d, text_fmt("`%s` ends with status %d as soon as it is begun, %lld times so far; "
			      "`%s` (process %d) begins it again.",
			     name, status, count, parent, ppid));
	blame(d, (int)json_get_int(loop, "pid", 0), name, text_fmt("ended with status %d", status));
	if (!line)
		say_unknown(d, "why it gives up: no line of a log names it");
	conclude(d, "crash-loop", &part, 1, false);
	return true;
}

/* ---- memory ran out ---- */

struct killed {
	struct oom_killed by_kernel;
	struct {
		int pid;
		char name[OOM_NAME_SIZE];
		long long rss_kib;
	} most; /* of the table in front of it; pid 0: there is none */
};

/* "[    812]     0   812    12345     678    90112        0             0 imap": rss is the fifth number, in pages. */
static void read_user(const char *line, struct killed *killed)
{
	int pid;
	long long rss;
	char name[OOM_NAME_SIZE];

	if (line[0] != '[' ||
		sscanf(line, "[%9d] %*d %*d %*d %18lld %*d %*d %*d %15s", &pid, &rss, name) != 3 ||
		pid <= 0 || rss <= killed->most.rss_kib / PAGE_KIB)
		return;
	killed->most.pid = pid;
	killed->most.rss_kib = rss * PAGE_KIB;
	snprintf(killed->most.name, sizeof(killed->most.name), "%s", name);
}

/* The first one: what came after it may come of it. */
static bool first_killed(const json_t *kernel, struct killed *ret)
{
	*ret = (struct killed){0};
	for (size_t i = 0; i < json_array_size(kernel) && i < LINES_MAX; i++) {
		const char *line = json_string_value(json_array_get(kernel, i));

		if (line && oom_read_killed(line, &ret->by_kernel))
			return true;
		if (line && strstr(line, "invoked oom-killer"))
			ret->most.pid = 0, ret->most.rss_kib = 0;
		else if (line)
			read_user(line, ret);
	}
	return false;
}

static void say_killed(struct diagnosing *d, const struct killed *k)
{
	const char *where = k->by_kernel.in_group ? "the limit of its control group was reached"
						  : "the machine had no memory left";

	if (k->by_kernel.rss_kib)
		say_evidence(d, "the kernel ended `%s` (process %d), which used %lld MiB: %s",
			k->by_kernel.name, k->by_kernel.pid, k->by_kernel.rss_kib / KIB_PER_MIB,
			where);
	else
		say_evidence(d, "the kernel ended `%s` (process %d): %s", k->by_kernel.name,
			k->by_kernel.pid, where);
	if (k->most.pid)
		say_evidence(d, "`%s` (process %d) used the most: %lld MiB", k->most.name,
			k->most.pid, k->most.rss_kib / KIB_PER_MIB);
	else
		say_unknown(d, "who used the memory: the kernel's table is not in its log");
}

bool find_oom(struct diagnosing *d, const struct suspect *suspect)
{
	struct killed k;
	auto_free char *part = NULL;
	bool other;

	if (!first_killed(d->in->kernel, &k))
		return false;
	say_killed(d, &k);
	other = k.most.pid && k.most.pid != k.by_kernel.pid;
	/* Whose limit a group's is, is not known: the rig sets some. */
	if (!k.by_kernel.in_group && !speaks_for_itself(suspect)) {
		set_title(
			d, text_fmt("`%s` (process %d) was ended by the kernel because memory "
				    "ran out%s%s%s.",
				   k.by_kernel.name, k.by_kernel.pid, other ? "; `" : "",
				   other ? k.most.name : "", other ? "` used the most of it" : ""));
		if (other)
			blame(d, k.most.pid, k.most.name, text_dup("used the most of the memory"));
		blame(d, k.by_kernel.pid, k.by_kernel.name,
			text_dup("was ended by the kernel for want of memory"));
		say_unknown(d, "whether it used more than it should, or the machine is too small");
		part = text_fmt("%s: out of memory", k.by_kernel.name);
		conclude(d, "crash", &part, 1, false);
	}
	return d->out->hang_class != NULL;
}

#include "diagnose/case.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/dot_lock.h"
#include "diagnose/futex.h"
#include "diagnose/picture.h"

#include <stdlib.h>
#include <string.h>

#define OWED_MAX    4096
#define REST_MAX_MS 5000 /* longer, it is no rest between two turns */

static void weigh_work(struct diagnosing *d)
{
	for (size_t i = 0; i < json_array_size(d->in->owed) && i < OWED_MAX; i++) {
		double age = json_get_real(json_array_get(d->in->owed, i), "age_s", 0);

		if (age < d->in->owed_limit_s)
			continue;
		d->owed++;
		if (age > d->oldest_s)
			d->oldest_s = age;
	}
	for (size_t i = 0; i < d->now.socket_count; i++)
		if (d->now.sockets[i].listens && d->now.sockets[i].backlog > 0 &&
			d->backlog <= INT64_MAX - d->now.sockets[i].backlog)
			d->backlog += d->now.sockets[i].backlog;
	d->work = d->owed || d->in->queued > 0 || d->in->stopping;
}

static void add_part(struct buf *line, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add_part(struct buf *line, const char *fmt, ...)
{
	va_list ap;

	buf_add_str(line, line->len ? "; " : "work that waits: ");
	va_start(ap, fmt);
	buf_addv(line, fmt, ap);
	va_end(ap);
}

static void say_work(struct diagnosing *d)
{
	auto_buf struct buf line = {0};

	if (d->owed == 1)
		add_part(&line, "1 reply is overdue, owed for %.1f s", d->oldest_s);
	else if (d->owed)
		add_part(&line, "%zu replies are overdue, the oldest is owed for %.1f s", d->owed,
			d->oldest_s);
	if (d->in->queued > 0)
		add_part(&line, "%lld in the queue", (long long)d->in->queued);
	if (d->backlog)
		add_part(&line, "%lld connection%s not accepted yet", (long long)d->backlog,
			d->backlog == 1 ? "" : "s");
	if (d->in->stopping)
		add_part(&line, "an operation or the stop is overdue");
	if (line.len)
		say_evidence(d, "%s", buf_text(&line));
}

static void say_unread(struct diagnosing *d)
{
	size_t unreadable = 0;

	for (size_t i = 0; i < d->now.task_count; i++)
		unreadable += !d->now.tasks[i].mine && d->now.tasks[i].wait.kind == WAIT_UNKNOWN;
	if (unreadable)
		say_unknown(d, "%zu threads could not be read", unreadable);
	if (d->now.unread)
		say_unknown(d, "%zu entries of the scan could not be read", d->now.unread);
	if (d->now.locks.unread)
		say_unknown(d, "%zu lines of /proc/locks could not be read", d->now.locks.unread);
	if (d->now.no_memory)
		say_unknown(d, "memory could not be read in time: who owns locks in memory is not "
			       "known of all");
	if (d->now.no_fds)
		say_unknown(d, "descriptors could not be read in time: who has the other ends is "
			       "not known");
	else if (d->now.no_sockets)
		say_unknown(d, "the kernel did not tell the other ends of its sockets");
	if (d->now.no_held)
		say_unknown(d, "locks of open files changed hands meanwhile: who has them is not "
			       "known of all");
	if (d->now.truncated)
		say_unknown(d, "the scan was cut short");
	if (d->graph.cut)
		say_unknown(d, "the graph has more edges than are kept");
}

static void read_evidence(const struct diagnosing *d, const json_t *scan, struct evidence *ret)
{
	evidence_read(scan, d->in->target, d->in->ours, ret);
	futex_refine_all(ret);
}

/* Who waits for a semaphore as it did when all was well waits for work, not for who is at the work that it took. */
static void drop_idle(struct diagnosing *d)
{
	for (size_t i = 0; i < d->now.task_count; i++)
		if (wait_is_of_set(&d->now.tasks[i].wait) &&
			waited_so_when_healthy(d, &d->now.tasks[i]))
			graph_drop_supposed(&d->graph, i);
}

static void set_parked(struct diagnosing *d)
{
	for (size_t i = 0; i < d->now.task_count; i++)
		for (size_t k = 0; k < d->in->parked_count; k++)
			if (d->now.tasks[i].tid == d->in->parked[k])
				d->now.tasks[i].wait =
					(struct wait){.kind = WAIT_PARKED, .fd = -1, .number = -1};
}

static void title_suspect(struct diagnosing *d, const struct suspect *s)
{
	size_t perhaps = perhaps_behind(d, s->task);
	auto_free char *name = who(d, s->task);
	auto_buf struct buf text = {0};
	struct buf escaped = {0};
	char what[WHAT_MAX];

	graph_what(&d->graph, s->task, what);
	if (d->now.tasks[s->task].object[0] && wait_is_event(d->now.tasks[s->task].wait.kind))
		buf_addf(&text, "%s waits for the %s, which nobody owns and nobody has signalled",
			name, what);
	else
		buf_addf(&text, "%s: %s (%s)", name, s->why, what);
	if (s->behind)
		buf_addf(
			&text, "; %zu more wait%s behind it", s->behind, s->behind == 1 ? "s" : "");
	else if (perhaps)
		buf_addf(&text, "; %zu more may stand behind it", perhaps);
	buf_addc(&text, '.');
	buf_add_escaped(&escaped, text.data, text.len);
	free(d->out->title);
	d->out->title = buf_steal(&escaped);
}

/* Who has the other end of what it waits for, though it may have nothing to send. */
static void tell_other_end(struct diagnosing *d, size_t task)
{
	size_t next = graph_next(&d->graph, task);

	if (next == SIZE_MAX || d->now.tasks[next].mine)
		return;
	say_task_as(d, next, "it waits for what this one has: ");
	add_culprit(d, next);
}

/* Those whose chain leads to the suspect; that one does is said once where it is supposed. */
static void add_waiting(struct diagnosing *d, const struct suspect *s)
{
	bool said = false;

	for (size_t i = 0; i < d->now.task_count; i++) {
		if (i == s->task || graph_next(&d->graph, i) != s->task)
			continue;
		add_culprit(d, i);
		if (!said && graph_is_supposed(&d->graph, i))
			say_no_owner(d, i);
		said |= graph_is_supposed(&d->graph, i);
	}
}

/* Whether one whose rests are short has run between the two instants is chance. */
static bool works_by_turns(const struct diagnosing *d, const struct task *t)
{
	int64_t limit_ms = t->wait.kind == WAIT_SLEEP ? t->wait.limit_ms : 0;

	return limit_ms ? limit_ms <= REST_MAX_MS : has_moved(d, t);
}

static void tell_suspect(struct diagnosing *d, const struct suspect *s)
{
	bool busy = !strcmp(s->hang_class, "livelock");
	bool works = !strcmp(s->hang_class, "slow") && works_by_turns(d, &d->now.tasks[s->task]);
	auto_free char *part = busy    ? part_of_busy(d, s->task)
			       : works ? part_of_work(d, s->task)
				       : part_of(d, s->task);

	d->out->behind = s->behind;
	title_suspect(d, s);
	add_culprit(d, s->task);
	say_evidence(d, "no cycle in the wait-for graph; the chains end here: %s", s->why);
	say_task(d, s->task);
	tell_other_end(d, s->task);
	add_waiting(d, s);
	tell_around(d, s->task);
	say_no_owner(d, s->task);
	conclude(d, s->hang_class, &part, 1, false);
	if (s->on_fault)
		d->out->finding = s->behind > 0;
}

/* Work is overdue and no wait explains it. */
static void tell_slow(struct diagnosing *d)
{
	static char none[] = "no suspect";
	char *part = none;

	free(d->out->title);
	d->out->title = text_dup("Replies are overdue and no wait explains it.");
	say_unknown(d, "no thread waits for anything but work");
	conclude(d, "slow", &part, 1, false);
}

/* It may burn the processor, or have work that it would finish. */
static void say_no_turn(struct diagnosing *d, size_t task)
{
	auto_free char *name = who(d, task);

	say_unknown(d,
		"whether %s does anything: it is ready to run, and others, or the host, have the "
		"processor",
		name);
}

static void judge(struct diagnosing *d)
{
	struct suspect suspect;

	if (find_crash(d) || find_deadlock(d) || !d->work)
		return;
	if (d->in->starved) {
		say_unknown(d, "the host was starved: who is late may only have been kept waiting");
		return;
	}
	suspect = find_suspect(d);
	if (d->in->before && !speaks_for_itself(&suspect))
		return;
	if (!d->in->before && (find_oom(d, &suspect) || find_exit_loop(d, &suspect)))
		return;
	if (!d->in->before && (find_silence(d, &suspect) || find_exhaustion(d, &suspect)))
		return;
	if (suspect.weight && !suspect.hang_class)
		say_no_turn(d, suspect.task);
	else if (suspect.weight)
		tell_suspect(d, &suspect);
	else
		tell_slow(d);
}

void diagnose(const struct diagnose_input *input, struct diagnosis *ret)
{
	struct diagnosing d = {.in = input, .out = ret};

	*ret = (struct diagnosis){.title = text_dup("Nobody waits for anything that is owed.")};
	read_evidence(&d, input->scan, &d.now);
	read_evidence(&d, input->earlier, &d.earlier);
	read_evidence(&d, input->healthy, &d.healthy);
	read_evidence(&d, input->before, &d.before);
	set_parked(&d);
	graph_build(&d.now, &d.graph);
	graph_build(&d.earlier, &d.then);
	drop_idle(&d);
	weigh_work(&d);
	judge(&d);
	find_sleepers(&d);
	if (!d.in->died)
		say_work(&d);
	if (ret->hang_class && !d.in->died)
		say_dot_locks(&d);
	say_unread(&d);
	if (ret->hang_class)
		ret->graph = picture_of(&d);
	graph_free(&d.graph);
	graph_free(&d.then);
	evidence_free(&d.now);
	evidence_free(&d.earlier);
	evidence_free(&d.healthy);
	evidence_free(&d.before);
}

void diagnosis_free(struct diagnosis *diagnosis)
{
	free(diagnosis->title);
	for (size_t i = 0; i < diagnosis->culprit_count; i++)
		free(diagnosis->culprits[i].says);
	for (size_t i = 0; i < diagnosis->evidence_count; i++)
		free(diagnosis->evidence[i]);
	for (size_t i = 0; i < diagnosis->unknown_count; i++)
		free(diagnosis->unknown[i]);
	json_decref(diagnosis->graph);
	*diagnosis = (struct diagnosis){0};
}

static json_t *lines_json(char *const *lines, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_text(lines[i]));
	return array;
}

json_t *diagnosis_to_json(const struct diagnosis *diagnosis)
{
	json_t *culprits = json_array();

	for (size_t i = 0; i < diagnosis->culprit_count; i++) {
		const struct culprit *c = &diagnosis->culprits[i];

		json_array_append_new(
			culprits, json_pack("{si si so so}", "pid", c->pid, "tid", c->tid, "role",
					  json_text(c->role), "says", json_text(c->says)));
	}
	return json_pack("{so sb so so sI so so so sO*}", "class",
		diagnosis->hang_class ? json_text(diagnosis->hang_class) : json_null(), "finding",
		(int)diagnosis->finding, "title", json_text(diagnosis->title), "culprits", culprits,
		"behind", (json_int_t)diagnosis->behind, "evidence",
		lines_json(diagnosis->evidence, diagnosis->evidence_count), "unknown",
		lines_json(diagnosis->unknown, diagnosis->unknown_count), "signature",
		json_text(diagnosis->signature), "graph", diagnosis->graph);
}

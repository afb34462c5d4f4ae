#include "diagnose/case.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/signature.h"

#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define STACK_SHOWN 5 /* frames of a kernel stack in an evidence line */
#define PARTS_MAX   (CYCLE_MAX + 2)
#define FRAMES_TOLD 8
#define FRAMES_KEPT 4  /* in a signature */
#define COMM_MAX    15 /* bytes of a thread's name that the kernel keeps */

void say(char **lines, size_t *count, const char *fmt, ...)
{
	struct buf raw = {0}, line = {0};
	va_list ap;

	if (*count == EVIDENCE_LINE_MAX)
		return;
	va_start(ap, fmt);
	buf_addv(&raw, fmt, ap);
	va_end(ap);
	buf_add_escaped(&line, buf_text(&raw), raw.len);
	buf_free(&raw);
	lines[(*count)++] = buf_steal(&line);
}

char *name_thread(const char *role, int pid, int tid, bool alone)
{
	return alone ? text_fmt("`%s` (process %d)", role, pid)
		     : text_fmt("`%s` (thread %d of process %d)", role, tid, pid);
}

char *who(const struct diagnosing *d, size_t task)
{
	const struct task *t = &d->now.tasks[task];
	size_t threads;

	evidence_process(&d->now, t->pid, &threads);
	return name_thread(t->role, t->pid, t->tid, threads <= 1);
}

/* How every call comes into the kernel: the call itself is told already. */
static bool is_entry(const char *name)
{
	static const char *const entries[] = {"__x64_sys_", "do_syscall_", "entry_SYSCALL_"};

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		if (!strncmp(name, entries[i], strlen(entries[i])))
			return true;
	return false;
}

/* "[<0>] name+0x1/0x2" lines as "name < name < name". */
static void add_stack(struct buf *out, const char *stack)
{
	for (int shown = 0; *stack && shown < STACK_SHOWN;) {
		const char *name = strstr(stack, "] ");
		size_t line = strcspn(stack, "\n");

		name = name && name < stack + line ? name + 2 : stack;
		if (!is_entry(name))
			buf_addf(out, "%s%.*s",
				shown++ ? " < " : "; in the kernel: ", (int)strcspn(name, "+\n"),
				name);
		stack += line + (stack[line] == '\n');
	}
}

static void add_frames(struct buf *out, const json_t *frames, size_t most, const char *before)
{
	for (size_t i = 0; i < json_array_size(frames) && i < most; i++) {
		const char *name = json_string_value(json_array_get(frames, i));

		buf_addf(out, "%s%.64s", i ? " < " : before, name ? name : "?");
	}
}

static void add_busy(struct buf *out, const struct task *t)
{
	if (!json_array_size(t->busy))
		return;
	buf_addf(out, "; at each of %d moments", t->moments);
	add_frames(out, t->busy, FRAMES_TOLD, " in ");
	if (*t->loop && !json_has_text(t->busy, t->loop))
		buf_addf(out, ", at most of them in %.64s", t->loop);
}

/* A stripped program's own frames are its file's name alone; with their places there is something to look up. */
static const json_t *for_people(const struct task *t)
{
	json_t *one;
	size_t i;

	json_array_foreach ((json_t *)t->frames, i, one)
		if (json_is_string(one) && strstr(json_string_value(one), "+0x"))
			return t->frames;
	return t->own ? t->own : t->frames;
}

/* How long a wait lasts at most by the call's own limit, and how much of that is left. */
static void add_limit(const struct diagnosing *d, const struct task *t, struct buf *out)
{
	char key[16];
	const json_t *since;
	double limit_s = (double)t->wait.limit_ms / 1000, from, to;

	if (!t->wait.limit_ms)
		return;
	buf_addf(out, ", for at most %.3f s", limit_s);
	snprintf(key, sizeof(key), "%d", t->tid);
	since = json_object_get(d->in->since, key);
	if (json_array_size(since) != 2)
		return;
	from = limit_s - (d->in->now_s - json_number_value(json_array_get(since, 0)));
	to = limit_s - (d->in->now_s - json_number_value(json_array_get(since, 1)));
	if (from <= to && to <= limit_s)
		buf_addf(out, ", of which %.1f to %.1f s are left", from > 0 ? from : 0, to);
}

/* The kernel's part of it is the same for all who wait in memory, and says nothing beside the functions. */
static bool is_plain_futex(const struct task *t)
{
	return t->frames && t->wait.number == SYS_futex && t->state == 'S';
}

void say_task(struct diagnosing *d, size_t task)
{
	say_task_as(d, task, "");
}

void say_task_as(struct diagnosing *d, size_t task, const char *as)
{
	const struct task *t = &d->now.tasks[task];
	auto_free char *name = who(d, task);
	auto_buf struct buf line = {0};
	char what[WHAT_MAX];

	graph_what(&d->graph, task, what);
	buf_addf(&line, "%s%s, state %c: %s", as, name, t->state, what);
	add_limit(d, t, &line);
	if (!is_plain_futex(t))
		add_stack(&line, t->stack);
	if (!t->stack[0] && t->wchan[0])
		buf_addf(&line, "; in the kernel: %s", t->wchan);
	add_frames(&line, for_people(t), FRAMES_TOLD, "; stack: ");
	add_busy(&line, t);
	say_evidence(d, "%s", buf_text(&line));
}

void say_no_owner(struct diagnosing *d, size_t task)
{
	int last = graph_last_user(&d->now.tasks[task]);
	const char *unknown = d->graph.nodes[task].unknown;
	bool taken = d->now.tasks[task].sem.op;

	if (!unknown)
		return;
	if (!last) {
		say_unknown(d, "owner unknown: %s", unknown);
		return;
	}
	say_unknown(d, "owner unknown: %s; process %d was the last to %s it", unknown, last,
		taken ? "take" : "change");
	if (evidence_has_ended(&d->now, last))
		say_evidence(d, "the process that %s it last (%d) has ended",
			taken ? "took" : "changed", last);
}

void add_culprit(struct diagnosing *d, size_t task)
{
	const struct task *t = &d->now.tasks[task];
	struct culprit *c = &d->out->culprits[d->out->culprit_count];
	auto_buf struct buf says = {0};
	struct buf escaped = {0};
	char what[WHAT_MAX];

	if (d->out->culprit_count == CULPRITS_MAX)
		return;
	graph_what(&d->graph, task, what);
	buf_addf(&says, "state %c: %s", t->state, what);
	add_limit(d, t, &says);
	add_frames(&says, t->own, FRAMES_TOLD, "; in ");
	add_busy(&says, t);
	buf_add_escaped(&escaped, says.data, says.len);
	*c = (struct culprit){.pid = t->pid, .tid = t->tid, .says = buf_steal(&escaped)};
	snprintf(c->role, sizeof(c->role), "%s", t->role);
	d->out->culprit_count++;
}

/* A thread that was given no name has its program's, cut to 15 bytes by the kernel. */
static bool is_named_after(const struct task *t)
{
	const char *slash = strrchr(t->exe, '/');

	return !strncmp(t->comm, slash ? slash + 1 : t->exe, COMM_MAX);
}

/* An event is what its waiters wait in, and a lock with a name is known by it; which of the
 * operations behind it came to wait is chance. Where the innermost is not known its callers stand for it: who
 * calls by a pointer calls anybody. */
static size_t frames_that_count(const struct task *t)
{
	if (t->jumped)
		return FRAMES_KEPT;
	if (wait_is_event(t->wait.kind) || (wait_is_lock(t->wait.kind) && t->object[0]))
		return 1;
	return wait_is_lock(t->wait.kind) ? 2 : FRAMES_KEPT;
}

static void add_actor(struct buf *part, const struct task *t)
{
	char name[WHAT_MAX];

	buf_add_str(part, t->role);
	if (t->pid != t->tid && !is_named_after(t)) {
		graph_name_class(t->comm, name);
		buf_addf(part, "/%s", name);
	}
}

/* Where in its loop it is met is chance; the loop, and the function that its thread began in, are not. */
char *part_of_busy(const struct diagnosing *d, size_t task)
{
	const struct task *t = &d->now.tasks[task];
	struct buf part = {0};

	add_actor(&part, t);
	buf_add_str(&part, ": burns the processor");
	if (*t->loop)
		buf_addf(&part, " in %.64s", t->loop);
	if (*t->began && strcmp(t->began, t->loop) != 0)
		buf_addf(&part, " in %.64s", t->began);
	return buf_steal(&part);
}

/* The same: who works is known by what others wait for until it has done. Those at its door only where nobody got
 * further: how many do is chance. */
char *part_of_work(const struct diagnosing *d, size_t task)
{
	const struct task *t = &d->now.tasks[task];
	struct buf part = {0};
	char least[WHAT_MAX] = "", what[WHAT_MAX];
	bool at_door = true, door;

	for (size_t i = 0; i < d->now.task_count; i++) {
		if (i == task || graph_next(&d->graph, i) != task)
			continue;
		door = graph_door(&d->graph, i);
		if (door && !at_door)
			continue;
		graph_what(&d->graph, i, what);
		if (!*least || door != at_door || strcmp(what, least) < 0)
			memcpy(least, what, sizeof(least));
		at_door = door;
	}
	add_actor(&part, t);
	buf_addf(&part, ": at work before %s", least);
	return buf_steal(&part);
}

char *part_of(const struct diagnosing *d, size_t task)
{
	const struct task *t = &d->now.tasks[task];
	struct buf part = {0};
	char what[WHAT_MAX];

	graph_what(&d->graph, task, what);
	add_actor(&part, t);
	buf_addf(&part, ": %s", what);
	if (t->own)
		add_frames(&part, t->own, frames_that_count(t), " in ");
	else
		add_frames(&part, t->frames, FRAMES_KEPT, " in ");
	return buf_steal(&part);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void conclude(struct diagnosing *d, const char *hang_class, char **parts, size_t count, bool sort)
{
	const char *all[PARTS_MAX + 1] = {0};
	size_t kept = 0;

	if (sort && count)
		qsort(parts, count, sizeof(*parts), compare_texts);
	for (size_t i = 0; i < count && kept < PARTS_MAX; i++)
		if (!kept || strcmp(all[kept - 1], parts[i]) != 0)
			all[kept++] = parts[i];
	d->out->hang_class = hang_class_find(hang_class);
	d->out->finding = true;
	signature_make(hang_class, all, d->out->signature);
}

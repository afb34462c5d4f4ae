/*
 * Those who sleep and look again. What they look for the kernel does not say; where their calls were followed
 * (vm/witness_wire.h, tries), whoever is known to have it is whom they wait for, as if they had asked to wait. A
 * dot-lock is held by the process that it names, if that one is older than the file; or by the only other process that
 * has it open.
 */
#include "diagnose/case.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define SLEEP_MAX_MS 5000 /* who sleeps for longer is not waited for */
#define SHORT_MS     1000 /* who waits for events no longer than that may look for something between */
#define LATE_MS	     500		 /* a busy guest wakes nobody in time */
#define CLOCKS_NS    INT64_C(1000000000) /* by which two clocks may differ */

/* ---- what was asked for ---- */

static bool sleeps(const struct task *t)
{
	return t->wait.kind == WAIT_SLEEP || (t->wait.kind == WAIT_POLL && t->wait.timed);
}

static bool read_kind(const char *word, enum lock_kind *ret)
{
	static const char *const words[] = {[LOCK_DOT] = "file",
		[LOCK_FLOCK] = "flock",
		[LOCK_POSIX] = "posix",
		[LOCK_OFD] = "ofd"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(word, words[i])) {
			*ret = (enum lock_kind)i;
			return true;
		}
	return false;
}

static int number_at(const char *text)
{
	char *end;
	long pid = strtol(text, &end, 10);

	return end != text && pid > 0 && pid <= INT_MAX ? (int)pid : 0;
}

/* "12 host", "host.12", or "host:+12", as links say it; 0: nobody. */
static int read_named(const json_t *json)
{
	const char *says = json_get_text(json, "says", ""), *plus = strstr(says, ":+"),
		   *dot = strrchr(says, '.');

	if (plus)
		return number_at(plus + 2);
	return number_at(says) || !dot ? number_at(says) : number_at(dot + 1);
}

static bool read_try(const json_t *json, struct tried *ret)
{
	int64_t first = json_get_int(json, "first", 0), last = json_get_int(json, "last", -1);

	*ret = (struct tried){.path = json_get_text(json, "path", ""), .named = read_named(json)};
	ret->wants = (struct file_lock){.waits = true,
		.write = json_get_bool(json, "write", true),
		.pid = -1,
		.first = (uint64_t)first,
		.last = last < 0 ? UINT64_MAX : (uint64_t)last};
	snprintf(
		ret->wants.inode, sizeof(ret->wants.inode), "%s", json_get_text(json, "inode", ""));
	return ret->wants.inode[0] && first >= 0 &&
	       read_kind(json_get_text(json, "kind", ""), &ret->wants.kind);
}

/* ---- who has it ---- */

/* It began before the file was made; true too where that is not told. */
static bool is_older(const struct task *process, const json_t *json)
{
	const json_t *made = json_object_get(json, "made_ns");
	int64_t made_ns = json_integer_value(made);

	return !json_is_integer(made) || made_ns > INT64_MAX - CLOCKS_NS || process->start < 0 ||
	       process->start > INT64_MAX / TICK_NS ||
	       process->start * TICK_NS <= made_ns + CLOCKS_NS;
}

/* Not all of it waits for work. */
static bool is_at_work(const struct evidence *e, int64_t pid)
{
	size_t count = 0,
	       first = pid > 0 && pid <= INT_MAX ? evidence_process(e, (int)pid, &count) : 0;

	for (size_t i = first; i < first + count; i++)
		if (e->tasks[i].wait.kind != WAIT_ENDED && !graph_is_idle(&e->tasks[i]))
			return true;
	return false;
}

/* Several have it open since a fork(): the only one that is at anything. 0: none, or which is not known. */
static int only_opener(const struct evidence *e, const json_t *json, int but)
{
	const json_t *one, *array = json_object_get(json, "open_by");
	int only = 0, at_work = 0, others = 0, busy = 0;
	size_t i, count;

	json_array_foreach ((json_t *)array, i, one) {
		int64_t pid = json_integer_value(one);

		if (pid == but || pid <= 0 || pid > INT_MAX)
			continue;
		evidence_process(e, (int)pid, &count);
		if (!count)
			return 0;
		others++;
		only = (int)pid;
		if (is_at_work(e, pid)) {
			busy++;
			at_work = (int)pid;
		}
	}
	return others == 1 ? only : busy == 1 ? at_work : 0;
}

/* 0: nobody is known to have it. -1: who had it has ended. */
static int holder_of_file(
	const struct evidence *e, const json_t *json, const struct tried *tried, int own)
{
	const struct task *process;
	bool several;
	int opener;

	if (!tried->named)
		return only_opener(e, json, own);
	process = evidence_named(e, tried->named, &several);
	if (several)
		return 0;
	if (process && process->exe[0] && process->wait.kind != WAIT_ENDED &&
		is_older(process, json))
		return process->pid;
	opener = only_opener(e, json, own);
	return opener ? opener : e->truncated ? 0 : -1;
}

static size_t add_dot_lock(
	struct evidence *e, const json_t *json, const struct tried *tried, int own)
{
	struct file_lock held = tried->wants;

	held.waits = false;
	held.pid = holder_of_file(e, json, tried, own);
	return held.pid ? lock_table_add(&e->locks, &held) : SIZE_MAX;
}

/* The lock that it stands under: another's, and its own only of another open file. SIZE_MAX: it is free by now. */
static size_t held_lock(const struct evidence *e, const struct file_lock *wants, int own)
{
	size_t mine = SIZE_MAX;

	for (size_t i = 0; i < e->locks.count; i++) {
		const struct file_lock *held = &e->locks.at[i];

		if (held->waits || !lock_conflicts(wants, held))
			continue;
		if (held->pid != own)
			return i;
		if (wants->kind != LOCK_POSIX && mine == SIZE_MAX)
			mine = i;
	}
	return mine;
}

static struct task *sleeper(struct evidence *e, int64_t tid)
{
	for (size_t i = 0; i < e->task_count; i++)
		if (e->tasks[i].tid == tid && sleeps(&e->tasks[i]))
			return &e->tasks[i];
	return NULL;
}

static void read_held(struct evidence *e, const json_t *json)
{
	const json_t *one;
	size_t i;

	json_array_foreach (json_object_get(json, "held"), i, one)
		evidence_add_held(e, one);
}

/* False: it is no entry. */
static bool take_lock(struct evidence *e, const json_t *json, struct task *t)
{
	struct tried *tried = &e->tries[e->try_count];

	if (!read_try(json, tried))
		return false;
	read_held(e, json);
	tried->wants.pid = t->pid;
	tried->wants.by = tried->wants.kind == LOCK_DOT ? add_dot_lock(e, json, tried, t->pid)
							: held_lock(e, &tried->wants, t->pid);
	if (tried->wants.by == SIZE_MAX)
		return true;
	e->try_count++;
	t->tried = tried;
	t->wait = (struct wait){.kind = WAIT_FILE_LOCK,
		.fd = json_get_int(json, "fd", -1),
		.number = t->wait.number,
		.read = !tried->wants.write,
		.tries = true};
	return true;
}

static bool take_semaphore(const json_t *json, struct task *t)
{
	int64_t set = json_get_int(json_object_get(json, "sem"), "id", -1);
	struct wait slept = t->wait;

	if (set < 0 || set > INT_MAX)
		return false;
	t->wait = wait_of_set((int)set);
	evidence_read_semaphore(json, t);
	if (wait_semaphore(&t->wait) >= 0)
		return true;
	t->wait = slept;
	return false;
}

static bool take_process(const json_t *json, struct task *t)
{
	int64_t pid = json_get_int(json, "pid", 0);

	if (pid <= 0 || pid > INT_MAX)
		return false;
	t->wait = (struct wait){.kind = WAIT_CHILD,
		.fd = -1,
		.number = t->wait.number,
		.target = pid,
		.tries = true};
	return true;
}

/* Its limit has come, and it waits again. */
static bool take_nothing(struct evidence *e, const json_t *json)
{
	int64_t tid = json_get_int(json, "tid", 0);

	for (size_t i = 0; i < e->task_count; i++)
		if (e->tasks[i].tid == tid && e->tasks[i].left_ms && !sleeps(&e->tasks[i]))
			e->tasks[i].wait.tries = true;
	return tid > 0;
}

static bool take_try(struct evidence *e, const json_t *json)
{
	const char *kind = json_get_text(json, "kind", "");
	struct task *t = sleeper(e, json_get_int(json, "tid", 0));

	if (!strcmp(kind, "nothing"))
		return take_nothing(e, json);
	if (!t)
		return json_is_object(json) && json_get_int(json, "tid", 0) > 0;
	if (!strcmp(kind, "semaphore"))
		return take_semaphore(json, t);
	if (!strcmp(kind, "process"))
		return take_process(json, t);
	return take_lock(e, json, t);
}

void evidence_read_tries(const json_t *scan, struct evidence *e)
{
	const json_t *array = json_object_get(scan, "tries"), *json;
	size_t i;

	if (!json_array_size(array))
		return;
	e->tries = mem_zero(TRIES_MAX + 1, sizeof(*e->tries));
	json_array_foreach (array, i, json)
		if (e->try_count == TRIES_MAX || !take_try(e, json))
			e->unread++;
}

/* ---- whose calls are worth following ---- */

/* Until it looks, at most; 0: not known. */
static int64_t looks_in_ms(const struct task *t)
{
	if (t->left_ms)
		return t->left_ms;
	return sleeps(t) ? t->wait.limit_ms : 0;
}

/* It came to sleep since all was well; or it waits for events for a moment, again and again. */
static bool may_look_again(const struct diagnosing *d, const struct task *t)
{
	const struct task *then = same_thread(&d->earlier, t);
	int64_t ms = looks_in_ms(t);

	if (t->mine || !ms || ms > SLEEP_MAX_MS)
		return false;
	if (t->wait.kind == WAIT_POLL)
		return ms <= SHORT_MS && has_moved(d, t);
	if (waited_so_when_healthy(d, t))
		return false;
	return !d->in->earlier || (then && (same_wait(then, t) || then->wait.kind == WAIT_NONE));
}

void find_sleepers(struct diagnosing *d)
{
	if (!d->work)
		return;
	for (size_t i = 0; i < d->now.task_count && d->out->sleeper_count < SLEEPERS_MAX; i++)
		if (may_look_again(d, &d->now.tasks[i])) {
			int ms = (int)looks_in_ms(&d->now.tasks[i]) + LATE_MS;

			d->out->sleepers[d->out->sleeper_count++] = d->now.tasks[i].tid;
			if (ms > d->out->follow_ms)
				d->out->follow_ms = ms;
		}
}

/*
 * Deaths by a signal that the rig did not cause: one is a crash, several of one program are a loop. Where the
 * process had freed what it crashed over, whoever freed it is a culprit too: the one that is still at fault when the
 * one that died is only the first to notice.
 */
#include "diagnose/case.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define DIED_MAX 1024

static const char *program_of(const json_t *died)
{
	const char *exe = json_get_text(died, "exe", "");

	return exe[0] ? exe : json_get_text(died, "comm", "?");
}

static size_t count_of(const json_t *died, const char *program)
{
	size_t count = 0;

	for (size_t i = 0; i < json_array_size(died) && i < DIED_MAX; i++)
		count += !strcmp(program_of(json_array_get(died, i)), program);
	return count;
}

/* The program that died most often; the first of them where several did. */
static const json_t *worst_of(const json_t *died, size_t *ret_count)
{
	const json_t *worst = NULL;

	*ret_count = 0;
	for (size_t i = 0; i < json_array_size(died) && i < DIED_MAX; i++) {
		const json_t *one = json_array_get(died, i);
		size_t count = count_of(died, program_of(one));

		if (count > *ret_count) {
			worst = one;
			*ret_count = count;
		}
	}
	return worst;
}

/* The innermost functions, where the event has them. */
static void add_frames(struct buf *part, const json_t *frames)
{
	for (size_t i = 0; i < json_array_size(frames) && i < FRAMES_MAX; i++) {
		const char *name = json_string_value(json_array_get(frames, i));

		buf_addf(part, " < %.64s", name ? name : "?");
	}
}

/* How many of the program's deaths were in the functions that the first was in. */
static void say_alike(struct diagnosing *d, const json_t *died, size_t count)
{
	const json_t *frames = json_object_get(died, "frames");
	size_t alike = 0, unread = 0;

	for (size_t i = 0; i < json_array_size(d->in->died) && i < DIED_MAX; i++) {
		const json_t *one = json_array_get(d->in->died, i);

		if (strcmp(program_of(one), program_of(died)) != 0)
			continue;
		unread += !json_array_size(json_object_get(one, "frames"));
		alike += json_equal(json_object_get(one, "frames"), frames);
	}
	if (unread)
		say_evidence(d, "%zu of the %zu had this stack; of %zu no core was read", alike,
			count, unread);
	else if (count > 1)
		say_evidence(d, "%zu of the %zu had this stack", alike, count);
}

static void say_core(struct diagnosing *d, const json_t *died, size_t count)
{
	const json_t *frames = json_object_get(died, "frames"),
		     *address = json_object_get(died, "address");
	auto_buf struct buf line = {0};

	if (address)
		say_evidence(d, "the signal was about the address 0x%llx",
			(unsigned long long)json_integer_value(address));
	if (!json_array_size(frames)) {
		say_unknown(d, "where it crashed: no core of it could be read");
		return;
	}
	add_frames(&line, frames);
	say_evidence(d, "stack, innermost first: %s", buf_text(&line) + strlen(" < "));
	if (json_get_bool(died, "cut", false))
		say_unknown(d, "whether that is all of the stack: its core was cut short");
	say_alike(d, died, count);
}

/* ---- who freed it ---- */

/* A thread of the victim's process. */
static char *thread_of(const struct culprit *victim, int tid)
{
	return name_thread(victim->role, victim->pid, tid, tid == victim->pid);
}

/* ", in f < g"; nothing where no stack was read. */
static void add_place(struct buf *out, const json_t *frames)
{
	auto_buf struct buf stack = {0};

	add_frames(&stack, frames);
	if (stack.len)
		buf_addf(out, ", in %s", buf_text(&stack) + strlen(" < "));
}

/* "that `role` (thread 12 of process 10) had freed 0.012 s before the crash, in f < g" */
static void add_deleter(struct buf *out, const json_t *freed, const struct culprit *victim)
{
	int64_t tid = json_get_int(freed, "tid", 0);
	auto_free char *name = thread_of(victim, (int)tid);

	if (tid == victim->tid)
		buf_add_str(out, "it had itself");
	else
		buf_addf(out, "%s had", name);
	buf_addf(out, " freed %.3f s before the crash", json_get_real(freed, "age_s", 0));
	add_place(out, json_object_get(freed, "frames"));
}

static void say_freed(struct diagnosing *d, const json_t *freed, const struct culprit *victim)
{
	const char *held = json_get_text(freed, "register", NULL);
	auto_buf struct buf line = {0};

	if (json_get_int(freed, "twice", 0))
		buf_add_str(&line, "it freed once more");
	else if (held)
		buf_addf(&line, "its register %.8s pointed to", held);
	else
		buf_add_str(&line, "that address lies in");
	if (json_get_int(freed, "size", 0))
		buf_addf(&line, " a block of %lld bytes that ",
			(long long)json_get_int(freed, "size", 0));
	else
		buf_add_str(&line, " a block that ");
	add_deleter(&line, freed, victim);
	say_evidence(d, "%s", buf_text(&line));
	if (!json_get_bool(freed, "sure", false))
		say_unknown(d, "whether it still used that block, or another that was at its "
			       "address before or "
			       "since");
}

/* Whose it was, who is not to blame: "`role` (thread 9 of process 8) had been given that block 0.4 s before it was
 * freed, in f < g". */
static void say_made(struct diagnosing *d, const json_t *made, const struct culprit *victim)
{
	auto_free char *name = thread_of(victim, (int)json_get_int(made, "tid", 0));
	auto_buf struct buf place = {0};

	if (!made)
		return;
	add_place(&place, json_object_get(made, "frames"));
	say_evidence(d, "%s had been given that block %.3f s before it was freed%s", name,
		json_get_real(made, "before_s", 0), buf_text(&place));
}

/* The second culprit, and what the title says of it; NULL: nothing is sure. */
static const char *blame_deleter(
	struct diagnosing *d, const json_t *died, const struct culprit *victim)
{
	const json_t *freed = json_object_get(died, "freed");
	struct culprit *deleter = &d->out->culprits[1];
	auto_buf struct buf says = {0};
	struct buf escaped = {0};

	if (!freed)
		return NULL;
	say_freed(d, freed, victim);
	if (!json_get_bool(freed, "sure", false))
		return NULL;
	say_made(d, json_object_get(freed, "made"), victim);
	d->deleter_tid = (int)json_get_int(freed, "tid", 0);
	if (d->deleter_tid == victim->tid)
		return json_get_int(freed, "twice", 0)
			       ? ": it freed memory that it had freed before"
			       : ": it used memory that it had freed";
	add_place(&says, json_object_get(freed, "frames"));
	buf_add_escaped(&escaped, says.data, says.len);
	*deleter = *victim;
	deleter->tid = d->deleter_tid;
	deleter->says = text_fmt("freed what the other still used%s", buf_text(&escaped));
	buf_free(&escaped);
	d->out->culprit_count = 2;
	return json_get_int(freed, "twice", 0)
		       ? ": it freed memory that another of its threads had freed before"
		       : ": it used memory that another of its threads had freed";
}

/* "signal 11 (SIGSEGV)"; a number that is no signal's stays alone. */
static char *signal_name(int64_t signal)
{
	const char *name = signal > 0 && signal < NSIG ? sigabbrev_np((int)signal) : NULL;

	return name ? text_fmt("signal %lld (SIG%s)", (long long)signal, name)
		    : text_fmt("signal %lld", (long long)signal);
}

static void say_times(
	struct diagnosing *d, const struct culprit *victim, const char *signal, size_t count)
{
	auto_free char *name = thread_of(victim, victim->tid);

	if (count > 1)
		say_evidence(
			d, "%s ended by %s, the first of %zu such deaths", name, signal, count);
	else
		say_evidence(d, "%s ended by %s", name, signal);
}

bool find_crash(struct diagnosing *d)
{
	size_t count;
	const json_t *died = worst_of(d->in->died, &count);
	const char *role = died ? evidence_role(d->in->target, program_of(died), "?") : NULL;
	const json_t *own = json_object_get(died, "own");
	auto_buf struct buf part = {0}, title = {0};
	auto_free char *by = NULL;
	const char *freed;
	struct culprit *culprit = &d->out->culprits[0];
	char *parts[1];
	int64_t signal;

	if (!died)
		return false;
	signal = json_get_int(died, "signal", 0);
	buf_addf(&part, "%s: signal %lld", role, (long long)signal);
	add_frames(&part, own ? own : json_object_get(died, "frames"));
	by = signal_name(signal);
	*culprit = (struct culprit){.pid = (int)json_get_int(died, "pid", 0),
		.tid = (int)json_get_int(died, "tid", json_get_int(died, "pid", 0)),
		.says = text_fmt("ended by signal %lld", (long long)signal)};
	snprintf(culprit->role, sizeof(culprit->role), "%s", role);
	d->out->culprit_count = 1;
	say_times(d, culprit, by, count);
	say_core(d, died, count);
	freed = blame_deleter(d, died, culprit);
	buf_add_escaped(&title, role, strlen(role));
	free(d->out->title);
	d->out->title = count > 1 ? text_fmt("`%s` crashed %zu times, first by %s%s.",
					    buf_text(&title), count, by, freed ? freed : "")
				  : text_fmt("`%s` crashed by %s%s.", buf_text(&title), by,
					    freed ? freed : "");
	parts[0] = part.data;
	conclude(d, count >= CRASHES_FOR_LOOP ? "crash-loop" : "crash", parts, 1, false);
	return true;
}

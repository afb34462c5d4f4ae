#include "run/watch/hang_instant.h"

#include "api/ledger.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "run/rig_programs.h"

#include <ctype.h>
#include <math.h>
#include <signal.h>
#include <string.h>

#define SCAN_MAX   (64u << 20)
#define PARKED_MAX 64
#define KNOWN_MAX  64
#define OWED_LIMIT \
	0.9 /* of what the cell held to be overdue: the two clocks are read one after the other */
#define STARVED_BEFORE_S 1.0
#define STARVED_TOLD_S \
	2.0 /* the line that tells of it comes so long after it at most (rig/run/cell/pulse.c) */
#define EXITS_MAX   64	/* the last ones */
#define LOST_COUNTS 2.0 /* a second that was lost makes others later too */

json_t *hang_load(const struct explaining *x, const char *name, const char *file)
{
	auto_free char *path = text_fmt("%s/evidence/%s/%s", x->dir, name, file);
	struct err err = {0};
	json_t *json = fs_exists(path) ? json_load_path(path, SCAN_MAX, &err) : NULL;

	if (err.text[0])
		log_line("%s", err.text);
	return json;
}

static bool is_fatal(int64_t signal)
{
	static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS};

	for (size_t i = 0; i < ARRAY_SIZE(fatal); i++)
		if (fatal[i] == signal)
			return true;
	return false;
}

/* What the core of a death says, or NULL. */
static const json_t *core_of(const struct history *history, int64_t pid)
{
	for (size_t i = 0; i < history->count; i++)
		if (event_is(&history->events[i], "core") &&
			json_get_int(history->events[i].data, "pid", -1) == pid)
			return history->events[i].data;
	return NULL;
}

static json_t *with_core(const struct history *history, json_t *died)
{
	const json_t *core = core_of(history, json_get_int(died, "pid", 0));
	json_t *copy = json_copy(died);

	if (core)
		json_object_update_missing(copy, (json_t *)core);
	return copy;
}

json_t *hang_deaths(const struct history *history, double until)
{
	json_t *died = json_array();

	for (size_t i = 0; history && i < history->count; i++) {
		const struct event *event = &history->events[i];

		if (event_is(event, "died") && event->t <= until &&
			!json_get_bool(event->data, "by_rig", false) &&
			!json_get_bool(event->data, "oom", false) &&
			is_fatal(json_get_int(event->data, "signal", 0)))
			json_array_append_new(died, with_core(history, event->data));
	}
	return died;
}

static bool has_word(const char *line, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = line; len && (at = strstr(at, word)); at++)
		if ((at == line || !isalnum((unsigned char)at[-1])) &&
			!isalnum((unsigned char)at[len]))
			return true;
	return false;
}

/* The last line of a log until then that names the process or, where there is none, the program. */
static const char *line_of(const struct history *history, const json_t *exited, double until)
{
	auto_free char *pid = text_fmt("%d", (int)json_get_int(exited, "pid", 0));
	const char *name = json_get_text(exited, "comm", "?"), *best = NULL;
	bool of_pid = false;

	for (size_t i = 0; i < history->count && history->events[i].t <= until; i++) {
		const char *line = event_is(&history->events[i], "log")
					   ? json_get_text(history->events[i].data, "line", "")
					   : "";
		bool now = has_word(line, pid);

		if (!now && (of_pid || !has_word(line, name)))
			continue;
		of_pid |= now;
		best = line;
	}
	return best;
}

static json_t *exits_until(const struct history *history, double t)
{
	json_t *all = json_array();

	for (size_t i = 0; history && i < history->count && history->events[i].t <= t; i++) {
		const struct event *event = &history->events[i];
		json_t *copy;

		if (!event_is(event, "exited"))
			continue;
		copy = json_copy(event->data);
		json_object_set_new(copy, "age_s", json_real(t - event->t));
		json_array_append_new(all, copy);
		if (json_array_size(all) > EXITS_MAX)
			json_array_remove(all, 0);
	}
	for (size_t i = 0; i < json_array_size(all); i++) {
		json_t *one = json_array_get(all, i);
		const char *line = line_of(history, one, t);

		if (line)
			json_object_set_new(one, "line", json_text(line));
	}
	return all;
}

static json_t *kernel_until(const struct history *history, double t)
{
	json_t *lines = json_array();

	for (size_t i = 0; history && i < history->count && history->events[i].t <= t; i++)
		if (event_is(&history->events[i], "kernel"))
			json_array_append(lines, json_object_get(history->events[i].data, "line"));
	return lines;
}

/* What is owed on the wire, and what the rig's clients wait for; a wait for work is neither. */
static json_t *all_owed(const json_t *wire, const json_t *ops)
{
	json_t *all = json_array(), *one;
	size_t i;

	json_array_foreach ((json_t *)wire, i, one)
		if (strcasecmp(json_get_text(one, "verb", ""), "IDLE") != 0)
			json_array_append(all, one);
	json_array_foreach ((json_t *)ops, i, one)
		json_array_append(all, one);
	return all;
}

static int64_t queued_at(const struct history *history, double t)
{
	int64_t depth = 0;

	for (size_t i = 0; history && i < history->count && history->events[i].t <= t; i++)
		if (event_is(&history->events[i], "queue"))
			depth = json_get_int(history->events[i].data, "depth", 0);
	return depth;
}

static size_t read_tids(const json_t *array, int *tids, size_t max)
{
	size_t count = json_array_size(array);

	count = count < max ? count : max;
	for (size_t i = 0; i < count; i++)
		tids[i] = (int)json_integer_value(json_array_get(array, i));
	return count;
}

/* Of a hang that was told beside another: the scan at which that one was. */
static json_t *load_before(const struct explaining *x, const json_t *beside)
{
	const char *name = json_get_text(beside, "before", "");

	return fs_name_ok(name) ? hang_load(x, name, "earlier.json") : NULL;
}

/* The age of the oldest of what is owed. */
static double oldest_of(const json_t *owed)
{
	double oldest = 0;

	for (size_t i = 0; i < json_array_size(owed); i++) {
		double age = json_get_real(json_array_get(owed, i), "age_s", 0);

		oldest = age > oldest ? age : oldest;
	}
	return oldest;
}

/* The host starved the guest just now, and what it lost may be why the oldest is late: who is late for much longer
 * than that is not late for that. */
static bool was_starved(const struct history *history, double t, double oldest_s, double limit_s)
{
	const struct ledger *ledger = history ? history->ledger : NULL;
	double lost_s = 0;

	if (!ledger || !ledger_starved(ledger, t - STARVED_BEFORE_S, t))
		return false;
	for (size_t i = 0; i < ledger->starved_count; i++)
		if (ledger->starved[i].t > t - oldest_s &&
			ledger->starved[i].t <= t + STARVED_TOLD_S)
			lost_s += ledger->starved[i].lost_s;
	return oldest_s - LOST_COUNTS * lost_s < limit_s;
}

void hang_diagnose_instant(struct explaining *x, struct instant *at)
{
	auto_json json_t *scan = hang_load(x, at->name, "scan.json");
	auto_json json_t *earlier = hang_load(x, at->name, "earlier.json");
	auto_json json_t *input = hang_load(x, at->name, "input.json");
	auto_json json_t *around = hang_load(x, at->name, "around.json");
	auto_json json_t *wire = hang_load(x, at->name, "owed.json");
	auto_json json_t *beside = hang_load(x, at->name, "known.json");
	auto_json json_t *before = load_before(x, beside);
	auto_json json_t *owed = all_owed(wire, json_object_get(input, "ops"));
	auto_json json_t *died = hang_deaths(x->history, at->t);
	auto_json json_t *exited = exits_until(x->history, at->t);
	auto_json json_t *kernel = kernel_until(x->history, at->t);
	int parked[PARKED_MAX], known[KNOWN_MAX];

	at->second = before != NULL;
	at->in_force = json_array_size(json_object_get(input, "in_force")) > 0;
	at->since = json_incref(json_object_get(input, "since"));
	diagnose(
		&(struct diagnose_input){
			.scan = scan,
			.earlier = earlier,
			.healthy = x->healthy,
			.owed = owed,
			.owed_limit_s = OWED_LIMIT * json_get_real(input, "owed_limit_s", 0),
			.queued = queued_at(x->history, at->t),
			.since = at->since,
			.now_s = json_get_real(input, "t", 0),
			.stopping = json_get_bool(input, "stopping", false),
			.progressed = json_get_bool(input, "progressed", false),
			.frozen = json_get_bool(scan, "frozen", false),
			.parked = parked,
			.parked_count =
				read_tids(json_object_get(input, "parked"), parked, PARKED_MAX),
			.died = json_array_size(died) ? died : NULL,
			.starved = was_starved(x->history, at->t, oldest_of(owed),
				OWED_LIMIT * json_get_real(input, "owed_limit_s", 0)),
			.exited = exited,
			.kernel = kernel,
			.dot_locks = json_object_get(around, "dot_locks"),
			.known = known,
			.known_count =
				read_tids(json_object_get(beside, "known"), known, KNOWN_MAX),
			.before = before,
			.target = x->plan->target,
			.ours = rig_programs,
		},
		&at->diagnosis);
}

/* A store that is whole is no evidence of a hang. */
static bool is_of_a_hang(const char *name)
{
	return fs_name_ok(name) && strcmp(name, "healthy") != 0 && strcmp(name, "not-ready") != 0;
}

void hang_instants_read(struct explaining *x)
{
	x->healthy = hang_load(x, "healthy", "scan.json");
	for (size_t i = 0; i < x->history->count && x->count < INSTANTS_MAX; i++) {
		const struct event *event = &x->history->events[i];
		const char *name;

		if (!event_is(event, "evidence"))
			continue;
		name = json_get_text(event->data, "name", "");
		if (!is_of_a_hang(name))
			continue;
		x->instants[x->count] =
			(struct instant){.name = name, .t = event->t, .line = event->line};
		hang_diagnose_instant(x, &x->instants[x->count++]);
	}
}

void hang_instants_free(struct explaining *x)
{
	for (size_t i = 0; i < x->count; i++) {
		diagnosis_free(&x->instants[i].diagnosis);
		json_decref(x->instants[i].since);
	}
	json_decref(x->healthy);
}

#include "run/plan/fallback.h"

#include "api/call_rule.h"
#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum place { NOWHERE, ON_ROLE, ON_DISK, ON_CALL };

struct fallback {
	const char *action, *point; /* all points that begin so */
	const char *fault;	    /* NULL: nothing means the same, and why */
	enum place place;
	const char *why;
};

/* The first row that fits. */
static const struct fallback table[] = {
	{"park", "posix/io/sync/", "freeze-disk", ON_DISK, NULL},
	{"park", "posix/mm/msync", "freeze-disk", ON_DISK, NULL},
	{"park", "posix/io/rw/write", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/rw/pwrite", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/rw/copy_file_range", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/rw/truncate", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/rw/ftruncate", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/rw/fallocate", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/dir/rename", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/dir/link", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/dir/symlink", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/dir/unlink", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/dir/rmdir", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/dir/mkdir", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/attr/", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/io/oc/mkstemp", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/stdio/remove", "freeze-fs", ON_DISK, NULL},
	{"park", "posix/", "freeze-process", ON_ROLE, NULL},
	{"park", "", NULL, NOWHERE, "only the preload knows a point of the store's own"},
	{"errno", "", "ptrace", ON_CALL, NULL},
	{"short", "", "ptrace", ON_CALL, NULL},
	{"kill", "", "ptrace", ON_CALL, NULL},
	{"", "", NULL, NOWHERE, "nothing else acts at a call"},
};

static const struct fallback *row_of(const struct step *step)
{
	const struct fallback *row = table;

	while ((*row->action && strcmp(row->action, step->what)) ||
		strncmp(row->point, step->point, strlen(row->point)))
		row++;
	return row;
}

/* What the step says of the call that only who is inside of it knows, or NULL. */
static const char *too_exact(const struct step *step, const struct scenario *scenario)
{
	if (step->hit > 1 || step->calls > 1)
		return "nothing else counts calls";
	if (step->caller)
		return "nothing else knows which function calls";
	if (step_param(step, "kind"))
		return "nothing else knows the descriptor of a call";
	if (step->step)
		return "nothing else knows whose work a call is";
	if (step->trigger.implied)
		return "it has no moment of its own (at, when, log, while, after) to stop at";
	if (scenario->orders != ORDERS_AS_WRITTEN)
		return "the sides of an order have to stand at their points";
	return NULL;
}

/* Why the witness cannot do it at the very call, or NULL. */
static const char *not_seen(const struct step *step)
{
	if (call_rule_traced(step))
		return NULL;
	if (!step->role)
		return "no role says whose calls ptrace is to look at";
	if (step->caller)
		return "ptrace does not tell which function calls";
	return strncmp(step->point, "posix/", 6)
		       ? "only the preload knows a point of the store's own"
		       : "ptrace sees system calls alone, and that is a function of libc";
}

static bool is_on(const char *glob, const struct disk *disk)
{
	size_t len = strlen(disk->mount);

	return !strncmp(glob, disk->mount, len) && glob[len] == '/';
}

/* The disk that all files of the step's path are on, or NULL. */
static const struct disk *disk_of(const struct step *step, const struct target *target)
{
	const struct path_set *set = step->path ? target_paths(target, step->path) : NULL;

	for (size_t i = 0; step->path && i < target->disk_count; i++) {
		const struct disk *disk = &target->disks[i];
		size_t on = 0;

		for (size_t k = 0; set && k < set->globs.count; k++)
			on += is_on(set->globs.at[k], disk);
		if (set ? on && on == set->globs.count : is_on(step->path, disk))
			return disk;
	}
	return NULL;
}

static void replace(char **text, const char *by)
{
	char *copy = text_dup(by);

	free(*text);
	*text = copy;
}

int fallback_take(struct step *step, const struct scenario *scenario, const struct target *target,
	const char **ret_name, struct err *err)
{
	const struct fallback *row = row_of(step);
	const struct disk *disk = row->place == ON_DISK ? disk_of(step, target) : NULL;
	const char *why = row->place == ON_CALL ? not_seen(step)
			  : row->fault		? too_exact(step, scenario)
						: row->why;
	const char *name = disk || row->place != ON_DISK ? row->fault : "freeze-process";

	*ret_name = row->fault;
	if (row->place == ON_CALL)
		return why ? err_set(err, -ENOTSUP, "%s", why) : 0;
	if (!why && !disk && step->path)
		why = "nothing else knows the file of a call, and these are on no disk of their "
		      "own";
	if (!why && !disk && !step->role)
		why = "no role says whom to stop";
	if (why)
		return err_set(err, -ENOTSUP, "%s", why);
	replace(&step->what, name);
	replace(&step->path, disk ? disk->name : NULL);
	if (disk)
		replace(&step->role, NULL);
	replace(&step->point, NULL);
	*ret_name = name;
	return 0;
}

/* ---- a whole plan ---- */

static void add_text(struct text_list *list, char *text)
{
	list->at = mem_grow(list->at, list->count + 1, sizeof(*list->at));
	list->at[list->count++] = text;
}

static bool no_calls(const struct target_reach *one)
{
	return one->reach == REACH_STATIC || one->reach == REACH_OWN;
}

/* A program of the step's role, or of any, no call of which is reached; NULL: there is none. */
static const struct target_reach *out_of_reach(
	const struct target_reach *known, size_t count, const struct step *step)
{
	for (size_t i = 0; i < count; i++)
		if (no_calls(&known[i]) && (!step->role || !strcmp(step->role, known[i].role)))
			return &known[i];
	return NULL;
}

bool fallback_is_traced(const struct target_reach *known, size_t count, const struct step *step)
{
	return call_rule_traced(step) && out_of_reach(known, count, step);
}

static void look_at_step(
	struct plan *plan, const struct target_reach *known, size_t count, struct step *step)
{
	const struct fault *fault = fault_find(step->what);
	const struct target_reach *far = out_of_reach(known, count, step);
	auto_free char *why = NULL, *asked = NULL;
	const char *now;
	struct err err = {0};

	if (!fault || !fault->function || !step->point || !far ||
		(fault->check && fault->check(step, plan->target, &err)))
		return;
	why = target_reach_why_not(known, count, step, fault);
	asked = text_fmt("%s at %s", step->what, step->point);
	if (!why && call_rule_traced(step))
		add_text(&plan->fallback, text_fmt("ptrace for '%s' (%s) in '%s': %s", step->label,
						  asked, far->program, reach_text(far->reach)));
	else if (!why && step->role)
		add_text(&plan->fallback, text_fmt("'%s' (%s) does not reach '%s': %s", step->label,
						  asked, far->program, reach_text(far->reach)));
	else if (why && !fallback_take(step, plan->scenario, plan->target, &now, &err))
		add_text(&plan->fallback,
			text_fmt("%s for '%s' (%s): %s", now, step->label, asked, why));
	else if (why && !plan->skip)
		plan->skip = text_fmt("%s; %s", why, err.text);
}

void fallback_find(struct plan *plan, const struct target_reach *known, size_t count)
{
	struct text_list *unreached = &plan->target->unreached;

	for (size_t i = 0; i < count; i++)
		if (no_calls(&known[i]) && !text_list_has(unreached, known[i].program))
			add_text(unreached, text_dup(known[i].program));
	for (size_t i = 0; i < plan->scenario->step_count; i++)
		look_at_step(plan, known, count, &plan->scenario->steps[i]);
}

/*
 * The walk of faults_fixture.h for the faults that remove: what they need to remove is there before each use, so that
 * the first finds something, the second finds nothing or the like again, and none of it leaves anything but the gap.
 * What they ask of the runner is done by the runner's own deletion_do(), on a cell that has nothing else.
 */
#pragma once

#include "tests/vm/faults_fixture.h"

#include "base/fs.h"
#include "run/cell/cell_core.h"

#define MAIL "printf 'Subject: x\\n\\nx\\n' | doveadm save -u "
#define SENT "printf 'Subject: x\\n\\nx\\n' | sendmail -f a@sink.rig u1@store"
/* From what an earlier use left of it, too. */
#define OTHER                                                                                \
	"for box in Other Renamed; do doveadm mailbox delete -u u1 $box; done 2>/dev/null; " \
	"doveadm mailbox create -u u1 Other && " MAIL "u1 -m Other"
#define HELD "park, role: deliver, point: posix/io/sync/fsync"

static const struct removal {
	const char *fault, *keys;
	const char *seed;  /* makes what is removed; with `held`: makes somebody come to it */
	const char *held;  /* the window it is removed in: a fault and its keys; NULL: none */
	const char *after; /* puts back what the target had of its own, or NULL */
} removals[] = {
	{"delete-by-imap", "command: expunge, uids: '1:*'", MAIL "u1", NULL, NULL},
	{"delete-by-imap", "command: close, uids: '1:*'", MAIL "u1", NULL, NULL},
	{"delete-by-imap", "command: move, uids: '1:*'", MAIL "u1", NULL, NULL},
	{"delete-by-imap", "command: rename, mailbox: Other, into: Renamed", OTHER, NULL, NULL},
	{"delete-by-imap", "command: delete, mailbox: Other", OTHER, NULL, NULL},
	{"delete-by-imap", "command: recreate, mailbox: Other", OTHER, NULL, NULL},
	{"delete-by-imap", "command: expunge, uids: '1:*'", MAIL "u1 && " SENT, HELD, NULL},
	{"delete-by-pop3", "numbers: '1:*'", MAIL "u1", NULL, NULL},
	{"delete-by-tool", "command: mailbox-delete, user: u1, mailbox: Other", OTHER, NULL, NULL},
	{"delete-by-tool", "command: mailbox-expire, user: u1", MAIL "u1", NULL, NULL},
	{"delete-by-tool", "command: user-delete, user: u4", MAIL "u4", NULL, "./user-add u4"},
	{"delete-by-tool", "command: queue-delete", SENT, HELD, NULL},
	{"unlink", "path: index, user: u1", MAIL "u1", NULL, NULL},
	{"unlink", "path: message, user: u1", MAIL "u1", NULL, NULL},
	{"unlink", "path: queue", SENT, HELD, NULL},
	{"unlink", NULL, SENT, HELD, NULL}, /* the file of the parked call */
	{"unlink-socket", "agent: hand-over", ":", NULL, NULL},
};

struct removing {
	const struct removal *removal;
	const struct fault *fault, *window;
	struct scenario *scenario;
	struct cell cell;
	struct step_run step;
	struct fault_run held, run;
};

static struct scenario *scenario_of_removal(const struct removal *removal)
{
	auto_buf struct buf text = {0}, complaints = {0};
	struct scenario *scenario = NULL;
	struct err err = {0};

	buf_add_str(&text, "claim: x\nworkload:\n  - {do: smtp, to: [u1]}\nsteps:\n");
	if (removal->held)
		buf_addf(&text, "  - {as: held, at: 0s, do: %s}\n", removal->held);
	buf_addf(&text, "  - {as: it, do: %s, %s", removal->fault,
		removal->held ? "while: held" : "at: 0s");
	buf_addf(&text, removal->keys ? ", %s}\n" : "}\n", removal->keys);
	if (!CHECK_INT(scenario_parse("test.yaml", text.data, text.len, &plan_vocabulary,
			       &complaints, &scenario, &err),
		    0))
		fprintf(stderr, "%s: %s%s\n", removal->fault, buf_text(&complaints), err.text);
	return scenario;
}

static struct fault_run run_of(struct removing *removing, size_t step, unsigned int slot)
{
	return (struct fault_run){.bed = bed,
		.target = bed->target,
		.step = &removing->scenario->steps[step],
		.slot = slot,
		.pending = none,
		.delayed = none,
		.refused = none,
		.acted = none_acted,
		.remove = deletion_do,
		.arg = &removing->step,
		.due_ns = INT64_MAX,
		.at_ns = -1};
}

static bool removing_open(struct removing *removing, const struct removal *removal)
{
	struct cell *cell = &removing->cell;
	auto_free char *path = path_join(check_dir(), "removals.jsonl");
	struct err err = {0};

	*removing = (struct removing){.removal = removal, .fault = fault_find(removal->fault)};
	*cell = (struct cell){.plan = plans.at[0], .target = bed->target, .bed = bed};
	pthread_mutex_init(&cell->lock, NULL);
	cond_init(&cell->changed);
	line_group_init(&cell->sessions);
	removing->scenario = scenario_of_removal(removal);
	if (!removing->scenario ||
		!CHECK_INT(recorder_open(&cell->recorder, path, cell_clock, cell, &err), 0))
		return false;
	removing->run = run_of(removing, removal->held ? 1 : 0, SLOT);
	if (removal->held) {
		removing->held = run_of(removing, 0, SLOT_HELD);
		removing->window = fault_find(removing->held.step->what);
		removing->run.held = &removing->held;
	}
	removing->step = (struct step_run){.cell = cell, .step = removing->run.step};
	return true;
}

static void removing_close(struct removing *removing)
{
	struct cell *cell = &removing->cell;

	if (cell->recorder)
		CHECK_INT(recorder_close(cell->recorder, NULL), 0);
	line_group_fini(&cell->sessions);
	pthread_cond_destroy(&cell->changed);
	pthread_mutex_destroy(&cell->lock);
	scenario_free(removing->scenario);
}

/* ---- its window ---- */

static void until_met(const struct fault *fault, struct fault_run *run)
{
	int64_t deadline_ns = deadline_in_ms(SERVES_MS);
	struct err err = {0};
	int rc = 0;

	while (!rc && !run->fired && deadline_left_ms(deadline_ns))
		rc = fault->poll(run, &err);
	if (!CHECK_INT(rc, 0) || !CHECK(run->fired > 0))
		fprintf(stderr, "%s met nobody: %s\n", fault->name, err.text);
}

static void begin_window(struct removing *removing)
{
	if (removing->window)
		does(removing->window->name, "arm the window", removing->window->fire,
			&removing->held);
	says(removing->removal->seed);
	if (removing->window)
		until_met(removing->window, &removing->held);
}

static void end_window(struct removing *removing)
{
	if (removing->window)
		does(removing->window->name, "heal the window", removing->window->heal,
			&removing->held);
	removing->held.fired = 0;
	if (removing->removal->after)
		says(removing->removal->after);
}

/* ---- its life ---- */

static int counted(const char *line)
{
	struct command_result result = {0};
	struct err err = {0};
	int count = -1;

	if (!bed->ops->run(bed, line, NULL, COMMAND_MS, false, &result, &err) && !result.status)
		count = (int)strtol(buf_text(&result.output), NULL, 10);
	buf_free(&result.output);
	return count;
}

/* Mail that comes by SMTP is in its mailbox soon: whatever was removed, all on its way lives. */
static void it_delivers(const struct removing *removing)
{
	int64_t deadline_ns = deadline_in_ms(SERVES_MS);
	bool there = false;

	it_serves(removing->fault->name);
	says("postsuper -d ALL; doveadm expunge -u u2 mailbox INBOX all; "
	     "printf 'Subject: x\\n\\nx\\n' | sendmail -f a@sink.rig u2@store");
	while (!there && deadline_left_ms(deadline_ns))
		there = counted("doveadm search -u u2 mailbox INBOX all | wc -l") == 1;
	if (!CHECK(there))
		fprintf(stderr, "after %s %s: no mail is delivered\n", removing->removal->fault,
			removing->removal->keys ? removing->removal->keys : "");
}

/* What a user or a queue had is gone without a word; a call whose thread was killed is no longer parked. */
static void fire_again(struct removing *removing)
{
	uint64_t fired = removing->run.fired;
	struct err err = {0};
	int rc = removing->fault->fire(&removing->run, &err);

	if (!CHECK(!rc || (rc == -ENOENT && *err.text)))
		fprintf(stderr, "%s, again: %d %s\n", removing->fault->name, rc, err.text);
	CHECK(removing->run.fired >= fired);
}

static void fire_first(struct removing *removing)
{
	const struct fault *fault = removing->fault;

	removing->run.fired = 0;
	does(fault->name, "arm", fault->fire, &removing->run);
	if (fault->watch) { /* it removed what nobody has missed yet */
		says(SENT);
		until_met(fault, &removing->run);
	}
	if (!CHECK(removing->run.fired > 0))
		fprintf(stderr, "%s %s removed nothing\n", fault->name,
			removing->removal->keys ? removing->removal->keys : "");
}

static void heal_twice(struct removing *removing, const char *life)
{
	const struct fault *fault = removing->fault;

	does(fault->name, "count", fault->poll, &removing->run);
	does(fault->name, "heal", fault->heal, &removing->run);
	does(fault->name, "heal again", fault->heal, &removing->run);
	end_window(removing);
	nothing_is_left(fault->name, life);
	it_delivers(removing);
}

static void live_removing(struct removing *removing)
{
	const struct fault *fault = removing->fault;

	does(fault->name, "heal unarmed", fault->heal, &removing->run);
	nothing_is_left(fault->name, "healed unarmed");
	begin_window(removing);
	fire_first(removing);
	fire_again(removing);
	heal_twice(removing, "armed and healed twice");
	begin_window(removing);
	fire_first(removing);
	kill_targets(fault);
	fire_again(removing);
	heal_twice(removing, "healed after its target was killed");
}

static void walk_removal(const struct removal *removal)
{
	struct removing *removing = calloc(1, sizeof(*removing));
	int64_t began_ns = clock_mono_ns();
	struct err err = {0};

	if (removing_open(removing, removal) &&
		CHECK_INT(removing->fault->check(removing->run.step, bed->target, &err), 0))
		live_removing(removing);
	if (*err.text)
		fprintf(stderr, "%s: %s\n", removal->fault, err.text);
	removing_close(removing);
	free(removing);
	printf("%-20s %lld ms  %s\n", removal->fault,
		(long long)((clock_mono_ns() - began_ns) / NS_PER_MS),
		removal->keys ? removal->keys : "");
	fflush(stdout);
}

/* A fault that removes and is not in the table would be walked by nobody. */
static void walk_removals(const struct fault *fault)
{
	size_t walked = 0;

	for (size_t i = 0; i < ARRAY_SIZE(removals); i++)
		if (!strcmp(removals[i].fault, fault->name)) {
			walk_removal(&removals[i]);
			walked++;
		}
	if (!CHECK(walked > 0))
		fprintf(stderr, "%s: nothing says what it needs to remove\n", fault->name);
}

/* IMAP sessions in whole cells on the fake store: it keeps the laws I1 to I17, and each bug breaks its own. */
#include "tests/unit/cell_fixture.h"

#include <pthread.h>

static const char target_yaml[] =
	"summary: the fake store\n"
	"image: none\n"
	"ready_within: 20s\n"
	"users: [u1, u2]\n"
	"services:\n"
	"  - {name: smtp, protocol: smtp, port: 25}\n"
	"  - {name: imap, protocol: imap, port: 143}\n"
	"disks:\n"
	"  - {name: mail, mount: /srv/mail, size: 64MiB}\n"
	"commands: {start: fake-start, stop: fake-stop, queue_list: fake-queue}\n"
	"objectives: {recover: 20s, drain: 4s, stop: 20s, idle_push: 200ms}\n";

static const char sessions_yaml[] =
	"claim: all sessions see the same\n"
	"deadline: 5min\n"
	"workload:\n"
	"  - {as: mixed, do: imap-sessions, user: u1, sessions: 3, messages: 400, size: 1KiB}\n";

/* The last mail comes six seconds after the first: however late the watcher, most come while he waits. */
static const char idle_yaml[] =
	"claim: IDLE pushes\n"
	"objectives: {idle_push: 3s}\n"
	"deadline: 5min\n"
	"workload:\n"
	"  - {as: watch, do: idle, user: u1}\n"
	"  - {as: new, do: append, user: u1, messages: 30, size: 1KiB, pace: 5/s}\n";

static const char moves_yaml[] =
	"claim: a move loses nothing\n"
	"deadline: 5min\n"
	"workload:\n"
	"  - {as: movers, do: imap-moves, user: u1, sessions: 3, messages: 60, size: 1KiB}\n";

/* It takes a while until somebody asks for what another has just expunged. */
static const char long_yaml[] =
	"claim: all sessions see the same\n"
	"deadline: 5min\n"
	"workload:\n"
	"  - {as: mixed, do: imap-sessions, user: u1, sessions: 5, messages: 2500, size: 1KiB}\n";

static const char frozen_yaml[] =
	"claim: a freeze costs nobody what was acknowledged\n"
	"deadline: 5min\n"
	"workload:\n"
	"  - {as: mixed, do: imap-sessions, user: u1, sessions: 4, messages: 200, size: 1KiB}\n"
	"steps:\n"
	"  - {as: still, do: freeze-fs, when: imap/store, nth: 8, for: 300ms}\n";

/* The first command of a session is LOGIN, r1; what it sends after that is its appends. */
static const char tagged_yaml[] =
	"claim: a freeze at a certain command costs nobody what was acknowledged\n"
	"workload:\n"
	"  - {as: mailbox, do: append, user: u1, messages: 12, size: 1KiB}\n"
	"steps:\n"
	"  - {as: still, do: freeze-fs, when: imap/append, tag: %s, for: 200ms}\n";

/* One of several cells that live at the same time. */
struct trial {
	const char *law; /* that must be broken; NULL: none may be */
	const char *yaml;
	enum fake_bug bug;
	unsigned int nth; /* 0: none */
	struct fixture_cell cell;
};

static void start(struct trial *trial)
{
	trial->cell.wish = (struct bed_fake_wish){.bug = trial->bug, .nth = trial->nth};
	fixture_cell_start(&trial->cell, fixture_plan_on(target_yaml, trial->yaml));
}

static void check_trial(struct trial *trial)
{
	bool ok = CHECK_INT(trial->cell.rc, 0);

	if (trial->law) {
		ok = CHECK_STR(fixture_ruling(&trial->cell.result, trial->law), "broken") && ok;
		ok = CHECK_STR(verdict_name(trial->cell.result.verdict), "FAIL") && ok;
	} else {
		ok = CHECK_STR(verdict_name(trial->cell.result.verdict), "PASS") && ok;
	}
	if (!ok)
		fprintf(stderr, "with '%s': %s\n%s\n",
			trial->nth ? fake_bug_name(trial->bug) : "no bug",
			trial->cell.result.reason, trial->cell.dir);
	fixture_cell_free(&trial->cell);
}

static void run(struct trial *trials, size_t count)
{
	for (size_t i = 0; i < count; i++)
		start(&trials[i]);
	for (size_t i = 0; i < count; i++)
		pthread_join(trials[i].cell.thread, NULL);
	for (size_t i = 0; i < count; i++)
		check_trial(&trials[i]);
}

static void a_store_without_bugs_keeps_every_law(void)
{
	struct trial trials[] = {
		{.law = NULL, .yaml = sessions_yaml},
		{.law = NULL, .yaml = long_yaml},
		{.law = NULL, .yaml = idle_yaml},
		{.law = NULL, .yaml = moves_yaml},
		{.law = NULL, .yaml = frozen_yaml},
	};

	run(trials, ARRAY_SIZE(trials));
}

static void a_step_begins_at_the_command_of_its_tag(void)
{
	auto_free char *yaml = text_fmt(tagged_yaml, "r5");
	struct trial trial = {.yaml = yaml};

	start(&trial);
	pthread_join(trial.cell.thread, NULL);
	CHECK_INT(fixture_lines(trial.cell.dir, "{ss ss ss si ss ss}", "ev", "moment", "name",
			  "imap/append", "step", "still", "session", 1, "source", "client", "tag",
			  "r5"),
		1);
	check_trial(&trial);
}

static void a_tag_that_nobody_came_to_is_no_moment(void)
{
	auto_free char *yaml = text_fmt(tagged_yaml, "r500");
	struct trial trial = {.yaml = yaml};

	start(&trial);
	pthread_join(trial.cell.thread, NULL);
	CHECK_STR(verdict_name(trial.cell.result.verdict), "UNKNOWN");
	CHECK_STR(trial.cell.result.reason, "the step 'still' never began");
	fixture_cell_free(&trial.cell);
}

static void the_sessions_exercise_every_law(void)
{
	static const char *const laws[] = {"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9",
		"I10", "I11", "I12", "I13", "I14", "I15", "I17"};
	struct trial trial = {.law = NULL, .yaml = sessions_yaml};

	start(&trial);
	pthread_join(trial.cell.thread, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(laws); i++)
		if (!CHECK_STR(fixture_ruling(&trial.cell.result, laws[i]), "holds"))
			fprintf(stderr, "%s\n", laws[i]);
	check_trial(&trial);
}

static void each_bug_breaks_its_law(void)
{
	struct trial trials[] = {
		{.law = "I1", .yaml = sessions_yaml, .bug = FAKE_CHANGES_UID, .nth = 2},
		{.law = "I2", .yaml = sessions_yaml, .bug = FAKE_REWRITES, .nth = 1},
		{.law = "I3", .yaml = sessions_yaml, .bug = FAKE_LOWERS_VALID, .nth = 1},
		{.law = "I4", .yaml = sessions_yaml, .bug = FAKE_KEEPS_UIDNEXT, .nth = 2},
		{.law = "I5", .yaml = sessions_yaml, .bug = FAKE_MISCOUNTS, .nth = 1},
		{.law = "I6", .yaml = sessions_yaml, .bug = FAKE_EXPUNGES_EARLY, .nth = 1},
		{.law = "I7", .yaml = long_yaml, .bug = FAKE_BLIND, .nth = 1},
		{.law = "I8", .yaml = sessions_yaml, .bug = FAKE_CLOSE_KEEPS, .nth = 1},
		{.law = "I9", .yaml = sessions_yaml, .bug = FAKE_ADDS_REFUSED, .nth = 3},
		{.law = "I10", .yaml = moves_yaml, .bug = FAKE_MOVE_LOSES, .nth = 3},
		{.law = "I11", .yaml = sessions_yaml, .bug = FAKE_FORGETS_FLAGS, .nth = 3},
		{.law = "I12", .yaml = long_yaml, .bug = FAKE_MIXES_FETCH, .nth = 1},
		{.law = "I13", .yaml = sessions_yaml, .bug = FAKE_REPEATS_MODSEQ, .nth = 8},
		{.law = "I14", .yaml = sessions_yaml, .bug = FAKE_RESYNC_FORGETS, .nth = 1},
		{.law = "I15", .yaml = sessions_yaml, .bug = FAKE_VANISHES_MORE, .nth = 1},
		{.law = "I16", .yaml = idle_yaml, .bug = FAKE_IDLE_DEAF, .nth = 1},
		{.law = "I17", .yaml = sessions_yaml, .bug = FAKE_REPLIES_TWICE, .nth = 3},
	};

	run(trials, ARRAY_SIZE(trials));
}

CHECK_MAIN(CHECK_CASE(a_store_without_bugs_keeps_every_law),
	CHECK_CASE(the_sessions_exercise_every_law), CHECK_CASE(each_bug_breaks_its_law),
	CHECK_CASE(a_step_begins_at_the_command_of_its_tag),
	CHECK_CASE(a_tag_that_nobody_came_to_is_no_moment))

/* From saved evidence and a broken law to a finding with class, culprits and signature. */
#include "run/watch/hang.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/fs.h"
#include "base/json.h"
#include "tests/check/check.h"

#include <string.h>

/* What a case has: a history, findings of laws, evidence folders. */
struct folder {
	const char *dir;
	struct history *history;
	struct result result;
	struct plan plan;
};

static void open_folder(struct folder *f, const char *lines)
{
	*f = (struct folder){.dir = check_dir(), .history = history_from_lines(lines, NULL)};
	CHECK(f->history != NULL);
}

static void add_law(struct folder *f, const char *law, uint32_t line, uint32_t second)
{
	struct result *r = &f->result;
	struct finding *finding;

	r->findings = mem_grow(r->findings, r->finding_count + 1, sizeof(*r->findings));
	finding = &r->findings[r->finding_count++];
	*finding = (struct finding){.title = text_dup("it took too long"),
		.laws = mem_zero(1, sizeof(char *)),
		.law_count = 1,
		.lines = mem_zero(2, sizeof(uint32_t)),
		.line_count = second ? 2 : 1};
	finding->laws[0] = text_dup(law);
	finding->lines[0] = line;
	finding->lines[1] = second;
	snprintf(finding->signature, sizeof(finding->signature), "%s-00000000", law);
}

static void save(struct folder *f, const char *name, const char *file, json_t *json)
{
	auto_free char *dir = text_fmt("%s/evidence/%s", f->dir, name);
	auto_free char *path = path_join(dir, file);

	CHECK_INT(fs_mkdir_p(dir, NULL), 0);
	CHECK_INT(json_save_path(path, json, NULL), 0);
	json_decref(json);
}

static void explain(struct folder *f)
{
	hang_explain(&f->plan, f->dir, f->history, &f->result);
}

static void close_folder(struct folder *f)
{
	history_free(f->history);
	result_free(&f->result);
}

static json_t *task(int pid, const char *exe, const char *syscall)
{
	return json_pack("{si si si ss ss ss}", "pid", pid, "tid", pid, "start", 7, "exe", exe,
		"state", "S", "syscall", syscall);
}

#define FLOCK(fd) "73 0x" #fd " 0x2 0x0 0x0 0x0 0x0 0x7ffd 0x7fff"
#define FUTEX	  "202 0x5500 0x189 0x0 0x0 0x0 0xffffffff 0x7ffd 0x7fff"

/* Two processes, each of which wants the flock that the other holds. */
static json_t *crossed(void)
{
	return json_pack("{ss s[oo]}", "locks",
		"1: FLOCK ADVISORY WRITE 10 a 0 EOF\n1: -> FLOCK ADVISORY WRITE 20 a 0 EOF\n"
		"2: FLOCK ADVISORY WRITE 20 b 0 EOF\n2: -> FLOCK ADVISORY WRITE 10 b 0 EOF\n",
		"tasks", task(10, "/x/a", FLOCK(4)), task(20, "/x/b", FLOCK(5)));
}

/* One that waits for an event in memory. */
static json_t *lost(void)
{
	return json_pack("{ss s[o]}", "locks", "", "tasks", task(10, "/x/a", FUTEX));
}

static json_t *input(double owed_limit_s, double age_s, bool in_force)
{
	return json_pack("{sf s[{ss sf}] s{s[ff] s[ff]} so}", "owed_limit_s", owed_limit_s, "ops",
		"op", "smtp-message", "age_s", age_s, "since", "10", 1.0, 1.25, "20", 1.5, 2.0,
		"in_force", in_force ? json_pack("[s]", "snapshot") : json_array());
}

static const char hang_lines[] =
	"{\"t\":1.0,\"ev\":\"begin\",\"id\":1,\"op\":\"smtp-message\"}\n"
	"{\"t\":2.2,\"ev\":\"suspected\",\"name\":\"hang-1\",\"why\":\"x\"}\n"
	"{\"t\":2.6,\"ev\":\"evidence\",\"name\":\"hang-1\"}\n"
	"{\"t\":60.0,\"ev\":\"stop\",\"ended\":false,\"took_s\":40.0}\n"
	"{\"t\":60.5,\"ev\":\"evidence\",\"name\":\"not-stopped\"}\n";

/* Told while the first went on: a finding of its own, by the same law. */
static void a_second_hang_is_a_finding_of_its_own(void)
{
	static const char lines[] =
		"{\"t\":1.0,\"ev\":\"begin\",\"id\":1,\"op\":\"smtp-message\"}\n"
		"{\"t\":2.6,\"ev\":\"evidence\",\"name\":\"hang-1\"}\n"
		"{\"t\":3.6,\"ev\":\"evidence\",\"name\":\"hang-2\"}\n";
	json_t *both = crossed();
	struct folder f;

	json_array_append_new(json_object_get(both, "tasks"), task(30, "/x/c", FUTEX));
	for (int known = 0; known < 2; known++) {
		open_folder(&f, lines);
		add_law(&f, "H1", 1, 0);
		save(&f, "hang-1", "scan.json",
			json_pack("{ss s[o]}", "locks", "", "tasks", task(30, "/x/c", FUTEX)));
		save(&f, "hang-1", "earlier.json",
			json_pack("{ss s[o]}", "locks", "", "tasks", task(30, "/x/c", FUTEX)));
		save(&f, "hang-1", "input.json", input(1, 5, false));
		save(&f, "hang-2", "scan.json", json_deep_copy(both));
		save(&f, "hang-2", "input.json", input(1, 5, false));
		if (known)
			save(&f, "hang-2", "known.json",
				json_pack("{ss s[i]}", "before", "hang-1", "known", 30));
		explain(&f);
		CHECK_INT(f.result.finding_count, known ? 2 : 1);
		CHECK_STR(f.result.findings[0].hang_class, known ? "lost-wakeup" : "deadlock");
		if (known && f.result.finding_count > 1) {
			CHECK_STR(f.result.findings[1].hang_class, "deadlock");
			CHECK_STR(f.result.findings[1].laws[0], "H1");
			CHECK_INT(f.result.findings[1].lines[0], 3);
		}
		close_folder(&f);
	}
	json_decref(both);
}

#define STARVED(t, lost)                                                                          \
	"{\"t\":" t ",\"ev\":\"rig\",\"trouble\":\"starved\",\"text\":\"x\",\"lost_s\":" lost "}" \
	"\n"

/* Late by 5 s where 1 s is allowed: 1 s that was lost does not explain it, 2.5 s may. What explains nothing says why. */
static void a_starved_host_excuses_no_more_than_it_took(void)
{
	static const char begin[] =
		"{\"t\":1.0,\"ev\":\"begin\",\"id\":1,\"op\":\"smtp-message\"}\n";
	static const struct {
		const char *lines, *undiagnosed;
	} rows[] = {
		{STARVED("6.0", "1.0") "{\"t\":6.0,\"ev\":\"evidence\",\"name\":\"hang-1\"}\n",
			NULL},
		{STARVED("6.0", "2.5") "{\"t\":6.0,\"ev\":\"evidence\",\"name\":\"hang-1\"}\n",
			"evidence/hang-1: the host was starved: who is late may only have been "
			"kept waiting"},
		{"", "no evidence was taken while it lasted"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_free char *lines = text_fmt("%s%s", begin, rows[i].lines);
		struct folder f;

		open_folder(&f, lines);
		add_law(&f, "H1", 1, 0);
		save(&f, "hang-1", "scan.json", lost());
		save(&f, "hang-1", "earlier.json", lost());
		save(&f, "hang-1", "input.json", input(1, 5, false));
		explain(&f);
		if (rows[i].undiagnosed) {
			CHECK(!f.result.findings[0].diagnosis);
			CHECK_STR(f.result.findings[0].undiagnosed, rows[i].undiagnosed);
		} else {
			CHECK_STR(f.result.findings[0].hang_class, "lost-wakeup");
			CHECK(!f.result.findings[0].undiagnosed);
		}
		close_folder(&f);
	}
}

static void laws_broken_by_one_cause_are_one_finding(void)
{
	struct folder f;

	open_folder(&f, hang_lines);
	add_law(&f, "S9", 1, 0);
	add_law(&f, "H1", 1, 0);
	add_law(&f, "H2", 4, 0);
	save(&f, "hang-1", "scan.json", crossed());
	save(&f, "hang-1", "input.json", input(2, 3, false));
	save(&f, "not-stopped", "scan.json", crossed());
	explain(&f);
	if (CHECK_INT(f.result.finding_count, 2)) {
		const struct finding *first = &f.result.findings[0];

		CHECK_STR(first->hang_class, "deadlock");
		CHECK(!strncmp(first->signature, "deadlock-", 9));
		CHECK_INT(first->law_count, 2);
		CHECK_STR(first->laws[1], "H2");
		CHECK_INT(first->line_count, 2);
		CHECK_STR(json_get_text(first->diagnosis, "from", ""), "hang-1");
		CHECK_INT(json_array_size(json_object_get(first->diagnosis, "culprits")), 2);
		CHECK(!f.result.findings[1].hang_class);
		CHECK_STR(f.result.findings[1].signature, "S9-00000000");
	}
	/* The last of the two came between 1.5 s and 2.0 s; the watch said so at 2.2 s. */
	CHECK_INT(f.result.detect_ms, 700);
	close_folder(&f);
}

/* An operation that came back: what stood later is not what it waited for. */
static void evidence_of_another_time_explains_nothing(void)
{
	struct folder f;

	open_folder(&f, "{\"t\":1.0,\"ev\":\"begin\",\"id\":1,\"op\":\"smtp-message\"}\n"
			"{\"t\":3.0,\"ev\":\"end\",\"id\":1,\"op\":\"smtp-message\"}\n"
			"{\"t\":9.0,\"ev\":\"evidence\",\"name\":\"hang-1\"}\n");
	add_law(&f, "H1", 1, 2);
	save(&f, "hang-1", "scan.json", crossed());
	save(&f, "hang-1", "input.json", input(2, 3, false));
	explain(&f);
	CHECK(!f.result.findings[0].hang_class);
	CHECK_STR(f.result.findings[0].signature, "H1-00000000");
	close_folder(&f);
}

/* After the heal the wait is the store's own; what was seen while the fault was in force is second best. */
static void what_stands_after_the_heal_explains_h1(void)
{
	struct folder f;

	open_folder(&f, "{\"t\":1.0,\"ev\":\"begin\",\"id\":1,\"op\":\"smtp-message\"}\n"
			"{\"t\":3.0,\"ev\":\"evidence\",\"name\":\"hang-1\"}\n"
			"{\"t\":9.0,\"ev\":\"evidence\",\"name\":\"not-recovered\"}\n");
	add_law(&f, "H1", 1, 0);
	save(&f, "hang-1", "scan.json", lost());
	save(&f, "hang-1", "input.json", input(2, 3, true));
	save(&f, "not-recovered", "scan.json", lost());
	save(&f, "not-recovered", "input.json", input(5, 8, false));
	explain(&f);
	CHECK_STR(f.result.findings[0].hang_class, "lost-wakeup");
	CHECK_STR(json_get_text(f.result.findings[0].diagnosis, "from", ""), "not-recovered");
	close_folder(&f);
}

static void deaths_by_a_signal_are_a_crash_and_the_rigs_are_none(void)
{
	struct folder f;

	open_folder(&f,
		"{\"t\":1.0,\"ev\":\"died\",\"pid\":5,\"exe\":\"/x/a\",\"program\":\"/x/a\","
		"\"signal\":11,\"by_rig\":false}\n"
		"{\"t\":2.0,\"ev\":\"died\",\"pid\":6,\"exe\":\"/x/b\",\"program\":\"/x/b\","
		"\"signal\":6,\"by_rig\":true}\n");
	add_law(&f, "H5", 1, 0);
	explain(&f);
	CHECK_STR(f.result.findings[0].hang_class, "crash");
	CHECK(!strncmp(f.result.findings[0].signature, "crash-", 6));
	CHECK_HAS(f.result.findings[0].title, "`a` crashed by signal 11 (SIGSEGV)");
	close_folder(&f);
}

static void who_gives_up_again_and_again_is_named_with_its_last_line_and_who_was_ended_too(void)
{
	static const char exits[] =
		"{\"t\":1.0,\"ev\":\"begin\",\"id\":1,\"op\":\"smtp-message\"}\n"
		"{\"t\":1.1,\"ev\":\"log\",\"path\":\"/l\",\"line\":\"c[77]: no such table\"}\n"
		"{\"t\":1.2,\"ev\":\"log\",\"path\":\"/l\",\"line\":\"c[770]: all is well\"}\n"
		"{\"t\":1.5,\"ev\":\"exited\",\"comm\":\"c\",\"pid\":77,\"status\":1,\"ppid\":5,"
		"\"parent\":\"m\",\"count\":9,\"lived_ms\":20}\n"
		"{\"t\":2.6,\"ev\":\"evidence\",\"name\":\"hang-1\"}\n";
	static const char memory[] =
		"{\"t\":1.0,\"ev\":\"begin\",\"id\":1,\"op\":\"smtp-message\"}\n"
		"{\"t\":1.5,\"ev\":\"kernel\",\"line\":\"Out of memory: Killed process 77 (c) "
		"anon-rss:2048kB\"}\n"
		"{\"t\":2.6,\"ev\":\"evidence\",\"name\":\"hang-1\"}\n";

	for (int i = 0; i < 2; i++) {
		struct folder f;
		auto_free char *told = NULL;

		open_folder(&f, i ? memory : exits);
		add_law(&f, "H1", 1, 0);
		save(&f, "hang-1", "scan.json", json_pack("{ss s[]}", "locks", "", "tasks"));
		save(&f, "hang-1", "input.json", input(1, 5, false));
		explain(&f);
		CHECK_STR(f.result.findings[0].hang_class, i ? "crash" : "crash-loop");
		told = json_dumps(f.result.findings[0].diagnosis, 0);
		CHECK_HAS(told ? told : "", i ? "2 MiB" : "no such table");
		close_folder(&f);
	}
}

static void without_evidence_a_law_keeps_its_own_signature(void)
{
	struct folder f;

	open_folder(&f, "{\"t\":1.0,\"ev\":\"begin\",\"id\":1,\"op\":\"x\"}\n"
			"{\"t\":3.0,\"ev\":\"evidence\",\"name\":\"../../etc\"}\n"
			"{\"t\":3.0,\"ev\":\"evidence\",\"name\":\"gone\"}\n");
	add_law(&f, "H1", 1, 0);
	explain(&f);
	CHECK(!f.result.findings[0].hang_class && !f.result.findings[0].diagnosis);
	CHECK_STR(f.result.findings[0].signature, "H1-00000000");
	CHECK_INT(f.result.detect_ms, -1);
	close_folder(&f);
}

#define ADJUDGED(name, rest) \
	"{\"t\":70.0,\"ev\":\"adjudged\",\"name\":\"" name "\",\"event\":\"seen\"," rest "}\n"

/* hang-1 and hang-2 show one hang, hang-3 another; which copy the finding is told from. */
static const struct {
	const char *says, *adjudged;
	bool in_force[2]; /* hang-1, hang-2 */
	const char *recovery, *from;
	int64_t after_s, searched_s;
} copies[] = {
	{"nothing was run on", "", {false, false}, NULL, NULL, -1, -1},
	{"the copy of this hang",
		ADJUDGED("hang-1", "\"recovery\":\"permanent\",\"guest_s\":21599.7"), {true, false},
		"permanent", "hang-1", -1, 21600},
	{"the copy of another hang", ADJUDGED("hang-3", "\"recovery\":\"permanent\",\"guest_s\":3"),
		{false, false}, NULL, NULL, -1, -1},
	{"of two the one without a fault in force",
		ADJUDGED("hang-1", "\"recovery\":\"permanent\",\"guest_s\":3") ADJUDGED("hang-2",
			"\"recovery\":\"after_guest_s\",\"after_guest_s\":9000,\"guest_s\":8998"),
		{true, false}, "after_guest_s", "hang-2", 9000, 8998},
	{"of two alike the first",
		ADJUDGED("hang-1", "\"recovery\":\"not-judged\"")
			ADJUDGED("hang-2", "\"recovery\":\"permanent\",\"guest_s\":3"),
		{false, false}, "not-judged", "hang-1", -1, -1},
	{"a copy of nothing", ADJUDGED("../x", "\"recovery\":\"permanent\",\"guest_s\":3"),
		{false, false}, NULL, NULL, -1, -1},
};

static void a_copy_speaks_for_the_hang_that_it_was_taken_of(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(copies); i++) {
		auto_free char *text =
			text_fmt("%s"
				 "{\"t\":3.0,\"ev\":\"evidence\",\"name\":\"hang-2\"}\n"
				 "{\"t\":60.6,\"ev\":\"evidence\",\"name\":\"hang-3\"}\n%s",
				hang_lines, copies[i].adjudged);
		struct folder f;
		const json_t *recovery;

		open_folder(&f, text);
		add_law(&f, "H1", 1, 0);
		save(&f, "hang-1", "scan.json", crossed());
		save(&f, "hang-1", "input.json", input(2, 3, copies[i].in_force[0]));
		save(&f, "hang-2", "scan.json", crossed());
		save(&f, "hang-2", "input.json", input(2, 3, copies[i].in_force[1]));
		save(&f, "hang-3", "scan.json", lost());
		save(&f, "hang-3", "input.json", input(2, 3, false));
		explain(&f);
		recovery = f.result.findings[0].recovery;
		if (!CHECK_STR(json_get_text(recovery, "recovery", NULL), copies[i].recovery))
			fprintf(stderr, "%s\n", copies[i].says);
		CHECK_STR(json_get_text(recovery, "recovery_from", NULL), copies[i].from);
		CHECK_INT(json_get_int(recovery, "recovers_after_s", -1), copies[i].after_s);
		CHECK_INT(json_get_int(recovery, "searched_s", -1), copies[i].searched_s);
		close_folder(&f);
	}
}

static void explain_crossed(struct folder *f, const char *history)
{
	open_folder(f, history);
	add_law(f, "H1", 1, 0);
	save(f, "hang-1", "scan.json", crossed());
	save(f, "hang-1", "input.json", input(2, 3, false));
	explain(f);
}

/* That the host lost time is told after the copy was kept; its evidence, read once more, is nobody's hang then. */
static void a_copy_speaks_by_what_was_seen_when_it_was_kept(void)
{
	auto_free char *text = NULL;
	struct folder f;

	explain_crossed(&f, hang_lines);
	text = text_fmt("%s{\"t\":70.0,\"ev\":\"adjudged\",\"name\":\"hang-2\",\"event\":\"seen\","
			"\"recovery\":\"permanent\",\"signature\":\"%s\",\"in_force\":false}\n",
		hang_lines, f.result.findings[0].signature);
	CHECK(!f.result.findings[0].recovery);
	close_folder(&f);
	explain_crossed(&f, text);
	CHECK_STR(json_get_text(f.result.findings[0].recovery, "recovery", NULL), "permanent");
	CHECK(!json_get_bool(f.result.findings[0].recovery, "recovery_in_force", true));
	close_folder(&f);
}

CHECK_MAIN(CHECK_CASE(a_copy_speaks_by_what_was_seen_when_it_was_kept),
	CHECK_CASE(a_second_hang_is_a_finding_of_its_own),
	CHECK_CASE(a_starved_host_excuses_no_more_than_it_took),
	CHECK_CASE(laws_broken_by_one_cause_are_one_finding),
	CHECK_CASE(evidence_of_another_time_explains_nothing),
	CHECK_CASE(what_stands_after_the_heal_explains_h1),
	CHECK_CASE(deaths_by_a_signal_are_a_crash_and_the_rigs_are_none),
	CHECK_CASE(who_gives_up_again_and_again_is_named_with_its_last_line_and_who_was_ended_too),
	CHECK_CASE(without_evidence_a_law_keeps_its_own_signature),
	CHECK_CASE(a_copy_speaks_for_the_hang_that_it_was_taken_of))

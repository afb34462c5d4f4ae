/* The contract of every law in the list: a new one is tested by existing. */
#include "tests/unit/oracle_table.h"

#include "base/json.h"
#include "base/rng.h"

#define ROUNDS	   400
#define LINES_MAX  40
#define KEEPS_LAWS 30 /* at the least so many laws there are */

static struct oracle_context plain_context(const struct target *target)
{
	return (struct oracle_context){
		.target = target, .objectives = objectives_resolve(NULL, NULL)};
}

static bool same(const struct judgement *a, const struct judgement *b)
{
	return a->ruling == b->ruling && !strcmp(a->text, b->text) && !strcmp(a->role, b->role) &&
	       a->line_count == b->line_count && a->breaches == b->breaches &&
	       a->excused == b->excused &&
	       !memcmp(a->lines, b->lines, a->line_count * sizeof(a->lines[0]));
}

static void every_law_says_what_it_is(void)
{
	size_t count = 0;

	for (const struct oracle *const *oracle = oracles; *oracle; oracle++, count++) {
		CHECK((*oracle)->law && *(*oracle)->law);
		CHECK((*oracle)->name && *(*oracle)->name);
		CHECK((*oracle)->summary && *(*oracle)->summary);
		CHECK((*oracle)->source && *(*oracle)->source);
		CHECK((*oracle)->judge != NULL);
		CHECK(oracle_find((*oracle)->law) == *oracle);
	}
	CHECK(count >= KEEPS_LAWS);
	CHECK(oracle_find("S99") == NULL);
}

static void nothing_happened_is_not_applicable(void)
{
	struct target target = table_target();
	struct oracle_context context = plain_context(&target);
	struct history *empty = history_from_lines("", NULL);
	struct history *note = history_from_lines("{\"t\":0,\"ev\":\"note\",\"text\":\"x\"}", NULL);

	for (const struct oracle *const *oracle = oracles; *oracle; oracle++) {
		struct judgement got;

		oracle_judge(*oracle, empty, &context, &got);
		CHECK_STR(ruling_name(got.ruling), "not-applicable");
		oracle_judge(*oracle, note, &context, &got);
		CHECK_STR(ruling_name(got.ruling), "not-applicable");
	}
	history_free(empty);
	history_free(note);
}

static void a_target_that_says_nothing_is_enough(void)
{
	static const char lines[] =
		WORK SEND(1, "m1", "u1@store") TRY("edge", "m1", "u1@store", "2yz")
			FAULT(2, "silent", "in-force") FAULT(3, "silent", "healed") DONE(9, 1, "OK")
				COPY("m1", "u1") COPY("m1", "u1") BOUNCE(9, "m1", "u2") END;
	struct history *history = history_from_lines(lines, NULL);
	static const struct target none;

	for (const struct oracle *const *oracle = oracles; *oracle; oracle++) {
		struct oracle_context context = plain_context(&none);
		struct judgement got;

		oracle_judge(*oracle, history, &context, &got);
		context.target = NULL;
		oracle_judge(*oracle, history, &context, &got);
	}
	history_free(history);
}

/* ---- hostile histories ---- */

static const char *const kinds[] = {"phase", "begin", "end", "attempt", "fault", "met", "copy",
	"read", "unreadable", "queued", "sunk", "excused", "stop", "start", "drained", "died",
	"log", "rig", "recovered", "note", "pop3", "level", "file", "look", "sink", "?"};
static const char *const keys[] = {"name", "id", "who", "op", "user", "mailbox", "token", "from",
	"to", "sha256", "bytes", "command", "outcome", "code", "text", "replies", "dot_t",
	"reply_t", "hop", "conn", "result", "step", "fault", "state", "uid", "whole", "bounce_of",
	"count", "empty", "took_s", "depth", "ended", "killed", "left", "signal", "program", "path",
	"line", "trouble", "fetched", "extra", "pending", "protocol", "kept", "by_rig", "session",
	"do", "since", "in_use", "items", "uidl", "marked", "idle_s", "round", "processes",
	"memory_kib", "figures", "look", "folder", "base", "info", "when", "agent", "notify",
	"failed", "action"};
static const char *const words[] = {"", "m1", "m2", "u1", "u2@store", "<U1@STORE>", "edge", "inner",
	"outbound", "2yz", "4yz", "5yz", "none", "not-sent", "OK", "NO", "MAYBE", "healed",
	"in-force", "end", "workload", "stop", "smtp-message", "imap-append", "imap-uid-copy",
	"imap-expunge", "freeze-fs", "lmtp-silent", "/var/log/mail", "panic: %s%n", "starved", "@",
	"<>", "SIGSEGV", "queued as 4Q", "login", "list", "quit", "cut", "closed", "\x01\x1b[2J"};

static const char *pick(struct rng *rng, const char *const *from, size_t count)
{
	return from[rng_below(rng, count)];
}

static json_t *any_value(struct rng *rng, int depth)
{
	json_t *value;

	switch (rng_below(rng, depth > 2 ? 6 : 8)) {
	case 0:
		return json_integer((json_int_t)rng_below(rng, 4));
	case 1:
		return json_integer((json_int_t)rng_u64(rng));
	case 2:
		return json_real((double)(int64_t)rng_below(rng, 2000) - 1000);
	case 3:
		return json_null();
	case 4:
		return json_boolean(rng_below(rng, 2));
	case 5:
		return json_string(pick(rng, words, ARRAY_SIZE(words)));
	case 6:
		value = json_array();
		for (uint64_t n = rng_below(rng, 4); n; n--)
			json_array_append_new(value, any_value(rng, depth + 1));
		return value;
	default:
		value = json_object();
		for (uint64_t n = rng_below(rng, 5); n; n--)
			json_object_set_new(value, pick(rng, keys, ARRAY_SIZE(keys)),
				any_value(rng, depth + 1));
		return value;
	}
}

/* Lines of the right kinds with keys of the right names and values of any sort. */
static char *hostile_lines(struct rng *rng)
{
	struct buf lines = {0};

	for (uint64_t n = rng_below(rng, LINES_MAX); n; n--) {
		json_t *line = json_object();
		char *text;

		for (uint64_t k = rng_below(rng, 12); k; k--)
			json_object_set_new(
				line, pick(rng, keys, ARRAY_SIZE(keys)), any_value(rng, 0));
		json_object_set_new(line, "t", json_real((double)rng_below(rng, 1000) - 100));
		json_object_set_new(line, "ev", json_string(pick(rng, kinds, ARRAY_SIZE(kinds))));
		text = json_dumps(line, JSON_COMPACT);
		buf_addf(&lines, "%s\n", text);
		free(text);
		json_decref(line);
	}
	return buf_steal(&lines);
}

static void judge_all(const struct history *history, const struct history *baseline)
{
	static struct target_log logs[] = {{(char *)"/var/log/mail", (char *)"panic"}};
	struct target target = table_target();
	struct oracle_context context;

	target.logs = logs;
	target.log_count = 1;
	context = plain_context(&target);
	context.baseline = baseline;
	for (const struct oracle *const *oracle = oracles; *oracle; oracle++) {
		struct judgement first, second;

		oracle_judge(*oracle, history, &context, &first);
		oracle_judge(*oracle, history, &context, &second);
		CHECK(same(&first, &second));
		CHECK(first.line_count <= JUDGEMENT_LINES_MAX);
		CHECK(first.ruling != RULING_BROKEN ||
			(first.breaches && *first.text && *first.role));
		CHECK(first.ruling != RULING_CANNOT_TELL || *first.text);
		for (size_t i = 0; i < first.line_count; i++)
			CHECK(first.lines[i] >= 1 && first.lines[i] <= history->count);
		(*oracle)->judge(history, &context, &second); /* also where the end is missing */
	}
}

static void no_history_is_too_strange(void)
{
	struct rng rng = rng_stream(1, "strange");
	struct history *baseline = NULL;

	for (int i = 0; i < ROUNDS; i++) {
		auto_free char *lines = hostile_lines(&rng);
		struct err err = {{0}};
		struct history *history = history_from_lines(lines, &err);

		if (!CHECK(history))
			return;
		judge_all(history, baseline);
		history_free(baseline);
		baseline = history;
	}
	history_free(baseline);
}

/* ---- mutations of a whole, good cell ---- */

static const char whole_cell[] = PHASE(-1, "set-up") WORK SEND(1, "m1", "u1@store") SEND(
	2, "m2", "x@sink.rig") OP(2, 3, "imap-uid-fetch", "u1") FAULT(2, "lmtp-silent", "in-force")
	TRY_AT("edge", "m1", "u1@store", "2yz", 250, 3, 4) DONE(4, 1, "OK") TRY_AT("edge", "m2",
		"x@sink.rig", "2yz", 250, 3, 4) DONE(4, 2, "OK") FAULT(8, "lmtp-silent",
		"healed") TRY_AT("inner", "m1", "u1@store", "2yz", 250, 8, 9) TRY_AT("outbound",
		"m2", "x@sink.rig", "2yz", 250, 8, 9) DONE(9, 3, "OK") PHASE(10,
		"drain") "{\"t\":11,\"ev\":\"drained\",\"empty\":true,\"took_s\":1,\"depth\":0}\n"
			 "{\"t\":12,\"ev\":\"stop\",\"ended\":true,\"took_s\":1,\"killed\":[],"
			 "\"left\":[]}\n" READ("u1") COPY("m1", "u1") SUNK("m2", "x@sink.rig") END;

static void a_good_cell_breaks_nothing(void)
{
	struct history *history = history_from_lines(whole_cell, NULL);
	struct target target = table_target();
	struct oracle_context context = plain_context(&target);
	size_t holds = 0;

	for (const struct oracle *const *oracle = oracles; *oracle; oracle++) {
		struct judgement got;

		oracle_judge(*oracle, history, &context, &got);
		CHECK(got.ruling == RULING_HOLDS || got.ruling == RULING_NOT_APPLICABLE);
		holds += got.ruling == RULING_HOLDS;
		if (got.ruling > RULING_HOLDS)
			fprintf(stderr, "%s: %s\n", (*oracle)->law, got.text);
	}
	CHECK(holds >= 9);
	history_free(history);
}

/* Any byte of a good cell changed: it is refused by line, or it is judged. */
static void any_byte_may_be_wrong(void)
{
	struct rng rng = rng_stream(2, "bytes");
	size_t len = strlen(whole_cell);

	for (int i = 0; i < ROUNDS; i++) {
		auto_free char *lines = text_dup(whole_cell);
		struct err err = {{0}};
		struct history *history;

		for (uint64_t n = 1 + rng_below(&rng, 3); n; n--)
			lines[rng_below(&rng, len)] = (char)(1 + rng_below(&rng, 255));
		history = history_from_lines(lines, &err);
		if (history)
			judge_all(history, NULL);
		else
			CHECK_HAS(err.text, "line ");
		history_free(history);
	}
}

/* Any line missing: whatever is ruled, it is ruled without harm. */
static void any_line_may_be_missing(void)
{
	for (const char *line = whole_cell; *line;) {
		const char *next = strchr(line, '\n') + 1;
		auto_free char *lines =
			text_fmt("%.*s%s", (int)(line - whole_cell), whole_cell, next);
		struct history *history = history_from_lines(lines, NULL);

		if (CHECK(history))
			judge_all(history, NULL);
		history_free(history);
		line = next;
	}
}

static void a_law_that_needs_the_end_waits_for_it(void)
{
	struct target target = table_target();
	struct oracle_context context = plain_context(&target);
	static const char lines[] =
		WORK SEND(1, "m1", "u1@store") TRY("edge", "m1", "u1@store", "2yz") READ("u1");
	struct history *history = history_from_lines(lines, NULL);

	for (const struct oracle *const *oracle = oracles; *oracle; oracle++) {
		struct judgement got;

		if (!(*oracle)->needs_end)
			continue;
		oracle_judge(*oracle, history, &context, &got);
		CHECK_STR(ruling_name(got.ruling), "not-applicable");
		CHECK_HAS(got.text, "cut short");
	}
	history_free(history);
}

static void a_stronger_ruling_starts_anew(void)
{
	struct judgement judgement = {0};

	judgement_holds(&judgement);
	judgement_cannot_tell(&judgement, 3, "why %d", 1);
	judgement_holds(&judgement);
	CHECK_STR(ruling_name(judgement.ruling), "cannot-tell");
	judgement_break(&judgement, 7, "first");
	judgement_break(&judgement, 9, "second");
	judgement_cannot_tell(&judgement, 11, "late");
	CHECK_STR(judgement.text, "first");
	CHECK_INT(judgement.line_count, 2);
	CHECK_INT(judgement.lines[0], 7);
	CHECK_INT(judgement.breaches, 2);
	for (uint32_t i = 1; i < 200; i++)
		judgement_break(&judgement, i, "%s", "more");
	CHECK_INT(judgement.line_count, JUDGEMENT_LINES_MAX);
	CHECK_INT(judgement.breaches, 201);
	CHECK_STR(ruling_name((enum ruling)77), "?");
}

CHECK_MAIN(CHECK_CASE(every_law_says_what_it_is), CHECK_CASE(nothing_happened_is_not_applicable),
	CHECK_CASE(a_target_that_says_nothing_is_enough), CHECK_CASE(no_history_is_too_strange),
	CHECK_CASE(a_good_cell_breaks_nothing), CHECK_CASE(any_byte_may_be_wrong),
	CHECK_CASE(any_line_may_be_missing), CHECK_CASE(a_law_that_needs_the_end_waits_for_it),
	CHECK_CASE(a_stronger_ruling_starts_anew))

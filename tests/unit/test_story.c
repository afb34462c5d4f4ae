/* The story of a cell from its folder: what a reader finds, and that a guest's bytes do no harm. */
#include "report/story.h"

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/json.h"
#include "tests/check/check.h"

#include <string.h>

static const char lines[] =
	"{\"t\":0.0,\"ev\":\"phase\",\"name\":\"workload\"}\n"
	"{\"t\":0.1,\"ev\":\"begin\",\"id\":1,\"op\":\"imap-noop\",\"service\":\"imap\"}\n"
	"{\"t\":0.2,\"ev\":\"end\",\"id\":1,\"op\":\"imap-noop\",\"outcome\":\"OK\"}\n"
	"{\"t\":0.5,\"ev\":\"fault\",\"step\":\"held\",\"fault\":\"park\",\"state\":\"in-force\"}\n"
	"{\"t\":0.6,\"ev\":\"begin\",\"id\":2,\"op\":\"smtp-message\",\"service\":\"smtp\"}\n"
	"{\"t\":0.8,\"ev\":\"fault\",\"step\":\"held\",\"fault\":\"park\",\"state\":\"healing\"}\n"
	"{\"t\":0.9,\"ev\":\"fault\",\"step\":\"held\",\"fault\":\"park\",\"state\":\"healed\","
	"\"count\":1}\n"
	"{\"t\":1.4,\"ev\":\"suspected\",\"name\":\"hang-1\",\"why\":\"overdue\",\"op\":"
	"\"smtp-message\",\"age_s\":0.8}\n"
	"{\"t\":1.8,\"ev\":\"evidence\",\"name\":\"hang-1\"}\n"
	"{\"t\":1.9,\"ev\":\"branched\",\"name\":\"hang-1\",\"still_s\":0.13}\n"
	"{\"t\":6.0,\"ev\":\"recovered\",\"all\":false,\"pending\":1}\n"
	"{\"t\":9.0,\"ev\":\"adjudged\",\"name\":\"hang-1\",\"recovery\":\"after_guest_s\","
	"\"after_guest_s\":9005,\"event\":\"thread 12 ends\",\"guest_s\":9004.2,\"host_s\":6.5}\n";

static json_t *verdict(const char *title)
{
	return json_pack("{ss ss ss ss ss ss s[{ss ss s[sss] s[ii] ss si ss ss so so}]}", "id",
		"a.b.1", "scenario", "a", "target", "b", "verdict", "FAIL", "reason", "H1: late",
		"control", "PASS", "findings", "signature", "deadlock-01234567", "class",
		"deadlock", "laws", "H1", "H2", "H3", "lines", 5, 7, "recovery", "after_guest_s",
		"recovers_after_s", 9005, "recovery_event", "thread 12 ends", "recovery_from",
		"hang-1", "title", json_text(title), "diagnosis",
		json_pack("{ss si s[{si si ss ss}] s[s] s[s] ss s[ff] sf}", "class", "deadlock",
			"behind", 1, "culprits", "pid", 10, "tid", 12, "role", "store", "says",
			"state S: mutex", "evidence", "a cycle of 2", "unknown",
			"owner unknown: it has ended", "from", "hang-1", "onset_s", 0.9, 1.2,
			"detected_s", 1.4));
}

/* The story of a folder with this verdict; caller frees. */
static char *story_told(const char *events, json_t *json)
{
	const char *dir = check_dir();
	auto_free char *history = path_join(dir, "history.jsonl");
	auto_free char *path = path_join(dir, "verdict.json");
	struct buf out = {0};

	CHECK_INT(fs_write_atomic(history, events, strlen(events), NULL), 0);
	CHECK_INT(json_save_path(path, json, NULL), 0);
	CHECK_INT(story_write(dir, &out, NULL), 0);
	return buf_steal(&out);
}

static char *story_with(const char *events, const char *title)
{
	auto_json json_t *json = verdict(title);

	return story_told(events, json);
}

static char *story_of(const char *title)
{
	return story_with(lines, title);
}

static void a_hang_is_told_with_its_cause_its_onset_and_what_is_not_known(void)
{
	static const char *const wanted[] = {"FAIL  deadlock-01234567  NEW  a.b.1",
		"  A waits for B.\n", "WHO CAUSES IT   deadlock-01234567, breaks H1 H2 H3\n",
		"  1  a cycle of 2\n", "  2  `store`, thread 12 of process 10: state S: mutex\n",
		"  1 more thread waits behind.\n", "Seen in evidence/hang-1\n",
		"same seed, without faults  PASS\n", "between 0.900 s and 1.200 s\n",
		"     1.200  onset ",
		"     1.400  DETECTED  overdue: smtp-message has taken 0.8 s\n",
		"\nNOT KNOWN\n  owner unknown: it has ended\n",
		"  imap-noop              100 ms x1 ", "; the onset at 1.20 s\n",
		"\nDOES IT END?\n  Yes, by itself, 2 h 30 min 5 s of guest time after its wait "
		"began: thread 12\n  ends. A copy of the machine",
		"\n  In this cell the faults were off at 0.90 s: 1 operation was still pending at\n"
		"  6.00 s.\n",
		"     0.600  waits     smtp-message: is never answered\n",
		"     6.000  recovered not: 1 operation is pending",
		"     1.900  copy      of the machine, for hang-1; it stood still for 0.13 s",
		"     9.000  copy      of hang-1, run on: recovers 9005 s after its wait began"};
	auto_free char *story = story_of("A waits for B.");

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		CHECK_HAS(story, wanted[i]);
	CHECK_HAS(story, "same seed again            not tried\n");
	CHECK_HAS(story, "what could not be told     1 (see NOT KNOWN)\n");
	CHECK_HAS(story, "frames lost to the capture none\n");
	CHECK(!strstr(story, "healing") && !strstr(story, " \n"));
	/* It was seen half a second after the heal. */
	CHECK(!strstr(story, "ALTHOUGH THE FAULT"));
}

static void the_timeline_says_each_thing_once(void)
{
	static const char more[] =
		"{\"t\":0.0,\"ev\":\"phase\",\"name\":\"workload\"}\n"
		"{\"t\":1.0,\"ev\":\"end\",\"id\":1,\"op\":\"smtp\",\"outcome\":\"NO\",\"text\":"
		"\"later\"}\n"
		"{\"t\":1.1,\"ev\":\"end\",\"id\":2,\"op\":\"smtp\",\"outcome\":\"NO\",\"text\":"
		"\"later\"}\n"
		"{\"t\":1.2,\"ev\":\"end\",\"id\":3,\"op\":\"smtp\",\"outcome\":\"NO\",\"text\":"
		"\"never\"}\n"
		"{\"t\":1.3,\"ev\":\"end\",\"id\":4,\"op\":\"smtp\",\"outcome\":\"NO\",\"text\":"
		"\"later\"}\n"
		"{\"t\":1.4,\"ev\":\"end\",\"id\":5,\"op\":\"smtp\",\"outcome\":\"NO\",\"text\":"
		"\"later\"}\n"
		"{\"t\":1.5,\"ev\":\"end\",\"id\":6,\"op\":\"smtp\",\"outcome\":\"NO\",\"text\":"
		"\"later\"}\n"
		"{\"t\":2.0,\"ev\":\"phase\",\"name\":\"read-back\"}\n"
		"{\"t\":2.1,\"ev\":\"read\",\"user\":\"u1\",\"copies\":3,\"mailboxes\":1}\n"
		"{\"t\":2.2,\"ev\":\"read\",\"user\":\"u2\",\"copies\":4,\"mailboxes\":2}\n"
		"{\"t\":3.0,\"ev\":\"phase\",\"name\":\"end\"}\n";
	auto_free char *story = story_with(more, "A waits for B.");

	CHECK_HAS(story, "     1.300  NO");
	CHECK(!strstr(story, "     1.400  NO"));
	CHECK_HAS(story, "     2.000  NO        2 more of smtp like these, the last at 1.500 s\n");
	CHECK_HAS(story, "     1.200  NO");
	CHECK_HAS(story, "     2.200  read back 7 messages in 3 mailboxes of 2 users\n");
	CHECK(!strstr(story, "2.100"));
}

static void bytes_of_a_guest_do_not_reach_the_terminal(void)
{
	auto_free char *story = story_of("\033[2J\x07 a title\nNOT KNOWN\n\xff");

	CHECK(!strchr(story, '\033') && !strchr(story, '\x07') && !strchr(story, '\xff'));
	CHECK_HAS(story, "?[2J? a title NOT KNOWN");
}

static void long_text_is_wrapped_at_the_edge(void)
{
	char title[600] = "";
	auto_free char *story = NULL;

	for (int i = 0; i < 100; i++)
		strcat(title, "word ");
	story = story_of(title);
	for (char *save = NULL, *line = strtok_r(story, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save))
		CHECK(strncmp(line, "  word", 6) != 0 || strlen(line) <= 80);
}

/* Seven workers in one wait are one line; what another of them does is another. */
static void threads_that_stand_alike_are_told_together(void)
{
	static const char *const says[] = {"state S: poll, of which 8.1 to 9 s are left",
		"state S: poll, of which 8.25 to 9 s are left", "state S: read"};
	auto_json json_t *json = verdict("a title");
	auto_free char *story = NULL;
	json_t *culprits = json_object_get(
		json_object_get(json_array_get(json_object_get(json, "findings"), 0), "diagnosis"),
		"culprits");

	for (int i = 0; i < 3; i++)
		json_array_append_new(culprits, json_pack("{si si ss ss}", "pid", 10, "tid", 20 + i,
							"role", "store", "says", says[i]));
	story = story_told(lines, json);
	CHECK_HAS(story, "threads 20, 21 of process 10: state S: poll");
	CHECK_HAS(story, "thread 22 of process 10: state S: read");
}

/* Each law with its own lines of the history, and whether it is the cell's own finding or another. */
static void a_broken_law_names_its_lines_and_its_finding(void)
{
	auto_json json_t *json = verdict("a title");
	auto_free char *story = NULL;

	json_array_append_new(json_object_get(json, "findings"),
		json_pack("{ss sn s[s] ss s[i] sb sb}", "signature", "H9-01234567", "class", "laws",
			"H9", "title", "an alarm", "lines", 8, "suspect", 1, "baseline", 0));
	json_object_set_new(json, "laws",
		json_pack("{s{ss ss s[ii]} s{ss ss s[i]} s{ss ss} s{ss ss}}", "H1", "ruling",
			"broken", "text", "late", "lines", 5, 999, "H9", "ruling", "broken", "text",
			"an alarm", "lines", 8, "S1", "ruling", "holds", "text", "", "S5", "ruling",
			"cannot-tell", "text", "nobody knows"));
	story = story_told(lines, json);
	CHECK_HAS(story, "\nBREAKS\n  H1  late\n      history.jsonl:5 (smtp-message, 0.600 s)\n"
			 "  H9  an alarm\n      a finding of its own, H9-01234567, suspect: "
			 "history.jsonl:8 (suspected,\n      1.400 s)\n");
	CHECK_HAS(story, "\nHOLDS\n  S1\n");
	CHECK_HAS(story, "\nCANNOT TELL\n  S5  nobody knows\n");
}

static void a_hang_that_no_evidence_explains_says_why_not(void)
{
	auto_json json_t *json = verdict("H1: late");
	json_t *finding = json_array_get(json_object_get(json, "findings"), 0);
	auto_free char *story = NULL;

	json_object_del(finding, "diagnosis");
	json_object_set_new(finding, "class", json_null());
	json_object_set_new(finding, "undiagnosed", json_string("evidence/hang-1: starved"));
	story = story_told(lines, json);
	CHECK_HAS(story, "what could not be told     1 (see NOT KNOWN)\n");
	CHECK_HAS(story, "\nNOT KNOWN\n  who causes deadlock-01234567: evidence/hang-1: starved\n");
}

/* What an administrator would ask first: what was done when, and what the store said meanwhile. */
static void the_timeline_tells_steps_waits_logs_and_figures(void)
{
	static const char more[] =
		"{\"t\":0.0,\"ev\":\"phase\",\"name\":\"workload\"}\n"
		"{\"t\":0.5,\"ev\":\"fault\",\"step\":\"far\",\"fault\":\"park\",\"state\":"
		"\"armed\","
		"\"point\":\"store/push\",\"hit\":3}\n"
		"{\"t\":1.0,\"ev\":\"begin\",\"id\":1,\"who\":\"moves\",\"op\":\"move-mailbox\","
		"\"service\":\"action\",\"user\":\"m1\"}\n"
		"{\"t\":1.1,\"ev\":\"begin\",\"id\":2,\"who\":\"moves\",\"op\":\"move-mailbox\","
		"\"service\":\"action\",\"user\":\"m2\"}\n"
		"{\"t\":1.2,\"ev\":\"begin\",\"id\":3,\"who\":\"web.1\",\"op\":\"http-get\","
		"\"service\":\"http\"}\n"
		"{\"t\":1.3,\"ev\":\"end\",\"id\":1,\"who\":\"moves\",\"op\":\"move-mailbox\","
		"\"outcome\":\"OK\"}\n"
		"{\"t\":1.4,\"ev\":\"log\",\"path\":\"/var/log/x.log\",\"line\":"
		"\"2026-11-22T13:55:39.120Z mta stopped\"}\n"
		"{\"t\":2.0,\"ev\":\"figures\",\"figures\":{\"a\":0,\"b\":4}}\n"
		"{\"t\":2.5,\"ev\":\"figures\",\"figures\":{\"a\":0,\"b\":4}}\n"
		"{\"t\":3.0,\"ev\":\"end\",\"id\":2,\"who\":\"moves\",\"op\":\"move-mailbox\","
		"\"outcome\":\"OK\"}\n"
		"{\"t\":7.2,\"ev\":\"end\",\"id\":3,\"who\":\"web.1\",\"op\":\"http-get\","
		"\"outcome\":\"OK\"}\n"
		"{\"t\":8.0,\"ev\":\"phase\",\"name\":\"stop\"}\n"
		"{\"t\":8.1,\"ev\":\"log\",\"path\":\"/var/log/x.log\",\"line\":\"bye\"}\n";
	static const char *const wanted[] = {
		"     0.500  FAULT     far: park at store/push, call 3: armed\n",
		"     1.000  step      move-mailbox m1 m2, step moves\n",
		"     1.200  waits     web.1 http-get: answered only after 6.0 s\n",
		"     1.400  log       x.log: mta stopped\n", "     2.000  figures   b 4\n"};
	auto_free char *story = story_with(more, "a title");

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		CHECK_HAS(story, wanted[i]);
	CHECK(!strstr(story, "2.500  figures") && !strstr(story, "1.100  step"));
	CHECK(!strstr(story, "bye")); /* of the rig's own stop */
}

CHECK_MAIN(CHECK_CASE(a_broken_law_names_its_lines_and_its_finding),
	CHECK_CASE(a_hang_that_no_evidence_explains_says_why_not),
	CHECK_CASE(the_timeline_tells_steps_waits_logs_and_figures),
	CHECK_CASE(threads_that_stand_alike_are_told_together),
	CHECK_CASE(a_hang_is_told_with_its_cause_its_onset_and_what_is_not_known),
	CHECK_CASE(the_timeline_says_each_thing_once),
	CHECK_CASE(bytes_of_a_guest_do_not_reach_the_terminal),
	CHECK_CASE(long_text_is_wrapped_at_the_edge))

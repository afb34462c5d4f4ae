#include "report/graph_svg.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/proc.h"
#include "tests/check/check.h"

#include <stdlib.h>
#include <string.h>

#define NODE(who_, culprit_)                                                          \
	"{\"who\":\"" who_                                                            \
	"\",\"what\":\"flock lock on queue/#\",\"state\":\"S\",\"culprit\":" culprit_ \
	",\"count\":1}"

static size_t count_of(const char *text, const char *word)
{
	size_t n = 0;

	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

/* The drawing, well-formed; "" where there is none. SVG_KEEP=DIR keeps it for the eye. */
static char *draw(const char *name, const char *text)
{
	auto_json json_t *graph = json_loads(text, 0, NULL);
	auto_free char *path =
		text_fmt("%s/%s.svg", getenv("SVG_KEEP") ? getenv("SVG_KEEP") : check_dir(), name);
	char *argv[] = {(char[]){"xmllint"}, (char[]){"--noout"}, path, NULL};
	struct buf out = {0}, said = {0};

	CHECK(graph != NULL);
	if (graph_svg(graph, &out)) {
		CHECK_INT(fs_write_atomic(path, out.data, out.len, NULL), 0);
		CHECK_INT(proc_run(argv, deadline_in_ms(30000), &said, 4096, NULL), 0);
	}
	buf_free(&said);
	if (!out.data)
		buf_add_str(&out, "");
	return buf_steal(&out);
}

static void a_cycle_of_two_has_an_edge_each_way_and_both_are_marked(void)
{
	auto_free char *svg =
		draw("cycle", "{\"nodes\":[" NODE("`deliver` (process 7)", "true") "," NODE(
				      "`read` (process 8)", "true") "],\"edges\":[[0,1],[1,0]]}");

	CHECK_INT(count_of(svg, "class=\"edge\""), 2);
	CHECK_INT(count_of(svg, "class=\"box culprit\""), 2);
	CHECK_HAS(svg, "`deliver` (process 7)");
}

static void who_waits_stands_left_of_whom_it_waits_for(void)
{
	auto_free char *svg = draw(
		"chain", "{\"nodes\":[" NODE("end", "true") "," NODE("first", "false") "," NODE(
				 "middle", "false") "],\"edges\":[[1,2],[2,0]]}");
	const char *rect = svg;
	int x[3] = {0};

	for (int i = 0; i < 3; i++) {
		rect = strstr(rect, "<rect x=\"");
		if (!CHECK(rect != NULL))
			return;
		rect += strlen("<rect x=\"");
		x[i] = atoi(rect);
	}
	CHECK(x[1] < x[2]);
	CHECK(x[2] < x[0]);
}

static void a_thread_that_waits_for_itself_has_a_loop(void)
{
	auto_free char *svg =
		draw("self", "{\"nodes\":[" NODE("alone", "true") "],\"edges\":[[0,0]]}");

	CHECK_INT(count_of(svg, "class=\"edge\""), 1);
}

static void who_freed_what_the_other_used_has_a_dashed_arrow(void)
{
	auto_free char *svg = draw("freed",
		"{\"nodes\":[" NODE("`store` thread 9", "true") "," NODE("`store` thread 12",
			"true") "],\"edges\":[],\"freed\":[[0,1],[0,0],[0,2]]}");

	CHECK_INT(count_of(svg, "class=\"edge freed\""), 2);
	CHECK_INT(count_of(svg, "class=\"edge\""), 0);
	CHECK_HAS(svg, ".freed{stroke-dasharray:");
}

static void what_a_guest_wrote_is_escaped_and_cut(void)
{
	auto_free char *svg = draw("hostile",
		"{\"nodes\":[{\"who\":\"</text><script>alert(1)</script>\",\"what\":\"\\u0001 & "
		"\\\" "
		"ääääääääääääääääääääääääääääääääääääääääääääää\",\"culprit\":true,\"count\":3,"
		"\"unknown\":\"<b>\"}],\"edges\":[]}");

	CHECK(!strstr(svg, "<script"));
	CHECK(!strstr(svg, "<b>"));
	CHECK_HAS(svg, "&lt;script&gt;");
	CHECK_HAS(svg, "3 &#215; ");
	CHECK_HAS(svg, "&#8230;");
}

static void edges_to_nowhere_are_left_out(void)
{
	auto_free char *svg =
		draw("nowhere", "{\"nodes\":[" NODE("one", "true") "," NODE(
					"two", "false") "],\"edges\":[[0,9],[-1,0],[\"x\",1],5,[1],"
							"[1,0],[0,18446744073709551]]}");

	CHECK_INT(count_of(svg, "class=\"edge\""), 1);
}

static void what_is_no_graph_draws_nothing(void)
{
	static const char *const none[] = {"{}", "[]", "{\"nodes\":5}", "{\"nodes\":[]}"};

	for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
		auto_free char *svg = draw("none", none[i]);

		CHECK_STR(svg, "");
	}
}

static void more_than_is_drawn_is_counted(void)
{
	auto_json json_t *graph = json_pack("{s[] s[] si}", "nodes", "edges", "left_out", 12);
	auto_free char *text = NULL, *svg = NULL;

	for (int i = 0; i < 200; i++) {
		json_array_append_new(json_object_get(graph, "nodes"),
			json_pack("{ss ss}", "who", "waiter", "what", "mutex"));
		json_array_append_new(
			json_object_get(graph, "edges"), json_pack("[ii]", i, i ? i / 2 : 0));
	}
	text = json_dumps(graph, 0);
	svg = draw("many", text);
	CHECK_INT(count_of(svg, "<rect "), GRAPH_SVG_NODES_MAX);
	CHECK_HAS(svg, "and 12 more that wait");
}

CHECK_MAIN(CHECK_CASE(a_cycle_of_two_has_an_edge_each_way_and_both_are_marked),
	CHECK_CASE(who_waits_stands_left_of_whom_it_waits_for),
	CHECK_CASE(a_thread_that_waits_for_itself_has_a_loop),
	CHECK_CASE(who_freed_what_the_other_used_has_a_dashed_arrow),
	CHECK_CASE(what_a_guest_wrote_is_escaped_and_cut),
	CHECK_CASE(edges_to_nowhere_are_left_out), CHECK_CASE(what_is_no_graph_draws_nothing),
	CHECK_CASE(more_than_is_drawn_is_counted))

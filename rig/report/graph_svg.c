#include "report/graph_svg.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "report/markup.h"

#include <string.h>

#define BOX_W	   250
#define BOX_H	   50
#define GAP_X	   70
#define GAP_Y	   22
#define MARGIN	   14
#define WHO_CHARS  30
#define WHAT_CHARS 31
#define BEND	   34 /* how far an edge that leads back swings out */

struct vertex {
	const json_t *json;
	int rank; /* 0: right-most */
	int row;
	bool placed;
};

struct drawing {
	struct vertex at[GRAPH_SVG_NODES_MAX];
	size_t count;
	int from[GRAPH_SVG_EDGES_MAX], to[GRAPH_SVG_EDGES_MAX];
	bool freed[GRAPH_SVG_EDGES_MAX]; /* `to` had freed what `from` used; else it waits for it */
	size_t edge_count;
	int ranks, rows;
};

/* ---- reading ---- */

static void read_nodes(struct drawing *g, const json_t *graph)
{
	const json_t *nodes = json_object_get(graph, "nodes");

	for (size_t i = 0; i < json_array_size(nodes) && i < GRAPH_SVG_NODES_MAX; i++)
		g->at[g->count++].json = json_array_get(nodes, i);
}

static int index_in(const struct drawing *g, const json_t *value)
{
	json_int_t i = json_is_integer(value) ? json_integer_value(value) : -1;

	return i >= 0 && (size_t)i < g->count ? (int)i : -1;
}

static void read_edges(struct drawing *g, const json_t *edges, bool freed)
{
	for (size_t i = 0; i < json_array_size(edges) && g->edge_count < GRAPH_SVG_EDGES_MAX; i++) {
		const json_t *edge = json_array_get(edges, i);
		int from = index_in(g, json_array_get(edge, 0));
		int to = index_in(g, json_array_get(edge, 1));

		if (from < 0 || to < 0)
			continue;
		g->freed[g->edge_count] = freed;
		g->from[g->edge_count] = from;
		g->to[g->edge_count++] = to;
	}
}

/* ---- layers ---- */

static bool is_culprit(const struct vertex *v)
{
	return json_get_bool(v->json, "culprit", false);
}

/* Waiters one rank left of whom they wait for, holders one right; breadth first from `root`. */
static void place_from(struct drawing *g, size_t root, int rank)
{
	int queue[GRAPH_SVG_NODES_MAX];
	size_t head = 0, tail = 0;

	g->at[root].placed = true;
	g->at[root].rank = rank;
	queue[tail++] = (int)root;
	while (head < tail) {
		int at = queue[head++];

		for (size_t i = 0; i < g->edge_count; i++) {
			bool waits = g->from[i] == at;
			int other = waits ? g->to[i] : g->from[i];

			if ((!waits && g->to[i] != at) || g->at[other].placed)
				continue;
			g->at[other].placed = true;
			g->at[other].rank = g->at[at].rank + (waits ? -1 : 1);
			queue[tail++] = other;
		}
	}
}

static void place(struct drawing *g)
{
	int low = 0, filled[2 * GRAPH_SVG_NODES_MAX + 1] = {0};

	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < g->count; i++)
			if (!g->at[i].placed && (pass || is_culprit(&g->at[i])))
				place_from(g, i, 0);
	for (size_t i = 0; i < g->count; i++)
		low = g->at[i].rank < low ? g->at[i].rank : low;
	for (size_t i = 0; i < g->count; i++) {
		g->at[i].rank -= low;
		g->at[i].row = filled[g->at[i].rank]++;
		g->ranks = g->at[i].rank >= g->ranks ? g->at[i].rank + 1 : g->ranks;
		g->rows = g->at[i].row >= g->rows ? g->at[i].row + 1 : g->rows;
	}
}

/* ---- drawing ---- */

static int left_of(const struct drawing *g, int i)
{
	return MARGIN + BEND + (g->ranks - 1 - g->at[i].rank) * (BOX_W + GAP_X);
}

static int top_of(const struct drawing *g, int i)
{
	return MARGIN + BEND + g->at[i].row * (BOX_H + GAP_Y);
}

/* As much of it as the box is wide; the whole is in the box's title. Cuts between UTF-8 characters. */
static void add_cut(struct buf *out, const char *text, size_t max)
{
	auto_free char *part = text_dup_n(text, strnlen(text, max));
	size_t len = strlen(part);

	if (text[len]) {
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
		part[len] = '\0';
	}
	markup_add(out, part);
	if (text[len])
		buf_add_str(out, "&#8230;");
}

static void add_text_at(struct buf *out, int x, int y, const char *style)
{
	buf_addf(out, "<text x=\"%d\" y=\"%d\"%s>", x, y, style);
}

static void add_box(struct buf *out, const struct drawing *g, int i)
{
	const json_t *json = g->at[i].json;
	const char *name = json_get_text(json, "who", "?"), *what = json_get_text(json, "what", "");
	const char *unknown = json_get_text(json, "unknown", NULL);
	int64_t count = json_get_int(json, "count", 1);
	int x = left_of(g, i), y = top_of(g, i);

	buf_add_str(out, "<g><title>");
	markup_add(out, name);
	buf_add_str(out, ": ");
	markup_add(out, what);
	if (unknown) {
		buf_add_str(out, "; owner unknown: ");
		markup_add(out, unknown);
	}
	buf_addf(out,
		"</title><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" "
		"class=\"%s\"/>",
		x, y, BOX_W, BOX_H, is_culprit(&g->at[i]) ? "box culprit" : "box");
	add_text_at(out, x + 10, y + 20, " class=\"who\"");
	if (count > 1)
		buf_addf(out, "%lld &#215; ", (long long)count);
	add_cut(out, name, WHO_CHARS);
	buf_add_str(out, "</text>");
	add_text_at(out, x + 10, y + 38, "");
	add_cut(out, what, WHAT_CHARS);
	buf_add_str(out, unknown ? " (?)</text></g>\n" : "</text></g>\n");
}

/* Forward from the waiter's right side to the holder's left; else in a bow above or below the boxes. */
static void add_edge(struct buf *out, const struct drawing *g, size_t i)
{
	int from = g->from[i], to = g->to[i];
	int x1 = left_of(g, from) + BOX_W, y1 = top_of(g, from) + BOX_H / 2;
	int x2 = left_of(g, to), y2 = top_of(g, to) + BOX_H / 2, half = GAP_X / 2;

	buf_addf(out, "<path class=\"edge%s\" ", g->freed[i] ? " freed" : "");
	if (g->at[to].rank < g->at[from].rank) {
		buf_addf(out, "d=\"M%d %d C%d %d %d %d %d %d\"/>\n", x1, y1, x1 + half, y1,
			x2 - half, y2, x2, y2);
	} else if (from == to) {
		buf_addf(out, "d=\"M%d %d C%d %d %d %d %d %d\"/>\n", x1 - BOX_W / 4, y1 - BOX_H / 2,
			x1 - BOX_W / 4, y1 - BOX_H / 2 - BEND, x2 + BOX_W / 4,
			y2 - BOX_H / 2 - BEND, x2 + BOX_W / 4, y2 - BOX_H / 2);
	} else if (g->at[to].rank == g->at[from].rank) {
		buf_addf(out, "d=\"M%d %d C%d %d %d %d %d %d\"/>\n", x2, y1, x2 - BEND, y1,
			x2 - BEND, y2, x2, y2);
	} else { /* back, over the top */
		buf_addf(out, "d=\"M%d %d C%d %d %d %d %d %d\"/>\n", x1 - BOX_W / 2, y1 - BOX_H / 2,
			x1 - BOX_W / 2, y1 - BOX_H / 2 - BEND - 8, x2 + BOX_W / 2,
			y2 - BOX_H / 2 - BEND - 8, x2 + BOX_W / 2, y2 - BOX_H / 2);
	}
}

static const char style[] =
	"<style>.box{fill:none;stroke:currentColor;stroke-width:1.2}"
	".culprit{stroke:#c62828;stroke-width:2.5}"
	".edge{fill:none;stroke:currentColor;stroke-width:1.4;marker-end:url(#wait-for)}"
	".freed{stroke-dasharray:6 4}"
	"text{font:12px ui-monospace,monospace;fill:currentColor}.who{font-weight:700}</style>\n"
	"<defs><marker id=\"wait-for\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" "
	"markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 L10 5 L0 10 z\" "
	"fill=\"currentColor\"/></marker></defs>\n";

bool graph_svg(const json_t *graph, struct buf *out)
{
	struct drawing g = {0};
	int64_t left_out = json_get_int(graph, "left_out", 0);
	int width, height;

	read_nodes(&g, graph);
	if (!g.count)
		return false;
	read_edges(&g, json_object_get(graph, "edges"), false);
	read_edges(&g, json_object_get(graph, "freed"), true);
	place(&g);
	width = 2 * (MARGIN + BEND) + g.ranks * BOX_W + (g.ranks - 1) * GAP_X;
	height = MARGIN * 2 + BEND + g.rows * (BOX_H + GAP_Y) + (left_out > 0 ? 18 : 0);
	buf_addf(out,
		"<svg viewBox=\"0 0 %d %d\" width=\"%d\" "
		"height=\"%d\" role=\"img\" aria-label=\"wait-for graph\">\n%s",
		width, height, width, height, style);
	for (size_t i = 0; i < g.edge_count; i++)
		add_edge(out, &g, i);
	for (size_t i = 0; i < g.count; i++)
		add_box(out, &g, (int)i);
	if (left_out > 0) {
		add_text_at(out, MARGIN + BEND, height - MARGIN, "");
		buf_addf(out, "and %lld more that wait</text>\n", (long long)left_out);
	}
	buf_add_str(out, "</svg>\n");
	return true;
}

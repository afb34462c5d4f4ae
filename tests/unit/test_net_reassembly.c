#include "tests/check/check.h"
#include "tests/fake/wire_gen.h"

#include "net/reassembly.h"

#include <pcap/dlt.h>
#include <string.h>

/* What a reassembly told, as text: "open|C hello|gap S 5|fin C|close fin|" */
struct tape {
	struct gen gen;
	struct gen_conn conn;
	struct buf text;
	struct reassembly_stats most;
	size_t opened, closed;
	int finished;
};

static void on_open(void *arg, struct flow *flow, int64_t ns)
{
	struct tape *tape = arg;

	(void)ns;
	tape->opened++;
	buf_addf(&tape->text, "open%s|", flow->midstream ? " midstream" : "");
}

static char side_letter(enum flow_side side)
{
	return side == FLOW_CLIENT ? 'C' : 'S';
}

static void on_data(void *arg, struct flow *flow, enum flow_side from, const uint8_t *bytes,
	size_t len, int64_t ns)
{
	struct tape *tape = arg;

	(void)flow;
	(void)ns;
	buf_addf(&tape->text, "%c ", side_letter(from));
	buf_add(&tape->text, bytes, len);
	buf_addc(&tape->text, '|');
}

static void on_gap(void *arg, struct flow *flow, enum flow_side from, uint64_t bytes, int64_t ns)
{
	struct tape *tape = arg;

	(void)flow;
	(void)ns;
	buf_addf(&tape->text, "gap %c %llu|", side_letter(from), (unsigned long long)bytes);
}

static void on_fin(void *arg, struct flow *flow, enum flow_side from, int64_t ns)
{
	struct tape *tape = arg;

	(void)flow;
	(void)ns;
	buf_addf(&tape->text, "fin %c|", side_letter(from));
}

static void on_close(void *arg, struct flow *flow, enum flow_end end, int64_t ns)
{
	struct tape *tape = arg;

	(void)ns;
	tape->closed++;
	buf_addf(&tape->text, "close %s%s|", flow_end_name(end), flow->overlaps ? " overlaps" : "");
}

static bool is_server(void *arg, const struct endpoint *endpoint)
{
	(void)arg;
	return endpoint->port == 25;
}

static void on_finish(void *arg)
{
	struct tape *tape = arg;

	tape->finished++;
}

static const struct reassembly_ops ops = {
	on_open, on_data, on_gap, on_fin, on_close, is_server, on_finish};

static struct tape *tape_new(void)
{
	struct tape *tape = mem_zero(1, sizeof(*tape));

	gen_init(&tape->gen, DLT_EN10MB);
	tape->conn = gen_conn(1, 25, false);
	return tape;
}

static void play(struct tape *tape)
{
	struct decoder *decoder = decoder_new(tape->gen.link_type);
	struct reassembly *reassembly = reassembly_new(&ops, tape);
	struct segment segment;

	for (size_t i = 0; i < tape->gen.count; i++) {
		const struct gen_frame *frame = &tape->gen.frames[i];
		struct reassembly_stats stats;

		if (decoder_frame(decoder, (const uint8_t *)frame->bytes.data, frame->captured,
			    frame->bytes.len, &segment))
			reassembly_segment(reassembly, &segment, frame->ns);
		stats = reassembly_stats(reassembly);
		if (stats.flows > tape->most.flows)
			tape->most.flows = stats.flows;
		if (stats.held_bytes > tape->most.held_bytes)
			tape->most.held_bytes = stats.held_bytes;
	}
	reassembly_finish(reassembly);
	CHECK_INT(reassembly_stats(reassembly).held_bytes, 0);
	CHECK_INT(tape->finished, 1);
	reassembly_free(reassembly);
	decoder_free(decoder);
}

static void play_and_check(struct tape *tape, const char *want)
{
	play(tape);
	CHECK_STR(buf_text(&tape->text), want);
	gen_free(&tape->gen);
	buf_free(&tape->text);
	free(tape);
}

static void raw(struct tape *tape, enum gen_side from, int offset, const char *text)
{
	gen_raw(&tape->gen, &tape->conn, from, TCP_ACK, tape->conn.seq[from] + (uint32_t)offset,
		tape->conn.seq[!from], text, strlen(text));
}

static void later(struct tape *tape)
{
	tape->gen.ns += INT64_C(1000000000);
}

static void tells_both_directions_in_order(void)
{
	struct tape *t = tape_new();

	gen_open(&t->gen, &t->conn);
	gen_text(&t->gen, &t->conn, GEN_SERVER, "220");
	gen_text(&t->gen, &t->conn, GEN_CLIENT, "QUIT");
	gen_close(&t->gen, &t->conn);
	play_and_check(t, "open|S 220|C QUIT|fin C|fin S|close fin|");
}

static void drops_what_was_sent_again_and_puts_in_order(void)
{
	struct tape *t = tape_new();

	gen_open(&t->gen, &t->conn);
	raw(t, GEN_CLIENT, 3, "def");
	raw(t, GEN_CLIENT, 0, "abc");
	raw(t, GEN_CLIENT, 0, "abc");
	raw(t, GEN_CLIENT, 6, "ghi");
	t->conn.seq[GEN_CLIENT] += 9;
	gen_close(&t->gen, &t->conn);
	play_and_check(t, "open|C abc|C def|C ghi|fin C|fin S|close fin|");
}

static void keeps_the_first_of_overlapping_bytes_and_counts(void)
{
	struct tape *t = tape_new();

	gen_open(&t->gen, &t->conn);
	raw(t, GEN_CLIENT, 0, "abc");
	raw(t, GEN_CLIENT, 1, "XYd");
	raw(t, GEN_CLIENT, 6, "gh");
	raw(t, GEN_CLIENT, 4, "efGHi");
	t->conn.seq[GEN_CLIENT] += 9;
	gen_close(&t->gen, &t->conn);
	play_and_check(t, "open|C abc|C d|C ef|C gh|C i|fin C|fin S|close fin overlaps|");
}

static void tells_a_gap_once_the_receiver_has_what_the_capture_lacks(void)
{
	struct tape *t = tape_new();

	gen_open(&t->gen, &t->conn);
	gen_text(&t->gen, &t->conn, GEN_CLIENT, "abc");
	t->conn.seq[GEN_CLIENT] += 10;
	gen_text(&t->gen, &t->conn, GEN_CLIENT, "xyz");
	gen_ack(&t->gen, &t->conn, GEN_SERVER);
	later(t);
	gen_text(&t->gen, &t->conn, GEN_CLIENT, "more");
	gen_close(&t->gen, &t->conn);
	play_and_check(t, "open|C abc|gap C 10|C xyz|C more|fin C|fin S|close fin|");
}

static void waits_for_a_hole_that_nobody_acknowledged(void)
{
	struct tape *t = tape_new();

	gen_open(&t->gen, &t->conn);
	raw(t, GEN_CLIENT, 3, "def");
	later(t);
	gen_raw(&t->gen, &t->conn, GEN_SERVER, TCP_ACK, t->conn.seq[1], t->conn.seq[0], NULL, 0);
	later(t);
	raw(t, GEN_CLIENT, 0, "abc");
	t->conn.seq[GEN_CLIENT] += 6;
	gen_close(&t->gen, &t->conn);
	play_and_check(t, "open|C abc|C def|fin C|fin S|close fin|");
}

static void tells_holes_as_gaps_at_the_end(void)
{
	struct tape *t = tape_new();

	gen_open(&t->gen, &t->conn);
	raw(t, GEN_CLIENT, 3, "def");
	raw(t, GEN_CLIENT, 9, "jkl");
	play_and_check(t, "open|gap C 3|C def|gap C 3|C jkl|close open|");
}

static void lets_no_reply_overtake_its_command(void)
{
	struct tape *t = tape_new();

	gen_open(&t->gen, &t->conn);
	gen_text(&t->gen, &t->conn, GEN_CLIENT, "command");
	gen_text(&t->gen, &t->conn, GEN_SERVER, "reply");
	gen_swap(&t->gen, 3, 4);
	gen_close(&t->gen, &t->conn);
	play_and_check(t, "open|C command|S reply|fin C|fin S|close fin|");
}

static void tells_half_open_refused_half_closed_and_reset(void)
{
	struct tape *t = tape_new();
	struct gen_conn other = gen_conn(2, 25, true), third = gen_conn(3, 25, false);

	gen_raw(&t->gen, &t->conn, GEN_CLIENT, TCP_SYN, t->conn.seq[0]++, 0, NULL, 0);
	gen_raw(&t->gen, &other, GEN_CLIENT, TCP_SYN, other.seq[0]++, 0, NULL, 0);
	gen_raw(&t->gen, &other, GEN_SERVER, TCP_RST | TCP_ACK, 0, other.seq[0], NULL, 0);
	gen_open(&t->gen, &third);
	gen_fin(&t->gen, &third, GEN_CLIENT);
	gen_text(&t->gen, &third, GEN_SERVER, "still");
	play_and_check(
		t, "open|close refused|open|fin C|S still|open|close half-open|close half-closed|");
}

static void ignores_a_reset_far_outside_the_stream(void)
{
	struct tape *t = tape_new();

	gen_open(&t->gen, &t->conn);
	gen_raw(&t->gen, &t->conn, GEN_SERVER, TCP_RST, t->conn.seq[1] + 500000000, 0, NULL, 0);
	gen_text(&t->gen, &t->conn, GEN_CLIENT, "on");
	gen_reset(&t->gen, &t->conn, GEN_SERVER);
	gen_text(&t->gen, &t->conn, GEN_CLIENT, "late");
	play_and_check(t, "open|C on|close reset|");
}

static void begins_in_the_middle_and_finds_the_server_by_its_port(void)
{
	struct tape *t = tape_new();

	gen_ack(&t->gen, &t->conn, GEN_CLIENT); /* nothing to begin with */
	gen_text(&t->gen, &t->conn, GEN_SERVER, "250");
	gen_text(&t->gen, &t->conn, GEN_CLIENT, "QUIT");
	play_and_check(t, "open midstream|S 250|C QUIT|close open|");
}

static void tells_a_gap_of_unknown_size_where_the_answer_to_the_syn_is_missing(void)
{
	struct tape *t = tape_new();

	gen_open(&t->gen, &t->conn);
	gen_drop(&t->gen, 2);
	gen_drop(&t->gen, 1);
	t->conn.seq[GEN_SERVER] += 25; /* the greeting, lost too */
	gen_text(&t->gen, &t->conn, GEN_CLIENT, "EHLO");
	gen_text(&t->gen, &t->conn, GEN_SERVER, "250");
	gen_close(&t->gen, &t->conn);
	play_and_check(t, "open|gap S 0|C EHLO|S 250|fin C|fin S|close fin|");
}

static void sees_ports_used_again(void)
{
	struct tape *t = tape_new();
	struct gen_conn again = t->conn;

	gen_open(&t->gen, &t->conn);
	gen_text(&t->gen, &t->conn, GEN_CLIENT, "one");
	again.seq[0] += 1000000;
	gen_open(&t->gen, &again);
	gen_text(&t->gen, &again, GEN_CLIENT, "two");
	gen_close(&t->gen, &again);
	play_and_check(t, "open|C one|close reused|open|C two|fin C|fin S|close fin|");
}

static void takes_bytes_cut_by_the_snap_length_for_a_gap(void)
{
	struct tape *t = tape_new();

	gen_open(&t->gen, &t->conn);
	gen_text(&t->gen, &t->conn, GEN_CLIENT, "abcdefghij");
	t->gen.frames[3].captured -= 6;
	gen_ack(&t->gen, &t->conn, GEN_SERVER);
	later(t);
	gen_text(&t->gen, &t->conn, GEN_CLIENT, "more");
	gen_close(&t->gen, &t->conn);
	play_and_check(t, "open|C abcd|gap C 6|C more|fin C|fin S|close fin|");
}

static void survives_sequence_numbers_that_wrap(void)
{
	struct tape *t = tape_new();

	t->conn.seq[0] = UINT32_MAX - 2;
	t->conn.seq[1] = UINT32_MAX;
	gen_open(&t->gen, &t->conn);
	raw(t, GEN_CLIENT, 2, "cd");
	raw(t, GEN_CLIENT, 0, "ab");
	t->conn.seq[GEN_CLIENT] += 4;
	gen_text(&t->gen, &t->conn, GEN_SERVER, "ok");
	gen_close(&t->gen, &t->conn);
	play_and_check(t, "open|C ab|C cd|S ok|fin C|fin S|close fin|");
}

static void forgets_the_oldest_of_many_half_open_connections(void)
{
	struct tape *t = tape_new();
	const size_t syns = 100000;

	for (unsigned int n = 0; n < syns; n++) {
		struct gen_conn conn = gen_conn(n, 25, false);

		gen_raw(&t->gen, &conn, GEN_CLIENT, TCP_SYN, conn.seq[0], 0, NULL, 0);
	}
	play(t);
	CHECK_INT(t->opened, syns);
	CHECK_INT(t->closed, syns);
	CHECK(t->most.flows <= 65536);
	gen_free(&t->gen);
	buf_free(&t->text);
	free(t);
}

/* One connection sends everything but its first byte: too much to hold. */
static void gives_up_a_hole_when_too_much_waits_behind_it(void)
{
	struct tape *t = tape_new();
	char chunk[1400];

	memset(chunk, 'x', sizeof(chunk));
	gen_open(&t->gen, &t->conn);
	for (uint32_t at = 1; at < FLOW_HELD_MAX + 100000; at += sizeof(chunk))
		gen_raw(&t->gen, &t->conn, GEN_CLIENT, TCP_ACK, t->conn.seq[0] + at, t->conn.seq[1],
			chunk, sizeof(chunk));
	play(t);
	CHECK_HAS(buf_text(&t->text), "open|gap C 1|C xxx");
	CHECK(t->most.held_bytes <= FLOW_HELD_MAX);
	gen_free(&t->gen);
	buf_free(&t->text);
	free(t);
}

/* Many connections do, and none of them too much. */
static void bounds_what_all_connections_hold_together(void)
{
	struct tape *t = tape_new();
	char chunk[1400];

	memset(chunk, 'x', sizeof(chunk));
	for (unsigned int n = 0; n < 40; n++) {
		struct gen_conn conn = gen_conn(n, 25, false);

		gen_open(&t->gen, &conn);
		for (uint32_t at = 1; at < (2u << 20); at += sizeof(chunk))
			gen_raw(&t->gen, &conn, GEN_CLIENT, TCP_ACK, conn.seq[0] + at, conn.seq[1],
				chunk, sizeof(chunk));
	}
	play(t);
	CHECK(t->most.held_bytes <= HELD_MAX);
	CHECK_INT(t->closed, 40);
	gen_free(&t->gen);
	buf_free(&t->text);
	free(t);
}

CHECK_MAIN(CHECK_CASE(tells_both_directions_in_order),
	CHECK_CASE(drops_what_was_sent_again_and_puts_in_order),
	CHECK_CASE(keeps_the_first_of_overlapping_bytes_and_counts),
	CHECK_CASE(tells_a_gap_once_the_receiver_has_what_the_capture_lacks),
	CHECK_CASE(waits_for_a_hole_that_nobody_acknowledged),
	CHECK_CASE(tells_holes_as_gaps_at_the_end), CHECK_CASE(lets_no_reply_overtake_its_command),
	CHECK_CASE(tells_half_open_refused_half_closed_and_reset),
	CHECK_CASE(ignores_a_reset_far_outside_the_stream),
	CHECK_CASE(begins_in_the_middle_and_finds_the_server_by_its_port),
	CHECK_CASE(tells_a_gap_of_unknown_size_where_the_answer_to_the_syn_is_missing),
	CHECK_CASE(sees_ports_used_again), CHECK_CASE(takes_bytes_cut_by_the_snap_length_for_a_gap),
	CHECK_CASE(survives_sequence_numbers_that_wrap),
	CHECK_CASE(forgets_the_oldest_of_many_half_open_connections),
	CHECK_CASE(gives_up_a_hole_when_too_much_waits_behind_it),
	CHECK_CASE(bounds_what_all_connections_hold_together))

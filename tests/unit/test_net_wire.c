#include "tests/check/check.h"
#include "tests/fake/tls_gen.h"
#include "tests/unit/net_tell.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/proc.h"
#include "net/capture.h"
#include "net/tls_keys.h"
#include "net/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/dlt.h>
#include <pthread.h>

#define WAIT_MS 20000

/* What a wire told, behind a lock of its own. */
struct told {
	pthread_mutex_t lock;
	struct buf text;
	int64_t last_ns;
};

struct fixture {
	struct told told;
	struct wire *wire;
	char *fifo, *file;
	int writer;
};

static const struct dialogue_port ports[] = {
	{25, DIALOGUE_PROTOCOL_SMTP, "edge"}, {24, DIALOGUE_PROTOCOL_LMTP, "inner"}};

static void on_event(void *arg, const struct dialogue_event *event)
{
	struct told *told = arg;

	pthread_mutex_lock(&told->lock);
	tell_event(&told->text, event);
	told->last_ns = event->ns;
	pthread_mutex_unlock(&told->lock);
}

static int64_t cell_clock(void *arg, int64_t mono_ns)
{
	return mono_ns - *(int64_t *)arg;
}

static struct fixture *set_up(int64_t *epoch_ns)
{
	static const struct wire_name names[] = {{"10.1.0.1", "store.rig"}, {NULL, NULL}};
	struct fixture *f = mem_zero(1, sizeof(*f));
	const char *dir = check_dir();
	struct wire_config config = {
		.ports = ports,
		.port_count = 2,
		.fn = on_event,
		.arg = &f->told,
		.clock_ns = epoch_ns ? cell_clock : NULL,
		.clock_arg = epoch_ns,
		.names = names,
		.comment = "cell x.y.1",
	};
	struct err err = {0};

	pthread_mutex_init(&f->told.lock, NULL);
	config.fifo_path = f->fifo = path_join(dir, "wire.fifo");
	config.capture_path = f->file = path_join(dir, "wire.pcapng");
	if (!CHECK_INT(wire_open(&f->wire, &config, &err), 0))
		fprintf(stderr, "%s\n", err.text);
	f->writer = open(f->fifo, O_WRONLY | O_CLOEXEC);
	CHECK(f->writer >= 0);
	return f;
}

static void tear_down(struct fixture *f)
{
	CHECK_INT(wire_close(f->wire, NULL), 0);
	CHECK(!fs_exists(f->fifo));
	if (f->writer >= 0)
		close(f->writer);
	pthread_mutex_destroy(&f->told.lock);
	buf_free(&f->told.text);
	free(f->fifo);
	free(f->file);
	free(f);
}

static char *told(struct fixture *f)
{
	char *text;

	pthread_mutex_lock(&f->told.lock);
	text = text_dup(buf_text(&f->told.text));
	pthread_mutex_unlock(&f->told.lock);
	return text;
}

/* As QEMU's filter-dump writes: classic pcap with microseconds, stamps of no use. */
static void write_head(struct fixture *f)
{
	uint32_t head[6] = {0xa1b2c3d4, 4 << 16 | 2, 0, 0, 65536, 1};

	CHECK_INT(io_write_all(f->writer, head, sizeof(head), deadline_in_ms(WAIT_MS), NULL), 0);
}

static void write_frames(struct fixture *f, const struct gen *gen, size_t from)
{
	auto_buf struct buf out = {0};

	for (size_t i = from; i < gen->count; i++) {
		uint32_t size = (uint32_t)gen->frames[i].bytes.len;
		uint32_t packet[4] = {7, 7, size, size};

		buf_add(&out, packet, sizeof(packet));
		buf_add(&out, gen->frames[i].bytes.data, size);
	}
	CHECK_INT(io_write_all(f->writer, out.data, out.len, deadline_in_ms(WAIT_MS), NULL), 0);
}

static void half_a_delivery(struct gen *gen, struct gen_conn *conn)
{
	*conn = gen_conn(1, 25, false);
	gen_init(gen, 1);
	gen_open(gen, conn);
	gen_text(gen, conn, GEN_SERVER, "220 hi\r\n");
	gen_text(gen, conn, GEN_CLIENT, "EHLO me\r\n");
	gen_text(gen, conn, GEN_SERVER, "250 b\r\n");
	gen_text(gen, conn, GEN_CLIENT, "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n");
	gen_text(gen, conn, GEN_SERVER, "250 1\r\n250 2\r\n354 3\r\n");
	gen_text(gen, conn, GEN_CLIENT, "X-Mailrig-Token: t1\r\n\r\nhello\r\n.\r\n");
}

static void tells_dialogues_while_frames_arrive_and_what_is_owed(void)
{
	struct fixture *f = set_up(NULL);
	auto_free char *first = NULL;
	auto_free char *second = NULL;
	struct owed owed[4];
	struct gen gen;
	struct gen_conn conn;
	int64_t before_ns = clock_mono_ns();
	size_t sent;

	half_a_delivery(&gen, &conn);
	write_head(f);
	write_frames(f, &gen, 0);
	sent = gen.count;
	CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
	first = told(f);
	CHECK_HAS(first, "[smtp/dot]");
	CHECK(f->told.last_ns >= before_ns && f->told.last_ns <= clock_mono_ns());
	CHECK_INT(wire_owed(f->wire, owed, 4), 1);
	CHECK_STR(owed[0].verb, ".");
	CHECK_STR(owed[0].token, "t1");
	CHECK_STR(owed[0].hop, "edge");
	CHECK(owed[0].since_ns >= before_ns);

	gen_text(&gen, &conn, GEN_SERVER, "250 queued\r\n");
	write_frames(f, &gen, sent);
	CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
	second = told(f);
	CHECK_HAS(second, "attempt t1 <a@x> to <b@y> 2yz");
	CHECK_INT(wire_owed(f->wire, owed, 4), 0);
	CHECK_INT(wire_frames(f->wire), gen.count);
	CHECK_INT(wire_dropped(f->wire), 0);
	gen_free(&gen);
	tear_down(f);
}

static void maps_times_to_the_cell_clock(void)
{
	int64_t epoch_ns = clock_mono_ns();
	struct fixture *f = set_up(&epoch_ns);
	struct gen gen;
	struct gen_conn conn;

	half_a_delivery(&gen, &conn);
	write_head(f);
	write_frames(f, &gen, 0);
	CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
	CHECK(f->told.last_ns > 0 && f->told.last_ns <= clock_mono_ns() - epoch_ns);
	gen_free(&gen);
	tear_down(f);
}

static void takes_a_second_writer_after_the_first_is_gone(void)
{
	struct fixture *f = set_up(NULL);
	auto_free char *text = NULL;
	struct gen gen;
	struct gen_conn conn;

	half_a_delivery(&gen, &conn);
	write_head(f);
	write_frames(f, &gen, 0);
	CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
	close(f->writer);
	f->writer = -1;
	CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
	f->writer = open(f->fifo, O_WRONLY | O_CLOEXEC);
	write_head(f);
	gen_reset(&gen, &conn, GEN_SERVER);
	write_frames(f, &gen, gen.count - 1);
	CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
	text = told(f);
	CHECK_HAS(text, "to <b@y> none");
	CHECK_HAS(text, "closed reset");
	gen_free(&gen);
	tear_down(f);
}

static void takes_a_writer_after_one_that_said_nothing(void)
{
	struct fixture *f = set_up(NULL);
	struct gen gen;
	struct gen_conn conn;

	close(f->writer);
	CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
	f->writer = open(f->fifo, O_WRONLY | O_CLOEXEC);
	half_a_delivery(&gen, &conn);
	write_head(f);
	write_frames(f, &gen, 0);
	CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
	CHECK_INT(wire_frames(f->wire), gen.count);
	gen_free(&gen);
	tear_down(f);
}

static void survives_a_writer_of_nonsense(void)
{
	struct fixture *f = set_up(NULL);
	char junk[4096];

	memset(junk, 'x', sizeof(junk));
	CHECK_INT(io_write_all(f->writer, junk, sizeof(junk), deadline_in_ms(WAIT_MS), NULL), 0);
	CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
	CHECK_INT(wire_frames(f->wire), 0);
	tear_down(f);
}

static void closes_while_the_writer_goes_on(void)
{
	struct fixture *f = set_up(NULL);
	struct gen gen;
	struct gen_conn conn;

	half_a_delivery(&gen, &conn);
	write_head(f);
	write_frames(f, &gen, 0);
	gen_free(&gen);
	tear_down(f); /* the writer's end is still open */
}

static char *run(char *const *argv)
{
	auto_buf struct buf out = {0};
	struct err err = {0};

	if (proc_run(argv, deadline_in_ms(60000), &out, 1 << 20, &err))
		fprintf(stderr, "%s: %s\n", argv[0], err.text);
	return buf_steal(&out);
}

static bool installed(const char *tool)
{
	auto_free char *path = text_fmt("/usr/bin/%s", tool);

	return fs_exists(path);
}

static void writes_a_file_that_wireshark_reads(void)
{
	struct fixture *f = set_up(NULL);
	auto_free char *path = text_fmt("%s.keep", f->file);
	auto_free char *info = NULL;
	auto_free char *comments = NULL;
	auto_free char *names = NULL;
	struct gen gen;
	struct gen_conn conn;

	half_a_delivery(&gen, &conn);
	write_head(f);
	write_frames(f, &gen, 0);
	CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
	wire_mark(f->wire, "fault freeze-fs fired");
	gen_free(&gen);
	CHECK_INT(link(f->file, path), 0);
	tear_down(f);
	if (!installed("capinfos") || !installed("tshark")) {
		check_skip("capinfos and tshark are not installed");
		return;
	}
	info = run((char *const[]){"capinfos", "-M", path, NULL});
	CHECK_HAS(info, "pcapng");
	CHECK_HAS(info, "Number of packets:   10");
	CHECK_HAS(info, "cell x.y.1");
	comments = run((char *const[]){"tshark", "-r", path, "-Y", "frame.comment", "-T", "fields",
		"-e", "frame.comment", NULL});
	CHECK_STR(comments, "fault freeze-fs fired\n");
	names = run((char *const[]){"tshark", "-N", "n", "-r", path, "-Y", "smtp.req.command==EHLO",
		"-T", "fields", "-e", "ip.dst_host", NULL});
	CHECK_STR(names, "store.rig\n");
}

static void sees_only_what_its_filter_lets_through(void)
{
	const char *dir = check_dir();
	auto_free char *fifo = path_join(dir, "f.fifo");
	auto_free char *file = path_join(dir, "f.pcapng");
	struct told told_here = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct wire_config config = {.fifo_path = fifo,
		.capture_path = file,
		.ports = ports,
		.port_count = 2,
		.filter = "tcp prot 25",
		.fn = on_event,
		.arg = &told_here};
	struct gen_conn mail = gen_conn(1, 25, false), other = gen_conn(2, 8080, false);
	struct fixture f = {0};
	struct err err = {0};
	struct gen gen;

	CHECK_INT(wire_open(&f.wire, &config, &err), -EINVAL);
	CHECK_HAS(err.text, "filter 'tcp prot 25': ");
	config.filter = "tcp port 25";
	CHECK_INT(wire_open(&f.wire, &config, &err), 0);
	f.writer = open(fifo, O_WRONLY | O_CLOEXEC);
	gen_init(&gen, DLT_EN10MB);
	gen_open(&gen, &mail);
	gen_open(&gen, &other);
	gen_text(&gen, &mail, GEN_SERVER, "220 hi\r\n");
	gen_text(&gen, &other, GEN_CLIENT, "GET / HTTP/1.0\r\n\r\n");
	write_head(&f);
	write_frames(&f, &gen, 0);
	CHECK_INT(wire_flush(f.wire, deadline_in_ms(WAIT_MS)), 0);
	CHECK_INT(wire_frames(f.wire), 4);
	CHECK_HAS(buf_text(&told_here.text), "220");
	CHECK_INT(wire_close(f.wire, &err), 0);
	close(f.writer);
	gen_free(&gen);
	buf_free(&told_here.text);
}

/* ---- TLS: frames and secrets come by two ways ---- */

static const struct tls_way tls_ways[] = {
	{"1.2", false, "ECDHE-ECDSA-AES256-GCM-SHA384", .bare = false},
	{"1.3", true, "TLS_AES_256_GCM_SHA384", .bare = false},
};

static void a_delivery_in_tls(struct gen *gen, const struct tls_way *way, struct buf *keys)
{
	static const char *const lines[] = {"220 hi\r\n", "EHLO me\r\n", "250 x\r\n",
		"MAIL FROM:<a@x>\r\n", "250 ok\r\n", "RCPT TO:<b@y>\r\n", "250 ok\r\n", "DATA\r\n",
		"354 go\r\n", "X-Mailrig-Token: t1\r\n\r\nhi\r\n.\r\n", "250 queued\r\n",
		"QUIT\r\n", "221 bye\r\n"};
	struct turn turns[ARRAY_SIZE(lines)];
	struct talk talk = {MAIL_SMTP, turns, ARRAY_SIZE(lines), ARRAY_SIZE(lines), {0}}, sealed;
	struct gen_conn conn = gen_conn(1, 25, false);

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		turns[i] = (struct turn){i % 2 ? GEN_CLIENT : GEN_SERVER,
			{.data = (char *)(uintptr_t)lines[i], .len = strlen(lines[i])}};
	tls_wrap(&talk, way, &sealed, keys);
	gen_init(gen, DLT_EN10MB);
	gen_open(gen, &conn);
	for (size_t i = 0; i < sealed.count; i++)
		gen_send(gen, &conn, sealed.turns[i].from, sealed.turns[i].bytes.data,
			sealed.turns[i].bytes.len);
	gen_close(gen, &conn);
	talk_free(&sealed);
}

static void tell_keys(struct fixture *f, struct buf *keys)
{
	for (char *line = strtok(keys->data, "\n"); line; line = strtok(NULL, "\n"))
		wire_keys(f->wire, line);
}

static void tells_what_tls_carries_once_the_secrets_come(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(tls_ways); i++) {
		struct fixture *f = set_up(NULL);
		auto_free char *before = NULL;
		auto_free char *after = NULL;
		auto_buf struct buf keys = {0};
		struct gen gen;

		a_delivery_in_tls(&gen, &tls_ways[i], &keys);
		write_head(f);
		write_frames(f, &gen, 0);
		wire_keys(f->wire, "CLIENT_RANDOM 00 nonsense");
		CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
		before = told(f);
		CHECK_HAS(before, "1 tls\n");
		CHECK(!strstr(before, "attempt"));
		CHECK(!strstr(before, "closed")); /* it is over, and not told before what it held */
		tell_keys(f, &keys);
		CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
		after = told(f);
		CHECK_HAS(after, "attempt t1 <a@x> to <b@y> 2yz");
		CHECK_HAS(after, "1 closed fin\n");
		gen_free(&gen);
		tear_down(f);
	}
}

/* What this file says of mail, by our own reader. */
static char *read_again(const char *path)
{
	struct capture *capture;
	struct buf out = {0};
	struct dialogue_set *set = dialogue_set_new(ports, 2, false, tell_event, &out);
	struct reassembly *reassembly = reassembly_new(&dialogue_reassembly_ops, set);
	struct decoder *decoder = decoder_new(DLT_EN10MB);
	struct segment segment;
	struct frame frame;

	if (CHECK_INT(capture_open_file(&capture, path, NULL), 0)) {
		dialogue_set_keys(set, capture_keys(capture));
		while (capture_next(capture, &frame, NULL) == 1)
			if (decoder_frame(decoder, frame.data, frame.captured, frame.len, &segment))
				reassembly_segment(reassembly, &segment, frame.ns);
	}
	reassembly_finish(reassembly);
	reassembly_free(reassembly);
	dialogue_set_free(set);
	decoder_free(decoder);
	capture_close(capture);
	return buf_steal(&out);
}

static void keeps_the_secrets_in_front_of_the_frames(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(tls_ways); i++) {
		struct fixture *f = set_up(NULL);
		auto_free char *path = text_dup(f->file);
		auto_free char *shown = NULL;
		auto_free char *ours = NULL;
		auto_free char *marks = NULL;
		auto_buf struct buf keys = {0};
		struct gen gen;

		a_delivery_in_tls(&gen, &tls_ways[i], &keys);
		write_head(f);
		write_frames(f, &gen, 0);
		CHECK_INT(wire_flush(f->wire, deadline_in_ms(WAIT_MS)), 0);
		tell_keys(f, &keys); /* behind all frames */
		wire_mark(f->wire, "the end");
		gen_free(&gen);
		tear_down(f);
		ours = read_again(path);
		CHECK_HAS(ours, "attempt t1 <a@x> to <b@y> 2yz");
		if (!installed("tshark")) {
			check_skip("tshark is not installed");
			return;
		}
		shown = run((char *const[]){"tshark", "-r", path, "-Y", "smtp.req.command", "-T",
			"fields", "-e", "smtp.req.command", NULL});
		CHECK_STR(shown, "EHLO\nSTAR\nEHLO\nMAIL\nRCPT\nDATA\nQUIT\n");
		marks = run((char *const[]){"tshark", "-r", path, "-Y", "frame.comment", "-T",
			"fields", "-e", "frame.comment", NULL});
		CHECK_STR(marks, "the end\n");
	}
}

CHECK_MAIN(CHECK_CASE(tells_dialogues_while_frames_arrive_and_what_is_owed),
	CHECK_CASE(maps_times_to_the_cell_clock),
	CHECK_CASE(takes_a_second_writer_after_the_first_is_gone),
	CHECK_CASE(takes_a_writer_after_one_that_said_nothing),
	CHECK_CASE(survives_a_writer_of_nonsense), CHECK_CASE(closes_while_the_writer_goes_on),
	CHECK_CASE(writes_a_file_that_wireshark_reads),
	CHECK_CASE(sees_only_what_its_filter_lets_through),
	CHECK_CASE(tells_what_tls_carries_once_the_secrets_come),
	CHECK_CASE(keeps_the_secrets_in_front_of_the_frames))

/*
 * `mailrig wire` on what people feed it by mistake: a clear sentence or a marked gap, JSON that is whole, an exit
 * code; and live, on the loopback interface.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"
#include "tests/check/check.h"
#include "tests/fake/wire_gen.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/dlt.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS	      60000
#define LOOK_MS	      400
#define OUTPUT_MAX    (64u << 20)
#define HALF_OPEN     100000u
#define MEMORY_MAX_KB (512 << 10)
#define TROUBLE	      16
#define MAIL_BYTES    20000
#define FILE_HEAD     24 /* of pcap */
#define RECORD_HEAD   16

#ifdef __SANITIZE_ADDRESS__
#define SLACK_KB (384 << 10) /* it keeps what was freed, up to a bound of its own */
#else
#define SLACK_KB 4096
#endif

static char *program(void)
{
	const char *slash = strrchr(program_invocation_name, '/');

	return text_fmt(
		"%.*s/../mailrig", (int)(slash - program_invocation_name), program_invocation_name);
}

/* The exit code; what it printed is JSON even then. */
static int wire(const char *file, json_t **ret_json, struct err *err)
{
	auto_free char *path = program();
	char *argv[] = {path, (char *)"wire", (char *)(uintptr_t)file, (char *)"--json", NULL};
	auto_buf struct buf out = {0};
	int rc = proc_run(argv, deadline_in_ms(WAIT_MS), &out, OUTPUT_MAX, err);

	*ret_json = json_loadb(buf_text(&out), out.len, 0, NULL);
	return rc;
}

static char *save(const char *name, const struct buf *bytes)
{
	char *path = path_join(check_dir(), name);

	CHECK_INT(fs_write_atomic(path, buf_text(bytes), bytes->len, NULL), 0);
	return path;
}

/* A dialogue of some frames, as the bytes of a file. */
static void a_capture(struct buf *file)
{
	auto_free char *path = path_join(check_dir(), "a.pcap");
	struct gen_conn conn = gen_conn(1, 25, false);
	struct gen gen;

	gen_init(&gen, DLT_EN10MB);
	gen_open(&gen, &conn);
	gen_text(&gen, &conn, GEN_SERVER, "220 hi\r\n");
	gen_text(&gen, &conn, GEN_CLIENT, "EHLO me\r\n");
	gen_text(&gen, &conn, GEN_SERVER, "250 x\r\n");
	gen_close(&gen, &conn);
	gen_save(&gen, path);
	CHECK_INT(fs_read(path, 1 << 20, file, NULL), 0);
	gen_free(&gen);
}

static void what_is_no_capture_is_refused_in_a_sentence(void)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *says;
	} rows[] = {
		{"", 0, "is empty"},
		{"\x1f\x8b\x08", 3, "compressed with gzip"},
		{"Received: from", 14, "is no capture file"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf struct buf bytes = {0};
		auto_free char *path = NULL;
		auto_json json_t *json = NULL;
		struct err err = {0};

		buf_add(&bytes, rows[i].bytes, rows[i].len);
		path = save("bad", &bytes);
		CHECK_INT(wire(path, &json, &err), TROUBLE);
		CHECK_HAS(err.text, rows[i].says);
	}
}

static void another_link_type_is_named(void)
{
	auto_buf struct buf bytes = {0};
	auto_free char *path = NULL;
	auto_json json_t *json = NULL;
	struct err err = {0};

	a_capture(&bytes);
	bytes.data[20] = 105; /* IEEE 802.11 */
	path = save("wifi.pcap", &bytes);
	CHECK_INT(wire(path, &json, &err), TROUBLE);
	CHECK_HAS(err.text, "has the link type '802.11', which is not read");
}

/* A record that claims more than there can be: what stands before it is told. */
static void a_corrupt_file_is_read_up_to_the_damage(void)
{
	auto_buf struct buf bytes = {0};
	auto_free char *path = NULL;
	auto_json json_t *json = NULL;
	struct err err = {0};
	size_t at = FILE_HEAD;
	uint32_t size;

	a_capture(&bytes);
	for (int i = 0; i < 6; i++) {
		memcpy(&size, bytes.data + at + 8, sizeof(size));
		at += RECORD_HEAD + size;
	}
	memset(bytes.data + at + 8, 0x7f, 8);
	path = save("corrupt.pcap", &bytes);
	CHECK_INT(wire(path, &json, &err), TROUBLE);
	CHECK(json != NULL);
	CHECK_INT(json_get_int(json, "frames", 0), 6);
	CHECK_INT(json_array_size(json_object_get(json, "connections")), 1);
	CHECK(*json_get_text(json, "trouble", ""));
}

/* What a tool that was killed leaves: a record without its end. */
static void a_cut_file_is_read_up_to_the_cut(void)
{
	auto_buf struct buf bytes = {0};

	a_capture(&bytes);
	for (size_t cut = 1; cut < RECORD_HEAD + 40; cut += 13) {
		auto_free char *path = NULL;
		auto_json json_t *json = NULL;
		struct err err = {0};

		bytes.len -= 13;
		path = save("cut.pcap", &bytes);
		CHECK_INT(wire(path, &json, &err), TROUBLE);
		CHECK_HAS(err.text, "is cut off");
		CHECK(json_get_int(json, "frames", 0) >= 6);
		CHECK_INT(json_array_size(json_object_get(json, "connections")), 1);
		CHECK_HAS(json_get_text(json, "trouble", ""), "is cut off");
	}
}

/* Half of each frame is missing: gaps, and nothing that was guessed. */
static void frames_cut_by_a_snap_length_are_gaps(void)
{
	auto_free char *path = path_join(check_dir(), "snap.pcap");
	struct gen_conn conn = gen_conn(1, 25, false);
	auto_json json_t *json = NULL;
	const json_t *told;
	struct err err = {0};
	struct gen gen;

	gen_init(&gen, DLT_EN10MB);
	gen_open(&gen, &conn);
	gen_text(&gen, &conn, GEN_SERVER, "220 hi\r\n");
	gen_text(&gen, &conn, GEN_CLIENT, "EHLO a.client.with.a.long.name\r\n");
	gen.frames[gen.count - 1].captured -= 20;
	gen_text(&gen, &conn, GEN_SERVER, "250 x\r\n");
	gen_close(&gen, &conn);
	gen_save(&gen, path);
	gen_free(&gen);
	CHECK_INT(wire(path, &json, &err), 0);
	told = json_array_get(json_object_get(json, "connections"), 0);
	CHECK_INT(json_get_int(told, "gaps", 0), 1);
	CHECK_INT(json_get_int(told, "gap_bytes", 0), 20);
}

/* Frames of no bytes, of one, and so on up to where a segment begins, among good ones: nobody heeds them. */
static void frames_of_no_length_are_passed_by(void)
{
	auto_free char *path = path_join(check_dir(), "empty.pcap");
	struct gen_conn conn = gen_conn(1, 25, false);
	auto_json json_t *json = NULL;
	const json_t *told;
	struct err err = {0};
	struct gen gen;

	gen_init(&gen, DLT_EN10MB);
	gen_open(&gen, &conn);
	for (size_t len = 0; len < 54; len++) { /* of Ethernet, IPv4 and TCP heads */
		gen_raw(&gen, &conn, GEN_SERVER, 16 /* ACK */, conn.seq[1], conn.seq[0], "x", 1);
		gen.frames[gen.count - 1].bytes.len = gen.frames[gen.count - 1].captured = len;
	}
	gen_text(&gen, &conn, GEN_SERVER, "220 hi\r\n");
	gen_text(&gen, &conn, GEN_CLIENT, "QUIT\r\n");
	gen_close(&gen, &conn);
	gen_save(&gen, path);
	gen_free(&gen);
	CHECK_INT(wire(path, &json, &err), 0);
	CHECK_INT(json_array_size(json_object_get(json, "connections")), 1);
	told = json_array_get(json_object_get(json, "connections"), 0);
	CHECK_INT(json_get_int(told, "gaps", -1), 0);
	CHECK_STR(json_get_text(told, "ended", ""), "fin");
}

static void a_hundred_thousand_half_open_connections_are_told_in_bounded_memory(void)
{
	auto_free char *path = path_join(check_dir(), "syns.pcap");
	auto_json json_t *json = NULL;
	struct rusage before, after;
	struct err err = {0};
	struct gen gen;

	gen_init(&gen, DLT_EN10MB);
	for (unsigned int i = 0; i < HALF_OPEN; i++) {
		struct gen_conn conn = gen_conn(i, 25, i % 2);

		gen_raw(&gen, &conn, GEN_CLIENT, 2 /* SYN */, conn.seq[0], 0, NULL, 0);
	}
	gen_save(&gen, path);
	gen_free(&gen);
	getrusage(RUSAGE_CHILDREN, &before);
	CHECK_INT(wire(path, &json, &err), 0);
	getrusage(RUSAGE_CHILDREN, &after);
	CHECK_INT(json_array_size(json_object_get(json, "connections")), HALF_OPEN);
	CHECK(after.ru_maxrss < MEMORY_MAX_KB);
}

/* Deliveries one after the other, so many at a time, all in one file. */
static void a_large_capture(const char *path, unsigned int deliveries)
{
	auto_free char *text = mem_zero(1, MAIL_BYTES);
	FILE *file = fopen(path, "we");

	memset(text, 'x', MAIL_BYTES);
	gen_save_head(DLT_EN10MB, file);
	for (unsigned int i = 0; i < deliveries; i++) {
		struct gen_conn conn = gen_conn(i, 25, false);
		struct gen gen;

		gen_init(&gen, DLT_EN10MB);
		gen.ns += i * NS_PER_SEC;
		gen_open(&gen, &conn);
		gen_text(&gen, &conn, GEN_SERVER, "220 hi\r\n");
		gen_text(&gen, &conn, GEN_CLIENT, "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nDATA\r\n");
		gen_text(&gen, &conn, GEN_SERVER, "250 1\r\n250 2\r\n354 go\r\n");
		gen_send(&gen, &conn, GEN_CLIENT, text, MAIL_BYTES);
		gen_text(&gen, &conn, GEN_CLIENT, "\r\n.\r\n");
		gen_text(&gen, &conn, GEN_SERVER, "250 queued\r\n");
		gen_close(&gen, &conn);
		gen_save_frames(&gen, file);
		gen_free(&gen);
	}
	CHECK_INT(fclose(file), 0);
}

/* The most memory that reading it took, in KB. */
static long memory_of(const char *file)
{
	auto_free char *path = program();
	auto_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct proc_spec spec = {
		.argv = (char *[]){path, (char *)"wire", (char *)(uintptr_t)file, (char *)"--json",
			NULL},
		.stdin_fd = -1,
		.stdout_fd = null,
		.stderr_fd = -1,
	};
	struct rusage usage = {0};
	struct err err = {0};
	int status = -1;
	pid_t pid = proc_spawn(&spec, &err);

	CHECK_INT(wait4(pid, &status, 0, &usage), pid);
	CHECK_INT(status, 0);
	return usage.ru_maxrss;
}

static void memory_is_that_of_open_connections_not_of_the_file(void)
{
	auto_free char *small = path_join(check_dir(), "small.pcap");
	auto_free char *large = path_join(check_dir(), "large.pcap");
	long of_small, of_large;

	a_large_capture(small, 100);
	a_large_capture(large, 2000);
	of_small = memory_of(small);
	of_large = memory_of(large);
	printf("%ld KB for %d MB, %ld KB for %d MB\n", of_small, 100 * MAIL_BYTES >> 20, of_large,
		2000 * MAIL_BYTES >> 20);
	if (!CHECK(of_large - of_small < SLACK_KB))
		fprintf(stderr, "%ld KB for one, %ld KB for twenty times as much\n", of_small,
			of_large);
	unlink(large);
}

/* ---- live ---- */

struct server {
	int listener;
	pthread_t thread;
};

/* Greets whoever comes, answers two lines, and goes on until the listener is shut. */
static void *serve(void *arg)
{
	struct server *server = arg;
	char line[256];
	int fd;

	while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		static const char *const says[] = {
			"220 live.example\r\n", "250 x\r\n", "221 bye\r\n"};

		for (size_t i = 0; i < ARRAY_SIZE(says); i++)
			if (send(fd, says[i], strlen(says[i]), MSG_NOSIGNAL) < 0 ||
				recv(fd, line, sizeof(line), 0) <= 0)
				break;
		close(fd);
	}
	return NULL;
}

static void talk_once(uint16_t port)
{
	static const char *const says[] = {"EHLO live\r\n", "QUIT\r\n"};
	char line[256];
	int fd = io_connect_tcp("127.0.0.1", port, deadline_in_ms(WAIT_MS), NULL);

	if (fd < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(says); i++)
		if (io_read(fd, line, sizeof(line), deadline_in_ms(WAIT_MS)) > 0)
			io_write_all(fd, says[i], strlen(says[i]), deadline_in_ms(WAIT_MS), NULL);
	io_read(fd, line, sizeof(line), deadline_in_ms(WAIT_MS));
	close(fd);
}

/* Connections that came before the capture stood are not in it: so one after the other, until one is. */
static void talk_until_seen(int from, uint16_t port, struct buf *out)
{
	int64_t deadline = deadline_in_ms(WAIT_MS);
	char bytes[65536];

	while (!strstr(buf_text(out), "\"EHLO\"") && deadline_left_ms(deadline) > 0) {
		talk_once(port);
		while (io_readable(from, deadline_in_ms(LOOK_MS)) > 0) {
			ssize_t n = io_read(from, bytes, sizeof(bytes), deadline);

			if (n <= 0)
				return;
			buf_add(out, bytes, (size_t)n);
		}
	}
}

static void a_live_interface_is_read_until_it_is_interrupted(void)
{
	auto_free char *path = program();
	auto_buf struct buf out = {0};
	auto_json json_t *json = NULL;
	auto_free char *port_is = NULL;
	auto_free char *filter = NULL;
	struct err err = {0};
	struct server server;
	char bytes[65536];
	uint16_t port;
	int ends[2], status = 0;
	ssize_t n;
	pid_t pid;

	server.listener = io_listen_tcp("127.0.0.1", 0, &port, &err);
	CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
	io_prepare(ends[0]);
	port_is = text_fmt("%u=smtp", port);
	filter = text_fmt("tcp port %u", port);
	struct proc_spec spec = {
		.argv = (char *[]){path, (char *)"wire", (char *)"--interface", (char *)"lo",
			(char *)"--json", (char *)"--port", port_is, (char *)"--filter", filter,
			NULL},
		.stdin_fd = -1,
		.stdout_fd = ends[1],
		.stderr_fd = -1,
	};
	fcntl(server.listener, F_SETFL, fcntl(server.listener, F_GETFL) & ~O_NONBLOCK);
	if (pthread_create(&server.thread, NULL, serve, &server))
		abort();
	pid = proc_spawn(&spec, &err);
	close(ends[1]);
	talk_until_seen(ends[0], port, &out);
	kill(pid, SIGINT);
	while ((n = io_read(ends[0], bytes, sizeof(bytes), deadline_in_ms(WAIT_MS))) > 0)
		buf_add(&out, bytes, (size_t)n);
	CHECK_INT(proc_wait(pid, deadline_in_ms(WAIT_MS), &status, &err), 0);
	shutdown(server.listener, SHUT_RDWR);
	pthread_join(server.thread, NULL);
	close(server.listener);
	close(ends[0]);
	if (WIFEXITED(status) && WEXITSTATUS(status) == TROUBLE && !out.len) {
		check_skip("no right to capture on an interface here");
		return;
	}
	CHECK_INT(status, 0);
	json = json_loadb(buf_text(&out), out.len, 0, NULL);
	CHECK(json != NULL);
	CHECK_HAS(buf_text(&out), "\"verb\":\"EHLO\"");
	CHECK_HAS(buf_text(&out), "\"reply_code\":250");
	CHECK_INT(json_get_int(json, "dropped", -1), 0);
}

CHECK_MAIN(CHECK_CASE(what_is_no_capture_is_refused_in_a_sentence),
	CHECK_CASE(another_link_type_is_named), CHECK_CASE(a_corrupt_file_is_read_up_to_the_damage),
	CHECK_CASE(a_cut_file_is_read_up_to_the_cut),
	CHECK_CASE(frames_cut_by_a_snap_length_are_gaps),
	CHECK_CASE(frames_of_no_length_are_passed_by),
	CHECK_CASE(memory_is_that_of_open_connections_not_of_the_file),
	CHECK_CASE(a_hundred_thousand_half_open_connections_are_told_in_bounded_memory),
	CHECK_CASE(a_live_interface_is_read_until_it_is_interrupted))

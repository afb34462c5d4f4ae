/* What the real witness tells on its own: logs, tails, deaths; and what a slow or lost host does to it. */
#include "tests/unit/witness_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

static void append_text(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	CHECK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static bool heard(struct bench *b, const char *line)
{
	bool found = bench_wait(b, "log", "line", line) != NULL;

	if (!found)
		fprintf(stderr, "never heard: %s\n", line);
	return found;
}

static void a_syslog_datagram_is_an_event_with_its_senders_pid(void)
{
	auto_bench struct bench b = {0};
	const json_t *event;

	if (!bench_open(&b))
		return;
	CHECK_INT(bench_log(&b, "<22>Nov 22 00:00:00 smtpd[1]: hello\n", 36, 0), 0);
	event = bench_wait(&b, "log", "line", "Nov 22 00:00:00 smtpd[1]: hello");
	CHECK_INT(json_get_int(event, "pid", 0), getpid());
	CHECK_INT(json_get_int(event, "priority", 0), 22);
	CHECK(json_get_int(event, "guest_ns", 0) > 0);
}

static void hostile_datagrams_come_through_escaped(void)
{
	static const struct {
		const char *text;
		size_t len;
		const char *line;
	} rows[] = {
		{"no priority", 11, "no priority"},
		{"<>empty", 7, "<>empty"},
		{"<99999>far", 10, "<99999>far"},
		{"<12", 3, "<12"},
		{"<13>\xff\xfe\"quoted\"\\ \x01", 18, "\\xff\\xfe\"quoted\"\\ \x01"},
		{"<13>a\0b\n\n", 9, "a\\x00b"},
		{"<13>\xc3\xa9\xed\xa0\x80", 9, "\xc3\xa9\\xed\\xa0\\x80"},
	};
	auto_bench struct bench b = {0};

	if (!bench_open(&b))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CHECK_INT(bench_log(&b, rows[i].text, rows[i].len, 0), 0);
		CHECK(heard(&b, rows[i].line));
	}
}

static void a_long_line_is_cut(void)
{
	auto_free char *text = mem_zero(8001, 1);
	auto_free char *want = mem_zero(WITNESS_LINE_MAX + 1, 1);
	auto_bench struct bench b = {0};
	auto_free char *path = NULL;

	if (!bench_open(&b))
		return;
	memset(text, 'x', 8000);
	memset(want, 'x', WITNESS_LINE_MAX);
	CHECK_INT(bench_log(&b, text, 8000, 0), 0);
	CHECK(heard(&b, want));
	memset(want, 'y', WITNESS_LINE_MAX);
	memset(text, 'y', 8000);
	path = bench_path(&b, "file");
	append_text(path, text);
	append_text(path, "\n");
	CHECK_INT(witness_tail(b.w, path, soon(), NULL), 0);
	CHECK(heard(&b, want));
}

/* Some lengths are padded on the wire (witness_queue.c): each is tried, alone in the queue, and the next is told too. */
static void an_event_of_any_length_is_told_and_so_is_the_next(void)
{
	auto_free char *text = mem_zero(301, 1);
	auto_bench struct bench b = {0};
	bool told = bench_open(&b);

	for (size_t len = 1; told && len <= 300; len++) {
		text[len - 1] = 'x';
		told = CHECK_INT(bench_log(&b, text, len, 0), 0) && CHECK(heard(&b, text));
	}
	CHECK(told);
}

static void a_tail_tells_the_file_from_its_beginning_and_goes_on(void)
{
	auto_bench struct bench b = {0};
	auto_free char *path = NULL;

	if (!bench_open(&b))
		return;
	path = bench_path(&b, "mail.log");
	append_text(path, "first\nsec");
	CHECK_INT(witness_tail(b.w, path, soon(), NULL), 0);
	CHECK_INT(witness_tail(b.w, path, soon(), NULL), 0); /* twice is once */
	CHECK(heard(&b, "first"));
	append_text(path, "ond\nthird\n");
	CHECK(heard(&b, "second"));
	CHECK(heard(&b, "third"));
	CHECK_INT(json_array_size(b.events), 4); /* and the hello */
}

static void a_tail_survives_not_existing_rotation_and_truncation(void)
{
	auto_bench struct bench b = {0};
	auto_free char *path = NULL;
	auto_free char *old = NULL;

	if (!bench_open(&b))
		return;
	path = bench_path(&b, "mail.log");
	old = bench_path(&b, "mail.log.1");
	CHECK_INT(witness_tail(b.w, path, soon(), NULL), 0);
	append_text(path, "born late\n");
	CHECK(heard(&b, "born late"));
	CHECK(!rename(path, old));
	append_text(old, "after the rename\n");
	CHECK(heard(&b, "after the rename"));
	append_text(path, "in the new file\n");
	CHECK(heard(&b, "in the new file"));
	append_text(old, "still in the old file\n");
	CHECK(heard(&b, "still in the old file"));
	CHECK(!truncate(path, 0));
	append_text(path, "cut\n");
	CHECK(heard(&b, "cut"));
	CHECK(!unlink(path));
	append_text(path, "anew\n");
	CHECK(heard(&b, "anew"));
}

static void an_untailed_file_is_let_go(void)
{
	auto_bench struct bench b = {0};
	auto_free char *path = NULL;

	if (!bench_open(&b))
		return;
	path = bench_path(&b, "mail.log");
	append_text(path, "one\npart");
	CHECK_INT(witness_tail(b.w, path, soon(), NULL), 0);
	CHECK_INT(witness_untail(b.w, path, soon(), NULL), 0);
	CHECK(heard(&b, "part"));
	append_text(path, "two\n");
	CHECK_INT(witness_tail(b.w, path, soon(), NULL), 0);
	CHECK(heard(&b, "parttwo")); /* from the beginning again */
}

static void only_so_many_files_are_tailed(void)
{
	auto_bench struct bench b = {0};
	struct err err = {0};

	if (!bench_open(&b))
		return;
	for (unsigned int i = 0; i <= WITNESS_TAILS_MAX; i++) {
		auto_free char *path = text_fmt("%s/log.%u", b.dir, i);

		CHECK_INT(witness_tail(b.w, path, soon(), &err),
			i < WITNESS_TAILS_MAX ? 0 : -EREMOTEIO);
	}
	CHECK_HAS(err.text, "tailed already");
}

static int core_helper(const struct bench *b, const char *pid, const char *from)
{
	auto_free char *program = witness_program();
	auto_free char *run_dir = bench_path(b, "run");
	auto_close int core = open(from, O_RDONLY | O_CLOEXEC);
	char *argv[] = {program, "core", run_dir, (char *)pid, "11", NULL};
	int status = -1;
	pid_t child = proc_spawn(&(struct proc_spec){.argv = argv,
					 .stdin_fd = core,
					 .stdout_fd = -1,
					 .stderr_fd = STDERR_FILENO},
		NULL);

	CHECK_INT(proc_wait(child, soon(), &status, NULL), 0);
	return status;
}

static void a_death_is_told_with_its_core(void)
{
	auto_free char *pid = text_fmt("%d", getpid());
	auto_buf struct buf core = {0}, stored = {0};
	auto_bench struct bench b = {0};
	auto_free char *from = NULL;
	const json_t *event;

	if (!bench_open(&b))
		return;
	from = bench_path(&b, "dump");
	for (int i = 0; i < 10000; i++)
		buf_add(&core, i % 3 ? "\0\0\0\0" : "core", 4);
	CHECK_INT(fs_write_atomic(from, core.data, core.len, NULL), 0);
	CHECK_INT(core_helper(&b, pid, from), 0);
	event = bench_wait(&b, "died", NULL, NULL);
	CHECK_INT(json_get_int(event, "pid", 0), getpid());
	CHECK_INT(json_get_int(event, "signal", 0), 11);
	CHECK_HAS(json_get_text(event, "exe", ""), "test_witness_events");
	CHECK_INT(json_get_bool(event, "cut", true), false);
	CHECK(json_get_int(event, "took_ns", -1) >= 0);
	CHECK_INT(fs_read(json_get_text(event, "core", ""), 1 << 20, &stored, NULL), 0);
	CHECK(stored.len == core.len && !memcmp(stored.data, core.data, core.len));
}

static void deaths_without_end_fill_no_memory(void)
{
	auto_bench struct bench b = {0};

	if (!bench_open(&b))
		return;
	for (int i = 0; i < 8; i++) {
		auto_free char *pid = text_fmt("%d", 1000000 + i); /* nobody: nothing known of it */

		CHECK_INT(core_helper(&b, pid, "/dev/null"), 0);
	}
	CHECK(bench_wait(&b, "died", "core", "") != NULL);
}

static void a_call_that_is_parked_and_released_is_told(void)
{
	auto_free char *preload = built_file("../guest/librigfault.so");
	auto_free char *env_preload = text_fmt("LD_PRELOAD=%s", preload);
	auto_bench struct bench b = {0};
	auto_free char *env_board = NULL;
	auto_free char *line = NULL;
	struct witness_result r = {0};
	const json_t *parked;

	if (!fs_exists(preload)) {
		check_skip("there is no '%s'", preload);
		return;
	}
	if (!bench_open(&b))
		return;
	env_board = text_fmt("MAILRIG_BOARD=%s/run/board", b.dir);
	line = text_fmt("cd %s; : >file; sync file & echo $!", b.dir);
	CHECK_INT(witness_board(b.w, "arm slot=2 point=posix/io/sync/fsync action=park", soon(),
			  NULL, NULL),
		0);
	CHECK_INT(witness_run(b.w,
			  &(struct witness_command){.line = line,
				  .env = (const char *const[]){env_preload, env_board, NULL},
				  .timeout_ms = FIXTURE_WAIT_MS,
				  .daemons = true},
			  &r, NULL),
		0);
	parked = bench_wait(&b, "board", "what", "parked");
	CHECK_INT(json_get_int(parked, "slot", 0), 2);
	CHECK_INT(json_get_int(parked, "pid", 0), atoi(buf_text(&r.output)));
	CHECK_INT(json_get_int(parked, "count", 0), 1);
	CHECK_HAS(json_get_text(parked, "path", ""), "/file");
	CHECK_STR(json_get_text(parked, "call", ""), "fsync");
	CHECK_INT(witness_board(b.w, "disarm slot=2", soon(), NULL, NULL), 0);
	CHECK(bench_wait(&b, "board", "what", "released") != NULL);
	buf_free(&r.output);
}

/* ---- the host comes, goes and is slow ---- */

static void another_host_finds_what_happened_meanwhile(void)
{
	auto_bench struct bench b = {0};
	auto_json json_t *residue = NULL;

	if (!bench_open(&b))
		return;
	witness_close(b.w);
	b.w = NULL;
	CHECK_INT(bench_log(&b, "while nobody was there", 22, 0), 0);
	if (!bench_connect(&b))
		return;
	CHECK(heard(&b, "while nobody was there"));
	CHECK_INT(witness_residue(b.w, soon(), &residue, NULL), 0);
}

static int connect_raw(const struct bench *b)
{
	auto_free char *port = bench_path(b, "port");
	int fd = io_connect_unix(port, soon(), NULL);

	CHECK(fd >= 0);
	return fd;
}

static void send_raw(int fd, const char *bytes, size_t len)
{
	CHECK_INT(io_write_all(fd, bytes, len, soon(), NULL), 0);
}

/* A request cut short, at every byte of it, and a host that comes after. */
static void a_host_that_dies_in_the_middle_of_a_frame_leaves_no_trace(void)
{
	static const char ping[] = "\x18\0\0\0{\"id\":1,\"verb\":\"ping\"}  ";
	auto_bench struct bench b = {0};

	if (!bench_open(&b))
		return;
	for (size_t len = 1; len < sizeof(ping) - 1; len += 3) {
		auto_close int fd = -1;

		witness_close(b.w);
		b.w = NULL;
		fd = connect_raw(&b);
		send_raw(fd, ping, len);
		cleanup_fd(&fd);
		if (!bench_connect(&b))
			return;
		CHECK_INT(witness_ping(b.w, soon(), NULL, NULL), 0);
	}
}

/* As a machine that was saved and goes on elsewhere: to the witness the port was never closed. At every
 * byte of a request, with answers owed and events underway. */
static void another_host_takes_over_the_same_port_in_the_middle_of_a_frame(void)
{
	static const char request[] = "\x25\0\0\0{\"id\":1,\"verb\":\"scan\",\"stacks\":true} ";
	auto_bench struct bench b = {0};
	auto_close int fd = -1;
	struct err err = {0};

	if (!bench_open(&b))
		return;
	witness_close(b.w);
	b.w = NULL;
	fd = connect_raw(&b);
	for (size_t len = 1; len < sizeof(request) - 1; len++) {
		CHECK_INT(bench_log(&b, "an event", 8, 0), 0);
		send_raw(fd, request, sizeof(request) - 1);
		if (len % 8 == 0)
			send_raw(
				fd, "\x02\0\0\0[]", 6); /* a complaint that is not the next one's */
		else
			send_raw(fd, request, len);
		if (!CHECK_INT(witness_attach(fcntl(fd, F_DUPFD_CLOEXEC, 0), keep_event, &b, soon(),
				       &b.w, &err),
			    0))
			fprintf(stderr, "cut after %zu: %s\n", len, err.text);
		if (!b.w || !CHECK_INT(witness_ping(b.w, soon(), NULL, NULL), 0))
			return;
		witness_close(b.w);
		b.w = NULL;
	}
}

static void nonsense_is_answered_by_nothing_but_a_complaint_until_the_next_reset(void)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{"\0\0\0\0", 4},
		{"\xff\xff\xff\x7f{}", 6},
		{"\0\0\x10\0{}", 6},
		{"\x02\0\0\0[]", 6},
		{"\x02\0\0\0{}", 6},
		{"\x05\0\0\0hello", 9},
		{"\x10\0\0\0{\"verb\":\"ping\"}", 20},
		{"\x17\0\0\0{\"id\":-1,\"verb\":\"ping\"}", 27},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_bench struct bench b = {0};
		auto_close int fd = -1;

		if (!bench_open(&b))
			return;
		witness_close(b.w);
		b.w = NULL;
		fd = connect_raw(&b);
		send_raw(fd, rows[i].bytes, rows[i].len);
		send_raw(fd, rows[i].bytes, rows[i].len);
		/* In the same connection, as after a resume of the machine. */
		send_raw(fd, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
		cleanup_fd(&fd);
		if (bench_connect(&b))
			CHECK_INT(witness_ping(b.w, soon(), NULL, NULL), 0);
	}
}

/* Says "the last" until it is heard: before the backlog is read there is no room for it. */
static bool drops_end(struct bench *b)
{
	int64_t deadline = soon();
	bool found = false;

	while (!found && deadline_left_ms(deadline)) {
		bench_log(b, "the last", 8, 0);
		if (!CHECK_INT(witness_ping(b->w, deadline, NULL, NULL), 0))
			return false;
		pthread_mutex_lock(&b->lock);
		found = find_event(b, "log", "line", "the last") != NULL;
		pthread_mutex_unlock(&b->lock);
	}
	return found;
}

/* Nobody reads: events are dropped and counted, whoever logs goes on, and what is asked first after
 * that is answered before the old events. */
static void a_host_that_does_not_read_holds_up_no_sender(void)
{
	char line[1000] = "<13>flood";
	auto_bench struct bench b = {0};
	auto_close int fd = -1;
	int64_t deadline = soon();
	size_t sent = 0;
	int rc = 0;

	if (!bench_open(&b))
		return;
	witness_close(b.w);
	b.w = NULL;
	fd = connect_raw(&b);
	memset(line + 9, 'x', sizeof(line) - 9);
	while (sent < 12000 && !rc && deadline_left_ms(deadline)) {
		rc = bench_log(&b, line, sizeof(line), 0); /* blocks if the socket is full */
		sent += !rc;
	}
	CHECK_INT(sent, 12000);
	cleanup_fd(&fd);
	if (!bench_connect(&b))
		return;
	CHECK_INT(witness_ping(b.w, soon(), NULL, NULL), 0);
	CHECK(drops_end(&b));
	CHECK(witness_events_lost(b.w) > 1000);
}

CHECK_MAIN(CHECK_CASE(a_syslog_datagram_is_an_event_with_its_senders_pid),
	CHECK_CASE(hostile_datagrams_come_through_escaped), CHECK_CASE(a_long_line_is_cut),
	CHECK_CASE(an_event_of_any_length_is_told_and_so_is_the_next),
	CHECK_CASE(a_tail_tells_the_file_from_its_beginning_and_goes_on),
	CHECK_CASE(a_tail_survives_not_existing_rotation_and_truncation),
	CHECK_CASE(an_untailed_file_is_let_go), CHECK_CASE(only_so_many_files_are_tailed),
	CHECK_CASE(a_death_is_told_with_its_core), CHECK_CASE(deaths_without_end_fill_no_memory),
	CHECK_CASE(a_call_that_is_parked_and_released_is_told),
	CHECK_CASE(another_host_finds_what_happened_meanwhile),
	CHECK_CASE(a_host_that_dies_in_the_middle_of_a_frame_leaves_no_trace),
	CHECK_CASE(another_host_takes_over_the_same_port_in_the_middle_of_a_frame),
	CHECK_CASE(nonsense_is_answered_by_nothing_but_a_complaint_until_the_next_reset),
	CHECK_CASE(a_host_that_does_not_read_holds_up_no_sender))

#include "tests/check/check.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "vm/qmp.h"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define GREETING "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, \"capabilities\": []}}\r\n"
#define PATIENCE deadline_in_ms(10000)
#define SOON	 deadline_in_ms(50)

/* The other side: a script that runs in a thread. A step waits until a request holding `expect`
 * came, then says `say`, in which @ becomes the id of the latest request and # that of the one
 * before. */
struct step {
	const char *expect, *say;
};

struct server {
	int fd;
	pthread_t thread;
	const struct step *steps;
	bool keep_open;
	struct buf in;
	long long id, id_before;
	bool lost; /* an expected request never came */
	int passed_fd;
};

static bool server_line(struct server *s, struct buf *line)
{
	for (;;) {
		char *end = s->in.len ? memchr(s->in.data, '\n', s->in.len) : NULL;
		char control[CMSG_SPACE(sizeof(int))];
		struct iovec io;
		struct msghdr msg = {.msg_iov = &io,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		ssize_t n;

		if (end) {
			buf_reset(line);
			buf_add(line, s->in.data, (size_t)(end - s->in.data));
			buf_consume(&s->in, (size_t)(end - s->in.data) + 1);
			return true;
		}
		if (io_readable(s->fd, PATIENCE) <= 0)
			return false;
		io = (struct iovec){buf_reserve(&s->in, 4096), 4096};
		n = recvmsg(s->fd, &msg, MSG_CMSG_CLOEXEC);
		if (n <= 0)
			return false;
		s->in.len += (size_t)n;
		if (CMSG_FIRSTHDR(&msg))
			memcpy(&s->passed_fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	}
}

static void server_expect(struct server *s, const char *expect)
{
	auto_buf struct buf line = {0};

	do {
		auto_json json_t *request = NULL;

		if (!server_line(s, &line)) {
			s->lost = true;
			return;
		}
		request = json_loadb(line.data, line.len, 0, NULL);
		s->id_before = s->id;
		s->id = json_get_int(request, "id", -1);
	} while (!strstr(line.data, expect));
}

static void server_say(struct server *s, const char *say)
{
	auto_buf struct buf out = {0};

	for (; *say; say++)
		if (*say == '@')
			buf_addf(&out, "%lld", s->id);
		else if (*say == '#')
			buf_addf(&out, "%lld", s->id_before);
		else
			buf_addc(&out, *say);
	io_write_all(s->fd, out.data, out.len, PATIENCE, NULL);
}

static void *server_main(void *arg)
{
	struct server *s = arg;

	for (const struct step *at = s->steps; at->expect || at->say; at++) {
		if (at->expect)
			server_expect(s, at->expect);
		if (at->say && !s->lost)
			server_say(s, at->say);
	}
	if (!s->keep_open)
		shutdown(s->fd, SHUT_RDWR);
	return NULL;
}

static int server_start(struct server *s, const struct step *steps, bool keep_open)
{
	int ends[2];

	*s = (struct server){.steps = steps, .keep_open = keep_open, .passed_fd = -1};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		abort();
	s->fd = ends[1];
	io_prepare(s->fd);
	pthread_create(&s->thread, NULL, server_main, s);
	return ends[0];
}

static void server_stop(struct server *s)
{
	pthread_join(s->thread, NULL);
	close(s->fd);
	cleanup_fd(&s->passed_fd);
	buf_free(&s->in);
}

#define HELLO                                                         \
	{NULL, GREETING},                                             \
	{                                                             \
		"qmp_capabilities", "{\"return\": {}, \"id\": @}\r\n" \
	}

static struct qmp *open_or_die(struct server *s, const struct step *steps)
{
	struct err err = {0};
	struct qmp *qmp = NULL;
	int fd = server_start(s, steps, true);

	CHECK_INT(qmp_open(fd, NULL, NULL, PATIENCE, &qmp, &err), 0);
	if (!qmp) {
		fprintf(stderr, "%s\n", err.text);
		abort();
	}
	return qmp;
}

/* ---- what a broken peer does -------------------------------------------------------------------
 */

static void a_bad_greeting_is_an_error(void)
{
	static const struct {
		const char *say;
		int code;
		const char *why;
	} rows[] = {
		{"", -EPIPE, "ended"},
		{"\xff\xfe\x01garbage\r\n", -EPROTO, "not JSON"},
		{"[1, 2]\r\n", -EPROTO, "no JSON object"},
		{"{\"QMP\": 1}\r\n", -EPROTO, "greeting"},
		{"{\"event\": \"STOP\"}\r\n", -EPROTO, "greeting"},
		{"{\"QMP\": {}}", -EPIPE, "ended"}, /* cut in the middle of the line */
		{"{}\r\n", -EPROTO, "neither"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct step steps[] = {{NULL, rows[i].say}, {NULL, NULL}};
		struct server s;
		struct err err = {0};
		struct qmp *qmp = NULL;
		int fd = server_start(&s, steps, false);

		CHECK_INT(qmp_open(fd, NULL, NULL, PATIENCE, &qmp, &err), rows[i].code);
		CHECK(!qmp);
		CHECK_HAS(err.text, rows[i].why);
		server_stop(&s);
	}
}

static void a_silent_greeting_times_out(void)
{
	static const struct step steps[] = {{NULL, NULL}};
	struct server s;
	struct err err = {0};
	struct qmp *qmp = NULL;
	int fd = server_start(&s, steps, true);

	CHECK_INT(qmp_open(fd, NULL, NULL, SOON, &qmp, &err), -ETIMEDOUT);
	CHECK(!qmp);
	server_stop(&s);
}

static void malformed_replies_break_the_connection_and_later_calls_fail_cleanly(void)
{
	static const struct {
		const char *say, *why;
	} rows[] = {
		{"{\"return\": \r\n", "not JSON"},
		{"}{\r\n", "not JSON"},
		{"\"text\"\r\n", "not JSON"},
		{"null\r\n", "not JSON"},
		{"{\"return\": {}}\r\n", "unknown id"},
		{"{\"return\": {}, \"id\": 999}\r\n", "unknown id"},
		{"{\"return\": {}, \"id\": \"@\"}\r\n", "unknown id"},
		{"{\"return\": {}, \"id\": @.5}\r\n", "unknown id"},
		{"{\"return\": {}, \"id\": -1}\r\n", "unknown id"},
		{"{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\r\n",
			"unknown id"},
		{"{\"id\": @}\r\n", "neither"},
		{"{\"event\": 7}\r\n", "neither"},
		{"{\"return\": \"\xc3\x28\", \"id\": @}\r\n", "not JSON"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct step steps[] = {HELLO, {"query-status", rows[i].say}, {NULL, NULL}};
		struct server s;
		struct err err = {0};
		struct qmp *qmp = open_or_die(&s, steps);

		CHECK_INT(qmp_execute(qmp, "query-status", NULL, PATIENCE, NULL, &err), -EPROTO);
		CHECK_HAS(err.text, rows[i].why);
		CHECK(!qmp_alive(qmp));
		CHECK_INT(qmp_execute(qmp, "cont", NULL, PATIENCE, NULL, &err), -EPROTO);
		CHECK_HAS(err.text, "cont");
		CHECK_INT(qmp_wait_event(qmp, "STOP", NULL, PATIENCE, NULL, &err), -EPROTO);
		qmp_close(qmp);
		server_stop(&s);
	}
}

static void a_reply_cut_short_is_the_end_of_the_stream(void)
{
	static const struct step steps[] = {HELLO, {"stop", "{\"return\": {}, \"id"}, {NULL, NULL}};
	struct server s;
	struct err err = {0};
	struct qmp *qmp = NULL;
	int fd = server_start(&s, steps, false);

	CHECK_INT(qmp_open(fd, NULL, NULL, PATIENCE, &qmp, &err), 0);
	CHECK_INT(qmp_execute(qmp, "stop", NULL, PATIENCE, NULL, &err), -EPIPE);
	CHECK_HAS(err.text, "'stop'");
	CHECK_INT(qmp_execute(qmp, "stop", NULL, PATIENCE, NULL, &err), -EPIPE);
	qmp_close(qmp);
	server_stop(&s);
}

static void an_endless_frame_is_refused(void)
{
	static const struct step steps[] = {HELLO, {NULL, NULL}};
	auto_free char *blob = mem_zero(1 << 16, 1);
	struct server s;
	struct err err = {0};
	struct qmp *qmp = open_or_die(&s, steps);

	memset(blob, 'x', 1 << 16);
	pthread_join(s.thread, NULL);
	/* The reader stops reading where the bound is, so the last pieces may find nobody. */
	for (size_t sent = 0; sent <= QMP_FRAME_MAX; sent += 1 << 16)
		io_write_all(s.fd, blob, 1 << 16, PATIENCE, NULL);
	CHECK_INT(qmp_wait_event(qmp, "STOP", NULL, PATIENCE, NULL, &err), -EPROTO);
	CHECK_HAS(err.text, "longer than");
	qmp_close(qmp);
	s.steps = (const struct step[]){{NULL, NULL}};
	pthread_create(&s.thread, NULL, server_main, &s);
	server_stop(&s);
}

static void deep_nesting_is_refused(void)
{
	static const struct step steps[] = {HELLO, {NULL, NULL}};
	auto_buf struct buf deep = {0};
	struct server s;
	struct err err = {0};
	struct qmp *qmp = open_or_die(&s, steps);

	for (int i = 0; i < 100000; i++)
		buf_addc(&deep, '[');
	buf_addc(&deep, '\n');
	pthread_join(s.thread, NULL);
	io_write_all(s.fd, deep.data, deep.len, PATIENCE, NULL);
	CHECK_INT(qmp_wait_event(qmp, "STOP", NULL, PATIENCE, NULL, &err), -EPROTO);
	qmp_close(qmp);
	s.steps = (const struct step[]){{NULL, NULL}};
	pthread_create(&s.thread, NULL, server_main, &s);
	server_stop(&s);
}

/* ---- and does it still answer? ------------------------------------------------------------------
 */

static void an_error_reply_is_told_and_the_connection_lives_on(void)
{
	static const struct step steps[] = {HELLO,
		{"device_add", "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no \\u001b "
			       "such bus\"}, "
			       "\"id\": @}\r\n"},
		{"query-name", "{\"error\": 3, \"id\": @}\r\n"},
		{"query-status", "{\"return\": {\"status\": \"running\"}, \"id\": @}\r\n"},
		{NULL, NULL}};
	auto_json json_t *ret = NULL;
	struct server s;
	struct err err = {0};
	struct qmp *qmp = open_or_die(&s, steps);

	CHECK_INT(qmp_execute(qmp, "device_add", NULL, PATIENCE, NULL, &err), -EREMOTEIO);
	CHECK_HAS(err.text, "'device_add'");
	CHECK_HAS(err.text, "such bus");
	CHECK(!strchr(err.text, '\x1b'));
	CHECK_INT(qmp_execute(qmp, "query-name", NULL, PATIENCE, NULL, &err), -EREMOTEIO);
	CHECK_INT(qmp_execute(qmp, "query-status", NULL, PATIENCE, &ret, &err), 0);
	CHECK_STR(json_get_text(ret, "status", NULL), "running");
	CHECK(qmp_alive(qmp));
	qmp_close(qmp);
	server_stop(&s);
}

static void blank_lines_and_bare_newlines_are_nothing(void)
{
	static const struct step steps[] = {
		HELLO, {"stop", "\r\n\n  \r\n{\"return\": {}, \"id\": @}\n"}, {NULL, NULL}};
	struct server s;
	struct qmp *qmp = open_or_die(&s, steps);

	CHECK_INT(qmp_execute(qmp, "stop", NULL, PATIENCE, NULL, NULL), 0);
	qmp_close(qmp);
	server_stop(&s);
}

static void a_late_reply_is_dropped_and_the_next_call_gets_its_own(void)
{
	static const struct step steps[] = {HELLO,
		{"query-cpus-fast", "{\"return\": {\"n\": 1}, \"id\": #}\r\n{\"return\": {\"n\": "
				    "2}, \"id\": @}\r\n"},
		{NULL, NULL}};
	auto_json json_t *ret = NULL;
	struct server s;
	struct err err = {0};
	struct qmp *qmp = open_or_die(&s, steps);

	CHECK_INT(qmp_execute(qmp, "slow", NULL, SOON, NULL, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "'slow'");
	CHECK_INT(qmp_execute(qmp, "query-cpus-fast", NULL, PATIENCE, &ret, &err), 0);
	CHECK_INT(json_get_int(ret, "n", -1), 2);
	qmp_close(qmp);
	server_stop(&s);
}

struct call {
	struct qmp *qmp;
	const char *command;
	int64_t answer;
};

static void *call_main(void *arg)
{
	struct call *call = arg;
	auto_json json_t *ret = NULL;

	qmp_execute(call->qmp, call->command, NULL, PATIENCE, &ret, NULL);
	call->answer = json_get_int(ret, "n", -1);
	return NULL;
}

static void replies_out_of_order_find_their_requests(void)
{
	static const struct step steps[] = {HELLO, {"first", "{\"event\": \"GOT_FIRST\"}\r\n"},
		{"second",
			"{\"return\": {\"n\": 2}, \"id\": @}\r\n{\"return\": {\"n\": 1}, \"id\": "
			"#}\r\n"},
		{NULL, NULL}};
	struct server s;
	struct qmp *qmp = open_or_die(&s, steps);
	struct call first = {.qmp = qmp, .command = "first"};
	struct call second = {.qmp = qmp, .command = "second"};
	pthread_t thread;

	pthread_create(&thread, NULL, call_main, &first);
	CHECK_INT(qmp_wait_event(qmp, "GOT_FIRST", NULL, PATIENCE, NULL, NULL), 0);
	call_main(&second);
	pthread_join(thread, NULL);
	CHECK_INT(first.answer, 1);
	CHECK_INT(second.answer, 2);
	qmp_close(qmp);
	server_stop(&s);
}

static void events_are_kept_in_order_whoever_waits_when(void)
{
	static const struct step steps[] = {HELLO,
		{"go", "{\"event\": \"STOP\", \"data\": {\"n\": 1}}\r\n{\"event\": \"RESUME\"}\r\n"
		       "{\"event\": \"STOP\", \"data\": {\"n\": 2}}\r\n{\"return\": {}, \"id\": "
		       "@}\r\n"},
		{"late", "{\"return\": {}, \"id\": @}\r\n{\"event\": \"STOP\", \"data\": {\"n\": "
			 "3}}\r\n"},
		{NULL, NULL}};
	struct server s;
	struct err err = {0};
	struct qmp *qmp = open_or_die(&s, steps);
	uint64_t mark = qmp_mark(qmp), now;

	CHECK_INT(qmp_execute(qmp, "go", NULL, PATIENCE, NULL, &err), 0);
	now = qmp_mark(qmp);
	CHECK_INT(now, mark + 3);
	CHECK_INT(qmp_wait_event(qmp, "STOP", &now, SOON, NULL, &err), -ETIMEDOUT);
	CHECK_INT(qmp_execute(qmp, "late", NULL, PATIENCE, NULL, &err), 0);
	for (int n = 1; n <= 3; n++) {
		auto_json json_t *event = NULL;

		CHECK_INT(qmp_wait_event(qmp, "STOP", &mark, PATIENCE, &event, &err), 0);
		CHECK_INT(json_get_int(json_object_get(event, "data"), "n", -1), n);
	}
	CHECK_INT(qmp_wait_event(qmp, "RESUME", NULL, PATIENCE, NULL, &err), 0);
	CHECK_INT(qmp_wait_event(qmp, "STOP", &mark, SOON, NULL, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "'STOP'");
	qmp_close(qmp);
	server_stop(&s);
}

static void too_many_events_break_the_connection_instead_of_losing_one(void)
{
	static const struct step steps[] = {HELLO, {NULL, NULL}};
	auto_buf struct buf flood = {0};
	struct server s;
	struct err err = {0};
	struct qmp *qmp = open_or_die(&s, steps);

	pthread_join(s.thread, NULL);
	for (unsigned int i = 0; i <= QMP_EVENTS_MAX; i++)
		buf_add_str(&flood, "{\"event\":\"RTC_CHANGE\"}\n");
	io_write_all(s.fd, flood.data, flood.len, PATIENCE, NULL);
	CHECK_INT(qmp_wait_event(qmp, "STOP", NULL, PATIENCE, NULL, &err), -EPROTO);
	CHECK_HAS(err.text, "events");
	qmp_close(qmp);
	s.steps = (const struct step[]){{NULL, NULL}};
	pthread_create(&s.thread, NULL, server_main, &s);
	server_stop(&s);
}

struct heard {
	char text[256];
};

static void hear(void *arg, const char *event, const json_t *data, int64_t mono_ns)
{
	struct heard *heard = arg;
	size_t len = strlen(heard->text);

	(void)mono_ns;
	snprintf(heard->text + len, sizeof(heard->text) - len, "%s%lld ", event ? event : "end",
		(long long)json_get_int(data, "n", 0));
}

static void the_callback_hears_every_event_and_the_end_once(void)
{
	static const struct step steps[] = {HELLO,
		{"go", "{\"event\":\"A\",\"data\":{\"n\":1}}\n{\"event\":\"B\"}\n{\"return\":{},"
		       "\"id\":@}\n"
		       "junk\n{\"event\":\"C\"}\n"},
		{NULL, NULL}};
	struct heard heard = {{0}};
	struct server s;
	struct qmp *qmp = NULL;
	int fd = server_start(&s, steps, false);

	CHECK_INT(qmp_open(fd, hear, &heard, PATIENCE, &qmp, NULL), 0);
	CHECK_INT(qmp_execute(qmp, "go", NULL, PATIENCE, NULL, NULL), 0);
	qmp_close(qmp); /* joins the reader, which has seen the junk or the end by then */
	CHECK_STR(heard.text, "A1 B0 end0 ");
	server_stop(&s);
}

static void a_descriptor_travels_with_its_command(void)
{
	static const struct step steps[] = {
		HELLO, {"getfd", "{\"return\": {}, \"id\": @}\r\n"}, {NULL, NULL}};
	auto_free char *path = path_join(check_dir(), "passed");
	auto_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct server s;
	struct stat here, there;
	struct qmp *qmp = open_or_die(&s, steps);

	CHECK_INT(qmp_execute_fd(qmp, "getfd", json_pack("{s:s}", "fdname", "state"), fd, PATIENCE,
			  NULL, NULL),
		0);
	CHECK_INT(fstat(fd, &here), 0);
	CHECK_INT(fstat(s.passed_fd, &there), 0);
	CHECK_INT(here.st_ino, there.st_ino);
	qmp_close(qmp);
	server_stop(&s);
}

static void the_trace_mirrors_both_directions(void)
{
	static const struct step steps[] = {HELLO,
		{"query-kvm", "{\"return\": {\"enabled\": false}, \"id\": @}\r\n"}, {NULL, NULL}};
	auto_free char *path = path_join(check_dir(), "trace");
	auto_buf struct buf trace = {0};
	struct server s;
	struct qmp *qmp;

	setenv("MAILRIG_QMP_TRACE", path, 1);
	qmp = open_or_die(&s, steps);
	CHECK_INT(qmp_execute(qmp, "query-kvm", NULL, PATIENCE, NULL, NULL), 0);
	qmp_close(qmp);
	unsetenv("MAILRIG_QMP_TRACE");
	CHECK_INT(fs_read(path, 65536, &trace, NULL), 0);
	CHECK_HAS(buf_text(&trace), GREETING);
	CHECK_HAS(buf_text(&trace), "\"execute\": \"query-kvm\"");
	CHECK_HAS(buf_text(&trace), "{\"return\": {\"enabled\": false}, \"id\": ");
	server_stop(&s);
}

static void closing_takes_null(void)
{
	qmp_close(NULL);
}

CHECK_MAIN(CHECK_CASE(a_bad_greeting_is_an_error), CHECK_CASE(a_silent_greeting_times_out),
	CHECK_CASE(malformed_replies_break_the_connection_and_later_calls_fail_cleanly),
	CHECK_CASE(a_reply_cut_short_is_the_end_of_the_stream),
	CHECK_CASE(an_endless_frame_is_refused), CHECK_CASE(deep_nesting_is_refused),
	CHECK_CASE(an_error_reply_is_told_and_the_connection_lives_on),
	CHECK_CASE(blank_lines_and_bare_newlines_are_nothing),
	CHECK_CASE(a_late_reply_is_dropped_and_the_next_call_gets_its_own),
	CHECK_CASE(replies_out_of_order_find_their_requests),
	CHECK_CASE(events_are_kept_in_order_whoever_waits_when),
	CHECK_CASE(too_many_events_break_the_connection_instead_of_losing_one),
	CHECK_CASE(the_callback_hears_every_event_and_the_end_once),
	CHECK_CASE(a_descriptor_travels_with_its_command),
	CHECK_CASE(the_trace_mirrors_both_directions), CHECK_CASE(closing_takes_null))

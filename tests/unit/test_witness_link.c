/* The host's end against witnesses that lie, stall and vanish: each script below is one such guest. */
#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "tests/check/check.h"
#include "vm/witness.h"
#include "vm/witness_frame.h"
#include "vm/witness_wire.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#define MARK	 "\xff\xff\xff\xff\xff\xff\xff\xff"
#define LONG_MS	 20000
#define SHORT_MS 150

/* A guest: what it says to each request; true: it hangs up after that. */
struct guest {
	bool (*says)(struct guest *guest, const char *verb, int64_t id);
	int listen_fd, fd;
	char *path;
	pthread_t thread;
	unsigned int asked;
	bool done, deaf;
	int64_t kept; /* an id, for a script */
	struct witness *w;
	struct err err;
	unsigned int logs, gone;
};

static void say_bytes(struct guest *g, const void *bytes, size_t len)
{
	io_write_all(g->fd, bytes, len, deadline_in_ms(LONG_MS), NULL);
}

__attribute__((format(printf, 2, 3))) static void say(struct guest *g, const char *fmt, ...)
{
	auto_buf struct buf text = {0};
	unsigned char head[4];
	va_list ap;

	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	witness_put_length(head, (uint32_t)text.len);
	say_bytes(g, head, sizeof(head));
	say_bytes(g, text.data, text.len);
}

static void say_hello(struct guest *g, int64_t id)
{
	say_bytes(g, MARK, 8);
	say(g, "{\"id\":%lld,\"ok\":true,\"version\":%d,\"boot_id\":\"x\"}", (long long)id,
		WITNESS_VERSION);
}

static void hear(void *arg, json_t *json)
{
	struct guest *g = arg;

	g->asked++;
	if (!g->done)
		g->done = g->says(g, json_get_text(json, "verb", ""), json_get_int(json, "id", -1));
	json_decref(json);
}

static void *guest_thread(void *arg)
{
	struct witness_frames frames = {0};
	struct guest *g = arg;
	struct pollfd p = {.events = POLLRDHUP};
	char bytes[4096];
	ssize_t n;

	if (io_readable(g->listen_fd, deadline_in_ms(LONG_MS)) != 1)
		return NULL;
	g->fd = accept4(g->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	p.fd = g->fd;
	while (!g->done && (n = io_read(g->fd, bytes, sizeof(bytes), deadline_in_ms(LONG_MS))) > 0)
		witness_frames_feed(&frames, bytes, (size_t)n, hear, g, NULL);
	witness_frames_free(&frames);
	if (g->deaf)
		poll(&p, 1, LONG_MS);
	close(g->fd);
	return NULL;
}

static void on_event(void *arg, const char *name, const json_t *json, int64_t arrived_ns)
{
	struct guest *g = arg;

	(void)json;
	(void)arrived_ns;
	g->logs += !strcmp(name, "log");
	g->gone += !strcmp(name, "gone");
}

/* Starts the guest and opens the link to it; the result of witness_open(). */
static int meet(struct guest *g, int64_t open_ms)
{
	g->path = path_join(check_dir(), "port");
	g->listen_fd = io_listen_unix(g->path, NULL);
	if (!CHECK(g->listen_fd >= 0) ||
		!CHECK_INT(pthread_create(&g->thread, NULL, guest_thread, g), 0))
		return -EIO;
	return witness_open(g->path, on_event, g, deadline_in_ms(open_ms), &g->w, &g->err);
}

static void part(struct guest *g)
{
	witness_close(g->w);
	pthread_join(g->thread, NULL);
	close(g->listen_fd);
	free(g->path);
}

static int ask(struct guest *g, int64_t ms)
{
	return witness_call(g->w, "ping", NULL, deadline_in_ms(ms), NULL, &g->err);
}

/* ---- opening ---- */

static bool says_nothing(struct guest *g, const char *verb, int64_t id)
{
	(void)g;
	(void)verb;
	(void)id;
	return false;
}

static void a_silent_guest_is_a_timeout_with_a_sentence(void)
{
	struct guest g = {.says = says_nothing};

	CHECK_INT(meet(&g, SHORT_MS), -ETIMEDOUT);
	CHECK_HAS(g.err.text, "did not answer 'hello' in time");
	CHECK_HAS(g.err.text, g.path);
	part(&g);
}

static void nobody_at_the_port_is_an_error_with_its_name(void)
{
	auto_free char *path = path_join(check_dir(), "nobody");
	struct witness *w = NULL;
	struct err err = {0};

	CHECK_INT(witness_open(path, NULL, NULL, deadline_in_ms(SHORT_MS), &w, &err), -ENOENT);
	CHECK_HAS(err.text, "nobody");
	CHECK(!w);
	witness_close(w);
}

/* The first hello was sent before the guest had opened its port, and is lost. */
static bool boots_late(struct guest *g, const char *verb, int64_t id)
{
	if (g->asked == 1) {
		say_bytes(g, "\x99\0\0\0 the end of an old frame", 28);
		say_bytes(g, MARK, 8);
		say(g, "{\"event\":\"hello\",\"seq\":0,\"version\":1}");
	} else if (!strcmp(verb, "hello")) {
		say_hello(g, id);
	} else {
		say(g, "{\"id\":%lld,\"ok\":true}", (long long)id);
	}
	return false;
}

static void a_guest_that_boots_late_is_asked_again(void)
{
	struct guest g = {.says = boots_late};

	CHECK_INT(meet(&g, LONG_MS), 0);
	CHECK_INT(ask(&g, LONG_MS), 0);
	CHECK_INT(g.asked, 3);
	part(&g);
}

static bool says_hello_for_ever(struct guest *g, const char *verb, int64_t id)
{
	(void)verb;
	(void)id;
	say_bytes(g, MARK, 8);
	say(g, "{\"event\":\"hello\",\"seq\":0}");
	return false;
}

static void a_guest_that_says_hello_for_ever_is_given_up(void)
{
	struct guest g = {.says = says_hello_for_ever};

	CHECK_INT(meet(&g, SHORT_MS), -ETIMEDOUT);
	part(&g);
}

static bool is_of_another_version(struct guest *g, const char *verb, int64_t id)
{
	(void)verb;
	say_bytes(g, MARK, 8);
	say(g, "{\"id\":%lld,\"ok\":true,\"version\":99}", (long long)id);
	return false;
}

static void a_witness_of_another_version_is_refused(void)
{
	struct guest g = {.says = is_of_another_version};

	CHECK_INT(meet(&g, LONG_MS), -EPROTO);
	CHECK_HAS(g.err.text, "version 99");
	part(&g);
}

/* ---- calls ---- */

/* Answers all but the first call, and that one last; one answer is a stranger's. */
static bool answers_out_of_order(struct guest *g, const char *verb, int64_t id)
{
	if (!strcmp(verb, "hello")) {
		say_hello(g, id);
	} else if (!strcmp(verb, "slow")) {
		g->kept = id;
	} else {
		say(g, "{\"id\":%lld,\"ok\":true}", (long long)id + 1000);
		say(g, "{\"id\":%lld,\"ok\":true}", (long long)id);
	}
	if (g->asked == 5)
		say(g, "{\"id\":%lld,\"ok\":true}", (long long)g->kept);
	return false;
}

static void *ask_slowly(void *arg)
{
	struct guest *g = arg;
	int rc = witness_call(g->w, "slow", NULL, deadline_in_ms(LONG_MS), NULL, NULL);

	return (void *)(intptr_t)rc;
}

static void a_slow_call_holds_up_no_other(void)
{
	struct guest g = {.says = answers_out_of_order};
	void *rc = (void *)(intptr_t)-1;
	pthread_t slow;

	CHECK_INT(meet(&g, LONG_MS), 0);
	CHECK_INT(pthread_create(&slow, NULL, ask_slowly, &g), 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(ask(&g, LONG_MS), 0);
	pthread_join(slow, &rc);
	CHECK_INT((intptr_t)rc, 0);
	part(&g);
}

static bool falls_silent(struct guest *g, const char *verb, int64_t id)
{
	if (!strcmp(verb, "hello"))
		say_hello(g, id);
	return false;
}

static void a_call_without_an_answer_is_a_timeout_and_the_next_one_too(void)
{
	struct guest g = {.says = falls_silent};

	CHECK_INT(meet(&g, LONG_MS), 0);
	CHECK_INT(ask(&g, SHORT_MS), -ETIMEDOUT);
	CHECK_HAS(g.err.text, "'ping'");
	CHECK_INT(ask(&g, 0), -ETIMEDOUT);
	CHECK_INT(witness_state(g.w, NULL), 0);
	part(&g);
}

static bool refuses(struct guest *g, const char *verb, int64_t id)
{
	if (!strcmp(verb, "hello"))
		say_hello(g, id);
	else if (g->asked == 2)
		say(g, "{\"id\":%lld,\"ok\":false,\"error\":\"not today\"}", (long long)id);
	else
		say(g, "{\"id\":%lld,\"ok\":\"yes\",\"error\":7}", (long long)id);
	return false;
}

static void a_refusal_is_passed_on_as_it_was_said(void)
{
	struct guest g = {.says = refuses};

	CHECK_INT(meet(&g, LONG_MS), 0);
	CHECK_INT(ask(&g, LONG_MS), -EREMOTEIO);
	CHECK_STR(g.err.text, "not today");
	CHECK_INT(ask(&g, LONG_MS), -EREMOTEIO);
	CHECK_HAS(g.err.text, "without a reason");
	part(&g);
}

static bool answers_in_other_shapes(struct guest *g, const char *verb, int64_t id)
{
	if (!strcmp(verb, "hello"))
		say_hello(g, id);
	else
		say(g,
			"{\"id\":%lld,\"ok\":true,\"guest_ns\":\"x\",\"residue\":{},\"mounts\":1,"
			"\"text\":[],\"reply\":\"no json\",\"output\":5,\"status\":\"0\"}",
			(long long)id);
	return false;
}

static void an_answer_of_another_shape_is_an_error_not_a_crash(void)
{
	struct guest g = {.says = answers_in_other_shapes};
	int64_t limit = deadline_in_ms(LONG_MS);
	struct witness_result result = {0};
	struct buf text = {0};
	json_t *json = NULL;

	CHECK_INT(meet(&g, LONG_MS), 0);
	CHECK_INT(witness_ping(g.w, limit, NULL, &g.err), -EPROTO);
	CHECK_INT(witness_residue(g.w, limit, &json, &g.err), -EPROTO);
	CHECK_INT(witness_mounts(g.w, limit, &json, &g.err), -EPROTO);
	CHECK_INT(witness_read(g.w, "/x", 10, limit, &text, &g.err), -EPROTO);
	CHECK_INT(witness_board(g.w, "status", limit, &json, &g.err), -EPROTO);
	CHECK_INT(witness_run(g.w, &(struct witness_command){.line = "x"}, &result, &g.err), 0);
	CHECK_INT(result.status, 255);
	CHECK_STR(buf_text(&result.output), "");
	CHECK(!json);
	buf_free(&result.output);
	part(&g);
}

/* ---- the end of a connection ---- */

static bool hangs_up(struct guest *g, const char *verb, int64_t id)
{
	if (strcmp(verb, "hello"))
		return true;
	say_hello(g, id);
	return false;
}

static void a_closed_port_ends_every_call_and_is_told_once(void)
{
	struct guest g = {.says = hangs_up};

	CHECK_INT(meet(&g, LONG_MS), 0);
	CHECK_INT(ask(&g, LONG_MS), -EPIPE);
	CHECK_HAS(g.err.text, "closed by QEMU");
	CHECK_INT(ask(&g, LONG_MS), -EPIPE);
	CHECK_INT(witness_state(g.w, NULL), -EPIPE);
	part(&g);
	CHECK_INT(g.gone, 1);
}

static bool hangs_up_in_the_middle(struct guest *g, const char *verb, int64_t id)
{
	if (!strcmp(verb, "hello")) {
		say_hello(g, id);
		return false;
	}
	say_bytes(g, "\x40\0\0\0{\"id\":", 10);
	return true;
}

static bool talks_nonsense(struct guest *g, const char *verb, int64_t id)
{
	if (!strcmp(verb, "hello"))
		say_hello(g, id);
	else
		say_bytes(g, "HTTP/1.1 200 OK\r\n\r\n", 19);
	return false;
}

static bool promises_a_huge_frame(struct guest *g, const char *verb, int64_t id)
{
	if (!strcmp(verb, "hello"))
		say_hello(g, id);
	else
		say_bytes(g, "\x01\0\x80\0{", 5);
	return false;
}

static bool complains(struct guest *g, const char *verb, int64_t id)
{
	if (!strcmp(verb, "hello"))
		say_hello(g, id);
	else
		say(g, "{\"event\":\"broken\",\"error\":\"what?\"}");
	return false;
}

static void a_broken_connection_says_why_and_stays_broken(void)
{
	static const struct {
		bool (*says)(struct guest *guest, const char *verb, int64_t id);
		int rc;
		const char *why;
	} rows[] = {
		{hangs_up_in_the_middle, -EPIPE, "closed"},
		{talks_nonsense, -EPROTO, "longer than the limit"},
		{promises_a_huge_frame, -EPROTO, "longer than the limit"},
		{complains, -EPROTO, "could not read what the rig sent"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct guest g = {.says = rows[i].says};

		CHECK_INT(meet(&g, LONG_MS), 0);
		CHECK_INT(ask(&g, LONG_MS), rows[i].rc);
		CHECK_HAS(g.err.text, rows[i].why);
		CHECK_INT(ask(&g, LONG_MS), rows[i].rc);
		part(&g);
	}
}

static bool goes_deaf(struct guest *g, const char *verb, int64_t id)
{
	(void)verb;
	say_hello(g, id);
	g->deaf = true;
	return true;
}

/* The first requests are written and stay unanswered, later ones find the port full, none is late. */
static void a_port_that_takes_nothing_is_a_timeout(void)
{
	struct guest g = {.says = goes_deaf};
	auto_free char *text = mem_zero(200001, 1);
	bool full = false;

	memset(text, 'x', 200000);
	CHECK_INT(meet(&g, LONG_MS), 0);
	for (int i = 0; i < 60; i++) {
		CHECK_INT(witness_call(g.w, "x", json_pack("{s:s}", "text", text),
				  deadline_in_ms(1), NULL, &g.err),
			-ETIMEDOUT);
		full |= strstr(g.err.text, "takes no more bytes") != NULL;
	}
	CHECK(full);
	CHECK_INT(witness_state(g.w, NULL), 0);
	part(&g);
}

/* Events: a gap in the numbers is a loss, a retransmission is none. */
static bool tells_events(struct guest *g, const char *verb, int64_t id)
{
	static const int seq[] = {3, 4, 4, 8, 9, 7};

	if (!strcmp(verb, "hello")) {
		say_hello(g, id);
		return false;
	}
	for (size_t i = 0; i < ARRAY_SIZE(seq); i++)
		say(g, "{\"event\":\"log\",\"seq\":%d}", seq[i]);
	say(g, "{\"event\":7}");
	say(g, "{\"event\":\"log\"}");
	say(g, "{\"id\":%lld,\"ok\":true}", (long long)id);
	return false;
}

static void a_gap_in_the_events_is_counted(void)
{
	struct guest g = {.says = tells_events};

	CHECK_INT(meet(&g, LONG_MS), 0);
	CHECK_INT(ask(&g, LONG_MS), 0);
	CHECK_INT(g.logs, 7);
	CHECK_INT(witness_events_lost(g.w), 3);
	part(&g);
}

static void a_request_too_long_for_the_wire_is_refused_here(void)
{
	struct guest g = {.says = falls_silent};
	auto_free char *line = mem_zero(WITNESS_REQUEST_MAX + 1, 1);
	struct witness_result result = {0};

	memset(line, 'x', WITNESS_REQUEST_MAX);
	CHECK_INT(meet(&g, LONG_MS), 0);
	CHECK_INT(witness_run(g.w, &(struct witness_command){.line = line}, &result, &g.err),
		-EMSGSIZE);
	CHECK_INT(witness_state(g.w, NULL), 0);
	part(&g);
}

CHECK_MAIN(CHECK_CASE(a_silent_guest_is_a_timeout_with_a_sentence),
	CHECK_CASE(nobody_at_the_port_is_an_error_with_its_name),
	CHECK_CASE(a_guest_that_boots_late_is_asked_again),
	CHECK_CASE(a_guest_that_says_hello_for_ever_is_given_up),
	CHECK_CASE(a_witness_of_another_version_is_refused),
	CHECK_CASE(a_slow_call_holds_up_no_other),
	CHECK_CASE(a_call_without_an_answer_is_a_timeout_and_the_next_one_too),
	CHECK_CASE(a_refusal_is_passed_on_as_it_was_said),
	CHECK_CASE(an_answer_of_another_shape_is_an_error_not_a_crash),
	CHECK_CASE(a_closed_port_ends_every_call_and_is_told_once),
	CHECK_CASE(a_broken_connection_says_why_and_stays_broken),
	CHECK_CASE(a_port_that_takes_nothing_is_a_timeout),
	CHECK_CASE(a_gap_in_the_events_is_counted),
	CHECK_CASE(a_request_too_long_for_the_wire_is_refused_here))

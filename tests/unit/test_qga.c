#include "tests/check/check.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "vm/qga.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#define PATIENCE deadline_in_ms(10000)
#define SOON	 deadline_in_ms(30)

/* An agent that answers each request with the next reply of its script; @ stands for the id of a sync,
 * which it answers as a good agent unless `deaf_syncs` is not used up. A NULL reply: silence. */
struct agent {
	int fd, far_end;
	pthread_t thread;
	const char *const *replies;
	const char *late;    /* said in front of the next answer to a sync */
	const char *deaf_to; /* a command that is never answered, and takes no reply */
	unsigned int deaf_syncs, syncs;
	struct buf asked; /* every request but the syncs */
};

static void agent_answer(struct agent *agent, const char *line, size_t len)
{
	auto_json json_t *request = json_loadb(line, len, 0, NULL);
	const char *command = json_get_text(request, "execute", "?");
	auto_buf struct buf out = {0};

	if (!strcmp(command, "guest-sync-delimited")) {
		agent->syncs++;
		if (agent->deaf_syncs) {
			agent->deaf_syncs--;
			return;
		}
		if (agent->late)
			buf_add_str(&out, agent->late);
		agent->late = NULL;
		buf_addf(&out, "\xff{\"return\": %lld}\n",
			(long long)json_get_int(json_object_get(request, "arguments"), "id", -1));
	} else {
		buf_add(&agent->asked, line, len);
		buf_addc(&agent->asked, '\n');
		if (agent->deaf_to && !strcmp(command, agent->deaf_to))
			return;
		if (*agent->replies)
			buf_add_str(&out, *agent->replies);
		agent->replies++;
	}
	io_write_all(agent->fd, buf_text(&out), out.len, PATIENCE, NULL);
}

static void *agent_main(void *arg)
{
	struct agent *agent = arg;
	auto_buf struct buf in = {0};
	char *end;

	for (;;) {
		ssize_t n = io_read(agent->fd, buf_reserve(&in, 4096), 4096, PATIENCE);

		if (n <= 0)
			return NULL;
		in.len += (size_t)n;
		while (in.len && (end = memchr(in.data, '\n', in.len))) {
			char *start = memrchr(in.data, '\xff', (size_t)(end - in.data));

			start = start ? start + 1 : in.data;
			agent_answer(agent, start, (size_t)(end - start));
			buf_consume(&in, (size_t)(end - in.data) + 1);
		}
	}
}

static struct qga *agent_start(struct agent *agent, const char *const *replies, unsigned int deaf)
{
	int ends[2];

	*agent = (struct agent){.replies = replies, .deaf_syncs = deaf};
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		abort();
	agent->fd = ends[1];
	io_prepare(agent->fd);
	pthread_create(&agent->thread, NULL, agent_main, agent);
	return qga_new(ends[0]);
}

static void agent_stop(struct agent *agent, struct qga *qga)
{
	qga_free(qga);
	pthread_join(agent->thread, NULL);
	close(agent->fd);
	buf_free(&agent->asked);
}

/* ---- what a bad agent does --------------------------------------------------------------------- */

static void a_silent_agent_times_out_and_is_found_again(void)
{
	static const char *const replies[] = {NULL, "{\"return\": {}}\n"};
	struct agent agent;
	struct qga *qga = agent_start(&agent, replies, 2);
	struct err err = {0};

	CHECK_INT(qga_ping(qga, SOON, &err), -ETIMEDOUT); /* no sync */
	CHECK_INT(qga_ping(qga, SOON, &err), -ETIMEDOUT); /* no sync */
	CHECK_INT(qga_ping(qga, SOON, &err), -ETIMEDOUT); /* a sync, but no answer */
	CHECK_HAS(err.text, "'guest-ping'");
	CHECK_INT(qga_ping(qga, PATIENCE, &err), 0);
	CHECK_INT(agent.syncs, 4);
	agent_stop(&agent, qga);
}

static void garbage_is_an_error_and_the_next_call_finds_its_place(void)
{
	static const char *const rows[] = {"nonsense\n", "[]\n", "7\n", "\n", "{}\n",
		"{\"return\"\n", "\xff\xff\xff\n", "{\"return\": {}} {\"return\": {}}\n"};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *const replies[] = {rows[i], "{\"return\": \"thawed\"}\n"};
		struct agent agent;
		struct qga *qga = agent_start(&agent, replies, 0);
		struct err err = {0};
		bool frozen = true;

		CHECK_INT(qga_ping(qga, PATIENCE, &err), -EPROTO);
		CHECK_HAS(err.text, "garbage");
		CHECK_INT(qga_frozen(qga, PATIENCE, &frozen, &err), 0);
		CHECK(!frozen);
		agent_stop(&agent, qga);
	}
}

static void an_endless_reply_is_refused(void)
{
	auto_free char *blob = mem_zero(QGA_REPLY_MAX + 8192, 1);
	const char *const replies[] = {blob, "{\"return\": {}}\n"};
	struct agent agent;
	struct qga *qga;
	struct err err = {0};

	memset(blob, 'x', QGA_REPLY_MAX + 8191);
	qga = agent_start(&agent, replies, 0);
	CHECK_INT(qga_ping(qga, PATIENCE, &err), -EPROTO);
	CHECK_INT(qga_ping(qga, PATIENCE, &err), 0);
	agent_stop(&agent, qga);
}

static void late_answers_are_skipped(void)
{
	static const char *const rows[] = {"{\"return\": 1}\n", "\xff{\"return\": 999}\n",
		"{\"return\": 1}\n\xff{\"return\": 1}\n{\"return\"", "\xff{\"retu", "\xff\n\xff",
		"\xff[]\n"};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		static const char *const replies[] = {"{\"return\": 3}\n"};
		struct agent agent;
		struct qga *qga = agent_start(&agent, replies, 0);
		struct err err = {0};
		unsigned int count = 0;

		agent.deaf_to = "guest-ping";
		CHECK_INT(qga_ping(qga, SOON, &err), -ETIMEDOUT);
		agent.late = rows[i];
		CHECK_INT(qga_thaw(qga, PATIENCE, &count, &err), 0);
		CHECK_INT(count, 3);
		agent_stop(&agent, qga);
	}
}

static void wrong_types_are_garbage(void)
{
	static const char *const replies[] = {"{\"return\": \"three\"}\n", "{\"return\": -1}\n",
		"{\"return\": 99999999999}\n", "{\"return\": 1.5}\n", "{\"return\": 7}\n",
		"{\"return\": \"melted\"}\n"};
	struct agent agent;
	struct qga *qga = agent_start(&agent, replies, 0);
	unsigned int count = 0;
	bool frozen = false;

	for (int i = 0; i < 4; i++)
		CHECK_INT(qga_thaw(qga, PATIENCE, &count, NULL), -EPROTO);
	for (int i = 0; i < 2; i++)
		CHECK_INT(qga_frozen(qga, PATIENCE, &frozen, NULL), -EPROTO);
	agent_stop(&agent, qga);
}

static void a_closed_port_is_a_broken_pipe(void)
{
	static const char *const replies[] = {NULL};
	struct agent agent;
	struct qga *qga = agent_start(&agent, replies, 0);

	shutdown(agent.fd, SHUT_RDWR);
	CHECK_INT(qga_ping(qga, PATIENCE, NULL), -EPIPE);
	CHECK_INT(qga_ping(qga, PATIENCE, NULL), -EPIPE);
	agent_stop(&agent, qga);
}

/* ---- and a good one ---------------------------------------------------------------------------- */

static void an_error_is_told_and_needs_no_new_sync(void)
{
	static const char *const replies[] = {("{\"error\": {\"class\": \"CommandNotFound\", "
					       "\"desc\": \"disabled\\u0007 while frozen\"}}\n"),
		"{\"error\": []}\n", "{\"return\": {}}\n"};
	struct agent agent;
	struct qga *qga = agent_start(&agent, replies, 0);
	struct err err = {0};

	CHECK_INT(qga_execute(qga, "guest-exec", json_pack("{s:s}", "path", "/bin/true"), PATIENCE,
			  NULL, &err),
		-EREMOTEIO);
	CHECK_HAS(err.text, "while frozen");
	CHECK(!strchr(err.text, '\a'));
	CHECK_INT(qga_ping(qga, PATIENCE, &err), -EREMOTEIO);
	CHECK_INT(qga_ping(qga, PATIENCE, &err), 0);
	CHECK_INT(agent.syncs, 1);
	agent_stop(&agent, qga);
}

static void freeze_names_its_mounts_and_thaw_counts(void)
{
	static const char *const replies[] = {"{\"return\": 2}\n", "{\"return\": \"frozen\"}\n",
		"{\"return\": 2}\n", "{\"return\": 5}\n"};
	static const char *const mounts[] = {"/srv/mail", "/var/spool/postfix", NULL};
	struct agent agent;
	struct qga *qga = agent_start(&agent, replies, 0);
	unsigned int count = 0;
	bool frozen = false;

	CHECK_INT(qga_freeze(qga, mounts, PATIENCE, &count, NULL), 0);
	CHECK_INT(count, 2);
	CHECK_HAS(buf_text(&agent.asked),
		"{\"execute\":\"guest-fsfreeze-freeze-list\",\"arguments\":{\"mountpoints\":"
		"[\"/srv/mail\",\"/var/spool/postfix\"]}}");
	CHECK_INT(qga_frozen(qga, PATIENCE, &frozen, NULL), 0);
	CHECK(frozen);
	CHECK_INT(qga_thaw(qga, PATIENCE, &count, NULL), 0);
	CHECK_INT(qga_freeze(qga, NULL, PATIENCE, &count, NULL), 0);
	CHECK_INT(count, 5);
	CHECK_HAS(buf_text(&agent.asked), "{\"execute\":\"guest-fsfreeze-freeze\"}");
	agent_stop(&agent, qga);
	qga_free(NULL);
}

CHECK_MAIN(CHECK_CASE(a_silent_agent_times_out_and_is_found_again),
	CHECK_CASE(garbage_is_an_error_and_the_next_call_finds_its_place),
	CHECK_CASE(an_endless_reply_is_refused), CHECK_CASE(late_answers_are_skipped),
	CHECK_CASE(wrong_types_are_garbage), CHECK_CASE(a_closed_port_is_a_broken_pipe),
	CHECK_CASE(an_error_is_told_and_needs_no_new_sync),
	CHECK_CASE(freeze_names_its_mounts_and_thaw_counts))

/*
 * Tables of small histories with the ruling of one law: what each oracle is proved by. A row is JSON
 * Lines; the texts below write the usual lines short. Times are given where they matter.
 */
#pragma once

#include "api/oracle.h"
#include "tests/check/check.h"

#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#define Q(x)	    "\"" x "\""
#define PHASE(t, n) "{\"t\":" #t ",\"ev\":\"phase\",\"name\":" Q(n) "}\n"
#define WORK	    PHASE(0, "workload")
#define END	    PHASE(900, "end")
#define READ(user)  "{\"t\":800,\"ev\":\"read\",\"user\":" Q(user) ",\"copies\":0,\"mailboxes\":1}\n"
#define FAULT(t, name, state) \
	"{\"t\":" #t          \
	",\"ev\":\"fault\",\"step\":" Q(name) ",\"fault\":" Q(name) ",\"state\":" Q(state) "}\n"
#define LOST(t, s) \
	"{\"t\":" #t ",\"ev\":\"rig\",\"trouble\":\"starved\",\"text\":\"\",\"lost_s\":" #s "}\n"
#define STARVED(t) "{\"t\":" #t ",\"ev\":\"rig\",\"trouble\":\"starved\",\"text\":\"\"}\n"
/* A message `token` of body "aa" from w@sink.rig. */
#define SEND(id, token, to)                                                                 \
	"{\"t\":1,\"ev\":\"begin\",\"id\":" #id ",\"who\":\"w.1\",\"op\":\"smtp-message\"," \
	"\"service\":\"smtp\",\"token\":" Q(token) ",\"from\":\"w@sink.rig\",\"to\":[" Q(   \
		to) "],"                                                                    \
		    "\"sha256\":\"aa\",\"bytes\":9}\n"
#define DONE(t, id, outcome)                                                                   \
	"{\"t\":" #t ",\"ev\":\"end\",\"id\":" #id ",\"who\":\"w.1\",\"op\":\"smtp-message\"," \
	"\"outcome\":" Q(outcome) "}\n"
#define OP(t, id, op, user)                          \
	"{\"t\":" #t ",\"ev\":\"begin\",\"id\":" #id \
	",\"who\":\"r.1\",\"op\":" Q(op) ",\"user\":" Q(user) "}\n"
#define TRY(hop, token, to, result)                                                                \
	"{\"t\":2,\"ev\":\"attempt\",\"hop\":" Q(hop) ",\"conn\":1,\"token\":" Q(                  \
		token) ",\"from\":\"w@sink.rig\",\"to\":" Q(to) ",\"result\":" Q(result) ",\"code" \
											 "\":0}\n"
#define TRY_AT(hop, token, to, result, code, dot, reply)                                            \
	"{\"t\":" #reply ",\"ev\":\"attempt\",\"hop\":" Q(hop) ",\"conn\":1,\"token\":" Q(          \
		token) ",\"from\":\"w@sink.rig\",\"to\":" Q(to) ",\"result\":" Q(result) ",\"code"  \
											 "\""       \
											 ":" #code  \
											 ",\"dot_"  \
											 "t\""      \
											 ":" #dot   \
											 ",\"repl"  \
											 "y_"       \
											 "t\""      \
											 ":" #reply \
											 "}\n"
#define COPY_OF(token, user, body)                                                             \
	"{\"t\":810,\"ev\":\"copy\",\"user\":" Q(user) ",\"mailbox\":\"INBOX\",\"uid\":1,"     \
						       "\"token\":" Q(token) ",\"sha256\":" Q( \
							       body) ",\"bytes\":9,\"whole\":" \
								     "true}\n"
#define COPY(token, user) COPY_OF(token, user, "aa")
#define PARTIAL(token, user)                                                                       \
	"{\"t\":810,\"ev\":\"copy\",\"user\":" Q(                                                  \
		user) ",\"mailbox\":\"INBOX\",\"uid\":1,\"token\":" Q(token) ",\"sha256\":\"bb\"," \
									     "\"bytes\":3,"        \
									     "\"whole\":false}\n"
#define BOUNCE(t, token, user)                            \
	"{\"t\":" #t ",\"ev\":\"copy\",\"user\":" Q(      \
		user) ",\"mailbox\":\"INBOX\",\"uid\":9," \
		      "\"sha256\":\"dd\",\"bytes\":9,\"whole\":true,\"bounce_of\":" Q(token) "}\n"
#define SUNK(token, to)                                                                         \
	"{\"t\":810,\"ev\":\"sunk\",\"token\":" Q(token) ",\"from\":\"w@sink.rig\",\"to\":[" Q( \
		to) "],\"sha256\":\"aa\",\"bytes\":9}\n"
#define QUEUED(token, to)                                                                 \
	"{\"t\":820,\"ev\":\"queued\",\"id\":\"4Q\",\"state\":\"deferred\",\"token\":" Q( \
		token) ",\"to\":[" Q(to) "]}\n"

/* A row leaves out what it does not need. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

struct row {
	const char *name;
	const char *lines;
	enum ruling want;
	const char *says;	     /* part of the text, or NULL */
	const char *baseline;	     /* or NULL */
	const struct target *target; /* or NULL: the table's */
	uint64_t excused;
	const char *role; /* the whole scope of the first breach, or NULL */
	uint32_t line;	  /* the breaking one, 0: any */
};

static char *text_of[] = {(char *)"queue_list", (char *)"./queue-list"};
static struct target_command table_commands[1];
static struct service table_services[] = {
	{.name = (char *)"smtp", .protocol = PROTOCOL_SMTP, .port = 25},
	{.name = (char *)"lmtp", .protocol = PROTOCOL_LMTP, .port = 24, .seen = SEEN_RELAY},
};

static char *table_users[] = {(char *)"u1", (char *)"u2", (char *)"u3"};

/* A target that lets everything be judged. */
static inline struct target table_target(void)
{
	table_commands[0] = (struct target_command){.name = text_of[0], .line = text_of[1]};
	return (struct target){
		.name = (char *)"table",
		.users = {table_users, 3},
		.services = table_services,
		.service_count = 2,
		.commands = table_commands,
		.command_count = 1,
		.timers = {.retry_first_ms = 300000,
			.retry_longest_ms = 400000,
			.give_up_ms = 5 * 86400000LL,
			.agent_silent_ms = 600000,
			.stuck_worker_ms = TIME_UNSET},
	};
}

static inline void judge_row(
	const char *law, const struct row *row, const struct target *target, struct judgement *ret)
{
	struct err err = {{0}};
	struct history *history = history_from_lines(row->lines, &err);
	struct history *baseline = row->baseline ? history_from_lines(row->baseline, &err) : NULL;
	struct oracle_context context = {
		.target = row->target ? row->target : target,
		.objectives = objectives_resolve(NULL, NULL),
		.baseline = baseline,
	};

	if (!history || (row->baseline && !baseline)) {
		fprintf(stderr, "\nrow '%s': %s\n", row->name, err.text);
		CHECK(false);
		*ret = (struct judgement){0};
	} else {
		oracle_judge(oracle_find(law), history, &context, ret);
	}
	history_free(history);
	history_free(baseline);
}

static inline void check_table(const char *law, const struct row *rows, size_t count)
{
	struct target target = table_target();

	for (size_t i = 0; i < count; i++) {
		struct judgement got;
		bool ok;

		judge_row(law, &rows[i], &target, &got);
		ok = CHECK_STR(ruling_name(got.ruling), ruling_name(rows[i].want));
		ok = (!rows[i].says || CHECK_HAS(got.text, rows[i].says)) && ok;
		ok = CHECK_INT(got.excused, rows[i].excused) && ok;
		ok = (!rows[i].role || CHECK_STR(got.role, rows[i].role)) && ok;
		ok = (!rows[i].line || CHECK_INT(got.lines[0], rows[i].line)) && ok;
		if (got.ruling == RULING_BROKEN)
			ok = CHECK(got.breaches && got.line_count && *got.role && *got.text) && ok;
		if (!ok)
			fprintf(stderr, "in row '%s' of %s: \"%s\"\n", rows[i].name, law, got.text);
	}
}

#define CHECK_TABLE(law, rows) check_table(law, rows, ARRAY_SIZE(rows))

/*
 * How fast a history is read from its file and judged, and that both are linear: N messages of SMTP (default
 * 1,000,000: an operation, an edge and an inner attempt, a reply and a copy each), and N / 10 rounds of IMAP sessions in
 * mailboxes of a hundred messages (APPEND, two STOREs and an EXPUNGE each, seen by a second session), half of them and
 * all (`judge N imap`: the sessions alone). Each is judged TIMES times, and the least counts: what another process on
 * the host took from one of them is no growth. Prints seconds of the wall and of the processor; fails where judging a
 * million messages needs more than JUDGE_MAX_S of the processor, or where an event of all costs more than RATIO_MAX
 * times what one of the half did: judged alone, or read and judged. (Half of them are too many for the caches already,
 * so that only growth is left.)
 */
#include "api/ledger.h"
#include "api/oracle.h"
#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MESSAGES    1000000u
#define USERS	    50u
#define KEPT	    100u /* messages in each mailbox of the IMAP sessions */
#define JUDGE_MAX_S 5.0
#define RATIO_MAX   1.25 /* of the cost of an event, among twice as many */
#define TIMES	    3
#define SMALL_S	    0.05 /* too little to make a ratio of */

static void write_message(FILE *file, uint32_t i)
{
	double t = i / 1000.0;
	uint32_t user = i % USERS;

	fprintf(file,
		"{\"t\":%.6f,\"ev\":\"begin\",\"id\":%u,\"who\":\"w.1\",\"op\":\"smtp-message\","
		"\"service\":"
		"\"smtp\",\"token\":\"%032x\",\"from\":\"w@sink.rig\",\"to\":[\"u%u@store\"],"
		"\"sha256\":\"%064x\",\"bytes\":2400}\n",
		t, i + 1, i, user, i);
	fprintf(file,
		"{\"t\":%.6f,\"ev\":\"attempt\",\"hop\":\"edge\",\"conn\":\"c%u\",\"token\":\"%"
		"032x\","
		"\"from\":\"w@sink.rig\",\"to\":\"u%u@store\",\"result\":\"2yz\",\"code\":250,"
		"\"dot_t\":%.6f,\"reply_t\":%.6f}\n",
		t + 0.02, i % 4, i, user, t + 0.01, t + 0.02);
	fprintf(file,
		"{\"t\":%.6f,\"ev\":\"end\",\"id\":%u,\"who\":\"w.1\",\"op\":\"smtp-message\","
		"\"outcome\":"
		"\"OK\",\"code\":250,\"text\":\"2.0.0 Ok: queued as 4Q%xz\"}\n",
		t + 0.02, i + 1, i);
	fprintf(file,
		"{\"t\":%.6f,\"ev\":\"attempt\",\"hop\":\"inner\",\"conn\":\"d%u\",\"token\":\"%"
		"032x\","
		"\"from\":\"w@sink.rig\",\"to\":\"u%u@store\",\"result\":\"2yz\",\"code\":250,"
		"\"dot_t\":%.6f,\"reply_t\":%.6f}\n",
		t + 0.04, i % 4, i, user, t + 0.03, t + 0.04);
}

static void write_history(FILE *file, uint32_t messages)
{
	fputs("{\"t\":0,\"ev\":\"phase\",\"name\":\"workload\"}\n", file);
	fputs("{\"t\":1,\"ev\":\"fault\",\"step\":\"f\",\"fault\":\"freeze-fs\",\"state\":\"in-"
	      "force\"}\n",
		file);
	for (uint32_t i = 0; i < messages; i++) {
		write_message(file, i);
		if (i == messages / 2)
			fprintf(file,
				"{\"t\":%.6f,\"ev\":\"fault\",\"step\":\"f\",\"fault\":\"freeze-"
				"fs\","
				"\"state\":\"healed\"}\n",
				i / 1000.0);
	}
	for (uint32_t i = 0; i < USERS; i++)
		fprintf(file, "{\"t\":2000,\"ev\":\"read\",\"user\":\"u%u\"}\n", i);
	for (uint32_t i = 0; i < messages; i++)
		fprintf(file,
			"{\"t\":2000,\"ev\":\"copy\",\"user\":\"u%u\",\"mailbox\":\"INBOX\","
			"\"uid\":%u,"
			"\"token\":\"%032x\",\"sha256\":\"%064x\",\"bytes\":2500,\"whole\":true}\n",
			i % USERS, i / USERS + 1, i, i);
	fputs("{\"t\":2001,\"ev\":\"phase\",\"name\":\"end\"}\n", file);
}

/* ---- IMAP: for each user one session that changes INBOX, and one that looks on ---- */

static void say(FILE *file, double t, uint32_t session, uint32_t tag, const char *command)
{
	fprintf(file, "{\"t\":%.6f,\"ev\":\"imap\",\"s\":%u,\"sent\":\"r%u\",\"command\":\"%s\"}\n",
		t, session, tag, command);
}

static void told(FILE *file, double t, uint32_t session, const char *list)
{
	fprintf(file, "{\"t\":%.6f,\"ev\":\"imap\",\"s\":%u,\"told\":[%s]}\n", t, session, list);
}

static void done(FILE *file, double t, uint32_t session, uint32_t tag, const char *more)
{
	fprintf(file,
		"{\"t\":%.6f,\"ev\":\"imap\",\"s\":%u,\"done\":\"r%u\",\"status\":\"OK\"%s}\n", t,
		session, tag, more);
}

static void open_session(FILE *file, uint32_t session, uint32_t user)
{
	fprintf(file,
		"{\"t\":1,\"ev\":\"imap\",\"s\":%u,\"open\":{\"who\":\"m.%u\",\"user\":\"u%u\"}}\n",
		session, session, user);
	say(file, 1, session, 1, "SELECT INBOX");
	told(file, 1, session,
		"{\"exists\":0},{\"code\":\"UIDVALIDITY 7\"},{\"code\":\"UIDNEXT 1\"},"
		"{\"code\":\"HIGHESTMODSEQ 1\"}");
	done(file, 1, session, 1, "");
}

/* The other session is told what happened, and asks for what it does not know, as the rig's clients do. */
static void look_on(
	FILE *file, uint32_t session, uint32_t n, uint32_t count, uint32_t uid, double t)
{
	uint32_t tag = 2 + 2 * n, number = n < KEPT ? count : count - 1;
	char text[512];

	say(file, t, session, tag, "NOOP");
	snprintf(
		text, sizeof(text), "{\"exists\":%u}%s", count, n < KEPT ? "" : ",{\"expunge\":1}");
	told(file, t, session, text);
	done(file, t, session, tag, "");
	snprintf(text, sizeof(text), "FETCH %u (UID FLAGS)", number);
	say(file, t, session, tag + 1, text);
	snprintf(text, sizeof(text), "{\"fetch\":%u,\"uid\":%u,\"flags\":\"\\\\Seen\"}", number,
		uid);
	told(file, t, session, text);
	done(file, t, session, tag + 1, "");
}

/* The n-th round of that user: a message comes, is marked, and the oldest goes. */
static void imap_round(FILE *file, uint32_t user, uint32_t n, double t)
{
	uint32_t session = 2 * user + 1, tag = 2 + 4 * n, uid = n + 1;
	uint32_t count = n < KEPT ? n + 1 : KEPT + 1, modseq = 2 + 4 * n;
	char text[512];

	say(file, t, session, tag, "APPEND INBOX");
	fprintf(file,
		"{\"t\":%.6f,\"ev\":\"imap\",\"s\":%u,\"sent\":\"r%u\",\"token\":\"%08x%024x\","
		"\"sha256\":\"%064x\",\"bytes\":99}\n",
		t, session, tag, user, n, n);
	snprintf(text, sizeof(text), "{\"exists\":%u}", count);
	told(file, t, session, text);
	snprintf(text, sizeof(text), ",\"code\":\"APPENDUID 7 %u\"", uid);
	done(file, t, session, tag, text);
	snprintf(text, sizeof(text), "UID STORE %u +FLAGS (\\\\Seen)", uid);
	say(file, t, session, tag + 1, text);
	snprintf(text, sizeof(text),
		"{\"fetch\":%u,\"uid\":%u,\"flags\":\"\\\\Seen\",\"modseq\":%u}", count, uid,
		modseq);
	told(file, t, session, text);
	done(file, t, session, tag + 1, "");
	if (n >= KEPT) {
		snprintf(text, sizeof(text), "UID STORE %u +FLAGS (\\\\Deleted)", uid - KEPT);
		say(file, t, session, tag + 2, text);
		snprintf(text, sizeof(text),
			"{\"fetch\":1,\"uid\":%u,\"flags\":\"\\\\Seen \\\\Deleted\",\"modseq\":%u}",
			uid - KEPT, modseq + 1);
		told(file, t, session, text);
		done(file, t, session, tag + 2, "");
		snprintf(text, sizeof(text), "UID EXPUNGE %u", uid - KEPT);
		say(file, t, session, tag + 3, text);
		told(file, t, session, "{\"expunge\":1}");
		done(file, t, session, tag + 3, "");
	}
	look_on(file, session + 1, n, count, uid, t);
}

static void write_imap(FILE *file, uint32_t rounds)
{
	fputs("{\"t\":0,\"ev\":\"phase\",\"name\":\"workload\"}\n", file);
	for (uint32_t user = 0; user < USERS; user++) {
		open_session(file, 2 * user + 1, user);
		open_session(file, 2 * user + 2, user);
	}
	for (uint32_t i = 0; i < rounds; i++)
		imap_round(file, i % USERS, i / USERS, 2 + i / 1000.0);
	fputs("{\"t\":2001,\"ev\":\"phase\",\"name\":\"end\"}\n", file);
}

/* ---- measuring ---- */

struct cost {
	double wall_s, cpu_s;
	int64_t began_ns, cpu_began_ns;
};

static int64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

static struct cost cost_begin(void)
{
	return (struct cost){.began_ns = clock_mono_ns(), .cpu_began_ns = cpu_ns()};
}

static void cost_end(struct cost *cost)
{
	cost->wall_s = (double)(clock_mono_ns() - cost->began_ns) / (double)NS_PER_SEC;
	cost->cpu_s = (double)(cpu_ns() - cost->cpu_began_ns) / (double)NS_PER_SEC;
}

/* How many laws hold; a law that does more than hold is told, and -1. */
static int judge_all(const struct history *history, struct cost *ret)
{
	struct oracle_context context = {.objectives = objectives_resolve(NULL, NULL)};
	int held = 0, wrong = 0;

	*ret = cost_begin();
	for (const struct oracle *const *oracle = oracles; *oracle; oracle++) {
		struct judgement got;

		oracle_judge(*oracle, history, &context, &got);
		held += got.ruling == RULING_HOLDS;
		wrong += got.ruling > RULING_HOLDS;
		if (got.ruling > RULING_HOLDS)
			fprintf(stderr, "%s: %s\n", (*oracle)->law, got.text);
	}
	cost_end(ret);
	return wrong ? -1 : held;
}

struct measured {
	bool ok; /* loaded, and no law was broken */
	size_t events;
	double judge_s, both_s; /* of the processor; both: read and judged */
};

static struct measured measure(const char *path, const char *what, uint32_t count)
{
	struct cost load = cost_begin(), judge = {0};
	struct history *history = NULL;
	struct measured got = {0};
	struct err err = {{0}};
	struct rusage usage;
	int held = 0;

	if (history_load(path, &history, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return got;
	}
	cost_end(&load);
	for (int i = 0; i < TIMES && held >= 0; i++) {
		struct cost once;

		held = judge_all(history, &once);
		judge = i && judge.cpu_s < once.cpu_s ? judge : once;
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("judge %8u %s, %zu events: read in %5.2f s (processor %5.2f s), judged in %5.2f s "
	       "(processor %5.2f s), %d laws hold, %ld MiB\n",
		count, what, history->count, load.wall_s, load.cpu_s, judge.wall_s, judge.cpu_s,
		held, usage.ru_maxrss / 1024);
	got = (struct measured){held >= 0, history->count, judge.cpu_s, load.cpu_s + judge.cpu_s};
	history_free(history);
	return got;
}

static struct measured write_and_measure(
	const char *path, const char *what, void (*write)(FILE *file, uint32_t n), uint32_t count)
{
	FILE *file = fopen(path, "we");

	if (!file)
		return (struct measured){0};
	write(file, count);
	return fclose(file) ? (struct measured){0} : measure(path, what, count);
}

static bool linear(const char *what, const char *how, const struct measured *half, double half_s,
	const struct measured *all, double all_s)
{
	double each = half_s / (double)half->events, all_each = all_s / (double)all->events;
	bool ok = half_s < SMALL_S || all_each <= RATIO_MAX * each;

	printf("%s, twice as many, %s: an event costs %.2f us instead of %.2f us, %.2f times as "
	       "much%s\n",
		what, how, all_each * 1e6, each * 1e6, all_each / each, ok ? "" : ": FAILED");
	return ok;
}

/* Half of them, then all: 0 if it is fast enough (`max_s`) and linear. */
static int compare(const char *path, const char *what, void (*write)(FILE *file, uint32_t n),
	uint32_t count, double max_s)
{
	struct measured half = write_and_measure(path, what, write, count / 2);
	struct measured all = write_and_measure(path, what, write, count);
	bool ok = half.ok && all.ok;

	if (!ok)
		return 1;
	ok = linear(what, "judged", &half, half.judge_s, &all, all.judge_s);
	ok &= linear(what, "read and judged", &half, half.both_s, &all, all.both_s);
	if (all.judge_s > max_s)
		printf("%s: judging needs more than %.1f s: FAILED\n", what, max_s);
	return ok && all.judge_s <= max_s ? 0 : 1;
}

int main(int argc, char **argv)
{
	uint32_t messages = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : MESSAGES;
	double max_s = JUDGE_MAX_S * messages / MESSAGES;
	char path[] = "/tmp/mailrig-bench.XXXXXX";
	int fd = mkstemp(path), rc;

	if (fd < 0)
		return 1;
	close(fd);
	max_s = max_s > 1 ? max_s : 1;
	rc = argc > 2 ? 0 : compare(path, "messages", write_history, messages, max_s);
	rc |= compare(path, "IMAP rounds", write_imap, messages / 10, max_s);
	unlink(path);
	return rc;
}

/*
 * How fast a history is loaded and judged, and that it is linear: the same cell at a quarter, a half and
 * the whole of N messages (default 1,000,000), each an operation, an edge and an inner attempt, a
 * reply and a copy. Prints seconds and microseconds a message.
 */
#include "api/ledger.h"
#include "api/oracle.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define MESSAGES 1000000u
#define USERS	 50u

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

static double seconds_since(int64_t began_ns)
{
	return (double)(clock_mono_ns() - began_ns) / (double)NS_PER_SEC;
}

static int measure(const char *path, uint32_t messages)
{
	struct oracle_context context = {.objectives = objectives_resolve(NULL, NULL)};
	struct history *history = NULL;
	size_t held = 0, wrong = 0;
	double load_s, judge_s;
	struct err err = {{0}};
	struct rusage usage;
	int64_t began = clock_mono_ns();

	if (history_load(path, &history, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	load_s = seconds_since(began);
	began = clock_mono_ns();
	for (const struct oracle *const *oracle = oracles; *oracle; oracle++) {
		struct judgement got;

		oracle_judge(*oracle, history, &context, &got);
		held += got.ruling == RULING_HOLDS;
		wrong += got.ruling > RULING_HOLDS;
		if (got.ruling > RULING_HOLDS)
			fprintf(stderr, "%s: %s\n", (*oracle)->law, got.text);
	}
	judge_s = seconds_since(began);
	getrusage(RUSAGE_SELF, &usage);
	printf("judge %8u messages, %zu events: load %6.2f s, judge %5.2f s (%.2f us a message), "
	       "%zu laws hold, %ld MiB\n",
		messages, history->count, load_s, judge_s, judge_s * 1e6 / messages, held,
		usage.ru_maxrss / 1024);
	history_free(history);
	return wrong ? 1 : 0;
}

int main(int argc, char **argv)
{
	uint32_t messages = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : MESSAGES;
	char path[] = "/tmp/mailrig-bench.XXXXXX";
	int fd = mkstemp(path), rc = 0;

	if (fd < 0)
		return 1;
	close(fd);
	for (uint32_t part = 4; part && !rc; part /= 2) {
		FILE *file = fopen(path, "we");

		if (!file)
			return 1;
		write_history(file, messages / part);
		rc = fclose(file) ? 1 : measure(path, messages / part);
	}
	unlink(path);
	return rc;
}

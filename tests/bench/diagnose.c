/*
 * How long graph and diagnosis of a store of N threads take, from the scan as JSON to the classes and the picture:
 * 64, 256, 1024 and 4096 threads in processes of sixteen, half of them a queue behind one lock, with a cycle of three
 * somewhere. Prints the median and the worst of many rounds.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "diagnose/diagnose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS	    50
#define PER_PROCESS 16
#define CYCLE	    3

static void add_task(json_t *tasks, int pid, int tid, const char *syscall, json_t *futex)
{
	json_t *task = json_pack("{si si si ss ss ss si ss ss ss}", "pid", pid, "tid", tid, "ppid",
		1, "comm", "store", "exe", "/usr/lib/store/store", "state", "S", "start", 5,
		"wchan", "futex_wait_queue", "syscall", syscall, "stack",
		"[<0>] futex_wait_queue+0x60/0x90\n[<0>] do_futex+0x7b/0x1c0\n");

	if (futex)
		json_object_set_new(task, "futex", futex);
	json_array_append_new(tasks, task);
}

/* Mutexes name their owners: CYCLE threads in a ring, the rest of every process behind the first of them or at
 * a condition variable. */
static json_t *make_scan(int threads)
{
	json_t *tasks = json_array();

	for (int i = 0; i < threads; i++) {
		int pid = 1000 + i / PER_PROCESS * PER_PROCESS, tid = 1000 + i,
		    at = i % PER_PROCESS;
		int owner = at < CYCLE ? pid + (at + 1) % CYCLE : pid;
		auto_free char *call = text_fmt(
			at % 2 || at < CYCLE
				? "202 0x7f%08x0 0x80 0x2 0x0 0x0 0x0 0x7ffc0 0x7f00"
				: "202 0x7f%08x0 0x189 0x0 0x0 0x0 0xffffffff 0x7ffc0 0x7f00",
			owner);

		add_task(tasks, pid, tid, call,
			at % 2 || at < CYCLE ? json_pack("[iiiii]", 2, 0, owner, 1, 0) : NULL);
	}
	return json_pack("{sI so ss}", "guest_ns", (json_int_t)1, "tasks", tasks, "locks", "");
}

static int compare(const void *a, const void *b)
{
	const int64_t *one = a, *two = b;

	return (*one > *two) - (*one < *two);
}

static int measure(int threads)
{
	json_t *scan = make_scan(threads), *owed = json_pack("[{sf}]", "age_s", 5.0);
	const struct diagnose_input input = {
		.scan = scan, .earlier = scan, .healthy = NULL, .owed = owed, .owed_limit_s = 2};
	int64_t took[ROUNDS];
	int wrong = 0;

	for (int i = 0; i < ROUNDS; i++) {
		int64_t began = clock_mono_ns();
		struct diagnosis got;

		diagnose(&input, &got);
		took[i] = clock_mono_ns() - began;
		wrong += !got.hang_class || strcmp(got.hang_class, "deadlock") != 0;
		diagnosis_free(&got);
	}
	qsort(took, ROUNDS, sizeof(took[0]), compare);
	printf("diagnose %5d threads: %8.3f ms, worst %8.3f ms%s\n", threads,
		(double)took[ROUNDS / 2] / 1e6, (double)took[ROUNDS - 1] / 1e6,
		wrong ? ", WRONG" : "");
	json_decref(scan);
	json_decref(owed);
	return wrong;
}

int main(void)
{
	static const int sizes[] = {64, 256, 1024, 4096};
	int wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		wrong += measure(sizes[i]);
	return wrong != 0;
}

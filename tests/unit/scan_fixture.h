/*
 * A scan of a few processes with sockets between them, put together for the diagnosis: one thread each, of a program
 * of its own parent 1.
 */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"
#include "diagnose/diagnose.h"
#include "tests/check/check.h"

#include <string.h>

#define LOOP	     "232 0x3 0x7f00 0x8 0xffffffff 0x0 0x0 0x1 0x2"
#define RECV(fd)     "45 0x" #fd " 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define READ(fd)     "0 0x" #fd " 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define FLOCK(fd)    "73 0x" #fd " 0x2 0x0 0x0 0x0 0x0 0x1 0x2"
#define WAITPID(pid) "61 0x" #pid " 0x0 0x0 0x0 0x0 0x0 0x1 0x2"
#define SLEEP	     "35 0x7f00 0x0 0x0 0x0 0x0 0x0 0x1 0x2"

struct scan_parts {
	json_t *tasks, *fds, *sockets, *files;
};

static inline struct scan_parts scan_begin(void)
{
	return (struct scan_parts){json_array(), json_array(), json_array(), json_array()};
}

/* Takes the parts over. `locks`: as /proc/locks. */
static inline json_t *scan_end(struct scan_parts *s, const char *locks)
{
	return json_pack("{ss so so so so}", "locks", locks, "tasks", s->tasks, "fds", s->fds,
		"sockets", s->sockets, "files", s->files);
}

/* Borrowed from the scan. */
static inline json_t *add_thread(
	struct scan_parts *s, int pid, int tid, const char *exe, const char *syscall)
{
	json_t *task = json_pack("{si si si ss ss ss si ss}", "pid", pid, "tid", tid, "ppid", 1,
		"comm", exe + 3, "exe", exe, "state", strcmp(syscall, "running") ? "S" : "R",
		"start", 1, "syscall", syscall);

	json_array_append_new(s->tasks, task);
	return task;
}

static inline json_t *add_process(
	struct scan_parts *s, int pid, const char *exe, const char *syscall)
{
	return add_thread(s, pid, pid, exe, syscall);
}

/* Waits for that descriptor alone. */
static inline void add_poller(
	struct scan_parts *s, int pid, const char *exe, const char *syscall, int fd)
{
	json_object_set_new(add_process(s, pid, exe, syscall), "wait_fds", json_pack("[i]", fd));
}

static inline void add_fd(struct scan_parts *s, int pid, int fd, const char *kind, int ino)
{
	json_array_append_new(s->fds, json_pack("{sisisissss}", "pid", pid, "fd", fd, "ino", ino,
					      "kind", kind, "mode", "rw"));
}

/* Two ends of a connection; `accepted`: the other one is the end of who was called. */
static inline json_t *add_pair(struct scan_parts *s, int one, int other, bool accepted)
{
	json_t *end = json_pack("{sisi sb}", "ino", other, "peer", one, "accepted", accepted);

	json_array_append_new(s->sockets, json_pack("{sisi}", "ino", one, "peer", other));
	json_array_append_new(s->sockets, end);
	return end;
}

static inline void add_door(struct scan_parts *s, int ino, const char *name, int backlog)
{
	json_array_append_new(s->sockets, json_pack("{sisssssi}", "ino", ino, "state", "listen",
						  "name", name, "backlog", backlog));
}

static inline void add_at_door(struct scan_parts *s, int ino, int door)
{
	json_array_append_new(s->sockets, json_pack("{sisi}", "ino", ino, "accept", door));
}

/* One reply is overdue. */
static inline void diagnose_instants(
	const json_t *scan, const json_t *earlier, bool progressed, struct diagnosis *ret)
{
	auto_json json_t *owed = json_pack("[{sf}]", "age_s", 9.0);

	diagnose(&(struct diagnose_input){.scan = scan,
			 .earlier = earlier,
			 .owed = owed,
			 .owed_limit_s = 2,
			 .progressed = progressed},
		ret);
}

/* The same at both instants. */
static inline void diagnose_scan(const json_t *scan, bool progressed, struct diagnosis *ret)
{
	diagnose_instants(scan, scan, progressed, ret);
}

/* Whom the diagnosis of it names first. Takes the scan over. */
static inline void check_first(json_t *taken, const char *hang_class, const char *role)
{
	auto_json json_t *scan = taken;
	struct diagnosis got;

	diagnose_scan(scan, false, &got);
	CHECK_STR(got.hang_class ? got.hang_class : "healthy", hang_class);
	CHECK_STR(got.culprit_count ? got.culprits[0].role : "nobody", role);
	diagnosis_free(&got);
}

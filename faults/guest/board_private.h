/*
 * What the parts of the board's control share. See board_control.h for threads and trust.
 */
#pragma once

#include "faults/guest/board_control.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- board_reply.c: JSON of bounded size ---- */

struct board_reply {
	char *text;
	size_t size, len;
	bool cut;    /* a list ends early */
	bool broken; /* something did not fit: the text is no JSON */
	bool comma;  /* the next item needs one in front */
};

void board_put_begin(struct board_reply *reply, char *text, size_t size);
void board_put_open(
	struct board_reply *reply, const char *key, char bracket); /* key NULL: inside a list */
void board_put_close(struct board_reply *reply, char bracket);
void board_put_int(struct board_reply *reply, const char *key, int64_t value);
void board_put_bool(struct board_reply *reply, const char *key, bool value);
void board_put_text(struct board_reply *reply, const char *key,
	const char *text); /* bytes beyond ASCII as \\xNN */
/* Room for `more` bytes and the closing brackets? If not the list is cut, and the reply says so. */
bool board_put_fits(struct board_reply *reply, size_t more);

/* ---- board_control.c ---- */

extern struct board *board_now; /* NULL: none */
bool board_is_whole(void);	/* nobody cut its file: reading it cannot fault */

/* ---- board_rules.c ---- */

struct board_rule {
	uint32_t slot, epoch, action, kinds, hit, calls;
	int32_t value, pid, tid;
	int point; /* index into armed[]; -1: `name` has none yet */
	char name[BOARD_NAME_SIZE];
	char caller[BOARD_NAME_SIZE];
	char exe[BOARD_RULE_SIZE], path[BOARD_RULE_SIZE];
	char trace[BOARD_RULE_SIZE]; /* programs that the preload does not reach; "": none */
};

int board_rules_arm(const char *line, struct board_reply *reply, char *why, size_t size);
int board_rules_disarm(const char *line, struct board_reply *reply, char *why, size_t size);
int board_rules_release(const char *line, struct board_reply *reply, char *why, size_t size);

/* ---- board_line.c: "key=value key=value" ---- */

#define LINE_KEYS_MAX  16
#define LINE_VALUE_MAX BOARD_RULE_SIZE

/* The value of `key`, %XX taken out, into `to`. 1: there; 0: not; -EINVAL: too long, or a bad %. */
int board_line_value(const char *line, const char *key, char *to, size_t size);
/* A number of at least `min` and at most `max`; `otherwise` if the key is absent. 0 or -EINVAL. */
int board_line_number(const char *line, const char *key, int64_t min, int64_t max,
	int64_t otherwise, int64_t *ret);
/* The first word that is not one of `keys` (ended by NULL) with a '=', or NULL; `to` holds it. */
const char *board_line_unknown(const char *line, const char *const *keys, char *to, size_t size);

/* ---- board_status.c ---- */

int board_status_slots(const char *line, struct board_reply *reply, char *why, size_t size);
void board_status_points(struct board_reply *reply);
void board_status_processes(struct board_reply *reply);
void board_status_residue(struct board_reply *reply);
const char *board_status_point_name(uint32_t point, char name[BOARD_NAME_SIZE]); /* checked copy */

/* ---- board_alive.c: the tasks behind the records ---- */

struct board_task {
	int64_t start_ns; /* CLOCK_BOOTTIME, rounded down to the kernel's tick */
	uint64_t stack;
	char state;
};
bool board_task_read(pid_t tid, struct board_task *ret); /* false: no such task */
bool board_task_is(
	pid_t tid, int64_t boot_ns, struct board_task *ret); /* it began before that moment */

/* The park's owner if it is parked and alive, else 0; a dead owner's record is freed. */
pid_t board_park_owner(struct board_park *park, struct board_task *ret);

/* ---- board_trace.c: the witness's end of the tracer, a process of its own ---- */

/* 0: the rule is in force in all living processes of its `trace`; else why not. */
int board_trace_arm(const struct board_rule *rule, char *why, size_t size);
void board_trace_disarm(uint32_t slot); /* idempotent; with the last rule the tracer ends */
bool board_trace_left(void);		/* it still runs */

/* ---- board_tracer.c: the tracer's end; returns when `orders` is closed or nothing is left to do ---- */

void board_tracer_run(int orders, struct board *board);

struct board_order { /* from the witness to its tracer, and back */
	bool arm;
	struct board_rule rule; /* of a disarm: its slot alone */
};
struct board_answer {
	int rc;
	char why[256];
};

/* ---- board_witness.c ---- */

/* /proc/TID/WHAT as a link; false: it is no path, or too long. */
bool board_link_of(pid_t tid, const char *what, char *to, size_t size);
/* A path as the call gave it, from its root, its working directory or a directory of its own. */
bool board_place_path(pid_t tid, int dir, const char *path, char *to, size_t size);

void board_begin_listening(void); /* from now on: a board was opened */
void board_answer_questions(void);

/*
 * What the parts of a cell's life share: one lock, one condition, one recorder. Private to rig/run/cell/cell*.c.
 *
 * Threads: the cell's own (cell_run), one a step, one a workload session, and those of the bed that
 * deliver events. Every change of state is made under `lock` and followed by a broadcast of `changed`;
 * waiting is always cell_wait(), which knows the cell's end and the cell clock.
 */
#pragma once

#include "api/fault.h"
#include "api/history.h"
#include "base/json.h"
#include "mail/imap.h"
#include "mail/smtp.h"
#include "run/cell/cell.h"
#include "run/plan/orders.h"

#include <pthread.h>

#define CELL_STEPS_MAX	  64
#define CELL_SESSIONS_MAX 128
#define CELL_OPS_MAX	  256 /* under way at once that the watch knows */
#define OP_KINDS_MAX	  32
#define CELL_PARKED_MAX	  64
#define OP_NAME_MAX	  32
#define CELL_CONNS_EACH	  128 /* of a protocol on the wire: those `session` can choose from */
#define CELL_CONNS_MAX	  (4 * CELL_CONNS_EACH)
#define WIRE_PROTOCOL_MAX 8

enum step_state {
	STEP_WAITING,  /* for its trigger */
	STEP_DUE,      /* trigger came; call faults with `step:` are armed now */
	STEP_ARMED,    /* a fault that must meet something first */
	STEP_IN_FORCE, /* a fault in force; an action or workload that runs */
	STEP_OVER,
	STEP_NEVER, /* its trigger never came */
};

struct cell;

struct step_run {
	struct cell *cell;
	const struct step *step;
	const struct fault *fault; /* NULL: action or workload */
	struct fault_run run;
	enum step_state state;
	bool is_workload;
	uint32_t moments_seen;
	bool triggered; /* by a moment or a log line */
	bool by_wire;	/* ... of which only the wire tells: nobody stands still in it */
	bool too_late;	/* its fault was in force too long after it: what it met counts nothing */
	bool missed;	/* waited `while:` a step that was over before this one ended */
	bool failed;
	int64_t in_force_ns; /* cell clock */
	int64_t moment_ns;   /* cell clock: when its moment came, INT64_MAX: it has none */
	uint64_t deletions;  /* acknowledged deletions of this step */
	uint32_t acts;	     /* commands of the target that it ran, as an action */
	pthread_t thread;
	bool started;
};

/* An operation under way. */
struct op_slot {
	uint64_t id; /* 0: none */
	int64_t began_ns;
	bool idle;	  /* it waits for work: IDLE */
	int64_t usual_ns; /* of its kind, when it began */
	char name[OP_NAME_MAX];
};

/* Operations of one name: what is usual for one is long for another. */
struct op_kind {
	char name[OP_NAME_MAX];
	int64_t usual_ns;
};

/* One of those whose order is wanted: `step` does the work, `park` holds it at its point. */
struct order_side {
	struct step_run *step;
	struct step_run
		*park; /* NULL: the rig's own client stands still before it sends the last */
	bool there;    /* it stands at its point, or stood */
	bool free;     /* its turn came */
	int64_t free_ns;
};

struct order {
	struct order_side sides[ORDER_SIDES_MAX]; /* in the order wanted */
	size_t count;				  /* 0: none is wanted */
	size_t next;				  /* whose turn it is */
	int64_t first_ns;			  /* when the first stood at its point */
	bool given_up;	 /* not all came to stand at their points: everybody goes on */
	char waited[64]; /* a side that was not done when the next was let go, "" none */
	char late[64];	 /* one that came only after that, "" none */
	bool told;
};

struct wire_conn { /* that began since the workload did */
	uint64_t conn;
	char protocol[WIRE_PROTOCOL_MAX];
};

struct watch; /* run/watch/watch.h */

struct cell {
	const struct plan *plan;
	const struct target *target;
	const char *dir;
	struct objectives objectives;
	struct bed *bed;
	struct recorder *recorder;
	const struct history *past; /* of before a power cut, where the cell begins with one */
	double past_s;		    /* when it came */
	struct line_group sessions; /* of the workload: cut together */
	int64_t origin_ns;	    /* bed clock at the start of the workload */

	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct step_run steps[CELL_STEPS_MAX]; /* workload entries first */
	size_t step_count, workload_count;
	size_t pending;			  /* operations under way */
	struct op_slot ops[CELL_OPS_MAX]; /* those of them for which there was room */
	_Atomic uint64_t ops_ended;
	int64_t op_usual_ns; /* the longest that came back OK took so long, slowly forgotten */
	struct op_kind kinds[OP_KINDS_MAX]; /* the same of each kind that there was room for */
	int parked[CELL_PARKED_MAX];	    /* threads held by call faults, 0: none */
	uint32_t refused;		    /* operations that ended other than OK */
	bool action_hangs; /* an action did not come back in its time: the store is not in order */
	int64_t progress_ns;   /* an operation ended or a step changed last then */
	size_t running_finite; /* finite workload sessions not yet done */
	bool faults_off;       /* steps heal now */
	bool asks_queue;       /* somebody looks at the queue in passing */
	_Atomic bool
		asks_again; /* a figure of the store was not 0: what became of it is asked at the end */
	bool enough;	    /* open-ended workload ends now */
	bool cut;	    /* sessions are being cut: what is pending never came back */
	bool stopping;	    /* the rig itself stops the store: deaths by signal are its own doing */
	bool off_line;	    /* a step took it off line, and none has brought it back */
	bool broken;	    /* panic, QEMU gone, interrupted: heal and close */
	bool dark;	    /* the power is cut, or the store has not been started since */
	bool rebooted; /* it was: what can be read back is what the start after it made of the disks */
	bool down;     /* the store was not ready after that start */
	uint64_t residue;
	int64_t stop_began_ns; /* CLOCK_NEVER: it has ended */
	int64_t stopping_ns;   /* since when the rig stops the store */

	struct wire_conn wire_conns[CELL_CONNS_MAX]; /* in the order of their beginning */
	size_t wire_conn_count;

	struct order order;	   /* of the sides that meet */
	struct watch *watch;	   /* NULL: the bed cannot scan */
	json_t *cores;		   /* "died" events whose cores are yet to be read */
	pthread_cond_t watch_tick; /* with `lock`: the watch ends */
};

/* ---- cell.c ---- */
int64_t cell_now(struct cell *cell);		  /* ns on the cell clock */
int64_t cell_clock(void *cell);			  /* the same, as a callback */
int64_t cell_recover_ms(const struct cell *cell); /* how long it may take after the last heal */
/* Wait for any change, at the most until `until_ns` on the cell clock (CLOCK_NEVER: only for a change). Lock held. */
void cell_wait(struct cell *cell, int64_t until_ns);
void cell_trouble(struct cell *cell, const char *trouble, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void cell_phase(struct cell *cell, const char *name);
bool cell_interrupted(void);	    /* by whoever runs the rig */
bool cell_ended(struct cell *cell); /* broken or interrupted; lock held */

/* ---- cell_after.c ---- */
void cell_tell_past(struct cell *cell); /* the history before the power cut, and the cut */
void cell_tell_power_back(struct cell *cell);
void cell_darken(struct step_run *step);		/* nobody can reach the store any more */
void cell_lighten(struct step_run *step, bool powered); /* its power is back: it is started */

/* ---- cell_ops.c: operations under way ---- */
/* `object` (taken over) holds the keys of `begin` beside id, who, op. */
uint64_t op_begin(struct cell *cell, const char *who, const char *name, json_t *object);
void op_end(struct cell *cell, uint64_t id, const char *who, const char *name,
	enum mail_outcome outcome, json_t *object);
uint32_t op_pending(void *cell); /* operations waiting now */
uint32_t op_delayed(void *cell); /* ... for two seconds, and twice as long as those before it */
uint32_t op_refused(void *cell); /* operations that ended other than OK, so far */

/* ---- cell_steps.c ---- */
int steps_prepare(struct cell *cell, struct err *err);
int steps_start(struct cell *cell, struct err *err);
void steps_join(struct cell *cell);
bool steps_settled(struct cell
		*cell); /* no step but the workload will do anything more by itself; lock held */
bool fault_in_force(const struct cell *cell); /* lock held */
bool faults_settled(
	struct cell *cell); /* what is left are actions and clients that have begun; lock held */
const char *step_state_name(enum step_state state);
void step_set(struct step_run *step, enum step_state state); /* lock held */
struct step_run *cell_step(struct cell *cell, const char *label);
bool step_is_over(const struct step_run *step);
bool step_came(
	struct step_run *step); /* what it waits for has come, but for its delay; lock held */
/* Cell time until which some step goes on by the clock alone: it waits for its time, or the store is being stopped or
 * started and may still take a while; the past: none does. Lock held. */
int64_t steps_go_on_until(struct cell *cell);
bool step_must_end(struct step_run *step); /* faults are taken off, or the cell ends; lock held */

/* ---- cell_moments.c ---- */
/* A moment of a dialogue: the client stands still in it until the fault it triggers is in force. */
void moment_exact(struct cell *cell, uint32_t session, const char *name, const char *tag);
void moment_seen(struct cell *cell, const json_t *event); /* on the wire; never blocks */
void log_seen(struct cell *cell, const char *line);

/* ---- cell_say_fault.c ---- */
int64_t fault_late_ns(const struct step_run *step); /* after its moment; it has one */
void fault_record(struct step_run *step, const char *state, const char *text);

/* ---- cell_reach.c ---- */
const char *fault_agent(const struct step_run *step); /* the agent it takes away, or NULL */
const char *fault_user(const struct step_run *step);  /* whose files alone it touches, or NULL */

/* ---- cell_work.c ---- */
bool work_known(const char *name);
bool work_finite(const struct step *step); /* ends by itself */
void work_run(struct step_run *step);	   /* all its sessions, until done */

/* ---- cell_pop3.c ---- */
void pop3_read_back(struct cell *cell); /* list and retrieve each maildrop that POP3 clients used */

/* ---- cell_waits.c ---- */
void waits_record(struct cell *cell, const char *name, const char *dir); /* of evidence/NAME */

/* ---- cell_files.c ---- */
void files_look(struct cell *cell, bool running); /* at the mailboxes' files */
void files_step(struct step_run *step);

/* ---- cell_delete.c ---- */
/* struct fault_run: remove; `arg` is the step. */
int deletion_do(
	void *step, const struct deletion *deletion, uint64_t *ret_removed, struct err *err);

/* ---- cell_order.c: orders: all (run/plan/orders.h) ---- */
void order_prepare(struct cell *cell);
bool order_holds(struct step_run *park); /* it is kept parked until its turn; lock held */
void order_gate(
	struct step_run *step); /* a side that the rig's own client holds waits for its turn */
void order_record(struct cell *cell); /* whether the wanted order came about */

/* ---- cell_action.c ---- */
void action_run(struct step_run *step);
uint32_t actions_run(
	struct cell *cell, const struct text_list *commands); /* so far, of these commands */

/* ---- cell_depth.c ---- */
/* The queue's depth and the store's own figures, noted as they are now, if the store tells at once. */
void cell_queue_depth(struct cell *cell);
void cell_figures(struct cell *cell);	     /* these alone */
json_t *cell_read_figures(const char *text); /* of lines NAME VALUE; new reference */
uint64_t cell_count_lines(const char *text);

/* ---- cell_end.c ---- */
void cell_drain(struct cell *cell);
int cell_stop_store(
	struct cell *cell); /* 0; -ETIMEDOUT: it did not end, so it cannot be started either */
int cell_start_store(struct cell *cell);
/* Who greets nobody, though all faults are off and `recover` has gone by: "serving". */
void cell_ask_services(struct cell *cell);
void cell_read_back(struct cell *cell);
void cell_read_queue(struct cell *cell);
void cell_residue(struct cell *cell);

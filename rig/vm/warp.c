#include "vm/warp.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#include <pthread.h>
#include <string.h>

struct warp {
	struct machine *machine;
	struct witness *witness;
	json_t *watched;
	warp_event_fn fn;
	void *arg;
	int64_t saved_guest_ns;

	pthread_mutex_t lock; /* all below */
	pthread_cond_t changed;
	int64_t elapsed_ns;
	bool stop;  /* fn said so, not yet acted upon */
	bool ended; /* the machine or its witness */
};

/* ---- events ------------------------------------------------------------------------------------------ */

/* An event that the guest had queued before it was saved happened in the machine that was saved. */
static bool is_of_branch(const struct warp *w, int64_t guest_ns)
{
	return guest_ns > w->saved_guest_ns;
}

/* When it happened: a thread's own time is earlier than the time of the event about it. */
static int64_t moment(const json_t *json)
{
	return json_get_int(json, "woke_ns", json_get_int(json, "guest_ns", 0));
}

static void on_event(void *arg, const char *name, const json_t *json, int64_t arrived_ns)
{
	struct warp *w = arg;
	int64_t at_ns = moment(json);
	bool gone = !strcmp(name, "gone"), stop = false;

	(void)arrived_ns;
	if (!gone && is_of_branch(w, at_ns) && w->fn)
		stop = w->fn(w->arg, name, json, at_ns - w->saved_guest_ns);
	pthread_mutex_lock(&w->lock);
	at_ns = json_get_int(json, "guest_ns", 0) - w->saved_guest_ns;
	if (at_ns > w->elapsed_ns)
		w->elapsed_ns = at_ns;
	w->stop |= stop;
	w->ended |= gone;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

static void on_machine(void *arg, enum machine_event event, int64_t mono_ns)
{
	struct warp *w = arg;

	(void)mono_ns;
	pthread_mutex_lock(&w->lock);
	w->ended |= event != MACHINE_EVENT_IO_ERROR;
	pthread_cond_broadcast(&w->changed);
	pthread_mutex_unlock(&w->lock);
}

/* ---- open -------------------------------------------------------------------------------------------- */

static json_t *watch_args(const struct warp_watch *watch, int64_t tick_ms)
{
	json_t *tasks = json_array(), *conns = json_array();

	for (size_t i = 0; i < watch->task_count; i++) {
		const struct warp_task *task = &watch->tasks[i];
		json_t *one = json_pack("{si si sI}", "pid", task->pid, "tid", task->tid, "start",
			(json_int_t)task->start);

		if (task->syscall && *task->syscall)
			json_object_set_new(one, "syscall", json_text(task->syscall));
		json_array_append_new(tasks, one);
	}
	for (size_t i = 0; i < watch->conn_count; i++)
		json_array_append_new(conns, json_pack("{si so}", "port", watch->conns[i].port,
						     "peer", json_text(watch->conns[i].peer)));
	return json_pack(
		"{so so sI}", "tasks", tasks, "conns", conns, "tick_ms", (json_int_t)tick_ms);
}

int warp_look(struct witness *witness, const struct warp_watch *watch, int64_t deadline_ns,
	json_t **ret, struct err *err)
{
	return witness_call(witness, "watch", watch_args(watch, 0), deadline_ns, ret, err);
}

/* The sooner the clock source is changed, the less time flies by unseen: idle as it is, the guest is off
 * with the first instruction. */
static int set_off(struct warp *w, const struct warp_options *o, struct err *err)
{
	int rc = witness_attach(
		machine_take_witness_fd(w->machine), on_event, w, o->deadline_ns, &w->witness, err);

	if (!rc)
		rc = witness_call(w->witness, "skip", NULL, o->deadline_ns, NULL, err);
	if (!rc)
		rc = witness_call(w->witness, "watch",
			watch_args(&o->watch, o->tick_ns / NS_PER_MS), o->deadline_ns, &w->watched,
			err);
	return rc;
}

int warp_open(const struct warp_options *o, struct warp **ret, struct err *err)
{
	struct warp *w = mem_zero(1, sizeof(*w));
	const struct machine_options options = {.dir = o->dir, .on_event = on_machine, .arg = w};
	int rc;

	w->fn = o->fn;
	w->arg = o->arg;
	w->saved_guest_ns = o->saved_guest_ns;
	pthread_mutex_init(&w->lock, NULL);
	cond_init(&w->changed);
	rc = branch_open(o->spec, o->branch, BRANCH_WARP, &options, &w->machine, err);
	if (!rc)
		rc = set_off(w, o, err);
	if (rc) {
		warp_close(w);
		return err_wrap(err, rc, "cannot skip time");
	}
	log_line("warp: the branch runs %.1f s after its save",
		(double)(json_get_int(w->watched, "guest_ns", 0) - w->saved_guest_ns) /
			(double)NS_PER_SEC);
	*ret = w;
	return 0;
}

void warp_close(struct warp *w)
{
	if (!w)
		return;
	witness_close(w->witness);
	machine_close(w->machine);
	json_decref(w->watched);
	pthread_cond_destroy(&w->changed);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* ---- run --------------------------------------------------------------------------------------------- */

int warp_go_on(struct warp *w, struct err *err)
{
	return machine_resume(w->machine, err);
}

int warp_hold(struct warp *w, struct err *err)
{
	return machine_pause(w->machine, err);
}

static enum warp_end wait_for_end(struct warp *w, int64_t elapsed_ns, int64_t deadline_ns)
{
	enum warp_end end;
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	while (!w->stop && !w->ended && w->elapsed_ns < elapsed_ns && rc != -ETIMEDOUT)
		rc = cond_wait(&w->changed, &w->lock, deadline_ns);
	end = w->stop			    ? WARP_STOPPED
	      : w->ended		    ? WARP_ENDED
	      : w->elapsed_ns >= elapsed_ns ? WARP_REACHED
					    : WARP_LATE;
	w->stop = false;
	pthread_mutex_unlock(&w->lock);
	return end;
}

enum warp_end warp_run(struct warp *w, int64_t elapsed_ns, int64_t deadline_ns, struct err *err)
{
	enum warp_end end;

	if (warp_go_on(w, err))
		return WARP_ENDED;
	end = wait_for_end(w, elapsed_ns, deadline_ns);
	if (end == WARP_ENDED) {
		if (!machine_check(w->machine, err))
			witness_state(w->witness, err);
		return end;
	}
	return warp_hold(w, err) ? WARP_ENDED : end;
}

int64_t warp_elapsed_ns(struct warp *w)
{
	int64_t elapsed_ns;

	pthread_mutex_lock(&w->lock);
	elapsed_ns = w->elapsed_ns;
	pthread_mutex_unlock(&w->lock);
	return elapsed_ns;
}

const json_t *warp_watched(const struct warp *w)
{
	return w->watched;
}

struct witness *warp_witness(struct warp *w)
{
	return w->witness;
}

/*
 * Inside the machine: what its files share, and what template.c and clone.c need to start QEMU their own
 * way. Nobody else includes this.
 */
#pragma once

#include "vm/machine.h"
#include "vm/qemu.h"

#include <pthread.h>

struct machine {
	const struct machine_spec *spec;
	char *dir;
	char *capture;
	void (*on_event)(void *arg, enum machine_event event, int64_t mono_ns);
	void *arg;
	struct network *network; /* NULL: isolated */
	struct qemu qemu;
	struct qmp *qmp;
	struct qga *qga;
	struct qmp *dead_qmp; /* of before the power cut; or the same as above */
	struct qga *dead_qga;
	bool log_writes;

	pthread_mutex_t turn; /* one pause, resume or reset at a time; taken before `lock` */
	pthread_mutex_t lock; /* what the event thread writes too */
	pthread_cond_t changed;
	int ended;     /* 0, or what machine_check() returns */
	bool off;      /* it was us: machine_kill() */
	bool expected; /* the end of the connection is our doing */
	bool hung_up;  /* QMP's last event has come */
	int64_t running_since_ns;
	int64_t still_since_ns; /* paused or off by the rig since then; 0: not */
	int64_t paused_ns;	/* pauses that are over: the sum of these */
	struct machine_pause {
		int64_t from_ns, to_ns;
	} * pauses;
	size_t pause_count;
};

struct machine_launch {
	enum qemu_memory memory_kind;
	const char *memory; /* borrowed for the call */
	bool incoming;	    /* it stands still, waiting for a state: machine_load(), machine_go() */
	bool warp;	    /* idle time is skipped */
};

/* The folder and the network; no QEMU yet. An isolated machine has no network: nothing that its guest
 * sends arrives anywhere, and nothing ever comes. */
int machine_new(const struct machine_spec *spec, const struct machine_options *options,
	bool isolated, struct machine **ret, struct err *err);
/* Start QEMU; the layers must be there. */
int machine_launch(struct machine *machine, const struct machine_launch *launch, struct err *err);
int machine_fresh_layers(struct machine *machine, struct err *err);

/* machine_power.c: QEMU opens the logs of writes and lets them grow, but does not make them. */
int machine_empty_logs(const struct machine *machine, struct err *err);

/* machine_migrate.c: the machine's state to or from a file. `ignore_shared`: memory is not in it. */
int machine_can_ignore_shared(struct machine *machine, bool *ret, struct err *err);
int machine_save(struct machine *machine, const char *path, bool ignore_shared, struct err *err);
int machine_load(struct machine *machine, const char *path, bool ignore_shared, struct err *err);

/* The vCPUs run from now on: the clock that machine_paused_ns() stops goes on. */
void machine_set_running(struct machine *machine);

/* First `cont`: from now on it runs. */
int machine_go(struct machine *machine, struct err *err);

/* The layer `<dir>/<disk>.qcow2`; caller frees. */
char *machine_layer_path(const char *dir, const struct machine_disk *disk);

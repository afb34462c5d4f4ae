/*
 * What the two halves of the real bed share: bed_vm.c does, bed_vm_events.c listens. Private to them.
 */
#pragma once

#include "api/bed.h"
#include "net/transcript.h"
#include "net/wire.h"
#include "run/bed/bed_legs.h"
#include "run/bed/bed_spec.h"
#include "run/plan/plan.h"
#include "vm/machine.h"
#include "vm/witness.h"
#include "vm/write_watch.h"

#include <stdatomic.h>

#define VM_PROCESSORS_MAX 16

struct vm_bed {
	struct bed bed;
	struct bed_spec *spec;
	struct template *template;
	struct machine *machine;
	struct witness *witness;
	struct legs *legs;
	struct wire *wire;
	struct transcripts *transcripts; /* used by the wire's thread alone */
	char *dir;
	bed_event_fn fn;
	void *arg;
	int64_t origin_ns; /* CLOCK_MONOTONIC at the clone's start */
	bool closing, recording;
	atomic_bool halted;  /* by a fault */
	atomic_bool frozen;  /* the rig holds a file system frozen */
	atomic_uint refused; /* connections to a leg that the kernel refused, seen on the wire */
	bool clock_known;    /* the next is set */
	char *groups;	     /* that a signal has stopped, as words; NULL: none */
	int frozen_pid, frozen_tid; /* the thread that the cgroup holds; 0: none */
	int64_t clock_offset_ns;    /* guest's wall clock over its monotonic one, before any jump */
	int64_t paused_ns;	    /* of a machine that is closed already */
	struct vm_power *power;	    /* NULL: no step of the cell cuts it */
	struct vm_branch *branches; /* saved and not yet run on */
	pthread_mutex_t processors_lock;   /* the rest */
	int processors[VM_PROCESSORS_MAX]; /* threads of `processors_of` */
	size_t processor_count;
	pid_t processors_of;
};

void vm_close_machine(struct vm_bed *bed);
/* The bed's clock at a moment of CLOCK_MONOTONIC: it stands still while the rig pauses the machine. And the moment at
 * which it shows that, for which there must be a machine. */
int64_t vm_bed_clock(struct vm_bed *bed, int64_t mono_ns);
int64_t vm_bed_moment(struct vm_bed *bed, int64_t bed_ns);

/* Callbacks; `arg` is the bed. Each from a thread of its teller. */
void vm_on_machine(void *arg, enum machine_event event, int64_t mono_ns);
void vm_on_witness(void *arg, const char *name, const json_t *json, int64_t arrived_ns);
void vm_on_dialogue(void *arg, const struct dialogue_event *event);

/* bed_vm_hurt.c: the operations of api/bed.h that hurt the machine as a whole, and what they left. */
int vm_halt(struct bed *bed, bool halted, struct err *err);
int vm_slow_disk(struct bed *bed, const struct disk *disk, bool slow, struct err *err);
int vm_disk_requests(struct bed *bed, const struct disk *disk, uint64_t *ret, struct err *err);
int vm_fill_disk(
	struct bed *bed, const struct disk *disk, enum disk_fill what, bool full, struct err *err);
int vm_hurt_link(struct bed *bed, const struct link_hurt *hurt, struct err *err);
int vm_cut_link(struct bed *bed, bool cut, struct err *err);
int vm_shift_clock(struct bed *bed, int64_t shift_ns, struct err *err);
int vm_measure(struct bed *bed, json_t **ret, struct err *err); /* bed_vm_measure.c */
int vm_files(struct bed *bed, const char *const *globs, bool live,
	void (*each)(void *arg, const char *path, const char *bytes, size_t len), void *arg,
	struct err *err); /* bed_vm_files.c */
int vm_hurt_residue(struct vm_bed *bed, json_t *ret, struct err *err);

/* bed_vm_stop.c: processes, groups and threads that stand still. */
int vm_stop_processes(struct bed *bed, const char *const *programs, enum stop_how how, bool stopped,
	struct err *err);
int vm_stopped(
	struct bed *bed, const char *const *programs, struct stopped_status *ret, struct err *err);
/* The processes that run one of them, as words into `out`. */
int vm_pids_of(struct vm_bed *bed, const char *const *programs, struct buf *out, struct err *err);
int vm_stop_residue(struct vm_bed *bed, json_t *ret, struct err *err);

/* bed_vm_groups.c */
int vm_bound_memory(struct bed *bed, const char *const *programs, uint64_t bytes, struct err *err);
int vm_memory_met(struct bed *bed, uint64_t *ret, struct err *err);
int vm_bound_tasks(struct bed *bed, const char *const *programs, uint64_t spare, struct err *err);
int vm_tasks_met(struct bed *bed, uint64_t *ret, struct err *err);
int vm_groups_residue(struct vm_bed *bed, json_t *ret, struct err *err);

/* bed_vm_limits.c */
int vm_bound_descriptors(struct bed *bed, unsigned int slot, const char *const *programs,
	uint64_t spare, struct err *err);
int vm_descriptors_met(struct bed *bed, unsigned int slot, uint64_t *ret, struct err *err);
int vm_bound_quota(struct bed *bed, const struct disk *disk, enum disk_fill what, bool bounded,
	struct err *err);
int vm_quota_met(struct bed *bed, const struct disk *disk, uint64_t *ret, struct err *err);

/* bed_vm_power.c: the power, for a cell that cuts it. */
bool vm_power_wanted(const struct plan *plan);
int vm_power_open(struct vm_bed *bed, struct err *err);	  /* once the witness answers */
int vm_power_record(struct vm_bed *bed, struct err *err); /* BED_VM_VIEWS, before the close */
bool vm_power_off(struct vm_bed *bed);	 /* by the rig: silence is nothing to tell of */
void vm_power_look(struct vm_bed *bed);	 /* something was seen on the wire */
void vm_power_close(struct vm_bed *bed); /* before the machine */
int vm_cut_power(struct bed *bed, const struct power_cut *cut, int64_t *ret_at_ns, struct err *err);
int vm_save_disks(struct bed *bed, int64_t *ret_at_ns, struct err *err);
int vm_restore_power(struct bed *bed, struct power_loss *ret, struct err *err);
int vm_tail_logs(struct vm_bed *bed, struct err *err); /* bed_vm.c */

/* bed_vm_adjudicate.c */
int vm_branch(struct bed *bed, const char *name, const json_t *scan, const int *tids, size_t count,
	json_t **ret, struct err *err);
int vm_adjudicate(struct bed *bed, const char *name, const struct bed_patience *patience,
	json_t **ret, struct err *err);
void vm_branches_close(struct vm_bed *bed);

void vm_add_root(struct buf *line, const char *glob); /* bed_vm_files.c: " PLACE" to search from */

/* bed_vm_around.c: what stands around a hang, into files of `dir`: dot-locks, what the kernel says is blocked. */
int vm_around(struct vm_bed *bed, const char *dir, const json_t *scan, struct err *err);
/* ... and what can be had of a machine whose witness does not answer: registers, and memory if asked for. */
void vm_beyond_help(struct vm_bed *bed, const char *dir);
/* The whole memory as kdump-zlib, which crash(8) reads: as big as what the guest uses. The machine stands still. */
int vm_dump_memory(struct machine *machine, const char *path, struct err *err);

/* bed_vm_evidence.c */
int vm_scan(struct bed *bed, bool deep, json_t **ret, struct err *err);
int vm_evidence(struct bed *bed, const char *dir, struct err *err);

int vm_processor_wait(struct bed *bed, uint64_t *ret_ns, struct err *err); /* bed_vm_processors.c */

/* bed_vm_stacks.c */
int vm_stacks(struct bed *bed, json_t *scan, const struct bed_stacks *wanted, struct err *err);
bool vm_tries(struct bed *bed, json_t *scan, const int *tids, size_t count, int ms);
int vm_core(struct bed *bed, const char *path, json_t **ret, struct err *err);

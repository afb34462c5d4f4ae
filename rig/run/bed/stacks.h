/*
 * User stacks of threads that stand, and of processes that died: registers and stack bytes by the witness,
 * unwound on the host (vm/unwind.h) with the very files that the guest runs: the target's programs from the
 * build folder, all others out of the image. What cannot be read is left out. All of it is the guest's word:
 * bounded and checked.
 */
#pragma once

#include "api/bed.h"
#include "diagnose/diagnose.h"
#include "run/bed/bed_spec.h"
#include "vm/core_file.h"
#include "vm/unwind.h"
#include "vm/witness.h"

struct stack_source {
	struct witness *witness;
	const struct bed_spec *spec; /* whose programs they are */
	const char *copies;	     /* programs whose paths begin so are all ... NULL: none */
	const char *copies_of;	     /* ... this file of the host */
};

/* The threads of a scan whose stacks are worth the time, by what is said of it without them: its culprits, and who
 * else runs in the first one's process, of a cycle in all of theirs. Of a livelock a few culprits are looked at for
 * the time that it takes: nothing else is, lest a store that works be held up. */
void stacks_wanted(const struct diagnosis *diagnosis, const json_t *scan, struct bed_stacks *ret);

/* Gives the wanted tasks of a scan their "frames", where they can be had, and the busy ones what stacks_add_busy()
 * says. */
void stacks_add(const struct stack_source *source, json_t *scan, const struct bed_stacks *wanted);

/* Of a core that a "died" event names: as `core` of api/bed.h says. */
int core_read(const struct stack_source *source, const char *path, json_t **ret, struct err *err);

/* ---- what the two share ---- */

struct stack_files {
	struct unwind_file at[UNWIND_FILES_MAX];
	size_t count;
};

/* The host's copies of what was mapped, those that can be had. */
void stack_files_open(const struct stack_source *source, const struct mapped_files *mapped,
	struct stack_files *ret);
void stack_files_close(struct stack_files *files);
/* The functions, innermost first, of these registers and the stack from `sp` on. New reference. `ret_own` (may be
 * NULL): as unwind_frames() says. */
json_t *stacks_frames(const struct stack_files *files, uint64_t pc, uint64_t sp, uint64_t bp,
	const void *stack, size_t len, json_t **ret_own);
/* Of the program's own functions the one that the thread began in, borrowed; NULL where the stack was not
 * read to its end: the C library's calls the first. */
json_t *stacks_began(const json_t *frames, const json_t *own);
/* The same as "began" of a task; the first stack that says it is believed. */
void stacks_add_began(json_t *task, const json_t *frames, const json_t *own);
/* Of a task that runs: "busy", the functions that it was in at every one of "moments" moments (diagnose/evidence.h),
 * "loop" and "began". False if it did not run enough for that. */
bool stacks_add_busy(
	const struct stack_source *source, json_t *task, const struct stack_files *files);
/* Of arrays of names: the names of the first that all have, each once, in its order. New reference. */
json_t *stacks_common(const json_t *stacks);
/* Of arrays of names, innermost first: the innermost that nearly all of them have; NULL: none. New reference. */
json_t *stacks_loop(const json_t *stacks);
/* A path of a guest may end in an argument of debugfs: plain and absolute, or none. */
bool stack_path_is_plain(const char *path);

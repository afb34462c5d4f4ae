/* A core, and what the process had freed before: who died where, and over whose work. */
#include "run/bed/stacks.h"

#include "base/clock.h"
#include "base/json.h"
#include "vm/free_journal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define ASK_MS	    10000
#define STACK_BYTES (32u << 10)
#define CORE_HEAD   (256u << 10) /* program headers and notes */
#define CORE_PREFIX "/run/rig/cores/core."

static void open_stack(const struct stack_source *source, const struct core_file *core,
	const char *path, struct buf *stack, struct unwind *u)
{
	uint64_t sp = core->regs[UNWIND_SP], offset, left;

	if (!core_file_find(core, sp, &offset, &left) || offset > INT64_MAX ||
		witness_read_at(source->witness, path, (int64_t)offset,
			left < STACK_BYTES ? (size_t)left : STACK_BYTES, deadline_in_ms(ASK_MS),
			stack, NULL))
		return;
	u->stack_base = sp;
	u->stack = stack->data;
	u->stack_size = stack->len;
}

static json_t *frames_of_core(const struct stack_source *source, const struct core_file *core,
	const struct stack_files *files, const char *path, json_t **ret_own)
{
	struct unwind u = {.known = core->known, .files = files->at, .file_count = files->count};
	auto_buf struct buf stack = {0};

	memcpy(u.regs, core->regs, sizeof(u.regs));
	open_stack(source, core, path, &stack, &u);
	return unwind_frames(&u, ret_own, NULL);
}

/* ---- who freed it ---- */

/* What the crash has to do with a block that is gone. */
struct blamed {
	const struct free_record *record;
	enum free_match match;
	char what[8]; /* the register, "" : the fault's address */
};

static void weigh(const struct free_journal *journal, uint64_t value, const char *what, int tid,
	struct blamed *best)
{
	enum free_match match;
	const struct free_record *record = free_journal_find(journal, value, !*what, tid, &match);

	if (!record || match <= best->match)
		return;
	*best = (struct blamed){.record = record, .match = match};
	snprintf(best->what, sizeof(best->what), "%s", what);
}

static bool find_blamed(
	const struct core_file *core, const struct free_journal *journal, struct blamed *ret)
{
	static const char *const names[CORE_REGS] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", NULL,
		NULL, "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", NULL};

	*ret = (struct blamed){0};
	if (core->signal == SIGABRT) {
		ret->record = free_journal_twice(journal);
		return ret->record;
	}
	if (core->has_address)
		weigh(journal, core->address, "", core->tid, ret);
	for (size_t i = 0; i < CORE_REGS && ret->match < FREE_FAULT; i++)
		if (names[i] && core->known >> i & 1)
			weigh(journal, core->regs[i], names[i], core->tid, ret);
	return ret->record;
}

static json_t *frames_of_record(const struct free_record *r, const struct stack_files *files)
{
	/* The call, not what follows it. */
	return stacks_frames(files, r->pc - 1, r->sp, r->bp, r->stack, r->stack_len, NULL);
}

static json_t *freed_json(const struct blamed *blamed, const struct stack_files *files)
{
	const struct free_record *r = blamed->record;
	json_t *json = json_pack("{sI sI si sf sb so}", "address", (json_int_t)r->address, "size",
		(json_int_t)r->size, "tid", r->tid, "age_s", (double)r->age_ns / NS_PER_SEC, "sure",
		(int)(blamed->match != FREE_INSIDE), "frames", frames_of_record(r, files));

	if (r->twice > 0)
		json_object_set_new(json, "twice", json_integer(r->twice));
	if (blamed->what[0])
		json_object_set_new(json, "register", json_string(blamed->what));
	return json;
}

/* Whose block it was before. */
static void add_made(const struct stack_source *source, const struct free_journal *journal,
	const struct free_record *freed, const struct stack_files *files, const char *pid,
	json_t *json)
{
	auto_free char *path = text_fmt("/run/rig/cores/mades.%s", pid);
	auto_buf struct buf text = {0};
	struct free_record made;

	if (witness_read(
		    source->witness, path, FREE_TEXT_MAX, deadline_in_ms(ASK_MS), &text, NULL) ||
		!free_journal_made(journal, freed, buf_text(&text), text.len, &made))
		return;
	json_object_set_new(json, "made",
		json_pack("{si sf so}", "tid", made.tid, "before_s",
			(double)(made.age_ns - freed->age_ns) / NS_PER_SEC, "frames",
			frames_of_record(&made, files)));
}

static void add_freed(const struct stack_source *source, const struct core_file *core,
	const struct stack_files *files, const char *pid, json_t *json)
{
	auto_free char *path = text_fmt("/run/rig/cores/frees.%s", pid);
	auto_buf struct buf text = {0};
	struct free_journal journal = {0};
	struct blamed blamed;

	if (witness_read(source->witness, path, FREE_TEXT_MAX, deadline_in_ms(ASK_MS), &text, NULL))
		return;
	free_journal_read(buf_text(&text), text.len, &journal);
	json_object_set_new(json, "journal", json_integer((json_int_t)journal.count));
	if (find_blamed(core, &journal, &blamed)) {
		json_t *freed = freed_json(&blamed, files);

		add_made(source, &journal, blamed.record, files, pid, freed);
		json_object_set_new(json, "freed", freed);
	}
	free_journal_free(&journal);
}

/* ---- the core ---- */

static json_t *tell(
	const struct stack_source *source, const struct core_file *core, const char *path)
{
	struct stack_files files = {0};
	json_t *json, *frames, *own = NULL;

	stack_files_open(source, &core->files, &files);
	frames = frames_of_core(source, core, &files, path, &own);
	json = json_pack("{si so so}", "tid", core->tid, "frames", frames, "own", own);
	if (core->has_address)
		json_object_set_new(json, "address", json_integer((json_int_t)core->address));
	add_freed(source, core, &files, path + strlen(CORE_PREFIX), json);
	stack_files_close(&files);
	return json;
}

int core_read(const struct stack_source *source, const char *path, json_t **ret, struct err *err)
{
	auto_buf struct buf head = {0};
	struct core_file core = {0};
	int rc;

	if (strncmp(path, CORE_PREFIX, strlen(CORE_PREFIX)) != 0 || !stack_path_is_plain(path))
		return err_set(err, -EINVAL, "'%s' is no core of the witness's", path);
	rc = witness_read_at(
		source->witness, path, 0, CORE_HEAD, deadline_in_ms(ASK_MS), &head, err);
	if (!rc && !core_file_read(buf_text(&head), head.len, &core))
		rc = err_set(err, -EINVAL, "'%s' has no registers", path);
	if (!rc)
		*ret = tell(source, &core, path);
	core_file_free(&core);
	return rc;
}

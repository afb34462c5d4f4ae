#include "run/bed/stacks.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "vm/disk_file.h"

#include <inttypes.h>
#include <string.h>
#include <sys/syscall.h>

#define ASK_MS	     3000 /* each question; memory that is stuck is left out */
#define TRIES	     2	  /* a guest that the host starves may be late once */
#define STACK_BYTES  (32u << 10)
#define MAPS_BYTES   (256u << 10)
#define BUSY_MAX     3 /* threads that are looked at for a while */
#define PROGRAMS_DIR "/run/rig/target/"

static int64_t soon(void)
{
	return deadline_in_ms(ASK_MS);
}

/* The witness gives up at three quarters of the time: what it refuses at once needs no asking again. */
static bool was_late(int rc, int64_t deadline_ns)
{
	return rc && deadline_left_ms(deadline_ns) <= ASK_MS / 4;
}

/* ---- files ---- */

/* A path of a guest may end in the name of a file of the host: plain and absolute, or none. */
bool stack_path_is_plain(const char *path)
{
	return path[0] == '/' && !strstr(path, "..") &&
	       strspn(path,
		       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-") ==
		       strlen(path);
}

/* Out of the image, once: the image's key names the folder. */
static char *extracted(const struct stack_source *source, const char *path)
{
	auto_free char *cache = fs_cache_dir();
	auto_free char *dir = text_fmt("%s/programs/%s", cache, source->spec->image.key);
	auto_free char *name = text_dup(path + 1);
	auto_free char *fresh = NULL;
	char *copy;
	struct err err = {0};

	for (char *p = name; (p = strchr(p, '/'));)
		*p = '%';
	copy = path_join(dir, name);
	if (fs_exists(copy) || fs_mkdir_p(dir, &err))
		return copy;
	fresh = text_fmt("%s.%d", copy, (int)gettid());
	if (disk_file_copy(source->spec->image.disk, path, fresh, &err) || !fs_exists(fresh) ||
		rename(fresh, copy))
		log_line("cannot take '%s' out of the image: %s", path, err.text);
	return copy;
}

/* The host's copy of a program of the guest, or NULL. Caller frees. */
static char *host_copy(const struct stack_source *source, const char *path)
{
	char *copy;

	if (!stack_path_is_plain(path))
		return NULL;
	if (source->copies && !strncmp(path, source->copies, strlen(source->copies)))
		copy = text_dup(source->copies_of);
	else if (!strncmp(path, PROGRAMS_DIR, strlen(PROGRAMS_DIR)))
		copy = text_fmt("%s/build/targets/%s/%s", source->spec->root,
			source->spec->target->name, path + strlen(PROGRAMS_DIR));
	else if (!strncmp(path, "/run/rig/", strlen("/run/rig/")))
		copy = text_fmt(
			"%s/build/guest/%s", source->spec->root, path + strlen("/run/rig/"));
	else
		copy = extracted(source, path);
	if (fs_exists(copy))
		return copy;
	free(copy);
	return NULL;
}

void stack_files_open(const struct stack_source *source, const struct mapped_files *mapped,
	struct stack_files *ret)
{
	ret->count = 0;
	for (size_t i = 0; i < mapped->count; i++) {
		char *copy = host_copy(source, mapped->at[i].path);

		if (copy)
			ret->at[ret->count++] = (struct unwind_file){.base = mapped->at[i].base,
				.host_path = copy,
				.guest_path = text_dup(mapped->at[i].path)};
	}
}

void stack_files_close(struct stack_files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		free(files->at[i].host_path);
		free(files->at[i].guest_path);
	}
	files->count = 0;
}

/* ---- threads that stand ---- */

/* "number args... sp pc" (fs/proc/base.c: proc_pid_syscall, Linux 6.1). */
static bool read_registers(const char *syscall, struct unwind *u)
{
	const char *words[9];
	int count = 0;

	for (const char *p = syscall; *p && count < 9; p += strspn(p, " ")) {
		words[count++] = p;
		p += strcspn(p, " ");
	}
	if (count != 9)
		return false;
	u->regs[UNWIND_SP] = strtoull(words[7], NULL, 16);
	u->regs[UNWIND_PC] = strtoull(words[8], NULL, 16);
	u->known = 1u << UNWIND_SP | 1u << UNWIND_PC;
	return u->regs[UNWIND_SP] && u->regs[UNWIND_PC];
}

/* What a futex that is waited at is called, where it is a variable of a program. */
static void add_object(json_t *task, const char *syscall, const struct stack_files *files)
{
	struct unwind u = {.files = files->at, .file_count = files->count};
	auto_free char *name = NULL;
	uint64_t address;
	int number;

	if (sscanf(syscall, "%d 0x%" SCNx64, &number, &address) != 2 || number != SYS_futex)
		return;
	name = unwind_object(&u, address);
	if (name)
		json_object_set_new(task, "object", json_text(name));
}

json_t *stacks_frames(const struct stack_files *files, uint64_t pc, uint64_t sp, uint64_t bp,
	const void *stack, size_t len, json_t **ret_own)
{
	struct unwind u = {.known = 1u << UNWIND_SP | 1u << UNWIND_PC | 1u << UNWIND_BP,
		.files = files->at,
		.file_count = files->count,
		.stack_base = sp,
		.stack = stack,
		.stack_size = len};

	u.regs[UNWIND_PC] = pc;
	u.regs[UNWIND_SP] = sp;
	u.regs[UNWIND_BP] = bp;
	return unwind_frames(&u, ret_own, NULL);
}

/* What glibc and musl call a program's and a thread's first function from; in a static program they are its own. */
static bool is_entry(const char *name)
{
	static const char *const names[] = {"_start", "_start_c", "__libc_start_main",
		"__libc_start_main_impl", "__libc_start_call_main", "start_thread", "start",
		"clone", "__clone", "clone3", "__clone3"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], name))
			return true;
	return false;
}

json_t *stacks_began(const json_t *frames, const json_t *own)
{
	size_t count = json_array_size(frames);

	for (size_t i = count; count < UNWIND_FRAMES_MAX && i-- > 0;) {
		json_t *frame = json_array_get(frames, i);

		if (json_is_string(frame) && !is_entry(json_string_value(frame)) &&
			json_has_text(own, json_string_value(frame)))
			return i + 1 < count ? frame : NULL;
	}
	return NULL;
}

void stacks_add_began(json_t *task, const json_t *frames, const json_t *own)
{
	json_t *began = stacks_began(frames, own);

	if (began && !json_object_get(task, "began"))
		json_object_set(task, "began", began);
}

/* The process whose threads are being looked at. */
struct looked_at {
	int pid;
	bool stuck; /* its memory cannot be read: asked once, not for each of its threads */
	struct stack_files files;
	struct buf maps;
};

/* A stack ends where its mapping does: behind it the kernel gives a guard page, and whatever comes next. */
static size_t stack_bytes(const char *maps, uint64_t sp)
{
	uint64_t from, to;

	for (const char *line = maps; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &from, &to) != 2 || sp < from || sp >= to)
			continue;
		return to - sp < STACK_BYTES ? (size_t)(to - sp) : STACK_BYTES;
	}
	return STACK_BYTES;
}

static json_t *frames_of(const struct stack_source *source, const struct looked_at *at,
	const char *syscall, json_t **ret_own, bool *ret_jumped)
{
	auto_free char *path = text_fmt("/proc/%d/mem", at->pid);
	auto_buf struct buf stack = {0};
	struct unwind u = {.files = at->files.at, .file_count = at->files.count};
	size_t bytes;
	int64_t deadline;
	bool late = true;
	int rc;

	if (!read_registers(syscall, &u) || u.regs[UNWIND_SP] > INT64_MAX)
		return NULL;
	bytes = stack_bytes(buf_text(&at->maps), u.regs[UNWIND_SP]);
	for (int i = 0; i < TRIES && late; i++) {
		deadline = soon();
		rc = witness_read_at(source->witness, path, (int64_t)u.regs[UNWIND_SP], bytes,
			deadline, &stack, NULL);
		late = was_late(rc, deadline);
	}
	if (rc)
		return NULL;
	u.stack_base = u.regs[UNWIND_SP];
	u.stack = stack.data;
	u.stack_size = stack.len;
	return unwind_frames(&u, ret_own, ret_jumped);
}

static void looked_at_close(struct looked_at *at)
{
	stack_files_close(&at->files);
	buf_free(&at->maps);
}

static void open_process(const struct stack_source *source, int pid, struct looked_at *at)
{
	auto_free char *path = text_fmt("/proc/%d/maps", pid);
	struct mapped_files mapped = {0};
	int64_t deadline;
	int rc;

	looked_at_close(at);
	at->pid = pid;
	at->stuck = true;
	for (int i = 0; i < TRIES && at->stuck; i++) {
		deadline = soon();
		rc = witness_read(source->witness, path, MAPS_BYTES, deadline, &at->maps, NULL);
		at->stuck = was_late(rc, deadline);
	}
	if (!rc)
		mapped_files_of_maps(buf_text(&at->maps), &mapped);
	stack_files_open(source, &mapped, &at->files);
	mapped_files_free(&mapped);
}

static void add_frames(
	const struct stack_source *source, json_t *task, bool busy, struct looked_at *at)
{
	int pid = (int)json_get_int(task, "pid", 0);
	const char *syscall = json_get_text(task, "syscall", "");
	json_t *frames = NULL, *own = NULL;
	bool jumped = false;

	if (pid != at->pid)
		open_process(source, pid, at);
	if (at->stuck)
		return;
	if (busy)
		stacks_add_busy(source, task, &at->files);
	frames = frames_of(source, at, syscall, &own, &jumped);
	if (json_array_size(frames)) {
		json_object_set(task, "frames", frames);
		json_object_set(task, "own", own);
		if (jumped)
			json_object_set_new(task, "jumped", json_true());
		stacks_add_began(task, frames, own);
	}
	add_object(task, syscall, &at->files);
	json_decref(frames);
	json_decref(own);
}

/* ---- whose ---- */

static void add_tid(int tid, struct bed_stacks *ret)
{
	for (size_t i = 0; i < ret->count; i++)
		if (ret->tids[i] == tid)
			return;
	if (ret->count < BED_STACKS_MAX)
		ret->tids[ret->count++] = tid;
}

/* What else runs in that process: who should have woken the culprit is told by its stack. */
static void add_process(const json_t *scan, int pid, struct bed_stacks *ret)
{
	json_t *task;
	size_t i;

	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		if (json_get_int(task, "pid", 0) == pid)
			add_tid((int)json_get_int(task, "tid", 0), ret);
}

static bool is_class(const struct diagnosis *diagnosis, const char *name)
{
	return diagnosis->hang_class && !strcmp(diagnosis->hang_class, name);
}

void stacks_wanted(const struct diagnosis *diagnosis, const json_t *scan, struct bed_stacks *ret)
{
	size_t count = diagnosis->culprit_count,
	       processes = is_class(diagnosis, "deadlock") ? count : count > 0;

	*ret = (struct bed_stacks){0};
	for (size_t i = 0; i < count; i++)
		add_tid(diagnosis->culprits[i].tid, ret);
	if (is_class(diagnosis, "livelock"))
		ret->busy = ret->count < BUSY_MAX ? ret->count : BUSY_MAX;
	for (size_t i = 0; i < processes; i++)
		add_process(scan, diagnosis->culprits[i].pid, ret);
}

void stacks_add(const struct stack_source *source, json_t *scan, const struct bed_stacks *wanted)
{
	struct looked_at at = {0};
	json_t *task;
	size_t i;

	for (size_t k = 0; k < wanted->count && k < BED_STACKS_MAX; k++)
		json_array_foreach (json_object_get(scan, "tasks"), i, task)
			if (json_get_int(task, "tid", 0) == wanted->tids[k])
				add_frames(source, task, k < wanted->busy, &at);
	looked_at_close(&at);
}

/*
 * User stacks of threads that stand, and of processes that died: registers and stack bytes by the witness,
 * unwound on the host (vm/unwind.h) with the very files that the guest runs: the target's programs from the
 * build folder, all others out of the image.
 */
#include "run/bed_vm_core.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/proc.h"
#include "vm/unwind.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/syscall.h>

#define ASK_MS	       3000 /* each question; memory that is stuck is left out */
#define STACK_BYTES    (32u << 10)
#define MAPS_BYTES     (256u << 10)
#define CORE_HEAD      (256u << 10) /* program headers and notes */
#define EXTRACT_MS     20000
#define PROGRAMS_DIR   "/run/rig/target/"
#define CORE_PREFIX    "/run/rig/cores/core."
#define CORE_LOADS_MAX 4096

static int64_t soon(void)
{
	return deadline_in_ms(ASK_MS);
}

/* ---- files ---- */

/* A path of a guest may end in an argument of debugfs: plain and absolute, or none. */
static bool is_plain(const char *path)
{
	return path[0] == '/' && !strstr(path, "..") &&
	       strspn(path,
		       "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-") ==
		       strlen(path);
}

/* Out of the image, once: the image's key names the folder. */
static char *extracted(struct vm_bed *b, const char *path)
{
	auto_free char *cache = fs_cache_dir();
	auto_free char *dir = text_fmt("%s/programs/%s", cache, b->spec->image.key);
	auto_free char *name = text_dup(path + 1);
	auto_free char *fresh = NULL, *request = NULL;
	char *argv[] = {"debugfs", "-R", NULL, b->spec->image.disk, NULL};
	char *copy;
	struct err err = {0};

	for (char *p = name; (p = strchr(p, '/'));)
		*p = '%';
	copy = path_join(dir, name);
	if (fs_exists(copy) || fs_mkdir_p(dir, &err))
		return copy;
	fresh = text_fmt("%s.%d", copy, (int)getpid());
	request = text_fmt("dump %s %s", path, fresh);
	argv[2] = request;
	if (proc_run(argv, deadline_in_ms(EXTRACT_MS), NULL, 0, &err) || !fs_exists(fresh) ||
		rename(fresh, copy))
		log_line("cannot take '%s' out of the image: %s", path, err.text);
	return copy;
}

/* The host's copy of a program of the guest, or NULL. Caller frees. */
static char *host_copy(struct vm_bed *b, const char *path)
{
	char *copy;

	if (!is_plain(path))
		return NULL;
	if (!strncmp(path, PROGRAMS_DIR, strlen(PROGRAMS_DIR)))
		copy = text_fmt("%s/build/targets/%s/%s", b->spec->root, b->bed.target->name,
			path + strlen(PROGRAMS_DIR));
	else if (!strncmp(path, "/run/rig/", strlen("/run/rig/")))
		copy = text_fmt("%s/build/guest/%s", b->spec->root, path + strlen("/run/rig/"));
	else
		copy = extracted(b, path);
	if (fs_exists(copy))
		return copy;
	free(copy);
	return NULL;
}

struct files {
	struct unwind_file at[UNWIND_FILES_MAX];
	size_t count;
};

static void files_free(struct files *files)
{
	for (size_t i = 0; i < files->count; i++) {
		free(files->at[i].host_path);
		free(files->at[i].guest_path);
	}
	files->count = 0;
}

/* The first byte of a file was mapped at `base`. */
static void files_add(struct vm_bed *b, struct files *files, const char *path, uint64_t base)
{
	char *copy;

	for (size_t i = 0; i < files->count; i++)
		if (!strcmp(files->at[i].guest_path, path))
			return;
	copy = files->count < UNWIND_FILES_MAX ? host_copy(b, path) : NULL;
	if (copy)
		files->at[files->count++] = (struct unwind_file){
			.base = base, .host_path = copy, .guest_path = text_dup(path)};
}

/* Lines of /proc/PID/maps: "start-end perms offset dev inode   path" (proc(5)). */
static void files_of_maps(struct vm_bed *b, struct files *files, char *maps)
{
	char *save = NULL, path[1024];
	uint64_t start, offset;

	for (char *line = strtok_r(maps, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (sscanf(line, "%" SCNx64 "-%*x %*s %" SCNx64 " %*s %*s %1023s", &start, &offset,
			    path) == 3 &&
			!offset)
			files_add(b, files, path, start);
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
static void add_object(json_t *task, const char *syscall, const struct files *files)
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

static json_t *frames_of(
	struct vm_bed *b, int pid, const char *syscall, const struct files *files, json_t **ret_own)
{
	auto_free char *path = text_fmt("/proc/%d/mem", pid);
	auto_buf struct buf stack = {0};
	struct unwind u = {.files = files->at, .file_count = files->count};

	if (!read_registers(syscall, &u) || u.regs[UNWIND_SP] > INT64_MAX ||
		witness_read_at(b->witness, path, (int64_t)u.regs[UNWIND_SP], STACK_BYTES, soon(),
			&stack, NULL))
		return NULL;
	u.stack_base = u.regs[UNWIND_SP];
	u.stack = stack.data;
	u.stack_size = stack.len;
	return unwind_frames(&u, ret_own);
}

static void add_frames(struct vm_bed *b, json_t *task, struct files *files, int *files_pid)
{
	int pid = (int)json_get_int(task, "pid", 0);
	auto_free char *path = text_fmt("/proc/%d/maps", pid);
	const char *syscall = json_get_text(task, "syscall", "");
	auto_buf struct buf maps = {0};
	json_t *frames, *own = NULL;

	if (pid != *files_pid) {
		files_free(files);
		*files_pid = pid;
		if (!witness_read(b->witness, path, MAPS_BYTES, soon(), &maps, NULL) && maps.data)
			files_of_maps(b, files, maps.data);
	}
	frames = frames_of(b, pid, syscall, files, &own);
	if (json_array_size(frames)) {
		json_object_set(task, "frames", frames);
		json_object_set(task, "own", own);
	}
	add_object(task, syscall, files);
	json_decref(frames);
	json_decref(own);
}

int vm_stacks(struct bed *bed, json_t *scan, const int *tids, size_t count, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;
	struct files files = {0};
	int files_pid = 0;
	json_t *task;
	size_t i;

	if (b->halted)
		return err_set(err, -EBUSY, "the machine is halted and no stack can be read");
	json_array_foreach (json_object_get(scan, "tasks"), i, task)
		for (size_t k = 0; k < count && k < BED_STACKS_MAX; k++)
			if (json_get_int(task, "tid", 0) == tids[k])
				add_frames(b, task, &files, &files_pid);
	files_free(&files);
	return 0;
}

/* ---- cores ---- */

/* The head of a core file, as far as it was read; all of it is the guest's word. */
struct core {
	struct buf head;
	const Elf64_Phdr *loads;
	size_t load_count;
	struct unwind u;
	struct files files;
	uint64_t address; /* that the signal was about */
	int tid;	  /* who got it: the kernel writes that thread first */
	bool has_address, has_registers;
};

/* sys/user.h order to DWARF's (System V ABI AMD64, figure 3.36). */
static void core_registers(struct core *core, const char *desc, size_t size)
{
	static const int dwarf[] = {
		15, 14, 13, 12, 6, 3, 11, 10, 9, 8, 0, 2, 1, 4, 5, -1, 16, -1, -1, 7};
	prstatus_t status;

	if (core->has_registers || size < sizeof(status))
		return;
	memcpy(&status, desc, sizeof(status));
	for (size_t i = 0; i < ARRAY_SIZE(dwarf); i++)
		if (dwarf[i] >= 0) {
			core->u.regs[dwarf[i]] = status.pr_reg[i];
			core->u.known |= 1u << dwarf[i];
		}
	core->tid = status.pr_pid;
	core->has_registers = true;
}

/* NT_FILE: count, page size, then start, end, offset in pages for each, then the names. */
static void core_files(struct vm_bed *b, struct core *core, const char *desc, size_t size)
{
	uint64_t count, row[3];
	size_t name;

	if (size < 16)
		return;
	memcpy(&count, desc, sizeof(count));
	if (count > (size - 16) / sizeof(row))
		return;
	name = 16 + count * sizeof(row);
	for (uint64_t i = 0; i < count && name < size; i++) {
		size_t len = strnlen(desc + name, size - name);

		if (name + len >= size)
			return;
		memcpy(row, desc + 16 + i * sizeof(row), sizeof(row));
		if (!row[2])
			files_add(b, &core->files, desc + name, row[0]);
		name += len + 1;
	}
}

static void core_note(
	struct vm_bed *b, struct core *core, uint32_t type, const char *desc, size_t size)
{
	if (type == NT_PRSTATUS) {
		core_registers(core, desc, size);
	} else if (type == NT_SIGINFO && size >= 24 && !core->has_address) {
		memcpy(&core->address, desc + 16, sizeof(core->address));
		core->has_address = true;
	} else if (type == NT_FILE) {
		core_files(b, core, desc, size);
	}
}

static void core_notes(struct vm_bed *b, struct core *core, size_t at, size_t size)
{
	size_t end = at + size;
	Elf64_Nhdr note;

	if (at > core->head.len || size > core->head.len - at)
		return;
	while (end - at >= sizeof(note)) {
		size_t name, desc;

		memcpy(&note, core->head.data + at, sizeof(note));
		name = ((size_t)note.n_namesz + 3) & ~(size_t)3;
		desc = ((size_t)note.n_descsz + 3) & ~(size_t)3;
		at += sizeof(note);
		if (name > end - at || desc > end - at - name)
			return;
		core_note(b, core, note.n_type, core->head.data + at + name, note.n_descsz);
		at += name + desc;
	}
}

static bool core_headers(struct vm_bed *b, struct core *core)
{
	Elf64_Ehdr head;

	if (core->head.len < sizeof(head))
		return false;
	memcpy(&head, core->head.data, sizeof(head));
	if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_phentsize != sizeof(Elf64_Phdr) ||
		head.e_phoff % sizeof(uint64_t) || head.e_phoff > core->head.len ||
		head.e_phnum > CORE_LOADS_MAX ||
		head.e_phnum > (core->head.len - head.e_phoff) / sizeof(Elf64_Phdr))
		return false;
	core->loads = (const Elf64_Phdr *)(const void *)(core->head.data + head.e_phoff);
	core->load_count = head.e_phnum;
	for (size_t i = 0; i < core->load_count; i++)
		if (core->loads[i].p_type == PT_NOTE)
			core_notes(b, core, core->loads[i].p_offset, core->loads[i].p_filesz);
	return core->has_registers;
}

static void core_stack(struct vm_bed *b, struct core *core, const char *path, struct buf *stack)
{
	uint64_t sp = core->u.regs[UNWIND_SP];

	for (size_t i = 0; i < core->load_count; i++) {
		const Elf64_Phdr *load = &core->loads[i];
		uint64_t in = sp - load->p_vaddr, left;

		if (load->p_type != PT_LOAD || sp < load->p_vaddr || in >= load->p_filesz ||
			load->p_offset > INT64_MAX - in)
			continue;
		left = load->p_filesz - in;
		if (!witness_read_at(b->witness, path, (int64_t)(load->p_offset + in),
			    left < STACK_BYTES ? (size_t)left : STACK_BYTES, soon(), stack, NULL)) {
			core->u.stack_base = sp;
			core->u.stack = stack->data;
			core->u.stack_size = stack->len;
		}
		return;
	}
}

int vm_core(struct bed *bed, const char *path, json_t **ret, struct err *err)
{
	struct vm_bed *b = (struct vm_bed *)bed;
	auto_buf struct buf stack = {0};
	struct core core = {0};
	json_t *frames, *own = NULL;
	int rc;

	if (strncmp(path, CORE_PREFIX, strlen(CORE_PREFIX)) != 0 || !is_plain(path))
		return err_set(err, -EINVAL, "'%s' is no core of the witness's", path);
	rc = witness_read_at(
		b->witness, path, 0, CORE_HEAD, deadline_in_ms(10000), &core.head, err);
	if (!rc && !core_headers(b, &core))
		rc = err_set(err, -EINVAL, "'%s' has no registers", path);
	if (!rc) {
		core_stack(b, &core, path, &stack);
		core.u.files = core.files.at;
		core.u.file_count = core.files.count;
		frames = unwind_frames(&core.u, &own);
		*ret = json_pack("{so so si}", "frames", frames, "own", own, "tid", core.tid);
		if (core.has_address)
			json_object_set_new(
				*ret, "address", json_integer((json_int_t)core.address));
	}
	files_free(&core.files);
	buf_free(&core.head);
	return rc;
}

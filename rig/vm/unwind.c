#include "vm/unwind.h"

#include "base/buf.h"
#include "base/json.h"
#include "vm/frame_pointer.h"

#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <stdlib.h>
#include <string.h>

#define FILE_NAME_MAX 64
#define MEMBERS_MAX   8 /* structs in structs */
#define THREAD_ID     1 /* there is one, and nobody is asked about it */

struct walk {
	const struct unwind *u;
	json_t *frames, *own;
	const char *last_file; /* of a frame without a name */
	struct frame_place last;
	bool jumped;
	int count;
};

/* Nothing is looked for outside of what was given. */
static int no_debuginfo(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
	const char *file, const char *link, GElf_Word crc, char **ret)
{
	(void)module, (void)userdata, (void)name, (void)base, (void)file, (void)link, (void)crc;
	(void)ret;
	return -1;
}

static int no_elf(Dwfl_Module *module, void **userdata, const char *name, Dwarf_Addr base,
	char **file, Elf **elf)
{
	(void)module, (void)userdata, (void)name, (void)base, (void)file, (void)elf;
	return -1;
}

/* ---- what libdwfl asks ---- */

static pid_t next_thread(Dwfl *dwfl, void *arg, void **ret)
{
	(void)dwfl;
	if (*ret)
		return 0;
	*ret = arg;
	return THREAD_ID;
}

static bool read_stack(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *ret, void *arg)
{
	const struct unwind *u = arg;

	(void)dwfl;
	if (u->stack_size < sizeof(*ret) || address < u->stack_base ||
		address - u->stack_base > u->stack_size - sizeof(*ret))
		return false;
	memcpy(ret, u->stack + (address - u->stack_base), sizeof(*ret));
	return true;
}

static bool set_registers(Dwfl_Thread *thread, void *arg)
{
	const struct unwind *u = arg;

	for (int i = 0; i < UNWIND_REGS; i++) {
		Dwarf_Word value = u->regs[i];

		if (u->known >> i & 1 && !dwfl_thread_state_registers(thread, i, 1, &value))
			return false;
	}
	dwfl_thread_state_register_pc(thread, u->regs[UNWIND_PC]);
	return true;
}

/* ---- frames ---- */

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path ? path : "?";
}

static bool is_c_library(const char *file)
{
	return !strncmp(file, "libc.so", strlen("libc.so")) ||
	       !strncmp(file, "ld-linux", strlen("ld-linux"));
}

/*
 * In a static program the C library lies behind what calls it, as linkers put libraries behind what needs them, and the
 * first of it is what calls main(): that is asked for before all else.
 */
static bool is_in_static_c_library(Dwfl_Module *module, Dwarf_Addr start)
{
	static const char prefix[] = "__libc_start_";
	int count = dwfl_module_getsymtab(module);

	for (int i = 1; i < count; i++) {
		GElf_Sym symbol;
		GElf_Addr at;
		const char *name =
			dwfl_module_getsym_info(module, i, &symbol, &at, NULL, NULL, NULL);

		if (name && symbol.st_shndx != SHN_UNDEF && at <= start &&
			!strncmp(name, prefix, strlen(prefix)))
			return true;
	}
	return false;
}

/* Where in the file a function without a name begins, by its call frame information; 0: not known. */
static Dwarf_Addr start_in_file(Dwfl_Module *module, Dwarf_Addr pc)
{
	Dwarf_Addr bias = 0, start = 0;
	Dwarf_CFI *cfi = module ? dwfl_module_eh_cfi(module, &bias) : NULL;
	Dwarf_Frame *frame = NULL;

	if (!cfi || dwarf_cfi_addrframe(cfi, pc - bias, &frame))
		return 0;
	if (dwarf_frame_info(frame, &start, NULL, NULL) < 0)
		start = 0;
	free(frame);
	return start;
}

/* A stripped program: its file, and for people the place, which gdb and objdump know. */
static void append_nameless(struct walk *walk, Dwfl_Module *module, const char *file, Dwarf_Addr pc)
{
	Dwarf_Addr start = is_c_library(file) ? 0 : start_in_file(module, pc);
	bool again = walk->last_file && !strcmp(walk->last_file, file);

	walk->last_file = file;
	if (start)
		json_array_append_new(walk->frames, json_sprintf("%.*s+0x%llx", FILE_NAME_MAX, file,
							    (unsigned long long)start));
	else if (!again)
		json_array_append_new(walk->frames, json_text(file));
	if (!again && !is_c_library(file))
		json_array_append_new(walk->own, json_text(file));
}

static void add_frame(struct walk *walk, Dwfl_Module *module, Dwarf_Addr pc)
{
	GElf_Off offset = 0;
	GElf_Sym symbol;
	auto_free char *text = NULL;
	const char *name =
		module ? dwfl_module_addrinfo(module, pc, &offset, &symbol, NULL, NULL, NULL)
		       : NULL;
	const char *file = module ? base_name(dwfl_module_info(
					    module, NULL, NULL, NULL, NULL, NULL, NULL, NULL))
				  : "?";

	/* libdwfl gives the nearest symbol before it, which may be another function's. */
	if (name && *name && offset < symbol.st_size) {
		walk->last_file = NULL;
		walk->last.start = pc - offset;
		text = strndup(name, 1 + strcspn(name + 1, "."));
		json_array_append_new(walk->frames, json_text(text));
		if (!is_c_library(file) && !is_in_static_c_library(module, pc - offset))
			json_array_append_new(walk->own, json_text(text));
		return;
	}
	walk->last.start = 0;
	append_nameless(walk, module, file, pc);
}

static int on_frame(Dwfl_Frame *frame, void *arg)
{
	struct walk *walk = arg;
	Dwarf_Addr pc;
	bool activation, first;
	Dwfl *dwfl;

	if (walk->count++ == UNWIND_FRAMES_MAX || !dwfl_frame_pc(frame, &pc, &activation) || !pc)
		return DWARF_CB_ABORT;
	if (!activation)
		pc--; /* the call, not what follows it */
	walk->last.pc = pc;
	if (dwfl_frame_reg(frame, UNWIND_SP, &walk->last.sp))
		walk->last.sp = 0;
	first = !json_array_size(walk->own);
	dwfl = dwfl_thread_dwfl(dwfl_frame_thread(frame));
	add_frame(walk, dwfl_addrmodule(dwfl, pc), pc);
	if (first && json_array_size(walk->own) && !activation)
		walk->jumped = frame_is_of_pointer(dwfl, pc + 1);
	return DWARF_CB_OK;
}

static void report_files(Dwfl *dwfl, const struct unwind *u)
{
	dwfl_report_begin(dwfl);
	for (size_t i = 0; i < u->file_count && i < UNWIND_FILES_MAX; i++)
		dwfl_report_elf(dwfl, base_name(u->files[i].guest_path), u->files[i].host_path, -1,
			u->files[i].base, true);
	dwfl_report_end(dwfl, NULL, NULL);
}

static const Dwfl_Callbacks callbacks = {.find_elf = no_elf, .find_debuginfo = no_debuginfo};

/* One pass; `ret_bp` is set where the frames ended for want of the frame pointer. */
static struct walk walk_once(const struct unwind *u, bool *ret_again, uint64_t *ret_bp)
{
	static const Dwfl_Thread_Callbacks thread = {.next_thread = next_thread,
		.memory_read = read_stack,
		.set_initial_registers = set_registers};
	struct walk walk = {.u = u, .frames = json_array(), .own = json_array()};
	Dwfl *dwfl = dwfl_begin(&callbacks);

	*ret_again = false;
	if (!dwfl)
		return walk;
	report_files(dwfl, u);
	if (dwfl_attach_state(dwfl, NULL, THREAD_ID, &thread, (void *)(uintptr_t)u))
		dwfl_getthread_frames(dwfl, THREAD_ID, on_frame, &walk);
	*ret_again = frame_pointer_find(dwfl, u, &walk.last, ret_bp);
	dwfl_end(dwfl);
	return walk;
}

static void walk_free(struct walk *walk)
{
	json_decref(walk->frames);
	json_decref(walk->own);
}

json_t *unwind_frames(const struct unwind *unwind, json_t **ret_own, bool *ret_jumped)
{
	struct unwind known = *unwind;
	bool again;
	struct walk walk = walk_once(&known, &again, &known.regs[UNWIND_BP]), more;

	if (again) {
		known.known |= 1u << UNWIND_BP;
		more = walk_once(&known, &again, &known.regs[UNWIND_BP]);
		if (json_array_size(more.frames) > json_array_size(walk.frames)) {
			walk_free(&walk);
			walk = more;
		} else {
			walk_free(&more);
		}
	}
	if (ret_own)
		*ret_own = json_incref(walk.own);
	if (ret_jumped)
		*ret_jumped = walk.jumped;
	json_decref(walk.own);
	return walk.frames;
}

/* ---- variables ---- */

/* What has members of its own that say nothing to a reader. */
static bool is_opaque(const char *type)
{
	static const char *const types[] = {
		"pthread_mutex_t", "pthread_cond_t", "pthread_rwlock_t", "sem_t", NULL};

	for (const char *const *known = types; type && *known; known++)
		if (!strcmp(type, *known))
			return true;
	return false;
}

static bool type_of(Dwarf_Die *die, Dwarf_Die *ret)
{
	Dwarf_Attribute attribute;

	return dwarf_formref_die(dwarf_attr_integrate(die, DW_AT_type, &attribute), ret) != NULL;
}

/* The member of a struct that has the byte at `*offset`, which becomes the place in it. */
static bool member_at(Dwarf_Die *type, Dwarf_Word *offset, Dwarf_Die *ret)
{
	Dwarf_Attribute attribute;
	Dwarf_Die member_type;
	Dwarf_Word at, size;

	if (dwarf_child(type, ret))
		return false;
	do {
		if (dwarf_tag(ret) != DW_TAG_member || !type_of(ret, &member_type) ||
			dwarf_aggregate_size(&member_type, &size))
			continue;
		at = 0;
		dwarf_formudata(dwarf_attr(ret, DW_AT_data_member_location, &attribute), &at);
		if (*offset < at || *offset - at >= size)
			continue;
		*offset -= at;
		return true;
	} while (!dwarf_siblingof(ret, ret));
	return false;
}

/* ".member.member" for as long as there are any. */
static void add_members(Dwarf_Die *variable, Dwarf_Word offset, struct buf *name)
{
	Dwarf_Die type, whole, member;

	for (int depth = 0; depth < MEMBERS_MAX && type_of(variable, &type); depth++) {
		if (is_opaque(dwarf_diename(&type)) || dwarf_peel_type(&type, &whole) ||
			dwarf_tag(&whole) != DW_TAG_structure_type ||
			!member_at(&whole, &offset, &member))
			return;
		buf_addf(name, ".%s", dwarf_diename(&member) ? dwarf_diename(&member) : "?");
		*variable = member;
	}
}

static bool is_at(Dwarf_Die *die, Dwarf_Addr address)
{
	Dwarf_Attribute attribute;
	Dwarf_Op *ops;
	size_t count;

	return dwarf_tag(die) == DW_TAG_variable &&
	       !dwarf_getlocation(dwarf_attr(die, DW_AT_location, &attribute), &ops, &count) &&
	       count == 1 && ops[0].atom == DW_OP_addr && ops[0].number == address;
}

/* The variable that begins at `address`, of the whole file or of one compilation unit. */
static bool find_variable(Dwfl_Module *module, Dwarf_Addr address, Dwarf_Die *ret)
{
	Dwarf_Die *unit = NULL;
	Dwarf_Addr bias;

	while ((unit = dwfl_module_nextcu(module, unit, &bias))) {
		if (dwarf_child(unit, ret))
			continue;
		do {
			if (is_at(ret, address - bias))
				return true;
		} while (!dwarf_siblingof(ret, ret));
	}
	return false;
}

/* Of a name that several variables of the file have, each in a source file of its own: the one that has this one.
 * NULL: none has another. In a symbol table those of a source file come behind its name (System V ABI 4). */
static const char *source_of(Dwfl_Module *module, const char *name, Dwarf_Addr start)
{
	int count = dwfl_module_getsymtab(module), same = 0;
	const char *source = NULL, *found = NULL;

	for (int i = 1; i < count; i++) {
		GElf_Sym symbol;
		GElf_Addr at;
		const char *one =
			dwfl_module_getsym_info(module, i, &symbol, &at, NULL, NULL, NULL);

		if (one && GELF_ST_TYPE(symbol.st_info) == STT_FILE)
			source = one;
		if (!one || GELF_ST_TYPE(symbol.st_info) != STT_OBJECT || strcmp(one, name) != 0)
			continue;
		same++;
		if (at == start && GELF_ST_BIND(symbol.st_info) == STB_LOCAL)
			found = source;
	}
	return same > 1 ? found : NULL;
}

static char *name_object(Dwfl *dwfl, uint64_t address)
{
	Dwfl_Module *module = dwfl_addrmodule(dwfl, address);
	struct buf text = {0};
	GElf_Off offset = 0;
	GElf_Sym symbol;
	Dwarf_Die variable;
	const char *source;
	const char *name =
		module ? dwfl_module_addrinfo(module, address, &offset, &symbol, NULL, NULL, NULL)
		       : NULL;

	if (!name || !*name || offset >= symbol.st_size)
		return NULL;
	buf_add_str(&text, name);
	if (find_variable(module, address - offset, &variable))
		add_members(&variable, offset, &text);
	else if (offset)
		buf_addf(&text, "+0x%llx", (unsigned long long)offset);
	source = source_of(module, name, address - offset);
	if (source)
		buf_addf(&text, " of %s", base_name(source));
	return buf_steal(&text);
}

char *unwind_object(const struct unwind *unwind, uint64_t address)
{
	Dwfl *dwfl = dwfl_begin(&callbacks);
	char *name;

	if (!dwfl)
		return NULL;
	report_files(dwfl, unwind);
	name = name_object(dwfl, address);
	dwfl_end(dwfl);
	return name;
}

#include "vm/frame_pointer.h"

#include "base/err.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#define WORD	     ((Dwarf_Sword)sizeof(uint64_t))
#define PROLOGUE_MAX 64 /* bytes of code in which a function makes room for its variables */
#define SAVED_FIRST \
	3 /* rbx, the first of the registers that a function keeps for its caller; DWARF numbers */
#define SAVED_LAST 15
#define CALL_MAX   7 /* bytes of an indirect call without prefixes */

/* ---- code ---- */

/* Up to `size` bytes of code, out of the file that is mapped there; how many. */
static size_t read_code(Dwfl *dwfl, Dwarf_Addr address, unsigned char *to, size_t size)
{
	Dwfl_Module *module = dwfl_addrmodule(dwfl, address);
	GElf_Addr bias = 0;
	Elf *elf = module ? dwfl_module_getelf(module, &bias) : NULL;
	size_t file_size = 0, count = 0;
	const char *bytes = elf ? elf_rawfile(elf, &file_size) : NULL;

	if (!bytes || elf_getphdrnum(elf, &count))
		return 0;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr load;
		GElf_Addr in;

		if (!gelf_getphdr(elf, (int)i, &load) || load.p_type != PT_LOAD ||
			!(load.p_flags & PF_X))
			continue;
		in = address - bias - load.p_vaddr;
		if (address - bias < load.p_vaddr || in >= load.p_filesz ||
			load.p_offset > file_size || in >= file_size - load.p_offset)
			continue;
		size = MIN(size, load.p_filesz - in);
		size = MIN(size, file_size - load.p_offset - in);
		memcpy(to, bytes + load.p_offset + in, size);
		return size;
	}
	return 0;
}

/* True if these last bytes of something are an indirect call: `ff /2`, its operand's address as the Intel SDM, volume
 * 2, table 2-2 says. */
static bool ends_in_indirect_call(const unsigned char *code, size_t len)
{
	for (size_t size = 2; size <= CALL_MAX && size <= len; size++) {
		const unsigned char *call = code + len - size;
		unsigned int mode = call[1] >> 6, place = call[1] & 7;
		size_t want = 2;

		if (call[0] != 0xff || (call[1] >> 3 & 7) != 2)
			continue;
		if (mode != 3 && place == 4)
			want++;
		if (mode == 1)
			want++;
		else if (mode == 2 || (!mode && place == 5))
			want += 4;
		if (want == size)
			return true;
	}
	return false;
}

static bool read_code_before(Dwfl *dwfl, Dwarf_Addr address, unsigned char code[CALL_MAX])
{
	return address >= CALL_MAX &&
	       read_code(dwfl, address - CALL_MAX, code, CALL_MAX) == CALL_MAX;
}

bool frame_is_of_pointer(Dwfl *dwfl, Dwarf_Addr address)
{
	unsigned char code[CALL_MAX];

	if (!read_code_before(dwfl, address, code))
		return false;
	/* call rel32, and call *disp32(%rip) */
	if (code[CALL_MAX - 5] == 0xe8 ||
		(code[CALL_MAX - 6] == 0xff && code[CALL_MAX - 5] == 0x15))
		return false;
	return ends_in_indirect_call(code, sizeof(code));
}

/* True if the instruction before `address` is a call: a direct one of the function at `start`, or, where that is 0,
 * any. */
static bool follows_call(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Addr start)
{
	unsigned char code[CALL_MAX];
	int32_t distance;

	if (!read_code_before(dwfl, address, code))
		return false;
	if (!start && ends_in_indirect_call(code, sizeof(code)))
		return true;
	if (code[sizeof(code) - 5] != 0xe8)
		return false;
	memcpy(&distance, code + sizeof(code) - sizeof(distance), sizeof(distance));
	return !start || address + (Dwarf_Addr)(int64_t)distance == start;
}

/* Bytes that the function at `start` takes off the stack pointer for its variables, at once: `sub $N,%rsp`, of which
 * compilers write 128 as `add $-128,%rsp`. */
static Dwarf_Sword room_of(Dwfl *dwfl, const struct frame_place *at)
{
	unsigned char code[PROLOGUE_MAX];
	size_t len = read_code(dwfl, at->start, code, MIN(sizeof(code), at->pc - at->start));
	int32_t room;

	for (size_t i = 0; i + 4 <= len; i++) {
		if (code[i] != 0x48)
			continue;
		if (code[i + 1] == 0x83 && code[i + 2] == 0xec)
			return (int8_t)code[i + 3];
		if (code[i + 1] == 0x83 && code[i + 2] == 0xc4 && code[i + 3] == 0x80)
			return 128;
		if (code[i + 1] == 0x81 && code[i + 2] == 0xec && i + 7 <= len) {
			memcpy(&room, code + i + 3, sizeof(room));
			return room;
		}
	}
	return 0;
}

/* ---- call frame information ---- */

/* True if the frame begins 16 bytes over the frame pointer: two words, the caller's and the return address. */
static bool begins_at_frame_pointer(Dwarf_Frame *frame)
{
	Dwarf_Op *ops;
	size_t count;

	return !dwarf_frame_cfa(frame, &ops, &count) && count == 1 &&
	       ((ops->atom == DW_OP_bregx && ops->number == UNWIND_BP &&
			ops->number2 == 2 * sizeof(uint64_t)) ||
		       (ops->atom == DW_OP_breg0 + UNWIND_BP &&
			       ops->number == 2 * sizeof(uint64_t)));
}

/* Bytes between the frame's beginning and the last register that was saved there. */
static Dwarf_Sword saved_bytes(Dwarf_Frame *frame)
{
	Dwarf_Sword most = 2 * WORD;

	for (int i = SAVED_FIRST; i <= SAVED_LAST; i++) {
		Dwarf_Op room[3], *ops;
		size_t count;

		if (!dwarf_frame_register(frame, i, room, &ops, &count) && count == 2 &&
			ops[0].atom == DW_OP_call_frame_cfa && ops[1].atom == DW_OP_plus_uconst)
			most = MAX(most, -(Dwarf_Sword)ops[1].number);
	}
	return most;
}

/* By what the function did with the stack pointer: it saved registers and made room. */
static bool by_prologue(Dwfl *dwfl, const struct frame_place *at, uint64_t *ret)
{
	Dwfl_Module *module = dwfl_addrmodule(dwfl, at->pc);
	Dwarf_Addr bias = 0;
	Dwarf_CFI *cfi = module ? dwfl_module_eh_cfi(module, &bias) : NULL;
	Dwarf_Frame *frame = NULL;
	bool good;

	if (!at->sp || !cfi || dwarf_cfi_addrframe(cfi, at->pc - bias, &frame))
		return false;
	good = begins_at_frame_pointer(frame);
	if (good)
		*ret = at->sp + (uint64_t)(saved_bytes(frame) + room_of(dwfl, at) - 2 * WORD);
	free(frame);
	return good;
}

/* ---- both ---- */

static bool returns_at(Dwfl *dwfl, const struct unwind *u, uint64_t bp, Dwarf_Addr start)
{
	uint64_t address, at = bp - u->stack_base;

	if (bp < u->stack_base || u->stack_size < 2 * sizeof(address) ||
		at > u->stack_size - 2 * sizeof(address))
		return false;
	memcpy(&address, u->stack + at + sizeof(address), sizeof(address));
	return follows_call(dwfl, address, start);
}

bool frame_pointer_find(
	Dwfl *dwfl, const struct unwind *u, const struct frame_place *at, uint64_t *ret)
{
	if (u->known >> UNWIND_BP & 1 || !at->start)
		return false;
	if (by_prologue(dwfl, at, ret) && returns_at(dwfl, u, *ret, 0))
		return true;
	for (size_t i = 0; i + 2 * sizeof(uint64_t) <= u->stack_size; i += sizeof(uint64_t)) {
		*ret = u->stack_base + i;
		if (returns_at(dwfl, u, *ret, at->start))
			return true;
	}
	return false;
}

/*
 * A stack and registers as a hostile guest may leave them (rig/vm/unwind.h), over the code of the C library: 8 bytes
 * each for program counter, stack pointer and frame pointer, taken into or near the places that they belong to, then
 * the stack. Whatever they are: a bounded list of names.
 */
#include "vm/unwind.h"

#include <assert.h>
#include <string.h>

#define CODE_AT	 UINT64_C(0x7f0000000000)
#define STACK_AT UINT64_C(0x7ffc00000000)
#define LIBRARY	 "/lib/x86_64-linux-gnu/libc.so.6"
#define NEAR	 0x1fffff

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static uint64_t word(const uint8_t *bytes)
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return value;
}

/* Code addresses on the stack would hardly be met by chance: words whose lowest bit is set become some. */
static void lead_to_code(char *stack, size_t len)
{
	for (size_t at = 0; at + sizeof(uint64_t) <= len; at += sizeof(uint64_t)) {
		uint64_t value = word((const uint8_t *)stack + at);

		if (value & 1)
			value = CODE_AT + (value >> 1 & NEAR);
		else if (value & 2)
			value = STACK_AT + (value >> 2 & 0xfff);
		memcpy(stack + at, &value, sizeof(value));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static char path[] = LIBRARY;
	static const struct unwind_file file = {
		.base = CODE_AT, .host_path = path, .guest_path = path};
	char stack[2048];
	struct unwind u = {.known = 1u << UNWIND_PC | 1u << UNWIND_SP | 1u << UNWIND_BP,
		.files = &file,
		.file_count = 1,
		.stack_base = STACK_AT,
		.stack = stack};
	json_t *frames, *own = NULL;

	if (len < 24)
		return 0;
	u.stack_size = len - 24 < sizeof(stack) ? len - 24 : sizeof(stack);
	memcpy(stack, bytes + 24, u.stack_size);
	lead_to_code(stack, u.stack_size);
	u.regs[UNWIND_PC] = CODE_AT + (word(bytes) & NEAR);
	u.regs[UNWIND_SP] = STACK_AT + (word(bytes + 8) & 0xfff);
	u.regs[UNWIND_BP] =
		word(bytes + 16) & 1 ? word(bytes + 16) : STACK_AT + (word(bytes + 16) & 0xfff);
	frames = unwind_frames(&u, &own, NULL);
	assert(json_array_size(frames) <= UNWIND_FRAMES_MAX + 1);
	assert(json_array_size(own) <= json_array_size(frames));
	json_decref(frames);
	json_decref(own);
	return 0;
}

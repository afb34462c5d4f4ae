/*
 * What a hostile guest may leave of a death: the head of a core, its maps, what it says was freed,
 * and its dot-locks (rig/vm/core_file.h, rig/vm/free_journal.h, rig/diagnose/dot_lock.h). The first byte chooses.
 */
#include "diagnose/dot_lock.h"
#include "vm/core_file.h"
#include "vm/free_journal.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void core(const char *bytes, size_t len)
{
	struct core_file file;
	uint64_t offset, size;

	core_file_read(bytes, len, &file);
	assert(file.files.count <= MAPPED_FILES_MAX && file.load_count <= CORE_LOADS_MAX);
	for (size_t i = 0; i < file.load_count; i++)
		if (core_file_find(&file, file.loads[i].address, &offset, &size))
			assert(size && offset <= INT64_MAX);
	core_file_free(&file);
}

static void maps(const char *text)
{
	struct mapped_files files;

	mapped_files_of_maps(text, &files);
	for (size_t i = 0; i < files.count; i++)
		assert(files.at[i].path[0] == '/' && strlen(files.at[i].path) < MAPPED_PATH_MAX);
	mapped_files_free(&files);
}

static void journal(const char *text, size_t len)
{
	struct free_journal freed;
	struct free_record made;
	enum free_match match;

	free_journal_read(text, len, &freed);
	for (size_t i = 0; i < freed.count; i++) {
		const struct free_record *one = &freed.records[i];

		assert(one->stack_len <= FREE_STACK_MAX && one->tid > 0);
		if (free_journal_find(&freed, one->address, true, one->tid, &match))
			assert(match == FREE_FAULT);
		if (free_journal_made(&freed, one, text, len, &made))
			assert(made.stack_len <= FREE_STACK_MAX && made.tid > 0);
	}
	free_journal_twice(&freed);
	free_journal_free(&freed);
}

static void dot_locks(const char *text, size_t len)
{
	json_t *locks = dot_locks_read(text, len);

	assert(json_array_size(locks) <= DOT_LOCKS_MAX);
	json_decref(locks);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *copy;

	if (!len)
		return 0;
	copy = malloc(len); /* so that a byte too far is seen */
	memcpy(copy, bytes + 1, len - 1);
	copy[len - 1] = '\0';
	if (bytes[0] % 4 == 0)
		core(copy, len - 1);
	else if (bytes[0] % 4 == 1)
		maps(copy);
	else if (bytes[0] % 4 == 2)
		journal(copy, len - 1);
	else
		dot_locks(copy, len - 1);
	free(copy);
	return 0;
}

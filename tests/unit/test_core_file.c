/* Core files, maps and what was freed, as a guest may write them (vm/core_file.h, vm/free_journal.h). */
#include "tests/check/check.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hex.h"
#include "vm/core_file.h"
#include "vm/free_journal.h"

#include <elf.h>
#include <signal.h>
#include <string.h>
#include <sys/procfs.h>

#define STACK_AT UINT64_C(0x7ffc00001000)

/* ---- a core as the kernel writes it ---- */

static void add_note(struct buf *out, uint32_t type, const void *desc, size_t size)
{
	static const char zero[4];
	Elf64_Nhdr note = {.n_namesz = 5, .n_descsz = (Elf64_Word)size, .n_type = type};

	buf_add(out, (const char *)&note, sizeof(note));
	buf_add(out, "CORE\0\0\0\0", 8);
	buf_add(out, desc, size);
	buf_add(out, zero, (4 - size % 4) % 4);
}

static void add_status(struct buf *out, int tid, uint64_t rip)
{
	prstatus_t status = {.pr_pid = tid};

	status.pr_reg[16] = rip;      /* sys/user.h: rip */
	status.pr_reg[19] = STACK_AT; /* rsp */
	status.pr_reg[5] = 0xb0b;     /* rbx */
	add_note(out, NT_PRSTATUS, &status, sizeof(status));
}

static void add_signal(struct buf *out, int signal, int code, uint64_t address)
{
	siginfo_t info = {0};

	info.si_signo = signal;
	info.si_code = code;
	memcpy((char *)&info + 16, &address, sizeof(address));
	add_note(out, NT_SIGINFO, &info, sizeof(info));
}

static void add_files(struct buf *out)
{
	static const char names[] = "/bin/store\0/bin/store\0/lib/libc.so.6";
	const uint64_t rows[] = {3, 4096, 0x1000, 0x2000, 0, 0x2000, 0x3000, 1, 0x9000, 0xa000, 0};
	auto_buf struct buf desc = {0};

	buf_add(&desc, (const char *)rows, sizeof(rows));
	buf_add(&desc, names, sizeof(names));
	add_note(out, NT_FILE, desc.data, desc.len);
}

/* Two threads, the first of which died. */
static void make_core(struct buf *out, int signal, int code)
{
	auto_buf struct buf notes = {0};
	Elf64_Ehdr head = {
		.e_phoff = sizeof(head), .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 2};
	Elf64_Phdr rows[2] = {{.p_type = PT_NOTE, .p_offset = sizeof(head) + sizeof(rows)},
		{.p_type = PT_LOAD,
			.p_vaddr = STACK_AT - 0x1000,
			.p_offset = 0x10000,
			.p_filesz = 0x3000}};

	memcpy(head.e_ident, ELFMAG, SELFMAG);
	head.e_ident[EI_CLASS] = ELFCLASS64;
	add_status(&notes, 12, 0x1234);
	add_signal(&notes, signal, code, 0xfeed);
	add_files(&notes);
	add_status(&notes, 13, 0x5678);
	rows[0].p_filesz = notes.len;
	buf_add(out, (const char *)&head, sizeof(head));
	buf_add(out, (const char *)rows, sizeof(rows));
	buf_add(out, notes.data, notes.len);
}

static void the_first_thread_of_a_core_is_the_one_that_died(void)
{
	auto_buf struct buf bytes = {0};
	struct core_file core;
	uint64_t offset = 0, size = 0;

	make_core(&bytes, SIGSEGV, SEGV_MAPERR);
	CHECK(core_file_read(bytes.data, bytes.len, &core));
	CHECK_INT(core.tid, 12);
	CHECK_INT(core.signal, SIGSEGV);
	CHECK_INT(core.regs[16], 0x1234);
	CHECK_INT(core.regs[3], 0xb0b); /* DWARF's number of rbx */
	CHECK(core.has_address);
	CHECK_INT(core.address, 0xfeed);
	CHECK_INT(core.files.count, 2);
	CHECK_STR(core.files.at[0].path, "/bin/store");
	CHECK_INT(core.files.at[1].base, 0x9000);
	CHECK(core_file_find(&core, STACK_AT + 8, &offset, &size));
	CHECK_INT(offset, 0x11008);
	CHECK_INT(size, 0x1ff8);
	CHECK(!core_file_find(&core, STACK_AT + 0x2000, &offset, &size));
	core_file_free(&core);
}

static void only_a_fault_has_an_address(void)
{
	static const struct {
		int signal, code;
		bool has;
	} rows[] = {{SIGSEGV, SEGV_ACCERR, true}, {SIGBUS, BUS_ADRERR, true},
		{SIGSEGV, 0x80 /* SI_KERNEL: no pointer at all */, false},
		{SIGSEGV, SI_USER, false}, {SIGABRT, SI_TKILL, false}, {SIGABRT, 1, false}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		auto_buf struct buf bytes = {0};
		struct core_file core;

		make_core(&bytes, rows[i].signal, rows[i].code);
		CHECK(core_file_read(bytes.data, bytes.len, &core));
		CHECK_INT(core.has_address, rows[i].has);
		core_file_free(&core);
	}
}

static void a_core_that_was_cut_anywhere_is_read_as_far_as_it_goes(void)
{
	auto_buf struct buf bytes = {0};
	struct core_file core;

	make_core(&bytes, SIGSEGV, SEGV_MAPERR);
	for (size_t len = 0; len <= bytes.len; len++) {
		auto_free char *copy = mem_zero(len + 1, 1);

		memcpy(copy, bytes.data, len);
		core_file_read(copy, len, &core); /* under ASan: not beyond */
		core_file_free(&core);
	}
	CHECK(!core_file_read("no core at all", 14, &core));
	core_file_free(&core);
}

static void a_file_of_the_maps_stands_where_its_first_byte_is(void)
{
	static const char maps[] =
		"55d0c0000000-55d0c0001000 r--p 00000000 fe:00 12                 /usr/lib/store\n"
		"55d0c0001000-55d0c0002000 r-xp 00001000 fe:00 12                 /usr/lib/store\n"
		"55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0                  [heap]\n"
		"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n"
		"nonsense\n"
		"7f0000002000-7f0000003000 r-xp 00000000 fe:00 13                 /lib/a b.so";
	struct mapped_files files;

	mapped_files_of_maps(maps, &files);
	CHECK_INT(files.count, 2);
	CHECK_STR(files.at[0].path, "/usr/lib/store");
	CHECK_INT(files.at[0].base, 0x55d0c0000000);
	CHECK_STR(files.at[1].path, "/lib/a b.so");
	mapped_files_free(&files);
}

static void hex_ends_at_the_first_pair_that_is_none(void)
{
	static const struct {
		const char *text;
		size_t size, count;
		unsigned char last;
	} rows[] = {{"", 4, 0, 0}, {"0", 4, 0, 0}, {"00ff", 4, 2, 0xff}, {"00ff1", 4, 2, 0xff},
		{"7fG0", 4, 1, 0x7f}, {"A0", 4, 0, 0}, {"0a0b0c", 2, 2, 0x0b}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned char out[4] = {0};
		size_t count = hex_read(rows[i].text, strlen(rows[i].text), out, rows[i].size);

		CHECK_INT(count, rows[i].count);
		CHECK(!count || out[count - 1] == rows[i].last);
	}
}

/* ---- what was freed ---- */

static void read_text(const char *text, struct free_journal *ret)
{
	free_journal_read(text, strlen(text), ret);
}

static void a_line_of_the_journal_is_a_record(void)
{
	struct free_journal journal;

	read_text("free 1000 48 7 0 1 0 0 0 2500 400500 7ffc10 7ffc80 00ff10\nfree\nfree 0 1 2\n"
		  "free 2000 48 -1 0 0 0 0 0 1 1 1 1 00\n",
		&journal);
	CHECK_INT(journal.count, 1);
	CHECK_INT(journal.records[0].address, 0x1000);
	CHECK_INT(journal.records[0].size, 48);
	CHECK_INT(journal.records[0].tid, 7);
	CHECK(journal.records[0].again && !journal.records[0].held);
	CHECK_INT(journal.records[0].age_ns, 2500);
	CHECK_INT(journal.records[0].pc, 0x400500);
	CHECK_INT(journal.records[0].bp, 0x7ffc80);
	CHECK_INT(journal.records[0].stack_len, 3);
	CHECK_INT(journal.records[0].stack[2], 0x10);
	free_journal_free(&journal);
}

static void a_freed_block_is_found_by_what_points_into_it(void)
{
	static const struct {
		const char *what, *text;
		uint64_t value;
		bool is_fault;
		enum free_match match;
	} rows[] = {
		{"its start", "free 1000 48 7 0 0 0 0 0 9 1 1 1 ", 0x1000, false, FREE_START},
		{"its start, where another was freed before", "free 1000 48 7 0 0 0 0 1 9 1 1 1 ",
			0x1000, false, FREE_INSIDE},
		{"inside", "free 1000 48 7 0 0 0 0 0 9 1 1 1 ", 0x102f, false, FREE_INSIDE},
		{"behind it", "free 1000 48 7 0 0 0 0 0 9 1 1 1 ", 0x1030, false, FREE_NO},
		{"before it", "free 1000 48 7 0 0 0 0 0 9 1 1 1 ", 0xfff, false, FREE_NO},
		{"the fault's address", "free 1000 48 7 0 0 0 0 0 9 1 1 1 ", 0x1010, true,
			FREE_FAULT},
		{"handed out again", "free 1000 48 7 0 1 0 0 0 9 1 1 1 ", 0x1000, true, FREE_NO},
		{"freed while a thread was held", "free 1000 48 7 0 1 1 0 0 9 1 1 1 ", 0x1010,
			false, FREE_HELD},
		{"given back to the kernel", "free 1000 262144 7 0 0 0 0 0 9 1 1 1 ", 0x1000, false,
			FREE_NO},
		{"a fault in what was given back", "free 1000 262144 7 0 0 0 0 0 9 1 1 1 ", 0x1800,
			true, FREE_FAULT},
		{"of unknown size", "free 1000 0 7 0 0 0 0 0 9 1 1 1 ", 0x1007, false, FREE_INSIDE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct free_journal journal;
		enum free_match match;
		bool found;

		read_text(rows[i].text, &journal);
		found = free_journal_find(&journal, rows[i].value, rows[i].is_fault, 0, &match);
		check_int(match, rows[i].match, rows[i].what, __FILE__, __LINE__);
		CHECK_INT(found, rows[i].match != FREE_NO);
		free_journal_free(&journal);
	}
}

static void of_two_blocks_the_surer_and_then_the_later_counts(void)
{
	struct free_journal journal;
	enum free_match match;

	read_text("free f00 1024 1 0 0 0 0 0 5 1 1 1 \nfree 1000 48 2 0 0 0 0 0 900 1 1 1 \n"
		  "free 1000 48 3 0 0 0 0 0 800 1 1 1 \nfree 2000 48 4 5 0 0 0 0 1 1 1 1 \n",
		&journal);
	CHECK_INT(free_journal_find(&journal, 0x1000, false, 0, &match)->tid, 3);
	CHECK_INT(match, FREE_START);
	CHECK_INT(free_journal_find(&journal, 0x1008, false, 0, &match)->tid, 1);
	CHECK_INT(free_journal_twice(&journal)->twice, 5);
	free_journal_free(&journal);
}

/* Freed by 2 when a thread was held; then 3 got a larger block there, and freed that. */
static void of_what_was_freed_while_a_thread_was_held_the_first_counts(void)
{
	struct free_journal journal;
	enum free_match match;

	read_text("free f00 1024 3 0 0 1 0 0 5 1 1 1 \nfree 1000 48 2 0 1 1 0 0 900 1 1 1 \n",
		&journal);
	CHECK_INT(free_journal_find(&journal, 0x1000, false, 0, &match)->tid, 2);
	CHECK_INT(match, FREE_HELD);
	free_journal_free(&journal);
	/* The block that begins there is surer than an older one that reaches so far. */
	read_text("free f00 1304 3 0 0 1 0 0 905 1 1 1 \nfree 1000 48 2 0 1 1 0 0 900 1 1 1 \n",
		&journal);
	CHECK_INT(free_journal_find(&journal, 0x1000, false, 0, &match)->tid, 2);
	free_journal_free(&journal);
}

/* 2 freed it before thread 9 was held, and 3 while it was: thread 9 used what 3 freed. Who was never held says nothing. */
static void what_was_freed_before_a_thread_was_held_is_not_what_it_used(void)
{
	struct free_journal journal;
	enum free_match match;

	read_text("hold 8 1\nhold 9 2\nhold 0 1\nfree 1000 48 2 0 1 1 1 0 5000 1 1 1 \n"
		  "free 1000 48 3 0 1 1 2 0 500 1 1 1 \n",
		&journal);
	CHECK_INT(journal.hold_count, 2);
	CHECK_INT(free_journal_find(&journal, 0x1000, false, 9, &match)->tid, 3);
	CHECK_INT(match, FREE_HELD);
	CHECK_INT(free_journal_find(&journal, 0x1000, false, 8, &match)->tid, 2);
	CHECK_INT(free_journal_find(&journal, 0x1000, false, 7, &match)->tid, 2);
	free_journal_free(&journal);
}

/* 2 freed it before thread 9 was held, which had the pointer from a queue; then 3 got and freed what covers it. */
static void a_block_that_began_there_outweighs_one_that_covered_it(void)
{
	static const struct {
		const char *what, *text;
		int tid;
		enum free_match match;
	} rows[] = {
		{"never handed out again",
			"hold 9 2\nfree 1000 48 2 0 0 1 1 0 900 1 1 1 \nfree f00 376 3 0 1 1 2 0 "
			"200 1 1 1 \n",
			2, FREE_START},
		{"handed out again",
			"hold 9 2\nfree 1000 48 2 0 1 1 1 0 900 1 1 1 \nfree f00 376 3 0 1 1 2 0 "
			"200 1 1 1 \n",
			2, FREE_INSIDE},
		{"another was freed there before",
			"hold 9 2\nfree 1000 48 2 0 0 1 1 1 900 1 1 1 \nfree f00 376 3 0 1 1 2 0 "
			"200 1 1 1 \n",
			2, FREE_INSIDE},
		{"nothing ever began there",
			"hold 9 2\nfree 1010 48 2 0 0 1 1 0 900 1 1 1 \nfree f00 376 3 0 1 1 2 0 "
			"200 1 1 1 \n",
			3, FREE_HELD},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct free_journal journal;
		enum free_match match;
		const struct free_record *found;

		read_text(rows[i].text, &journal);
		found = free_journal_find(&journal, 0x1000, false, 9, &match);
		check_int(found ? found->tid : 0, rows[i].tid, rows[i].what, __FILE__, __LINE__);
		check_int(match, rows[i].match, rows[i].what, __FILE__, __LINE__);
		free_journal_free(&journal);
	}
}

static void whose_a_block_was_is_told_if_nobody_freed_it_in_between(void)
{
	static const char mades[] = "made 2000 5 9000 1 1 1 00\nmade 1000 4 9000 400500 1 1 00ff\n"
				    "made 1000";
	static const struct {
		const char *what, *frees;
		bool told;
	} rows[] = {
		{"the block that was freed", "free 1000 48 2 0 0 0 0 0 500 1 1 1 \n", true},
		{"freed before that", "free 1000 48 2 0 0 0 0 0 9500 1 1 1 \n", false},
		{"freed, and freed again",
			"free 1000 48 2 0 0 0 0 0 500 1 1 1 \nfree 1000 48 3 0 1 1 0 0 800 1 1 1 "
			"\n",
			false},
		{"another block freed in between",
			"free 1000 48 2 0 0 0 0 0 500 1 1 1 \nfree 3000 48 3 0 1 1 0 0 800 1 1 1 "
			"\n",
			true},
		{"a block that nobody says it of", "free 4000 48 2 0 0 0 0 0 500 1 1 1 \n", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct free_journal journal;
		struct free_record made;

		read_text(rows[i].frees, &journal);
		check_int(free_journal_made(
				  &journal, &journal.records[0], mades, strlen(mades), &made),
			rows[i].told, rows[i].what, __FILE__, __LINE__);
		if (rows[i].told) {
			CHECK_INT(made.tid, 4);
			CHECK_INT(made.pc, 0x400500);
			CHECK_INT(made.stack_len, 2);
		}
		free_journal_free(&journal);
	}
}

CHECK_MAIN(CHECK_CASE(what_was_freed_before_a_thread_was_held_is_not_what_it_used),
	CHECK_CASE(a_block_that_began_there_outweighs_one_that_covered_it),
	CHECK_CASE(whose_a_block_was_is_told_if_nobody_freed_it_in_between),
	CHECK_CASE(the_first_thread_of_a_core_is_the_one_that_died),
	CHECK_CASE(only_a_fault_has_an_address),
	CHECK_CASE(a_core_that_was_cut_anywhere_is_read_as_far_as_it_goes),
	CHECK_CASE(a_file_of_the_maps_stands_where_its_first_byte_is),
	CHECK_CASE(hex_ends_at_the_first_pair_that_is_none),
	CHECK_CASE(a_line_of_the_journal_is_a_record),
	CHECK_CASE(a_freed_block_is_found_by_what_points_into_it),
	CHECK_CASE(of_two_blocks_the_surer_and_then_the_later_counts),
	CHECK_CASE(of_what_was_freed_while_a_thread_was_held_the_first_counts))

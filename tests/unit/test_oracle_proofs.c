/*
 * Every law is proved both ways, or this test fails: somewhere in tests/unit there is a table of small histories
 * with one that breaks it and one that it holds on (CHECK_TABLE), and a whole cell on the fake store with a
 * planted bug that must be found by it. That they pass is those tests' own affair.
 */
#include "api/oracle.h"
#include "tests/check/check.h"

#include "base/buf.h"
#include "base/fs.h"

#include <dirent.h>
#include <string.h>

#define FOLDER	 "tests/unit"
#define FILE_MAX (1u << 20)

struct proofs {
	bool broken, holds; /* rows of tables */
	bool bug;	    /* a cell with a planted bug */
};

static bool within(const char *from, const char *to, const char *word)
{
	const char *at = strstr(from, word);

	return at && at + strlen(word) <= to;
}

/* The last `mark` before `at`, or the beginning. */
static const char *back_to(const char *text, const char *at, const char *mark)
{
	const char *from = text;

	for (const char *next = strstr(text, mark); next && next < at;
		next = strstr(next + 1, mark))
		from = next;
	return from;
}

/* The rows stand in the function that ends with the table's check. */
static void look_for_tables(const char *text, const char *law, struct proofs *ret)
{
	auto_free char *check = text_fmt("CHECK_TABLE(\"%s\",", law);

	for (const char *at = strstr(text, check); at; at = strstr(at + 1, check)) {
		const char *from = back_to(text, at, "\nstatic void ");

		ret->broken |= within(from, at, "RULING_BROKEN");
		ret->holds |= within(from, at, "RULING_HOLDS");
	}
}

/* A statement, or a row of a table of trials, that names a bug of the fake store and the law. */
static bool is_trial(const char *from, const char *to, const char *law)
{
	auto_free char *named = text_fmt("\"%s\"", law);

	return within(from, to, "FAKE_") && within(from, to, named) &&
	       (within(from, to, "expect") || within(from, to, ".law ="));
}

static void look_for_bugs(const char *text, const char *law, struct proofs *ret)
{
	static const char row[] = "},\n\t\t{";

	for (const char *from = text; *from && !ret->bug;) {
		const char *end = strchr(from, ';'), *next = strstr(from, row);
		const char *to = end ? end : from + strlen(from);

		if (next && next < to)
			to = next + strlen(row) - 1;
		ret->bug = is_trial(from, to, law);
		from = *to ? to + 1 : to;
	}
}

static void look(const char *text, const char *law, struct proofs *ret)
{
	look_for_tables(text, law, ret);
	look_for_bugs(text, law, ret);
}

/* Over all files of tests. */
static struct proofs proofs_of(const char *law)
{
	struct proofs proofs = {0};
	DIR *folder = opendir(FOLDER);
	struct dirent *entry;

	while (folder && (entry = readdir(folder))) {
		auto_free char *path = path_join(FOLDER, entry->d_name);
		auto_buf struct buf text = {0};

		if (strncmp(entry->d_name, "test_", 5) != 0 ||
			!strcmp(entry->d_name, "test_oracle_proofs.c") ||
			fs_read(path, FILE_MAX, &text, NULL))
			continue;
		look(buf_text(&text), law, &proofs);
	}
	if (folder)
		closedir(folder);
	return proofs;
}

static void every_law_has_a_table_and_a_bug(void)
{
	for (const struct oracle *const *oracle = oracles; *oracle; oracle++) {
		const char *law = (*oracle)->law;
		struct proofs proofs = proofs_of(law);

		if (!CHECK(proofs.broken && proofs.holds && proofs.bug))
			fprintf(stderr, "%s has no %s%s%s\n", law,
				proofs.broken ? "" : "row that breaks it; ",
				proofs.holds ? "" : "row it holds on; ",
				proofs.bug ? "" : "bug of the fake store that it must find");
	}
}

static const char sample[] =
	"\nstatic void a(void)\n{\n\trows[] = {{\"x\", RULING_BROKEN}, {\"y\", RULING_HOLDS}};\n"
	"\tCHECK_TABLE(\"Z1\", rows);\n}\n"
	"\nstatic void b(void)\n{\n\trows[] = {{\"x\", RULING_BROKEN}};\n"
	"\tCHECK_TABLE(\"Z2\", rows);\n}\n"
	"\nstatic void c(void)\n{\n\texpect_broken(yaml, FAKE_X, 1, \"Z2\");\n"
	"\texpect_broken(yaml, other, 1, \"Z1\");\n"
	"\ttrials[] = {\n\t\t{.law = \"Z3\", .bug = FAKE_Y},\n\t\t{.law = \"Z4\", .bug = none},\n"
	"\t\t{.law = \"Z5\", .bug = FAKE_Z},\n\t};\n}\n";

static void a_law_without_them_would_be_noticed(void)
{
	static const struct {
		const char *law;
		struct proofs want;
	} rows[] = {
		{"Z1", {true, true, false}},
		{"Z2", {true, false, true}},
		{"Z3", {false, false, true}},
		{"Z4", {false, false, false}},
		{"Z5", {false, false, true}},
		{"Z", {false, false, false}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct proofs got = {0};

		look(sample, rows[i].law, &got);
		CHECK_INT(got.broken, rows[i].want.broken);
		CHECK_INT(got.holds, rows[i].want.holds);
		if (!CHECK_INT(got.bug, rows[i].want.bug))
			fprintf(stderr, "of %s\n", rows[i].law);
	}
	CHECK(!proofs_of("S99").bug);
}

CHECK_MAIN(CHECK_CASE(every_law_has_a_table_and_a_bug),
	CHECK_CASE(a_law_without_them_would_be_noticed))

/*
 * Unit tests on CUnit, with checks that say what they got.
 *
 *	static void refuses_a_bare_number(void) { CHECK_INT(parse(...), -EINVAL); }
 *	CHECK_MAIN(CHECK_CASE(refuses_a_bare_number), ...)
 *
 * A case name is a statement. Each binary has an alarm (CHECK_ALARM_S) so that a hang is a failure.
 *A case that cannot run here calls check_skip() with the reason and returns; skips are counted and
 *shown. The binary ends with CUnit's Basic summary and the line `N passed, N failed, N skipped` on
 *stdout.
 */
#pragma once

#include <CUnit/CUnit.h>
#include <stdbool.h>
#include <stddef.h>

/* A minute of work on an idle machine may take ten where others are at work; tests/run ends it at 900. */
#define CHECK_ALARM_S 600

struct check_case {
	const char *name;
	void (*run)(void);
};

#define CHECK_CASE(fn)  \
	{               \
#fn, fn \
	}
#define CHECK_MAIN(...)                                                                           \
	int main(int argc, char **argv)                                                           \
	{                                                                                         \
		static const struct check_case cases[] = {__VA_ARGS__};                           \
		return check_main(__FILE__, cases, sizeof(cases) / sizeof(cases[0]), argc, argv); \
	}

int check_main(
	const char *file, const struct check_case *cases, size_t count, int argc, char **argv);
void check_alarm(unsigned int seconds); /* another limit for this binary */
void check_skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

bool check_true(bool got, const char *expr, const char *file, unsigned int line);
bool check_int(
	long long got, long long want, const char *expr, const char *file, unsigned int line);
bool check_str(
	const char *got, const char *want, const char *expr, const char *file, unsigned int line);
bool check_has(
	const char *got, const char *part, const char *expr, const char *file, unsigned int line);

#define CHECK(expr) check_true((expr), #expr, __FILE__, __LINE__)
#define CHECK_INT(got, want) \
	check_int((long long)(got), (long long)(want), #got, __FILE__, __LINE__)
#define CHECK_STR(got, want) check_str((got), (want), #got, __FILE__, __LINE__)
#define CHECK_HAS(got, part) check_has((got), (part), #got, __FILE__, __LINE__)

/* A fresh folder for this case, removed at exit. */
const char *check_dir(void);

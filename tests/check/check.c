#include "tests/check/check.h"

#include "base/buf.h"
#include "base/fs.h"

#include <CUnit/Basic.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static size_t skipped;
static bool this_skipped;
static unsigned int failures_before;
static char **dirs;
static size_t dir_count;

bool check_true(bool got, const char *expr, const char *file, unsigned int line)
{
	auto_free char *text = text_fmt("%s", expr);

	if (!got)
		fprintf(stderr, "\n%s:%u: not true: %s\n", file, line, expr);
	CU_assertImplementation(got, line, text, file, "", CU_FALSE);
	return got;
}

bool check_int(long long got, long long want, const char *expr, const char *file, unsigned int line)
{
	auto_free char *text = text_fmt("%s: got %lld, want %lld", expr, got, want);

	if (got != want)
		fprintf(stderr, "\n%s:%u: %s\n", file, line, text);
	CU_assertImplementation(got == want, line, text, file, "", CU_FALSE);
	return got == want;
}

static bool text_result(bool ok, const char *got, const char *word, const char *want,
	const char *expr, const char *file, unsigned int line)
{
	auto_free char *text = text_fmt("%s: got \"%s\", want %s\"%s\"", expr, got ? got : "(null)",
		word, want ? want : "(null)");

	if (!ok)
		fprintf(stderr, "\n%s:%u: %s\n", file, line, text);
	CU_assertImplementation(ok, line, text, file, "", CU_FALSE);
	return ok;
}

bool check_str(
	const char *got, const char *want, const char *expr, const char *file, unsigned int line)
{
	bool ok = got && want ? !strcmp(got, want) : got == want;

	return text_result(ok, got, "", want, expr, file, line);
}

bool check_has(
	const char *got, const char *part, const char *expr, const char *file, unsigned int line)
{
	return text_result(
		got && strstr(got, part), got, "something with ", part, expr, file, line);
}

void check_skip(const char *fmt, ...)
{
	va_list ap;

	fputs("\nSKIP: ", stdout);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	this_skipped = true;
}

static void on_alarm(int sig)
{
	static const char text[] = "\nhung: the alarm of this test binary went off\n";
	ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)sig;
	(void)n;
	abort();
}

void check_alarm(unsigned int seconds)
{
	alarm(seconds);
}

static void remove_dirs(void)
{
	for (size_t i = 0; i < dir_count; i++) {
		fs_remove_tree(dirs[i], NULL);
		free(dirs[i]);
	}
	free(dirs);
}

const char *check_dir(void)
{
	const char *base = getenv("TMPDIR");
	char *dir = text_fmt("%s/mailrig-test.XXXXXX", base ? base : "/tmp");

	dirs = reallocarray(dirs, dir_count + 1, sizeof(*dirs));
	if (!dirs || !mkdtemp(dir)) {
		perror(dir);
		abort();
	}
	if (!dir_count)
		atexit(remove_dirs);
	dirs[dir_count++] = dir;
	return dir;
}

static void before_each(void)
{
	this_skipped = false;
	failures_before = CU_get_number_of_failures();
}

/* A case that failed before it gave up is a failure, not a skip. */
static void after_each(void)
{
	if (this_skipped && CU_get_number_of_failures() == failures_before)
		skipped++;
}

static bool selected(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(name, argv[i]))
			return true;
	return argc < 2;
}

int check_main(
	const char *file, const struct check_case *cases, size_t count, int argc, char **argv)
{
	struct rlimit no_core = {0};
	CU_pSuite suite;
	unsigned int failed, run;

	setrlimit(RLIMIT_CORE, &no_core);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGALRM, on_alarm);
	alarm(CHECK_ALARM_S);
	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	suite = CU_add_suite_with_setup_and_teardown(file, NULL, NULL, before_each, after_each);
	for (size_t i = 0; i < count; i++)
		if (selected(cases[i].name, argc, argv) &&
			!CU_add_test(suite, cases[i].name, cases[i].run))
			return 1;
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	failed = CU_get_number_of_tests_failed();
	run = CU_get_number_of_tests_run();
	printf("%zu passed, %u failed, %zu skipped\n", (size_t)run - failed - skipped, failed,
		skipped);
	CU_cleanup_registry();
	return failed || !run ? 1 : 0;
}

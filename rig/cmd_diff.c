#include "cmd.h"

#include "report/compare.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char usage_diff[] = "usage: mailrig diff CELL CELL [--results DIR]\n\n"
			  "Two cells side by side: what was asked for, what came of it, how long "
			  "operations took, and the\n"
			  "events that only one of them has. CELL as for `mailrig show`; "
			  "CELL/control is what the same\n"
			  "cell did without its faults. Exit code: 0 verdict, class and signature "
			  "are the same, 1 they are not.\n"
			  "  --results DIR where campaigns are (default: results)\n";

static int take(void *arg, int option, const char *value, struct err *err)
{
	const char **results = arg;

	(void)option;
	(void)err;
	*results = value;
	return 0;
}

int cmd_diff(int argc, char **argv)
{
	static const struct option options[] = {
		{"results", required_argument, NULL, 'r'}, {NULL, 0, NULL, 0}};
	const char *results = "results";
	auto_free char *a = NULL, *b = NULL;
	auto_buf struct buf out = {0};
	struct err err = {0};
	bool same = false;

	if (cmd_wants_help(argc, argv, usage_diff))
		return EXIT_OK;
	if (cmd_options(argc, argv, options, take, &results, &err))
		return cmd_misused("diff", "%s", err.text);
	if (argc - optind != 2)
		return cmd_misused("diff", "it takes two cells");
	a = cmd_cell_dir(argv[optind], results, &err);
	b = a ? cmd_cell_dir(argv[optind + 1], results, &err) : NULL;
	if (!b)
		return cmd_fail(EXIT_NOTHING, &err);
	if (compare_write(a, b, &out, &same, &err))
		return cmd_fail(EXIT_TROUBLE, &err);
	fputs(buf_text(&out), stdout);
	printf("\nA: %s/\nB: %s/\n", a, b);
	return same ? EXIT_OK : EXIT_FINDING;
}

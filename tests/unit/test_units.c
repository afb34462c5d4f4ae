#include "tests/check/check.h"

#include "base/cleanup.h"
#include "base/units.h"

#include <string.h>

struct duration_case {
	const char *text;
	int64_t ms;
	const char *complaint;
};

static void durations_need_a_unit_and_say_so(void)
{
	static const struct duration_case table[] = {
		{"250ms", 250, NULL},
		{"3s", 3000, NULL},
		{"10min", 600000, NULL},
		{"24h", 86400000, NULL},
		{"5d", 432000000, NULL},
		{"0s", 0, NULL},
		{"3", 0, "'for: 3' has no unit; say 3s"},
		{"010s", 0, "'for: 010s' has a leading zero; leave it out"},
		{"1.5s", 0, "'for: 1.5s' is no whole number; take a smaller unit"},
		{"-3s", 0, "'for: -3s' is no duration; say 3s, 250ms or 10min"},
		{" 3s", 0, "'for:  3s' is no duration; say 3s, 250ms or 10min"},
		{"3 s", 0, "'for: 3 s' has the unknown unit ' s'; there are: ms s min h d"},
		{"3sec", 0, "'for: 3sec' has the unknown unit 'sec'; there are: ms s min h d"},
		{"3S", 0, "'for: 3S' has the unknown unit 'S'; there are: ms s min h d"},
		{"", 0, "'for: ' is no duration; say 3s, 250ms or 10min"},
		{"soon", 0, "'for: soon' is no duration; say 3s, 250ms or 10min"},
		{"999999999999999999d", 0, "'for: 999999999999999999d' is too large"},
		{"9999999999999999999s", 0, "'for: 9999999999999999999s' is too large"},
		{"3\n\033[1m", 0,
			"'for: 3\\n\\x1b[1m' has the unknown unit '\\n\\x1b[1m'; "
			"there are: ms s min h d"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct err err = {0};
		int64_t ms = 0;
		int rc = parse_duration_ms("for", table[i].text, &ms, &err);

		CHECK_INT(rc, table[i].complaint ? -EINVAL : 0);
		CHECK_INT(ms, table[i].ms);
		CHECK_STR(err.text, table[i].complaint ? table[i].complaint : "");
	}
}

static void a_quantity_without_a_subject_is_named_alone(void)
{
	struct err err = {0};
	int64_t ms;

	CHECK_INT(parse_duration_ms(NULL, "3", &ms, &err), -EINVAL);
	CHECK_STR(err.text, "'3' has no unit; say 3s");
}

static void a_hostile_value_is_cut_short_in_the_sentence(void)
{
	char text[5000];
	struct err err = {0};
	int64_t ms;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	CHECK_INT(parse_duration_ms("for", text, &ms, &err), -EINVAL);
	CHECK_HAS(err.text, "xxx...' is no duration");
	CHECK(strlen(err.text) < 200);
}

static void sizes_are_binary_and_carry_a_unit(void)
{
	struct err err = {0};
	uint64_t bytes = 0;

	CHECK_INT(parse_size_bytes("size", "64KiB", &bytes, &err), 0);
	CHECK_INT(bytes, 65536);
	CHECK_INT(parse_size_bytes("size", "256MiB", &bytes, &err), 0);
	CHECK_INT(bytes, 268435456);
	CHECK_INT(parse_size_bytes("size", "7B", &bytes, &err), 0);
	CHECK_INT(bytes, 7);
	CHECK_INT(parse_size_bytes("size", "2GiB", &bytes, &err), 0);
	CHECK_INT(bytes, 2147483648);
	CHECK_INT(parse_size_bytes("size", "64KB", &bytes, &err), -EINVAL);
	CHECK_STR(err.text, "'size: 64KB' has the unknown unit 'KB'; there are: B KiB MiB GiB");
	CHECK_INT(parse_size_bytes("size", "64", &bytes, &err), -EINVAL);
	CHECK_STR(err.text, "'size: 64' has no unit; say 64KiB");
	CHECK_INT(bytes, 2147483648);
}

static void rates_are_per_second_whatever_they_were_written_as(void)
{
	struct err err = {0};
	double rate = 0;

	CHECK_INT(parse_rate("pace", "10/s", &rate, &err), 0);
	CHECK(rate == 10);
	CHECK_INT(parse_rate("pace", "30/min", &rate, &err), 0);
	CHECK(rate == 0.5);
	CHECK_INT(parse_rate("pace", "0/s", &rate, &err), -EINVAL);
	CHECK_STR(err.text, "'pace: 0/s' would be never; say 1/min or more");
	CHECK_INT(parse_rate("pace", "10", &rate, &err), -EINVAL);
	CHECK_STR(err.text, "'pace: 10' has no unit; say 10/s");
	CHECK_INT(parse_rate("pace", "10/sec", &rate, &err), -EINVAL);
	CHECK_STR(err.text, "'pace: 10/sec' has the unknown unit '/sec'; there are: /s /min /h");
}

static void percentages_become_ratios(void)
{
	static const char *const bad[] = {
		"1", "%", "1.%", ".5%", "01%", "101%", "1 %", "-1%", "1%%", "1e9%", ""};
	struct err err = {0};
	double ratio = 0;

	CHECK_INT(parse_percent("max_broken", "1%", &ratio, &err), 0);
	CHECK(ratio == 0.01);
	CHECK_INT(parse_percent("max_broken", "0.5%", &ratio, &err), 0);
	CHECK(ratio == 0.005);
	CHECK_INT(parse_percent("max_broken", "100%", &ratio, &err), 0);
	CHECK(ratio == 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_INT(parse_percent("max_broken", bad[i], &ratio, &err), -EINVAL);
	CHECK(ratio == 1);
	CHECK_INT(parse_percent("max_broken", "1", &ratio, &err), -EINVAL);
	CHECK_STR(err.text, "'max_broken: 1' has no unit; say 1%");
}

static void counts_are_bare_and_bounded(void)
{
	struct err err = {0};
	uint64_t n = 0;

	CHECK_INT(parse_count("nth", "5", 10, &n, &err), 0);
	CHECK_INT(n, 5);
	CHECK_INT(parse_count("nth", "10", 10, &n, &err), 0);
	CHECK_INT(parse_count("nth", "11", 10, &n, &err), -EINVAL);
	CHECK_STR(err.text, "'nth: 11' is more than 10");
	CHECK_INT(parse_count("nth", "99999999999999999999999", 10, &n, &err), -EINVAL);
	CHECK_INT(parse_count("nth", "3s", 10, &n, &err), -EINVAL);
	CHECK_STR(err.text, "'nth: 3s' is a count and takes no 's'; say 3");
	CHECK_INT(parse_count("nth", "010", 10, &n, &err), -EINVAL);
	CHECK_INT(parse_count("nth", "many", 10, &n, &err), -EINVAL);
	CHECK_STR(err.text, "'nth: many' is no count; say a bare number");
	CHECK_INT(n, 10);
}

static void the_nearest_name_is_one_typing_mistake_away(void)
{
	static const char *const names[] = {
		"nth", "when", "while", "until", "snapshot", "dismount", "messages", "do", NULL};
	static const struct {
		const char *word, *want;
	} table[] = {{"nht", "nth"}, {"snapshto", "snapshot"}, {"mesages", "messages"},
		{"whlie", "while"}, {"util", "until"}, {"nth", "nth"}, {"xyz", NULL}, {"", NULL},
		{"od", "do"}, {"d", NULL}, {"unmount", NULL}, {"dismont", "dismount"},
		{"snap", "snapshot"}, {"sn", NULL}, {"snip", NULL}};
	char endless[4096];

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		CHECK_STR(nearest_name(table[i].word, names), table[i].want);
	memset(endless, 'n', sizeof(endless));
	endless[sizeof(endless) - 1] = '\0';
	CHECK_STR(nearest_name(endless, names), NULL);
}

CHECK_MAIN(CHECK_CASE(durations_need_a_unit_and_say_so),
	CHECK_CASE(a_quantity_without_a_subject_is_named_alone),
	CHECK_CASE(a_hostile_value_is_cut_short_in_the_sentence),
	CHECK_CASE(sizes_are_binary_and_carry_a_unit),
	CHECK_CASE(rates_are_per_second_whatever_they_were_written_as),
	CHECK_CASE(percentages_become_ratios), CHECK_CASE(counts_are_bare_and_bounded),
	CHECK_CASE(the_nearest_name_is_one_typing_mistake_away))

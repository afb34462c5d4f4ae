#include "api/ledger.h"
#include "tests/check/check.h"
#include "tests/unit/oracle_table.h"

#include <math.h>

static void equal_texts_have_equal_numbers(void)
{
	struct intern intern = {0};
	uint32_t ids[3000];
	char text[64];

	CHECK_INT(intern_find(&intern, "a", 1), 0);
	CHECK_INT(intern_id(&intern, "", 0), 0);
	for (unsigned int i = 0; i < 3000; i++) {
		snprintf(text, sizeof(text), "text number %u", i);
		ids[i] = intern_id(&intern, text, strlen(text));
	}
	for (unsigned int i = 0; i < 3000; i++) {
		snprintf(text, sizeof(text), "text number %u", i);
		CHECK_INT(intern_id(&intern, text, strlen(text)), ids[i]);
		CHECK_STR(intern_text(&intern, ids[i]), text);
		CHECK_INT(ids[i], i + 1);
	}
	CHECK_INT(intern_find(&intern, "text number", 11), 0);
	intern_free(&intern);
}

static void a_long_text_is_kept_beside_the_short(void)
{
	auto_free char *giant = mem_zero(200001, 1);
	struct intern intern = {0};
	uint32_t a, b, c;

	memset(giant, 'g', 200000);
	a = intern_id(&intern, giant, 200000);
	b = intern_id(&intern, "short", 5);
	c = intern_id(&intern, giant, 199999);
	CHECK_STR(intern_text(&intern, b), "short");
	CHECK_INT(strlen(intern_text(&intern, a)), 200000);
	CHECK_INT(strlen(intern_text(&intern, c)), 199999);
	CHECK_INT(intern_id(&intern, "shorter", 7), c + 1);
	CHECK_STR(intern_text(&intern, c + 1), "shorter");
	intern_free(&intern);
}

static void keys_find_their_values(void)
{
	struct key_map map = {0};

	CHECK_INT(key_map_get(&map, 5), UINT32_MAX);
	for (uint32_t i = 0; i < 5000; i++)
		CHECK_INT(key_map_put(&map, (uint64_t)i << 32, i), i);
	CHECK_INT(key_map_put(&map, (uint64_t)77 << 32, 9999), 77);
	for (uint32_t i = 0; i < 5000; i++)
		CHECK_INT(key_map_get(&map, (uint64_t)i << 32), i);
	CHECK_INT(key_map_get(&map, 1), UINT32_MAX);
	key_map_free(&map);
}

static void one_person_has_one_name(void)
{
	static const char *const same[] = {"u1", "U1@store", "<u1@STORE>", "u1+list@store"};
	struct history *history;
	auto_buf struct buf lines = {0};

	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		buf_addf(&lines,
			"{\"t\":1,\"ev\":\"attempt\",\"hop\":\"edge\",\"token\":\"m\",\"to\":\"%"
			"s\","
			"\"result\":\"4yz\"}\n",
			same[i]);
	buf_add_str(&lines, TRY("edge", "m", "u1@elsewhere", "4yz"));
	history = history_from_lines(buf_text(&lines), NULL);
	CHECK_INT(history->ledger->rcpt_count, 2);
	CHECK_INT(history->ledger->rcpts[0].attempts[HOP_EDGE][RESULT_4YZ], 4);
	CHECK_STR(ledger_text(history->ledger, history->ledger->rcpts[0].address), "u1");
	CHECK_STR(ledger_text(history->ledger, history->ledger->rcpts[1].address), "u1@elsewhere");
	history_free(history);
}

static void time_in_force_is_counted_once(void)
{
	static const struct {
		double from, to, want;
	} rows[] = {
		{0, 100, 60},
		{0, 10, 10},
		{10, 40, 0},
		{15, 45, 5},
		{40, 60, 20},
		{25, 26, 0},
		{60, 65, 0},
		{95, 100, 5},
		{50, 50, 0},
		{50, 40, 0},
	};
	static const char lines[] = FAULT(10, "a", "in-force") FAULT(20, "b", "in-force")
		FAULT(30, "a", "healed") FAULT(40, "b", "healed") FAULT(60, "a", "in-force")
			FAULT(70, "a", "healed") FAULT(80, "a", "armed");
	struct history *history = history_from_lines(lines, NULL);

	CHECK_INT(history->ledger->force_count, 3);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_INT(ledger_free_seconds(history->ledger, rows[i].from, rows[i].to),
			rows[i].want);
	history_free(history);
}

static void a_fault_never_healed_is_in_force_to_the_end(void)
{
	struct history *history =
		history_from_lines(FAULT(10, "a", "in-force") FAULT(30, "a", "heal-failed"), NULL);

	CHECK(isnan(history->ledger->forces[0].to));
	CHECK_INT(ledger_free_seconds(history->ledger, 0, 1000), 10);
	history_free(history);
}

static void starving_is_known_a_little_late(void)
{
	struct history *history = history_from_lines(STARVED(50) STARVED(10), NULL);

	CHECK(ledger_starved(history->ledger, 0, 20));
	CHECK(ledger_starved(history->ledger, 40, 49));
	CHECK(!ledger_starved(history->ledger, 11, 30));
	CHECK(!ledger_starved(history->ledger, 51, 60));
	CHECK_INT(history_first_trouble(history), 0);
	history_free(history);
}

static void what_was_lost_excuses_a_time_that_is_not_much_longer(void)
{
	struct history *history = history_from_lines(LOST(10, 1.5) LOST(12, 1.5), NULL);

	CHECK(ledger_starved(history->ledger, 9, 12));
	CHECK(ledger_starved(history->ledger, 0, 15));	 /* 3 s of 15 */
	CHECK(!ledger_starved(history->ledger, 0, 16));	 /* 3 s of 16 */
	CHECK(!ledger_starved(history->ledger, 11, 19)); /* 1.5 s of 8 */
	history_free(history);
}

static void what_the_sink_refused_is_no_copy(void)
{
	struct history *history = history_from_lines(
		"{\"t\":1,\"ev\":\"sunk\",\"token\":\"m\",\"to\":[\"x@y\"],\"kept\":false}\n"
		"{\"t\":1,\"ev\":\"sunk\",\"token\":\"m\",\"to\":[\"x@y\",\"z@y\"],\"kept\":true}"
		"\n",
		NULL);

	CHECK_INT(history->ledger->copy_count, 2);
	CHECK_INT(history->ledger->sunk_copies, 2);
	history_free(history);
}

#define TOLD(conn, to, t)                                                    \
	"{\"t\":" #t ",\"ev\":\"attempt\",\"hop\":\"inner\",\"conn\":" #conn \
	",\"token\":\"m\",\"to\":\"" to "\",\"result\":\"2yz\",\"code\":250,\"reply_t\":" #t "}\n"

static void what_the_queue_never_read_is_no_reply(void)
{
	struct history *history = history_from_lines(
		TOLD(1, "u1@store", 5) TOLD(1, "u2@store", 8)
			TOLD(2, "u3@store", 8) "{\"t\":9,\"ev\":\"unheard\",\"hop\":\"inner\","
					       "\"conn\":1,\"since_t\":6}\n"
					       "{\"t\":9,\"ev\":\"unheard\",\"hop\":\"outbound\","
					       "\"conn\":2,\"since_t\":6}\n",
		NULL);
	const struct ledger *ledger = history->ledger;

	if (!CHECK_INT(ledger->attempt_count, 3))
		return;
	CHECK_INT(ledger->attempts[0].result, RESULT_2YZ); /* something was said after it */
	CHECK_INT(ledger->attempts[1].result, RESULT_NONE);
	CHECK_INT(ledger->rcpts[ledger->attempts[1].rcpt].attempts[HOP_INNER][RESULT_NONE], 1);
	CHECK_INT(ledger->rcpts[ledger->attempts[1].rcpt].attempts[HOP_INNER][RESULT_2YZ], 0);
	CHECK_INT(ledger->attempts[2].result, RESULT_2YZ); /* another connection */
	history_free(history);
}

/* The first recipient of a mail is found without the map, the others by it. */
static void each_recipient_of_a_mail_is_found(void)
{
	struct history *history = history_from_lines(
		"{\"t\":1,\"ev\":\"begin\",\"id\":1,\"op\":\"smtp-message\",\"token\":\"m1\","
		"\"to\":[\"u1\",\"u2\",\"u3\",\"u1\"]}\n"
		"{\"t\":1,\"ev\":\"begin\",\"id\":2,\"op\":\"smtp-message\",\"token\":\"m2\","
		"\"to\":[\"u2\"]}\n",
		NULL);
	const struct ledger *ledger = history->ledger;
	static const struct {
		const char *token, *user;
		bool is;
	} table[] = {{"m1", "u1", true}, {"m1", "u2", true}, {"m1", "u3", true},
		{"m2", "u1", false}, {"m2", "u2", true}, {"m2", "u3", false}, {"m3", "u1", false}};

	CHECK_INT(ledger->rcpt_count, 4);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		uint32_t user = intern_find(&ledger->texts, table[i].user, 2);
		const struct ledger_mail *mail = ledger_mail(ledger, table[i].token);
		const struct ledger_rcpt *rcpt = ledger_rcpt_of(ledger, mail, user);

		CHECK_INT(rcpt != NULL, table[i].is);
		if (rcpt)
			CHECK(rcpt->address == user && &ledger->mails[rcpt->mail] == mail);
	}
	history_free(history);
}

CHECK_MAIN(CHECK_CASE(each_recipient_of_a_mail_is_found),
	CHECK_CASE(what_the_queue_never_read_is_no_reply),
	CHECK_CASE(equal_texts_have_equal_numbers),
	CHECK_CASE(a_long_text_is_kept_beside_the_short), CHECK_CASE(keys_find_their_values),
	CHECK_CASE(one_person_has_one_name), CHECK_CASE(time_in_force_is_counted_once),
	CHECK_CASE(a_fault_never_healed_is_in_force_to_the_end),
	CHECK_CASE(starving_is_known_a_little_late),
	CHECK_CASE(what_was_lost_excuses_a_time_that_is_not_much_longer),
	CHECK_CASE(what_the_sink_refused_is_no_copy))

/* Keys find their values, however they lie. */
#include "tests/check/check.h"

#include "api/intern.h"
#include "base/buf.h"

#define KEYS 20000

static void each_key_keeps_its_value(void)
{
	static const struct {
		const char *name;
		uint64_t first, step;
	} rows[] = {
		{"UIDs of a mailbox", (uint64_t)7 << 32 | 1, 1},
		{"each of another mailbox", 1, (uint64_t)1 << 32},
		{"eight apart", 0, 8},
		{"far apart", 3, (uint64_t)1 << 16},
		{"downwards from the highest", UINT64_MAX, UINT64_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct key_map map = {0};
		uint32_t wrong = 0;

		CHECK_INT(key_map_get(&map, rows[i].first), UINT32_MAX);
		for (uint32_t n = 0; n < KEYS; n++)
			wrong += key_map_put(&map, rows[i].first + n * rows[i].step, n) != n;
		for (uint32_t n = 0; n < KEYS; n++)
			wrong += key_map_put(&map, rows[i].first + n * rows[i].step, 1) != n ||
				 key_map_get(&map, rows[i].first + n * rows[i].step) != n;
		for (uint32_t n = KEYS; n < 2 * KEYS; n++)
			wrong += key_map_get(&map, rows[i].first + n * rows[i].step) != UINT32_MAX;
		CHECK_INT(wrong, 0);
		CHECK_INT(map.used, KEYS);
		if (wrong)
			fprintf(stderr, "in '%s'\n", rows[i].name);
		key_map_free(&map);
	}
}

static void each_text_keeps_its_value(void)
{
	struct text_map map = {0};
	uint32_t wrong = 0;

	CHECK_INT(text_map_get(&map, 0), UINT32_MAX);
	for (uint32_t id = KEYS; id > 0; id -= 2)
		wrong += text_map_put(&map, id, id / 2) != id / 2;
	for (uint32_t id = 1; id <= 4 * KEYS; id++)
		wrong += text_map_get(&map, id) != (id % 2 || id > KEYS ? UINT32_MAX : id / 2);
	CHECK_INT(text_map_put(&map, 2, 77), 1);
	CHECK_INT(text_map_get(&map, 2), 1);
	CHECK_INT(wrong, 0);
	text_map_free(&map);
	CHECK_INT(text_map_get(&map, 2), UINT32_MAX);
}

/* Texts of every length, and those that are another's beginning or differ in one byte. */
static void equal_texts_have_one_id_and_others_another(void)
{
	struct intern intern = {0};
	char text[40] = "";
	uint32_t wrong = 0;

	CHECK_INT(intern_find(&intern, "x", 1), 0);
	intern_expect(&intern, "x", 1);
	for (uint32_t i = 1; i < sizeof(text); i++) {
		text[i - 1] = 'a';
		wrong += intern_id(&intern, text, i) != 2 * i - 1;
		text[i - 1] = 'b';
		wrong += intern_id(&intern, text, i) != 2 * i;
		text[i - 1] = 'a';
	}
	intern_expect(&intern, text, 7);
	for (uint32_t i = 1; i < sizeof(text); i++)
		wrong += intern_find(&intern, text, i) != 2 * i - 1 ||
			 intern_id(&intern, text, i) != 2 * i - 1;
	CHECK_INT(wrong, 0);
	intern_free(&intern);
}

CHECK_MAIN(CHECK_CASE(each_key_keeps_its_value), CHECK_CASE(each_text_keeps_its_value),
	CHECK_CASE(equal_texts_have_one_id_and_others_another))

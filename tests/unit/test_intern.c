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

CHECK_MAIN(CHECK_CASE(each_key_keeps_its_value))

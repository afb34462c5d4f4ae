#include "tests/check/check.h"

#include "base/fs.h"
#include "base/hash.h"
#include "vm/template_cache.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define BYTES 65536

static const char *templates; /* of this case */

static char *key_of(char digit)
{
	char key[HASH_HEX_SIZE] = "";

	memset(key, digit, HASH_HEX_SIZE - 1);
	return text_dup(key);
}

/* A template of BYTES, last used `day` days after the epoch; its folder. */
static char *make(char digit, int day)
{
	static char ram[BYTES];
	auto_free char *key = key_of(digit);
	char *dir = path_join(templates, key);
	auto_free char *json = path_join(dir, "template.json"), *memory = path_join(dir, "ram");
	const struct timespec used[2] = {{.tv_sec = day * 86400}, {.tv_sec = day * 86400}};

	memset(ram, digit, sizeof(ram));
	CHECK_INT(fs_mkdir_p(dir, NULL), 0);
	CHECK_INT(fs_write_atomic(memory, ram, sizeof(ram), NULL), 0);
	CHECK_INT(fs_write_atomic(json, "{}", 2, NULL), 0);
	CHECK_INT(utimensat(AT_FDCWD, json, used, 0), 0);
	return dir;
}

static char *make_first(char digit, int day)
{
	templates = check_dir();
	return make(digit, day);
}

/* Each template takes BYTES and a block or two of the file system for its json. */
static void trim_to(unsigned int count)
{
	struct err err = {0};

	CHECK_INT(template_cache_trim(templates, count * (BYTES + 8192), &err), 0);
	CHECK_STR(err.text, "");
}

static void the_least_recently_used_go_first(void)
{
	auto_free char *a = make_first('a', 2), *b = make('b', 1), *c = make('c', 3);

	trim_to(3);
	CHECK(fs_exists(a) && fs_exists(b) && fs_exists(c));
	trim_to(2);
	CHECK(fs_exists(a) && !fs_exists(b) && fs_exists(c));
	trim_to(1);
	CHECK(!fs_exists(a) && fs_exists(c));
}

static void what_is_held_stays_and_counts_as_used_now(void)
{
	auto_free char *a = make_first('a', 1), *b = make('b', 2);
	int held = template_hold(a), again = template_hold(a);

	CHECK(held >= 0 && again >= 0);
	trim_to(0);
	CHECK(fs_exists(a) && !fs_exists(b));
	close(held);
	trim_to(0);
	CHECK(fs_exists(a));
	close(again);
	free(b);
	b = make('b', 2);
	trim_to(1);
	CHECK(fs_exists(a) && !fs_exists(b));
	trim_to(0);
	CHECK(!fs_exists(a));
	CHECK_INT(template_hold(a), -ENOENT);
}

static void what_is_being_built_stays_and_what_a_dead_build_left_goes(void)
{
	auto_free char *key = key_of('d'), *dead_key = key_of('e');
	auto_free char *other = make_first('f', 1);
	auto_free char *building = text_fmt("%s/.building-%s", templates, key);
	auto_free char *lock_path = text_fmt("%s/%s.lock", templates, key);
	auto_free char *dead = text_fmt("%s/.building-%s", templates, dead_key);
	auto_free char *gone = text_fmt("%s/.gone-%s", templates, dead_key);
	struct err err = {0};
	int lock = fs_lock(lock_path, 0, &err);

	CHECK(lock >= 0);
	CHECK_INT(fs_mkdir_p(building, &err), 0);
	CHECK_INT(fs_mkdir_p(dead, &err), 0);
	CHECK_INT(fs_mkdir_p(gone, &err), 0);
	trim_to(0);
	CHECK(fs_exists(building) && !fs_exists(dead) && !fs_exists(gone) && !fs_exists(other));
	close(lock);
}

static void a_template_that_was_just_built_is_not_taken_before_its_builder_holds_it(void)
{
	auto_free char *key = key_of('f'), *dir = make_first('f', 1);
	auto_free char *lock_path = text_fmt("%s/%s.lock", templates, key);
	int lock = fs_lock(lock_path, 0, NULL);

	trim_to(0);
	CHECK(fs_exists(dir));
	close(lock);
	trim_to(0);
	CHECK(!fs_exists(dir));
}

static void what_is_no_template_is_left_alone(void)
{
	auto_free char *first = make_first('f', 1);
	auto_free char *other = path_join(templates, "notes"), *deep = path_join(other, "ram");
	struct err err = {0};

	CHECK_INT(fs_mkdir_p(other, &err), 0);
	CHECK_INT(fs_write_atomic(deep, "x", 1, &err), 0);
	trim_to(0);
	CHECK(fs_exists(deep) && !fs_exists(first));
	CHECK_INT(template_cache_trim("/no/such/folder", 0, &err), 0);
}

CHECK_MAIN(CHECK_CASE(the_least_recently_used_go_first),
	CHECK_CASE(what_is_held_stays_and_counts_as_used_now),
	CHECK_CASE(what_is_being_built_stays_and_what_a_dead_build_left_goes),
	CHECK_CASE(a_template_that_was_just_built_is_not_taken_before_its_builder_holds_it),
	CHECK_CASE(what_is_no_template_is_left_alone))

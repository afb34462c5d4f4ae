#include "tests/check/check.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/proc.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define ARGV(...) ((char *const[]){__VA_ARGS__, NULL})

static void join_puts_one_slash(void)
{
	static const struct {
		const char *dir, *name, *want;
	} table[] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "/b"}};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		auto_free char *got = path_join(table[i].dir, table[i].name);

		CHECK_STR(got, table[i].want);
	}
}

static void a_name_from_outside_cannot_leave_its_folder(void)
{
	static const char *const bad[] = {
		"", ".", "..", ".hidden", "a/b", "../a", "a b", "a\n", "\xc3\xa9", "-a;b"};
	char name[130];

	CHECK(fs_name_ok("a-b_c.1"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK(!fs_name_ok(bad[i]));
	memset(name, 'a', sizeof(name));
	name[128] = '\0';
	CHECK(fs_name_ok(name));
	name[128] = 'a';
	name[129] = '\0';
	CHECK(!fs_name_ok(name));
}

static void folders_are_made_and_removed_with_all_in_them(void)
{
	auto_free char *top = path_join(check_dir(), "a"), *deep = path_join(top, "b/c/d/");
	auto_free char *file = path_join(deep, "file"), *link = path_join(top, "link");
	auto_free char *under_file = path_join(file, "x");
	struct err err = {0};

	CHECK_INT(fs_mkdir_p(deep, &err), 0);
	CHECK_INT(fs_mkdir_p(deep, &err), 0);
	CHECK_INT(fs_write_atomic(file, "x", 1, &err), 0);
	CHECK_INT(fs_mkdir_p(file, &err), -ENOTDIR);
	CHECK_INT(fs_mkdir_p(under_file, &err), -ENOTDIR);
	CHECK_INT(fs_mkdir_p("", &err), -ENOENT);
	CHECK_INT(symlink("/etc", link), 0);
	CHECK_INT(fs_remove_tree(top, &err), 0);
	CHECK(!fs_exists(top));
	CHECK(fs_exists("/etc/passwd"));
	CHECK_INT(fs_remove_tree(top, &err), 0);
}

static void a_dangling_link_is_removed_too(void)
{
	auto_free char *link = path_join(check_dir(), "link");
	struct err err = {0};
	struct stat st;

	CHECK_INT(symlink("/no/such/file", link), 0);
	CHECK_INT(fs_remove_tree(link, &err), 0);
	CHECK_INT(lstat(link, &st), -1);
}

static void reading_is_bounded(void)
{
	auto_free char *file = path_join(check_dir(), "file");
	auto_buf struct buf out = {0};
	struct err err = {0};

	CHECK_INT(fs_write_atomic(file, "0123456789", 10, &err), 0);
	CHECK_INT(fs_read(file, 9, &out, &err), -EFBIG);
	CHECK_HAS(err.text, "is larger than 9 bytes");
	buf_reset(&out);
	CHECK_INT(fs_read(file, 10, &out, &err), 0);
	CHECK_STR(buf_text(&out), "0123456789");
	CHECK_INT(fs_read("/proc/self/stat", 10000, &out, &err), 0);
	CHECK(out.len > 20);
	CHECK_INT(fs_read("/no/such/file", 10, &out, &err), -ENOENT);
	CHECK_STR(err.text, "cannot open '/no/such/file': No such file or directory");
	CHECK_INT(fs_read("/etc", 10, &out, &err), -EISDIR);
}

static void an_empty_file_reads_as_empty_text(void)
{
	auto_free char *file = path_join(check_dir(), "file");
	auto_buf struct buf out = {0};

	CHECK_INT(fs_write_atomic(file, "", 0, NULL), 0);
	CHECK_INT(fs_read(file, 10, &out, NULL), 0);
	CHECK_INT(out.len, 0);
	CHECK_STR(buf_text(&out), "");
}

static void a_failed_write_leaves_no_trace(void)
{
	const char *dir = check_dir();
	auto_free char *file = path_join(dir, "file"), *inside = path_join(file, "y");
	auto_buf struct buf out = {0};
	struct err err = {0};

	CHECK_INT(fs_mkdir_p(inside, &err), 0);
	CHECK(fs_write_atomic(file, "x", 1, &err) < 0); /* a folder is in the way of the rename */
	CHECK_INT(proc_run(ARGV("ls", "-A", (char *)dir), deadline_in_ms(20000), &out, 1000, &err),
		0);
	CHECK_STR(buf_text(&out), "file\n");
}

static void copies_keep_contents_and_holes(void)
{
	const char *dir = check_dir();
	auto_free char *from = path_join(dir, "from"), *to = path_join(dir, "to");
	auto_close int fd = open(from, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	struct err err = {0};
	struct stat st;

	CHECK_INT(pwrite(fd, "head", 4, 0), 4);
	CHECK_INT(pwrite(fd, "middle", 6, 5 << 20), 6);
	CHECK_INT(ftruncate(fd, 9 << 20), 0);
	CHECK_INT(fs_copy(from, to, &err), 0);
	CHECK_INT(stat(to, &st), 0);
	CHECK_INT(st.st_size, 9 << 20);
	CHECK_INT(st.st_mode & 0777, 0640);
	CHECK(st.st_blocks * 512 < 1 << 20);
	CHECK_INT(proc_run(ARGV("cmp", from, to), deadline_in_ms(20000), NULL, 0, &err), 0);
	CHECK_INT(fs_copy("/no/such/file", to, &err), -ENOENT);
}

static void copies_work_between_file_systems(void)
{
	auto_free char *to = path_join(check_dir(), "to");
	char from[] = "/dev/shm/mailrig-test.XXXXXX";
	auto_close int fd = mkostemp(from, O_CLOEXEC);
	auto_buf struct buf out = {0};
	struct err err = {0};

	if (fd < 0) {
		check_skip("no /dev/shm to write to");
		return;
	}
	CHECK_INT(pwrite(fd, "shared", 6, 0), 6);
	CHECK_INT(fs_copy(from, to, &err), 0);
	CHECK_INT(fs_read(to, 100, &out, &err), 0);
	CHECK_STR(buf_text(&out), "shared");
	unlink(from);
}

static void a_link_is_replaced_in_one_step(void)
{
	auto_free char *link = path_join(check_dir(), "latest");
	char text[16] = "";

	CHECK_INT(fs_symlink("one", link, NULL), 0);
	CHECK_INT(fs_symlink("two", link, NULL), 0);
	CHECK_INT(readlink(link, text, sizeof(text) - 1), 3);
	CHECK_STR(text, "two");
}

static void a_lock_shuts_out_until_it_is_closed(void)
{
	auto_free char *path = path_join(check_dir(), "lock");
	struct err err = {0};
	int first = fs_lock(path, deadline_in_ms(1000), &err), second;

	CHECK(first >= 0);
	CHECK_INT(fs_lock(path, deadline_in_ms(0), &err), -EWOULDBLOCK);
	CHECK_HAS(err.text, "is locked by another process");
	close(first);
	second = fs_lock(path, deadline_in_ms(0), &err);
	CHECK(second >= 0);
	close(second);
	CHECK_INT(fs_lock("/no/such/dir/lock", deadline_in_ms(0), &err), -ENOENT);
}

static void free_space_is_known(void)
{
	struct err err = {0};

	CHECK(fs_free_bytes("/", &err) > 0);
	CHECK_INT(fs_free_bytes("/no/such/file", &err), -ENOENT);
}

static void the_cache_is_where_the_user_says(void)
{
	auto_free char *first = NULL, *second = NULL, *third = NULL;

	setenv("MAILRIG_CACHE", "/one", 1);
	setenv("XDG_CACHE_HOME", "/two", 1);
	setenv("HOME", "/three", 1);
	first = fs_cache_dir();
	CHECK_STR(first, "/one");
	unsetenv("MAILRIG_CACHE");
	second = fs_cache_dir();
	CHECK_STR(second, "/two/mailrig");
	unsetenv("XDG_CACHE_HOME");
	third = fs_cache_dir();
	CHECK_STR(third, "/three/.cache/mailrig");
}

CHECK_MAIN(CHECK_CASE(join_puts_one_slash), CHECK_CASE(a_name_from_outside_cannot_leave_its_folder),
	CHECK_CASE(folders_are_made_and_removed_with_all_in_them),
	CHECK_CASE(a_dangling_link_is_removed_too), CHECK_CASE(reading_is_bounded),
	CHECK_CASE(an_empty_file_reads_as_empty_text), CHECK_CASE(a_failed_write_leaves_no_trace),
	CHECK_CASE(copies_keep_contents_and_holes), CHECK_CASE(copies_work_between_file_systems),
	CHECK_CASE(a_link_is_replaced_in_one_step), CHECK_CASE(a_lock_shuts_out_until_it_is_closed),
	CHECK_CASE(free_space_is_known), CHECK_CASE(the_cache_is_where_the_user_says))

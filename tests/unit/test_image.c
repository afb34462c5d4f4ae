/*
 * The image cache with a build script of our own, so that a build takes milliseconds and fails on demand.
 * That the real script's images are right, and the same every time, is tests/vm/image_*'s to show.
 */
#include "tests/check/check.h"

#include "vm/image.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define BUILD_MS 20000

/* The whole build: three small files, and one line for each run, "run" or "new" (fresh
 * package lists), into the cache's "runs". While the cache
 * holds "slow" it says so when it has begun, and does not end. */
#define SCRIPT_GOOD                                                                             \
	"#!/bin/sh\n"                                                                           \
	"[ \"$1\" = --clean ] && exec rm -rf \"$2\"\n"                                          \
	"kind=run; [ \"$1\" = --update ] && { shift; kind=new; }\n"                             \
	"mkdir -p \"$3\"; echo $kind >>\"$3/../runs\"\n"                                        \
	"if [ -e \"$3/../slow\" ]; then touch \"$2\"/half; echo $$ >\"$2\"/../slow.pid\n"       \
	"echo 'step 1/2 slow'; exec sleep 600; fi\n"                                            \
	"echo 'step 1/2 first part'; echo 'no step'; echo 'step 2/2 second part'\n"             \
	"cd \"$2\" && [ -z \"$(ls -A)\" ] || { echo 'the folder is not empty' >&2; exit 1; }\n" \
	"printf kernel >vmlinuz; printf initrd >initrd; printf root >root.img\n"                \
	"printf 'postfix\\t3.7\\nzlib\\t1.2\\n' >manifest.tsv\n"

#define SCRIPT_BAD                                     \
	"#!/bin/sh\n"                                  \
	"[ \"$1\" = --clean ] && exec rm -rf \"$2\"\n" \
	"touch \"$2\"/half; echo 'something' >&2; echo 'E: no such package' >&2; exit 100\n"

static char *root, *cache;

static void put(const char *name, const char *text, mode_t mode)
{
	auto_free char *path = path_join(root, name);

	CHECK_INT(fs_write_atomic(path, text, strlen(text), NULL), 0);
	CHECK_INT(chmod(path, mode), 0);
}

static void make_dir(const char *name)
{
	auto_free char *path = path_join(root, name);

	CHECK_INT(fs_mkdir_p(path, NULL), 0);
}

/* A repository with one recipe, and a cache with nothing in it. */
static void set_up(const char *script)
{
	static unsigned int n;

	free(root);
	free(cache);
	root = text_fmt("%s/repo%u", check_dir(), ++n);
	cache = text_fmt("%s/cache%u", check_dir(), n);
	setenv("MAILRIG_CACHE", cache, 1);
	make_dir("vm-images/small");
	make_dir("vm-images/initrd");
	put("vm-images/small/packages", "postfix\n", 0644);
	put("vm-images/small/recipe", "suite=bookworm\n", 0644);
	put("vm-images/initrd/init", "#!/bin/sh\n", 0755);
	put("vm-images/clean.sh", "#!/bin/sh\n", 0755);
	put("vm-images/mke2fs.conf",
		"[defaults]\nbase_features = filetype\ninode_size = 256\nlazy_itable_init = 0\n"
		"[fs_types]\next4 = {\nfeatures = has_journal,extent,metadata_csum,64bit\n}\n",
		0644);
	put("vm-images/build.sh", script, 0755);
}

static struct image_request small(void)
{
	return (struct image_request){.root = root,
		.name = "small",
		.cancel_fd = -1,
		.deadline_ns = deadline_in_ms(BUILD_MS)};
}

static void be_slow(bool slow)
{
	auto_free char *path = path_join(cache, "slow");

	CHECK_INT(fs_mkdir_p(cache, NULL), 0);
	if (slow)
		CHECK_INT(fs_write_atomic(path, "", 0, NULL), 0);
	else
		CHECK_INT(unlink(path), 0);
}

static char *runs(void)
{
	auto_free char *path = path_join(cache, "runs");
	struct buf text = {0};

	fs_read(path, 1024, &text, NULL);
	return buf_steal(&text);
}

/* What the cache holds of images, folders of builds included. */
static size_t count_folders(void)
{
	auto_free char *pattern =
		text_fmt("ls -A %s/images | grep -vcE '^lock$|\\.log$|\\.pid$' || true", cache);
	char *argv[] = {"sh", "-c", pattern, NULL};
	auto_buf struct buf out = {0};

	CHECK_INT(proc_run(argv, deadline_in_ms(BUILD_MS), &out, 100, NULL), 0);
	return (size_t)atoi(buf_text(&out));
}

static void collect_steps(void *arg, const struct image_progress *progress)
{
	buf_addf(arg, "%u/%u %s;", progress->step, progress->steps, progress->what);
}

static void builds_once_and_then_uses_the_cache(void)
{
	auto_buf struct buf steps = {0};
	auto_free char *once = NULL, *twice = NULL;
	struct image_request request;
	struct image image = {0};
	struct err err = {0};

	set_up(SCRIPT_GOOD);
	request = small();
	request.progress = collect_steps;
	request.arg = &steps;
	CHECK_INT(image_ensure(&request, &image, &err), 0);
	CHECK_STR(err.text, "");
	CHECK_STR(buf_text(&steps), "1/2 first part;2/2 second part;");
	CHECK(fs_exists(image.kernel) && fs_exists(image.initrd) && fs_exists(image.disk));
	/* printf root | sha256sum */
	CHECK_STR(image.id, "4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2");
	CHECK_STR(json_get_text(json_object_get(image.json, "packages"), "postfix", ""), "3.7");
	image_close(&image);
	CHECK_INT(image_ensure(&request, &image, &err), 0);
	once = runs();
	CHECK_STR(once, "run\n");
	image_close(&image);
	request.rebuild = true;
	CHECK_INT(image_ensure(&request, &image, &err), 0);
	twice = runs();
	CHECK_STR(twice, "run\nnew\n");
	CHECK_INT(count_folders(), 1);
	image_close(&image);
	image_close(NULL);
}

static void every_part_of_recipe_and_builder_is_in_the_key(void)
{
	static const char *const files[] = {"vm-images/small/packages", "vm-images/small/recipe",
		"vm-images/initrd/init", "vm-images/build.sh", "vm-images/clean.sh",
		"vm-images/mke2fs.conf", "vm-images/small/customize"};
	char before[IMAGE_KEY_SIZE], after[IMAGE_KEY_SIZE];
	struct err err = {0};

	set_up(SCRIPT_GOOD);
	CHECK_INT(image_key(root, "small", before, &err), 0);
	CHECK_INT(image_key(root, "small", after, &err), 0);
	CHECK_STR(after, before);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		put(files[i], "# changed\n", 0755);
		CHECK_INT(image_key(root, "small", after, &err), 0);
		CHECK(strcmp(after, before) != 0);
		memcpy(before, after, sizeof(before));
	}
	CHECK_INT(image_key(root, "large", after, &err), -ENOENT);
	CHECK_HAS(err.text, "there is no image 'large'");
	CHECK_INT(image_key(root, "../small", after, &err), -ENOENT);
}

static void a_failed_build_leaves_nothing_and_says_why(void)
{
	struct image_request request;
	struct image image = {0};
	struct err err = {0};

	set_up(SCRIPT_BAD);
	request = small();
	CHECK_INT(image_ensure(&request, &image, &err), -EIO);
	CHECK_HAS(err.text, "cannot build image 'small': E: no such package");
	CHECK_INT(count_folders(), 0);
	put("vm-images/build.sh", SCRIPT_GOOD, 0755);
	CHECK_INT(image_ensure(&request, &image, &err), 0);
	image_close(&image);
}

static void a_build_that_makes_no_image_is_no_image(void)
{
	struct image_request request;
	struct image image = {0};
	struct err err = {0};

	set_up("#!/bin/sh\nexit 0\n");
	request = small();
	CHECK_INT(image_ensure(&request, &image, &err), -ENOENT);
	CHECK_HAS(err.text, "root.img");
	CHECK_INT(count_folders(), 0);
}

static pid_t slow_pid(void)
{
	auto_free char *path = text_fmt("%s/images/slow.pid", cache);
	auto_buf struct buf text = {0};

	fs_read(path, 100, &text, NULL);
	return atoi(buf_text(&text));
}

/* A zombie that nobody reaps is as dead as can be. */
static bool is_alive(pid_t pid)
{
	auto_free char *path = text_fmt("/proc/%d/stat", (int)pid);
	auto_buf struct buf text = {0};

	return pid > 0 && !fs_read(path, 4096, &text, NULL) && !strstr(buf_text(&text), ") Z ");
}

static void cancel(void *arg, const struct image_progress *progress)
{
	(void)progress;
	CHECK_INT(write(*(int *)arg, "x", 1), 1);
}

static void an_interrupted_build_ends_and_leaves_nothing(void)
{
	struct image_request request;
	struct image image = {0};
	struct err err = {0};
	int ends[2];

	set_up(SCRIPT_GOOD);
	be_slow(true);
	CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
	request = small();
	request.cancel_fd = ends[0];
	request.progress = cancel;
	request.arg = &ends[1];
	CHECK_INT(image_ensure(&request, &image, &err), -ECANCELED);
	CHECK(slow_pid() > 0 && !is_alive(slow_pid()));
	CHECK_INT(count_folders(), 0);
	close(ends[0]);
	close(ends[1]);
}

static void tell(void *arg, const struct image_progress *progress)
{
	(void)progress;
	if (write(*(int *)arg, "x", 1) != 1)
		_exit(1);
}

/* kill -9 of the rig in the middle of a build: the lock is free only once the build is gone as well. */
static void a_killed_rig_leaves_nothing_in_the_way(void)
{
	struct image_request request;
	struct image image = {0};
	struct err err = {0};
	int ends[2], status;
	char byte;
	pid_t pid;

	set_up(SCRIPT_GOOD);
	be_slow(true);
	CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
	request = small();
	request.progress = tell;
	request.arg = &ends[1];
	pid = fork();
	if (pid == 0)
		_exit(image_ensure(&request, &image, NULL) == 0);
	CHECK_INT(io_read(ends[0], &byte, 1, deadline_in_ms(BUILD_MS)), 1);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	CHECK_INT(count_folders(), 1);
	be_slow(false);
	request = small();
	CHECK_INT(image_ensure(&request, &image, &err), 0);
	CHECK_STR(err.text, "");
	CHECK(slow_pid() > 0 && !is_alive(slow_pid()));
	CHECK_INT(count_folders(), 1);
	image_close(&image);
	close(ends[0]);
	close(ends[1]);
}

static void waits_for_another_builder(void)
{
	auto_buf struct buf steps = {0};
	struct image_request request;
	struct image image = {0};
	struct err err = {0};
	auto_free char *lock = NULL;
	int fd;

	set_up(SCRIPT_GOOD);
	request = small();
	CHECK_INT(image_ensure(&request, &image, &err), 0);
	image_close(&image);
	lock = text_fmt("%s/images/lock", cache);
	fd = fs_lock(lock, deadline_in_ms(BUILD_MS), &err);
	CHECK(fd >= 0);
	CHECK_INT(image_ensure(&request, &image, &err), 0); /* what is built needs no lock */
	image_close(&image);
	request.rebuild = true;
	request.progress = collect_steps;
	request.arg = &steps;
	request.deadline_ns = deadline_in_ms(100);
	CHECK_INT(image_ensure(&request, &image, &err), -EWOULDBLOCK);
	CHECK_STR(buf_text(&steps), "0/0 waiting for another build;");
	close(fd);
}

static void lists_verifies_and_removes(void)
{
	auto_json json_t *list = NULL, *empty = NULL;
	struct image_request request;
	struct image image = {0};
	struct err err = {0};

	set_up(SCRIPT_GOOD);
	CHECK_INT(image_list(&empty, &err), 0);
	CHECK_INT(json_array_size(empty), 0);
	request = small();
	CHECK_INT(image_ensure(&request, &image, &err), 0);
	CHECK_INT(image_list(&list, &err), 0);
	CHECK_INT(json_array_size(list), 1);
	CHECK_STR(json_get_text(json_array_get(list, 0), "name", ""), "small");
	CHECK_INT(image_verify("small", &err), 0);
	CHECK_INT(image_verify(NULL, &err), 0);
	CHECK_INT(image_verify("large", &err), -ENOENT);
	CHECK_INT(fs_write_atomic(image.disk, "rotten", 6, &err), 0);
	CHECK_INT(image_verify("small", &err), -EBADMSG);
	CHECK_HAS(err.text, "root.img' is not what was built");
	CHECK_INT(image_remove(root, "large", &err), -ENOENT);
	CHECK_INT(image_remove(root, "", &err), -ENOENT);
	image.key[6] = '\0';
	CHECK_INT(image_remove(root, image.key, &err), 0);
	CHECK(!fs_exists(image.disk));
	CHECK_INT(image_remove(root, NULL, &err), 0);
	image_close(&image);
}

/* ---- the payload ------------------------------------------------------------------------------- */

static void run_sh(const char *line, struct buf *out)
{
	char *argv[] = {"sh", "-c", (char *)line, NULL};

	CHECK_INT(proc_run(argv, deadline_in_ms(BUILD_MS), out, 65536, NULL), 0);
}

static struct image_payload make_payload(struct image *image)
{
	static char guest[256], target[256];
	struct image_request request;

	set_up(SCRIPT_GOOD);
	request = small();
	CHECK_INT(image_ensure(&request, image, NULL), 0);
	make_dir("guest");
	make_dir("target/deep");
	put("guest/init", "INIT", 0755);
	put("guest/witness", "WITNESS", 0755);
	put("target/provision", "#!/bin/sh\n", 0755);
	put("target/main.cf", "a = b\n", 0600);
	put("target/store.c", "int main;\n", 0644);
	put("target/deep/file", "deep\n", 0644);
	put("target/.swp", "x", 0644);
	snprintf(guest, sizeof(guest), "%s/guest", root);
	snprintf(target, sizeof(target), "%s/target", root);
	return (struct image_payload){.image = image, .guest_dir = guest, .target_dir = target};
}

static void payload_is_what_cpio_reads(void)
{
	auto_buf struct buf out = {0};
	auto_free char *path = NULL, *line = NULL;
	char id[HASH_HEX_SIZE];
	struct image image = {0};
	struct err err = {0};
	struct image_payload payload = make_payload(&image);

	CHECK_INT(image_payload(&payload, &path, id, &err), 0);
	CHECK_STR(err.text, "");
	/* The image's part is "initrd", padded to 8 bytes. */
	line = text_fmt(
		"d=$(mktemp -d) && cd $d && tail -c +9 %s | cpio -i --quiet "
		"--no-absolute-filenames && "
		"find . -mindepth 1 -printf '%%P %%m|' | tr '|' '\\n' | sort | tr '\\n' '|' && "
		"cat rig/init rig/target/deep/file && rm -r $d",
		path);
	run_sh(line, &out);
	CHECK_STR(buf_text(&out),
		"rig 755|rig/init 755|rig/target 755|rig/target/deep 755|rig/target/deep/file 644|"
		"rig/target/main.cf 644|rig/target/provision 755|rig/witness 755|INITdeep\n");
	image_close(&image);
}

static void payload_is_named_by_its_content(void)
{
	auto_free char *path = NULL, *again = NULL, *other = NULL;
	char id[HASH_HEX_SIZE], same[HASH_HEX_SIZE], changed[HASH_HEX_SIZE];
	struct image image = {0};
	struct err err = {0};
	struct image_payload payload = make_payload(&image);

	CHECK_INT(image_payload(&payload, &path, id, &err), 0);
	put("target/store.c", "int other;\n", 0644);
	CHECK_INT(image_payload(&payload, &again, same, &err), 0);
	CHECK_STR(same, id);
	CHECK_STR(again, path);
	put("target/main.cf", "a = c\n", 0644);
	CHECK_INT(image_payload(&payload, &other, changed, &err), 0);
	CHECK(strcmp(changed, id) != 0);
	CHECK(fs_exists(path) && fs_exists(other));
	image_close(&image);
}

static void payload_without_init_is_refused(void)
{
	auto_free char *path = NULL;
	char id[HASH_HEX_SIZE];
	struct image image = {0};
	struct err err = {0};
	struct image_payload payload = make_payload(&image);

	payload.guest_dir = "/nonexistent";
	CHECK_INT(image_payload(&payload, &path, id, &err), -ENOENT);
	CHECK_HAS(err.text, "/nonexistent/init");
	CHECK(!path);
	image_close(&image);
}

/* ---- disks and command line -------------------------------------------------------------------- */

static void a_disk_is_the_same_every_time(void)
{
	auto_free char *a = NULL, *b = NULL, *c = NULL;
	char first[HASH_HEX_SIZE], second[HASH_HEX_SIZE], third[HASH_HEX_SIZE];
	struct err err = {0};

	set_up(SCRIPT_GOOD);
	a = text_fmt("%s/a.img", root);
	b = text_fmt("%s/b.img", root);
	c = text_fmt("%s/c.img", root);
	CHECK_INT(image_disk(root, a, "mail", 64 << 20, false, &err), 0);
	CHECK_STR(err.text, "");
	CHECK_INT(image_disk(root, b, "mail", 64 << 20, false, &err), 0);
	CHECK_INT(image_disk(root, c, "queue", 64 << 20, false, &err), 0);
	CHECK_INT(hash_file(a, first, &err), 0);
	CHECK_INT(hash_file(b, second, &err), 0);
	CHECK_INT(hash_file(c, third, &err), 0);
	CHECK_STR(second, first);
	CHECK(strcmp(third, first) != 0);
	CHECK_INT(image_disk(root, a, "a-label-that-is-too-long", 64 << 20, false, &err), -EINVAL);
	CHECK_INT(image_disk(root, a, "a b", 64 << 20, false, &err), -EINVAL);
	CHECK_INT(image_disk(root, a, "mail", 4096, false, &err),
		-EIO); /* no room for a file system */
	CHECK_HAS(err.text, "cannot make disk 'mail'");
}

static void the_command_line_says_it_all(void)
{
	static const struct network_name names[] = {{"lmtp.rig", "10.0.2.4"}, {NULL, NULL}};
	static const struct image_mount mounts[] = {{"mail", "/srv/mail"}, {"queue", "/q"}};
	struct image_boot boot = {.hostname = "store",
		.address = "10.0.2.15/24",
		.names = names,
		.mounts = mounts,
		.mount_count = 2,
		.preload = true};
	auto_free char *line = NULL, *bare = NULL;
	struct err err = {0};

	CHECK_INT(image_append(&boot, &line, &err), 0);
	CHECK_STR(line, "quiet norandmaps ipv6.disable=1 rig.hostname=store rig.ip=10.0.2.15/24 "
			"rig.host=lmtp.rig:10.0.2.4 rig.mount=mail:/srv/mail rig.mount=queue:/q");
	boot = (struct image_boot){.hostname = "a", .address = "b"};
	CHECK_INT(image_append(&boot, &bare, &err), 0);
	CHECK_STR(bare, "quiet norandmaps ipv6.disable=1 rig.hostname=a rig.ip=b rig.preload=0");
}

static void a_word_that_would_break_the_command_line_is_refused(void)
{
	static const char *const bad[] = {"", "a b", "a\nb", "a\"b", "a:b", "\x80"};
	struct err err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		const struct image_mount mount = {"mail", bad[i]};
		const struct image_boot by_mount = {
			.hostname = "a", .address = "b", .mounts = &mount, .mount_count = 1};
		const struct image_boot by_name = {.hostname = bad[i], .address = "b"};
		char *line = NULL;

		CHECK_INT(image_append(&by_mount, &line, &err), -EINVAL);
		CHECK_INT(image_append(&by_name, &line, &err), -EINVAL);
		CHECK(!line);
	}
}

CHECK_MAIN(CHECK_CASE(builds_once_and_then_uses_the_cache),
	CHECK_CASE(every_part_of_recipe_and_builder_is_in_the_key),
	CHECK_CASE(a_failed_build_leaves_nothing_and_says_why),
	CHECK_CASE(a_build_that_makes_no_image_is_no_image),
	CHECK_CASE(an_interrupted_build_ends_and_leaves_nothing),
	CHECK_CASE(a_killed_rig_leaves_nothing_in_the_way), CHECK_CASE(waits_for_another_builder),
	CHECK_CASE(lists_verifies_and_removes), CHECK_CASE(payload_is_what_cpio_reads),
	CHECK_CASE(payload_is_named_by_its_content), CHECK_CASE(payload_without_init_is_refused),
	CHECK_CASE(a_disk_is_the_same_every_time), CHECK_CASE(the_command_line_says_it_all),
	CHECK_CASE(a_word_that_would_break_the_command_line_is_refused))

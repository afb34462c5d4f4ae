#include "vm/image_priv.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/io.h"
#include "base/json.h"
#include "base/proc.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>

#define BUILD_SPACE_BYTES (UINT64_C(1536) << 20) /* a build's peak, packages included */
#define LINE_MAX_BYTES	  512
#define LOG_TAIL_BYTES	  4096
#define MANIFEST_MAX	  (1u << 20)
#define GRACE_MS	  2000

/* One build and where its files are. */
struct build {
	const struct image_request *request;
	const char *key;
	char *script, *recipe, *packages;
	char *temp, *final, *log;
	int lock_fd;
};

static void build_free(struct build *build)
{
	free(build->script);
	free(build->recipe);
	free(build->packages);
	free(build->temp);
	free(build->final);
	free(build->log);
}

static void build_paths(struct build *build)
{
	auto_free char *images = image_cache_path("images");

	build->script = text_fmt("%s/vm-images/build.sh", build->request->root);
	build->recipe = image_recipe_dir(build->request->root, build->request->name);
	build->packages = image_cache_path("packages");
	build->temp = text_fmt("%s/.build-%s", images, build->key);
	build->final = path_join(images, build->key);
	build->log = text_fmt("%s/%s.log", images, build->key);
}

static int check_space(struct err *err)
{
	auto_free char *images = image_cache_path("images");
	int64_t free_bytes = fs_free_bytes(images, err);

	if (free_bytes < 0)
		return (int)free_bytes;
	if ((uint64_t)free_bytes < BUILD_SPACE_BYTES)
		return err_set(err, -ENOSPC,
			"'%s' has %" PRId64 " MiB free and a build needs %" PRIu64
			" MiB; MAILRIG_CACHE may name another folder",
			images, free_bytes >> 20, BUILD_SPACE_BYTES >> 20);
	return 0;
}

int image_remove_dir(const char *root, const char *path, struct err *err)
{
	auto_free char *script = text_fmt("%s/vm-images/build.sh", root ? root : "");
	char *argv[] = {script, "--clean", (char *)path, NULL};
	int rc = fs_remove_tree(path, err);

	/* A killed build of an ordinary user leaves files that belong to its subordinate ids. */
	if (rc && root && !proc_run(argv, deadline_in_ms(60000), NULL, 0, NULL))
		rc = fs_remove_tree(path, err);
	return rc;
}

/* ---- following the child ------------------------------------------------------------------------ */

/* "step 2/7 kernel" becomes progress; any other line is nobody's business. */
static void take_line(const struct image_request *request, const char *line)
{
	struct image_progress progress = {0};
	int at = 0;

	if (sscanf(line, "step %u/%u %n", &progress.step, &progress.steps, &at) == 2 && at) {
		progress.what = line + at;
		if (request->progress)
			request->progress(request->arg, &progress);
	}
}

static void take_lines(const struct image_request *request, struct buf *pending)
{
	char *end;

	while (pending->len && (end = memchr(pending->data, '\n', pending->len))) {
		*end = '\0';
		take_line(request, pending->data);
		buf_consume(pending, (size_t)(end - pending->data) + 1);
	}
	if (pending->len > LINE_MAX_BYTES)
		buf_reset(pending);
}

/* Until the child closes its end: 0, -ECANCELED or -ETIMEDOUT. */
static int follow(const struct image_request *request, int fd, struct err *err)
{
	auto_buf struct buf pending = {0};

	for (;;) {
		struct pollfd wait[2] = {
			{.fd = fd, .events = POLLIN}, {.fd = request->cancel_fd, .events = POLLIN}};
		int left = deadline_left_ms(request->deadline_ns);
		int n = poll(wait, ARRAY_SIZE(wait), left);
		ssize_t got;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, errno, "cannot follow the build");
		if (wait[1].revents)
			return err_set(err, -ECANCELED, "it was interrupted");
		if (!n && !left)
			return err_set(err, -ETIMEDOUT, "it took too long");
		if (!wait[0].revents)
			continue;
		got = read(fd, buf_reserve(&pending, LINE_MAX_BYTES), LINE_MAX_BYTES);
		if (got <= 0)
			return 0;
		pending.len += (size_t)got;
		pending.data[pending.len] = '\0';
		take_lines(request, &pending);
	}
}

/* The last line that the tools said, for the sentence. */
static void add_last_words(const struct build *build, struct err *err)
{
	auto_buf struct buf text = {0}, words = {0};
	size_t end, start;

	if (fs_read(build->log, IMAGE_JSON_MAX * 16, &text, NULL) || !text.len)
		return;
	if (text.len > LOG_TAIL_BYTES)
		buf_consume(&text, text.len - LOG_TAIL_BYTES);
	for (end = text.len; end && strchr("\n\r ", text.data[end - 1]); end--)
		;
	for (start = end; start && !strchr("\n\r", text.data[start - 1]); start--)
		;
	buf_add_escaped(&words, text.data + start, end - start);
	err_set(err, 0, "%.400s (all of it: '%s')", buf_text(&words), build->log);
}

static int run_script(const struct build *build, struct err *err)
{
	char *argv[] = {
		build->script, "--update", build->recipe, build->temp, build->packages, NULL};
	const int keep[] = {build->lock_fd, -1};
	auto_close int log_fd = open(build->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	auto_close int in = -1, out = -1;
	int ends[2], status = 0, rc;
	pid_t pid;

	if (log_fd < 0)
		return err_sys(err, errno, "cannot write '%s'", build->log);
	if (pipe2(ends, O_CLOEXEC))
		return err_sys(err, errno, "cannot make a pipe");
	in = ends[0];
	out = ends[1];
	if (!build->request->rebuild) /* what the packages' cache knows will do */
		memmove(argv + 1, argv + 2, sizeof(argv) - 2 * sizeof(argv[0]));
	pid = proc_spawn(&(struct proc_spec){.argv = argv,
				 .stdin_fd = -1,
				 .stdout_fd = out,
				 .stderr_fd = log_fd,
				 .keep_fds = keep},
		err);
	if (pid < 0)
		return (int)pid;
	cleanup_fd(&out);
	rc = follow(build->request, in, err);
	if (!rc)
		rc = proc_wait(pid, build->request->deadline_ns, &status, err);
	if (rc) {
		proc_end(pid, GRACE_MS);
		return rc;
	}
	if (status) {
		err_set(err, 0, "build.sh ended with status 0x%x", (unsigned int)status);
		add_last_words(build, err);
		return -EIO;
	}
	return 0;
}

/* ---- the result --------------------------------------------------------------------------------- */

static int packages_json(const char *dir, json_t **ret, struct err *err)
{
	auto_free char *path = path_join(dir, "manifest.tsv");
	auto_buf struct buf text = {0};
	auto_json json_t *packages = json_object();
	char *save = NULL;
	int rc = fs_read(path, MANIFEST_MAX, &text, err);

	if (rc)
		return rc;
	for (char *line = strtok_r(text.data, "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		char *tab = strchr(line, '\t');

		if (!tab)
			return err_set(err, -EBADMSG, "'%s' has a line without a tab", path);
		*tab = '\0';
		json_object_set_new(packages, line, json_text(tab + 1));
	}
	*ret = packages;
	packages = NULL;
	return 0;
}

static int add_hash(
	json_t *json, const char *key, const char *dir, const char *name, struct err *err)
{
	auto_free char *path = path_join(dir, name);
	char hex[HASH_HEX_SIZE];
	int rc = hash_file(path, hex, err);

	if (!rc)
		json_object_set_new(json, key, json_string(hex));
	return rc;
}

static int write_json(const struct build *build, struct err *err)
{
	auto_free char *path = path_join(build->temp, "image.json");
	auto_json json_t *json = json_object();
	json_t *packages = NULL;
	int rc;

	json_object_set_new(json, "name", json_string(build->request->name));
	json_object_set_new(json, "key", json_string(build->key));
	rc = add_hash(json, "id", build->temp, "root.img", err);
	if (!rc)
		rc = add_hash(json, "kernel_id", build->temp, "vmlinuz", err);
	if (!rc)
		rc = add_hash(json, "initrd_id", build->temp, "initrd", err);
	if (!rc)
		rc = packages_json(build->temp, &packages, err);
	if (rc)
		return rc;
	json_object_set_new(json, "built_s", json_integer(clock_real_ns() / NS_PER_SEC));
	json_object_set_new(json, "packages", packages);
	return json_save_path(path, json, err);
}

/* All on disk before it gets its name. */
static int publish(const struct build *build, struct err *err)
{
	auto_close int fd = open(build->temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc;

	if (fd < 0 || syncfs(fd))
		return err_sys(err, errno, "cannot write '%s' to disk", build->temp);
	rc = image_remove_dir(build->request->root, build->final, err);
	if (!rc && rename(build->temp, build->final))
		rc = err_sys(err, errno, "cannot rename '%s'", build->temp);
	return rc;
}

int image_build(const struct image_request *request, const char *key, int lock_fd, struct err *err)
{
	cleanup(build_free) struct build build = {
		.request = request, .key = key, .lock_fd = lock_fd};
	int rc;

	build_paths(&build);
	rc = image_remove_dir(request->root, build.temp, err); /* a killed build's */
	if (!rc)
		rc = check_space(err);
	if (!rc)
		rc = fs_mkdir_p(build.temp, err);
	if (!rc)
		rc = run_script(&build, err);
	if (!rc)
		rc = write_json(&build, err);
	if (!rc)
		rc = publish(&build, err);
	if (rc)
		image_remove_dir(request->root, build.temp, NULL);
	return rc;
}

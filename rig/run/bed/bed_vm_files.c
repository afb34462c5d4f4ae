/*
 * Files of the guest as nobody can be changing them: the file systems are frozen while one shell line copies what
 * the globs name into memory, and thawed before anything is fetched.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "run/bed/bed_guest.h"
#include "run/bed/bed_vm_core.h"
#include "run/bed/file_list.h"

#include <string.h>

#define COPY_MS	    60000
#define FETCH_MS    30000
#define CHUNK_BYTES 150000 /* in base64 it fits into the witness's answer */
#define LIST_FILE   "/run/rig-files.list"
#define DATA_FILE   "/run/rig-files.data"

/* A glob of the target as a place to search from: any user, any depth. */
void vm_add_root(struct buf *line, const char *glob)
{
	static const char mark[] = "{user}";
	const char *user = strstr(glob, mark);
	size_t len = strlen(glob);

	while (len && (glob[len - 1] == '*' || glob[len - 1] == '/'))
		len--;
	buf_addc(line, ' ');
	if (user && user + sizeof(mark) - 1 <= glob + len)
		buf_addf(line, "%.*s*%.*s", (int)(user - glob), glob,
			(int)(glob + len - (user + sizeof(mark) - 1)), user + sizeof(mark) - 1);
	else
		buf_addf(line, "%.*s", (int)len, glob);
}

static int run(
	struct bed *bed, const char *line, int64_t timeout_ms, struct buf *out, struct err *err)
{
	struct command_result result = {0};
	int rc = bed->ops->run(bed, line, NULL, timeout_ms, false, &result, err);

	if (!rc && result.timed_out)
		rc = err_set(err, -ETIMEDOUT, "the guest's files could not be copied in time");
	if (!rc && out)
		buf_add(out, result.output.data, result.output.len);
	buf_free(&result.output);
	return rc;
}

/* Only messages of a Maildir: files in new/ and cur/. */
static int copy(struct bed *bed, const char *const *globs, bool live, struct err *err)
{
	auto_buf struct buf line = {0};
	int rc = live ? bed->ops->freeze(bed, NULL, err) : 0, thawed;

	buf_add_str(&line, ": >" LIST_FILE "; find");
	for (; *globs; globs++)
		vm_add_root(&line, *globs);
	buf_addf(&line,
		" -type f '(' -path '*/new/*' -o -path '*/cur/*' ')' -fprintf " LIST_FILE
		" '%%s %%p\\0' -print0 2>/dev/null | xargs -0 -r cat | head -c %u >" DATA_FILE,
		FILE_BYTES_MAX);
	if (!rc)
		rc = run(bed, line.data, COPY_MS, NULL, err);
	if (!live)
		return rc;
	thawed = bed->ops->thaw(bed, rc ? NULL : err);
	return rc ? rc : thawed;
}

static int fetch(struct bed *bed, const char *path, size_t max, struct buf *out, struct err *err)
{
	while (out->len < max) {
		auto_free char *line = text_fmt("tail -c +%zu %s | head -c %d | base64 -w 0",
			out->len + 1, path, CHUNK_BYTES);
		auto_buf struct buf text = {0};
		size_t before = out->len;
		int rc = run(bed, line, FETCH_MS, &text, err);

		if (!rc)
			rc = file_list_decode(buf_text(&text), text.len, out, err);
		if (rc)
			return rc;
		if (out->len - before < CHUNK_BYTES)
			return 0;
	}
	return 0;
}

int vm_files(struct bed *bed, const char *const *globs, bool live,
	void (*each)(void *arg, const char *path, const char *bytes, size_t len), void *arg,
	struct err *err)
{
	auto_buf struct buf list = {0};
	auto_buf struct buf data = {0};
	int rc = copy(bed, globs, live, err);

	if (!rc)
		rc = fetch(bed, LIST_FILE, (size_t)FILE_LIST_MAX * FILE_PATH_MAX, &list, err);
	if (!rc)
		rc = fetch(bed, DATA_FILE, FILE_BYTES_MAX, &data, err);
	if (!rc)
		rc = run(bed, "rm -f " LIST_FILE " " DATA_FILE, FETCH_MS, NULL, err);
	if (rc)
		return rc;
	return file_list_walk(buf_text(&list), list.len, buf_text(&data), data.len, each, arg, err);
}

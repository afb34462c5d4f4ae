#include "diagnose/dot_lock.h"

#include "base/buf.h"
#include "base/json.h"
#include "diagnose/case.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define SAID_MAX     6
#define LINE_MAX_LEN 1024
#define PATH_SAID    200

/* "12 3456:host /srv/mail/u1/.lock" */
static json_t *read_line(char *line)
{
	char *content = strchr(line, ' '), *path = content ? strchr(content + 1, ' ') : NULL, *end;
	long age = strtol(line, &end, 10), pid;
	json_t *json;

	if (!path || path[1] != '/' || end != content || age < 0)
		return NULL;
	*path++ = '\0';
	json = json_pack("{so sI}", "path", json_text(path), "age_s", (json_int_t)age);
	pid = strtol(content + 1, &end, 10);
	if (end != content + 1 && pid > 0 && pid <= INT_MAX)
		json_object_set_new(json, "pid", json_integer(pid));
	return json;
}

json_t *dot_locks_read(const char *text, size_t len)
{
	json_t *locks = json_array();
	char line[LINE_MAX_LEN];

	for (size_t at = 0; at < len && json_array_size(locks) < DOT_LOCKS_MAX;) {
		const char *end = memchr(text + at, '\n', len - at);
		size_t size = end ? (size_t)(end - text) - at : len - at;
		json_t *one = NULL;

		if (size < sizeof(line)) {
			memcpy(line, text + at, size);
			line[size] = '\0';
			one = read_line(line);
		}
		if (one)
			json_array_append_new(locks, one);
		at += size + 1;
	}
	return locks;
}

static void say_one(struct diagnosing *d, const json_t *lock)
{
	int64_t pid = json_get_int(lock, "pid", 0);
	auto_buf struct buf line = {0};
	const struct task *process;
	bool several;

	buf_addf(&line, "dot-lock '%.*s', %lld s old, names ", PATH_SAID,
		json_get_text(lock, "path", "?"), (long long)json_get_int(lock, "age_s", 0));
	process = evidence_named(&d->now, pid, &several);
	if (pid <= 0)
		buf_add_str(&line, "nobody");
	else if (several)
		buf_addf(&line, "process %lld, of which several PID namespaces have one",
			(long long)pid);
	else if (process && process->pid != pid)
		buf_addf(&line, "process %lld of a PID namespace, here %d (`%s`)", (long long)pid,
			process->pid, process->role);
	else if (process)
		buf_addf(&line, "process %lld (`%s`)", (long long)pid, process->role);
	else
		buf_addf(&line, "process %lld, which there is not", (long long)pid);
	say_evidence(d, "%s", buf_text(&line));
}

void say_dot_locks(struct diagnosing *d)
{
	size_t count = json_array_size(d->in->dot_locks);

	for (size_t i = 0; i < count && i < SAID_MAX; i++)
		say_one(d, json_array_get(d->in->dot_locks, i));
	if (count > SAID_MAX)
		say_evidence(d, "%zu more dot-locks", count - SAID_MAX);
}

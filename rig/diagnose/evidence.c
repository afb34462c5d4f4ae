#include "diagnose/evidence.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_MAX_MS (INT64_C(1000) * INT32_MAX)

static int get_id(const json_t *object, const char *key)
{
	int64_t id = json_get_int(object, key, -1);

	return id >= 0 && id <= INT_MAX ? (int)id : -1;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* A program that plays several roles is called by its own name: which of them it plays now is not known. */
const char *evidence_role(const struct target *target, const char *exe, const char *otherwise)
{
	const char *role = NULL;
	size_t roles = 0;

	for (size_t i = 0; target && i < target->role_count; i++)
		for (size_t k = 0; k < target->roles[i].programs.count; k++)
			if (!strcmp(target->roles[i].programs.at[k], exe)) {
				role = target->roles[i].name;
				roles++;
			}
	if (roles == 1)
		return role;
	return exe[0] ? base_name(exe) : otherwise;
}

static bool is_ours(const char *exe, const char *const *ours)
{
	for (; ours && *ours; ours++)
		if (!strncmp(exe, *ours, strlen(*ours)))
			return true;
	return false;
}

static void read_words(const json_t *json, struct task *task)
{
	const json_t *words = json_object_get(json, "futex");

	task->has_words = json_array_size(words) == FUTEX_WORDS;
	for (size_t i = 0; task->has_words && i < FUTEX_WORDS; i++)
		task->words[i] = (uint32_t)json_integer_value(json_array_get(words, i));
}

void evidence_read_semaphore(const json_t *json, struct task *task)
{
	const json_t *sem = json_object_get(json, "sem");
	int64_t value = json_get_int(sem, "value", -1);
	int number = get_id(sem, "num");

	task->sem.value = -1;
	if (!wait_set_semaphore(&task->wait, json_get_int(sem, "id", -1), number))
		return;
	task->sem.op = (int16_t)json_get_int(sem, "op", 0);
	task->sem.value = value >= 0 && value <= INT16_MAX ? (int)value : -1;
	task->sem.last = get_id(sem, "last");
}

static void read_range(const json_t *json, struct byte_range *ret)
{
	const json_t *range = json_object_get(json, "range");
	int64_t first = json_get_int(range, "first", -1), last = json_get_int(range, "last", -1);

	*ret = (struct byte_range){.told = first >= 0,
		.write = json_get_bool(range, "write", false),
		.first = (uint64_t)first,
		.last = last < 0 ? UINT64_MAX : (uint64_t)last};
}

/* It may be of another call than the one that it stands in. */
static void read_limit(const json_t *json, struct task *task)
{
	int64_t limit_ms = json_get_int(json, "limit_ms", 0);
	int64_t left_ms = json_get_int(json, "left_ms", 0);

	if (!task->wait.timed)
		return;
	if (!task->wait.limit_ms && limit_ms > 0 && limit_ms <= LIMIT_MAX_MS)
		task->wait.limit_ms = limit_ms;
	task->left_ms = left_ms > 0 && left_ms <= LIMIT_MAX_MS ? left_ms : 0;
}

static int64_t read_ticks(const json_t *json)
{
	int64_t user = json_get_int(json, "utime", -1), kernel = json_get_int(json, "stime", -1);

	return user < 0 || kernel < 0 || user > INT64_MAX / 2 || kernel > INT64_MAX / 2
		       ? -1
		       : user + kernel;
}

static bool read_task(
	const json_t *json, const struct target *target, const char *const *ours, struct task *ret)
{
	const json_t *fds = json_object_get(json, "wait_fds");

	*ret = (struct task){
		.pid = get_id(json, "pid"),
		.tid = get_id(json, "tid"),
		.ppid = get_id(json, "ppid"),
		.state = json_get_text(json, "state", "?")[0],
		.start = json_get_int(json, "start", 0),
		.ticks = read_ticks(json),
		.reaped = json_get_int(json, "reaped", 0),
		.ran_ns = json_get_int(json, "ran_ns", -1),
		.queued_ns = json_get_int(json, "queued_ns", -1),
		.comm = json_get_text(json, "comm", "?"),
		.exe = json_get_text(json, "exe", ""),
		.wchan = json_get_text(json, "wchan", ""),
		.syscall = json_get_text(json, "syscall", ""),
		.stack = json_get_text(json, "stack", ""),
		.object = json_get_text(json, "object", ""),
		.began = json_get_text(json, "began", ""),
		.loop = json_get_text(json, "loop", ""),
		.door = json_get_text(json, "door", ""),
		.frames = json_object_get(json, "frames"),
		.own = json_object_get(json, "own"),
		.jumped = json_get_bool(json, "jumped", false),
		.busy = json_object_get(json, "busy"),
		.moments = get_id(json, "moments"),
		.pid_ns = (uint64_t)json_get_int(json, "pidns", 0),
		.only_fd = -1,
	};
	if (ret->pid <= 0 || ret->tid <= 0)
		return false;
	ret->ns_tid = ret->pid_ns ? get_id(json, "nstid") : ret->tid;
	if (ret->ns_tid < 0)
		ret->ns_tid = 0;
	read_words(json, ret);
	ret->wait = wait_decode(ret->state, ret->wchan, ret->syscall, ret->stack);
	evidence_read_semaphore(json, ret);
	read_range(json, &ret->range);
	read_limit(json, ret);
	if (ret->wait.kind == WAIT_POLL)
		ret->polled = fds;
	if (ret->wait.kind == WAIT_POLL && json_array_size(fds) == 1)
		ret->only_fd = json_integer_value(json_array_get(fds, 0));
	/* A kernel thread and a process that has ended have no program. */
	ret->mine = is_ours(ret->exe, ours) || (!ret->exe[0] && ret->wait.kind != WAIT_ENDED);
	snprintf(ret->role, sizeof(ret->role), "%s", evidence_role(target, ret->exe, ret->comm));
	return true;
}

static int compare_tasks(const void *a, const void *b)
{
	const struct task *one = a, *two = b;

	if (one->pid != two->pid)
		return one->pid < two->pid ? -1 : 1;
	return (one->tid > two->tid) - (one->tid < two->tid);
}

/* The entries of an array that may be read; the rest is counted. */
static size_t bounded(struct evidence *e, const json_t *array, size_t max)
{
	size_t count = json_array_size(array);

	if (count <= max)
		return count;
	e->unread += count - max;
	return max;
}

/* All threads of a process are in one, also those of whom it is not told because they could not be read. */
static void spread_namespaces(struct evidence *e)
{
	for (size_t first = 0, end; first < e->task_count; first = end) {
		uint64_t pid_ns = 0;

		for (end = first; end < e->task_count && e->tasks[end].pid == e->tasks[first].pid;
			end++)
			pid_ns = pid_ns ? pid_ns : e->tasks[end].pid_ns;
		for (size_t i = first; i < end; i++)
			if (e->tasks[i].pid_ns != pid_ns) {
				e->tasks[i].pid_ns = pid_ns;
				e->tasks[i].ns_tid = 0;
			}
	}
}

static void read_tasks(struct evidence *e, const json_t *scan, const struct target *target,
	const char *const *ours)
{
	const json_t *array = json_object_get(scan, "tasks");
	size_t count = bounded(e, array, TASKS_MAX), kept = 0;

	e->tasks = mem_zero(count, sizeof(*e->tasks));
	for (size_t i = 0; i < count; i++)
		if (read_task(json_array_get(array, i), target, ours, &e->tasks[e->task_count]))
			e->task_count++;
		else
			e->unread++;
	if (e->task_count)
		qsort(e->tasks, e->task_count, sizeof(*e->tasks), compare_tasks);
	for (size_t i = 0; i < e->task_count; i++) /* a tid that is told twice counts once */
		if (!kept || compare_tasks(&e->tasks[kept - 1], &e->tasks[i]) != 0)
			e->tasks[kept++] = e->tasks[i];
	e->unread += e->task_count - kept;
	e->task_count = kept;
	spread_namespaces(e);
}

static void read_files(struct evidence *e, const json_t *scan)
{
	const json_t *array = json_object_get(scan, "files");
	size_t count = bounded(e, array, FILES_MAX);

	e->files = mem_zero(count, sizeof(*e->files));
	for (size_t i = 0; i < count; i++) {
		const json_t *json = json_array_get(array, i);
		struct open_file file = {.pid = get_id(json, "pid"),
			.fd = get_id(json, "fd"),
			.path = json_get_text(json, "path", NULL),
			.inode = json_get_text(json, "inode", NULL)};

		if (file.pid > 0 && file.fd >= 0 && file.path && file.inode)
			e->files[e->file_count++] = file;
		else
			e->unread++;
	}
}

static int compare_fds(const void *a, const void *b)
{
	const struct open_fd *one = a, *two = b;

	if (one->pid != two->pid)
		return one->pid < two->pid ? -1 : 1;
	return (one->fd > two->fd) - (one->fd < two->fd);
}

static int compare_sockets(const void *a, const void *b)
{
	const struct socket_end *one = a, *two = b;

	return (one->ino > two->ino) - (one->ino < two->ino);
}

static void read_fds(struct evidence *e, const json_t *scan)
{
	const json_t *array = json_object_get(scan, "fds");
	size_t count = bounded(e, array, FDS_MAX);

	e->fds = mem_zero(count, sizeof(*e->fds));
	for (size_t i = 0; i < count; i++) {
		const json_t *json = json_array_get(array, i);
		const char *mode = json_get_text(json, "mode", "rw");
		const char *kind = json_get_text(json, "kind", "");
		struct open_fd fd = {.pid = get_id(json, "pid"),
			.fd = get_id(json, "fd"),
			.ino = (uint64_t)json_get_int(json, "ino", 0),
			.reads = strchr(mode, 'r'),
			.writes = strchr(mode, 'w'),
			.of = get_id(json, "of"),
			.socket = !strcmp(kind, "socket"),
			.queue = !strcmp(kind, "mqueue"),
			.timer = !strcmp(kind, "timerfd"),
			.rings = json_get_bool(json, "rings", false),
			.set = !strcmp(kind, "eventpoll"),
			.permits = !strcmp(kind, "fanotify")};

		if (fd.pid > 0 && fd.fd >= 0 &&
			(fd.ino || fd.of > 0 || fd.timer || fd.set || fd.permits))
			e->fds[e->fd_count++] = fd;
		else if (fd.ino) /* an eventfd or its like has no number of its own */
			e->unread++;
	}
	if (e->fd_count)
		qsort(e->fds, e->fd_count, sizeof(*e->fds), compare_fds);
}

void evidence_add_held(struct evidence *e, const json_t *json)
{
	struct held_lock held = {.pid = get_id(json, "pid"), .fd = get_id(json, "fd")};

	if (held.pid > 0 && held.fd >= 0 && e->held_count < HELD_MAX &&
		lock_line_read(json_get_text(json, "lock", ""), &held.lock)) {
		e->held = mem_grow(e->held, e->held_count + 1, sizeof(held));
		e->held[e->held_count++] = held;
	} else {
		e->unread++;
	}
}

static void read_held(struct evidence *e, const json_t *scan)
{
	const json_t *array = json_object_get(scan, "held");
	size_t count = bounded(e, array, HELD_MAX);

	for (size_t i = 0; i < count; i++)
		evidence_add_held(e, json_array_get(array, i));
}

static void read_sockets(struct evidence *e, const json_t *scan)
{
	const json_t *array = json_object_get(scan, "sockets");
	size_t count = bounded(e, array, SOCKETS_MAX);

	e->sockets = mem_zero(count, sizeof(*e->sockets));
	for (size_t i = 0; i < count; i++) {
		const json_t *json = json_array_get(array, i);
		struct socket_end end = {.ino = (uint64_t)json_get_int(json, "ino", 0),
			.peer = (uint64_t)json_get_int(json, "peer", 0),
			.accept = (uint64_t)json_get_int(json, "accept", 0),
			.listens = !strcmp(json_get_text(json, "state", ""), "listen"),
			.outside = json_get_bool(json, "outside", false),
			.accepted = json_get_bool(json, "accepted", false),
			.backlog = json_get_int(json, "backlog", 0),
			.unread = json_get_int(json, "unread", 0),
			.name = json_get_text(json, "name", NULL)};

		if (end.ino)
			e->sockets[e->socket_count++] = end;
		else
			e->unread++;
	}
	if (e->socket_count)
		qsort(e->sockets, e->socket_count, sizeof(*e->sockets), compare_sockets);
}

static bool is_missing(const json_t *scan, const char *part)
{
	return json_is_false(json_object_get(json_object_get(scan, "parts"), part));
}

void evidence_read(const json_t *scan, const struct target *target, const char *const *ours,
	struct evidence *ret)
{
	*ret = (struct evidence){
		.truncated = json_get_bool(scan, "truncated", false),
		.guest_ns = json_get_int(scan, "guest_ns", 0),
		.no_memory = is_missing(scan, "memory"),
		.no_fds = is_missing(scan, "fds"),
		.no_sockets = is_missing(scan, "sockets"),
		.no_held = is_missing(scan, "held"),
	};
	lock_table_parse(json_get_text(scan, "locks", ""), &ret->locks);
	read_tasks(ret, scan, target, ours);
	read_files(ret, scan);
	read_fds(ret, scan);
	read_sockets(ret, scan);
	read_held(ret, scan);
	evidence_read_tries(scan, ret);
	evidence_look_at_ends(ret);
}

void evidence_free(struct evidence *e)
{
	free(e->tasks);
	free(e->files);
	free(e->fds);
	free(e->sockets);
	free(e->held);
	free(e->tries);
	lock_table_free(&e->locks);
	*e = (struct evidence){0};
}

size_t evidence_process(const struct evidence *e, int pid, size_t *ret_count)
{
	size_t low = 0, high = e->task_count, end;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (e->tasks[middle].pid < pid)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < e->task_count && e->tasks[end].pid == pid; end++)
		;
	*ret_count = end - low;
	return low;
}

bool evidence_has_ended(const struct evidence *e, int pid)
{
	size_t count, first = evidence_process(e, pid, &count);

	for (size_t i = first; i < first + count; i++)
		if (e->tasks[i].wait.kind != WAIT_ENDED)
			return false;
	return !e->truncated && !e->unread;
}

const struct task *evidence_task(const struct evidence *e, const struct task *by, int64_t number)
{
	for (size_t i = 0; i < e->task_count && number > 0; i++)
		if (e->tasks[i].pid_ns == by->pid_ns && e->tasks[i].ns_tid == number)
			return &e->tasks[i];
	return NULL;
}

/* Kernel threads have numbers as a container's processes do, and neither lock nor make files. */
const struct task *evidence_named(const struct evidence *e, int64_t number, bool *ret_several)
{
	const struct task *found = NULL, *of_kernel = NULL;

	*ret_several = false;
	for (size_t i = 0; i < e->task_count && number > 0; i++) {
		const struct task *t = &e->tasks[i];

		if (t->pid != t->tid || t->ns_tid != number)
			continue;
		if (!t->exe[0] && t->wait.kind != WAIT_ENDED) {
			of_kernel = t;
			continue;
		}
		*ret_several = found != NULL;
		if (found)
			break;
		found = t;
	}
	return found ? found : of_kernel;
}

const struct open_fd *evidence_fd(const struct evidence *e, int pid, int64_t fd)
{
	struct open_fd key = {.pid = pid, .fd = (int)fd};

	if (fd < 0 || fd > INT_MAX || !e->fd_count)
		return NULL;
	return bsearch(&key, e->fds, e->fd_count, sizeof(key), compare_fds);
}

const struct socket_end *evidence_socket(const struct evidence *e, uint64_t ino)
{
	struct socket_end key = {.ino = ino};

	if (!e->socket_count)
		return NULL;
	return bsearch(&key, e->sockets, e->socket_count, sizeof(key), compare_sockets);
}

const struct socket_end *evidence_door(const struct evidence *e, const char *name)
{
	for (size_t i = 0; i < e->socket_count && name[0]; i++)
		if (e->sockets[i].listens && e->sockets[i].name &&
			!strcmp(e->sockets[i].name, name))
			return &e->sockets[i];
	return NULL;
}

const char *evidence_path(const struct evidence *e, const char *inode)
{
	for (size_t i = 0; i < e->file_count; i++)
		if (!strcmp(e->files[i].inode, inode))
			return e->files[i].path;
	for (size_t i = 0; i < e->try_count; i++)
		if (!strcmp(e->tries[i].wants.inode, inode))
			return e->tries[i].path;
	return NULL;
}

bool evidence_is_open(
	const struct evidence *e, int pid, int64_t fd, const char *inode, bool *ret_known)
{
	*ret_known = false;
	for (size_t i = 0; i < e->file_count; i++) {
		if (e->files[i].pid != pid || e->files[i].fd != fd)
			continue;
		*ret_known = true;
		return !strcmp(e->files[i].inode, inode);
	}
	return false;
}

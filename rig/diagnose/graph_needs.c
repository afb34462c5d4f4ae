/* Whom each thread of the graph waits for, as far as the evidence names somebody. */
#include "diagnose/graph_needs.h"

#include "base/buf.h"

#include <string.h>
#include <sys/syscall.h>

#define ANY_MAX 16 /* processes that have the same end */

/* ---- needs ---- */

/* Those who have something, each once. */
struct pids {
	int at[ANY_MAX];
	size_t count;
};

static void add_pid(struct pids *pids, int pid)
{
	for (size_t i = 0; i < pids->count && i < ANY_MAX; i++)
		if (pids->at[i] == pid)
			return;
	if (pids->count < ANY_MAX)
		pids->at[pids->count] = pid;
	pids->count++; /* beyond ANY_MAX: too many */
}

static void add_need(struct graph *g, size_t task, size_t first, size_t count)
{
	struct node *node = &g->nodes[task];

	if (!count)
		return;
	if (node->need_count == NEEDS_PER_TASK_MAX || g->need_count == NEEDS_MAX) {
		g->cut = true;
		return;
	}
	for (size_t i = node->first_need; i < g->need_count; i++)
		if (g->needs[i].first == first && g->needs[i].count == count)
			return;
	g->needs[g->need_count++] = (struct need){.first = first, .count = count};
	node->need_count++;
}

static bool need_process(struct graph *g, size_t task, int pid)
{
	size_t count, first = pid > 0 ? evidence_process(g->e, pid, &count) : 0;

	if (pid <= 0 || !count)
		return false;
	if (graph_leader_ended(g->e, first)) {
		first++;
		count--;
	}
	add_need(g, task, first, count);
	return true;
}

/* Any of those would do. Where one of them is not in the scan nothing is known. */
static void need_any(struct graph *g, size_t task, const int *pids, size_t count)
{
	struct node *node = &g->nodes[task];
	size_t had = node->need_count, from = g->need_count;

	for (size_t i = 0; i < count; i++)
		if (count > ANY_MAX || !need_process(g, task, pids[i]) ||
			node->need_count != had + i + 1) {
			node->need_count = had;
			g->need_count = from;
			return;
		}
	for (size_t i = 0; i < count; i++)
		g->needs[from + i].others = count - 1 - i;
}

static void need_thread(struct graph *g, size_t task, const struct task *thread)
{
	add_need(g, task, (size_t)(thread - g->e->tasks), 1);
}

/* ---- file locks ---- */

static bool is_of_range(const struct byte_range *range, const struct file_lock *lock)
{
	return !range->told || (range->first == lock->first && range->last == lock->last &&
				       range->write == lock->write);
}

static bool could_be_the_waiter(
	const struct evidence *e, const struct file_lock *lock, const struct task *task)
{
	int number = lock->kind == LOCK_FLOCK ? SYS_flock : SYS_fcntl;
	bool known;

	if (lock->kind >= LOCK_LEASE || task->wait.lease)
		return lock->kind >= LOCK_LEASE && task->wait.lease;
	if (task->wait.kind != WAIT_FILE_LOCK || task->wait.number != number || task->tried ||
		(lock->kind != LOCK_FLOCK && !is_of_range(&task->range, lock)))
		return false;
	if (evidence_is_open(e, task->pid, task->wait.fd, lock->inode, &known))
		return true;
	return !known && lock->pid == task->pid;
}

/* Gives each waiting line of /proc/locks its thread. */
void graph_match_waiter(struct graph *g, const struct file_lock *lock)
{
	size_t first = 0, count = g->e->task_count;

	if (lock->pid > 0)
		first = evidence_process(g->e, lock->pid, &count);
	for (size_t i = first; i < first + count; i++) {
		if (g->nodes[i].wants || !could_be_the_waiter(g->e, lock, &g->e->tasks[i]))
			continue;
		g->nodes[i].wants = lock;
		return;
	}
}

/* Whose open file has the lock, where the scan says it. Several have it since a fork(): any may give it back. */
static bool need_who_has(struct graph *g, size_t task, const struct file_lock *lock)
{
	const struct task *t = &g->e->tasks[task];
	struct pids has = {.count = 0};

	for (size_t i = 0; i < g->e->held_count; i++) {
		const struct held_lock *held = &g->e->held[i];

		if (!lock_is_same(&held->lock, lock))
			continue;
		/* What it has as a reader is not what it waits for as a writer. */
		if (held->pid == t->pid && held->fd == t->wait.fd && !lock->write)
			continue;
		if (held->pid == t->pid && held->fd == t->wait.fd) {
			g->nodes[task].unknown = "it got it while it was looked at";
			return true;
		}
		add_pid(&has, held->pid);
	}
	if (has.count > 1) {
		g->nodes[task].unknown = "several processes have the open file that is locked";
		need_any(g, task, has.at, has.count);
	}
	return has.count > 1 || (has.count && need_process(g, task, has.at[0]));
}

/* The holder's process is gone, or was never named (OFDLCK): a lock of an open file lives as long as
 * somebody has it open. */
static void need_only_opener(struct graph *g, size_t task, const struct file_lock *held)
{
	struct node *node = &g->nodes[task];
	int other = 0;

	node->unknown = held->kind == LOCK_DOT ? "the process that the file names has ended"
			: held->pid > 0	       ? "the process that took it has ended"
					       : "the kernel names no process for it";
	for (size_t i = 0; i < g->e->file_count; i++) {
		const struct open_file *file = &g->e->files[i];

		if (file->pid == g->e->tasks[task].pid || strcmp(file->inode, held->inode) != 0)
			continue;
		if (other && other != file->pid)
			return;
		other = file->pid;
	}
	if (other && need_process(g, task, other)) {
		node->inferred = true;
		node->unknown = NULL;
	}
}

static void need_holders(struct graph *g, size_t task)
{
	const struct lock_table *locks = &g->e->locks;
	const struct file_lock *wants = g->nodes[task].wants;

	if (!wants) {
		g->nodes[task].unknown = "no line of /proc/locks is its own";
		return;
	}
	for (size_t i = 0; i < locks->count; i++) {
		const struct file_lock *held = &locks->at[i];
		bool above = i == wants->by;

		if (held->waits || (!above && (!lock_conflicts(wants, held) ||
						      held->pid == g->e->tasks[task].pid)))
			continue;
		if (!need_who_has(g, task, held) && !need_process(g, task, held->pid))
			need_only_opener(g, task, held);
	}
}

/* ---- futexes ---- */

static void drop_needs(struct graph *g, size_t task, size_t had)
{
	g->nodes[task].need_count -= g->need_count - had;
	g->need_count = had;
}

/* Threads of its own process, where no other process may use the lock: others than itself, who may want what it has
 * as a reader. */
static void need_readers(struct graph *g, size_t task)
{
	size_t had = g->need_count;

	if (g->e->tasks[task].wait.shared || !need_process(g, task, g->e->tasks[task].pid) ||
		g->need_count == had)
		return;
	if (g->needs[had].count > 1) {
		g->needs[had].supposed = true;
		g->needs[had].lock = wait_object(&g->e->tasks[task].wait);
	} else {
		drop_needs(g, task, had);
	}
}

/* No thread of the namespace has that number: it has ended, unless a number is missing, or processes of several
 * namespaces may use the lock. */
static const char *why_none_owns(const struct evidence *e, const struct task *waiter)
{
	for (size_t i = 0; i < e->task_count; i++) {
		const struct task *t = &e->tasks[i];

		if (t->pid != waiter->pid && !waiter->wait.shared)
			continue;
		if (!t->ns_tid)
			return "the scan does not tell by which number each thread calls itself";
		if (t->pid_ns != waiter->pid_ns && t->ns_tid == waiter->wait.target)
			return "the lock has a number that a thread of another PID namespace has";
	}
	return "the thread that locked it has ended";
}

static void need_owner(struct graph *g, size_t task)
{
	const struct task *waiter = &g->e->tasks[task];
	int64_t tid = waiter->wait.target;
	const struct task *owner = evidence_task(g->e, waiter, tid);

	if (owner && (owner->pid == waiter->pid || waiter->wait.shared))
		need_thread(g, task, owner);
	else if (tid > 0)
		g->nodes[task].unknown = why_none_owns(g->e, waiter);
	else if (waiter->wait.kind == WAIT_RWLOCK) {
		g->nodes[task].unknown = "readers have it, and the lock does not name them";
		need_readers(g, task);
	} else if (waiter->has_words)
		g->nodes[task].unknown = "the words at its address name no owner";
	else
		g->nodes[task].unknown = "the scan has no words of its address";
}

static void need_joined(struct graph *g, size_t task)
{
	const struct task *waiter = &g->e->tasks[task];
	const struct task *thread = evidence_task(g->e, waiter, waiter->wait.target);

	if (thread && thread->pid == waiter->pid && thread != waiter)
		need_thread(g, task, thread);
	else
		g->nodes[task].unknown = "it may be a semaphore or a thread that has ended";
}

/* ---- System V semaphores ---- */

/* It stands in a wait of its own, and does not want the same. */
static bool may_have_it(const struct task *holder, const struct task *waiter)
{
	bool same = wait_same_set(&holder->wait, &waiter->wait) &&
		    wait_object(&holder->wait) == wait_object(&waiter->wait);

	return holder->wait.kind != WAIT_NONE && holder->wait.kind != WAIT_UNKNOWN &&
	       holder->wait.kind != WAIT_ENDED && !graph_is_idle(holder) && !same;
}

/* A semaphore that is used as a lock has the value 0 while somebody has it. Who took it last may have given it back
 * since, for another to take it; or it counts jobs, and he is at the one that he took. One that shall become zero
 * counts those who are at something: he may be the one. */
static void need_last_user(struct graph *g, size_t task)
{
	const struct task *waiter = &g->e->tasks[task];
	size_t had = g->need_count, count, first;

	g->nodes[task].unknown = "a System V semaphore names no owner";
	if (!graph_last_user(waiter))
		return;
	first = evidence_process(g->e, waiter->sem.last, &count);
	for (size_t i = first; i < first + count; i++)
		if (may_have_it(&g->e->tasks[i], waiter)) {
			need_process(g, task, waiter->sem.last);
			break;
		}
	for (size_t i = had; i < g->need_count; i++)
		g->needs[i].supposed = true;
}

/* ---- pipes and sockets ---- */

/* The one process that has the other end; `opposite` tells which descriptors are the other end. */
static void need_only_end(struct graph *g, size_t task, uint64_t ino, bool reads, bool writes)
{
	const struct task *t = &g->e->tasks[task];
	struct pids has = {.count = 0};

	for (size_t i = 0; i < g->e->fd_count; i++) {
		const struct open_fd *fd = &g->e->fds[i];

		if (fd->ino == ino && ((reads && fd->reads) || (writes && fd->writes)))
			add_pid(&has, fd->pid);
	}
	if (has.count > 1) {
		g->nodes[task].several = true;
		g->nodes[task].unknown = "several processes have the other end";
		need_any(g, task, has.at, has.count);
	} else if (has.count && has.at[0] == t->pid && t->wait.kind == WAIT_POLL)
		g->nodes[task].unknown = "the other end is its own: it waits for a signal, or for "
					 "one of its threads";
	else if (!has.count || !need_process(g, task, has.at[0]))
		g->nodes[task].unknown = "no process of the scan has the other end";
}

/* The accept queue that a connect() waits for room in. */
static const struct socket_end *door_of(const struct evidence *e, const struct task *t)
{
	return t->wait.kind == WAIT_CONNECT ? evidence_door(e, t->door) : NULL;
}

static void need_peer(struct graph *g, size_t task, int64_t fd_number)
{
	const struct task *t = &g->e->tasks[task];
	const struct open_fd *fd = evidence_fd(g->e, t->pid, fd_number);
	const struct socket_end *end = fd && fd->socket ? evidence_socket(g->e, fd->ino) : NULL;
	const struct socket_end *door = door_of(g->e, t);

	if (door)
		need_only_end(g, task, door->ino, true, true);
	else if (t->wait.number == SYS_msgrcv || t->wait.number == SYS_msgsnd)
		g->nodes[task].unknown = "a message queue has no ends that are known";
	else if (!fd)
		g->nodes[task].unknown = "the scan does not tell what its descriptor is";
	else if (fd->of > 0)
		need_process(g, task, fd->of);
	else if (!fd->ino)
		g->nodes[task].unknown = "what it waits for has no other end";
	else if (!fd->socket)
		need_only_end(
			g, task, fd->ino, t->wait.kind == WAIT_WRITE, t->wait.kind != WAIT_WRITE);
	else if (end && end->peer)
		need_only_end(g, task, end->peer, true, true);
	else if (end && end->accept) /* nobody took the connection yet */
		need_only_end(g, task, end->accept, true, true);
	else
		g->nodes[task].unknown = "the other end is outside, or gone";
}

/* Which of several that watch files was asked is not known. */
static void need_permission(struct graph *g, size_t task)
{
	struct pids has = {.count = 0};

	for (size_t i = 0; i < g->e->fd_count; i++)
		if (g->e->fds[i].permits)
			add_pid(&has, g->e->fds[i].pid);
	if (has.count == 1 && need_process(g, task, has.at[0]))
		return;
	g->nodes[task].unknown = has.count ? "several processes watch what is opened"
					   : "nobody of the scan watches what is opened";
	need_any(g, task, has.at, has.count);
}

/* ---- children ---- */

/* One of several threads may have made it: then only an only child is known. */
static int newest_child(const struct graph *g, const struct task *parent)
{
	const struct task *newest = NULL;
	size_t threads;

	evidence_process(g->e, parent->pid, &threads);
	for (size_t i = 0; i < g->e->task_count; i++) {
		const struct task *t = &g->e->tasks[i];

		if (t->ppid != parent->pid || t->pid != t->tid)
			continue;
		if (newest && threads > 1)
			return 0;
		if (!newest || t->start > newest->start ||
			(t->start == newest->start && t->pid > newest->pid))
			newest = t;
	}
	return newest ? newest->pid : 0;
}

/* By the number that the parent has of it. Where the parent is in another PID namespace, and the child in one still
 * deeper, that is not told. */
static int numbered_child(const struct graph *g, const struct task *parent)
{
	const struct task *child = evidence_task(g->e, parent, parent->wait.target);

	if (!parent->pid_ns)
		return (int)parent->wait.target;
	return child ? child->pid : 0;
}

static void need_child(struct graph *g, size_t task)
{
	const struct task *parent = &g->e->tasks[task];
	const struct open_fd *fd = evidence_fd(g->e, parent->pid, parent->wait.fd);
	int only = 0;

	if (parent->wait.newest || (fd && fd->of > 0)) {
		if (!need_process(g, task, parent->wait.newest ? newest_child(g, parent) : fd->of))
			g->nodes[task].unknown = "which child it waits for is not known";
		return;
	}
	if (parent->wait.target > 0) {
		if (!need_process(g, task, numbered_child(g, parent)) && parent->pid_ns)
			g->nodes[task].unknown = "which child it waits for is not known";
		return;
	}
	for (size_t i = 0; i < g->e->task_count; i++) {
		const struct task *t = &g->e->tasks[i];

		if (t->ppid != parent->pid || t->pid == parent->pid || t->pid == only)
			continue;
		if (only)
			return; /* any of several: it waits for work */
		only = t->pid;
	}
	need_process(g, task, only);
}

void graph_add_needs(struct graph *g, size_t task)
{
	const struct task *t = &g->e->tasks[task];

	g->nodes[task].first_need = g->need_count;
	switch (t->wait.kind) {
	case WAIT_FILE_LOCK:
		need_holders(g, task);
		break;
	case WAIT_MUTEX:
	case WAIT_RWLOCK:
		need_owner(g, task);
		break;
	case WAIT_JOIN:
		need_joined(g, task);
		break;
	case WAIT_SEMAPHORE:
		if (wait_is_of_set(&t->wait)) {
			need_last_user(g, task);
			break;
		}
		/* fall through */
	case WAIT_FUTEX:
		g->nodes[task].unknown = "this kind of wait names no owner";
		break;
	case WAIT_READ:
	case WAIT_WRITE:
	case WAIT_CONNECT:
		need_peer(g, task, t->wait.fd);
		break;
	case WAIT_POLL:
		if (evidence_ignores_unread(g->e, t))
			g->nodes[task].unknown = "the other end has done its part";
		else if (t->only_fd >= 0)
			need_peer(g, task, t->only_fd);
		break;
	case WAIT_CHILD:
		need_child(g, task);
		break;
	case WAIT_PERMISSION:
		need_permission(g, task);
		break;
	case WAIT_OPEN:
		g->nodes[task].unknown = "nobody has the other end open";
		break;
	default:
		break;
	}
}

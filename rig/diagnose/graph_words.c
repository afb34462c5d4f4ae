/*
 * Waits in words that are the same in every run: no ids, no addresses.
 */
#include "diagnose/graph.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#define RANDOM_LEN  6 /* as mkstemp() makes them */
#define RANDOM_TURN 2 /* how often such a word turns from small to great or to a digit, or back */

static int kind_of(char c)
{
	return isdigit((unsigned char)c) ? 0 : isupper((unsigned char)c) ? 1 : 2;
}

static bool is_id(const char *word, size_t len)
{
	size_t digits = 0, hex = 0, turns = 0;

	for (size_t i = 0; i < len; i++) {
		digits += isdigit((unsigned char)word[i]) != 0;
		hex += isxdigit((unsigned char)word[i]) != 0;
		turns += i > 1 && kind_of(word[i]) != kind_of(word[i - 1]);
	}
	return (digits && (hex == len || digits * 2 >= len)) ||
	       (len >= RANDOM_LEN && turns >= RANDOM_TURN);
}

/* The last two names of a path, ids in them as '#'. */
static void path_class(const char *path, char *out, size_t size)
{
	const char *from = strrchr(path, '/');
	size_t at = 0, len;

	while (from && from > path && from[-1] != '/')
		from--;
	for (path = from ? from : path; *path && at + 1 < size; path += len) {
		len = strspn(path, "/.,-_:=+ ");
		if (len) {
			out[at++] = *path;
			len = 1;
			continue;
		}
		len = strcspn(path, "/.,-_:=+ ");
		if (is_id(path, len))
			out[at++] = '#';
		else
			for (size_t i = 0; i < len && at + 1 < size; i++)
				out[at++] = isdigit((unsigned char)path[i]) ? '#' : path[i];
	}
	out[at] = '\0';
}

void graph_name_class(const char *name, char out[WHAT_MAX])
{
	path_class(name, out, WHAT_MAX);
}

static const char *again(const struct task *t)
{
	return !t->wait.tries  ? ""
	       : t->wait.timed ? ", waited for again and again"
			       : ", asked for again and again";
}

static void what_of_lock(const struct graph *g, size_t task, char out[WHAT_MAX])
{
	const struct file_lock *wants = g->nodes[task].wants;
	/* Who asks for a lease back does not say of which file. */
	const struct file_lock *which =
		wants && wants->kind >= LOCK_LEASE ? &g->e->locks.at[wants->by] : wants;
	const char *path = which ? evidence_path(g->e, which->inode) : NULL;
	char class[WHAT_MAX / 2] = "a file that is not known";

	if (path)
		path_class(path, class, sizeof(class));
	if (wants && wants->kind == LOCK_DOT)
		snprintf(out, WHAT_MAX, "dot-lock %s%s", class, again(&g->e->tasks[task]));
	else
		snprintf(out, WHAT_MAX, "%s lock on %s%s",
			wants ? lock_kind_name(wants->kind) : "file", class,
			again(&g->e->tasks[task]));
}

const struct socket_end *graph_door(const struct graph *g, size_t task)
{
	const struct task *t = &g->e->tasks[task];
	const struct socket_end *end = evidence_awaited(g->e, t);

	if (t->wait.kind == WAIT_CONNECT && t->door[0])
		return evidence_door(g->e, t->door);
	return end && end->accept ? evidence_socket(g->e, end->accept) : NULL;
}

static const char *kind_of_end(const struct task *t, const struct open_fd *fd)
{
	if (t->wait.number == SYS_msgrcv || t->wait.number == SYS_msgsnd || (fd && fd->queue))
		return "a message queue";
	if (!fd || fd->set)
		return "a descriptor";
	return fd->socket ? "a socket" : "a pipe";
}

static void what_of_end(const struct graph *g, size_t task, char out[WHAT_MAX])
{
	const struct task *t = &g->e->tasks[task];
	const struct open_fd *fd = evidence_awaited_fd(g->e, t);
	const struct socket_end *door = graph_door(g, task);
	size_t peer = graph_next(g, task);
	char class[WHAT_MAX / 2];

	if (door && door->name) {
		path_class(door->name, class, sizeof(class));
		snprintf(out, WHAT_MAX, "%s on a connection to %s that nobody accepts",
			wait_kind_name(t->wait.kind), class);
		return;
	}
	snprintf(out, WHAT_MAX, "%s on %s%s%.64s", wait_kind_name(t->wait.kind), kind_of_end(t, fd),
		peer == SIZE_MAX ? "" : " with ", peer == SIZE_MAX ? "" : g->e->tasks[peer].role);
}

static void what_of_object(const struct task *t, char out[WHAT_MAX])
{
	const char *kind = wait_kind_name(t->wait.kind);

	if (wait_semaphore(&t->wait) >= 0)
		snprintf(out, WHAT_MAX, "System V %s %d of its set%s", kind,
			wait_semaphore(&t->wait), again(t));
	else if (wait_is_of_set(&t->wait))
		snprintf(out, WHAT_MAX, "System V %s", kind);
	else if (t->object[0])
		snprintf(out, WHAT_MAX, "%s '%.96s'%s", kind, t->object, again(t));
	else
		snprintf(out, WHAT_MAX, "%s%s", kind, again(t));
}

void graph_what(const struct graph *g, size_t task, char out[WHAT_MAX])
{
	const struct task *t = &g->e->tasks[task];
	size_t next = graph_next(g, task);

	switch (t->wait.kind) {
	case WAIT_FILE_LOCK:
		what_of_lock(g, task, out);
		break;
	case WAIT_READ:
	case WAIT_WRITE:
	case WAIT_CONNECT:
	case WAIT_POLL:
		what_of_end(g, task, out);
		break;
	case WAIT_CHILD:
		snprintf(out, WHAT_MAX, "end of %s%s",
			next != SIZE_MAX ? g->e->tasks[next].role
			: t->wait.tries	 ? "a process"
					 : "a child",
			again(t));
		break;
	case WAIT_MUTEX:
	case WAIT_RWLOCK:
	case WAIT_FUTEX:
	case WAIT_SEMAPHORE:
		what_of_object(t, out);
		break;
	default:
		snprintf(out, WHAT_MAX, "%s", wait_kind_name(t->wait.kind));
	}
}

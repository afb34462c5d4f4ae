/*
 * What descriptors say of those who wait at them: whose turn it is at a connection, and what lies there unread.
 */
#include "diagnose/evidence.h"

#include <string.h>

const struct open_fd *evidence_awaited_fd(const struct evidence *e, const struct task *t)
{
	int64_t number = t->wait.kind == WAIT_POLL ? t->only_fd : t->wait.fd;

	return number >= 0 ? evidence_fd(e, t->pid, number) : NULL;
}

const struct socket_end *evidence_awaited(const struct evidence *e, const struct task *t)
{
	const struct open_fd *fd = evidence_awaited_fd(e, t);

	return fd && fd->socket ? evidence_socket(e, fd->ino) : NULL;
}

/* A loop whose every other descriptor has gone waits for what its timer tells it to do; who reads one sleeps. */
static void look_at_timer(const struct evidence *e, struct task *t)
{
	const struct open_fd *fd = evidence_awaited_fd(e, t);

	if (!fd || !fd->timer)
		return;
	if (t->wait.kind == WAIT_POLL && fd->rings)
		t->only_fd = -1;
	else if (t->wait.kind == WAIT_READ && fd->rings)
		t->wait.kind = WAIT_SLEEP;
	t->timer_off = t->wait.kind == WAIT_READ && !fd->rings;
}

/* Polling the one socket that listens is waiting for work; one whose other end is outside has a client. */
void evidence_look_at_ends(struct evidence *e)
{
	for (size_t i = 0; i < e->task_count; i++) {
		struct task *t = &e->tasks[i];
		bool polls = t->wait.kind == WAIT_POLL;
		const struct socket_end *end;

		look_at_timer(e, t);
		end = evidence_awaited(e, t);
		t->outside = end && end->outside;
		t->serves = end && end->accepted && t->wait.kind != WAIT_WRITE;
		if (!end || !end->listens || !polls)
			continue;
		t->wait.kind = WAIT_ACCEPT;
		t->wait.fd = t->only_fd;
	}
}

bool evidence_has_unread(const struct evidence *e, uint64_t ino)
{
	const struct socket_end *end = evidence_socket(e, ino);

	return end && !end->listens && end->unread > 0;
}

bool evidence_all_polled(const struct task *task)
{
	size_t told = json_array_size(task->polled);

	return task->wait.kind == WAIT_POLL && told && told < POLLED_TOLD;
}

bool evidence_ignores_unread(const struct evidence *e, const struct task *task)
{
	const struct socket_end *end = evidence_awaited(e, task);

	if (task->wait.kind != WAIT_POLL || !end || !evidence_has_unread(e, end->ino))
		return false;
	return end->outside ||
	       (evidence_socket(e, end->peer) && !evidence_has_unread(e, end->peer));
}

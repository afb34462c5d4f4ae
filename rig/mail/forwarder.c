#include "mail/forwarder_private.h"

#include "base/clock.h"
#include "base/io.h"

#include <assert.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

#define LISTEN_BACKLOG 128

const char *forwarder_mode_name(enum forwarder_mode mode)
{
	static const char *const names[FORWARDER_MODES] = {"pass", "reset", "closed", "silent",
		"delay", "not-accepting", "banner-late", "drop", "mute", "partial", "drip",
		"half-close"};

	return names[mode];
}

void forwarder_reset_fd(int *fd)
{
	struct linger now = {.l_onoff = 1};

	if (*fd >= 0)
		setsockopt(*fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	cleanup_fd(fd);
}

/* Join connections that have ended and find a free slot; NULL if all are taken. Under the lock. */
static struct forwarder_conn *free_slot(struct forwarder *forwarder)
{
	struct forwarder_conn *found = NULL;

	for (size_t i = 0; i < FORWARDER_CONNECTIONS_MAX; i++) {
		struct forwarder_conn *slot = &forwarder->slots[i];

		if (slot->used && slot->done) {
			pthread_join(slot->thread, NULL); /* done was its last word */
			cleanup_fd(&slot->wake_fd);
			slot->used = false;
		}
		if (!slot->used)
			found = slot;
	}
	return found;
}

/* What a connection that was just accepted meets, counted. Under the lock. */
static enum forwarder_mode meet(struct forwarder *forwarder)
{
	enum forwarder_mode mode = forwarder->now.mode;
	struct forwarder_counts *counts = &forwarder->counts;

	if (mode == FORWARDER_CLOSED) /* came in just before the listener closed */
		mode = FORWARDER_RESET;
	counts->accepted++;
	counts->refused += mode == FORWARDER_RESET;
	counts->held += mode == FORWARDER_SILENT;
	counts->delayed += mode == FORWARDER_DELAY;
	return mode;
}

static void serve(
	struct forwarder *forwarder, struct forwarder_conn *slot, int fd, enum forwarder_mode mode)
{
	*slot = (struct forwarder_conn){
		.forwarder = forwarder,
		.client_fd = fd,
		.upstream_fd = -1,
		.state = mode == FORWARDER_SILENT ? CONN_HELD : CONN_FORWARDING,
		.delay_ms = mode == FORWARDER_DELAY ? forwarder->now.delay_ms : 0,
		.hurt = {.mode = mode,
			.delay_ms = forwarder->now.delay_ms,
			.replies = forwarder->now.replies},
		.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};
	slot->used = slot->wake_fd >= 0 &&
		     !pthread_create(&slot->thread, NULL, forwarder_conn_run, slot);
	forwarder->counts.open += slot->used;
	if (slot->used)
		return;
	cleanup_fd(&slot->wake_fd);
	forwarder_reset_fd(&slot->client_fd);
}

/* Accept and take into service under one lock: a change of mode comes wholly before or after. */
static void accept_one(struct forwarder *forwarder, struct forwarder_conn *slot)
{
	enum forwarder_mode mode = FORWARDER_PASS;
	int fd;

	pthread_mutex_lock(&forwarder->lock);
	fd = forwarder->now.mode == FORWARDER_NOT_ACCEPTING
		     ? -1
		     : accept4(forwarder->opts.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		mode = meet(forwarder);
		if (mode == FORWARDER_RESET)
			forwarder_reset_fd(&fd);
		else
			serve(forwarder, slot, fd, mode);
	}
	pthread_mutex_unlock(&forwarder->lock);
	if (mode != FORWARDER_PASS && mode < FORWARDER_NOT_ACCEPTING && forwarder->opts.on_fired)
		forwarder->opts.on_fired(forwarder->opts.arg, mode);
}

/* Linux: TCP_INFO of a listening socket has the length of its accept queue in tcpi_unacked. */
static uint64_t backlog(const struct forwarder *forwarder)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(forwarder->opts.listen_fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return 0;
	return info.tcpi_unacked;
}

static void *accept_loop(void *arg)
{
	struct forwarder *forwarder = arg;

	for (;;) {
		struct forwarder_conn *slot;
		struct pollfd p[2] = {
			{.fd = forwarder->wake_fd, .events = POLLIN},
			{.fd = -1, .events = POLLIN},
		};
		eventfd_t count;
		bool stopping;

		pthread_mutex_lock(&forwarder->lock);
		stopping = forwarder->stopping;
		slot = free_slot(forwarder);
		if (slot && !forwarder->closed && forwarder->now.mode != FORWARDER_NOT_ACCEPTING)
			p[1].fd = forwarder->opts.listen_fd;
		pthread_mutex_unlock(&forwarder->lock);
		if (stopping)
			return NULL;
		poll(p, 2, -1);
		if (p[0].revents)
			eventfd_read(forwarder->wake_fd, &count);
		if (p[1].revents & POLLIN)
			accept_one(forwarder, slot);
	}
}

struct forwarder *forwarder_start(const struct forwarder_opts *opts, struct err *err)
{
	struct forwarder *forwarder = mem_zero(1, sizeof(*forwarder));
	socklen_t len = sizeof(forwarder->address);

	forwarder->opts = *opts;
	if (!forwarder->opts.connect_ms)
		forwarder->opts.connect_ms = 10000;
	pthread_mutex_init(&forwarder->lock, NULL);
	io_prepare(opts->listen_fd);
	getsockname(opts->listen_fd, (struct sockaddr *)&forwarder->address, &len);
	forwarder->address_len = len;
	forwarder->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (forwarder->wake_fd >= 0 &&
		!pthread_create(&forwarder->thread, NULL, accept_loop, forwarder))
		return forwarder;
	err_sys(err, errno, "cannot start a forwarder");
	cleanup_fd(&forwarder->wake_fd);
	cleanup_fd(&forwarder->opts.listen_fd);
	free(forwarder);
	return NULL;
}

/* Tell a connection's thread something new. Under the lock. */
static void tell(struct forwarder_conn *conn, enum conn_state state)
{
	conn->state = state;
	conn->forwarder->counts.cut += state == CONN_CUT;
	eventfd_write(conn->wake_fd, 1);
}

void forwarder_stop(struct forwarder *forwarder)
{
	if (!forwarder)
		return;
	pthread_mutex_lock(&forwarder->lock);
	forwarder->stopping = true;
	eventfd_write(forwarder->wake_fd, 1);
	pthread_mutex_unlock(&forwarder->lock);
	pthread_join(forwarder->thread, NULL);
	pthread_mutex_lock(&forwarder->lock);
	for (size_t i = 0; i < FORWARDER_CONNECTIONS_MAX; i++)
		if (forwarder->slots[i].used)
			tell(&forwarder->slots[i], CONN_CUT);
	pthread_mutex_unlock(&forwarder->lock);
	for (size_t i = 0; i < FORWARDER_CONNECTIONS_MAX; i++) {
		if (!forwarder->slots[i].used)
			continue;
		pthread_join(forwarder->slots[i].thread, NULL);
		cleanup_fd(&forwarder->slots[i].wake_fd);
	}
	cleanup_fd(&forwarder->opts.listen_fd);
	cleanup_fd(&forwarder->wake_fd);
	pthread_mutex_destroy(&forwarder->lock);
	free(forwarder);
}

/*
 * Linux 6.1: shutdown(SHUT_RD) takes a TCP socket out of LISTEN (SYNs then meet RST) and listen()
 * puts it back. A port that was bound by number stays bound meanwhile (bind() then says EINVAL);
 * one that was picked is let go, getsockname() still shows it, and it must be bound anew.
 */
static int close_listener(struct forwarder *forwarder)
{
	if (forwarder->address.ss_family != AF_INET && forwarder->address.ss_family != AF_INET6)
		return 0; /* a unix socket would not come back: its connections are reset */
	if (shutdown(forwarder->opts.listen_fd, SHUT_RD))
		return -errno;
	forwarder->closed = true;
	return 0;
}

static int open_listener(struct forwarder *forwarder)
{
	int fd = forwarder->opts.listen_fd;

	if (bind(fd, (struct sockaddr *)&forwarder->address, forwarder->address_len) &&
		errno != EINVAL)
		return -errno;
	if (listen(fd, LISTEN_BACKLOG))
		return -errno;
	forwarder->closed = false;
	return 0;
}

/* What a change of mode does to one connection. Under the lock. */
static void change_conn(struct forwarder_conn *conn, const struct forwarder_change *old,
	const struct forwarder_change *change)
{
	bool leaves = old->mode == FORWARDER_SILENT && change->mode != FORWARDER_SILENT;
	bool kept = conn->hurt.mode == FORWARDER_MUTE || conn->hurt.mode == FORWARDER_PARTIAL;

	if (!conn->used || conn->done)
		return;
	if (conn->state == CONN_FORWARDING && change->cut) {
		tell(conn, CONN_CUT);
	} else if (conn->state == CONN_HELD && leaves) {
		if (change->held == FORWARDER_HELD_LATE)
			tell(conn, CONN_FORWARDING);
		else if (change->held == FORWARDER_HELD_RESET)
			tell(conn, CONN_CUT);
		else
			tell(conn, CONN_BLACK_HOLE);
	} else if (conn->state == CONN_FORWARDING && conn->hurt.mode == old->mode &&
		   change->mode != old->mode) {
		if (kept && change->held == FORWARDER_HELD_RESET)
			tell(conn, CONN_CUT);
		conn->released = !kept || change->held == FORWARDER_HELD_LATE;
		eventfd_write(conn->wake_fd, 1);
	}
}

int forwarder_change(
	struct forwarder *forwarder, const struct forwarder_change *change, struct err *err)
{
	int rc = 0;

	assert(change->mode < FORWARDER_MODES);
	pthread_mutex_lock(&forwarder->lock);
	if (change->mode == FORWARDER_CLOSED && !forwarder->closed)
		rc = close_listener(forwarder);
	else if (change->mode != FORWARDER_CLOSED && forwarder->closed)
		rc = open_listener(forwarder);
	if (!rc) {
		if (forwarder->now.mode == FORWARDER_NOT_ACCEPTING &&
			change->mode != FORWARDER_NOT_ACCEPTING)
			forwarder->counts.held += backlog(forwarder);
		for (size_t i = 0; i < FORWARDER_CONNECTIONS_MAX; i++)
			change_conn(&forwarder->slots[i], &forwarder->now, change);
		forwarder->now = *change;
	}
	eventfd_write(forwarder->wake_fd, 1);
	pthread_mutex_unlock(&forwarder->lock);
	return rc ? err_sys(err, rc, "cannot switch the forwarder to '%s'",
			    forwarder_mode_name(change->mode))
		  : 0;
}

int forwarder_set_mode(struct forwarder *forwarder, enum forwarder_mode mode, struct err *err)
{
	struct forwarder_change change = {.mode = mode};

	return forwarder_change(forwarder, &change, err);
}

void forwarder_get_counts(struct forwarder *forwarder, struct forwarder_counts *ret)
{
	pthread_mutex_lock(&forwarder->lock);
	*ret = forwarder->counts;
	if (forwarder->now.mode == FORWARDER_NOT_ACCEPTING)
		ret->held += backlog(forwarder);
	pthread_mutex_unlock(&forwarder->lock);
}

uint64_t forwarder_fired(struct forwarder *forwarder)
{
	struct forwarder_counts counts;

	forwarder_get_counts(forwarder, &counts);
	return counts.refused + counts.held + counts.delayed + counts.hurt;
}

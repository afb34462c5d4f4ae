#include "mail/forwarder_private.h"

#include "base/clock.h"
#include "base/io.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>

/* One direction of bytes. */
struct leg {
	int from, to;
	char bytes[FORWARDER_CHUNK];
	size_t at, len;	   /* what is still to be written */
	int64_t ripe_ns;   /* not before */
	bool ended;	   /* FIN was read */
	bool ended_passed; /* and passed on */
	size_t granted;	   /* of those that wait: they may go */
	struct forwarder_conn *conn;
	bool from_server;
	bool thrown_away; /* what comes is not passed on any more */
};

static enum conn_state state_of(struct forwarder_conn *conn)
{
	enum conn_state state;
	eventfd_t count;

	eventfd_read(conn->wake_fd, &count);
	pthread_mutex_lock(&conn->forwarder->lock);
	state = conn->state;
	conn->hurt.released = conn->released;
	pthread_mutex_unlock(&conn->forwarder->lock);
	return state;
}

/* Stand still with the client until the state changes or the client goes. */
static enum conn_state hold(struct forwarder_conn *conn)
{
	enum conn_state state = state_of(conn);

	while (state == CONN_HELD || state == CONN_BLACK_HOLE) {
		/* RDHUP alone: what the client sends stays unread. */
		struct pollfd p[2] = {
			{.fd = conn->wake_fd, .events = POLLIN},
			{.fd = conn->client_fd, .events = POLLRDHUP},
		};

		poll(p, 2, -1);
		if (p[1].revents)
			return CONN_CUT;
		state = state_of(conn);
	}
	return state;
}

static void read_leg(struct leg *leg, int64_t delay_ms, bool *ret_broken)
{
	ssize_t n = read(leg->from, leg->bytes, sizeof(leg->bytes));

	if (n < 0) {
		*ret_broken |= errno != EAGAIN && errno != EINTR;
		return;
	}
	leg->ended = n == 0;
	leg->at = leg->granted = 0;
	leg->len = leg->thrown_away ? 0 : (size_t)n;
	leg->ripe_ns = delay_ms ? deadline_in_ms(delay_ms) : 0;
	if (!leg->from_server)
		hurt_said(&leg->conn->hurt, leg->bytes, leg->len);
}

static void write_leg(struct leg *leg, bool *ret_broken)
{
	ssize_t n = write(leg->to, leg->bytes + leg->at, leg->granted);

	if (n < 0) {
		*ret_broken |= errno != EAGAIN && errno != EINTR;
		return;
	}
	leg->at += (size_t)n;
	leg->granted -= (size_t)n;
}

static bool waiting(const struct leg *leg)
{
	return leg->at < leg->len;
}

static bool ripe(const struct leg *leg)
{
	return !leg->ripe_ns || deadline_left_ms(leg->ripe_ns) == 0;
}

/* The mode hurts the dialogue, and this is the direction in which it does. */
static bool hurts(const struct leg *leg)
{
	return leg->from_server && leg->conn->hurt.mode >= FORWARDER_BANNER_LATE;
}

static void count_hurt(struct forwarder_conn *conn)
{
	struct forwarder *forwarder = conn->forwarder;

	pthread_mutex_lock(&forwarder->lock);
	forwarder->counts.hurt++;
	pthread_mutex_unlock(&forwarder->lock);
	if (forwarder->opts.on_fired)
		forwarder->opts.on_fired(forwarder->opts.arg, conn->hurt.mode);
}

/* How much of what waits may go, by the mode that hurts the dialogue. */
static void grant(struct leg *leg, bool *ret_broken)
{
	enum hurt_order order;
	bool met = false;

	leg->granted = leg->len - leg->at;
	if (!hurts(leg))
		return;
	leg->ripe_ns = 0;
	order = hurt_answered(
		&leg->conn->hurt, leg->bytes + leg->at, leg->len - leg->at, &leg->granted, &met);
	if (met) /* before its client can hear of it */
		count_hurt(leg->conn);
	switch (order) {
	case HURT_PASS:
		break;
	case HURT_WAIT:
		leg->granted = 0;
		leg->ripe_ns = leg->conn->hurt.until_ns ? leg->conn->hurt.until_ns : CLOCK_NEVER;
		break;
	case HURT_RESET:
		*ret_broken = true;
		break;
	case HURT_END:
		shutdown(leg->to, SHUT_WR);
		leg->thrown_away = leg->ended_passed = true;
		leg->len = leg->at = 0;
		break;
	}
}

/* Pass on what has been read and may go; the FIN after the last byte. */
static void push(struct leg *leg, bool *ret_broken)
{
	if (!ripe(leg) && !hurts(leg))
		return;
	if (waiting(leg) && !leg->granted)
		grant(leg, ret_broken);
	if (!ripe(leg) || *ret_broken)
		return;
	if (waiting(leg))
		write_leg(leg, ret_broken);
	if (leg->ended && !waiting(leg) && !leg->ended_passed) {
		shutdown(leg->to, SHUT_WR);
		leg->ended_passed = true;
	}
}

/* What to wait for: `from` if the buffer is empty, `to` if a ripe byte could not be written. */
static void interest(
	const struct leg *leg, struct pollfd *from, struct pollfd *to, int64_t *wake_ns)
{
	if (waiting(leg) || leg->ended) {
		if (leg->ended_passed && !waiting(leg))
			return;
		if (!ripe(leg))
			*wake_ns = leg->ripe_ns < *wake_ns ? leg->ripe_ns : *wake_ns;
		else
			to->events |= POLLOUT;
		return;
	}
	from->events |= POLLIN;
}

/* The peer has reset: what it sent before still goes on, as far as it goes at once. */
static void last_bytes(struct leg *leg)
{
	bool broken = false;

	if (hurts(leg)) /* what is held back is not let out by its end */
		return;
	leg->ripe_ns = 0;
	do {
		push(leg, &broken);
		if (broken || leg->ended || waiting(leg))
			return;
		leg->len = leg->at = 0;
		read_leg(leg, 0, &broken);
	} while (leg->len);
}

/* A descriptor that has ended both ways would report POLLHUP for ever. */
static void rest(const struct leg *from_it, const struct leg *to_it, struct pollfd *p)
{
	if (!p->events && from_it->ended && to_it->ended_passed)
		p->fd = -1;
}

/* The client has gone, and what it would have heard is held back: nobody waits for it any more. Without this the
 * server's own end would wake poll() for ever. */
static bool nobody_waits(const struct leg *up, const struct leg *down)
{
	return up->ended_passed && hurts(down) && waiting(down) && !ripe(down);
}

/* Both directions until both have ended (true), or one broke or was cut (false: reset both). */
static bool pump(struct forwarder_conn *conn, struct leg *up, struct leg *down)
{
	bool broken = false;

	while (!broken && !(up->ended_passed && down->ended_passed)) {
		struct pollfd p[3] = {
			{.fd = conn->wake_fd, .events = POLLIN},
			{.fd = conn->client_fd},
			{.fd = conn->upstream_fd},
		};
		int64_t wake_ns = CLOCK_NEVER;

		interest(up, &p[1], &p[2], &wake_ns);
		interest(down, &p[2], &p[1], &wake_ns);
		rest(up, down, &p[1]);
		rest(down, up, &p[2]);
		poll(p, 3, deadline_left_ms(wake_ns));
		if (p[0].revents && state_of(conn) == CONN_CUT)
			return false;
		if ((p[1].revents | p[2].revents) & POLLERR) {
			last_bytes(p[1].revents & POLLERR ? up : down);
			return false;
		}
		if (p[1].events & POLLIN && p[1].revents)
			read_leg(up, conn->delay_ms, &broken);
		if (p[2].events & POLLIN && p[2].revents)
			read_leg(down, conn->delay_ms, &broken);
		push(up, &broken);
		push(down, &broken);
		broken |= nobody_waits(up, down);
	}
	return !broken;
}

/* The forwarder adds no latency of its own (Nagle against delayed ACK: up to 40 ms). */
static void no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static bool forward(struct forwarder_conn *conn)
{
	struct forwarder *forwarder = conn->forwarder;
	auto_free struct leg *legs = mem_zero(2, sizeof(*legs));

	conn->upstream_fd = forwarder->opts.connect(
		forwarder->opts.arg, deadline_in_ms(forwarder->opts.connect_ms), NULL);
	pthread_mutex_lock(&forwarder->lock);
	forwarder->counts.forwarded += conn->upstream_fd >= 0;
	forwarder->counts.failed += conn->upstream_fd < 0;
	pthread_mutex_unlock(&forwarder->lock);
	if (conn->upstream_fd < 0)
		return false;
	io_prepare(conn->upstream_fd);
	no_delay(conn->upstream_fd);
	no_delay(conn->client_fd);
	legs[0].conn = legs[1].conn = conn;
	legs[1].from_server = true;
	legs[0].from = legs[1].to = conn->client_fd;
	legs[0].to = legs[1].from = conn->upstream_fd;
	return pump(conn, &legs[0], &legs[1]);
}

void *forwarder_conn_run(void *arg)
{
	struct forwarder_conn *conn = arg;
	struct forwarder *forwarder = conn->forwarder;
	bool clean = hold(conn) == CONN_FORWARDING && forward(conn);

	if (!clean) {
		forwarder_reset_fd(&conn->client_fd);
		forwarder_reset_fd(&conn->upstream_fd);
	}
	cleanup_fd(&conn->client_fd);
	cleanup_fd(&conn->upstream_fd);
	pthread_mutex_lock(&forwarder->lock);
	forwarder->counts.open--;
	conn->done = true;
	eventfd_write(forwarder->wake_fd, 1);
	pthread_mutex_unlock(&forwarder->lock);
	return NULL;
}
